//! What callers and operators build on: the OpenAPI document, the example configuration, health, tenants, browsers.

use std::time::Duration;

use flame_api::ingest::Upload;
use flame_ingest::config::{
    Config, Limits, PullConfig, PushConfig, Quotas, RtmpConfig, ScrubConfig, SourcesConfig, SrtConfig, StoreChoice,
};
use flame_service_host::auth::AuthConfig;
use flame_service_host::config::{self, Bytes, Span};
use flame_service_host::keys::{self, Grant};
use flame_test_kit::openapi::{self, Stranger, walk_as_stranger};
use reqwest::{Method, RequestBuilder};

use crate::platform::Platform;
use crate::world::{World, json, location, metadata, problem, without_media};

#[tokio::test]
async fn the_openapi_document_is_the_one_checked_in() {
    let world = World::start().await;
    let document = openapi::document(&world.base()).await;
    openapi::check_golden("ingest", &document);
    let operations = openapi::operations(&document);
    assert_eq!(operations.len(), 25);
    // A browser's preflight carries no token, and who publishes shows the key of a channel.
    let shows_key = |path: &str| path.starts_with("/push/") || path.starts_with("/whip/");
    let is_public = |path: &str, method: &Method| *method == Method::OPTIONS || shows_key(path);
    assert!(operations.iter().all(|operation| operation.needs_token != is_public(&operation.path, &operation.method)));
}

#[test]
fn the_example_configuration_holds_every_key_and_the_defaults() {
    let file = flame_test_kit::repository().join("services/ingest/config.example.toml");
    let example: Config = config::load("ingest", Some(&file)).unwrap();
    example.check().unwrap();
    let StoreChoice::Embedded(_) = &example.store else { panic!("the example is for one machine") };
    let shown = |value: &Config| {
        let value = serde_json::to_value(value).unwrap();
        ["limits", "quotas", "pulls", "scrub", "rtmp", "srt", "push", "sources"].map(|table| value[table].clone())
    };
    let default = Config {
        limits: Limits::default(),
        quotas: Quotas::default(),
        pulls: PullConfig::default(),
        scrub: ScrubConfig::default(),
        rtmp: Some(RtmpConfig::default()),
        srt: Some(SrtConfig::default()),
        push: Some(PushConfig::default()),
        sources: Some(SourcesConfig::default()),
        ..example.clone()
    };
    assert_eq!(shown(&example), shown(&default));
    // Every key of every table stands in the text, commented out or not.
    let text = std::fs::read_to_string(&file).unwrap();
    let value = serde_json::to_value(&example).unwrap();
    for table in [
        &value,
        &value["limits"],
        &value["quotas"],
        &value["pulls"],
        &value["scrub"],
        &value["rtmp"],
        &value["srt"],
        &value["push"],
        &value["sources"],
        &value["store"]["embedded"],
        &value["host"],
    ] {
        for key in table.as_object().unwrap().keys() {
            let there = text.lines().any(|line| {
                let line = line.trim_start_matches("# ");
                line.starts_with(&format!("{key} = "))
                    || line.starts_with(&format!("[{key}"))
                    || line.starts_with(&format!("[host.{key}"))
                    || line.starts_with(&format!("[quotas.{key}."))
            });
            assert!(there, "config.example.toml lacks `{key}`");
        }
    }
}

#[tokio::test]
async fn a_configuration_that_contradicts_itself_is_refused() {
    for change in [
        (|config| config.limits.part = Bytes(1 << 20)) as fn(&mut Config),
        |config| config.limits.receive_memory = Bytes(6 << 20),
        |config| config.limits.max_processing = 0,
        |config| config.allowed_origins = vec!["*".to_owned()],
        |config| config.allowed_origins = vec!["https://portal.example/".to_owned()],
    ] {
        let scratch = flame_test_kit::Scratch::new("ingest");
        let mut config = crate::world::config(&scratch);
        config.check().unwrap();
        change(&mut config);
        assert!(config.check().is_err(), "{config:?}");
        assert!(flame_ingest::start(config).await.is_err());
    }
}

#[tokio::test]
async fn health_tells_what_is_needed() {
    let world = World::start().await;
    let ready: serde_json::Value =
        world.request(Method::GET, "/health/ready").send().await.unwrap().json().await.unwrap();
    assert_eq!(ready["status"], "ready", "{ready}");
    assert_eq!((&ready["checks"]["database"], &ready["checks"]["object store"]), (&"ok".into(), &"ok".into()));
}

#[tokio::test]
async fn a_later_schema_is_refused() {
    let mut world = World::start().await;
    world.stop().await;
    let file = world.config.data.join("ingest.sqlite");
    let add = async |version: i64| {
        let pool = sqlx::sqlite::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (?, 'later', 1, x'00', 0)",
        )
        .bind(version)
        .execute(&pool)
        .await
        .unwrap();
        pool.close().await;
    };
    add(7).await;
    world.resume().await;
    world.stop().await;
    add(8).await;
    let refused = flame_ingest::start(world.config.clone()).await.unwrap_err();
    let reason = flame_service_host::problem::chain(&refused);
    assert!(reason.contains("schema 8"), "{reason}");
}

#[tokio::test]
async fn what_a_database_of_before_holds_is_counted() {
    let mut world = World::start_with(|config| {
        without_media(config);
        config.quotas.stored = Some(Bytes(10_000));
    })
    .await;
    world.stop().await;
    let file = world.config.data.join("ingest.sqlite");
    std::fs::remove_file(&file).unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let pool = sqlx::sqlite::SqlitePool::connect_with(options).await.unwrap();
    let mut first = sqlx::migrate!("./migrations");
    first.migrations.to_mut().retain(|migration| migration.version == 1);
    first.run(&pool).await.unwrap();
    for (stage, offset, length) in [("receiving", 100, Some(6000)), ("done", 1500, None), ("failed", 5000, Some(5000))]
    {
        sqlx::query(
            "INSERT INTO uploads (id, tenant, origin, stage, offset_bytes, length_bytes, part_bytes, chain, created_at_ms)
             VALUES (?, 'default', 'tus', ?, ?, ?, 5242880, 'none', 0)",
        )
        .bind(uuid::Uuid::now_v7().to_string())
        .bind(stage)
        .bind(offset)
        .bind(length)
        .execute(&pool)
        .await
        .unwrap();
    }
    pool.close().await;
    world.resume().await;
    let announce =
        async |length: u64| world.tus(Method::POST, "/uploads").header("upload-length", length).send().await.unwrap();
    assert_eq!(announce(4000).await.status(), 201, "what is done and no longer in the store does not count");
    problem(announce(1).await, 413, "quota-exceeded").await;
}

#[tokio::test]
async fn a_stranger_walks_every_route() {
    let keys = tempfile::tempdir().unwrap();
    keys::ensure(keys.path()).unwrap();
    let token = |tenant: &str, scope: &str| {
        let life = Duration::from_secs(600);
        let grant = Grant { subject: "test".to_owned(), tenant: tenant.to_owned(), scope: scope.to_owned(), life };
        keys::issue(keys.path(), &grant).unwrap().0
    };
    let platform = Platform::start_with(|config| config.host.auth = AuthConfig { keys: Some(keys.path().to_owned()) });
    let platform = platform.await;
    let service = token("default", "read write service");
    let world = World::start_with(|config| {
        without_media(config);
        config.host.auth = AuthConfig { keys: Some(keys.path().to_owned()) };
        config.host.router = Some(platform.url());
        config.host.token = Some(service);
    })
    .await;
    let owner = token("acme", "read write");
    let post = world.tus(Method::POST, "/uploads").bearer_auth(&owner).header("upload-length", 100);
    let post = post.header("upload-metadata", metadata(&[("title", "Secret plans")]));
    let id = location(&post.send().await.unwrap()).to_string();
    let path = format!("/uploads/{id}");
    let see = |token: &str| world.request(Method::GET, &path).bearer_auth(token);
    let before: Upload = json(see(&owner).send().await.unwrap(), 200).await;

    let stranger = Stranger {
        token: &token("other", "read write"),
        parameters: &[("id", &id), ("name", "clip.mp4")],
        secrets: &[&id, "Secret plans", "acme"],
    };
    let base = world.base();
    walk_as_stranger(&base, stranger, |operation, request: RequestBuilder| {
        let request = request.header("tus-resumable", "1.0.0");
        match (operation.method.as_str(), operation.path.as_str()) {
            ("POST", "/uploads") => request.header("upload-length", 1),
            ("PATCH", _) => {
                let request =
                    request.header("upload-offset", 0).header("content-type", "application/offset+octet-stream");
                request.body("x")
            }
            // Everybody's own: refused here only for its digest.
            ("PUT", _) => request.header("flame-tenant", "acme").body("x"),
            ("POST", "/assets/{id}/subtitles") => request.body("WEBVTT\n\n00:01.000 --> 00:02.000\nMine now\n"),
            ("POST", "/tickets") => request.json(&serde_json::json!({ "size_bytes": 0 })),
            ("POST", "/tickets/{id}/complete") => request.json(&serde_json::json!({})),
            ("POST", "/pulls") => request.json(&serde_json::json!({ "url": "http://127.0.0.1/" })),
            (_, _) => request,
        }
    })
    .await;
    let after: Upload = json(see(&owner).send().await.unwrap(), 200).await;
    assert_eq!(after, before, "nothing has changed");
    problem(see(&token("acme", "write")).send().await.unwrap(), 403, "forbidden").await;
    let reader = world.tus(Method::DELETE, &path).bearer_auth(token("acme", "read"));
    problem(reader.send().await.unwrap(), 403, "forbidden").await;
}

#[tokio::test]
async fn pages_of_other_origins_need_to_be_allowed() {
    let world = World::start_with(|config| {
        config.allowed_origins = vec!["https://portal.example".to_owned()];
        config.limits.idle = Span(Duration::from_secs(5));
    })
    .await;
    let post = |origin: &str| world.tus(Method::POST, "/uploads").header("upload-length", 10).header("origin", origin);
    problem(post("https://evil.example").send().await.unwrap(), 403, "foreign-origin").await;
    problem(post("null").send().await.unwrap(), 403, "foreign-origin").await;
    let strange =
        world.tus(Method::POST, "/uploads").header("upload-length", 10).header("sec-fetch-site", "cross-site");
    problem(strange.send().await.unwrap(), 403, "foreign-origin").await;
    assert_eq!(post(&world.base()).send().await.unwrap().status(), 201, "the service's own pages");

    let allowed = post("https://portal.example").send().await.unwrap();
    assert_eq!(allowed.status(), 201);
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://portal.example");
    assert!(allowed.headers()["access-control-expose-headers"].to_str().unwrap().contains("Upload-Offset"));
    let preflight = |origin: &str| {
        let request = world.request(Method::OPTIONS, "/uploads").header("origin", origin);
        request.header("access-control-request-method", "PATCH").send()
    };
    let may = preflight("https://portal.example").await.unwrap();
    assert_eq!(may.status(), 204);
    assert!(may.headers()["access-control-allow-methods"].to_str().unwrap().contains("PATCH"));
    assert!(may.headers()["access-control-allow-headers"].to_str().unwrap().contains("Upload-Metadata"));
    let may_not = preflight("https://evil.example").await.unwrap();
    assert!(!may_not.headers().contains_key("access-control-allow-origin"));
}

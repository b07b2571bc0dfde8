//! What callers and operators build on: the OpenAPI document, the example configuration, health and measurements.

use flame_metadata::Config;
use flame_service_host::config;
use flame_test_kit::openapi;

use crate::world::{On, World};

#[tokio::test]
async fn the_openapi_document_is_the_one_checked_in() {
    let world = World::start(On::Sqlite).await;
    let document = openapi::document(&world.base()).await;
    openapi::check_golden("metadata", &document);
    let operations = openapi::operations(&document);
    assert_eq!(operations.len(), 20);
    // What everybody may know of what plays, and nothing else.
    let open: Vec<_> = operations.iter().filter(|operation| !operation.needs_token).map(|one| &one.path).collect();
    assert_eq!(open, ["/public/{id}"]);
}

#[test]
fn the_example_configuration_holds_the_defaults() {
    let file = flame_test_kit::repository().join("services/metadata/config.example.toml");
    let example: Config = config::load("metadata", Some(&file)).unwrap();
    let default = Config::default();
    assert_eq!((example.database, example.database_readers), (default.database, default.database_readers));
    assert_eq!(example.database_wait, default.database_wait);
    assert_eq!((example.purges, example.public), (default.purges, default.public));
    assert_eq!((example.trash, example.history), (default.trash, default.history));
    assert_eq!((example.search, example.feed), (default.search, default.feed));
    assert_eq!(example.host.max_connections, default.host.max_connections);
    assert_eq!((example.host.drain, example.host.head_timeout), (default.host.drain, default.host.head_timeout));
    // Also the keys that are commented out are known: an unknown one is refused.
    let text = std::fs::read_to_string(&file).unwrap();
    let is_setting = |line: &&str| line.contains(" = ") || line.starts_with('[');
    let uncomment = |line: &str| line.strip_prefix("# ").filter(is_setting).unwrap_or(line).to_owned();
    let folder = tempfile::tempdir().unwrap();
    let all = folder.path().join("all.toml");
    std::fs::write(&all, text.lines().map(uncomment).collect::<Vec<_>>().join("\n")).unwrap();
    let all: Config = config::load("metadata", Some(&all)).unwrap();
    assert!(all.host.advertise.is_some() && all.host.token.is_some() && all.host.auth.keys.is_some());
    assert!(example.webhooks.is_empty() && all.webhooks.len() == 1 && all.webhooks[0].actions.len() == 2);
}

#[tokio::test]
async fn health_and_measurements_are_there() {
    let world = World::start(On::Sqlite).await;
    world.register("t").await;
    let ready: serde_json::Value = world.get("/health/ready").await.json().await.unwrap();
    assert_eq!((&ready["status"], &ready["checks"]["database"]), (&"ready".into(), &"ok".into()));
    let metrics = world.get("/metrics").await.text().await.unwrap();
    let wanted = r#"flame_http_requests_total{method="POST",route="/assets",status="201",service="metadata"} 1"#;
    assert!(metrics.contains(wanted), "{metrics}");
}

#[test]
fn the_program_says_how_it_is_called() {
    let run = |arguments: &[&str]| {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_flame-metadata")).args(arguments).output().unwrap();
        (ran.status.code(), String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap())
    };
    let (status, text) = run(&["--help"]);
    assert!(status == Some(0) && text.starts_with("usage: flame-metadata [CONFIG.toml]"), "{status:?} {text}");
    assert_eq!(run(&["--version"]).0, Some(0));
    for wrong in [&["--bogus"][..], &["a.toml", "b.toml"]] {
        assert_eq!(run(wrong).0, Some(2), "{wrong:?}");
    }
    let (status, text) = run(&["/nowhere/metadata.toml"]);
    assert!(status == Some(1) && text.contains("/nowhere/metadata.toml"), "{status:?} {text}");
}

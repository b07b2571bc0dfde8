//! What pages in a browser get: those of strangers nothing, those of allowed origins an answer that they can read.

use flame_service_host::auth::AuthConfig;
use flame_service_host::{Host, HostConfig, Pages, Routes, Running, keys};
use reqwest::{Method, RequestBuilder};
use utoipa_axum::router::OpenApiRouter;

use crate::{problem, start, url};

const PORTAL: &str = "https://portal.example";

fn request(running: &Running, method: Method, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
    let request = reqwest::Client::new().request(method, url(running, path));
    fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

#[tokio::test]
async fn a_name_that_only_resolves_to_this_machine_gets_nothing() {
    let config = HostConfig { allowed_hosts: vec!["media.example".to_owned()], ..HostConfig::default() };
    let running = start(config).await;
    let get = |fields: &[(&str, &str)]| request(&running, Method::GET, "/notes/7", fields).send();
    for path in ["/notes/7", "/slow", "/metrics", "/openapi.json", "/nowhere"] {
        let strange = request(&running, Method::GET, path, &[("host", "evil.example")]).send().await.unwrap();
        let (status, slug, detail) = problem(strange).await;
        assert_eq!((status, slug.as_str()), (421, "unknown-host"), "{path}: {detail}");
        assert!(detail.contains("allowed_hosts"), "{detail}");
    }
    for host in ["localhost", "notes.localhost:8080", "[::1]:1", "media.example"] {
        assert_eq!(get(&[("host", host)]).await.unwrap().status(), 200, "{host}");
    }
    let forwarded = get(&[("host", "notes.flame.example"), ("via", "1.1 flame-01020304")]).await.unwrap();
    assert_eq!(forwarded.status(), 200, "the router has judged the host");
    running.stop().await;
}

#[tokio::test]
async fn where_tokens_are_needed_any_host_will_do() {
    let dir = tempfile::tempdir().unwrap();
    keys::ensure(dir.path()).unwrap();
    let auth = AuthConfig { keys: Some(dir.path().to_owned()) };
    let running = start(HostConfig { auth, ..HostConfig::default() }).await;
    let live = request(&running, Method::GET, "/health/live", &[("host", "media.example")]).send().await.unwrap();
    assert_eq!(live.status(), 200);
    running.stop().await;
}

#[tokio::test]
async fn a_foreign_page_changes_nothing() {
    let running = start(HostConfig::default()).await;
    let post = |fields: &[(&str, &str)]| {
        request(&running, Method::POST, "/notes", fields).json(&serde_json::json!({ "text": "x" })).send()
    };
    for fields in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "same-site")] {
        let (status, slug, detail) = problem(post(&[fields]).await.unwrap()).await;
        assert_eq!((status, slug.as_str()), (403, "foreign-origin"), "{detail}");
    }
    let own = url(&running, "");
    for fields in [("origin", own.as_str()), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none")] {
        assert_eq!(post(&[fields]).await.unwrap().status(), 200, "{fields:?}");
    }
    let read = request(&running, Method::GET, "/notes/7", &[("origin", "https://evil.example")]).send().await.unwrap();
    assert!(!read.headers().contains_key("access-control-allow-origin"), "its scripts cannot read the answer");
    running.stop().await;
}

/// A browser hides an answer without these headers from the page, the reason of a refusal too.
#[tokio::test]
async fn an_allowed_page_can_read_why_it_was_refused() {
    let dir = tempfile::tempdir().unwrap();
    keys::ensure(dir.path()).unwrap();
    let auth = AuthConfig { keys: Some(dir.path().to_owned()) };
    let mut host = Host::bind("notes", &HostConfig { auth, ..HostConfig::default() }).await.unwrap();
    host.allow_pages(Pages {
        origins: vec![PORTAL.to_owned()],
        methods: "GET, POST",
        request_headers: "Authorization",
        answer_headers: "Location",
        ..Pages::default()
    });
    let private = OpenApiRouter::new().route("/notes", axum::routing::get(async || "notes\n"));
    let running = host.serve(Routes { private, ..Routes::default() });

    for (method, path, status) in
        [(Method::GET, "/notes", 401), (Method::GET, "/nowhere", 404), (Method::PUT, "/notes", 405)]
    {
        let refused = request(&running, method, path, &[("origin", PORTAL)]).send().await.unwrap();
        assert_eq!(refused.headers()["access-control-allow-origin"], PORTAL, "{path}");
        assert_eq!(refused.headers()["access-control-expose-headers"], "Location", "{path}");
        assert_eq!(refused.headers()["vary"], "Origin", "{path}");
        assert_eq!(problem(refused).await.0, status);
    }
    let stranger =
        request(&running, Method::GET, "/notes", &[("origin", "https://evil.example")]).send().await.unwrap();
    assert!(!stranger.headers().contains_key("access-control-allow-origin"));
    assert_eq!(stranger.headers()["vary"], "Origin", "a cache must not give one origin's answer to another");
    running.stop().await;
}

/// What anybody may send there, no page may send under a name that is not the service's.
#[tokio::test]
async fn an_open_path_takes_what_pages_of_any_origin_send_and_only_under_a_known_host() {
    let mut host = Host::bind("notes", &HostConfig::default()).await.unwrap();
    host.allow_pages(Pages { open_paths: &["/open"], ..Pages::default() });
    let public = OpenApiRouter::new()
        .route("/open", axum::routing::post(async || "taken\n"))
        .route("/notes", axum::routing::post(async || "taken\n"));
    let running = host.serve(Routes { public, ..Routes::default() });
    let foreign = ("origin", "https://evil.example");
    assert_eq!(request(&running, Method::POST, "/open", &[foreign]).send().await.unwrap().status(), 200);
    for path in ["/notes", "/open/", "/open/more"] {
        let refused = request(&running, Method::POST, path, &[foreign]).send().await.unwrap();
        assert_eq!(refused.status(), 403, "{path}");
    }
    let strange = request(&running, Method::POST, "/open", &[("host", "evil.example"), foreign]).send().await.unwrap();
    assert_eq!(problem(strange).await.0, 421);
    running.stop().await;
}

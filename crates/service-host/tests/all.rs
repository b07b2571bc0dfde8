//! A small service of the tests' own, served by the host on real sockets.

#[path = "all/browser.rs"]
mod browser;
#[path = "all/patience.rs"]
mod patience;
#[path = "all/plain.rs"]
mod plain;
#[path = "all/slow.rs"]
mod slow;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::routing::{get, post, put};
use flame_api::router::{Endpoint, EndpointState, Registration};
use flame_service_host::auth::AuthConfig;
use flame_service_host::config::{RegistrationConfig, Span};
use flame_service_host::keys::{self, Grant};
use flame_service_host::{
    Caller, Failure, FailureResult, FreeSpace, Host, HostConfig, Json, Path, Routes, Running, Scope, StartError,
};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    text: String,
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_millis(400)).await;
    "slept\n"
}

async fn write(caller: Caller, _space: FreeSpace, Json(note): Json<Note>) -> FailureResult<Json<Note>> {
    caller.require(Scope::Write)?;
    Ok(Json(note))
}

async fn start(config: HostConfig) -> Running {
    let mut host = Host::bind("notes", &config).await.unwrap();
    host.guard_disk(std::env::temp_dir());
    let private = OpenApiRouter::new()
        .route("/notes", post(write))
        .route("/notes/{id}", get(async |Path(id): Path<u32>| id.to_string()))
        .route("/broken", get(async || Failure::internal(&std::io::Error::other("the secret cause"))))
        .route("/who", get(async |caller: Caller| caller.tenant));
    host.serve(Routes { private, public: OpenApiRouter::new().route("/slow", get(slow)) })
}

fn url(running: &Running, path: &str) -> String {
    format!("http://{}{path}", running.address())
}

async fn problem(answer: reqwest::Response) -> (u16, String, String) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: flame_api::Problem = answer.json().await.unwrap();
    assert_eq!(problem.status, status);
    (status, problem.slug().to_owned(), problem.detail)
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let running = start(HostConfig::default()).await;
    let http = reqwest::Client::new();
    let cases = [
        (http.get(url(&running, "/nowhere")), 404, "not-found"),
        (http.put(url(&running, "/notes")), 405, "method-not-allowed"),
        (http.get(url(&running, "/notes/abc")), 404, "not-found"),
        (http.post(url(&running, "/notes")).body("{}"), 415, "unsupported-media-type"),
        (http.post(url(&running, "/notes")).header("content-type", "application/json").body("{"), 400, "bad-request"),
        (http.post(url(&running, "/notes")).json(&serde_json::json!({ "txt": 1 })), 422, "unprocessable"),
    ];
    for (request, status, slug) in cases {
        let (got_status, got_slug, detail) = problem(request.send().await.unwrap()).await;
        assert_eq!((got_status, got_slug.as_str()), (status, slug), "{detail}");
    }
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let broken = http.get(url(&running, "/broken")).header("traceparent", given).send().await.unwrap();
    assert_eq!(broken.headers()["traceparent"], given, "the caller learns under which id the log says more");
    let (status, slug, detail) = problem(broken).await;
    assert_eq!((status, slug.as_str()), (500, "internal"));
    assert!(!detail.contains("secret"), "the cause is for the log only: {detail}");
    running.stop().await;
}

#[tokio::test]
async fn health_metrics_and_openapi_are_there() {
    let running = start(HostConfig::default()).await;
    let text = async |path: &str| {
        reqwest::get(url(&running, path)).await.unwrap().error_for_status().unwrap().text().await.unwrap()
    };
    assert_eq!(text("/health/live").await, "live\n");
    let ready: serde_json::Value = serde_json::from_str(&text("/health/ready").await).unwrap();
    assert_eq!(ready["status"], "ready");
    assert_eq!(text("/notes/7").await, "7");
    let metrics = text("/metrics").await;
    assert!(metrics.contains("flame_http_requests_total") && metrics.contains("route=\"/notes/{id}\""), "{metrics}");
    let openapi: serde_json::Value = serde_json::from_str(&text("/openapi.json").await).unwrap();
    assert_eq!(openapi["info"]["title"], "notes");
    running.stop().await;
}

#[tokio::test]
async fn a_service_that_others_can_reach_needs_keys() {
    let config = HostConfig { listen: SocketAddr::from(([0, 0, 0, 0], 0)), ..HostConfig::default() };
    assert!(matches!(Host::bind("notes", &config).await, Err(StartError::Keys { .. })));
}

#[tokio::test]
async fn tokens_open_private_routes_and_only_as_far_as_they_say() {
    let dir = tempfile::tempdir().unwrap();
    keys::ensure(dir.path()).unwrap();
    let issue = |scope: &str, tenant: &str| {
        let grant =
            Grant { subject: "ann".into(), tenant: tenant.into(), scope: scope.into(), life: Duration::from_secs(60) };
        keys::issue(dir.path(), &grant).unwrap()
    };
    let config = HostConfig { auth: AuthConfig { keys: Some(dir.path().to_owned()) }, ..HostConfig::default() };
    let running = start(config).await;
    let http = reqwest::Client::new();
    let who = |token: &str| http.get(url(&running, "/who")).bearer_auth(token);

    let stranger = http.get(url(&running, "/who")).send().await.unwrap();
    assert_eq!(stranger.headers()["www-authenticate"], "Bearer");
    assert_eq!(problem(stranger).await.0, 401);
    // Public routes need none, nor does whoever only asks whether it lives and is ready.
    for path in ["/health/live", "/openapi.json", "/slow"] {
        assert_eq!(http.get(url(&running, path)).send().await.unwrap().status(), StatusCode::OK, "{path}");
    }
    let ready = async |request: reqwest::RequestBuilder| {
        request.send().await.unwrap().error_for_status().unwrap().json::<serde_json::Value>().await.unwrap()
    };
    let ask = || http.get(url(&running, "/health/ready"));
    let told = ready(ask()).await;
    assert_eq!((&told["status"], told.get("checks")), (&"ready".into(), None), "what it needs is not for strangers");

    let (reader, claims) = issue("read", "acme");
    assert_eq!(who(&reader).send().await.unwrap().text().await.unwrap(), "acme");
    let note = http.post(url(&running, "/notes")).bearer_auth(&reader).json(&Note { text: "x".into() });
    assert_eq!(problem(note.send().await.unwrap()).await.0, 403);
    let other = who(&reader).header("flame-tenant", "rival").send().await.unwrap();
    assert_eq!(problem(other).await.0, 403);
    let (service, _) = issue("service", "default");
    assert_eq!(who(&service).header("flame-tenant", "rival").send().await.unwrap().text().await.unwrap(), "rival");

    assert!(ready(ask().bearer_auth(&reader)).await["checks"].is_object());
    let metrics = || http.get(url(&running, "/metrics"));
    assert_eq!(problem(metrics().send().await.unwrap()).await.0, 401);
    assert_eq!(problem(metrics().bearer_auth(&reader).send().await.unwrap()).await.0, 403);
    let (scraper, _) = issue("metrics", "default");
    assert_eq!(metrics().bearer_auth(&scraper).send().await.unwrap().status(), StatusCode::OK);

    keys::revoke(dir.path(), claims.jti, claims.exp).unwrap();
    running.reload();
    assert_eq!(problem(who(&reader).send().await.unwrap()).await.0, 401);
    running.stop().await;
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_serves_reads() {
    let running = start(HostConfig { min_free_disk_percent: 101.0, ..HostConfig::default() }).await;
    let http = reqwest::Client::new();
    let note = http.post(url(&running, "/notes")).json(&Note { text: "x".into() }).send().await.unwrap();
    let (status, slug, detail) = problem(note).await;
    assert_eq!((status, slug.as_str()), (507, "insufficient-storage"), "{detail}");
    assert_eq!(http.get(url(&running, "/notes/1")).send().await.unwrap().status(), StatusCode::OK);
    running.stop().await;
}

#[tokio::test]
async fn a_stop_lets_open_requests_finish_and_takes_no_new_ones() {
    let running = start(HostConfig::default()).await;
    let address = running.address();
    let mut open = TcpStream::connect(address).await.unwrap();
    open.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    // The metrics say when the request is in work.
    let in_work = async || reqwest::get(url(&running, "/metrics")).await.unwrap().text().await.unwrap();
    while !in_work().await.contains("flame_http_requests_open{service=\"notes\"} 2") {}
    running.stop().await;
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("slept\n"), "{answer}");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_let_go() {
    let running = start(HostConfig { head_timeout: Span(Duration::from_millis(100)), ..HostConfig::default() }).await;
    let mut slow = TcpStream::connect(running.address()).await.unwrap();
    slow.write_all(b"GET /slow HTTP/1.1\r\nhost: ").await.unwrap();
    let mut answer = Vec::new();
    // Ends because the server closes; a server that waited would hang the test.
    slow.read_to_end(&mut answer).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn a_request_whose_caller_goes_away_is_counted() {
    let running = start(HostConfig::default()).await;
    let metrics = async || reqwest::get(url(&running, "/metrics")).await.unwrap().text().await.unwrap();
    let mut open = TcpStream::connect(running.address()).await.unwrap();
    open.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    while !metrics().await.contains("flame_http_requests_open{service=\"notes\"} 2") {}
    drop(open);
    while !metrics().await.contains("flame_http_requests_open{service=\"notes\"} 1") {}
    let text = metrics().await;
    assert!(text.contains("route=\"/slow\",status=\"499\""), "{text}");
    running.stop().await;
}

#[tokio::test]
async fn a_service_whose_task_is_gone_is_not_ready() {
    let mut host = Host::bind("notes", &HostConfig::default()).await.unwrap();
    host.spawn("sweeper", |_| async { panic!("the sweeper of the test breaks") });
    let running = host.serve(Routes::default());
    let readiness = loop {
        let answer = reqwest::get(url(&running, "/health/ready")).await.unwrap();
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            break answer.json::<serde_json::Value>().await.unwrap();
        }
    };
    assert_eq!(readiness["status"], "not ready");
    assert!(readiness["checks"]["sweeper"].as_str().unwrap().contains("ended"), "{readiness}");
    running.stop().await;
}

#[tokio::test]
async fn a_need_that_never_answers_is_a_need_not_met() {
    let mut host = Host::bind("notes", &HostConfig::default()).await.unwrap();
    host.need("database", || Box::pin(std::future::pending()));
    let running = host.serve(Routes::default());
    let answer = reqwest::get(url(&running, "/health/ready")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text().await.unwrap().contains("no answer within"));
    running.stop().await;
}

/// A router's side of registration: what it is told, and whether who leaves still takes connections. It says that whoever
/// registers is `state`.
async fn registry(state: EndpointState) -> (Running, mpsc::Receiver<Registration>, mpsc::Receiver<bool>) {
    let (registered, registrations) = mpsc::channel(8);
    let (left, leavings) = mpsc::channel(8);
    let address = Arc::new(OnceLock::new());
    let door = Arc::clone(&address);
    let register = async move |Path((name, endpoint)): Path<(String, String)>, Json(body): Json<Registration>| {
        let Registration { address, generation, ttl_ms, weight, capacity, http2, .. } = body;
        let _ = door.set(address);
        registered.send(body).await.unwrap();
        Json(Endpoint {
            name,
            endpoint,
            site: String::new(),
            address,
            generation,
            expires_in_ms: ttl_ms,
            weight,
            capacity,
            http2,
            tls: false,
            state,
            presence: None,
            router_time_unix_ms: 0,
            router_up_ms: None,
        })
    };
    let leave = async move || {
        left.send(TcpStream::connect(address.get().unwrap()).await.is_ok()).await.unwrap();
        StatusCode::NO_CONTENT
    };
    let door = OpenApiRouter::new().route("/api/router/endpoints/{name}/{endpoint}", put(register).delete(leave));
    let router = Host::bind("router", &HostConfig::default()).await.unwrap();
    (router.serve(Routes { public: door, ..Routes::default() }), registrations, leavings)
}

#[tokio::test]
async fn a_stop_leaves_the_name_before_it_closes_the_door() {
    let (router, mut registrations, mut leavings) = registry(EndpointState::Connected).await;
    let config = HostConfig { router: Some(url(&router, "/").parse().unwrap()), ..HostConfig::default() };
    let running = start(config).await;
    registrations.recv().await.unwrap();
    running.stop().await;
    assert_eq!(leavings.recv().await, Some(true), "requests on their way are still taken");
    router.stop().await;
}

#[tokio::test]
async fn a_standby_says_so_and_what_was_made_of_it_is_said_again() {
    let (router, mut registrations, _leavings) = registry(EndpointState::Connected).await;
    let registration = RegistrationConfig { state: EndpointState::Booted, weight: 3, capacity: Some(7), http2: true };
    let router_url = Some(url(&router, "/").parse().unwrap());
    let running = start(HostConfig { router: router_url, registration, ..HostConfig::default() }).await;
    let first = registrations.recv().await.unwrap();
    assert_eq!((first.state, first.weight, first.capacity, first.http2), (EndpointState::Booted, 3, Some(7), true));
    // The next renewal comes after a third of the lease.
    let second = registrations.recv().await.unwrap();
    assert_eq!((second.state, second.generation), (EndpointState::Connected, first.generation));
    running.stop().await;
    router.stop().await;
}

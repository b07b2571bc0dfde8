//! Many clients at once, few connections behind.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Path};
use axum::routing::get;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::world::{Service, World};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_clients_each_get_their_own_answers() {
    let world = Arc::new(World::start().await);
    let routes = Router::new().route("/{text}", get(async |Path(text): Path<String>| text.repeat(1000)));
    let services = [Service::start(routes.clone()).await, Service::start(routes).await];
    for service in &services {
        world.register("a", service).await;
    }
    let mut clients = JoinSet::new();
    for client in 0..100 {
        let world = Arc::clone(&world);
        clients.spawn(async move {
            let http = reqwest::Client::builder().no_proxy().build().unwrap();
            for request in 0..20 {
                let text = format!("{client}-{request};");
                let answer = http.get(world.url(&format!("/~a/{text}"))).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                assert_eq!(answer.text().await.unwrap(), text.repeat(1000));
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

/// Of two endpoints the one that answers later gets less, by what was measured alone: one request at a time, none asked twice.
#[tokio::test]
async fn the_slower_of_two_gets_fewer_requests_and_the_choice_follows_when_that_changes() {
    // Far more than a machine with other things to do takes for an answer of nothing.
    const SLOW_MS: u64 = 100;
    let world = World::with(|config| {
        (config.upstream.hedge_min, config.upstream.hedge_max) = (Span(PATIENCE), Span(PATIENCE));
    })
    .await;
    let endpoints: [(Arc<AtomicU64>, Arc<AtomicUsize>); 2] = Default::default();
    let mut services = Vec::new();
    for (takes_ms, asked) in &endpoints {
        let (takes_ms, asked) = (Arc::clone(takes_ms), Arc::clone(asked));
        let answer = async move || {
            asked.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(takes_ms.load(Ordering::SeqCst))).await;
        };
        let service = Service::start(Router::new().fallback(answer)).await;
        world.register("a", &service).await;
        services.push(service);
    }
    // How many of `requests` each gets.
    let shares = async |requests: usize| {
        for _ in 0..requests {
            assert_eq!(world.get("/~a/x").await.status(), 200);
        }
        endpoints.each_ref().map(|(_, asked)| asked.swap(0, Ordering::SeqCst))
    };
    for slow in [0, 1, 0] {
        let quick = 1 - slow;
        endpoints[slow].0.store(SLOW_MS, Ordering::SeqCst);
        endpoints[quick].0.store(0, Ordering::SeqCst);
        eventually(PATIENCE, || async {
            let shares = shares(20).await;
            if shares[quick] >= 15 { Ok(()) } else { Err(format!("{shares:?}, and number {slow} is the slow one")) }
        })
        .await;
        let shares = shares(200).await;
        assert!(shares[quick] >= 150, "{shares:?}, and number {slow} is the slow one");
        assert_eq!(shares.iter().sum::<usize>(), 200, "none is asked twice");
    }
}

#[tokio::test]
async fn connections_to_an_endpoint_are_used_again() {
    let world = World::start().await;
    let peers = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&peers);
    let note = async move |ConnectInfo(peer): ConnectInfo<SocketAddr>| {
        seen.lock().unwrap().insert(peer);
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().fallback(note).into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    world.register_address("a", address).await;
    for _ in 0..50 {
        // A connection of its own for each request of the client.
        let answer = world.raw("GET /~a/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        assert_eq!(answer.status(), 200);
    }
    let used = peers.lock().unwrap().len();
    assert!(used <= 3, "{used} connections for 50 requests one after another");
    server.abort();
}

#[tokio::test]
async fn requests_are_counted_by_name_and_never_by_what_strangers_write() {
    let world = World::start().await;
    let service = Service::echo().await;
    world.register("a", &service).await;
    world.get("/~a/x").await;
    world.get("/~made-up/x").await;
    world.http.request("MADEUP".parse().unwrap(), world.url("/~a/x")).send().await.unwrap();
    let metrics = eventually(std::time::Duration::from_secs(5), || async {
        let text = world.get("/metrics").await.text().await.unwrap();
        if text.contains("route=\"~a.main\"") { Ok(text) } else { Err(text) }
    })
    .await;
    assert!(
        metrics.contains("method=\"other\"") && !metrics.contains("made-up") && !metrics.contains("MADEUP"),
        "{metrics}"
    );
}

//! Many clients at once, few connections behind.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{ConnectInfo, Path};
use axum::routing::get;
use flame_test_kit::eventually;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::world::{Service, World};

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

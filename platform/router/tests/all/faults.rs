//! An instance that resets, answers 500 or lies of its length while requests of all sizes come: nobody notices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::instance::{Instance, bytes};
use crate::switching::{pair, under_load};
use crate::world::{Service, World, read_head};

const LARGE_BYTES: usize = 4 << 20;

/// Requests at the rates while first one and then the other of two instances goes wrong, and right again: one of them is
/// the one that is asked.
async fn nobody_notices(fault: &str) {
    let (world, instances) = pair().await;
    under_load(&world, Duration::from_secs(4), async || {
        let mut spoilt = 0;
        for wrong in &instances {
            wrong.goes_wrong(fault).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            spoilt += wrong.goes_wrong("none").await;
        }
        assert!(spoilt > 0, "nobody met the fault `{fault}`");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_reset_cost_no_request_and_no_byte() {
    nobody_notices("reset").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_500_cost_no_request_and_no_byte() {
    nobody_notices("500").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_end_before_their_length_cost_no_request_and_no_byte() {
    nobody_notices("too-long").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_killed_in_the_middle_of_bodies_costs_no_request_and_no_byte() {
    let (world, instances) = pair().await;
    let mut instances = Vec::from(instances);
    let whole = bytes(LARGE_BYTES);
    under_load(&world, Duration::from_secs(4), async || {
        // On a machine that stands still the body may be over before its instance is: then another one's.
        for _ in 0..10 {
            let next = Instance::start().await;
            world.register_address("a", next.address).await;
            instances.push(next);
            let (mut body, address) = under_way(&world).await;
            let mut got = body.chunk().await.unwrap().unwrap().to_vec();
            let at = instances.iter().position(|one| one.address == address).unwrap();
            instances.swap_remove(at).child.kill().await.unwrap();
            while let Some(piece) = body.chunk().await.unwrap() {
                got.extend_from_slice(&piece);
            }
            assert!(got == whole, "{} bytes, or other ones", got.len());
            if resumed(&world).await >= 2 {
                return;
            }
        }
        panic!("no body was on its way when its instance died");
    })
    .await;
}

/// A body that has begun, and who sends it.
async fn under_way(world: &World) -> (reqwest::Response, SocketAddr) {
    let url = world.url(&format!("/~a/{LARGE_BYTES}"));
    let answer = world.http.get(url).header("flame-trace", "?1").send().await.unwrap();
    let trace = answer.headers()["flame-trace"].to_str().unwrap().to_owned();
    let known = world.client().endpoints().await.unwrap().items;
    let last = trace.rsplit(", ").next().unwrap();
    let it = known.iter().find(|one| last.contains(&format!("/{}\"", one.endpoint)));
    (answer, it.unwrap_or_else(|| panic!("{last}: {known:?}")).address)
}

/// How many bodies went on elsewhere.
async fn resumed(world: &World) -> u64 {
    let metrics = world.get("/metrics").await.text().await.unwrap();
    let count = metrics.lines().find_map(|line| line.strip_prefix("flame_router_switches_total{kind=\"resumed\"} "));
    count.map_or(0, |count| count.parse().unwrap())
}

/// No proxy that streams can know that more should have come than was said. What it can do is to pass on what was said and
/// not one byte more: the surplus must not become the beginning of somebody else's answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_the_length_that_was_said_reaches_nobody() {
    let world = Arc::new(World::start().await);
    let liar = Instance::start().await;
    world.register_address("a", liar.address).await;
    liar.goes_wrong("too-short").await;
    let mut requests = JoinSet::new();
    for at in 0..300_usize {
        let size = [1024, 65_536][at % 2];
        let world = Arc::clone(&world);
        requests.spawn(async move {
            let answer = world.get(&format!("/~a/{size}")).await;
            assert_eq!(answer.status(), 200);
            let body = answer.bytes().await.unwrap();
            assert!(*body == *bytes(size / 2), "{} bytes of {size}, or other ones", body.len());
        });
    }
    while let Some(request) = requests.join_next().await {
        request.unwrap();
    }
}

#[tokio::test]
async fn who_sends_more_than_it_said_is_left_alone_for_a_while() {
    let world = World::start().await;
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let liar = Service::talking(move |mut stream: TcpStream| {
        let count = Arc::clone(&count);
        async move {
            while read_head(&mut stream).await.starts_with("GET") {
                count.fetch_add(1, Ordering::SeqCst);
                let more = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhalf of it";
                if stream.write_all(more.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    let honest = Service::start(Router::new().fallback(async || "whole")).await;
    world.register("a", &liar).await;
    world.register("a", &honest).await;
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(300) || sent < 50 {
        let body = world.get("/~a/x").await.text().await.unwrap();
        assert!(body == "half" || body == "whole", "{body}");
        sent += 1;
    }
    // One after each rest of 100, 200, 400 ms…; without rests it would be every second one.
    let (seen, most) = (requests.load(Ordering::SeqCst), 8 + began.elapsed().as_secs() as usize);
    assert!((1..=most).contains(&seen), "it was asked {seen} times in {sent} requests");
}

/// The same where the surplus is a whole answer, in one piece with what was asked for.
#[tokio::test]
async fn an_answer_behind_an_answer_reaches_nobody() {
    let world = World::start().await;
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let service = Service::talking(move |mut stream: TcpStream| {
        let count = Arc::clone(&count);
        async move {
            while read_head(&mut stream).await.starts_with("GET") {
                count.fetch_add(1, Ordering::SeqCst);
                let two =
                    "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nmineHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother";
                if stream.write_all(two.as_bytes()).await.is_err() {
                    return;
                }
            }
            let _ = stream.read(&mut [0; 1]).await;
        }
    })
    .await;
    world.register("a", &service).await;
    for _ in 0..20 {
        assert_eq!(world.get("/~a/x").await.text().await.unwrap(), "mine");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 20);
}

//! Instances that are killed, hang, break off, lie or drain while requests come: nobody notices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flame_api::router::{Explanation, RouteState};
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use reqwest::Method;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::instance::{Instance, bytes};
use crate::world::{Service, World, read_head};

const PATIENCE: Duration = Duration::from_secs(20);
/// The 500, 50 and 5 requests a second: so many bytes, every so many milliseconds.
const EVERY_MS: [(usize, u64); 3] = [(1024, 2), (65_536, 20), (4_194_304, 200)];

/// What clients saw.
#[derive(Default)]
pub struct Seen {
    pub answers: AtomicUsize,
    worst_us: AtomicUsize,
}

/// Asks for 1 KiB, 64 KiB and 4 MiB at the rates of the issue, as often as they make in `span`, however long the machine takes for that;
/// no request fails and no byte is wrong.
pub async fn under_load(world: &Arc<World>, span: Duration, meanwhile: impl AsyncFnOnce()) -> Arc<Seen> {
    let seen = Arc::new(Seen::default());
    let mut clients = JoinSet::new();
    for (size, every_ms) in EVERY_MS {
        let (world, seen) = (Arc::clone(world), Arc::clone(&seen));
        clients.spawn(async move {
            let whole: Arc<[u8]> = bytes(size).into();
            let mut ticks = tokio::time::interval(Duration::from_millis(every_ms));
            let mut requests = JoinSet::new();
            for _ in 0..requests_in(span, every_ms) {
                ticks.tick().await;
                let (world, seen, whole) = (Arc::clone(&world), Arc::clone(&seen), Arc::clone(&whole));
                requests.spawn(async move {
                    let began = Instant::now();
                    let answer = world.get(&format!("/~a/{size}")).await;
                    assert_eq!(answer.status(), 200);
                    let body = answer.bytes().await.unwrap();
                    assert!(*body == *whole, "{} of {size} bytes, or other ones", body.len());
                    seen.answers.fetch_add(1, Ordering::Relaxed);
                    if size == 1024 {
                        let us = began.elapsed().as_micros().try_into().unwrap();
                        seen.worst_us.fetch_max(us, Ordering::Relaxed);
                    }
                });
            }
            while let Some(request) = requests.join_next().await {
                request.unwrap();
            }
        });
    }
    let half = eventually(PATIENCE, || async {
        let answers = seen.answers.load(Ordering::Relaxed);
        if answers >= 100 { Ok(()) } else { Err(format!("{answers} answers")) }
    });
    half.await;
    meanwhile().await;
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let wanted: u64 = EVERY_MS.iter().map(|(_, every_ms)| requests_in(span, *every_ms)).sum();
    let answers = seen.answers.load(Ordering::Relaxed);
    assert_eq!(answers as u64, wanted);
    println!("{answers} answers, the worst of 1 KiB after {} us", seen.worst_us.load(Ordering::Relaxed));
    seen
}

fn requests_in(span: Duration, every_ms: u64) -> u64 {
    u64::try_from(span.as_millis()).unwrap() / every_ms
}

/// Two instances behind a router, each of the three a process of its own.
pub async fn pair() -> (Arc<World>, [Instance; 2]) {
    let world = Arc::new(World::apart().await);
    let instances = [Instance::start().await, Instance::start().await];
    for instance in &instances {
        world.register_address("a", instance.address).await;
    }
    (world, instances)
}

async fn explain(world: &World) -> Explanation {
    let answer = world.get("/api/router/explain?url=/~a/x").await;
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_killed_under_load_costs_no_request_and_no_byte() {
    let (world, mut instances) = pair().await;
    under_load(&world, Duration::from_secs(3), async || {
        // The one that requests go to.
        let chosen = explain(&world).await.chosen.unwrap().address;
        let killed = instances.iter_mut().find(|instance| instance.address == chosen).unwrap();
        killed.child.kill().await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_hangs_is_found_out_and_taken_back() {
    let (world, instances) = pair().await;
    let state = async |address: SocketAddr, wanted: RouteState| {
        eventually(PATIENCE, || async {
            let routes = explain(&world).await.routes;
            let it = routes.into_iter().find(|route| route.address == address).unwrap();
            if it.state == wanted { Ok(()) } else { Err(format!("{it:?}")) }
        })
        .await;
    };
    let mut hung = &instances[0];
    under_load(&world, Duration::from_secs(3), async || {
        // The one that requests go to: what nobody asks is not missed.
        let chosen = explain(&world).await.chosen.unwrap().address;
        hung = instances.iter().find(|instance| instance.address == chosen).unwrap();
        hung.signal(Signal::STOP);
        state(chosen, RouteState::Hung).await;
    })
    .await;
    hung.signal(Signal::CONT);
    state(hung.address, RouteState::Serving).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_instance_gets_nothing_new_and_a_standby_serves_at_once() {
    let (world, [first, second]) = pair().await;
    let turn = async |address: SocketAddr, to: &str| {
        let items = world.client().endpoints().await.unwrap().items;
        let it = items.iter().find(|one| one.address == address).unwrap();
        let path = format!("/api/router/endpoints/{}/{}/{to}", it.name, it.endpoint);
        let answer = world.http.request(Method::POST, world.url(&path)).send().await.unwrap();
        assert_eq!(answer.status(), 204);
    };
    turn(second.address, "drain").await;
    assert_eq!(explain(&world).await.chosen.unwrap().address, first.address);
    under_load(&world, Duration::from_secs(2), async || {
        turn(second.address, "connect").await;
        turn(first.address, "drain").await;
        for _ in 0..20 {
            assert_eq!(explain(&world).await.chosen.unwrap().address, second.address);
        }
    })
    .await;
    turn(second.address, "drain").await;
    assert_eq!(world.get("/~a/1024").await.status(), 503);
    turn(first.address, "connect").await;
    assert_eq!(world.get("/~a/1024").await.status(), 200);
}

/// An endpoint that says it sends 1 KiB, sends `sent` bytes and breaks off; it counts requests. What it says is what the honest one has
/// is; anything else is other bytes.
async fn liar(etag: &'static str, sent: usize, requests: &Arc<AtomicUsize>) -> Service {
    let requests = Arc::clone(requests);
    Service::talking(move |mut stream: TcpStream| {
        let requests = Arc::clone(&requests);
        async move {
            read_head(&mut stream).await;
            requests.fetch_add(1, Ordering::SeqCst);
            let head = format!("HTTP/1.1 200 OK\r\netag: {etag}\r\ncontent-length: 1024\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let body = if etag == "\"1024\"" { bytes(1024) } else { vec![0xEE; 1024] };
            stream.write_all(&body[..sent]).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn an_answer_that_is_shorter_than_it_said_goes_on_elsewhere_only_if_the_bytes_are_the_same() {
    // (what the liar says it is, how much it sends, whether the client gets the whole)
    for (etag, sent, is_whole) in [
        ("\"1024\"", 500, true),
        ("\"1024\"", 0, true),
        ("\"other\"", 0, true),
        ("\"other\"", 500, false),
        ("W/\"1024\"", 500, false),
    ] {
        // Nobody else is asked because it is late.
        let patient = |config: &mut flame_router::Config| {
            (config.upstream.hedge_min, config.upstream.hedge_max) = (Span(PATIENCE), Span(PATIENCE));
        };
        let (world, requests) = (World::with(patient).await, Arc::default());
        let (liar, honest) = (liar(etag, sent, &requests).await, Instance::start().await);
        world.register("a", &liar).await;
        world.register_address("a", honest.address).await;
        while requests.load(Ordering::SeqCst) == 0 {
            let answer = world.get("/~a/1024").await;
            assert_eq!(answer.status(), 200);
            let body = answer.bytes().await;
            let is_liars = requests.load(Ordering::SeqCst) > 0;
            match body {
                Ok(body) => assert!(*body == *bytes(1024) && (is_whole || !is_liars), "{etag} {sent}: {body:?}"),
                Err(error) => assert!(!is_whole && is_liars, "{etag} {sent}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn what_is_late_is_asked_for_twice_but_never_a_post() {
    let (world, posted) = (World::start().await, Arc::new(AtomicUsize::new(0)));
    let silent = |count: &Arc<AtomicUsize>| {
        let count = Arc::clone(count);
        Service::talking(move |mut stream: TcpStream| {
            let count = Arc::clone(&count);
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        })
    };
    let (one, two) = (silent(&posted).await, silent(&posted).await);
    world.register("a", &one).await;
    world.register("a", &two).await;
    let request =
        |method: Method| world.http.request(method, world.url("/~a/x")).timeout(Duration::from_millis(500)).send();
    assert!(request(Method::POST).await.unwrap_err().is_timeout());
    assert_eq!(posted.swap(0, Ordering::SeqCst), 1);
    assert!(request(Method::GET).await.unwrap_err().is_timeout());
    assert_eq!(posted.load(Ordering::SeqCst), 2);
}

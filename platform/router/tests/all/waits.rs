//! Requests that wait at their endpoint, blocking reloads of a playlist: one endpoint is asked, unless it hangs.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use flame_test_kit::eventually;
use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::world::{Service, World, read_head};

/// How long a reload waits at its endpoint: many times what other answers take.
const WAIT: Duration = Duration::from_secs(1);

/// An endpoint that holds reloads, and counts them.
async fn holds(reloads: &Arc<AtomicUsize>) -> Service {
    let reloads = Arc::clone(reloads);
    let answer = move |request: Request| {
        let reloads = Arc::clone(&reloads);
        async move {
            if request.uri().query().is_some_and(|query| query.contains("_HLS_msn")) {
                reloads.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(WAIT).await;
            }
            "answered"
        }
    };
    Service::start(Router::new().fallback(get(answer))).await
}

#[tokio::test]
async fn a_reload_that_blocks_for_a_second_is_asked_of_one_endpoint_only() {
    let world = World::with(|config| config.upstream.hedge_max.0 = Duration::from_millis(200)).await;
    let reloads = Arc::new(AtomicUsize::new(0));
    let endpoints = [holds(&reloads).await, holds(&reloads).await];
    for endpoint in &endpoints {
        world.register("live", endpoint).await;
    }
    // How long answers take behind the name is known now: far less than a reload.
    for _ in 0..30 {
        assert_eq!(world.get("/~live/8.m4s").await.status(), 200);
    }
    for round in 1..=2 {
        let answers = join_all((0..8).map(|_| world.get("/~live/live.m3u8?_HLS_msn=9&_HLS_part=2"))).await;
        assert!(answers.iter().all(|answer| answer.status() == 200));
        assert_eq!(reloads.load(Ordering::SeqCst), round * 8);
        // What else is asked for is not taken for slow, nor its endpoints.
        let began = Instant::now();
        assert_eq!(world.get("/~live/8.m4s").await.status(), 200);
        assert!(began.elapsed() < WAIT);
    }
}

#[tokio::test]
async fn a_reload_at_an_endpoint_that_hangs_is_asked_of_another() {
    let world = World::with(|config| config.upstream.hedge_max.0 = Duration::from_millis(200)).await;
    let hung = Service::talking(|mut stream: TcpStream| async move {
        loop {
            if read_head(&mut stream).await.is_empty() {
                return;
            }
        }
    })
    .await;
    let reloads = Arc::new(AtomicUsize::new(0));
    let alive = holds(&reloads).await;
    world.register("live", &hung).await;
    world.register("live", &alive).await;
    let began = Instant::now();
    let answers = join_all((0..8).map(|_| world.get("/~live/live.m3u8?_HLS_msn=9"))).await;
    assert!(answers.iter().all(|answer| answer.status() == 200));
    // Late after 200 ms, found to hang by a probe half a second later, and held by the other one.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(reloads.load(Ordering::SeqCst), 8, "each is asked once of the one that is alive");
}

#[tokio::test]
async fn a_reload_moves_on_from_an_endpoint_that_answered_a_probe_and_hangs_since() {
    let world = World::with(|config| config.upstream.hedge_max.0 = Duration::from_millis(200)).await;
    let (probes, fades) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(false));
    let (noted, hung) = (Arc::clone(&probes), fades.subscribe());
    let answer = move |request: Request| {
        let (probes, hung) = (Arc::clone(&noted), hung.clone());
        async move {
            if request.uri().path() != "/health/live" || *hung.borrow() {
                pending::<()>().await;
            }
            probes.fetch_add(1, Ordering::SeqCst);
            "alive"
        }
    };
    let fading = Service::start(Router::new().fallback(get(answer))).await;
    world.register("live", &fading).await;
    let reload = world.get("/~live/live.m3u8?_HLS_msn=9");
    let rest = async {
        // Late, and yet it is there: it holds the reload.
        eventually(Duration::from_secs(10), || async {
            let probes = probes.load(Ordering::SeqCst);
            if probes > 0 { Ok(()) } else { Err("not probed") }
        })
        .await;
        let reloads = Arc::new(AtomicUsize::new(0));
        let alive = holds(&reloads).await;
        world.register("live", &alive).await;
        fades.send_replace(true);
        (alive, reloads)
    };
    let (answer, (_alive, reloads)) = tokio::join!(tokio::time::timeout(Duration::from_secs(10), reload), rest);
    assert_eq!(answer.expect("it waits where nobody is").status(), 200);
    assert_eq!(reloads.load(Ordering::SeqCst), 1);
}

//! An answer that comes by multicast, whose router dies or hangs: at the edges it goes on from the endpoint itself.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use flame_api::Client;
use flame_api::peers::PeerState;
use flame_api::router::Registration;
use flame_test_kit::eventually;
use futures_util::StreamExt;
use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::sync::Semaphore;

use crate::peers::{Row, all_are};
use crate::world::{Service, World};

const BODY_BYTES: usize = 2 << 20;
/// What the endpoint sends before it waits.
const FIRST_BYTES: usize = 1 << 20;
const EACH: usize = 4;
const PATIENCE: Duration = Duration::from_secs(20);

/// The origin's site, whose router is a process, and two edges that are not.
struct Sites {
    router: Child,
    edges: Vec<World>,
    /// Requests for the whole, and for a rest.
    asked: Arc<[AtomicUsize; 2]>,
    may: Arc<Semaphore>,
    _service: Service,
    _row: Row,
}

fn body() -> Bytes {
    (0..BODY_BYTES).map(|at| ((at * 2_654_435_761) >> 13) as u8).collect()
}

/// Sends a first part and waits, where it is asked for the whole; sends the rest at once where it is asked for that.
fn answer(headers: &HeaderMap, asked: &[AtomicUsize; 2], may: Arc<Semaphore>) -> Response {
    let fields = [(header::CACHE_CONTROL, "public, max-age=60"), (header::ETAG, "\"one\"")];
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
    let Some(from) = range.and_then(|range| range.split('-').next()?.parse::<usize>().ok()) else {
        asked[0].fetch_add(1, Ordering::SeqCst);
        let first = futures_util::stream::once(async { Ok::<_, std::io::Error>(body().slice(..FIRST_BYTES)) });
        let rest = futures_util::stream::once(async move {
            may.acquire().await.unwrap().forget();
            Ok(body().slice(FIRST_BYTES..))
        });
        let length = [(header::CONTENT_LENGTH, BODY_BYTES.to_string())];
        return (fields, length, Body::from_stream(first.chain(rest))).into_response();
    };
    asked[1].fetch_add(1, Ordering::SeqCst);
    assert_eq!(headers[header::IF_RANGE], "\"one\"");
    let range = [(header::CONTENT_RANGE, format!("bytes {from}-{}/{BODY_BYTES}", BODY_BYTES - 1))];
    (StatusCode::PARTIAL_CONTENT, fields, range, body().slice(from..)).into_response()
}

impl Sites {
    async fn start() -> Self {
        let row = Row::of(3);
        let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let group = format!("239.255.71.4:{}", probe.local_addr().unwrap().port());
        drop(probe);
        let mut command = row.command(0);
        command.env("FLAME_ROUTER__MULTICAST__ENABLED", "true");
        command.env("FLAME_ROUTER__MULTICAST__GROUPS", format!("[\"{group}\"]"));
        let router = command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let mut edges = Vec::new();
        for at in [1, 2] {
            let change = |config: &mut flame_router::Config| {
                config.multicast.enabled = true;
                config.multicast.groups = vec![group.parse().unwrap()];
            };
            edges.push(row.router(at, change).await);
        }
        let (asked, may) = (Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]), Arc::new(Semaphore::new(0)));
        let (counts, waits) = (Arc::clone(&asked), Arc::clone(&may));
        let answers = get(move |headers: HeaderMap| async move { answer(&headers, &counts, waits) });
        let service = Service::start(Router::new().route("/shared", answers)).await;
        for world in &edges {
            all_are(world, PeerState::Connected).await;
        }
        let registers = Client::new(format!("http://{}", row.address(0)).parse().unwrap(), None);
        registers.register("media", "one", &Registration::new(service.address, 1, 60_000)).await.unwrap();
        for world in &edges {
            eventually(PATIENCE, || async {
                let known = world.client().endpoints().await.map_err(|error| error.to_string())?.items;
                if known.is_empty() { Err("the endpoint is not known yet".to_owned()) } else { Ok(()) }
            })
            .await;
        }
        Self { router, edges, asked, may, _service: service, _row: row }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.router.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn clients(&self) -> impl Iterator<Item = &World> {
        self.edges.iter().flat_map(|edge| std::iter::repeat_n(edge, EACH))
    }
}

/// Clients of two edges hang on one transfer when the origin's router gets the signal; how often a rest was asked for.
async fn bodies_come_whole(signal: Signal) -> usize {
    let sites = Sites::start().await;
    let answers = join_all(sites.clients().map(|edge| edge.get("/~media/shared"))).await;
    let mut reads = Vec::new();
    for answer in answers {
        assert_eq!(answer.status(), StatusCode::OK);
        let mut pieces = answer.bytes_stream();
        let mut got = Vec::new();
        // Everybody is in the middle of it.
        while got.len() < FIRST_BYTES / 2 {
            got.extend_from_slice(&pieces.next().await.unwrap().unwrap());
        }
        reads.push((got, pieces));
    }
    assert_eq!(sites.asked[0].load(Ordering::SeqCst), 1, "all hang on one transfer");
    sites.signal(signal);
    let whole = reads.into_iter().map(|(mut got, mut pieces)| async move {
        while let Some(piece) = pieces.next().await {
            got.extend_from_slice(&piece.expect("nobody's answer breaks off"));
        }
        assert!(got == body(), "{} of {BODY_BYTES} octets", got.len());
    });
    tokio::time::timeout(PATIENCE, join_all(whole)).await.expect("the rest comes soon");
    sites.asked[1].load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_origin_s_router_is_killed_each_edge_asks_once_for_the_rest() {
    assert_eq!(bodies_come_whole(Signal::KILL).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_origin_s_router_hangs_each_edge_asks_once_for_the_rest() {
    assert_eq!(bodies_come_whole(Signal::STOP).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_that_hangs_before_it_answers_is_waited_for_as_long_as_it_may_be_silent() {
    let sites = Sites::start().await;
    sites.may.add_permits(100);
    sites.signal(Signal::STOP);
    let began = Instant::now();
    let bodies =
        join_all(sites.clients().map(|edge| async { edge.get("/~media/shared").await.bytes().await.unwrap() }));
    assert!(bodies.await.iter().all(|got| *got == body()));
    // Two seconds by `[peers] stale_after`, where a follower would wait for ten and a leader for a minute.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

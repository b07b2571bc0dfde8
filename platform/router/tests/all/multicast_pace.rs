//! Readers of a long answer that comes by multicast, each at his own pace: who holds up nobody is waited for, as a plain proxy waits;
//! who holds up others is parted from them. The answer has no length and no ETag: what breaks off is lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, header};
use flame_service_host::config::Bytes as Size;
use flame_test_kit::eventually;
use futures_util::future::join_all;
use reqwest::Response;
use tokio::sync::watch;

use crate::multicast::{measured, sites_of};
use crate::peers::Row;
use crate::world::{Service, World};

const PIECE_BYTES: usize = 64 << 10;
/// More than lies in sockets, at the edges and at the sender together.
const PIECES: usize = 512;
const BODY_MAX_BYTES: u64 = 1 << 20;
/// Longer than a sender waits for an edge that holds up another one.
const PAUSE: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(40);

/// An endpoint that sends as fast as it may, once it may begin.
struct Endpoint {
    service: Service,
    asked: Arc<AtomicUsize>,
    may: watch::Sender<bool>,
    /// When a piece went last.
    moved: Arc<Mutex<Instant>>,
}

fn piece(number: usize) -> Vec<u8> {
    number.to_le_bytes().repeat(PIECE_BYTES / 8)
}

impl Endpoint {
    async fn start() -> Self {
        let (asked, may) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(false));
        let moved = Arc::new(Mutex::new(Instant::now()));
        let (counts, waits, notes) = (Arc::clone(&asked), may.subscribe(), Arc::clone(&moved));
        let answer = move || {
            counts.fetch_add(1, Ordering::SeqCst);
            let (mut waits, notes) = (waits.clone(), Arc::clone(&notes));
            async move {
                waits.wait_for(|may| *may).await.unwrap();
                let pieces = (0..PIECES).map(move |number| {
                    *notes.lock().unwrap() = Instant::now();
                    Ok::<_, std::io::Error>(piece(number))
                });
                ([(header::CACHE_CONTROL, "public, max-age=60")], Body::from_stream(futures_util::stream::iter(pieces)))
            }
        };
        Self { service: Service::start(Router::new().fallback(answer)).await, asked, may, moved }
    }

    /// Waits until nothing has gone for `PAUSE`.
    async fn stands_still(&self) {
        eventually(PATIENCE, || async {
            let still = self.moved.lock().unwrap().elapsed();
            if still > PAUSE { Ok(()) } else { Err(format!("a piece went {still:?} ago")) }
        })
        .await;
    }
}

/// Answers of which nothing is read yet, one at each of so many edges, that hang on one transfer.
async fn readers(edges: usize) -> (Endpoint, Vec<Response>, (Row, Vec<World>)) {
    let endpoint = Endpoint::start().await;
    let (row, worlds) =
        sites_of(&endpoint.service, [true; 3], |config| config.multicast.body_max = Size(BODY_MAX_BYTES)).await;
    let answers = join_all(worlds[1..=edges].iter().map(|world| world.get("/~media/long")));
    let begins = async {
        eventually(PATIENCE, || async {
            let open = measured(&worlds[0], "flame_http_requests_open").await;
            if open > edges as f64 { Ok(()) } else { Err(format!("{open} requests")) }
        })
        .await;
        endpoint.may.send_replace(true);
    };
    let (answers, ()) = tokio::join!(answers, begins);
    assert!(answers.iter().all(|answer| answer.status() == StatusCode::OK));
    assert_eq!(endpoint.asked.load(Ordering::SeqCst), 1, "all hang on one transfer");
    (endpoint, answers, (row, worlds))
}

/// Reads to the end; whether all of it came.
async fn is_whole(mut answer: Response) -> bool {
    let mut rest = Vec::new();
    let mut number = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        rest.extend_from_slice(&chunk);
        let whole = rest.len() / PIECE_BYTES * PIECE_BYTES;
        for read in rest.drain(..whole).collect::<Vec<_>>().chunks(PIECE_BYTES) {
            assert!(read == piece(number), "piece {number} is not what was sent");
            number += 1;
        }
    }
    number == PIECES && rest.is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_alone_may_pause_for_longer_than_anybody_is_waited_for() {
    let (endpoint, mut answers, _sites) = readers(1).await;
    endpoint.stands_still().await;
    assert!(is_whole(answers.remove(0)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_at_two_edges_who_pause_together_hold_up_nobody() {
    let (endpoint, answers, _sites) = readers(2).await;
    endpoint.stands_still().await;
    assert_eq!(join_all(answers.into_iter().map(is_whole)).await, [true; 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_pauses_while_another_one_reads_is_parted_and_the_other_one_gets_the_whole() {
    let (endpoint, mut answers, _sites) = readers(2).await;
    assert!(is_whole(answers.remove(1)).await);
    drop(endpoint);
    assert!(!is_whole(answers.remove(0)).await, "nobody waited for it");
}

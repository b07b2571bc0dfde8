//! Bodies flow: nothing is gathered, a slow side slows the other, and a broken body never looks whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::routing::{get, put};
use flame_test_kit::eventually;
use futures_util::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::world::{Service, World, read_head};

const CHUNK_BYTES: usize = 64 * 1024;
/// More than sockets, pipes and buffers of one connection through the router may hold.
const IN_FLIGHT_MAX_BYTES: u64 = 24 * 1024 * 1024;
const LARGE_BYTES: u64 = 512 * 1024 * 1024;

/// `LARGE_BYTES` that count what was taken of them.
fn large(taken: &Arc<AtomicU64>) -> impl Stream<Item = Result<Bytes, std::io::Error>> + use<> {
    let taken = Arc::clone(taken);
    let chunk = Bytes::from(vec![7; CHUNK_BYTES]);
    let count = usize::try_from(LARGE_BYTES).unwrap() / CHUNK_BYTES;
    stream::repeat(chunk).take(count).map(move |chunk| {
        taken.fetch_add(chunk.len() as u64, Ordering::SeqCst);
        Ok(chunk)
    })
}

/// Waits until `counter` does not move any more, and returns it.
async fn settled(counter: &AtomicU64) -> u64 {
    let (mut last, mut looks) = (0, 0);
    eventually(Duration::from_secs(30), || {
        let now = counter.load(Ordering::SeqCst);
        looks = if now == last && now > 0 { looks + 1 } else { 0 };
        last = now;
        let found = if looks >= 10 { Ok(now) } else { Err(format!("{now} bytes and moving")) };
        async move { found }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_waits_for_a_slow_reader_and_then_arrives_whole() {
    let world = World::start().await;
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let service =
        Service::start(Router::new().route("/large", get(async move || Body::from_stream(large(&counter))))).await;
    world.register("a", &service).await;

    let mut answer = world.get("/~a/large").await;
    let mut got = answer.chunk().await.unwrap().unwrap().len() as u64;
    let in_flight = settled(&sent).await;
    assert!(in_flight < IN_FLIGHT_MAX_BYTES, "{in_flight} bytes were taken from the service");
    while let Some(chunk) = answer.chunk().await.unwrap() {
        got += chunk.len() as u64;
    }
    assert_eq!(got, LARGE_BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_waits_for_a_slow_service_and_then_arrives_whole() {
    let world = World::start().await;
    let go = Arc::new(tokio::sync::Notify::new());
    let waiting = Arc::clone(&go);
    let take = async move |request: Request| {
        let mut body = request.into_body();
        let mut got = body.frame().await.unwrap().unwrap().into_data().unwrap().len() as u64;
        waiting.notified().await;
        while let Some(frame) = body.frame().await {
            got += frame.unwrap().into_data().unwrap().len() as u64;
        }
        got.to_string()
    };
    let service = Service::start(Router::new().route("/large", put(take))).await;
    world.register("a", &service).await;

    let sent = Arc::new(AtomicU64::new(0));
    let body = reqwest::Body::wrap_stream(large(&sent));
    let answer = tokio::spawn(world.http.put(world.url("/~a/large")).body(body).send());
    let in_flight = settled(&sent).await;
    assert!(in_flight < IN_FLIGHT_MAX_BYTES, "{in_flight} bytes were taken from the client");
    go.notify_one();
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.text().await.unwrap(), LARGE_BYTES.to_string());
}

#[tokio::test]
async fn the_first_bytes_arrive_before_the_last_are_made() {
    let world = World::start().await;
    let more = Arc::new(tokio::sync::Notify::new());
    let wait = Arc::clone(&more);
    let body = async move || {
        let first = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"first")) });
        Body::from_stream(first.chain(stream::once(async move {
            wait.notified().await;
            Ok(Bytes::from_static(b"last"))
        })))
    };
    let service = Service::start(Router::new().route("/x", get(body))).await;
    world.register("a", &service).await;
    let mut answer = world.get("/~a/x").await;
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "first");
    more.notify_one();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "last");
    assert_eq!(answer.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_whole() {
    let world = World::with(|config| config.upstream.body_idle_timeout.0 = Duration::from_millis(300)).await;
    let heads = ["content-length: 100", "transfer-encoding: chunked"];
    for (at, head) in heads.into_iter().enumerate() {
        for hangs in [false, true] {
            let service = Service::talking(move |mut stream: TcpStream| async move {
                read_head(&mut stream).await;
                let start = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n");
                stream.write_all(start.as_bytes()).await.unwrap();
                if hangs {
                    // Keeps the connection open until the router gives up.
                    read_head(&mut stream).await;
                }
            })
            .await;
            let name = format!("a{at}{hangs}");
            world.register(&name, &service).await;
            let answer = world.get(&format!("/~{name}/x")).await;
            assert_eq!(answer.status(), 200);
            let body = answer.bytes().await;
            assert!(body.is_err(), "{head}, hangs: {hangs}: a clean end after {body:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_away_frees_the_endpoint() {
    let world = World::start().await;
    let gone = Arc::new(tokio::sync::Notify::new());
    let noted = Arc::clone(&gone);
    let service = Service::talking(move |mut stream: TcpStream| {
        let noted = Arc::clone(&noted);
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
            while stream.write_all(b"5\r\nhello\r\n").await.is_ok() {}
            noted.notify_one();
        }
    })
    .await;
    world.register("a", &service).await;
    let mut answer = world.get("/~a/x").await;
    answer.chunk().await.unwrap();
    drop(answer);
    tokio::time::timeout(Duration::from_secs(10), gone.notified()).await.unwrap();
}

//! Lines to endpoints: what they read is what hyper reads, and nobody gets what was not an answer to his question.

use std::time::Duration;

use axum::http::{HeaderMap, Method, StatusCode};
use flame_router::parsers::{LineAnswer, line_answer};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::world::{Service, World, read_head};

/// Beginnings of answers.
const FIRST: [&str; 9] = [
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 404\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
    "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n",
    "\r\nHTTP/1.1 200 OK\r\n",
    "HTTP/2.0 200 OK\r\n",
];
const FIELDS: [&str; 20] = [
    "content-length: 5\r\n",
    "Content-Length: 5\r\n",
    "content-length: 5, 5\r\n",
    "content-length: 6\r\n",
    "content-length: +5\r\n",
    "content-length:\r\n",
    "content-length: 5\n",
    "transfer-encoding: chunked\r\n",
    "Transfer-Encoding: Chunked\r\n",
    "transfer-encoding: gzip, chunked\r\n",
    "transfer-encoding: chunked, gzip\r\n",
    "transfer-encoding:\r\n",
    "connection: close\r\n",
    "connection: keep-alive\r\n",
    "etag: \"\u{e9}\"\r\n",
    "x: y\r\n",
    "x-empty: \r\n",
    " folded\r\n",
    "x y: 1\r\n",
    "x : 1\r\n",
];
const BODIES: [&str; 16] = [
    "hello",
    "hell",
    "hello HTTP/1.1 200 OK\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nx-sum: 7\r\nx-more: 1\r\n\r\n",
    "5\r\nhello\r\n0\r\nx-sum: 7\n\n\r\n\r\n",
    "5;name=\"a;b\"\r\nhello\r\n0;x\r\n\r\n",
    "05 \r\nhello\r\n00\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhelloX\r\n0\r\n\r\n",
    "5\r\nhello\r\n",
    "fffffffffffffffff\r\nhello",
    "",
];

/// An answer as hyper's client reads it: status, fields, body and trailers; `None` for a body that breaks off.
type ByHyper = Option<(StatusCode, HeaderMap, Option<(Vec<u8>, HeaderMap)>)>;

async fn by_hyper(octets: &[u8], method: Method) -> ByHyper {
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await.unwrap();
    let request = hyper::Request::builder().method(method).uri("/").body(Empty::<&[u8]>::new()).unwrap();
    let answers = async move {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(far.read_u8().await.unwrap());
        }
        let _ = far.write_all(octets).await;
    };
    let reads = async {
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok().map(|whole| {
            let trailers = whole.trailers().cloned().unwrap_or_default();
            (whole.to_bytes().to_vec(), trailers)
        });
        drop(sender);
        Some((head.status, head.headers, body))
    };
    tokio::join!(connection, answers, reads).2
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    let fields = prop::collection::vec(select(FIELDS.to_vec()), 0..4);
    let change = prop::option::of((any::<prop::sample::Index>(), select(b"\r\n: ;,5\0x\x80".to_vec()), any::<bool>()));
    (select(FIRST.to_vec()), fields, select(BODIES.to_vec()), change).prop_map(|(first, fields, body, change)| {
        let mut octets = [first, &fields.concat(), "\r\n", body].concat().into_bytes();
        if let Some((at, octet, replaces)) = change {
            let at = at.index(octets.len());
            if replaces { octets[at] = octet } else { octets.insert(at, octet) }
        }
        octets
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever a line takes for an answer, hyper takes for the same one; what hyper refuses, a line refuses.
    #[test]
    fn a_line_reads_nothing_otherwise_than_hyper(octets in octets(), is_head in any::<bool>()) {
        let method = if is_head { Method::HEAD } else { Method::GET };
        let Ok(Some(read)) = line_answer(&octets, &method, octets.len()) else { return Ok(()) };
        for piece_bytes in [1, 7] {
            let again = line_answer(&octets, &method, piece_bytes);
            prop_assert_eq!(again, Ok(Some(read.clone())), "in pieces of {}", piece_bytes);
        }
        let LineAnswer { status, fields, body, trailers, is_whole, .. } = read;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (hyper_status, hyper_fields, hyper_body) =
            runtime.block_on(by_hyper(&octets, method)).expect("hyper takes it for no answer");
        prop_assert_eq!((status, fields), (hyper_status, hyper_fields));
        if is_whole {
            prop_assert_eq!(Some((body, trailers)), hyper_body);
        }
    }
}

/// Answers every request on a connection with `answer`.
async fn answering(answer: &'static str) -> Service {
    Service::talking(move |mut stream: TcpStream| async move {
        while !read_head(&mut stream).await.is_empty() && stream.write_all(answer.as_bytes()).await.is_ok() {}
    })
    .await
}

#[tokio::test]
async fn what_comes_after_an_answer_is_nobody_s() {
    let world = World::start().await;
    let service =
        answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
            .await;
    world.register("a", &service).await;
    for _ in 0..10 {
        assert_eq!(world.get("/~a/x").await.text().await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn what_comes_while_nobody_asks_is_nobody_s() {
    let world = World::start().await;
    let (asked, mut ask) = mpsc::channel(1);
    let service = Service::talking(move |mut stream: TcpStream| {
        let asked = asked.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            let (go, gone) = oneshot::channel::<()>();
            asked.send(go).await.unwrap();
            gone.await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil").await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    world.register("a", &service).await;
    for _ in 0..10 {
        assert_eq!(world.get("/~a/x").await.text().await.unwrap(), "ok");
        ask.recv().await.unwrap().send(()).unwrap();
        // Another one's request meanwhile.
        assert_eq!(world.get("/health/live").await.status(), 200);
    }
}

#[tokio::test]
async fn an_endpoint_that_ends_each_connection_loses_no_request() {
    let world = World::start().await;
    let service = Service::talking(async |mut stream: TcpStream| {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    })
    .await;
    world.register("a", &service).await;
    for _ in 0..20 {
        let answer = world.get("/~a/x").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn what_is_said_before_an_answer_is_passed_over() {
    let world = World::start().await;
    let service = answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    world.register("a", &service).await;
    for _ in 0..3 {
        let answer = world.get("/~a/x").await;
        assert!(!answer.headers().contains_key("link"));
        assert_eq!(answer.text().await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn an_old_endpoint_s_body_ends_with_its_connection() {
    let world = World::start().await;
    let service = Service::talking(async |mut stream: TcpStream| {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.0 200 OK\r\nx-kept: 1\r\n\r\nhello").await.unwrap();
    })
    .await;
    world.register("a", &service).await;
    for _ in 0..3 {
        let answer = world.get("/~a/x").await;
        assert_eq!(answer.headers()["x-kept"], "1");
        assert_eq!(answer.text().await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn trailers_come_through_to_who_wants_them() {
    let world = World::start().await;
    let service = answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n",
    )
    .await;
    world.register("a", &service).await;
    let request = |more: &str| format!("GET /~a/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}\r\n");
    let answer = world.raw(&request("te: trailers\r\n")).await;
    assert_eq!(answer.body, b"5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n", "{answer:?}");
    let answer = world.raw(&request("")).await;
    assert_eq!(answer.body, b"5\r\nhello\r\n0\r\n\r\n", "{answer:?}");
}

#[tokio::test]
async fn a_line_that_nobody_uses_is_let_go() {
    let idle = Duration::from_millis(100);
    let world = World::with(|config| config.upstream.pool_idle.0 = idle).await;
    let (ended, mut end) = mpsc::channel(1);
    let service = Service::talking(move |mut stream: TcpStream| {
        let ended = ended.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            assert!(read_head(&mut stream).await.is_empty(), "nothing more is asked");
            ended.send(()).await.unwrap();
        }
    })
    .await;
    world.register("a", &service).await;
    assert_eq!(world.get("/~a/x").await.text().await.unwrap(), "ok");
    tokio::time::timeout(Duration::from_secs(5), end.recv()).await.expect("the connection ends").unwrap();
}

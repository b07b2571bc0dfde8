//! Plain requests, which hyper does not see: they are read as hyper reads them, and what is not plain comes to hyper whole.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, Response, Uri};
use flame_service_host::HostConfig;
use flame_service_host::plain::head::{Parsed, fields, parse};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::start;

/// Beginnings of requests.
const FIRST: [&str; 12] = [
    "GET /a?b=c HTTP/1.1\r\n",
    "GET / HTTP/1.1\r\n",
    "HEAD /a HTTP/1.1\r\n",
    "\r\nGET /a HTTP/1.1\r\n",
    "GET /a%00%zz HTTP/1.1\r\n",
    "GET //b HTTP/1.1\r\n",
    "GET http://x/a HTTP/1.1\r\n",
    "GET /a HTTP/1.0\r\n",
    "GET /a#b HTTP/1.1\r\n",
    "GET /\u{e9} HTTP/1.1\r\n",
    "POST /a HTTP/1.1\r\n",
    "get /a HTTP/1.1\r\n",
];
const FIELDS: [&str; 20] = [
    "Host: x\r\n",
    "Host: x\r\n",
    "host: x\n",
    "Host : x\r\n",
    "Connection: close\r\n",
    "connection: keep-alive\r\n",
    "Connection: close, x\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: websocket\r\n",
    "TE: trailers\r\n",
    "Trailer: x\r\n",
    "x: y\r\n",
    "x: \u{e9}\r\n",
    "x:\r\n",
    " folded\r\n",
    "x y: 1\r\n",
    "x: a\rb\r\n",
];

#[derive(Debug, PartialEq)]
struct Seen {
    method: Method,
    target: String,
    fields: HeaderMap,
    has_body: bool,
}

/// The first request in `octets` as hyper's server reads it.
async fn by_hyper(octets: &[u8]) -> Option<Seen> {
    let (near, mut far) = tokio::io::duplex(1 << 16);
    far.write_all(octets).await.unwrap();
    far.shutdown().await.unwrap();
    let seen = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&seen);
    let service = service_fn(move |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let has_body = !body.is_end_stream();
        let request = Seen { method: head.method, target: head.uri.to_string(), fields: head.headers, has_body };
        noted.lock().unwrap().get_or_insert(request);
        async { Ok::<_, Infallible>(Response::new(Body::empty())) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(near), service).await;
    seen.lock().unwrap().take()
}

fn octets() -> impl Strategy<Value = Vec<u8>> {
    let fields = prop::collection::vec(select(FIELDS.to_vec()), 0..4);
    let change =
        prop::option::of((any::<prop::sample::Index>(), select(b"\r\n: ,x\0\x7f\x80".to_vec()), any::<bool>()));
    (select(FIRST.to_vec()), fields, change).prop_map(|(first, fields, change)| {
        let mut octets = [first, &fields.concat(), "\r\n"].concat().into_bytes();
        if let Some((at, octet, replaces)) = change {
            let at = at.index(octets.len());
            if replaces { octets[at] = octet } else { octets.insert(at, octet) }
        }
        octets
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever is taken for a plain request, hyper takes for the same one without a body.
    #[test]
    fn a_plain_request_is_the_one_that_hyper_reads(octets in octets()) {
        let Parsed::Whole(plain) = parse(&octets, |_, _| {}) else { return Ok(()) };
        let head = Bytes::copy_from_slice(&octets[..plain.length]);
        // A target that is none is hyper's to refuse.
        let Ok(target) = Uri::from_maybe_shared(head.slice(plain.target)) else { return Ok(()) };
        let seen = Seen {
            method: if plain.is_head { Method::HEAD } else { Method::GET },
            target: target.to_string(),
            fields: fields(&head).expect("what is whole has fields"),
            has_body: false,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        prop_assert_eq!(Some(seen), runtime.block_on(by_hyper(&octets)));
    }
}

/// Sends bytes as they are and reads until the service closes; the bodies of the answers, by their lengths.
async fn bodies(request: &str) -> Vec<String> {
    let running = start(HostConfig::default()).await;
    let mut stream = TcpStream::connect(running.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut all, mut bodies) = (String::new(), Vec::new());
    stream.read_to_string(&mut all).await.unwrap();
    let mut rest = all.as_str();
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let (body, after) = after.split_at(length.parse().unwrap());
        bodies.push(body.to_owned());
        rest = after;
    }
    assert_eq!(rest, "");
    running.stop().await;
    bodies
}

#[tokio::test]
async fn requests_in_one_go_are_answered_in_their_order_whoever_reads_them() {
    let get = |id: u32, more: &str| format!("GET /notes/{id} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n");
    let note = r#"{"text":"x"}"#;
    let fields = format!("host: localhost\r\ncontent-type: application/json\r\ncontent-length: {}", note.len());
    let post = format!("POST /notes HTTP/1.1\r\n{fields}\r\n\r\n{note}");
    let last = get(3, "connection: close\r\n");
    assert_eq!(bodies(&[get(1, ""), get(2, ""), last.clone()].concat()).await, ["1", "2", "3"]);
    // The third is not plain: hyper gets it, and what comes after it.
    assert_eq!(bodies(&[get(1, ""), get(2, ""), post, last].concat()).await, ["1", "2", note, "3"]);
    // Nobody answers what comes after the last one.
    assert_eq!(bodies(&[get(3, "connection: close\r\n"), get(4, "")].concat()).await, ["3"]);
}

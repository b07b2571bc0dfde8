//! Requests whose form leaves doubt never reach a service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use flame_api::Client;
use flame_api::router::Registration;
use flame_test_kit::hostile::{
    Witness, beside_http2_floods, flood_http2, withstands_answers, withstands_http2, withstands_requests,
};
use flame_test_kit::ports;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::failing::process;
use crate::idle::resident_bytes;
use crate::world::{Service, World};

#[tokio::test]
async fn doubtful_requests_are_refused_before_a_service_sees_them() {
    let world = World::start().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let count = async move || {
        counter.fetch_add(1, Ordering::SeqCst);
    };
    let service = Service::start(Router::new().fallback(count)).await;
    world.register("a", &service).await;
    let cases = [
        (
            "two lengths",
            "POST /~a/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
            400,
        ),
        ("a signed length", "POST /~a/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: +5\r\n\r\nhello", 400),
        (
            "chunked is not last",
            "POST /~a/x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "chunked in 1.0",
            "POST /~a/x HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("a space in a name", "GET /~a/x HTTP/1.1\r\nhost: localhost\r\nx y: 1\r\n\r\n", 400),
        ("two hosts", "GET /~a/x HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n", 400),
        ("no host", "GET /~a/x HTTP/1.1\r\nconnection: close\r\n\r\n", 400),
        ("no host at all", "GET /~a/x HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
        ("user in host", "GET /~a/x HTTP/1.1\r\nhost: u@localhost\r\n\r\n", 400),
        ("upwards", "GET /~a/../~b/x HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
        ("upwards, dots encoded", "GET /~a/%2e%2E/x HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
        ("upwards, slash encoded", "GET /~a/x/..%2fy HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
        ("upwards, with parameters", "GET /~a/..;x/y HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
        ("upwards, under a host", "GET /.%2e/x HTTP/1.1\r\nhost: a.localhost\r\n\r\n", 400),
        ("a tunnel", "CONNECT a.localhost:80 HTTP/1.1\r\nhost: a.localhost:80\r\n\r\n", 405),
        ("another scheme", "GET ftp://a.localhost/x HTTP/1.1\r\nhost: a.localhost\r\n\r\n", 400),
        ("an open proxy", "GET http://example.org/x HTTP/1.1\r\nhost: localhost\r\n\r\n", 421),
    ];
    for (what, request, status) in cases {
        let request = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        let answer = world.raw(&request).await;
        assert_eq!(answer.status(), status, "{what}: {answer:?}");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0, "a service saw one of them");
    world.router.stop().await;
}

/// A length beside chunks: the chunks count, the length ends here, and so does the connection (RFC 9112 section 6.3).
#[tokio::test]
async fn nothing_can_hide_behind_a_second_length() {
    let world = World::start().await;
    let service = Service::echo().await;
    world.register("a", &service).await;
    let fields = ["transfer-encoding: chunked\r\ncontent-length: 4", "content-length: 4\r\ntransfer-encoding: chunked"];
    for fields in fields {
        // By the length, the second request begins in the first one's body; by the chunks, after it.
        let inner = "GET /~a/hidden HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let request = format!(
            "POST /~a/x HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n{inner}",
            inner.len()
        );
        let answer = world.raw(&request).await;
        let body = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.head.get(9..12), Some("200"), "{}", answer.head);
        assert!(body.starts_with("POST /x\n") && body.contains("transfer-encoding: chunked\n"), "{body}");
        assert!(!body.contains("content-length") && !body.contains("hidden"), "{body}");
    }
}

#[tokio::test]
async fn oversize_heads_are_refused() {
    let world = World::start().await;
    let large = format!("GET /~a/x HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(100 * 1024));
    assert_eq!(world.raw(&large).await.status(), 431);
    let many = format!("GET /~a/x HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(200));
    assert_eq!(world.raw(&many).await.status(), 431);
    let long = format!("GET /~a/{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(70 * 1024));
    assert!(matches!(world.raw(&long).await.status(), 414 | 431));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stream_of_requests_is_read_in_two_ways() {
    let world = World::start().await;
    let witness = Witness::start().await;
    world.register_address("a", witness.address).await;
    withstands_requests(world.address(), "/~a", "localhost", &witness).await;
    withstands_requests(world.address(), "", "a.localhost", &witness).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frames_become_another_request_or_two() {
    let world = World::start().await;
    let witness = Witness::start().await;
    world.register_address("a", witness.address).await;
    withstands_http2(world.address(), "/~a", "localhost", &witness).await;
    withstands_http2(world.address(), "", "a.localhost", &witness).await;
}

/// Nothing that a client sends by HTTP/2 is kept beyond its bounds.
#[tokio::test(flavor = "multi_thread")]
async fn frames_that_never_end_take_no_memory() {
    const MIB: usize = 1 << 20;
    let [port] = ports::free_tcp::<1>();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let router = process(address).await;
    let witness = Witness::start().await;
    let client = Client::new(format!("http://{address}").parse().unwrap(), None);
    client.register("a", "one", &Registration::new(witness.address, 1, 60_000)).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |at: usize| {
        let answer = http.get(format!("http://{address}/~a/{at}")).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), format!("GET /{at}"));
    };
    for at in 0..100 {
        ask(at).await;
    }
    let before = resident_bytes(router.id().unwrap());
    let mut flood = std::pin::pin!(flood_http2(address, "/~a", "localhost", 4, 4 * MIB));
    let (mut asked, mut most) = (0, before);
    let taken = loop {
        tokio::select! {
            taken = &mut flood => break taken,
            () = ask(asked) => asked += 1,
        }
        most = most.max(resident_bytes(router.id().unwrap()));
    };
    println!("{taken} bytes of frames, {asked} others answered, {before} bytes of memory before, {most} at most");
    assert!(taken > 0, "nothing of it was taken");
    // Streams and heads that may be open at once by the configuration, for as many connections.
    assert!(most - before <= 40 * MIB, "{before} bytes before, {most} at most");
    ask(0).await;
}

/// Twenty requests, on connections of their own, all of them while the floods go on.
#[tokio::test(flavor = "multi_thread")]
async fn frames_that_never_end_take_nobody_s_turn() {
    let [port] = ports::free_tcp::<1>();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let _router = process(address).await;
    let witness = Witness::start().await;
    let client = Client::new(format!("http://{address}").parse().unwrap(), None);
    client.register("a", "one", &Registration::new(witness.address, 1, 60_000)).await.unwrap();
    let others = async {
        let mut requests = JoinSet::new();
        for at in 0..20 {
            let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
            requests.spawn(async move {
                let answer = http.get(format!("http://{address}/~a/{at}")).send().await;
                let answer = answer.unwrap_or_else(|error| panic!("request {at}: {error:?}"));
                assert_eq!(answer.status(), 200, "request {at}");
                assert_eq!(answer.text().await.unwrap(), format!("GET /{at}"));
            });
        }
        let mut answered = 0;
        while let Some(request) = requests.join_next().await {
            request.unwrap();
            answered += 1;
        }
        answered
    };
    let (answered, flooded) = beside_http2_floods(address, ("/~a", "localhost"), 4 << 20, others).await;
    println!("{answered} answered beside {flooded:?}");
    assert_eq!(answered, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lie_of_an_endpoint_reaches_another_client_or_looks_whole() {
    let world = World::start().await;
    let witness = Witness::start().await;
    world.register_address("a", witness.address).await;
    withstands_answers(world.address(), "/~a", "localhost", &witness).await;
}

/// Clients that begin and never go on take no place for longer than a head may take.
#[tokio::test]
async fn half_open_connections_make_room_for_others() {
    let world = World::with(|config| {
        config.host.head_timeout.0 = Duration::from_millis(300);
        config.host.max_connections = 3;
    })
    .await;
    let service = Service::echo().await;
    let mut silent = Vec::new();
    for said in ["G", "GET /~a/x HTTP/1.1\r\nhost: loc", "GET /~a/x HTTP/1.1\r\nhost: localhost\r\n"] {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    world.register("a", &service).await;
    assert_eq!(world.get("/~a/x").await.status(), 200);
    for mut stream in silent {
        // A refusal, or nothing: it was never a request.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&rest));
    }
}

/// An endpoint that has heard enough answers before the body is there; the client gets that, and the next request on
/// whatever connection is not taken for the rest of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_before_the_end_of_a_request_is_passed_on_and_confuses_nobody() {
    let world = World::start().await;
    let service = Service::talking(async |mut stream: TcpStream| {
        while let head = crate::world::read_head(&mut stream).await
            && !head.is_empty()
        {
            let answer = if head.starts_with("POST") {
                "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
            };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    world.register("a", &service).await;
    for _ in 0..10 {
        let mut client = TcpStream::connect(world.address()).await.unwrap();
        // The rest of the body never comes, and looks like a request.
        let begun =
            "POST /~a/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nGET /~a/hidden HTTP/1.1\r\n\r\n";
        client.write_all(begun.as_bytes()).await.unwrap();
        let head = crate::world::read_head(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
        drop(client);
        let clean = world.get("/~a/y").await;
        assert_eq!((clean.status().as_u16(), clean.text().await.unwrap().as_str()), (200, "good"));
    }
}

//! Requests that leave doubt, heads that never end, and connections used in every order.

use std::time::Duration;

use flame_api::Client;
use flame_api::router::Registration;
use flame_test_kit::hostile::{
    Witness, beside_http2_floods, withstands_answers, withstands_http2, withstands_requests,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::origin::Reply;
use crate::world::{World, bytes};

/// What comes back for `request`, until the other side closes.
async fn raw(world: &World, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(world.edge()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn forms_that_leave_doubt_poison_nothing() {
    let world = World::start().await;
    world.origin.put("/a/1", Reply::new("good"));
    for request in [
        "GET /a/1 HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /a/1 HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        "GET /a/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello",
        "GET /a/1 HTTP/1.1\r\nHost : a\r\nConnection: close\r\n\r\n",
        "GET /a/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\nConnection: close\r\n\r\n",
    ] {
        let answer = raw(&world, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer}");
    }
    assert!(raw(&world, b"\x16\x03\x01 not http\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    // A body on a GET is the end of nothing but that request.
    let hidden = "GET /a/2 HTTP/1.1\r\nHost: x\r\n\r\n";
    let smuggled = format!(
        "GET /a/1 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{hidden}",
        hidden.len()
    );
    let answer = raw(&world, smuggled.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    assert!(answer.ends_with("good"));
    assert!(world.origin.asked("/a/2").is_empty());
}

#[tokio::test]
async fn heads_that_are_too_long_or_too_slow_end() {
    let world = World::with(|config| config.host.head_timeout.0 = Duration::from_millis(300)).await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(80 << 10));
    assert!(raw(&world, long.as_bytes()).await.starts_with("HTTP/1.1 431"));
    assert_eq!(raw(&world, b"GET / HTTP/1.1\r\nHost: a\r\nX").await, "", "half a head is no request");
    assert_eq!(raw(&world, b"").await, "");
}

#[tokio::test]
async fn one_connection_takes_hits_misses_and_everything_else_in_turn() {
    let world = World::start().await;
    let large = bytes(300_000);
    world.origin.put("/a/1", Reply::new("one"));
    world.origin.put("/a/2", Reply::new(large.clone()));
    let pipelined = "GET /a/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /a/2 HTTP/1.1\r\nHost: x\r\n\r\nHEAD /a/2 HTTP/1.1\r\nHost: x\r\n\r\n\
        GET /a/1 HTTP/1.1\r\nHost: x\r\n\r\nOPTIONS /a/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /a/1 HTTP/1.1\r\nHost: x\r\n\r\n\
        GET /a/2 HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(world.edge()).await.unwrap();
    stream.write_all(pipelined.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let count = |needle: &[u8]| answer.windows(needle.len()).filter(|window| *window == needle).count();
    assert_eq!(count(b"HTTP/1.1 "), 7);
    assert_eq!((count(b"HTTP/1.1 200"), count(b"HTTP/1.1 204"), count(b"HTTP/1.1 206")), (5, 1, 1));
    assert_eq!(count(&large), 1);
    assert!(answer.ends_with(&large[..10]));
    assert_eq!((world.origin.asked("/a/1").len(), world.origin.asked("/a/2").len()), (1, 1));
}

#[tokio::test]
async fn http_1_0_and_absolute_forms_are_answered() {
    let world = World::start().await;
    world.origin.put("/a/1", Reply::new("one"));
    let old = raw(&world, b"GET /a/1 HTTP/1.0\r\n\r\n").await;
    assert!(old.contains(" 200 ") && old.ends_with("one"), "{old}");
    let absolute =
        raw(&world, b"GET http://cdn.localhost/a/1 HTTP/1.1\r\nHost: cdn.localhost\r\nConnection: close\r\n\r\n").await;
    assert!(absolute.contains(" 200 ") && absolute.ends_with("one"), "{absolute}");
    assert_eq!(world.origin.asked("/a/1").len(), 1);
}

/// A world whose origin is a witness, and where the router finds the surrogate too.
async fn with_witness() -> (World, Witness) {
    let (world, witness) = (World::start().await, Witness::start().await);
    let client = Client::new(format!("http://{}", world.router.address()).parse().unwrap(), None);
    for (name, address) in [("origin", witness.address), ("cdn", world.edge())] {
        // The world's own origin has generation 1 under the same identifier.
        let registration = Registration::new(address, 2, 60_000);
        client.register(name, "one", &registration).await.unwrap();
    }
    (world, witness)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stream_of_requests_poisons_what_is_kept() {
    let (world, witness) = with_witness().await;
    withstands_requests(world.edge(), "", "cdn.localhost", &witness).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stream_of_requests_poisons_what_is_kept_behind_a_router() {
    let (world, witness) = with_witness().await;
    withstands_requests(world.router.address(), "/~cdn", "localhost", &witness).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frames_poison_what_is_kept_behind_a_router() {
    let (world, witness) = with_witness().await;
    withstands_http2(world.router.address(), "/~cdn", "localhost", &witness).await;
}

/// Whether the floods come by a router or to the surrogate itself, which ends each: twenty requests by each way are answered, all of them
/// while the floods go on.
#[tokio::test(flavor = "multi_thread")]
async fn frames_that_never_end_take_nobody_s_turn() {
    let (world, _witness) = with_witness().await;
    let (edge, router) = (world.edge(), world.router.address());
    for (flooded, mount, host) in [(router, "/~cdn", "localhost"), (edge, "", "cdn.localhost")] {
        let others = async {
            let mut requests = JoinSet::new();
            for at in 0..40 {
                let url =
                    if at % 2 == 0 { format!("http://{router}/~cdn/{at}") } else { format!("http://{edge}/{at}") };
                let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
                requests.spawn(async move {
                    let answer = http.get(&url).send().await.unwrap_or_else(|error| panic!("{url}: {error:?}"));
                    assert_eq!(answer.status(), 200, "{url}");
                    assert_eq!(answer.text().await.unwrap(), format!("GET /{at}"), "{url}");
                });
            }
            let mut answered = 0;
            while let Some(request) = requests.join_next().await {
                request.unwrap();
                answered += 1;
            }
            answered
        };
        let (answered, kinds) = beside_http2_floods(flooded, (mount, host), 4 << 20, others).await;
        assert_eq!(answered, 40, "{kinds:?}");
    }
}

/// A surrogate itself speaks HTTP/1.1 only: the beginning of HTTP/2 is refused, and nothing behind it is read as a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_beginning_of_http2_is_refused_by_the_surrogate_itself() {
    let world = World::start().await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = raw(&world, format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{hidden}").as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 505"), "{answer}");
    assert!(world.origin.asked("/hidden").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lie_of_an_origin_is_kept_or_given_to_another() {
    let (world, witness) = with_witness().await;
    withstands_answers(world.edge(), "", "cdn.localhost", &witness).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lie_of_an_origin_is_kept_or_given_to_another_behind_a_router() {
    let (world, witness) = with_witness().await;
    withstands_answers(world.router.address(), "/~cdn", "localhost", &witness).await;
}

#[tokio::test]
async fn half_open_connections_make_room_for_others() {
    let world = World::with(|config| {
        config.host.head_timeout.0 = Duration::from_millis(300);
        config.host.max_connections = 3;
    })
    .await;
    world.origin.put("/a/1", Reply::new("good"));
    let mut silent = Vec::new();
    for said in ["", "G", "GET /a/1 HTTP/1.1\r\nHost: a\r\n"] {
        let mut stream = TcpStream::connect(world.edge()).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    assert_eq!(world.get("/a/1").await.text().await.unwrap(), "good");
    for mut stream in silent {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&rest));
    }
}

//! What a service sees of a request, and a client of its answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::{any, get};
use flame_test_kit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::world::{Service, World, problem, read_head};

#[tokio::test]
async fn a_service_sees_the_request_without_what_was_for_the_router() {
    let world = World::start().await;
    let service = Service::echo().await;
    world.register("a", &service).await;
    let port = world.address().port();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = world
        .http
        .get(world.url("/~a/x"))
        .header("connection", "x-mine, keep-alive")
        .header("x-mine", "1")
        .header("keep-alive", "timeout=9")
        .header("te", "trailers, deflate")
        .header("proxy-authorization", "Basic eA==")
        .header("authorization", "Bearer x")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-forwarded-prefix", "/evil")
        .header("forwarded", "for=6.6.6.6")
        .header("traceparent", trace)
        .header("via", "1.1 before");
    let seen = request.send().await.unwrap().text().await.unwrap();
    let has = |line: &str| seen.lines().any(|seen| seen.starts_with(line));
    for line in [
        "authorization: Bearer x",
        &format!("host: 127.0.0.1:{port}"),
        &format!("traceparent: {trace}"),
        "x-forwarded-for: 127.0.0.1",
        &format!("x-forwarded-host: 127.0.0.1:{port}"),
        "x-forwarded-proto: http",
        &format!("forwarded: for=127.0.0.1;host=\"127.0.0.1:{port}\";proto=http"),
        "te: trailers",
        "via: 1.1 before",
        "via: 1.1 flame-",
    ] {
        assert!(has(line), "{line} is missing:\n{seen}");
    }
    for line in ["connection", "x-mine", "keep-alive", "proxy-authorization", "x-forwarded-prefix"] {
        assert!(!has(line), "{line} came through:\n{seen}");
    }
    assert!(!seen.contains("6.6.6.6"), "{seen}");
}

#[tokio::test]
async fn a_client_sees_the_answer_without_what_was_for_the_router() {
    let world = World::start().await;
    let routes = Router::new()
        .route(
            "/hop",
            get(async || {
                ([("connection", "x-mine"), ("x-mine", "1"), ("keep-alive", "timeout=9"), ("x-kept", "1")], "x")
            }),
        )
        .route(
            "/made",
            any(async || {
                (StatusCode::CREATED, [(header::LOCATION, "/uploads/1"), (header::CONTENT_LOCATION, "/uploads/1")])
            }),
        )
        .route("/near", any(async || (StatusCode::CREATED, [(header::LOCATION, "uploads/1")])))
        .route("/same", get(async || (StatusCode::NOT_MODIFIED, [(header::ETAG, "\"1\"")])))
        .route("/none", get(async || StatusCode::NO_CONTENT));
    let service = Service::start(routes).await;
    world.register("a", &service).await;
    let port = world.address().port();

    let answer = world.get("/~a/hop").await;
    let headers = answer.headers();
    assert!(!headers.contains_key("x-mine") && !headers.contains_key("keep-alive"), "{headers:?}");
    assert!(headers["via"].to_str().unwrap().starts_with("1.1 flame-") && headers["x-kept"] == "1", "{headers:?}");

    for (path, location) in
        [("/~a/made", "/~a/uploads/1"), ("/api/a/made", "/api/a/uploads/1"), ("/~a/near", "uploads/1")]
    {
        let answer = world.http.post(world.url(path)).send().await.unwrap();
        assert_eq!(answer.headers()["location"], location, "{path}");
    }
    let answer = world.get("/~a/made").await;
    assert_eq!(answer.headers()["content-location"], "/~a/uploads/1");
    let head = world.curl(&["-i", "-X", "POST", &format!("http://a.localhost:{port}/made")]).await;
    assert!(head.contains("location: /uploads/1\r\n"), "{head}");

    // Answers without a body get no length that they did not have.
    for (path, status) in [("same", 304), ("none", 204)] {
        let answer =
            world.raw(&format!("GET /~a/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(answer.status(), status);
        assert!(answer.body.is_empty() && !answer.head.contains("content-length"), "{answer:?}");
    }
}

#[tokio::test]
async fn head_has_the_length_of_get_and_no_body() {
    let world = World::start().await;
    let service = Service::talking(async |mut stream: TcpStream| {
        while read_head(&mut stream).await.starts_with("HEAD") {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n\r\n").await.unwrap();
        }
    })
    .await;
    world.register("a", &service).await;
    for _ in 0..2 {
        let answer = world.http.head(world.url("/~a/x")).send().await.unwrap();
        assert_eq!(answer.headers()["content-length"], "12345");
    }
    // A length that the service did not state is not made up.
    let service = Service::talking(async |mut stream: TcpStream| {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    })
    .await;
    world.register("b", &service).await;
    let answer = world.raw("HEAD /~b/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(answer.status() == 200 && !answer.head.contains("content-length"), "{answer:?}");
}

#[tokio::test]
async fn the_endpoint_decides_whether_an_expected_body_is_sent() {
    let world = World::start().await;
    let (ended, mut end) = tokio::sync::mpsc::channel(1);
    let service = Service::talking(move |mut stream: TcpStream| {
        let ended = ended.clone();
        async move {
            let head = read_head(&mut stream).await;
            assert!(head.contains("expect: 100-continue\r\n"), "{head}");
            if head.starts_with("PUT /no") {
                stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nno\n").await.unwrap();
                // Nothing of the body may come; the connection ends.
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                ended.send(rest).await.unwrap();
            } else {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
                let mut body = [0; 5];
                stream.read_exact(&mut body).await.unwrap();
                assert_eq!(&body, b"hello");
                stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
        }
    })
    .await;
    world.register("a", &service).await;

    let mut client = TcpStream::connect(world.address()).await.unwrap();
    let head = "PUT /~a/yes HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 100 "));
    client.write_all(b"hello").await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 201 "));

    let mut client = TcpStream::connect(world.address()).await.unwrap();
    client.write_all(head.replace("yes", "no").as_bytes()).await.unwrap();
    let refusal = read_head(&mut client).await;
    assert!(refusal.starts_with("HTTP/1.1 413 "), "no 100 may come first: {refusal}");
    let mut body = [0; 3];
    client.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"no\n");
    let rest = tokio::time::timeout(Duration::from_secs(5), end.recv()).await.unwrap().unwrap();
    assert!(rest.is_empty(), "{} bytes of the body came", rest.len());
}

#[tokio::test]
async fn a_body_is_sent_without_100_to_an_endpoint_that_never_says_it() {
    let world = World::start().await;
    let service = Service::talking(async |mut stream: TcpStream| {
        read_head(&mut stream).await;
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    world.register("a", &service).await;
    let mut client = TcpStream::connect(world.address()).await.unwrap();
    let head = "PUT /~a/x HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 100 "));
    client.write_all(b"hello").await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 201 "));
}

#[tokio::test]
async fn upgrades_pass_through_within_their_bound_and_end_with_the_router() {
    let world = World::with(|config| config.limits.tunnels = 1).await;
    let ended = Arc::new(Notify::new());
    let noted = Arc::clone(&ended);
    let service = Service::talking(move |mut stream: TcpStream| {
        let noted = Arc::clone(&noted);
        async move {
            let head = read_head(&mut stream).await;
            assert!(head.contains("connection: upgrade\r\n") && head.contains("upgrade: echo\r\n"), "{head}");
            stream
                .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n")
                .await
                .unwrap();
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
            noted.notify_one();
        }
    })
    .await;
    world.register("a", &service).await;
    let ask = "GET /~a/x HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive, Upgrade\r\nupgrade: echo\r\n\r\n";
    let mut client = TcpStream::connect(world.address()).await.unwrap();
    client.write_all(ask.as_bytes()).await.unwrap();
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: echo\r\n"), "{head}");
    for word in [b"hello", b"again"] {
        client.write_all(word).await.unwrap();
        let mut back = [0; 5];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, word);
    }
    let second = world.http.get(world.url("/~a/x")).header("connection", "upgrade").header("upgrade", "echo");
    assert_eq!(problem(second.send().await.unwrap()).await.status, 503);

    world.router.stop().await;
    assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0, "the tunnel ends with the router");
    tokio::time::timeout(Duration::from_secs(5), ended.notified()).await.unwrap();
}

#[tokio::test]
async fn a_tunnel_s_room_is_free_again_after_it() {
    let world = World::with(|config| config.limits.tunnels = 1).await;
    let service = Service::talking(async |mut stream: TcpStream| {
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nbye")
            .await
            .unwrap();
    })
    .await;
    world.register("a", &service).await;
    let ask = "GET /~a/x HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    for _ in 0..3 {
        eventually(Duration::from_secs(5), || async {
            // A refusal leaves the connection open: only what there is of it is read.
            let (mut stream, mut all) = (TcpStream::connect(world.address()).await.unwrap(), Vec::new());
            stream.write_all(ask.as_bytes()).await.unwrap();
            while !all.ends_with(b"bye") && !all.starts_with(b"HTTP/1.1 503 ") {
                if stream.read_buf(&mut all).await.unwrap() == 0 {
                    break;
                }
            }
            let is_whole = all.starts_with(b"HTTP/1.1 101 ") && all.ends_with(b"bye");
            if is_whole { Ok(()) } else { Err(String::from_utf8_lossy(&all).into_owned()) }
        })
        .await;
    }
}

/// Live encoders send a segment chunk by chunk, and close the connection without waiting for the answer.
#[tokio::test]
async fn a_body_comes_whole_also_where_its_client_does_not_wait_for_the_answer() {
    let world = World::start().await;
    let (sender, mut received) = tokio::sync::mpsc::channel(64);
    let routes = Router::new().route(
        "/segment",
        any(async move |body: axum::body::Bytes| {
            sender.send(body.len()).await.unwrap();
        }),
    );
    let service = Service::start(routes).await;
    world.register("a", &service).await;
    // How the end of the body and the end of the connection meet is a matter of chance.
    for length in 1..40_usize {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream
            .write_all(b"PUT /~a/segment HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
            .await
            .unwrap();
        let chunk =
            [format!("{:x}\r\n", length * 997).into_bytes(), vec![b'x'; length * 997], b"\r\n".to_vec()].concat();
        stream.write_all(&[chunk.clone(), chunk, b"0\r\n\r\n".to_vec()].concat()).await.unwrap();
        drop(stream);
        let came = tokio::time::timeout(Duration::from_secs(10), received.recv()).await;
        assert_eq!(came.expect("the body came"), Some(2 * length * 997));
    }
}

//! HTTP/2 on both faces, judged by curl, nghttp and h2load: what a client sees, what an endpoint sees, and what breaks.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::routing::{any, get, put};
use flame_api::router::Registration;
use flame_service_host::{Host, HostConfig, Routes, Running};
use flame_test_kit::eventually;
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use utoipa_axum::router::OpenApiRouter;

use crate::instance::bytes;
use crate::world::{Service, World, read_head};

const LARGE_BYTES: usize = 4 << 20;

/// An endpoint that speaks HTTP/2: what it says of a request, what it takes, and 4 MiB with a strong ETag.
async fn endpoint() -> Running {
    let seen = async |request: Request| {
        let fields: String = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("not ASCII")))
            .collect();
        format!("{} {} {:?}\n{fields}", request.method(), request.uri(), request.version())
    };
    let public = OpenApiRouter::new()
        .route("/count", put(async |body: Bytes| body.len().to_string()))
        .route("/large", get(async || ([("etag", "\"large\"")], bytes(LARGE_BYTES))))
        .route("/{*rest}", any(seen))
        .layer(axum::extract::DefaultBodyLimit::disable());
    let host = Host::bind("endpoint", &HostConfig::default()).await.unwrap();
    host.serve(Routes { public, ..Routes::default() })
}

async fn register_http2(world: &World, name: &str, address: SocketAddr) {
    let registration = Registration { http2: true, ..Registration::new(address, 1, 60_000) };
    world.client().register(name, "h2", &registration).await.unwrap();
}

/// What a judge prints, and its exit status.
async fn judge(program: &str, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("it ends");
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; `tools/deps test` installs it"));
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code().unwrap_or(-1), said)
}

async fn curl(arguments: &[&str]) -> (i32, String) {
    let common = ["-sS", "--max-time", "20", "--noproxy", "", "--http2-prior-knowledge", "-w", "\n%{http_version}"];
    judge("curl", &[&common, arguments].concat()).await
}

#[tokio::test]
async fn a_client_by_http2_gets_the_same_by_every_form_of_the_name() {
    let world = World::start().await;
    let service = Service::echo().await;
    world.register("a", &service).await;
    let port = world.address().port();
    for (url, host) in [
        (world.url("/~a/x?y"), format!("127.0.0.1:{port}")),
        (format!("http://a.localhost:{port}/x?y"), format!("a.localhost:{port}")),
        (format!("http://localhost:{port}/api/a/x?y"), format!("localhost:{port}")),
    ] {
        let (status, said) = curl(&[&url]).await;
        assert_eq!(status, 0, "{said}");
        for line in [
            "GET /x?y\n",
            &format!("\nhost: {host}\n"),
            &format!("\nx-forwarded-host: {host}\n"),
            "\nvia: 2.0 flame-",
            "\n2",
        ] {
            assert!(said.contains(line), "{line:?} is missing: {said}");
        }
    }
    // The router's own, and what is for nobody.
    assert!(curl(&[&world.url("/health/live")]).await.1.starts_with("live\n"));
    assert!(
        curl(&["-o", "/dev/null", "-w", "%{http_code}", &format!("http://b.localhost:{port}/")])
            .await
            .1
            .starts_with("421")
    );
}

#[tokio::test]
async fn cookie_crumbs_are_one_field_for_an_endpoint_and_a_foreign_host_is_refused() {
    let world = World::start().await;
    let service = Service::echo().await;
    world.register("a", &service).await;
    let (status, said) =
        judge("nghttp", &["-H", "cookie: a=1", "-H", "cookie: b=2", "-H", "te: trailers", &world.url("/~a/x")]).await;
    assert!(status == 0 && said.contains("\ncookie: a=1; b=2\n") && said.contains("\nte: trailers\n"), "{said}");
    let (_, said) = judge("nghttp", &["-v", "-H", "host: b.localhost", &world.url("/~a/x")]).await;
    assert!(said.contains(":status: 400"), "{said}");
}

#[tokio::test]
async fn bodies_pass_whole_in_both_directions_and_trailers_with_them() {
    let world = World::start().await;
    let trailing = Service::talking(async |mut stream: TcpStream| {
        read_head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    world.register("t", &trailing).await;
    let (status, said) = judge("nghttp", &["-v", "-H", "te: trailers", &world.url("/~t/x")]).await;
    let (_, after) = said.split_once("hello").unwrap_or_else(|| panic!("{said}"));
    assert!(status == 0 && after.contains("x-sum: 7"), "{said}");

    let (plain, by_http2) = (
        Service::start(
            Router::new()
                .route("/count", put(async |body: Bytes| body.len().to_string()))
                .layer(axum::extract::DefaultBodyLimit::disable()),
        )
        .await,
        endpoint().await,
    );
    world.register("plain", &plain).await;
    register_http2(&world, "h2", by_http2.address()).await;
    let folder = flame_test_kit::Scratch::new("router-http2");
    let file = folder.join("large");
    std::fs::write(&file, vec![b'x'; LARGE_BYTES]).unwrap();
    for name in ["plain", "h2"] {
        let (status, said) = curl(&["-T", file.to_str().unwrap(), &world.url(&format!("/~{name}/count"))]).await;
        assert!(status == 0 && said.starts_with(&LARGE_BYTES.to_string()), "{name}: {said}");
        let answer =
            world.http.put(world.url(&format!("/~{name}/count"))).body(vec![0; LARGE_BYTES]).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), LARGE_BYTES.to_string());
    }
    let got = world.get("/~h2/large").await.bytes().await.unwrap();
    assert!(*got == *bytes(LARGE_BYTES), "{} bytes, or other ones", got.len());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_stream_error_and_the_connection_goes_on() {
    let world = World::start().await;
    for (at, head) in ["content-length: 100", "transfer-encoding: chunked"].into_iter().enumerate() {
        let service = Service::talking(move |mut stream: TcpStream| async move {
            read_head(&mut stream).await;
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n").as_bytes()).await.unwrap();
        })
        .await;
        let name = format!("a{at}");
        world.register(&name, &service).await;
        // 92: CURLE_HTTP2_STREAM.
        let (first, second) = (world.url(&format!("/~{name}/x")), world.url("/health/live"));
        let (status, said) = curl(&["-o", "/dev/null", &first]).await;
        assert_eq!(status, 92, "{head}: {said}");
        let (_, said) = judge("nghttp", &["-v", &first, &second]).await;
        assert!(
            said.contains("recv RST_STREAM") && said.contains("live\n") && !said.contains("recv GOAWAY"),
            "{head}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_are_served_within_their_bound() {
    let world = World::with(|config| config.host.http2.max_streams = 8).await;
    let service = Service::start(Router::new().fallback(async || "x".repeat(1000))).await;
    world.register("a", &service).await;
    // h2load does not wait to hear how many streams are allowed: more at once would be refused.
    let (status, said) = judge("h2load", &["-n", "2000", "-c", "8", "-m", "8", &world.url("/~a/x")]).await;
    assert!(status == 0 && said.contains("2000 succeeded, 0 failed, 0 errored"), "{said}");
    assert!(said.contains("status codes: 2000 2xx"), "{said}");
}

#[tokio::test]
async fn an_endpoint_that_says_so_is_asked_by_http2_over_one_connection() {
    let world = Arc::new(World::start().await);
    let running = endpoint().await;
    register_http2(&world, "a", running.address()).await;
    let port = world.address().port();
    let seen = world.curl(&[&format!("http://a.localhost:{port}/x?y")]).await;
    assert!(
        seen.starts_with("GET /x?y HTTP/2.0\n") && seen.contains(&format!("\nhost: a.localhost:{port}\n")),
        "{seen}"
    );
    let (_, said) = curl(&["-b", "a=1", &world.url("/~a/x")]).await;
    assert!(said.starts_with("GET /x HTTP/2.0\n") && said.contains("\ncookie: a=1\n"), "{said}");
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let world = Arc::clone(&world);
        clients.spawn(async move { world.get("/~a/x").await.status() });
    }
    while let Some(status) = clients.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    let metrics = reqwest::get(format!("http://{}/metrics", running.address())).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("flame"), "{metrics}");
    running.stop().await;
    // It is gone: a connection that is kept to it does not hide that.
    eventually(Duration::from_secs(5), || async {
        let status = world.get("/~a/x").await.status();
        if status == 503 { Ok(()) } else { Err(status) }
    })
    .await;
}

#[tokio::test]
async fn what_breaks_off_by_http2_goes_on_elsewhere() {
    let world = World::with(|config| config.upstream.stall_after.0 = Duration::from_secs(60)).await;
    let (first, second) = (endpoint().await, endpoint().await);
    register_http2(&world, "a", first.address()).await;
    let mut answer = world.get("/~a/large").await;
    world.register_address("a", second.address()).await;
    let mut got = answer.chunk().await.unwrap().unwrap().to_vec();
    world.client().kill("a", "h2").await.unwrap();
    while let Some(chunk) = answer.chunk().await.unwrap() {
        got.extend_from_slice(&chunk);
    }
    assert!(got == bytes(LARGE_BYTES), "{} bytes, or other ones", got.len());
}

#[tokio::test]
async fn an_upgrade_goes_by_http1_also_to_an_endpoint_that_takes_http2() {
    let world = World::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let service = Service::talking(move |mut stream: TcpStream| {
        let count = Arc::clone(&count);
        async move {
            let head = read_head(&mut stream).await;
            assert!(head.contains("HTTP/1.1") && head.contains("upgrade: websocket"), "{head}");
            count.fetch_add(1, Ordering::SeqCst);
            let granted = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello";
            stream.write_all(granted.as_bytes()).await.unwrap();
        }
    })
    .await;
    register_http2(&world, "a", service.address).await;
    let mut client = TcpStream::connect(world.address()).await.unwrap();
    let ask = "GET /~a/x HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    client.write_all(ask.as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    let mut hello = [0; 5];
    client.read_exact(&mut hello).await.unwrap();
    assert_eq!((&hello, asked.load(Ordering::SeqCst)), (b"hello", 1));
}

#[tokio::test]
async fn a_websocket_by_http2_is_an_upgrade_for_its_endpoint_and_lives_as_long_as_that() {
    let world = World::with(|config| config.host.head_timeout.0 = Duration::from_millis(200)).await;
    let service = Service::talking(|mut stream: TcpStream| async move {
        let head = read_head(&mut stream).await;
        if head.starts_with("GET /other") {
            return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        }
        let lines: Vec<_> = head.lines().collect();
        assert!(lines[0] == "GET /x?y HTTP/1.1" && lines.contains(&"upgrade: websocket"), "{head}");
        assert!(head.contains("sec-websocket-version: 13") && head.contains("sec-websocket-key: "), "{head}");
        let granted = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(granted.as_bytes()).await.unwrap();
        // Longer than a connection without requests would stay.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (mut reads, mut writes) = stream.split();
        let _ = tokio::io::copy(&mut reads, &mut writes).await;
    })
    .await;
    world.register("a", &service).await;
    let stream = TokioIo::new(TcpStream::connect(world.address()).await.unwrap());
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let drives = tokio::spawn(connection);
    let ask = |method: &str, url: &str| hyper::Request::builder().method(method).uri(url.to_owned());
    let none = http_body_util::Empty::<Bytes>::new;
    // With the first answer it is known that the router takes it.
    let page = client.send_request(ask("GET", "http://localhost/health/live").body(none()).unwrap()).await.unwrap();
    assert_eq!(page.status(), 200);
    let websocket = |path: &str| {
        let request = ask("CONNECT", &format!("http://localhost/~a{path}")).header("sec-websocket-version", "13");
        request.extension(Protocol::from_static("websocket")).body(none()).unwrap()
    };
    let answer = client.send_request(websocket("/x?y")).await.unwrap();
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    let mut talk = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    talk.write_all(b"hello").await.unwrap();
    let mut hello = [0; 5];
    talk.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
    // An endpoint that just answers has granted nothing; and whatever else CONNECT asks for is refused.
    assert_eq!(client.send_request(websocket("/other")).await.unwrap().status(), 502);
    let other = ask("CONNECT", "http://localhost/~a/x").extension(Protocol::from_static("connect-udp"));
    assert_eq!(client.send_request(other.body(none()).unwrap()).await.unwrap().status(), 405);
    assert_eq!(client.send_request(ask("CONNECT", "a:80").body(none()).unwrap()).await.unwrap().status(), 405);
    drop((talk, client));
    drives.await.unwrap().unwrap();
}

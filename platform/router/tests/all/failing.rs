//! Endpoints that die, hang and break off: another one answers where that is safe, and a clear refusal where not.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use flame_test_kit::{eventually, ports};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::world::{Service, World, problem, read_head};

/// An endpoint that reads a request and closes without an answer; it counts the requests.
pub async fn breaker(requests: &Arc<AtomicUsize>) -> Service {
    let requests = Arc::clone(requests);
    Service::talking(move |mut stream: TcpStream| {
        let requests = Arc::clone(&requests);
        async move {
            let head = read_head(&mut stream).await;
            if head.contains("content-length: 5") {
                let _ = stream.read_exact(&mut [0; 5]).await;
            }
            requests.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await
}

#[tokio::test]
async fn another_endpoint_answers_while_one_refuses_connections() {
    let world = World::start().await;
    let [dead] = ports::free_tcp::<1>();
    let alive = Service::echo().await;
    world.register_address("a", ([127, 0, 0, 1], dead).into()).await;
    world.register("a", &alive).await;
    for method in ["GET", "POST", "PATCH"] {
        for _ in 0..20 {
            let request = world.http.request(method.parse().unwrap(), world.url("/~a/x")).body("hello");
            assert_eq!(request.send().await.unwrap().status(), 200, "{method}");
        }
    }
}

/// A real process that answers `GET /health/live`: another router.
pub async fn process(address: SocketAddr) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flame-router"));
    command.env("FLAME_ROUTER__HOST__LISTEN", address.to_string()).stdin(Stdio::null()).stderr(Stdio::null());
    let child = command.kill_on_drop(true).spawn().unwrap();
    eventually(Duration::from_secs(20), || TcpStream::connect(address)).await;
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_under_load_costs_no_request() {
    let world = Arc::new(World::start().await);
    let addresses = ports::free_tcp::<2>().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let mut processes = Vec::new();
    for address in addresses {
        processes.push(process(address).await);
        world.register_address("a", address).await;
    }
    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..16 {
        let (world, answered) = (Arc::clone(&world), Arc::clone(&answered));
        clients.spawn(async move {
            while answered.fetch_add(1, Ordering::SeqCst) < 3000 {
                let answer = world.get("/~a/health/live").await;
                assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "live\n"));
            }
        });
    }
    let reached = async |count: usize| {
        eventually(Duration::from_secs(60), || async {
            let now = answered.load(Ordering::SeqCst);
            if now >= count { Ok(()) } else { Err(format!("{now} answers")) }
        })
        .await;
    };
    reached(500).await;
    processes[0].kill().await.unwrap();
    reached(1500).await;
    // Its lease still runs. The restarted one takes the place at once.
    processes[0] = process(addresses[0]).await;
    world.register_address("a", addresses[0]).await;
    assert_eq!(world.client().endpoints().await.unwrap().items.len(), 2);
    reached(2000).await;
    processes[1].kill().await.unwrap();
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

#[tokio::test]
async fn a_service_that_is_down_is_503_until_it_is_back() {
    let world = World::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    world.register_address("a", address).await;
    drop(listener);
    for _ in 0..5 {
        let answer = world.http.post(world.url("/~a/x")).body("hello").send().await.unwrap();
        assert_eq!(answer.headers()["retry-after"], "1");
        let down = problem(answer).await;
        assert_eq!((down.status, down.detail.as_str()), (503, "no endpoint of a.main takes connections"));
    }
    // It is asked again also while it rests, because there is no other.
    let back = Service::on(TcpListener::bind(address).await.unwrap(), Router::new());
    assert_eq!(world.get("/~a/x").await.status(), 404);
    drop(back);
}

#[tokio::test]
async fn pages_of_any_origin_see_that_what_they_read_is_away() {
    let world = World::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.register_address("a", listener.local_addr().unwrap()).await;
    drop(listener);
    // A player that cannot see the status takes it for no answer, and gives up.
    for (method, origins) in [("GET", Some("*")), ("HEAD", Some("*")), ("POST", None)] {
        let answer = world.http.request(method.parse().unwrap(), world.url("/~a/x")).send().await.unwrap();
        assert_eq!(answer.status(), 503, "{method}");
        let allowed = answer.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(allowed, origins, "{method}");
    }
    // A name that nobody has is not down.
    let unknown = world.get("/~nobody/x").await;
    assert_eq!((unknown.status().as_u16(), unknown.headers().get("access-control-allow-origin")), (404, None));
}

#[tokio::test]
async fn a_broken_request_is_repeated_only_if_that_is_safe() {
    let world = World::start().await;
    let requests = Arc::new(AtomicUsize::new(0));
    let service = breaker(&requests).await;
    world.register("a", &service).await;
    // (method, body, how often the endpoint sees it)
    for (method, body, times) in
        [("GET", "", 3), ("DELETE", "", 1), ("POST", "", 1), ("PUT", "hello", 1), ("POST", "hello", 1)]
    {
        requests.store(0, Ordering::SeqCst);
        let mut request = world.http.request(method.parse().unwrap(), world.url("/~a/x"));
        if !body.is_empty() {
            request = request.body(body);
        }
        let broken = problem(request.send().await.unwrap()).await;
        assert_eq!((broken.status, broken.slug()), (502, "bad-gateway"));
        assert_eq!(requests.load(Ordering::SeqCst), times, "{method} {body}");
    }
    let whole = Service::echo().await;
    world.register("a", &whole).await;
    for _ in 0..10 {
        assert_eq!(world.get("/~a/x").await.status(), 200);
    }
}

#[tokio::test]
async fn an_endpoint_that_failed_is_left_alone_for_a_while() {
    let world = World::start().await;
    let requests = Arc::new(AtomicUsize::new(0));
    let (bad, good) = (breaker(&requests).await, Service::echo().await);
    world.register("a", &bad).await;
    world.register("a", &good).await;
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < Duration::from_millis(300) || sent < 50 {
        assert_eq!(world.get("/~a/x").await.status(), 200);
        sent += 1;
    }
    // One after each rest of 100, 200, 400 ms…; without rests it would be every second one.
    let seen = requests.load(Ordering::SeqCst);
    assert!((1..=8).contains(&seen), "it was asked {seen} times in {sent} requests");
}

#[tokio::test]
async fn a_silent_endpoint_is_504_and_a_silent_client_408() {
    let world = World::with(|config| config.upstream.answer_timeout.0 = Duration::from_millis(300)).await;
    let service = Service::talking(async |mut stream: TcpStream| {
        read_head(&mut stream).await;
        let _ = stream.read(&mut [0; 1]).await;
        let _ = stream.read(&mut [0; 1]).await;
    })
    .await;
    world.register("a", &service).await;
    let began = Instant::now();
    let silent = problem(world.get("/~a/x").await).await;
    assert_eq!((silent.status, silent.slug()), (504, "gateway-timeout"));
    assert!(began.elapsed() < Duration::from_secs(5));

    let mut client = TcpStream::connect(world.address()).await.unwrap();
    client.write_all(b"PUT /~a/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nh").await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 408 "));
}

#[tokio::test]
async fn an_upload_may_take_longer_than_an_answer() {
    let world = World::with(|config| config.upstream.answer_timeout.0 = Duration::from_millis(400)).await;
    let service = Service::echo().await;
    let routes = Router::new().fallback(async |body: axum::body::Bytes| body.len().to_string());
    let takes = Service::start(routes).await;
    world.register("a", &takes).await;
    let chunks = futures_util::stream::unfold(0, async |at| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        (at < 8).then_some((Ok::<_, std::io::Error>("x"), at + 1))
    });
    let request = world.http.put(world.url("/~a/x")).body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(request.send().await.unwrap().text().await.unwrap(), "8");
    drop(service);
}

#[tokio::test]
async fn a_circle_ends() {
    let world = World::start().await;
    world.register_address("a", world.address()).await;
    // Under its own host the request comes back for the same name.
    let port = world.address().port();
    let request = world.http.get(world.url("/x")).header("host", format!("a.localhost:{port}"));
    let circle = problem(request.send().await.unwrap()).await;
    assert_eq!((circle.status, circle.slug()), (508, "loop"));
}

#[tokio::test]
async fn an_endpoint_that_recovers_gets_requests_again() {
    let world = World::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    world.register_address("a", address).await;
    drop(listener);
    let other = Service::start(Router::new().fallback(async || "other")).await;
    world.register("a", &other).await;
    for _ in 0..10 {
        assert_eq!(world.get("/~a/x").await.text().await.unwrap(), "other");
    }
    let back = Service::on(TcpListener::bind(address).await.unwrap(), Router::new().fallback(async || "back"));
    eventually(Duration::from_secs(10), || async {
        let who = world.get("/~a/x").await.text().await.unwrap();
        if who == "back" { Ok(()) } else { Err(who) }
    })
    .await;
    drop(back);
}

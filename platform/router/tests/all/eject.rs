//! Who has no room, or cannot write, is passed over while another has and can, over sockets; and searches after failures
//! stay within their budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use flame_api::problem::{CONCERNS, RESOURCE};
use flame_api::router::RouteState;
use flame_test_kit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::failing::breaker;
use crate::world::{Service, World, read_head};

const PATIENCE: Duration = Duration::from_secs(20);

/// What an endpoint answers to what changes something; to everything else it answers 200.
struct Endpoint {
    service: Service,
    writes: Arc<AtomicU16>,
    asked: Arc<AtomicUsize>,
}

// === impl Endpoint ===

impl Endpoint {
    async fn new(writes: u16, reads: u16, retry_after_s: Option<&'static str>) -> Self {
        let (writes, asked) = (Arc::new(AtomicU16::new(writes)), Arc::new(AtomicUsize::new(0)));
        let (status, count) = (Arc::clone(&writes), Arc::clone(&asked));
        let answer = async move |request: Request| {
            count.fetch_add(1, Ordering::SeqCst);
            let is_read = request.method() == Method::GET;
            let status = if is_read { reads } else { status.load(Ordering::SeqCst) };
            let after = retry_after_s.filter(|_| status >= 400);
            let fields = after.map(|after| [("retry-after", after)]);
            (StatusCode::from_u16(status).unwrap(), fields.map(IntoResponse::into_response).unwrap_or_default())
        };
        Self { service: Service::start(Router::new().fallback(answer)).await, writes, asked }
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

/// Sends `count` requests, `at_once` at a time; how many did not succeed.
async fn many(world: &Arc<World>, method: Method, count: usize, at_once: usize) -> usize {
    let (left, failed) = (Arc::new(AtomicUsize::new(count)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..at_once {
        let (world, left, failed) = (Arc::clone(world), Arc::clone(&left), Arc::clone(&failed));
        let (method, body) = (method.clone(), if method == Method::POST { "hello" } else { "" });
        clients.spawn(async move {
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                let answer = world.http.request(method.clone(), world.url("/~a/x")).body(body).send().await.unwrap();
                failed.fetch_add(usize::from(!answer.status().is_success()), Ordering::SeqCst);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    failed.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_that_it_has_no_room_gets_nothing_more_until_it_said_to_ask_again() {
    let world = Arc::new(World::start().await);
    let (full, free) = (Endpoint::new(503, 503, Some("3")).await, Endpoint::new(201, 200, None).await);
    world.register("a", &full.service).await;
    // It is the only one: it is asked, and its word passed on, as often as somebody comes.
    for _ in 0..3 {
        let answer = world.get("/~a/x").await;
        assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "3"));
    }
    let routes = world.client().routes().await.unwrap().items;
    assert!(routes.iter().all(|route| route.state == RouteState::Full), "{routes:?}");
    world.register("a", &free.service).await;
    full.asked();
    let said = Instant::now();
    for _ in 0..50 {
        assert_eq!(world.get("/~a/x").await.status(), 200);
    }
    let failed = many(&world, Method::POST, 50, 4).await;
    // On a machine that stands still, the three seconds may be over meanwhile.
    let periods = (said.elapsed() + Duration::from_millis(500)).as_secs() as usize / 3;
    assert!(full.asked() <= 5 * periods && failed <= 4 * periods, "{failed} of 50 posts were refused");
    // Then it is asked again.
    eventually(PATIENCE, || async {
        assert_eq!(world.get("/~a/x").await.status(), 200);
        if full.asked() > 0 { Ok(()) } else { Err("it is not asked") }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_refuses_one_thing_alone_is_asked_for_everything_else() {
    let world = Arc::new(World::start().await);
    let (count, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counts, refuses) = (Arc::clone(&count), Arc::clone(&refused));
    let fields = [("retry-after", "20"), (CONCERNS, RESOURCE)];
    // It has no room for this one, however it is asked for, and all the room there is for the rest.
    let answer = async move |request: Request| {
        if request.uri().path() == "/this" {
            refuses.fetch_add(1, Ordering::SeqCst);
            return (StatusCode::SERVICE_UNAVAILABLE, fields).into_response();
        }
        counts.fetch_add(1, Ordering::SeqCst);
        StatusCode::OK.into_response()
    };
    let one = Service::start(Router::new().fallback(answer)).await;
    let other = Endpoint::new(201, 200, None).await;
    world.register("a", &one).await;
    assert_eq!(world.get("/~a/this").await.status(), 503);
    assert_eq!(world.http.post(world.url("/~a/this")).body("hello").send().await.unwrap().status(), 503);
    assert_eq!(refused.load(Ordering::SeqCst), 2);
    let routes = world.client().routes().await.unwrap().items;
    assert!(routes.iter().all(|route| route.state == RouteState::Serving), "{routes:?}");
    world.register("a", &other.service).await;
    for method in [Method::GET, Method::POST] {
        count.store(0, Ordering::SeqCst);
        // Of two the quicker one is asked, and one slow answer may make it the other one for a while.
        eventually(PATIENCE, || async {
            assert_eq!(many(&world, method.clone(), 80, 4).await, 0);
            if count.load(Ordering::SeqCst) > 0 { Ok(()) } else { Err(format!("{method}: it got none of 80")) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_go_where_they_are_taken_and_come_back_when_there_is_room_again() {
    let world = Arc::new(World::start().await);
    let (bad, good) = (Endpoint::new(507, 200, None).await, Endpoint::new(201, 200, None).await);
    world.register("a", &bad.service).await;
    world.register("a", &good.service).await;
    // Without anything said of it, one of the two would refuse half of all, and most where several come at once.
    for status in [507, 500] {
        bad.writes.store(status, Ordering::SeqCst);
        let began = Instant::now();
        let failed = many(&world, Method::POST, 200, 8).await;
        // Eight are under way when it first refuses, or three times eight until it fails for the third time in a row, those that fail
        // together being one; and eight whenever its rest ends: after 0.1 s, 0.3 s, 0.7 s and so on.
        let rests = (began.elapsed().as_millis() as f64 / 100.0 + 1.0).log2().ceil() + 1.0;
        assert!(failed as f64 <= 16.0 + 8.0 * rests, "{failed} of 200 got a {status} in {:?}", began.elapsed());
        assert!(failed > 0, "the one that refuses was never asked: the test shows nothing");
        // Its rest ends within a moment, and begins again with the next upload that it gets.
        eventually(PATIENCE, || async {
            many(&world, Method::POST, 8, 8).await;
            let routes = world.client().routes().await.unwrap().items;
            let refuses =
                |service: &Service| routes.iter().any(|route| route.address == service.address && route.refuses_writes);
            assert!(!refuses(&good.service), "{routes:?}");
            let is_listed = refuses(&bad.service) && routes.iter().all(|route| route.state == RouteState::Serving);
            if is_listed { Ok(()) } else { Err(format!("{routes:?}")) }
        })
        .await;
        // What it has is asked for there all the same.
        bad.asked();
        assert_eq!(many(&world, Method::GET, 80, 8).await, 0);
        assert!(bad.asked() > 0);
        bad.writes.store(201, Ordering::SeqCst);
        eventually(PATIENCE, || async {
            many(&world, Method::POST, 40, 8).await;
            if bad.asked() > 0 { Ok(()) } else { Err("it gets no uploads") }
        })
        .await;
        let routes = world.client().routes().await.unwrap().items;
        assert!(routes.iter().all(|route| !route.refuses_writes), "{routes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_takes_uploads_all_are_asked_and_say_so_themselves() {
    let world = Arc::new(World::start().await);
    let endpoints = [Endpoint::new(507, 200, None).await, Endpoint::new(507, 200, None).await];
    for endpoint in &endpoints {
        world.register("a", &endpoint.service).await;
    }
    for _ in 0..40 {
        let answer = world.http.post(world.url("/~a/x")).body("hello").send().await.unwrap();
        assert_eq!(answer.status(), 507, "the endpoint's own word");
    }
    let asked = endpoints.iter().map(Endpoint::asked).collect::<Vec<_>>();
    assert!(asked.iter().sum::<usize>() == 40 && asked.iter().all(|asked| *asked > 5), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn surrogates_that_all_fail_get_no_more_than_the_budget_of_repeats() {
    const REQUESTS: usize = 300;
    let world = Arc::new(World::with(|config| config.upstream.repeat_burst = 10).await);
    let mut surrogates = Vec::new();
    for _ in 0..6 {
        let surrogate = Endpoint::new(500, 500, None).await;
        world.register("a", &surrogate.service).await;
        surrogates.push(surrogate);
    }
    let began = Instant::now();
    for _ in 0..REQUESTS {
        assert_eq!(world.get("/~a/x").await.status(), 500, "the answer of one of them");
    }
    let asked: usize = surrogates.iter().map(Endpoint::asked).sum();
    // Each once more for nothing, then 20 % of the requests, the burst, and the burst once more in ten seconds. Without the
    // budget: six for each request.
    let most = REQUESTS as f64 * 2.2 + 10.0 + began.elapsed().as_secs_f64() + 1.0;
    assert!(asked >= 2 * REQUESTS && asked as f64 <= most, "{asked} for {REQUESTS} requests, {most} may be");
}

/// What a budget with a burst of 10 lets through of `requests`, in so long: each once, 20 % of them, the burst, and the burst once more in
/// ten seconds.
fn most(requests: usize, took: Duration) -> f64 {
    requests as f64 * 1.2 + 10.0 + took.as_secs_f64() + 1.0
}

#[tokio::test]
async fn requests_that_break_everywhere_are_sent_again_no_more_often_than_the_budget_says() {
    const REQUESTS: usize = 200;
    let world = World::with(|config| {
        config.upstream.repeat_burst = 10;
        config.search.enabled = false;
    })
    .await;
    let asked = Arc::new(AtomicUsize::new(0));
    let mut endpoints = Vec::new();
    for _ in 0..3 {
        let endpoint = breaker(&asked).await;
        world.register("a", &endpoint).await;
        endpoints.push(endpoint);
    }
    let began = Instant::now();
    for _ in 0..REQUESTS {
        assert_eq!(world.get("/~a/x").await.status(), 502);
    }
    // Without a budget: three for each request.
    let (asked, most) = (asked.load(Ordering::SeqCst), most(REQUESTS, began.elapsed()));
    assert!(asked >= REQUESTS + 10 && asked as f64 <= most, "{asked} for {REQUESTS} requests, {most} may be");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_late_everywhere_are_asked_twice_no_more_often_than_the_budget_says() {
    const REQUESTS: usize = 100;
    let world = World::with(|config| {
        config.upstream.repeat_burst = 10;
        config.search.enabled = false;
        (config.upstream.hedge_min.0, config.upstream.hedge_max.0) =
            (Duration::from_millis(20), Duration::from_millis(20));
        config.upstream.answer_timeout.0 = Duration::from_secs(2);
    });
    let (world, asked) = (Arc::new(world.await), Arc::new(AtomicUsize::new(0)));
    let mut endpoints = Vec::new();
    for _ in 0..2 {
        let count = Arc::clone(&asked);
        let endpoint = Service::talking(move |mut stream: TcpStream| {
            let count = Arc::clone(&count);
            async move {
                read_head(&mut stream).await;
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        })
        .await;
        world.register("a", &endpoint).await;
        endpoints.push(endpoint);
    }
    let (began, mut clients) = (Instant::now(), JoinSet::new());
    for _ in 0..REQUESTS {
        let world = Arc::clone(&world);
        clients.spawn(async move { assert_eq!(world.get("/~a/x").await.status(), 504) });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    // Without a budget: two for each request.
    let (asked, most) = (asked.load(Ordering::SeqCst), most(REQUESTS, began.elapsed()));
    assert!(asked > REQUESTS && asked as f64 <= most, "{asked} for {REQUESTS} requests, {most} may be");
}

#[tokio::test]
async fn an_error_with_a_body_ends_no_rest_that_broken_connections_earned() {
    const REST_MAX: Duration = Duration::from_secs(2);
    let world = World::start().await;
    // It breaks every GET off, and answers everything else with an error that has a body.
    let service = Service::talking(async |mut stream: TcpStream| {
        if !read_head(&mut stream).await.starts_with("GET ") {
            let answer = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    world.register("a", &service).await;
    let state = async || world.client().routes().await.unwrap().items[0].state;
    // Each rest is twice as long as the one before: 0.1 s to 1.6 s, and then 2 s.
    let mut failed = Instant::now();
    for _ in 0..6 {
        eventually(PATIENCE, || async {
            let state = state().await;
            if state == RouteState::Serving { Ok(()) } else { Err(format!("{state:?}")) }
        })
        .await;
        failed = Instant::now();
        assert_eq!(world.get("/~a/x").await.status(), 502);
        assert_eq!(state().await, RouteState::Resting);
    }
    let answer = world.http.post(world.url("/~a/x")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (500, "no"));
    let state = state().await;
    // On a machine that stands still, the rest may be over meanwhile.
    assert!(state == RouteState::Resting || failed.elapsed() >= REST_MAX, "{state:?} after {:?}", failed.elapsed());
}

//! Searches over surrogates of one and several sites, between real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use flame_router::Config;
use flame_router::config::Searchable;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use tokio::net::TcpListener;

use crate::peers::Row;
use crate::world::{Service, World, problem};

const PATIENCE: Duration = Duration::from_secs(10);

/// A surrogate that answers everything the same way, and counts.
struct Surrogate {
    service: Service,
    asked: Arc<AtomicUsize>,
}

// === impl Surrogate ===

impl Surrogate {
    async fn new(status: u16, body: &'static str) -> Self {
        Self::with(status, &[], body).await
    }

    async fn with(status: u16, fields: &'static [(&'static str, &'static str)], body: &'static str) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let answer = async move |_: Request| {
            count.fetch_add(1, Ordering::SeqCst);
            let headers: HeaderMap =
                fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            (StatusCode::from_u16(status).unwrap(), headers, body)
        };
        Self { service: Service::start(Router::new().fallback(answer)).await, asked }
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

fn searchable(authority: Option<&str>) -> Vec<Searchable> {
    vec![Searchable { name: "media".to_owned(), authority: authority.map(str::to_owned) }]
}

/// Waits until the router knows `count` endpoints.
async fn knows(world: &World, count: usize) {
    eventually(PATIENCE, || async {
        let known = world.client().endpoints().await.map_err(|error| error.to_string())?.items.len();
        if known == count { Ok(()) } else { Err(format!("{known} of {count}")) }
    })
    .await;
}

async fn traced(world: &World, path: &str) -> (u16, String, String) {
    let answer = world.http.get(world.url(path)).header("flame-trace", "?1").send().await.unwrap();
    let trace = answer.headers().get("flame-trace").map_or("", |field| field.to_str().unwrap()).to_owned();
    (answer.status().as_u16(), answer.text().await.unwrap(), trace)
}

#[tokio::test]
async fn a_failure_is_answered_by_the_next_surrogate() {
    let world = World::start().await;
    let (bad, good) = (Surrogate::new(500, "broken").await, Surrogate::new(200, "whole").await);
    world.register("media", &bad.service).await;
    world.register("media", &good.service).await;
    for _ in 0..20 {
        let answer = world.get("/~media/x?y=z").await;
        assert_eq!((answer.status().as_u16(), answer.headers().get("flame-trace")), (200, None));
        assert_eq!(answer.text().await.unwrap(), "whole");
    }
    assert_eq!(good.asked(), 20);
    assert!(bad.asked() > 0, "the one that fails was never asked: the test shows nothing");
    let head = world.http.head(world.url("/~media/x")).send().await.unwrap();
    assert_eq!(head.status(), 200);
}

#[tokio::test]
async fn the_status_says_whether_another_one_is_asked() {
    for (status, is_searched) in
        [(421, true), (500, true), (507, true), (511, true), (501, false), (505, false), (400, false), (404, false)]
    {
        let world = World::start().await;
        let (odd, good) = (Surrogate::new(status, "odd").await, Surrogate::new(200, "good").await);
        world.register("media", &odd.service).await;
        world.register("media", &good.service).await;
        // Which of the two is asked first is a matter of chance and of how quick they are.
        let mut asked = 0;
        for request in 0..200 {
            let method = if request % 2 == 0 { reqwest::Method::GET } else { reqwest::Method::HEAD };
            let answer = world.http.request(method.clone(), world.url("/~media/x")).send().await.unwrap();
            let was_odd = odd.asked();
            let wanted = if was_odd == 1 && !is_searched { status } else { 200 };
            assert_eq!((was_odd <= 1, answer.status().as_u16()), (true, wanted), "{method} {status}");
            let body = answer.text().await.unwrap();
            let said = if method == reqwest::Method::HEAD {
                ""
            } else if wanted == 200 {
                "good"
            } else {
                "odd"
            };
            assert_eq!(body, said, "{method} {status}");
            asked += was_odd;
            if asked >= 4 {
                break;
            }
        }
        assert!(asked > 0, "the one that says {status} was never asked: the test shows nothing");
    }
}

#[tokio::test]
async fn without_indirection_a_failure_stays_one() {
    let world = World::with(|config| config.search.enabled = false).await;
    let (bad, good) = (Surrogate::new(500, "broken").await, Surrogate::new(200, "whole").await);
    world.register("media", &bad.service).await;
    world.register("media", &good.service).await;
    let mut failed = 0;
    for _ in 0..40 {
        failed += usize::from(world.get("/~media/x").await.status() == 500);
    }
    assert!(failed > 0);
    assert_eq!((bad.asked(), good.asked()), (failed, 40 - failed));
}

#[tokio::test]
async fn a_post_is_never_repeated_and_neither_is_a_get_with_a_body() {
    let world = World::start().await;
    let surrogates = [Surrogate::new(500, "one").await, Surrogate::new(503, "two").await];
    for surrogate in &surrogates {
        world.register("media", &surrogate.service).await;
    }
    let asked = || surrogates.iter().map(Surrogate::asked).sum::<usize>();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let method: reqwest::Method = method.parse().unwrap();
        let answer = world.http.request(method.clone(), world.url("/~media/x")).send().await.unwrap();
        assert!(answer.status().is_server_error());
        assert_eq!(asked(), 1, "{method}");
    }
    world.http.get(world.url("/~media/x")).body("body").send().await.unwrap();
    assert_eq!(asked(), 1);
    world.get("/~media/x").await;
    assert_eq!(asked(), 2);
}

#[tokio::test]
async fn when_all_fail_the_last_honest_answer_is_passed_on() {
    let world = World::start().await;
    let surrogates =
        [Surrogate::new(500, "broken").await, Surrogate::new(502, "broken").await, Surrogate::new(504, "broken").await];
    for surrogate in &surrogates {
        world.register("media", &surrogate.service).await;
    }
    // One that is gone has nothing to say, whenever it is tried.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.register_address("media", listener.local_addr().unwrap()).await;
    drop(listener);
    for _ in 0..10 {
        let (status, body, trace) = traced(&world, "/~media/x").await;
        assert_eq!(body, "broken", "{trace}");
        let said: Vec<_> = trace.split(", ").filter_map(|step| Some(step.split_once(";status=")?.1)).collect();
        assert!(said.last().unwrap().starts_with(&status.to_string()), "{status} is not the last of {trace}");
        assert_eq!(said.len(), 3, "{trace}");
        for surrogate in &surrogates {
            assert_eq!(surrogate.asked(), 1, "{trace}");
        }
    }
}

#[tokio::test]
async fn a_404_is_searched_on_for_declared_names_only_and_the_authority_is_asked_last() {
    let world = World::with(|config| config.search.names = searchable(Some("origin"))).await;
    let (one, two) = (Surrogate::new(404, "not here").await, Surrogate::new(404, "nor here").await);
    let origin = Surrogate::new(200, "from the origin").await;
    world.register("media", &one.service).await;
    world.register("media", &two.service).await;
    world.register("other", &one.service).await;
    world.register("origin", &origin.service).await;
    let (status, body, trace) = traced(&world, "/~media/x").await;
    assert_eq!((status, body.as_str()), (200, "from the origin"), "{trace}");
    assert_eq!([one.asked(), two.asked(), origin.asked()], [1, 1, 1]);
    assert_eq!(trace.matches("status=404").count(), 2, "{trace}");
    assert!(trace.rsplit(", ").next().unwrap().contains("status=200"), "{trace}");
    assert_eq!(traced(&world, "/~other/x").await.0, 404);
    assert_eq!([one.asked(), two.asked()], [1, 0]);
    // The authority's 404 is the answer; without the authority nobody can say that a thing is not there.
    drop(origin);
    let answer = world.get("/~media/x").await;
    assert_eq!(problem(answer).await.status, 503);
}

#[tokio::test]
async fn the_authority_s_404_is_the_answer() {
    let world = World::with(|config| config.search.names = searchable(Some("origin"))).await;
    let (cache, origin) = (Surrogate::new(404, "not cached").await, Surrogate::new(404, "not there").await);
    world.register("media", &cache.service).await;
    world.register("origin", &origin.service).await;
    let (status, body, _) = traced(&world, "/~media/x").await;
    assert_eq!((status, body.as_str()), (404, "not there"));
}

#[tokio::test]
async fn who_has_no_room_is_left_alone_while_it_says_so_and_only_room_is_searched_for() {
    let world = World::start().await;
    let fields = &[("retry-after", "20")];
    let (full, free) = (Surrogate::with(503, fields, "full").await, Surrogate::new(200, "room").await);
    world.register("media", &full.service).await;
    world.register("media", &free.service).await;
    for _ in 0..20 {
        assert_eq!(world.get("/~media/x").await.status(), 200);
    }
    // By chance the free one was asked first, and the other never; but nobody asks it twice.
    assert!(full.asked() <= 1 && free.asked() == 20);
    // Two that are full: the second is asked once, and then nobody asks a full one for the sake of another.
    let world = World::start().await;
    let (one, two) = (Surrogate::with(503, fields, "full").await, Surrogate::with(503, fields, "full").await);
    world.register("media", &one.service).await;
    world.register("media", &two.service).await;
    for _ in 0..20 {
        let answer = world.get("/~media/x").await;
        assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (503, "20"));
    }
    let asked = one.asked() + two.asked();
    assert!(asked <= 22, "{asked} for 20 requests");
    // 429 is about whoever asked: it makes nobody full, and searches beyond the second are paid.
    let world = World::with(|config| config.upstream.repeat_burst = 2).await;
    let mut limited = Vec::new();
    for _ in 0..4 {
        let surrogate = Surrogate::with(429, fields, "slowly").await;
        world.register("media", &surrogate.service).await;
        limited.push(surrogate);
    }
    for _ in 0..20 {
        assert_eq!(world.get("/~media/x").await.status(), 429);
    }
    let asked: usize = limited.iter().map(Surrogate::asked).sum();
    assert!((40..=50).contains(&asked), "{asked} for 20 requests");
}

fn search_of_three_sites(config: &mut Config) {
    config.search.names = searchable(Some("s2--media"));
}

#[tokio::test]
async fn the_only_one_of_nested_surrogates_over_sites_that_has_it_is_found() {
    let row = Row::of(3);
    let worlds = row.routers(search_of_three_sites).await;
    let mut surrogates = Vec::new();
    for n in 0..9 {
        let surrogate = Surrogate::new(404, "not here").await;
        worlds[n % 3].register("media", &surrogate.service).await;
        surrogates.push(surrogate);
    }
    let only = Surrogate::new(200, "found").await;
    worlds[1].register("media", &only.service).await;
    knows(&worlds[0], 10).await;
    // Two at the own site besides the first, then one nested step with its own: 4 of the next site at most.
    let (status, body, trace) = traced(&worlds[0], "/~media/x").await;
    assert_eq!((status, body.as_str()), (200, "found"), "{trace}");
    assert_eq!(only.asked(), 1, "{trace}");
    let asked = |site: usize| (0..9).filter(|n| n % 3 == site).map(|n| surrogates[n].asked()).collect::<Vec<_>>();
    assert_eq!(asked(0), [1, 1, 1], "the own site first");
    assert!(asked(1).iter().all(|times| *times <= 1), "{trace}");
    assert_eq!(asked(2), [0, 0, 0], "the authority's site last: {trace}");
    assert!(trace.ends_with(&format!("\"s1\";status=200;ms={}", trace.rsplit("ms=").next().unwrap())), "{trace}");
    assert_eq!(trace.matches("\"s0/").count(), 3, "{trace}");
}

#[tokio::test]
async fn nowhere_found_the_authority_s_site_says_so_and_hops_are_kept() {
    let row = Row::of(3);
    let worlds = row.routers(search_of_three_sites).await;
    let mut surrogates = Vec::new();
    for site in [0, 1, 2] {
        let surrogate = Surrogate::new(404, if site == 2 { "not there" } else { "not here" }).await;
        worlds[site].register("media", &surrogate.service).await;
        surrogates.push(surrogate);
    }
    knows(&worlds[0], 3).await;
    knows(&worlds[1], 3).await;
    let (status, body, trace) = traced(&worlds[0], "/~media/x").await;
    assert_eq!((status, body.as_str()), (404, "not there"), "{trace}");
    assert_eq!(surrogates.iter().map(Surrogate::asked).collect::<Vec<_>>(), [1, 1, 1], "{trace}");
    // A request that was nested stays at its site, and says what it took.
    let nested = worlds[0].http.get(worlds[0].url("/~media/x")).header("flame-search", "nested;hops=5");
    let answer = nested.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["flame-search"]), (404, &"nested;hops=0".parse().unwrap()));
    assert_eq!(surrogates.iter().map(Surrogate::asked).collect::<Vec<_>>(), [1, 0, 0]);
}

#[tokio::test]
async fn a_lost_router_s_surrogates_are_asked_themselves() {
    let row = Row::of(2);
    let mut worlds = row.routers(|config| config.search.names = searchable(None)).await;
    let (empty, only) = (Surrogate::new(404, "not here").await, Surrogate::new(200, "found").await);
    worlds[0].register("media", &empty.service).await;
    worlds[1].register("media", &only.service).await;
    knows(&worlds[0], 2).await;
    worlds.remove(1).router.stop().await;
    let (status, body, trace) = traced(&worlds[0], "/~media/x").await;
    assert_eq!((status, body.as_str()), (200, "found"), "{trace}");
}

#[tokio::test]
async fn a_surrogate_that_hangs_costs_its_step_and_the_search_its_deadline() {
    let world = World::with(|config| {
        config.search.names = searchable(Some("hangs"));
        config.search.step_timeout = Span(Duration::from_millis(150));
        config.search.deadline = Span(Duration::from_millis(500));
    })
    .await;
    let bad = Surrogate::new(500, "broken").await;
    world.register("media", &bad.service).await;
    let mut hanging = Vec::new();
    for _ in 0..6 {
        let service = Service::talking(async |stream| drop((stream, std::future::pending::<()>().await))).await;
        world.register("hangs", &service).await;
        hanging.push(service);
    }
    let began = Instant::now();
    let (status, body, trace) = traced(&world, "/~media/x").await;
    let took = began.elapsed();
    assert_eq!((status, body.as_str()), (500, "broken"), "{trace}");
    assert_eq!(trace.matches("/").count(), 5, "three steps of 150 ms, and what was left of the deadline: {trace}");
    assert!(took >= Duration::from_millis(450) && took < Duration::from_secs(5), "{took:?}: {trace}");
}

#[tokio::test]
async fn a_circle_of_routers_ends() {
    let (one, two) = (World::start().await, World::start().await);
    one.register_address("media", two.address()).await;
    two.register_address("media", one.address()).await;
    let began = Instant::now();
    let asked = one.http.get(one.url("/x")).header("host", "media.localhost").send();
    let answer = tokio::time::timeout(PATIENCE, asked).await.expect("it ends").unwrap();
    assert_eq!(answer.status().as_u16(), 508);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // A surrogate that asks by another name on the way is no circle.
    let (mine, _cache, _origin) = world_that_asks_itself().await;
    assert_eq!(mine.get("/~media/x").await.text().await.unwrap(), "from behind");
}

/// `media` is a cache that asks the same router for `origin`, and passes `CDN-Loop` on as it has to.
async fn world_that_asks_itself() -> (World, Service, Service) {
    let world = World::start().await;
    let (http, url) = (world.http.clone(), world.url("/~origin/x"));
    let cache = Service::start(Router::new().fallback(async move |request: Request| {
        let marks = request.headers()["cdn-loop"].clone();
        http.get(&url).header("cdn-loop", marks).send().await.unwrap().text().await.unwrap()
    }));
    let cache = cache.await;
    let origin = Service::start(Router::new().fallback(async || "from behind")).await;
    world.register("media", &cache).await;
    world.register("origin", &origin).await;
    (world, cache, origin)
}

#[tokio::test]
async fn what_a_client_or_a_surrogate_says_of_searches_does_not_pass() {
    let world = World::start().await;
    let fields = &[("flame-trace", "\"lie\""), ("flame-search", "nested;hops=9")];
    let surrogate = Surrogate::with(200, fields, "").await;
    world.register("media", &surrogate.service).await;
    let answer = world.get("/~media/x").await;
    assert!(!answer.headers().contains_key("flame-trace") && !answer.headers().contains_key("flame-search"));
    let echo = Service::echo().await;
    world.register("echo", &echo).await;
    let request = world.http.get(world.url("/~echo/")).header("flame-trace", "?1").header("flame-search", "nested");
    let seen = request.send().await.unwrap().text().await.unwrap();
    assert!(!seen.contains("flame-trace") && !seen.contains("flame-search"), "{seen}");
    assert!(seen.contains("cdn-loop: flame-") && seen.contains(";name=echo.main"), "{seen}");
}

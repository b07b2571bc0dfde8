//! Sticky names: whose request it is decides, as long as his endpoint serves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Router;
use flame_api::router::Explanation;
use flame_router::config::{StickyBy, StickyConfig};
use rustix::process::Signal;

use crate::instance::Instance;
use crate::world::{Service, World};

const WORDS: [&str; 4] = ["0", "1", "2", "3"];

async fn world(by: StickyBy, field: Option<&str>) -> World {
    let field = field.map(str::to_owned);
    World::with(|config| config.sticky = vec![StickyConfig { name: "a".to_owned(), by, field }]).await
}

/// Four endpoints that say who they are.
async fn four(world: &World) -> Vec<Service> {
    let mut services = Vec::new();
    for word in WORDS {
        let service = Service::start(Router::new().fallback(async move || word)).await;
        world.register("a", &service).await;
        services.push(service);
    }
    services
}

#[tokio::test]
async fn a_session_stays_where_it_is_and_only_those_of_a_drained_endpoint_move() {
    let world = world(StickyBy::Header, Some("x-session")).await;
    let _services = four(&world).await;
    let ask = async |session: usize| {
        let request = world.http.get(world.url("/~a/x")).header("x-session", session.to_string());
        request.send().await.unwrap().text().await.unwrap()
    };
    let mut at = BTreeMap::new();
    for session in 0..100 {
        at.insert(session, ask(session).await);
    }
    for word in WORDS {
        let share = at.values().filter(|at| *at == word).count();
        assert!((10..=45).contains(&share), "{share} of 100 sessions are at {word}");
    }
    for (session, at) in &at {
        assert_eq!(ask(*session).await, *at);
    }
    let first = world.client().endpoints().await.unwrap().items.remove(0);
    world.client().drain("a", &first.endpoint).await.unwrap();
    let moved: Vec<_> = {
        let mut moved = Vec::new();
        for (session, before) in &at {
            let now = ask(*session).await;
            if now != *before {
                moved.push(before.clone());
            }
        }
        moved
    };
    let gone = &moved[0];
    assert!(moved.iter().all(|before| before == gone), "others moved too: {moved:?}");
    assert_eq!(moved.len(), at.values().filter(|at| *at == gone).count());
}

#[tokio::test]
async fn the_router_s_cookie_is_set_once_kept_from_endpoints_and_explained() {
    let world = world(StickyBy::Cookie, None).await;
    let echo = [Service::echo().await, Service::echo().await];
    for service in &echo {
        world.register("a", service).await;
    }
    let answer = world.get("/~a/x").await;
    let set = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(set.starts_with("flame-sticky=") && set.ends_with("; Path=/~a/; HttpOnly; SameSite=Lax"), "{set}");
    let cookie = set.split(';').next().unwrap().to_owned();
    for _ in 0..10 {
        let request = world.http.get(world.url("/~a/x")).header("cookie", format!("x=1; {cookie}"));
        let answer = request.send().await.unwrap();
        assert!(!answer.headers().contains_key("set-cookie"));
        let seen = answer.text().await.unwrap();
        assert!(seen.contains("\ncookie: x=1\n") && !seen.contains("flame-sticky"), "{seen}");
    }
    let key = cookie.split_once('=').unwrap().1;
    let explain = async |query: &str| {
        let answer = world.get(&format!("/api/router/explain?url=/~a/x{query}")).await;
        answer.json::<Explanation>().await.unwrap()
    };
    let first = explain(&format!("&sticky={key}")).await;
    assert!(first.reason.contains("sticky by the cookie `flame-sticky`"), "{}", first.reason);
    let own = first.chosen.unwrap().endpoint;
    for _ in 0..20 {
        assert_eq!(explain(&format!("&sticky={key}")).await.chosen.unwrap().endpoint, own);
    }
    assert!(explain("").await.reason.contains("without it"), "{}", explain("").await.reason);
}

#[tokio::test]
async fn a_session_leaves_an_endpoint_that_hangs_and_comes_back() {
    let world = world(StickyBy::Query, Some("s")).await;
    let instances = [Instance::start().await, Instance::start().await];
    for instance in &instances {
        world.register_address("a", instance.address).await;
    }
    let explained = async || {
        let answer = world.get("/api/router/explain?url=/~a/1024%3Fs%3Dme").await;
        answer.json::<Explanation>().await.unwrap().chosen.unwrap().address
    };
    let own = explained().await;
    assert_eq!(world.get("/~a/1024?s=me").await.status(), 200);
    let hung = instances.iter().find(|instance| instance.address == own).unwrap();
    hung.signal(Signal::STOP);
    let began = Instant::now();
    assert_eq!(world.get("/~a/1024?s=me").await.status(), 200);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // Another answered in its place; that it hangs is known once what was sent to it is late beyond doubt.
    flame_test_kit::eventually(Duration::from_secs(5), || async {
        let now = explained().await;
        if now == own { Err(now) } else { Ok(()) }
    })
    .await;
    assert_eq!(world.get("/~a/1024?s=me").await.status(), 200);
    hung.signal(Signal::CONT);
    flame_test_kit::eventually(Duration::from_secs(20), || async {
        let now = explained().await;
        if now == own { Ok(()) } else { Err(now) }
    })
    .await;
}

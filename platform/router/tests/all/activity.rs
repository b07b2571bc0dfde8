//! What a router says of requests that did not go straight through.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use flame_api::router::{Activity, ActivityKind};
use flame_service_host::keys::{self, Grant};
use flame_test_kit::Scratch;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::instance::{Instance, bytes};
use crate::world::{Service, World, read_head};

async fn activity(world: &World, after: u64) -> Activity {
    world.get(&format!("/api/router/activity?after={after}")).await.json().await.unwrap()
}

/// Asks for `path` until the router tells of `kind`; what it tells then.
async fn until(world: &World, path: &str, kind: ActivityKind) -> Activity {
    for _ in 0..100 {
        let _ = world.get(path).await.bytes().await;
        let told = activity(world, 0).await;
        if told.totals.as_ref().is_some_and(|totals| totals.counts[&kind] > 0) {
            return told;
        }
    }
    panic!("{kind:?} never happened");
}

async fn answering(status: StatusCode) -> Service {
    Service::start(Router::new().fallback(async move || (status, "answer"))).await
}

#[tokio::test]
async fn requests_that_are_asked_again_elsewhere_are_told_with_where_they_were_and_why() {
    let world = World::start().await;
    let breaks_off = Service::talking(|mut stream: TcpStream| async move {
        read_head(&mut stream).await;
    });
    let silent = Service::talking(|mut stream: TcpStream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let liar = Service::talking(|mut stream: TcpStream| async move {
        read_head(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\netag: \"1024\"\r\ncontent-length: 1024\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&bytes(1024)[..500]).await;
    });
    let (breaks_off, silent, liar) = tokio::join!(breaks_off, silent, liar);
    let honest = Instance::start().await;
    let cases = [
        ("again", &breaks_off, ActivityKind::Retried, "broke off"),
        ("late", &silent, ActivityKind::Hedged, "no answer after"),
        ("rest", &liar, ActivityKind::Resumed, "broke off after 500 bytes"),
    ];
    for (name, bad, kind, why) in cases {
        world.register(name, bad).await;
        world.register_address(name, honest.address).await;
        let told = until(&world, &format!("/~{name}/1024"), kind).await;
        let event = told.events.iter().find(|event| event.kind == kind).unwrap();
        assert_eq!(event.name, format!("{name}.main"));
        assert!(event.why.contains(why), "{event:?}");
        let (from, to) = (event.from_endpoint.as_ref().unwrap(), event.to_endpoint.as_ref().unwrap());
        assert_ne!(from, to, "{event:?}");
        assert_eq!((event.from_site.as_deref(), event.to_site.as_deref()), (Some("local"), Some("local")));
        // Nothing is told twice to who says what he knows.
        assert_eq!(activity(&world, told.last).await.events, []);
    }
    let metrics = world.get("/metrics").await.text().await.unwrap();
    for kind in ["retried", "hedged", "resumed"] {
        let line = metrics.lines().find(|line| line.contains(&format!("flame_router_switches_total{{kind=\"{kind}\"")));
        assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{metrics}");
    }
}

#[tokio::test]
async fn searches_are_told_with_what_came_of_them() {
    let world = World::start().await;
    let (bad, worse, good) = tokio::join!(
        answering(StatusCode::INTERNAL_SERVER_ERROR),
        answering(StatusCode::BAD_GATEWAY),
        answering(StatusCode::OK)
    );
    for (name, other) in [("one", &good), ("none", &worse)] {
        world.register(name, &bad).await;
        world.register(name, other).await;
    }
    let found = until(&world, "/~one/x", ActivityKind::Found).await;
    let event = found.events.iter().find(|event| event.kind == ActivityKind::Found).unwrap();
    assert_eq!((event.name.as_str(), event.why.as_str()), ("one.main", "it said 500; 1 more asked"));
    assert!(event.from_endpoint.is_some() && event.to_endpoint.is_some() && event.from_endpoint != event.to_endpoint);

    let missed = until(&world, "/~none/x", ActivityKind::Missed).await;
    let event = missed.events.iter().find(|event| event.kind == ActivityKind::Missed).unwrap();
    assert_eq!((event.name.as_str(), &event.to_endpoint), ("none.main", &None));
    assert!(event.why.contains("1 more asked"), "{event:?}");
}

#[tokio::test]
async fn a_tenant_is_told_of_its_own_names_and_the_shared_ones() {
    let folder = Scratch::new("activity-keys");
    keys::ensure(&folder).unwrap();
    let world = World::with(|config| config.host.auth.keys = Some(folder.to_path_buf())).await;
    let token = |tenant: &str, scope: &str| {
        let (subject, life) = ("test".to_owned(), Duration::from_secs(600));
        keys::issue(&folder, &Grant { subject, tenant: tenant.to_owned(), scope: scope.to_owned(), life }).unwrap().0
    };
    let service = token("default", "service admin read");
    let (bad, good) = tokio::join!(answering(StatusCode::INTERNAL_SERVER_ERROR), answering(StatusCode::OK));
    for (name, tenant) in [("shared.main", "default"), ("own.main.acme", "acme")] {
        for (endpoint, service_at) in [("e1", &bad), ("e2", &good)] {
            let url = world.url(&format!("/api/router/endpoints/{name}/{endpoint}"));
            let body = serde_json::json!({ "address": service_at.address, "generation": 1, "ttl_ms": 60_000 });
            let put = world.http.put(url).bearer_auth(&service).header("flame-tenant", tenant);
            let answer = put.json(&body).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        }
    }
    let told = async |token: &str| {
        let answer = world.http.get(world.url("/api/router/activity")).bearer_auth(token).send().await.unwrap();
        let told: Activity = answer.error_for_status().unwrap().json().await.unwrap();
        told.events.into_iter().map(|event| event.name).collect::<BTreeSet<_>>()
    };
    let all = BTreeSet::from(["shared.main".to_owned(), "own.main.acme".to_owned()]);
    for _ in 0..100 {
        world.get("/~shared/x").await;
        world.get("/~own.main.acme/x").await;
        if told(&service).await == all {
            break;
        }
    }
    assert_eq!(told(&service).await, all);
    assert_eq!(told(&token("acme", "read")).await, all);
    assert_eq!(told(&token("other", "read")).await, BTreeSet::from(["shared.main".to_owned()]));
    let refused = world.http.get(world.url("/api/router/activity")).bearer_auth(token("acme", "write")).send().await;
    assert_eq!(refused.unwrap().status(), 403);
}

//! Routers, endpoints and clients that reach each other by IPv6. Groups of multicast are of IPv4, also then.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use flame_test_kit::{eventually, loud_skip};
use tokio::net::TcpListener;

use crate::multicast::{Origin, ask, body, measured, sites_in};
use crate::peers::Row;
use crate::world::Service;

const HERE: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A listener at `::1`; nothing where this machine has none.
async fn listener() -> Option<TcpListener> {
    match TcpListener::bind((HERE, 0)).await {
        Ok(listener) => Some(listener),
        Err(error) => {
            loud_skip(&format!("no IPv6 on this machine: {error}"));
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routers_endpoints_and_clients_meet_by_ipv6() {
    let Some(listener) = listener().await else { return };
    let row = Row::at(HERE, 2);
    let worlds = row.routers(|_| {}).await;
    let seen = async |fields: HeaderMap| {
        let said = |name: &str| fields.get(name).map_or("nothing", |value| value.to_str().unwrap()).to_owned();
        format!("{}\n{}", said("forwarded"), said("x-forwarded-for"))
    };
    let endpoint = Service::on(listener, Router::new().fallback(seen));
    worlds[0].register("media", &endpoint).await;
    for world in &worlds {
        let host = world.address().to_string();
        let said = format!("for=\"[::1]\";host=\"{host}\";proto=http\n::1");
        eventually(Duration::from_secs(10), || async {
            let answer = world.get("/~media/x").await;
            if answer.status() == 200 { Ok(()) } else { Err(answer.status()) }
        })
        .await;
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            assert_eq!(world.curl(&[version, "--globoff", &world.url("/~media/x")]).await, said, "{version}");
        }
        // By the name's own host, too.
        let named = world.http.get(world.url("/x")).header("host", "media.localhost").send().await.unwrap();
        assert_eq!(named.status(), 200);
    }
    let routes = worlds[1].client().routes().await.unwrap().items;
    assert!(routes.len() == 1 && routes[0].address == endpoint.address && routes[0].site == "s0", "{routes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routers_that_meet_by_ipv6_share_answers_by_groups_of_ipv4() {
    if listener().await.is_none() {
        return;
    }
    let origin = Origin::start().await;
    let (_row, worlds) = sites_in(Row::at(HERE, 3), &origin.service, [true; 3], |_| {}).await;
    let bodies = ask(&worlds[1..], "/~media/shared", 10, &origin, 1).await;
    assert!(bodies.len() == 20 && bodies.iter().all(|got| *got == body()));
    assert_eq!(origin.asked(), 1);
    eventually(Duration::from_secs(10), || async {
        let size = measured(&worlds[0], "flame_multicast_group_size_sum").await;
        if size == 2.0 { Ok(()) } else { Err(format!("groups of {size} in all")) }
    })
    .await;
}

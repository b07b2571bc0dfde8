//! Two sites whose routers know each other by certificate: feeds, nested searches, and the leg of a multicast answer.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{StatusCode, header};
use axum::routing::get;
use flame_api::peers::PeerState;
use flame_credentials::standing::ANY_ROUTER;
use flame_credentials::{Current, Role};
use flame_router::Config;
use flame_service_host::Running;
use flame_test_kit::eventually;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;

use crate::realm::{PATIENCE, Realm, Router, as_part, serve};

const BODY_BYTES: usize = 1 << 20;

/// Two sites, 10 ms apart; the authority is at `s0`.
struct Pair {
    realm: Realm,
    ports: [u16; 2],
}

// === impl Pair ===

impl Pair {
    fn new(name: &str) -> Self {
        let (realm, ports) = (Realm::new(name), flame_test_kit::ports::free_tcp::<2>());
        let site = |n: usize| format!("[[sites]]\nname = \"s{n}\"\nrouter = \"127.0.0.1:{}\"\n", ports[n]);
        let link = "[[links]]\nbetween = [\"s0\", \"s1\"]\nlatency_ms = 10\nbandwidth_mbps = 100\n";
        std::fs::write(realm.folder.join("sites.toml"), format!("version = 1\n{}{}{link}", site(0), site(1))).unwrap();
        Self { realm, ports }
    }

    fn place(&self, config: &mut Config, n: usize) {
        config.host.listen.set_port(self.ports[n]);
        config.site = format!("s{n}");
        config.sites = Some(self.realm.folder.join("sites.toml"));
    }

    async fn routers(&self, change: impl Fn(&mut Config)) -> [Router; 2] {
        let holder = self.realm.router(|config| {
            self.place(config, 0);
            change(config);
        });
        let holder = holder.await;
        let token = self.realm.token(Role::Router, "s1", &[]);
        let other = Router::start(|config| {
            self.place(config, 1);
            config.host.tls = Some(self.realm.tls("router-1", Some(&holder.url()), Some(token)));
            change(config);
        });
        let other = other.await.unwrap();
        let routers = [holder, other];
        for router in &routers {
            self.peer_is(router, PeerState::Connected).await;
        }
        routers
    }

    async fn peer_is(&self, router: &Router, state: PeerState) -> String {
        let asks = as_part(&self.realm.member(Role::Router, "s0", &[]), router);
        eventually(PATIENCE, || async {
            let peer = asks.peers().await.map_err(|error| error.to_string())?.items.remove(0);
            if peer.state == state { Ok(peer.error.unwrap_or_default()) } else { Err(format!("{peer:?}")) }
        })
        .await
    }

    async fn service(&self, n: usize, router: &Router, holder: &Router, public: OpenApiRouter) -> Running {
        let token = self.realm.token(Role::Service, &format!("s{n}"), &["media"]);
        let tls = self.realm.tls(&format!("media-{n}"), Some(&holder.url()), Some(token));
        serve("media", &router.url(), tls, public).await.unwrap()
    }
}

#[tokio::test]
async fn feeds_and_nested_searches_go_between_routers_that_know_each_other() {
    let pair = Pair::new("mtls-feeds");
    let [near, far] = pair.routers(|_| {}).await;
    let good = OpenApiRouter::new().route("/who", get(async || "far"));
    let kept = pair.service(1, &far, &near, good).await;
    // What is registered there is known here, and asked under the name that its certificate lists.
    near.answers("/~media/who", "far").await;
    let bad = OpenApiRouter::new().route("/who", get(async || (StatusCode::INTERNAL_SERVER_ERROR, "broken")));
    let broken = pair.service(0, &near, &near, bad).await;
    let asks = as_part(&pair.realm.member(Role::Router, "s0", &[]), &near);
    eventually(PATIENCE, || async {
        let count = asks.endpoints().await.map_err(|error| error.to_string())?.items.len();
        if count == 2 { Ok(()) } else { Err(format!("{count} of 2")) }
    })
    .await;
    let answer = near.http.get(format!("http://{}/~media/who", near.viewers)).header("flame-trace", "?1").send();
    let answer = answer.await.unwrap();
    let trace = answer.headers()["flame-trace"].to_str().unwrap().to_owned();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, "far"), "{trace}");
    // Its own endpoint, the one that the other router asked, and that router.
    let visits: Vec<_> = trace.split(", ").map(|visit| visit.split(';').next().unwrap().to_owned()).collect();
    assert!(visits.len() == 3 && visits[2] == "\"s1\"" && visits[1].starts_with("\"s1/"), "{trace}");
    drop((kept, broken));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_answer_comes_over_a_leg_of_tls() {
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let group = SocketAddrV4::new(Ipv4Addr::new(239, 255, 71, 2), probe.local_addr().unwrap().port());
    drop(probe);
    let pair = Pair::new("mtls-multicast");
    let [origin, edge] = pair
        .routers(|config| {
            config.multicast.enabled = true;
            config.multicast.groups = vec![group];
        })
        .await;
    let (asked, may) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (counts, waits) = (Arc::clone(&asked), Arc::clone(&may));
    let answer = get(move || {
        counts.fetch_add(1, Ordering::SeqCst);
        let waits = Arc::clone(&waits);
        async move {
            waits.acquire().await.unwrap().forget();
            ([(header::CACHE_CONTROL, "public, max-age=60")], vec![7_u8; BODY_BYTES])
        }
    });
    let service = pair.service(0, &origin, &origin, OpenApiRouter::new().route("/shared", answer)).await;
    eventually(PATIENCE, || async {
        // Whether it is known, without asking it.
        let asks = as_part(&pair.realm.member(Role::Router, "s0", &[]), &edge);
        let known = asks.endpoints().await.map_err(|error| error.to_string())?.items;
        if known.is_empty() { Err("the endpoint is not known yet".to_owned()) } else { Ok(()) }
    })
    .await;
    let url = format!("http://{}/~media/shared", edge.viewers);
    let requests = (0..6).map(|_| async { edge.http.get(&url).send().await.unwrap().bytes().await.unwrap() });
    let opens = async {
        eventually(PATIENCE, || {
            let count = asked.load(Ordering::SeqCst);
            async move { if count > 0 { Ok(()) } else { Err("nobody asked") } }
        })
        .await;
        may.add_permits(1000);
    };
    let (bodies, ()) = tokio::join!(join_all(requests), opens);
    assert!(bodies.iter().all(|body| body.len() == BODY_BYTES && body.iter().all(|byte| *byte == 7)));
    assert_eq!(asked.load(Ordering::SeqCst), 1, "one fetch for all");
    drop(service);
}

/// The status that a request for a leg gets over a connection with that certificate.
async fn asks_for_a_leg(current: Option<&Current>, router: &Router) -> u16 {
    let mut http = reqwest::Client::builder().no_proxy();
    let mut url = format!("http://{}/~media/shared", router.viewers);
    if let Some(current) = current {
        http = http.tls_backend_preconfigured(current.client_expecting(ANY_ROUTER).unwrap());
        url = router.url().join("/~media/shared").unwrap().to_string();
    }
    let request = http.http1_only().build().unwrap().get(url).header(header::CONNECTION, "upgrade");
    request.header(header::UPGRADE, flame_multicast::leg::PROTOCOL).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_shows_the_certificate_of_a_router_takes_part_in_a_multicast() {
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let group = SocketAddrV4::new(Ipv4Addr::new(239, 255, 71, 3), probe.local_addr().unwrap().port());
    drop(probe);
    let pair = Pair::new("mtls-members");
    let [origin, _edge] = pair
        .routers(|config| {
            config.multicast.enabled = true;
            config.multicast.groups = vec![group];
        })
        .await;
    let answer = get(async || ([(header::CACHE_CONTROL, "public, max-age=60")], vec![7_u8; BODY_BYTES]));
    let service = pair.service(0, &origin, &origin, OpenApiRouter::new().route("/shared", answer)).await;
    eventually(PATIENCE, || async {
        let (status, _) = origin.get("/~media/shared").await;
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
    // The address is that of a router in every case: with certificates it counts for nothing.
    assert_eq!(asks_for_a_leg(None, &origin).await, 200);
    let of_service = pair.realm.member(Role::Service, "s1", &["other"]);
    assert_eq!(asks_for_a_leg(Some(&of_service), &origin).await, 200);
    let of_router = pair.realm.member(Role::Router, "s1", &[]);
    assert_eq!(asks_for_a_leg(Some(&of_router), &origin).await, 101);
    drop(service);
}

#[tokio::test]
async fn a_router_is_believed_about_its_own_site_only() {
    let pair = Pair::new("mtls-liar");
    let holder = pair.realm.router(|config| pair.place(config, 0)).await;
    // A router of another site of the same authority, at the address that the site file gives to s1.
    let token = pair.realm.token(Role::Router, "s2", &[]);
    let liar = Router::start(|config| {
        config.host.listen.set_port(pair.ports[1]);
        config.site = "s2".to_owned();
        config.host.tls = Some(pair.realm.tls("liar", Some(&holder.url()), Some(token)));
    });
    let liar = liar.await.unwrap();
    let asks = as_part(&pair.realm.member(Role::Router, "s0", &[]), &holder);
    let error = eventually(PATIENCE, || async {
        let peer = asks.peers().await.map_err(|error| error.to_string())?.items.remove(0);
        peer.error.clone().filter(|error| error.contains("certificate")).ok_or(format!("{peer:?}"))
    })
    .await;
    assert!(error.contains("not valid for name"), "{error}");
    drop(liar);
}

//! One answer to many routers: who shares what on loopback, and eight sites on a switch that loses packets.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use flame_api::peers::PeerState;
use flame_router::Config;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;

use crate::peers::{Row, all_are};
use crate::world::{Service, World, read_head};

pub const BODY_BYTES: usize = 1 << 20;

/// An endpoint that counts how often it is asked, and answers only when it may.
pub struct Origin {
    pub service: Service,
    asked: Arc<AtomicUsize>,
    may: Arc<Semaphore>,
}

pub fn body() -> Vec<u8> {
    (0..BODY_BYTES).map(|at| ((at * 2_654_435_761) >> 13) as u8).collect()
}

impl Origin {
    pub async fn start() -> Self {
        let (asked, may) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (counts, waits) = (Arc::clone(&asked), Arc::clone(&may));
        let answer = move |Path(kind): Path<String>, request: Request| {
            counts.fetch_add(1, Ordering::SeqCst);
            let waits = Arc::clone(&waits);
            async move {
                waits.acquire().await.unwrap().forget();
                let cookie = request.headers().get(header::COOKIE).map(|value| value.as_bytes().to_vec());
                let mut headers = HeaderMap::new();
                let control = if kind == "private" { "private" } else { "public, max-age=60" };
                headers.insert(header::CACHE_CONTROL, control.parse().unwrap());
                if kind == "broken" {
                    return StatusCode::SERVICE_UNAVAILABLE.into_response();
                }
                if kind == "cookie" {
                    headers.insert(header::SET_COOKIE, "a=b".parse().unwrap());
                }
                (StatusCode::OK, headers, [cookie.unwrap_or_default(), body()].concat()).into_response()
            }
        };
        let service = Service::start(Router::new().route("/{kind}", get(answer))).await;
        Self { service, asked, may }
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn groups() -> Vec<SocketAddrV4> {
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = probe.local_addr().unwrap().port();
    vec![SocketAddrV4::new(Ipv4Addr::new(239, 255, 71, 1), port)]
}

/// Routers of three sites in a row, `s0` with the endpoint; `takes_part` says which multicast.
async fn sites(takes_part: [bool; 3]) -> (Row, Vec<World>, Origin) {
    let origin = Origin::start().await;
    let (row, worlds) = sites_of(&origin.service, takes_part, |_| {}).await;
    (row, worlds, origin)
}

/// The same with the endpoint `media`, and otherwise configured.
pub async fn sites_of(media: &Service, takes_part: [bool; 3], change: impl Fn(&mut Config)) -> (Row, Vec<World>) {
    sites_in(Row::of(3), media, takes_part, change).await
}

/// The same with these sites.
pub async fn sites_in(
    row: Row,
    media: &Service,
    takes_part: [bool; 3],
    change: impl Fn(&mut Config),
) -> (Row, Vec<World>) {
    let groups = groups();
    let mut worlds = Vec::new();
    for (at, enabled) in takes_part.into_iter().enumerate() {
        let change = |config: &mut Config| {
            config.multicast.enabled = enabled;
            config.multicast.groups.clone_from(&groups);
            change(config);
        };
        worlds.push(row.router(at, change).await);
    }
    for world in &worlds {
        all_are(world, PeerState::Connected).await;
    }
    worlds[0].register("media", media).await;
    for world in &worlds[1..] {
        flame_test_kit::eventually(Duration::from_secs(10), || async {
            let known = world.client().endpoints().await.map_err(|error| error.to_string())?.items;
            if known.is_empty() { Err("the endpoint is not known yet".to_owned()) } else { Ok(()) }
        })
        .await;
    }
    (row, worlds)
}

/// Asks through each of the edges' routers `each` times at once; the endpoint answers when `waiting` have reached it.
pub async fn ask(worlds: &[World], path: &str, each: usize, origin: &Origin, waiting: usize) -> Vec<Vec<u8>> {
    ask_once(worlds, path, each, origin, async {
        flame_test_kit::eventually(Duration::from_secs(20), || {
            let asked = origin.asked();
            async move { if asked >= waiting { Ok(()) } else { Err(format!("asked {asked} times")) } }
        })
        .await;
    })
    .await
}

/// The same; the endpoint answers once `all_wait`.
async fn ask_once(
    worlds: &[World],
    path: &str,
    each: usize,
    origin: &Origin,
    all_wait: impl Future<Output = ()>,
) -> Vec<Vec<u8>> {
    let requests = worlds.iter().flat_map(|world| (0..each).map(move |_| world));
    let requests = requests.map(|world| async move {
        let answer = world.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.headers().contains_key(header::VIA));
        answer.bytes().await.unwrap().to_vec()
    });
    let opens = async {
        all_wait.await;
        origin.may.add_permits(1000);
    };
    tokio::join!(join_all(requests), opens).0
}

/// Waits until a router has so many requests open beside the one that asks for it.
async fn has_open(world: &World, requests: usize) {
    flame_test_kit::eventually(Duration::from_secs(20), || async {
        let open = measured(world, "flame_http_requests_open").await;
        if open > requests as f64 { Ok(()) } else { Err(format!("{open} requests")) }
    })
    .await;
}

pub async fn measured(world: &World, name: &str) -> f64 {
    let text = world.get("/metrics").await.text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Symbols that a router has sent to groups, of all kinds.
async fn symbols(world: &World) -> f64 {
    let text = world.get("/metrics").await.text().await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with("flame_multicast_symbols_total"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_ask_for_the_same_get_it_from_one_fetch() {
    let (_row, worlds, origin) = sites([true; 3]).await;
    // A router that comes when the first one has all of it already gets it by unicast: both are to wait.
    let both_wait = has_open(&worlds[0], 2);
    let bodies = ask_once(&worlds[1..], "/~media/shared", 10, &origin, both_wait).await;
    assert!(bodies.len() == 20 && bodies.iter().all(|got| *got == body()));
    assert_eq!(origin.asked(), 1);
    // The transfer is counted when its last member has gone.
    flame_test_kit::eventually(Duration::from_secs(10), || async {
        let size = measured(&worlds[0], "flame_multicast_group_size_sum").await;
        if size == 2.0 { Ok(()) } else { Err(format!("groups of {size} in all")) }
    })
    .await;
    // Two routers got it: one copy less, but for what one of them got by unicast after all.
    let counted = async |name: &str| measured(&worlds[0], &format!("flame_multicast_{name}_bytes_total")).await;
    let (saved, unicast) = (counted("saved").await, counted("unicast").await);
    assert_eq!(counted("body").await, BODY_BYTES as f64);
    assert!(saved > 0.0 && saved + unicast == BODY_BYTES as f64, "{saved} bytes saved, {unicast} by unicast");
    assert!(symbols(&worlds[0]).await > 0.0, "what is saved was sent to a group");
    let told = worlds[0].client().activity(0).await.unwrap().totals.unwrap().multicast;
    assert_eq!((told.answers, told.members, told.body_bytes), (1, 2, BODY_BYTES as u64));
    assert_eq!(told.saved_bytes as f64, saved, "`flame route activity` says something else than the metrics");
}

/// A surrogate that stands under the name itself asks the site behind it by the site's name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_names_the_site_shares_with_those_who_name_it_too() {
    let (_row, worlds, origin) = sites([true; 3]).await;
    let bodies = ask(&worlds[1..], "/~s0--media/shared", 5, &origin, 1).await;
    assert!(bodies.len() == 10 && bodies.iter().all(|got| *got == body()));
    assert_eq!(origin.asked(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_answers_one_of_all_who_waited_looks_elsewhere_and_all_are_told_when_nobody_has_it() {
    let (_row, worlds, origin) = sites([true; 3]).await;
    let requests = worlds[1..].iter().flat_map(|world| (0..20).map(move |_| world));
    let requests = requests.map(|world| async move { world.get("/~media/broken").await.status() });
    let opens = async {
        flame_test_kit::eventually(Duration::from_secs(20), || {
            let asked = origin.asked();
            async move { if asked > 0 { Ok(()) } else { Err("nobody asked") } }
        })
        .await;
        // Whoever asks while one waits, waits with it: all of them are to be there.
        for world in &worlds[1..] {
            has_open(world, 20).await;
        }
        origin.may.add_permits(1000);
    };
    let (statuses, ()) = tokio::join!(join_all(requests), opens);
    assert!(statuses.iter().all(StatusCode::is_server_error), "{statuses:?}");
    // Once for all, and once more for each edge.
    assert!(origin.asked() <= 5, "40 clients of two routers asked {} times", origin.asked());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_without_multicast_gets_the_same_bytes_by_unicast() {
    for takes_part in [[true, true, false], [false, true, true], [false; 3]] {
        let (_row, worlds, origin) = sites(takes_part).await;
        let bodies = ask(&worlds[1..], "/~media/shared", 2, &origin, 1).await;
        assert!(bodies.len() == 4 && bodies.iter().all(|got| *got == body()), "{takes_part:?}");
        if takes_part == [false; 3] {
            // Each client costs a fetch of its own, and nothing was sent to a group.
            assert_eq!(origin.asked(), 4, "off, and yet shared");
            for world in &worlds {
                assert_eq!(symbols(world).await, 0.0);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_a_body_flows_gets_all_of_it_from_the_same_fetch() {
    const HALF: usize = BODY_BYTES / 2;
    let (asked, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (counts, waits) = (Arc::clone(&asked), Arc::clone(&gate));
    let answer = move || {
        counts.fetch_add(1, Ordering::SeqCst);
        let waits = Arc::clone(&waits);
        let rest = async move {
            waits.acquire().await.unwrap().forget();
            Ok(Bytes::from(body().split_off(HALF)))
        };
        let half = std::future::ready(Ok::<_, std::io::Error>(Bytes::from(body()[..HALF].to_vec())));
        let length = HeaderValue::from(BODY_BYTES);
        let headers =
            [(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60")), (header::CONTENT_LENGTH, length)];
        let body = Body::from_stream(stream::once(half).chain(stream::once(rest)));
        async move { (headers, body) }
    };
    let media = Service::start(Router::new().fallback(answer)).await;
    let (_row, worlds) = sites_of(&media, [true; 3], |_| {}).await;
    let mut first = worlds[1].get("/~media/shared").await;
    let mut got = first.chunk().await.unwrap().unwrap().to_vec();
    // The other site comes when a part of it is with the first one already.
    let mut second = worlds[2].get("/~media/shared").await;
    assert_eq!((first.status().as_u16(), second.status().as_u16(), asked.load(Ordering::SeqCst)), (200, 200, 1));
    gate.add_permits(2);
    let mut late = Vec::new();
    while let Some(piece) = second.chunk().await.unwrap() {
        late.extend_from_slice(&piece);
    }
    while let Some(piece) = first.chunk().await.unwrap() {
        got.extend_from_slice(&piece);
    }
    assert!(got == body() && late == body(), "{} and {} octets", got.len(), late.len());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    flame_test_kit::eventually(Duration::from_secs(10), || async {
        let size = measured(&worlds[0], "flame_multicast_group_size_sum").await;
        if size == 2.0 { Ok(()) } else { Err(format!("groups of {size} in all")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_shared_is_asked_for_singly() {
    for path in ["/~media/private", "/~media/cookie"] {
        let (_row, worlds, origin) = sites([true; 3]).await;
        let bodies = ask(&worlds[1..], path, 3, &origin, 1).await;
        assert!(bodies.iter().all(|got| *got == body()));
        assert_eq!(origin.asked(), 6, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_with_cookies_never_share() {
    let (_row, worlds, origin) = sites([true; 3]).await;
    origin.may.add_permits(100);
    let requests = (0..6).map(|at| {
        let world = &worlds[1 + at % 2];
        let cookie = format!("id={at}");
        async move {
            let request = world.http.get(world.url("/~media/shared")).header("cookie", &cookie);
            let got = request.send().await.unwrap().bytes().await.unwrap();
            assert!(got.starts_with(cookie.as_bytes()) && got[cookie.len()..] == body());
        }
    });
    join_all(requests).await;
    assert_eq!(origin.asked(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_breaks_off_breaks_every_client_s_answer() {
    let (_row, worlds, _origin) = sites([true; 3]).await;
    let breaks = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&breaks);
    let answer = move || {
        let waits = Arc::clone(&waits);
        let breaking = async move {
            waits.acquire().await.unwrap().forget();
            Err(std::io::Error::other("broke"))
        };
        let pieces = futures_util::stream::once(async { Ok(vec![7; 100_000]) });
        let body = axum::body::Body::from_stream(pieces.chain(futures_util::stream::once(breaking)));
        async { ([(header::CACHE_CONTROL, "public, max-age=60"), (header::CONTENT_LENGTH, "200000")], body) }
    };
    let breaking = Service::start(Router::new().fallback(answer)).await;
    worlds[0].register("breaking", &breaking).await;
    let answers = worlds[1..].iter().map(|world| {
        flame_test_kit::eventually(Duration::from_secs(10), || async {
            let answer = world.get("/~breaking/x").await;
            if answer.status() == StatusCode::OK { Ok(answer) } else { Err(answer.status().to_string()) }
        })
    });
    let answers = join_all(answers).await;
    breaks.add_permits(10);
    for answer in answers {
        let got = tokio::time::timeout(Duration::from_secs(10), answer.bytes()).await.unwrap();
        assert!(got.is_err(), "a part must not look like the whole");
    }
}

/// Asks for a leg, from an address of this machine; the head of what is answered.
async fn asks_for_a_leg(world: &World, from: Ipv4Addr) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(world.address()).await.unwrap();
    let protocol = flame_multicast::leg::PROTOCOL;
    let request =
        format!("GET /~media/shared HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_head(&mut stream).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_from_an_address_that_no_router_has_is_answered_plainly() {
    let (_row, worlds, origin) = sites([true; 3]).await;
    origin.may.add_permits(100);
    let stranger = asks_for_a_leg(&worlds[0], Ipv4Addr::new(127, 0, 0, 2)).await;
    assert!(stranger.starts_with("HTTP/1.1 200") && stranger.contains("content-length: 1048576"), "{stranger}");
    assert!(!stranger.contains("upgrade"), "{stranger}");
    let router = asks_for_a_leg(&worlds[0], Ipv4Addr::LOCALHOST).await;
    assert!(router.starts_with("HTTP/1.1 101"), "{router}");
}

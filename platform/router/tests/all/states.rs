//! What endpoints register besides their address: state, weight and capacity; and an operator's word on them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use flame_api::peers::PeerState;
use flame_api::router::{EndpointState, Registration, RouteState};
use flame_test_kit::{Scratch, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::instance::bytes;
use crate::peers::{Row, all_are};
use crate::world::{Service, World, problem, read_head};

const PATIENCE: Duration = Duration::from_secs(10);

/// A service whose answers to `/held` wait for a permit, and that counts who waits.
struct Holder {
    service: Service,
    waiting: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
}

// === impl Holder ===

impl Holder {
    async fn start() -> Self {
        let (waiting, permits) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (count, gate) = (Arc::clone(&waiting), Arc::clone(&permits));
        let held = async move || {
            count.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            count.fetch_sub(1, Ordering::SeqCst);
            "held"
        };
        let routes = Router::new().route("/held", get(held)).fallback(async || "at once");
        Self { service: Service::start(routes).await, waiting, permits }
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

async fn register(world: &World, endpoint: &str, address: SocketAddr, change: impl FnOnce(&mut Registration)) {
    let mut registration = Registration::new(address, 1, 60_000);
    change(&mut registration);
    world.client().register("a", endpoint, &registration).await.unwrap();
}

async fn says(word: &'static str) -> Service {
    Service::start(Router::new().fallback(async move || word)).await
}

async fn word(world: &World) -> String {
    let answer = world.get("/~a/x").await;
    let status = answer.status();
    if status == 200 { answer.text().await.unwrap() } else { status.as_u16().to_string() }
}

/// Patient enough that nothing is asked twice because it waits.
async fn patient() -> Arc<World> {
    let patience = Duration::from_secs(30);
    let late = |config: &mut flame_router::Config| {
        (config.upstream.hedge_min.0, config.upstream.hedge_max.0) = (patience, patience);
    };
    Arc::new(World::with(late).await)
}

#[tokio::test]
async fn a_booted_standby_is_known_gets_nothing_and_serves_from_the_moment_it_is_connected() {
    let world = World::start().await;
    let standby = says("standby").await;
    register(&world, "s", standby.address, |registration| registration.state = EndpointState::Booted).await;
    let none = problem(world.get("/~a/x").await).await;
    assert_eq!((none.status, none.detail.as_str()), (503, "no registered endpoint is connected for a.main"));
    let listed = world.client().endpoints().await.unwrap().items.remove(0);
    assert_eq!((listed.endpoint.as_str(), listed.state), ("s", EndpointState::Booted));
    assert!(world.client().connect("a", "s").await.unwrap());
    assert_eq!(word(&world).await, "standby");
    // Its renewal says what it said at first, and changes nothing.
    register(&world, "s", standby.address, |registration| registration.state = EndpointState::Booted).await;
    assert_eq!(word(&world).await, "standby");
    assert!(!world.client().connect("a", "nobody").await.unwrap());
}

#[tokio::test]
async fn who_is_full_is_passed_over_and_503_is_said_only_when_all_are() {
    let world = patient().await;
    let holders = [Holder::start().await, Holder::start().await];
    for (at, holder) in holders.iter().enumerate() {
        register(&world, &format!("e{at}"), holder.service.address, |registration| registration.capacity = Some(2))
            .await;
    }
    let mut held = JoinSet::new();
    let waiting = |wanted: usize| {
        let holders = &holders;
        eventually(PATIENCE, move || async move {
            let waiting: Vec<_> = holders.iter().map(Holder::waiting).collect();
            if waiting.iter().sum::<usize>() == wanted { Ok(waiting) } else { Err(format!("{waiting:?}")) }
        })
    };
    for open in 1..=4 {
        let world = Arc::clone(&world);
        held.spawn(async move { world.get("/~a/held").await.status() });
        waiting(open).await;
    }
    assert_eq!(waiting(4).await, [2, 2], "nobody took more than it can");
    let routes = world.client().routes().await.unwrap().items;
    assert!(routes.iter().all(|route| route.state == RouteState::Full && route.capacity == Some(2)), "{routes:?}");
    let answer = world.get("/~a/x").await;
    assert_eq!(answer.headers()["retry-after"], "1");
    let full = problem(answer).await;
    assert_eq!(full.detail, "every endpoint has as many requests open as it takes for a.main");
    holders[1].permits.add_permits(1);
    assert_eq!(held.join_next().await.unwrap().unwrap(), 200);
    assert_eq!(word(&world).await, "at once");
    holders.iter().for_each(|holder| holder.permits.add_permits(2));
    while let Some(status) = held.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
}

#[tokio::test]
async fn requests_at_once_are_shared_out_by_weight() {
    let world = patient().await;
    let holders = [Holder::start().await, Holder::start().await];
    for (at, (holder, weight)) in holders.iter().zip([3, 1]).enumerate() {
        register(&world, &format!("e{at}"), holder.service.address, |registration| registration.weight = weight).await;
    }
    let mut held = JoinSet::new();
    for open in 1..=40 {
        let to = Arc::clone(&world);
        held.spawn(async move { to.get("/~a/held").await.status() });
        eventually(PATIENCE, || async {
            let waiting = holders.iter().map(Holder::waiting).sum::<usize>();
            if waiting == open { Ok(()) } else { Err(waiting) }
        })
        .await;
    }
    assert!(holders[0].waiting().abs_diff(30) <= 1, "{} of 40 with a weight of 3 beside 1", holders[0].waiting());
    holders.iter().for_each(|holder| holder.permits.add_permits(40));
    while let Some(status) = held.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
}

#[tokio::test]
async fn terms_that_no_endpoint_can_have_are_refused() {
    let world = World::start().await;
    let service = says("x").await;
    for (what, change) in [
        ("weight", (|registration| registration.weight = 0) as fn(&mut Registration)),
        ("weight", |registration| registration.weight = 1001),
        ("capacity", |registration| registration.capacity = Some(0)),
        ("killed", |registration| registration.state = EndpointState::Killed),
    ] {
        let mut registration = Registration::new(service.address, 1, 60_000);
        change(&mut registration);
        let refused = world.client().register("a", "e", &registration).await.unwrap_err();
        assert!(refused.status() == Some(422) && refused.to_string().contains(what), "{refused}");
    }
}

/// 4 MiB with a strong ETag, of which the first part comes at once and the rest never; with ranges, whole.
async fn half(etag: &'static str, size: usize) -> Service {
    Service::talking(move |mut stream: TcpStream| async move {
        let head = read_head(&mut stream).await;
        if let Some(range) = head.split("range: bytes=").nth(1) {
            let first: usize = range.split('-').next().unwrap().parse().unwrap();
            let left = size - first;
            let last = size - 1;
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\netag: {etag}\r\ncontent-length: {left}\r\ncontent-range: bytes {first}-{last}/{size}\r\n\r\n"
            );
            stream.write_all(&[head.as_bytes(), &bytes(size)[first..]].concat()).await.unwrap();
        } else {
            let head = format!("HTTP/1.1 200 OK\r\netag: {etag}\r\ncontent-length: {size}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &bytes(size)[..size / 2]].concat()).await.unwrap();
            let _ = stream.read(&mut [0; 1]).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_killed_endpoint_s_open_answers_go_on_elsewhere_or_break_and_it_does_not_come_back() {
    const SIZE: usize = 1 << 20;
    for (etag, goes_on) in [("\"strong\"", true), ("W/\"weak\"", false)] {
        // Silence alone moves nothing here.
        let world = World::with(|config| config.upstream.stall_after.0 = Duration::from_secs(60)).await;
        let (first, second) = (half(etag, SIZE).await, half(etag, SIZE).await);
        register(&world, "first", first.address, |_| {}).await;
        let mut answer = world.get("/~a/x").await;
        register(&world, "second", second.address, |_| {}).await;
        let mut got = answer.chunk().await.unwrap().unwrap().to_vec();
        assert!(world.client().kill("a", "first").await.unwrap());
        let whole = async {
            while let Some(chunk) = answer.chunk().await? {
                got.extend_from_slice(&chunk);
            }
            Ok::<_, reqwest::Error>(got)
        };
        match tokio::time::timeout(PATIENCE, whole).await.expect("it ends at once") {
            Ok(got) => {
                assert!(goes_on && got == bytes(SIZE), "{etag}: {} bytes or other ones, and a clean end", got.len())
            }
            Err(error) => assert!(!goes_on, "{etag}: {error}"),
        }
        let again =
            world.client().register("a", "first", &Registration::new(first.address, 1, 60_000)).await.unwrap_err();
        assert_eq!(again.status(), Some(409), "{again}");
        let connected = world.client().connect("a", "first").await.unwrap_err();
        assert_eq!(connected.status(), Some(409), "{connected}");
        let listed = world.client().endpoints().await.unwrap().items;
        let killed = listed.iter().find(|one| one.endpoint == "first" && one.state == EndpointState::Killed);
        // Longer than any lease: it tells since when it is gone.
        let left_ms = killed.unwrap_or_else(|| panic!("{listed:?}")).expires_in_ms;
        assert!((60_001..=600_000).contains(&left_ms), "{listed:?}");
        // A later start of it is taken.
        world.client().register("a", "first", &Registration::new(first.address, 2, 60_000)).await.unwrap();
    }
}

#[tokio::test]
async fn a_kill_ends_what_waits_and_what_was_upgraded() {
    let world = patient().await;
    let service = Service::talking(async |mut stream: TcpStream| {
        if read_head(&mut stream).await.contains("upgrade: echo") {
            let granted = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
            stream.write_all(granted.as_bytes()).await.unwrap();
        }
        let _ = stream.read(&mut [0; 1]).await;
    })
    .await;
    register(&world, "e", service.address, |_| {}).await;
    let mut tunnel = TcpStream::connect(world.address()).await.unwrap();
    let ask = "GET /~a/x HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    tunnel.write_all(ask.as_bytes()).await.unwrap();
    assert!(read_head(&mut tunnel).await.starts_with("HTTP/1.1 101 "));
    let posting = Arc::clone(&world);
    let post =
        tokio::spawn(async move { problem(posting.http.post(posting.url("/~a/x")).send().await.unwrap()).await });
    eventually(PATIENCE, || async {
        let open = world.client().routes().await.unwrap().items[0].open;
        if open == 2 { Ok(()) } else { Err(open) }
    })
    .await;
    assert!(world.client().kill("a", "e").await.unwrap());
    assert_eq!(tunnel.read(&mut [0; 1]).await.unwrap_or(0), 0);
    let post = post.await.unwrap();
    assert_eq!((post.status, post.detail.as_str()), (502, "an endpoint of a.main was killed before it answered"));
}

#[tokio::test]
async fn states_and_terms_are_known_at_other_sites() {
    let row = Row::of(2);
    let worlds = row.routers(|_| {}).await;
    let standby = says("standby").await;
    register(&worlds[0], "s", standby.address, |registration| {
        (registration.state, registration.weight, registration.capacity) = (EndpointState::Booted, 5, Some(9));
    })
    .await;
    let at_peer = |wanted: EndpointState| {
        let world = &worlds[1];
        eventually(PATIENCE, move || async move {
            let items = world.client().endpoints().await.unwrap().items;
            match items.as_slice() {
                [one] if one.state == wanted => Ok((one.weight, one.capacity)),
                items => Err(format!("{items:?}")),
            }
        })
    };
    assert_eq!(at_peer(EndpointState::Booted).await, (5, Some(9)));
    assert_eq!(word(&worlds[1]).await, "503");
    worlds[0].client().connect("a", "s").await.unwrap();
    at_peer(EndpointState::Connected).await;
    assert_eq!(word(&worlds[1]).await, "standby");
    // Its own router cuts it off; what is open at the other ends too.
    let holder = half("W/\"weak\"", 1 << 20).await;
    worlds[0].client().register("b", "h", &Registration::new(holder.address, 1, 60_000)).await.unwrap();
    let mut answer = eventually(PATIENCE, || async {
        let answer = worlds[1].get("/~b/x").await;
        if answer.status() == 200 { Ok(answer) } else { Err(answer.status()) }
    })
    .await;
    answer.chunk().await.unwrap();
    worlds[0].client().kill("b", "h").await.unwrap();
    let broken = async {
        while answer.chunk().await?.is_some() {}
        Ok::<_, reqwest::Error>(())
    };
    assert!(tokio::time::timeout(PATIENCE, broken).await.expect("it ends at once").is_err());
}

#[tokio::test]
async fn an_older_peer_is_told_what_it_understands() {
    let world = World::start().await;
    let (booted, plain) = (says("booted").await, says("plain").await);
    register(&world, "booted", booted.address, |registration| registration.state = EndpointState::Booted).await;
    register(&world, "plain", plain.address, |registration| registration.weight = 5).await;
    let mut feed = world.get("/api/router/peers/feed?protocol=1").await;
    let mut text = String::new();
    let mut wait = async |wanted: &str| {
        while !text.contains(wanted) {
            text.push_str(std::str::from_utf8(&feed.chunk().await.unwrap().unwrap()).unwrap());
        }
        std::mem::take(&mut text)
    };
    let first = wait("\"full\"").await;
    let first = if first.contains("plain") { first } else { first + &wait("plain").await };
    assert!(first.contains(r#""protocol":1"#) && !first.contains("booted") && !first.contains("weight"), "{first}");
    world.client().connect("a", "booted").await.unwrap();
    let connected = wait("booted").await;
    assert!(connected.contains(&booted.address.to_string()) && !connected.contains("state"), "{connected}");
    world.client().kill("a", "booted").await.unwrap();
    let killed = wait("booted").await;
    assert!(!killed.contains(&booted.address.to_string()), "{killed}");
}

#[tokio::test]
async fn an_older_peer_s_word_is_taken() {
    let service = says("old").await;
    let address = service.address;
    let old = Service::talking(move |mut stream: TcpStream| async move {
        read_head(&mut stream).await;
        let lines = format!(
            "{}\n{}\n",
            r#"{"kind":"hello","protocol":1,"site":"s1"}"#,
            format_args!(
                r#"{{"kind":"full","incarnation":1,"version":1,"entries":[{{"name":"a.main","endpoint":"e","at":{{"address":"{address}","generation":1}}}}]}}"#
            )
        );
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\n\r\n";
        stream.write_all(&[head.as_bytes(), lines.as_bytes()].concat()).await.unwrap();
        let _ = stream.read(&mut [0; 1]).await;
    })
    .await;
    let folder = Scratch::new("router-old-peer");
    let file = folder.join("sites.toml");
    let text = format!(
        "version = 1\n[[sites]]\nname = \"s0\"\n[[sites]]\nname = \"s1\"\nrouter = \"{}\"\n\
         [[links]]\nbetween = [\"s0\", \"s1\"]\nlatency_ms = 1\nbandwidth_mbps = 1\n",
        old.address
    );
    std::fs::write(&file, text).unwrap();
    let world = World::with(|config| (config.site, config.sites) = ("s0".to_owned(), Some(file.clone()))).await;
    all_are(&world, PeerState::Connected).await;
    assert_eq!(word(&world).await, "old");
    let listed = world.client().endpoints().await.unwrap().items.remove(0);
    assert_eq!((listed.weight, listed.capacity, listed.state), (1, None, EndpointState::Connected));
}

//! Endpoints that are written down and hold no lease: who is gone is found out before anybody needs it, and who is back is taken back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use flame_api::router::{EndpointState, Presence};
use flame_service_host::config::Span;
use flame_test_kit::{Scratch, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::world::{Service, World, read_head};

const PATIENCE: Duration = Duration::from_secs(20);

/// What came to an endpoint: probes, and requests.
#[derive(Debug, Default)]
struct Asked {
    probes: AtomicUsize,
    requests: AtomicUsize,
}

// === impl Asked ===

impl Asked {
    /// Counts the request with this head; a connection over which none came was one of several that were tried.
    fn note(&self, head: &str) {
        let counter = if head.starts_with("HEAD /health/live ") { &self.probes } else { &self.requests };
        counter.fetch_add(usize::from(!head.is_empty()), Ordering::SeqCst);
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// One that answers `says`, once for each connection: when it is dropped, nothing of it answers any more.
async fn answers(says: &'static str) -> (Service, Arc<Asked>) {
    let asked = Arc::new(Asked::default());
    let noted = Arc::clone(&asked);
    let service = Service::talking(move |mut stream| {
        let noted = Arc::clone(&noted);
        async move {
            let head = read_head(&mut stream).await;
            noted.note(&head);
            let body = if head.starts_with("HEAD ") { "" } else { says };
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", says.len());
            // Who does not listen any more has not asked.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (service.await, asked)
}

/// One that takes requests, and closes without a word.
async fn breaks() -> (Service, Arc<Asked>) {
    let asked = Arc::new(Asked::default());
    let noted = Arc::clone(&asked);
    let service = Service::talking(move |mut stream| {
        let noted = Arc::clone(&noted);
        async move {
            noted.note(&read_head(&mut stream).await);
        }
    });
    (service.await, asked)
}

fn entry(endpoint: &str, address: SocketAddr) -> String {
    format!("[[entries]]\nname = \"media\"\nendpoint = \"{endpoint}\"\naddress = \"{address}\"\n")
}

async fn with(entries: &[(&str, SocketAddr)], every: Duration) -> (World, Scratch) {
    let folder = Scratch::new("router-written");
    let file = folder.join("static.toml");
    let text: String = entries.iter().map(|(endpoint, address)| entry(endpoint, *address)).collect();
    std::fs::write(&file, text).unwrap();
    let world = World::with(|config| {
        config.static_entries = Some(file.clone());
        config.upstream.probe_static_every = Span(every);
    });
    (world.await, folder)
}

/// Waits until the list says of `endpoint` what is `wanted`.
async fn is_listed(world: &World, endpoint: &str, wanted: Presence) {
    eventually(PATIENCE, || async {
        let listed = world.client().endpoints().await.unwrap().items;
        let found = listed.iter().find(|one| one.endpoint == endpoint).map(|one| one.presence);
        if found == Some(Some(wanted)) { Ok(()) } else { Err(format!("{listed:?}")) }
    })
    .await;
}

#[tokio::test]
async fn who_is_gone_is_found_out_before_the_first_request_and_who_is_back_is_taken_back() {
    let ((well, asked), (broken, asked_in_vain)) = (answers("well").await, breaks().await);
    let (world, _folder) =
        with(&[("well", well.address), ("broken", broken.address)], Duration::from_millis(200)).await;
    is_listed(&world, "well", Presence::Answers).await;
    is_listed(&world, "broken", Presence::Silent).await;
    for _ in 0..100 {
        assert_eq!(world.get("/~media/x").await.text().await.unwrap(), "well");
    }
    assert_eq!(
        (asked.requests(), asked_in_vain.requests()),
        (100, 0),
        "nobody's request was spent on who is not there"
    );
    assert!(asked_in_vain.probes.load(Ordering::SeqCst) > 0);
    // It is back, at the same address: nobody has to ask for it.
    let address = broken.address;
    drop(broken);
    let listener =
        eventually(PATIENCE, || async { TcpListener::bind(address).await.map_err(|error| error.to_string()) });
    let back = Service::on(listener.await, Router::new().fallback(async || "back"));
    is_listed(&world, "broken", Presence::Answers).await;
    eventually(PATIENCE, || async {
        let said = world.get("/~media/x").await.text().await.unwrap();
        if said == "back" { Ok(()) } else { Err(said) }
    })
    .await;
    // One dies while nobody asks for anything.
    drop(well);
    is_listed(&world, "well", Presence::Silent).await;
    for _ in 0..20 {
        assert_eq!(world.get("/~media/x").await.text().await.unwrap(), "back");
    }
    drop(back);
}

#[tokio::test]
async fn zero_asks_nobody_and_who_registers_says_itself_that_it_is_there() {
    let (watched, _) = answers("watched").await;
    let (world, _folder) = with(&[("watched", watched.address)], Duration::from_millis(50)).await;
    is_listed(&world, "watched", Presence::Answers).await;
    let (unwatched, asked) = answers("unwatched").await;
    let (other, _folder) = with(&[("unwatched", unwatched.address)], Duration::ZERO).await;
    assert_eq!(other.get("/~media/x").await.text().await.unwrap(), "unwatched");
    is_listed(&other, "unwatched", Presence::Answers).await;
    assert_eq!((asked.requests(), asked.probes.load(Ordering::SeqCst)), (1, 0));
    // One that registers says itself that it is there.
    world.register("media", &unwatched).await;
    let listed = world.client().endpoints().await.unwrap().items;
    assert!(listed.iter().any(|one| one.endpoint != "watched" && one.presence.is_none()), "{listed:?}");
    assert!(listed.iter().all(|one| one.router_up_ms.is_some()));
}

#[tokio::test]
async fn who_was_killed_or_drained_stays_so_when_its_line_changes_and_is_had_back_as_it_is_written_now() {
    let ((old, asked_old), (new, _)) = (answers("old").await, answers("new").await);
    let (world, folder) = with(&[("e", old.address)], Duration::ZERO).await;
    let client = world.client();
    // In one go, so that nobody reads half of it.
    let write = |address, terms: &str| {
        std::fs::write(folder.join("next.toml"), entry("e", address) + terms).unwrap();
        std::fs::rename(folder.join("next.toml"), folder.join("static.toml")).unwrap();
    };
    let is = async |address: SocketAddr, weight: u16, http2: bool, state: EndpointState| {
        eventually(PATIENCE, || async {
            let listed = client.endpoints().await.unwrap().items;
            let held: Vec<_> = listed.iter().map(|one| (one.address, one.weight, one.http2, one.state)).collect();
            if held == [(address, weight, http2, state)] { Ok(()) } else { Err(format!("{held:?}")) }
        })
        .await;
    };
    assert_eq!(world.get("/~media/x").await.text().await.unwrap(), "old");
    assert!(client.kill("media", "e").await.unwrap());
    // Other terms, then another address: it is out all the same.
    write(old.address, "weight = 3\nhttp2 = true\n");
    is(old.address, 3, true, EndpointState::Killed).await;
    assert_eq!(world.get("/~media/x").await.status(), 503);
    write(new.address, "weight = 5\n");
    is(new.address, 5, false, EndpointState::Killed).await;
    assert_eq!(world.get("/~media/x").await.status(), 503);
    assert!(client.connect("media", "e").await.unwrap());
    is(new.address, 5, false, EndpointState::Connected).await;
    assert_eq!(world.get("/~media/x").await.text().await.unwrap(), "new");
    assert_eq!(asked_old.requests(), 1);
    // One that drains.
    assert!(client.drain("media", "e").await.unwrap());
    write(old.address, "weight = 7\n");
    is(old.address, 7, false, EndpointState::Draining).await;
    assert_eq!(world.get("/~media/x").await.status(), 503);
    // Taken out and written anew it has no past.
    let nobody = folder.join("nobody.toml");
    std::fs::write(&nobody, "entries = []\n").unwrap();
    std::fs::rename(nobody, folder.join("static.toml")).unwrap();
    eventually(PATIENCE, || async {
        let listed = client.endpoints().await.unwrap().items;
        if listed.is_empty() { Ok(()) } else { Err(format!("{listed:?}")) }
    })
    .await;
    write(old.address, "");
    is(old.address, 1, false, EndpointState::Connected).await;
    assert_eq!(world.get("/~media/x").await.text().await.unwrap(), "old");
}

//! What is bounded, and what whoever meets the bound is told.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_service_host::config::{Bytes, Span};
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::world::{MIB, PART, World, noise, problem, sha256, without_media};

#[tokio::test]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    let world = World::start_with(|config| config.host.min_free_disk_percent = 101.0).await;
    let id = "0192f7a0-0000-7000-8000-000000000000";
    let writes = [
        world.tus(Method::POST, "/uploads").header("upload-length", 10),
        world.tus(Method::PATCH, &format!("/uploads/{id}")).header("upload-offset", 0),
        world.request(Method::PUT, "/files/clip.mp4").body("x"),
        world.request(Method::POST, "/pulls").json(&serde_json::json!({ "url": "https://example.org/" })),
    ];
    for write in writes {
        problem(write.send().await.unwrap(), 507, "insufficient-storage").await;
    }
    assert_eq!(world.request(Method::GET, "/uploads").send().await.unwrap().status(), 200);
    assert_eq!(world.tus(Method::DELETE, &format!("/uploads/{id}")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_body_that_stands_still_is_cut() {
    let world = World::start_with(|config| {
        without_media(config);
        config.limits.idle = Span(Duration::from_millis(300));
    })
    .await;
    let body = noise(1, 2000);
    let tus = world.announce(body.len()).await;
    let mut slow = tus.begin(0, body.len(), &body[..500]).await;
    let mut said = vec![0; 64];
    let read = slow.read(&mut said).await.unwrap();
    assert!(String::from_utf8_lossy(&said[..read]).starts_with("HTTP/1.1 408 "));
    assert_eq!(tus.offset().await, 500);
    tus.send(500, &body[500..]).await;
    world.check_stored(tus.id, &body).await;
}

#[tokio::test]
async fn who_finds_no_memory_waits() {
    // Memory for one long upload at a time.
    let world = World::start_with(|config| {
        without_media(config);
        config.limits.max_upload = Bytes(1 << 30);
        config.limits.receive_memory = Bytes(3 * PART as u64);
        config.limits.idle = Span(Duration::from_secs(20));
    })
    .await;
    let bodies: Vec<_> = (0..6).map(|seed| noise(seed, 3 * PART + 17 * usize::try_from(seed).unwrap())).collect();
    let sent = bodies.iter().map(|body| async {
        let tus = world.announce(body.len()).await;
        assert_eq!(tus.send(0, body).await, body.len());
        tus.id
    });
    let ids = futures_util::future::join_all(sent).await;
    for (id, body) in ids.into_iter().zip(&bodies) {
        world.check_stored(id, body).await;
    }
}

#[tokio::test]
async fn who_finds_no_memory_in_time_is_told() {
    let world = World::start_with(|config| {
        without_media(config);
        config.limits.max_upload = Bytes(1 << 30);
        config.limits.receive_memory = Bytes(3 * PART as u64);
        // Nobody is asked for what it has.
        config.limits.memory_turn = Span(Duration::from_secs(600));
        // Long enough that who trickles is not taken for silent on a busy machine.
        config.limits.idle = Span(Duration::from_secs(4));
    })
    .await;
    let keep = world.hold_all_memory().await;
    let second = world.announce(3 * PART).await;
    let answer = second.patch(0).body(noise(1, 3 * PART)).send().await;
    keep.abort();
    // The connection may break before the answer is read: the body was not wanted.
    if let Ok(answer) = answer {
        problem(answer, 503, "unavailable").await;
    }
    assert_eq!(second.offset().await, 0);
}

/// Many slow uplinks, one of them with a PUT: whoever comes by a fast one is served at once, and nothing of theirs is lost.
#[tokio::test]
async fn slow_uploads_keep_no_memory_from_others() {
    let world = World::start_with(|config| {
        without_media(config);
        config.limits.max_upload = Bytes(1 << 30);
        config.limits.receive_memory = Bytes(3 * PART as u64);
        config.limits.memory_turn = Span(Duration::from_millis(100));
    })
    .await;
    let bodies: Vec<_> = (0..5).map(|seed| noise(70 + seed, 2 * PART + 500)).collect();
    let mut slow = Vec::new();
    for body in &bodies[..4] {
        let tus = world.announce(body.len()).await;
        let stream = tus.begin(0, body.len(), &body[..MIB]).await;
        slow.push((tus, Trickle::start(stream, body.clone(), MIB)));
    }
    let whole = &bodies[4];
    let digest = STANDARD.encode(hex::decode(sha256(whole)).unwrap());
    let mut put = TcpStream::connect(world.config.host.listen).await.unwrap();
    let head = format!(
        "PUT /files/clip.mp4?chain=none HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nContent-Digest: sha-256=:{digest}:\r\n\r\n",
        world.config.host.listen,
        whole.len()
    );
    put.write_all(head.as_bytes()).await.unwrap();
    put.write_all(&whole[..PART + MIB]).await.unwrap();
    let put = Trickle::start(put, whole.clone(), PART + MIB);
    for seed in 0..3 {
        let body = noise(90 + seed, 3 * PART + 9);
        let fast = world.announce(body.len()).await;
        assert_eq!(fast.send(0, &body).await, body.len());
        world.check_stored(fast.id, &body).await;
    }
    let (mut put, at) = put.end().await;
    put.write_all(&whole[at..]).await.unwrap();
    let mut said = vec![0; 4096];
    let read = put.read(&mut said).await.unwrap();
    let said = String::from_utf8_lossy(&said[..read]);
    assert!(said.starts_with("HTTP/1.1 201 "), "{said}");
    let id = said.lines().find_map(|line| line.to_lowercase().strip_prefix("location: /uploads/").map(str::to_owned));
    world.check_stored(id.expect("a location").trim().parse().unwrap(), whole).await;
    for ((tus, trickle), body) in slow.into_iter().zip(&bodies) {
        trickle.end().await;
        let offset = tus.offset().await;
        assert!(offset >= MIB, "{offset}: what was laid away is kept");
        tus.insist(body, offset, body.len()).await;
        world.check_stored(tus.id, body).await;
    }
}

/// Sends a byte of a body now and then.
struct Trickle {
    stop: oneshot::Sender<()>,
    sending: tokio::task::JoinHandle<(TcpStream, usize)>,
}

impl Trickle {
    fn start(mut stream: TcpStream, body: Vec<u8>, mut at: usize) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let sending = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    _ = &mut stopped => return (stream, at),
                }
                stream.write_all(&body[at..=at]).await.expect("it is still served");
                at += 1;
            }
        });
        Self { stop, sending }
    }

    /// The connection, and where its body stands.
    async fn end(self) -> (TcpStream, usize) {
        self.stop.send(()).unwrap();
        self.sending.await.unwrap()
    }
}

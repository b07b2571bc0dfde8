//! What is bounded, and what whoever meets the bound is told.

use std::time::Duration;

use flame_service_host::config::{Bytes, Span};
use reqwest::Method;
use tokio::io::AsyncReadExt;

use crate::world::{MIB, PART, World, noise, problem, without_media};

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

    // Whoever does not give the memory back makes others wait, but not for ever.
    let world = World::start_with(|config| {
        without_media(config);
        config.limits.max_upload = Bytes(1 << 30);
        config.limits.receive_memory = Bytes(3 * PART as u64);
        // Long enough that who trickles is not taken for silent on a busy machine.
        config.limits.idle = Span(Duration::from_secs(4));
    })
    .await;
    let first = world.announce(3 * PART).await;
    let holder = first.begin(0, 3 * PART, &bodies[0][..MIB]).await;
    let keep = tokio::spawn(trickle(holder));
    let second = world.announce(3 * PART).await;
    let answer = second.patch(0).body(bodies[1][..3 * PART].to_vec()).send().await;
    keep.abort();
    // The connection may break before the answer is read: the body was not wanted.
    if let Ok(answer) = answer {
        problem(answer, 503, "unavailable").await;
    }
    assert_eq!(second.offset().await, 0);
}

/// Sends a byte now and then, faster than the idle time.
async fn trickle(mut stream: tokio::net::TcpStream) {
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        if tokio::io::AsyncWriteExt::write_all(&mut stream, b"x").await.is_err() {
            return;
        }
    }
}

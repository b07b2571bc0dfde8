//! Uploads that go to the object store itself, with nothing but curl: exactly what was promised, in time, and once.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use flame_api::ingest::{Ticket, Upload, UploadState};
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use reqwest::{Method, Response};
use serde_json::json as value;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::world::{MIB, PART, PATIENCE, World, json, noise, problem, without_media};

fn sha256(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

async fn asked(world: &World, body: serde_json::Value) -> Response {
    world.request(Method::POST, "/tickets").json(&body).send().await.unwrap()
}

async fn complete(world: &World, ticket: &Ticket, body: serde_json::Value) -> Response {
    let path = format!("/tickets/{}/complete", ticket.id);
    world.request(Method::POST, &path).json(&body).send().await.unwrap()
}

/// Makes the ticket's request as it is described, with these bytes; the status.
async fn put(world: &World, ticket: &Ticket, body: &[u8]) -> u16 {
    let file: PathBuf = world.scratch.join("film.mp4");
    std::fs::write(&file, body).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", &ticket.method, "-T"]).arg(&file);
    for (name, value) in &ticket.headers {
        // curl says the length of what it sends.
        if name != "content-length" {
            curl.arg("-H").arg(format!("{name}: {value}"));
        }
    }
    let output = curl.arg(&ticket.url).stdin(Stdio::null()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_puts_a_file_into_the_store_and_it_becomes_an_upload_like_any_other() {
    let world = World::start_with(without_media).await;
    let body = noise(41, 2 * PART + MIB + 7);
    let new = value!({ "file_name": "clip.mp4", "chain": "none", "size_bytes": body.len(), "sha256": sha256(&body) });
    let ticket: Ticket = json(asked(&world, new).await, 201).await;
    let nothing = problem(complete(&world, &ticket, value!({})).await, 409, "conflict").await;
    assert!(nothing.contains("nothing has been stored"), "{nothing}");

    // The store itself takes only what was promised.
    let mut other = body.clone();
    other[PART] ^= 1;
    assert_eq!(put(&world, &ticket, &other).await, 400);
    assert_eq!(put(&world, &ticket, &body[1..]).await, 403);
    assert_eq!(put(&world, &ticket, &body).await, 200);
    let wrong = complete(&world, &ticket, value!({ "sha256": sha256(&other) })).await;
    problem(wrong, 400, "digest-mismatch").await;
    let stranger =
        world.request(Method::POST, &format!("/tickets/{}/complete", ticket.id)).header("flame-tenant", "other");
    problem(stranger.json(&value!({})).send().await.unwrap(), 404, "not-found").await;
    for _ in 0..2 {
        let upload: Upload = json(complete(&world, &ticket, value!({ "sha256": sha256(&body) })).await, 202).await;
        assert_eq!((upload.id, upload.offset_bytes), (ticket.id, body.len() as u64));
        assert_eq!(upload.sha256.as_deref(), Some(sha256(&body).as_str()));
    }
    world.check_stored(ticket.id, &body).await;
    // Where its client put it nothing is left.
    eventually(PATIENCE, || async {
        let keys = world.keys().await;
        if keys == [format!("default/sources/{}", ticket.id)] { Ok(()) } else { Err(format!("{keys:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_that_came_with_a_ticket_becomes_an_asset_only_once_it_was_looked_into() {
    let world = World::start().await;
    let body = noise(42, 1000);
    let ticket: Ticket = json(asked(&world, value!({ "size_bytes": 1000, "chain": "none" })).await, 201).await;
    assert_eq!(put(&world, &ticket, &body).await, 200);
    json::<Upload>(complete(&world, &ticket, value!({})).await, 202).await;
    // It is noise.
    assert_eq!(world.settled(ticket.id).await.state, UploadState::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_ends_and_what_is_malformed_is_told() {
    let world = World::start_with(|config| {
        without_media(config);
        config.limits.ticket = Span(Duration::from_secs(1));
    })
    .await;
    for (body, detail) in [
        (value!({ "size_bytes": 0 }), "nothing to upload"),
        (value!({ "size_bytes": 10, "sha256": "zz" }), "64 hexadecimal"),
        (value!({ "size_bytes": 10, "file_name": "../x" }), "leaves its folder"),
        (value!({ "size_bytes": 10, "chain": "nonsense" }), "no chain"),
    ] {
        let told = problem(asked(&world, body).await, 400, "bad-request").await;
        assert!(told.contains(detail), "{told}");
    }
    problem(asked(&world, value!({ "size_bytes": 6_u64 << 30 })).await, 413, "too-large").await;

    let ticket: Ticket = json(asked(&world, value!({ "size_bytes": 10 })).await, 201).await;
    eventually(PATIENCE, || async {
        match put(&world, &ticket, &noise(1, 10)).await {
            403 => Ok(()),
            status => Err(status),
        }
    })
    .await;
    let gone = world.request(Method::DELETE, &format!("/uploads/{}", ticket.id)).header("tus-resumable", "1.0.0");
    assert_eq!(gone.send().await.unwrap().status(), 204);
    problem(complete(&world, &ticket, value!({})).await, 410, "gone").await;
    // Bytes that came by tus go on there.
    let tus = world.announce(PART + MIB).await;
    tus.send(0, &noise(2, PART)).await;
    let path = format!("/tickets/{}/complete", tus.id);
    let mixed = world.request(Method::POST, &path).json(&value!({})).send().await.unwrap();
    problem(mixed, 409, "conflict").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_is_held_whatever_the_store_took_and_is_the_same_when_it_is_repeated() {
    let world = World::start_with(without_media).await;
    let (body, other) = (noise(51, 1000), noise(52, 1000));
    let new = value!({ "chain": "none", "size_bytes": 1000, "sha256": sha256(&body) });
    let ticket: Ticket = json(asked(&world, new).await, 201).await;
    // A store that does not look at the digest which was signed with the request.
    let key = format!("default/uploads/{}/whole", ticket.id);
    world.store().put(&key, other.clone().into(), "video/mp4").await.unwrap();
    for said in [value!({}), value!({ "sha256": sha256(&other) })] {
        problem(complete(&world, &ticket, said).await, 400, "digest-mismatch").await;
    }
    world.store().put(&key, body.clone().into(), "video/mp4").await.unwrap();
    json::<Upload>(complete(&world, &ticket, value!({})).await, 202).await;
    problem(complete(&world, &ticket, value!({ "sha256": sha256(&other) })).await, 400, "digest-mismatch").await;
    json::<Upload>(complete(&world, &ticket, value!({ "sha256": sha256(&body) })).await, 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_with_a_ticket_after_its_upload_has_ended_does_not_stay() {
    let world = World::start_with(|config| {
        without_media(config);
        config.limits.ticket = Span(Duration::from_secs(15));
        config.limits.sweep = Span(Duration::from_millis(200));
    })
    .await;
    let ticket: Ticket = json(asked(&world, value!({ "size_bytes": 1000, "chain": "none" })).await, 201).await;
    let gone = world.request(Method::DELETE, &format!("/uploads/{}", ticket.id)).header("tus-resumable", "1.0.0");
    assert_eq!(gone.send().await.unwrap().status(), 204);
    // The end of the upload may be under way: it deletes what is there, too.
    let key = format!("default/uploads/{}/whole", ticket.id);
    eventually(PATIENCE, || async {
        let status = put(&world, &ticket, &noise(53, 1000)).await;
        let keys = world.keys().await;
        if status == 200 && keys == [key.clone()] { Ok(()) } else { Err(format!("{status}: {keys:?}")) }
    })
    .await;
    eventually(PATIENCE, || async {
        let keys = world.keys().await;
        if keys.is_empty() { Ok(()) } else { Err(format!("{keys:?}")) }
    })
    .await;
}

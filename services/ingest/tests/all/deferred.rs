//! tus 1.0, creation-defer-length: the length comes when the client knows it.

use flame_api::ingest::UploadState;
use flame_service_host::config::Bytes;
use reqwest::Method;

use crate::world::{PART, World, header, noise, problem, without_media};

const DEFERRED: &[(&str, &str)] = &[("upload-defer-length", "1")];

#[tokio::test]
async fn the_length_comes_with_the_last_bytes() {
    let mut world = World::start_with(without_media).await;
    let body = noise(41, 2 * PART + 321);
    let tus = world.announce_with(DEFERRED).await;
    let head = async || tus.http.head(tus.url()).header("tus-resumable", "1.0.0").send().await.unwrap();
    assert_eq!(tus.send(0, &body[..PART + 10]).await, PART + 10);
    let answer = head().await;
    assert_eq!(answer.headers()["upload-defer-length"], "1");
    assert!(!answer.headers().contains_key("upload-length"));
    world.restart().await;
    assert_eq!(world.upload(tus.id).await.state, UploadState::Receiving);
    let last = tus.patch(PART + 10).header("upload-length", body.len()).body(body[PART + 10..].to_vec());
    let answer = last.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "upload-offset")), (204, body.len()));
    world.check_stored(tus.id, &body).await;
    let answer = head().await;
    assert_eq!(header(&answer, "upload-length"), body.len());
    assert!(!answer.headers().contains_key("upload-defer-length"));
}

#[tokio::test]
async fn the_length_may_come_alone_before_or_after_the_bytes() {
    let world = World::start_with(without_media).await;
    // Whole parts only, and a rest that lies as an object of its own.
    for length in [PART, PART + 99, 7] {
        let body = noise(length as u64, length);
        let after = world.announce_with(DEFERRED).await;
        after.send(0, &body).await;
        let answer = after.patch(length).header("upload-length", length).body("").send().await.unwrap();
        assert_eq!(answer.status(), 204);
        world.check_stored(after.id, &body).await;

        let before = world.announce_with(DEFERRED).await;
        let answer = before.patch(0).header("upload-length", length).body("").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), header(&answer, "upload-offset")), (204, 0));
        before.send(0, &body).await;
        world.check_stored(before.id, &body).await;
    }
    // Nothing at all is a length too.
    let empty = world.announce_with(DEFERRED).await;
    let answer = empty.patch(0).header("upload-length", 0).body("").send().await.unwrap();
    assert_eq!(answer.status(), 204);
    let refused = world.settled(empty.id).await;
    assert!(refused.error.unwrap().contains("0 bytes"));
}

#[tokio::test]
async fn a_length_is_said_once_and_holds() {
    let world = World::start_with(|config| {
        without_media(config);
        config.limits.max_upload = Bytes(10_000);
    })
    .await;
    let body = noise(43, 3000);
    let tus = world.announce_with(DEFERRED).await;
    tus.send(0, &body[..1000]).await;
    let patch =
        |length: usize, bytes: &[u8]| tus.patch(1000).header("upload-length", length).body(bytes.to_vec()).send();
    problem(patch(999, b"").await.unwrap(), 400, "bad-request").await;
    problem(patch(10_001, b"").await.unwrap(), 413, "too-large").await;
    problem(patch(1001, b"xx").await.unwrap(), 413, "too-large").await;
    problem(tus.patch(1000).body(vec![1; 9001]).send().await.unwrap(), 413, "too-large").await;
    let odd = tus.patch(1000).header("upload-length", "-1").body("").send().await.unwrap();
    problem(odd, 400, "bad-request").await;
    assert!(world.upload(tus.id).await.length_bytes.is_none(), "none of them counts");
    assert_eq!(patch(3000, b"").await.unwrap().status(), 204);
    problem(patch(3001, b"").await.unwrap(), 400, "bad-request").await;
    let same = patch(3000, &body[1000..]).await.unwrap();
    assert_eq!((same.status().as_u16(), header(&same, "upload-offset")), (204, 3000));
    world.check_stored(tus.id, &body).await;
    // The first bytes may come with the announcement, here as elsewhere.
    let with = world.tus(Method::POST, "/uploads").header("upload-defer-length", "1");
    let with = with.header("content-type", "application/offset+octet-stream").body(body[..10].to_vec());
    let answer = with.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "upload-offset")), (201, 10));
}

//! tus 1.0 as its specification names it: every header, every status.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_api::ingest::UploadState;
use flame_service_host::config::{Bytes, Span};
use flame_test_kit::eventually;
use reqwest::Method;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use crate::world::{MIB, PART, PATIENCE, World, header, location, metadata, noise, problem, without_media};

const BODY: &str = "application/offset+octet-stream";

fn checksum(bytes: &[u8]) -> String {
    format!("sha256 {}", STANDARD.encode(Sha256::digest(bytes)))
}

#[tokio::test]
async fn the_server_says_what_it_can() {
    let world = World::start_with(|config| config.limits.max_upload = Bytes(1 << 30)).await;
    for path in ["/uploads", "/uploads/0192f7a0-0000-7000-8000-000000000000"] {
        let answer = world.request(Method::OPTIONS, path).send().await.unwrap();
        assert_eq!(answer.status(), 204);
        let of = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((of("tus-version"), of("tus-resumable")), ("1.0.0".to_owned(), "1.0.0".to_owned()));
        assert_eq!(
            of("tus-extension"),
            "creation,creation-with-upload,creation-defer-length,termination,checksum,expiration,concatenation"
        );
        assert_eq!(
            (of("tus-max-size"), of("tus-checksum-algorithm")),
            ("1073741824".to_owned(), "sha1,sha256".to_owned())
        );
    }
}

#[tokio::test]
async fn a_file_goes_up_and_is_resumed() {
    let mut world = World::start_with(without_media).await;
    let body = noise(1, 3 * PART + 12_345);
    let tus = world.announce(body.len()).await;
    assert_eq!(tus.offset().await, 0);
    assert_eq!(tus.send(0, &body[..7]).await, 7);
    assert_eq!(tus.send(7, &body[7..PART + 9]).await, PART + 9);
    world.restart().await;
    assert_eq!(tus.offset().await, PART + 9);
    let answer = tus.http.head(tus.url()).header("tus-resumable", "1.0.0").send().await.unwrap();
    assert_eq!(header(&answer, "upload-length"), body.len());
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let expires = answer.headers()["upload-expires"].to_str().unwrap();
    assert!(expires.ends_with(" GMT"), "{expires}");
    assert_eq!(world.upload(tus.id).await.state, UploadState::Receiving);
    assert_eq!(tus.send(PART + 9, &body[PART + 9..]).await, body.len());
    world.check_stored(tus.id, &body).await;
    // Complete: asking and sending nothing still work.
    assert_eq!(tus.offset().await, body.len());
    assert_eq!(tus.send(body.len(), b"").await, body.len());
}

#[tokio::test]
async fn the_first_bytes_may_come_with_the_announcement() {
    let world = World::start_with(without_media).await;
    let body = noise(2, 1000);
    for first in [body.len(), 400] {
        let answer = world
            .tus(Method::POST, "/uploads")
            .header("upload-length", body.len())
            .header("content-type", BODY)
            .header("upload-checksum", checksum(&body[..first]))
            .body(body[..first].to_vec())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
        assert_eq!(header(&answer, "upload-offset"), first);
        let mut tus = world.announce(1).await;
        tus.id = location(&answer);
        if first < body.len() {
            tus.send(first, &body[first..]).await;
        }
        world.check_stored(tus.id, &body).await;
    }
}

#[tokio::test]
async fn what_is_malformed_is_named() {
    let world = World::start_with(|config| config.limits.max_upload = Bytes(100 << 20)).await;
    let post = || world.tus(Method::POST, "/uploads");
    let without_version = world.request(Method::POST, "/uploads").header("upload-length", 1).send().await.unwrap();
    assert_eq!(without_version.headers()["tus-version"], "1.0.0");
    problem(without_version, 412, "tus-version").await;
    let old = world.request(Method::POST, "/uploads").header("tus-resumable", "0.2.2").header("upload-length", 1);
    problem(old.send().await.unwrap(), 412, "tus-version").await;
    problem(post().send().await.unwrap(), 400, "bad-request").await;
    for wrong in ["-1", "1.5", "abc", "", "99999999999999999999"] {
        problem(post().header("upload-length", wrong).send().await.unwrap(), 400, "bad-request").await;
    }
    for (name, wrong) in
        [("upload-defer-length", "0"), ("upload-concat", "part"), ("upload-concat", "final;/uploads/1")]
    {
        problem(post().header(name, wrong).send().await.unwrap(), 400, "bad-request").await;
    }
    let both = post().header("upload-defer-length", "1").header("upload-length", 1).send().await.unwrap();
    problem(both, 400, "bad-request").await;
    let long = post().header("upload-length", (100 << 20) + 1).send().await.unwrap();
    assert_eq!(
        (header(&long, "tus-max-size"), &long.headers()["tus-resumable"]),
        (100 << 20, &"1.0.0".parse().unwrap())
    );
    problem(long, 413, "too-large").await;
    for wrong in ["filename !!!", "filename /w==", "title YQ==,title Yg==", &metadata(&[("chain", "nope")])] {
        let answer = post().header("upload-length", 1).header("upload-metadata", wrong).send().await.unwrap();
        problem(answer, 400, "bad-request").await;
    }
    let typed = post().header("upload-length", 9).header("content-type", "text/plain").body("a").send().await.unwrap();
    problem(typed, 415, "unsupported-media-type").await;
    let page: serde_json::Value = world.request(Method::GET, "/uploads").send().await.unwrap().json().await.unwrap();
    assert_eq!(page["items"], serde_json::json!([]), "nothing of it was begun");
}

#[tokio::test]
async fn a_patch_that_does_not_fit_changes_nothing() {
    let world = World::start_with(without_media).await;
    let body = noise(3, 3000);
    let tus = world.announce(body.len()).await;
    tus.send(0, &body[..1000]).await;
    let conflict = tus.patch(999).body("x").send().await.unwrap();
    assert_eq!(header(&conflict, "upload-offset"), 1000);
    problem(conflict, 409, "conflict").await;
    problem(tus.patch(1001).body("x").send().await.unwrap(), 409, "conflict").await;
    problem(tus.patch(1000).body(vec![0; 2001]).send().await.unwrap(), 413, "too-large").await;
    let patch = |offset: &str| {
        tus.http.patch(tus.url()).header("tus-resumable", "1.0.0").header("upload-offset", offset.to_owned())
    };
    problem(patch("1000").body("x").send().await.unwrap(), 415, "unsupported-media-type").await;
    problem(
        patch("1000").header("content-type", "text/plain").body("x").send().await.unwrap(),
        415,
        "unsupported-media-type",
    )
    .await;
    problem(patch("-1").header("content-type", BODY).body("x").send().await.unwrap(), 400, "bad-request").await;
    let without_version =
        tus.http.patch(tus.url()).header("content-type", BODY).header("upload-offset", 1000).body("x");
    problem(without_version.send().await.unwrap(), 412, "tus-version").await;
    // A length that lies: the body is chunked and longer than announced.
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(vec![1; 1500]), Ok(vec![1; 1500])]);
    let lying = tus.patch(1000).body(reqwest::Body::wrap_stream(chunks)).send().await;
    if let Ok(answer) = lying {
        assert_eq!(answer.status(), 413);
    }
    // Pieces before the one too many may be kept; they are the client's own.
    let stands = tus.offset().await;
    assert!([1000, 2500].contains(&stands), "{stands}");
    for (method, path) in [("PATCH", "/uploads/0192f7a0-0000-7000-8000-000000000000"), ("PATCH", "/uploads/nope")] {
        let answer = world.tus(method.parse().unwrap(), path).header("content-type", BODY).header("upload-offset", 0);
        problem(answer.send().await.unwrap(), 404, "not-found").await;
    }
    let head = world.tus(Method::HEAD, "/uploads/0192f7a0-0000-7000-8000-000000000000").send().await.unwrap();
    assert_eq!(head.status(), 404);
}

#[tokio::test]
async fn a_wrong_checksum_leaves_the_offset() {
    let world = World::start_with(without_media).await;
    // Long enough that whole parts have gone to the store before the checksum is known to be wrong.
    let body = noise(4, 3 * PART + 500);
    let tus = world.announce(body.len()).await;
    tus.send(0, &body[..100]).await;
    let wrong = noise(5, body.len() - 100);
    let sent = tus.patch(100).header("upload-checksum", checksum(&body[100..])).body(wrong).send().await.unwrap();
    problem(sent, 460, "checksum-mismatch").await;
    assert_eq!(tus.offset().await, 100);
    for unreadable in ["md5 XUFAKrxLKna5cZ2REBfFkg==", "sha1", "sha256 !!!"] {
        let answer = tus.patch(100).header("upload-checksum", unreadable).body("x").send().await.unwrap();
        problem(answer, 400, "bad-request").await;
    }
    // Cut in the middle, nothing is acknowledged either: it could not be verified.
    let address = tus.base.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PATCH /uploads/{} HTTP/1.1\r\nHost: {address}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 100\r\nContent-Type: {BODY}\r\n\
         Upload-Checksum: {}\r\nContent-Length: {}\r\n\r\n",
        tus.id,
        checksum(&body[100..]),
        body.len() - 100
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &body[100..PART * 2]).await.unwrap();
    drop(stream);
    assert_eq!(tus.offset().await, 100);
    let right = tus.patch(100).header("upload-checksum", checksum(&body[100..])).body(body[100..].to_vec());
    assert_eq!(right.send().await.unwrap().status(), 204);
    world.check_stored(tus.id, &body).await;
}

#[tokio::test]
async fn what_came_before_a_broken_connection_is_kept() {
    let world = World::start_with(without_media).await;
    let body = noise(6, 2 * PART + 77);
    let tus = world.announce(body.len()).await;
    for cut in [1000, PART - 1, PART + 5] {
        let before = tus.offset().await;
        drop(tus.begin(before, body.len() - before, &body[before..cut]).await);
        // The server notices by itself; looking at the state disturbs nothing.
        eventually(PATIENCE, || async {
            let now = world.upload(tus.id).await.offset_bytes;
            if now == cut as u64 { Ok(()) } else { Err(format!("{now} of {cut}")) }
        })
        .await;
    }
    tus.send(PART + 5, &body[PART + 5..]).await;
    world.check_stored(tus.id, &body).await;
}

#[tokio::test]
async fn the_last_of_two_writers_counts() {
    let world = World::start_with(without_media).await;
    let body = noise(7, 2 * PART);
    let tus = world.announce(body.len()).await;
    // This one is dead, but the server does not know it: the connection stays open and silent.
    let mut dead = tus.begin(0, body.len(), &body[..PART + 3000]).await;
    world.part_on_its_way().await;
    let offset =
        tokio::time::timeout(Duration::from_secs(10), tus.offset()).await.expect("the dead one does not block");
    assert!((PART..=PART + 3000).contains(&offset), "{offset}");
    let mut said = vec![0; 64];
    let read = dead.read(&mut said).await.unwrap();
    assert!(String::from_utf8_lossy(&said[..read]).starts_with("HTTP/1.1 423 "), "{}", String::from_utf8_lossy(&said));
    // Two that live: at most one offset is right at a time, and nothing is mixed up.
    let first = tus.begin(offset, body.len() - offset, &body[offset..PART + 4000]).await;
    tus.insist(&body, offset, body.len()).await;
    drop(first);
    world.check_stored(tus.id, &body).await;
}

#[tokio::test]
async fn an_upload_is_terminated() {
    let world = World::start_with(without_media).await;
    let body = noise(8, 2 * PART);
    let tus = world.announce(body.len()).await;
    tus.send(0, &body[..PART + 10]).await;
    assert!(!world.keys().await.is_empty());
    let answer = world.tus(Method::DELETE, &format!("/uploads/{}", tus.id)).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(tus.try_offset().await.unwrap_err(), "410 Gone");
    problem(tus.patch(PART + 10).body("x").send().await.unwrap(), 410, "gone").await;
    problem(world.request(Method::GET, &format!("/uploads/{}", tus.id)).send().await.unwrap(), 410, "gone").await;
    world.check_empty().await;
    // One whose bytes are all here is the service's to finish.
    let whole = world.announce(10).await;
    whole.send(0, &body[..10]).await;
    let answer = world.tus(Method::DELETE, &format!("/uploads/{}", whole.id)).send().await.unwrap();
    problem(answer, 409, "conflict").await;
}

#[tokio::test]
async fn unfinished_uploads_expire() {
    let world = World::start_with(|config| {
        config.limits.expiry = Span(Duration::from_millis(300));
        config.limits.sweep = Span(Duration::from_millis(50));
    })
    .await;
    let tus = world.announce(MIB).await;
    tus.send(0, &noise(9, 1000)).await;
    // Gone, and after as long a time again forgotten.
    eventually(PATIENCE, || async {
        match tus.try_offset().await {
            Err(status) if status.starts_with("404") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    world.check_empty().await;
}

#[tokio::test]
async fn uploads_are_listed_newest_first() {
    let world = World::start_with(without_media).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, world.announce(10).await.id);
    }
    let mut seen = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = world.request(Method::GET, &format!("/uploads{query}")).send().await.unwrap();
        let page: flame_api::Page<flame_api::ingest::Upload> = page.json().await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().map(|upload| upload.id));
        match page.next_cursor {
            Some(cursor) => query = format!("?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    for wrong in ["?limit=0", "?limit=201", "?cursor=x", "?limit=x"] {
        problem(world.request(Method::GET, &format!("/uploads{wrong}")).send().await.unwrap(), 400, "bad-request")
            .await;
    }
}

//! `PUT /files/{name}`: a whole file in one request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_api::ingest::{Upload, UploadState};
use flame_service_host::config::Bytes;
use reqwest::Method;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use crate::world::{MIB, PART, World, json, location, noise, problem, without_media};

#[tokio::test]
async fn a_file_is_put_with_and_without_a_length() {
    let world = World::start_with(without_media).await;
    for (seed, length) in [(1, 1), (2, PART), (3, 2 * PART + 5)] {
        let body = noise(seed, length);
        let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&body)));
        let put = |path: &str| world.request(Method::PUT, path);
        let answer =
            put("/files/a%20clip.mp4?title=Clip&chain=none").header("content-digest", &digest).body(body.clone());
        let answer = answer.send().await.unwrap();
        let id = location(&answer);
        let upload: Upload = json(answer, 201).await;
        assert_eq!((upload.id, upload.length_bytes), (id, Some(length as u64)));
        assert_eq!((upload.file_name.as_deref(), upload.title.as_deref()), (Some("a clip.mp4"), Some("Clip")));
        assert_eq!((upload.chain.as_str(), upload.state), ("none", UploadState::Processing));
        world.check_stored(id, &body).await;

        let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
            body.chunks(MIB / 3).map(|chunk| Ok(chunk.to_vec())).collect();
        let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
        let answer = put("/files/b.mp4").header("repr-digest", &digest).body(chunked).send().await.unwrap();
        let upload: Upload = json(answer, 201).await;
        assert_eq!(upload.length_bytes, Some(length as u64));
        world.check_stored(upload.id, &body).await;
    }
}

#[tokio::test]
async fn a_name_is_a_label_and_never_a_path() {
    let world = World::start_with(without_media).await;
    for path in ["/files/..%2F..%2Fetc%2Fpasswd", "/files/%2Fetc%2Fpasswd", "/files/C:%5Cboot.ini"] {
        let answer = world.request(Method::PUT, path).body("x").send().await.unwrap();
        let said = problem(answer, 400, "bad-request").await;
        assert!(said.contains("leaves its folder"), "{said}");
    }
    assert_eq!(world.keys().await, Vec::<String>::new());
    let upload: Upload =
        json(world.request(Method::PUT, "/files/Day%201%2Fa").body("x").send().await.unwrap(), 201).await;
    assert_eq!(upload.file_name.as_deref(), Some("Day 1/a"));
    for key in world.keys().await {
        assert!(key.starts_with("default/sources/") && !key.contains("Day"), "{key}");
    }
    for wrong in
        ["/files/a%00b", "/files/a%0Ab", &format!("/files/{}", "x".repeat(256)), "/files/x?chain=nope", "/files/x?q=1"]
    {
        problem(world.request(Method::PUT, wrong).body("x").send().await.unwrap(), 400, "bad-request").await;
    }
    problem(world.request(Method::PUT, "/files/").body("x").send().await.unwrap(), 404, "not-found").await;
}

#[tokio::test]
async fn what_is_not_whole_and_right_is_not_kept() {
    let world = World::start_with(|config| {
        without_media(config);
        config.limits.max_upload = Bytes(30 << 20);
    })
    .await;
    let put = || world.request(Method::PUT, "/files/clip.mp4");
    let other = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(b"other")));
    for length in [0, 3, 2 * PART] {
        let answer = put().header("content-digest", &other).body(noise(1, length)).send().await.unwrap();
        problem(answer, 400, "digest-mismatch").await;
    }
    problem(put().header("content-digest", "sha-256=abc").body("x").send().await.unwrap(), 400, "bad-request").await;
    problem(put().header("content-encoding", "gzip").body("x").send().await.unwrap(), 415, "unsupported-encoding")
        .await;
    problem(put().body(vec![0; 31 << 20]).send().await.unwrap(), 413, "too-large").await;
    let endless = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![7; MIB]));
    if let Ok(answer) = put().body(reqwest::Body::wrap_stream(endless)).send().await {
        assert_eq!(answer.status(), 413);
    }
    // Connections that break: with a length, and in the middle of a chunk.
    for head in ["Content-Length: 20000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nffffff\r\n"] {
        let address = world.config.host.listen;
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("PUT /files/cut.mp4 HTTP/1.1\r\nHost: {address}\r\n{head}");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&noise(2, 2 * PART)).await.unwrap();
        drop(stream);
    }
    world.check_empty().await;
}

//! Put, get, head, delete, copy, conditions, presigned URLs.

use std::time::Duration;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, MetadataDirective};
use bytes::Bytes;
use flame_object_store::{IfExists, Store, StoreError};
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{BUCKET, World, random_bytes, sdk, store_config};

#[tokio::test(flavor = "multi_thread")]
async fn an_object_comes_back_as_it_was_put() {
    let world = World::start().await;
    for (key, size) in [("empty", 0), ("a", 1), ("a/b", 100_000), ("ä b/+%?#&=c", 3_000_000), ("a//", 7)] {
        let bytes = random_bytes(size);
        let etag = world.store.put(key, bytes.clone(), "video/mp4").await.unwrap();
        assert_eq!(world.store.get(key, 10_000_000).await.unwrap(), bytes, "{key}");
        let info = world.store.head(key).await.unwrap().unwrap();
        assert_eq!(info.size_bytes, size as u64);
        assert_eq!(info.etag, etag);
        assert_eq!(info.content_type.as_deref(), Some("video/mp4"));
    }
    // RFC 1321's digest of nothing.
    assert_eq!(world.store.head("empty").await.unwrap().unwrap().etag, "d41d8cd98f00b204e9800998ecf8427e");
    assert_eq!(world.store.head("b").await.unwrap(), None);
    assert!(matches!(world.store.get("b", 1).await, Err(StoreError::NotFound { .. })));
    assert!(matches!(world.store.get("a/b", 99_999).await, Err(StoreError::TooLarge { size_bytes: 100_000, .. })));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_object_leaves_nothing_and_a_deleted_one_neither() {
    let world = World::start().await;
    for size in [10, 2_000_000, 5] {
        world.store.put("x/y/z", random_bytes(size), "a/b").await.unwrap();
    }
    assert_eq!(world.store.head("x/y/z").await.unwrap().unwrap().size_bytes, 5);
    world.store.delete("x/y/z").await.unwrap();
    world.store.delete("x/y/z").await.unwrap();
    assert_eq!(world.store.head("x/y/z").await.unwrap(), None);
    let objects = world.root().join("buckets").join(BUCKET).join("objects");
    assert_eq!(std::fs::read_dir(objects).unwrap().count(), 0, "empty folders are removed");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_exact() {
    let world = World::start().await;
    let bytes = random_bytes(1_500_000);
    world.store.put("o", bytes.clone(), "a/b").await.unwrap();
    for range in [0..1, 0..1_500_000, 524_287..524_290, 1_499_999..1_500_000, 7..1_100_000] {
        let (from, to) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
        assert_eq!(world.store.get_range("o", range.clone()).await.unwrap(), bytes.slice(from..to), "{range:?}");
    }
    assert_eq!(world.store.get_range("o", 1_499_990..2_000_000).await.unwrap(), bytes.slice(1_499_990..));
    assert_eq!(world.store.get_range("o", 5..5).await.unwrap(), Bytes::new());
    let beyond = world.store.get_range("o", 1_500_000..1_500_001).await;
    assert!(matches!(&beyond, Err(StoreError::Rejected { code, .. }) if code == "InvalidRange"), "{beyond:?}");
    let body = world.store.stream("o", Some(10..20)).await.unwrap();
    assert_eq!((body.size_bytes, body.info.size_bytes), (10, 1_500_000));
    drop(body);
    let suffix = world.sdk().get_object().bucket(BUCKET).key("o").range("bytes=-3").send().await.unwrap();
    assert_eq!(suffix.content_range(), Some("bytes 1499997-1499999/1500000"));
    assert_eq!(suffix.body.collect().await.unwrap().into_bytes(), bytes.slice(1_499_997..));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_keeps_the_object_it_began_to_read() {
    let world = World::start().await;
    // Several data files, and more than sockets and read-ahead hold: the last ones are unopened when they go.
    let old = random_bytes(48 * 1024 * 1024);
    let file = world.dir.path().join("old");
    std::fs::write(&file, &old).unwrap();
    world.store.put_file("o", &file, "a/b").await.unwrap();
    let mut first = world.store.stream("o", None).await.unwrap();
    let mut got = first.next().await.unwrap().unwrap().to_vec();
    world.store.put("o", Bytes::from_static(b"new"), "a/b").await.unwrap();
    world.store.delete("o").await.unwrap();
    while let Some(block) = first.next().await {
        got.extend_from_slice(&block.unwrap());
    }
    assert!(got == old, "the reader got something else");
    drop(first);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_kept() {
    let world = World::start().await;
    let put = |if_exists| world.store.put_if("k", Bytes::from_static(b"1"), "a/b", if_exists);
    let etag = put(IfExists::Fail).await.unwrap();
    assert!(matches!(put(IfExists::Fail).await, Err(StoreError::PreconditionFailed { .. })));
    put(IfExists::Replace).await.unwrap();

    let sdk = world.sdk();
    let get = || sdk.get_object().bucket(BUCKET).key("k");
    let status = |result: Result<_, aws_sdk_s3::error::SdkError<_, aws_sdk_s3::config::http::HttpResponse>>| {
        result.map(|_: aws_sdk_s3::operation::get_object::GetObjectOutput| 200).unwrap_or_else(
            |error: aws_sdk_s3::error::SdkError<aws_sdk_s3::operation::get_object::GetObjectError, _>| {
                error.raw_response().unwrap().status().as_u16()
            },
        )
    };
    assert_eq!(status(get().if_match(&etag).send().await), 200);
    assert_eq!(status(get().if_match("\"other\"").send().await), 412);
    assert_eq!(status(get().if_none_match(&etag).send().await), 304);
    assert_eq!(status(get().if_none_match("\"other\"").send().await), 200);
    let replace =
        |etag: &str| sdk.put_object().bucket(BUCKET).key("k").if_match(etag).body(ByteStream::from_static(b"2")).send();
    assert_eq!(replace("\"other\"").await.unwrap_err().code(), Some("PreconditionFailed"));
    replace(&etag).await.unwrap();
    assert_eq!(world.store.get("k", 9).await.unwrap(), "2");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_of_a_new_key_have_one_winner() {
    let world = World::start().await;
    let writers = (0..12u8).map(|n| {
        let store = world.store.clone();
        tokio::spawn(async move { store.put_if("k", Bytes::from(vec![n; 9]), "a/b", IfExists::Fail).await.map(|_| n) })
    });
    let mut winners = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.unwrap() {
            Ok(n) => winners.push(n),
            Err(error) => assert!(matches!(error, StoreError::PreconditionFailed { .. }), "{error}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(world.store.get("k", 9).await.unwrap(), vec![winners[0]; 9]);
    world.stop().await;
}

/// The last of a folder takes it away, while the others' deletions are being synced in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn neighbours_can_be_deleted_at_once() {
    let world = World::start().await;
    for round in 0..40 {
        let keys: Vec<String> = (0..4).map(|n| format!("folder/{round}/{n}")).collect();
        for key in &keys {
            world.store.put(key, Bytes::from_static(b"x"), "a/b").await.unwrap();
        }
        let deleted = keys.iter().cloned().map(|key| {
            let store = world.store.clone();
            tokio::spawn(async move { store.delete(&key).await })
        });
        for deleted in deleted.collect::<Vec<_>>() {
            deleted.await.unwrap().unwrap();
        }
    }
    assert!(world.store.list("folder/", None).await.unwrap().objects.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_metadata_are_kept_and_copied() {
    let world = World::start().await;
    let sdk = world.sdk();
    sdk.put_object()
        .bucket(BUCKET)
        .key("from ü")
        .content_type("text/vtt")
        .cache_control("max-age=7")
        .content_disposition("inline")
        .metadata("job", "42")
        .body(ByteStream::from_static(b"subtitles"))
        .send()
        .await
        .unwrap();
    world.store.copy("from ü", "to").await.unwrap();
    world.store.delete("from ü").await.unwrap();
    let got = sdk.get_object().bucket(BUCKET).key("to").response_content_type("text/plain").send().await.unwrap();
    assert_eq!(got.content_type(), Some("text/plain"), "the override of the request wins");
    assert_eq!(got.cache_control(), Some("max-age=7"));
    assert_eq!(got.content_disposition(), Some("inline"));
    assert_eq!(got.metadata().unwrap()["job"], "42");
    assert_eq!(got.body.collect().await.unwrap().into_bytes(), "subtitles");

    let replaced = sdk.copy_object().bucket(BUCKET).key("to").copy_source(format!("{BUCKET}/to"));
    replaced.metadata_directive(MetadataDirective::Replace).content_type("a/b").send().await.unwrap();
    let head = sdk.head_object().bucket(BUCKET).key("to").send().await.unwrap();
    assert_eq!((head.content_type(), head.cache_control()), (Some("a/b"), None));
    assert!(matches!(world.store.copy("nothing", "to").await, Err(StoreError::NotFound { .. })));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_checksums_are_verified() {
    let world = World::start().await;
    let sdk = world.sdk();
    for algorithm in
        [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc32C, ChecksumAlgorithm::Sha1, ChecksumAlgorithm::Sha256]
    {
        let put = sdk.put_object().bucket(BUCKET).key("k").checksum_algorithm(algorithm.clone());
        let put = put.body(ByteStream::from(random_bytes(300_000))).send().await;
        assert!(put.is_ok(), "{algorithm:?}: {put:?}");
    }
    let put = || sdk.put_object().bucket(BUCKET).key("bad").body(ByteStream::from_static(b"hello"));
    let wrong_md5 = put().content_md5("1B2M2Y8AsgTpgAmY7PhCfg==").send().await.unwrap_err();
    assert_eq!(wrong_md5.code(), Some("BadDigest"));
    let wrong_crc = put().checksum_crc32("AAAAAA==").send().await.unwrap_err();
    assert_eq!(wrong_crc.code(), Some("BadDigest"));
    put().content_md5("XUFAKrxLKna5cZ2REBfFkg==").send().await.unwrap();
    assert_eq!(world.store.get("bad", 9).await.unwrap(), "hello");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_up_and_comes_down() {
    let world = World::start().await;
    let (up, down) = (world.dir.path().join("up"), world.dir.path().join("down"));
    for size in [0, 70_000, 8 * 1024 * 1024, 8 * 1024 * 1024 + 1, 21_000_000] {
        let bytes = random_bytes(size);
        std::fs::write(&up, &bytes).unwrap();
        world.store.put_file("file", &up, "video/mp4").await.unwrap();
        let info = world.store.download("file", &down).await.unwrap();
        assert_eq!(info.size_bytes, size as u64);
        assert_eq!(info.content_type.as_deref(), Some("video/mp4"));
        assert!(std::fs::read(&down).unwrap() == bytes, "{size}");
    }
    let missing = world.store.put_file("file", &world.dir.path().join("missing"), "a/b").await;
    assert!(matches!(missing, Err(StoreError::File { .. })));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presigned_url_opens_one_object_for_anybody() {
    let world = World::start().await;
    world.store.put("a b/ü.txt", Bytes::from_static(b"for you"), "text/plain").await.unwrap();
    let url = world.store.presigned_get("a b/ü.txt", Duration::from_secs(60)).await.unwrap();
    let path = url.strip_prefix(&world.server.endpoint()).unwrap();
    let answer = raw_get(&world, path).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("for you"), "{answer}");
    let answer = raw_get(&world, &path.replace("%20b", "%20c")).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let answer = raw_get(&world, path.split_once('?').unwrap().0).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let too_long = world.store.presigned_get("k", Duration::from_secs(8 * 24 * 3600)).await;
    assert!(matches!(too_long, Err(StoreError::Rejected { .. })));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_denied() {
    let world = World::start().await;
    let mut config = store_config(&world.server.endpoint());
    config.secret_key = flame_object_store::SecretKey::new("wrong");
    let stranger = Store::connect(&config);
    assert!(matches!(stranger.get("k", 1).await, Err(StoreError::Denied { .. })));
    assert!(matches!(stranger.put("k", Bytes::new(), "a/b").await, Err(StoreError::Denied { .. })));
    let list = sdk(&world.server.endpoint(), "wrong").list_buckets().send().await;
    assert_eq!(list.unwrap_err().code(), Some("SignatureDoesNotMatch"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_leaves_nothing() {
    let world = World::start().await;
    let sdk = world.sdk();
    let config = aws_sdk_s3::presigning::PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let url = sdk.put_object().bucket(BUCKET).key("half").presigned(config).await.unwrap().uri().to_owned();
    let path = url.strip_prefix(&world.server.endpoint()).unwrap();
    let mut socket = tokio::net::TcpStream::connect(world.server.address()).await.unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: 4000000\r\n\r\n", world.server.address());
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&random_bytes(2_500_000)).await.unwrap();
    drop(socket);
    // Stopping waits for the request and its work on the disk.
    let world = world.restart().await;
    assert_eq!(world.store.head("half").await.unwrap(), None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    let world = World::start().await;
    world.store.put("k", Bytes::from_static(b"kept"), "a/b").await.unwrap();
    let upload = world.store.create_multipart("m", "a/b").await.unwrap();
    let part = world.store.upload_part(&upload, 1, Bytes::from_static(b"last part")).await.unwrap();
    let World { dir, server, .. } = world;
    server.stop().await;
    let mut config = crate::world::server_config(&dir.path().join("store"));
    config.min_free_percent = 101;
    let server = flame_object_store::EmbeddedServer::start(config).await.unwrap();
    let store = Store::connect(&store_config(&server.endpoint()));

    let full =
        |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::StorageFull { .. })), "{result:?}");
    full(store.put("new", random_bytes(3_000_000), "a/b").await.map(drop));
    full(store.create_multipart("new", "a/b").await.map(drop));
    full(store.upload_part(&upload, 2, Bytes::from_static(b"x")).await.map(drop));
    full(store.copy("k", "new").await);
    assert_eq!(store.get("k", 9).await.unwrap(), "kept");
    store.complete_multipart(&upload, &[part]).await.unwrap();
    assert_eq!(store.get("m", 9).await.unwrap(), "last part");
    store.delete("k").await.unwrap();
    server.stop().await;
    crate::consistency::assert_clean(&dir.path().join("store"));
}

#[tokio::test]
async fn a_store_that_is_down_is_unavailable() {
    let store = Store::connect(&store_config("http://127.0.0.1:1"));
    let error = store.head("k").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }));
    assert_eq!(error.to_string(), "head k: the object store is not available");
}

async fn raw_get(world: &World, path: &str) -> String {
    let mut socket = tokio::net::TcpStream::connect(world.server.address()).await.unwrap();
    let address = world.server.address();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

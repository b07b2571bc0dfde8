//! The root folder: who may open it, and what a start cleans up.

use std::fs;

use bytes::Bytes;
use flame_object_store::{EmbeddedServer, SecretKey, ServerError, Store, StoreConfig, StoreError};
use tempfile::TempDir;

use crate::consistency;
use crate::world::{BUCKET, World, random_bytes, server_config, store_config};

#[tokio::test]
async fn a_newer_layout_is_refused() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("format"), "flame-object-store 2\n").unwrap();
    let error = EmbeddedServer::start(server_config(dir.path())).await.unwrap_err();
    assert!(matches!(error, ServerError::NewerLayout { found: 2, newest: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_folder_with_other_files_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("thesis.tex"), "x").unwrap();
    let error = EmbeddedServer::start(server_config(dir.path())).await.unwrap_err();
    assert!(matches!(error, ServerError::ForeignFolder { .. }), "{error}");
    fs::write(dir.path().join("format"), "something else\n").unwrap();
    let error = EmbeddedServer::start(server_config(dir.path())).await.unwrap_err();
    assert!(matches!(error, ServerError::ForeignFolder { .. }), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("thesis.tex")).unwrap(), "x");
}

#[tokio::test]
async fn one_process_at_a_time() {
    let world = World::start().await;
    let error = EmbeddedServer::start(server_config(&world.root())).await.unwrap_err();
    assert!(matches!(error, ServerError::InUse { .. }), "{error}");
    // Stopped, the folder is free at once.
    let world = world.restart().await;
    let mut taken = server_config(&world.dir.path().join("second"));
    taken.listen = world.server.address();
    let error = EmbeddedServer::start(taken).await.unwrap_err();
    assert!(matches!(error, ServerError::Listen { .. }), "{error}");
    world.stop().await;
}

/// Every kind of left-over, made by hand: an intent whose file nothing names, one whose file is in use, a torn
/// one, a temporary file, a part and its intent of an upload that was being aborted.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_removes_what_nothing_names_and_only_that() {
    let world = World::start().await;
    world.store.put("used", random_bytes(1000), "a/b").await.unwrap();
    let upload = world.store.create_multipart("m", "a/b").await.unwrap();
    world.store.upload_part(&upload, 1, random_bytes(1000)).await.unwrap();
    let root = world.root();
    let World { dir, server, .. } = world;
    server.stop().await;

    let used = consistency::files_below(&root.join("data"));
    let name = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let orphan = "ab".to_owned() + &"0".repeat(30);
    fs::create_dir_all(root.join("data/ab")).unwrap();
    fs::write(root.join("data/ab").join(&orphan), "half").unwrap();
    let files: Vec<String> = used.iter().map(|path| name(path)).chain([orphan]).collect();
    let place = serde_json::json!({ "object": { "bucket": BUCKET, "key": "used" } });
    let note = serde_json::json!({ "place": place, "files": files });
    // The part's file is in this note too, but not of this key: it goes with its upload, below.
    fs::write(root.join("intents/1"), note.to_string()).unwrap();
    fs::write(root.join("intents/2"), "{\"pla").unwrap();
    fs::write(root.join("tmp/3"), "half a manifest").unwrap();
    let upload_dir = root.join("buckets").join(BUCKET).join("uploads").join(&upload.id);
    fs::remove_file(upload_dir.join("upload.json")).unwrap();

    let server = EmbeddedServer::start(server_config(&root)).await.unwrap();
    let store = flame_object_store::Store::connect(&crate::world::store_config(&server.endpoint()));
    assert_eq!(store.get("used", 1000).await.unwrap().len(), 1000);
    assert!(store.list_multipart("", 9).await.unwrap().is_empty());
    assert!(!upload_dir.exists());
    server.stop().await;
    consistency::assert_clean(&root);
    drop(dir);
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_an_answer_finish() {
    use futures_util::StreamExt;
    let world = World::start().await;
    let bytes = random_bytes(32 * 1024 * 1024);
    world.store.put("o", bytes.clone(), "a/b").await.unwrap();
    let mut body = world.store.stream("o", None).await.unwrap();
    let mut got = body.next().await.unwrap().unwrap().to_vec();
    let World { dir, server, store } = world;
    let stopping = tokio::spawn(server.stop());
    while let Some(block) = body.next().await {
        got.extend_from_slice(&block.unwrap());
    }
    stopping.await.unwrap();
    assert!(got == bytes);
    assert!(store.put("late", Bytes::new(), "a/b").await.is_err());
    drop(dir);
}

#[tokio::test]
async fn a_client_inside_the_process_does_the_same_and_keeps_nobody_from_the_folder() {
    let world = World::start().await;
    let config = store_config(&world.server.endpoint());
    let inside = Store::connect_inside(&world.server, &config);
    let bytes = random_bytes(100_000);
    let etag = inside.put("k", bytes.clone(), "video/mp4").await.unwrap();
    assert_eq!(world.store.head("k").await.unwrap().unwrap().etag, etag, "both see the same store");
    assert_eq!(inside.get("k", 1 << 20).await.unwrap(), bytes);
    let stranger = StoreConfig { secret_key: SecretKey::new("wrong"), ..config };
    let refused = Store::connect_inside(&world.server, &stranger).head("k").await.unwrap_err();
    assert!(matches!(refused, StoreError::Denied { .. }), "{refused:?}");
    // The client outlives the server: the folder is free all the same.
    let world = world.restart().await;
    assert!(matches!(inside.head("k").await.unwrap_err(), StoreError::Unavailable { .. }));
    assert_eq!(world.store.head("k").await.unwrap().unwrap().etag, etag);
}

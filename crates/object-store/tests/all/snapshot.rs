//! Snapshots taken while objects are written, replaced and deleted: each holds what was there all the time, and nothing in halves.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use flame_object_store::{EmbeddedServer, Store, snapshot};
use tempfile::TempDir;

use crate::consistency;
use crate::world::{BUCKET, World, random_bytes, server_config, store_config};

const PART: usize = 5 * 1024 * 1024;
const WRITERS: usize = 3;

/// Writes the files of a snapshot as a restore does.
fn restore(copy: &Path, to: &Path) {
    let mut before = BTreeSet::new();
    snapshot::each_file(copy, &mut |path| {
        // Data come before the record that names them.
        before.insert(path.to_owned());
        std::fs::create_dir_all(to.join(path).parent().unwrap())?;
        // Each once.
        let mut target = std::fs::File::options().write(true).create_new(true).open(to.join(path))?;
        std::io::copy(&mut std::fs::File::open(copy.join(path))?, &mut target).map(drop)
    })
    .unwrap();
    assert!(before.contains(Path::new("format")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_snapshot_holds_what_was_there_all_the_time_while_all_else_changes() {
    let world = World::start().await;
    let steady: Vec<(String, _)> = (0..40).map(|n| (format!("steady/{n}"), random_bytes(1000 + n))).collect();
    for (key, bytes) in &steady {
        world.store.put(key, bytes.clone(), "text/plain").await.unwrap();
    }
    let open = world.store.create_multipart("whole", "video/mp4").await.unwrap();
    let part = random_bytes(PART);
    let tag = world.store.upload_part(&open, 1, part.clone()).await.unwrap();

    // Others write, replace, copy and delete all the while.
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, stop, written) = (world.store.clone(), Arc::clone(&stop), Arc::clone(&written));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let number = written.fetch_add(1, Ordering::Relaxed);
                    let key = format!("busy/{writer}/{}", number % 5);
                    store.put(&key, random_bytes(3000), "text/plain").await.unwrap();
                    store.copy(&key, &format!("{key}.json")).await.unwrap();
                    if number.is_multiple_of(4) {
                        let whole = store.create_multipart(&format!("{key}.whole"), "video/mp4").await.unwrap();
                        let part = store.upload_part(&whole, 1, random_bytes(3000)).await.unwrap();
                        store.complete_multipart(&whole, &[part]).await.unwrap();
                    }
                    if number.is_multiple_of(3) {
                        store.delete(&key).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for round in 0..6 {
        let from = written.load(Ordering::Relaxed);
        while written.load(Ordering::Relaxed) < from + 20 {
            tokio::task::yield_now().await;
        }
        let (root, folder) = (world.root(), TempDir::new_in(world.dir.path()).unwrap());
        let copy = folder.path().join("copy");
        let taken = copy.clone();
        let captured = tokio::task::spawn_blocking(move || {
            let first = snapshot::capture(&root, &taken).unwrap();
            assert!(first.records >= 41, "{first:?}");
            snapshot::capture(&root, &taken).unwrap()
        })
        .await
        .unwrap();
        assert_eq!((captured.damaged, captured.damaged_names.len()), (0, 0), "{captured:?}");
        assert!(snapshot::has_object(&copy, BUCKET, "steady/7") && !snapshot::has_object(&copy, BUCKET, "steady/70"));
        assert!(snapshot::has_part(&copy, BUCKET, &open.id, 1) && !snapshot::has_part(&copy, BUCKET, &open.id, 2));

        let restored = folder.path().join("restored");
        restore(&copy, &restored);
        let server = EmbeddedServer::start(server_config(&restored)).await.unwrap();
        let store = Store::connect(&store_config(&server.endpoint()));
        for (key, bytes) in &steady {
            assert_eq!(&store.get(key, 1 << 20).await.unwrap(), bytes, "round {round}");
        }
        // What changed is there in some state, whole.
        let busy = store.list("busy/", None).await.unwrap();
        for object in busy.objects {
            let bytes = store.get(&object.key, 1 << 20).await.unwrap();
            assert_eq!(bytes.len(), 3000);
        }
        // And an upload goes on where it was.
        assert_eq!(store.list_parts(&open).await.unwrap(), std::slice::from_ref(&tag));
        store.complete_multipart(&open, std::slice::from_ref(&tag)).await.unwrap();
        assert_eq!(store.get("whole", 1 << 30).await.unwrap(), part);
        server.stop().await;
        consistency::assert_clean(&restored);
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    world.stop().await;
}

#[tokio::test]
async fn an_object_without_its_bytes_is_named_and_the_rest_captured() {
    let world = World::start().await;
    world.store.put("whole", random_bytes(10), "text/plain").await.unwrap();
    let before = world.data_files();
    world.store.put("lost", random_bytes(10), "text/plain").await.unwrap();
    let new: Vec<_> = world.data_files().difference(&before).cloned().collect();
    assert_eq!(new.len(), 1);
    std::fs::remove_file(&new[0]).unwrap();

    let copy = world.dir.path().join("copy");
    let captured = snapshot::capture(&world.root(), &copy).unwrap();
    assert_eq!((captured.records, captured.damaged), (1, 1));
    assert!(captured.damaged_names[0].ends_with("lost=o"), "{captured:?}");
    assert!(snapshot::has_object(&copy, BUCKET, "whole") && !snapshot::has_object(&copy, BUCKET, "lost"));
    world.server.stop().await;
}

#[tokio::test]
async fn an_upload_that_completes_between_two_looks_is_its_object_alone() {
    let world = World::start().await;
    let bytes = random_bytes(1000);
    let open = world.store.create_multipart("late", "video/mp4").await.unwrap();
    let part = world.store.upload_part(&open, 1, bytes.clone()).await.unwrap();
    let copy = world.dir.path().join("copy");
    snapshot::capture(&world.root(), &copy).unwrap();
    assert_eq!(snapshot::completed_bytes(&copy, BUCKET, &open.id).unwrap(), None);
    world.store.complete_multipart(&open, &[part]).await.unwrap();
    snapshot::capture(&world.root(), &copy).unwrap();
    assert_eq!(snapshot::completed_bytes(&copy, BUCKET, &open.id).unwrap(), Some(1000));

    let restored = world.dir.path().join("restored");
    restore(&copy, &restored);
    consistency::assert_clean(&restored);
    let server = EmbeddedServer::start(server_config(&restored)).await.unwrap();
    let store = Store::connect(&store_config(&server.endpoint()));
    assert_eq!(store.get("late", 1 << 20).await.unwrap(), bytes);
    server.stop().await;
    world.stop().await;
}

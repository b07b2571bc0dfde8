//! Parts that lie right in memory go to the disk past the page cache; whatever their lengths, they come back as they were.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use flame_object_store::{EmbeddedServer, RunningStore, Store, aligned_buffer};
use flame_test_kit::loud_skip;
use tempfile::TempDir;

use crate::consistency::{assert_clean, files_below};
use crate::world::{random_bytes, server_config, store_config};

const MIB: usize = 1024 * 1024;
/// S3's smallest part.
const PART: usize = 5 * MIB;

fn aligned(bytes: &[u8]) -> Bytes {
    let mut memory = aligned_buffer(bytes.len());
    memory.extend_from_slice(bytes);
    memory.freeze()
}

/// Bytes of a file that the page cache holds.
fn cached_bytes(path: &Path) -> u64 {
    let output = Command::new("fincore").args(["--bytes", "--noheadings", "--output", "RES"]).arg(path).output();
    let output = output.expect("fincore runs (util-linux)");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Whether direct writes leave the page cache alone here: memory file systems have nothing else.
fn has_direct_writes(dir: &Path) -> bool {
    let path = dir.join("probe");
    let direct = rustix::fs::OFlags::DIRECT.bits().cast_signed();
    let file = File::options().write(true).create(true).truncate(true).custom_flags(direct).open(&path);
    let is_written = file.is_ok_and(|mut file| file.write_all(&aligned(&[1; MIB])).is_ok());
    is_written && cached_bytes(&path) == 0
}

/// A running store on the disk that the build is on, and a client of it in the same process.
async fn start(dir: &TempDir) -> (RunningStore, Store) {
    let server = EmbeddedServer::start(server_config(&dir.path().join("store"))).await.unwrap();
    let store = Store::connect_inside(&server, &store_config(&server.endpoint()));
    store.ensure_bucket().await.unwrap();
    (server, store)
}

#[tokio::test]
async fn aligned_parts_of_any_length_come_back_as_they_were() {
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (server, store) = start(&dir).await;
    let lengths =
        [(PART, 1), (PART + 1, MIB - 1), (PART + 4095, MIB), (PART + 4096, MIB + 1), (PART + 513, 2 * MIB + 4097)];
    for (first, second) in lengths {
        let bytes = random_bytes(first + second);
        let upload = store.create_multipart("film", "a/b").await.unwrap();
        let parts = [
            store.upload_part(&upload, 1, aligned(&bytes[..first])).await.unwrap(),
            store.upload_part(&upload, 2, aligned(&bytes[first..])).await.unwrap(),
        ];
        store.complete_multipart(&upload, &parts).await.unwrap();
        assert!(store.get("film", u64::MAX).await.unwrap() == bytes, "{first} and {second} bytes came back changed");
    }
    // Memory that begins inside a block, and the same bytes in one put.
    let bytes = random_bytes(PART + 10);
    store.put("film", aligned(&bytes).slice(10..), "a/b").await.unwrap();
    assert!(store.get("film", u64::MAX).await.unwrap() == bytes[10..]);
    store.put("film", aligned(&bytes), "a/b").await.unwrap();
    assert!(store.get("film", u64::MAX).await.unwrap() == bytes);
    server.stop().await;
    assert_clean(&dir.path().join("store"));
}

#[tokio::test]
async fn an_aligned_part_leaves_the_page_cache_to_others() {
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    if !has_direct_writes(dir.path()) {
        return loud_skip("the build folder's file system writes nothing past the page cache");
    }
    let (server, store) = start(&dir).await;
    // What is left after the last whole block takes one page; the same bytes one further in memory take all theirs.
    let bytes = random_bytes(PART + 101);
    let (most, least) = (0..=4096, PART as u64..=u64::MAX);
    for (key, part, expected) in
        [("aligned", aligned(&bytes[1..]), most), ("shifted", aligned(&bytes).slice(1..), least)]
    {
        let upload = store.create_multipart(key, "a/b").await.unwrap();
        store.upload_part(&upload, 1, part).await.unwrap();
        let data = files_below(&dir.path().join("store/data"));
        let [file] = &data[..] else { panic!("{data:?}") };
        let held_bytes = cached_bytes(file);
        assert!(expected.contains(&held_bytes), "{key}: {held_bytes} bytes in the page cache");
        store.abort_multipart(&upload).await.unwrap();
    }
    server.stop().await;
    assert_clean(&dir.path().join("store"));
}

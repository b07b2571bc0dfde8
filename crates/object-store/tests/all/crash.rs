//! `kill -9` of the server while it writes: what was acknowledged is there, whole; what was not is there whole or
//! not at all; nothing leaks.
//!
//! The server runs in a child process, which is this test binary again (see [`serve_until_killed`]).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flame_object_store::{EmbeddedServer, MultipartUpload, PartTag, Store, StoreError};
use rand::Rng;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::consistency;
use crate::world::{random_bytes, server_config, store_config};

const ROOT_VARIABLE: &str = "FLAME_OBJECT_STORE_CRASH_TEST_ROOT";
const ROUNDS: usize = 20;
const WRITERS: usize = 4;
const KEYS_PER_WRITER: usize = 3;
const PART: usize = 5 * 1024 * 1024;

/// What one key may hold. Every writer has its own keys, so there is one write under way at most.
#[derive(Debug, Default)]
struct Expected {
    acknowledged: Option<Bytes>,
    /// The write that got no answer: its content, `None` for a deletion.
    unanswered: Option<Option<Bytes>>,
    /// The completion that got no answer.
    completion: Option<(MultipartUpload, Vec<PartTag>)>,
}

type Model = Arc<Mutex<BTreeMap<String, Expected>>>;

/// Not a test of its own: the body of the child process. Without its variable it has nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn serve_until_killed() {
    let Some(root) = std::env::var_os(ROOT_VARIABLE) else { return };
    let server = EmbeddedServer::start(server_config(Path::new(&root))).await.unwrap();
    println!("\nserving {}", server.endpoint());
    // Until the kill, or the end of a parent that died: its end of the pipe closes.
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await.unwrap().unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing_that_it_acknowledged() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("store");
    let model = Model::default();
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let (mut child, endpoint) = serve(&root);
        let store = Store::connect(&store_config(&endpoint));
        store.ensure_bucket().await.unwrap();
        acknowledged += write_until_killed(&store, &model, &mut child).await;
        check_after_crash(&root, &model, round).await;
    }
    assert!(acknowledged > ROUNDS, "the writers hardly wrote: {acknowledged}");
}

fn serve(root: &Path) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::serve_until_killed", "--nocapture"])
        .env(ROOT_VARIABLE, root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let endpoint = lines.find_map(|line| line.unwrap().strip_prefix("serving ").map(str::to_owned)).unwrap();
    (child, endpoint)
}

/// Lets the writers work and kills the server at a random moment; returns the acknowledged writes.
async fn write_until_killed(store: &Store, model: &Model, child: &mut Child) -> usize {
    let (kill_after, kill_delay) = {
        let mut rng = rand::rng();
        (rng.random_range(1..25), Duration::from_micros(rng.random_range(0..20_000)))
    };
    let progress = Arc::new(Notify::new());
    let killed = CancellationToken::new();
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let write =
                write(store.clone(), Arc::clone(model), writer, Arc::clone(&progress), Arc::clone(&acknowledged));
            // Ends in the middle of its write, as a client does that dies with the server.
            tokio::spawn(killed.clone().run_until_cancelled_owned(write))
        })
        .collect();
    for _ in 0..kill_after {
        progress.notified().await;
    }
    // Not a wait for anything: the kill must fall into any moment of a write.
    tokio::time::sleep(kill_delay).await;
    child.kill().unwrap();
    child.wait().unwrap();
    killed.cancel();
    for writer in writers {
        writer.await.unwrap();
    }
    acknowledged.load(Ordering::Relaxed)
}

/// Writes until the server is gone.
async fn write(store: Store, model: Model, writer: usize, progress: Arc<Notify>, acknowledged: Arc<AtomicUsize>) {
    loop {
        let key = format!("w{writer}/k{}", rand::rng().random_range(0..KEYS_PER_WRITER));
        let action = rand::rng().random_range(0..10);
        let content = match action {
            0 => None,
            1..=3 => Some(random_bytes(PART + rand::rng().random_range(0..PART))),
            _ => Some(random_bytes(rand::rng().random_range(0..3_000_000))),
        };
        let result = match &content {
            None => {
                note(&model, &key, |expected| expected.unanswered = Some(None));
                store.delete(&key).await
            }
            Some(bytes) if action <= 3 => write_in_parts(&store, &model, &key, bytes).await,
            Some(bytes) => {
                note(&model, &key, |expected| expected.unanswered = Some(Some(bytes.clone())));
                store.put(&key, bytes.clone(), "a/b").await.map(drop)
            }
        };
        match result {
            Ok(()) => {
                note(&model, &key, |expected| {
                    *expected = Expected { acknowledged: content, ..Expected::default() };
                });
                acknowledged.fetch_add(1, Ordering::Relaxed);
                progress.notify_one();
            }
            Err(StoreError::Unavailable { .. }) => {
                progress.notify_one();
                return;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

async fn write_in_parts(store: &Store, model: &Model, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
    let upload = store.create_multipart(key, "a/b").await?;
    let parts = vec![
        store.upload_part(&upload, 1, bytes.slice(..PART)).await?,
        store.upload_part(&upload, 2, bytes.slice(PART..)).await?,
    ];
    note(model, key, |expected| {
        expected.unanswered = Some(Some(bytes.clone()));
        expected.completion = Some((upload.clone(), parts.clone()));
    });
    store.complete_multipart(&upload, &parts).await.map(drop)
}

fn note(model: &Model, key: &str, change: impl FnOnce(&mut Expected)) {
    change(model.lock().unwrap().entry(key.to_owned()).or_default());
}

async fn check_after_crash(root: &Path, model: &Model, round: usize) {
    let server = EmbeddedServer::start(server_config(root)).await.unwrap();
    let store = Store::connect(&store_config(&server.endpoint()));
    let keys: Vec<String> = model.lock().unwrap().keys().cloned().collect();
    for key in keys {
        let found = match store.get(&key, u64::MAX).await {
            Ok(bytes) => Some(bytes),
            Err(StoreError::NotFound { .. }) => None,
            Err(other) => panic!("{other:?}"),
        };
        let expected = std::mem::take(model.lock().unwrap().get_mut(&key).unwrap());
        let is_acknowledged = found == expected.acknowledged;
        let is_unanswered = expected.unanswered.as_ref() == Some(&found);
        let size = |bytes: &Option<Bytes>| bytes.as_ref().map(Bytes::len);
        assert!(
            is_acknowledged || is_unanswered,
            "round {round}, {key}: found {:?} bytes, acknowledged {:?}, unanswered {:?}",
            size(&found),
            size(&expected.acknowledged),
            expected.unanswered.as_ref().map(size),
        );
        let mut now = found;
        if let Some((upload, parts)) = &expected.completion {
            // The client that lost its answer asks again: it must succeed, whichever moment the kill hit.
            store.complete_multipart(upload, parts).await.unwrap();
            now = Some(store.get(&key, u64::MAX).await.unwrap());
            assert!(Some(&now) == expected.unanswered.as_ref(), "round {round}, {key}: not what was completed");
        }
        note(model, &key, |expected| expected.acknowledged = now);
    }
    // What is left open are uploads that never came to their completion.
    for open in store.list_multipart("", 1000).await.unwrap() {
        store.abort_multipart(&open.upload).await.unwrap();
    }
    server.stop().await;
    consistency::assert_clean(root);
}

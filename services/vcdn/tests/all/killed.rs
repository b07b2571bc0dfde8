//! Surrogates in processes of their own that end as by `kill -9`: in the middle of a body and of a fill, with viewers on them,
//! and started again on the same folder.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use flame_api::Client;
use flame_api::router::Endpoint;
use flame_api::vcdn::{Purged, Stats};
use flame_test_kit::eventually;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::origin::Reply;
use crate::world::{PATIENCE, World, bytes, cache_status};

const FILM_BYTES: usize = 4 << 20;
/// What the origin sends of the film before it is told to go on.
const BEGINNING_BYTES: usize = 1 << 20;
const SMALL: usize = 20;

/// A surrogate of `edge` in a process of its own.
pub struct Surrogate {
    pub child: Child,
    folder: Arc<TempDir>,
    /// Where it serves, and where its own API is.
    pub front: SocketAddr,
    api: SocketAddr,
    /// What it calls itself in `Cache-Status`.
    pub id: String,
}

// === impl Surrogate ===

impl Surrogate {
    /// Starts it behind the router of `world`, on `folder`.
    pub async fn start(world: &World, folder: Arc<TempDir>) -> Self {
        let config = folder.path().join("config.toml");
        let text = format!(
            "[host]\nlisten = \"127.0.0.1:0\"\ndrain = \"60s\"\nrouter = \"http://{}\"\n[cache]\nfolder = {:?}\nalone_after = \"0s\"\n\
             [[fronts]]\nname = \"edge\"\nupstream = \"origin\"\n",
            world.router.address(),
            folder.path().join("cache"),
        );
        fs::write(&config, text).unwrap();
        let before = listed(world).await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_flame-vcdn"));
        let mut child = command.arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let is_new = |one: &Endpoint| before.iter().all(|old| old.endpoint != one.endpoint);
        let found = eventually(PATIENCE, || {
            let ended = child.try_wait().unwrap();
            async move {
                assert!(ended.is_none(), "the surrogate has ended: {ended:?}");
                let new: Vec<Endpoint> = listed(world).await.into_iter().filter(is_new).collect();
                let of = |name: &str| new.iter().find(|one| one.name == name).map(|one| one.address);
                of("edge.main").zip(of("vcdn.main")).ok_or_else(|| "it is not registered".to_owned())
            }
        });
        let (front, api) = found.await;
        let stats: Stats = world.http.get(format!("http://{api}/stats")).send().await.unwrap().json().await.unwrap();
        Self { child, folder, front, api, id: stats.surrogate }
    }

    /// Ends it as by `kill -9`; what it leaves behind.
    fn kill(mut self) -> Arc<TempDir> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Arc::clone(&self.folder)
    }

    /// What it answers itself.
    async fn get(&self, world: &World, path: &str) -> (String, Vec<u8>) {
        let answer = world.http.get(format!("http://{}{path}", self.front)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        (cache_status(&answer), answer.bytes().await.unwrap().to_vec())
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache/default")
    }
}

impl Drop for Surrogate {
    fn drop(&mut self) {
        // One that has ended needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn listed(world: &World) -> Vec<Endpoint> {
    let router = format!("http://{}", world.router.address()).parse().unwrap();
    Client::new(router, None).endpoints().await.map(|page| page.items).unwrap_or_default()
}

/// Files of whole objects.
fn whole(cache: &Path) -> usize {
    let shelves = fs::read_dir(cache).into_iter().flatten().flatten().filter(|entry| entry.file_name().len() == 2);
    shelves.map(|shelf| fs::read_dir(shelf.path()).into_iter().flatten().count()).sum()
}

/// Files that are being written.
fn filling(cache: &Path) -> usize {
    fs::read_dir(cache.join("filling")).into_iter().flatten().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_surrogate_killed_in_the_middle_of_a_fill_harms_no_viewer_and_comes_back_with_what_was_whole() {
    let world = Arc::new(World::start().await);
    let small = |number: usize| (format!("/small/{number}"), vec![u8::try_from(number).unwrap(); 1024]);
    for (path, body) in (0..SMALL).map(small) {
        world.origin.put(&path, Reply::new(body).with("cache-control", "public, max-age=600"));
    }
    let mut surrogates = Vec::new();
    for _ in 0..2 {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let surrogate = Surrogate::start(&world, folder).await;
        // Both keep all that is small, on disk too.
        eventually(PATIENCE, || async {
            for (path, body) in (0..SMALL).map(small) {
                assert_eq!(surrogate.get(&world, &path).await.1, body);
            }
            let files = whole(&surrogate.cache());
            if files == SMALL { Ok(()) } else { Err(format!("{files} of {SMALL} files")) }
        })
        .await;
        surrogates.push(surrogate);
    }
    // Viewers of what is small, by the router, all the time.
    let url = |path: &str| format!("http://{}/~edge{path}", world.router.address());
    let (is_over, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut viewers = JoinSet::new();
    for viewer in 0..4 {
        let (world, is_over, answers) = (Arc::clone(&world), Arc::clone(&is_over), Arc::clone(&answers));
        viewers.spawn(async move {
            let mut number = viewer;
            while !is_over.load(Ordering::SeqCst) {
                let (path, body) = small(number % SMALL);
                let asked = world.http.get(format!("http://{}/~edge{path}", world.router.address())).send().await;
                let answer = asked.unwrap();
                assert_eq!(answer.status(), 200, "{path}");
                assert!(answer.bytes().await.unwrap() == body, "{path}");
                answers.fetch_add(1, Ordering::SeqCst);
                number += 1;
            }
        });
    }
    // And one of a film, of which a part is here when its surrogate is killed.
    let (film, gate) = (bytes(FILM_BYTES), watch::Sender::new(false));
    world.origin.put("/film", Reply::new(film.clone()).gated(Some(BEGINNING_BYTES), &gate));
    let mut answer = world.http.get(url("/film")).send().await.unwrap();
    let way = answer.headers()["cache-status"].to_str().unwrap().to_owned();
    let mut got = answer.chunk().await.unwrap().unwrap().to_vec();
    let at = surrogates.iter().position(|one| way.starts_with(&one.id)).unwrap_or_else(|| panic!("nobody's: {way}"));
    let victim = surrogates.swap_remove(at);
    let cache = victim.cache();
    eventually(PATIENCE, || async {
        let (files, answers) = (filling(&cache), answers.load(Ordering::SeqCst));
        if files > 0 && answers > 100 { Ok(()) } else { Err(format!("{files} fills, {answers} answers")) }
    })
    .await;
    let folder = victim.kill();
    assert!(filling(&cache) > 0, "it was not in the middle of a fill");
    gate.send_replace(true);
    while let Some(piece) = answer.chunk().await.expect("the rest comes from the other one") {
        got.extend_from_slice(&piece);
    }
    assert!(got == film, "{} bytes", got.len());
    // What is purged meanwhile is known to those who are there.
    let [survivor] = &surrogates[..] else { panic!("one is left") };
    let purge = json!({ "name": "edge", "url": small(0).0 });
    let purged = world.http.post(format!("http://{}/purges", survivor.api)).json(&purge).send().await.unwrap();
    let purged: Purged = purged.json().await.unwrap();
    // The world's own surrogate does not serve the name; the dead one is listed as long as its lease runs.
    assert!(purged.objects == 1 && purged.peers.is_empty() && purged.unreached.len() <= 1, "{purged:?}");
    let count = answers.load(Ordering::SeqCst);
    eventually(PATIENCE, || async {
        let more = answers.load(Ordering::SeqCst) - count;
        if more > 100 { Ok(()) } else { Err(format!("{more} answers since")) }
    })
    .await;
    // Back on the same folder: what was whole is served, what was not is asked for, and what was purged is not there.
    let asked = |path: &str| world.origin.asked(path).len();
    let (before, before_film) = (asked(&small(1).0), asked("/film"));
    let back = Surrogate::start(&world, folder).await;
    // It fills for the viewers already, so at times there is a file of its own.
    eventually(PATIENCE, || async {
        let left = filling(&cache);
        if left == 0 { Ok(()) } else { Err(format!("{left} half files are left")) }
    })
    .await;
    let (way, body) = back.get(&world, &small(1).0).await;
    // As long as the lease of the killed one runs, it is not known what that has purged: then upstream says that it still holds.
    let is_confirmed = way == "fwd=stale; fwd-status=304; stored" && asked(&small(1).0) == before + 1;
    let is_hit = way.starts_with("hit") && asked(&small(1).0) == before;
    assert!((is_hit || is_confirmed) && body == small(1).1, "{way}");
    assert!(back.get(&world, &small(1).0).await.0.starts_with("hit"));
    let (way, body) = back.get(&world, &small(0).0).await;
    assert!(way.starts_with("fwd") && body == small(0).1, "it served what was purged while it was dead: {way}");
    let (way, body) = back.get(&world, "/film").await;
    assert!(way.starts_with("fwd=uri-miss") && body == film && asked("/film") == before_film + 1, "{way}");
    is_over.store(true, Ordering::SeqCst);
    while let Some(viewer) = viewers.join_next().await {
        viewer.unwrap();
    }
}

//! The disk tier: survives a restart, lies about nothing, stays within its bound.

use std::path::{Path, PathBuf};

use flame_api::vcdn::Stats;
use flame_service_host::config::Bytes;
use flame_test_kit::eventually;
use flame_vcdn::config::{FrontConfig, Quota};

use crate::origin::Reply;
use crate::world::{PATIENCE, World, bytes, cache_status};

/// Files of objects.
fn files(folder: &Path) -> Vec<PathBuf> {
    let shelves = std::fs::read_dir(folder.join("default")).unwrap().flatten();
    let shelves = shelves.filter(|entry| entry.file_name().len() == 2);
    shelves.flat_map(|shelf| std::fs::read_dir(shelf.path()).unwrap().flatten().map(|file| file.path())).collect()
}

async fn on_disk(world: &World, count: u64) {
    eventually(PATIENCE, || async {
        let kept = world.stats().await.kept[0].disk_objects;
        if kept == count { Ok(()) } else { Err(format!("{kept} of {count}")) }
    })
    .await;
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::on(folder.path()).await;
    let (small, large) = (bytes(1000), bytes(1 << 20));
    world.origin.put("/a/small", Reply::new(small.clone()).with("vary", "Accept-Encoding"));
    world.origin.put("/a/large", Reply::new(large.clone()).with("x-kept", "yes"));
    for path in ["/a/small", "/a/large"] {
        assert_eq!(world.get(path).await.status(), 200);
    }
    on_disk(&world, 2).await;
    let world = world.restart().await;
    for (path, body) in [("/a/small", &small), ("/a/large", &large)] {
        let hit = world.get(path).await;
        assert!(cache_status(&hit).starts_with("hit"), "{path}: {}", cache_status(&hit));
        assert_eq!(hit.bytes().await.unwrap(), *body);
        assert_eq!(world.origin.asked(path).len(), 1);
    }
    assert_eq!(world.get("/a/large").await.headers()["x-kept"], "yes");
    let part = world.get_with("/a/large", &[("range", "bytes=500000-500009")]).await;
    assert_eq!(part.bytes().await.unwrap(), large[500_000..500_010]);
}

#[tokio::test]
async fn damaged_files_are_never_served() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::on(folder.path()).await;
    let body = bytes(300_000);
    world.origin.put("/a/1", Reply::new(body.clone()));
    for (damage, is_dropped_at_start) in [(0, true), (1, true), (2, false)] {
        assert_eq!(world.get("/a/1").await.bytes().await.unwrap(), body);
        on_disk(&world, 1).await;
        let file = files(folder.path()).pop().unwrap();
        let mut content = std::fs::read(&file).unwrap();
        match damage {
            0 => content.truncate(content.len() - 1),
            1 => {
                let at = content.len() - 100;
                content[at] ^= 1;
            }
            _ => content[1000] ^= 1,
        }
        // A new file: the old one is open.
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, content).unwrap();
        world = world.restart().await;
        assert_eq!(files(folder.path()).is_empty(), is_dropped_at_start, "damage {damage}");
        let answer = world.get("/a/1").await;
        assert!(cache_status(&answer).starts_with("fwd"), "damage {damage}: {}", cache_status(&answer));
        assert_eq!(answer.bytes().await.unwrap(), body);
        world.settled().await;
    }
}

#[tokio::test]
async fn both_tiers_stay_within_their_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with(|config| {
        config.cache.folder = Some(folder.path().to_owned());
        config.cache.memory = Bytes(1 << 20);
        config.cache.disk = Bytes(2 << 20);
    })
    .await;
    for number in 0..60 {
        let path = format!("/a/{number}");
        world.origin.put(&path, Reply::new(bytes(100_000)));
        assert_eq!(world.get(&path).await.bytes().await.unwrap().len(), 100_000);
    }
    world.settled().await;
    let kept = world.stats().await.kept.remove(0);
    assert!(kept.memory_bytes <= 1 << 20 && kept.disk_bytes <= 2 << 20, "{kept:?}");
    assert!(kept.disk_objects >= 10, "{kept:?}");
    let total: u64 = files(folder.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(total <= 2 << 20, "{total}");
    assert_eq!(files(folder.path()).len() as u64, kept.disk_objects, "every file is known, and every record has one");
}

#[tokio::test]
async fn a_full_disk_costs_viewers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with(|config| {
        config.cache.folder = Some(folder.path().to_owned());
        // As if there was less free than that.
        config.host.min_free_disk_percent = 100.0;
    })
    .await;
    let body = bytes(1 << 20);
    world.origin.put("/a/1", Reply::new(body.clone()));
    for _ in 0..2 {
        assert_eq!(world.get("/a/1").await.bytes().await.unwrap(), body);
        world.settled().await;
    }
    assert_eq!(world.origin.asked("/a/1").len(), 1, "it is in memory");
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn what_is_asked_for_once_costs_no_write_where_the_second_fetch_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with(|config| {
        config.cache.folder = Some(folder.path().to_owned());
        config.cache.disk_after = 2;
        config.cache.memory = Bytes(1 << 20);
    })
    .await;
    for number in 0..30 {
        let path = format!("/a/{number}");
        world.origin.put(&path, Reply::new(bytes(100_000)));
        assert_eq!(world.get(&path).await.bytes().await.unwrap().len(), 100_000);
    }
    world.settled().await;
    assert!(files(folder.path()).is_empty(), "nobody has come back");
    // Most have left memory; now they are wanted again.
    let mut come_back = 0;
    for number in 0..30 {
        let again = world.get(&format!("/a/{number}")).await;
        come_back += u64::from(cache_status(&again).starts_with("fwd"));
        assert_eq!(again.bytes().await.unwrap(), bytes(100_000));
    }
    assert!(come_back >= 15, "{come_back} of 30");
    on_disk(&world, come_back).await;
}

#[tokio::test]
async fn a_tenant_that_fills_its_quota_takes_nothing_from_another() {
    let folder = tempfile::tempdir().unwrap();
    let quota = Quota { memory: Bytes(1 << 20), disk: Bytes(2 << 20) };
    let world = World::with(|config| {
        config.cache.folder = Some(folder.path().to_owned());
        config.fronts.push(FrontConfig::new("cdn.main.acme", "origin"));
        config.tenants.insert("acme".to_owned(), quota);
    })
    .await;
    let kept = async |tenant: &str| {
        let stats = world.http.get(world.api("/stats")).header("flame-tenant", tenant).send().await.unwrap();
        stats.json::<Stats>().await.unwrap().kept.remove(0)
    };
    world.origin.put("/a/mine", Reply::new(bytes(100_000)));
    assert_eq!(world.get("/a/mine").await.bytes().await.unwrap().len(), 100_000);
    on_disk(&world, 1).await;
    let other = world.vcdn.fronts()["cdn.main.acme"];
    for number in 0..60 {
        let path = format!("/a/{number}");
        world.origin.put(&path, Reply::new(bytes(100_000)));
        let answer = world.http.get(format!("http://{other}{path}")).send().await.unwrap();
        assert_eq!(answer.bytes().await.unwrap().len(), 100_000);
    }
    eventually(PATIENCE, || async {
        let acme = kept("acme").await;
        if acme.fills == 0 { Ok(()) } else { Err(format!("{acme:?}")) }
    })
    .await;
    let (acme, mine) = (kept("acme").await, kept("default").await);
    assert!(
        acme.memory_bytes <= quota.memory.0 && acme.disk_bytes <= quota.disk.0 && acme.disk_objects >= 10,
        "{acme:?}"
    );
    assert_eq!((mine.memory_objects, mine.disk_objects), (1, 1), "{mine:?}");
    assert!(cache_status(&world.get("/a/mine").await).starts_with("hit"));
}

#[tokio::test]
async fn a_folder_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::on(folder.path()).await;
    let error = flame_vcdn::start(world.config.clone()).await.unwrap_err();
    assert!(format!("{error:?}").contains("another process"), "{error:?}");
}

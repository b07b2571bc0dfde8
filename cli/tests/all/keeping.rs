//! `flame backup` and `flame restore`: while uploads go on, cut off in the middle, and with a bit that has flipped.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use crate::stock::{Half, clip, held, ingest};
use crate::world::{World, command, flame, run};

/// Puts the running world's data aside, and the restored ones in their place.
fn begin_anew(world: &mut World, backup: &str) {
    world.kill();
    std::fs::rename(world.data(), world.scratch.join("lost")).unwrap();
    let restored = flame(&["restore", backup, "--data", world.data().to_str().unwrap()]);
    assert_eq!(restored.status, 0, "{}", restored.err);
    world.start();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_a_backup_began_plays_after_a_restore_byte_for_byte() {
    let mut world = World::up();
    let (ladder, plain, twin) =
        (ingest(&world, 3.0, "ladder"), ingest(&world, 2.0, "none"), ingest(&world, 2.0, "none"));
    world.json(&["asset", "edit", &plain, "--set", "keywords=[\"sea\"]"]);
    let ids = [ladder, plain, twin];
    let mut before = Vec::new();
    for id in &ids {
        before.push(held(&world, id).await);
    }
    let mut half = Half::begin(&world).await;
    let folders = ["first", "second"].map(|name| world.scratch.join(name).to_str().unwrap().to_owned());

    // Films come and go all the while.
    let (stop, came, kept) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        let (world, stop, came, kept) = (&world, &stop, &came, &kept);
        let uploads = scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let id = ingest(world, 1.0, "none");
                if came.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                    world.json(&["asset", "rm", "--erase", &id]);
                } else {
                    kept.lock().unwrap().insert(id);
                }
            }
        });
        for folder in &folders {
            let made = world.json(&["backup", folder, "--data", world.data().to_str().unwrap()]);
            assert!(made["files"].as_u64().unwrap() > 10, "{made}");
            assert_eq!(
                (&made["damaged"], &made["unsettled_uploads"]),
                (&Value::Array(Vec::new()), &Value::Array(Vec::new()))
            );
        }
        let seen = came.load(Ordering::Relaxed);
        flame_test_kit::wait_for(std::time::Duration::from_secs(60), || match came.load(Ordering::Relaxed) {
            now if now > seen => Ok(()),
            now => Err(now),
        });
        stop.store(true, Ordering::Relaxed);
        uploads.join().unwrap();
    });
    assert!(!world.data().join("backup.tmp").exists());

    begin_anew(&mut world, &folders[1]);
    for (id, before) in ids.iter().zip(&before) {
        assert_eq!(&held(&world, id).await, before);
    }
    // What came while it was made is whole, or is not there.
    let kept = kept.into_inner().unwrap();
    for asset in world.json(&["asset", "list"]).as_array().unwrap() {
        let id = asset["id"].as_str().unwrap();
        if kept.contains(id) {
            held(&world, id).await;
        }
    }
    half.go_on(&world).await;
    let new = ingest(&world, 1.0, "none");
    held(&world, &new).await;
}

#[test]
fn a_restore_that_was_killed_is_completed_and_nothing_starts_before() {
    let mut world = World::up();
    let id = ingest(&world, 2.0, "none");
    let backup = world.scratch.join("backup").to_str().unwrap().to_owned();
    let data = world.data().to_str().unwrap().to_owned();

    // A backup that was killed is none, and leaves the way free for the next.
    let torn = world.scratch.join("torn").to_str().unwrap().to_owned();
    let killed = run(command().args(["backup", &torn, "--data", &data]).env("FLAME_FAULT", "backup-file:2"));
    assert_eq!(killed.status, -1, "{}", killed.err);
    let refused = flame(&["restore", &torn, "--check"]);
    assert!(refused.status == 1 && refused.err.contains("backup"), "{}", refused.err);
    assert_eq!(flame(&["backup", &backup, "--data", &data]).status, 0);
    let again = flame(&["backup", &backup, "--data", &data]);
    assert!(again.status == 3 && again.err.contains("not empty"), "{}", again.err);
    // Into a folder that is in use, never.
    let refused = flame(&["restore", &backup, "--data", &data]);
    assert!(refused.status == 3 && refused.err.contains("not empty"), "{}", refused.err);

    world.kill();
    std::fs::rename(&data, world.scratch.join("lost")).unwrap();
    let killed = run(command().args(["restore", &backup, "--data", &data]).env("FLAME_FAULT", "restore-file:4"));
    assert_eq!(killed.status, -1, "{}", killed.err);
    let up = flame(&["up", "--data", &data, "--listen", "127.0.0.1:0"]);
    assert!(up.status == 3 && up.err.contains("flame restore"), "{}", up.err);
    let refused = flame(&["backup", world.scratch.join("third").to_str().unwrap(), "--data", &data]);
    assert!(refused.status == 3 && refused.err.contains("flame restore"), "{}", refused.err);
    let done = flame(&["restore", &backup, "--data", &data]);
    assert_eq!(done.status, 0, "{}", done.err);
    world.start();
    assert_eq!(world.json(&["asset", "show", &id])["state"], "registered");
}

#[test]
fn a_backup_in_which_a_bit_has_flipped_is_refused_before_anything_is_written() {
    let world = World::up();
    world.json(&["ingest", &clip(1.0), "--chain", "none"]);
    let backup = world.scratch.join("backup");
    let named = backup.to_str().unwrap();
    assert_eq!(flame(&["backup", named, "--data", world.data().to_str().unwrap()]).status, 0);
    assert_eq!(flame(&["restore", named, "--check"]).status, 0);

    let files = files_below(&backup.join("objects/data"));
    let largest = files.iter().max_by_key(|file| file.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(largest, bytes).unwrap();
    let name = largest.strip_prefix(&backup).unwrap().to_str().unwrap();
    let checked = flame(&["restore", named, "--check"]);
    assert!(checked.status == 1 && checked.err.contains(name), "{}", checked.err);
    let target = world.scratch.join("target");
    assert_eq!(flame(&["restore", named, "--data", target.to_str().unwrap()]).status, 1);
    assert!(!target.exists());

    // A record that leads elsewhere leads nowhere.
    let record = backup.join("backup.ndjson");
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, text.replacen(name, "../../stolen", 1)).unwrap();
    assert_eq!(flame(&["restore", named, "--check"]).status, 1);
}

fn files_below(folder: &Path) -> BTreeSet<std::path::PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { BTreeSet::from([path]) }).collect()
}

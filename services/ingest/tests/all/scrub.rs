//! A disk that gives other bytes than it was given: every kind of object is found, named with its asset, and no other is.

use std::path::{Path, PathBuf};

use flame_api::ingest::{Scrub, Upload};
use flame_cmaf::index::{SegmentEntry, TrackIndex};
use flame_test_kit::eventually;
use reqwest::Method;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::world::{MIB, PART, PATIENCE, World, json, noise, without_media};

/// Has everything read, and waits until it was.
async fn scrubbed(world: &World) -> Scrub {
    let _: Scrub = json(world.request(Method::POST, "/scrub").send().await.unwrap(), 202).await;
    eventually(PATIENCE, || async {
        let scrub: Scrub = json(world.request(Method::GET, "/scrub").send().await.unwrap(), 200).await;
        if scrub.is_running { Err(format!("{scrub:?}")) } else { Ok(scrub) }
    })
    .await
}

/// Flips one bit of the data file that holds `bytes` somewhere; back again with the next call.
fn flip(world: &World, bytes: &[u8]) {
    let folder = world.scratch.join("objects/data");
    let wanted = files_below(&folder).into_iter().find(|file| {
        let stored = std::fs::read(file).unwrap();
        // All but the bit that is flipped.
        stored.len() == bytes.len() && stored[..stored.len() / 2] == bytes[..bytes.len() / 2]
    });
    let path = wanted.expect("a data file has these bytes");
    let mut stored = std::fs::read(&path).unwrap();
    let at = stored.len() / 2;
    stored[at] ^= 0x10;
    std::fs::write(&path, stored).unwrap();
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// A track of two segments and its index, as transcode writes them.
async fn track(world: &World, asset: Uuid) -> (String, Vec<u8>, Vec<u8>) {
    let parts = [noise(31, 500), noise(32, 3000), noise(33, 2000)];
    let sha256 = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let segment = |number: usize, offset_bytes: u64, time_ticks: u64| SegmentEntry {
        offset_bytes,
        size_bytes: parts[number].len() as u64,
        time_ticks,
        duration_ticks: 1000,
        samples: 1,
        sap: 1,
        sha256: sha256(&parts[number]),
        keyframes: Vec::new(),
    };
    let index = TrackIndex {
        version: 1,
        codec: "avc1.64001f".to_owned(),
        timescale: 1000,
        edit_media_time_ticks: 0,
        init_size_bytes: 500,
        init_sha256: sha256(&parts[0]),
        segments: vec![segment(1, 500, 0), segment(2, 3500, 1000)],
    };
    let stem = format!("default/media/{asset}/0123456789ab/v720");
    let (bytes, json) = (parts.concat(), serde_json::to_vec(&index).unwrap());
    TrackIndex::from_json(&json).unwrap();
    world.store().put(&format!("{stem}.mp4"), bytes.clone().into(), "video/mp4").await.unwrap();
    world.store().put(&format!("{stem}.index.json"), json.clone().into(), "application/json").await.unwrap();
    (stem, bytes, json)
}

#[tokio::test]
async fn a_bit_that_flips_on_the_disk_is_found_wherever_it_lies() {
    let world = World::start_with(|config| {
        without_media(config);
        config.scrub.rate = flame_service_host::config::Bytes(1 << 30);
    })
    .await;
    // One source in a single request, one in parts, a track with its index, a poster.
    let (short, long) = (noise(21, 1000), noise(22, 2 * PART + MIB));
    let put = world.request(Method::PUT, "/files/short.mp4?chain=none").body(short.clone()).send().await.unwrap();
    let one: Upload = json(put, 201).await;
    let put = world.request(Method::PUT, "/files/long.mp4?chain=none").body(long.clone()).send().await.unwrap();
    let two: Upload = json(put, 201).await;
    for (upload, body) in [(&one, &short), (&two, &long)] {
        world.check_stored(upload.id, body).await;
    }
    let packaged = Uuid::now_v7();
    let (stem, media, index) = track(&world, packaged).await;
    let poster = noise(23, 700);
    let poster_key = format!("default/posters/{}.jpg", one.id);
    world.store().put(&poster_key, poster.clone().into(), "image/jpeg").await.unwrap();

    // What a ticket brought after its upload was over, and what belongs to one that goes on.
    let stray = format!("default/uploads/{}/whole", Uuid::now_v7());
    world.store().put(&stray, noise(24, 100).into(), "video/mp4").await.unwrap();
    let open = world.announce(2 * PART).await;
    open.send(0, &noise(25, MIB)).await;

    let nobody: Scrub = json(world.request(Method::GET, "/scrub").send().await.unwrap(), 200).await;
    assert_eq!(nobody, Scrub::default());
    let whole = scrubbed(&world).await;
    assert_eq!((whole.objects, whole.unverified, whole.rotten), (7, 0, 0), "{whole:?}");
    assert_eq!(whole.size_bytes, (1000 + long.len() + media.len() + index.len() + 700 + 100 + MIB) as u64);
    assert!(world.store().head(&stray).await.unwrap().is_none());
    assert_eq!(open.offset().await, MIB);

    // The data file of a long source's second part.
    let part = &long[PART..2 * PART];
    for (bytes, key, asset, what) in [
        (short.as_slice(), format!("default/sources/{}", one.id), one.id, "the source has not the SHA-256"),
        (part, format!("default/sources/{}", two.id), two.id, "the source has not the SHA-256"),
        (media.as_slice(), format!("{stem}.mp4"), packaged, "segment 0 has not the SHA-256"),
        (index.as_slice(), format!("{stem}.index.json"), packaged, ""),
        (poster.as_slice(), poster_key, one.id, "not those of its ETag"),
    ] {
        flip(&world, bytes);
        let found = scrubbed(&world).await;
        let named: Vec<_> = found.rot.iter().map(|rot| (rot.key.as_str(), rot.asset_id)).collect();
        assert_eq!(named, [(key.as_str(), Some(asset))], "{found:?}");
        assert!(found.rot[0].what.contains(what) && found.rotten == 1, "{found:?}");
        // Others learn nothing of it.
        let others = world.request(Method::GET, "/scrub").header("flame-tenant", "other").send().await.unwrap();
        assert_eq!(json::<Scrub>(others, 200).await, Scrub::default());
        flip(&world, bytes);
        assert_eq!(scrubbed(&world).await.rotten, 0, "what is whole again is no longer named");
    }

    // Lost altogether: the bytes of a poster, and a track whose index is there.
    world.store().delete(&format!("{stem}.mp4")).await.unwrap();
    let lost = scrubbed(&world).await;
    assert!(lost.rotten == 1 && lost.rot[0].what.contains("is not there"), "{lost:?}");
    for file in files_below(&world.scratch.join("objects/data")) {
        if std::fs::read(&file).unwrap() == poster {
            std::fs::remove_file(file).unwrap();
        }
    }
    let lost = scrubbed(&world).await;
    assert!(lost.rotten == 2 && lost.rot[1].what.contains("cannot be read"), "{lost:?}");
}

#[tokio::test]
async fn a_scrub_that_was_cut_off_goes_on_after_a_restart() {
    let mut world = World::start_with(|config| {
        without_media(config);
        // A second for each object: it is surely cut off.
        config.scrub.rate = flame_service_host::config::Bytes(1 << 20);
    })
    .await;
    for number in 0..8 {
        let key = format!("default/posters/{number}.jpg");
        world.store().put(&key, noise(number, MIB).into(), "image/jpeg").await.unwrap();
    }
    let begun: Scrub = json(world.request(Method::POST, "/scrub").send().await.unwrap(), 202).await;
    assert!(begun.is_running);
    let shown =
        async |world: &World| json::<Scrub>(world.request(Method::GET, "/scrub").send().await.unwrap(), 200).await;
    let cut = eventually(PATIENCE, || async {
        let scrub = shown(&world).await;
        if scrub.objects > 0 { Ok(scrub) } else { Err(format!("{scrub:?}")) }
    })
    .await;
    assert!(cut.is_running && cut.objects < 8, "{cut:?}");
    world.stop().await;
    // Who begins anew would find it.
    flip(&world, &noise(0, MIB));
    world.resume().await;
    let again: Scrub = json(world.request(Method::POST, "/scrub").send().await.unwrap(), 202).await;
    assert_eq!((again.is_running, again.began_at), (true, begun.began_at), "it is the same one");
    let ended = eventually(PATIENCE, || async {
        let scrub = shown(&world).await;
        if scrub.is_running { Err(format!("{scrub:?}")) } else { Ok(scrub) }
    })
    .await;
    assert_eq!((ended.objects, ended.rotten), (8, 0), "the first one was read before: {ended:?}");
    let next = scrubbed(&world).await;
    assert_eq!((next.objects, next.rotten), (8, 1), "{next:?}");
}

/// The file that is the record of the object under `key`.
fn record(world: &World, key: &str) -> PathBuf {
    let pieces: Vec<&str> = key.split('/').collect();
    let (name, folders) = pieces.split_last().unwrap();
    let folder = folders
        .iter()
        .fold(world.scratch.join("objects/buckets/flame/objects"), |folder, piece| folder.join(format!("{piece}=d")));
    folder.join(format!("{name}=o"))
}

#[tokio::test]
async fn a_damaged_record_is_named_hides_nothing_behind_it_and_can_be_brought_anew() {
    let world = World::start_with(|config| {
        without_media(config);
        config.scrub.rate = flame_service_host::config::Bytes(1 << 30);
    })
    .await;
    let packaged = Uuid::now_v7();
    let (stem, media, _) = track(&world, packaged).await;
    let (poster, asset) = (noise(23, 700), Uuid::now_v7());
    let poster_key = format!("default/posters/{asset}.jpg");
    world.store().put(&poster_key, poster.clone().into(), "image/jpeg").await.unwrap();
    let put = world.request(Method::PUT, "/files/short.mp4?chain=none").body(noise(21, 1000)).send().await.unwrap();
    let upload: Upload = json(put, 201).await;
    world.check_stored(upload.id, &noise(21, 1000)).await;
    assert_eq!(scrubbed(&world).await.objects, 4);

    // The first byte of each: it is no JSON any more.
    let track_key = format!("{stem}.mp4");
    for key in [&track_key, &poster_key] {
        let path = record(&world, key);
        let mut stored = std::fs::read(&path).unwrap();
        stored[0] ^= 0x01;
        std::fs::write(&path, stored).unwrap();
    }
    let found = scrubbed(&world).await;
    let named: Vec<_> = found.rot.iter().map(|rot| (rot.key.as_str(), rot.asset_id)).collect();
    assert_eq!(named, [(track_key.as_str(), Some(packaged)), (poster_key.as_str(), Some(asset))], "{found:?}");
    assert!(found.rot.iter().all(|rot| rot.what.contains("cannot be read")), "{found:?}");
    assert_eq!((found.objects, found.rotten), (4, 2), "what lies behind was read, too");

    // Brought anew, or deleted.
    world.store().put(&track_key, media.into(), "video/mp4").await.unwrap();
    world.store().delete(&poster_key).await.unwrap();
    let whole = scrubbed(&world).await;
    assert_eq!((whole.objects, whole.rotten), (3, 0), "{whole:?}");
}

//! A movie of a hundred hours: it is listed, and any of it can be had, in bounded memory and time; and what lies far beyond the end of anything has
//! its status.

use std::time::{Duration, Instant};

use bytes::Bytes;
use flame_api::live::{Channel, LiveTrack};
use flame_test_kit::eventually;
use flame_test_kit::long_movie::Picture;
use serde_json::json;
use uuid::Uuid;

use crate::live::{self, Encoder, NOON_TICKS, TIMESCALE, path, publish_as, send};
use crate::live_forms::{sent, text};
use crate::uploaded::{CONTAINER, track, upload};
use crate::world::World;

const HOURS: u32 = 100;
/// Pictures a second: nine million in all.
const RATE: u32 = 25;
/// Memory of the process at its highest, development build: what it takes anyway, the movie's tables (as long as `moov` is), 90,000 segments, and its playlists.
const PEAK_MAX_BYTES: u64 = 320 << 20;
/// How far viewers of the channel can go back, seconds; its segments have so many parts of a second, of one picture of so many octets.
const WINDOW_S: u32 = 7_200;
const PARTS: usize = 10;
const PART_BYTES: usize = 20_000;
/// Of that the process may hold so much, and what else it takes meanwhile: a third of what is sent.
const HELD_MAX_BYTES: u64 = 48 << 20;
/// Segments that are sent before it is waited for until they are stored: what waits for the store is in memory, as it has to be.
const AHEAD: u64 = 16;
/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most memory that a process had, bytes.
fn peak_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux says it");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("it is a number");
    kib * 1_024
}

#[tokio::test(flavor = "multi_thread")]
async fn any_of_a_hundred_hours_can_be_had_in_bounded_memory_and_time() {
    let mut world = World::start().await;
    world.run_program().await;
    let idle = peak_bytes(world.program_id());
    let movie = Picture::of_nothing().shown_for(HOURS, RATE);
    let asset = upload(&world, &movie, CONTAINER).await;
    let began = Instant::now();
    let folder = track(&world, asset, 'v').await;
    let listed_ms = began.elapsed().as_millis();
    let get = async |name: &str| {
        let request = world.http.get(world.url(&format!("{folder}/{name}"))).timeout(PATIENCE);
        let answer = request.send().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let status = answer.status().as_u16();
        let octets = answer.bytes().await.unwrap();
        (status, octets)
    };
    let (status, playlist) = get("index.m3u8").await;
    let playlist = String::from_utf8(playlist.to_vec()).unwrap();
    let segments = u64::from(HOURS) * 3_600 / 4;
    assert!(status == 200 && playlist.ends_with("#EXT-X-ENDLIST\n"));
    assert_eq!(playlist.matches("#EXTINF:").count() as u64, segments);
    let (mut longest, mut taken) = (Duration::ZERO, 0);
    for number in [0, 1, segments / 2, segments - 2, segments - 1] {
        for name in [format!("{number}.m4s"), format!("{number}.ts"), format!("i{number}.m4s")] {
            let began = Instant::now();
            let (status, octets) = get(&name).await;
            longest = longest.max(began.elapsed());
            taken += octets.len();
            assert!(status == 200 && !octets.is_empty(), "{name}: {status}");
        }
    }
    for name in ["ts.m3u8", "iframes.m3u8", "index.m3u8?from=359990s&to=359999s"] {
        assert_eq!(get(name).await.0, 200, "{name}");
    }
    let mpd = world.get(&format!("{asset}/manifest.mpd")).await;
    assert_eq!(mpd.status(), 200);
    assert!(mpd.text().await.unwrap().contains("mediaPresentationDuration=\"PT360000"), "it is as long as it is");
    for far in ["1000000000.m4s", "1000000000.ts", "i1000000000.m4s", "0.1000000000.m4s", "init-1000000000.mp4"] {
        assert_eq!(get(far).await.0, 404, "{far}");
    }
    for far in [u64::MAX.to_string(), "9".repeat(40)] {
        assert_eq!(get(&format!("{far}.m4s")).await.0, 404, "{far}");
    }
    let peak = peak_bytes(world.program_id());
    println!(
        "100 h of 25 pictures a second: listed after {listed_ms} ms, the slowest segment took {} ms, {taken} octets of segments; {} MiB at most, {} MiB before",
        longest.as_millis(),
        peak >> 20,
        idle >> 20
    );
    assert!(peak < PEAK_MAX_BYTES, "{} MiB", peak >> 20);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_far_beyond_a_live_channel_has_its_status() {
    let world = World::start().await;
    let (channel, _, _, _) = sent(&world, 2).await;
    for (query, status) in [
        ("?_HLS_msn=1000000000", 400),
        ("?_HLS_msn=2&_HLS_part=1000000000", 400),
        ("?_HLS_msn=18446744073709551615", 400),
        ("?_HLS_msn=18446744073709551615&_HLS_part=18446744073709551615", 400),
        ("?_HLS_msn=99999999999999999999999", 400),
    ] {
        assert_eq!(world.get(&path(&channel, &format!("index.m3u8{query}"))).await.status(), status, "{query}");
    }
    for name in ["1.1000000000.m4s", "1000000000.0.m4s", "1000000000.m4s", "1000000000.ts", "i1000000000.m4s"] {
        assert_eq!(world.get(&path(&channel, name)).await.status(), 404, "{name}");
    }
    world.stop().await;
}

/// Hours of which nothing has to be held, because they are stored.
#[tokio::test(flavor = "multi_thread")]
async fn hours_that_viewers_can_go_back_lie_in_the_store_and_not_in_memory() {
    let mut world = World::start().await;
    world.run_program().await;
    let new = json!({
        "id": Uuid::new_v4(), "title": "Hours", "segment_ms": 10_000, "part_ms": 1_000, "window_s": WINDOW_S,
    });
    let answer = world.http.post(world.url("channels")).json(&new).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let channel: Channel = answer.json().await.unwrap();
    let mut encoder = Encoder::of_parts(i64::from(TIMESCALE), NOON_TICKS);
    encoder.bytes = PART_BYTES;
    let track = LiveTrack { part_ticks: TIMESCALE, ..live::track("v") };
    let key = channel.key.clone().expect("it is new");
    let publication = publish_as(&world, &key, encoder.init(), (track, false)).await;
    let is_stored = async |number: u64| {
        let key = format!("default/live/{}/{}/v/{number}.m4s", channel.id, channel.version);
        eventually(PATIENCE, || async {
            let found = world.store.head(&key).await.map_err(|error| error.to_string())?;
            found.map(drop).ok_or_else(|| format!("{key} is not stored"))
        })
        .await;
    };
    let segments = u64::from(WINDOW_S) / PARTS as u64;
    let (mut before, mut taken, mut second) = (0, 0, Bytes::new());
    for number in 0..segments {
        let parts: Vec<Bytes> = (0..PARTS).map(|_| encoder.part().expect("one comes for each")).collect();
        taken += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        send(&world, &publication, number, &parts).await;
        if number == 1 {
            second = parts.concat().into();
        }
        if number % AHEAD == AHEAD - 1 {
            is_stored(number).await;
        }
        // All that is made once has been made by then.
        if number == AHEAD {
            before = peak_bytes(world.program_id());
        }
    }
    is_stored(segments - 1).await;
    let playlist = text(&world, &path(&channel, "index.m3u8")).await;
    let listed = playlist.matches("#EXTINF:").count() as u64;
    assert!(listed + 1 >= segments && playlist.contains("\n1.m4s\n"), "{listed} of {segments}");
    let oldest = world.get(&path(&channel, "1.m4s")).await;
    assert_eq!(oldest.status(), 200);
    assert_eq!(oldest.bytes().await.unwrap(), second);
    let held = peak_bytes(world.program_id()) - before;
    println!("{WINDOW_S} s of a channel, {} MiB: {} MiB more at most", taken >> 20, held >> 20);
    assert!(held < HELD_MAX_BYTES && taken > 2 * HELD_MAX_BYTES, "{held} of {taken} bytes are held");
    world.stop().await;
}

//! Channels that do not keep all that was sent to them: what lies too far back is deleted, and nothing of what is left gets another name.

use std::collections::BTreeSet;

use bytes::Bytes;
use flame_api::live::Channel;
use flame_test_kit::eventually;
use uuid::Uuid;

use crate::live::{Encoder, NOON_TICKS, PART_TICKS, PARTS, octets, path, playlist, publish, send};
use crate::live_forms::{end, text};
use crate::live_restart::{noted, publish_all, put};
use crate::world::{DEADLINE, World};

/// Segments of a block, and of two seconds each.
const BLOCK: u64 = 64;

async fn keeping(world: &World, keep_s: u32) -> Channel {
    let new = serde_json::json!({
        "id": Uuid::new_v4(), "title": "All day", "segment_ms": 2000, "part_ms": 500, "window_s": 30, "keep_s": keep_s
    });
    let answer = world.http.post(world.url("channels")).json(&new).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    answer.json().await.unwrap()
}

fn encoder(number: u64) -> Encoder {
    Encoder::new(1280, NOON_TICKS + (number as i64) * (PARTS as i64) * PART_TICKS)
}

/// Numbers of the segments of a track that are in the store, and of its blocks.
async fn stored(world: &World, channel: &Channel, track: &str) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let prefix = format!("default/live/{}/{}/{track}/", channel.id, channel.version);
    let page = world.store.list(&prefix, None).await.unwrap();
    assert!(page.next.is_none());
    let number = |key: &str, before: &str, after: &str| -> Option<u64> {
        key.strip_prefix(&prefix)?.strip_prefix(before)?.strip_suffix(after)?.parse().ok()
    };
    let numbers = |before: &str, after: &str| {
        page.objects.iter().filter_map(|object| number(&object.key, before, after)).collect()
    };
    (numbers("", ".m4s"), numbers("blocks/", ".json"))
}

async fn only(world: &World, channel: &Channel, track: &str, numbers: std::ops::Range<u64>) {
    eventually(DEADLINE, || async {
        let (segments, blocks) = stored(world, channel, track).await;
        let wanted = (numbers.clone().collect(), (numbers.start / BLOCK..=(numbers.end - 1) / BLOCK).collect());
        if (&segments, &blocks) == (&wanted.0, &wanted.1) { Ok(()) } else { Err(format!("{segments:?} {blocks:?}")) }
    })
    .await;
}

/// Two publications, so that there is a discontinuity: at 10.
async fn sent(world: &World, channel: &Channel, count: u64) -> (Vec<Vec<Bytes>>, Encoder) {
    let (mut encoder, mut segments) = (encoder(0), Vec::new());
    for range in [0..10, 10..count] {
        let publication = publish(world, channel.key.as_deref().unwrap(), encoder.init()).await;
        for number in range {
            segments.push(encoder.segment());
            send(world, &publication, number, segments.last().unwrap()).await;
        }
    }
    (segments, encoder)
}

/// A playlist without its parts, which are held in memory only.
fn whole(playlist: &str) -> Vec<&str> {
    let is_part = |line: &&str| line.starts_with("#EXT-X-PART:") || line.starts_with("#EXT-X-PRELOAD-HINT:");
    playlist.lines().filter(|line| !is_part(line)).collect()
}

fn period(mpd: &str) -> &str {
    let begin = mpd.find("<Period ").expect("it has one");
    &mpd[begin..begin + mpd[begin..].find('>').unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_too_far_back_is_deleted_and_the_rest_keeps_its_names() {
    let mut world = World::start().await;
    let channel = keeping(&world, 60).await;
    assert_eq!(channel.keep_s, Some(60));
    let (segments, mut encoder) = sent(&world, &channel, 200).await;
    // The third block ends 16 s before what came last.
    only(&world, &channel, "v", 2 * BLOCK..200).await;
    let init = format!("default/live/{}/{}/v/init.mp4", channel.id, channel.version);
    assert!(world.store.head(&init).await.unwrap().is_some());
    let mpd_path = format!("{}/manifest.mpd", channel.id);
    let (listed, iframes) = (playlist(&world, &channel, "").await, text(&world, &path(&channel, "iframes.m3u8")).await);
    let mpd = text(&world, &mpd_path).await;
    assert!(listed.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"), "{listed}");
    let picture = octets(&world, &channel, "i790.m4s").await;

    // As a process left it that died while it deleted the second block.
    let block = serde_json::json!({ "version": 1, "segments": [{
        "number": BLOCK, "time_ticks": 0, "duration_ticks": 1, "size_bytes": 1, "sha256": "ab".repeat(32), "init": 0
    }]});
    let folder = format!("default/live/{}/{}/v", channel.id, channel.version);
    world
        .store
        .put(&format!("{folder}/blocks/{:012}.json", 1), block.to_string().into(), "application/json")
        .await
        .unwrap();
    world.store.put(&format!("{folder}/{BLOCK}.m4s"), "x".into(), "video/mp4").await.unwrap();
    world.restart_streaming().await;
    assert_eq!(whole(&playlist(&world, &channel, "").await), whole(&listed));
    assert_eq!(text(&world, &path(&channel, "iframes.m3u8")).await, iframes);
    assert_eq!(period(&text(&world, &mpd_path).await), period(&mpd));
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    assert_eq!(publication.first_number, 200);
    send(&world, &publication, 200, &encoder.segment()).await;
    only(&world, &channel, "v", 2 * BLOCK..201).await;

    end(&world, &channel).await;
    let recorded = playlist(&world, &channel, "").await;
    assert!(
        recorded.contains("#EXT-X-MEDIA-SEQUENCE:128\n") && recorded.ends_with("200.m4s\n#EXT-X-ENDLIST\n"),
        "{recorded}"
    );
    assert!(recorded.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"), "{recorded}");
    assert_eq!(octets(&world, &channel, "128.m4s").await, segments[128].concat());
    assert_eq!(octets(&world, &channel, "i790.m4s").await, picture);
    assert_eq!(world.get(&path(&channel, "127.m4s")).await.status(), 404);
    let recorded = text(&world, &path(&channel, "iframes.m3u8")).await;
    assert!(recorded.contains("#EXT-X-MEDIA-SEQUENCE:512\n"), "{recorded}");
    only(&world, &channel, "v", 2 * BLOCK..201).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_stopped_long_ago_is_not_in_the_recording() {
    let world = World::start().await;
    let channel = keeping(&world, 30).await;
    let init = encoder(0).init();
    let both = publish_all(&world, &channel, &["v", "w"], init.clone()).await;
    for name in ["v", "w"] {
        put(&world, &both, &format!("{name}/0.m4s"), encoder(0).segment().concat()).await;
    }
    let publication = publish_all(&world, &channel, &["v"], init).await;
    let mut encoder = encoder(1);
    for number in 1..150 {
        put(&world, &publication, &format!("v/{number}.m4s"), encoder.segment().concat()).await;
    }
    only(&world, &channel, "v", 2 * BLOCK..150).await;
    assert_eq!(stored(&world, &channel, "w").await.0, BTreeSet::from([0]));
    end(&world, &channel).await;
    let offered = text(&world, &format!("{}/index.m3u8", channel.id)).await;
    assert_eq!(offered.matches("#EXT-X-STREAM-INF").count(), 1, "{offered}");
    assert_eq!(stored(&world, &channel, "w").await, (BTreeSet::new(), BTreeSet::new()));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_viewers_can_go_back_to_is_kept_at_least() {
    let world = World::start().await;
    for (keep_s, status) in [(29, 422), (30, 201), (31_622_400, 201), (31_622_401, 422)] {
        let new = serde_json::json!({ "id": Uuid::new_v4(), "title": "All day", "window_s": 30, "keep_s": keep_s });
        let answer = world.http.post(world.url("channels")).json(&new).send().await.unwrap();
        assert_eq!(answer.status(), status, "{keep_s}");
        if status == 422 {
            let said = answer.text().await.unwrap();
            assert!(said.contains("`keep_s` must be 30 to 31622400"), "{said}");
        }
    }
    // A pause is no reason to delete what the window still shows.
    let channel = keeping(&world, 30).await;
    let first = publish(&world, channel.key.as_deref().unwrap(), encoder(0).init()).await;
    send(&world, &first, 0, &encoder(0).segment()).await;
    let mut later = encoder(1_000);
    let second = publish(&world, channel.key.as_deref().unwrap(), later.init()).await;
    for number in 1..4 {
        send(&world, &second, number, &later.segment()).await;
    }
    only(&world, &channel, "v", 0..4).await;
    assert!(playlist(&world, &channel, "").await.contains("\n0.m4s\n"));
    assert_eq!(octets(&world, &channel, "0.m4s").await, encoder(0).segment().concat());
    world.stop().await;
}

/// An hour is kept, and three minutes have come when the clock of who sends is set ahead: none of it is an hour old.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_years_ahead_deletes_nothing() {
    let world = World::start().await;
    let channel = keeping(&world, 3_600).await;
    // More than a block and the window, behind which nothing is deleted anyway.
    let (segments, _) = sent(&world, &channel, 100).await;
    let mut ahead = encoder(100_000_000);
    let publication = publish(&world, channel.key.as_deref().unwrap(), ahead.init()).await;
    for number in 100..110 {
        send(&world, &publication, number, &ahead.segment()).await;
        // What is too old is looked for whenever something was stored.
        noted(&world, &channel, number).await;
    }
    only(&world, &channel, "v", 0..110).await;
    assert!(!playlist(&world, &channel, "").await.contains("\n63.m4s\n"), "the window has left the first block");
    let key = format!("default/live/{}/{}/v/0.m4s", channel.id, channel.version);
    assert_eq!(world.store.get(&key, 1 << 20).await.unwrap(), segments[0].concat());
    world.stop().await;
}

/// Whoever gives media their times has a clock, and clocks are set: by years, while it sends and between two publications.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_counted_in_media_whatever_time_it_says() {
    let mut world = World::start().await;
    let channel = keeping(&world, 60).await;
    let (segments, _) = sent(&world, &channel, 20).await;
    let mut ahead = encoder(1_000_000_000);
    let publication = publish(&world, channel.key.as_deref().unwrap(), ahead.init()).await;
    for number in 20..23 {
        send(&world, &publication, number, &ahead.segment()).await;
    }
    // And back.
    let mut right = encoder(100);
    let publication = publish(&world, channel.key.as_deref().unwrap(), right.init()).await;
    let mut after = Vec::new();
    for number in 23..100 {
        after.push(right.segment());
        send(&world, &publication, number, after.last().unwrap()).await;
    }
    // Only what lies a minute of media behind: the first block ends 72 s before what came last.
    only(&world, &channel, "v", BLOCK..100).await;
    world.restart_streaming().await;
    let publication = publish(&world, channel.key.as_deref().unwrap(), right.init()).await;
    for number in 100..150 {
        send(&world, &publication, number, &right.segment()).await;
    }
    // The second block ends 44 s before it.
    only(&world, &channel, "v", BLOCK..150).await;
    let key = format!("default/live/{}/{}/v/99.m4s", channel.id, channel.version);
    assert_eq!(world.store.get(&key, 1 << 20).await.unwrap(), after.last().unwrap().concat());
    assert_eq!(segments.len(), 20);
    world.stop().await;
}

//! Numbers of live segments: never two media under one name, whatever becomes of the process, and none left out without a gap.

use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use flame_api::live::{Channel, ChannelState, NewPublication, Publication};
use flame_api::metadata::{NewAsset, NewVersion, Source};
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use uuid::Uuid;

use crate::live::{
    Encoder, NOON_TICKS, PART_TICKS, PARTS, channel, octets, open, path, playlist, publish, send, track,
};
use crate::live_forms::{end, sent, text};
use crate::world::{DEADLINE, World, probe};

pub async fn publish_all(world: &World, channel: &Channel, names: &[&str], init: Bytes) -> Publication {
    let tracks = names.iter().map(|name| track(name)).collect();
    let new = NewPublication { key: channel.key.clone().unwrap(), tracks, standby: false };
    let answer = world.http.post(world.url("publications")).json(&new).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{:?}", answer.text().await);
    let publication: Publication = answer.json().await.unwrap();
    for name in names {
        put(world, &publication, &format!("{name}/init.mp4"), init.clone()).await;
    }
    publication
}

pub async fn put(world: &World, publication: &Publication, name: &str, body: impl Into<reqwest::Body>) {
    let url = world.url(&format!("publications/{}/{name}", publication.id));
    let answer = world.http.put(url).body(body).send().await.unwrap();
    assert_eq!(answer.status(), 204, "{name}: {:?}", answer.text().await);
}

fn listed_of(channel: &Channel, track: &str) -> String {
    format!("{}/{}/{track}/index.m3u8", channel.id, channel.version)
}

fn gaps(playlist: &str) -> usize {
    playlist.matches("#EXT-X-GAP\n").count()
}

/// Waits until viewers see a part.
async fn seen(world: &World, channel: &Channel, part: &str) -> Bytes {
    eventually(DEADLINE, || async {
        let answer = world.get(&path(channel, part)).await;
        if answer.status() == 200 { Ok(answer.bytes().await.unwrap()) } else { Err(answer.status()) }
    })
    .await
}

/// Waits until a segment of the first track is stored, and the block that names it.
pub async fn noted(world: &World, channel: &Channel, number: u64) {
    let key = format!("default/live/{}/{}/v/blocks/{:012}.json", channel.id, channel.version, number / 64);
    eventually(DEADLINE, || async {
        let block = world.store.get(&key, 1 << 20).await.map_err(|error| error.to_string())?;
        let block = String::from_utf8_lossy(&block).into_owned();
        if block.contains(&format!("\"number\":{number},")) { Ok(()) } else { Err(block) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_followed_by_one_that_uses_no_name_again() {
    let mut world = World::start().await;
    world.run_program().await;
    let (channel, publication, mut encoder, segments) = sent(&world, 3).await;
    let (parts, _) = open(&world, &publication, 3);
    let mut before = Vec::new();
    for part in 0..2 {
        parts.send(encoder.part().unwrap()).await.unwrap();
        before.push(seen(&world, &channel, &format!("3.{part}.m4s")).await);
    }
    // What is whole is stored a moment later.
    noted(&world, &channel, 2).await;

    world.run_program().await;
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    let first = publication.first_number;
    assert!((4..=9).contains(&first), "{first}: behind all that was seen, and not far");
    let after = encoder.segment();
    send(&world, &publication, first, &after).await;
    for (number, sent) in segments.iter().enumerate() {
        assert_eq!(octets(&world, &channel, &format!("{number}.m4s")).await, sent.concat());
    }
    for (part, bytes) in before.iter().enumerate() {
        let answer = world.get(&path(&channel, &format!("3.{part}.m4s"))).await;
        assert!(answer.status() == 404 || answer.bytes().await.unwrap() == bytes, "3.{part}.m4s is another one");
    }
    assert_eq!(octets(&world, &channel, &format!("{first}.m4s")).await, after.concat());
    let listed = playlist(&world, &channel, "").await;
    let missing = usize::try_from(first).unwrap() - 3;
    assert!(listed.contains("#EXT-X-GAP\n#EXTINF:2.0,\n3.m4s\n") && gaps(&listed) == missing, "{listed}");
    end(&world, &channel).await;
    let recorded = playlist(&world, &channel, "").await;
    assert!(gaps(&recorded) == missing && recorded.contains(&format!("{first}.m4s\n#EXT-X-ENDLIST\n")), "{recorded}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_keeps_what_is_under_way_and_the_next_number_is_the_next() {
    let mut world = World::start_with(|config| config.host.drain = Span(Duration::from_millis(200))).await;
    let (channel, publication, mut encoder, _) = sent(&world, 3).await;
    let (parts, answer) = open(&world, &publication, 3);
    let mut under_way = Vec::new();
    for part in 0..2 {
        under_way.push(encoder.part().unwrap());
        parts.send(under_way[part].clone()).await.unwrap();
        seen(&world, &channel, &format!("3.{part}.m4s")).await;
    }
    world.restart_streaming().await;
    drop((parts, answer));
    assert_eq!(octets(&world, &channel, "3.m4s").await, under_way.concat());
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    assert_eq!(publication.first_number, 4);
    send(&world, &publication, 4, &encoder.segment()).await;
    assert_eq!(gaps(&playlist(&world, &channel, "").await), 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_was_away_for_more_than_a_thousand_segments_comes_back() {
    const AWAY: u64 = 1_100;
    let mut world = World::start().await;
    let channel = channel(&world).await;
    let encoder = |number: u64| Encoder::new(1280, NOON_TICKS + (number as i64) * (PARTS as i64) * PART_TICKS);
    let init = encoder(0).init();
    let first = publish_all(&world, &channel, &["v", "w"], init.clone()).await;
    put(&world, &first, "v/0.m4s", encoder(0).segment().concat()).await;
    put(&world, &first, "w/0.m4s", encoder(0).segment().concat()).await;
    // The other one goes on, with gaps of its own, so that this does not take long.
    let alone = publish_all(&world, &channel, &["v"], init.clone()).await;
    for number in [1, AWAY / 2, AWAY - 1] {
        put(&world, &alone, &format!("v/{number}.m4s"), encoder(number).segment().concat()).await;
    }
    for restarts in 0..2 {
        let number = AWAY + restarts;
        let publication = publish_all(&world, &channel, &["v", "w"], init.clone()).await;
        assert_eq!(publication.first_number, number);
        let sent = encoder(number).segment().concat();
        put(&world, &publication, &format!("v/{number}.m4s"), sent.clone()).await;
        put(&world, &publication, &format!("w/{number}.m4s"), sent).await;
        noted(&world, &channel, number).await;
        world.restart_streaming().await;
        let listed = text(&world, &listed_of(&channel, "w")).await;
        assert!(listed.contains(&format!("#EXTINF:2.0,\n{number}.m4s\n")), "{listed}");
    }
    end(&world, &channel).await;
    let recorded = text(&world, &listed_of(&channel, "w")).await;
    assert_eq!(gaps(&recorded), usize::try_from(AWAY).unwrap() - 1);
    assert_eq!(recorded.matches("#EXTINF").count(), usize::try_from(AWAY).unwrap() + 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_stands_still_is_gaps_and_then_not_offered_until_it_comes_again() {
    let world = World::start().await;
    let channel = channel(&world).await;
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let publication = publish_all(&world, &channel, &["v", "w"], encoder.init()).await;
    let mut sent = Vec::new();
    for number in 0..14 {
        sent.push(encoder.segment().concat());
        put(&world, &publication, &format!("v/{number}.m4s"), sent[number].clone()).await;
        if number < 2 {
            put(&world, &publication, &format!("w/{number}.m4s"), sent[number].clone()).await;
        }
        let offered = text(&world, &format!("{}/index.m3u8", channel.id)).await;
        // Half of the window of 30 s.
        let variants = if 2 * (number + 1) > 4 + 15 { 1 } else { 2 };
        assert_eq!(offered.matches("#EXT-X-STREAM-INF").count(), variants, "{number}: {offered}");
    }
    // Who waits for it is told what has become of it.
    let of_w = listed_of(&channel, "w");
    let listed = text(&world, &format!("{of_w}?_HLS_msn=8")).await;
    assert!(listed.contains("12:00:04.000Z\n#EXT-X-GAP\n#EXTINF:2.0,\n2.m4s\n") && gaps(&listed) == 7, "{listed}");
    // It comes again, with what it is made of now.
    for (number, segment) in sent.iter().enumerate().skip(11) {
        put(&world, &publication, &format!("w/{number}.m4s"), segment.clone()).await;
    }
    let listed = text(&world, &of_w).await;
    assert!(listed.contains("11.m4s\n") && !listed.contains("#EXT-X-DISCONTINUITY") && gaps(&listed) == 9, "{listed}");
    let offered = text(&world, &format!("{}/index.m3u8", channel.id)).await;
    assert_eq!(offered.matches("#EXT-X-STREAM-INF").count(), 2, "{offered}");
    let answer = world.ask(Method::GET, &format!("{}/manifest.mpd", channel.id), &[]).await;
    assert_eq!(answer.status(), 200);
    end(&world, &channel).await;
    world.stop().await;
}

/// A track is away for longer than the window is: what it lacks is stored before it is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn gaps_that_leave_the_window_are_in_the_recording_and_survive_a_restart() {
    let mut world = World::start().await;
    let (channel, _, _, segments) = sent(&world, 2).await;
    // 60 s later, with a window of 30 s.
    let mut encoder = Encoder::new(1280, NOON_TICKS + 32 * (PARTS as i64) * PART_TICKS);
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    for number in 32..34 {
        send(&world, &publication, number, &encoder.segment()).await;
    }
    world.restart_streaming().await;
    let listed = playlist(&world, &channel, "").await;
    assert!(listed.contains("33.m4s\n"), "{listed}");
    assert_eq!(publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await.first_number, 34);
    end(&world, &channel).await;
    let recorded = playlist(&world, &channel, "").await;
    assert!(gaps(&recorded) == 30 && recorded.ends_with("33.m4s\n#EXT-X-ENDLIST\n"), "{recorded}");
    assert_eq!(octets(&world, &channel, "1.m4s").await, segments[1].concat());
    world.stop().await;
}

/// A service that has had many channels starts as fast as a new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_has_ended_is_read_by_no_start_and_shown_all_the_same() {
    let mut world = World::start().await;
    let (channel, _, _, _) = sent(&world, 2).await;
    end(&world, &channel).await;
    let [key, ended] = ["channels", "channels-ended"].map(|folder| format!("default/{folder}/{}.json", channel.id));
    let is_there = async |world: &World| {
        (world.store.head(&key).await.unwrap().is_some(), world.store.head(&ended).await.unwrap().is_some())
    };
    assert_eq!(is_there(&world).await, (false, true));
    // As older releases left it.
    let document = world.store.get(&ended, 1 << 20).await.unwrap();
    world.store.put(&key, document, "application/json").await.unwrap();
    world.store.delete(&ended).await.unwrap();
    world.restart_streaming().await;
    assert_eq!(is_there(&world).await, (false, true));
    let shown: Channel = world.get(&format!("channels/{}", channel.id)).await.json().await.unwrap();
    assert_eq!(shown.state, ChannelState::Ended);
    let new = serde_json::json!({
        "id": channel.id, "title": "Another", "segment_ms": 2000, "part_ms": 500, "window_s": 30
    });
    let answer = world.http.post(world.url("channels")).json(&new).send().await.unwrap();
    assert_eq!(answer.status(), 409, "its names are taken");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn live_needs_no_catalogue() {
    let world = World::start().await;
    let (channel, publication, mut encoder, _) = sent(&world, 2).await;
    world.relay.refuse(true);
    send(&world, &publication, 2, &encoder.segment()).await;
    for name in [path(&channel, "index.m3u8"), path(&channel, "2.m4s"), format!("{}/index.m3u8", channel.id)] {
        assert_eq!(world.get(&name).await.status(), 200, "{name}");
    }
    world.relay.refuse(false);
    world.stop().await;
}

/// The end was tried before: by a release that wrote down other things, or the asset was deleted since.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_whose_asset_is_there_already_can_be_ended() {
    let world = World::start().await;
    let source = |key: String| Source { key, file_name: None, size_bytes: 7, sha256: "ab".repeat(32) };
    let asset_of = |channel: &Channel, key: String| {
        let (id, title) = (channel.id, "As it was called then".to_owned());
        NewAsset { id, title, source: source(key), probe: probe(), poster_key: None }
    };
    for folder in ["channels", "channels-ended"] {
        let (channel, _, _, segments) = sent(&world, 2).await;
        let key = format!("default/{folder}/{}.json", channel.id);
        world.catalogue.create_asset(&asset_of(&channel, key)).await.unwrap();
        if folder == "channels-ended" {
            let version = NewVersion {
                job_id: None,
                chain: "live".to_owned(),
                tracks: Vec::new(),
                thumbnails: None,
                conditioning: None,
            };
            // The same name for what an older release said otherwise, as far as the catalogue takes it.
            let _ = world.catalogue.publish_version(channel.id, &channel.version, &version).await;
        }
        end_once(&world, &channel, 200).await;
        let asset = world.catalogue.asset(channel.id).await.unwrap().expect("it is there");
        assert_eq!(asset.version.map(|version| version.name), Some(channel.version.clone()), "{folder}");
        assert_eq!(octets(&world, &channel, "1.m4s").await, segments[1].concat());
    }
    // Deleted, so nobody wants it: the channel ends.
    let (channel, _, _, _) = sent(&world, 2).await;
    let key = format!("default/channels/{}.json", channel.id);
    world.catalogue.create_asset(&asset_of(&channel, key)).await.unwrap();
    assert!(world.catalogue.delete_asset(channel.id).await.unwrap());
    end_once(&world, &channel, 200).await;
    let shown: Channel = world.get(&format!("channels/{}", channel.id)).await.json().await.unwrap();
    assert_eq!(shown.state, ChannelState::Ended);
    // Another one's is not touched.
    let (channel, _, _, segments) = sent(&world, 2).await;
    world.catalogue.create_asset(&asset_of(&channel, format!("default/sources/{}", channel.id))).await.unwrap();
    for _ in 0..2 {
        let answer = world.ask(Method::POST, &format!("channels/{}/end", channel.id), &[]).await;
        let detail = conflict(answer).await;
        assert!(detail.contains("no recording of this channel") && !detail.contains("flame asset rm"), "{detail}");
    }
    let asset = world.catalogue.asset(channel.id).await.unwrap().expect("it is there");
    assert!(asset.version.is_none());
    // Nor is what was sent lost where that one is deleted: in the trash it can come back.
    assert!(world.catalogue.delete_asset(channel.id).await.unwrap());
    end_once(&world, &channel, 409).await;
    assert_eq!(octets(&world, &channel, "1.m4s").await, segments[1].concat());
    assert!(playlist(&world, &channel, "").await.contains("\n1.m4s\n"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_an_upload_is_taken_for_no_channel() {
    let world = World::start().await;
    let upload = world.register(None).await;
    let create = async |id: Uuid| {
        let new = serde_json::json!({ "id": id, "title": "News" });
        world.http.post(world.url("channels")).json(&new).send().await.unwrap()
    };
    let detail = conflict(create(upload).await).await;
    assert!(detail.contains("is or was an asset"), "{detail}");
    // In the trash, too: what the channel stored would go with it.
    assert!(world.catalogue.delete_asset(upload).await.unwrap());
    assert!(conflict(create(upload).await).await.contains("is or was an asset"));
    assert_eq!(world.get(&format!("channels/{upload}")).await.status(), 404);
    // Who cannot ask goes live all the same.
    world.relay.refuse(true);
    assert_eq!(create(Uuid::new_v4()).await.status(), 201);
    world.relay.refuse(false);
    world.stop().await;
}

/// A process that dies between a segment and the block that names it leaves an object that nobody plays.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_block_names_is_deleted_at_the_next_start() {
    let mut world = World::start().await;
    let (channel, _, _, segments) = sent(&world, 2).await;
    noted(&world, &channel, 1).await;
    let of = |track: &str, number: u64| format!("default/live/{}/{}/{track}/{number}.m4s", channel.id, channel.version);
    // Of one track it was the third segment, of the other one the first.
    publish_all(&world, &channel, &["v", "w"], Encoder::new(1280, NOON_TICKS).init()).await;
    for key in [of("v", 2), of("w", 2)] {
        world.store.put(&key, "x".into(), "video/mp4").await.unwrap();
    }
    world.restart_streaming().await;
    for (key, is_there) in [(of("v", 0), true), (of("v", 1), true), (of("v", 2), false), (of("w", 2), false)] {
        assert_eq!(world.store.head(&key).await.unwrap().is_some(), is_there, "{key}");
    }
    assert_eq!(octets(&world, &channel, "1.m4s").await, segments[1].concat());
    world.stop().await;
}

async fn conflict(answer: reqwest::Response) -> String {
    assert_eq!(answer.status(), 409);
    answer.json::<flame_api::Problem>().await.unwrap().detail
}

async fn end_once(world: &World, channel: &Channel, status: u16) {
    let answer = world.ask(Method::POST, &format!("channels/{}/end", channel.id), &[]).await;
    assert_eq!(answer.status(), status, "{:?}", answer.text().await);
}

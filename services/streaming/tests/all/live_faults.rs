//! What encoders do to a channel: they come back as others, send key frames more seldom, fall silent while another one stands by.

use std::time::Duration;

use axum::http::Method;
use flame_api::live::{Channel, ChannelState, LiveTrack};
use flame_service_host::config::Span;
use flame_test_kit::eventually;

use crate::live::{
    Encoder, NOON_TICKS, PART_TICKS, channel, octets, path, playlist, publish, publish_as, put, send, track,
};
use crate::live_forms::{end, sent, text};
use crate::world::{DEADLINE, World};

/// Longer than a busy machine needs between two segments here.
const FAILOVER: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_that_counts_otherwise_goes_on_behind_a_discontinuity() {
    let world = World::start().await;
    let (channel, _, _, _) = sent(&world, 2).await;
    // It was away for four seconds, and counts in 48,000 a second.
    let from_ticks = (NOON_TICKS / 90_000 + 8) * 48_000;
    let mut encoder = Encoder::counting_in(48_000, 640, from_ticks);
    let other = LiveTrack { timescale: 48_000, part_ticks: 24_000, width: Some(640), ..track("v") };
    let publication = publish_as(&world, channel.key.as_deref().unwrap(), encoder.init(), (other, false)).await;
    assert_eq!(publication.first_number, 2);
    let mut segments = Vec::new();
    for number in 2..4 {
        segments.push(encoder.segment());
        send(&world, &publication, number, segments.last().unwrap()).await;
    }
    let listed = playlist(&world, &channel, "").await;
    assert!(
        listed.contains(
            "#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-1.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:08.000Z\n"
        ),
        "{listed}"
    );
    assert!(
        listed.contains("#EXTINF:2.0,\n3.m4s\n") && listed.contains("#EXT-X-PART-INF:PART-TARGET=0.5\n"),
        "{listed}"
    );
    assert_eq!(octets(&world, &channel, "3.m4s").await, segments[1].concat());
    let multivariant = text(&world, &format!("{}/index.m3u8", channel.id)).await;
    assert!(multivariant.contains("RESOLUTION=640x720"), "{multivariant}");
    let mpd = text(&world, &format!("{}/manifest.mpd", channel.id)).await;
    let resumed = format!("<S t=\"{}\" d=\"180000\" r=\"1\"/>", NOON_TICKS + 8 * 90_000);
    assert!(mpd.contains("<Period id=\"p1795694408000\"") && mpd.contains(&resumed), "{mpd}");
    let iframes = text(&world, &path(&channel, "iframes.m3u8")).await;
    assert!(iframes.contains("2026-11-26T12:00:08.500Z\n#EXTINF:0.5,\ni9.m4s\n"), "{iframes}");
    // A clip across both, which ends within what counts otherwise.
    let clip = "to=20261126T120011.000Z";
    let last = octets(&world, &channel, &format!("3.m4s?{clip}")).await;
    assert!(last.len() < segments[1].concat().len());
    end(&world, &channel).await;
    let recorded = text(&world, &path(&channel, "index.m3u8?from=1s&to=11s")).await;
    assert!(recorded.ends_with(&format!("#EXTINF:1.0,\n3.m4s?{clip}\n#EXT-X-ENDLIST\n")), "{recorded}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_duration_grows_with_the_segments_and_never_shrinks() {
    let mut world = World::start().await;
    let (channel, publication, mut encoder, _) = sent(&world, 2).await;
    let target = async |world: &World| {
        let listed = playlist(world, &channel, "").await;
        listed.lines().find_map(|line| line.strip_prefix("#EXT-X-TARGETDURATION:")).unwrap().to_owned()
    };
    assert_eq!(target(&world).await, "2");
    // Eight parts of half a second: the next key frame came that late.
    let long: Vec<_> = (0..8).map(|_| encoder.part().unwrap()).collect();
    send(&world, &publication, 2, &long).await;
    assert_eq!(target(&world).await, "4");
    send(&world, &publication, 3, &encoder.segment()).await;
    assert_eq!(target(&world).await, "4");
    world.restart_streaming().await;
    assert_eq!(target(&world).await, "4");
    end(&world, &channel).await;
    assert_eq!(target(&world).await, "4");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_encoder_that_stands_by_goes_on_where_the_first_one_ended_and_gives_way_when_it_is_back() {
    let world = World::start_with(|config| config.live.failover = Span(FAILOVER)).await;
    let channel = channel(&world).await;
    let key = channel.key.clone().unwrap();
    let (mut first, mut second) = (Encoder::new(1280, NOON_TICKS), Encoder::new(640, NOON_TICKS));
    let sending = publish(&world, &key, first.init()).await;
    let standing_by = publish_as(&world, &key, second.init(), (track("v"), true)).await;
    let held: Vec<_> = (0..3).map(|_| second.segment()).collect();
    for number in 0..2 {
        send(&world, &sending, number, &first.segment()).await;
        send(&world, &standing_by, number, &held[usize::try_from(number).unwrap()]).await;
    }
    send(&world, &standing_by, 2, &held[2]).await;
    let before = playlist(&world, &channel, "").await;
    assert!(before.contains("1.m4s\n") && !before.contains("DISCONTINUITY"), "only the first one is heard: {before}");

    // The first one falls silent: what the other one sent from there on is there at once, without a gap.
    let listed = eventually(DEADLINE, || async {
        let listed = playlist(&world, &channel, "").await;
        if listed.contains("2.m4s\n") { Ok(listed) } else { Err(listed) }
    })
    .await;
    assert!(
        listed.contains(
            "#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-1.mp4\"\n#EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:04.000Z\n"
        ),
        "{listed}"
    );
    assert!(!listed.contains("#EXT-X-GAP"), "{listed}");
    assert_eq!(octets(&world, &channel, "2.m4s").await, held[2].concat());
    let fourth = second.segment();
    send(&world, &standing_by, 3, &fourth).await;
    assert_eq!(octets(&world, &channel, "3.m4s").await, fourth.concat());
    let answer = put(&world, &sending, "2.m4s", first.segment().concat()).await;
    assert_eq!(answer.status(), 409, "the first one is over");

    // It comes back, and has the channel; the other one stands by again.
    let mut first = Encoder::new(1280, NOON_TICKS + 16 * PART_TICKS);
    let sending = publish(&world, &key, first.init()).await;
    assert_eq!(sending.first_number, 4);
    send(&world, &sending, 4, &first.segment()).await;
    let mut held = Vec::new();
    for number in 4..6 {
        held.push(second.segment());
        send(&world, &standing_by, number, held.last().unwrap()).await;
    }
    let listed = playlist(&world, &channel, "").await;
    assert!(listed.contains("4.m4s\n") && !listed.contains("5.m4s\n"), "{listed}");
    // It says that it leaves: nobody waits.
    let answer = world.ask(Method::DELETE, &format!("publications/{}", sending.id), &[]).await;
    assert_eq!(answer.status(), 204);
    eventually(DEADLINE, || async {
        let listed = playlist(&world, &channel, "").await;
        if listed.contains("5.m4s\n") { Ok(()) } else { Err(listed) }
    })
    .await;
    assert_eq!(octets(&world, &channel, "5.m4s").await, held[1].concat());
    let shown: Channel = world.get(&format!("channels/{}", channel.id)).await.json().await.unwrap();
    assert_eq!(shown.state, ChannelState::Live);
    let listed = playlist(&world, &channel, "").await;
    assert_eq!(listed.matches("#EXTINF:2.0,\n").count(), 6, "{listed}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encoders_that_do_not_cut_alike_overlap_by_less_than_a_segment() {
    let world = World::start_with(|config| config.live.failover = Span(FAILOVER)).await;
    let channel = channel(&world).await;
    let key = channel.key.clone().unwrap();
    // The second one is half a second late.
    let (mut first, mut second) = (Encoder::new(1280, NOON_TICKS), Encoder::new(1280, NOON_TICKS + PART_TICKS));
    let sending = publish(&world, &key, first.init()).await;
    let standing_by = publish_as(&world, &key, second.init(), (track("v"), true)).await;
    for number in 0..3 {
        send(&world, &sending, number, &first.segment()).await;
        send(&world, &standing_by, number, &second.segment()).await;
    }
    let listed = eventually(DEADLINE, || async {
        let listed = playlist(&world, &channel, "").await;
        if listed.contains("3.m4s\n") { Ok(listed) } else { Err(listed) }
    })
    .await;
    // What came ends at 6 s; the second one's third segment begins at 4.5 s, and ends at 6.5 s.
    let (_, after) = listed.split_once("#EXT-X-DISCONTINUITY\n").unwrap();
    assert!(after.contains("#EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:04.500Z\n"), "{listed}");
    world.stop().await;
}

/// A recording with more segments than one document should hold stays in the blocks that were written while it was live.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_recording_plays_from_its_blocks() {
    let mut world = World::start_with(|config| config.live.recording_inline_segments = 100).await;
    let (channel, _, encoder, segments) = sent(&world, 150).await;
    end(&world, &channel).await;
    for _ in 0..2 {
        let listed = playlist(&world, &channel, "").await;
        assert_eq!(listed.matches("#EXTINF:2.0,\n").count(), 150, "{listed}");
        assert!(listed.ends_with("149.m4s\n#EXT-X-ENDLIST\n"), "{listed}");
        for number in [0, 63, 64, 149] {
            assert_eq!(octets(&world, &channel, &format!("{number}.m4s")).await, segments[number].concat());
        }
        assert_eq!(octets(&world, &channel, "init.mp4").await, encoder.init());
        world.restart_streaming().await;
    }
    let key = format!("default/live/{}/{}/v/recording.json", channel.id, channel.version);
    let written = world.store.get(&key, 1 << 20).await.unwrap();
    assert!(written.len() < 2_000, "it says where they are: {} bytes", written.len());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_was_announced_and_never_came_harms_no_recording() {
    let world = World::start().await;
    let channel = channel(&world).await;
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let key = channel.key.clone().unwrap();
    let new = serde_json::json!({ "key": key, "tracks": [track("v"), track("w")] });
    let answer = world.http.post(world.url("publications")).json(&new).send().await.unwrap();
    let publication: flame_api::live::Publication = answer.json().await.unwrap();
    assert_eq!(put(&world, &publication, "init.mp4", encoder.init()).await.status(), 204);
    for number in 0..3 {
        send(&world, &publication, number, &encoder.segment()).await;
    }
    end(&world, &channel).await;
    let listed = playlist(&world, &channel, "").await;
    assert!(listed.ends_with("2.m4s\n#EXT-X-ENDLIST\n"), "{listed}");
    let asset = world.catalogue.asset(channel.id).await.unwrap().unwrap();
    assert_eq!(asset.version.unwrap().tracks.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_cannot_go_on_is_left_out_and_keeps_nobody_else() {
    let mut world = World::start().await;
    let (good, publication, mut encoder, _) = sent(&world, 2).await;
    let (bad, _, _, _) = sent(&world, 2).await;
    let (asset, _) = world.playable(&[1000]).await;
    let key = format!("default/channels/{}.json", bad.id);
    world.store.put(&key, "{\"version\":1,".into(), "application/json").await.unwrap();
    world.restart_streaming().await;
    assert_eq!(world.get(&format!("{asset}/index.m3u8")).await.status(), 200, "on demand");
    assert!(playlist(&world, &good, "").await.contains("1.m4s\n"));
    assert_eq!(put(&world, &publication, "2.m4s", "").await.status(), 409, "doors begin anew");
    let publication = publish(&world, good.key.as_deref().unwrap(), encoder.init()).await;
    send(&world, &publication, 2, &encoder.segment()).await;
    assert_ne!(world.get(&path(&bad, "index.m3u8")).await.status(), 200);
    world.stop().await;
}

#[tokio::test]
async fn a_title_that_the_catalogue_would_refuse_at_the_end_is_refused_at_the_beginning() {
    let world = World::start().await;
    let new = |title: &str| {
        let id = uuid::Uuid::new_v4();
        serde_json::json!({ "id": id, "title": title, "segment_ms": 2000, "part_ms": 500, "window_s": 30 })
    };
    for (title, status) in [("News\u{7}", 422), ("Neue Nachrichten", 201)] {
        let answer = world.http.post(world.url("channels")).json(&new(title)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{title:?}");
    }
    world.stop().await;
}

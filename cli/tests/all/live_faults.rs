//! Live, and what real encoders do: two of them, times that jump by hours, no key frame, other pictures after a return.

use flame_test_kit::eventually;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::live::{Channel, Live, PATIENCE, RATE};

/// The playlist once it is as it is wanted.
async fn until(live: &Live, channel: &Channel, is_right: impl Fn(&str) -> bool) -> String {
    eventually(PATIENCE, || async {
        let listed = live.pictures(channel).await;
        if is_right(&listed) { Ok(listed) } else { Err(format!("{listed}\n{}", live.world.log())) }
    })
    .await
}

fn count(listed: &str, tag: &str) -> usize {
    listed.lines().filter(|line| *line == tag || line.starts_with(&format!("{tag}:"))).count()
}

#[tokio::test]
async fn a_second_encoder_goes_on_without_a_gap_when_the_first_one_is_killed() {
    let live = Live::up();
    let channel = live.channel("Two encoders");
    let first = live.publish(&channel.key);
    live.plays(&channel).await;
    let _second = live.publish(&format!("{}?standby", channel.key));
    eventually(PATIENCE, || async {
        if live.world.log().contains("an encoder stands by") { Ok(()) } else { Err("nobody stands by") }
    })
    .await;
    // It is heard for a while before the first one dies.
    until(&live, &channel, |listed| count(listed, "#EXTINF") >= 5).await;
    assert_eq!(count(&live.pictures(&channel).await, "#EXT-X-DISCONTINUITY"), 0);
    drop(first);
    let listed = until(&live, &channel, |listed| {
        let after = listed.split_once("#EXT-X-DISCONTINUITY\n").map_or("", |(_, after)| after);
        count(after, "#EXTINF") >= 3
    })
    .await;
    assert_eq!(count(&listed, "#EXT-X-DISCONTINUITY"), 1, "{listed}");
    assert_eq!(count(&listed, "#EXT-X-GAP"), 0, "{listed}");
    assert_eq!(live.state(&channel), "live");
    assert_eq!(live.play(&channel, 4)[0], 4 * RATE);
}

/// Back is not tried here: FFmpeg never sends times that go back, so the packager's own tests do that.
#[tokio::test]
async fn times_that_jump_by_hours_are_a_discontinuity_and_the_programme_stays_on_the_wall_s_clock() {
    let live = Live::up();
    let channel = live.channel("Jumps");
    let picture = format!("testsrc2=size=320x180:rate={RATE}");
    // Six seconds from the beginning, both clocks of the encoder jump; it ends by its own count.
    let (video, audio) = ("setpts=PTS+3*3600*gte(T\\,6)/TB", "asetpts=PTS+3*3600*gte(T\\,6)/TB");
    let more = ["-vf", video, "-af", audio, "-fps_mode", "passthrough", "-max_interleave_delta", "0", "-t", "10860"];
    let _encoder = live.publish_like(&channel.key, &picture, &more);
    live.plays(&channel).await;
    let listed = until(&live, &channel, |listed| {
        let after = listed.rsplit_once("#EXT-X-DISCONTINUITY\n").map_or("", |(_, after)| after);
        count(after, "#EXTINF") >= 2
    })
    .await;
    let times: Vec<OffsetDateTime> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:"))
        .map(|text| OffsetDateTime::parse(text, &Rfc3339).unwrap())
        .collect();
    let steps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_seconds_f64()).collect();
    assert!(steps.iter().all(|step| (0.0..10.0).contains(step)), "{steps:?}: {listed}");
    assert_eq!(live.state(&channel), "live");
}

#[tokio::test]
async fn other_pictures_after_a_return_have_an_init_segment_of_their_own() {
    let live = Live::up();
    let channel = live.channel("Other pictures");
    let encoder = live.publish(&channel.key);
    live.plays(&channel).await;
    drop(encoder);
    // A rate that counts in other ticks, too.
    let _encoder = live.publish_like(&channel.key, "testsrc2=size=640x360:rate=33.333", &[]);
    let listed = until(&live, &channel, |listed| {
        let after = listed.split_once("#EXT-X-DISCONTINUITY\n").map_or("", |(_, after)| after);
        count(after, "#EXTINF") >= 3
    })
    .await;
    assert!(listed.contains("#EXT-X-MAP:URI=\"init-1.mp4\""), "{listed}");
    live.play(&channel, 3);
}

#[tokio::test]
async fn an_encoder_without_key_frames_is_sent_away_and_the_channel_stays() {
    let live = Live::up();
    let channel = live.channel("No key frame");
    let picture = format!("testsrc2=size=320x180:rate={RATE}");
    // Every key frame is taken out on the way.
    let mut encoder = live.publish_like(&channel.key, &picture, &["-bsf:v", "noise=drop=key"]);
    let status = eventually(PATIENCE, || {
        let ended = encoder.0.try_wait().unwrap();
        async move { ended.ok_or("an encoder without key frames goes on") }
    })
    .await;
    assert!(!status.success());
    assert!(live.world.log().contains("there is no configuration or no key frame"), "{}", live.world.log());
    assert_eq!(live.state(&channel), "idle");
    let _encoder = live.publish(&channel.key);
    live.plays(&channel).await;
}

#[tokio::test]
async fn a_mark_is_in_the_playlist_until_its_end_is_said_and_after() {
    let live = Live::up();
    let channel = live.channel("Marked");
    let _encoder = live.publish(&channel.key);
    live.plays(&channel).await;
    let mark = ["channel", "mark", channel.id.as_str(), "--id", "ad-1"];
    let first = ["--class", "ad", "--start", "now", "--scte35-out", "0xFC302F", "--attribute", "X-TITLE=Soap"];
    let made = live.world.json(&[&mark[..], &first].concat());
    assert_eq!((made[0]["id"].as_str(), made[0]["duration_ms"].as_u64()), (Some("ad-1"), None), "{made}");
    let listed = until(&live, &channel, |listed| listed.contains("ID=\"ad-1\",CLASS=\"ad\"")).await;
    assert!(listed.contains(",SCTE35-OUT=0xFC302F,X-TITLE=\"Soap\""), "{listed}");
    let made = live.world.json(&[&mark[..], &["--duration", "30s"]].concat());
    assert_eq!(made[0]["duration_ms"], 30_000, "{made}");
    until(&live, &channel, |listed| listed.contains("DURATION=30.0,SCTE35-OUT=0xFC302F")).await;
    let marks = live.world.json(&["channel", "marks", channel.id.as_str()]);
    assert_eq!(marks.as_array().map(Vec::len), Some(1), "{marks}");
}

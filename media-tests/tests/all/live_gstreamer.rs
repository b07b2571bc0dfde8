//! A live channel before GStreamer's `hlsdemux2`, which nobody here wrote: it joins at the edge, follows, and comes to the end when the
//! channel does. `dashdemux2` of GStreamer 1.22 does not come to an end in a live channel's MPD (docs/decisions/0070).

use std::time::Duration;

use flame_media_tests::measure;
use flame_media_tests::players::gstreamer;
use flame_test_kit::{Bundle, eventually};
use serde_json::Value;

use crate::live::publish_to;

/// Time in which what must happen has happened, on a machine that does other things, too.
const DEADLINE: Duration = Duration::from_secs(90);
/// Segments of two seconds that are there before it begins: it joins three behind the newest one.
const BEFORE: u64 = 7;
/// Segments that come while it plays.
const FOLLOWED: u64 = 6;
/// Pictures of a segment.
const PICTURES: u64 = 60;
/// Samples of sound that go with a picture.
const SAMPLES: u64 = 48_000 / 30;
/// Pictures that a part holds: an encoder that is killed may have sent so much more of one track than of the other.
const PART_PICTURES: u64 = 6;
/// So much may sound be apart from pictures: each track is joined three target durations before its own end, and one of them may have
/// listed a segment that the other had not yet; and both ends lie within a part.
const APART_PICTURES: u64 = PICTURES + 2 * PART_PICTURES;

/// How many whole segments the first track of a channel lists.
async fn listed(url: &str) -> Result<u64, String> {
    let get = async |url: String| {
        let answer = reqwest::get(&url).await.map_err(|error| error.to_string())?;
        answer.text().await.map_err(|error| error.to_string())
    };
    let all = get(url.to_owned()).await?;
    let track = all.lines().find(|line| !line.is_empty() && !line.starts_with('#')).ok_or_else(|| all.clone())?;
    let text = get(url.replace("index.m3u8", track)).await?;
    u64::try_from(text.matches("#EXTINF:").count()).map_err(|error| error.to_string())
}

async fn until(url: &str, wanted: u64) {
    eventually(DEADLINE, || async {
        let found = listed(url).await?;
        if found >= wanted { Ok(()) } else { Err(format!("{found} segments of {wanted}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gstreamer_joins_a_channel_at_its_edge_and_follows_it_to_its_end() {
    let bundle = Bundle::up().await;
    let channel = bundle.json(&["channel", "create", "Followed"]);
    let (encoder, url) = publish_to(&bundle, &channel).await;
    until(&url, BEFORE).await;
    let ends = async {
        until(&url, BEFORE + FOLLOWED).await;
        drop(encoder);
        let id = channel["id"].as_str().expect("it has one");
        let ended: Value = bundle.json(&["channel", "end", id]);
        assert_eq!(ended["state"], "ended", "{ended}");
    };
    let (shown, ()) = tokio::join!(gstreamer::plays(&url), ends);
    let shown = shown.expect("GStreamer plays the channel to its end");
    let all = measure::pictures(&url).await.expect("FFmpeg reads the recording").expect("it has pictures");
    let all = u64::try_from(all.times_s.len()).expect("a count");
    println!("{shown:?} of {all} pictures");
    // All that came while it played, and not what was there long before: so it was live to it.
    assert!(shown.pictures >= FOLLOWED * PICTURES, "{shown:?} of {all}");
    assert!(shown.pictures + PICTURES <= all, "{shown:?} of {all}");
    let samples = shown.pictures * SAMPLES;
    assert!(shown.samples.abs_diff(samples) <= APART_PICTURES * SAMPLES, "{shown:?}");
}

//! An asset gains renditions as they are made: it plays as it was uploaded, then with what one chain made, then with what the next one
//! adds, of which only that is encoded.

use std::time::Duration;

use flame_media_tests::measure;
use flame_media_tests::players::browser::Page;
use flame_media_tests::players::hls_js;
use flame_test_kit::{Bundle, Scratch, clips, eventually};
use serde_json::Value;

/// Time in which a version that was published is offered.
const DEADLINE: Duration = Duration::from_secs(30);
/// Length of the clip, seconds.
const LENGTH_S: f64 = 6.0;
/// H.264 in one size, which is soon there.
const FIRST: &str = "\
chain: first
stages:
  source: { type: decode }
  one-size: { type: scale, input: source, sizes: [360] }
  video: { type: encode-video, input: one-size, codec: h264, preset: ultrafast }
  audio: { type: encode-audio, input: source, codec: aac }
  version: { type: package, input: [video, audio], gop: 2s, segment: 2s }
";
/// The same, and another size in AV1.
const NEXT: &str = "\
chain: next
stages:
  source: { type: decode }
  one-size: { type: scale, input: source, sizes: [360] }
  small: { type: scale, input: source, sizes: [180] }
  video: { type: encode-video, input: one-size, codec: h264, preset: ultrafast }
  more: { type: encode-video, input: small, codec: av1, preset: ultrafast }
  audio: { type: encode-audio, input: source, codec: aac }
  version: { type: package, input: [video, more, audio], gop: 2s, segment: 2s }
";

async fn text(url: &str) -> Result<String, String> {
    let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
    let (status, text) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
    if status == 200 { Ok(text) } else { Err(format!("{status} {text}")) }
}

/// The media playlists of the variants that are offered, once `is_it` says that they are the ones.
async fn variants(url: &str, is_it: impl Fn(&str) -> bool) -> Vec<String> {
    let offered = eventually(DEADLINE, || async {
        let offered = text(url).await?;
        if is_it(&offered) { Ok(offered) } else { Err(offered) }
    })
    .await;
    let listed = offered.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    listed.map(|variant| url.replace("index.m3u8", variant)).collect()
}

#[tokio::test]
async fn an_asset_plays_with_what_is_there_and_gains_the_renditions_of_the_next_chain() {
    let bundle = Bundle::up().await;
    let scratch = Scratch::new("gains");
    let document = |name: &str, text: &str| {
        let path = scratch.join(name);
        std::fs::write(&path, text).expect("scratch is writable");
        path.to_str().expect("paths are UTF-8").to_owned()
    };
    let (first, next) = (document("first.yaml", FIRST), document("next.yaml", NEXT));
    let clip = clips::recipe("synthetic").seconds(LENGTH_S).make();
    let clip = clip.to_str().expect("paths of clips are UTF-8");

    // As it was uploaded: nothing is made of it.
    let done: Value = bundle.json(&["ingest", clip, "--chain", "none"]);
    let id = done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}"));
    let url = format!("{}/~streaming/{id}/index.m3u8", bundle.router());
    let uploaded = variants(&url, |offered| offered.matches("#EXT-X-STREAM-INF").count() == 1).await;
    hls_js::plays(&url, Page::OwnOrigin).await.expect("it plays as it was uploaded");

    let job: Value = bundle.json(&["chain", "run", id, "--chain", &first]);
    assert_eq!(job["state"], "succeeded", "{job:#}");
    let version = job["version"].as_str().expect("it is published").to_owned();
    let made = variants(&url, |offered| offered.contains(&format!("\n{version}/"))).await;
    assert_eq!(made.len(), 1, "{made:?}");
    hls_js::plays(&url, Page::OwnOrigin).await.expect("it plays with what the first chain made");

    let job: Value = bundle.json(&["chain", "run", id, "--chain", &next]);
    assert_eq!(job["state"], "succeeded", "{job:#}");
    let version = job["version"].as_str().expect("it is published").to_owned();
    let stages = job["stages"].as_array().expect("it has stages");
    let reused = |name: &str| {
        let stage = stages.iter().find(|stage| stage["name"] == name).unwrap_or_else(|| panic!("no {name}: {job:#}"));
        stage["reused"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(["video", "more", "audio"].map(reused), [1, 0, 1], "only what is new is encoded: {job:#}");
    let gained = variants(&url, |offered| offered.contains(&format!("\n{version}/"))).await;
    let offered = text(&url).await.expect("it is there");
    assert!(gained.len() == 2 && offered.contains("avc1.") && offered.contains("av01."), "{offered}");
    for variant in &gained {
        measure::decodes(variant).await.expect("FFmpeg decodes each of them");
    }
    // How soon a player changes between codecs is its own affair.
    let seen = hls_js::watch(&url, Page::OwnOrigin).await.expect("the browser can be run");
    assert!(seen.ended && seen.errors.is_empty() && seen.failed_requests.is_empty(), "{seen:?}");
    // Whoever began before plays on.
    for variant in uploaded.iter().chain(&made) {
        measure::decodes(variant).await.expect("what was offered before is there");
    }
}

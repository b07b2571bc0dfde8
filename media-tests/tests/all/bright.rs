//! Films with a high dynamic range: what playlists say of them (`VIDEO-RANGE`) is what FFmpeg reads in their segments, as they were
//! uploaded and as they were conditioned. And films of every codec play as they are.

use std::path::Path;
use std::time::Duration;

use flame_media_tests::command;
use flame_media_tests::renditions::Renditions;
use flame_test_kit::{Bundle, clips, eventually};
use serde_json::Value;
use url::Url;

/// Time in which an upload is looked into.
const DEADLINE: Duration = Duration::from_secs(20);

fn ingest(bundle: &Bundle, file: &Path, more: &[&str]) -> Url {
    let arguments = [&["ingest", file.to_str().expect("paths of clips are UTF-8")], more].concat();
    let done: Value = bundle.json(&arguments);
    let id = done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}"));
    format!("{}/~streaming/{id}/index.m3u8", bundle.router()).parse().expect("an address makes a URL")
}

async fn text(url: &Url) -> String {
    eventually(DEADLINE, || async {
        let answer = reqwest::get(url.clone()).await.expect("the router answers");
        let status = answer.status();
        if status == 200 { Ok(answer.text().await.expect("playlists are text")) } else { Err(status) }
    })
    .await
}

/// `color_transfer` of the pictures behind a playlist.
async fn transfer(url: &Url) -> String {
    let ask = [
        "-v",
        "error",
        "-select_streams",
        "v",
        "-show_entries",
        "stream=color_transfer",
        "-of",
        "csv=p=0",
        url.as_str(),
    ];
    let told = command::quiet("ffprobe", ask).await.expect("FFmpeg reads it");
    let told = String::from_utf8(told).expect("names are ASCII");
    told.lines().map(|line| line.trim_matches(',').trim()).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// Every variant and list of I-frames says `range`, and every variant's pictures are of that transfer.
async fn says(url: &Url, range: &str, transfer_name: &str) {
    let playlist = text(url).await;
    let lines = playlist
        .lines()
        .filter(|line| line.starts_with("#EXT-X-STREAM-INF:") || line.starts_with("#EXT-X-I-FRAME-STREAM-INF:"));
    for line in lines {
        assert!(line.contains(&format!("VIDEO-RANGE={range}")), "{line}");
    }
    let renditions = Renditions::fetch(url).await.expect("it plays");
    for variant in &renditions.variants {
        assert_eq!(transfer(&variant.url).await, transfer_name, "{}", variant.url);
    }
}

#[tokio::test]
async fn what_is_said_of_the_range_is_what_the_pictures_have() {
    let bundle = Bundle::up().await;
    for (recipe, range, transfer) in [("hdr10", "PQ", "smpte2084"), ("hlg", "HLG", "arib-std-b67")] {
        let clip = clips::recipe(recipe).make();
        says(&ingest(&bundle, &clip, &["--chain", "none"]), range, transfer).await;
        // The same bytes are another asset with a ladder.
        says(&ingest(&bundle, &clip, &[]), range, transfer).await;
    }
}

#[tokio::test]
async fn movies_of_every_codec_play_as_they_are() {
    let bundle = Bundle::up().await;
    for (recipe, codecs) in [("synthetic", "avc1.|mp4a.40.2"), ("hevc-ac3", "hvc1.|ac-3"), ("av1-opus", "av01.|Opus")] {
        let url = ingest(&bundle, &clips::recipe(recipe).make(), &["--chain", "none"]);
        let playlist = text(&url).await;
        for codec in codecs.split('|') {
            assert!(playlist.to_lowercase().contains(&codec.to_lowercase()), "{recipe}: {playlist}");
        }
        let renditions = Renditions::fetch(&url).await.expect("it plays");
        for playlist in renditions.variants.iter().map(|variant| &variant.url).chain(&renditions.audio) {
            let segment = playlist.join("0.m4s").expect("URIs are relative");
            let answer = reqwest::get(segment.clone()).await.expect("the router answers");
            assert_eq!(answer.status(), 200, "{segment}");
        }
        // FFmpeg is content with all of it.
        flame_media_tests::measure::decodes(url.as_str()).await.expect("it decodes");
    }
}

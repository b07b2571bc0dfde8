//! A browser as a camera: Chromium publishes by WHIP through the router, and what it sent is a channel like any other.

use std::process::Command;

use flame_media_tests::players::browser;
use flame_test_kit::{Bundle, eventually};
use serde_json::Value;

/// How long it publishes.
const SECONDS: usize = 9;

/// Lines of a playlist below a channel, through the router.
async fn playlist(url: &str) -> Result<String, String> {
    let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
    let (status, text) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
    if status == 200 { Ok(text) } else { Err(format!("{url}: {status} {text}")) }
}

#[tokio::test]
async fn chromium_publishes_by_whip_and_is_asked_for_key_frames() {
    let bundle = Bundle::up().await;
    let channel = bundle.json(&["channel", "create", "Camera"]);
    let (id, key) = (channel["id"].as_str().unwrap(), channel["key"].as_str().unwrap());
    let root = bundle.router().trim_end_matches('/').replace("127.0.0.1", "localhost");
    let arguments = vec![format!("{root}/"), format!("{root}/~ingest/whip/{key}"), SECONDS.to_string()];
    let seen = browser::node("whip.mjs", arguments).await.expect("a browser can be opened");
    let seen: Value = serde_json::from_slice(&seen).expect("whip.mjs prints one JSON object");
    assert!(seen["status"] == 201 && seen["state"] == "connected" && seen["ended"] == 200, "{seen:#}");
    let sent = seen["video"]["frames"].as_u64().unwrap();
    assert!(sent > 100, "{seen:#}");
    assert_eq!(bundle.json(&["channel", "end", id])["state"], "ended");

    let url = format!("{root}/~streaming/{id}/index.m3u8").replace("localhost", "127.0.0.1");
    let multivariant = eventually(std::time::Duration::from_secs(20), || async {
        let text = playlist(&url).await?;
        let variant = text.lines().find(|line| !line.starts_with('#') && !line.is_empty()).ok_or("no variant")?;
        let media = playlist(&url.replace("index.m3u8", variant)).await?;
        if media.contains("#EXT-X-ENDLIST") { Ok((text, media)) } else { Err(media) }
    });
    let (multivariant, media) = multivariant.await;
    assert!(multivariant.contains("avc1.42") && multivariant.contains(",opus\""), "{multivariant}");
    // Chromium sends key frames when it is asked: a segment has two seconds, and what the way there and back takes.
    let lengths: Vec<f64> =
        media.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.split(',').next()?.parse().ok()).collect();
    assert!(lengths.len() >= SECONDS / 3 && lengths.iter().all(|length| *length < 3.0), "{lengths:?}\n{seen:#}");
    let decoded = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-count_frames",
            "-show_entries",
            "stream=codec_name,nb_read_frames",
            "-of",
            "csv=p=0",
            &url,
        ])
        .output()
        .expect("ffprobe starts");
    let (lines, errors) = (String::from_utf8_lossy(&decoded.stdout), String::from_utf8_lossy(&decoded.stderr));
    assert!(decoded.status.success() && errors.is_empty(), "{errors}");
    let frames = |codec: &str| -> u64 {
        let line = lines.lines().find(|line| line.starts_with(codec)).unwrap_or_else(|| panic!("{codec}: {lines}"));
        line.trim_end_matches(',').rsplit(',').next().unwrap().parse().unwrap()
    };
    // All that could be shown: from the first key frame on, up to what was on its way at the end.
    let (pictures, sound) = (frames("h264"), frames("opus"));
    assert!(pictures + 15 >= sent && pictures <= sent + 15, "{pictures} of {sent}");
    assert!(sound >= pictures * 50 / 30 - 50, "{sound} packets of 20 ms beside {pictures} pictures");
}

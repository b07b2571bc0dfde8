//! A live channel before a player that nobody here wrote, while an encoder that nobody here wrote publishes to it.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flame_media_tests::measure;
use flame_media_tests::players::browser::{self, Player, Viewing};
use flame_test_kit::{Bundle, eventually};
use serde_json::Value;

/// Seconds that are watched.
const WATCHED_S: u32 = 10;
/// Time in which what must happen has happened.
const DEADLINE: Duration = Duration::from_secs(30);

/// FFmpeg, publishing; it ends with its value.
pub struct Encoder(Child);

impl Drop for Encoder {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn publish(door: &str) -> Encoder {
    let encoder = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"])
        .args(["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"])
        .args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "60"])
        .args(["-x264-params", "scenecut=0", "-c:a", "aac", "-t", "120", "-f", "flv", door])
        .stdin(Stdio::null())
        .spawn();
    Encoder(encoder.expect("ffmpeg starts"))
}

/// The address that the log says the RTMP door has.
fn door(bundle: &Bundle) -> String {
    let log = bundle.log();
    let line = log.lines().find(|line| line.contains("taking RTMP")).unwrap_or_else(|| panic!("no door in\n{log}"));
    let at = line.find("127.0.0.1:").unwrap_or_else(|| panic!("no address in {line}"));
    line[at..].chars().take_while(|letter| letter.is_ascii_digit() || ".:".contains(*letter)).collect()
}

/// Seconds that players of DASH are watched.
const DASH_WATCHED_S: u32 = 30;

/// A channel to which an encoder publishes, once its playlist and its MPD are there.
async fn live(bundle: &Bundle, arguments: &[&str]) -> (Encoder, [String; 2]) {
    let channel = bundle.json(&[&["channel", "create", "Live"][..], arguments].concat());
    let (encoder, hls) = publish_to(bundle, &channel).await;
    let dash = hls.replace("index.m3u8", "manifest.mpd");
    is_there(bundle, &dash).await;
    (encoder, [hls, dash])
}

/// Publishes to a channel that was just created: the encoder, and its playlist, which is there.
pub async fn publish_to(bundle: &Bundle, created: &Value) -> (Encoder, String) {
    let (id, key) = (created["id"].as_str().unwrap(), created["key"].as_str().unwrap());
    let encoder = publish(&format!("rtmp://{}/live/{key}", door(bundle)));
    let url = format!("{}/~streaming/{id}/index.m3u8", bundle.router());
    is_there(bundle, &url).await;
    (encoder, url)
}

async fn is_there(bundle: &Bundle, url: &str) {
    eventually(DEADLINE, || async {
        let status = reqwest::get(url).await.unwrap().status();
        if status == 200 { Ok(()) } else { Err(format!("{status}\n{}", bundle.log())) }
    })
    .await;
}

#[tokio::test]
async fn players_of_dash_follow_a_live_channel() {
    let bundle = Bundle::up().await;
    let (_encoder, [_, url]) = live(&bundle, &[]).await;
    // dash.js takes segments while they are made, and is to be 3 s behind; Shaka Player takes whole ones, and is to be 6 s behind.
    for (player, latency_max_s) in [(Player::DashJs, 5.0), (Player::Shaka, 9.0)] {
        let viewing = Viewing { for_s: DASH_WATCHED_S, ..Viewing::default() };
        let seen = browser::watch(player, &url, &viewing).await.expect("the browser can be run");
        println!("{}: {seen:?}", player.name());
        assert!(seen.errors.is_empty() && seen.failed_requests.is_empty(), "{}: {seen:?}", player.name());
        // Before the first picture stands is no stall; what comes after is one.
        assert!(seen.stalls.is_empty(), "{}: {seen:?}", player.name());
        assert!(
            seen.played_s >= f64::from(DASH_WATCHED_S) * 0.9 && seen.sound_bytes > 0,
            "{}: {seen:?}",
            player.name()
        );
        let latency_s = seen.latency_s.expect("it is live");
        assert!(latency_s < latency_max_s, "{}: {seen:?}", player.name());
    }
}

/// Seconds that players of HLS which are no hls.js are watched; minutes are `bench players`'s.
const HLS_WATCHED_S: u32 = 30;

#[tokio::test]
async fn players_of_hls_follow_a_live_channel_from_another_origin() {
    let bundle = Bundle::up().await;
    let (_encoder, [url, _]) = live(&bundle, &[]).await;
    // Chromium's own HLS knows nothing of parts: what lists nothing else yet is no playlist to it.
    let tracks = reqwest::get(&url).await.unwrap().text().await.unwrap();
    let track = tracks.lines().find(|line| !line.starts_with('#')).expect("a track");
    let listed = url.replace("index.m3u8", track);
    eventually(DEADLINE, || async {
        let text = reqwest::get(&listed).await.unwrap().text().await.unwrap();
        if text.matches("#EXTINF:").count() >= 3 { Ok(()) } else { Err(text) }
    })
    .await;
    // One after the other: two cores do not carry more beside the encoder.
    for player in [Player::Native, Player::Shaka] {
        let viewing = Viewing { for_s: HLS_WATCHED_S, ..Viewing::default() };
        let seen = browser::watch(player, &url, &viewing).await.expect("the browser can be run");
        println!("{}: {seen:?}", player.name());
        assert!(seen.errors.is_empty() && seen.failed_requests.is_empty(), "{}: {seen:?}", player.name());
        assert!(seen.stalls.is_empty(), "{}: {seen:?}", player.name());
        let is_played = seen.played_s >= f64::from(HLS_WATCHED_S) * 0.9;
        assert!(is_played && seen.frames > 0 && seen.sound_bytes > 0, "{}: {seen:?}", player.name());
    }
}

#[tokio::test]
async fn hls_js_follows_a_live_channel_from_another_origin() {
    let bundle = Bundle::up().await;
    let (encoder, [url, _]) = live(&bundle, &[]).await;
    // Whoever takes transport streams only is as far behind as players that know nothing of parts.
    let streams = url.replace("index.m3u8", "ts.m3u8");
    let viewing = Viewing { for_s: WATCHED_S, ..Viewing::default() };
    let players = [(Player::HlsJs, url.as_str()), (Player::HlsJs, streams.as_str())];
    let all = browser::watch_beside(&players, &viewing).await.expect("the browser can be run");
    // Half of what a player would be behind that knows nothing of parts: three segments of two seconds.
    for (seen, latency_max_s) in all.iter().zip([3.0, 9.0]) {
        println!("{seen:?}");
        assert!(seen.errors.is_empty(), "{seen:?}");
        // The browser shares the machine with the encoder: it may wait once, but it follows.
        assert!(seen.played_s >= f64::from(WATCHED_S) * 0.8 && seen.audio_tracks == Some(1), "{seen:?}");
        assert!(seen.latency_s.expect("the playlist is live") < latency_max_s, "{seen:?}");
    }
    drop(encoder);
    let id = url.rsplit('/').nth(1).expect("the channel stands in front of the playlist");
    let _: serde_json::Value = bundle.json(&["channel", "end", id]);
    // The recording has them, too.
    eventually(DEADLINE, || async {
        let text = reqwest::get(&streams).await.unwrap().text().await.unwrap();
        let media = text.lines().find(|line| !line.starts_with('#')).ok_or_else(|| text.clone())?;
        let media = streams.replace("ts.m3u8", media);
        let listed = reqwest::get(&media).await.unwrap().text().await.unwrap();
        if listed.ends_with("#EXT-X-ENDLIST\n") { Ok(()) } else { Err(listed) }
    })
    .await;
    measure::decodes(&streams).await.expect("FFmpeg decodes the transport streams of the recording");
}

#[tokio::test]
async fn hls_js_opens_the_parts_of_an_encrypted_channel_and_ffmpeg_its_recording() {
    let bundle = Bundle::up().await;
    let channel = bundle.json(&["channel", "create", "Secret", "--encrypt", "aes-128"]);
    let (encoder, url) = publish_to(&bundle, &channel).await;
    let viewing = Viewing { for_s: WATCHED_S, ..Viewing::default() };
    let seen = browser::watch(Player::HlsJs, &url, &viewing).await.expect("the browser can be run");
    println!("{seen:?}");
    assert!(seen.errors.is_empty() && seen.failed_requests.is_empty(), "{seen:?}");
    assert!(seen.played_s >= f64::from(WATCHED_S) * 0.8 && seen.sound_bytes > 0, "{seen:?}");
    // So near to the edge only with parts.
    assert!(seen.latency_s.expect("the playlist is live") < 3.0, "{seen:?}");
    drop(encoder);
    let id = channel["id"].as_str().unwrap();
    let _: Value = bundle.json(&["channel", "end", id]);
    for form in ["index.m3u8", "ts.m3u8"] {
        let url = url.replace("index.m3u8", form);
        eventually(DEADLINE, || async {
            let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
            let media = text.lines().find(|line| !line.starts_with('#')).ok_or_else(|| text.clone())?;
            let listed = reqwest::get(url.replace(form, media)).await.unwrap().text().await.unwrap();
            let is_whole = listed.ends_with("#EXT-X-ENDLIST\n") && listed.contains("#EXT-X-KEY:METHOD=AES-128");
            if is_whole { Ok(()) } else { Err(listed) }
        })
        .await;
        measure::decodes(&url)
            .await
            .unwrap_or_else(|error| panic!("FFmpeg decodes {form} of the recording: {error:#}"));
    }
}

/// Seconds on each level: longer than a segment.
const STAY_S: u32 = 4;

#[tokio::test]
async fn hls_js_changes_up_and_down_between_live_renditions_without_a_hole() {
    let bundle = Bundle::up().await;
    let (_encoder, [url, _]) = live(&bundle, &["--ladder=180"]).await;
    eventually(DEADLINE, || async {
        let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
        if text.matches("#EXT-X-STREAM-INF").count() == 2 { Ok(()) } else { Err(text) }
    })
    .await;
    let viewing = Viewing { for_s: STAY_S, switch: true, stay_s: STAY_S, ..Viewing::default() };
    let seen = browser::watch(Player::HlsJs, &url, &viewing).await.expect("the browser can be run");
    println!("{seen:?}");
    // hls.js tells of each hole that it jumps over.
    assert!(seen.errors.is_empty() && seen.failed_requests.is_empty() && seen.stalls.is_empty(), "{seen:?}");
    // It may begin with either.
    assert!(seen.heights.ends_with(&[180, 360, 180]) && seen.sound_bytes > 0, "{seen:?}");
}

//! Several sounds of one asset, each with a tone of its own, before FFmpeg and before players: what is chosen is what is heard.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flame_media_tests::measure;
use flame_media_tests::players::browser::{self, Player, Viewing};
use flame_media_tests::renditions::Renditions;
use flame_test_kit::{Bundle, Scratch, eventually};
use serde_json::Value;
use url::Url;

/// Time in which an upload is looked into.
const DEADLINE: Duration = Duration::from_secs(20);
/// Length of an AAC access unit at 48 kHz, seconds.
const UNIT_S: f64 = 1024.0 / 48_000.0;

/// Pictures and three sounds: English, German, and French that begins a little later and describes the pictures.
fn clip(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.join(name);
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=426x240:rate=25:duration=16"]);
    for (late_s, hz, seconds) in [("0", 440, "16"), ("0", 880, "16"), ("0.3", 1320, "15.7")] {
        let tone = format!("sine=frequency={hz}:sample_rate=48000:duration={seconds}");
        ffmpeg.args(["-itsoffset", late_s, "-f", "lavfi", "-i", &tone]);
    }
    ffmpeg.args(["-map", "0:v", "-map", "1:a", "-map", "2:a", "-map", "3:a"]);
    ffmpeg.args(["-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "aac"]);
    for (at, language) in ["eng", "ger", "fra"].into_iter().enumerate() {
        ffmpeg.args([format!("-metadata:s:a:{at}"), format!("language={language}")]);
    }
    ffmpeg.args(["-disposition:a:0", "default", "-disposition:a:1", "0"]);
    ffmpeg.args(["-disposition:a:2", "visual_impaired+descriptions"]);
    assert!(ffmpeg.arg(&path).status().expect("ffmpeg is installed").success());
    path
}

fn ingest(bundle: &Bundle, file: &Path, more: &[&str]) -> String {
    let arguments = [&["ingest", file.to_str().expect("paths of clips are UTF-8")], more].concat();
    let done: Value = bundle.json(&arguments);
    let id = done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}"));
    format!("{}/~streaming/{id}", bundle.router())
}

/// Chooses each sound by its language, and hears it.
async fn each_is_heard(player: Player, url: &str) {
    let viewing = Viewing { sounds: vec![("de", 880), ("fr", 1320), ("en", 440)], ..Viewing::default() };
    let seen = browser::watch(player, url, &viewing).await.expect("the browser can be run");
    assert!(seen.errors.is_empty() && seen.ended, "{} {url}: {seen:?}", player.name());
    assert_eq!((seen.sounds.len(), seen.audio_tracks), (3, Some(3)), "{} {url}: {seen:?}", player.name());
}

/// When the first frame of a stream is shown or heard, seconds, as FFmpeg decodes it.
fn first_frame_s(file: &Path, stream: &str) -> f64 {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-select_streams", stream, "-read_intervals", "%+1", "-show_frames"]);
    ffprobe.args(["-show_entries", "frame=best_effort_timestamp_time", "-of", "csv=p=0"]);
    let output = ffprobe.arg(file).output().expect("ffprobe is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_else(|| panic!("{stream} of {} is empty", file.display()));
    let time = first.trim_start_matches(',').split(',').next().unwrap_or_default();
    time.parse().unwrap_or_else(|_| panic!("{first} is no time"))
}

/// The languages that ffprobe lists of a URL's sounds.
fn languages(url: &str) -> Vec<String> {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-select_streams", "a", "-show_entries", "stream=index:stream_tags=language"]);
    let output = ffprobe.args(["-of", "json", url]).output().expect("ffprobe is installed");
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("ffprobe writes JSON");
    let streams = found["streams"].as_array().expect("a list of streams");
    streams.iter().map(|stream| stream["tags"]["language"].as_str().unwrap_or("none").to_owned()).collect()
}

#[tokio::test]
async fn each_sound_of_a_ladder_is_listed_decodes_and_lies_where_it_was() {
    let bundle = Bundle::up().await;
    let scratch = Scratch::new("sounds");
    let file = clip(&scratch, "three.mkv");
    let asset = ingest(&bundle, &file, &[]);
    let url = format!("{asset}/index.m3u8");
    assert_eq!(languages(&url), ["eng", "ger", "fra"], "HLS");
    let listed = Renditions::fetch(&Url::parse(&url).expect("a URL")).await.expect("it is a playlist");
    assert_eq!(listed.audio.len(), 3, "{listed:?}");
    let pictures = listed.top().expect("there are pictures").url.as_str();
    let start_s = measure::pictures(pictures).await.unwrap().unwrap().times_s[0];
    let source_s = |stream: String| first_frame_s(&file, &stream);
    for (at, sound) in listed.audio.iter().enumerate() {
        measure::decodes(sound.as_str()).await.unwrap();
        let found = measure::sound(sound.as_str()).await.unwrap().unwrap();
        let off_s = (found.start_s - start_s) - (source_s(format!("a:{at}")) - source_s("v:0".to_owned()));
        // FFmpeg gives out the priming of what begins late; Matroska counts in milliseconds.
        assert!(off_s.abs() <= UNIT_S + 0.002, "{sound} begins {off_s} s off the pictures");
    }
}

#[tokio::test]
async fn players_switch_the_sounds_of_a_ladder_by_language() {
    let bundle = Bundle::up().await;
    let scratch = Scratch::new("sounds");
    // In Matroska the pictures begin later by the priming; Shaka Player steps over that, and says so.
    let asset = ingest(&bundle, &clip(&scratch, "three.mp4"), &[]);
    let players = [
        (Player::HlsJs, "index.m3u8"),
        (Player::Shaka, "index.m3u8"),
        (Player::Shaka, "manifest.mpd"),
        (Player::DashJs, "manifest.mpd"),
    ];
    // One after the other: who shares the cores stalls where the sound changes.
    for (player, form) in players {
        each_is_heard(player, &format!("{asset}/{form}")).await;
    }
}

#[tokio::test]
async fn players_switch_the_sounds_of_an_upload_by_language() {
    let bundle = Bundle::up().await;
    let scratch = Scratch::new("sounds");
    let asset = ingest(&bundle, &clip(&scratch, "three.mp4"), &["--chain", "none"]);
    let url = format!("{asset}/index.m3u8");
    eventually(DEADLINE, || async {
        let status = reqwest::get(&url).await.expect("the router answers").status();
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
    assert_eq!(languages(&url).len(), 3);
    let players = [(Player::HlsJs, "index.m3u8"), (Player::DashJs, "manifest.mpd")];
    // One after the other: who shares the cores stalls where the sound changes.
    for (player, form) in players {
        each_is_heard(player, &format!("{asset}/{form}")).await;
    }
}

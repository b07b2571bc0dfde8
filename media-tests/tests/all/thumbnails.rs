//! Thumbnails of a ladder, as players find them by their own means (in DASH's tiles, and by the WebVTT index), and as FFmpeg
//! sees the picture of that moment.

use std::path::{Path, PathBuf};
use std::process::Command;

use flame_media_tests::players::browser::{self, Player, Viewing};
use flame_test_kit::{Bundle, Scratch};
use serde_json::Value;

/// Size of a thumbnail of 16:9, pixels.
const TILE: (usize, usize) = (160, 90);

/// A file made of one of FFmpeg's sources, with sound.
fn clip(scratch: &Scratch, picture: &str) -> PathBuf {
    let path = scratch.join("clip.mp4");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine"]);
    ffmpeg.args(["-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-c:a", "aac", "-shortest"]);
    assert!(ffmpeg.arg(&path).status().expect("ffmpeg is installed").success());
    path
}

/// What a picture looks like, cut or scaled by `filter` to the size of a tile; of a film, the one that is shown at `time_s`.
fn rgb(input: &Path, time_s: Option<f64>, filter: &str) -> Vec<u8> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error"]);
    if let Some(time_s) = time_s {
        ffmpeg.args(["-ss", &time_s.to_string()]);
    }
    ffmpeg.arg("-i").arg(input).args(["-frames:v", "1", "-vf", filter]);
    let output = ffmpeg.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]).output().expect("ffmpeg is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.stdout.len(), TILE.0 * TILE.1 * 3, "{}: {complaint}", input.display());
    output.stdout
}

fn psnr_db(one: &[u8], other: &[u8]) -> f64 {
    let squares = one.iter().zip(other).map(|(one, other)| f64::from(one.abs_diff(*other)).powi(2));
    #[allow(clippy::cast_precision_loss, reason = "a picture's bytes are few")]
    let mean = squares.sum::<f64>() / one.len() as f64;
    10.0 * (255.0_f64.powi(2) / mean.max(1e-9)).log10()
}

/// `HH:MM:SS.mmm`.
fn ms(time: &str) -> u64 {
    let (clock, fraction) = time.trim().split_once('.').unwrap_or_else(|| panic!("{time} is no time"));
    let whole_s = clock.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u64>().expect("a number"));
    whole_s * 1000 + fraction.parse::<u64>().expect("milliseconds")
}

async fn ingest(bundle: &Bundle, file: &Path) -> String {
    let done: Value = bundle.json(&["ingest", file.to_str().expect("a path in UTF-8")]);
    done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}")).to_owned()
}

#[tokio::test]
async fn cues_cover_all_of_it_and_each_shows_the_picture_of_its_moment() {
    let bundle = Bundle::up().await;
    let scratch = Scratch::new("thumbnails");
    let file = clip(&scratch, "testsrc2=size=640x360:rate=25:duration=12.4");
    let asset = ingest(&bundle, &file).await;
    let base = format!("{}/~streaming/{asset}", bundle.router());
    let index = reqwest::get(format!("{base}/thumbnails.vtt")).await.expect("it answers").text().await.expect("text");
    let lines: Vec<&str> = index.lines().collect();
    let cues: Vec<(u64, u64, &str)> = lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| line.split_once(" --> ").map(|(start, end)| (ms(start), ms(end), lines[at + 1])))
        .collect();
    assert_eq!(cues.len(), 13, "{index}");
    assert_eq!(cues[0].0, 0, "{index}");
    assert!(cues.windows(2).all(|pair| pair[0].1 == pair[1].0), "no hole and nothing twice: {index}");
    let shown: Value = bundle.json(&["asset", "show", &asset]);
    let tracks = shown["version"]["tracks"].as_array().expect("tracks").iter();
    let longest_ms = tracks.filter_map(|track| track["duration_ms"].as_u64()).max();
    assert_eq!(cues.last().map(|cue| cue.1), longest_ms, "{index}");
    let scaled = |second: usize| {
        #[allow(clippy::cast_precision_loss, reason = "a few seconds")]
        let second_s = second as f64;
        rgb(&file, Some(second_s), "scale=160:90:flags=area")
    };
    let pictures: Vec<Vec<u8>> = (0..cues.len()).map(scaled).collect();
    for (second, (_, _, cue)) in cues.iter().enumerate() {
        let (sheet, place) = cue.split_once("#xywh=").unwrap_or_else(|| panic!("{cue} has no place"));
        let numbers: Vec<&str> = place.split(',').collect();
        let filter = format!("crop={}:{}:{}:{}", numbers[2], numbers[3], numbers[0], numbers[1]);
        let sheet =
            reqwest::get(format!("{base}/{sheet}")).await.expect("it answers").bytes().await.expect("a picture");
        let path = scratch.join("sheet.jpg");
        std::fs::write(&path, sheet).expect("scratch is writable");
        let tile = rgb(&path, None, &filter);
        let found_db = psnr_db(&tile, &pictures[second]);
        let others = pictures.iter().enumerate().filter(|(at, _)| *at != second);
        let best_other_db = others.map(|(_, other)| psnr_db(&tile, other)).fold(0.0, f64::max);
        // 75 of 100 of JPEG, of a source of hard edges.
        assert!(found_db >= 26.0 && found_db >= best_other_db + 3.0, "{cue}: {found_db} dB, others {best_other_db} dB");
    }
}

#[tokio::test]
async fn shaka_and_dash_js_find_the_thumbnail_of_a_moment() {
    let bundle = Bundle::up().await;
    let scratch = Scratch::new("thumbnails");
    // Grey that gets lighter with each second.
    let grey = "color=black:size=426x240:rate=25:duration=8,format=yuv420p,geq=lum=16+25*floor(T):cb=128:cr=128";
    let id = ingest(&bundle, &clip(&scratch, grey)).await;
    let shown: Value = bundle.json(&["asset", "show", &id]);
    assert_eq!(shown["version"]["thumbnails"]["count"], 8, "{shown:#}");
    let players = [(Player::Shaka, "manifest.mpd"), (Player::DashJs, "manifest.mpd"), (Player::Shaka, "index.m3u8")];
    browser::two_at_a_time(players.map(async |(player, form)| {
        let url = format!("{}/~streaming/{id}/{form}", bundle.router());
        let viewing = Viewing { thumbnails_s: vec![0.5, 3.5, 6.5], ..Viewing::default() };
        let seen = browser::watch(player, &url, &viewing).await.expect("the browser can be run");
        assert_eq!((seen.flaw(), seen.thumbnails.len()), (None, 3), "{} {form}: {seen:?}", player.name());
        for found in &seen.thumbnails {
            assert_eq!((found.width, found.height), (160.0, 90.0), "{} {form}: {found:?}", player.name());
            // What RGB makes of the luma of that second.
            let expected = 25.0 * found.time_s.floor() * 255.0 / 219.0;
            let is_near = |value: &u8| (f64::from(*value) - expected).abs() <= 8.0;
            assert!(found.middle.iter().all(is_near), "{} {form}: {found:?}, not {expected}", player.name());
        }
    }))
    .await;
}

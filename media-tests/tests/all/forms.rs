//! All that an asset is offered as (HLS with fragmented MP4 and with transport streams, DASH, clips, the file as it was
//! uploaded), before players that nobody here wrote, on a page of another origin.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flame_media_tests::players::browser::{self, Player, Seen, Viewing};
use flame_test_kit::{Bundle, clips, eventually};
use serde_json::Value;

/// Time in which an upload is looked into.
const DEADLINE: Duration = Duration::from_secs(20);
/// Length of the clip, seconds; of one in which there is time for three levels; and of one in which there is for every player.
const LENGTH_S: f64 = 10.0;
const LONG_S: f64 = 20.0;
const LONGER_S: f64 = 32.0;

/// Brings a file in, waits for its job, and returns the folder of the asset's URLs.
fn ingest(bundle: &Bundle, file: &Path, more: &[&str]) -> String {
    let arguments = [&["ingest", file.to_str().expect("paths of clips are UTF-8")], more].concat();
    let done: Value = bundle.json(&arguments);
    let id = done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}"));
    format!("{}/~streaming/{id}", bundle.router())
}

fn clip(seconds: f64) -> PathBuf {
    clips::recipe("synthetic").seconds(seconds).size(854, 480).make()
}

async fn to_the_end(player: Player, url: &str) -> Seen {
    let seen = browser::watch(player, url, &Viewing::default()).await.expect("the browser can be run");
    assert_eq!(seen.flaw(), None, "{} {url}", player.name());
    assert!(seen.played_s >= seen.duration_s - 0.25, "{} {url}: {seen:?}", player.name());
    seen
}

/// Seeks back and forth, then to the end.
async fn here_and_there(player: Player, url: &str) {
    let viewing = Viewing { seeks_s: vec![7.0, 1.5], ..Viewing::default() };
    let seen = browser::watch(player, url, &viewing).await.expect("the browser can be run");
    assert_eq!(seen.flaw(), None, "{} {url}", player.name());
    for seek in &seen.seeks {
        let shown_s = seek.shown_s.unwrap_or_else(|| panic!("nothing was shown at {}: {seen:?}", seek.to_s));
        assert!((shown_s - seek.to_s).abs() < 0.1, "{}: {seen:?}", player.name());
    }
    assert!(seen.seeks.len() == 2 && seen.frames > 0 && seen.sound_bytes > 0, "{}: {seen:?}", player.name());
}

/// Takes every level by hand.
async fn up_and_down(player: Player, url: &str, levels: u64) {
    let viewing = Viewing { switch: true, ..Viewing::default() };
    let seen = browser::watch(player, url, &viewing).await.expect("the browser can be run");
    assert!(seen.errors.is_empty() && seen.ended && seen.levels == Some(levels), "{}: {seen:?}", player.name());
    let mut heights = seen.heights.clone();
    heights.sort_unstable();
    heights.dedup();
    assert_eq!(heights.len() as u64, levels, "{}: {seen:?}", player.name());
}

#[tokio::test]
async fn players_of_dash_and_hls_seek_in_a_ladder() {
    let bundle = Bundle::up().await;
    let asset = ingest(&bundle, &clip(LENGTH_S), &[]);
    let players = [
        (Player::DashJs, "manifest.mpd"),
        (Player::Shaka, "manifest.mpd"),
        (Player::HlsJs, "ts.m3u8"),
        (Player::Native, "index.m3u8"),
    ];
    browser::two_at_a_time(
        players.map(async |(player, form)| here_and_there(player, &format!("{asset}/{form}")).await),
    )
    .await;
}

#[tokio::test]
async fn players_of_dash_and_hls_switch_in_a_ladder() {
    let bundle = Bundle::up().await;
    let asset = ingest(&bundle, &clip(LONG_S), &[]);
    // dash.js needs a longer clip than this for three levels.
    let forms = ["manifest.mpd", "index.m3u8"];
    browser::two_at_a_time(forms.map(async |form| up_and_down(Player::Shaka, &format!("{asset}/{form}"), 3).await))
        .await;
}

#[tokio::test]
async fn hls_js_and_dash_js_switch_in_a_ladder() {
    let bundle = Bundle::up().await;
    // dash.js plays out what it has of a level before it shows the next one.
    let asset = ingest(&bundle, &clip(LONGER_S), &[]);
    let players = [(Player::HlsJs, "index.m3u8"), (Player::DashJs, "manifest.mpd")];
    browser::two_at_a_time(
        players.map(async |(player, form)| up_and_down(player, &format!("{asset}/{form}"), 3).await),
    )
    .await;
}

#[tokio::test]
async fn players_play_a_file_as_it_was_uploaded() {
    let bundle = Bundle::up().await;
    let asset = ingest(&bundle, &clip(LENGTH_S), &["--chain", "none"]);
    let url = format!("{asset}/index.m3u8");
    eventually(DEADLINE, || async {
        let status = reqwest::get(&url).await.expect("the router answers").status();
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
    browser::two_at_a_time([(Player::HlsJs, "index.m3u8"), (Player::DashJs, "manifest.mpd")].map(
        async |(player, form)| {
            let seen = to_the_end(player, &format!("{asset}/{form}")).await;
            assert!(
                (seen.duration_s - LENGTH_S).abs() < 0.2 && seen.sound_bytes > 0,
                "{} {form}: {seen:?}",
                player.name()
            );
        },
    ))
    .await;
}

#[tokio::test]
async fn players_play_a_clip_from_its_first_frame() {
    let bundle = Bundle::up().await;
    let asset = ingest(&bundle, &clip(LENGTH_S), &[]);
    browser::two_at_a_time(["index.m3u8", "ts.m3u8"].map(async |form| {
        let url = format!("{asset}/{form}?from=5s&to=9.5s");
        let seen = browser::watch(Player::HlsJs, &url, &Viewing::default()).await.expect("the browser can be run");
        assert_eq!(seen.flaw(), None, "{form}");
        // From the segment that holds the first frame; what is before it is not played.
        assert!((seen.duration_s - 5.5).abs() < 0.2 && (seen.played_s - 4.5).abs() < 0.3, "{form}: {seen:?}");
    }))
    .await;
}

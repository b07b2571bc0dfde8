//! Subtitles before players that nobody here wrote: each offers them by language, and shows them while they are to be read.

use std::path::PathBuf;

use flame_media_tests::players::browser::{self, Player, Seen, Viewing};
use flame_test_kit::{Bundle, Scratch, clips};
use serde_json::Value;

/// Players say that a text has come or gone with the next picture after they have looked, a few times a second.
const LATE_S: f64 = 0.6;
/// Length of the clip, seconds.
const LENGTH_S: f64 = 10.0;

const GERMAN: &str = "1\n00:00:01,000 --> 00:00:02,500\nGuten Tag\n\n2\n00:00:03,000 --> 00:00:05,000\nüber die Grenze\n\n\
                      3\n00:00:07,000 --> 00:00:08,000\nGute Nacht\n";
const ENGLISH: &str = "WEBVTT\n\n00:01.500 --> 00:03.000\nGood day\n";

fn ingested(bundle: &Bundle, more: &[&str]) -> String {
    let file: PathBuf = clips::recipe("synthetic").seconds(LENGTH_S).size(854, 480).make();
    let arguments = [&["ingest", file.to_str().expect("paths of clips are UTF-8")], more].concat();
    let done: Value = bundle.json(&arguments);
    done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}")).to_owned()
}

/// Adds both texts to an asset, and returns the folder of its URLs.
fn with_subtitles(bundle: &Bundle, id: &str) -> String {
    let scratch = Scratch::new("subtitles");
    for (name, text, language) in [("de.srt", GERMAN, "de"), ("en.vtt", ENGLISH, "en")] {
        let file = scratch.join(name);
        std::fs::write(&file, text).expect("the folder is there");
        let file = file.to_str().expect("the folder's path is UTF-8");
        let added: Value = bundle.json(&["subtitles", "add", id, file, "--language", language]);
        assert_eq!(added["subtitle"]["language"], language, "{added:#}");
    }
    format!("{}/~streaming/{id}", bundle.router())
}

async fn watch(player: Player, url: &str, language: &str) -> Seen {
    let viewing = Viewing { text: Some(language.to_owned()), ..Viewing::default() };
    let seen = browser::watch(player, url, &viewing).await.expect("the browser can be run");
    assert_eq!(seen.flaw(), None, "{} {url}", player.name());
    let mut offered = seen.text_languages.clone().unwrap_or_default();
    offered.sort_unstable();
    assert_eq!(offered, ["de", "en"], "{} {url}", player.name());
    seen
}

/// Each text comes and goes at its time, in its order, and no other does.
fn check(what: &str, seen: &Seen, wanted: &[(f64, f64, &str)]) {
    let shown: Vec<_> = seen.texts.iter().filter(|text| !text.text.is_empty()).collect();
    let texts: Vec<&str> = shown.iter().map(|text| text.text.as_str()).collect();
    assert_eq!(texts, wanted.iter().map(|(_, _, text)| *text).collect::<Vec<_>>(), "{what}: {:?}", seen.texts);
    for ((from_s, to_s, _), text) in wanted.iter().zip(&shown) {
        let late_s = text.at_s - from_s;
        assert!((-0.1..LATE_S).contains(&late_s), "{what}: {late_s} s late: {:?}", seen.texts);
        let gone_s = seen.texts.iter().find(|other| other.at_s > text.at_s).expect("it goes").at_s - to_s;
        assert!((-0.1..LATE_S).contains(&gone_s), "{what}: gone {gone_s} s late: {:?}", seen.texts);
    }
}

const ALL: [(f64, f64, &str); 3] = [(1.0, 2.5, "Guten Tag"), (3.0, 5.0, "über die Grenze"), (7.0, 8.0, "Gute Nacht")];

#[tokio::test]
async fn players_of_dash_and_hls_show_each_text_at_its_time() {
    let bundle = Bundle::up().await;
    let asset = with_subtitles(&bundle, &ingested(&bundle, &[]));
    let whole = [
        (Player::HlsJs, "index.m3u8"),
        (Player::HlsJs, "ts.m3u8"),
        (Player::Shaka, "index.m3u8"),
        (Player::Shaka, "manifest.mpd"),
        (Player::DashJs, "manifest.mpd"),
    ];
    browser::two_at_a_time(whole.map(async |(player, form)| {
        let seen = watch(player, &format!("{asset}/{form}"), "de").await;
        check(&format!("{} {form}", player.name()), &seen, &ALL);
    }))
    .await;
    // From the segment at 4 s on; its first half second is not played.
    browser::two_at_a_time(["index.m3u8", "ts.m3u8"].map(async |form| {
        let mut seen = watch(Player::HlsJs, &format!("{asset}/{form}?from=4.5s&to=9.5s"), "de").await;
        // hls.js may show the segment's first picture for a moment before it goes to where the playlist starts.
        let first = seen.texts.first_mut().expect("texts are seen");
        first.at_s = first.at_s.max(0.5);
        check(&format!("clip {form}"), &seen, &[(0.5, 1.0, "über die Grenze"), (3.0, 4.0, "Gute Nacht")]);
    }))
    .await;
    let seen = watch(Player::HlsJs, &format!("{asset}/index.m3u8"), "en").await;
    check("hls.js en", &seen, &[(1.5, 3.0, "Good day")]);
}

#[tokio::test]
async fn a_player_shows_text_of_a_file_as_it_was_uploaded() {
    let bundle = Bundle::up().await;
    let asset = with_subtitles(&bundle, &ingested(&bundle, &["--chain", "none"]));
    let seen = watch(Player::HlsJs, &format!("{asset}/index.m3u8"), "de").await;
    check("hls.js", &seen, &ALL);
}

//! Encrypted assets before players that nobody here wrote: those that open segments themselves, and Chromium's own module for
//! encrypted media (EME with Clear Key).

use std::time::Duration;

use flame_media_tests::players::browser::{self, Player, Viewing};
use flame_test_kit::{Bundle, clips, eventually};
use serde_json::Value;

/// Time in which a setting is known everywhere.
const DEADLINE: Duration = Duration::from_secs(20);
/// Length of the clip, seconds.
const LENGTH_S: f64 = 6.0;

#[tokio::test]
async fn players_open_what_is_encrypted() {
    let bundle = Bundle::up().await;
    let clip = clips::recipe("synthetic").seconds(LENGTH_S).size(854, 480).make();
    let done: Value = bundle.json(&["ingest", clip.to_str().expect("paths of clips are UTF-8")]);
    let id = done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}")).to_owned();
    let url = |form: &str| format!("{}/~streaming/{id}/{form}", bundle.router());
    let mut before = String::new();
    for (method, plays) in [
        ("aes-128", vec![(Player::HlsJs, "index.m3u8"), (Player::HlsJs, "ts.m3u8"), (Player::Shaka, "index.m3u8")]),
        ("sample-aes", vec![(Player::HlsJs, "ts.m3u8"), (Player::Shaka, "index.m3u8")]),
    ] {
        let _: Value = bundle.json(&["asset", "encrypt", "--method", method, &id]);
        before = eventually(DEADLINE, || async {
            let answer = reqwest::get(url("index.m3u8")).await.expect("the router answers");
            let text = answer.text().await.expect("a playlist is text");
            // The name of a sealed version.
            let is_new = text != before && text.lines().any(|line| line.as_bytes().get(12) == Some(&b'-'));
            if is_new { Ok(text) } else { Err(text) }
        })
        .await;
        browser::two_at_a_time(plays.into_iter().map(async |(player, form)| {
            let seen = browser::watch(player, &url(form), &Viewing::default()).await.expect("the browser can be run");
            assert_eq!(seen.flaw(), None, "{} {method} {form}", player.name());
            assert!((seen.duration_s - LENGTH_S).abs() < 0.2 && seen.sound_bytes > 0, "{method} {form}: {seen:?}");
        }))
        .await;
    }
    // Of DASH the page has to know the key: here it takes it from where playlists say that it is.
    let playlist = before.lines().find(|line| !line.is_empty() && !line.starts_with('#')).expect("a variant");
    let text = reqwest::get(url(playlist)).await.expect("the router answers").text().await.expect("a playlist is text");
    let key_id = text.split_once("/keys/").expect("it names the key").1.get(..32).expect("its identifier").to_owned();
    let octets = reqwest::get(url(&format!("keys/{key_id}"))).await.expect("the router answers").bytes().await;
    let key: String = octets.expect("a key").iter().map(|octet| format!("{octet:02x}")).collect();
    let viewing = Viewing { clear_key: Some(format!("{key_id}:{key}")), ..Viewing::default() };
    browser::two_at_a_time([Player::Shaka, Player::DashJs].map(async |player| {
        let seen = browser::watch(player, &url("manifest.mpd"), &viewing).await.expect("the browser can be run");
        assert_eq!(seen.flaw(), None, "{}", player.name());
        assert!((seen.duration_s - LENGTH_S).abs() < 0.2 && seen.sound_bytes > 0, "{}: {seen:?}", player.name());
    }))
    .await;
}

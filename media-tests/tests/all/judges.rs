//! The judges themselves: a good playback passes, and each kind of harm meets the judge that looks for it.

use std::path::PathBuf;

use flame_media_tests::players::browser::{self, Page, Player, Viewing};
use flame_media_tests::players::{gstreamer, hls_js};
use flame_media_tests::source::Source;
use flame_media_tests::{measure, playback};
use flame_test_kit::clips;

use crate::host::{Host, Origins};
use crate::packaged::Packaged;

const SAME_SOUND: &str = "anull";

fn clip() -> PathBuf {
    clips::recipe("synthetic").seconds(6.0).rate("30000/1001").make()
}

/// The judges' objection to a package of [`clip`].
async fn objection(packaged: &Packaged, psnr_bound_db: f64) -> String {
    let host = Host::serve(packaged.path(), Origins::Any).await;
    let source = Source::measure(&clip()).await.expect("the source can be measured");
    let judged = playback::judge(&host.url("index.m3u8"), &source, psnr_bound_db).await;
    format!("{:#}", judged.expect_err("somebody objects"))
}

#[tokio::test]
async fn a_good_playback_passes_all() {
    let packaged = Packaged::new(&clip(), "2M", SAME_SOUND);
    let host = Host::serve(packaged.path(), Origins::Any).await;
    let source = Source::measure(&clip()).await.expect("the source can be measured");
    let report = playback::judge(&host.url("index.m3u8"), &source, 30.0).await.expect("nobody objects");
    assert_eq!(report.video_renditions, 2);
    assert!(report.top_psnr_db.is_some_and(|psnr| psnr > 30.0), "{report:?}");
    assert_eq!(report.gstreamer.pictures, 180);
    assert!(report.sound_samples.is_some() && report.sound_after_pictures_s.is_some(), "{report:?}");
}

#[tokio::test]
async fn rates_that_were_wished_for_are_told_from_measured_ones() {
    // FFmpeg says the rate that it was told.
    let packaged = Packaged::new(&clip(), "2M", SAME_SOUND);
    let host = Host::serve(packaged.path(), Origins::Any).await;
    let source = Source::measure(&clip()).await.expect("the source can be measured");
    let objection = playback::rates_are_measured(&host.url("index.m3u8"), &source).await.expect_err("it is a wish");
    assert!(format!("{objection:#}").contains("BANDWIDTH"), "{objection:#}");
}

#[tokio::test]
async fn hls_js_plays_a_good_playback_from_both_origins() {
    let packaged = Packaged::new(&clip(), "2M", SAME_SOUND);
    let host = Host::serve(packaged.path(), Origins::Any).await;
    let seen = playback::watch(&host.url("index.m3u8")).await.expect("nobody objects");
    assert_eq!((seen.levels, seen.audio_tracks), (Some(2), Some(1)));
    assert!(seen.duration_s > 5.9, "{seen:?}");
}

#[tokio::test]
async fn hls_js_meets_a_missing_cors_header() {
    let packaged = Packaged::new(&clip(), "2M", SAME_SOUND);
    let host = Host::serve(packaged.path(), Origins::Same).await;
    let url = host.url("index.m3u8");
    let refused = hls_js::plays(url.as_str(), hls_js::Page::OwnOrigin).await.expect_err("no CORS header");
    assert!(format!("{refused:#}").contains("manifestLoadError"), "{refused:#}");
    hls_js::plays(url.as_str(), hls_js::Page::MediaOrigin).await.expect("the same origin needs none");
}

#[tokio::test]
async fn hls_js_and_gstreamer_meet_a_segment_that_is_gone() {
    let packaged = Packaged::new(&clip(), "2M", SAME_SOUND);
    for rendition in ["top", "low"] {
        std::fs::remove_file(packaged.path().join(format!("{rendition}_1.m4s"))).expect("FFmpeg wrote it");
    }
    let host = Host::serve(packaged.path(), Origins::Any).await;
    let url = host.url("index.m3u8");
    let seen = hls_js::watch(url.as_str(), hls_js::Page::MediaOrigin).await.expect("the browser runs");
    assert!(seen.errors.iter().any(|error| error.details.contains("404")), "{seen:?}");
    gstreamer::plays(url.as_str()).await.expect_err("a segment is gone");
}

#[tokio::test]
async fn gstreamer_plays_dash_and_meets_a_segment_that_is_gone() {
    let packaged = Packaged::dash(&clip(), "2M");
    let source = Source::measure(&clip()).await.expect("the source can be measured");
    let host = Host::serve(packaged.path(), Origins::Any).await;
    let url = host.url("index.mpd");
    let sound = source.sound.as_ref().map(|sound| sound.samples);
    let shown = playback::judge_dash(&url, &source, sound).await.expect("nobody objects");
    assert_eq!(shown.pictures, 180);
    for rendition in ["0", "1"] {
        std::fs::remove_file(packaged.path().join(format!("{rendition}_2.m4s"))).expect("FFmpeg wrote it");
    }
    playback::judge_dash(&url, &source, sound).await.expect_err("a segment is gone");
}

#[tokio::test]
async fn dash_js_and_shaka_play_dash() {
    let packaged = Packaged::dash(&clip(), "2M");
    let host = Host::serve(packaged.path(), Origins::Any).await;
    for player in [Player::DashJs, Player::Shaka] {
        let seen = browser::plays(player, host.url("index.mpd").as_str(), Page::MediaOrigin).await;
        let seen = seen.expect("nobody objects");
        assert_eq!((seen.levels, seen.audio_tracks), (Some(2), Some(1)), "{player:?}: {seen:?}");
        assert!(seen.frames > 0 && seen.sound_bytes > 0, "{player:?}: {seen:?}");
    }
}

#[tokio::test]
async fn dash_js_and_shaka_seek_and_switch() {
    // Long enough for players to play out what they keep of the level before.
    let packaged = Packaged::dash(&clips::recipe("synthetic").seconds(16.0).rate("30000/1001").make(), "2M");
    let host = Host::serve(packaged.path(), Origins::Any).await;
    // One after the other: dash.js leaves holes if it does both.
    let seeks = Viewing { for_s: 1, seeks_s: vec![8.5, 1.5], ..Viewing::default() };
    let switches = Viewing { for_s: 1, switch: true, ..Viewing::default() };
    for player in [Player::DashJs, Player::Shaka] {
        let seen = browser::watch(player, host.url("index.mpd").as_str(), &seeks).await.expect("the browser runs");
        let off_s: Vec<_> = seen.seeks.iter().filter_map(|seek| Some((seek.to_s - seek.shown_s?).abs())).collect();
        assert!(seen.errors.is_empty() && off_s.len() == 2, "{player:?}: {seen:?}");
        assert!(off_s.iter().all(|off_s| *off_s < 0.1), "{player:?}: {seen:?}");
        let seen = browser::watch(player, host.url("index.mpd").as_str(), &switches).await.expect("the browser runs");
        assert!(seen.errors.is_empty() && seen.heights.ends_with(&[180, 360]), "{player:?}: {seen:?}");
    }
}

#[tokio::test]
async fn dash_js_and_shaka_meet_a_segment_that_is_gone() {
    let packaged = Packaged::dash(&clip(), "2M");
    for rendition in ["0", "1"] {
        std::fs::remove_file(packaged.path().join(format!("{rendition}_2.m4s"))).expect("FFmpeg wrote it");
    }
    let host = Host::serve(packaged.path(), Origins::Any).await;
    let url = host.url("index.mpd");
    // Of another origin, a refusal without CORS has no status.
    let viewing = Viewing { page: Page::MediaOrigin, ..Viewing::default() };
    for player in [Player::DashJs, Player::Shaka] {
        let seen = browser::watch(player, url.as_str(), &viewing).await.expect("the browser runs");
        assert!(seen.errors.iter().any(|error| error.details.contains("_2.m4s")), "{player:?}: {seen:?}");
        assert!(seen.failed_requests.iter().all(|request| request.why == "404"), "{player:?}: {seen:?}");
        assert!(!seen.failed_requests.is_empty(), "{player:?}: {seen:?}");
    }
}

#[tokio::test]
async fn shaka_and_chromium_play_hls() {
    let packaged = Packaged::new(&clip(), "2M", SAME_SOUND);
    let host = Host::serve(packaged.path(), Origins::Any).await;
    for player in [Player::Shaka, Player::Native] {
        let seen = browser::plays(player, host.url("index.m3u8").as_str(), Page::OwnOrigin).await;
        let seen = seen.expect("nobody objects");
        assert!(seen.frames > 0 && seen.sound_bytes > 0, "{player:?}: {seen:?}");
    }
}

#[tokio::test]
async fn a_lost_segment_is_missed() {
    let packaged = Packaged::new(&clip(), "2M", SAME_SOUND);
    packaged.lose_segment("low.m3u8", "low_1.m4s");
    let objection = objection(&packaged, 0.0).await;
    assert!(objection.contains("low.m3u8") && objection.contains("is shown at"), "{objection}");
}

#[tokio::test]
async fn a_lost_end_is_missed() {
    let packaged = Packaged::new(&clip(), "2M", SAME_SOUND);
    packaged.lose_segment("top.m3u8", "top_2.m4s");
    let objection = objection(&packaged, 0.0).await;
    assert!(objection.contains("the source has 180"), "{objection}");
}

#[tokio::test]
async fn damaged_pictures_do_not_decode() {
    let packaged = Packaged::new(&clip(), "2M", SAME_SOUND);
    packaged.change("top_1.m4s", |mut bytes| {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 2000].fill(0);
        bytes
    });
    let host = Host::serve(packaged.path(), Origins::Any).await;
    measure::decodes(host.url("low.m3u8").as_str()).await.expect("this one is whole");
    let objection = objection(&packaged, 0.0).await;
    assert!(objection.contains("does not decode"), "{objection}");
}

#[tokio::test]
async fn lost_sound_is_missed() {
    let packaged = Packaged::new(&clip(), "2M", SAME_SOUND);
    packaged.lose_segment("sound.m3u8", "sound_1.m4s");
    let objection = objection(&packaged, 0.0).await;
    assert!(objection.contains("more than one AAC frame"), "{objection}");
}

#[tokio::test]
async fn sound_that_comes_late_is_heard() {
    // As long as the source's, but all of it 100 ms later than its pictures.
    let packaged = Packaged::new(&clip(), "2M", "asetpts=PTS+0.1/TB");
    let objection = objection(&packaged, 0.0).await;
    assert!(objection.contains("ms off the pictures"), "{objection}");
}

#[tokio::test]
async fn poor_pictures_are_seen() {
    let packaged = Packaged::new(&clip(), "60k", SAME_SOUND);
    let objection = objection(&packaged, 35.0).await;
    assert!(objection.contains("is below 35 dB"), "{objection}");
}

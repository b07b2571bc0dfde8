//! A library of a thousand assets in Chromium: narrowed down by what they have in common, found again by the address, and scrolled
//! through, each with its picture, without the page being busy.

use flame_media_tests::players::browser;
use flame_test_kit::{Bundle, clips};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

/// As many as the library is to scroll through smoothly.
const ASSETS: usize = 1000;
/// Calls at once.
const AT_ONCE: usize = 16;
/// Fewest pictures of the way down: else it was not seen.
const PICTURES_MIN: u64 = 100;
/// Most scripting while all are scrolled through, milliseconds of the processor's time. On a quiet machine it is 90; where the trace does not say it,
/// the clock runs on while others have the processor.
const SCRIPTING_MAX_MS: f64 = 2000.0;
/// Longest task meanwhile, milliseconds; the same clock.
const TASK_MAX_MS: f64 = 1000.0;

/// An asset that was uploaded and not conditioned, with the picture that lies at `poster`: 20 of 1080 lines, half of these and of all others of 720
/// lines in AV1.
fn asset(number: usize, poster: Option<&str>) -> Value {
    let height = if number < 20 { 1080 } else { [720, 360][number % 2] };
    let codec = if number < 10 || (20..220).contains(&number) && height == 360 { "av1" } else { "h264" };
    json!({
        "id": format!("00000000-0000-4000-8000-{number:012}"), "title": format!("Asset {number:04}"), "poster_key": poster,
        "source": { "key": format!("default/sources/{number}"), "sha256": "0123456789abcdef".repeat(4), "size_bytes": 1000 + number },
        "probe": {
            "container": "matroska,webm", "duration_ms": 4000, "bitrate_bps": 1000,
            "video": {
                "codec": codec, "width": height * 16 / 9, "height": height, "display_width": height * 16 / 9,
                "display_height": height, "rotation_deg": 0, "pixel_aspect": { "num": 1, "den": 1 }, "frame_rate": { "num": 25, "den": 1 },
                "variable_frame_rate": false, "pixel_format": "yuv420p", "bit_depth": 8, "interlaced": false,
            },
        },
    })
}

#[tokio::test]
async fn a_thousand_assets_are_narrowed_down_and_scrolled_through() {
    let bundle = Bundle::up().await;
    let http = reqwest::Client::new();
    // One that somebody uploaded has a picture; it is everybody's, and the one that has it goes.
    let clip = clips::path("bikes");
    let done = bundle.json(&["ingest", clip.to_str().expect("paths of clips are UTF-8"), "--chain", "none"]);
    let id = done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}"));
    let poster = bundle.json(&["asset", "show", id])["poster_key"].as_str().expect("a poster").to_owned();
    assert!(bundle.flame(&["asset", "rm", id]).status.success(), "it is put into the trash");
    let register = |number| {
        let asset = asset(number, Some(&poster));
        let call = http.post(format!("{}/~metadata/assets", bundle.router())).json(&asset).send();
        async move { call.await?.error_for_status().map(drop) }
    };
    stream::iter((0..ASSETS).map(register))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
        .expect("all are registered");
    let (url, count) = (bundle.router().to_owned(), ASSETS.to_string());
    let arguments = [url.as_str(), "--count", &count, "--words", "Asset 0777"].map(str::to_owned).to_vec();
    let seen = browser::node("library.mjs", arguments).await.expect("the portal can be opened");
    let seen: Value = serde_json::from_slice(&seen).expect("library.mjs prints one JSON object");
    println!("{:#}", seen["scroll"]);

    let narrow = &seen["narrow"];
    assert_eq!(narrow["heights"], json!(["360p 490", "720p 490", "1080p 20"]), "{narrow:#}");
    // Of one field any value will do, of two fields both are wanted; counts of a field pass over what is wanted of it.
    assert_eq!(narrow["codecs"], json!(["h264 500", "av1 10"]), "{narrow:#}");
    assert_eq!(narrow["pressed"], json!(["1080p 10", "720p 0", "av1 10"]), "{narrow:#}");
    let address = narrow["address"].as_str().expect("an address");
    assert!(
        address.ends_with("#/library?probe.video.height=1080&probe.video.height=720&probe.video.codec=%22av1%22"),
        "{address}"
    );
    assert_eq!(narrow["back"], narrow["address"], "whoever has looked at an asset comes back to the same ones");
    let filter = r#"probe.video.height in (1080, 720) and probe.video.codec in ("av1")"#;
    let listed = bundle.json(&["asset", "list", "--filter", filter]);
    assert!(
        narrow["command"].as_str().is_some_and(|command| command.ends_with(&format!("asset list --filter '{filter}'"))),
        "{narrow:#}"
    );
    assert_eq!(listed.as_array().map_or(0, Vec::len), 10, "the command finds the same: {listed:#}");

    let search = &seen["search"];
    assert_eq!(search["titles"], json!(["Asset 0777"]), "{search:#}");
    assert!(search["address"].as_str().is_some_and(|address| address.ends_with("?q=Asset+0777")), "{search:#}");
    assert_eq!(search["sorted"], json!(["Asset 0000", "Asset 0001", "Asset 0002"]), "{search:#}");

    assert!(search["left"].as_str().is_some_and(|address| address.ends_with("#/live")), "{search:#}");

    let scroll = &seen["scroll"];
    assert_eq!((&scroll["shown"], &scroll["doubled"]), (&json!(ASSETS), &json!(0)), "{scroll:#}");
    assert!(scroll["scripting_ms"].as_f64().is_some_and(|ms| ms > 0.0 && ms < SCRIPTING_MAX_MS), "{scroll:#}");
    assert!(scroll["pictures"].as_u64() > Some(PICTURES_MIN), "{scroll:#}");
    let posters = (scroll["posters"].as_u64(), scroll["broken"].as_u64());
    assert!(posters.0 > Some(PICTURES_MIN) && posters.1 == Some(0), "{scroll:#}");
    assert!(scroll["longest_ms"].as_f64().is_some_and(|ms| ms > 0.0 && ms < TASK_MAX_MS), "{scroll:#}");

    // What is deleted is gone from all pages that were asked for, and the search stays.
    let trash = &seen["trash"];
    assert_eq!((&trash["remains"], &trash["shown"]), (&json!(false), &json!(ASSETS - 1)), "{trash:#}");
    assert!(trash["address"].as_str().is_some_and(|address| address.ends_with("#/library?sort=title")), "{trash:#}");
    assert_eq!(seen["errors"], json!([]), "{seen:#}");
}

/// As many endpoints as the map is to hold.
const ENDPOINTS: usize = 200;
/// Most that comes before the first view can be used, bytes as they are sent.
const FIRST_VIEW_MAX_BYTES: u64 = 300 * 1024;

#[tokio::test]
async fn the_first_view_is_small_and_the_map_holds_two_hundred_endpoints() {
    let bundle = Bundle::up().await;
    let http = reqwest::Client::new();
    let kept = http.post(format!("{}/~metadata/assets", bundle.router())).json(&asset(0, None)).send().await;
    kept.and_then(reqwest::Response::error_for_status).expect("an asset is kept");
    let register = |number: usize| {
        let (name, endpoint) = (format!("crowd-{}.city", number % 20), format!("one-{number}"));
        let url = format!("{}/api/router/endpoints/{name}/{endpoint}", bundle.router());
        let body = json!({ "address": "127.0.0.1:9", "generation": 1, "ttl_ms": 60_000 });
        let call = http.put(url).json(&body).send();
        async move { call.await?.error_for_status().map(drop) }
    };
    stream::iter((0..ENDPOINTS).map(register))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
        .expect("all are registered");
    let (url, count) = (bundle.router().to_owned(), ENDPOINTS.to_string());
    let arguments = [url.as_str(), "--endpoints", &count, "--for-s", "2"].map(str::to_owned).to_vec();
    let seen = browser::node("pace.mjs", arguments).await.expect("the portal can be opened");
    let seen: Value = serde_json::from_slice(&seen).expect("pace.mjs prints one JSON object");
    println!("{seen:#}");
    assert!(seen["shown"].as_u64() >= u64::try_from(ENDPOINTS).ok(), "{seen:#}");
    assert!(seen["bytes"].as_u64().is_some_and(|bytes| bytes > 10_000 && bytes < FIRST_VIEW_MAX_BYTES), "{seen:#}");
}

//! A channel at the portal in Chromium: made, published to as the page says, watched, ended, and found again as a recording.

use flame_media_tests::players::browser;
use flame_test_kit::{Bundle, clips};
use serde_json::{Value, json};

#[tokio::test]
async fn a_channel_is_made_watched_and_ended_and_its_recording_plays() {
    let bundle = Bundle::up().await;
    let clip = clips::recipe("synthetic").seconds(60.0).make();
    let clip = clip.to_str().expect("paths of clips are UTF-8").to_owned();
    let arguments = vec![bundle.router().to_owned(), "--clip".to_owned(), clip];
    let seen = browser::node("broadcast.mjs", arguments).await.expect("the portal can be opened");
    let seen: Value = serde_json::from_slice(&seen).expect("broadcast.mjs prints one JSON object");

    assert_eq!((&seen["states"], &seen["watched"]), (&json!(["idle", "live"]), &json!(true)), "{seen:#}");
    assert_eq!(seen["live"]["Stalls"], "0", "{seen:#}");
    let back = &seen["back"];
    assert_eq!(back["plays"], true, "{seen:#}");
    assert!(back["at_s"].as_f64() < back["before_s"].as_f64(), "it plays from where one went back to: {seen:#}");
    let recording = &seen["recording"];
    assert_eq!((&recording["replayed"], &recording["ended"]), (&json!(true), &json!(true)), "{seen:#}");
    assert!(recording["duration_s"].as_f64().is_some_and(|duration_s| duration_s > 5.0), "{seen:#}");
    assert_eq!((&seen["failed"], &seen["errors"]), (&json!(""), &json!([])), "{seen:#}");
}

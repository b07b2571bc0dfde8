//! Channels at the portal in Chromium: made, published to as the page says by RTMP, SRT and WHIP, watched, ended, and found again as recordings.

use flame_media_tests::players::browser;
use flame_test_kit::{Bundle, clips};
use serde_json::{Value, json};

#[tokio::test]
async fn a_channel_is_made_watched_and_ended_and_its_recording_plays() {
    let bundle = Bundle::up().await;
    let clip = clips::recipe("synthetic").seconds(60.0).make();
    let clip = clip.to_str().expect("paths of clips are UTF-8").to_owned();
    let mut arguments = vec![bundle.router().to_owned(), "--clip".to_owned(), clip];
    arguments.extend(browser::pictures());
    let seen = browser::node("broadcast.mjs", arguments).await.expect("the portal can be opened");
    let seen: Value = serde_json::from_slice(&seen).expect("broadcast.mjs prints one JSON object");

    assert_eq!((&seen["states"], &seen["watched"]), (&json!(["idle", "live"]), &json!(true)), "{seen:#}");
    assert_eq!(seen["live"]["Stalls"], "0", "{seen:#}");
    // Parts are waited for, at the surrogate, and it is seen how late they are.
    assert_eq!(seen["blocking"], json!(["~cdn"]), "{seen:#}");
    let late = seen["live"]["Behind live"].as_str().and_then(|late| late.strip_suffix(" s")?.parse::<f64>().ok());
    assert!(late.is_some_and(|late_s| late_s < 3.0), "{seen:#}");
    // The key is told on, and another one in its place.
    let keys = [&seen["keys"][0], &seen["keys"][1]].map(|key| key.as_str().expect("a key"));
    assert!(seen["door"].as_str().is_some_and(|door| door.ends_with(&format!("/live/{}", keys[0]))), "{seen:#}");
    assert_ne!(keys[0], keys[1], "{seen:#}");
    let back = &seen["back"];
    for step in ["atEdge", "behind", "plays", "live", "goes_on"] {
        assert_eq!(back[step], true, "{step}: {seen:#}");
    }
    let seconds = |of: &Value| of.as_f64().unwrap_or_else(|| panic!("no time: {seen:#}"));
    assert!(seconds(&back["at_s"]) < seconds(&back["before_s"]), "it plays from where one went back to: {seen:#}");
    assert!(seconds(&back["now_s"]) > seconds(&back["at_s"]), "and from now on after that: {seen:#}");
    let still = &back["still"];
    assert!(seconds(&still["at_s"]) < seconds(&still["of_s"]), "the picture is one from before: {seen:#}");
    // The other addresses lead to a channel, too.
    for (door, scheme) in [("srt", "srt"), ("whip", "http")] {
        let seen_of = &seen["doors"][door];
        assert_eq!((&seen_of["scheme"], &seen_of["watched"]), (&json!(scheme), &json!(true)), "{door}: {seen:#}");
        assert!(seen_of["height"].as_u64() > Some(0), "{door}: {seen:#}");
    }
    let recording = &seen["recording"];
    assert_eq!((&recording["replayed"], &recording["ended"]), (&json!(true), &json!(true)), "{seen:#}");
    assert!(recording["duration_s"].as_f64().is_some_and(|duration_s| duration_s > 5.0), "{seen:#}");
    assert_eq!((&seen["failed"], &seen["errors"]), (&json!(""), &json!([])), "{seen:#}");
}

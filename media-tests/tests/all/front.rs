//! The router's own page, as a person uses it: a link to an asset plays it, a card plays another, and what is not ready says so.

use flame_media_tests::players::browser;
use flame_test_kit::{Bundle, clips};
use serde_json::{Value, json};

/// Brings a clip in under a title; gives its identifier.
fn ingest(bundle: &Bundle, clip: &str, title: &str, chain: &str) -> String {
    let file = clips::path(clip);
    let arguments = ["ingest", file.to_str().expect("paths of clips are UTF-8"), "--title", title, "--chain", chain];
    let done = bundle.json(&arguments);
    done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}")).to_owned()
}

#[tokio::test]
async fn chromium_plays_what_a_link_names_and_then_what_is_clicked() {
    let bundle = Bundle::up().await;
    let linked = ingest(&bundle, "bikes", "Bikes, not conditioned", "none");
    let clicked = ingest(&bundle, "bigbuckbunny", "A <b>bunny</b>", "ladder");
    let page = format!("{}/#{linked}", bundle.router().trim_end_matches('/'));
    let seen =
        browser::node("front.mjs", vec![page, "A <b>bunny</b>".to_owned()]).await.expect("the page can be opened");
    let seen: Value = serde_json::from_slice(&seen).expect("front.mjs prints one JSON object");
    for (which, title) in [("linked", "Bikes, not conditioned"), ("chosen", "A <b>bunny</b>")] {
        assert_eq!((&seen[which]["title"], &seen[which]["trouble"]), (&json!(title), &json!("")), "{seen:#}");
        assert!(seen[which]["at_s"].as_f64().is_some_and(|at_s| at_s > 1.0), "{which}: {seen:#}");
    }
    let cards = json!([
        { "title": "A <b>bunny</b>", "standing": null },
        { "title": "Bikes, not conditioned", "standing": "As it was uploaded" },
    ]);
    assert_eq!((&seen["cards"], &seen["errors"]), (&cards, &json!([])), "{seen:#}");
    assert!(seen["address"].as_str().is_some_and(|address| address.ends_with(&clicked)), "{seen:#}");
}

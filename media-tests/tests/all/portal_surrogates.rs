//! Surrogates that go while somebody watches at the portal: the one that verifies viewers, whose links end besides, and one whose process is
//! killed.

use std::path::Path;

use flame_media_tests::players::browser;
use flame_test_kit::{Bundle, clips, repository};
use serde_json::{Value, json};

/// How long the clips are: longer than what is fetched ahead, twice, and all that is done meanwhile.
const CLIP_S: f64 = 120.0;
/// How long links live here.
const LINK_LIFE: &str = "12s";
/// As much as the player fetches ahead.
const BUFFER_S: f64 = 30.0;

/// Brings the clip in; gives its identifier.
fn ingest(bundle: &Bundle, chain: &str) -> String {
    let clip = clips::recipe("synthetic").seconds(CLIP_S).size(320, 180).make();
    let done = bundle.json(&["ingest", utf8(&clip), "--title", "Minutes", "--chain", chain]);
    done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}")).to_owned()
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}

/// What a judge has seen.
async fn seen(script: &str, bundle: &Bundle, options: &[(&str, &str)]) -> Value {
    let mut arguments = vec![bundle.router().to_owned()];
    for (name, value) in options {
        arguments.extend([(*name).to_owned(), (*value).to_owned()]);
    }
    arguments.extend(browser::pictures());
    let seen = browser::node(script, arguments).await.expect("the portal can be opened");
    serde_json::from_slice(&seen).unwrap_or_else(|error| panic!("{script} prints one JSON object: {error}"))
}

/// A link is renewed while it plays, and when nobody verifies viewers any more where links lead to, it goes on at streaming itself: in the
/// same element, without a wait.
#[tokio::test]
async fn what_is_protected_plays_over_the_end_of_its_link_and_on_without_its_surrogate() {
    let bundle = Bundle::up_with(&["--link-life", LINK_LIFE]).await;
    let asset = ingest(&bundle, "ladder");
    assert_eq!(bundle.json(&["asset", "protect", &asset])[0]["protected"], true);
    let seen = seen("locked.mjs", &bundle, &[("--asset", &asset), ("--name", "cdn.signed")]).await;

    assert!(seen["from"].as_str().is_some_and(|from| from.starts_with("vcdn-")), "{seen:#}");
    let renewed = &seen["renewed"];
    assert!(renewed["links"].as_u64() > Some(1) && renewed["later"].as_u64() > Some(0), "{seen:#}");
    assert_eq!((&renewed["plays"], &renewed["seen"]), (&json!(true), &json!([])), "{seen:#}");
    assert_eq!((&renewed["refused"], &renewed["names"]), (&json!([]), &json!(["cdn.signed"])), "{seen:#}");

    let killed = &seen["killed"];
    let gone = killed["gone"].as_str().expect("a text");
    assert!(gone.contains("gone: it was killed") && !gone.contains("answers in"), "{seen:#}");
    assert_eq!((&killed["on"], &killed["seen"]), (&json!(true), &json!([])), "{seen:#}");
    let seconds = |of: &Value| of.as_f64().unwrap_or_else(|| panic!("no time: {seen:#}"));
    assert!(seconds(&killed["to_s"]) > seconds(&killed["killed_s"]) + BUFFER_S, "beyond what was fetched: {seen:#}");
    assert_eq!((&killed["names"], &killed["refused_elsewhere"]), (&json!(["streaming.main"]), &json!([])), "{seen:#}");
    assert_eq!(seen["stalls"], "0", "{seen:#}");
    // Who opens the page only now is not kept waiting by who is gone.
    assert_eq!(
        (&seen["opened"], &seen["trouble"], &seen["errors"]),
        (&json!(true), &json!(""), &json!([])),
        "{seen:#}"
    );
}

/// The process that media comes from is killed by a signal, as a crash would end it: another one's media follows, and no request fails.
#[tokio::test]
async fn the_process_of_a_surrogate_is_killed_and_what_plays_through_it_plays_on() {
    let bundle = Bundle::up().await;
    let asset = ingest(&bundle, "none");
    let folder = repository().join("templates/services/edge-standby");
    let [template, alerts] = ["template.yaml", "alerts.yaml"].map(|name| folder.join(name));
    let deployed = bundle.json(&["template", "deploy", utf8(&template), "--alerts", utf8(&alerts), "--wait"]);
    assert_eq!(deployed["is_settled"], true, "{deployed:#}");
    let options = [("--asset", asset.as_str()), ("--name", "edge.city"), ("--sfc", "edge-standby"), ("--sfci", "city")];
    let seen = seen("killed.mjs", &bundle, &options).await;

    let [own, first, last] = ["own", "first", "last"].map(|of| seen[of].as_str().expect("a name"));
    assert!(own != first && last != first, "it came from the one that was killed, and then from another: {seen:#}");
    let pids = [&seen["pid"], &seen["successor"]["pid"]].map(|pid| pid.as_u64().unwrap_or_else(|| panic!("{seen:#}")));
    assert_ne!(pids[0], pids[1], "it was another process after that: {seen:#}");
    let seconds = |of: &str| seen[of].as_f64().unwrap_or_else(|| panic!("no time: {seen:#}"));
    assert!(seconds("to_s") > seconds("at_s") + BUFFER_S, "beyond what was fetched: {seen:#}");
    assert_eq!((&seen["stalls"], &seen["seen"], &seen["vain"]), (&json!("0"), &json!([]), &json!([])), "{seen:#}");
    assert_eq!(seen["errors"], json!([]), "{seen:#}");
}

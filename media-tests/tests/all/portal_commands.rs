//! What the portal shows as commands, where tokens are needed: each is run in a shell as it stands there, and does what its button does.

use std::path::Path;

use flame_media_tests::players::browser;
use flame_test_kit::programs::program;
use flame_test_kit::{Bundle, Scratch, clips};
use serde_json::{Value, json};

/// What a judge of commands is told besides the scripts' own words: where everything is, and who asks.
fn told(bundle: &Bundle, folder: &Path, more: &[(&str, &str)]) -> Vec<String> {
    let issued = bundle.json(&["token", "issue", "--scope", "read,write"]);
    let token = issued["token"].as_str().expect("a token");
    let (flame, data) = (program("flame"), bundle.data());
    let [flame, data, folder] =
        [flame.as_path(), data.as_path(), folder].map(|path| path.to_str().expect("the path is UTF-8"));
    let all = [("--flame", flame), ("--folder", folder), ("--data", data), ("--token", token)];
    let all = all.iter().chain(more).flat_map(|(name, value)| [(*name).to_owned(), (*value).to_owned()]);
    std::iter::once(bundle.router().to_owned()).chain(all).collect()
}

/// Brings a clip in, not conditioned: its identifier.
fn ingested(bundle: &Bundle, clip: &Path, title: &str) -> String {
    let clip = clip.to_str().expect("paths of clips are UTF-8");
    let done = bundle.json(&["ingest", clip, "--title", title, "--chain", "none"]);
    done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}")).to_owned()
}

#[tokio::test]
async fn one_signs_in_uploads_stops_traces_ends_deletes_and_signs_out_as_the_page_says() {
    let bundle = Bundle::up_for_others().await;
    let clip = clips::path("bikes");
    let asset = ingested(&bundle, &clip, "Traced");
    let folder = Scratch::new("portal-commands");
    // As the commands call it.
    std::fs::copy(&clip, folder.join("FILE")).expect("scratch is writable");
    let mut arguments = told(&bundle, folder.path(), &[("--asset", &asset)]);
    arguments.extend(browser::pictures());
    let seen = browser::node("commands.mjs", arguments).await.expect("each command does what it says");
    let seen: Value = serde_json::from_slice(&seen).expect("commands.mjs prints one JSON object");

    // A link signs a browser in, a token a shell, by a cookie that counts until one signs out.
    let signed = &seen["signed"];
    assert_eq!(signed["who"], "operator of default", "{signed:#}");
    assert_eq!((&signed["before"], &signed["after"]), (&json!(401), &json!(200)), "{signed:#}");
    assert_eq!(signed["subject"], "operator", "{signed:#}");
    assert_eq!(seen["out"], json!({ "after": 401, "kept": false, "here": 1 }), "{seen:#}");

    // The way of a segment: why it would go where it goes, and where it went.
    let trace = &seen["trace"];
    assert!(trace["explained"].as_str().is_some_and(|said| said.contains(" goes to ")), "{trace:#}");
    let told = trace["told"].as_str().expect("a head").to_ascii_lowercase();
    assert!(told.starts_with("http/1.1 200") && told.contains("\nflame-trace: "), "{trace:#}");

    // What is brought in is there; what is stopped is gone.
    assert_eq!(seen["uploads"], 2, "by `flame`, and by a request: {seen:#}");
    assert_eq!(seen["stop"], json!({ "before": 200, "after": 410 }), "{seen:#}");

    for tool in ["flame", "curl"] {
        let channel = &seen["channels"][tool];
        assert_eq!((&channel["before"], &channel["after"]), (&json!(1), &json!(0)), "{tool}: {seen:#}");
        assert!(channel["said"].as_str().is_some_and(|said| said.contains("key")), "{tool}: {channel:#}");
        // Deleted, had back, deleted, and gone for good: what the catalogue answers, and whether the trash has it.
        let life = json!([[404, true], [200, false], [404, true], [404, false]]);
        assert_eq!(seen["lives"][tool], life, "{tool}: {seen:#}");
    }
    assert_eq!(seen["errors"], json!([]), "{seen:#}");
    let left = bundle.json(&["asset", "list"]);
    let left: Vec<_> = left.as_array().expect("assets").iter().map(|one| one["id"].clone()).collect();
    assert_eq!(left, [json!(asset)], "{seen:#}");
}

#[tokio::test]
async fn one_restores_measures_cancels_and_runs_suites_as_the_page_says() {
    let bundle = Bundle::up_for_others().await;
    let clip = clips::path("carphone_pristine");
    let asset = ingested(&bundle, &clip, "First");
    let long = ingested(&bundle, &clips::recipe("synthetic").seconds(60.0).make(), "A minute");
    let folder = Scratch::new("portal-works");
    std::fs::copy(&clip, folder.join("a.mp4")).expect("scratch is writable");
    // As the commands call it.
    let suite = format!(
        "suite: SUITE
about: a copy is a copy
clips: {{ a: {{ file: a.mp4 }} }}
cases:
  - name: a copy
    clip: a
    subject: {{ command: {{ run: 'cat {{in}} > /dev/null; cp {} {{out}}', makes: mp4 }} }}
    metrics: [psnr]
    gates: [psnr.mean > 50]
",
        folder.join("a.mp4").display()
    );
    std::fs::write(folder.join("SUITE.yaml"), suite).expect("scratch is writable");
    let arguments = told(&bundle, folder.path(), &[("--asset", &asset), ("--long", &long)]);
    let seen = browser::node("works.mjs", arguments).await.expect("each command does what it says");
    let seen: Value = serde_json::from_slice(&seen).expect("works.mjs prints one JSON object");

    // Edited, had back as it was before by `flame`, and by a request that too: each undoes the change before it.
    assert_eq!(seen["titles"], json!(["Second", "First", "Second"]), "{seen:#}");
    for (kind, gate) in [("comparisons", "psnr.mean > 20"), ("inspections", "video.height >= 100")] {
        let ended = json!(["succeeded", true, [gate]]);
        assert_eq!(seen["measurements"][kind], json!([ended, ended]), "by `flame`, and by a request: {seen:#}");
    }
    for kind in ["measurements", "jobs"] {
        assert_eq!(seen["cancelled"][kind], json!(["cancelled", "cancelled"]), "{kind}: {seen:#}");
    }
    // The suite, how often it ran, and how many cases of its last run passed and failed.
    assert_eq!(seen["suite"], json!({ "suites": [["SUITE", 2, 1, 0]], "runs": 2 }), "{seen:#}");
    assert_eq!(seen["errors"], json!([]), "{seen:#}");
}

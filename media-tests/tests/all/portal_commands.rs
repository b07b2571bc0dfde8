//! What the portal shows as commands, where tokens are needed: each is run in a shell as it stands there, and does what its button does.

use flame_media_tests::players::browser;
use flame_test_kit::programs::program;
use flame_test_kit::{Bundle, Scratch, clips};
use serde_json::{Value, json};

#[tokio::test]
async fn one_signs_in_uploads_stops_traces_ends_deletes_and_signs_out_as_the_page_says() {
    let bundle = Bundle::up_for_others().await;
    let clip = clips::path("bikes");
    let clip_path = clip.to_str().expect("paths of clips are UTF-8");
    let ingested = bundle.json(&["ingest", clip_path, "--title", "Traced", "--chain", "none"]);
    let asset = ingested[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {ingested:#}")).to_owned();
    let issued = bundle.json(&["token", "issue", "--scope", "read,write"]);
    let token = issued["token"].as_str().expect("a token").to_owned();
    let folder = Scratch::new("portal-commands");
    // As the commands call it.
    std::fs::copy(&clip, folder.join("FILE")).expect("scratch is writable");
    let (flame, data) = (program("flame"), bundle.data());
    let paths = [flame.as_path(), folder.path(), data.as_path()];
    let [flame, folder_path, data] = paths.map(|path| path.to_str().expect("the path is UTF-8").to_owned());
    let mut arguments = vec![bundle.router().to_owned()];
    for (name, value) in [
        ("--flame", flame),
        ("--folder", folder_path),
        ("--data", data),
        ("--token", token),
        ("--asset", asset.clone()),
    ] {
        arguments.extend([name.to_owned(), value]);
    }
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

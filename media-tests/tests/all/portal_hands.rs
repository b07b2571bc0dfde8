//! The portal as it is used with what a person has: a file that is dropped and broken off, a chain of one's own, and a keyboard.

use std::collections::BTreeSet;
use std::process::Command;

use flame_media_tests::players::browser;
use flame_test_kit::{Bundle, Scratch, clips};
use serde_json::{Value, json};

#[tokio::test]
async fn a_file_is_dropped_twice_a_chain_is_written_and_keys_are_enough() {
    let bundle = Bundle::up().await;
    let clip = clips::recipe("synthetic").seconds(6.0).make();
    let done = bundle.json(&["ingest", clip.to_str().expect("paths of clips are UTF-8"), "--title", "Six seconds"]);
    let asset = done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}"));
    let dropped = clips::path("bikes");
    let arguments = [bundle.router(), "--asset", asset, "--drop", dropped.to_str().expect("paths of clips are UTF-8")];
    let mut arguments = arguments.map(str::to_owned).to_vec();
    arguments.extend(browser::pictures());
    let seen = browser::node("hands.mjs", arguments).await;
    let seen: Value = serde_json::from_slice(&seen.expect("the portal can be opened")).expect("one JSON object");

    // It is seen how far the file is, and what had arrived of it is not sent again.
    let upload = &seen["upload"];
    assert!(upload["progress"].as_f64().is_some_and(|share| share > 0.0 && share < 1.0), "{upload:#}");
    let asked = upload["asked"].as_array().expect("requests");
    let methods: Vec<_> = asked.iter().filter_map(|one| one["method"].as_str()).collect();
    assert!(methods.starts_with(&["HEAD", "PATCH"]) && !methods.contains(&"POST"), "{upload:#}");
    assert_eq!(asked[1]["offset"], 100_000, "it goes on where it was: {upload:#}");
    assert_eq!(upload["found"], 1, "{upload:#}");

    // What is mistyped is said with its line; each stage is drawn, and each gate in the colour of its verdict.
    let chain = &seen["chain"];
    assert!(
        chain["finding"].as_str().is_some_and(|said| said.starts_with("Line 6 ") && said.contains("scale")),
        "{chain:#}"
    );
    assert_eq!(chain["marked"], "6", "{chain:#}");
    let graph = &chain["graph"];
    assert_eq!(graph["stages"], json!(["source", "upright", "small", "video", "version"]), "{chain:#}");
    assert_eq!((&graph["passed"], &graph["missed"]), (&json!(1), &json!(1)), "{chain:#}");
    assert!(graph["whole"].as_u64() >= Some(3), "what is done is drawn as done: {chain:#}");
    assert!(graph["said"].as_str().is_some_and(|said| said.contains("video, encode-video, failed")), "{chain:#}");
    assert_eq!(chain["rows"], json!(["missed", "passed"]), "{chain:#}");

    let keys = json!({ "opened": true, "sought": true, "states": ["draining", "serving"] });
    assert_eq!(seen["keys"], keys, "{seen:#}");
    // Every job is reached, page by page, and none twice; what was deleted for good is gone from the trash, too.
    let ran = seen["jobs"]["all"].as_u64().expect("a number of jobs");
    assert!(ran > 2, "{seen:#}");
    assert_eq!(seen["jobs"], json!({ "first": 1, "count": ran, "different": ran, "all": ran }), "{seen:#}");
    assert_eq!(seen["gone"], true, "{seen:#}");
    let there = bundle.json(&["asset", "list"]).as_array().expect("assets").len();
    let trash = bundle.json(&["asset", "list", "--deleted"]).as_array().expect("assets").len();
    assert_eq!((there, trash), (1, 0), "{seen:#}");
    let trace = seen["trace"].as_array().expect("steps");
    assert!(trace.iter().any(|step| step.as_str().is_some_and(|step| step.contains(" 200, "))), "{seen:#}");
    assert_eq!((&seen["barriers"], &seen["errors"]), (&json!([]), &json!([])), "{seen:#}");
}

/// A film in three sizes with two sounds and two texts, of which one is shown unless somebody says otherwise.
fn film(bundle: &Bundle) -> String {
    let scratch = Scratch::new("menus");
    let file = scratch.join("film.mp4");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=854x480:rate=25:duration=12"]);
    for hz in [440, 880] {
        ffmpeg.args(["-f", "lavfi", "-i", &format!("sine=frequency={hz}:sample_rate=48000:duration=12")]);
    }
    ffmpeg.args(["-map", "0:v", "-map", "1:a", "-map", "2:a", "-c:v", "libx264", "-preset", "veryfast", "-g", "50"]);
    ffmpeg.args(["-pix_fmt", "yuv420p", "-c:a", "aac"]);
    ffmpeg.args(["-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=ger"]);
    assert!(ffmpeg.arg(&file).status().expect("ffmpeg is installed").success());
    let done = bundle.json(&["ingest", file.to_str().expect("scratch is UTF-8")]);
    let id = done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}")).to_owned();
    for (language, text, more) in [("de", "Guten Tag", &["--default"][..]), ("en", "Good day", &[][..])] {
        let file = scratch.join(format!("{language}.vtt"));
        std::fs::write(&file, format!("WEBVTT\n\n00:01.000 --> 00:03.000\n{text}\n")).expect("scratch is writable");
        let file = file.to_str().expect("scratch is UTF-8");
        let added = bundle.json(&[&["subtitles", "add", &id, file, "--language", language], more].concat());
        assert_eq!(added["subtitle"]["language"], language, "{added:#}");
    }
    id
}

#[tokio::test]
async fn what_is_seen_heard_and_read_is_what_the_menus_say() {
    let bundle = Bundle::up().await;
    let id = film(&bundle);
    let mut arguments = [bundle.router(), "--asset", &id].map(str::to_owned).to_vec();
    arguments.extend(browser::pictures());
    let seen = browser::node("menus.mjs", arguments).await.expect("the portal can be opened");
    let seen: Value = serde_json::from_slice(&seen).expect("menus.mjs prints one JSON object");

    let offered = &seen["offered"];
    assert_eq!(offered["Quality chosen"], "Automatic", "{seen:#}");
    let heights = seen["heights"].as_array().expect("heights");
    assert!(heights.len() >= 2, "{seen:#}");
    for height in heights {
        let (option, shown) = (height[0].as_str().expect("an option"), height[1].as_u64().expect("a height"));
        assert!(option.starts_with(&format!("{shown}p, ")), "{seen:#}");
    }
    // Two sounds, and each is fetched when it is chosen.
    let sounds = seen["sounds"].as_array().expect("sounds");
    let tracks: BTreeSet<_> = sounds.iter().map(|one| one[1].to_string()).collect();
    assert_eq!((sounds.len(), tracks.len()), (2, 2), "{seen:#}");
    // The text that is shown by itself is what the menu says, and it can be put away.
    let german = offered["Subtitles chosen"].as_str().expect("a text");
    let english = offered["Subtitles"].as_array().expect("texts").iter().filter_map(Value::as_str);
    let english = english.filter(|text| !["Off", german].contains(text)).collect::<Vec<_>>();
    assert_eq!((english.len(), german != "Off"), (1, true), "{seen:#}");
    let texts = json!([["Off", [], "Off"], [german, ["Guten Tag"], german], [english[0], ["Good day"], english[0]]]);
    assert_eq!((&seen["texts"], &seen["errors"]), (&texts, &json!([])), "{seen:#}");
}

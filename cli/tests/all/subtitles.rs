//! Subtitles through the command line: added, listed, played, taken away; and forgotten by the surrogate, as an asset is.

use std::time::Duration;

use flame_test_kit::{clips, eventually};
use serde_json::Value;

use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(20);
const GERMAN: &str = "1\n00:00:00,500 --> 00:00:01,500\nGuten Tag\n\n2\n00:00:03,000 --> 00:00:02,000\nnie\n";

/// An asset that plays as it was uploaded, and a file to add to it.
fn brought(world: &World) -> (String, String) {
    let clip = clips::recipe("synthetic").seconds(2.0).size(320, 180).make();
    let done = world.json(&["ingest", clip.to_str().unwrap(), "--chain", "none"]);
    let file = world.scratch.path().join("german.srt");
    std::fs::write(&file, GERMAN).unwrap();
    (done[0]["id"].as_str().unwrap().to_owned(), file.to_str().unwrap().to_owned())
}

async fn status(url: &str) -> u16 {
    reqwest::get(url).await.unwrap().status().as_u16()
}

/// Waits until `url` answers with `wanted`.
async fn becomes(url: &str, wanted: u16) {
    eventually(PATIENCE, || async {
        let status = status(url).await;
        if status == wanted { Ok(()) } else { Err(format!("{url}: {status}")) }
    })
    .await;
}

#[test]
fn subtitles_are_added_listed_and_taken_away() {
    let world = World::up();
    let (id, file) = brought(&world);
    let told = world.flame(&["subtitles", "add", &id, &file, "--language", "ger", "--title", "Deutsch", "--default"]);
    assert_eq!(told.status, 0, "{}", told.err);
    assert!(told.out.contains("(de, 1 texts)") && told.err.contains("line 6"), "{} {}", told.out, told.err);
    let added = world.json(&["subtitles", "add", &id, &file, "--language", "de", "--role", "caption"]);
    let name = added["subtitle"]["id"].as_str().unwrap();
    let listed = world.json(&["subtitles", "list", &id]);
    let said: Vec<_> =
        listed.as_array().unwrap().iter().map(|one| (&one["role"], &one["title"], &one["default"])).collect();
    let (subtitle, caption) = (Value::from("subtitle"), Value::from("caption"));
    assert_eq!(
        said,
        [(&subtitle, &Value::from("Deutsch"), &Value::from(true)), (&caption, &Value::Null, &Value::from(false))]
    );
    for command in [&["subtitles", "list", &id][..], &["asset", "show", &id]] {
        let table = world.flame(command).out;
        assert!(table.contains(name) && table.contains("caption") && table.contains("Deutsch"), "{table}");
    }
    assert_eq!(world.json(&["subtitles", "rm", &id, name])["deleted"][0], name);
    for wrong in [name, "../versions/0123456789ab"] {
        assert_eq!(world.flame(&["subtitles", "rm", &id, wrong]).status, 1, "{wrong}");
    }
    assert_eq!(world.json(&["subtitles", "list", &id]).as_array().unwrap().len(), 1);

    // What is no subtitles is said with its line; a missing file is a matter of usage.
    std::fs::write(&file, "<tt xmlns=\"http://www.w3.org/ns/ttml\">\n<body>\n<p>").unwrap();
    let refused = world.flame(&["subtitles", "add", &id, &file, "--language", "de"]);
    assert!(refused.status == 1 && refused.err.contains("german.srt: line 3"), "{} {}", refused.status, refused.err);
    assert_eq!(world.flame(&["subtitles", "add", &id, "/nowhere.vtt", "--language", "de"]).status, 2);
    assert_eq!(world.flame(&["subtitles", "add", &id, &file, "--language", "de", "--role", "song"]).status, 2);
    let nobody = "0198a1b2-0000-7000-8000-000000000001";
    std::fs::write(&file, GERMAN).unwrap();
    assert_eq!(world.flame(&["subtitles", "add", nobody, &file, "--language", "de"]).status, 1);
    assert_eq!(world.flame(&["subtitles", "list", nobody]).status, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_surrogate_forgets_what_is_deleted() {
    let world = World::up();
    let (id, file) = brought(&world);
    let added = world.json(&["subtitles", "add", &id, &file, "--language", "de"]);
    let name = added["subtitle"]["id"].as_str().unwrap();
    let router = &world.router;
    let multivariant = format!("{router}/~streaming/{id}/index.m3u8");
    let listed = || async {
        let text = reqwest::get(&multivariant).await.unwrap().text().await.unwrap();
        let uri = text.split('"').find(|part| part.contains(&format!("/t-{name}-"))).map(str::to_owned);
        uri.ok_or(text)
    };
    let text = eventually(PATIENCE, listed).await;
    let text = text.replace("index.m3u8", "0.vtt");
    let media = text.split("/t-").next().unwrap().to_owned();
    let segment = format!("{media}/v1/0.m4s");
    let at = |server: &str, path: &str| format!("{router}/~{server}/{id}/{path}");
    for path in [&text, &segment] {
        for _ in 0..2 {
            assert_eq!(status(&at("cdn", path)).await, 200, "{path}");
        }
        let answer = reqwest::get(at("cdn", path)).await.unwrap();
        assert!(answer.headers()["cache-status"].to_str().unwrap().contains("; hit"), "{path}: it is kept");
    }
    // The origin first: what it still gives would be kept again.
    world.json(&["subtitles", "rm", &id, name]);
    becomes(&at("streaming", &text), 404).await;
    becomes(&at("cdn", &text), 404).await;
    assert_eq!(status(&at("cdn", &segment)).await, 200, "the rest is kept");
    world.json(&["asset", "rm", &id]);
    becomes(&multivariant, 404).await;
    becomes(&at("cdn", &segment), 404).await;
}

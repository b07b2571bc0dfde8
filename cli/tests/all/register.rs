//! An export into a catalogue that has lost everything, while the objects are in the store: all plays again, to those who may see it.

use std::time::Duration;

use flame_test_kit::{clips, eventually};
use reqwest::Method;
use serde_json::Value;

use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(20);
const GERMAN: &str = "1\n00:00:00,500 --> 00:00:01,500\nGuten Tag\n";

/// What an export must bring back: all but when it was so, and how often it has changed.
fn lasting(mut asset: Value) -> Value {
    let members = asset.as_object_mut().unwrap();
    members.retain(|name, _| !["revision", "created_at", "updated_at"].contains(&name.as_str()));
    asset["version"]["created_at"] = Value::Null;
    asset["subtitles"].as_array_mut().unwrap().iter_mut().for_each(|one| one["created_at"] = Value::Null);
    asset
}

/// An asset that plays and about which everything is said that can be; its identifier.
fn described(world: &World, seconds: f64) -> String {
    let clip = clips::recipe("synthetic").seconds(seconds).size(320, 180).make();
    let done = world.json(&["ingest", clip.to_str().unwrap()]);
    let id = done[0]["id"].as_str().unwrap().to_owned();
    let file = world.scratch.path().join("german.srt");
    std::fs::write(&file, GERMAN).unwrap();
    world.json(&[
        "subtitles",
        "add",
        &id,
        file.to_str().unwrap(),
        "--language",
        "de",
        "--title",
        "Deutsch",
        "--default",
    ]);
    world.json(&["asset", "edit", &id, "--set", "keywords=[\"sea\",\"wind\"]"]);
    world.json(&["asset", "sound", &id, "0", "--language", "fr", "--title", "En direct"]);
    world.json(&["asset", "encrypt", "--method", "sample-aes", &id]);
    world.json(&["asset", "protect", &id]);
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_protected_is_so_again_and_an_interrupted_registration_is_completed() {
    let mut world = World::up();
    let ids = [described(&world, 4.0), described(&world, 3.0)];
    let before = ids.clone().map(|id| lasting(world.json(&["asset", "show", &id])));
    let file = world.scratch.path().join("all.ndjson");
    let file = file.to_str().unwrap();
    world.json(&["asset", "export", "--output", file]);
    world.kill();
    for name in ["metadata.db", "metadata.db-wal", "metadata.db-shm"] {
        let _ = std::fs::remove_file(world.data().join(name));
    }
    world.start();
    assert_eq!(world.json(&["asset", "list"]), Value::Array(Vec::new()), "the catalogue has lost everything");

    // An import that was ended behind its first call has left this.
    let lines = std::fs::read_to_string(file).unwrap();
    let whole: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let mut new = whole.clone();
    new.as_object_mut()
        .unwrap()
        .retain(|name, _| ["id", "title", "source", "probe", "poster_key"].contains(&name.as_str()));
    let request = reqwest::Client::new().request(Method::POST, format!("{}/~metadata/assets", world.router));
    assert_eq!(request.json(&new).send().await.unwrap().status(), 201);

    for (created, updated, unchanged) in [(1, 1, 0), (0, 0, 2)] {
        let told = world.json(&["asset", "import", file, "--register"]);
        assert_eq!(told["failed"], Value::Array(Vec::new()));
        assert_eq!(
            (&told["created"], &told["updated"], &told["unchanged"]),
            (&created.into(), &updated.into(), &unchanged.into())
        );
        for (id, before) in ids.iter().zip(&before) {
            assert_eq!(&lasting(world.json(&["asset", "show", id])), before);
        }
    }
    for id in &ids {
        let plain = format!("{}/~streaming/{id}/index.m3u8", world.router);
        eventually(PATIENCE, || async {
            let status = reqwest::get(&plain).await.unwrap().status();
            if status == 403 { Ok(()) } else { Err(status) }
        })
        .await;
        let link = world.json(&["token", "sign-url", "--data", world.data().to_str().unwrap(), &plain]);
        let playlist = reqwest::get(link["url"].as_str().unwrap()).await.unwrap();
        assert_eq!(playlist.status(), 200, "{}", world.log());
        assert!(playlist.text().await.unwrap().contains("Deutsch"), "its subtitles are offered");
    }

    // What cannot be entered as it was is not entered half, and says so: subtitles of a key that is not the asset's.
    let mut wrong = whole;
    wrong["id"] = "0198a1b2-0000-7000-8000-000000000001".into();
    wrong["source"]["sha256"] = "0".repeat(64).into();
    std::fs::write(world.scratch.path().join("wrong.ndjson"), wrong.to_string()).unwrap();
    let ran =
        world.flame(&["asset", "import", world.scratch.path().join("wrong.ndjson").to_str().unwrap(), "--register"]);
    assert!(ran.status == 1 && ran.err.contains("must begin with"), "{} {}", ran.status, ran.err);
    let shown = world.flame(&["asset", "show", "0198a1b2-0000-7000-8000-000000000001"]);
    assert!(shown.status != 0 && shown.err.contains("0198a1b2"), "{} {}", shown.status, shown.err);
}

//! `flame migrate` to a PostgreSQL and an S3 that nobody here wrote, killed on the way: all that callers saw before they see again.

use std::time::Duration;

use flame_object_store::{SecretKey, Store, StoreConfig};
use flame_test_kit::seaweedfs::{ACCESS_KEY, SECRET_KEY, Seaweed};
use flame_test_kit::{Postgres, eventually};
use serde_json::Value;

use crate::stock::{Half, held, ingest};
use crate::world::{World, command, flame, run};

const PATIENCE: Duration = Duration::from_secs(120);
const GERMAN: &str = "1\n00:00:00,500 --> 00:00:01,500\nGuten Tag\n";

/// What the catalogue says of its changes to who follows it from the start.
async fn changes(world: &World) -> Value {
    reqwest::get(format!("{}/~metadata/changes?after=0", world.router)).await.unwrap().json().await.unwrap()
}

/// What ingest says of all uploads but one: that of an erased asset is forgotten when ingest looks for its bytes.
async fn uploads(world: &World, erased: &str) -> Vec<Value> {
    let page: Value = reqwest::get(format!("{}/~ingest/uploads", world.router)).await.unwrap().json().await.unwrap();
    page["items"].as_array().unwrap().iter().filter(|upload| upload["id"] != erased).cloned().collect()
}

/// Makes the bucket, when the store is up.
async fn bucket(seaweed: &Seaweed) -> Store {
    let store = Store::connect(&StoreConfig {
        endpoint: seaweed.endpoint(),
        region: "us-east-1".to_owned(),
        bucket: "moved".to_owned(),
        access_key: ACCESS_KEY.to_owned(),
        secret_key: SecretKey::new(SECRET_KEY),
    });
    eventually(PATIENCE, || async {
        store.ensure_bucket().await.map_err(|error| error.to_string())?;
        store.put("first", "bytes".into(), "text/plain").await.map_err(|error| error.to_string())?;
        store.delete("first").await.map_err(|error| error.to_string())
    })
    .await;
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_on_the_way_to_postgresql_and_s3_however_often_it_is_killed() {
    if !flame_test_kit::postgres::is_installed() {
        return flame_test_kit::loud_skip("PostgreSQL is not installed (tools/deps test)");
    }
    let (postgres, seaweed) = (Postgres::start().await, Seaweed::start().await);
    let store = bucket(&seaweed).await;

    // Assets of every kind, with what is said of them; one erased, one in the trash; an upload half sent.
    let mut world = World::up();
    let erased = ingest(&world, 1.0, "none");
    world.json(&["asset", "rm", "--erase", &erased]);
    let ids = [ingest(&world, 3.0, "ladder"), ingest(&world, 2.0, "none")];
    let file = world.scratch.join("german.srt");
    std::fs::write(&file, GERMAN).unwrap();
    world.json(&["subtitles", "add", &ids[0], file.to_str().unwrap(), "--language", "de", "--title", "Deutsch"]);
    world.json(&[
        "asset",
        "edit",
        &ids[0],
        "--title",
        "Grüße",
        "--set",
        "keywords=[\"sea\"]",
        "--set",
        "custom.day=3.5",
    ]);
    world.json(&["asset", "edit", &ids[0], "--set", "identifier=[{\"propertyID\":\"house\",\"value\":\"7\"}]"]);
    let trashed = ingest(&world, 1.0, "none");
    world.json(&["asset", "rm", &trashed]);
    let mut half = Half::begin(&world).await;
    let mut before = Vec::new();
    for id in &ids {
        before.push(held(&world, id).await);
    }
    let (feed, queue) = (changes(&world).await, uploads(&world, &erased).await);
    let trash = world.json(&["asset", "list", "--deleted"]);
    let found = world.json(&["asset", "search", "grüße"]);
    assert_eq!(found.as_array().unwrap().len(), 1);

    let outside = world.scratch.join("outside.toml");
    let (endpoint, url) = (seaweed.endpoint(), postgres.url());
    let text = format!(
        "database = \"{url}\"\n[store]\nendpoint = \"{endpoint}\"\nbucket = \"moved\"\naccess_key = \"{ACCESS_KEY}\"\nsecret_key = \"{SECRET_KEY}\"\n"
    );
    std::fs::write(&outside, text).unwrap();
    let (data, old) =
        (world.data().to_str().unwrap().to_owned(), world.scratch.join("old").to_str().unwrap().to_owned());
    let migrate = ["migrate", "--data", &old, "--to", &data, "--outside", outside.to_str().unwrap(), "--json"];
    let in_use = flame(&["migrate", "--data", &data, "--to", &old, "--outside", outside.to_str().unwrap()]);
    assert!(in_use.status == 3 && in_use.err.contains("flame down"), "{}", in_use.err);
    world.kill();
    std::fs::rename(&data, &old).unwrap();

    for fault in ["object-copied:3", "objects-copied", "upload-moved", "catalogue-copied"] {
        let killed = run(command().args(migrate).env("FLAME_FAULT", fault));
        assert_eq!(killed.status, -1, "{fault}: {}", killed.err);
        let up = flame(&["up", "--data", &data, "--listen", "127.0.0.1:0"]);
        assert!(up.status == 3 && up.err.contains("flame migrate"), "{fault}: {}", up.err);
    }
    let done = flame(&migrate);
    assert_eq!(done.status, 0, "{}", done.err);
    let done: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&done["rows"]["assets"], &done["found"]), (&3.into(), &done["objects"]), "{done}");
    // Neither the bucket nor the database is taken a second time.
    let other = world.scratch.join("other").to_str().unwrap().to_owned();
    let refused = flame(&["migrate", "--data", &old, "--to", &other, "--outside", outside.to_str().unwrap()]);
    assert!(refused.status == 3 && refused.err.contains("holds objects already"), "{}", refused.err);

    // On what is nobody's but the outside's.
    assert!(!world.data().join("metadata.db").exists() && !world.data().join("objects").exists());
    world.start();
    assert!(!store.list("default/sources/", None).await.unwrap().objects.is_empty());
    for (id, before) in ids.iter().zip(&before) {
        assert_eq!(&held(&world, id).await, before);
    }
    assert_eq!(changes(&world).await, feed);
    assert_eq!(uploads(&world, &erased).await, queue);
    assert_eq!(world.json(&["asset", "list", "--deleted"]), trash);
    assert_eq!(world.json(&["asset", "search", "grüße"]), found);
    let by_name = reqwest::get(format!("{}/~metadata/assets?identifier=house:7", world.router)).await.unwrap();
    assert_eq!(by_name.json::<Value>().await.unwrap()["items"].as_array().unwrap().len(), 1);

    // One at a time: a second one would delete what only the first one knows.
    let second = world.scratch.join("second");
    std::fs::create_dir(&second).unwrap();
    std::fs::copy(&outside, second.join("outside.toml")).unwrap();
    let up = flame(&["up", "--data", second.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert!(up.status == 3 && up.err.contains("another `flame up` works on the database"), "{}", up.err);

    // And it goes on: the upload, the feed, the trash, new films.
    half.go_on(&world).await;
    let position = feed["position"].as_u64().unwrap();
    world.json(&["asset", "restore", &trashed]);
    let after: Value = reqwest::get(format!("{}/~metadata/changes?after={position}", world.router))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(after["items"][0]["position"].as_u64(), Some(position + 1), "{after}");
    held(&world, &trashed).await;
    held(&world, &ingest(&world, 1.5, "none")).await;
}

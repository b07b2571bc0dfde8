//! After `DELETE /assets/{id}` nothing of the asset is left in the object store, also if that was away.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use flame_api::metadata::Asset;
use flame_object_store::{EmbeddedConfig, EmbeddedServer, RunningStore, SecretKey, Store, StoreConfig};
use flame_test_kit::{Scratch, eventually, ports};
use reqwest::Method;
use uuid::Uuid;

use crate::world::{On, World, json, new_version, problem};

const PATIENCE: Duration = Duration::from_secs(30);

fn store_config(port: u16) -> StoreConfig {
    StoreConfig {
        endpoint: format!("http://127.0.0.1:{port}"),
        region: "us-east-1".to_owned(),
        bucket: "flame".to_owned(),
        access_key: "access".to_owned(),
        secret_key: SecretKey::new("secret"),
    }
}

/// An object store on a folder, and a client of it.
async fn objects(root: PathBuf, port: u16) -> (RunningStore, Store) {
    let listen = ([127, 0, 0, 1], port).into();
    let server = EmbeddedServer::start(EmbeddedConfig {
        root,
        listen,
        access_key: "access".to_owned(),
        secret_key: SecretKey::new("secret"),
        min_free_percent: 0,
        max_connections: 64,
        max_writes: 8,
        stop_grace_s: 1,
    })
    .await
    .unwrap();
    let store = Store::connect(&store_config(port));
    store.ensure_bucket().await.unwrap();
    (server, store)
}

/// All that an asset may own.
fn keys(id: Uuid) -> [String; 8] {
    [
        format!("default/sources/{id}"),
        format!("default/posters/{id}.jpg"),
        format!("default/media/{id}/0123456789ab/v720.mp4"),
        format!("default/media/{id}/0123456789ab/v720.index.json"),
        format!("default/subtitles/{id}/one.vtt"),
        format!("default/live/{id}/0123456789ab/v/7.m4s"),
        format!("default/channels/{id}.json"),
        format!("default/channels-ended/{id}.json"),
    ]
}

async fn put_all(store: &Store, id: Uuid) {
    for key in keys(id) {
        store.put(&key, "bytes".into(), "application/octet-stream").await.unwrap();
    }
}

async fn delete(world: &World, id: Uuid) {
    let answer = world.request(Method::DELETE, &format!("/assets/{id}?erase=true")).send().await.unwrap();
    assert_eq!(answer.status(), 204);
}

/// The objects below `default/` whose key names the asset.
async fn left(store: &Store, id: Uuid) -> usize {
    let page = store.list("default/", None).await.unwrap();
    page.objects.iter().filter(|object| object.key.contains(&id.to_string())).count()
}

async fn all_gone(store: &Store, id: Uuid) {
    eventually(PATIENCE, || async {
        let left = left(store, id).await + store.list_multipart("default/", 10).await.unwrap().len();
        if left == 0 { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await;
}

async fn every_object_of_a_deleted_asset_goes_and_no_other(on: On) {
    let folder = Scratch::new("metadata-objects");
    let [port] = ports::free_tcp();
    let (server, store) = objects(folder.join("objects"), port).await;
    let world = World::start_with(on, |config| config.store = Some(store_config(port))).await;
    let (doomed, neighbour) = (world.register("doomed").await.id, world.register("neighbour").await.id);
    put_all(&store, doomed).await;
    put_all(&store, neighbour).await;
    store.create_multipart(&keys(doomed)[2], "video/mp4").await.unwrap();
    delete(&world, doomed).await;
    all_gone(&store, doomed).await;
    assert_eq!(left(&store, neighbour).await, keys(neighbour).len());

    // Its job did not know, stored more, and publishes: that is refused, and goes too.
    put_all(&store, doomed).await;
    let path = format!("/assets/{doomed}/versions/0123456789ab");
    problem(world.send(Method::PUT, &path, &new_version()).await, 404, "not-found").await;
    all_gone(&store, doomed).await;
    let _: Asset = json(world.get(&format!("/assets/{neighbour}")).await, 200).await;
    world.running.stop().await;
    server.stop().await;
}

async fn the_object_of_subtitles_goes_with_them_and_when_another_takes_their_place(on: On) {
    let folder = Scratch::new("metadata-objects");
    let [port] = ports::free_tcp();
    let (server, store) = objects(folder.join("objects"), port).await;
    let world = World::start_with(on, |config| config.store = Some(store_config(port))).await;
    let asset = world.register("kept").await.id;
    let key = |name: &str| format!("default/subtitles/{asset}/{name}.vtt");
    let put = async |name: &str| {
        store.put(&key(name), "WEBVTT\n\n".into(), "text/vtt").await.unwrap();
        let body = serde_json::json!({
            "language": "de", "role": "caption", "title": null, "default": false, "key": key(name),
            "size_bytes": 8, "sha256": "ab".repeat(32), "cues": 0,
        });
        world.send(Method::PUT, &format!("/assets/{asset}/subtitles/0123456789ab"), &body).await
    };
    let gone = async |name: &str| {
        eventually(PATIENCE, || async {
            match store.head(&key(name)).await.unwrap() {
                None => Ok(()),
                Some(info) => Err(format!("{info:?}")),
            }
        })
        .await;
    };
    assert_eq!(put("one").await.status(), 201);
    assert_eq!(put("two").await.status(), 200);
    gone("one").await;
    assert!(store.head(&key("two")).await.unwrap().is_some());
    let delete = world.request(Method::DELETE, &format!("/assets/{asset}/subtitles/0123456789ab"));
    assert_eq!(delete.send().await.unwrap().status(), 204);
    gone("two").await;
    world.running.stop().await;
    server.stop().await;
}

async fn a_store_that_is_away_gets_its_deletions_later_also_after_a_restart(on: On) {
    let folder = Scratch::new("metadata-objects");
    let [port] = ports::free_tcp();
    let (server, store) = objects(folder.join("objects"), port).await;
    let mut world = World::start_with(on, |config| config.store = Some(store_config(port))).await;
    let asset = world.register("doomed").await;
    put_all(&store, asset.id).await;
    server.stop().await;
    delete(&world, asset.id).await;
    let again = flame_metadata::Config { store: Some(store_config(port)), ..world.config.clone() };
    let running = std::mem::replace(&mut world.running, flame_metadata::start(again).await.unwrap());
    running.stop().await;
    let (server, store) = objects(folder.join("objects"), port).await;
    all_gone(&store, asset.id).await;
    world.running.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn in_a_copy_of_the_catalogue_what_was_deleted_since_is_deleted_once_more() {
    let began = SystemTime::now();
    let world = World::start(On::Sqlite).await;
    let (before, during) = (world.register("before").await.id, world.register("during").await.id);
    let store = flame_metadata::store::Store::open(&world.config).await.unwrap();
    let mut moments = Vec::new();
    for id in [before, during] {
        let erased = world.request(Method::DELETE, &format!("/assets/{id}?erase=true")).send().await.unwrap();
        assert_eq!(erased.status(), 204);
        let deletion = store.next_deletion().await.unwrap().unwrap();
        assert_eq!(deletion.asset_id, id);
        moments.push(SystemTime::now());
        store.note_deletion_done(&deletion).await.unwrap();
        assert_eq!(store.next_deletion().await.unwrap(), None);
    }
    world.running.stop().await;
    let file = world.config.database.file().unwrap();
    let late = SystemTime::now() + Duration::from_secs(3600);
    assert_eq!(flame_metadata::store::delete_again(file, late).await.unwrap(), 0);
    assert_eq!(flame_metadata::store::delete_again(file, moments[1]).await.unwrap(), 1);
    assert_eq!(store.next_deletion().await.unwrap().map(|deletion| deletion.asset_id), Some(during));
    assert_eq!(flame_metadata::store::delete_again(file, began).await.unwrap(), 1, "the other one is open still");
}

on_each_database! {
    every_object_of_a_deleted_asset_goes_and_no_other,
    the_object_of_subtitles_goes_with_them_and_when_another_takes_their_place,
    a_store_that_is_away_gets_its_deletions_later_also_after_a_restart,
}

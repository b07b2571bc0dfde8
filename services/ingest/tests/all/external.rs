//! A store that somebody else runs.

use flame_ingest::config::{ExternalStore, StoreChoice};
use flame_object_store::{EmbeddedConfig, EmbeddedServer, SecretKey};
use flame_test_kit::{Scratch, eventually};
use reqwest::{Method, StatusCode};

use crate::world::{PATIENCE, World, json, without_media};

const SECRET: &str = "s3cret-of-the-store";

#[tokio::test]
async fn a_store_without_the_bucket_is_said_and_one_with_it_takes_uploads() {
    let folder = Scratch::new("ingest-external");
    let store = EmbeddedServer::start(EmbeddedConfig {
        root: folder.join("objects"),
        listen: "127.0.0.1:0".parse().unwrap(),
        access_key: "test".to_owned(),
        secret_key: SecretKey::new(SECRET.to_owned()),
        min_free_percent: 0,
        max_connections: 64,
        max_writes: 4,
        stop_grace_s: 1,
    })
    .await
    .unwrap();
    let external = ExternalStore {
        endpoint: store.endpoint().parse().unwrap(),
        region: "us-east-1".to_owned(),
        bucket: "somebody-s".to_owned(),
        access_key: "test".to_owned(),
        secret_key: SECRET.to_owned(),
    };
    let world = World::start_with(|config| {
        without_media(config);
        config.store = StoreChoice::External(external);
    })
    .await;
    assert!(!format!("{:?}", world.config).contains(SECRET), "a configuration gets into logs");

    let ready = || async { world.request(Method::GET, "/health/ready").send().await.unwrap() };
    let told: serde_json::Value = json(ready().await, 503).await;
    let reason = told["checks"]["object store"].as_str().unwrap();
    assert!(reason.contains("NoSuchBucket"), "{reason}");

    world.store().ensure_bucket().await.unwrap();
    eventually(PATIENCE, || async {
        let answer = ready().await;
        if answer.status() == StatusCode::OK { Ok(()) } else { Err(answer.text().await.unwrap()) }
    })
    .await;
    let put = world.request(Method::PUT, "/files/clip.mp4").body(vec![7; 1000]).send().await.unwrap();
    assert!(put.status().is_success(), "{}", put.text().await.unwrap());
    let objects = world.store().list("default/sources/", None).await.unwrap();
    assert_eq!(objects.objects.iter().map(|object| object.size_bytes).collect::<Vec<_>>(), [1000]);
    store.stop().await;
}

//! The store is an S3 that nobody here wrote, SeaweedFS: uploads of every kind land there as they came, and it may go away for a while.

use flame_ingest::config::{ExternalStore, StoreChoice};
use flame_test_kit::seaweedfs::{ACCESS_KEY, SECRET_KEY, Seaweed};
use reqwest::Method;

use crate::world::{MIB, PART, Tus, World, json, noise, without_media};

/// A service whose store it is.
async fn on(seaweed: &Seaweed) -> World {
    let world = World::start_with(|config| {
        without_media(config);
        config.store = StoreChoice::External(ExternalStore {
            endpoint: seaweed.endpoint().parse().unwrap(),
            region: "us-east-1".to_owned(),
            bucket: "flame".to_owned(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
        });
    })
    .await;
    // Its parts find each other after its door is open.
    let store = world.store();
    flame_test_kit::eventually(crate::world::PATIENCE, || async {
        store.ensure_bucket().await.map_err(|error| error.to_string())?;
        store.put("first", "bytes".into(), "text/plain").await.map_err(|error| error.to_string())?;
        store.delete("first").await.map_err(|error| error.to_string())
    })
    .await;
    world
}

#[tokio::test]
async fn uploads_of_every_kind_land_in_a_store_that_nobody_here_wrote() {
    let seaweed = Seaweed::start().await;
    let mut world = on(&seaweed).await;

    // In several parts, resumed in the middle of one, with a restart of the service in between.
    let body = noise(1, 2 * PART + 3 * MIB + 17);
    let tus = world.announce(body.len()).await;
    let first = PART + MIB + 5;
    assert_eq!(tus.send(0, &body[..first]).await, first);
    world.restart().await;
    assert_eq!(tus.offset().await, first, "what was acknowledged is there");
    assert_eq!(tus.insist(&body, first, body.len()).await, body.len());
    world.check_stored(tus.id, &body).await;

    // Parts side by side, joined without being sent again.
    let halves = [noise(2, PART + MIB), noise(3, MIB)];
    let (one, two) = (world.partial(&halves[0]).await, world.partial(&halves[1]).await);
    let joined = world.concatenate(&[&one, &two]).await;
    assert_eq!(joined.status(), 201, "{}", joined.text().await.unwrap());
    let id = crate::world::location(&joined);
    world.check_stored(id, &halves.concat()).await;

    // In one request, short and long, and given up in the middle.
    for (seed, length) in [(4, 1000), (5, 2 * PART + 1)] {
        let body = noise(seed, length);
        let put = world.request(Method::PUT, "/files/clip.mp4?chain=none").body(body.clone()).send().await.unwrap();
        let upload: flame_api::ingest::Upload = json(put, 201).await;
        world.check_stored(upload.id, &body).await;
    }
    let given_up = world.announce(3 * PART).await;
    given_up.send(0, &noise(6, PART + MIB)).await;
    let gone = given_up.http.delete(given_up.url()).header("tus-resumable", "1.0.0").send().await.unwrap();
    assert_eq!(gone.status(), 204);
    let store = world.store();
    flame_test_kit::eventually(crate::world::PATIENCE, || async {
        let left = store.list_multipart(&format!("default/sources/{}", given_up.id), 10).await;
        let left = left.map_err(|error| error.to_string())?;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_store_that_is_killed_and_comes_back_has_lost_nothing_that_was_acknowledged() {
    let mut seaweed = Seaweed::start().await;
    let world = on(&seaweed).await;
    let kept = noise(7, PART + 11);
    let put = world.request(Method::PUT, "/files/before.mp4?chain=none").body(kept.clone()).send().await.unwrap();
    let before: flame_api::ingest::Upload = json(put, 201).await;
    let body = noise(8, 2 * PART + MIB);
    let tus = world.announce(body.len()).await;
    let acknowledged = tus.send(0, &body[..PART + 3]).await;

    seaweed.halt();
    // It is said, and what is there stays as it is.
    let refused = tus.patch(acknowledged).body(body[acknowledged..].to_vec()).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"), "{refused:?}");
    seaweed.resume().await;

    let offset = went_on(&tus, &body).await;
    assert_eq!(offset, body.len());
    world.check_stored(tus.id, &body).await;
    world.check_stored(before.id, &kept).await;
}

/// Sends the rest, as a client does that was told to come back.
async fn went_on(tus: &Tus, body: &[u8]) -> usize {
    flame_test_kit::eventually(crate::world::PATIENCE, || async {
        let offset = tus.try_offset().await?;
        if offset == body.len() {
            return Ok(offset);
        }
        let answer = tus.patch(offset).body(body[offset..].to_vec()).send().await.map_err(|error| error.to_string())?;
        if answer.status() == 204 {
            Ok(crate::world::header(&answer, "upload-offset"))
        } else {
            Err(answer.status().to_string())
        }
    })
    .await
}

//! What viewers get while the catalogue or the object store is away.

use std::time::Duration;

use axum::http::Method;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use uuid::Uuid;

use crate::live;
use crate::world::{DEADLINE, VERSION, World, problem};

#[tokio::test]
async fn without_the_catalogue_what_was_known_goes_on_playing() {
    let world = World::start_with(|config| {
        config.catalogue.fresh = "0ms".parse().unwrap();
        config.catalogue.media_fresh = "0ms".parse().unwrap();
    })
    .await;
    let (asset, stored) = world.playable(&[1000]).await;
    let (unknown, _) = world.playable(&[1000]).await;
    assert_eq!(world.get(&format!("{asset}/index.m3u8")).await.status(), 200);

    world.relay.refuse(true);
    assert_eq!(world.get(&format!("{asset}/index.m3u8")).await.status(), 200);
    let body = world.get(&format!("{asset}/{VERSION}/v/init.mp4")).await.bytes().await.unwrap();
    assert!(stored.object.starts_with(&body) && !body.is_empty());
    for path in [format!("{unknown}/index.m3u8"), format!("{}/{VERSION}/v/0.m4s", Uuid::new_v4())] {
        let answer = world.get(&path).await;
        assert_eq!(answer.status(), 503, "{path}");
        assert_eq!(answer.headers()["retry-after"], "2");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_eq!(problem(answer).await.0, "unavailable");
    }
    world.relay.refuse(false);
    assert_eq!(world.get(&format!("{unknown}/index.m3u8")).await.status(), 200);
    world.stop().await;
}

#[tokio::test]
async fn what_was_known_is_used_up_to_its_age() {
    let world = World::start_with(|config| {
        config.catalogue.fresh = "0ms".parse().unwrap();
        config.catalogue.media_fresh = "0ms".parse().unwrap();
        config.catalogue.stale = "300ms".parse().unwrap();
    })
    .await;
    let (asset, _) = world.playable(&[1000]).await;
    assert_eq!(world.get(&format!("{asset}/index.m3u8")).await.status(), 200);
    world.relay.refuse(true);
    eventually(DEADLINE, || async {
        let status = world.get(&format!("{asset}/index.m3u8")).await.status();
        if status == 503 { Ok(()) } else { Err(status) }
    })
    .await;
    world.stop().await;
}

#[tokio::test]
async fn without_the_store_viewers_are_told_to_come_back() {
    let mut world = World::start().await;
    let (asset, _) = world.playable(&[1000]).await;
    let (cold, _) = world.playable(&[1000]).await;
    let playlist = format!("{asset}/{VERSION}/v/index.m3u8");
    assert_eq!(world.get(&playlist).await.status(), 200);
    assert_eq!(world.get("health/ready").await.status(), 200);

    world.stop_store().await;
    assert_eq!(world.get(&playlist).await.status(), 200, "it is kept");
    for path in [format!("{asset}/{VERSION}/v/0.m4s"), format!("{cold}/{VERSION}/v/index.m3u8")] {
        let answer = world.get(&path).await;
        assert_eq!(answer.status(), 503, "{path}");
        assert_eq!(answer.headers()["retry-after"], "2");
        let (slug, detail) = problem(answer).await;
        assert_eq!(slug, "unavailable");
        assert!(detail.contains("object store"), "{detail}");
    }
    assert_eq!(world.get("health/ready").await.status(), 503);
    assert_eq!(world.get("health/live").await.status(), 200);

    world.start_store().await;
    for path in [format!("{asset}/{VERSION}/v/0.m4s"), format!("{cold}/{VERSION}/v/index.m3u8")] {
        eventually(DEADLINE, || async {
            let status = world.get(&path).await.status();
            if status == 200 { Ok(()) } else { Err(status) }
        })
        .await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_store_that_comes_after_the_service_is_waited_for() {
    for lease in [None, Some(Span(Duration::from_secs(3)))] {
        let mut world = World::start_with(|config| config.live.lease = lease).await;
        let (asset, _) = world.playable(&[1000]).await;
        let channel = eventually(DEADLINE, || async {
            // With a lease, as soon as this instance owns the channels.
            let status = world.get("channels").await.status();
            if status == 200 { Ok(live::channel(&world).await) } else { Err(status) }
        })
        .await;
        world.stop_streaming().await;
        world.stop_store().await;
        world.start_streaming().await;
        assert_eq!(world.get("health/live").await.status(), 200);
        assert_eq!(world.get("health/ready").await.status(), 503);
        // Not that there is no such channel: nobody knows which there are.
        let paths = [format!("{asset}/index.m3u8"), format!("{}/index.m3u8", channel.id)];
        for path in &paths {
            let answer = world.get(path).await;
            assert_eq!(answer.status(), 503, "{path}");
            assert_eq!(answer.headers()["retry-after"], "2");
            let (slug, detail) = problem(answer).await;
            assert!(slug == "unavailable" && detail.contains("object store"), "{slug}: {detail}");
        }
        assert_eq!(world.get(&format!("channels/{}", channel.id)).await.status(), 503);

        world.start_store().await;
        for path in ["health/ready".to_owned(), paths[0].clone(), format!("channels/{}", channel.id)] {
            eventually(DEADLINE, || async {
                let status = world.get(&path).await.status();
                if status == 200 { Ok(()) } else { Err(format!("{path}: {status}")) }
            })
            .await;
        }
        let shown: flame_api::live::Channel =
            world.get(&format!("channels/{}", channel.id)).await.json().await.unwrap();
        assert_eq!((shown.id, shown.title), (channel.id, channel.title));
        world.stop().await;
    }
}

/// It ends at once, so that what stops it meanwhile is not waited for.
#[tokio::test]
async fn a_service_that_waits_for_its_store_can_be_stopped() {
    let mut world = World::start().await;
    world.stop_streaming().await;
    world.stop_store().await;
    world.start_streaming().await;
    assert_eq!(world.get("health/ready").await.status(), 503);
    tokio::time::timeout(DEADLINE, world.stop_streaming()).await.expect("it stops");
    world.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_whole_and_can_be_resumed() {
    let mut world = World::start().await;
    // More than all buffers between store and viewer hold.
    let (asset, stored) = world.playable(&[48 << 20]).await;
    let entry = &stored.finished.index.segments[0];
    let start = usize::try_from(entry.offset_bytes).unwrap();
    let segment = &stored.object[start..];
    let path = format!("{asset}/{VERSION}/v/0.m4s");

    let mut answer = world.get(&path).await;
    let mut got = answer.chunk().await.unwrap().expect("the body begins").to_vec();
    world.stop_store().await;
    let broken = loop {
        match answer.chunk().await {
            Ok(Some(block)) => got.extend_from_slice(&block),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert!(broken.is_some(), "the body ended as if it were whole, after {} of {} bytes", got.len(), segment.len());
    assert!(got.len() < segment.len() && segment.starts_with(&got));

    world.start_store().await;
    let (range, etag) = (format!("bytes={}-", got.len()), format!("\"{}\"", entry.sha256));
    let rest = eventually(DEADLINE, || async {
        let answer = world.ask(Method::GET, &path, &[("range", &range), ("if-range", &etag)]).await;
        if answer.status() == 206 { Ok(answer) } else { Err(answer.status()) }
    });
    got.extend_from_slice(&rest.await.bytes().await.unwrap());
    assert!(got == segment);
    world.stop().await;
}

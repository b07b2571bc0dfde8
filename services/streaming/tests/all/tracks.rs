//! `GET /{asset}/{version}/{track}/index.m3u8`, and tracks that are not as they should be.

use hls_m3u8::MediaPlaylist;

use crate::world::{VERSION, World, problem, stored};

const IMMUTABLE: &str = "public, max-age=31536000, immutable";

#[tokio::test]
async fn lists_every_segment() {
    let world = World::start().await;
    let (asset, stored) = world.playable(&[5000, 9000, 700]).await;
    let answer = world.get(&format!("{asset}/{VERSION}/v/index.m3u8")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/vnd.apple.mpegurl");
    assert_eq!(answer.headers()["cache-control"], IMMUTABLE);
    let text = answer.text().await.unwrap();
    let playlist = MediaPlaylist::try_from(text.as_str()).unwrap();
    assert!(playlist.has_end_list);
    assert_eq!(playlist.duration().as_millis(), u128::from(stored.finished.figures.duration_ms));
    let uris: Vec<&str> = playlist.segments.values().map(|segment| segment.uri().as_ref()).collect();
    assert_eq!(uris, ["0.m4s", "1.m4s", "2.m4s"]);
    world.stop().await;
}

#[tokio::test]
async fn iframes_are_cut_out_of_segments() {
    let world = World::start().await;
    let sizes = [5000, 9000, 700];
    let (asset, _) = world.playable(&sizes).await;
    let folder = format!("{asset}/{VERSION}/v");
    let text = world.get(&format!("{folder}/iframes.m3u8")).await.text().await.unwrap();
    let uris: Vec<&str> = text.lines().filter(|line| line.ends_with(".m4s")).collect();
    assert_eq!(uris, ["i0.m4s", "i1.m4s", "i2.m4s"], "{text}");
    for (number, size) in sizes.into_iter().enumerate() {
        let frame = world.get(&format!("{folder}/i{number}.m4s")).await;
        assert_eq!((frame.status().as_u16(), frame.headers()["cache-control"].to_str().unwrap()), (200, IMMUTABLE));
        let frame = frame.bytes().await.unwrap();
        let segment = world.get(&format!("{folder}/{number}.m4s")).await.bytes().await.unwrap();
        // The first of the four pictures of the segment.
        let picture = size.div_ceil(4);
        let pictures = &segment[segment.len() - 4 * picture..];
        assert_eq!(frame[frame.len() - picture..], pictures[..picture], "{number}");
    }
    assert_eq!(world.get(&format!("{folder}/i3.m4s")).await.status(), 404);
    world.stop().await;
}

#[tokio::test]
async fn names_nothing_outside_of_tracks() {
    let world = World::start().await;
    let (asset, _) = world.playable(&[1000]).await;
    for path in [
        format!("{asset}/{VERSION}/w/index.m3u8"),
        format!("{asset}/{VERSION}/w/init.mp4"),
        format!("{asset}/ffffffffffff/v/0.m4s"),
        format!("{asset}/{}/v/0.m4s", VERSION.to_uppercase()),
        format!("{asset}/{VERSION}/v/1.m4s"),
        format!("{asset}/{VERSION}/v/00.m4s"),
        format!("{asset}/{VERSION}/v/v.index.json"),
        format!("{asset}/{VERSION}/..%2f..%2fv/init.mp4"),
        format!("{}/{VERSION}/v/0.m4s", asset.to_string().to_uppercase()),
        format!("{}/{VERSION}/v/0.m4s", uuid::Uuid::new_v4()),
    ] {
        let answer = world.get(&path).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.headers()["cache-control"], "public, max-age=1", "{path}");
        assert_eq!(problem(answer).await.0, "not-found", "{path}");
    }
    world.stop().await;
}

#[tokio::test]
async fn refuses_what_it_does_not_understand() {
    let world = World::start().await;
    let (asset, stored) = world.playable(&[1000]).await;
    let mut newer = stored.finished.index.clone();
    newer.version += 1;
    world.put(asset, "newer", stored.object.clone(), newer.to_json()).await;
    world.put(asset, "broken", stored.object.clone(), b"{\"version\":1".to_vec()).await;
    for track in ["newer", "broken"] {
        let answer = world.get(&format!("{asset}/{VERSION}/{track}/index.m3u8")).await;
        assert_eq!(answer.status(), 500, "{track}");
        let (slug, detail) = problem(answer).await;
        assert_eq!(slug, "internal");
        assert!(!detail.contains("default/media"), "keys are nobody's business: {detail}");
    }
    // The object ends within the segment, or before it: no body begins that could not end.
    let init = usize::try_from(stored.finished.index.init_size_bytes).unwrap();
    for (track, length) in [("cut", init + 50), ("empty", init)] {
        world.put(asset, track, stored.object[..length].to_vec(), stored.finished.index.to_json()).await;
        assert_eq!(world.get(&format!("{asset}/{VERSION}/{track}/init.mp4")).await.status(), 200);
        assert_eq!(world.get(&format!("{asset}/{VERSION}/{track}/0.m4s")).await.status(), 500, "{track}");
    }
    world.stop().await;
}

#[tokio::test]
async fn an_older_version_goes_on_playing_until_the_asset_is_gone() {
    let world = World::start_with(|config| {
        config.catalogue.fresh = "0ms".parse().unwrap();
        config.catalogue.media_fresh = "0ms".parse().unwrap();
    })
    .await;
    let (asset, old) = world.playable(&[1000]).await;
    let new = stored("v", &[2000]);
    let key = format!("default/media/{asset}/aaaaaaaaaaaa/v");
    world.store.put(&format!("{key}.mp4"), new.object.clone().into(), "video/mp4").await.unwrap();
    world
        .store
        .put(&format!("{key}.index.json"), new.finished.index.to_json().into(), "application/json")
        .await
        .unwrap();
    let version = flame_api::metadata::NewVersion {
        job_id: None,
        chain: "ladder".to_owned(),
        tracks: vec![new.track],
        thumbnails: None,
        conditioning: None,
    };
    world.catalogue.publish_version(asset, "aaaaaaaaaaaa", &version).await.unwrap();

    let first = |object: &[u8], init: u64| object[usize::try_from(init).unwrap()..].to_vec();
    for (version, stored) in [(VERSION, &old.object), ("aaaaaaaaaaaa", &new.object)] {
        let body = world.get(&format!("{asset}/{version}/v/0.m4s")).await.bytes().await.unwrap();
        assert!(body == first(stored, old.finished.index.init_size_bytes), "version {version}");
    }
    world.catalogue.delete_asset(asset).await.unwrap();
    flame_test_kit::eventually(crate::world::DEADLINE, || async {
        let status = world.get(&format!("{asset}/{VERSION}/v/0.m4s")).await.status();
        if status == 404 { Ok(()) } else { Err(status) }
    })
    .await;
    // What is known to be gone does not come back because the catalogue goes away.
    world.relay.refuse(true);
    assert_eq!(world.get(&format!("{asset}/{VERSION}/v/0.m4s")).await.status(), 503);
    world.stop().await;
}

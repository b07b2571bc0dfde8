//! Fetching before anybody asks.

use std::time::Duration;

use flame_api::router::Registration;
use flame_api::vcdn::Warmed;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use serde_json::json;
use tokio::sync::watch;

use crate::origin::Reply;
use crate::world::{PATIENCE, World, cache_status};

#[tokio::test]
async fn what_a_playlist_names_next_is_fetched_ahead_of_the_first_viewer() {
    let world = World::with(|config| config.cache.prefetch = 2).await;
    let media = "#EXTM3U\n#EXTINF:4,\n0.m4s\n#EXTINF:4,\n1.m4s\n#EXTINF:4,\n2.m4s\n#EXTINF:4,\n3.m4s\n";
    let kind = "application/vnd.apple.mpegurl";
    world.origin.put("/film/index.m3u8", Reply::new(media).with("content-type", kind));
    for number in 0..4 {
        world.origin.put(&format!("/film/{number}.m4s"), Reply::new(vec![1; 1000]));
    }
    let asked = |world: &World| {
        (0..4).map(|number| world.origin.asked(&format!("/film/{number}.m4s")).len()).collect::<Vec<_>>()
    };
    let reaches = async |wanted: &[usize]| {
        eventually(PATIENCE, || async {
            let asked = asked(&world);
            if asked == wanted { Ok(()) } else { Err(format!("{asked:?}")) }
        })
        .await;
        world.settled().await;
    };
    assert_eq!(world.get("/film/index.m3u8").await.status(), 200);
    world.settled().await;
    assert_eq!(asked(&world), [0, 0, 0, 0], "nobody has begun to watch");
    assert_eq!(world.get("/film/0.m4s").await.status(), 200);
    reaches(&[1, 1, 1, 0]).await;
    // A hit moves the window on; a second viewer finds everything and moves nothing.
    assert!(cache_status(&world.get("/film/1.m4s").await).starts_with("hit"));
    reaches(&[1, 1, 1, 1]).await;
    for number in 0..4 {
        assert!(cache_status(&world.get(&format!("/film/{number}.m4s")).await).starts_with("hit"));
    }
    reaches(&[1, 1, 1, 1]).await;
}

/// A playlist too long to be kept in memory as a copy.
fn long_playlist(segments: usize) -> String {
    let segment = |number: usize| format!("#EXTINF:4,\n{number}.m4s\n");
    let filling = format!("# {}\n", "x".repeat(100)).repeat(1000);
    format!("#EXTM3U\n{filling}{}", (0..segments).map(segment).collect::<String>())
}

#[tokio::test]
async fn a_long_playlist_says_what_comes_next_and_does_so_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::on(folder.path()).await;
    let kind = "application/vnd.apple.mpegurl";
    world.origin.put("/film/index.m3u8", Reply::new(long_playlist(200)).with("content-type", kind));
    for number in 0..200 {
        world.origin.put(&format!("/film/{number}.m4s"), Reply::new(vec![1; 1000]));
    }
    assert_eq!(world.get("/film/index.m3u8").await.status(), 200);
    world.settled().await;
    assert_eq!(world.get("/film/0.m4s").await.status(), 200);
    let asked = |world: &World, number: usize| world.origin.asked(&format!("/film/{number}.m4s")).len();
    eventually(PATIENCE, || async { if asked(&world, 1) == 1 { Ok(()) } else { Err("it was not fetched ahead") } })
        .await;
    world.settled().await;
    let world = world.restart().await;
    // Nobody asks for the playlist; it is read meanwhile.
    let number = std::cell::Cell::new(10);
    eventually(PATIENCE, || async {
        let at = number.replace(number.get() + 2);
        assert_eq!(world.get(&format!("/film/{at}.m4s")).await.status(), 200);
        world.settled().await;
        if asked(&world, at + 1) == 1 { Ok(()) } else { Err(format!("nothing was fetched behind {at}")) }
    })
    .await;
    assert_eq!(world.origin.asked("/film/index.m3u8").len(), 1);
    assert_eq!(
        world.http.get(world.api("/health/ready")).send().await.unwrap().status(),
        200,
        "it serves on when all is read"
    );
}

#[tokio::test]
async fn a_playlist_is_warmed_with_all_that_it_names() {
    let world = World::start().await;
    let kind = "application/vnd.apple.mpegurl";
    world.origin.put(
        "/film/index.m3u8",
        Reply::new("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv/index.m3u8\n").with("content-type", kind),
    );
    let media = "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4,\n0.m4s\n#EXTINF:4,\n1.m4s\n#EXTINF:4,\nnone.m4s\n";
    world.origin.put("/film/v/index.m3u8", Reply::new(media).with("content-type", kind));
    for name in ["init.mp4", "0.m4s", "1.m4s"] {
        world.origin.put(&format!("/film/v/{name}"), Reply::new(vec![1; 1000]));
    }
    let body = json!({ "name": "cdn", "url": "/film/index.m3u8" });
    let warmed = world.http.post(world.api("/warm")).json(&body).send().await.unwrap();
    let warmed: Warmed = warmed.json().await.unwrap();
    assert_eq!((warmed.objects, warmed.failed.as_slice()), (5, &["/film/v/none.m4s: 404 Not Found".to_owned()][..]));
    assert_eq!(warmed.left, 0);
    world.settled().await;
    for path in ["/film/index.m3u8", "/film/v/index.m3u8", "/film/v/0.m4s", "/film/v/1.m4s"] {
        assert!(cache_status(&world.get(path).await).starts_with("hit"), "{path}");
        assert_eq!(world.origin.asked(path).len(), 1);
    }
    let body = json!({ "name": "cdn", "url": "/film/index.m3u8", "max": 2 });
    let again = world.http.post(world.api("/warm")).json(&body).send().await.unwrap();
    let again: Warmed = again.json().await.unwrap();
    assert_eq!((again.objects, again.left), (2, 4), "four more are named, and were not wanted");
}

#[tokio::test]
async fn warming_takes_longer_than_a_router_waits_for_an_answer() {
    let world = World::start().await;
    let mut config = flame_router::Config::default();
    config.host.listen = "127.0.0.1:0".parse().unwrap();
    config.upstream.answer_timeout = Span(Duration::from_secs(3));
    let impatient = flame_router::start(config).await.unwrap();
    let router = flame_api::Client::new(format!("http://{}", impatient.address()).parse().unwrap(), None);
    router.register("vcdn", "one", &Registration::new(world.vcdn.address(), 1, 60_000)).await.unwrap();
    let gate = watch::Sender::new(false);
    world.origin.put("/film/1", Reply::new(vec![1; 100_000]).gated(Some(1000), &gate));
    let body = json!({ "name": "cdn", "url": "/film/1" });
    let warm = world.http.post(format!("http://{}/~vcdn/warm", impatient.address())).json(&body);
    let mut answer = warm.send().await.unwrap();
    assert_eq!(answer.status(), 200, "it begins before what is wanted is here");
    let sign = tokio::time::timeout(Duration::from_secs(60), answer.chunk()).await;
    let sign = sign.expect("it gives a sign of life").unwrap().expect("it is not at its end");
    assert!(sign.iter().all(u8::is_ascii_whitespace), "{sign:?}");
    gate.send_replace(true);
    let warmed: Warmed = answer.json().await.unwrap();
    assert_eq!((warmed.objects, warmed.bytes, warmed.failed.len()), (1, 100_000, 0));
    world.settled().await;
    assert!(cache_status(&world.get("/film/1").await).starts_with("hit"));
    impatient.stop().await;
}

/// A manifest as streaming writes it: the renditions of a set share a template.
const MANIFEST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT10S"><Period id="0" start="PT0S" duration="PT10S">
<AdaptationSet id="0" contentType="video"><SegmentTemplate timescale="1000" startNumber="0" initialization="v/$RepresentationID$/init.mp4"
 media="v/$RepresentationID$/$Number$.m4s"><SegmentTimeline><S t="0" d="4000" r="1"/><S d="2000"/></SegmentTimeline></SegmentTemplate>
<Representation id="hi"/><Representation id="lo"/></AdaptationSet></Period></MPD>"#;

#[tokio::test]
async fn a_manifest_of_dash_is_warmed_with_all_that_it_names_and_says_what_comes_next() {
    let warmed_world = World::with(|config| config.cache.prefetch = 0).await;
    let followed = World::with(|config| config.cache.prefetch = 1).await;
    for world in [&warmed_world, &followed] {
        world.origin.put("/film/manifest.mpd", Reply::new(MANIFEST).with("content-type", "application/dash+xml"));
        for name in ["init.mp4", "0.m4s", "1.m4s", "2.m4s"] {
            ["hi", "lo"]
                .iter()
                .for_each(|id| world.origin.put(&format!("/film/v/{id}/{name}"), Reply::new(vec![1; 1000])));
        }
    }
    let world = warmed_world;
    let body = json!({ "name": "cdn", "url": "/film/manifest.mpd" });
    let warmed = world.http.post(world.api("/warm")).json(&body).send().await.unwrap();
    let warmed: Warmed = warmed.json().await.unwrap();
    assert_eq!((warmed.objects, warmed.failed.as_slice()), (9, &[][..]));
    world.settled().await;
    for path in ["/film/manifest.mpd", "/film/v/hi/init.mp4", "/film/v/hi/2.m4s", "/film/v/lo/0.m4s"] {
        assert!(cache_status(&world.get(path).await).starts_with("hit"), "{path}");
        assert_eq!(world.origin.asked(path).len(), 1);
    }
    let world = followed;
    for path in ["/film/manifest.mpd", "/film/v/lo/1.m4s"] {
        assert_eq!(world.get(path).await.status(), 200);
        world.settled().await;
    }
    let asked = |name: &str| world.origin.asked(&format!("/film/v/{name}")).len();
    eventually(PATIENCE, || async { if asked("lo/2.m4s") == 1 { Ok(()) } else { Err("it was not fetched ahead") } })
        .await;
    world.settled().await;
    assert_eq!([asked("hi/init.mp4"), asked("hi/1.m4s"), asked("lo/0.m4s")], [0; 3], "nobody plays these");
}

//! `GET /{asset}/index.m3u8`.

use std::sync::atomic::Ordering;

use axum::http::Method;
use flame_api::metadata::Failure;
use flame_test_kit::eventually;
use hls_m3u8::MasterPlaylist;
use uuid::Uuid;

use crate::world::{DEADLINE, VERSION, World, problem, stored};

#[tokio::test]
async fn lists_what_plays() {
    let world = World::start().await;
    let asset = world.register(None).await;
    let tracks = vec![stored("v720", &[40_000]).track, stored("v360", &[10_000]).track];
    world.publish(asset, tracks.clone()).await;

    let answer = world.get(&format!("{asset}/index.m3u8")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/vnd.apple.mpegurl");
    assert_eq!(answer.headers()["cache-control"], "public, max-age=2");
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert!(!answer.headers().contains_key("vary"), "nothing varies");
    let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let text = answer.text().await.unwrap();
    let playlist = MasterPlaylist::try_from(text.as_str()).unwrap();
    assert_eq!(playlist.variant_streams.len(), 2);
    assert_eq!(playlist.variant_streams[0].bandwidth(), tracks[0].peak_bandwidth_bps);
    assert!(text.contains(&format!("\n{VERSION}/v720/index.m3u8\n")), "{text}");

    let path = format!("{asset}/index.m3u8");
    let again = world.ask(Method::GET, &path, &[("if-none-match", &etag)]).await;
    assert_eq!((again.status().as_u16(), again.headers()["etag"].to_str().unwrap()), (304, etag.as_str()));
    let head = world.ask(Method::HEAD, &path, &[]).await;
    assert_eq!(head.headers()["content-length"], text.len().to_string().as_str());
    world.stop().await;
}

#[tokio::test]
async fn says_why_nothing_plays() {
    let world = World::start().await;
    for name in ["nothing", &Uuid::new_v4().to_string(), &Uuid::new_v4().simple().to_string()] {
        let answer = world.get(&format!("{name}/index.m3u8")).await;
        assert_eq!(answer.status(), 404);
        assert_eq!(answer.headers()["cache-control"], "public, max-age=1");
        let (slug, detail) = problem(answer).await;
        assert_eq!(slug, "not-found");
        assert!(detail.contains(name), "{detail}");
    }
    let asset = world.register(None).await;
    let answer = world.get(&format!("{asset}/index.m3u8")).await;
    assert_eq!(answer.headers()["retry-after"], "2");
    assert_eq!(problem(answer).await.0, "not-ready");

    let failed = world.register(None).await;
    world.catalogue.fail_asset(failed, &Failure { reason: "the file is empty".to_owned() }).await.unwrap();
    let (slug, detail) = problem(world.get(&format!("{failed}/index.m3u8")).await).await;
    assert_eq!(slug, "conditioning-failed");
    assert!(detail.contains("the file is empty"), "{detail}");

    // Once it is published it plays, within the second that the refusal is kept.
    world.publish(asset, vec![stored("v", &[1000]).track]).await;
    eventually(DEADLINE, || async {
        let status = world.get(&format!("{asset}/index.m3u8")).await.status();
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
    world.stop().await;
}

#[tokio::test]
async fn a_crowd_costs_one_question() {
    let world = World::start().await;
    let (asset, _) = world.playable(&[1000]).await;
    world.relay.hold();
    let before = world.relay.questions.load(Ordering::SeqCst);
    let viewers: Vec<_> =
        (0..100).map(|_| tokio::spawn(world.http.get(world.url(&format!("{asset}/index.m3u8"))).send())).collect();
    world.requests_open(100).await;
    world.relay.release();
    for viewer in viewers {
        assert_eq!(viewer.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(world.relay.questions.load(Ordering::SeqCst) - before, 1);
    world.stop().await;
}

#[tokio::test]
async fn a_page_of_any_origin_may_read() {
    let world = World::start().await;
    let (asset, _) = world.playable(&[1000]).await;
    let asks = [
        ("origin", "https://elsewhere.example"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "range"),
    ];
    let answer = world.ask(Method::OPTIONS, &format!("{asset}/{VERSION}/v/0.m4s"), &asks).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert_eq!(answer.headers()["access-control-allow-headers"], "*");
    assert_eq!(answer.headers()["access-control-max-age"], "86400");
    let answer = world.get(&format!("{asset}/index.m3u8")).await;
    assert!(answer.headers()["access-control-expose-headers"].to_str().unwrap().contains("content-range"));
    world.stop().await;
}

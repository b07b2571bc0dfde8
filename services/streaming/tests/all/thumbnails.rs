//! `GET /{asset}/thumbnails.vtt`, `/{asset}/{version}/thumbnails/{n}.jpg`, and what an MPD says of them.

use axum::http::Method;
use flame_api::media::Thumbnails;
use flame_api::metadata::NewVersion;
use uuid::Uuid;

use crate::world::{VERSION, World, problem, stored};

/// Three pictures a sheet, seven pictures.
fn thumbnails() -> Thumbnails {
    Thumbnails {
        interval_ms: 1000,
        columns: 3,
        rows: 1,
        tile_width: 160,
        tile_height: 90,
        count: 7,
        largest_sheet_bytes: 6000,
        size_bytes: 15_000,
    }
}

/// An asset that plays for eight seconds and has thumbnails.
async fn playable(world: &World) -> Uuid {
    let asset = world.register(None).await;
    let track = stored("v", &[1000, 1000, 1000, 1000]);
    world.put(asset, "v", track.object.clone(), track.finished.index.to_json()).await;
    for sheet in 0..3_u8 {
        let key = format!("default/media/{asset}/{VERSION}/thumbnails/{sheet}.jpg");
        world.store.put(&key, vec![sheet + 1; 5000].into(), "image/jpeg").await.unwrap();
    }
    let tracks = vec![track.track];
    let version = NewVersion {
        job_id: None,
        chain: "ladder".to_owned(),
        tracks,
        thumbnails: Some(thumbnails()),
        conditioning: None,
    };
    world.catalogue.publish_version(asset, VERSION, &version).await.unwrap();
    asset
}

#[tokio::test]
async fn the_index_says_where_each_picture_is() {
    let world = World::start().await;
    let asset = playable(&world).await;
    let answer = world.get(&format!("{asset}/thumbnails.vtt")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/vtt");
    assert_eq!(answer.headers()["cache-control"], "public, max-age=2");
    let text = answer.text().await.unwrap();
    assert!(text.starts_with("WEBVTT\n"), "{text}");
    for (start, uri) in [
        ("00:00:00.000", "0.jpg#xywh=0,0,160,90"),
        ("00:00:04.000", "1.jpg#xywh=160,0,160,90"),
        ("00:00:06.000", "2.jpg#xywh=0,0,160,90"),
    ] {
        let place = text.find(&format!("\n{start} --> ")).unwrap_or_else(|| panic!("{start} in {text}"));
        let cue = text[place + 1..].lines().nth(1).unwrap();
        assert_eq!(cue, format!("{VERSION}/thumbnails/{uri}"), "{start}");
    }
    world.stop().await;
}

#[tokio::test]
async fn sheets_are_shared_and_never_change() {
    let world = World::start().await;
    let asset = playable(&world).await;
    let path = format!("{asset}/{VERSION}/thumbnails/2.jpg");
    let answer = world.get(&path).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "image/jpeg");
    assert_eq!(answer.headers()["cache-control"], "public, max-age=31536000, immutable");
    let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(answer.bytes().await.unwrap(), vec![3; 5000]);
    assert_eq!(world.ask(Method::GET, &path, &[("if-none-match", &etag)]).await.status(), 304);
    let part = world.ask(Method::GET, &path, &[("range", "bytes=0-9")]).await;
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap().len()), (206, 10));
    for other in ["3.jpg", "02.jpg", "-1.jpg", "4294967296.jpg", "2.png", "2.jpg.jpg", "..%2Fv.jpg"] {
        let answer = world.get(&path.replace("2.jpg", other)).await;
        assert_eq!(problem(answer).await.0, "not-found", "{other}");
    }
    world.stop().await;
}

#[tokio::test]
async fn the_mpd_announces_the_sheets_and_the_rest_stays() {
    let world = World::start().await;
    let asset = playable(&world).await;
    let mpd = world.get(&format!("{asset}/manifest.mpd")).await.text().await.unwrap();
    for part in [
        "contentType=\"image\" mimeType=\"image/jpeg\"",
        "schemeIdUri=\"http://dashif.org/guidelines/thumbnail_tile\" value=\"3x1\"",
        "duration=\"3000\"",
        "width=\"480\" height=\"90\"",
        // The largest sheet, in three seconds.
        "bandwidth=\"16000\"",
        &format!("media=\"{VERSION}/thumbnails/$Number$.jpg\""),
    ] {
        assert!(mpd.contains(part), "{part} in {mpd}");
    }
    let (plain, _) = world.playable(&[1000]).await;
    assert_eq!(problem(world.get(&format!("{plain}/thumbnails.vtt")).await).await.0, "not-found");
    assert!(!world.get(&format!("{plain}/manifest.mpd")).await.text().await.unwrap().contains("image"));
    world.stop().await;
}

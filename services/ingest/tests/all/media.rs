//! What becomes of an upload once all its bytes are here: real files, real children, real catalogue.

use flame_api::Client;
use flame_api::ingest::{Upload, UploadState};
use flame_api::metadata::AssetState;
use flame_test_kit::processes::{kill, media_processes};
use flame_test_kit::{clips, eventually};
use reqwest::Method;

use crate::platform::Platform;
use crate::world::{PATIENCE, Tus, World, json, noise, sha256};

async fn put(world: &World, chain: &str, body: Vec<u8>) -> Upload {
    let request = world.request(Method::PUT, &format!("/files/clip.mp4?chain={chain}")).body(body);
    json(request.send().await.unwrap(), 201).await
}

#[tokio::test]
async fn a_clip_becomes_an_asset() {
    let platform = Platform::start().await;
    let world = World::start_with(|config| config.host.router = Some(platform.url())).await;
    let body = std::fs::read(clips::path("bigbuckbunny")).unwrap();
    let tus = Tus::announce(&world.base(), body.len(), "Big Buck Bunny.mp4").await;
    tus.send(0, &body).await;
    let upload = world.settled(tus.id).await;
    assert_eq!((upload.state, upload.asset_id, &upload.error), (UploadState::Done, Some(tus.id), &None));
    let probe = upload.probe.as_ref().expect("it was probed");
    assert!(probe.video.is_some() && probe.audio.is_some() && probe.duration_ms > 5000, "{probe:?}");

    let asset = platform.client.asset(tus.id).await.unwrap().expect("it is registered");
    assert_eq!((asset.title.as_str(), asset.state), ("Big Buck Bunny", AssetState::Registered));
    assert_eq!((asset.source.sha256.as_str(), asset.source.size_bytes), (sha256(&body).as_str(), body.len() as u64));
    assert_eq!(asset.source.file_name.as_deref(), Some("Big Buck Bunny.mp4"));
    assert_eq!(Some(&asset.probe), upload.probe.as_ref());
    let poster = world.store().get(asset.poster_key.as_deref().expect("a poster"), 1 << 20).await.unwrap();
    assert!(poster.starts_with(&[0xff, 0xd8, 0xff]), "a JPEG");
    assert!(world.store().get(&asset.source.key, body.len() as u64).await.unwrap() == body);
    let left: Vec<_> =
        std::fs::read_dir(world.config.data.join("scratch")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.iter().all(|path| !path.join("poster.jpg").exists()), "{left:?}");
}

#[tokio::test]
async fn a_media_process_that_is_killed_while_it_looks_costs_a_try_and_no_upload() {
    let platform = Platform::start().await;
    let world = World::start_with(|config| config.host.router = Some(platform.url())).await;
    let body = std::fs::read(clips::path("bigbuckbunny")).unwrap();
    let id = put(&world, "none", body).await.id;
    eventually(PATIENCE, || async {
        let processes = media_processes(std::process::id());
        match processes.first() {
            Some(process) if kill(*process) => Ok(()),
            _ => Err("no media process"),
        }
    })
    .await;
    let upload = world.settled(id).await;
    assert_eq!((upload.state, upload.asset_id, &upload.error), (UploadState::Done, Some(id), &None));
    assert!(platform.client.asset(id).await.unwrap().expect("it is registered").poster_key.is_some());
}

#[tokio::test]
async fn what_is_away_is_waited_for() {
    // Nobody answers at the router's address yet.
    let [port] = flame_test_kit::ports::free_tcp();
    let url: reqwest::Url = format!("http://127.0.0.1:{port}").parse().unwrap();
    let mut world = World::start_with(|config| config.host.router = Some(url.clone())).await;
    let body = std::fs::read(clips::recipe("audio-only").seconds(1.0).make()).unwrap();
    let id = put(&world, "none", body).await.id;
    eventually(PATIENCE, || async {
        let upload = world.upload(id).await;
        if upload.probe.is_some() && upload.error.is_some() { Ok(()) } else { Err(format!("{upload:?}")) }
    })
    .await;
    world.stop().await;
    let folder = flame_test_kit::Scratch::new("platform");
    let mut config = flame_router::Config::default();
    config.host.listen = format!("127.0.0.1:{port}").parse().unwrap();
    let _router = flame_router::start(config).await.unwrap();
    let mut config =
        flame_metadata::Config { database: folder.join("metadata.db").into(), ..flame_metadata::Config::default() };
    config.host.router = Some(url.clone());
    let _metadata = flame_metadata::start(config).await.unwrap();
    world.resume().await;
    let upload = world.settled(id).await;
    assert_eq!((upload.state, upload.error), (UploadState::Done, None));
    let asset = Client::new(url, None).asset(id).await.unwrap().unwrap();
    assert_eq!(asset.poster_key, None, "sound has no poster");
}

#[tokio::test]
async fn a_job_is_queued_once_however_long_transcode_is_away() {
    let platform = Platform::start().await;
    let mut world = World::start_with(|config| config.host.router = Some(platform.url())).await;
    let body = std::fs::read(clips::recipe("synthetic").seconds(1.0).make()).unwrap();
    let id = put(&world, "ladder", body).await.id;
    eventually(PATIENCE, || async {
        let upload = world.upload(id).await;
        if upload.asset_id.is_some() && upload.error.is_some() { Ok(()) } else { Err(format!("{upload:?}")) }
    })
    .await;
    assert!(platform.client.asset(id).await.unwrap().is_some());
    world.restart().await;
    let folder = flame_test_kit::Scratch::new("transcode");
    let store = world.store_address();
    let config = serde_json::json!({
        "host": { "router": platform.url() },
        "database": folder.join("jobs.db"),
        "scratch": folder.join("scratch"),
        "store": { "endpoint": format!("http://{store}"), "bucket": "flame", "access_key": "test", "secret_key": "test-secret" },
    });
    let transcode = flame_transcode::start(serde_json::from_value(config).unwrap()).await.unwrap();
    let upload = world.settled(id).await;
    assert_eq!((upload.state, upload.error), (UploadState::Done, None));
    let job = platform.client.job(upload.job_id.expect("a job")).await.unwrap().expect("it is queued");
    assert_eq!((job.asset_id, job.chain.as_str()), (id, "ladder"));
    let query = flame_api::transcode::JobQuery { asset_id: Some(id), ..Default::default() };
    assert_eq!(platform.client.jobs(&query).await.unwrap().items.len(), 1);
    transcode.stop().await;
}

#[tokio::test]
async fn what_is_no_media_fails_and_leaves_nothing() {
    let platform = Platform::start().await;
    let world = World::start_with(|config| config.host.router = Some(platform.url())).await;
    let clip = std::fs::read(clips::recipe("synthetic").seconds(1.0).make()).unwrap();
    let moov_last = std::fs::read(clips::recipe("moov-last").seconds(1.0).make()).unwrap();
    let lie = {
        // The first box says 2 GiB.
        let mut lie = clip.clone();
        lie[..4].copy_from_slice(&(1_u32 << 31).to_be_bytes());
        lie
    };
    // Boxes of one track that lie: the other track alone would look like a whole file.
    let at = |kind: &[u8; 4]| clip.windows(4).position(|window| window == kind).unwrap();
    let lie_of = |kind: &[u8; 4]| {
        let mut lie = clip.clone();
        lie[at(kind) - 4..at(kind)].copy_from_slice(&(1_u32 << 31).to_be_bytes());
        lie
    };
    let lie_of_count = {
        let mut lie = clip.clone();
        lie[at(b"stsz") + 12..at(b"stsz") + 16].copy_from_slice(&u32::MAX.to_be_bytes());
        lie
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("lie of sizes", lie_of(b"stsz"), "box `stsz` at offset"),
        ("lie of a track", lie_of(b"tkhd"), "box `tkhd` at offset"),
        ("lie of a count", lie_of_count, "damaged"),
        ("empty", Vec::new(), "0 bytes"),
        ("noise", noise(1, 100_000), ""),
        ("long noise", noise(2, 11 << 20), ""),
        ("text", b"#!/bin/sh\nrm -rf /\n".to_vec(), ""),
        ("cut", clip[..clip.len() / 2].to_vec(), "cut off or damaged"),
        ("cut before moov", moov_last[..moov_last.len() / 2].to_vec(), "cut off or damaged"),
        ("lie", lie, "declares 2147483648 bytes"),
        ("playlist", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n".to_vec(), ""),
    ];
    for (name, body, reason) in cases {
        let id = put(&world, "ladder", body).await.id;
        let upload = world.settled(id).await;
        assert_eq!(upload.state, UploadState::Failed, "{name}");
        let said = upload.error.unwrap_or_default();
        assert!(!said.is_empty() && said.contains(reason) && !said.contains("root:"), "{name}: {said}");
        assert_eq!((upload.asset_id, upload.job_id), (None, None), "{name}");
        assert!(platform.client.asset(id).await.unwrap().is_none(), "{name} is half-registered");
    }
    world.check_empty().await;
    let left: Vec<_> = std::fs::read_dir(world.config.data.join("scratch")).unwrap().collect();
    assert!(left.is_empty(), "files of work are left: {left:?}");
    // A failed one can be forgotten.
    let page: flame_api::Page<Upload> = json(world.request(Method::GET, "/uploads").send().await.unwrap(), 200).await;
    let path = format!("/uploads/{}", page.items[0].id);
    assert_eq!(world.tus(Method::DELETE, &path).send().await.unwrap().status(), 204);
    assert_eq!(world.request(Method::GET, &path).send().await.unwrap().status(), 410);
}

//! Renditions in the path of requests, between a real streaming service and whoever asks. FFmpeg's tools judge what comes.

use std::process::Command;
use std::sync::Arc;

use flame_api::transcode::{JobState, NewJob};
use flame_service_host::{HostConfig, Running};
use flame_test_kit::{Scratch, clips::recipe, eventually};
use reqwest::{Method, Response, StatusCode, header};
use uuid::Uuid;

use crate::world::{PATIENCE, World};

const ONE: &str = "\
chain: one
stages:
  source: { type: decode }
  one: { type: scale, input: source, sizes: 360 }
  video: { type: encode-video, input: one, preset: ultrafast }
  audio: { type: encode-audio, input: source }
  out: { type: package, input: [video, audio], gop: 1s, segment: 2s }
";

/// A world with streaming, and an asset that has one rendition of 640x360.
async fn with_one_rendition() -> (World, Running, Uuid) {
    let world = World::start_with(|config| {
        config.transrate.rungs = vec![240, 180, 720];
        config.transrate.at_once = 1;
    })
    .await;
    let host = HostConfig { router: world.config.host.router.clone(), ..HostConfig::default() };
    let streaming = flame_streaming::Config::new(host, world.config.store.clone());
    let streaming = flame_streaming::start(streaming).await.expect("streaming starts");
    let clip = recipe("synthetic").seconds(5.0).make();
    let job = world.job_for(&clip).await;
    let new = NewJob { chain: "one".to_owned(), document: Some(ONE.to_owned()), ..job };
    world.queue(&new).await;
    let job = world.until_final(new.id).await;
    assert_eq!((job.state, job.error.as_deref()), (JobState::Succeeded, None));
    eventually(PATIENCE, || async {
        let answer = get(&world, "streaming", &format!("{}/index.m3u8", job.asset_id), &[]).await;
        answer.error_for_status().map(drop)
    })
    .await;
    (world, streaming, job.asset_id)
}

async fn get(world: &World, name: &str, path: &str, heads: &[(header::HeaderName, &str)]) -> Response {
    let mut request = world.client.request(Method::GET, name, path);
    for (name, value) in heads {
        request = request.header(name, *value);
    }
    request.send().await.expect("the router answers")
}

async fn text(world: &World, name: &str, path: &str) -> String {
    let answer = get(world, name, path, &[]).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    answer.text().await.unwrap()
}

/// When frames are shown, in units of 0.1 ms, and which are keyframes: `ffprobe` on one file of all bytes.
fn frames(folder: &Scratch, name: &str, bytes: &[u8]) -> Vec<(i64, bool)> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_frames",
            "-show_entries",
            "frame=best_effort_timestamp_time,key_frame",
            "-of",
            "csv=p=0",
        ])
        .arg(&path)
        .output()
        .expect("ffprobe is installed");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let frame = |line: &str| {
        // Side data leaves empty fields behind.
        let mut fields = line.split(',').filter(|field| !field.is_empty());
        let is_key = fields.next()? == "1";
        Some(((fields.next()?.parse::<f64>().ok()? * 1e4).round() as i64, is_key))
    };
    let mut frames: Vec<_> = lines.lines().filter_map(frame).collect();
    frames.sort_unstable();
    frames
}

/// All of a track, as a player puts it together.
async fn whole(world: &World, folder: &str) -> Vec<u8> {
    let playlist = text(world, "transcode", &format!("{folder}/index.m3u8")).await;
    let mut bytes = get(world, "transcode", &format!("{folder}/init.mp4"), &[]).await.bytes().await.unwrap().to_vec();
    for segment in playlist.lines().filter(|line| line.ends_with(".m4s")) {
        let answer = get(world, "transcode", &format!("{folder}/{segment}"), &[]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{folder}/{segment}");
        bytes.extend(answer.bytes().await.unwrap());
    }
    bytes
}

#[tokio::test]
async fn a_rendition_that_is_not_there_is_made_of_one_that_is() {
    let (world, streaming, id) = with_one_rendition().await;
    let origin = text(&world, "streaming", &format!("{id}/index.m3u8")).await;
    assert_eq!(origin.matches("#EXT-X-STREAM-INF").count(), 1, "{origin}");
    let listed = text(&world, "transcode", &format!("derived/{id}/index.m3u8")).await;
    // Nothing is enlarged.
    assert!(listed.starts_with(origin.trim_end()) && listed.matches("#EXT-X-STREAM-INF").count() == 3, "{listed}");
    assert!(listed.contains("RESOLUTION=426x240") && listed.contains("RESOLUTION=320x180"), "{listed}");
    let uris: Vec<&str> =
        listed.lines().filter(|line| line.ends_with("/index.m3u8") && !line.starts_with('#')).collect();
    let folders: Vec<String> =
        uris.iter().map(|uri| format!("derived/{id}/{}", uri.trim_end_matches("/index.m3u8"))).collect();

    let scratch = Scratch::new("derived");
    let source = whole(&world, &folders[0]).await;
    let wanted = frames(&scratch, "source.mp4", &source);
    assert_eq!(wanted.len(), 125);
    for folder in &folders[1..] {
        let derived = whole(&world, folder).await;
        assert_eq!(frames(&scratch, "derived.mp4", &derived), wanted, "{folder}");
        assert!(derived.len() < source.len(), "{} bytes of {}", derived.len(), source.len());
    }

    // Another entity than the encoded one, for this site alone; known again, and answered from memory.
    let path = format!("{}/1.m4s", folders[1]);
    let derived = get(&world, "transcode", &path, &[]).await;
    let original = get(&world, "transcode", &format!("{}/1.m4s", folders[0]), &[]).await;
    let head = |answer: &Response, name: header::HeaderName| {
        answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let tag = head(&derived, header::ETAG);
    assert!(tag.len() == 66 && tag != head(&original, header::ETAG), "{tag}");
    assert!(head(&derived, header::CACHE_CONTROL).starts_with("private"));
    assert!(head(&original, header::CACHE_CONTROL).starts_with("public"), "what is passed on stays what it was");
    assert_eq!(
        head(&derived, header::CONTENT_LOCATION),
        format!("../{}/1.m4s", folders[1].rsplit('/').next().unwrap())
    );
    let known = get(&world, "transcode", &path, &[(header::IF_NONE_MATCH, &tag)]).await;
    assert_eq!((known.status(), known.bytes().await.unwrap().len()), (StatusCode::NOT_MODIFIED, 0));
    let part = get(&world, "transcode", &format!("{}/1.m4s", folders[0]), &[(header::RANGE, "bytes=0-9")]).await;
    assert_eq!((part.status(), part.bytes().await.unwrap().len()), (StatusCode::PARTIAL_CONTENT, 10));

    // Nothing of it stays on disk.
    let left = std::fs::read_dir(world.config.scratch.join("derived")).unwrap().count();
    assert_eq!(left, 0);
    streaming.stop().await;
}

#[tokio::test]
async fn many_who_ask_at_once_have_it_made_once() {
    let (world, streaming, id) = with_one_rendition().await;
    let listed = text(&world, "transcode", &format!("derived/{id}/index.m3u8")).await;
    let uri = listed.lines().find(|line| line.contains(".240/")).expect("it is offered");
    let path = format!("derived/{id}/{}", uri.replace("index.m3u8", "0.m4s"));
    let world = Arc::new(world);
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let (world, path) = (Arc::clone(&world), path.clone());
            tokio::spawn(async move {
                let answer = get(&world, "transcode", &path, &[]).await;
                assert_eq!(answer.status(), StatusCode::OK);
                answer.bytes().await.unwrap()
            })
        })
        .collect();
    let mut answers = Vec::new();
    for one in asking {
        answers.push(one.await.unwrap());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    streaming.stop().await;
}

#[tokio::test]
async fn what_is_not_offered_is_not_made_and_what_is_away_is_said() {
    let (world, streaming, id) = with_one_rendition().await;
    let listed = text(&world, "transcode", &format!("derived/{id}/index.m3u8")).await;
    let uri =
        listed.lines().find(|line| line.contains(".240/")).expect("it is offered").trim_end_matches("/index.m3u8");
    let folder = format!("derived/{id}/{uri}");
    let nobody = Uuid::nil();
    for path in [
        format!("derived/{nobody}/index.m3u8"),
        format!("{}/0.m4s", folder.replace(".240", ".200")),
        format!("{}/0.m4s", folder.replace(".240", ".99999")),
        format!("{folder}/99.m4s"),
        format!("{folder}/nonsense"),
    ] {
        let answer = get(&world, "transcode", &path, &[]).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    // Nothing leads out of the asset.
    for path in ["..%2f..%2fmetadata", "%2e%2e/x/y", "a%2f..%2f..%2f~metadata%2fassets"] {
        let answer = get(&world, "transcode", &format!("derived/{id}/{path}"), &[]).await;
        assert!(answer.status().is_client_error(), "{path}: {}", answer.status());
    }
    // Its source is deleted: so is what was made of it, a few seconds later.
    assert_eq!(get(&world, "transcode", &format!("{folder}/0.m4s"), &[]).await.status(), StatusCode::OK);
    world.client.delete_asset(id).await.unwrap();
    eventually(PATIENCE, || async {
        match get(&world, "transcode", &format!("{folder}/0.m4s"), &[]).await.status() {
            StatusCode::NOT_FOUND => Ok(()),
            other => Err(format!("it answers {other}")),
        }
    })
    .await;
    streaming.stop().await;
    eventually(PATIENCE, || async {
        let answer = get(&world, "transcode", &format!("derived/{nobody}/index.m3u8"), &[]).await;
        match answer.status() {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY => Ok(()),
            other => Err(format!("it answers {other}")),
        }
    })
    .await;
}

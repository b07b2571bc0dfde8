//! What a job makes when all goes well.

use flame_api::media::TrackKind;
use flame_api::metadata::AssetState;
use flame_api::transcode::JobState;
use flame_cmaf::index::TrackIndex;
use flame_test_kit::clips::recipe;

use crate::world::{World, short_clip};

#[tokio::test]
async fn a_job_makes_a_version_that_plays() {
    let world = World::start().await;
    let new = world.job_for(&short_clip()).await;
    let queued = world.queue(&new).await;
    assert_eq!((queued.state, queued.attempt, queued.stage.as_str()), (JobState::Queued, 0, "waiting"));

    let job = world.until_final(new.id).await;
    assert_eq!((job.state, job.error.as_deref(), job.attempt), (JobState::Succeeded, None, 1));
    assert_eq!((job.progress, job.stage.as_str()), (1.0, "done"));
    assert!(job.created_at <= job.started_at.unwrap() && job.started_at <= job.finished_at);
    let names: Vec<&str> = job.tracks.iter().map(|track| track.name.as_str()).collect();
    assert_eq!(names, ["v360", "v240", "a128"]);
    assert!(job.tracks.iter().filter(|track| track.kind == TrackKind::Video).all(|track| track.samples == 50));

    let version = job.version.clone().unwrap();
    assert!(version.len() == 12 && version.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let prefix = format!("default/media/{}/{version}/", new.asset_id);
    let mut expected: Vec<String> =
        names.iter().flat_map(|name| [format!("{prefix}{name}.mp4"), format!("{prefix}{name}.index.json")]).collect();
    expected.push(format!("{prefix}thumbnails/0.jpg"));
    expected.sort();
    assert_eq!(world.media_keys().await, expected);
    for track in &job.tracks {
        let index = world.objects.get(&format!("{prefix}{}.index.json", track.name), 1 << 20).await.unwrap();
        let index = TrackIndex::from_json(&index).unwrap();
        let media = world.objects.head(&format!("{prefix}{}.mp4", track.name)).await.unwrap().unwrap();
        assert_eq!((index.object_size_bytes(), media.size_bytes), (media.size_bytes, track.size_bytes));
        assert_eq!(
            media.content_type.as_deref(),
            Some(if track.kind == TrackKind::Video { "video/mp4" } else { "audio/mp4" })
        );
    }

    let asset = world.asset(new.asset_id).await;
    assert_eq!((asset.state, asset.error), (AssetState::Ready, None));
    let published = asset.version.unwrap();
    let thumbnails = published.thumbnails.clone().expect("pictures have thumbnails");
    assert_eq!((thumbnails.count, thumbnails.interval_ms, thumbnails.tile_width), (2, 1000, 160), "{thumbnails:?}");
    let sheet = world.objects.head(&format!("{prefix}thumbnails/0.jpg")).await.unwrap().unwrap();
    assert_eq!((sheet.size_bytes, sheet.content_type.as_deref()), (thumbnails.size_bytes, Some("image/jpeg")));
    assert_eq!((published.name, published.job_id, published.tracks), (version, Some(new.id), job.tracks));
    world.assert_scratch_is_empty();

    let metrics = reqwest::get(format!("{}/metrics", world.base())).await.unwrap().text().await.unwrap();
    for wanted in [
        r#"flame_attempts_total{end="succeeded",service="transcode"} 1"#,
        r#"flame_media_seconds_total{service="transcode"} 2"#,
    ] {
        assert!(metrics.contains(wanted), "{wanted} is not in {metrics}");
    }
}

#[tokio::test]
async fn sound_alone_is_conditioned_too() {
    let world = World::start().await;
    let new = world.job_for(&recipe("audio-only").seconds(2.0).make()).await;
    world.queue(&new).await;
    let job = world.until_final(new.id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    assert_eq!(job.tracks.iter().map(|track| track.name.as_str()).collect::<Vec<_>>(), ["a128"]);
}

#[tokio::test]
async fn odd_sources_are_planned_so_that_the_media_process_can_obey() {
    let world = World::start().await;
    let mut jobs = Vec::new();
    for (name, best) in [
        ("rotated", Some((360, 640))),
        // 321x181 with pixels that are a little wider than high: shown as 322x181.
        ("odd-size", Some((322, 180))),
        ("no-audio", Some((640, 360))),
        ("one-frame", Some((640, 360))),
        ("variable-rate", Some((640, 360))),
        ("avi", Some((640, 360))),
        ("matroska", Some((640, 360))),
        ("mpegts", Some((640, 360))),
        ("interlaced", Some((640, 360))),
        ("surround", Some((640, 360))),
    ] {
        let new = world.job_for(&recipe(name).seconds(1.0).make()).await;
        world.queue(&new).await;
        jobs.push((name, best, new.id));
    }
    for (name, best, id) in jobs {
        let job = world.until_final(id).await;
        assert_eq!(job.state, JobState::Succeeded, "{name}: {job:?}");
        let first = &job.tracks[0];
        assert_eq!(first.width.zip(first.height), best, "{name}");
    }
}

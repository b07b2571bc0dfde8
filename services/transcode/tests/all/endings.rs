//! The other ends: whatever goes wrong, the job says why, and nothing is left of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use flame_api::metadata::AssetState;
use flame_api::transcode::{Job, JobState, StageState};
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use uuid::Uuid;

use crate::world::{PATIENCE, World, long_clip, media_processes, probe, short_clip, short_probe};

#[tokio::test]
async fn a_job_cancelled_in_the_middle_leaves_nothing() {
    let world = World::start().await;
    let new = world.job_for(&long_clip()).await;
    world.queue(&new).await;
    world.until_encoding(new.id).await;
    assert!(!media_processes(std::process::id()).is_empty());

    let asked = Instant::now();
    let job = world.client.cancel_job(new.id).await.unwrap();
    assert_eq!((job.state, job.version.as_deref()), (JobState::Cancelled, None), "{job:?}");
    assert!(asked.elapsed() < Duration::from_secs(2));
    let states: Vec<_> = job.stages.iter().map(|stage| stage.state).collect();
    assert!(states.contains(&StageState::Cancelled), "what was under way is cancelled, and not failed: {states:?}");
    assert!(!states.iter().any(|state| *state == StageState::Failed || state.is_under_way()), "{states:?}");
    assert_eq!(media_processes(std::process::id()), Vec::<u32>::new());
    world.assert_nothing_left().await;
    let asset = world.asset(new.asset_id).await;
    assert_eq!((asset.state, asset.error.as_deref()), (AssetState::Failed, Some("its conditioning was cancelled")));
    assert_eq!(world.client.cancel_job(new.id).await.unwrap(), job, "it stays as it is");
    assert!(world.objects.head(&new.source_key).await.unwrap().is_some(), "the source is kept");
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_while_another_is_encoded() {
    let world = World::start().await;
    let (first, second) = (world.job_for(&long_clip()).await, world.job_for(&short_clip()).await);
    world.queue(&first).await;
    world.queue(&second).await;
    world.until_encoding(first.id).await;
    let job = world.client.cancel_job(second.id).await.unwrap();
    assert_eq!((job.state, job.attempt, job.started_at), (JobState::Cancelled, 0, None));
    let other = world.client.job(first.id).await.unwrap().unwrap();
    assert_eq!((other.state, other.attempt), (JobState::Running, 1), "the other one goes on");
}

#[tokio::test]
async fn garbage_fails_at_once_with_the_reason() {
    let world = World::start().await;
    let file = world.folder.join("garbage.mp4");
    let noise: Vec<u8> = (0..100_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    std::fs::write(&file, noise).unwrap();
    let new = world.job_with(&file, short_probe()).await;
    world.queue(&new).await;
    let job = world.until_final(new.id).await;
    assert_eq!((job.state, job.attempt, job.stage.as_str()), (JobState::Failed, 1, "failed"));
    let reason = job.error.unwrap();
    assert!(!reason.is_empty() && job.finished_at.is_some());
    let asset = world.asset(new.asset_id).await;
    assert_eq!((asset.state, asset.error), (AssetState::Failed, Some(reason)));
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn a_file_that_is_cut_off_fails_and_the_next_one_does_not() {
    let world = World::start().await;
    let whole = short_clip();
    let file = world.folder.join("half.mp4");
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let (broken, good) = (world.job_with(&file, probe(&whole)).await, world.job_for(&whole).await);
    world.queue(&broken).await;
    world.queue(&good).await;
    let job = world.until_final(broken.id).await;
    assert_eq!((job.state, job.attempt), (JobState::Failed, 1), "{job:?}");
    assert!(job.error.as_ref().unwrap().contains("cut off"), "{job:?}");
    assert_eq!(world.until_final(good.id).await.state, JobState::Succeeded);
    assert!(world.media_keys().await.iter().all(|key| key.contains(&good.asset_id.to_string())));
}

#[tokio::test]
async fn what_fails_beside_it_does_a_running_job_no_harm() {
    let world = World::start_with(|config| config.jobs.at_once = 2).await;
    let whole = short_clip();
    let file = world.folder.join("half.mp4");
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let (good, broken) = (world.job_for(&long_clip()).await, world.job_with(&file, probe(&whole)).await);
    world.queue(&good).await;
    world.until_encoding(good.id).await;
    world.queue(&broken).await;
    assert_eq!(world.until_final(broken.id).await.state, JobState::Failed);
    assert_eq!(world.client.job(good.id).await.unwrap().unwrap().state, JobState::Running, "they ran side by side");
    let job = world.until_final(good.id).await;
    assert_eq!((job.state, job.attempt), (JobState::Succeeded, 1), "{job:?}");
}

#[tokio::test]
async fn a_media_process_that_always_dies_is_given_up_after_three_attempts() {
    let world = World::start_with(|config| config.media_program = Some(PathBuf::from("/bin/false"))).await;
    let new = world.job_for(&short_clip()).await;
    world.queue(&new).await;
    let job = world.until_final(new.id).await;
    assert_eq!((job.state, job.attempt), (JobState::Failed, 3), "{job:?}");
    assert!(job.error.unwrap().contains("media process died with status 1"));
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn a_source_that_does_not_fit_is_not_fetched() {
    let world = World::start().await;
    let file = short_clip();
    let mut long = probe(&file);
    // A year of video needs more room than any machine that runs tests has.
    long.duration_ms = 365 * 24 * 3_600_000;
    let new = world.job_with(&file, long).await;
    world.queue(&new).await;
    let job = world.until_final(new.id).await;
    assert_eq!((job.state, job.attempt), (JobState::Failed, 3), "{job:?}");
    assert!(job.error.as_ref().unwrap().contains("disk is too full") && job.error.unwrap().contains("MiB are needed"));
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn a_job_without_its_source_or_its_asset_ends() {
    let world = World::start().await;
    let without_source = world.job_for(&short_clip()).await;
    world.objects.delete(&without_source.source_key).await.unwrap();
    world.queue(&without_source).await;
    let job = world.until_final(without_source.id).await;
    assert_eq!((job.state, job.attempt), (JobState::Failed, 1));
    assert!(job.error.unwrap().contains("is not in the object store"));

    let mut without_asset = without_source.clone();
    (without_asset.id, without_asset.asset_id) = (Uuid::now_v7(), Uuid::now_v7());
    world.queue(&without_asset).await;
    let job = world.until_final(without_asset.id).await;
    assert_eq!((job.state, job.error.as_deref()), (JobState::Cancelled, Some("the asset was deleted")));
}

#[tokio::test]
async fn an_asset_deleted_meanwhile_gets_no_version() {
    let world = World::start().await;
    let new = world.job_for(&long_clip()).await;
    world.queue(&new).await;
    world.until_encoding(new.id).await;
    assert!(world.client.erase_asset(new.asset_id).await.unwrap());
    let job = world.until_final(new.id).await;
    assert_eq!((job.state, job.version, job.tracks.len()), (JobState::Cancelled, None, 0));
    assert_eq!(job.error.as_deref(), Some("the asset was deleted while it was conditioned"));
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn a_catalogue_that_is_away_is_waited_for() {
    let mut world = World::start().await;
    let new = world.job_for(&short_clip()).await;
    world.metadata.take().unwrap().stop().await;
    world.queue(&new).await;
    world.until(new.id, "it wants to publish", |job| job.stage == "publishing").await;
    // It goes on waiting, and is not taken for dead.
    world.start_metadata().await;
    let job = world.until_final(new.id).await;
    assert_eq!((job.state, job.attempt), (JobState::Succeeded, 1), "{job:?}");
    assert_eq!(world.asset(new.asset_id).await.state, AssetState::Ready);
}

#[tokio::test]
async fn what_is_committed_is_published_later_and_not_made_again() {
    let mut world = World::start_with(|config| {
        config.jobs.patience = Span(Duration::from_millis(300));
        (config.jobs.failures_max, config.jobs.attempts_max) = (10_000, 10_000);
    })
    .await;
    let new = world.job_for(&short_clip()).await;
    world.metadata.take().unwrap().stop().await;
    world.queue(&new).await;
    world.until(new.id, "publishing has failed", |job| job.error.is_some() && job.attempt > 1).await;
    let keys = world.media_keys().await;
    // Three tracks with their indexes, and a sheet of thumbnails.
    assert_eq!(keys.len(), 7, "{keys:?}");
    let (made, last) = stages(&world.client.job(new.id).await.unwrap().unwrap());
    assert!(made.iter().all(|state| *state == StageState::Done), "{made:?}");
    assert_ne!(last, StageState::Done);
    let before = world.objects.head(&keys[0]).await.unwrap().unwrap();
    world.start_metadata().await;
    let job = world.until_final(new.id).await;
    assert_eq!((job.state, job.error.as_deref()), (JobState::Succeeded, None));
    assert_eq!(world.objects.head(&keys[0]).await.unwrap().unwrap(), before, "the very same object");
    let (made, last) = stages(&job);
    assert!(made.len() > 2 && made.iter().all(|state| *state == StageState::Done), "{made:?}");
    assert_eq!(last, StageState::Done, "what was published is done, whichever attempt did it");
}

/// How the stages of a job stand: those that make something, and the one that stores and publishes it.
fn stages(job: &Job) -> (Vec<StageState>, StageState) {
    let mut states: Vec<_> = job.stages.iter().map(|stage| stage.state).collect();
    let last = states.pop().expect("a chain has stages");
    (states, last)
}

#[tokio::test]
async fn two_jobs_are_encoded_at_once_if_told_so() {
    let world = World::start_with(|config| config.jobs.at_once = 2).await;
    let (first, second) = (world.job_for(&long_clip()).await, world.job_for(&long_clip()).await);
    world.queue(&first).await;
    world.queue(&second).await;
    eventually(PATIENCE, || async {
        let processes = media_processes(std::process::id()).len();
        if processes == 2 { Ok(()) } else { Err(format!("{processes} media processes")) }
    })
    .await;
    for new in [first, second] {
        world.client.cancel_job(new.id).await.unwrap();
        assert_eq!(world.until_final(new.id).await.state, JobState::Cancelled);
    }
    world.assert_nothing_left().await;
}

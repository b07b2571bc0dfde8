//! Sudden deaths: of the media process, and of the service itself. The job goes on.

use std::process::Stdio;
use std::time::Duration;

use flame_api::metadata::AssetState;
use flame_api::transcode::JobState;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use tokio::process::{Child, Command};

use crate::reuse::{again, two_sizes};
use crate::world::{PATIENCE, World, kill, long_clip, media_processes, short_clip};

#[tokio::test]
async fn a_killed_media_process_costs_one_attempt() {
    let world = World::start().await;
    let new = world.job_for(&long_clip()).await;
    world.queue(&new).await;
    world.until_encoding(new.id).await;
    let processes = media_processes(std::process::id());
    assert_eq!(processes.len(), 1);
    assert!(kill(processes[0]));

    let waiting = world.until(new.id, "the failure is noted", |job| job.error.is_some()).await;
    assert!(waiting.error.unwrap().contains("media process died of signal 9"));
    let job = world.until_final(new.id).await;
    assert_eq!((job.state, job.attempt, job.error), (JobState::Succeeded, 2, None));
    assert_eq!(world.asset(new.asset_id).await.state, AssetState::Ready);
    world.assert_scratch_is_empty();
}

/// Starts the program in `world`; it is killed with the value. It dies by itself at the point `fault`, if that names one.
async fn start_program(world: &World, fault: &str) -> Child {
    let config = world.folder.join("transcode.toml");
    let store = &world.config.store;
    let text = format!(
        "database = {:?}\nscratch = {:?}\n[host]\nrouter = {:?}\n[jobs]\npoll = \"100ms\"\nlease = \"1h\"\n\
         [store]\nendpoint = {:?}\nbucket = {:?}\naccess_key = {:?}\nsecret_key = {:?}\n",
        world.config.database,
        world.config.scratch,
        world.config.host.router.as_ref().unwrap().as_str(),
        store.endpoint,
        store.bucket,
        store.access_key,
        store.secret_key.expose(),
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_flame-transcode"))
        .arg(&config)
        .env("FLAME_FAULT", fault)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts");
    world.until_registered().await;
    child
}

#[tokio::test]
async fn after_kill_9_of_the_service_its_job_goes_on_at_once() {
    let world = World::without_service().await;
    let mut service = start_program(&world, "").await;
    let id = service.id().unwrap();
    let (new, waiting) = (world.job_for(&long_clip()).await, world.job_for(&short_clip()).await);
    world.queue(&new).await;
    world.queue(&waiting).await;
    world.until_encoding(new.id).await;
    let processes = media_processes(id);
    assert_eq!(processes.len(), 1);
    service.kill().await.unwrap();
    eventually(PATIENCE, || async {
        // Its parent gone, the process belongs to another one.
        let alive = std::path::Path::new(&format!("/proc/{}/fd/0", processes[0])).exists();
        if alive { Err("the media process outlives its service") } else { Ok(()) }
    })
    .await;

    // The lease of an hour is not waited for: the owner itself is back.
    let _service = start_program(&world, "").await;
    for (new, attempts) in [(&new, 2), (&waiting, 1)] {
        let job = world.until_final(new.id).await;
        assert_eq!((job.state, job.attempt), (JobState::Succeeded, attempts), "{job:?}");
        assert_eq!(world.asset(new.asset_id).await.state, AssetState::Ready);
    }
    world.assert_scratch_is_empty();
}

#[tokio::test]
async fn killed_at_each_step_of_a_job_it_goes_on_and_leaves_nothing_twice() {
    for point in
        ["job-begun", "job-fetched", "job-encoded", "job-track-stored", "job-stored", "job-committed", "job-published"]
    {
        let world = World::without_service().await;
        let mut service = start_program(&world, point).await;
        let new = world.job_for(&short_clip()).await;
        world.queue(&new).await;
        let died = tokio::time::timeout(PATIENCE, service.wait()).await.expect(point).unwrap();
        assert!(!died.success(), "{point}: {died}");

        let _service = start_program(&world, "").await;
        let job = world.until_final(new.id).await;
        assert_eq!((job.state, job.attempt, &job.error), (JobState::Succeeded, 2, &None), "{point}: {job:?}");
        let asset = world.asset(new.asset_id).await;
        assert_eq!(
            (asset.state, asset.version.map(|version| version.name)),
            (AssetState::Ready, job.version),
            "{point}"
        );
        // Three tracks with their indexes, and a sheet of thumbnails.
        assert_eq!(world.media_keys().await.len(), 7, "{point}");
        world.assert_scratch_is_empty();
    }
}

#[tokio::test]
async fn killed_when_a_part_was_made_it_takes_the_rest_again() {
    let world = World::without_service().await;
    let mut service = start_program(&world, "").await;
    let source = world.job_for(&short_clip()).await;
    let first = two_sizes(&source, &[]);
    world.queue(&first).await;
    assert_eq!(world.until_final(first.id).await.state, JobState::Succeeded);
    let kept = world.media_keys().await;
    service.kill().await.unwrap();

    let mut service = start_program(&world, "job-encoded").await;
    let second = two_sizes(&source, &[("crf", "40")]);
    eventually(PATIENCE, || async { world.client.create_job(&second).await.map(drop) }).await;
    let died = tokio::time::timeout(PATIENCE, service.wait()).await.expect("it dies").unwrap();
    assert!(!died.success(), "{died}");

    let _service = start_program(&world, "").await;
    let job = world.until_final(second.id).await;
    assert_eq!((job.state, job.attempt, &job.error), (JobState::Succeeded, 2, &None), "{job:?}");
    assert_eq!(again(&job), "large=v360 audio=a96 sheets=thumbnails");
    let keys = world.media_keys().await;
    assert!(kept.iter().all(|key| keys.contains(key)), "what was taken from is as it was");
    assert_eq!(keys.len(), kept.len() + 7);
    world.assert_scratch_is_empty();
}

#[tokio::test]
async fn killed_while_a_cancelled_job_is_cleared_away_it_is_cleared_all_the_same() {
    let world = World::without_service().await;
    let mut service = start_program(&world, "job-cleared").await;
    let new = world.job_for(&long_clip()).await;
    world.queue(&new).await;
    world.until_encoding(new.id).await;
    // Its answer may not come any more: it waits for the end.
    let _ = world.client.cancel_job(new.id).await;
    let died = tokio::time::timeout(PATIENCE, service.wait()).await.expect("it dies").unwrap();
    assert!(!died.success(), "{died}");

    let _service = start_program(&world, "").await;
    let job = world.until_final(new.id).await;
    assert_eq!(job.state, JobState::Cancelled, "{job:?}");
    assert!(job.stages.iter().all(|stage| !stage.state.is_under_way()), "{job:?}");
    assert_eq!(world.asset(new.asset_id).await.state, AssetState::Failed);
    world.assert_nothing_left().await;
}

#[tokio::test]
async fn a_stop_lets_go_and_costs_no_failure() {
    let mut world = World::start().await;
    let new = world.job_for(&long_clip()).await;
    world.queue(&new).await;
    world.until_encoding(new.id).await;
    let stopping = world.transcode.take().unwrap().stop();
    tokio::time::timeout(Duration::from_secs(10), stopping).await.expect("the stop is quick");
    assert_eq!(media_processes(std::process::id()), Vec::<u32>::new());
    world.assert_scratch_is_empty();

    world.start_service().await;
    let job = world.until_final(new.id).await;
    assert_eq!((job.state, job.attempt, job.error), (JobState::Succeeded, 2, None));
}

#[tokio::test]
async fn a_job_that_takes_longer_than_its_lease_keeps_it() {
    let world = World::start_with(|config| config.jobs.lease = Span(Duration::from_secs(2))).await;
    let new = world.job_for(&long_clip()).await;
    world.queue(&new).await;
    let job = world.until_final(new.id).await;
    assert_eq!((job.state, job.attempt), (JobState::Succeeded, 1), "{job:?}");
    let took = job.finished_at.unwrap() - job.started_at.unwrap();
    assert!(took > Duration::from_secs(2), "{took}: the clip is too short to show anything");
}

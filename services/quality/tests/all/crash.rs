//! Whatever dies, a job goes on; whoever cancels one is obeyed.

use std::process::Command;

use flame_api::quality::jobs::{JobState, MediaName};
use flame_test_kit::clips::recipe;
use flame_test_kit::eventually;

use crate::world::{PATIENCE, World, inspection_of, media_processes};

async fn long_inspection(world: &World) -> flame_api::quality::jobs::NewInspection {
    let long = recipe("synthetic").seconds(12.0).size(1280, 720).make();
    let asset_id = world.asset(&world.client, "default", &long, None).await;
    let new = inspection_of(MediaName::Source(asset_id), &[]);
    world.client.create_inspection(&new).await.unwrap();
    new
}

async fn child() -> u32 {
    eventually(PATIENCE, || async {
        let all = media_processes(std::process::id());
        all.first().copied().ok_or("no media process is at work")
    })
    .await
}

#[tokio::test]
async fn a_media_process_that_dies_costs_one_attempt() {
    let world = World::start().await;
    let new = long_inspection(&world).await;
    let killed = Command::new("kill").arg("-9").arg(child().await.to_string()).status().unwrap();
    assert!(killed.success());
    let ended = world.ended_inspection(new.id).await;
    assert_eq!(ended.standing.state, JobState::Succeeded, "{ended:?}");
    assert!(ended.standing.attempt >= 2, "{ended:?}");
    world.assert_scratch_is_empty();
}

#[tokio::test]
async fn a_service_that_stops_goes_on_where_it_starts_again() {
    let mut world = World::start().await;
    let new = long_inspection(&world).await;
    child().await;
    world.quality.take().expect("it runs").stop().await;
    // Those that had nothing to do are told to end, and not waited for.
    eventually(PATIENCE, || async {
        let left = media_processes(std::process::id());
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?} run")) }
    })
    .await;
    world.start_service().await;
    let ended = world.ended_inspection(new.id).await;
    assert_eq!((ended.standing.state, ended.standing.attempt), (JobState::Succeeded, 2), "{ended:?}");
    assert_eq!(ended.standing.error, None);
}

#[tokio::test]
async fn who_cancels_is_obeyed_also_while_it_runs() {
    let world = World::start().await;
    let running = long_inspection(&world).await;
    let waiting = long_inspection(&world).await;
    child().await;
    for id in [waiting.id, running.id] {
        let cancelled = world.client.cancel_inspection(id).await.unwrap();
        assert!(cancelled.standing.state == JobState::Cancelled, "{cancelled:?}");
    }
    eventually(PATIENCE, || async {
        let left = media_processes(std::process::id());
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    world.assert_scratch_is_empty();
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_given_up_at_once() {
    let world = World::start().await;
    let good = recipe("one-frame").make();
    let asset_id = world.asset(&world.client, "default", &good, None).await;
    world.objects.put(&format!("default/sources/{asset_id}"), "no film".into(), "video/mp4").await.unwrap();
    let new = inspection_of(MediaName::Source(asset_id), &[]);
    world.client.create_inspection(&new).await.unwrap();
    let standing = world.ended_inspection(new.id).await.standing;
    assert_eq!((standing.state, standing.attempt), (JobState::Failed, 1));
    assert!(standing.error.as_ref().is_some_and(|why| why.contains("not a media file")), "{standing:?}");
}

//! What is measured of an asset is kept with it in the catalogue.

use std::time::Duration;

use flame_api::metadata::{Measure, Score};
use flame_api::quality::jobs::{JobState, MediaName};
use flame_test_kit::eventually;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use uuid::Uuid;

use crate::world::{World, inspection_of};

const PATIENCE: Duration = Duration::from_secs(30);

async fn scores(world: &World, asset_id: Uuid, count: usize) -> Vec<Score> {
    eventually(PATIENCE, || async {
        let page = world.client.scores(asset_id).await.map_err(|error| error.to_string())?;
        let items = page.map(|page| page.items).unwrap_or_default();
        if items.len() == count { Ok(items) } else { Err(format!("{} scores", items.len())) }
    })
    .await
}

#[tokio::test]
async fn what_was_measured_is_kept_with_the_asset_and_its_version() {
    let world = World::start().await;
    let new = world.new_comparison(&["psnr.mean >= 1", "ssim.p5 >= 0.999"]).await;
    world.client.create_comparison(&new).await.unwrap();
    let ended = world.ended_comparison(new.id).await;
    assert_eq!(ended.standing.state, JobState::Succeeded, "{ended:?}");
    let asset_id = new.distorted.asset_id().unwrap();
    let asset = world.client.asset(asset_id).await.unwrap().unwrap();

    let noted = scores(&world, asset_id, 1).await;
    let Score { job_id, score } = &noted[0];
    assert_eq!((*job_id, score.measure), (new.id, Measure::Comparison));
    assert_eq!((&score.media, &score.reference), (&new.distorted.to_string(), &Some(new.reference.to_string())));
    assert_eq!((&score.version, score.track.is_some()), (&asset.version.map(|version| version.name), true));
    assert_eq!((&score.gates, Some(score.measured_at)), (&ended.standing.gates, ended.standing.finished_at));
    let psnr = ended.result.unwrap().columns.into_iter().find(|column| column.name == "psnr").unwrap().pooled;
    assert_eq!((score.figures["psnr.mean"], score.figures["psnr.p5"]), (psnr.mean, psnr.p5));
    assert_eq!(score.figures["alignment.dropped_frames"], 0.0);
    assert!(score.tools.contains("libvmaf "), "{}", score.tools);

    // What is found without a reference, of the source: of no version.
    let inspection = inspection_of(MediaName::Source(asset_id), &[]);
    world.client.create_inspection(&inspection).await.unwrap();
    world.ended_inspection(inspection.id).await;
    let noted = scores(&world, asset_id, 2).await;
    assert_eq!((noted[0].job_id, noted[0].score.measure), (inspection.id, Measure::Inspection));
    assert_eq!((&noted[0].score.version, &noted[0].score.track), (&None, &None));
    assert!(noted[0].score.figures["video.frames"] > 0.0);
}

#[tokio::test]
async fn a_catalogue_that_has_forgotten_the_asset_is_told_once_and_one_that_is_away_later() {
    let mut world = World::start().await;
    let new = world.new_comparison(&[]).await;
    world.client.create_comparison(&new).await.unwrap();
    world.ended_comparison(new.id).await;
    let asset_id = new.distorted.asset_id().unwrap();
    scores(&world, asset_id, 1).await;
    // As a service that ended before the catalogue knew: it is told when the service starts again.
    world.quality.take().expect("it runs").stop().await;
    let database = SqliteConnectOptions::new().filename(&world.config.database);
    let mut connection = database.connect().await.unwrap();
    sqlx::query("UPDATE jobs SET told_at_us = NULL").execute(&mut connection).await.unwrap();
    world.client.erase_asset(asset_id).await.unwrap();
    world.start_service().await;
    eventually(PATIENCE, || async {
        let mut connection = database.connect().await.map_err(|error| error.to_string())?;
        let untold: i64 = sqlx::query_scalar("SELECT count(*) FROM jobs WHERE told_at_us IS NULL")
            .fetch_one(&mut connection)
            .await
            .map_err(|error| error.to_string())?;
        if untold == 0 { Ok(()) } else { Err("the catalogue's answer is not noted".to_owned()) }
    })
    .await;
}

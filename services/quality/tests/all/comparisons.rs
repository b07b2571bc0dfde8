//! `/comparisons`: what is scored, what the gates say, and the files that are left.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_api::quality::jobs::{JobState, MeasuringQuery, MediaName, NewComparison, ResultFile};
use uuid::Uuid;

use crate::world::{World, comparison_of};

#[tokio::test]
async fn a_track_is_scored_against_the_source_and_its_gates_are_judged() {
    let world = World::start().await;
    let new = world.new_comparison(&["psnr.mean >= 1", "ssim.p5 >= 0.999", "alignment.dropped_frames <= 0"]).await;
    let queued = world.client.create_comparison(&new).await.unwrap();
    assert_eq!((queued.standing.state, queued.standing.passed), (JobState::Queued, None));
    let ended = world.ended_comparison(new.id).await;
    assert_eq!(ended.standing.state, JobState::Succeeded, "{ended:?}");
    let result = ended.result.expect("it was measured");
    assert_eq!((result.scored_frames, result.alignment.dropped_frames), (120, 0));
    // As the caller calls them: nobody is told where they lay.
    assert_eq!(
        (result.reference.input.parse(), result.distorted.input.parse()),
        (Ok(new.reference.clone()), Ok(new.distorted.clone()))
    );
    assert_eq!(result.notes, Vec::<String>::new());
    let passed: Vec<_> = ended.standing.gates.iter().map(|gate| gate.passed).collect();
    assert_eq!((passed, ended.standing.passed), (vec![true, false, true], Some(false)));

    let file = async |file| world.client.comparison_file(new.id, file).await.unwrap().text().await.unwrap();
    let table = file(ResultFile::FramesCsv).await;
    assert!(table.starts_with("reference,distorted,time_ms,psnr,"), "{table}");
    assert_eq!(table.lines().count(), 121);
    let document: serde_json::Value = serde_json::from_str(&file(ResultFile::FramesJson).await).unwrap();
    assert_eq!(document["frames"].as_array().map(Vec::len), Some(120));
    let report = file(ResultFile::Report).await;
    assert_eq!(report.matches("data:image/jpeg;base64,/9j/").count(), 5);
    assert!(report.contains(">fails<") && report.contains("ssim.p5"));
    let worst = result.columns.iter().rev().find(|column| !column.worst.is_empty()).expect("one has worst frames");
    for frame in &worst.worst {
        let picture = world.client.comparison_picture(new.id, frame.distorted).await.unwrap();
        assert_eq!(picture.headers()["content-type"], "image/jpeg");
        let picture = picture.bytes().await.unwrap();
        assert!(report.contains(&STANDARD.encode(&picture)), "the report shows frame {} as it is", frame.distorted);
    }
    let best = (0..).find(|frame| worst.worst.iter().all(|one| one.distorted != *frame)).expect("there are 120");
    assert_eq!(world.client.comparison_picture(new.id, best).await.unwrap_err().status(), Some(404));
    world.assert_scratch_is_empty();

    // The same again is the same job; another one may not have its id.
    assert_eq!(world.client.create_comparison(&new).await.unwrap().standing.state, JobState::Succeeded);
    let other = NewComparison { subsample: 2, ..new.clone() };
    assert_eq!(world.client.create_comparison(&other).await.unwrap_err().status(), Some(409));
    let query = MeasuringQuery { asset_id: new.distorted.asset_id(), ..MeasuringQuery::default() };
    let page = world.client.comparisons(&query).await.unwrap();
    assert_eq!(
        page.items.iter().map(|job| (job.standing.id, job.result.is_some())).collect::<Vec<_>>(),
        [(new.id, false)]
    );
    let query = MeasuringQuery { asset_id: Some(Uuid::nil()), ..MeasuringQuery::default() };
    assert_eq!(world.client.comparisons(&query).await.unwrap().items, []);
}

#[tokio::test]
async fn media_that_is_not_there_fails_at_once_and_says_what_there_is() {
    let world = World::start().await;
    let asset_id = world.carphone().await;
    let reason = async |change: &dyn Fn(&mut NewComparison)| {
        let mut new = comparison_of(asset_id, &[]);
        change(&mut new);
        world.client.create_comparison(&new).await.unwrap();
        let ended = world.ended_comparison(new.id).await;
        assert_eq!((ended.standing.state, ended.standing.attempt), (JobState::Failed, 1), "{ended:?}");
        assert_eq!(world.client.comparison_file(new.id, ResultFile::Report).await.unwrap_err().status(), Some(409));
        ended.standing.error.expect("it says why")
    };
    let why = reason(&|new| new.distorted = MediaName::Track(asset_id, "v1080".to_owned())).await;
    assert!(why.contains("it has v144"), "{why}");
    let nobody = Uuid::now_v7();
    let why = reason(&|new| new.reference = MediaName::Source(nobody)).await;
    assert!(why.contains("there is no asset"), "{why}");
    let why = reason(&|new| new.distorted = MediaName::Asset(nobody)).await;
    assert!(why.contains("there is no asset"), "{why}");
    // The wrong film: nothing is scored.
    let other = world.asset(&world.client, "default", &flame_test_kit::clips::path("bikes"), None).await;
    let why = reason(&|new| (new.distorted, new.confidence_min) = (MediaName::Source(other), 0.5)).await;
    assert!(why.contains("do not correspond"), "{why}");
    assert_eq!(world.results(), 0);
    world.assert_scratch_is_empty();
}

#[tokio::test]
async fn what_cannot_be_measured_is_refused_before_it_is_queued() {
    let world = World::start().await;
    let asset_id = world.carphone().await;
    let refused = async |change: &dyn Fn(&mut NewComparison)| {
        let mut new = comparison_of(asset_id, &[]);
        change(&mut new);
        let error = world.client.create_comparison(&new).await.unwrap_err();
        assert_eq!(error.status(), Some(422), "{error}");
        error.to_string()
    };
    let said = refused(&|new| new.gates = vec!["vmaf.p5 >= 80".to_owned()]).await;
    assert!(said.contains("not among what is measured"), "{said}");
    let said = refused(&|new| new.gates = vec!["loudness.integrated >= -24".to_owned()]).await;
    assert!(said.contains("inspection"), "{said}");
    let said = refused(&|new| new.reference = MediaName::Path("/~orchestrator/x".to_owned())).await;
    assert!(said.contains("media.names"), "{said}");
    // A name that leads elsewhere does not even parse.
    let body = serde_json::json!({
        "id": Uuid::now_v7(), "reference": "http://169.254.169.254/", "distorted": "x", "metrics": ["psnr"],
    });
    let answer = reqwest::Client::new().post(format!("{}/comparisons", world.base())).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 422);
    assert!(answer.text().await.unwrap().contains("names no media"));
}

#[tokio::test]
async fn old_jobs_go_with_their_files_and_the_queue_has_an_end() {
    let world = World::start_with(|config| config.jobs.kept_max = 1).await;
    let asset_id = world.carphone().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let new = comparison_of(asset_id, &[]);
        world.client.create_comparison(&new).await.unwrap();
        ids.push(new.id);
    }
    world.ended_comparison(ids[2]).await;
    flame_test_kit::eventually(crate::world::PATIENCE, || async {
        let left = world.client.comparisons(&MeasuringQuery::default()).await.map_err(|error| error.to_string())?;
        let left: Vec<_> = left.items.iter().map(|job| job.standing.id).collect();
        if left == [ids[2]] && world.results() == 1 {
            Ok(())
        } else {
            Err(format!("{left:?}, {} results", world.results()))
        }
    })
    .await;

    let full = World::start_with(|config| config.jobs.queued_max = 0).await;
    let error = full.client.create_comparison(&comparison_of(asset_id, &[])).await.unwrap_err();
    assert_eq!(error.status(), Some(429), "{error}");
}

#[tokio::test]
async fn nobody_pushes_out_what_another_tenant_keeps() {
    let world = World::start_with(|config| config.jobs.kept_max = 1).await;
    let (acme, other) = (world.client.for_tenant("acme"), world.client.for_tenant("other"));
    // They end at once: there is no such asset.
    let theirs = comparison_of(Uuid::now_v7(), &[]);
    other.create_comparison(&theirs).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let new = comparison_of(Uuid::now_v7(), &[]);
        acme.create_comparison(&new).await.unwrap();
        ids.push(new.id);
    }
    flame_test_kit::eventually(crate::world::PATIENCE, || async {
        let left = acme.comparisons(&MeasuringQuery::default()).await.map_err(|error| error.to_string())?;
        let left: Vec<_> = left.items.iter().map(|job| (job.standing.id, job.standing.state.is_final())).collect();
        if left == [(ids[2], true)] { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    assert!(other.comparison(theirs.id).await.unwrap().is_some());
}

#[tokio::test]
async fn whoever_watches_sees_it_to_its_end() {
    let world = World::start().await;
    let new = world.new_comparison(&[]).await;
    world.client.create_comparison(&new).await.unwrap();
    let url = format!("{}/comparisons/{}/events", world.base(), new.id);
    let said = reqwest::get(url).await.unwrap().text().await.unwrap();
    let events: Vec<_> = said.lines().filter(|line| *line == "event: comparison").collect();
    let last = said.lines().rfind(|line| line.starts_with("data: ")).expect("there is one");
    assert!(!events.is_empty() && last.contains("\"succeeded\""), "{said}");
}

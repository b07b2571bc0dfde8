//! `POST|GET /jobs`, `GET /jobs/{id}`, `GET /chains`: what callers may ask for.

use flame_api::transcode::{JobQuery, JobState, NewJob};
use flame_api::{ClientError, Problem};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{World, short_probe};

/// Jobs that wait for ever: there is no such asset, and nobody works.
fn idle_job(asset_id: Uuid) -> NewJob {
    let probe = short_probe();
    let source_key = format!("default/sources/{asset_id}");
    NewJob {
        id: Uuid::now_v7(),
        chain: "ladder".to_owned(),
        document: None,
        parameters: Default::default(),
        asset_id,
        source_key,
        probe,
    }
}

fn refusal(error: ClientError) -> Problem {
    match error {
        ClientError::Refused { problem, .. } => *problem,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn queuing_again_is_safe_and_another_job_is_not_replaced() {
    let world = World::start().await;
    let new = idle_job(Uuid::now_v7());
    let send = |body: &NewJob| world.client.request(Method::POST, "transcode", "jobs").json(body).send();
    let first = send(&new).await.unwrap();
    assert_eq!(first.status(), 201);
    assert_eq!(first.headers()["location"], format!("jobs/{}", new.id));
    assert_eq!(send(&new).await.unwrap().status(), 200);
    let page = world.client.jobs(&JobQuery { asset_id: Some(new.asset_id), ..JobQuery::default() }).await.unwrap();
    assert_eq!(page.items.len(), 1);

    let mut other = new.clone();
    other.probe.duration_ms += 1;
    let problem = refusal(world.client.create_job(&other).await.unwrap_err());
    assert_eq!((problem.status, problem.slug()), (409, "conflict"));
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_with_the_field() {
    let world = World::start().await;
    let new = idle_job(Uuid::now_v7());
    for (field, change) in [
        ("chain", (|job| job.chain = "nonsense".to_owned()) as fn(&mut NewJob)),
        ("source_key", |job| job.source_key = "other/sources/1".to_owned()),
        ("probe", |job| (job.probe.video, job.probe.audio) = (None, None)),
    ] {
        let mut wrong = new.clone();
        change(&mut wrong);
        let problem = refusal(world.client.create_job(&wrong).await.unwrap_err());
        assert_eq!((problem.status, problem.slug()), (422, "unprocessable"));
        assert!(problem.detail.contains(&format!("`{field}`")), "{problem}");
    }
    let send = |body: Value| world.client.request(Method::POST, "transcode", "jobs").json(&body).send();
    for body in [json!({}), json!([]), json!({ "id": "x" })] {
        let answer = send(body).await.unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()["content-type"]),
            (reqwest::StatusCode::UNPROCESSABLE_ENTITY, &"application/problem+json".parse().unwrap())
        );
    }
    assert_eq!(send(json!({ "filler": "x".repeat(70_000) })).await.unwrap().status(), 413);
    assert!(world.client.job(Uuid::now_v7()).await.unwrap().is_none());
    let unknown = refusal(world.client.cancel_job(Uuid::now_v7()).await.unwrap_err());
    assert_eq!((unknown.status, unknown.slug()), (404, "not-found"));
}

#[tokio::test]
async fn pages_go_from_the_newest_to_the_oldest_without_gaps() {
    // The catalogue is away: jobs without a source wait for its word.
    let mut world = World::start().await;
    world.metadata.take().unwrap().stop().await;
    let assets = [Uuid::now_v7(), Uuid::now_v7()];
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(world.queue(&idle_job(assets[n % 2])).await.id);
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut query = JobQuery { limit: Some(3), ..JobQuery::default() };
    loop {
        let page = world.client.jobs(&query).await.unwrap();
        assert!(page.items.len() <= 3);
        seen.extend(page.items.into_iter().map(|job| job.id));
        // Those that come meanwhile are newer than the page.
        world.queue(&idle_job(assets[0])).await;
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);

    let queued = JobQuery { state: Some(JobState::Queued), asset_id: Some(assets[1]), ..JobQuery::default() };
    let of_second: Vec<Uuid> = world.client.jobs(&queued).await.unwrap().items.iter().map(|job| job.id).collect();
    assert_eq!(of_second, [ids[1], ids[3], ids[5]]);
    let running = JobQuery { state: Some(JobState::Running), ..JobQuery::default() };
    assert_eq!(world.client.jobs(&running).await.unwrap().items[0].id, ids[6], "the oldest is worked on first");
    for (query, what) in [
        (JobQuery { limit: Some(0), ..JobQuery::default() }, "limit"),
        (JobQuery { limit: Some(201), ..JobQuery::default() }, "limit"),
        (JobQuery { cursor: Some("x".to_owned()), ..JobQuery::default() }, "cursor"),
    ] {
        let problem = refusal(world.client.jobs(&query).await.unwrap_err());
        assert!(problem.status == 400 && problem.detail.contains(what), "{problem}");
    }
}

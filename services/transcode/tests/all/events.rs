//! `GET /jobs/{id}/events`.

use std::time::Duration;

use flame_api::transcode::{Job, JobState};
use futures_util::StreamExt;
use reqwest::{Method, Response};
use tokio::time::Instant;
use uuid::Uuid;

use crate::world::{World, long_clip, short_clip};

/// The jobs that a stream sends until it ends, each with the time of its arrival.
async fn jobs(answer: Response) -> Vec<(Instant, Job)> {
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut chunks = answer.bytes_stream();
    let (mut text, mut found) = (String::new(), Vec::new());
    while let Some(chunk) = chunks.next().await {
        text.push_str(std::str::from_utf8(&chunk.expect("the stream ends cleanly")).expect("events are UTF-8"));
        while let Some(end) = text.find("\n\n") {
            let event: String = text.drain(..end + 2).collect();
            if event.starts_with(':') {
                continue;
            }
            let data = event.strip_prefix("event: job\ndata: ").expect("every event is a job");
            found.push((Instant::now(), serde_json::from_str(data.trim()).expect("the data is a job")));
        }
    }
    found
}

async fn watch(world: &World, id: Uuid) -> Response {
    world.client.request(Method::GET, "transcode", &format!("jobs/{id}/events")).send().await.unwrap()
}

#[tokio::test]
async fn a_watcher_sees_a_job_from_its_start_to_its_end() {
    let world = World::start().await;
    let new = world.job_for(&long_clip()).await;
    world.queue(&new).await;
    let seen = jobs(watch(&world, new.id).await).await;
    let states: Vec<JobState> = seen.iter().map(|(_, job)| job.state).collect();
    assert_eq!(states.last(), Some(&JobState::Succeeded), "{states:?}");
    assert!(states[..states.len() - 1].iter().all(|state| !state.is_final()));
    assert!(seen.iter().any(|(_, job)| job.stage == "encoding" && job.progress > 0.05));
    assert!(seen.iter().map(|(_, job)| job.progress).is_sorted());
    assert_eq!(seen.last().unwrap().1, world.client.job(new.id).await.unwrap().unwrap());
    // At most four a second, over any stretch of the stream; arrivals may be bunched by a little.
    let took = seen.last().unwrap().0 - seen[0].0;
    let most = took.as_secs_f64() * 4.0 + 2.0;
    assert!(f64::from(u32::try_from(seen.len()).unwrap()) <= most, "{} events in {took:?}", seen.len());

    // Who comes late gets the end, and no more.
    let seen = jobs(watch(&world, new.id).await).await;
    assert_eq!(seen.iter().map(|(_, job)| job.state).collect::<Vec<_>>(), [JobState::Succeeded]);
}

#[tokio::test]
async fn places_for_watchers_are_bounded_and_given_back() {
    let world = World::start_with(|config| config.watchers_max = 1).await;
    let new = world.job_for(&long_clip()).await;
    world.queue(&new).await;
    let first = watch(&world, new.id).await;
    let refused = watch(&world, new.id).await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"5".parse().unwrap()));
    world.client.cancel_job(new.id).await.unwrap();
    assert_eq!(jobs(first).await.last().unwrap().1.state, JobState::Cancelled);
    assert_eq!(jobs(watch(&world, new.id).await).await.len(), 1);
    assert_eq!(watch(&world, Uuid::now_v7()).await.status(), 404);
}

#[tokio::test]
async fn a_watcher_does_not_hold_up_the_stop() {
    let mut world = World::start().await;
    let new = world.job_for(&short_clip()).await;
    world.metadata.take().unwrap().stop().await;
    world.queue(&new).await;
    let watching = tokio::spawn(jobs(watch(&world, new.id).await));
    world.until(new.id, "it waits for the catalogue", |job| job.stage == "publishing").await;
    let stopping = world.transcode.take().unwrap().stop();
    tokio::time::timeout(Duration::from_secs(8), stopping).await.expect("the stop is quick");
    let seen = watching.await.unwrap();
    assert_eq!(seen.last().unwrap().1.state, JobState::Running);
}

//! `GET /assets/{id}/scores`, `PUT /assets/{id}/scores/{job}`.

use flame_api::Page;
use flame_api::metadata::{Measure, NewScore, SCORES_KEPT_MAX, Score};
use flame_api::quality::jobs::GateVerdict;
use reqwest::Method;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::world::{On, World, json, problem};

fn score(id: Uuid) -> NewScore {
    let gate = GateVerdict { gate: "vmaf.p5 >= 80".to_owned(), measured: Some(81.5), passed: true, why: None };
    NewScore {
        measure: Measure::Comparison,
        media: format!("{id}/v720"),
        version: Some("0123456789ab".to_owned()),
        track: Some("v720".to_owned()),
        reference: Some(format!("{id}/source")),
        figures: [("vmaf.p5".to_owned(), 81.5), ("alignment.dropped_frames".to_owned(), 0.0)].into(),
        gates: vec![gate],
        tools: "libvmaf 3.0.0".to_owned(),
        measured_at: OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap(),
    }
}

async fn what_was_measured_stays_with_the_asset_newest_first(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    let path = format!("/assets/{}/scores", asset.id);
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    assert_eq!(world.send(Method::PUT, &format!("{path}/{first}"), &score(asset.id)).await.status(), 201);
    let inspection = NewScore {
        measure: Measure::Inspection,
        reference: None,
        version: None,
        track: None,
        gates: Vec::new(),
        ..score(asset.id)
    };
    assert_eq!(world.send(Method::PUT, &format!("{path}/{second}"), &inspection).await.status(), 201);
    // What a job found does not change.
    let other = NewScore { tools: "others".to_owned(), ..score(asset.id) };
    assert_eq!(world.send(Method::PUT, &format!("{path}/{first}"), &other).await.status(), 200);
    let page: Page<Score> = json(world.get(&path).await, 200).await;
    let expected =
        [Score { job_id: second, score: inspection }, Score { job_id: first, score: score(asset.id) }].to_vec();
    assert_eq!((page.items, page.next_cursor), (expected, None));
    // The asset itself is as it was.
    assert_eq!(world.asset(asset.id).await, asset);
}

async fn as_many_scores_are_kept_as_may_be(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    let path = format!("/assets/{}/scores", asset.id);
    let jobs: Vec<Uuid> = (0..SCORES_KEPT_MAX + 3).map(|_| Uuid::now_v7()).collect();
    for job in &jobs {
        assert_eq!(world.send(Method::PUT, &format!("{path}/{job}"), &score(asset.id)).await.status(), 201);
    }
    let page: Page<Score> = json(world.get(&path).await, 200).await;
    let kept: Vec<Uuid> = page.items.iter().map(|score| score.job_id).collect();
    assert_eq!(kept, jobs.into_iter().skip(3).rev().collect::<Vec<_>>());
}

async fn a_score_that_does_not_fit_is_refused(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    let path = format!("/assets/{}/scores/{}", asset.id, Uuid::now_v7());
    let right = score(asset.id);
    let many = (0..129).map(|at| (format!("figure.{at}"), 1.0)).collect();
    let cases = [
        (NewScore { media: String::new(), ..right.clone() }, "media"),
        (NewScore { tools: "x".repeat(1025), ..right.clone() }, "tools"),
        (NewScore { version: Some("../..".to_owned()), ..right.clone() }, "version"),
        (NewScore { figures: many, ..right.clone() }, "figures"),
        (NewScore { gates: vec![right.gates[0].clone(); 65], ..right.clone() }, "gates"),
    ];
    for (wrong, named) in cases {
        let detail = problem(world.send(Method::PUT, &path, &wrong).await, 422, "unprocessable").await;
        assert!(detail.contains(&format!("`{named}`")), "{detail}");
    }
    let nowhere = format!("/assets/{}/scores/{}", Uuid::now_v7(), Uuid::now_v7());
    problem(world.send(Method::PUT, &nowhere, &right).await, 404, "not-found").await;
    problem(world.get(&format!("/assets/{}/scores", Uuid::now_v7())).await, 404, "not-found").await;
}

on_each_database!(
    what_was_measured_stays_with_the_asset_newest_first,
    as_many_scores_are_kept_as_may_be,
    a_score_that_does_not_fit_is_refused,
);

//! PostgreSQL goes away and comes back: requests get 503 within the wait, and nothing that was acknowledged is lost.

use std::time::Duration;

use flame_service_host::config::Span;
use flame_test_kit::eventually;
use reqwest::Method;

use crate::world::{On, World, new_asset, problem};

#[tokio::test]
async fn a_server_that_is_away_is_503_and_works_again_when_it_is_back() {
    if !On::Postgres.is_there() {
        return;
    }
    let wait = |config: &mut flame_metadata::Config| config.database_wait = Span(Duration::from_millis(500));
    let mut world = World::start_with(On::Postgres, wait).await;
    let before = world.register("before").await;
    world.postgres.as_mut().unwrap().halt();
    for _ in 0..3 {
        let answer = world.get(&format!("/assets/{}", before.id)).await;
        assert_eq!(answer.headers()["retry-after"], "1");
        problem(answer, 503, "unavailable").await;
    }
    problem(world.send(Method::POST, "/assets", &new_asset("default")).await, 503, "unavailable").await;
    assert_eq!(world.get("/health/ready").await.status(), 503);
    world.postgres.as_mut().unwrap().resume().await;
    eventually(Duration::from_secs(30), || async {
        let status = world.get("/health/ready").await.status();
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
    assert_eq!(world.asset(before.id).await, before);
    world.register("after").await;
}

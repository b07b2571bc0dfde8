//! `GET /assets?ids=`, `PATCH /assets`: several assets in one call.

use flame_api::Page;
use flame_api::metadata::{Asset, BATCH_MAX, EditOutcomes};
use reqwest::Method;
use serde_json::{Value, json as value};
use uuid::Uuid;

use crate::world::{On, World, json, problem};

fn edit(id: Uuid, revision: u64, patch: &Value) -> Value {
    value!({ "id": id, "revision": revision, "patch": patch })
}

async fn several_are_read_by_their_ids_and_nobody_else_s(on: On) {
    let mut world = World::start(on).await;
    world.act_for(Some("other"));
    let foreign = world.register("Theirs").await.id;
    world.act_for(None);
    let mut ids = Vec::new();
    for number in 0..60 {
        ids.push(world.register(&format!("No. {number}")).await.id);
    }
    let gone = ids.pop().unwrap();
    assert_eq!(world.request(Method::DELETE, &format!("/assets/{gone}")).send().await.unwrap().status(), 204);
    let asked = ids.iter().chain([&foreign, &gone, &Uuid::nil()]).map(Uuid::to_string).collect::<Vec<_>>().join(",");
    let page: Page<Asset> = json(world.get(&format!("/assets?ids={asked}")).await, 200).await;
    // Newest first, all of them: more than an ordinary page.
    let found: Vec<Uuid> = page.items.iter().map(|asset| asset.id).collect();
    assert_eq!(found, ids.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(page.next_cursor, None);

    let first: Page<Asset> = json(world.get(&format!("/assets?ids={asked}&limit=40")).await, 200).await;
    let cursor = first.next_cursor.unwrap();
    let rest: Page<Asset> = json(world.get(&format!("/assets?ids={asked}&limit=40&cursor={cursor}")).await, 200).await;
    assert_eq!((first.items.len(), rest.items.len(), rest.next_cursor), (40, 19, None));

    problem(world.get("/assets?ids=x").await, 422, "unprocessable").await;
    let many = vec![foreign.to_string(); BATCH_MAX + 1].join(",");
    problem(world.get(&format!("/assets?ids={many}")).await, 422, "unprocessable").await;
    problem(world.get(&format!("/assets?ids={foreign}&q=x")).await, 400, "bad-request").await;
}

async fn each_of_several_edits_stands_for_itself(on: On) {
    let mut world = World::start(on).await;
    world.act_for(Some("other"));
    let foreign = world.register("Theirs").await;
    world.act_for(None);
    let (one, two, three) = (world.register("one").await, world.register("two").await, world.register("three").await);
    let edits = [
        edit(one.id, one.revision, &value!({ "title": "Uno", "record": { "keywords": ["sea"] } })),
        edit(two.id, two.revision + 1, &value!({ "title": "Due" })),
        edit(three.id, three.revision, &value!({ "title": "x".repeat(501) })),
        edit(foreign.id, foreign.revision, &value!({ "title": "Mine" })),
        edit(Uuid::nil(), 1, &value!({ "title": "Nobody's" })),
        // The same one again: at the revision that the first edit made.
        edit(one.id, one.revision + 1, &value!({ "custom": { "shoot": { "day": 3 } } })),
        edit(one.id, one.revision, &value!({ "title": "Too late" })),
    ];
    let answer = world.send(Method::PATCH, "/assets", &value!({ "edits": edits })).await;
    let outcomes: EditOutcomes = json(answer, 200).await;
    let statuses: Vec<u16> = outcomes.items.iter().map(|outcome| outcome.status).collect();
    assert_eq!(statuses, [200, 412, 422, 404, 404, 200, 412]);
    for outcome in &outcomes.items {
        assert_eq!(outcome.asset.is_some(), outcome.status == 200);
        assert_eq!(outcome.problem.as_ref().map_or(200, |problem| problem.status), outcome.status);
    }
    let after = world.asset(one.id).await;
    assert_eq!(outcomes.items[5].asset.as_ref(), Some(&after));
    assert_eq!((after.title.as_str(), after.revision), ("Uno", one.revision + 2));
    assert_eq!((world.asset(two.id).await, world.asset(three.id).await), (two, three), "refused, and not touched");
    // Each edit is in the history of its asset.
    let history: Value = json(world.get(&format!("/assets/{}/history", one.id)).await, 200).await;
    assert_eq!(history["items"].as_array().unwrap().len(), 3, "{history}");

    for wrong in [0, BATCH_MAX + 1] {
        let edits = vec![edit(one.id, 1, &value!({})); wrong];
        problem(world.send(Method::PATCH, "/assets", &value!({ "edits": edits })).await, 422, "unprocessable").await;
    }
    let unknown = value!({ "edits": [{ "id": one.id, "revision": 1, "patch": { "titel": "x" } }] });
    let status = world.send(Method::PATCH, "/assets", &unknown).await.status().as_u16();
    assert!(matches!(status, 400 | 422), "{status}");
}

on_each_database! {
    several_are_read_by_their_ids_and_nobody_else_s,
    each_of_several_edits_stands_for_itself,
}

//! `PATCH /assets/{id}` of records and custom fields, `GET /assets/{id}/history`, `POST /assets/{id}/restore`, and the trash.

use std::time::Duration;

use flame_api::Page;
use flame_api::metadata::{Action, Asset, Change, Standing, StandingState};
use flame_metadata::config::{HistoryConfig, TrashConfig};
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use reqwest::Method;
use serde_json::{Value, json as value};
use uuid::Uuid;

use crate::world::{On, World, json, new_asset, new_version, problem};

impl World {
    async fn edit(&self, id: Uuid, tag: &str, patch: &Value) -> reqwest::Response {
        let request = self.request(Method::PATCH, &format!("/assets/{id}")).header("if-match", tag.to_owned());
        let request = request.header("content-type", "application/merge-patch+json").body(patch.to_string());
        request.send().await.expect("the service answers")
    }

    async fn history(&self, id: Uuid) -> Vec<Change> {
        let page: Page<Change> = json(self.get(&format!("/assets/{id}/history")).await, 200).await;
        page.items
    }

    async fn post(&self, path: &str) -> reqwest::Response {
        self.request(Method::POST, path).send().await.expect("the service answers")
    }

    async fn delete(&self, id: Uuid, query: &str) -> u16 {
        let answer = self.request(Method::DELETE, &format!("/assets/{id}{query}")).send().await.expect("an answer");
        answer.status().as_u16()
    }
}

fn said(changes: &[Change]) -> Vec<(u64, Action)> {
    changes.iter().map(|change| (change.revision, change.action)).collect()
}

async fn records_and_custom_fields_are_merged_and_bounded(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    assert!(asset.record.is_empty() && asset.custom.is_empty());
    let record = value!({
        "description": "Waves.\nAnd wind – “quoted” \u{1f30a}", "keywords": ["sea", "wind"], "inLanguage": ["en"],
        "identifier": [{ "propertyID": "EIDR", "value": "10.5240/1" }, { "propertyID": "house", "value": "7" }],
        "director": [{ "name": "Agnès" }], "copyrightHolder": [{ "name": "City" }], "copyrightYear": 2026,
        "contentLocation": [{ "name": "Pier", "geo": { "latitude": 51.45, "longitude": -2.625 } }],
        "hasPart": [{ "name": "One", "startOffset": 0.0, "endOffset": 1.5 }],
    });
    let custom = value!({ "shoot": { "day": 3, "wet": true, "ratio": 0.1, "crew": ["a", "b"] }, "z": 1, "a": 2 });
    let first: Asset =
        json(world.edit(asset.id, "\"1\"", &value!({ "record": record, "custom": custom })).await, 200).await;
    assert_eq!(serde_json::to_value(&first.record).unwrap(), record);
    assert_eq!(Value::Object(first.custom.clone()), custom);
    let patch = value!({ "record": { "description": null, "genre": ["sea"] }, "custom": { "shoot": { "day": null, "wet": false } } });
    let second: Asset = json(world.edit(asset.id, "\"2\"", &patch).await, 200).await;
    assert_eq!((second.record.description.as_ref(), second.record.keywords.len(), second.revision), (None, 2, 3));
    assert_eq!(second.custom["shoot"], value!({ "wet": false, "ratio": 0.1, "crew": ["a", "b"] }));
    assert_eq!(world.asset(asset.id).await, second);

    let deep = (0..20).fold(value!(1), |inner, _| value!({ "a": inner }));
    for (wrong, named) in [
        (value!({ "record": { "descripton": "x" } }), "record.descripton"),
        (value!({ "record": { "keywords": "x" } }), "record.keywords"),
        (value!({ "record": { "inLanguage": ["english!"] } }), "record.inLanguage"),
        (value!({ "record": "x" }), "record"),
        (value!({ "custom": [] }), "custom"),
        (value!({ "custom": deep }), "custom.a"),
        (value!({ "custom": { "a": "\u{0}" } }), "custom.a"),
        (value!({ "custom": { "a": "x".repeat(20_000) } }), "custom"),
        (value!({ "custom": { "many": vec![0; 2000] } }), "custom"),
    ] {
        let detail = problem(world.edit(asset.id, "\"3\"", &wrong).await, 422, "unprocessable").await;
        assert!(detail.contains(named), "{named}: {detail}");
    }
    problem(world.edit(asset.id, "\"2\"", &patch).await, 412, "precondition-failed").await;
    let cleared: Asset = json(world.edit(asset.id, "*", &value!({ "record": null, "custom": null })).await, 200).await;
    assert!(cleared.record.is_empty() && cleared.custom.is_empty());
}

async fn every_change_is_in_the_history_with_what_it_was_before(on: On) {
    let world = World::start(on).await;
    let asset = world.register("One").await;
    let id = asset.id;
    world.edit(id, "*", &value!({ "title": "Two", "record": { "description": "d" } })).await;
    world.edit(id, "*", &value!({ "title": "Two" })).await;
    world.send(Method::PUT, &format!("/assets/{id}/failure"), &value!({ "reason": "no disk" })).await;
    world.send(Method::PUT, &format!("/assets/{id}/versions/0123456789ab"), &new_version()).await;
    world.edit(id, "*", &value!({ "record": { "description": "e" } })).await;
    let changes = world.history(id).await;
    let expected = [
        (5, Action::Edited),
        (4, Action::Published),
        (3, Action::Failed),
        (2, Action::Edited),
        (1, Action::Registered),
    ];
    assert_eq!(said(&changes), expected);
    assert!(changes.iter().all(|change| change.by == "loopback"));
    assert_eq!((changes[1].detail.as_deref(), changes[2].detail.as_deref()), (Some("0123456789ab"), Some("no disk")));
    assert_eq!(changes[0].change, Some(value!({ "record": { "description": "e" } })));
    assert_eq!(changes[3].undo, Some(value!({ "title": "One", "record": { "description": null } })));

    // Page by page it is the same.
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let page: Page<Change> = json(world.get(&format!("/assets/{id}/history?limit=2{cursor}")).await, 200).await;
        walked.extend(page.items);
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(walked, changes);
    problem(world.get(&format!("/assets/{id}/history?limit=51")).await, 400, "bad-request").await;
    problem(world.get(&format!("/assets/{id}/history?cursor=x")).await, 400, "bad-request").await;
    problem(world.get(&format!("/assets/{}/history", Uuid::now_v7())).await, 404, "not-found").await;
}

async fn an_edit_is_taken_back_and_the_version_stays(on: On) {
    let world = World::start(on).await;
    let id = world.register("One").await.id;
    world.edit(id, "*", &value!({ "title": "Two", "custom": { "a": { "b": 1 } } })).await;
    world.send(Method::PUT, &format!("/assets/{id}/versions/0123456789ab"), &new_version()).await;
    world.edit(id, "*", &value!({ "title": "Three", "custom": { "a": null, "c": 1 } })).await;
    let restore = |revision: u64| format!("/assets/{id}/restore?revision={revision}");
    problem(world.post(&restore(2)).await, 428, "precondition-required").await;
    let with = |revision: u64, tag: &'static str| {
        world.request(Method::POST, &restore(revision)).header("if-match", tag).send()
    };
    problem(with(2, "\"3\"").await.unwrap(), 412, "precondition-failed").await;
    problem(with(9, "\"4\"").await.unwrap(), 422, "unprocessable").await;
    let restored: Asset = json(with(2, "\"4\"").await.unwrap(), 200).await;
    assert_eq!((restored.title.as_str(), restored.revision), ("Two", 5));
    assert_eq!(Value::Object(restored.custom.clone()), value!({ "a": { "b": 1 } }));
    assert!(restored.version.is_some(), "what plays goes on playing");
    assert_eq!(said(&world.history(id).await)[0], (5, Action::Restored));
    let first: Asset = json(with(1, "*").await.unwrap(), 200).await;
    assert_eq!((first.title.as_str(), first.custom.len()), ("One", 0));
    // As it is now: nothing happens.
    assert_eq!(json::<Asset>(with(6, "*").await.unwrap(), 200).await, first);
}

async fn what_is_no_longer_kept_is_said_to_be_gone(on: On) {
    let world = World::start_with(on, |config| config.history = HistoryConfig { keep: 3 }).await;
    let id = world.register("0").await.id;
    for title in 1..=6 {
        world.edit(id, "*", &value!({ "title": title.to_string() })).await;
    }
    assert_eq!(said(&world.history(id).await).iter().map(|(revision, _)| *revision).collect::<Vec<_>>(), [7, 6, 5]);
    let with = |revision: u64| {
        world.request(Method::POST, &format!("/assets/{id}/restore?revision={revision}")).header("if-match", "*").send()
    };
    problem(with(3).await.unwrap(), 410, "gone").await;
    assert_eq!(json::<Asset>(with(4).await.unwrap(), 200).await.title, "3");
}

async fn a_deleted_asset_lies_in_the_trash_and_comes_back_as_it_was(on: On) {
    let world = World::start(on).await;
    let (kept, deleted) = (world.register("sea kept").await, world.register("sea deleted").await);
    world.send(Method::PUT, &format!("/assets/{}/versions/0123456789ab", deleted.id), &new_version()).await;
    let before = world.asset(deleted.id).await;
    assert_eq!(world.delete(deleted.id, "").await, 204);
    assert_eq!(world.delete(deleted.id, "").await, 404);
    problem(world.get(&format!("/assets/{}", deleted.id)).await, 404, "not-found").await;
    problem(world.edit(deleted.id, "*", &value!({ "title": "x" })).await, 404, "not-found").await;
    for query in ["", "?q=sea", "?state=registered"] {
        let page: Page<Asset> = json(world.get(&format!("/assets{query}")).await, 200).await;
        assert_eq!(page.items.iter().map(|asset| asset.id).collect::<Vec<_>>(), [kept.id], "{query}");
    }
    let trash: Page<Asset> = json(world.get("/assets?deleted=true").await, 200).await;
    assert_eq!(trash.items.iter().map(|asset| asset.id).collect::<Vec<_>>(), [deleted.id]);
    assert!(trash.items[0].deleted_at.is_some());
    problem(world.get("/assets?deleted=true&q=sea").await, 400, "bad-request").await;
    assert_eq!(said(&world.history(deleted.id).await)[0].1, Action::Deleted);

    let back: Asset = json(world.post(&format!("/assets/{}/restore", deleted.id)).await, 200).await;
    assert_eq!(back.revision, before.revision + 2);
    assert_eq!(Asset { revision: before.revision, updated_at: before.updated_at, ..back.clone() }, before);
    assert_eq!(world.asset(deleted.id).await, back);
    let page: Page<Asset> = json(world.get("/assets?q=deleted").await, 200).await;
    assert_eq!(page.items, std::slice::from_ref(&back));
    // Asked for again, nothing happens; and of what never was, nothing comes back.
    assert_eq!(json::<Asset>(world.post(&format!("/assets/{}/restore", deleted.id)).await, 200).await, back);
    problem(world.post(&format!("/assets/{}/restore", Uuid::now_v7())).await, 404, "not-found").await;
}

/// A job that ends while its asset lies in the trash has worked for whoever takes it out again.
async fn what_a_job_says_of_an_asset_in_the_trash_counts_once_it_is_back(on: On) {
    let world = World::start(on).await;
    let asset = world.register("rescued").await;
    let path = format!("/assets/{}", asset.id);
    let again = flame_api::metadata::NewAsset { id: asset.id, source: asset.source.clone(), ..new_asset("default") };
    assert_eq!(world.delete(asset.id, "").await, 204);
    // Who asks again after a crash is told that it is there, and does not take its bytes for nobody's.
    let known: Asset = json(world.send(Method::POST, "/assets", &again).await, 200).await;
    assert!(known.deleted_at.is_some());
    let done = world.send(Method::PUT, &format!("{path}/versions/0123456789ab"), &new_version()).await;
    assert!(json::<Asset>(done, 201).await.deleted_at.is_some(), "it stays where it is");
    let standing: Standing = json(world.get(&format!("{path}/standing")).await, 200).await;
    let key = Some(format!("default/sources/{}", asset.id));
    assert_eq!((standing.state, standing.source_key), (StandingState::Trashed, key));
    problem(world.get(&path).await, 404, "not-found").await;
    let back: Asset = json(world.post(&format!("{path}/restore")).await, 200).await;
    assert_eq!(back.version.map(|version| version.name).as_deref(), Some("0123456789ab"));
    // What was erased stays gone.
    assert_eq!(world.delete(asset.id, "?erase=true").await, 204);
    let late = world.send(Method::PUT, &format!("{path}/versions/0123456789ac"), &new_version()).await;
    problem(late, 404, "not-found").await;
}

async fn what_is_erased_or_was_in_the_trash_for_long_enough_is_gone_for_good(on: On) {
    let keep = Span(Duration::from_millis(300));
    let world = World::start_with(on, |config| config.trash = TrashConfig { keep }).await;
    let (waits, erased) = (world.register("waits").await.id, world.register("erased").await.id);
    let standing = async |id: Uuid| {
        let answer = json::<Standing>(world.get(&format!("/assets/{id}/standing")).await, 200).await;
        (answer.state, answer.source_key)
    };
    let key = |id: Uuid| Some(format!("default/sources/{id}"));
    assert_eq!(standing(Uuid::new_v4()).await, (StandingState::Free, None));
    assert_eq!(standing(waits).await, (StandingState::Present, key(waits)));
    assert_eq!(world.delete(erased, "?erase=true").await, 204);
    assert_eq!(standing(erased).await, (StandingState::Deleted, key(erased)));
    assert_eq!(world.delete(waits, "").await, 204);
    eventually(Duration::from_secs(30), || async {
        let last = world.history(waits).await.remove(0);
        if last.action == Action::Erased { Ok(()) } else { Err(format!("{last:?}")) }
    })
    .await;
    for (id, by) in [(waits, "trash"), (erased, "loopback")] {
        let changes = world.history(id).await;
        assert_eq!((changes.len(), changes[0].action, changes[0].by.as_str()), (1, Action::Erased, by));
        problem(world.post(&format!("/assets/{id}/restore")).await, 404, "not-found").await;
        let again = flame_api::metadata::NewAsset { id, ..new_asset("default") };
        problem(world.send(Method::POST, "/assets", &again).await, 409, "conflict").await;
    }
}

on_each_database! {
    records_and_custom_fields_are_merged_and_bounded,
    every_change_is_in_the_history_with_what_it_was_before,
    an_edit_is_taken_back_and_the_version_stays,
    what_is_no_longer_kept_is_said_to_be_gone,
    a_deleted_asset_lies_in_the_trash_and_comes_back_as_it_was,
    what_a_job_says_of_an_asset_in_the_trash_counts_once_it_is_back,
    what_is_erased_or_was_in_the_trash_for_long_enough_is_gone_for_good,
}

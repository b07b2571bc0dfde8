//! `POST /assets/import`: many whole assets in one call.

use flame_api::Page;
use flame_api::metadata::{Asset, AssetState, IMPORT_BODY_MAX_BYTES, IMPORT_LINES_MAX, ImportOutcomes, ImportedAsset};
use reqwest::{Method, Response};
use serde_json::{Value, json as value};
use uuid::Uuid;

use crate::world::{On, World, json, new_asset, new_version, problem};

/// A whole asset: with a record, fields of its own, subtitles and a version.
fn whole(number: usize) -> Value {
    let new = new_asset("default");
    let subtitles = value!([{
        "id": "0123456789ab", "language": "de", "role": "subtitle", "title": "Deutsch", "default": true,
        "key": format!("default/subtitles/{}/0123456789ab.vtt", new.id), "size_bytes": 9, "sha256": "cd".repeat(32), "cues": 1,
        "created_at": "2026-05-17T12:00:00Z",
    }]);
    let mut version = serde_json::to_value(new_version()).unwrap();
    version["name"] = "ba9876543210".into();
    version["created_at"] = "2026-05-17T12:00:00Z".into();
    let mut line = serde_json::to_value(&new).unwrap();
    line["title"] = format!("No. {number}").into();
    line["protected"] = true.into();
    line["encryption"] = "sample-aes".into();
    line["record"] = value!({
        "description": "Häuser am Meer", "inLanguage": ["de"],
        "identifier": [{ "propertyID": "house", "value": format!("n{number}") }],
    });
    line["custom"] = value!({ "shoot": { "day": number } });
    line["subtitles"] = subtitles;
    line["version"] = version;
    line
}

/// Only what a registration needs.
fn plain(number: usize) -> Value {
    let mut line = serde_json::to_value(new_asset("default")).unwrap();
    line["title"] = format!("No. {number}").into();
    line
}

fn id(line: &Value) -> Uuid {
    line["id"].as_str().unwrap().parse().unwrap()
}

fn ndjson(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

async fn send(world: &World, body: String) -> Response {
    let request = world.request(Method::POST, "/assets/import").header("content-type", "application/x-ndjson");
    request.body(body).send().await.unwrap()
}

async fn told(world: &World, body: String) -> Vec<(usize, u16, Option<Uuid>)> {
    let outcomes: ImportOutcomes = json(send(world, body).await, 200).await;
    for outcome in &outcomes.items {
        assert_eq!(outcome.problem.as_ref().map_or(outcome.status, |problem| problem.status), outcome.status);
        assert_eq!(outcome.problem.is_none(), outcome.id.is_some(), "{outcome:?}");
    }
    outcomes.items.into_iter().map(|outcome| (outcome.line, outcome.status, outcome.id)).collect()
}

async fn positions(world: &World) -> Vec<Value> {
    let page: Value = json(world.get("/changes?after=0").await, 200).await;
    page["items"].as_array().unwrap().clone()
}

async fn whole_assets_are_there_as_if_each_part_had_been_brought_alone(on: On) {
    let world = World::start(on).await;
    let lines = [whole(1), plain(2), whole(3)];
    let ids = lines.each_ref().map(id);
    let made: Vec<(usize, u16, Option<Uuid>)> = (1..).zip(ids).map(|(line, id)| (line, 201, Some(id))).collect();
    assert_eq!(told(&world, ndjson(&lines)).await, made);
    let asset = world.asset(ids[0]).await;
    assert_eq!((asset.state, asset.revision, asset.tenant.as_str()), (AssetState::Ready, 3, "default"));
    let mut line: ImportedAsset = serde_json::from_value(lines[0].clone()).unwrap();
    let (subtitle, version) = (&asset.subtitles[0], asset.version.as_ref().unwrap());
    // Only these times are the catalogue's.
    line.subtitles[0].created_at = subtitle.created_at;
    line.version.as_mut().unwrap().created_at = version.created_at;
    assert_eq!(ImportedAsset::from(asset.clone()), line);
    let bare = world.asset(ids[1]).await;
    assert_eq!((bare.state, bare.revision, bare.record.is_empty()), (AssetState::Registered, 1, true));

    // Found by words, another form of a word, its identifier and its fields, newest first.
    for query in ["q=haus", "q=no.", "filter=custom.shoot.day+>=+1", "filter=record.description+~+meer"] {
        let page: Page<Asset> = json(world.get(&format!("/assets?{query}")).await, 200).await;
        let found: Vec<Uuid> = page.items.iter().map(|asset| asset.id).collect();
        let wanted = if query == "q=no." { vec![ids[2], ids[1], ids[0]] } else { vec![ids[2], ids[0]] };
        assert_eq!(found, wanted, "{query}");
    }
    let page: Page<Asset> = json(world.get("/assets?identifier=house:n3").await, 200).await;
    assert_eq!(page.items.iter().map(|asset| asset.id).collect::<Vec<_>>(), [ids[2]]);

    // History and feed have each change, without a gap, and the next edit goes on from there.
    let history: Value = json(world.get(&format!("/assets/{}/history", ids[0])).await, 200).await;
    let actions: Vec<_> = history["items"].as_array().unwrap().iter().map(|change| change["action"].clone()).collect();
    assert_eq!(actions, ["published", "subtitle-listed", "registered"]);
    let patch = world.request(Method::PATCH, &format!("/assets/{}", ids[0])).header("if-match", "\"3\"");
    let after: Asset = json(patch.json(&value!({ "title": "After" })).send().await.unwrap(), 200).await;
    assert_eq!((after.revision, after.record), (4, asset.record));
    let feed = positions(&world).await;
    let seen: Vec<u64> = feed.iter().map(|change| change["position"].as_u64().unwrap()).collect();
    assert_eq!(seen, (1..=8).collect::<Vec<u64>>());
    assert_eq!((&feed[3]["action"], &feed[3]["asset_id"]), (&"registered".into(), &ids[1].to_string().into()));
    let restored =
        world.request(Method::POST, &format!("/assets/{}/restore?revision=1", ids[0])).header("if-match", "\"4\"");
    let restored: Asset = json(restored.send().await.unwrap(), 200).await;
    assert_eq!(restored.title, "No. 1");
}

async fn what_is_known_stays_and_a_refused_line_leaves_the_others_alone(on: On) {
    let mut world = World::start(on).await;
    world.act_for(Some("other"));
    let foreign = world.register("Theirs").await.id;
    world.act_for(None);
    let (trashed, erased) = (world.register("Trashed").await, world.register("Erased").await);
    for path in [format!("/assets/{}", trashed.id), format!("/assets/{}?erase=true", erased.id)] {
        assert_eq!(world.request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    }
    let first = whole(1);
    assert_eq!(told(&world, ndjson(std::slice::from_ref(&first))).await, [(1, 201, Some(id(&first)))]);
    let before = positions(&world).await;

    let with_id = |id: Uuid| {
        let mut line = plain(7);
        line["id"] = id.to_string().into();
        line
    };
    let mut same_name = plain(8);
    same_name["record"] = first["record"].clone();
    let mut same_name_of_others = same_name.clone();
    same_name_of_others["id"] = Uuid::now_v7().to_string().into();
    same_name_of_others["source"] = plain(8)["source"].clone();
    same_name_of_others["source"]["sha256"] = "ef".repeat(32).into();
    let mut in_trash = plain(9);
    in_trash["id"] = trashed.id.to_string().into();
    in_trash["source"] = serde_json::to_value(&trashed.source).unwrap();
    let mut other_source = first.clone();
    other_source["source"]["size_bytes"] = 1.into();
    let mut edited = first.clone();
    edited["title"] = "Not taken over".into();
    let good = plain(10);
    let body = format!(
        "{}\n\n{{\n{}",
        edited,
        ndjson(&[
            same_name,
            other_source,
            with_id(foreign),
            in_trash,
            with_id(erased.id),
            value!({ "title": "x" }),
            good.clone(),
            good.clone(),
            same_name_of_others,
        ])
    );
    let outcomes = told(&world, body).await;
    let statuses: Vec<(usize, u16)> = outcomes.iter().map(|(line, status, _)| (*line, *status)).collect();
    let wanted = [(1, 200), (3, 422), (4, 200), (5, 409), (6, 409), (7, 409), (8, 409), (9, 422), (10, 201), (11, 200)];
    let (last, others) = statuses.split_last().unwrap();
    assert_eq!((others, *last), (&wanted[..], (12, 201)), "the same identifier, and other bytes");
    assert_eq!((outcomes[0].2, outcomes[2].2), (Some(id(&first)), Some(id(&first))));
    assert_eq!(world.asset(id(&first)).await.title, "No. 1");
    assert_eq!(positions(&world).await.len(), before.len() + 2, "two are new");
    // Once more: nothing is.
    assert_eq!(told(&world, ndjson(&[first, good])).await.iter().map(|told| told.1).collect::<Vec<_>>(), [200, 200]);
    assert_eq!(positions(&world).await.len(), before.len() + 2);
}

async fn a_body_that_is_too_much_or_nothing_is_refused_as_a_whole(on: On) {
    let world = World::start(on).await;
    problem(send(&world, "\n \n".to_owned()).await, 422, "unprocessable").await;
    let many: Vec<Value> = (0..=IMPORT_LINES_MAX).map(plain).collect();
    problem(send(&world, ndjson(&many)).await, 422, "unprocessable").await;
    problem(send(&world, " ".repeat(IMPORT_BODY_MAX_BYTES + 1)).await, 413, "too-large").await;
    let typed = world.send(Method::POST, "/assets/import", &plain(1)).await;
    problem(typed, 415, "unsupported-media-type").await;
    assert!(positions(&world).await.is_empty());
    let full = &many[..IMPORT_LINES_MAX];
    let outcomes = told(&world, ndjson(full)).await;
    assert!(outcomes.len() == IMPORT_LINES_MAX && outcomes.iter().all(|told| told.1 == 201));
    let page: Page<Asset> = json(world.get("/assets?limit=200").await, 200).await;
    let newest_first: Vec<Uuid> = full.iter().rev().map(id).collect();
    assert_eq!(page.items.iter().map(|asset| asset.id).collect::<Vec<_>>(), newest_first, "in the order of the lines");
}

/// The same lines in opposite orders, all at once, with edits in between: nobody waits in a ring, and each is registered once.
async fn imports_that_meet_do_not_hold_each_other_up(on: On) {
    let world = World::start(on).await;
    let lines: Vec<Value> = (0..40).map(plain).collect();
    let bodies: Vec<String> = (0..4)
        .map(|number| {
            let mut lines = lines.clone();
            if number % 2 == 1 {
                lines.reverse();
            }
            ndjson(&lines)
        })
        .collect();
    let single = async {
        for line in &lines {
            let status = world.send(Method::POST, "/assets", line).await.status().as_u16();
            assert!(matches!(status, 200 | 201), "{status}");
        }
    };
    let [one, two, three, four] = [0, 1, 2, 3].map(|number| told(&world, bodies[number].clone()));
    let (one, two, three, four, ()) = tokio::join!(one, two, three, four, single);
    for outcome in [one, two, three, four].iter().flatten() {
        assert!(matches!(outcome.1, 200 | 201), "{outcome:?}");
    }
    assert_eq!(positions(&world).await.len(), lines.len(), "each was registered once");
}

/// The same identifiers and bytes under ids of their own, all at once: each identifier is registered once, and all are told of the same.
async fn imports_that_meet_register_an_identifier_once(on: On) {
    let world = World::start(on).await;
    for round in 0..5 {
        let body = || {
            let named = |number: usize| {
                let mut line = plain(number);
                line["record"] =
                    value!({ "identifier": [{ "propertyID": "house", "value": format!("{round}-{number}") }] });
                line
            };
            ndjson(&(0..20).map(named).collect::<Vec<_>>())
        };
        let [one, two, three, four] = [(); 4].map(|()| told(&world, body()));
        let (one, two, three, four) = tokio::join!(one, two, three, four);
        for number in 0..20 {
            let told = [&one, &two, &three, &four].map(|outcomes| outcomes[number]);
            assert_eq!(told.iter().filter(|told| told.1 == 201).count(), 1, "{told:?}");
            assert!(told.iter().all(|other| other.2 == told[0].2 && matches!(other.1, 200 | 201)), "{told:?}");
        }
    }
}

on_each_database! {
    whole_assets_are_there_as_if_each_part_had_been_brought_alone,
    what_is_known_stays_and_a_refused_line_leaves_the_others_alone,
    a_body_that_is_too_much_or_nothing_is_refused_as_a_whole,
    imports_that_meet_do_not_hold_each_other_up,
    imports_that_meet_register_an_identifier_once,
}

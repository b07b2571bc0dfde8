//! `GET /assets/{id}/provenance`, `GET /assets?sha256=`, `GET /assets?identifier=`.

use std::collections::BTreeMap;

use flame_api::Page;
use flame_api::metadata::{Asset, Conditioning, Measure, NewAsset, NewScore, NewVersion, Provenance};
use reqwest::Method;
use serde_json::json as value;
use uuid::Uuid;

use crate::world::{On, World, json, new_asset, new_version, problem, video};

fn conditioning(preset: &str) -> Conditioning {
    serde_json::from_value(value!({
        "document_sha256": "ab".repeat(32), "parameters": BTreeMap::from([("preset", preset)]), "encoders": ["x264"],
        "tools": "flame-media 0.1.0",
    }))
    .unwrap()
}

fn score(version: &str, track: &str) -> NewScore {
    NewScore {
        measure: Measure::Inspection,
        media: track.to_owned(),
        version: Some(version.to_owned()),
        track: Some(track.to_owned()),
        reference: None,
        figures: [("black.count".to_owned(), 0.0)].into(),
        gates: Vec::new(),
        tools: "test".to_owned(),
        measured_at: time::OffsetDateTime::UNIX_EPOCH,
    }
}

async fn what_plays_is_walked_back_to_its_source_and_the_source_forwards(on: On) {
    let mut world = World::start(on).await;
    let asset = world.register("One").await;
    let path = format!("/assets/{}", asset.id);
    let first = NewVersion { conditioning: Some(conditioning("fast")), ..new_version() };
    let second = NewVersion { conditioning: Some(conditioning("slow")), tracks: vec![video(1080)], ..new_version() };
    for (name, version) in [("aaaaaaaaaaaa", &first), ("bbbbbbbbbbbb", &second)] {
        json::<Asset>(world.send(Method::PUT, &format!("{path}/versions/{name}"), version).await, 201).await;
    }
    let scores = [("aaaaaaaaaaaa", "v360"), ("bbbbbbbbbbbb", "v1080")]
        .map(|(version, track)| (Uuid::now_v7(), score(version, track)));
    for (job, score) in &scores {
        assert_eq!(world.send(Method::PUT, &format!("{path}/scores/{job}"), score).await.status(), 201);
    }
    // The same bytes, brought in again; and by somebody else, who stays unknown.
    let again = NewAsset {
        source: flame_api::metadata::Source { sha256: asset.source.sha256.clone(), ..new_asset("default").source },
        ..new_asset("default")
    };
    json::<Asset>(world.send(Method::POST, "/assets", &again).await, 201).await;
    world.act_for(Some("acme"));
    world.register("theirs").await;
    problem(world.get(&format!("{path}/provenance")).await, 404, "not-found").await;
    world.act_for(None);

    let whole: Provenance = json(world.get(&format!("{path}/provenance")).await, 200).await;
    assert_eq!(
        (&whole.source, &whole.probe, whole.registered.by.as_deref()),
        (&asset.source, &asset.probe, Some("loopback"))
    );
    assert_eq!(whole.same_source, [again.id]);
    let told: Vec<_> =
        whole.versions.iter().map(|made| (made.version.name.as_str(), made.plays, made.version.job_id)).collect();
    assert_eq!(told, [("bbbbbbbbbbbb", true, second.job_id), ("aaaaaaaaaaaa", false, first.job_id)]);
    assert_eq!(whole.versions[1].version.conditioning, first.conditioning);
    assert_eq!(whole.versions[0].published.by.as_deref(), Some("loopback"));

    // From what a URL names: /{asset}/{version}/{track}/{n}.m4s
    let of = |query: &str| format!("{path}/provenance?{query}");
    let segment: Provenance = json(world.get(&of("version=aaaaaaaaaaaa&track=v360")).await, 200).await;
    assert_eq!(segment.versions.len(), 1);
    let measured = |of: &Provenance| of.scores.iter().map(|score| score.job_id).collect::<Vec<_>>();
    assert_eq!((measured(&whole), measured(&segment)), (vec![scores[1].0, scores[0].0], vec![scores[0].0]));
    let version = &segment.versions[0].version;
    assert_eq!((version.chain.as_str(), version.tracks.len(), version.tracks[0].name.as_str()), ("ladder", 1, "v360"));
    for missing in ["version=cccccccccccc", "version=bbbbbbbbbbbb&track=v360", "track=nothing"] {
        problem(world.get(&of(missing)).await, 404, "not-found").await;
    }
    problem(world.get(&of("colour=red")).await, 400, "bad-request").await;
    problem(world.get(&format!("/assets/{}/provenance", Uuid::now_v7())).await, 404, "not-found").await;

    let forwards: Page<Asset> = json(world.get(&format!("/assets?sha256={}", asset.source.sha256)).await, 200).await;
    assert_eq!(forwards.items.iter().map(|one| one.id).collect::<Vec<_>>(), [again.id, asset.id]);
}

async fn an_asset_is_found_by_what_others_call_it(on: On) {
    let mut world = World::start(on).await;
    let identify = async |world: &World, id: Uuid, values: &[&str]| {
        let list: Vec<_> = values.iter().map(|value| value!({ "propertyID": "house", "value": value })).collect();
        let path = format!("/assets/{id}");
        let edit = world.request(Method::PATCH, &path).header("if-match", "*");
        json::<Asset>(edit.json(&value!({ "record": { "identifier": list } })).send().await.unwrap(), 200).await;
    };
    let find = async |world: &World, identifier: &str| {
        let answer =
            world.request(Method::GET, "/assets").query(&[("identifier", identifier), ("limit", "1")]).send().await;
        let page: Page<Asset> = json(answer.unwrap(), 200).await;
        (page.items.first().map(|asset| asset.id), page.next_cursor.is_some())
    };
    let (one, two) = (world.register("one").await.id, world.register("two").await.id);
    identify(&world, one, &["7", "a:b"]).await;
    identify(&world, two, &["7"]).await;
    assert_eq!(find(&world, "house:7").await, (Some(two), true));
    assert_eq!(find(&world, "house:a:b").await, (Some(one), false));
    assert_eq!(find(&world, "House:7").await.0, None);
    identify(&world, two, &["8"]).await;
    assert_eq!((find(&world, "house:7").await, find(&world, "house:8").await.0), ((Some(one), false), Some(two)));
    world.request(Method::DELETE, &format!("/assets/{two}")).send().await.unwrap();
    assert_eq!(find(&world, "house:8").await.0, None);
    world.act_for(Some("acme"));
    assert_eq!(find(&world, "house:7").await.0, None);
    problem(world.get("/assets?identifier=house").await, 422, "unprocessable").await;
    problem(world.get("/assets?sha256=x").await, 422, "unprocessable").await;
    problem(world.get("/assets?identifier=a:b&q=x").await, 400, "bad-request").await;
}

on_each_database! {
    what_plays_is_walked_back_to_its_source_and_the_source_forwards,
    an_asset_is_found_by_what_others_call_it,
}

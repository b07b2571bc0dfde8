//! `PUT /assets/{id}/versions/{version}`, `PUT /assets/{id}/failure`.

use flame_api::media::Rational;
use flame_api::metadata::{Asset, AssetState, NewVersion};
use reqwest::Method;
use serde_json::json as value;
use uuid::Uuid;

use crate::world::{On, World, json, new_version, problem, video};

async fn a_published_version_plays_and_the_newest_wins(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    let path = format!("/assets/{}/versions/00000000000", asset.id);
    let (first, second) = (new_version(), NewVersion { tracks: vec![video(360)], ..new_version() });
    let answer = world.send(Method::PUT, &format!("{path}f"), &first).await;
    assert_eq!(answer.headers()["etag"], "\"2\"");
    let ready: Asset = json(answer, 201).await;
    let version = ready.version.as_ref().unwrap();
    assert_eq!((ready.state, ready.revision, version.name.as_str()), (AssetState::Ready, 2, "00000000000f"));
    assert_eq!((version.job_id, &version.chain, &version.tracks), (first.job_id, &first.chain, &first.tracks));
    assert_eq!(world.asset(asset.id).await, ready);

    let newer: Asset = json(world.send(Method::PUT, &format!("{path}0"), &second).await, 201).await;
    assert_eq!(newer.version.as_ref().unwrap().tracks, second.tracks);
    // A late repetition of the first one changes nothing.
    let repeated: Asset = json(world.send(Method::PUT, &format!("{path}f"), &first).await, 200).await;
    assert_eq!(repeated, newer);
    assert_eq!(world.asset(asset.id).await, newer);
}

async fn a_version_never_changes(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    let path = format!("/assets/{}/versions/0123456789ab", asset.id);
    let version = new_version();
    let published: Asset = json(world.send(Method::PUT, &path, &version).await, 201).await;
    let mut shorter = version.clone();
    shorter.tracks.pop();
    let mut other = version.clone();
    other.tracks[0].size_bytes += 1;
    for changed in [shorter, other, NewVersion { chain: "other".to_owned(), ..version }] {
        problem(world.send(Method::PUT, &path, &changed).await, 409, "conflict").await;
    }
    assert_eq!(world.asset(asset.id).await, published);
}

async fn what_does_not_fit_is_refused(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    let right = format!("/assets/{}/versions/0123456789ab", asset.id);
    for name in ["0123456789AB", "0123456789a", "0123456789abc", "..%2f..%2f..%2f.", "%00"] {
        let path = format!("/assets/{}/versions/{name}", asset.id);
        problem(world.send(Method::PUT, &path, &new_version()).await, 422, "unprocessable").await;
    }
    let track = |change: fn(&mut flame_api::media::Track)| {
        let mut version = new_version();
        change(&mut version.tracks[1]);
        version
    };
    let cases = [
        (NewVersion { tracks: Vec::new(), ..new_version() }, "tracks"),
        (NewVersion { tracks: (1..=65).map(video).collect(), ..new_version() }, "tracks"),
        (NewVersion { chain: String::new(), ..new_version() }, "chain"),
        (track(|track| "v720".clone_into(&mut track.name)), "tracks[1].name"),
        (track(|track| "../v".clone_into(&mut track.name)), "tracks[1].name"),
        (track(|track| track.codec = "x".repeat(129)), "tracks[1].codec"),
        (track(|track| track.frame_rate = Some(Rational { num: 1, den: 0 })), "tracks[1].frame_rate"),
        (track(|track| track.samples = u64::MAX), "tracks[1].samples"),
    ];
    for (wrong, named) in cases {
        let detail = problem(world.send(Method::PUT, &right, &wrong).await, 422, "unprocessable").await;
        assert!(detail.contains(&format!("`{named}`")), "{detail}");
    }
    let unknown = value!({ "chain": "ladder", "tracks": [], "colour": "red" });
    assert!(problem(world.send(Method::PUT, &right, &unknown).await, 422, "unprocessable").await.contains("colour"));
    let nowhere = format!("/assets/{}/versions/0123456789ab", Uuid::now_v7());
    problem(world.send(Method::PUT, &nowhere, &new_version()).await, 404, "not-found").await;
    assert_eq!(world.asset(asset.id).await, asset);
}

async fn sixty_four_tracks_fit(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    let version = NewVersion { tracks: (1..=64).map(video).collect(), ..new_version() };
    let path = format!("/assets/{}/versions/0123456789ab", asset.id);
    let published: Asset = json(world.send(Method::PUT, &path, &version).await, 201).await;
    assert_eq!(published.version.unwrap().tracks, version.tracks, "all of them, in their order");
}

async fn a_failure_is_noted_until_something_plays(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    let failure = format!("/assets/{}/failure", asset.id);
    let failed: Asset = json(world.send(Method::PUT, &failure, &value!({ "reason": "no stream" })).await, 200).await;
    assert_eq!((failed.state, failed.error.as_deref(), failed.revision), (AssetState::Failed, Some("no stream"), 2));
    let again: Asset = json(world.send(Method::PUT, &failure, &value!({ "reason": "no stream" })).await, 200).await;
    assert_eq!(again, failed);

    let version = format!("/assets/{}/versions/0123456789ab", asset.id);
    let ready: Asset = json(world.send(Method::PUT, &version, &new_version()).await, 201).await;
    assert_eq!((ready.state, &ready.error), (AssetState::Ready, &None));
    let still: Asset = json(world.send(Method::PUT, &failure, &value!({ "reason": "again" })).await, 200).await;
    assert_eq!(still, ready, "what plays goes on playing");

    let nowhere = format!("/assets/{}/failure", Uuid::now_v7());
    problem(world.send(Method::PUT, &nowhere, &value!({ "reason": "x" })).await, 404, "not-found").await;
    problem(world.send(Method::PUT, &failure, &value!({ "cause": "x" })).await, 422, "unprocessable").await;
}

on_each_database! {
    a_published_version_plays_and_the_newest_wins,
    a_version_never_changes,
    what_does_not_fit_is_refused,
    sixty_four_tracks_fit,
    a_failure_is_noted_until_something_plays,
}

//! What is said of the sounds of an asset, over what its source says (`PATCH /assets/{id}`, `sound_labels`).

use flame_api::media::{SoundRole, Track};
use flame_api::metadata::{Asset, NewVersion};
use reqwest::Method;
use serde_json::{Value, json as value};

use crate::world::{On, World, audio, json, new_version, problem, video};

fn second() -> Track {
    Track { name: "a128-2".to_owned(), source_sound: Some(1), title: Some("Track 2".to_owned()), ..audio() }
}

async fn labels_hold_for_every_version_and_leave_it_as_it_was_published(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    let path = format!("/assets/{}", asset.id);
    let version = NewVersion { tracks: vec![video(720), audio(), second()], ..new_version() };
    let versions = format!("{path}/versions");
    let put = format!("{versions}/00000000000a");
    let published: Asset = json(world.send(Method::PUT, &put, &version).await, 201).await;
    assert_eq!(published.version.unwrap().tracks, version.tracks);
    assert!(published.sound_labels.is_empty());

    let labels = value!({ "sound_labels": [{ "sound": 1, "language": "fr", "role": "commentary" }] });
    let patch = |body: &Value| world.request(Method::PATCH, &path).header("if-match", "*").json(body).send();
    let labelled: Asset = json(patch(&labels).await.unwrap(), 200).await;
    let tracks = labelled.version.as_ref().unwrap().tracks.clone();
    let said = |track: &Track| (track.language.clone(), track.role, track.title.clone());
    assert_eq!(said(&tracks[1]), (Some("eng".to_owned()), SoundRole::Main, None), "of the first one nothing was said");
    let title = Some("Track 2".to_owned());
    assert_eq!(said(&tracks[2]), (Some("fr".to_owned()), SoundRole::Commentary, title), "the title is the source's");
    assert_eq!(world.asset(asset.id).await, labelled);

    // The version is the one that was published, and the next one made of the source has the labels too.
    let repeated: Asset = json(world.send(Method::PUT, &put, &version).await, 200).await;
    assert_eq!(repeated, labelled);
    let next = NewVersion { tracks: vec![second()], ..new_version() };
    let next: Asset = json(world.send(Method::PUT, &format!("{versions}/00000000000b"), &next).await, 201).await;
    assert_eq!(next.version.unwrap().tracks[0].role, SoundRole::Commentary);

    // An edit of something else keeps them; an empty list takes them away.
    let renamed: Asset = json(patch(&value!({ "title": "Other" })).await.unwrap(), 200).await;
    assert_eq!(renamed.sound_labels, labelled.sound_labels);
    let bare: Asset = json(patch(&value!({ "sound_labels": [] })).await.unwrap(), 200).await;
    assert_eq!(bare.version.unwrap().tracks[0], second());
}

async fn labels_that_make_no_sense_are_refused(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    let path = format!("/assets/{}", asset.id);
    let many: Vec<Value> = (0..65).map(|sound| value!({ "sound": sound })).collect();
    for (labels, named) in [
        (value!([{ "sound": 0, "language": "not a tag" }]), "sound_labels[0].language"),
        (value!([{ "sound": 0, "language": "" }]), "sound_labels[0].language"),
        (value!([{ "sound": 0 }, { "sound": 0 }]), "sound_labels[1].sound"),
        (value!([{ "sound": 0, "title": "\n" }]), "sound_labels[0].title"),
        (value!([{ "sound": 0, "title": "x".repeat(101) }]), "sound_labels[0].title"),
        (value!([{ "sound": 0, "role": "loud" }]), "loud"),
        (value!([{ "sound": 0, "colour": "red" }]), "colour"),
        (value!(many), "sound_labels"),
        (value!(null), "sound_labels"),
    ] {
        let patch = world.request(Method::PATCH, &path).header("if-match", "*");
        let answer = patch.json(&value!({ "sound_labels": labels })).send().await.unwrap();
        let detail = problem(answer, 422, "unprocessable").await;
        assert!(detail.contains(named), "{labels}: {detail}");
    }
    assert_eq!(world.asset(asset.id).await, asset);
}

on_each_database! {
    labels_hold_for_every_version_and_leave_it_as_it_was_published,
    labels_that_make_no_sense_are_refused,
}

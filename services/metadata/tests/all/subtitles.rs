//! `PUT|DELETE /assets/{id}/subtitles/{subtitle}`.

use flame_api::metadata::Asset;
use flame_api::subtitles::{NewSubtitle, SubtitleRole};
use reqwest::Method;
use uuid::Uuid;

use crate::world::{On, World, json, problem};

fn subtitle(asset: Uuid, language: &str) -> NewSubtitle {
    NewSubtitle {
        language: language.to_owned(),
        role: SubtitleRole::Subtitle,
        title: None,
        default: false,
        key: format!("default/subtitles/{asset}/{}.vtt", Uuid::now_v7()),
        size_bytes: 1000,
        sha256: "ab".repeat(32),
        cues: 7,
    }
}

async fn subtitles_are_listed_in_their_order_and_one_is_the_default(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    assert_eq!(asset.subtitles, []);
    let path = |name: &str| format!("/assets/{}/subtitles/{name}", asset.id);
    let german = NewSubtitle { default: true, title: Some("Deutsch".to_owned()), ..subtitle(asset.id, "de") };
    let answer = world.send(Method::PUT, &path("00000000000a"), &german).await;
    assert_eq!(answer.headers()["etag"], "\"2\"");
    let listed: Asset = json(answer, 201).await;
    let first = &listed.subtitles[0];
    assert_eq!((first.id.as_str(), first.language.as_str(), first.default), ("00000000000a", "de", true));
    assert_eq!((&first.title, &first.key, first.cues), (&german.title, &german.key, 7));
    let again: Asset = json(world.send(Method::PUT, &path("00000000000a"), &german).await, 200).await;
    assert_eq!(again, listed, "to repeat it changes nothing");

    let english = NewSubtitle { default: true, role: SubtitleRole::Caption, ..subtitle(asset.id, "en") };
    let both: Asset = json(world.send(Method::PUT, &path("000000000001"), &english).await, 201).await;
    let shown: Vec<_> = both.subtitles.iter().map(|known| (known.id.as_str(), known.role, known.default)).collect();
    assert_eq!(shown, [("00000000000a", SubtitleRole::Subtitle, false), ("000000000001", SubtitleRole::Caption, true)]);
    assert_eq!(world.asset(asset.id).await, both);
    let page: flame_api::Page<Asset> = json(world.get("/assets").await, 200).await;
    assert_eq!(page.items, std::slice::from_ref(&both));

    let untitled = NewSubtitle { title: None, ..german.clone() };
    let untitled: Asset = json(world.send(Method::PUT, &path("00000000000a"), &untitled).await, 200).await;
    assert_eq!((untitled.revision, &untitled.subtitles[0].title), (both.revision + 1, &None));
    let other = NewSubtitle { language: "fr".to_owned(), ..german };
    problem(world.send(Method::PUT, &path("00000000000a"), &other).await, 409, "conflict").await;

    let answer = world.request(Method::DELETE, &path("00000000000a")).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    let left = world.asset(asset.id).await;
    assert_eq!((left.revision, left.subtitles.len()), (untitled.revision + 1, 1));
    problem(world.request(Method::DELETE, &path("00000000000a")).send().await.unwrap(), 404, "not-found").await;
}

async fn who_saw_another_revision_changes_nothing(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    let path = format!("/assets/{}/subtitles/00000000000a", asset.id);
    let send = async |method: Method, seen: &str| {
        let request = world.request(method, &path).header("if-match", seen);
        request.json(&subtitle(asset.id, "de")).send().await.unwrap()
    };
    problem(send(Method::PUT, "\"9\"").await, 412, "precondition-failed").await;
    assert_eq!(send(Method::PUT, "\"1\"").await.status(), 201);
    problem(send(Method::DELETE, "\"1\"").await, 412, "precondition-failed").await;
    assert_eq!(world.asset(asset.id).await.subtitles.len(), 1);
    assert_eq!(send(Method::DELETE, "\"2\"").await.status(), 204);
}

async fn what_does_not_fit_is_refused(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    let right = format!("/assets/{}/subtitles/00000000000a", asset.id);
    let new = || subtitle(asset.id, "de");
    let elsewhere = subtitle(Uuid::now_v7(), "de").key;
    let cases = [
        (NewSubtitle { language: String::new(), ..new() }, "language"),
        (NewSubtitle { title: Some(" ".to_owned()), ..new() }, "title"),
        (NewSubtitle { key: elsewhere, ..new() }, "key"),
        (NewSubtitle { key: format!("other/subtitles/{}/a.vtt", asset.id), ..new() }, "key"),
        (NewSubtitle { sha256: "x".repeat(64), ..new() }, "sha256"),
        (NewSubtitle { cues: u64::MAX, ..new() }, "cues"),
        (NewSubtitle { default: true, role: SubtitleRole::Forced, ..new() }, "default"),
    ];
    for (wrong, named) in cases {
        let detail = problem(world.send(Method::PUT, &right, &wrong).await, 422, "unprocessable").await;
        assert!(detail.contains(&format!("`{named}`")), "{detail}");
    }
    let named = format!("/assets/{}/subtitles/0000000000AB", asset.id);
    problem(world.send(Method::PUT, &named, &new()).await, 422, "unprocessable").await;
    let nowhere = format!("/assets/{}/subtitles/00000000000a", Uuid::now_v7());
    let mut absent = new();
    absent.key = absent.key.replace(&asset.id.to_string(), &nowhere[8..44]);
    problem(world.send(Method::PUT, &nowhere, &absent).await, 404, "not-found").await;
    assert_eq!(world.asset(asset.id).await, asset);
}

on_each_database! {
    subtitles_are_listed_in_their_order_and_one_is_the_default,
    who_saw_another_revision_changes_nothing,
    what_does_not_fit_is_refused,
}

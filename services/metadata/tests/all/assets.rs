//! `POST /assets`, `GET|PATCH|DELETE /assets/{id}`.

use flame_api::metadata::{Asset, AssetState, Encryption, NewAsset};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json as value};
use uuid::Uuid;

use crate::world::{On, World, json, new_asset, problem};

async fn a_registered_asset_is_what_was_sent(on: On) {
    let world = World::start(on).await;
    let new = new_asset("default");
    let answer = world.send(Method::POST, "/assets", &new).await;
    assert_eq!(answer.headers()["location"], format!("assets/{}", new.id));
    assert_eq!(answer.headers()["etag"], "\"1\"");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let asset: Asset = json(answer, 201).await;
    assert_eq!((asset.id, &asset.title, &asset.source, &asset.probe), (new.id, &new.title, &new.source, &new.probe));
    assert_eq!((asset.tenant.as_str(), asset.state, asset.revision), ("default", AssetState::Registered, 1));
    assert_eq!((&asset.poster_key, &asset.error, &asset.version), (&new.poster_key, &None, &None));
    assert_eq!(world.asset(new.id).await, asset);
}

async fn registering_again_changes_nothing_and_another_source_is_refused(on: On) {
    let world = World::start(on).await;
    let new = new_asset("default");
    let first: Asset = json(world.send(Method::POST, "/assets", &new).await, 201).await;
    let again = NewAsset { title: "Another title".to_owned(), ..new.clone() };
    let second: Asset = json(world.send(Method::POST, "/assets", &again).await, 200).await;
    assert_eq!(second, first);
    let mut other = new;
    other.source.sha256 = "f".repeat(64);
    problem(world.send(Method::POST, "/assets", &other).await, 409, "conflict").await;
    assert_eq!(world.asset(first.id).await, first);
}

async fn what_does_not_fit_is_refused_by_name(on: On) {
    let world = World::start(on).await;
    let cases: [(&str, Value, &str); 12] = [
        ("/title", value!(""), "title"),
        ("/title", value!("x".repeat(501)), "title"),
        ("/title", value!("a\u{0}b"), "title"),
        ("/title", Value::Null, "title"),
        ("/titel", value!("x"), "titel"),
        ("/id", value!("../../etc"), "id"),
        ("/source/key", value!("other/sources/1"), "source.key"),
        ("/source/sha256", value!("ABC"), "source.sha256"),
        ("/source/size_bytes", value!(-1), "size_bytes"),
        ("/source/size_bytes", value!(u64::MAX), "source.size_bytes"),
        ("/probe/video/pixel_aspect/den", value!(0), "probe.video.pixel_aspect"),
        ("/poster_key", value!("other/posters/1"), "poster_key"),
    ];
    for (pointer, wrong, named) in cases {
        let mut body = serde_json::to_value(new_asset("default")).unwrap();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[member] = wrong;
        let answer = world.send(Method::POST, "/assets", &body).await;
        let detail = problem(answer, 422, "unprocessable").await;
        assert!(detail.contains(named), "{pointer}: {detail}");
    }
    let page: Value = json(world.get("/assets").await, 200).await;
    assert_eq!(page, value!({ "items": [] }), "nothing is half-registered");
}

async fn a_body_that_is_no_request_is_refused(on: On) {
    let world = World::start(on).await;
    let post = || world.request(Method::POST, "/assets").header("content-type", "application/json");
    problem(post().body("{").send().await.unwrap(), 400, "bad-request").await;
    problem(post().body("[".repeat(100_000)).send().await.unwrap(), 422, "unprocessable").await;
    let long = " ".repeat(flame_metadata::limits::BODY_MAX_BYTES + 1);
    problem(post().body(long).send().await.unwrap(), 413, "too-large").await;
    let plain = world.request(Method::POST, "/assets").body("{}").send().await.unwrap();
    problem(plain, 415, "unsupported-media-type").await;
}

async fn what_is_not_there_is_not_found(on: On) {
    let world = World::start(on).await;
    for path in [format!("/assets/{}", Uuid::now_v7()), "/assets/x".to_owned(), "/assets/%2e%2e".to_owned()] {
        problem(world.get(&path).await, 404, "not-found").await;
        problem(world.request(Method::DELETE, &path).send().await.unwrap(), 404, "not-found").await;
        let patch = world.request(Method::PATCH, &path).header("if-match", "*").json(&value!({}));
        problem(patch.send().await.unwrap(), 404, "not-found").await;
    }
    problem(world.send(Method::PUT, "/assets", &value!({})).await, 405, "method-not-allowed").await;
}

async fn an_edit_needs_the_revision_that_was_read(on: On) {
    let world = World::start(on).await;
    let asset = world.register("Before").await;
    let path = format!("/assets/{}", asset.id);
    let patch = |tag: &str, body: Value| {
        world.request(Method::PATCH, &path).header("if-match", tag.to_owned()).json(&body).send()
    };
    problem(world.send(Method::PATCH, &path, &value!({ "title": "x" })).await, 428, "precondition-required").await;
    problem(patch("1", value!({ "title": "x" })).await.unwrap(), 400, "bad-request").await;
    let answer = patch("\"1\"", value!({ "title": "After" })).await.unwrap();
    assert_eq!(answer.headers()["etag"], "\"2\"");
    let after: Asset = json(answer, 200).await;
    assert_eq!((after.title.as_str(), after.revision), ("After", 2));
    assert!(after.updated_at > asset.updated_at && after.created_at == asset.created_at);
    for stale in ["\"1\"", "W/\"2\"", "\"after\""] {
        problem(patch(stale, value!({ "title": "x" })).await.unwrap(), 412, "precondition-failed").await;
    }
    for wrong in [
        value!({ "title": null }),
        value!({ "protected": null }),
        value!({ "protected": 1 }),
        value!({ "encryption": "des" }),
        value!({ "encryption": "Aes128" }),
        value!({ "titel": "x" }),
        value!({ "title": "\n" }),
        value!("x"),
    ] {
        problem(patch("\"2\"", wrong).await.unwrap(), 422, "unprocessable").await;
    }
    // Nothing changes, so the revision does not.
    for same in [value!({}), value!({ "title": "After" }), value!({ "protected": false })] {
        assert_eq!(json::<Asset>(patch("\"1\", \"2\"", same).await.unwrap(), 200).await, after);
    }
    let merge = world.request(Method::PATCH, &path).header("if-match", "*");
    let merge = merge.header("content-type", "application/merge-patch+json").body(r#"{"title":"Last"}"#);
    assert_eq!(json::<Asset>(merge.send().await.unwrap(), 200).await.revision, 3);
    assert!(!after.protected, "until somebody says so");
    let protected: Asset = json(patch("\"3\"", value!({ "protected": true })).await.unwrap(), 200).await;
    assert!(protected.protected && protected.title == "Last");
    let renamed: Asset = json(patch("\"4\"", value!({ "title": "Renamed" })).await.unwrap(), 200).await;
    assert!(renamed.protected, "another edit does not open it");
    let encrypted: Asset = json(patch("\"5\"", value!({ "encryption": "sample-aes" })).await.unwrap(), 200).await;
    assert!(encrypted.encryption == Some(Encryption::SampleAes) && encrypted.protected);
    let renamed: Asset = json(patch("\"6\"", value!({ "title": "Sealed" })).await.unwrap(), 200).await;
    assert_eq!((renamed.encryption, renamed.revision), (Some(Encryption::SampleAes), 7));
    let clear: Asset = json(patch("\"7\"", value!({ "encryption": null })).await.unwrap(), 200).await;
    assert_eq!((clear.encryption, clear.revision), (None, 8));
}

async fn of_fifty_who_edit_at_once_nobody_is_overwritten(on: On) {
    let world = World::start(on).await;
    let asset = world.register("t").await;
    let path = format!("/assets/{}", asset.id);
    let editor = |number: usize| {
        let (world, path) = (&world, &path);
        async move {
            loop {
                let read: Asset = json(world.get(path).await, 200).await;
                let title = value!({ "title": format!("{} {number}", read.title) });
                let tag = format!("\"{}\"", read.revision);
                let patch = world.request(Method::PATCH, path).header("if-match", tag).json(&title);
                match patch.send().await.unwrap().status() {
                    StatusCode::OK => return,
                    StatusCode::PRECONDITION_FAILED => {}
                    other => panic!("{other}"),
                }
            }
        }
    };
    futures_util::future::join_all((0..50).map(editor)).await;
    let last = world.asset(asset.id).await;
    let mut numbers: Vec<usize> = last.title.split(' ').skip(1).map(|number| number.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    assert_eq!(last.revision, 51);
}

async fn a_deleted_asset_is_gone_and_does_not_come_back(on: On) {
    let world = World::start(on).await;
    let new = new_asset("default");
    let _: Asset = json(world.send(Method::POST, "/assets", &new).await, 201).await;
    let path = format!("/assets/{}", new.id);
    let delete = || world.request(Method::DELETE, &path);
    problem(delete().header("if-match", "\"2\"").send().await.unwrap(), 412, "precondition-failed").await;
    assert_eq!(delete().header("if-match", "\"1\"").send().await.unwrap().status(), 204);
    problem(delete().send().await.unwrap(), 404, "not-found").await;
    problem(world.get(&path).await, 404, "not-found").await;
    // One that lies in the trash is there, for whoever repeats a registration late.
    let known: Asset = json(world.send(Method::POST, "/assets", &new).await, 200).await;
    assert!(known.deleted_at.is_some());
    // Once it is erased, that finds its bytes gone.
    let erased = world.request(Method::DELETE, &format!("{path}?erase=true")).send().await.unwrap();
    assert_eq!(erased.status(), 204);
    let detail = problem(world.send(Method::POST, "/assets", &new).await, 409, "conflict").await;
    assert!(detail.contains("deleted"), "{detail}");
}

/// The disk under PostgreSQL is its server's to watch.
#[tokio::test]
async fn a_nearly_full_disk_refuses_writes_and_goes_on_reading_and_deleting() {
    let mut world = World::start(On::Sqlite).await;
    let asset = world.register("Before").await;
    let full = flame_service_host::HostConfig { min_free_disk_percent: 101.0, ..Default::default() };
    let config = flame_metadata::Config { host: full, ..world.config.clone() };
    world.running = flame_metadata::start(config).await.unwrap();
    problem(world.send(Method::POST, "/assets", &new_asset("default")).await, 507, "insufficient-storage").await;
    assert_eq!(world.asset(asset.id).await, asset);
    // Whatever failed for the lack of room can say so.
    let report = value!({ "reason": "the disk of the object store is too full" });
    let failed = world.send(Method::PUT, &format!("/assets/{}/failure", asset.id), &report).await;
    assert_eq!(failed.status(), 200);
    assert_eq!(world.asset(asset.id).await.state, AssetState::Failed);
    let delete = world.request(Method::DELETE, &format!("/assets/{}", asset.id)).send().await.unwrap();
    assert_eq!(delete.status(), 204);
}

on_each_database! {
    a_registered_asset_is_what_was_sent,
    registering_again_changes_nothing_and_another_source_is_refused,
    what_does_not_fit_is_refused_by_name,
    a_body_that_is_no_request_is_refused,
    what_is_not_there_is_not_found,
    an_edit_needs_the_revision_that_was_read,
    of_fifty_who_edit_at_once_nobody_is_overwritten,
    a_deleted_asset_is_gone_and_does_not_come_back,
}

//! One tenant's catalogue is nobody else's; a service sees the assets of all.

use std::path::Path;
use std::time::Duration;

use flame_api::metadata::{Asset, NewAsset};
use flame_service_host::auth::AuthConfig;
use flame_service_host::keys::{self, Grant};
use flame_test_kit::openapi::{Stranger, walk_as_stranger};
use reqwest::{Method, RequestBuilder};
use serde_json::json as value;

use crate::world::{On, World, json, new_asset, new_version, problem};

fn token(keys: &Path, tenant: &str, scope: &str) -> String {
    let life = Duration::from_secs(600);
    let grant = Grant { subject: "test".to_owned(), tenant: tenant.to_owned(), scope: scope.to_owned(), life };
    keys::issue(keys, &grant).unwrap().0
}

async fn tenants_do_not_see_each_other(on: On) {
    let mut world = World::start(on).await;
    world.act_for(Some("acme"));
    let theirs = world.register("Secret plans").await;
    world.act_for(Some("acme-co"));
    let ours = world.register("Secret lunch").await;
    for query in ["", "?q=secret", "?q=acme", "?q=secret&state=registered"] {
        let page: flame_api::Page<Asset> = json(world.get(&format!("/assets{query}")).await, 200).await;
        let seen: Vec<_> = page.items.iter().map(|asset| asset.id).collect();
        assert!(seen.is_empty() && query.contains("acme") || seen == [ours.id], "{query}: {seen:?}");
    }
    // The id is taken, and more is not said.
    let mut same = new_asset("acme-co");
    same.id = theirs.id;
    problem(world.send(Method::POST, "/assets", &same).await, 409, "conflict").await;
    same.source = theirs.source.clone();
    problem(world.send(Method::POST, "/assets", &same).await, 422, "unprocessable").await;
}

async fn a_stranger_walks_every_route(on: On) {
    let keys = tempfile::tempdir().unwrap();
    keys::ensure(keys.path()).unwrap();
    let auth = AuthConfig { keys: Some(keys.path().to_owned()) };
    let world = World::start_with(on, |config| config.host.auth = auth).await;
    let owner = token(keys.path(), "acme", "read write");
    let send = |method: Method, path: String, token: &str| world.request(method, &path).bearer_auth(token);

    let new = NewAsset { title: "Secret plans".to_owned(), ..new_asset("acme") };
    let asset: Asset = json(send(Method::POST, "/assets".into(), &owner).json(&new).send().await.unwrap(), 201).await;
    let path = format!("/assets/{}", asset.id);
    let id = asset.id.to_string();
    let stranger = Stranger {
        token: &token(keys.path(), "other", "read write"),
        parameters: &[("id", &id), ("version", "0123456789ab"), ("subtitle", "0123456789ab"), ("job", &id)],
        secrets: &[&id, "Secret plans", &new.source.key],
    };
    walk_as_stranger(&world.base(), stranger, |operation, request: RequestBuilder| {
        let request = request.header("if-match", "*");
        match (operation.method.as_str(), operation.path.as_str()) {
            ("POST", "/assets") => request.json(&new_asset("other")),
            ("PATCH", "/assets") => {
                request.json(&value!({ "edits": [{ "id": id, "revision": 1, "patch": { "title": "Mine now" } }] }))
            }
            ("PATCH", _) => request.json(&value!({ "title": "Mine now" })),
            ("PUT", "/assets/{id}/subtitles/{subtitle}") => request.json(&value!({
                "language": "de", "role": "caption", "title": null, "default": false, "cues": 0, "size_bytes": 8,
                "key": format!("other/subtitles/{id}/mine.vtt"), "sha256": "ab".repeat(32),
            })),
            ("PUT", "/assets/{id}/scores/{job}") => request.json(&value!({
                "measure": "inspection", "media": id, "figures": {}, "tools": "none", "measured_at": "2026-11-27T00:00:00Z",
            })),
            ("PUT", "/assets/{id}/failure") => request.json(&value!({ "reason": "x" })),
            ("PUT", _) => request.json(&new_version()),
            (_, _) => request,
        }
    })
    .await;
    let after: Asset = json(send(Method::GET, path.clone(), &owner).send().await.unwrap(), 200).await;
    assert_eq!(after, asset, "nothing has changed");

    let reader = token(keys.path(), "acme", "read");
    let _: Asset = json(send(Method::GET, path.clone(), &reader).send().await.unwrap(), 200).await;
    problem(send(Method::DELETE, path.clone(), &reader).send().await.unwrap(), 403, "forbidden").await;
    let writer = token(keys.path(), "acme", "write");
    problem(send(Method::GET, path.clone(), &writer).send().await.unwrap(), 403, "forbidden").await;

    // A service reads any tenant's asset by its id, and writes only for the tenant that it names.
    let service = token(keys.path(), "default", "read write service");
    let seen: Asset = json(send(Method::GET, path.clone(), &service).send().await.unwrap(), 200).await;
    assert_eq!(seen, asset);
    let failure = || send(Method::PUT, format!("{path}/failure"), &service).json(&value!({ "reason": "x" }));
    problem(failure().send().await.unwrap(), 404, "not-found").await;
    let _: Asset = json(failure().header("flame-tenant", "acme").send().await.unwrap(), 200).await;
}

on_each_database! {
    tenants_do_not_see_each_other,
    a_stranger_walks_every_route,
}

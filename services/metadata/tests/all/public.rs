//! `GET /public/{id}`: what anybody may know, from the catalogue and through a surrogate, which asks once for all.

use std::time::Duration;

use flame_api::metadata::PublicAsset;
use flame_metadata::config::{PublicConfig, PurgeConfig};
use flame_service_host::HostConfig;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use flame_vcdn::config::{CacheConfig, FrontConfig};
use reqwest::Method;
use serde_json::{Value, json as value};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::world::{On, World, json, new_version, problem};

const PATIENCE: Duration = Duration::from_secs(30);
/// Who asks at once.
const VIEWERS: usize = 60;

async fn ready(world: &World, title: &str) -> Uuid {
    let asset = world.register(title).await.id;
    let published = world.send(Method::PUT, &format!("/assets/{asset}/versions/0123456789ab"), &new_version()).await;
    assert!(published.status().is_success(), "{}", published.status());
    asset
}

async fn patch(world: &World, asset: Uuid, patch: Value) {
    let request = world.request(Method::PATCH, &format!("/assets/{asset}")).header("if-match", "*").json(&patch);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

async fn anybody_may_know_what_anybody_may_play(on: On) {
    let mut world =
        World::start_with(on, |config| config.public = PublicConfig { fresh: Span(Duration::from_secs(30)) }).await;
    world.act_for(Some("acme"));
    let asset = ready(&world, "On show").await;
    patch(&world, asset, value!({ "record": { "keywords": ["sea"] }, "custom": { "budget": 7 } })).await;
    let waiting = world.register("Not yet").await.id;
    world.act_for(None);

    let answer = world.get(&format!("/public/{asset}")).await;
    let field = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!((field("cache-control"), field("cache-groups")), ("public, max-age=30".into(), format!("\"{asset}\"")));
    let etag = field("etag");
    let body: Value = json(answer, 200).await;
    assert!(body.get("custom").is_none() && body.get("tenant").is_none() && body.get("source").is_none(), "{body}");
    let shown: PublicAsset = serde_json::from_value(body).unwrap();
    assert_eq!((shown.title.as_str(), shown.version.as_str(), shown.id), ("On show", "0123456789ab", asset));
    let again = world.request(Method::GET, &format!("/public/{asset}")).header("if-none-match", format!("W/{etag}"));
    assert_eq!(again.send().await.unwrap().status(), 304);

    for other in [waiting, Uuid::nil()] {
        problem(world.get(&format!("/public/{other}")).await, 404, "not-found").await;
    }
    world.act_for(Some("acme"));
    patch(&world, asset, value!({ "protected": true })).await;
    problem(world.get(&format!("/public/{asset}")).await, 404, "not-found").await;
}

async fn nothing_is_public_unless_somebody_says_so(on: On) {
    let world = World::start(on).await;
    let asset = ready(&world, "On show").await;
    problem(world.get(&format!("/public/{asset}")).await, 404, "not-found").await;
}

async fn a_surrogate_asks_once_for_all_and_forgets_what_is_no_longer_for_all(on: On) {
    let mut config = flame_router::Config::default();
    config.host.listen = "127.0.0.1:0".parse().unwrap();
    let router = flame_router::start(config).await.unwrap();
    let router: reqwest::Url = format!("http://{}", router.address()).parse().unwrap();
    let world = World::start_with(on, |config| {
        config.host.router = Some(router.clone());
        config.public = PublicConfig { fresh: Span(Duration::from_secs(600)) };
        config.purges = PurgeConfig { names: vec!["catalogue".to_owned()], again: Span(Duration::from_millis(10)) };
    })
    .await;
    let vcdn = flame_vcdn::start(flame_vcdn::Config {
        host: HostConfig { router: Some(router), ..HostConfig::default() },
        fronts: vec![FrontConfig::new("catalogue", "metadata")],
        cache: CacheConfig { alone_after: Span(Duration::ZERO), ..CacheConfig::default() },
        ..flame_vcdn::Config::default()
    });
    let vcdn = vcdn.await.unwrap();
    let front = *vcdn.fronts().values().next().unwrap();
    let (first, asset) = (ready(&world, "first").await, ready(&world, "asked for by many").await);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = |asset: Uuid| http.get(format!("http://{front}/public/{asset}"));
    // The catalogue is registered.
    eventually(PATIENCE, || async {
        let status = get(first).send().await.map_err(|error| error.to_string())?.status();
        if status == 200 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let mut viewers = JoinSet::new();
    for _ in 0..VIEWERS {
        let request = get(asset);
        viewers.spawn(async move {
            let answer = request.send().await.unwrap();
            let way = answer.headers()["cache-status"].to_str().unwrap().to_owned();
            (way, json::<PublicAsset>(answer, 200).await.title)
        });
    }
    let seen = viewers.join_all().await;
    let asked = seen.iter().filter(|(way, _)| !way.contains("; hit") && !way.contains("; collapsed")).count();
    println!("{VIEWERS} questions cost the catalogue {asked}");
    assert_eq!(asked, 1, "{seen:?}");
    assert!(seen.iter().all(|(_, title)| title == "asked for by many"));

    patch(&world, asset, value!({ "protected": true })).await;
    eventually(PATIENCE, || async {
        let status = get(asset).send().await.map_err(|error| error.to_string())?.status();
        if status == 404 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    assert_eq!(get(first).send().await.unwrap().status(), 200);
    world.running.stop().await;
    vcdn.stop().await;
}

on_each_database! {
    anybody_may_know_what_anybody_may_play,
    nothing_is_public_unless_somebody_says_so,
    a_surrogate_asks_once_for_all_and_forgets_what_is_no_longer_for_all,
}

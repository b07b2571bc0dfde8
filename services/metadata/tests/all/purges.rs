//! Surrogates are told to forget what is deleted: at once or as soon as they are there, and once more.

use std::time::Duration;

use flame_api::router::Registration;
use flame_api::subtitles::{NewSubtitle, SubtitleRole};
use flame_api::vcdn::PurgeEntry;
use flame_metadata::config::PurgeConfig;
use flame_metadata::store::{DuePurge, Store, Turn};
use flame_service_host::HostConfig;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use flame_vcdn::config::{CacheConfig, FrontConfig};
use reqwest::Method;
use uuid::Uuid;

use crate::world::{On, World};

const PATIENCE: Duration = Duration::from_secs(30);

/// The groups that a surrogate was told to forget of what it serves, sorted. It notes purges of other names for surrogates that ask.
async fn told(vcdn: &flame_vcdn::Running) -> Vec<String> {
    let answer = reqwest::get(format!("http://{}/purges", vcdn.address())).await.unwrap();
    let entries: Vec<PurgeEntry> = answer.json().await.unwrap();
    let of_cdn = entries.into_iter().filter(|entry| entry.purge.name == "cdn");
    let mut tags: Vec<String> = of_cdn.filter_map(|entry| entry.purge.tag).collect();
    tags.sort_unstable();
    tags
}

async fn a_surrogate_is_told_twice_of_all_that_was_deleted_or_is_for_others_now(on: On) {
    let mut config = flame_router::Config::default();
    config.host.listen = "127.0.0.1:0".parse().unwrap();
    let router = flame_router::start(config).await.unwrap();
    let router: reqwest::Url = format!("http://{}", router.address()).parse().unwrap();
    let world = World::start_with(on, |config| {
        config.host.router = Some(router.clone());
        // Nobody has a surrogate that serves the other name.
        let names = ["cdn", "elsewhere"].map(str::to_owned).into();
        config.purges = PurgeConfig { names, again: Span(Duration::from_millis(10)) };
    })
    .await;
    let (kept, deleted) = (world.register("kept").await.id, world.register("deleted").await.id);
    let new = NewSubtitle {
        language: "de".to_owned(),
        role: SubtitleRole::Subtitle,
        title: None,
        default: false,
        key: format!("default/subtitles/{kept}/a.vtt"),
        size_bytes: 1,
        sha256: "ab".repeat(32),
        cues: 1,
    };
    let subtitle = format!("/assets/{kept}/subtitles/00000000000a");
    assert_eq!(world.send(Method::PUT, &subtitle, &new).await.status(), 201);
    for path in [subtitle, format!("/assets/{deleted}")] {
        assert_eq!(world.request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    }

    let vcdn = flame_vcdn::start(flame_vcdn::Config {
        host: HostConfig { router: Some(router), ..HostConfig::default() },
        fronts: vec![FrontConfig::new("cdn", "streaming")],
        cache: CacheConfig { alone_after: Span(Duration::ZERO), ..CacheConfig::default() },
        ..flame_vcdn::Config::default()
    });
    let vcdn = vcdn.await.unwrap();
    // Who may have it changes: what surrogates keep was given by the old answer. That of a title does not.
    let guarded = world.register("guarded").await.id;
    for patch in [serde_json::json!({ "title": "kept from strangers" }), serde_json::json!({ "protected": true })] {
        let answer = world.request(Method::PATCH, &format!("/assets/{guarded}")).header("if-match", "*").json(&patch);
        assert_eq!(answer.send().await.unwrap().status(), 200);
    }
    let text = format!("{kept}/00000000000a");
    let [deleted, guarded] = [deleted, guarded].map(|id| id.to_string());
    let mut wanted = vec![text.clone(), text, deleted.clone(), deleted, guarded.clone(), guarded];
    wanted.sort_unstable();
    eventually(PATIENCE, || async {
        let told = told(&vcdn).await;
        if told == wanted { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    world.running.stop().await;
    vcdn.stop().await;
}

async fn who_was_not_reached_is_told_again_until_nobody_is_left_out(on: On) {
    let mut config = flame_router::Config::default();
    config.host.listen = "127.0.0.1:0".parse().unwrap();
    let router = flame_router::start(config).await.unwrap();
    let url: reqwest::Url = format!("http://{}", router.address()).parse().unwrap();
    let world = World::start_with(on, |config| {
        config.host.router = Some(url.clone());
        config.purges = PurgeConfig { names: vec!["cdn".to_owned()], again: Span(Duration::from_millis(10)) };
    })
    .await;
    let vcdn = flame_vcdn::start(flame_vcdn::Config {
        host: HostConfig { router: Some(url.clone()), ..HostConfig::default() },
        fronts: vec![FrontConfig::new("cdn", "streaming")],
        cache: CacheConfig { alone_after: Span(Duration::ZERO), ..CacheConfig::default() },
        ..flame_vcdn::Config::default()
    });
    let vcdn = vcdn.await.unwrap();
    // Nobody is where the router says that another one is.
    let [nowhere] = flame_test_kit::ports::free_tcp();
    let client = flame_api::Client::new(url, None);
    let other = Registration::new(([127, 0, 0, 1], nowhere).into(), 1, 60_000);
    client.register("vcdn", "other", &other).await.unwrap();
    let deleted = world.register("deleted").await.id;
    assert_eq!(world.request(Method::DELETE, &format!("/assets/{deleted}")).send().await.unwrap().status(), 204);
    let store = Store::open(&world.config).await.unwrap();
    // Told again and again, the purge at once and the one after it are one each.
    let deleted = deleted.to_string();
    let once = [deleted.clone(), deleted];
    eventually(PATIENCE, || async {
        let (told, left) = (told(&vcdn).await, store.next_purge(i64::MIN).await.unwrap());
        let is_repeated = left.as_ref().is_some_and(|left| left.partly >= 2);
        if is_repeated && told == once { Ok(()) } else { Err(format!("{told:?}, {left:?}")) }
    })
    .await;
    // It is gone: nobody is left out.
    client.deregister("vcdn", "other").await.unwrap();
    eventually(PATIENCE, || async {
        let left = store.next_purge(i64::MIN).await.unwrap();
        if left.is_none() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    assert_eq!(told(&vcdn).await, once);
    world.running.stop().await;
    vcdn.stop().await;
}

async fn where_there_is_no_vcdn_one_that_does_not_answer_stands_for_no_other(on: On) {
    let mut config = flame_router::Config::default();
    config.host.listen = "127.0.0.1:0".parse().unwrap();
    let router = flame_router::start(config).await.unwrap();
    let url: reqwest::Url = format!("http://{}", router.address()).parse().unwrap();
    let world = World::start_with(on, |config| {
        config.host.router = Some(url.clone());
        config.purges = PurgeConfig { names: vec!["cdn".to_owned()], again: Span(Duration::from_millis(10)) };
    })
    .await;
    // Nobody is where the router says that the first one is, for longer than is waited for here.
    let [nowhere] = flame_test_kit::ports::free_tcp();
    let first = Registration::new(([127, 0, 0, 1], nowhere).into(), 1, 60_000);
    flame_api::Client::new(url.clone(), None).register("vcdn-first.main", "one", &first).await.unwrap();
    let vcdn = flame_vcdn::start(flame_vcdn::Config {
        host: HostConfig { router: Some(url), name: Some("vcdn-second.main".to_owned()), ..HostConfig::default() },
        fronts: vec![FrontConfig::new("cdn", "streaming")],
        cache: CacheConfig { alone_after: Span(Duration::ZERO), ..CacheConfig::default() },
        ..flame_vcdn::Config::default()
    });
    let vcdn = vcdn.await.unwrap();
    let deleted = world.register("deleted").await.id;
    assert_eq!(world.request(Method::DELETE, &format!("/assets/{deleted}")).send().await.unwrap().status(), 204);
    eventually(PATIENCE, || async {
        let told = told(&vcdn).await;
        if told.contains(&deleted.to_string()) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    world.running.stop().await;
    vcdn.stop().await;
}

async fn what_nobody_was_told_of_goes_first_and_who_was_told_is_counted_apart_from_failures(on: On) {
    // Without a router nobody is told.
    let world = World::start_with(on, |config| {
        config.purges = PurgeConfig { names: vec!["cdn".to_owned()], again: Span(Duration::from_millis(10)) };
    })
    .await;
    let store = Store::open(&world.config).await.unwrap();
    let delete = async |title: &str| {
        let id = world.register(title).await.id;
        assert_eq!(world.request(Method::DELETE, &format!("/assets/{id}")).send().await.unwrap().status(), 204);
        id.to_string()
    };
    // As if all were due.
    let due = async |turn: Turn| store.due_purges(turn, i64::MAX, 10).await.unwrap();
    let old = delete("old").await;
    let [partly, failed]: [DuePurge; 2] = due(Turn::First).await.try_into().unwrap();
    assert!(partly.id.is_some() && partly.id != failed.id, "what they may have fetched meanwhile is another purge");
    // An outage, and then somebody who does not reach all.
    for _ in 0..30 {
        store.note_purge_failed(&partly, "nobody is there", Duration::ZERO).await.unwrap();
    }
    store.note_purge_partly(&partly, Uuid::new_v4(), "not reached", Duration::ZERO).await.unwrap();
    store.note_purge_failed(&failed, "nobody is there", Duration::ZERO).await.unwrap();
    let repeats = due(Turn::Repeat).await;
    let counted: Vec<_> = repeats.iter().map(|purge| (purge.seq, purge.id, purge.attempts, purge.partly)).collect();
    assert_eq!(counted, [(partly.seq, partly.id, 30, 1)]);
    let new = delete("new").await;
    let first: Vec<String> = due(Turn::First).await.into_iter().map(|purge| purge.tag).collect();
    assert_eq!(first, [new.clone(), new, old]);
    world.running.stop().await;
}

/// More than are told at a time, all of them told at once by a surrogate that is quick.
const BURST: usize = 40;

async fn of_a_burst_of_deletions_each_is_told_and_the_work_goes_on(on: On) {
    let mut config = flame_router::Config::default();
    config.host.listen = "127.0.0.1:0".parse().unwrap();
    let router = flame_router::start(config).await.unwrap();
    let router: reqwest::Url = format!("http://{}", router.address()).parse().unwrap();
    let world = World::start_with(on, |config| {
        config.host.router = Some(router.clone());
        config.purges = PurgeConfig { names: vec!["cdn".to_owned()], again: Span(Duration::from_millis(10)) };
    })
    .await;
    let vcdn = flame_vcdn::start(flame_vcdn::Config {
        host: HostConfig { router: Some(router), ..HostConfig::default() },
        fronts: vec![FrontConfig::new("cdn", "streaming")],
        cache: CacheConfig { alone_after: Span(Duration::ZERO), ..CacheConfig::default() },
        ..flame_vcdn::Config::default()
    });
    let vcdn = vcdn.await.unwrap();
    let mut ids = Vec::new();
    for number in 0..=BURST {
        ids.push(world.register(&format!("No. {number}")).await.id);
    }
    let last = ids.pop().unwrap();
    let mut deletions = tokio::task::JoinSet::new();
    for id in &ids {
        deletions.spawn(world.request(Method::DELETE, &format!("/assets/{id}")).send());
    }
    for answer in deletions.join_all().await {
        assert_eq!(answer.unwrap().status(), 204);
    }
    let twice = |ids: &[Uuid]| {
        let mut tags: Vec<String> = ids.iter().chain(ids).map(Uuid::to_string).collect();
        tags.sort_unstable();
        tags
    };
    let all_told = async |wanted: Vec<String>| {
        eventually(PATIENCE, || async {
            let told = told(&vcdn).await;
            if told == wanted { Ok(()) } else { Err(format!("{} of {}", told.len(), wanted.len())) }
        })
        .await;
    };
    all_told(twice(&ids)).await;
    // Nothing hangs behind it.
    assert_eq!(world.request(Method::DELETE, &format!("/assets/{last}")).send().await.unwrap().status(), 204);
    ids.push(last);
    all_told(twice(&ids)).await;
    world.running.stop().await;
    vcdn.stop().await;
}

on_each_database! {
    of_a_burst_of_deletions_each_is_told_and_the_work_goes_on,
    what_nobody_was_told_of_goes_first_and_who_was_told_is_counted_apart_from_failures,
    where_there_is_no_vcdn_one_that_does_not_answer_stands_for_no_other,
    who_was_not_reached_is_told_again_until_nobody_is_left_out,
    a_surrogate_is_told_twice_of_all_that_was_deleted_or_is_for_others_now,
}

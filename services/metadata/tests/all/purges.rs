//! Surrogates are told to forget what is deleted: at once or as soon as they are there, and once more.

use std::time::Duration;

use flame_api::subtitles::{NewSubtitle, SubtitleRole};
use flame_api::vcdn::PurgeEntry;
use flame_metadata::config::PurgeConfig;
use flame_service_host::HostConfig;
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use flame_vcdn::config::FrontConfig;
use reqwest::Method;

use crate::world::{On, World};

const PATIENCE: Duration = Duration::from_secs(30);

/// The groups that a surrogate was told to forget, sorted.
async fn told(vcdn: &flame_vcdn::Running) -> Vec<String> {
    let answer = reqwest::get(format!("http://{}/purges", vcdn.address())).await.unwrap();
    let entries: Vec<PurgeEntry> = answer.json().await.unwrap();
    assert!(entries.iter().all(|entry| entry.purge.name == "cdn"), "{entries:?}");
    let mut tags: Vec<String> = entries.into_iter().filter_map(|entry| entry.purge.tag).collect();
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

on_each_database! {
    a_surrogate_is_told_twice_of_all_that_was_deleted_or_is_for_others_now,
}

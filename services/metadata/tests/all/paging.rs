//! `GET /assets`: pages.

use flame_api::Page;
use flame_api::metadata::Asset;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use serde_json::json as value;
use uuid::Uuid;

use crate::world::{On, World, json, new_version, problem};

impl World {
    /// All pages of a list, `between` being called after each.
    pub async fn walk(&self, query: &str, limit: usize, mut between: impl AsyncFnMut()) -> Vec<Asset> {
        let mut items = Vec::new();
        let mut cursor = None::<String>;
        loop {
            let from = cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page: Page<Asset> = json(self.get(&format!("/assets?limit={limit}{query}{from}")).await, 200).await;
            assert!(page.items.len() <= limit);
            assert!(page.next_cursor.is_none() || page.items.len() == limit, "only the last page is short");
            items.extend(page.items);
            assert!(cursor.is_none() || page.next_cursor != cursor, "the walk goes on");
            cursor = page.next_cursor;
            if cursor.is_none() {
                return items;
            }
            between().await;
        }
    }
}

fn ids(assets: &[Asset]) -> Vec<Uuid> {
    assets.iter().map(|asset| asset.id).collect()
}

async fn a_walk_sees_everything_once_whatever_the_page_and_whatever_is_registered_meanwhile(on: On) {
    let world = World::start(on).await;
    let (mut all, mut matching) = (Vec::new(), Vec::new());
    for number in 0..23 {
        let title = if number % 3 == 0 { "meadow" } else { "river" };
        let asset = world.register(title).await;
        all.insert(0, asset.id);
        if number % 3 == 0 {
            matching.insert(0, asset.id);
        }
    }
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    let handle = tokio::runtime::Handle::current();
    // Each case adds some: what was there before it began must be seen, once, in order.
    runner
        .run(&(1_usize..=30, any::<bool>()), |(limit, search)| {
            let (query, known) = if search { ("&q=mead", &matching) } else { ("", &all) };
            let walk = world.walk(query, limit, async || {
                world.register("meadow").await;
            });
            let seen = tokio::task::block_in_place(|| handle.block_on(walk));
            let seen = ids(&seen);
            let expected = &seen[seen.len() - known.len()..];
            prop_assert_eq!(expected, known.as_slice());
            let mut unique = seen.clone();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), seen.len());
            Ok(())
        })
        .unwrap();
}

async fn a_state_is_a_filter(on: On) {
    let world = World::start(on).await;
    let (ready, failed, registered) =
        (world.register("a").await.id, world.register("a").await.id, world.register("a").await.id);
    world.send(Method::PUT, &format!("/assets/{ready}/versions/0123456789ab"), &new_version()).await;
    world.send(Method::PUT, &format!("/assets/{failed}/failure"), &value!({ "reason": "x" })).await;
    for (state, id) in [("ready", ready), ("failed", failed), ("registered", registered)] {
        assert_eq!(ids(&world.walk(&format!("&state={state}"), 1, async || {}).await), [id]);
        assert_eq!(ids(&world.walk(&format!("&state={state}&q=a"), 1, async || {}).await), [id]);
    }
    assert_eq!(ids(&world.walk("", 2, async || {}).await), [registered, failed, ready]);
}

async fn a_page_that_cannot_be_is_refused(on: On) {
    let world = World::start(on).await;
    for query in ["limit=0", "limit=201", "limit=-1", "limit=x", "cursor=x", "cursor=", "state=new", "colour=red"] {
        problem(world.get(&format!("/assets?{query}")).await, 400, "bad-request").await;
    }
    let page: Page<Asset> = json(world.get("/assets?limit=200").await, 200).await;
    assert_eq!((page.items.len(), page.next_cursor), (0, None));
}

on_each_database! {
    a_walk_sees_everything_once_whatever_the_page_and_whatever_is_registered_meanwhile,
    a_state_is_a_filter,
    a_page_that_cannot_be_is_refused,
}

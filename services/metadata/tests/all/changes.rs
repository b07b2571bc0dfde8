//! `GET /changes`: the feed, page by page and as it happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flame_api::Client;
use flame_api::metadata::{Action, ChangeNotice, ChangePage, ChangesQuery};
use flame_metadata::config::FeedConfig;
use reqwest::Method;
use serde_json::json as value;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::world::{On, World, json, new_asset, new_version, problem};

const SOON: Duration = Duration::from_secs(30);

impl World {
    async fn page(&self, query: &str) -> ChangePage {
        json(self.get(&format!("/changes{query}")).await, 200).await
    }

    /// The stream, from its first byte on.
    async fn open(&self, last_event_id: Option<u64>) -> Stream {
        let mut request = self.request(Method::GET, "/changes").header("accept", "text/event-stream");
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        Stream { answer, text: String::new() }
    }
}

struct Stream {
    answer: reqwest::Response,
    text: String,
}

impl Stream {
    /// The next event that is no comment: its name and its data. `None`: the end.
    async fn event(&mut self) -> Option<(String, String)> {
        // Of the event: comments that come meanwhile give it no more time.
        let deadline = Instant::now() + SOON;
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
                };
                let (name, data) = (field("event:"), field("data:"));
                self.text = rest.to_owned();
                if !name.is_empty() {
                    return Some((name, data));
                }
            }
            let chunk = timeout_at(deadline, self.answer.chunk()).await.expect("an event comes").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn change(&mut self) -> ChangeNotice {
        let (name, data) = self.event().await.expect("an event");
        assert_eq!(name, "change", "{data}");
        serde_json::from_str(&data).unwrap()
    }
}

async fn every_change_is_in_the_feed_in_its_order(on: On) {
    let world = World::start(on).await;
    assert_eq!(world.page("?after=0").await, ChangePage { items: Vec::new(), position: 0 });
    let id = world.register("One").await.id;
    let edit = world.request(Method::PATCH, &format!("/assets/{id}")).header("if-match", "*");
    edit.json(&value!({ "title": "Two" })).send().await.unwrap();
    world.send(Method::PUT, &format!("/assets/{id}/versions/0123456789ab"), &new_version()).await;
    // What changes nothing is no change.
    world.send(Method::PUT, &format!("/assets/{id}/versions/0123456789ab"), &new_version()).await;
    world.request(Method::DELETE, &format!("/assets/{id}")).send().await.unwrap();
    world.request(Method::POST, &format!("/assets/{id}/restore")).send().await.unwrap();
    world.request(Method::DELETE, &format!("/assets/{id}?erase=true")).send().await.unwrap();
    let page = world.page("?after=0&limit=200").await;
    let said: Vec<_> = page.items.iter().map(|one| (one.position, one.revision, one.action)).collect();
    let expected = [
        (1, 1, Action::Registered),
        (2, 2, Action::Edited),
        (3, 3, Action::Published),
        (4, 4, Action::Deleted),
        (5, 5, Action::Restored),
        (6, 6, Action::Erased),
    ];
    assert_eq!((said.as_slice(), page.position), (&expected[..], 6));
    assert!(page.items.iter().all(|one| one.asset_id == id && one.by == "loopback"));
    assert_eq!(page.items[2].detail.as_deref(), Some("0123456789ab"));
    let (first, rest) = (world.page("?after=0&limit=4").await, world.page("?after=4").await);
    assert_eq!((first.position, [first.items, rest.items].concat()), (4, page.items));
    assert_eq!(world.page("").await, ChangePage { items: Vec::new(), position: 6 });
}

async fn a_stream_tells_at_once_and_goes_on_where_it_was_broken(on: On) {
    let mut world = World::start(on).await;
    let mut stream = world.open(None).await;
    assert_eq!(stream.event().await, Some(("position".to_owned(), "{\"position\":0}".to_owned())));
    let one = world.register("one").await.id;
    let seen = stream.change().await;
    assert_eq!((seen.position, seen.asset_id), (1, one));
    drop(stream);
    // What happened meanwhile is told first.
    let missed = [world.register("two").await.id, world.register("three").await.id];
    world.act_for(Some("acme"));
    world.register("theirs").await;
    world.act_for(None);
    let mut stream = world.open(Some(1)).await;
    assert_eq!(stream.event().await.unwrap().0, "position");
    assert_eq!([stream.change().await.asset_id, stream.change().await.asset_id], missed);
    let next = world.register("four").await.id;
    assert_eq!((stream.change().await.asset_id, world.page("?after=3").await.items.len()), (next, 1));

    // The typed client does the same.
    let client = Client::new(world.base().parse().unwrap(), None);
    assert!(client.changes(&ChangesQuery::default()).await.is_err(), "there is no router here");
    world.running.stop().await;
    assert_eq!(stream.event().await, None, "the stream ends with the service");
}

/// Wherever a follower or reader leaves, the connection that it had is as good as new for who comes next.
async fn whoever_leaves_in_the_middle_leaves_nothing_behind(on: On) {
    let world = World::start_with(on, |config| config.database_readers = 2).await;
    for number in 0..60 {
        drop(world.open(None).await);
        let reading = world.request(Method::GET, "/assets?q=one").send();
        // Gone after so many looks: at the connection, within `BEGIN`, within the query, after it.
        let _ = tokio::time::timeout(Duration::from_micros(100 * number), reading).await;
        world.register(&number.to_string()).await;
    }
}

async fn what_is_no_longer_known_is_gone(on: On) {
    let feed = FeedConfig { keep: 64, ..FeedConfig::default() };
    let world = World::start_with(on, |config| config.feed = feed).await;
    for number in 0..128 {
        world.register(&number.to_string()).await;
    }
    assert_eq!(world.page("?after=64&limit=200").await.items.len(), 64);
    assert_eq!(world.page("?after=0&limit=200").await.items[0].position, 65, "from the oldest that is kept");
    for after in [1_u64, 63, 129, 1 << 60] {
        let detail = problem(world.get(&format!("/changes?after={after}")).await, 410, "gone").await;
        assert!(detail.contains("65 to 128"), "{detail}");
    }
    let old = world.request(Method::GET, "/changes").header("last-event-id", "7").header("accept", "text/event-stream");
    problem(old.send().await.unwrap(), 410, "gone").await;
    for wrong in ["?after=x", "?after=-1", "?limit=0", "?limit=201", "?colour=red"] {
        problem(world.get(&format!("/changes{wrong}")).await, 400, "bad-request").await;
    }
    let wrong = world.request(Method::GET, "/changes").header("last-event-id", "x");
    problem(wrong.send().await.unwrap(), 400, "bad-request").await;
}

async fn as_many_follow_as_may(on: On) {
    let feed = FeedConfig { followers: 1, ..FeedConfig::default() };
    let world = World::start_with(on, |config| config.feed = feed).await;
    let stream = world.open(None).await;
    let second = world.request(Method::GET, "/changes").header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(second.headers()["retry-after"], "5");
    problem(second, 503, "unavailable").await;
    drop(stream);
    flame_test_kit::eventually(SOON, || async {
        let again = world.request(Method::GET, "/changes").header("accept", "text/event-stream").send().await.unwrap();
        if again.status() == 200 { Ok(()) } else { Err(again.status()) }
    })
    .await;
}

/// Many write at once, in two services where the database bears it, while a follower reads: it sees each change once, in order.
async fn a_follower_misses_nothing_however_many_write_at_once(on: On) {
    let world = Arc::new(World::start(on).await);
    let second = match on {
        On::Sqlite => None,
        On::Postgres => Some(flame_metadata::start(world.config.clone()).await.unwrap()),
    };
    let bases: Vec<String> =
        std::iter::once(world.base()).chain(second.iter().map(|it| format!("http://{}", it.address()))).collect();
    let mut stream = world.open(Some(0)).await;
    stream.event().await;
    let (writers, each) = (8_usize, 12_usize);
    let writing: Vec<_> = (0..writers)
        .map(|writer| {
            let (http, base) = (reqwest::Client::new(), bases[writer % bases.len()].clone());
            tokio::spawn(async move {
                let mut made = Vec::new();
                for _ in 0..each {
                    let new = new_asset("default");
                    let answer = http.post(format!("{base}/assets")).json(&new).send().await.unwrap();
                    assert_eq!(answer.status(), 201);
                    made.push(new.id);
                }
                made
            })
        })
        .collect();
    let mut seen: BTreeMap<Uuid, u64> = BTreeMap::new();
    for position in 1..=u64::try_from(writers * each).unwrap() {
        let change = stream.change().await;
        assert_eq!(change.position, position);
        assert!(seen.insert(change.asset_id, position).is_none());
    }
    for writer in writing {
        assert!(writer.await.unwrap().iter().all(|id| seen.contains_key(id)));
    }
}

on_each_database! {
    every_change_is_in_the_feed_in_its_order,
    a_stream_tells_at_once_and_goes_on_where_it_was_broken,
    whoever_leaves_in_the_middle_leaves_nothing_behind,
    what_is_no_longer_known_is_gone,
    as_many_follow_as_may,
    a_follower_misses_nothing_however_many_write_at_once,
}

//! `[[webhooks]]`: a receiver on a socket is told what became of assets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_api::metadata::Action;
use flame_metadata::config::{FeedConfig, Webhook};
use flame_metadata::webhooks::event::{Event, Secret};
use flame_service_host::config::Span;
use flame_test_kit::eventually;
use reqwest::Method;
use serde_json::{Value, json as value};

use crate::world::{On, World};

const PATIENCE: Duration = Duration::from_secs(60);

/// One who is told; it is gone with the value.
struct Receiver {
    url: reqwest::Url,
    heard: Arc<Mutex<Heard>>,
    serves: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    /// Attempts that are still refused.
    refuses: usize,
    attempts: usize,
    taken: Vec<Value>,
}

fn secret() -> Secret {
    Secret::try_from(format!("whsec_{}", STANDARD.encode([42; 32]))).unwrap()
}

async fn hear(State(heard): State<Arc<Mutex<Heard>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/cloudevents+json");
    let event: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(event["id"], header("webhook-id"));
    let signed = Event { id: header("webhook-id"), body: body.to_vec() };
    assert_eq!(header("webhook-signature"), signed.signature(&secret(), header("webhook-timestamp").parse().unwrap()));
    let mut heard = heard.lock().unwrap();
    heard.attempts += 1;
    if heard.refuses > 0 {
        heard.refuses -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    heard.taken.push(event);
    StatusCode::NO_CONTENT
}

impl Receiver {
    async fn start(refuses: usize) -> Self {
        let heard = Arc::new(Mutex::new(Heard { refuses, ..Heard::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap()).parse().unwrap();
        let routes = Router::new().route("/hook", axum::routing::post(hear)).with_state(heard.clone());
        let serves = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, heard, serves }
    }

    fn webhook(&self, actions: &[Action]) -> Webhook {
        let (name, tenant) = ("cms".to_owned(), "default".to_owned());
        let timeout = Span(Duration::from_secs(10));
        Webhook { name, tenant, url: self.url.clone(), secret: secret(), actions: actions.to_vec(), timeout }
    }

    /// What `of` each event that was taken is, once there are as many.
    async fn told(&self, of: fn(&Value) -> &Value, wanted: usize) -> Vec<Value> {
        eventually(PATIENCE, || async {
            let taken: Vec<Value> = self.heard.lock().unwrap().taken.iter().map(of).cloned().collect();
            if taken.len() >= wanted { Ok(taken) } else { Err(format!("{taken:?}")) }
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serves.abort();
    }
}

async fn each_change_is_told_in_order_and_again_until_it_is_taken(on: On) {
    let receiver = Receiver::start(2).await;
    let webhook = receiver.webhook(&[]);
    let mut world = World::start_with(on, |config| config.webhooks = vec![webhook.clone()]).await;
    let asset = world.register("one").await;
    let path = format!("/assets/{}", asset.id);
    let edit = world.request(Method::PATCH, &path).header("if-match", "*").json(&value!({ "title": "two" }));
    assert_eq!(edit.send().await.unwrap().status(), 200);
    // Another tenant's are not its.
    world.act_for(Some("acme"));
    world.register("theirs").await;
    world.act_for(None);
    assert_eq!(world.request(Method::DELETE, &path).send().await.unwrap().status(), 204);

    let told = receiver.told(|event| &event["type"], 3).await;
    assert_eq!(told, ["flame.asset.registered", "flame.asset.edited", "flame.asset.deleted"]);
    let events = receiver.told(|event| event, 3).await;
    for (at, event) in (1..).zip(&events) {
        assert_eq!((&event["subject"], &event["data"]["position"]), (&value!(asset.id), &value!(at)));
        assert_eq!((&event["specversion"], &event["id"]), (&value!("1.0"), &value!(format!("default-{at}"))));
    }
    assert_eq!(receiver.heard.lock().unwrap().attempts, 5, "the first one twice in vain");

    // What happens while nobody tells is told afterwards, and what was told is not told again.
    let mut config = world.config.clone();
    config.webhooks.clear();
    world.running.stop().await;
    world.running = flame_metadata::start(config).await.unwrap();
    world.register("three").await;
    world.running.stop().await;
    world.running = flame_metadata::start(world.config.clone()).await.unwrap();
    let ids = receiver.told(|event| &event["id"], 4).await;
    assert_eq!(ids, ["default-1", "default-2", "default-3", "default-4"]);
}

async fn only_the_actions_that_are_wanted_are_told_and_by_one_of_several_services(on: On) {
    let receiver = Receiver::start(0).await;
    let webhook = receiver.webhook(&[Action::Registered]);
    let world = World::start_with(on, |config| config.webhooks = vec![webhook.clone()]).await;
    let second = match on {
        // Two processes must not write one SQLite file.
        On::Sqlite => None,
        On::Postgres => Some(flame_metadata::start(world.config.clone()).await.unwrap()),
    };
    let mut wanted = Vec::new();
    for number in 0..20 {
        let asset = world.register(&number.to_string()).await;
        wanted.push(value!(asset.id));
        let path = format!("/assets/{}", asset.id);
        assert_eq!(world.request(Method::DELETE, &path).send().await.unwrap().status(), 204);
    }
    assert_eq!(receiver.told(|event| &event["subject"], 20).await, wanted);
    assert_eq!(receiver.heard.lock().unwrap().attempts, 20, "each is told once");
    drop(second);
}

async fn who_was_away_for_too_long_is_told_that_some_are_lost(on: On) {
    let receiver = Receiver::start(usize::MAX).await;
    let webhook = receiver.webhook(&[]);
    let world = World::start_with(on, |config| {
        config.feed = FeedConfig { keep: 10, ..config.feed };
        config.webhooks = vec![webhook.clone()];
    })
    .await;
    world.register("0").await;
    eventually(PATIENCE, || async {
        let attempts = receiver.heard.lock().unwrap().attempts;
        if attempts > 0 { Ok(()) } else { Err(attempts) }
    })
    .await;
    // It is not told again before all of this has happened: the oldest go with the 128th.
    receiver.heard.lock().unwrap().refuses = usize::MAX;
    for number in 1..130 {
        world.register(&number.to_string()).await;
    }
    receiver.heard.lock().unwrap().refuses = 0;
    let events = receiver.told(|event| event, 2).await;
    assert_eq!((&events[0]["type"], &events[0]["data"]["after"]), (&value!("flame.changes.lost"), &value!(0)));
    let next = events[0]["data"]["next"].as_u64().unwrap();
    assert!(next > 100, "{next}");
    assert_eq!(events[1]["data"]["position"], next);
}

on_each_database! {
    each_change_is_told_in_order_and_again_until_it_is_taken,
    only_the_actions_that_are_wanted_are_told_and_by_one_of_several_services,
    who_was_away_for_too_long_is_told_that_some_are_lost,
}

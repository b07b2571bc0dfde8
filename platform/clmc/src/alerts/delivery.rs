//! Telling handlers of changes: one lane for each trigger and handler, so that changes arrive in their order.
//!
//! A lane holds one message: a newer one takes the place of one that still waits, because a handler acts on how things stand.
//! A handler that is away is tried for a while, and holds up neither another one nor, since each tenant has lanes of its own,
//! the messages of others. What is given up is said, so that it is told again while it is still so.

use std::collections::HashMap;
use std::sync::Arc;

use flame_service_host::problem::chain;
use reqwest::RequestBuilder;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Messenger;
use crate::config::AlertsConfig;

/// One trigger and one of its handlers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    /// Tenant, chain and instance: the document.
    pub document: super::Key,
    /// The policy.
    pub policy: String,
    /// The trigger's identifier.
    pub trigger: String,
    /// The place of the handler in the trigger's list.
    pub handler: usize,
}

/// A message on its way.
type Message = Arc<(RequestBuilder, Value)>;

/// All lanes that have something to tell. Those who end it end its messages.
#[derive(Debug)]
pub struct Lanes {
    config: Arc<AlertsConfig>,
    messenger: Messenger,
    open: HashMap<Lane, watch::Sender<Message>>,
    tasks: JoinSet<(Lane, End)>,
    given_up: Vec<Lane>,
}

/// How a lane ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Told,
    GivenUp,
}

// === impl Lanes ===

impl Lanes {
    /// None is open.
    pub fn new(config: Arc<AlertsConfig>, messenger: Messenger) -> Self {
        Self { config, messenger, open: HashMap::new(), tasks: JoinSet::new(), given_up: Vec::new() }
    }

    /// Lanes whose last message was given up since the last call.
    pub fn given_up(&mut self) -> Vec<Lane> {
        self.sweep();
        std::mem::take(&mut self.given_up)
    }

    /// Sends `body` by `request`, after or instead of what waits in the same lane. False where the tenant has as many lanes open
    /// as it may.
    pub fn send(&mut self, lane: Lane, request: RequestBuilder, body: Value) -> bool {
        self.sweep();
        let message = Arc::new((request, body));
        // A lane that ends in this moment has no receiver any more.
        if self.open.get(&lane).is_some_and(|sender| sender.send(Arc::clone(&message)).is_ok()) {
            return true;
        }
        if self.open.keys().filter(|open| open.document.0 == lane.document.0).count() >= self.config.deliveries {
            self.messenger.given_up.inc();
            return false;
        }
        let (sender, receiver) = watch::channel(message);
        self.open.insert(lane.clone(), sender);
        let (config, messenger) = (Arc::clone(&self.config), self.messenger.clone());
        self.tasks.spawn(async move {
            let end = carry(receiver, &config, &messenger).await;
            (lane, end)
        });
        true
    }

    /// Forgets the lanes that have told everything.
    fn sweep(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            // One of the same name may have been opened since.
            if let Ok((lane, end)) = ended
                && self.open.get(&lane).is_some_and(watch::Sender::is_closed)
            {
                self.open.remove(&lane);
                if end == End::GivenUp {
                    self.given_up.push(lane);
                }
            }
        }
    }
}

/// Sends what stands in the lane until it is taken, as often as is configured, and each newer message likewise.
async fn carry(mut lane: watch::Receiver<Message>, config: &AlertsConfig, messenger: &Messenger) -> End {
    loop {
        let message = Arc::clone(&lane.borrow_and_update());
        let (request, body) = &*message;
        let mut pause = config.retry.0;
        let mut is_replaced = false;
        let mut end = End::GivenUp;
        for attempt in 1..=config.attempts {
            let Some(once) = request.try_clone() else { break };
            let reason = match once.timeout(config.timeout.0).json(body).send().await {
                Ok(answer) if answer.status().is_success() => {
                    messenger.delivered.inc();
                    end = End::Told;
                    break;
                }
                Ok(answer) => answer.status().to_string(),
                Err(error) => chain(&error),
            };
            tracing::warn!(attempt, reason, trigger = %body["id"], "a message was not taken");
            if attempt == config.attempts {
                messenger.given_up.inc();
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = pause.saturating_mul(2),
                changed = lane.changed() => {
                    is_replaced = changed.is_ok();
                    break;
                }
            }
        }
        if !is_replaced && !lane.has_changed().unwrap_or(false) {
            return end;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use axum::Json;
    use axum::routing::post;
    use flame_service_host::config::Span;
    use flame_test_kit::eventually;
    use prometheus::IntCounter;
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;

    fn lanes(deliveries: usize) -> Lanes {
        let config = AlertsConfig { deliveries, retry: Span(Duration::from_millis(20)), ..AlertsConfig::default() };
        let counter = |name: &str| IntCounter::new(name, "of a test").unwrap();
        let messenger = Messenger { client: None, delivered: counter("delivered"), given_up: counter("given_up") };
        Lanes::new(Arc::new(config), messenger)
    }

    fn lane(tenant: &str, name: &str) -> Lane {
        let document = (tenant.to_owned(), "shop".to_owned(), "first".to_owned());
        Lane { document, policy: "p".to_owned(), trigger: name.to_owned(), handler: 0 }
    }

    #[tokio::test]
    async fn a_handler_that_was_away_learns_last_how_things_stand() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let mut lanes = lanes(8);
        for state in ["critical", "ok", "critical again", "ok again"] {
            assert!(lanes.send(
                lane("a", "one"),
                reqwest::Client::new().post(&url),
                json!({ "id": "t", "state": state })
            ));
            tokio::task::yield_now().await;
        }
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener = TcpListener::bind(url.trim_start_matches("http://").trim_end_matches('/')).await.unwrap();
        let hears = Arc::clone(&heard);
        let handler = post(async move |Json(body): Json<Value>| {
            hears.lock().unwrap().push(body["state"].as_str().unwrap_or_default().to_owned());
        });
        let server = tokio::spawn(async move {
            axum::serve(listener, axum::Router::new().route("/", handler)).await.unwrap();
        });
        eventually(Duration::from_secs(10), || {
            let last = heard.lock().unwrap().last().cloned();
            async move { if last.as_deref() == Some("ok again") { Ok(()) } else { Err(format!("{last:?}")) } }
        })
        .await;
        assert_eq!(heard.lock().unwrap().len(), 1, "what was overtaken is not told any more");
        server.abort();
    }

    #[tokio::test]
    async fn a_tenant_whose_handlers_are_away_costs_others_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let mut lanes = lanes(2);
        let mut send = |tenant: &str, name: &str| {
            lanes.send(lane(tenant, name), reqwest::Client::new().post(&url), json!({ "id": name }))
        };
        assert!(send("a", "1") && send("a", "2"));
        assert!(!send("a", "3"), "as many lanes as a tenant may have");
        assert!(send("a", "2"), "an open lane takes what is newer");
        assert!(send("b", "1") && send("b", "2"));
        assert_eq!(lanes.messenger.given_up.get(), 1);
    }

    #[tokio::test]
    async fn what_is_given_up_is_said_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let mut lanes = lanes(2);
        lanes.config = Arc::new(AlertsConfig { attempts: 2, ..(*lanes.config).clone() });
        assert!(lanes.send(lane("a", "1"), reqwest::Client::new().post(&url), json!({ "id": "1" })));
        let given_up = loop {
            let given_up = lanes.given_up();
            if !given_up.is_empty() {
                break given_up;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(given_up, [lane("a", "1")]);
        assert_eq!(lanes.given_up(), []);
    }
}

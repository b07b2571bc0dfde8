//! Whether endpoints that run answer: each is asked again and again, beside the loop that takes steps, so that one that hangs holds
//! nothing up.
//!
//! A process that hangs keeps its port, and the kernel goes on taking connections for it. So it is asked over HTTP, which everything
//! behind a name speaks; whatever it says is an answer, also that it does not know the question. What follows from silence is the
//! lifecycle's to decide.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::PoisonError;

use futures_util::{StreamExt, stream};
use reqwest::Method;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Conductor;
use crate::deployment::Endpoint;
use crate::lifecycle::Stage;

/// Endpoints that are asked at once.
const AT_ONCE: usize = 64;

/// When endpoints answered last; only those that run are here. A start is told from the next one by its generation.
pub(super) type Heard = BTreeMap<(String, u64), Hearing>;

/// What is known of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hearing {
    /// When it answered last, or was first asked.
    answered: Instant,
    /// When it was asked in vain after that.
    in_vain: Option<Instant>,
}

/// What is asked of whom.
struct Question {
    id: (String, u64),
    address: SocketAddr,
    ready_path: Option<String>,
}

// === impl Conductor ===

impl Conductor {
    /// Asks those that run, again and again, until `stop`.
    pub async fn listen(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.0.lifecycle.ask_every.0.max(std::time::Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if stop.run_until_cancelled(self.ask_all()).await.is_none() {
                break;
            }
        }
    }

    async fn ask_all(&self) {
        let questions = self.questions();
        self.heard().retain(|id, _| questions.iter().any(|question| question.id == *id));
        let now = Instant::now();
        for question in &questions {
            self.heard().entry(question.id.clone()).or_insert(Hearing { answered: now, in_vain: None });
        }
        let asked = stream::iter(questions).for_each_concurrent(AT_ONCE, |question| async move {
            let answers = self.is_heard(&question).await;
            if let Some(hearing) = self.heard().get_mut(&question.id) {
                let now = Instant::now();
                match answers {
                    true => *hearing = Hearing { answered: now, in_vain: None },
                    false => hearing.in_vain = Some(now),
                }
            }
        });
        asked.await;
    }

    fn questions(&self) -> Vec<Question> {
        let kept = self.0.kept();
        let endpoints = kept.values().flat_map(|one| &one.record.endpoints);
        let running = endpoints.filter(|one| {
            // Who stands behind no name need not listen at all.
            let speaks = !one.spec.names.is_empty() || one.spec.ready_path.is_some();
            let runs = one.process.is_some() && matches!(one.stage, Stage::Booted | Stage::Connected | Stage::Draining);
            speaks && runs
        });
        let question = |one: &Endpoint| {
            let (address, ready_path) = (one.address()?, one.spec.ready_path.clone());
            Some(Question { id: (one.id.clone(), one.generation), address, ready_path })
        };
        running.filter_map(question).collect()
    }

    /// Whether an endpoint says anything.
    async fn is_heard(&self, question: &Question) -> bool {
        let (method, path) = match &question.ready_path {
            Some(path) => (Method::GET, path.trim_start_matches('/')),
            // Nobody does anything because of it, and a surrogate answers it without asking anybody.
            None => (Method::OPTIONS, ""),
        };
        let url = format!("http://{}/{path}", question.address);
        let answer = self.0.http.request(method, url).timeout(self.0.lifecycle.answer.0).send().await;
        // Who hangs up, or speaks something else, is there.
        answer.map_or_else(|error| !error.is_timeout() && !error.is_connect(), |_| true)
    }

    /// For how long an endpoint has been asked in vain, milliseconds.
    pub(super) fn silent_ms(&self, endpoint: &Endpoint) -> u64 {
        let hearing = self.heard().get(&(endpoint.id.clone(), endpoint.generation)).copied();
        let silent = hearing.and_then(|it| Some(it.in_vain?.saturating_duration_since(it.answered)));
        silent.map_or(0, |silent| u64::try_from(silent.as_millis()).unwrap_or(u64::MAX))
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

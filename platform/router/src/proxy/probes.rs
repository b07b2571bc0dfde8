//! Asking endpoints that were overtaken whether they are there, and those that are written down and hold no lease; and letting
//! go of connections that nobody uses.
//!
//! A stopped process still takes connections: only an answer shows that it is there, whichever answer that is. Nobody's
//! request is spent on it. Who is to be asked is decided in [`flame_naming::health`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use flame_naming::Label;
use flame_naming::peers::Key;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::body::Lent;
use super::resume::Resumer;

/// How long an endpoint may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// Endpoints asked at the same time: of those that hold a lease, and of those that are written down, so that many of these that are
/// gone keep none of those waiting.
const ASKED_MAX: usize = 64;

/// Asks endpoints that were overtaken, those that hang, and those that are written down.
pub(crate) struct Probes {
    parties: Arc<Resumer>,
    every: Duration,
    /// How often at least one that is written down is asked; not at all where it is nothing.
    watched: Option<Duration>,
}

// === impl Probes ===

impl Probes {
    pub(super) fn new(parties: &Arc<Resumer>, every: Duration, watched: Duration) -> Self {
        Self { parties: Arc::clone(parties), every, watched: Some(watched).filter(|watched| !watched.is_zero()) }
    }

    /// Asks until `stop`.
    pub(crate) async fn until(self, stop: CancellationToken) {
        let (mut asked, mut probes) = (HashMap::new(), JoinSet::new());
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = stop.cancelled() => return,
            }
            self.parties.upstream.sweep();
            while let Some(ended) = probes.try_join_next() {
                if let Ok(ended) = ended {
                    asked.remove(&ended);
                }
            }
            for (one, is_watched) in self.parties.registry.to_probe(self.watched) {
                let like_it = asked.values().filter(|other| **other == is_watched).count();
                if like_it < ASKED_MAX && !asked.contains_key(&one) {
                    asked.insert(one.clone(), is_watched);
                    probes.spawn(probe(Arc::clone(&self.parties), one));
                }
            }
        }
    }
}

async fn probe(parties: Arc<Resumer>, (site, key): (Label, Key)) -> (Label, Key) {
    if let Some(call) = parties.registry.probe_at(&site, &key) {
        let (mut head, ()) = hyper::Request::new(()).into_parts();
        head.method = Method::HEAD;
        let asked = parties.upstream.send(&call, "/health/live", &head, Lent::nothing());
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        let is_back = matches!(answer, Ok(Ok(_)));
        tracing::debug!(%site, name = %key.name, endpoint = %key.endpoint, is_back, "probed");
        call.probed(is_back);
    }
    (site, key)
}

//! Asking endpoints that were overtaken whether they are there; and letting go of connections that nobody uses.
//!
//! A stopped process still takes connections: only an answer shows that it is there, whichever answer that is. Nobody's
//! request is spent on it.

use std::collections::HashSet;
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
/// Endpoints asked at the same time.
const ASKED_MAX: usize = 64;

/// Asks endpoints that were overtaken, and those that hang.
pub(crate) struct Probes {
    parties: Arc<Resumer>,
    every: Duration,
}

// === impl Probes ===

impl Probes {
    pub(super) fn new(parties: &Arc<Resumer>, every: Duration) -> Self {
        Self { parties: Arc::clone(parties), every }
    }

    /// Asks until `stop`.
    pub(crate) async fn until(self, stop: CancellationToken) {
        let (mut asked, mut probes) = (HashSet::new(), JoinSet::new());
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
            let suspects = self.parties.registry.look(|site, held, _| {
                let key = || Key { name: held.name.clone(), endpoint: held.endpoint.clone() };
                held.health.is_suspect().then(|| (site.clone(), key()))
            });
            for one in suspects {
                if asked.len() < ASKED_MAX && asked.insert(one.clone()) {
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

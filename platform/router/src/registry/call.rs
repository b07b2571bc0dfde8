//! A request on its way to an endpoint, and what is learned of the endpoint by it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::uri::{self, PathAndQuery, Scheme};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use flame_api::problem::{CONCERNS, RESOURCE};
use flame_credentials::standing::{dns_of_name, dns_of_router};
use flame_naming::health::{Demand, Health, Said, tells_latency};
use flame_naming::peers::Key;
use flame_naming::{Choice, Label, Moment, Name, Table};
use flame_service_host::connector;

use super::Registry;

/// How often it is looked whether an endpoint was found to hang.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The same for requests that may wait there: there are thousands of them, and none is in a hurry.
const LOOK_AT_WAIT_EVERY: Duration = Duration::from_millis(200);
/// After such a time it is probed again: it may have answered, and hang since.
const LATE_AGAIN: Duration = Duration::from_secs(1);

/// A request on its way to an endpoint. Dropping it says that it has ended.
#[derive(Debug)]
pub(crate) struct Call {
    pub(super) registry: Registry,
    pub(super) name: Name,
    pub(crate) site: Label,
    pub(crate) choice: Choice,
    /// Whether it goes to the router of the site, and not to an endpoint.
    pub(super) is_router: bool,
    pub(super) began: Moment,
    /// How many endpoints had been killed when it was chosen.
    pub(super) kills: u64,
    /// After how long its answer is late.
    pub(crate) hedge_after: Duration,
    /// Whether it may wait there until there is something to answer.
    pub(super) is_wait: bool,
    /// Whether it is noted that it has ended.
    pub(super) has_ended: AtomicBool,
}

// === impl Call ===

impl Call {
    /// The same for a request that may wait there: what it takes is not noted, and it is late as late as that may be.
    pub(crate) fn waiting(mut self) -> Self {
        self.is_wait = true;
        self.hedge_after = self.registry.atlas().repeats.hedge_max;
        self
    }

    /// The endpoint gave a whole answer; how long it took says nothing.
    pub(crate) fn succeeded(&self) {
        if self.has_ended.load(Ordering::Relaxed) {
            return;
        }
        self.registry.0.refusals.forget(&self.site, || self.key());
        let (began, now) = (self.began, self.registry.now());
        self.table(|table| table.note(&self.name, &self.choice, |health| health.succeeded(began, now)));
    }

    /// The endpoint's answer, of that status, begins just now.
    pub(crate) fn began(&self, status: StatusCode) {
        self.registry.0.refusals.forget(&self.site, || self.key());
        let (took, now) = (self.waited(), self.registry.now());
        self.table(|table| self.note_beginning(table, status, took, now));
    }

    fn note_beginning(&self, table: &mut Table, status: StatusCode, took: Duration, now: Moment) {
        if self.is_wait {
            table.note(&self.name, &self.choice, Health::has_let_wait);
        } else if !tells_latency(status.as_u16()) {
            table.refused(&self.name, &self.choice, took, now);
        } else {
            table.began(&self.name, &self.choice, took, now);
        }
    }

    /// The same where all of the answer is here already: nothing more of it is to be noted.
    pub(crate) fn began_and_ended(&self, status: StatusCode) {
        if self.has_ended.swap(true, Ordering::Relaxed) {
            return;
        }
        self.registry.0.refusals.forget(&self.site, || self.key());
        let (took, now) = (self.waited(), self.registry.now());
        self.table(|table| {
            self.note_beginning(table, status, took, now);
            table.note(&self.name, &self.choice, |health| {
                if !status.is_server_error() {
                    health.succeeded(self.began, now);
                }
                health.closed();
            });
        });
    }

    /// Takes note of what the head of an answer says of the endpoint itself: of its room, and of whether it writes.
    pub(crate) fn answered(&self, demand: Demand, status: StatusCode, headers: &HeaderMap) {
        // Most answers say nothing, and cost nothing here.
        if demand == Demand::Read && tells_latency(status.as_u16()) {
            return;
        }
        // What a surrogate only passes on is somebody else's word, and what is about one resource none about its endpoint.
        let is_own = (demand == Demand::Write || !is_passed_on(headers)) && !is_of_resource(headers);
        let said = if is_own { Said::of(demand, status.as_u16(), retry_after(headers)) } else { Said::Nothing };
        if said != Said::Nothing {
            let (began, now) = (self.began, self.registry.now());
            self.table(|table| table.note(&self.name, &self.choice, |health| health.said(said, began, now)));
        }
    }

    /// The endpoint kept a probe waiting, or did not.
    pub(crate) fn probed(&self, is_back: bool) {
        let (took, began, now) = (is_back.then(|| self.waited()), self.began, self.registry.now());
        self.table(|table| table.note(&self.name, &self.choice, |health| health.probed(took, began, now)));
    }

    /// The endpoint could not be reached, or broke off.
    pub(crate) fn failed(&self) {
        let (began, now) = (self.began, self.registry.now());
        self.table(|table| table.note(&self.name, &self.choice, |health| health.failed(began, now)));
    }

    /// More came than its answer had said. What was passed on cannot be had back; another one is asked next time.
    pub(crate) fn said_too_little(&self) {
        let (endpoint, address) = (&self.choice.endpoint, self.choice.address);
        tracing::warn!(%endpoint, %address, "an answer was longer than it said");
        self.failed();
    }

    /// Another one answered what this one did not.
    pub(crate) fn overtaken(&self) {
        let (waited, now) = (self.waited(), self.registry.now());
        self.table(|table| table.note(&self.name, &self.choice, |health| health.overtaken(waited, now)));
    }

    /// Has the endpoint probed, because its answer is late, and ends when it is found to hang.
    pub(crate) async fn hangs(&self) {
        self.table(|table| table.note(&self.name, &self.choice, Health::is_late));
        let look_every = if self.is_wait { LOOK_AT_WAIT_EVERY } else { LOOK_EVERY };
        let (key, mut late) = (self.key(), self.registry.now());
        loop {
            tokio::time::sleep(look_every).await;
            let (mut atlas, now) = (self.registry.atlas(), self.registry.now());
            if atlas.pick(&self.site, &key, now).is_none_or(|held| held.health.is_hung()) {
                return;
            }
            if now >= late + LATE_AGAIN {
                late = now;
                if let Some(table) = atlas.table_mut(&self.site) {
                    table.note(&self.name, &self.choice, Health::is_late);
                }
            }
        }
    }

    /// Whether its endpoint rests after a failure.
    pub(crate) fn rests(&self) -> bool {
        let (mut atlas, now) = (self.registry.atlas(), self.registry.now());
        atlas.table_mut(&self.site).is_some_and(|table| table.rests(&self.name, &self.choice, now))
    }

    /// Whether the request may be sent there as a repeat; pays for it.
    pub(crate) fn may_repeat(&self) -> bool {
        let now = self.registry.now();
        let mut atlas = self.registry.atlas();
        let repeats = atlas.repeats;
        atlas.table_mut(&self.site).is_none_or(|table| table.spend(&self.name, &repeats, now))
    }

    /// Ends when its endpoint is killed.
    pub(crate) async fn killed(&self) {
        killed(&self.registry, (&self.site, &self.name, &self.choice), self.kills).await;
    }

    /// The same for who cannot borrow it for so long.
    pub(crate) fn killed_later(&self) -> impl Future<Output = ()> + Send + 'static {
        let (registry, site, name, choice, seen) =
            (self.registry.clone(), self.site.clone(), self.name.clone(), self.choice.clone(), self.kills);
        async move { killed(&registry, (&site, &name, &choice), seen).await }
    }

    /// Whoever answers there has another certificate than it should.
    pub(crate) fn not_believed(&self, reason: String) {
        let (name, endpoint, address) = (&self.name, &self.choice.endpoint, self.choice.address);
        tracing::warn!(%name, %endpoint, %address, reason, "not asked: its certificate is not that of an endpoint of the name");
        self.registry.0.refusals.note(&self.site, self.key(), reason, self.registry.now());
    }

    /// The URL of `path_and_query` there: whom the connection has to lead to, and where.
    pub(crate) fn uri(&self, path_and_query: &str) -> Uri {
        let address = self.choice.address.to_string();
        let mut parts = uri::Parts::default();
        (parts.scheme, parts.authority) = if self.choice.tls {
            let expected = if self.is_router { dns_of_router(&self.site) } else { dns_of_name(&self.name) };
            (Some(Scheme::HTTPS), connector::expecting(&expected, self.registry.0.own.as_ref(), &address))
        } else {
            (Some(Scheme::HTTP), address.parse().ok())
        };
        // It is a part of what was a path and query before.
        parts.path_and_query = Some(path_and_query.parse().unwrap_or(PathAndQuery::from_static("/")));
        Uri::from_parts(parts).expect("it has scheme, authority and path")
    }

    fn waited(&self) -> Duration {
        self.registry.now().0.saturating_sub(self.began.0)
    }

    /// Which endpoint it goes to.
    pub(crate) fn key(&self) -> Key {
        Key { name: self.name.clone(), endpoint: self.choice.endpoint.clone() }
    }

    fn table(&self, note: impl FnOnce(&mut Table)) {
        if let Some(table) = self.registry.atlas().table_mut(&self.site) {
            note(table);
        }
    }
}

/// Whether a cache says that it went on with the request (RFC 9211 section 2.2).
fn is_passed_on(headers: &HeaderMap) -> bool {
    headers.get_all("cache-status").iter().any(|value| value.as_bytes().windows(4).any(|part| part == b"fwd="))
}

/// Whether a refusal is said to be about what was asked for alone.
fn is_of_resource(headers: &HeaderMap) -> bool {
    headers.get(CONCERNS).is_some_and(|value| value == RESOURCE)
}

/// When to ask again. A date says no less than a second; who means more says it in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let field = headers.get(header::RETRY_AFTER)?;
    Some(Duration::from_secs(field.to_str().ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1)))
}

/// Ends when that endpoint is killed; `seen` had been killed when it was chosen.
async fn killed(registry: &Registry, (site, name, choice): (&Label, &Name, &Choice), mut seen: u64) {
    let kills = &registry.0.kills;
    loop {
        // Who waits from here on is told: what happens between the look and the wait is not missed.
        let told = kills.told.notified();
        let count = kills.count.load(Ordering::Acquire);
        if count != std::mem::replace(&mut seen, count)
            && registry.atlas().table_mut(site).is_some_and(|table| table.is_killed(name, choice))
        {
            return;
        }
        told.await;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.has_ended.load(Ordering::Relaxed) {
            self.table(|table| table.note(&self.name, &self.choice, Health::closed));
        }
    }
}

//! The other surrogates: they are told of purges, and asked for those that this one has missed.
//!
//! Who they are is what the router lists behind the surrogates' own name. One that cannot be told asks: when it starts, and from
//! time to time while it runs, for the way between two may be cut without either of them stopping.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, StatusCode, header};
use flame_api::Client;
use flame_api::client::Transport;
use flame_api::peers::PeerState;
use flame_api::vcdn::PurgeEntry;
use flame_credentials::standing::dns_of_name;
use flame_naming::Name;
use flame_service_host::Whereabouts;
use futures_util::future::join_all;
use reqwest::Method;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Surrogate;
use crate::purge::{self, PurgeError};

/// Time for a peer to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// After this time those who did not tell their purges at the start are asked again; after twice that the next time, and so on.
const AGAIN: Duration = Duration::from_secs(1);

/// How much of what others purged is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaughtUp {
    /// All that all of them remember.
    Wholly,
    /// The router lists nobody else, which it also does when it has just started: the others are still to come.
    Alone,
    /// One did not say, or nobody knows who they are.
    InPart,
}

/// Who else is there, by the router.
struct Around {
    /// Where, and whether they speak TLS.
    others: Vec<(SocketAddr, bool)>,
    /// It lists this one, and runs, for so long that all who live have told it of themselves.
    is_complete: bool,
}

/// Who was told of a purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// Those that did it.
    pub(crate) done: Vec<String>,
    /// Those that could not be reached.
    pub(crate) unreached: Vec<String>,
    /// Whether there are certainly no others.
    pub(crate) all_known: bool,
    /// Sites of which nobody knows who stands there.
    pub(crate) unheard_sites: Vec<String>,
}

/// Finds and asks the other surrogates.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    client: Client,
    plain: reqwest::Client,
    /// To those that speak TLS, if this one does.
    secure: Option<Transport>,
    name: String,
    own: Whereabouts,
    token: Option<String>,
    /// How long a router has to list this one until it is believed that there is no other.
    alone_after: Duration,
    /// Since when it does.
    listed: Arc<Mutex<Option<Instant>>>,
    /// What was done of the others' logs, by entity tag.
    done: Arc<Mutex<HashMap<SocketAddr, HeaderValue>>>,
}

/// The log of another surrogate.
struct Log {
    address: SocketAddr,
    etag: Option<HeaderValue>,
    /// Oldest first.
    entries: Vec<PurgeEntry>,
}

/// What stands in the certificate of a surrogate whose own API is called `name`.
pub(crate) fn expected(name: &str) -> String {
    name.parse::<Name>().map_or_else(|_| name.to_owned(), |name| dns_of_name(&name))
}

// === impl Peers ===

impl Peers {
    pub(crate) fn new(
        client: Client,
        secure: Option<Transport>,
        name: &str,
        own: Whereabouts,
        token: Option<String>,
        alone_after: Duration,
    ) -> Self {
        let name = name.parse::<Name>().map_or_else(|_| name.to_owned(), |name| name.to_string());
        Self {
            client: client.with_deadline(PATIENCE),
            plain: reqwest::Client::new(),
            secure,
            name,
            own,
            token,
            alone_after,
            listed: Arc::default(),
            done: Arc::default(),
        }
    }

    /// Who else is there; `None` where the router does not say.
    async fn around(&self) -> Option<Around> {
        let listed = match self.client.endpoints().await {
            Ok(page) => page.items,
            Err(error) => {
                tracing::warn!(%error, "the other surrogates are not known: the router does not list them");
                *self.listed() = None;
                return None;
            }
        };
        let up_ms = listed.iter().filter_map(|endpoint| endpoint.router_up_ms).min();
        let up = up_ms.map_or(Duration::MAX, Duration::from_millis);
        // Where it is not known, this one is told as the others are: what it did already is not done again.
        let own = self.own.address().await.ok();
        let (own, others): (Vec<_>, Vec<_>) = listed
            .into_iter()
            .filter(|endpoint| endpoint.name == self.name)
            .partition(|endpoint| Some(endpoint.address) == own);
        let is_complete = was_listed(&mut self.listed(), !own.is_empty(), (Instant::now(), up), self.alone_after);
        let others: BTreeSet<_> = others.into_iter().map(|endpoint| (endpoint.address, endpoint.tls)).collect();
        Some(Around { others: others.into_iter().collect(), is_complete })
    }

    fn listed(&self) -> MutexGuard<'_, Option<Instant>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sites whose router the own one does not hear now: it may never have heard who stands there, and does not hear who comes. `None`
    /// where it does not say.
    async fn unheard_sites(&self) -> Option<Vec<String>> {
        match self.client.peers().await {
            Ok(page) => {
                let unheard = page.items.into_iter().filter(|peer| peer.state != PeerState::Connected);
                Some(unheard.map(|peer| peer.site).collect())
            }
            Err(error) => {
                tracing::warn!(%error, "the router does not say which other sites it hears");
                None
            }
        }
    }

    /// Tells all others of a purge.
    pub(crate) async fn tell(&self, entry: &PurgeEntry) -> Told {
        // Before the list: a site that is heard in between is in it, and counts as not heard; never the other way round.
        let unheard = self.unheard_sites().await;
        let around = self.around().await;
        // A router that does not answer, has just started, or does not hear another, does not name those who still serve what is purged here.
        let all_known =
            around.as_ref().is_some_and(|around| around.is_complete) && unheard.as_ref().is_some_and(Vec::is_empty);
        let unheard_sites = unheard.unwrap_or_default();
        let others = around.map(|around| around.others).unwrap_or_default();
        let told = others.into_iter().map(|(address, tls)| async move {
            let request = self.request(Method::PUT, address, tls, &format!("purges/{}", entry.id));
            let answer = request.json(entry).send().await;
            (address.to_string(), answer.and_then(reqwest::Response::error_for_status))
        });
        let (mut done, mut unreached) = (Vec::new(), Vec::new());
        for (address, answer) in join_all(told).await {
            match answer {
                Ok(_) => done.push(address),
                Err(error) => {
                    tracing::warn!(%address, %error, "a surrogate was not told of a purge");
                    unreached.push(address);
                }
            }
        }
        Told { done, unreached, all_known, unheard_sites }
    }

    /// The logs of the others that have changed since they were done, and whether those are all.
    async fn logs(&self) -> (Vec<Log>, CaughtUp) {
        let Some(Around { others, is_complete }) = self.around().await else { return (Vec::new(), CaughtUp::InPart) };
        if others.is_empty() {
            return (Vec::new(), if is_complete { CaughtUp::Wholly } else { CaughtUp::Alone });
        }
        let asked = others.into_iter().map(|(address, tls)| async move {
            let log = self.log(address, tls).await;
            log.inspect_err(|error| tracing::warn!(%address, %error, "a surrogate did not tell its purges"))
        });
        let answers = join_all(asked).await;
        let are_all = answers.iter().all(Result::is_ok);
        let logs = answers.into_iter().flatten().flatten().collect();
        // There may be others that a router which has just started does not list yet.
        let caught_up = match (are_all, is_complete) {
            (true, true) => CaughtUp::Wholly,
            (true, false) => CaughtUp::Alone,
            (false, _) => CaughtUp::InPart,
        };
        (logs, caught_up)
    }

    /// All of another's log, for its clock is its own; nothing if it is as it was.
    async fn log(&self, address: SocketAddr, tls: bool) -> Result<Option<Log>, reqwest::Error> {
        let mut request = self.request(Method::GET, address, tls, "purges");
        if let Some(etag) = self.done().get(&address) {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let answer = request.send().await?.error_for_status()?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let etag = answer.headers().get(header::ETAG).cloned();
        Ok(Some(Log { address, etag, entries: answer.json().await? }))
    }

    fn done(&self) -> MutexGuard<'_, HashMap<SocketAddr, HeaderValue>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request to another surrogate: who speaks TLS has to have the surrogates' name in its certificate.
    fn request(&self, method: Method, address: SocketAddr, tls: bool, path: &str) -> reqwest::RequestBuilder {
        let secure = self.secure.as_ref().filter(|_| tls).map(Transport::http);
        let scheme = if tls { "https" } else { "http" };
        let http = secure.unwrap_or_else(|| self.plain.clone());
        let request = http.request(method, format!("{scheme}://{address}/{path}")).timeout(PATIENCE);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// Whether the router has listed this one for at least `needed`, as of `now`, and is `up` for as long: `since` is when it began to list
/// it. One that started anew between two looks may list it again already, and others not yet.
fn was_listed(since: &mut Option<Instant>, is_listed: bool, (now, up): (Instant, Duration), needed: Duration) -> bool {
    *since = since.filter(|_| is_listed).or(is_listed.then_some(now));
    needed.is_zero() || since.is_some_and(|since| now.duration_since(since).min(up) >= needed)
}

/// How long nobody is asked after `in_vain` times in a row that came to a part, where all are asked `every` so often. `chance` from 0 to 1
/// keeps many surrogates from asking at once.
fn pause(in_vain: u32, every: Duration, chance: f64) -> Duration {
    let doubled = AGAIN.saturating_mul(1 << in_vain.saturating_sub(1).min(16));
    every.min(doubled).mul_f64(0.75 + chance.clamp(0.0, 1.0) / 4.0)
}

// === impl Surrogate ===

impl Surrogate {
    /// Does what others purged and this one was not told. Once all of them have told all they know, or the router has listed this one and
    /// no other for long enough, what lay on disk at the start is used again without asking.
    pub(crate) async fn catch_up(&self) -> CaughtUp {
        let last = self.purges.last();
        let (logs, mut caught_up) = self.peers.logs().await;
        for cover in logs.iter().flat_map(|log| purge::gaps(last, &log.entries)) {
            tracing::warn!(?cover, "away for longer than the others remember purges: what was kept is dropped");
            for shelf in self.shelves.values() {
                shelf.purge(|key, tags| cover.covers(key, tags));
            }
        }
        let known = self.purges.known();
        for log in logs {
            let mut is_done = true;
            for entry in log.entries.into_iter().filter(|entry| !known.contains(&entry.id)) {
                let id = entry.id;
                if let Err(error) = self.purge(entry).await {
                    tracing::warn!(%id, %error, "a purge of another surrogate was not done");
                    is_done = false;
                }
            }
            if !is_done {
                caught_up = CaughtUp::InPart;
            }
            let mut done = self.peers.done();
            match log.etag.filter(|_| is_done) {
                Some(etag) => drop(done.insert(log.address, etag)),
                None => drop(done.remove(&log.address)),
            }
        }
        if caught_up == CaughtUp::Wholly {
            self.shelves.values().for_each(|shelf| shelf.trust());
        }
        caught_up
    }

    /// Asks the others again and again until `stop`: soon, where it is not known `at_start` who they are, or one could not be asked.
    pub(crate) async fn keep_up(self, at_start: CaughtUp, every: Duration, stop: CancellationToken) {
        let (mut last, mut in_vain) = (at_start, 0);
        loop {
            let wait = match last {
                CaughtUp::Wholly => every,
                // It costs the router a list.
                CaughtUp::Alone => every.min(AGAIN),
                CaughtUp::InPart => {
                    in_vain += 1;
                    pause(in_vain, every, rand::random())
                }
            };
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
            let now = self.catch_up().await;
            // What was known once stays known: from then on this one is told.
            if last != CaughtUp::Wholly {
                last = now;
            }
        }
    }

    /// Notes and does a purge: how many objects it dropped. One that is known is not done again.
    pub(crate) async fn purge(&self, entry: PurgeEntry) -> Result<u64, PurgeError> {
        let surrogate = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let (id, name): (Uuid, String) = (entry.id, entry.purge.name.clone());
            let Some(cover) = surrogate.purges.note(entry)? else { return Ok(0) };
            let objects: usize =
                surrogate.shelves.values().map(|shelf| shelf.purge(|key, tags| cover.covers(key, tags))).sum();
            tracing::info!(%id, name, objects, "purged");
            Ok(objects as u64)
        });
        done.await.map_err(|error| PurgeError::Note(std::io::Error::other(error)))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_is_believed_once_this_one_is_listed_for_long_enough_in_one_piece() {
        let (mut since, begin, needed) = (None, Instant::now(), Duration::from_secs(10));
        let mut looks = Vec::new();
        // The router starts anew in the middle, and knows nobody for a moment; then once more, between two looks.
        let all = [(0, false), (1, true), (10, true), (11, true), (12, false), (13, true), (22, true), (23, true)];
        let again = [(30, true), (39, true), (40, true)];
        for (at_s, is_listed) in all.into_iter().chain(again) {
            let began_s = if at_s < 30 { 0 } else { 30 };
            let now = begin + Duration::from_secs(at_s);
            looks.push(was_listed(&mut since, is_listed, (now, Duration::from_secs(at_s - began_s)), needed));
        }
        assert_eq!(looks, [false, false, false, true, false, false, false, true, false, false, true]);
        let now = (begin, Duration::ZERO);
        assert!(was_listed(&mut None, false, now, Duration::ZERO), "whoever asks for no proof gets none");
    }

    #[test]
    fn who_does_not_answer_is_asked_less_and_less_often_but_as_often_as_all() {
        let every = Duration::from_secs(10);
        let pauses: Vec<u128> = (1..=6).map(|times| pause(times, every, 1.0).as_millis()).collect();
        assert_eq!(pauses, [1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(pause(1, every, 0.0), Duration::from_millis(750));
        assert_eq!(pause(u32::MAX, Duration::from_millis(50), 1.0), Duration::from_millis(50));
    }
}

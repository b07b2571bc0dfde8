//! The other surrogates: they are told of purges, and asked for those that this one has missed.
//!
//! Who they are is what the router lists behind the names of surrogates' own APIs: the platform's, and those that templates have started,
//! whatever names they serve. One that cannot be told asks: when it starts, and from time to time while it runs, for the way between two
//! may be cut without either of them stopping.
//!
//! What this one is known by is shown only to those behind names that administrators alone register: the platform's, and those of the own
//! tenant's instance `main`. Anybody who may deploy may stand behind others. Those are told that there is a purge, by its number and without a
//! credential, and ask the platform's for it with what they are known by themselves.

mod others;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, StatusCode, header};
use flame_api::Client;
use flame_api::client::Transport;
use flame_api::peers::PeerState;
use flame_api::router::Endpoint;
use flame_api::vcdn::{self, PurgeEntry};
use flame_credentials::standing::dns_of_name;
use flame_naming::Name;
use flame_naming::name::DEFAULT_TENANT;
use flame_service_host::{Transports, Whereabouts};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use reqwest::Method;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use others::NOT_SERVED;
use others::{Other, Said, is_believed, others, said, told_how};

use crate::Surrogate;
use crate::purge::{self, By, Cover, PurgeError};

/// Time for a peer to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time for all who are told that there is a purge to ask for it and to do it: however many a tenant has registered.
const PULLED_WITHIN: Duration = Duration::from_secs(5);

/// How many are told at once that there is a purge.
const HINTED_AT_ONCE: usize = 32;

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
    others: BTreeSet<Other>,
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
    transports: Transports,
    /// What its own API is called.
    name: String,
    /// Whose surrogate this is.
    tenant: String,
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

// === impl Told ===

impl Told {
    /// Whether all others were asked, and none of them serves the name.
    pub(crate) fn is_nobodys(&self) -> bool {
        self.all_known && self.done.is_empty() && self.unreached.is_empty()
    }
}

// === impl Peers ===

impl Peers {
    pub(crate) fn new(
        client: Client,
        transports: Transports,
        name: &str,
        own: Whereabouts,
        token: Option<String>,
        alone_after: Duration,
    ) -> Self {
        let (name, tenant) = match name.parse::<Name>() {
            Ok(parsed) => (parsed.to_string(), parsed.tenant().to_string()),
            // Nobody is registered by it.
            Err(_) => (name.to_owned(), DEFAULT_TENANT.to_owned()),
        };
        Self {
            client: client.with_deadline(PATIENCE),
            plain: reqwest::Client::new(),
            transports,
            name,
            tenant,
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
        let is_surrogate = |endpoint: &&Endpoint| vcdn::is_api(&endpoint.name) || endpoint.name == self.name;
        let surrogates: Vec<&Endpoint> = listed.iter().filter(is_surrogate).collect();
        let is_listed = surrogates.iter().any(|endpoint| Some(endpoint.address) == own);
        let others = others(&surrogates, own);
        let is_complete = was_listed(&mut self.listed(), is_listed, (Instant::now(), up), self.alone_after);
        Some(Around { others, is_complete })
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

    /// Tells all others of a purge of what is `tenant`'s, which this one has noted.
    pub(crate) async fn tell(&self, entry: &PurgeEntry, tenant: &str) -> Told {
        // Before the list: a site that is heard in between is in it, and counts as not heard; never the other way round.
        let unheard = self.unheard_sites().await;
        let around = self.around().await;
        // A router that does not answer, has just started, or does not hear another, does not name those who still serve what is purged here.
        let all_known =
            around.as_ref().is_some_and(|around| around.is_complete) && unheard.as_ref().is_some_and(Vec::is_empty);
        let unheard_sites = unheard.unwrap_or_default();
        let others = around.map(|around| around.others).unwrap_or_default();
        let (believed, hinted) = told_how(others, tenant, &self.tenant);
        let told = believed.into_iter().map(|other| async move {
            let request = self.known(Method::PUT, &other, &format!("purges/{}", entry.id)).timeout(PATIENCE);
            let said = said(request.json(entry).send().await).await;
            let is_it = !self.may_be_another(&other);
            (
                other.address,
                if is_it { said } else { Said::Failed("which of its name the router asked is not known".into()) },
            )
        });
        let mut answers = join_all(told).await;
        // Now there is somebody who knows it, whom they can ask.
        let mut silent: HashSet<SocketAddr> = hinted.iter().map(|other| other.address).collect();
        let told = hinted.into_iter().map(|other| async move {
            let request =
                self.request(Method::POST, &other, &format!("purges/{}/pulls", entry.id)).timeout(PULLED_WITHIN);
            (other.address, said(request.send().await).await)
        });
        let told: Vec<_> = told.collect();
        let hinted = stream::iter(told).buffer_unordered(HINTED_AT_ONCE).take_until(tokio::time::sleep(PULLED_WITHIN));
        let hinted: Vec<_> = hinted.collect().await;
        for (address, _) in &hinted {
            silent.remove(address);
        }
        answers.extend(hinted);
        answers
            .extend(silent.into_iter().map(|address| (address, Said::Failed("it does not answer in time".to_owned()))));
        let (mut done, mut unreached) = (Vec::new(), Vec::new());
        for (address, said) in answers {
            match said {
                Said::NotServed => {}
                Said::Done => done.push(address.to_string()),
                Said::Failed(error) => {
                    tracing::warn!(%address, error, "a surrogate was not told of a purge");
                    unreached.push(address.to_string());
                }
            }
        }
        Told { done, unreached, all_known, unheard_sites }
    }

    /// The logs of the others that have changed since they were done, and whether those are all.
    async fn logs(&self) -> (Vec<Log>, CaughtUp) {
        let Some(Around { mut others, is_complete }) = self.around().await else {
            return (Vec::new(), CaughtUp::InPart);
        };
        others.retain(|other| is_believed(&other.api, &self.tenant));
        if others.is_empty() {
            return (Vec::new(), if is_complete { CaughtUp::Wholly } else { CaughtUp::Alone });
        }
        let are_asked = !others.iter().any(|other| self.may_be_another(other));
        let asked = others.into_iter().map(|other| async move {
            let log = self.log(&other).await;
            log.inspect_err(
                |error| tracing::warn!(address = %other.address, %error, "a surrogate did not tell its purges"),
            )
        });
        let answers = join_all(asked).await;
        let are_all = are_asked && answers.iter().all(Result::is_ok);
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
    async fn log(&self, other: &Other) -> Result<Option<Log>, reqwest::Error> {
        let mut request = self.known(Method::GET, other, "purges").timeout(PATIENCE);
        if let Some(etag) = self.done().get(&other.address) {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let answer = request.send().await?.error_for_status()?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let etag = answer.headers().get(header::ETAG).cloned();
        Ok(Some(Log { address: other.address, etag, entries: answer.json().await? }))
    }

    fn done(&self) -> MutexGuard<'_, HashMap<SocketAddr, HeaderValue>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request to another surrogate: who speaks TLS has to have the name of its API in its certificate.
    fn request(&self, method: Method, other: &Other, path: &str) -> reqwest::RequestBuilder {
        let Other { address, tls, api, .. } = other;
        let secure = tls.then(|| self.transports.to(&dns_of_name(api)));
        let secure = secure.and_then(|found| {
            found.inspect_err(|error| tracing::warn!(%address, %error, "there is no way to a surrogate")).ok().flatten()
        });
        let scheme = if *tls { "https" } else { "http" };
        // Without a certificate of its own it believes nobody who shows one.
        let http = secure.as_ref().map_or_else(|| self.plain.clone(), Transport::http);
        http.request(method, format!("{scheme}://{address}/{path}"))
    }

    /// A request to one that is believed, with what this one is known by. Where the other one speaks TLS, and this one has no certificate (those
    /// of templates have none), it goes by the router, which finds it or another one of its name at its site.
    fn known(&self, method: Method, other: &Other, path: &str) -> reqwest::RequestBuilder {
        if self.goes_by_router(other) {
            return self.client.request(method, &other.at_its_site(), path);
        }
        let request = self.request(method, other, path);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn goes_by_router(&self, other: &Other) -> bool {
        other.tls && matches!(self.transports.to(&dns_of_name(&other.api)), Ok(None))
    }

    /// Whether what is meant for that one may get to another one of its name.
    fn may_be_another(&self, other: &Other) -> bool {
        other.is_one_of_several && self.goes_by_router(other)
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
        for Log { address, etag, entries } in logs {
            let mut is_done = true;
            for entry in self.purges.missing(entries) {
                let id = entry.id;
                if let Err(error) = self.purge(entry, By::Surrogate).await {
                    tracing::warn!(%id, %error, "a purge of another surrogate was not done");
                    is_done = false;
                }
            }
            if !is_done {
                caught_up = CaughtUp::InPart;
            }
            let mut done = self.peers.done();
            match etag.filter(|_| is_done) {
                Some(etag) => drop(done.insert(address, etag)),
                None => drop(done.remove(&address)),
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

    /// Whether a purge is about a name that is served here, or about all of a tenant.
    pub(crate) fn serves(&self, cover: &Cover) -> bool {
        cover.is_of_all_names() || self.fronts.iter().any(|front| front.key_prefix() == cover.under())
    }

    /// What the purges of that number cover, after this one has asked those that it believes: also where it knows one, for a tenant may have
    /// said the number of another one. Who tells of it shows nothing: it is a question, and nothing more.
    pub(crate) async fn pull(&self, id: Uuid) -> Vec<Cover> {
        let came = Instant::now();
        // One look at a time, for all who came before it began: however many ask, nobody waits for more than two.
        let mut last = self.pulling.lock().await;
        if last.is_none_or(|began| began < came) {
            let began = Instant::now();
            self.catch_up().await;
            // Not before: one that was given up has brought nothing.
            *last = Some(began);
        }
        drop(last);
        self.purges.covers_of(id)
    }

    /// Notes and does a purge: how many objects it dropped. One that is known is not done again.
    pub(crate) async fn purge(&self, entry: PurgeEntry, by: By) -> Result<u64, PurgeError> {
        let surrogate = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let (id, name): (Uuid, String) = (entry.id, entry.purge.name.clone());
            let Some(cover) = surrogate.purges.note(entry, by)? else { return Ok(0) };
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

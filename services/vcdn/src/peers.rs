//! The other surrogates: they are told of purges, and asked for those that this one has missed.
//!
//! Who they are is what the router lists behind the surrogates' own name. One that cannot be told asks: when it starts, and from
//! time to time while it runs, for the way between two may be cut without either of them stopping.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use flame_api::Client;
use flame_api::client::Transport;
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

/// After this time those who did not tell their purges at the start are asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// How much of what others purged is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaughtUp {
    /// All that all of them remember.
    Wholly,
    /// One did not say, or nobody knows who they are.
    InPart,
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
    ) -> Self {
        let name = name.parse::<Name>().map_or_else(|_| name.to_owned(), |name| name.to_string());
        Self {
            client: client.with_deadline(PATIENCE),
            plain: reqwest::Client::new(),
            secure,
            name,
            own,
            token,
            done: Arc::default(),
        }
    }

    /// Where the others are, and whether they speak TLS; `None` where the router does not say.
    async fn addresses(&self) -> Option<Vec<(SocketAddr, bool)>> {
        let listed = match self.client.endpoints().await {
            Ok(page) => page.items,
            Err(error) => {
                tracing::warn!(%error, "the other surrogates are not known: the router does not list them");
                return None;
            }
        };
        // Where it is not known, this one is told as the others are: what it did already is not done again.
        let own = self.own.address().await.ok();
        let others = listed.into_iter().filter(|endpoint| endpoint.name == self.name && Some(endpoint.address) != own);
        Some(others.map(|endpoint| (endpoint.address, endpoint.tls)).collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// Tells all others of a purge: those that did it, and those that could not be reached.
    pub(crate) async fn tell(&self, entry: &PurgeEntry) -> (Vec<String>, Vec<String>) {
        let told = self.addresses().await.unwrap_or_default().into_iter().map(|(address, tls)| async move {
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
        (done, unreached)
    }

    /// The logs of the others that have changed since they were done, and whether those are all.
    async fn logs(&self) -> (Vec<Log>, bool) {
        let addresses = self.addresses().await;
        let is_known = addresses.is_some();
        let asked = addresses.unwrap_or_default().into_iter().map(|(address, tls)| async move {
            let log = self.log(address, tls).await;
            log.inspect_err(|error| tracing::warn!(%address, %error, "a surrogate did not tell its purges"))
        });
        let answers = join_all(asked).await;
        let are_all = is_known && answers.iter().all(Result::is_ok);
        (answers.into_iter().flatten().flatten().collect(), are_all)
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

// === impl Surrogate ===

impl Surrogate {
    /// Does what others purged and this one was not told. Once all of them have told all they know, or the router says that there are
    /// none, what lay on disk at the start is used again without asking.
    pub(crate) async fn catch_up(&self) -> CaughtUp {
        let last = self.purges.last();
        let (logs, mut is_all) = self.peers.logs().await;
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
            is_all &= is_done;
            let mut done = self.peers.done();
            match log.etag.filter(|_| is_done) {
                Some(etag) => drop(done.insert(log.address, etag)),
                None => drop(done.remove(&log.address)),
            }
        }
        if !is_all {
            return CaughtUp::InPart;
        }
        self.shelves.values().for_each(|shelf| shelf.trust());
        CaughtUp::Wholly
    }

    /// Asks the others again and again until `stop`: soon, where one of them could not be asked `at_start`.
    pub(crate) async fn keep_up(self, at_start: CaughtUp, every: Duration, stop: CancellationToken) {
        let mut so_far = at_start;
        loop {
            let wait = if so_far == CaughtUp::Wholly { every } else { every.min(AGAIN) };
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
            // What was known once stays known: from then on this one is told.
            if self.catch_up().await == CaughtUp::Wholly {
                so_far = CaughtUp::Wholly;
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

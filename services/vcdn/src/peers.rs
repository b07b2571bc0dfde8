//! The other surrogates: they are told of purges, and asked for those that this one has missed.
//!
//! Who they are is what the router lists behind the surrogates' own name. One that cannot be told asks when it is back.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use flame_api::Client;
use flame_api::client::Transport;
use flame_api::vcdn::PurgeEntry;
use flame_credentials::standing::dns_of_name;
use flame_naming::Name;
use futures_util::future::join_all;
use reqwest::Method;
use uuid::Uuid;

use crate::Surrogate;
use crate::object::UnixMs;
use crate::purge::{PurgeError, REMEMBERED};

/// Time for a peer to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Clocks of surrogates differ by less than this; a purge told twice is done once.
const CLOCKS_MS: u64 = 60_000;

/// Finds and asks the other surrogates.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    client: Client,
    plain: reqwest::Client,
    /// To those that speak TLS, if this one does.
    secure: Option<Transport>,
    name: String,
    own: SocketAddr,
    token: Option<String>,
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
        own: SocketAddr,
        token: Option<String>,
    ) -> Self {
        let name = name.parse::<Name>().map_or_else(|_| name.to_owned(), |name| name.to_string());
        Self { client: client.with_deadline(PATIENCE), plain: reqwest::Client::new(), secure, name, own, token }
    }

    /// Where the others are, and whether they speak TLS.
    async fn addresses(&self) -> Vec<(SocketAddr, bool)> {
        let listed = match self.client.endpoints().await {
            Ok(page) => page.items,
            Err(error) => {
                tracing::warn!(%error, "the other surrogates are not known: the router does not list them");
                return Vec::new();
            }
        };
        let others = listed.into_iter().filter(|endpoint| endpoint.name == self.name && endpoint.address != self.own);
        others.map(|endpoint| (endpoint.address, endpoint.tls)).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Tells all others of a purge: those that did it, and those that could not be reached.
    pub(crate) async fn tell(&self, entry: &PurgeEntry) -> (Vec<String>, Vec<String>) {
        let told = self.addresses().await.into_iter().map(|(address, tls)| async move {
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

    /// What the others have purged since `after`.
    async fn purges(&self, after: UnixMs) -> Vec<PurgeEntry> {
        let asked = self.addresses().await.into_iter().map(|(address, tls)| async move {
            let request = self.request(Method::GET, address, tls, &format!("purges?after={}", after.0));
            let answer = request.send().await;
            let page: Result<Vec<PurgeEntry>, _> = match answer.and_then(reqwest::Response::error_for_status) {
                Ok(answer) => answer.json().await,
                Err(error) => Err(error),
            };
            page.inspect_err(|error| tracing::warn!(%address, %error, "a surrogate did not tell its purges"))
        });
        join_all(asked).await.into_iter().flatten().flatten().collect()
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
    /// Does what others purged while this one was away.
    pub(crate) async fn catch_up(&self) {
        let after = UnixMs(self.purges.last().0.saturating_sub(CLOCKS_MS));
        let missed = self.peers.purges(after).await;
        if missed.len() >= REMEMBERED {
            tracing::warn!("away for longer than the others remember purges: what was kept is dropped");
            for shelf in self.shelves.values() {
                shelf.purge(|_, _| true);
            }
        }
        for entry in missed {
            let id = entry.id;
            if let Err(error) = self.purge(entry).await {
                tracing::warn!(%id, %error, "a purge of another surrogate was not done");
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

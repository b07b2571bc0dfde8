//! Routers of other sites: this one tells them what is registered here, and is told what is registered there.
//!
//! Each router owns the registrations of its site. Whoever wants them opens a feed and keeps it: the whole state first,
//! every change as it happens, and a sign of life where nothing does. So nobody can push at a router that did not ask,
//! and who owns which site is what the site file says, not what a peer claims. A peer that falls silent is *stale*: what is
//! known of its site is served on, for the endpoints may well live where only the way between the routers is cut.
//! Only after a long bound is it forgotten. What the versions mean stands in `flame_naming::peers`; nothing is kept on disk.

mod feed;
pub(crate) mod follow;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use flame_api::Client;
use flame_api::peers::{Peer, PeerState, Place};
use flame_credentials::standing::dns_of_router;
use flame_naming::Label;
use flame_naming::peers::{Journal, Stamp};
use flame_naming::site::{SiteError, Sites};
use flame_service_host::Transports;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::registry::Registry;

pub(crate) use feed::lines;
use follow::{Follower, Patience};

/// Leases that end are noticed this late at most.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(100);

/// What this router tells, and how it goes with those it is told by. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Peers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    site: Label,
    journal: Mutex<Journal<Place>>,
    /// Where the journal is: moves with every change.
    stamp: watch::Sender<Stamp>,
    followed: Mutex<BTreeMap<Label, Followed>>,
    /// Ends the feeds, which would otherwise hold up the router's stop.
    stop: CancellationToken,
}

/// Whom to listen to, and how.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    sites: Arc<Sites>,
    token: Option<String>,
    patience: Patience,
    /// Most endpoints that are taken from one.
    endpoints: usize,
}

/// How it goes with one peer.
#[derive(Debug, Clone)]
struct Followed {
    router: String,
    distance_ms: Option<f64>,
    state: PeerState,
    heard: Option<Instant>,
    endpoints: usize,
    error: Option<String>,
}

/// A site file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SitesUnread {
    #[error("read {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}")]
    Content {
        path: PathBuf,
        #[source]
        source: SiteError,
    },
    #[error("{path} describes no site `{site}`, where this router is")]
    Elsewhere { path: PathBuf, site: Label },
}

/// The sites of the file at `path`, which has to describe `own`; without a file there is none.
pub(crate) fn sites(path: Option<&Path>, own: &Label) -> Result<Sites, SitesUnread> {
    let Some(path) = path else { return Ok(Sites::default()) };
    let path = path.to_owned();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(SitesUnread::File { path, source }),
    };
    match text.parse::<Sites>() {
        Ok(sites) if sites.get(own).is_some() => Ok(sites),
        Ok(_) => Err(SitesUnread::Elsewhere { path, site: own.clone() }),
        Err(source) => Err(SitesUnread::Content { path, source }),
    }
}

// === impl Wanted ===

impl Wanted {
    pub(crate) fn new(sites: &Arc<Sites>, config: &Config) -> Self {
        let patience = Patience { stale_after: config.peers.stale_after.0, forget_after: config.peers.forget_after.0 };
        Self {
            sites: Arc::clone(sites),
            token: config.host.token.clone(),
            patience,
            endpoints: config.limits.endpoints,
        }
    }
}

// === impl Peers ===

impl Peers {
    pub(crate) fn new(site: Label) -> Self {
        // Milliseconds of the start: a later start is a later incarnation. Where the clock went back, a new conversation
        // is believed all the same.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let journal = Journal::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let (stamp, _) = watch::channel(journal.stamp());
        let (journal, followed) = (Mutex::new(journal), Mutex::default());
        Self(Arc::new(Shared { site, journal, stamp, followed, stop: CancellationToken::new() }))
    }

    /// Listens to the routers of other sites that `wanted` names, until `stop`. One that is not named any more is forgotten.
    pub(crate) async fn listen(
        self,
        registry: Registry,
        transports: Transports,
        mut wanted: watch::Receiver<Wanted>,
        stop: CancellationToken,
    ) {
        let mut heard: BTreeMap<Label, (String, CancellationToken)> = BTreeMap::new();
        let mut followers = JoinSet::new();
        loop {
            let now = wanted.borrow_and_update().clone();
            let others = now.sites.iter().filter(|site| site.name != self.0.site);
            let routers: BTreeMap<_, _> =
                others.filter_map(|site| Some((site.name.clone(), site.router.as_ref()?.to_string()))).collect();
            heard.retain(|site, (router, end)| {
                let stays = routers.get(site) == Some(router);
                if !stays {
                    end.cancel();
                }
                stays
            });
            for (site, router) in routers {
                // With a certificate, whoever answers has to show that it is the router of that very site.
                let transport = match transports.to(&dns_of_router(&site)) {
                    Ok(transport) => transport,
                    Err(error) => {
                        tracing::error!(%site, %error, "its router is not listened to");
                        continue;
                    }
                };
                let scheme = if transport.is_some() { "https" } else { "http" };
                // Host and port have been judged with the file.
                let Ok(url) = format!("{scheme}://{router}/").parse() else { continue };
                if heard.contains_key(&site) {
                    continue;
                }
                let end = CancellationToken::new();
                heard.insert(site.clone(), (router, end.clone()));
                let parties = (self.clone(), registry.clone());
                let client = Client::over(transport.unwrap_or_default(), url, now.token.clone());
                let follower = Follower::new(site, client, parties, now.patience, now.endpoints);
                followers.spawn(follower.follow(stop.clone(), end));
            }
            while followers.try_join_next().is_some() {}
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { break },
                () = stop.cancelled() => break,
            }
        }
        while followers.join_next().await.is_some() {}
    }

    /// Notes in the journal what changes in `registry`, until `stop`; then ends the feeds.
    pub(crate) async fn publish(self, registry: Registry, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = registry.changed() => {}
                _ = look.tick() => {}
                () = stop.cancelled() => break,
            }
            let mut journal = self.journal();
            if journal.update(registry.owned()) {
                self.0.stamp.send_replace(journal.stamp());
            }
        }
        self.0.stop.cancel();
    }

    /// The routers that this one listens to.
    pub(crate) fn list(&self) -> Vec<Peer> {
        let followed = self.followed();
        let peers = followed.iter().map(|(site, one)| Peer {
            site: site.to_string(),
            router: one.router.clone(),
            distance_ms: one.distance_ms,
            state: one.state,
            heard_ms_ago: one.heard.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)),
            endpoints: one.endpoints,
            error: one.error.clone(),
        });
        peers.collect()
    }

    fn note(&self, site: &Label, change: impl FnOnce(&mut Followed)) {
        if let Some(followed) = self.followed().get_mut(site) {
            change(followed);
        }
    }

    fn journal(&self) -> MutexGuard<'_, Journal<Place>> {
        // Nothing under the locks panics half-way: what is there is whole.
        self.0.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn followed(&self) -> MutexGuard<'_, BTreeMap<Label, Followed>> {
        self.0.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

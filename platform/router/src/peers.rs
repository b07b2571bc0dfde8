//! Routers of other sites: this one tells them what is registered here, and is told what is registered there.
//!
//! Each router owns the registrations of its site. Whoever wants them opens a feed and keeps it: the whole state first,
//! every change as it happens, and a sign of life where nothing does. So nobody can push at a router that did not ask,
//! and who owns which site is what the site file says, not what a peer claims. A peer that falls silent is *stale*: what is
//! known of its site is served on, for the endpoints may well live where only the way between the routers is cut.
//! Only after a long bound is it forgotten. What the versions mean stands in `flame_naming::peers`; nothing is kept on disk.

mod feed;
mod follow;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use flame_api::Client;
use flame_api::peers::{Peer, PeerState, Place};
use flame_naming::Label;
use flame_naming::peers::{Journal, Stamp};
use flame_naming::site::{SiteError, Sites};
use tokio::sync::watch;
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

    /// Those who listen to the routers of other sites, each to be run for as long as this router.
    pub(crate) fn followers(&self, sites: &Sites, registry: &Registry, config: &Config) -> Vec<Follower> {
        let patience = Patience { stale_after: config.peers.stale_after.0, forget_after: config.peers.forget_after.0 };
        let others = sites.iter().filter(|site| site.name != self.0.site);
        let followers = others.filter_map(|site| {
            let router = site.router.as_ref()?;
            // Host and port have been judged with the file.
            let url = format!("http://{router}/").parse().ok()?;
            let client = Client::new(url, config.host.token.clone());
            let parties = (self.clone(), registry.clone());
            Some(Follower::new(site.name.clone(), client, parties, patience, config.limits.endpoints))
        });
        followers.collect()
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

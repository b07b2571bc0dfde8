//! Which connections are those of other sites' routers: only they take part in a multicast.
//!
//! Whoever takes part is told the key of a transfer, and is waited for. With certificates, the connection's says that its
//! holder is a router. Without, the connection has to come from an address of a router that the site file names; a name
//! is looked up, and what was found is believed for a while, so that strangers cannot have names looked up as often as
//! they like. Each name is looked up beside the others, and one that is not answered keeps what was found last: a name server
//! that is away shuts nobody out. Who is no router is never told that there was something to take part in.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::Extensions;
use flame_credentials::{Peer, Role};
use flame_naming::Moment;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::registry::Registry;

/// How long the addresses of a name are believed without looking again.
const BELIEVED: Duration = Duration::from_secs(5);
/// How long they are believed while looking again comes to nothing.
const KEPT: Duration = Duration::from_secs(300);
/// How long somebody waits whose address is not known while names are looked up.
const LOOK_UP_PATIENCE: Duration = Duration::from_secs(1);

/// Knows other sites' routers.
#[derive(Debug)]
pub(crate) struct Neighbours {
    registry: Registry,
    directory: Arc<Directory>,
}

/// Where names are.
#[derive(Debug, Default)]
struct Directory {
    state: Mutex<State>,
    /// Tells those who wait that a look is over.
    told: Notify,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, Found>,
    /// One look at most for each name.
    looks: JoinSet<()>,
}

/// What is known of one name.
#[derive(Debug, Default)]
struct Found {
    addresses: BTreeSet<IpAddr>,
    /// When it was looked up last with success.
    found: Option<Moment>,
    /// When it was looked up last.
    looked: Option<Moment>,
    is_looking: bool,
}

// === impl Neighbours ===

impl Neighbours {
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry, directory: Arc::default() }
    }

    /// Whether a connection with these extensions is that of another site's router.
    pub(crate) async fn is_one(&self, connection: &Extensions) -> bool {
        if self.registry.has_certificate() {
            return connection
                .get::<Peer>()
                .is_some_and(|peer| peer.standing.role == Role::Router && !peer.has_ended());
        }
        let Some(ConnectInfo(peer)) = connection.get::<ConnectInfo<SocketAddr>>() else { return false };
        self.is_address(peer.ip().to_canonical()).await
    }

    async fn is_address(&self, ip: IpAddr) -> bool {
        let mut names = Vec::new();
        for router in self.registry.other_routers() {
            match router.as_str().parse::<SocketAddr>() {
                Ok(address) if address.ip().to_canonical() == ip => return true,
                Ok(_) => {}
                Err(_) => names.push(router.as_str().to_owned()),
            }
        }
        self.directory.has(ip, &names, self.registry.now(), look_up).await
    }
}

// === impl Directory ===

impl Directory {
    /// Whether `ip` is an address of one of `names`. Looks up with `look_up` those that were not looked up lately, and waits for it only
    /// where the address is not known.
    async fn has<F, L>(self: &Arc<Self>, ip: IpAddr, names: &[String], now: Moment, look_up: F) -> bool
    where
        F: Fn(String) -> L,
        L: Future<Output = io::Result<BTreeSet<IpAddr>>> + Send + 'static,
    {
        self.look(names, now, look_up);
        let until = Instant::now() + LOOK_UP_PATIENCE;
        loop {
            // Who waits from here on is told: what is found between the look and the wait is not missed.
            let mut told = std::pin::pin!(self.told.notified());
            told.as_mut().enable();
            {
                let state = self.lock();
                if state.names.values().any(|found| found.has(ip, now)) {
                    return true;
                }
                if !state.names.values().any(|found| found.is_looking) {
                    return false;
                }
            }
            if timeout_at(until, told).await.is_err() {
                return false;
            }
        }
    }

    /// Begins to look up those of `names` for which it is time.
    fn look<F, L>(self: &Arc<Self>, names: &[String], now: Moment, look_up: F)
    where
        F: Fn(String) -> L,
        L: Future<Output = io::Result<BTreeSet<IpAddr>>> + Send + 'static,
    {
        let mut state = self.lock();
        let State { names: known, looks } = &mut *state;
        while looks.try_join_next().is_some() {}
        known.retain(|name, _| names.contains(name));
        for name in names {
            let found = known.entry(name.clone()).or_default();
            if found.is_looking || found.looked.is_some_and(|looked| now < looked + BELIEVED) {
                continue;
            }
            (found.is_looking, found.looked) = (true, Some(now));
            let (directory, name, looking) = (Arc::downgrade(self), name.clone(), look_up(name.clone()));
            looks.spawn(async move {
                let mut looking = Box::pin(looking);
                let ended = match timeout(LOOK_UP_PATIENCE, &mut looking).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        tracing::warn!(
                            name,
                            "a router of the site file is looked up too slowly: where it was last is believed"
                        );
                        looking.await
                    }
                };
                if let Some(directory) = directory.upgrade() {
                    directory.note(&name, ended, now);
                }
            });
        }
    }

    fn note(&self, name: &str, ended: io::Result<BTreeSet<IpAddr>>, looked: Moment) {
        if let Some(found) = self.lock().names.get_mut(name) {
            found.is_looking = false;
            match ended {
                Ok(addresses) => (found.addresses, found.found) = (addresses, Some(looked)),
                Err(error) => tracing::debug!(name, %error, "a router of the site file was not found"),
            }
        }
        self.told.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Found ===

impl Found {
    fn has(&self, ip: IpAddr, now: Moment) -> bool {
        self.found.is_some_and(|found| now < found + KEPT) && self.addresses.contains(&ip)
    }
}

async fn look_up(name: String) -> io::Result<BTreeSet<IpAddr>> {
    let found = tokio::net::lookup_host(name).await?;
    Ok(found.map(|address| address.ip().to_canonical()).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn at(s: u64) -> Moment {
        Moment(Duration::from_secs(s))
    }

    #[tokio::test]
    async fn a_name_that_is_not_answered_shuts_nobody_else_out_and_keeps_where_it_was() {
        let (directory, looks) = (Arc::<Directory>::default(), Arc::<AtomicUsize>::default());
        let names = ["hangs:8080".to_owned(), "answers:8080".to_owned()];
        let answers = |name: String| async move {
            if name.starts_with("hangs") { std::future::pending().await } else { Ok(BTreeSet::from([HERE])) }
        };
        let began = Instant::now();
        assert!(directory.has(HERE, &names, at(0), answers).await);
        assert!(began.elapsed() < LOOK_UP_PATIENCE, "it did not wait for the other");
        assert!(!directory.has(ELSEWHERE, &names, at(1), answers).await, "nobody knows it");
        assert!(began.elapsed() >= LOOK_UP_PATIENCE, "it waited for the one that hangs");
        // The name server is away: what was found lasts, and is looked up once at a time.
        let fails = |_: String| {
            looks.fetch_add(1, Ordering::Relaxed);
            async { Err(io::Error::other("away")) }
        };
        for second in [6, 7, 12, 60] {
            assert!(directory.has(HERE, &names, at(second), fails).await);
            tokio::task::yield_now().await;
        }
        assert_eq!(looks.load(Ordering::Relaxed), 3, "one look each five seconds, and none at what is looked up still");
        assert!(!directory.has(HERE, &names, at(301), fails).await, "but not for ever");
        // It is another one's by now.
        let moved = |_: String| async { Ok(BTreeSet::from([ELSEWHERE])) };
        assert!(
            directory.has(ELSEWHERE, &names, at(400), moved).await
                && !directory.has(HERE, &names, at(401), moved).await
        );
        assert!(!directory.has(ELSEWHERE, &names[..1], at(402), moved).await, "the site file names it no more");
    }
}

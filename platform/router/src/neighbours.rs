//! Which connections are those of other sites' routers: only they take part in a multicast.
//!
//! Whoever takes part is told the key of a transfer, and is waited for. With certificates, the connection's says that its
//! holder is a router. Without, the connection has to come from an address of a router that the site file names; a name
//! is looked up, and what was found is believed for a while, so that strangers cannot have names looked up as often as
//! they like. Who is no router is never told that there was something to take part in.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::Extensions;
use flame_credentials::{Peer, Role};
use flame_naming::Moment;
use flame_naming::site::RouterAddress;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::registry::Registry;

/// How long the addresses of the site file's routers are believed.
const BELIEVED: Duration = Duration::from_secs(5);
/// How long all names together may take to be looked up: those that are not found by then count as not found.
const LOOK_UP_PATIENCE: Duration = Duration::from_secs(1);

/// Knows other sites' routers.
#[derive(Debug)]
pub(crate) struct Neighbours {
    registry: Registry,
    found: Mutex<Option<Found>>,
}

/// Where the routers are.
#[derive(Debug)]
struct Found {
    routers: Vec<RouterAddress>,
    addresses: BTreeSet<IpAddr>,
    at: Moment,
}

// === impl Neighbours ===

impl Neighbours {
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry, found: Mutex::default() }
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
        let (routers, now) = (self.registry.other_routers(), self.registry.now());
        // Held while names are looked up: one look is enough for all who wait.
        let mut found = self.found.lock().await;
        let is_fresh = found.as_ref().is_some_and(|found| found.routers == routers && now < found.at + BELIEVED);
        if !is_fresh {
            let addresses = addresses(&routers).await;
            *found = Some(Found { routers, addresses, at: self.registry.now() });
        }
        found.as_ref().is_some_and(|found| found.addresses.contains(&ip))
    }
}

async fn addresses(routers: &[RouterAddress]) -> BTreeSet<IpAddr> {
    let mut addresses = BTreeSet::new();
    let mut names = Vec::new();
    for router in routers {
        match router.as_str().parse::<SocketAddr>() {
            Ok(address) => {
                addresses.insert(address.ip().to_canonical());
            }
            Err(_) => names.push(router.as_str()),
        }
    }
    let look_up = async {
        for name in names {
            match tokio::net::lookup_host(name).await {
                Ok(found) => addresses.extend(found.map(|address| address.ip().to_canonical())),
                Err(error) => tracing::debug!(name, %error, "a router of the site file was not found"),
            }
        }
    };
    if timeout(LOOK_UP_PATIENCE, look_up).await.is_err() {
        tracing::warn!("names of the site file's routers are looked up too slowly: not all may take part in multicast");
    }
    addresses
}

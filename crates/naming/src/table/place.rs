//! What a table keeps: a name's place, and an entry of it for each endpoint.

use std::net::SocketAddr;

use super::Moment;
use super::lease::{Choice, EndpointId, Held, Lease, State, Terms};
use crate::health::Health;
use crate::hedge::Pace;
use crate::name::Name;

/// What stands behind one name.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) entries: Vec<Entry>,
    /// When the last endpoint was seen.
    pub(super) seen: Moment,
    pub(super) pace: Pace,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: EndpointId,
    pub(super) address: SocketAddr,
    pub(super) generation: u64,
    pub(super) ends: Moment,
    pub(super) terms: Terms,
    pub(super) state: State,
    pub(super) health: Health,
}

// === impl Place ===

impl Place {
    pub(super) fn entry(&mut self, id: &EndpointId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.id == *id)
    }

    pub(super) fn held<'a>(&'a self, name: &'a Name, now: Moment) -> impl Iterator<Item = Held<'a>> {
        self.live(now).map(move |entry| Held {
            name,
            endpoint: &entry.id,
            address: entry.address,
            generation: entry.generation,
            expires_in: entry.ends.0.saturating_sub(now.0),
            terms: entry.terms,
            state: entry.state,
            health: &entry.health,
        })
    }

    pub(super) fn live(&self, now: Moment) -> impl Iterator<Item = &Entry> + Clone {
        self.entries.iter().filter(move |entry| entry.ends > now)
    }

    pub(super) fn serving(&self, now: Moment) -> impl Iterator<Item = &Entry> + Clone {
        self.live(now).filter(|entry| entry.state == State::Connected)
    }

    /// When the last endpoint was there: the end of the latest lease, if that is over.
    pub(super) fn last_seen(&self, now: Moment) -> Moment {
        self.entries.iter().map(|entry| entry.ends.min(now)).fold(self.seen, Moment::max)
    }
}

// === impl Entry ===

impl Entry {
    pub(super) fn new(id: EndpointId, lease: Lease, ends: Moment) -> Self {
        let Lease { address, generation, terms, state, .. } = lease;
        Self { id, address, generation, ends, terms, state, health: Health::default() }
    }

    /// Whether this is the same start of the same process as that of `lease`.
    pub(super) fn is_same(&self, lease: Lease) -> bool {
        self.address == lease.address && self.generation == lease.generation
    }

    /// Whether this is what was at the address of `lease` before a restart.
    pub(super) fn is_before(&self, lease: Lease) -> bool {
        self.address == lease.address && self.generation < lease.generation
    }

    pub(super) fn cost_us(&self, now: Moment) -> f64 {
        self.health.cost_us(now) / f64::from(self.terms.weight)
    }

    pub(super) fn choice(&self) -> Choice {
        let (endpoint, Terms { http2, tls, .. }) = (self.id.clone(), self.terms);
        Choice { endpoint, address: self.address, generation: self.generation, http2, tls }
    }
}

//! The routing table: which endpoints stand behind a name, for how long, and which one a request gets.
//!
//! An endpoint holds a *lease*: without renewal it is gone when the lease ends. Its *generation* counts its starts: what
//! an older one sends late is refused. One that *drains* keeps its lease and its open requests, and gets no new ones. A
//! name whose endpoints all left is remembered for a while: it is away, not unknown. How endpoints do is kept in
//! [`health`](crate::health), how late is late in [`hedge`](crate::hedge).
//!
//! The table never looks at a clock and never rolls dice: both are given to it. It holds at most as many endpoints as
//! it was told, and remembers at most as many names.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::health::Health;
pub use crate::health::{REST_MAX, REST_MIN};
use crate::hedge::{Limits, Pace};
use crate::name::{Destination, Label, Name};

/// How long a name without endpoints is remembered.
pub const MEMORY: Duration = Duration::from_secs(600);
/// Longest endpoint identifier.
const ID_MAX_BYTES: usize = 64;

/// A point on a monotonic clock: time since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub Duration);

/// An endpoint's own identifier, unique behind its name: 1 to 64 letters, digits, `-`, `_`, `.`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(Box<str>);

/// What an endpoint registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Where it listens.
    pub address: SocketAddr,
    /// Counts up with its starts.
    pub generation: u64,
    /// Life from now.
    pub ttl: Duration,
}

/// An endpoint that holds a lease.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held<'a> {
    /// The name that it stands behind.
    pub name: &'a Name,
    /// Its identifier.
    pub endpoint: &'a EndpointId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its generation.
    pub generation: u64,
    /// What is left of its lease.
    pub expires_in: Duration,
    /// Whether it gets no new requests.
    pub is_draining: bool,
    /// How it does.
    pub health: &'a Health,
}

/// The endpoint that a request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its identifier.
    pub endpoint: EndpointId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its generation.
    pub generation: u64,
}

/// Why a registration is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A later start of the endpoint is registered.
    #[error("generation {held} of the endpoint is registered, which is later")]
    Older {
        /// Its generation.
        held: u64,
    },
    /// The table is full.
    #[error("the router holds its most of {limit} endpoints")]
    Full {
        /// How many it holds at most.
        limit: usize,
    },
}

/// Why no endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoChoice {
    /// None was ever there, or not for a long time.
    #[error("no endpoint is registered")]
    Unknown,
    /// The last one has left, not long ago.
    #[error("no endpoint is registered any more")]
    Away,
    /// All that are there were excluded by the caller.
    #[error("every endpoint was tried")]
    Tried,
}

/// Which endpoints stand behind which names.
#[derive(Debug, Clone)]
pub struct Table {
    site: Label,
    limit: usize,
    places: BTreeMap<Name, Place>,
}

/// What stands behind one name.
#[derive(Debug, Clone, Default)]
struct Place {
    entries: Vec<Entry>,
    /// When the last endpoint was seen.
    seen: Moment,
    pace: Pace,
}

#[derive(Debug, Clone)]
struct Entry {
    id: EndpointId,
    address: SocketAddr,
    generation: u64,
    ends: Moment,
    is_draining: bool,
    health: Health,
}

// === impl Moment ===

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

// === impl EndpointId ===

impl EndpointId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EndpointId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if (1..=ID_MAX_BYTES).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.into()))
        } else {
            Err(format!("`{text}` is no endpoint identifier: 1 to {ID_MAX_BYTES} letters, digits, `-`, `_`, `.`"))
        }
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Table ===

impl Table {
    /// An empty table of the site `site` for at most `limit` endpoints.
    #[must_use]
    pub fn new(site: Label, limit: usize) -> Self {
        Self { site, limit, places: BTreeMap::new() }
    }

    /// Registers an endpoint, or renews its lease; `true` where it was not there in this generation.
    ///
    /// A later generation at the address of another endpoint of the name takes that one's place: one address is one
    /// process, and the other is what was there before a restart.
    pub fn register(&mut self, name: &Name, id: &EndpointId, lease: Lease, now: Moment) -> Result<bool, Refused> {
        self.expire(now);
        let full = self.len() >= self.limit;
        // Also the names that are only remembered count, so that registering and leaving does not fill the memory.
        let crowded = self.places.len() >= self.limit && !self.places.contains_key(name);
        let ends = now + lease.ttl;
        let mut is_new = true;
        if let Some(entry) = self.places.get_mut(name).and_then(|place| place.entry(id)) {
            if entry.generation > lease.generation {
                return Err(Refused::Older { held: entry.generation });
            }
            is_new = entry.generation < lease.generation || entry.address != lease.address;
            if is_new {
                *entry = Entry::new(id.clone(), lease, ends);
            }
            entry.ends = ends;
        } else {
            let replaces =
                self.places.get(name).is_some_and(|place| place.entries.iter().any(|old| old.is_before(lease)));
            if full && !replaces {
                return Err(Refused::Full { limit: self.limit });
            }
            if crowded {
                self.forget_oldest();
            }
            self.places.entry(name.clone()).or_default().entries.push(Entry::new(id.clone(), lease, ends));
        }
        let place = self.places.entry(name.clone()).or_default();
        place.seen = now;
        place.entries.retain(|entry| entry.id == *id || !entry.is_before(lease));
        Ok(is_new)
    }

    /// Takes an endpoint out; `false` where it was not there.
    pub fn remove(&mut self, name: &Name, id: &EndpointId, now: Moment) -> bool {
        self.expire(now);
        let Some(place) = self.places.get_mut(name) else { return false };
        let before = place.entries.len();
        place.entries.retain(|entry| entry.id != *id);
        let removed = place.entries.len() < before;
        if removed {
            place.seen = now;
        }
        removed
    }

    /// The endpoints that hold a lease, by name.
    pub fn held(&self, now: Moment) -> impl Iterator<Item = Held<'_>> {
        self.places.iter().flat_map(move |(name, place)| {
            place.live(now).map(move |entry| Held {
                name,
                endpoint: &entry.id,
                address: entry.address,
                generation: entry.generation,
                expires_in: entry.ends.0.saturating_sub(now.0),
                is_draining: entry.is_draining,
                health: &entry.health,
            })
        })
    }

    /// Lets an endpoint get no new requests, or get them again; `false` where it was not there. What is registered in a
    /// later generation gets them.
    pub fn drain(&mut self, name: &Name, id: &EndpointId, is_draining: bool, now: Moment) -> bool {
        let entry = self.places.get_mut(name).and_then(|place| place.entry(id)).filter(|entry| entry.ends > now);
        let Some(entry) = entry else { return false };
        entry.is_draining = is_draining;
        if !is_draining {
            entry.health.revive();
        }
        true
    }

    /// The endpoint for a request: of two drawn by `draw` the one where it costs less ([`Health::cost_us`]), none of
    /// `excluded`, none that drains, and one that rests only where all do.
    pub fn choose(
        &self,
        to: &Destination,
        now: Moment,
        excluded: &[EndpointId],
        draw: u64,
    ) -> Result<Choice, NoChoice> {
        if to.site.as_ref().is_some_and(|site| *site != self.site) {
            return Err(NoChoice::Unknown);
        }
        let place = self.places.get(&to.name).ok_or(NoChoice::Unknown)?;
        if place.serving(now).next().is_none() {
            if place.live(now).next().is_some() {
                return Err(NoChoice::Away);
            }
            let remembered = place.last_seen(now) + MEMORY > now;
            return Err(if remembered { NoChoice::Away } else { NoChoice::Unknown });
        }
        let open = || place.serving(now).filter(|entry| !excluded.contains(&entry.id));
        let awake = || open().filter(|entry| !entry.health.rests(now));
        let count = awake().count();
        let chosen = if count == 0 {
            open().min_by_key(|entry| entry.health.last_resort())
        } else {
            let [first, second] = two_of(count, draw).map(|at| awake().nth(at));
            match (first, second) {
                (Some(first), Some(second)) if second.health.cost_us(now) < first.health.cost_us(now) => Some(second),
                (first, _) => first,
            }
        };
        chosen.map(Entry::choice).ok_or(NoChoice::Tried)
    }

    /// Whether an endpoint rests after a failure.
    #[must_use]
    pub fn rests(&self, name: &Name, choice: &Choice, now: Moment) -> bool {
        let entry = self.places.get(name).and_then(|place| place.entries.iter().find(|one| one.id == choice.endpoint));
        entry.is_some_and(|entry| entry.health.rests(now))
    }

    /// Takes note of how an endpoint does, unless it has been restarted since it was chosen.
    pub fn note(&mut self, name: &Name, choice: &Choice, note: impl FnOnce(&mut Health)) {
        if let Some(entry) = self.places.get_mut(name).and_then(|place| place.entry(&choice.endpoint))
            && entry.generation == choice.generation
        {
            note(&mut entry.health);
        }
    }

    /// Notes that an endpoint answered a request after `took`.
    pub fn answered(&mut self, name: &Name, choice: &Choice, took: Duration, now: Moment) {
        if let Some(place) = self.places.get_mut(name) {
            place.pace.answered(took);
        }
        self.note(name, choice, |health| health.answered(took, now));
    }

    /// Notes a new request; how long its answer may take until a second endpoint is asked.
    pub fn asked(&mut self, name: &Name, limits: &Limits, now: Moment) -> Duration {
        self.places.get_mut(name).map_or(limits.hedge_max, |place| place.pace.asked(limits, now))
    }

    /// Pays for a request's repeat; `false` where too many were repeated.
    pub fn spend(&mut self, name: &Name, limits: &Limits, now: Moment) -> bool {
        self.places.get_mut(name).is_none_or(|place| place.pace.spend(limits, now))
    }

    /// How many endpoints hold a lease, or held one when the table was last changed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.values().map(|place| place.entries.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn expire(&mut self, now: Moment) {
        self.places.retain(|_, place| {
            place.seen = place.last_seen(now);
            place.entries.retain(|entry| entry.ends > now);
            !place.entries.is_empty() || place.seen + MEMORY > now
        });
    }

    fn forget_oldest(&mut self) {
        let empty = self.places.iter().filter(|(_, place)| place.entries.is_empty());
        if let Some(name) = empty.min_by_key(|(_, place)| place.seen).map(|(name, _)| name.clone()) {
            self.places.remove(&name);
        }
    }
}

/// Two different indices below `count` (the same one twice if there is one), drawn by `draw`.
fn two_of(count: usize, draw: u64) -> [usize; 2] {
    let within = |draw: u64, count: usize| usize::try_from(draw % count.max(1) as u64).unwrap_or_default();
    let first = within(draw & u64::from(u32::MAX), count);
    let step = if count > 1 { 1 + within(draw >> 32, count - 1) } else { 0 };
    [first, (first + step) % count.max(1)]
}

// === impl Place ===

impl Place {
    fn entry(&mut self, id: &EndpointId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.id == *id)
    }

    fn live(&self, now: Moment) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.ends > now)
    }

    fn serving(&self, now: Moment) -> impl Iterator<Item = &Entry> {
        self.live(now).filter(|entry| !entry.is_draining)
    }

    /// When the last endpoint was there: the end of the latest lease, if that is over.
    fn last_seen(&self, now: Moment) -> Moment {
        self.entries.iter().map(|entry| entry.ends.min(now)).fold(self.seen, Moment::max)
    }
}

// === impl Entry ===

impl Entry {
    fn new(id: EndpointId, lease: Lease, ends: Moment) -> Self {
        let Lease { address, generation, .. } = lease;
        Self { id, address, generation, ends, is_draining: false, health: Health::default() }
    }

    /// Whether this is what was at the address of `lease` before a restart.
    fn is_before(&self, lease: Lease) -> bool {
        self.address == lease.address && self.generation < lease.generation
    }

    fn choice(&self) -> Choice {
        Choice { endpoint: self.id.clone(), address: self.address, generation: self.generation }
    }
}

//! The routing table: which endpoints stand behind a name, for how long, and which one a request gets.
//!
//! An endpoint holds a *lease*: without renewal it is gone when the lease ends. Its *generation* counts its starts: what
//! an older one sends late is refused. Its [`State`] says whether requests are meant to go there: one that is *booted*
//! stands by, one that *drains* gets no new ones, one that was *killed* does not come back in its generation. One that is
//! full, or said that it has no room or cannot write, is passed over while another has and can. A name whose endpoints all
//! left is remembered for a while: it is away, not unknown. How endpoints do is kept in [`health`](crate::health), how late
//! is late in [`hedge`](crate::hedge).
//!
//! The table never looks at a clock and never rolls dice: both are given to it. It holds at most as many endpoints as
//! it was told, and remembers at most as many names.

mod lease;
mod lot;
mod place;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::health::{Demand, Health, Standing};
pub use crate::health::{REST_MAX, REST_MIN};
use crate::hedge::Limits;
use crate::name::{Destination, Label, Name};
pub use lease::{Choice, EndpointId, Held, Lease, State, Terms, Unfit, WEIGHT_MAX, WRITTEN_DOWN};
pub use lot::Lot;
use place::{Entry, Place};

/// How long a name without endpoints is remembered, and one that was killed.
pub const MEMORY: Duration = Duration::from_secs(600);

/// A point on a monotonic clock: time since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub Duration);

/// What a registration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// The endpoint was not there in this generation and at this address.
    New,
    /// It takes more or less than before.
    Changed,
    /// Its lease is longer, and nothing else is different.
    Renewed,
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
    /// This start of the endpoint was killed.
    #[error("the endpoint was killed; a later start of it is taken")]
    Killed,
    /// The table is full.
    #[error("the router holds its most of {limit} endpoints")]
    Full {
        /// How many it holds at most.
        limit: usize,
    },
}

/// Why an endpoint's state is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTurned {
    /// It is not there.
    #[error("no such endpoint is registered")]
    Absent,
    /// It was killed, which is for good.
    #[error("the endpoint was killed; start it anew")]
    Killed,
}

/// Why no endpoint is chosen; of several tables' reasons the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NoChoice {
    /// None was ever there, or not for a long time.
    #[error("no endpoint is registered")]
    Unknown,
    /// The last one has left, not long ago.
    #[error("no endpoint is registered any more")]
    Away,
    /// Those that are there stand by, drain or were killed.
    #[error("no registered endpoint is connected")]
    Unconnected,
    /// All that are there were excluded by the caller.
    #[error("every endpoint was tried")]
    Tried,
    /// Those that are left have as many requests open as they take.
    #[error("every endpoint has as many requests open as it takes")]
    Full,
}

/// Which endpoints stand behind which names.
#[derive(Debug, Clone)]
pub struct Table {
    site: Label,
    limit: usize,
    places: BTreeMap<Name, Place>,
}

// === impl Moment ===

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

// === impl Table ===

impl Table {
    /// An empty table of the site `site` for at most `limit` endpoints.
    #[must_use]
    pub fn new(site: Label, limit: usize) -> Self {
        Self { site, limit, places: BTreeMap::new() }
    }

    /// Holds at most `limit` endpoints from now on; those that are there stay.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Registers an endpoint, or renews its lease. A renewal may change its terms; its state is what was made of it since.
    ///
    /// A later generation at the address of another endpoint of the name takes that one's place: one address is one
    /// process, and the other is what was there before a restart.
    pub fn register(&mut self, name: &Name, id: &EndpointId, lease: Lease, now: Moment) -> Result<Registered, Refused> {
        self.expire(now);
        let full = self.len() >= self.limit;
        // Also the names that are only remembered count, so that registering and leaving does not fill the memory.
        let crowded = self.places.len() >= self.limit && !self.places.contains_key(name);
        let ends = now + lease.ttl;
        let mut registered = Registered::New;
        if let Some(entry) = self.places.get_mut(name).and_then(|place| place.entry(id)) {
            if entry.generation > lease.generation {
                return Err(Refused::Older { held: entry.generation });
            }
            if entry.generation == lease.generation && entry.state == State::Killed {
                if lease.generation == WRITTEN_DOWN {
                    // What is written down may have moved, or changed its terms: it stays killed, and is had back so.
                    if !entry.is_same(lease) {
                        *entry = Entry::new(id.clone(), Lease { state: State::Killed, ..lease }, ends);
                    }
                    entry.terms = lease.terms;
                }
                // For as long as this start of it asks, it is remembered that it was killed.
                entry.ends = entry.ends.max(now + MEMORY);
                return Err(Refused::Killed);
            }
            if !entry.is_same(lease) {
                *entry = Entry::new(id.clone(), lease, ends);
            } else if entry.terms == lease.terms {
                registered = Registered::Renewed;
            } else {
                registered = Registered::Changed;
            }
            (entry.ends, entry.terms) = (ends, lease.terms);
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
        Ok(registered)
    }

    /// Takes an endpoint as its owner has it, who knows best: also an older generation, and also its state.
    pub fn mirror(&mut self, name: &Name, id: &EndpointId, lease: Lease, now: Moment) -> Result<(), Refused> {
        let entry = self.places.get_mut(name).and_then(|place| place.entry(id)).filter(|entry| entry.is_same(lease));
        if let Some(entry) = entry {
            (entry.ends, entry.terms, entry.state) = (now + lease.ttl, lease.terms, lease.state);
            return Ok(());
        }
        self.remove(name, id, now);
        self.register(name, id, lease, now).map(|_| ())
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
        self.places.iter().flat_map(move |(name, place)| place.held(name, now))
    }

    /// The endpoints that hold a lease behind `name`.
    pub fn behind(&self, name: &Name, now: Moment) -> impl Iterator<Item = Held<'_>> {
        let place = self.places.get_key_value(name);
        place.into_iter().flat_map(move |(name, place)| place.held(name, now))
    }

    /// Changes what requests an endpoint gets. One that was killed stays so; that it was is remembered without renewals. One that is
    /// written down cannot be started anew: it may be connected again.
    pub fn turn(&mut self, name: &Name, id: &EndpointId, state: State, now: Moment) -> Result<(), NotTurned> {
        let entry = self.places.get_mut(name).and_then(|place| place.entry(id)).filter(|entry| entry.ends > now);
        let entry = entry.ok_or(NotTurned::Absent)?;
        match (entry.state, state) {
            (State::Killed, State::Killed) => {}
            (State::Killed, State::Connected) if entry.generation == WRITTEN_DOWN => entry.health.pardon(now),
            (State::Killed, _) => return Err(NotTurned::Killed),
            // What is written down has no end, and keeps it so.
            (_, State::Killed) => entry.ends = entry.ends.max(now + MEMORY),
            (_, State::Connected) => entry.health.pardon(now),
            (_, State::Booted | State::Draining) => {}
        }
        entry.state = state;
        Ok(())
    }

    /// The endpoint for a request that changes nothing; see [`Table::choose_for`].
    pub fn choose(
        &self,
        to: &Destination,
        now: Moment,
        excluded: &[EndpointId],
        lot: Lot<'_>,
    ) -> Result<Choice, NoChoice> {
        self.choose_for(Demand::Read, to, now, excluded, lot).map(|(_, choice)| choice)
    }

    /// The endpoint for a request, and how it stands for it: none of `excluded`, none that is not connected, none that has
    /// as many requests open as it takes; one that said that it has no room or cannot write only where all did, and one
    /// that rests only where all do. Of several the cheaper one of two that were drawn, or the key's own, also where that one
    /// said that it has no room.
    pub fn choose_for(
        &self,
        demand: Demand,
        to: &Destination,
        now: Moment,
        excluded: &[EndpointId],
        lot: Lot<'_>,
    ) -> Result<(Standing, Choice), NoChoice> {
        if to.site.as_ref().is_some_and(|site| *site != self.site) {
            return Err(NoChoice::Unknown);
        }
        let place = self.places.get(&to.name).ok_or(NoChoice::Unknown)?;
        if place.serving(now).next().is_none() {
            if place.live(now).next().is_some() {
                return Err(NoChoice::Unconnected);
            }
            let remembered = place.last_seen(now) + MEMORY > now;
            return Err(if remembered { NoChoice::Away } else { NoChoice::Unknown });
        }
        let open = || place.serving(now).filter(|entry| !excluded.contains(&entry.id));
        let with_room = || open().filter(|entry| entry.terms.have_room(entry.health.open()));
        let of = |standing: Standing| with_room().filter(move |entry| entry.health.standing(demand, now) == standing);
        let cast = |standing: Standing| match lot {
            Lot::Drawn(draw) => lot::two(of(standing).map(|entry| entry.terms.weight), draw).and_then(|two| {
                let [first, second] = two.map(|at| of(standing).nth(at));
                match (first, second) {
                    (Some(first), Some(second)) if second.cost_us(now) < first.cost_us(now) => Some(second),
                    (first, _) => first,
                }
            }),
            Lot::Key(key) => {
                // Whoever keeps something for a key keeps it also while it has no room: what it says is the answer.
                let keeps = |entry: &&Entry| entry.health.standing(demand, now) != Standing::Resting;
                let score = |entry: &Entry| lot::score(key, &entry.id, entry.terms.weight);
                with_room().filter(keeps).max_by(|one, other| score(one).total_cmp(&score(other)))
            }
        };
        let with = |standing: Standing| move |entry: &Entry| (standing, entry.choice());
        if let Some(chosen) = cast(Standing::Fit) {
            return Ok(with(Standing::Fit)(chosen));
        }
        let unwilling = cast(Standing::Unwilling).map(with(Standing::Unwilling));
        let last = || with_room().min_by_key(|entry| entry.health.last_resort()).map(with(Standing::Resting));
        let none = || if open().next().is_some() { NoChoice::Full } else { NoChoice::Tried };
        unwilling.or_else(last).ok_or_else(none)
    }

    /// Whether an endpoint rests after a failure.
    #[must_use]
    pub fn rests(&self, name: &Name, choice: &Choice, now: Moment) -> bool {
        let entry = self.places.get(name).and_then(|place| place.entries.iter().find(|one| one.id == choice.endpoint));
        entry.is_some_and(|entry| entry.health.rests(now))
    }

    /// Whether what was chosen has been killed since.
    #[must_use]
    pub fn is_killed(&self, name: &Name, choice: &Choice) -> bool {
        let entry = self.places.get(name).and_then(|place| place.entries.iter().find(|one| one.id == choice.endpoint));
        entry.is_some_and(|entry| entry.state == State::Killed && entry.generation == choice.generation)
    }

    /// Takes note of how an endpoint does, unless it has been restarted since it was chosen.
    pub fn note(&mut self, name: &Name, choice: &Choice, note: impl FnOnce(&mut Health)) {
        if let Some(entry) = self.places.get_mut(name).and_then(|place| place.entry(&choice.endpoint))
            && entry.generation == choice.generation
        {
            note(&mut entry.health);
        }
    }

    /// Notes that an endpoint's answer to a request began after `took`; not of one that [tells no latency](crate::health::tells_latency).
    pub fn began(&mut self, name: &Name, choice: &Choice, took: Duration, now: Moment) {
        if let Some(place) = self.places.get_mut(name) {
            place.pace.answered(took);
        }
        self.note(name, choice, |health| health.began(took, now));
    }

    /// Notes a new request; how long its answer may take until a second endpoint is asked.
    pub fn asked(&mut self, name: &Name, limits: &Limits, now: Moment) -> Duration {
        self.places.get_mut(name).map_or(limits.hedge_max, |place| place.pace.asked(limits, now))
    }

    /// Notes that an endpoint refused a request, or failed at it, after `took`: it looks no quicker for that than all who
    /// answer behind the name.
    pub fn refused(&mut self, name: &Name, choice: &Choice, took: Duration, now: Moment) {
        let usual = self.places.get(name).and_then(|place| place.pace.mean());
        self.note(name, choice, |health| health.began(usual.map_or(took, |usual| took.max(usual)), now));
    }

    /// Pays for a step of a search after a failure; `false` where what is left is for repeats.
    pub fn spend_on_search(&mut self, name: &Name, limits: &Limits, now: Moment) -> bool {
        self.places.get_mut(name).is_none_or(|place| place.pace.spend_on_search(limits, now))
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

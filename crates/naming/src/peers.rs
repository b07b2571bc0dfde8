//! How routers tell each other who stands behind which name: an owner's journal, and a peer's replica of it.
//!
//! Each router owns the registrations of its site and nobody else changes them, so there is nothing to agree on: a
//! replica only has to become what its owner has. Every change counts the owner's *version* up; a new start of the
//! owner is a later *incarnation*, whose versions begin again. A peer is sent the whole state when it connects, and the
//! changes since then. Whatever gets lost, comes twice or too late: a replica takes a change only on top of the version
//! that it was made on, says [`Applied::Gap`] where one is missing, and the whole state then makes it right again.
//!
//! What is registered is a type parameter: this never looks into it. It neither sends nor waits.

use std::collections::{BTreeMap, VecDeque};

use crate::name::Name;
use crate::table::EndpointId;

/// Most changes that a journal remembers; a peer that is further behind gets the whole state.
const MEMORY_MAX_CHANGES: usize = 1024;

/// Which registration: an endpoint behind a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The name.
    pub name: Name,
    /// The endpoint, unique behind its name at its site.
    pub endpoint: EndpointId,
}

/// A point in an owner's history. Later ones compare greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Stamp {
    /// Counts up with the owner's starts.
    pub incarnation: u64,
    /// Counts up with its changes, from 0 at each start.
    pub version: u64,
}

/// What changed: registrations that are new or different (`Some`), or gone (`None`).
pub type Changes<R> = BTreeMap<Key, Option<R>>;

/// What an owner tells its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<R> {
    /// All registrations at `stamp`.
    Full {
        /// When.
        stamp: Stamp,
        /// What is registered.
        entries: BTreeMap<Key, R>,
    },
    /// What changed from version `after` to `stamp`.
    Delta {
        /// The version that it goes on top of.
        after: u64,
        /// What it leads to.
        stamp: Stamp,
        /// The changes.
        changes: Changes<R>,
    },
    /// Nothing changed: the owner lives, and is at `stamp`.
    Alive {
        /// Where it is.
        stamp: Stamp,
    },
}

/// An owner's own registrations and their latest changes.
#[derive(Debug, Clone)]
pub struct Journal<R> {
    stamp: Stamp,
    entries: BTreeMap<Key, R>,
    /// What led to each version, up to the present one.
    history: VecDeque<(u64, Changes<R>)>,
    remembered: usize,
}

/// What a peer knows of one owner.
#[derive(Debug, Clone)]
pub struct Replica<R> {
    stamp: Option<Stamp>,
    entries: BTreeMap<Key, R>,
    limit: usize,
}

/// What a message did to a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied<R> {
    /// It is newer now; this is what changed, which may be nothing.
    Newer(Changes<R>),
    /// The message says nothing new.
    Old,
    /// Something before it is missing: ask for the whole state.
    Gap,
    /// The owner has more registrations than are taken from one; nothing was changed.
    TooMany {
        /// How many are taken.
        limit: usize,
    },
}

// === impl Journal ===

impl<R: Clone + PartialEq> Journal<R> {
    /// The empty journal of a start.
    #[must_use]
    pub fn new(incarnation: u64) -> Self {
        let stamp = Stamp { incarnation, version: 0 };
        Self { stamp, entries: BTreeMap::new(), history: VecDeque::new(), remembered: 0 }
    }

    /// Where it is.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Takes what is registered now; `true` where that is something else than before.
    pub fn update(&mut self, now: BTreeMap<Key, R>) -> bool {
        let changes = difference(&self.entries, &now);
        if changes.is_empty() {
            return false;
        }
        self.stamp.version += 1;
        self.entries = now;
        self.remembered += changes.len();
        self.history.push_back((self.stamp.version, changes));
        while self.remembered > MEMORY_MAX_CHANGES {
            self.remembered -= self.history.pop_front().map_or(0, |(_, changes)| changes.len());
        }
        true
    }

    /// What a peer that is at `have` has to be told; `None` where it is up to date.
    #[must_use]
    pub fn since(&self, have: Option<Stamp>) -> Option<Message<R>> {
        let stamp = self.stamp;
        match have {
            Some(have) if have == stamp => None,
            Some(have) if have.incarnation == stamp.incarnation && self.remembers(have.version) => {
                let mut changes = Changes::new();
                for (version, more) in &self.history {
                    if *version > have.version {
                        changes.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
                    }
                }
                Some(Message::Delta { after: have.version, stamp, changes })
            }
            Some(_) | None => Some(Message::Full { stamp, entries: self.entries.clone() }),
        }
    }

    fn remembers(&self, version: u64) -> bool {
        version < self.stamp.version && self.history.front().is_some_and(|(first, _)| *first <= version + 1)
    }
}

// === impl Replica ===

impl<R: Clone + PartialEq> Replica<R> {
    /// Knows nothing; takes at most `limit` registrations.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { stamp: None, entries: BTreeMap::new(), limit }
    }

    /// How far it is; `None` before the first whole state.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    /// What it knows to be registered.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<Key, R> {
        &self.entries
    }

    /// Takes a message in whatever order.
    pub fn apply(&mut self, message: Message<R>) -> Applied<R> {
        match message {
            Message::Full { stamp, .. } if self.stamp.is_some_and(|have| have >= stamp) => Applied::Old,
            Message::Full { stamp, entries } => self.become_newer(stamp, entries),
            Message::Delta { stamp, .. } | Message::Alive { stamp } if self.stamp.is_some_and(|have| have >= stamp) => {
                Applied::Old
            }
            Message::Alive { .. } => Applied::Gap,
            Message::Delta { after, stamp, changes } => {
                // On top of an older version it also fits: what it says of a key is that key's state at its end, and
                // keys that it does not name have not changed since `after`.
                let fits =
                    self.stamp.is_some_and(|have| have.incarnation == stamp.incarnation && have.version >= after);
                if !fits {
                    return Applied::Gap;
                }
                let mut entries = self.entries.clone();
                for (key, value) in changes {
                    match value {
                        Some(value) => entries.insert(key, value),
                        None => entries.remove(&key),
                    };
                }
                self.become_newer(stamp, entries)
            }
        }
    }

    /// A new conversation with the owner begins: its first whole state counts, whatever its stamp. So an owner whose clock
    /// went back before it started again is believed; until then everything stays as it was.
    pub fn begin_anew(&mut self) {
        self.stamp = None;
    }

    /// Forgets everything; what was known is what is gone.
    pub fn forget(&mut self) -> Changes<R> {
        self.stamp = None;
        std::mem::take(&mut self.entries).into_keys().map(|key| (key, None)).collect()
    }

    fn become_newer(&mut self, stamp: Stamp, entries: BTreeMap<Key, R>) -> Applied<R> {
        if entries.len() > self.limit {
            return Applied::TooMany { limit: self.limit };
        }
        let changes = difference(&self.entries, &entries);
        self.stamp = Some(stamp);
        self.entries = entries;
        Applied::Newer(changes)
    }
}

/// What makes `after` of `before`.
fn difference<R: Clone + PartialEq>(before: &BTreeMap<Key, R>, after: &BTreeMap<Key, R>) -> Changes<R> {
    let gone = before.keys().filter(|key| !after.contains_key(key)).map(|key| (key.clone(), None));
    let differs = after.iter().filter(|(key, value)| before.get(key) != Some(value));
    gone.chain(differs.map(|(key, value)| (key.clone(), Some(value.clone())))).collect()
}

//! Who has the live channels of a tenant, where several instances share an object store: one document, the lease, that its owner renews and
//! the others watch. Pure: it is told what was read and written, and says what to do next.
//!
//! Three rules make it safe without clocks that agree. The owner counts from the moment at which it *asked* for the renewal that was granted; a
//! spare counts from the moment at which it had *read* what it has read since; so the owner's time is over first. Every write is on the
//! condition that the document is the one that was read, so of two that take it one does. And whoever does not know what became of a write
//! of its own looks before it writes again.
//!
//! Time is that of a clock which also runs while the process, or the machine, is stopped: a process that wakes knows that its time is over
//! before it does anything else. Who has the lease may still be about to write what it had decided before it was stopped: that is what
//! [`super::fence`] is for.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The format of the document.
const VERSION: u32 = 1;
/// Renewals, and looks of a spare, in the life of a lease.
const BEATS: u32 = 6;
/// A spare waits for this part of a life more than a life: clocks of two machines do not run alike.
const MARGIN: u32 = 8;
/// An owner of which nothing was heard for so many beats may be dead.
const QUIET_BEATS: u32 = 3;

/// Since the machine started, the time that it slept included.
pub(crate) type Moment = Duration;

/// What the document says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Term {
    version: u32,
    /// Grows with each owner.
    pub(crate) generation: u64,
    /// The instance that has it; `None` where it was given back.
    pub(crate) holder: Option<Uuid>,
    /// Where the holder is reached.
    pub(crate) address: Option<SocketAddr>,
    /// Grows with each renewal.
    beat: u64,
}

/// An instance's view of the lease.
#[derive(Debug)]
pub(crate) struct Lease {
    own: Uuid,
    address: SocketAddr,
    life: Duration,
    standing: Standing,
}

#[derive(Debug)]
enum Standing {
    /// It is another one's, or nobody's: what was read last, and since when it is the same.
    Aside(Option<Seen>),
    /// It is the own one, until then: with the tag of what was written last, where that is known.
    Own { term: Term, tag: Option<String>, until: Moment },
}

#[derive(Debug)]
struct Seen {
    term: Term,
    tag: String,
    since: Moment,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Read the document.
    Look,
    /// Write it, in the place of the one with this tag, or where there is none.
    Write { term: Term, over: Option<String> },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// This was read, and is known since `at`; `None` where there is none.
    Found { at: Moment, found: Option<(Term, String)> },
    /// This was written, with this tag; it was asked for at `asked`.
    Written { asked: Moment, term: Term, tag: String },
    /// The document is another one by now.
    Refused,
    /// Nobody knows.
    Unknown,
}

/// What became of the own standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// It is the own one from now on.
    Gained { generation: u64 },
    /// It is the own one for longer.
    Kept,
    /// It is another one's.
    Lost,
}

/// Whose it is, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The own one.
    Own,
    /// Another one, of which something was heard not long ago.
    Other(SocketAddr),
    /// Nobody, or somebody of whom nothing is heard.
    Nobody,
}

// === impl Lease ===

impl Lease {
    /// Nothing is known yet of the lease that `own`, which is reached at `address`, may have for `life` at a time.
    pub(crate) fn new(own: Uuid, address: SocketAddr, life: Duration) -> Self {
        Self { own, address, life, standing: Standing::Aside(None) }
    }

    /// This instance, as the document names it.
    pub(crate) fn own(&self) -> Uuid {
        self.own
    }

    /// Time between two steps.
    pub(crate) fn beat(&self) -> Duration {
        self.life / BEATS
    }

    /// How long the same document has to be seen before its holder is believed to be gone.
    fn patience(&self) -> Duration {
        self.life + self.life / MARGIN
    }

    /// What to do in the next beat.
    pub(crate) fn next(&self) -> Action {
        match &self.standing {
            Standing::Own { term, tag: Some(tag), .. } => {
                Action::Write { term: Term { beat: term.beat + 1, ..term.clone() }, over: Some(tag.clone()) }
            }
            Standing::Own { tag: None, .. } | Standing::Aside(_) => Action::Look,
        }
    }

    /// Takes note of what came of it; what to do at once, if anything.
    pub(crate) fn take(&mut self, event: Event) -> (Option<Action>, Change) {
        match event {
            Event::Found { at, found } => self.found(at, found),
            Event::Written { asked, term, tag } => {
                let until = asked + self.life;
                let change = match &self.standing {
                    Standing::Own { .. } => Change::Kept,
                    Standing::Aside(_) => Change::Gained { generation: term.generation },
                };
                self.standing = Standing::Own { term, tag: Some(tag), until };
                (None, change)
            }
            Event::Refused | Event::Unknown => {
                let is_refused = event == Event::Refused;
                let Standing::Own { tag, .. } = &mut self.standing else { return (None, Change::None) };
                *tag = None;
                // Somebody else wrote: who, is to be known at once.
                (is_refused.then_some(Action::Look), Change::None)
            }
        }
    }

    fn found(&mut self, at: Moment, found: Option<(Term, String)>) -> (Option<Action>, Change) {
        match &mut self.standing {
            Standing::Own { term, tag, .. } => match found {
                // A write of which nothing was heard did its work, or did not.
                Some((there, there_tag)) if there.holder == Some(self.own) && there.generation == term.generation => {
                    (*term, *tag) = (there, Some(there_tag));
                    (Some(self.next()), Change::None)
                }
                Some((term, tag)) => {
                    self.standing = Standing::Aside(Some(Seen { term, tag, since: at }));
                    (None, Change::Lost)
                }
                None => {
                    self.standing = Standing::Aside(None);
                    (None, Change::Lost)
                }
            },
            Standing::Aside(seen) => {
                let Some((term, tag)) = found else {
                    *seen = None;
                    return (Some(self.claim(0, None)), Change::None);
                };
                let is_free = term.holder.is_none_or(|holder| holder == self.own);
                let since = seen.as_ref().filter(|seen| seen.tag == tag).map_or(at, |seen| seen.since);
                let generation = term.generation;
                *seen = Some(Seen { term, tag: tag.clone(), since });
                let is_over = is_free || at.saturating_sub(since) > self.patience();
                (is_over.then(|| self.claim(generation, Some(tag))), Change::None)
            }
        }
    }

    fn claim(&self, before: u64, over: Option<String>) -> Action {
        let (generation, holder, address) = (before + 1, Some(self.own), Some(self.address));
        Action::Write { term: Term { version: VERSION, generation, holder, address, beat: 0 }, over }
    }

    /// Gives it back: what is to be written, if it is the own one. Nothing of it is the own one afterwards.
    pub(crate) fn give_back(&mut self) -> Option<Action> {
        let standing = std::mem::replace(&mut self.standing, Standing::Aside(None));
        let Standing::Own { term, tag: Some(tag), .. } = standing else { return None };
        Some(Action::Write { term: Term { holder: None, address: None, ..term }, over: Some(tag) })
    }

    /// Until when it is the own one; `None` where it is not.
    pub(crate) fn until(&self) -> Option<Moment> {
        match &self.standing {
            Standing::Own { until, .. } => Some(*until),
            Standing::Aside(_) => None,
        }
    }

    /// Whose it is.
    pub(crate) fn holder(&self, now: Moment) -> Holder {
        match &self.standing {
            Standing::Own { until, .. } if now < *until => Holder::Own,
            Standing::Aside(Some(Seen { term: Term { address: Some(address), .. }, since, .. }))
                if now.saturating_sub(*since) < QUIET_BEATS * self.beat() =>
            {
                Holder::Other(*address)
            }
            Standing::Own { .. } | Standing::Aside(_) => Holder::Nobody,
        }
    }

    /// What tells one renewal from another, as it was read last.
    pub(crate) fn seen(&self) -> Option<&str> {
        match &self.standing {
            Standing::Aside(Some(seen)) => Some(&seen.tag),
            Standing::Own { .. } | Standing::Aside(None) => None,
        }
    }
}

// === impl Term ===

impl Term {
    /// Whether this release knows what it says.
    pub(crate) fn is_known(&self) -> bool {
        self.version == VERSION
    }
}

#[cfg(test)]
mod tests;

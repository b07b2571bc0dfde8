//! Net-level indirection: where a request goes next when a surrogate's answer is not the one that was wanted.
//!
//! The request is sent on as it came, to the next surrogate behind the name: first those of the own site, then site by
//! site, the nearest first, and last the *authority*, the instance that knows for certain. Another site's router
//! is asked as one step and searches its own surrogates (a *nested* search, which never leaves its site). A search has one
//! deadline and one hop budget for all of it, nested steps included, and asks every surrogate at most once; so it ends.
//!
//! What counts as "not wanted" is the [`Rule`]'s to say; whether a 404 may be believed is too: where an authority is
//! named, only its 404 says that a thing is not there. This file decides and never sends; it holds no bodies.

mod budget;
mod circle;
mod trail;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::name::{Destination, Label};
use crate::peers::Key;
use crate::table::Moment;

pub use budget::{Budget, NotNested};
pub use circle::{MARK_MAX_BYTES, mark, times_here};
pub use trail::{Outcome, Trail, Visit};

/// Statuses above 499 that no other surrogate would answer better: it is the request that cannot be done.
const NEVER_SEARCHED: [u16; 2] = [501, 505];

/// When answers for a name are searched for elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Statuses of failure after which the search goes on; see [`Rule::FAILURES`].
    pub failures: Vec<u16>,
    /// Whether a 404 is searched on: the name is declared searchable.
    pub not_found: bool,
    /// Who knows for certain what there is, and is asked last. A site is part of it where it pins one.
    pub authority: Option<Destination>,
}

/// Why the search goes on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The surrogate failed, or could not be reached.
    Failed,
    /// It does not serve this name (421).
    Misdirected,
    /// It does not have it (404).
    NotFound,
    /// It has no room now, and says when (429 or 503 with Retry-After).
    NoRoom,
}

/// One who can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surrogate {
    /// Which it is.
    pub key: Key,
    /// Where it is.
    pub site: Label,
    /// How far that is; `None` where nobody knows.
    pub distance: Option<Duration>,
    /// Whether it is the rule's authority.
    pub is_authority: bool,
    /// Whether it takes requests, as far as is known.
    pub has_room: bool,
    /// Whether its site's router can be asked to search there. Never of the own site.
    pub has_router: bool,
}

/// Where the request goes next.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// To a surrogate itself.
    Surrogate {
        /// Which.
        key: Key,
        /// Where it is.
        site: Label,
    },
    /// To a site's router, which searches all of its own.
    Site(Label),
}

/// A search under way.
#[derive(Debug, Clone)]
pub struct Search {
    own: Label,
    rule: Rule,
    is_nested: bool,
    deadline: Moment,
    hops_left: u32,
    hops_taken: u32,
    asked: BTreeSet<(Label, Key)>,
    sites_asked: BTreeSet<Label>,
    routers_lost: BTreeSet<Label>,
    /// Whether an authority was among those that could be asked.
    authority_seen: bool,
}

// === impl Rule ===

impl Rule {
    /// 5xx but 501 and 505, as far as they are in use.
    pub const FAILURES: [u16; 8] = [500, 502, 503, 504, 506, 507, 508, 511];

    /// Why a search goes on after an answer of `status`; `None` where the answer is the one that was wanted.
    #[must_use]
    pub fn reason(&self, status: u16, has_retry_after: bool) -> Option<Reason> {
        match status {
            404 if self.not_found => Some(Reason::NotFound),
            421 => Some(Reason::Misdirected),
            429 | 503 if has_retry_after => Some(Reason::NoRoom),
            status if NEVER_SEARCHED.contains(&status) => None,
            status if self.failures.contains(&status) => Some(Reason::Failed),
            _ => None,
        }
    }
}

// === impl Search ===

impl Search {
    /// A search of the router at the site `own`, with what is left of the budget. A nested one stays at its site.
    #[must_use]
    pub fn new(own: Label, rule: Rule, budget: Budget, is_nested: bool, now: Moment) -> Self {
        Self {
            own,
            rule,
            is_nested,
            deadline: now + budget.deadline,
            hops_left: budget.hops,
            hops_taken: 0,
            asked: BTreeSet::new(),
            sites_asked: BTreeSet::new(),
            routers_lost: BTreeSet::new(),
            authority_seen: false,
        }
    }

    /// When it ends at the latest.
    #[must_use]
    pub fn deadline(&self) -> Moment {
        self.deadline
    }

    /// How many steps it has taken, nested ones included.
    #[must_use]
    pub fn hops_taken(&self) -> u32 {
        self.hops_taken
    }

    /// What the next step may use up.
    #[must_use]
    pub fn budget(&self, now: Moment) -> Budget {
        Budget { hops: self.hops_left, deadline: self.deadline.0.saturating_sub(now.0) }
    }

    /// Notes one that was asked before the search began, or besides it.
    pub fn was_asked(&mut self, site: &Label, key: &Key) {
        self.asked.insert((site.clone(), key.clone()));
    }

    /// Notes that a nested search took `hops` steps of its own.
    pub fn was_nested(&mut self, hops: u32) {
        self.hops_left = self.hops_left.saturating_sub(hops);
        self.hops_taken = self.hops_taken.saturating_add(hops);
    }

    /// Notes that the router of `site` took no connection: nobody there saw the request, so the site's surrogates can be
    /// asked themselves.
    pub fn router_is_lost(&mut self, site: &Label) {
        self.sites_asked.remove(site);
        self.routers_lost.insert(site.clone());
    }

    /// The next step of those that `surrogates` (in the order of preference within a site) allow, if one is left: the
    /// nearest that was not asked, the authority last.
    pub fn next(&mut self, surrogates: &[Surrogate], after: Reason, now: Moment) -> Option<Step> {
        self.authority_seen |= surrogates.iter().any(|one| one.is_authority && self.is_in_reach(one));
        if self.hops_left == 0 || now >= self.deadline {
            return None;
        }
        let open = || {
            surrogates.iter().filter(|one| {
                self.is_in_reach(one)
                    && (one.has_room || after != Reason::NoRoom)
                    && !self.asked.contains(&(one.site.clone(), one.key.clone()))
                    && !self.sites_asked.contains(&one.site)
            })
        };
        // A site with the authority goes last as a whole: its router searches the others of that site before it.
        let is_last = |one: &Surrogate| {
            if self.goes_through_router(one) {
                surrogates.iter().any(|other| other.site == one.site && other.is_authority)
            } else {
                one.is_authority
            }
        };
        let rank = |one: &Surrogate| {
            let is_away = one.site != self.own;
            let distance = if is_away { one.distance.unwrap_or(Duration::MAX) } else { Duration::ZERO };
            (is_last(one), is_away, distance, if is_away { Some(one.site.clone()) } else { None })
        };
        let next = open().min_by_key(|one| rank(one))?.clone();
        self.hops_left -= 1;
        self.hops_taken += 1;
        if self.goes_through_router(&next) {
            self.sites_asked.insert(next.site.clone());
            Some(Step::Site(next.site))
        } else {
            self.was_asked(&next.site, &next.key);
            Some(Step::Surrogate { key: next.key, site: next.site })
        }
    }

    /// Whether an answer that was searched on for `reason` may be what the client gets in the end. A 404 only says that a
    /// thing is not there where the authority says it; what a failed one answered is at least true of itself.
    #[must_use]
    pub fn is_honest(&self, reason: Reason, from_authority: bool) -> bool {
        let has_authority = if self.is_nested { self.authority_seen } else { self.rule.authority.is_some() };
        reason != Reason::NotFound || from_authority || !has_authority
    }

    fn is_in_reach(&self, one: &Surrogate) -> bool {
        !self.is_nested || one.site == self.own
    }

    /// A site of which one was asked already is not searched by its router, which would ask that one again.
    fn goes_through_router(&self, one: &Surrogate) -> bool {
        one.has_router
            && one.site != self.own
            && !self.routers_lost.contains(&one.site)
            && !self.asked.iter().any(|(site, _)| *site == one.site)
    }
}

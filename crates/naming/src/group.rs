//! Who of a group still lacks what of a response, and what is to be sent because of it.
//!
//! A response goes out in *blocks*, each of at most [`SYMBOLS_MAX`] symbols. Each block goes through the same small
//! story: its source symbols are sent once to all (*airing*); the members say what they lack (*listening*); what is
//! cheapest for the origin's link is sent: the lacking symbols themselves, as many repair symbols as the worst member
//! lacks (each repairs whatever loss), or each member's own by unicast; and so on, until nobody lacks anything.
//! After [`Rules::rounds_max`] rounds, what is lacking goes by unicast, which always arrives. A member that comes late
//! is one that lacks every block so far. A group of one gets everything by unicast: it costs its link the same.
//!
//! Loss has consequences: a member that loses more than 5 % slows the link down once; one that still does, or loses
//! half, gets the rest by unicast, and the others keep their multicast. A member that makes no progress is dismissed: soon where it
//! holds up another one, that has all there is while there is no room for more; else after as long as any connection may stand still,
//! because a reader who holds up nobody goes at his own pace. No message can confuse what another one gets.
//!
//! It decides and never does: no sockets, no clock, no bytes. Reports arrive in any order, late or never; those about
//! a round that is over are ignored, since the member will be asked again. Unicast arrives in order, or the member
//! has left.

mod story;
mod symbols;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use symbols::SymbolSet;

use crate::table::Moment;
use story::{Stage, Story};

/// Most symbols of a block, source and repair together: their code's field has no more points.
pub const SYMBOLS_MAX: u32 = 255;

/// One of a group, by a number that is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// What a group may do and hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Members at once.
    pub members_max: usize,
    /// Blocks held at once, those for late comers included.
    pub blocks_max: u32,
    /// Blocks on their way to a group of one: who comes a little later shares the rest.
    pub alone_max: u32,
    /// Times that repair of one block is sent to all.
    pub rounds_max: u8,
    /// How long the members' reports of a round are waited for.
    pub report_patience: Duration,
    /// How long further reports are waited for after the first that lacks something.
    pub gather: Duration,
    /// How long a member may owe a block without finishing any while it holds up another one.
    pub patience: Duration,
    /// How long a member may owe a block without finishing any at all.
    pub idle: Duration,
}

/// What a member lacks of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lack {
    /// Source symbols that it has not got.
    pub missing: SymbolSet,
    /// How many symbols of any kind would do.
    pub short: u32,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Send all source symbols to all; then tell [`Group::aired`].
    Source {
        /// The block.
        block: u32,
    },
    /// Send these source symbols to all, again; then tell [`Group::aired`].
    Resend {
        /// The block.
        block: u32,
        /// Which.
        symbols: SymbolSet,
    },
    /// Send so many repair symbols to all, none of them sent before; then tell [`Group::aired`].
    Repair {
        /// The block.
        block: u32,
        /// How many.
        count: u32,
    },
    /// Send these source symbols to one.
    Unicast {
        /// To whom.
        member: MemberId,
        /// The block.
        block: u32,
        /// Which.
        symbols: SymbolSet,
    },
    /// Tell one that a round is out, so that it reports.
    Ask {
        /// Whom.
        member: MemberId,
        /// The block.
        block: u32,
        /// The round.
        round: u8,
    },
    /// Loss is high: halve the link's rate.
    Slow,
    /// One loses too much: it gets the rest by unicast.
    FellBack {
        /// Who.
        member: MemberId,
    },
    /// One makes no progress: break with it. It is no member any more.
    Dismiss {
        /// Who.
        member: MemberId,
    },
    /// Nobody will need this block again.
    Forget {
        /// The block.
        block: u32,
    },
}

/// Why one cannot join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotJoined {
    /// The beginning is not held any more.
    #[error("the response is too far on to join")]
    TooLate,
    /// The group is full.
    #[error("the group has its most of {limit} members")]
    Full {
        /// How many it has at most.
        limit: usize,
    },
}

/// The members of a response, and the blocks that are still of interest.
#[derive(Debug, Clone)]
pub struct Group {
    rules: Rules,
    members: BTreeMap<MemberId, Member>,
    stories: BTreeMap<u32, Story>,
    /// The number that the next block gets.
    next: u32,
    has_slowed: bool,
    /// Since when one that has all there is waits for another one, that owes what there is no room beside.
    held_up: Option<Moment>,
}

/// Share of lost symbols above which the link is slowed, then the member falls back.
const LOSS_HIGH: f64 = 0.05;
/// Share of lost symbols above which a member falls back at once: it hears next to nothing.
const LOSS_HOPELESS: f64 = 0.5;
/// Symbols that a judgement about loss needs: losses come in bursts, which must not be taken for the rule.
const LOSS_WINDOW: u32 = 1024;
/// Symbols that tell who hears next to nothing.
const HOPELESS_WINDOW: u32 = 32;

#[derive(Debug, Clone, Copy)]
struct Member {
    hears: bool,
    seen: u32,
    lost: u32,
    was_high: bool,
    /// When it last finished a block, or began to owe one.
    progress: Moment,
}

// === impl Rules ===

impl Default for Rules {
    fn default() -> Self {
        Self {
            members_max: 64,
            blocks_max: 64,
            alone_max: 4,
            rounds_max: 3,
            report_patience: Duration::from_millis(100),
            gather: Duration::from_millis(5),
            patience: Duration::from_secs(5),
            idle: Duration::from_secs(60),
        }
    }
}

// === impl Group ===

impl Group {
    /// A group without members.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, members: BTreeMap::new(), stories: BTreeMap::new(), next: 0, has_slowed: false, held_up: None }
    }

    /// Members now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether nobody lacks anything of the blocks so far.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.stories.values().all(|story| story.needs.is_empty())
    }

    /// Whether another block can be taken now; where not, a member is behind.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let open = self.stories.values().filter(|story| !story.needs.is_empty()).count();
        if self.members.len() == 1 && open >= self.rules.alone_max as usize {
            return false;
        }
        let has_space = self.stories.len() < self.rules.blocks_max as usize;
        has_space || self.stories.values().next().is_none_or(|oldest| oldest.needs.is_empty())
    }

    /// Whether all blocks are held from the first one on, and the next one lets that go: then nobody can join any more.
    #[must_use]
    pub fn is_at_brim(&self) -> bool {
        self.stories.len() >= self.rules.blocks_max as usize && self.stories.contains_key(&0)
    }

    /// Takes a member in, also while blocks are on their way; `hears` if multicast reaches it.
    pub fn join(&mut self, id: MemberId, hears: bool, now: Moment) -> Result<(), NotJoined> {
        self.may_join()?;
        self.members.insert(id, Member { hears, seen: 0, lost: 0, was_high: false, progress: now });
        for story in self.stories.values_mut() {
            story.joined(id, hears, now + self.rules.gather);
        }
        self.compare(now);
        Ok(())
    }

    /// Whether one could join now.
    pub fn may_join(&self) -> Result<(), NotJoined> {
        if self.stories.keys().next().is_some_and(|first| *first > 0) {
            return Err(NotJoined::TooLate);
        }
        if self.members.len() >= self.rules.members_max {
            return Err(NotJoined::Full { limit: self.rules.members_max });
        }
        Ok(())
    }

    /// Notes that a member has gone.
    pub fn left(&mut self, id: MemberId, now: Moment) -> Vec<Act> {
        self.members.remove(&id);
        let mut acts = Vec::new();
        for (block, story) in &mut self.stories {
            story.left(id);
            story.decide_if_complete(*block, &self.rules, &self.members, now, &mut acts);
        }
        self.compare(now);
        acts
    }

    /// Takes the next block, of `symbols` source symbols; the caller has seen that there is room. Gives its number.
    pub fn block(&mut self, symbols: u32, now: Moment) -> (u32, Vec<Act>) {
        let mut acts = Vec::new();
        while self.stories.len() >= self.rules.blocks_max as usize {
            let Some((block, _)) = self.stories.pop_first() else { break };
            acts.push(Act::Forget { block });
        }
        let block = self.next;
        self.next += 1;
        for (id, member) in &mut self.members {
            if self.stories.values().all(|story| !story.needs.contains_key(id)) {
                member.progress = now;
            }
        }
        self.stories.insert(block, Story::begin(block, symbols.clamp(1, SYMBOLS_MAX), &self.members, &mut acts));
        self.compare(now);
        (block, acts)
    }

    /// Notes that what was to be sent of a block to all has been sent.
    pub fn aired(&mut self, block: u32, now: Moment) -> Vec<Act> {
        let mut acts = Vec::new();
        if let Some(story) = self.stories.get_mut(&block) {
            story.aired(block, now + self.rules.report_patience, &mut acts);
            story.decide_if_complete(block, &self.rules, &self.members, now, &mut acts);
        }
        acts
    }

    /// Notes that a member has a block: whole, verified, and taken.
    pub fn has(&mut self, id: MemberId, block: u32, now: Moment) -> Vec<Act> {
        let mut acts = Vec::new();
        let (Some(member), Some(story)) = (self.members.get_mut(&id), self.stories.get_mut(&block)) else {
            return acts;
        };
        let symbols = story.symbols;
        if let Some(need) = story.needs.remove(&id) {
            member.progress = now;
            if need.counts_loss() {
                self.judge(id, symbols, 0, &mut acts);
            }
            self.compare(now);
        }
        if let Some(story) = self.stories.get_mut(&block) {
            story.decide_if_complete(block, &self.rules, &self.members, now, &mut acts);
        }
        acts
    }

    /// Notes what a member lacks of a block after a round.
    pub fn lacks(&mut self, id: MemberId, block: u32, round: u8, lack: Lack, now: Moment) -> Vec<Act> {
        let mut acts = Vec::new();
        let Some(story) = self.stories.get_mut(&block) else { return acts };
        let missing = lack.missing.within(SymbolSet::first(story.symbols));
        if missing.is_empty() {
            return acts;
        }
        let (symbols, lack) = (story.symbols, Lack { missing, short: lack.short.clamp(1, missing.len()) });
        let counts_loss = story.lacks(id, round, lack, now + self.rules.gather);
        if counts_loss {
            self.judge(id, symbols, missing.len(), &mut acts);
        }
        if let Some(story) = self.stories.get_mut(&block) {
            story.decide_if_complete(block, &self.rules, &self.members, now, &mut acts);
        }
        acts
    }

    /// Notes that a block, complete as it was, had not its digest: somebody forged symbols of it.
    pub fn spoiled(&mut self, id: MemberId, block: u32, now: Moment) -> Vec<Act> {
        let mut acts = Vec::new();
        let Some(story) = self.stories.get_mut(&block) else { return acts };
        if story.spoiled(id, block, &mut acts) {
            self.dismiss(id, now, &mut acts);
        } else {
            story.decide_if_complete(block, &self.rules, &self.members, now, &mut acts);
        }
        acts
    }

    /// Does what is due at `now`.
    pub fn tick(&mut self, now: Moment) -> Vec<Act> {
        let mut acts = Vec::new();
        for (block, story) in &mut self.stories {
            if matches!(story.stage, Stage::Listening { until } if until <= now) {
                story.decide(*block, &self.rules, &self.members, &mut acts);
            }
        }
        let is_late = |member: &Member| self.patience_ends(member) <= now;
        let slow: Vec<MemberId> =
            self.members.iter().filter(|(id, member)| is_late(member) && self.owes(**id)).map(|(id, _)| *id).collect();
        for id in slow {
            self.dismiss(id, now, &mut acts);
        }
        acts
    }

    /// When [`Group::tick`] has something to do, unless something happens before.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        let listening = self.stories.values().filter_map(|story| match story.stage {
            Stage::Listening { until } => Some(until),
            Stage::Airing | Stage::Settled => None,
        });
        let owing = self.stories.values().flat_map(|story| story.needs.keys());
        let patience = owing.filter_map(|id| self.members.get(id)).map(|member| self.patience_ends(member));
        listening.chain(patience).min()
    }

    /// When a member that owes something is dismissed, unless it finishes a block before.
    fn patience_ends(&self, member: &Member) -> Moment {
        let alone = member.progress + self.rules.idle;
        self.held_up.map_or(alone, |since| alone.min(since.max(member.progress) + self.rules.patience))
    }

    fn owes(&self, id: MemberId) -> bool {
        self.stories.values().any(|story| story.needs.contains_key(&id))
    }

    /// Takes note of whether somebody is held up.
    fn compare(&mut self, now: Moment) {
        let is_held_up = !self.has_room() && self.members.keys().any(|id| !self.owes(*id));
        self.held_up = is_held_up.then(|| self.held_up.unwrap_or(now));
    }

    fn dismiss(&mut self, id: MemberId, now: Moment, acts: &mut Vec<Act>) {
        if self.members.contains_key(&id) {
            acts.push(Act::Dismiss { member: id });
            acts.extend(self.left(id, now));
        }
    }

    /// Counts what of a block's source symbols reached a member, and draws the consequence.
    fn judge(&mut self, id: MemberId, symbols: u32, lost: u32, acts: &mut Vec<Act>) {
        let Some(member) = self.members.get_mut(&id) else { return };
        member.seen += symbols;
        member.lost += lost;
        let share = f64::from(member.lost) / f64::from(member.seen.max(1));
        let is_hopeless = member.seen >= HOPELESS_WINDOW && share > LOSS_HOPELESS;
        if member.seen < LOSS_WINDOW && !is_hopeless {
            return;
        }
        let is_high = share > LOSS_HIGH;
        let was_high = std::mem::replace(&mut member.was_high, is_high);
        (member.seen, member.lost) = (0, 0);
        if is_hopeless || (is_high && was_high && self.has_slowed) {
            if std::mem::replace(&mut member.hears, false) {
                acts.push(Act::FellBack { member: id });
            }
        } else if is_high {
            self.has_slowed = true;
            acts.push(Act::Slow);
        }
    }
}

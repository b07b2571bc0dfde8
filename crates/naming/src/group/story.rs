//! One block's way to all members: what each still needs of it, and what is cheapest to send next.

use std::collections::BTreeMap;

use super::{Act, Lack, Member, MemberId, Rules, SYMBOLS_MAX, SymbolSet};
use crate::table::Moment;

/// Repair symbols sent beyond what the worst member lacks, since they are lost too: another round costs more.
const REPAIR_MARGIN: u32 = 1;
/// Of so many repair symbols one more is sent besides.
const REPAIR_LOSS: u32 = 8;
/// How often one may find that a block has not its digest. All of it by unicast mends what strangers forged; what is
/// still wrong then is not mended by sending it again.
const SPOILED_MAX: u8 = 2;

/// A block's state.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub symbols: u32,
    pub stage: Stage,
    /// Counts what was sent to all.
    round: u8,
    /// Repair symbols sent.
    repairs: u32,
    /// Who has not got it; everybody else has.
    pub needs: BTreeMap<MemberId, Need>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Something is being sent to all.
    Airing,
    /// Reports are waited for.
    Listening { until: Moment },
    /// Nothing is on its way to all.
    Settled,
}

/// What a member needs of a block that it has not got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    known: Known,
    spoiled: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It has not said; `counts_loss` if it could hear all of what was sent.
    Not { counts_loss: bool },
    /// This, and it has not been sent yet.
    Lacks(Lack),
    /// Nothing that was not sent to it by unicast.
    Given,
}

// === impl Need ===

impl Need {
    fn new(known: Known) -> Self {
        Self { known, spoiled: 0 }
    }

    pub(super) fn counts_loss(self) -> bool {
        matches!(self.known, Known::Not { counts_loss: true })
    }

    fn is_unknown(self) -> bool {
        matches!(self.known, Known::Not { .. })
    }
}

// === impl Story ===

impl Story {
    /// A new block: to all where several hear, else by unicast.
    pub(super) fn begin(block: u32, symbols: u32, members: &BTreeMap<MemberId, Member>, acts: &mut Vec<Act>) -> Self {
        let hearing = members.values().filter(|member| member.hears).count();
        let is_aired = hearing > 1;
        let mut needs = BTreeMap::new();
        if is_aired {
            acts.push(Act::Source { block });
        }
        for (id, member) in members {
            if is_aired && member.hears {
                needs.insert(*id, Need::new(Known::Not { counts_loss: true }));
            } else {
                acts.push(Act::Unicast { member: *id, block, symbols: SymbolSet::first(symbols) });
                needs.insert(*id, Need::new(Known::Given));
            }
        }
        Self { symbols, stage: if is_aired { Stage::Airing } else { Stage::Settled }, round: 0, repairs: 0, needs }
    }

    /// Somebody has come.
    pub(super) fn joined(&mut self, id: MemberId, hears: bool, gather_until: Moment) {
        let known = match self.stage {
            Stage::Airing if hears => Known::Not { counts_loss: false },
            // It gets its own when the next decision is made.
            Stage::Airing => Known::Lacks(self.everything()),
            Stage::Listening { until } => {
                self.stage = Stage::Listening { until: until.min(gather_until) };
                Known::Lacks(self.everything())
            }
            Stage::Settled => {
                self.stage = Stage::Listening { until: gather_until };
                Known::Lacks(self.everything())
            }
        };
        self.needs.insert(id, Need::new(known));
    }

    pub(super) fn left(&mut self, id: MemberId) {
        self.needs.remove(&id);
    }

    pub(super) fn aired(&mut self, block: u32, until: Moment, acts: &mut Vec<Act>) {
        if self.stage != Stage::Airing {
            return;
        }
        self.stage = Stage::Listening { until };
        let unknown = self.needs.iter().filter(|(_, need)| need.is_unknown());
        acts.extend(unknown.map(|(member, _)| Act::Ask { member: *member, block, round: self.round }));
    }

    /// Takes a report; `true` where it says what of the first sending was lost.
    pub(super) fn lacks(&mut self, id: MemberId, round: u8, lack: Lack, gather_until: Moment) -> bool {
        let is_stale = round != self.round || self.stage == Stage::Airing;
        let Some(need) = self.needs.get_mut(&id) else { return false };
        let counts_loss = match need.known {
            // It is asked again when what is on its way now is out.
            Known::Not { .. } | Known::Lacks(_) if is_stale => return false,
            Known::Not { counts_loss } => counts_loss,
            Known::Lacks(_) => false,
            // What it lacked is on its way by unicast, which arrives.
            Known::Given => return false,
        };
        need.known = Known::Lacks(lack);
        self.stage = match self.stage {
            Stage::Listening { until } => Stage::Listening { until: until.min(gather_until) },
            Stage::Settled | Stage::Airing => Stage::Listening { until: gather_until },
        };
        counts_loss
    }

    /// Gives one all of it by unicast; `true` where that has not helped before.
    pub(super) fn spoiled(&mut self, id: MemberId, block: u32, acts: &mut Vec<Act>) -> bool {
        let symbols = SymbolSet::first(self.symbols);
        let Some(need) = self.needs.get_mut(&id) else { return false };
        need.spoiled += 1;
        need.known = Known::Given;
        if need.spoiled < SPOILED_MAX {
            acts.push(Act::Unicast { member: id, block, symbols });
        }
        need.spoiled >= SPOILED_MAX
    }

    /// Decides as soon as nothing more is to be heard.
    pub(super) fn decide_if_complete(
        &mut self,
        block: u32,
        rules: &Rules,
        members: &BTreeMap<MemberId, Member>,
        now: Moment,
        acts: &mut Vec<Act>,
    ) {
        let Stage::Listening { until } = self.stage else { return };
        let is_waiting = self.needs.values().any(|need| need.is_unknown());
        // Those that come late come in crowds: theirs is not settled before the time to gather is over.
        let everything = Known::Lacks(self.everything());
        let is_crowd = self.needs.values().any(|need| need.known == everything);
        if !is_waiting && (!is_crowd || until <= now) {
            self.decide(block, rules, members, acts);
        }
    }

    /// Sends what is cheapest for the link of what is known to be lacking.
    pub(super) fn decide(
        &mut self,
        block: u32,
        rules: &Rules,
        members: &BTreeMap<MemberId, Member>,
        acts: &mut Vec<Act>,
    ) {
        self.stage = Stage::Settled;
        let hears = |id: &MemberId| members.get(id).is_some_and(|member| member.hears);
        let is_last = self.round >= rules.rounds_max;
        let lacking: Vec<Lack> = self
            .needs
            .iter()
            .filter_map(|(id, need)| match need.known {
                Known::Lacks(lack) if hears(id) => Some(lack),
                Known::Lacks(_) | Known::Not { .. } | Known::Given => None,
            })
            .collect();
        let worst = lacking.iter().map(|lack| lack.short).max().unwrap_or(0);
        let union = lacking.iter().fold(SymbolSet::default(), |union, lack| union.union(lack.missing));
        let singly: u32 = lacking.iter().map(|lack| lack.short).sum();
        // There are only so many different ones; where they do not do, the lacking ones themselves go again.
        let left = SYMBOLS_MAX.saturating_sub(self.symbols + self.repairs);
        let repair = (worst + REPAIR_MARGIN + worst / REPAIR_LOSS).min(left);
        let is_resent = union.len() <= repair || worst > left;
        let is_aired = !is_last && singly > if is_resent { union.len() } else { repair };
        if is_aired {
            acts.push(if is_resent {
                Act::Resend { block, symbols: union }
            } else {
                self.repairs += repair;
                Act::Repair { block, count: repair }
            });
            self.round += 1;
            self.stage = Stage::Airing;
        }
        for (id, need) in &mut self.needs {
            match need.known {
                Known::Lacks(_) if is_aired && hears(id) => need.known = Known::Not { counts_loss: false },
                Known::Lacks(lack) => {
                    acts.push(Act::Unicast { member: *id, block, symbols: lack.missing });
                    need.known = Known::Given;
                }
                // It missed the question, or its report is late: it is asked about what comes now.
                Known::Not { .. } => need.known = Known::Not { counts_loss: false },
                Known::Given => {}
            }
        }
    }

    fn everything(&self) -> Lack {
        Lack { missing: SymbolSet::first(self.symbols), short: self.symbols }
    }
}

//! One block's way to all members: what each still needs of it, and what is cheapest to send next.

use std::collections::BTreeMap;

use super::{Act, Lack, Member, MemberId, Rules, SymbolSet};
use crate::table::Moment;

/// Repair symbols sent beyond what the worst member lacks: RFC 6330's code fails once in 10,000 times with one symbol
/// more than needed, and once in 100 with none.
const REPAIR_MARGIN: u32 = 1;
/// Of so many repair symbols one more is sent, since they are lost too.
const REPAIR_LOSS: u32 = 8;
/// How often a block is given by unicast to one who says that it has not got it: its digest was wrong, and once more
/// will do, or nothing will.
const UNICAST_MAX: u8 = 2;

/// A block's state.
#[derive(Debug, Clone)]
pub(super) struct Story {
    pub symbols: u32,
    pub stage: Stage,
    /// Counts what was sent to all.
    round: u8,
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

/// What a member needs, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// It has not said; `counts_loss` if it could hear all of what was sent.
    Unknown { counts_loss: bool },
    /// This, and it has not been sent yet.
    Lacks(Lack),
    /// Nothing that was not sent to it by unicast, so many times.
    Given { times: u8 },
}

/// What a report meant.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heard {
    pub counts_loss: bool,
    pub is_hopeless: bool,
}

// === impl Need ===

impl Need {
    pub(super) fn counts_loss(self) -> bool {
        matches!(self, Self::Unknown { counts_loss: true })
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
                needs.insert(*id, Need::Unknown { counts_loss: true });
            } else {
                acts.push(Act::Unicast { member: *id, block, symbols: SymbolSet::first(symbols) });
                needs.insert(*id, Need::Given { times: 1 });
            }
        }
        Self { symbols, stage: if is_aired { Stage::Airing } else { Stage::Settled }, round: 0, needs }
    }

    /// Somebody has come.
    pub(super) fn joined(&mut self, id: MemberId, gather_until: Moment) {
        let need = match self.stage {
            Stage::Airing => Need::Unknown { counts_loss: false },
            Stage::Listening { until } => {
                self.stage = Stage::Listening { until: until.min(gather_until) };
                Need::Lacks(self.everything())
            }
            Stage::Settled => {
                self.stage = Stage::Listening { until: gather_until };
                Need::Lacks(self.everything())
            }
        };
        self.needs.insert(id, need);
    }

    pub(super) fn left(&mut self, id: MemberId) {
        self.needs.remove(&id);
    }

    pub(super) fn aired(&mut self, block: u32, until: Moment, acts: &mut Vec<Act>) {
        if self.stage != Stage::Airing {
            return;
        }
        self.stage = Stage::Listening { until };
        let unknown = self.needs.iter().filter(|(_, need)| matches!(need, Need::Unknown { .. }));
        acts.extend(unknown.map(|(member, _)| Act::Ask { member: *member, block, round: self.round }));
    }

    pub(super) fn lacks(&mut self, id: MemberId, round: u8, lack: Lack, now: Moment, rules: &Rules) -> Heard {
        let everything = self.everything();
        let Some(need) = self.needs.get_mut(&id) else { return Heard::default() };
        let mut heard = Heard::default();
        match *need {
            // What it lacked then may be on its way now: it is asked again when that is out.
            Need::Unknown { .. } | Need::Lacks(_) if round != self.round || self.stage == Stage::Airing => {
                return heard;
            }
            Need::Unknown { counts_loss } => {
                heard.counts_loss = counts_loss;
                *need = Need::Lacks(lack);
            }
            Need::Lacks(_) => *need = Need::Lacks(lack),
            // It got what it lacked, and the whole was wrong.
            Need::Given { times } => {
                heard.is_hopeless = times >= UNICAST_MAX;
                *need = Need::Lacks(everything);
            }
        }
        let until = now + rules.gather;
        match self.stage {
            Stage::Listening { until: before } => self.stage = Stage::Listening { until: before.min(until) },
            Stage::Settled => self.stage = Stage::Listening { until },
            Stage::Airing => {}
        }
        heard
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
        let is_waiting = self.needs.values().any(|need| matches!(need, Need::Unknown { .. }));
        // Those that come late come in crowds: theirs is not settled before the time to gather is over.
        let is_crowd = self.needs.values().any(|need| matches!(need, Need::Lacks(lack) if *lack == self.everything()));
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
            .filter_map(|(id, need)| match need {
                Need::Lacks(lack) if hears(id) => Some(*lack),
                Need::Lacks(_) | Need::Unknown { .. } | Need::Given { .. } => None,
            })
            .collect();
        let worst = lacking.iter().map(|lack| lack.short).max().unwrap_or(0);
        let union = lacking.iter().fold(SymbolSet::default(), |union, lack| union.union(lack.missing));
        let singly: u32 = lacking.iter().map(|lack| lack.short).sum();
        let repair = worst + REPAIR_MARGIN + worst / REPAIR_LOSS;
        let is_aired = !is_last && singly > repair.min(union.len());
        if is_aired {
            acts.push(if union.len() <= repair {
                Act::Resend { block, symbols: union }
            } else {
                Act::Repair { block, count: repair }
            });
            self.round += 1;
            self.stage = Stage::Airing;
        }
        for (id, need) in &mut self.needs {
            match *need {
                Need::Lacks(_) if is_aired && hears(id) => *need = Need::Unknown { counts_loss: false },
                Need::Lacks(lack) => {
                    acts.push(Act::Unicast { member: *id, block, symbols: lack.missing });
                    *need = Need::Given { times: 1 + u8::from(lack.missing == SymbolSet::first(self.symbols)) };
                }
                // It missed the question, or its report is late: it is asked about what comes now.
                Need::Unknown { .. } => *need = Need::Unknown { counts_loss: false },
                Need::Given { .. } => {}
            }
        }
    }

    fn everything(&self) -> Lack {
        Lack { missing: SymbolSet::first(self.symbols), short: self.symbols }
    }
}

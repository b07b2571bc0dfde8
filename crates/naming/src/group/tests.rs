//! The group against a simple specification: whatever is lost, whoever dies, comes late or lies, everybody who stays
//! gets every block, and no sending costs the link more than serving each one singly.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;

/// A group, its members, and the network between them. What is left to chance is drawn.
struct World<'a> {
    group: Group,
    members: BTreeMap<MemberId, Listener>,
    now: Moment,
    pending: VecDeque<Act>,
    /// Symbols of each block.
    sizes: Vec<u32>,
    is_lost: &'a mut dyn FnMut() -> bool,
    airings: BTreeMap<u32, u32>,
    repairs: BTreeMap<u32, u32>,
    joined: u64,
}

#[derive(Default)]
struct Listener {
    got: BTreeMap<u32, (SymbolSet, u32)>,
    done: BTreeSet<u32>,
    is_dead: bool,
    is_deaf: bool,
    /// Symbols of these blocks are forged on the way.
    forged: BTreeSet<u32>,
    /// Of these it takes nothing more but by unicast.
    spoiled: BTreeSet<u32>,
}

impl<'a> World<'a> {
    fn new(rules: Rules, is_lost: &'a mut dyn FnMut() -> bool) -> Self {
        Self {
            group: Group::new(rules),
            members: BTreeMap::new(),
            now: Moment::default(),
            pending: VecDeque::new(),
            sizes: Vec::new(),
            is_lost,
            airings: BTreeMap::new(),
            repairs: BTreeMap::new(),
            joined: 0,
        }
    }

    fn join(&mut self) -> Option<MemberId> {
        let id = MemberId(self.joined);
        self.joined += 1;
        // Every fourth does not hear multicast at all.
        let hears = id.0 % 4 != 3;
        self.group.join(id, hears, self.now).ok()?;
        self.members.insert(id, Listener { is_deaf: !hears, ..Listener::default() });
        Some(id)
    }

    fn block(&mut self, symbols: u32) {
        assert!(self.group.has_room());
        let (block, acts) = self.group.block(symbols, self.now);
        assert_eq!(block as usize, self.sizes.len());
        self.sizes.push(symbols);
        self.pending.extend(acts);
    }

    fn leave(&mut self, id: MemberId) {
        self.members.remove(&id);
        let acts = self.group.left(id, self.now);
        self.pending.extend(acts);
    }

    fn step(&mut self) {
        let Some(act) = self.pending.pop_front() else { return };
        let acts = match act {
            Act::Source { block } => self.air(block, SymbolSet::first(self.sizes[block as usize]), 0),
            Act::Resend { block, symbols } => self.air(block, symbols, 0),
            Act::Repair { block, count } => self.air(block, SymbolSet::default(), count),
            Act::Unicast { member, block, symbols } => self.give(member, block, symbols),
            Act::Ask { member, block, round } => self.ask(member, block, round),
            Act::Dismiss { member } => {
                let listener = self.members.remove(&member).expect("who is dismissed was there");
                assert!(listener.is_dead, "{member:?} was dismissed though it answers");
                Vec::new()
            }
            Act::Forget { block } => {
                assert!(self.members.values().all(|listener| listener.is_dead || listener.done.contains(&block)));
                Vec::new()
            }
            Act::Slow | Act::FellBack { .. } => Vec::new(),
        };
        self.pending.extend(acts);
    }

    fn air(&mut self, block: u32, symbols: SymbolSet, repair: u32) -> Vec<Act> {
        *self.airings.entry(block).or_default() += 1;
        let size = self.sizes[block as usize];
        let repairs = self.repairs.entry(block).or_default();
        *repairs += repair;
        assert!(size + *repairs <= SYMBOLS_MAX, "there are no more symbols of block {block}");
        let mut acts = Vec::new();
        for (id, listener) in &mut self.members {
            if listener.is_deaf || listener.spoiled.contains(&block) {
                continue;
            }
            let got = listener.got.entry(block).or_default();
            for symbol in symbols.iter() {
                if !(self.is_lost)() {
                    got.0.insert(symbol);
                }
            }
            for _ in 0..repair {
                if !(self.is_lost)() {
                    got.1 += 1;
                }
            }
            let is_whole = got.0.len() + got.1 >= size;
            if is_whole && !listener.is_dead && !listener.done.contains(&block) {
                acts.extend(listener.whole(&mut self.group, *id, block, self.now));
            }
        }
        acts.extend(self.group.aired(block, self.now));
        acts
    }

    fn give(&mut self, id: MemberId, block: u32, symbols: SymbolSet) -> Vec<Act> {
        let Some(listener) = self.members.get_mut(&id) else { return Vec::new() };
        // What was sent to others may have completed it meanwhile.
        if listener.is_dead || listener.done.contains(&block) {
            return Vec::new();
        }
        let all = SymbolSet::first(self.sizes[block as usize]);
        let got = listener.got.entry(block).or_default();
        got.0 = got.0.union(symbols);
        if symbols == all {
            listener.forged.remove(&block);
        }
        if got.0.len() + got.1 < all.len() {
            // It was on its way when the block was found to be forged; all of it comes behind.
            assert!(listener.spoiled.contains(&block), "unicast leaves nothing lacking");
            return Vec::new();
        }
        listener.whole(&mut self.group, id, block, self.now)
    }

    fn ask(&mut self, id: MemberId, block: u32, round: u8) -> Vec<Act> {
        let Some(listener) = self.members.get_mut(&id) else { return Vec::new() };
        if listener.is_dead || listener.done.contains(&block) {
            return Vec::new();
        }
        let all = SymbolSet::first(self.sizes[block as usize]);
        let got = *listener.got.entry(block).or_default();
        let lack = Lack { missing: all.without(got.0), short: all.len() - got.0.len() - got.1.min(all.len()) };
        self.group.lacks(id, block, round, lack, self.now)
    }

    /// Until nothing more happens; then everybody alive must have everything.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.pending.is_empty() {
                self.step();
            } else if let Some(due) = self.group.due() {
                self.now = self.now.max(due);
                let acts = self.group.tick(self.now);
                self.pending.extend(acts);
            } else {
                let blocks: BTreeSet<u32> = (0..self.group.next).collect();
                for (id, listener) in self.members.iter().filter(|(_, listener)| !listener.is_dead) {
                    assert_eq!(listener.done, blocks, "what {id:?} has");
                }
                assert!(self.group.is_served());
                let rounds = u32::from(self.group.rules.rounds_max);
                // The source symbols may be repeated for those that come late.
                assert!(self.airings.values().all(|airings| *airings <= 1 + rounds), "{:?}", self.airings);
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.group);
    }
}

impl Listener {
    fn whole(&mut self, group: &mut Group, id: MemberId, block: u32, now: Moment) -> Vec<Act> {
        if self.forged.contains(&block) {
            self.got.remove(&block);
            self.spoiled.insert(block);
            return group.spoiled(id, block, now);
        }
        self.done.insert(block);
        group.has(id, block, now)
    }
}

fn rules() -> Rules {
    Rules { rounds_max: 2, ..Rules::default() }
}

/// Runs `world` with every sequence of losses that it can draw.
fn for_every_loss(mut run: impl FnMut(&mut dyn FnMut() -> bool)) -> u64 {
    let mut tape: Vec<bool> = Vec::new();
    let mut runs = 0;
    loop {
        let mut at = 0;
        run(&mut || {
            if at == tape.len() {
                tape.push(false);
            }
            at += 1;
            tape[at - 1]
        });
        runs += 1;
        tape.truncate(at);
        // The next tape: the last draw that was "not lost" becomes "lost", and what follows begins anew.
        while tape.last() == Some(&true) {
            tape.pop();
        }
        match tape.last_mut() {
            Some(last) => *last = true,
            None => return runs,
        }
    }
}

#[test]
fn every_pattern_of_loss_for_two_members_and_a_block_of_two() {
    let runs = for_every_loss(|is_lost| {
        let mut world = World::new(rules(), is_lost);
        world.join();
        world.join();
        world.block(2);
        world.settle();
    });
    assert!(runs > 100, "only {runs} patterns");
}

#[test]
fn every_pattern_of_loss_while_a_member_dies_and_one_comes_at_any_step() {
    for (dies_at, comes_at) in (0..8).flat_map(|dies| (0..8).map(move |comes| (dies, comes))) {
        let rules = Rules { rounds_max: 1, ..Rules::default() };
        for_every_loss(|is_lost| {
            let mut world = World::new(rules, is_lost);
            let first = world.join().expect("the group is empty");
            world.join();
            world.block(1);
            for step in 0..8 {
                if step == dies_at {
                    world.members.get_mut(&first).expect("it is there").is_dead = true;
                }
                if step == comes_at {
                    world.join();
                }
                world.step();
            }
            world.block(1);
            world.settle();
            assert_eq!(world.group.len(), 2, "the dead one was dismissed, and only that one");
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn everybody_who_stays_gets_everything(
        percent in prop::sample::select(vec![0u8, 1, 5, 30, 100]),
        seed in any::<u64>(),
        events in prop::collection::vec((0u8..8, 0u64..8, 1u32..=255), 1..60),
    ) {
        let mut state = seed | 1;
        let mut is_lost = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % 100 < u64::from(percent)
        };
        let rules = Rules { members_max: 6, blocks_max: 8, ..Rules::default() };
        let mut world = World::new(rules, &mut is_lost);
        world.join();
        for (event, who, symbols) in events {
            let id = MemberId(who);
            match event {
                0 => drop(world.join()),
                1 if world.members.contains_key(&id) => world.leave(id),
                2 => world.members.get_mut(&id).into_iter().for_each(|listener| listener.is_dead = true),
                3 => {
                    let next = world.group.next;
                    world.members.get_mut(&id).into_iter().for_each(|listener| listener.forged.extend([next]));
                }
                4 => world.now = world.now + Duration::from_millis(u64::from(symbols)),
                5 => (0..symbols).for_each(|_| world.step()),
                _ if world.group.has_room() => world.block(symbols),
                _ => {}
            }
            prop_assert!(world.group.stories.len() <= rules.blocks_max as usize);
            prop_assert!(world.group.len() <= rules.members_max);
        }
        world.settle();
    }

    /// Nobody can make a group do more for strangers, for blocks that are not there, or for rounds that are over.
    #[test]
    fn reports_of_strangers_change_nothing(member in 9u64..99, block in any::<u32>(), round in any::<u8>(), short in any::<u32>()) {
        let mut group = Group::new(Rules::default());
        let now = Moment::default();
        for id in [MemberId(0), MemberId(1)] {
            group.join(id, true, now).expect("there is room");
        }
        let (first, _) = group.block(100, now);
        group.aired(first, now);
        let before = format!("{group:?}");
        let lack = Lack { missing: SymbolSet::first(7), short };
        prop_assert!(group.lacks(MemberId(member), first, 0, lack, now).is_empty());
        prop_assert!(group.has(MemberId(member), block, now).is_empty());
        prop_assert!(group.spoiled(MemberId(member), block, now).is_empty());
        if block != first || round != 0 {
            prop_assert!(group.lacks(MemberId(0), block, round.max(1), lack, now).is_empty());
        }
        prop_assert_eq!(format!("{group:?}"), before);
    }
}

#[test]
fn the_cheapest_way_is_taken() {
    let now = Moment::default();
    let lost = |symbols: &[u32]| {
        let missing: SymbolSet = symbols.iter().copied().collect();
        Lack { missing, short: missing.len() }
    };
    let after = |reports: &[&[u32]]| {
        let mut group = Group::new(Rules::default());
        let ids: Vec<MemberId> = (0..reports.len() as u64).map(MemberId).collect();
        ids.iter().for_each(|id| group.join(*id, true, now).expect("there is room"));
        let (block, acts) = group.block(100, now);
        assert_eq!(acts, [Act::Source { block }]);
        assert_eq!(group.aired(block, now).len(), ids.len(), "everybody is asked");
        let acts: Vec<Act> = ids
            .iter()
            .zip(reports)
            .flat_map(|(id, report)| {
                if report.is_empty() {
                    group.has(*id, block, now)
                } else {
                    group.lacks(*id, block, 0, lost(report), now)
                }
            })
            .collect();
        acts
    };
    assert_eq!(after(&[&[], &[]]), []);
    let singly = Act::Unicast { member: MemberId(1), block: 0, symbols: [4].into_iter().collect() };
    assert_eq!(after(&[&[], &[4]]), [singly], "one member's loss is its own");
    let again = Act::Resend { block: 0, symbols: [4, 5].into_iter().collect() };
    assert_eq!(after(&[&[4, 5], &[4, 5], &[4]]), [again], "the same loss is repeated as it is");
    let repair = Act::Repair { block: 0, count: 3 };
    assert_eq!(after(&[&[1, 2], &[3, 4], &[5, 6]]), [repair], "different losses are repaired together");
}

#[test]
fn what_lacks_more_than_there_is_repair_gets_the_symbols_themselves_again() {
    let now = Moment::default();
    let mut group = Group::new(Rules::default());
    let ids = [MemberId(0), MemberId(1)];
    ids.iter().for_each(|id| group.join(*id, true, now).expect("there is room"));
    // A block of 250 symbols leaves five for repair.
    let (block, _) = group.block(250, now);
    let mut report = |round, lost: [&[u32]; 2]| {
        group.aired(block, now);
        let lack = |lost: &[u32]| Lack { missing: lost.iter().copied().collect(), short: lost.len() as u32 };
        let acts = ids.iter().zip(lost).flat_map(|(id, lost)| group.lacks(*id, block, round, lack(lost), now));
        acts.filter(|act| !matches!(act, Act::Ask { .. })).collect::<Vec<Act>>()
    };
    assert_eq!(report(0, [&[1, 2], &[3, 4]]), [Act::Repair { block, count: 3 }]);
    assert_eq!(report(1, [&[1, 2], &[3, 4]]), [Act::Repair { block, count: 2 }], "one more is wanted, and not there");
    let symbols = [1, 2, 3].into_iter().collect();
    assert_eq!(report(2, [&[1, 2], &[1, 3]]), [Act::Resend { block, symbols }]);
}

#[test]
fn loss_slows_the_link_down_then_costs_the_member_its_multicast_and_nobody_else() {
    let now = Moment::default();
    let mut group = Group::new(Rules::default());
    let (bad, good) = (MemberId(0), MemberId(1));
    group.join(bad, true, now).expect("there is room");
    group.join(good, true, now).expect("there is room");
    group.join(MemberId(2), true, now).expect("there is room");
    let mut seen = Vec::new();
    // Two windows of judgement, and a block after them.
    for _ in 0..17 {
        let (block, acts) = group.block(128, now);
        seen.extend(acts);
        group.aired(block, now);
        group.has(good, block, now);
        group.has(MemberId(2), block, now);
        let lack = Lack { missing: SymbolSet::first(12), short: 12 };
        seen.extend(group.lacks(bad, block, 0, lack, now));
        seen.extend(group.has(bad, block, now));
    }
    let at = |act| seen.iter().position(|seen| *seen == act);
    let (slow, fell) = (at(Act::Slow).expect("slowed"), at(Act::FellBack { member: bad }).expect("fell back"));
    assert!(slow < fell);
    assert!(seen[fell..].contains(&Act::Unicast { member: bad, block: 16, symbols: SymbolSet::first(128) }));
    assert!(seen[fell..].contains(&Act::Source { block: 16 }), "the others keep their multicast");
    assert!(!seen.contains(&Act::FellBack { member: good }));
}

#[test]
fn a_burst_of_loss_is_not_taken_for_the_rule() {
    let now = Moment::default();
    let mut group = Group::new(Rules::default());
    let member = MemberId(0);
    group.join(member, true, now).expect("there is room");
    group.join(MemberId(1), true, now).expect("there is room");
    for number in 0..32 {
        let (block, _) = group.block(128, now);
        group.aired(block, now);
        group.has(MemberId(1), block, now);
        // Three bundles of eight are lost in one of four blocks: less than 5 % of all.
        let acts = if number % 4 == 0 {
            let lack = Lack { missing: SymbolSet::first(24), short: 24 };
            [group.lacks(member, block, 0, lack, now), group.has(member, block, now)].concat()
        } else {
            group.has(member, block, now)
        };
        assert!(!acts.iter().any(|act| matches!(act, Act::Slow | Act::FellBack { .. })), "{acts:?}");
    }
}

#[test]
fn at_the_brim_the_next_block_lets_the_first_one_go_and_nobody_can_join_any_more() {
    let mut group = Group::new(Rules { blocks_max: 3, ..Rules::default() });
    let now = Moment(std::time::Duration::ZERO);
    for _ in 0..3 {
        assert!(!group.is_at_brim());
        group.block(1, now);
    }
    assert_eq!((group.is_at_brim(), group.may_join().is_ok()), (true, true));
    group.block(1, now);
    assert_eq!((group.is_at_brim(), group.may_join().is_ok()), (false, false));
}

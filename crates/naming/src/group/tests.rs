//! The group against a simple specification: whatever is lost, whoever dies, comes late or lies, everybody who stays
//! gets every block, and no sending costs the link more than serving each one singly.

mod decisions;

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
    /// Since when one that has everything waits, because there is no room for more.
    held_up: Option<Moment>,
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
    /// How many blocks it had when it last finished one, and when that was.
    finished: (usize, Moment),
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
            held_up: None,
        }
    }

    fn join(&mut self) -> Option<MemberId> {
        let id = MemberId(self.joined);
        self.joined += 1;
        // Every fourth does not hear multicast at all.
        let hears = id.0 % 4 != 3;
        self.group.join(id, hears, self.now).ok()?;
        self.members.insert(id, Listener { is_deaf: !hears, finished: (0, self.now), ..Listener::default() });
        self.note();
        Some(id)
    }

    fn block(&mut self, symbols: u32) {
        assert!(self.group.has_room());
        let (block, acts) = self.group.block(symbols, self.now);
        assert_eq!(block as usize, self.sizes.len());
        self.sizes.push(symbols);
        self.pending.extend(acts);
        self.note();
    }

    fn leave(&mut self, id: MemberId) {
        self.members.remove(&id);
        let acts = self.group.left(id, self.now);
        self.pending.extend(acts);
        self.note();
    }

    /// Takes note of who waits, and who goes on.
    fn note(&mut self) {
        for listener in self.members.values_mut().filter(|listener| listener.done.len() != listener.finished.0) {
            listener.finished = (listener.done.len(), self.now);
        }
        let waits = |listener: &Listener| listener.done.len() == self.sizes.len();
        let is_held_up = !self.group.has_room() && self.members.values().any(waits);
        self.held_up = is_held_up.then(|| self.held_up.unwrap_or(self.now));
    }

    /// Does what is due; nobody may be dismissed but who has held up others for long, or has stood still for very long.
    fn tick(&mut self) {
        let acts = self.group.tick(self.now);
        let Rules { patience, idle, .. } = self.group.rules;
        for act in &acts {
            let Act::Dismiss { member } = act else { continue };
            let (_, at) = self.members[member].finished;
            let holds_up = self.held_up.is_some_and(|since| since.max(at) + patience <= self.now);
            assert!(holds_up || at + idle <= self.now, "{member:?} is dismissed at {:?}", self.now);
        }
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
        self.note();
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
                self.tick();
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

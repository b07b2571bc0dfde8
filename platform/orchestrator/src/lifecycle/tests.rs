//! Endpoints that die, hang and are told other things at any moment come to where they should be, and no name is left alone
//! by a change.

use flame_tosca::template::State;
use proptest::prelude::*;

use super::*;

const TERMS: Terms =
    Terms { boot_ms: 1000, drain_ms: 2000, stop_ms: 500, retry_ms: 100, retry_max_ms: 1600, silent_ms: 300 };
const TICK_MS: u64 = 100;

/// What happens to an endpoint of the small world.
#[derive(Debug, Clone, Copy)]
enum Event {
    Dies(usize),
    /// Its next start never answers.
    Hangs(usize),
    /// What runs does not answer any more.
    Freezes(usize),
    /// It does not end when it is told.
    Clings(usize),
    /// Its next steps are not done.
    Fails(usize, u32),
    Opens(usize, u32),
    Desired(usize, State),
}

/// Endpoints and their processes.
struct World {
    endpoints: Vec<Endpoint>,
    hangs: Vec<bool>,
    clings: Vec<bool>,
    frozen: Vec<bool>,
    fails: Vec<u32>,
    now_ms: u64,
}

impl World {
    fn new(count: usize) -> Self {
        let endpoint = |at: usize| Endpoint {
            // Two names, each served by every other one.
            names: vec![format!("name{}", at % 2)],
            desired: State::Unplaced,
            stage: Stage::Unplaced,
            since_ms: 0,
            failures: 0,
            tried: None,
            is_alive: false,
            is_ready: false,
            open: 0,
            silent_ms: 0,
        };
        Self {
            endpoints: (0..count).map(endpoint).collect(),
            hangs: vec![false; count],
            clings: vec![false; count],
            frozen: vec![false; count],
            fails: vec![0; count],
            now_ms: 0,
        }
    }

    fn happens(&mut self, event: Event) {
        let count = self.endpoints.len();
        match event {
            Event::Dies(at) => self.endpoints[at % count].is_alive = false,
            Event::Hangs(at) => self.hangs[at % count] = true,
            Event::Freezes(at) => self.frozen[at % count] = self.endpoints[at % count].is_alive,
            Event::Clings(at) => self.clings[at % count] = true,
            Event::Fails(at, times) => self.fails[at % count] = times,
            Event::Opens(at, open) => self.endpoints[at % count].open = open,
            Event::Desired(at, state) => self.endpoints[at % count].desired = state,
        }
    }

    fn serves(&self, at: usize) -> bool {
        let endpoint = &self.endpoints[at];
        endpoint.stage == Stage::Connected && endpoint.is_alive
    }

    /// One look, and what it does; checks what must never be.
    fn tick(&mut self) {
        self.now_ms += TICK_MS;
        for at in 0..self.endpoints.len() {
            let endpoint = &mut self.endpoints[at];
            self.frozen[at] &= endpoint.is_alive;
            endpoint.is_ready = endpoint.is_alive && !(self.hangs[at] && endpoint.stage == Stage::Booting);
            endpoint.is_ready &= !self.frozen[at];
            endpoint.silent_ms = if self.frozen[at] { endpoint.silent_ms + TICK_MS } else { 0 };
        }
        let before: Vec<bool> = (0..self.endpoints.len()).map(|at| self.serves(at)).collect();
        for (at, action, reason) in reconcile(&self.endpoints, self.now_ms, TERMS) {
            assert!(!reason.is_empty());
            let failures = failures_after(&self.endpoints[at], action, self.now_ms, TERMS);
            let stage = self.endpoints[at].stage;
            if self.fails[at] > 0 {
                self.fails[at] -= 1;
                let endpoint = &mut self.endpoints[at];
                (endpoint.failures, endpoint.tried) = (endpoint.failures + 1, Some((action, self.now_ms)));
                continue;
            }
            self.endpoints[at].tried = None;
            match action {
                Action::Place => assert_eq!(stage, Stage::Unplaced),
                Action::Boot => {
                    assert!(stage == Stage::Placed && !self.endpoints[at].is_alive);
                    self.endpoints[at].is_alive = true;
                }
                Action::Rise => assert_eq!(stage, Stage::Booting),
                Action::Connect => {
                    assert!(matches!(stage, Stage::Booted | Stage::Draining) && self.endpoints[at].is_alive)
                }
                Action::Drain => assert_eq!(stage, Stage::Connected),
                Action::Rest => assert_eq!(stage, Stage::Draining),
                Action::Stop => {
                    assert_ne!(stage, Stage::Connected, "it is drained first");
                    if stage == Stage::Booting {
                        self.hangs[at] = false;
                    }
                    // Who is frozen does not hear it.
                    self.endpoints[at].is_alive = self.clings[at] || self.frozen[at];
                }
                Action::Kill => {
                    let silent_ms = self.endpoints[at].silent_ms;
                    assert!(stage == Stage::Stopping || silent_ms >= TERMS.silent_ms, "who answers is told first");
                    self.endpoints[at].is_alive = false;
                    self.clings[at] = false;
                }
                Action::Settle | Action::Bury => assert!(!self.endpoints[at].is_alive),
                Action::Unplace => assert!(stage == Stage::Placed && !self.endpoints[at].is_alive),
            }
            let endpoint = &mut self.endpoints[at];
            (endpoint.stage, endpoint.since_ms, endpoint.failures) = (action.leads_to(), self.now_ms, failures);
            if action == Action::Drain {
                // Whoever drains leaves others that serve, where anybody is to. (That one hangs is known later.)
                let names = self.endpoints[at].names.clone();
                let wanted = self.endpoints.iter().any(|one| one.desired == State::Connected && one.names == names);
                let served =
                    (0..self.endpoints.len()).any(|other| self.endpoints[other].names == names && self.serves(other));
                assert!(before[at] && (!wanted || served), "{names:?} is left alone");
            }
        }
        for at in 0..self.endpoints.len() {
            let endpoint = &mut self.endpoints[at];
            if endpoint.stage == Stage::Draining {
                endpoint.open = endpoint.open.saturating_sub(1);
            }
        }
    }

    fn is_settled(&self) -> bool {
        self.endpoints
            .iter()
            .all(|one| one.stage.as_str() == one.desired.as_str() && one.is_alive == (one.desired >= State::Booted))
    }
}

fn event() -> impl Strategy<Value = Event> {
    let state = prop_oneof![Just(State::Unplaced), Just(State::Placed), Just(State::Booted), Just(State::Connected)];
    prop_oneof![
        2 => (0usize..6).prop_map(Event::Dies),
        1 => (0usize..6).prop_map(Event::Hangs),
        1 => (0usize..6).prop_map(Event::Freezes),
        1 => (0usize..6).prop_map(Event::Clings),
        1 => (0usize..6, 0u32..4).prop_map(|(at, times)| Event::Fails(at, times)),
        2 => (0usize..6, 0u32..50).prop_map(|(at, open)| Event::Opens(at, open)),
        4 => (0usize..6, state).prop_map(|(at, state)| Event::Desired(at, state)),
    ]
}

proptest! {
    #[test]
    fn everything_comes_to_where_it_should_be(count in 1usize..6, events in prop::collection::vec((event(), 0u64..12), 0..40)) {
        let mut world = World::new(count);
        for (event, ticks) in events {
            world.happens(event);
            (0..ticks).for_each(|_| world.tick());
        }
        // Hanging starts, clinging ends, open requests, rests after failures: each has its bound.
        (0..200).for_each(|_| world.tick());
        prop_assert!(world.is_settled(), "{:?}", world.endpoints);
        prop_assert!(reconcile(&world.endpoints, world.now_ms, TERMS).is_empty(), "what is as it should be is left alone");
    }
}

#[test]
fn who_ends_by_itself_is_back_at_once_and_then_rests_longer_and_longer() {
    let mut world = World::new(1);
    world.endpoints[0].desired = State::Connected;
    (0..10).for_each(|_| world.tick());
    assert!(world.is_settled());
    let mut waits = Vec::new();
    for _ in 0..7 {
        world.happens(Event::Dies(0));
        let began = world.now_ms;
        while !world.is_settled() {
            world.tick();
        }
        waits.push(world.now_ms - began);
    }
    // Four looks: it is buried, started, up, connected. The rests are 0, 100, 200, 400, … and end at 1600.
    assert_eq!(waits, [400, 400, 500, 700, 1100, 1900, 1900]);
    (0..20).for_each(|_| world.tick());
    world.happens(Event::Dies(0));
    world.tick();
    assert_eq!(world.endpoints[0].failures, 1, "who has held has not failed in a row");
}

#[test]
fn a_step_that_fails_is_tried_again_after_longer_and_longer_rests_and_another_one_at_once() {
    let mut world = World::new(1);
    world.endpoints[0].desired = State::Connected;
    world.happens(Event::Fails(0, 5));
    let mut tried = Vec::new();
    while world.fails[0] > 0 {
        let before = world.fails[0];
        world.tick();
        if world.fails[0] < before {
            tried.push(world.now_ms);
        }
    }
    // The first failure costs no rest, as with what ends by itself.
    assert_eq!(tried, [100, 200, 300, 500, 900]);
    assert_eq!((world.endpoints[0].stage, world.endpoints[0].failures), (Stage::Unplaced, 5));
    (0..30).for_each(|_| world.tick());
    assert!(world.is_settled(), "{:?}", world.endpoints);
    world.happens(Event::Fails(0, 1));
    world.endpoints[0].desired = State::Booted;
    world.tick();
    assert_eq!(world.endpoints[0].tried, Some((Action::Drain, world.now_ms)));
    world.happens(Event::Dies(0));
    world.tick();
    assert_eq!(world.endpoints[0].stage, Stage::Placed, "what is buried waits for no drain");
}

#[test]
fn a_successor_serves_before_its_predecessor_goes() {
    let mut world = World::new(3);
    world.endpoints[0].desired = State::Connected;
    (0..10).for_each(|_| world.tick());
    // 2 takes the place of 0; 1 serves another name.
    world.endpoints[0].desired = State::Unplaced;
    world.endpoints[2].desired = State::Connected;
    world.hangs[2] = true;
    let mut looks = 0;
    while !world.serves(2) {
        world.tick();
        assert!(world.serves(0) || world.serves(2), "the name is left alone after {looks} looks");
        looks += 1;
        assert!(looks < 100);
    }
    (0..20).for_each(|_| world.tick());
    assert!(world.is_settled());
}

#[test]
fn who_hangs_is_ended_and_back_and_who_only_takes_its_time_is_left_alone() {
    let mut world = World::new(1);
    world.endpoints[0].desired = State::Connected;
    (0..10).for_each(|_| world.tick());
    assert!(world.is_settled());
    // Not for long enough.
    world.happens(Event::Freezes(0));
    (0..2).for_each(|_| world.tick());
    world.frozen[0] = false;
    (0..5).for_each(|_| world.tick());
    assert!(world.is_settled() && world.endpoints[0].failures == 0, "{:?}", world.endpoints);
    world.happens(Event::Freezes(0));
    let began_ms = world.now_ms;
    while world.endpoints[0].stage == Stage::Connected {
        world.tick();
    }
    assert_eq!((world.endpoints[0].stage, world.now_ms - began_ms), (Stage::Stopping, TERMS.silent_ms));
    while !world.is_settled() {
        world.tick();
    }
    // It is noted that it has ended, started at once, up, connected.
    assert_eq!((world.endpoints[0].failures, world.now_ms - began_ms), (1, TERMS.silent_ms + 400));
}

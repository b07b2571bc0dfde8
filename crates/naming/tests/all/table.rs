//! The routing table against a model that keeps everything in a list.

use std::collections::BTreeMap;
use std::time::Duration;

use flame_naming::health::{Demand, Health, Said};
use flame_naming::table::{MEMORY, NotTurned, REST_MAX, REST_MIN, Registered, WRITTEN_DOWN};
use flame_naming::{Destination, EndpointId, Lease, Lot, Moment, Name, NoChoice, Refused, State, Table, Terms};
use proptest::prelude::*;

const LIMIT: usize = 6;
const MEMORY_MS: u64 = MEMORY.as_secs() * 1000;

#[derive(Debug, Clone)]
enum Step {
    Register { name: u8, id: u8, port: u16, generation: u64, ttl_ms: u64, terms: Terms, state: State },
    Remove { name: u8, id: u8 },
    Turn { name: u8, id: u8, state: State },
    Wait { ms: u64 },
    Say { name: u8, id: u8, demand: Demand, status: u16, retry_after_s: Option<u64> },
    Choose { name: u8, demand: Demand, excluded: Vec<u8>, draw: u64 },
    Open { name: u8, excluded: Vec<u8>, draw: u64 },
}

/// Every lease by name and endpoint; ended ones stay in it.
#[derive(Default)]
struct Model {
    leases: BTreeMap<(u8, u8), Kept>,
    now_ms: u64,
    places: u64,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    port: u16,
    generation: u64,
    ends_ms: u64,
    terms: Terms,
    state: State,
    open: u32,
    /// Until when it has said that it has no room.
    full_until_ms: u64,
    /// Writes in a row that came to nothing, and until when it gets none.
    unwritten: u32,
    writes_rest_until_ms: u64,
    /// Where it stands among those behind its name: later ones come after it.
    place: u64,
}

pub(crate) fn name(at: u8) -> Name {
    format!("n{at}").parse().unwrap()
}

pub(crate) fn id(at: u8) -> EndpointId {
    format!("e{at}").parse().unwrap()
}

pub(crate) fn moment(ms: u64) -> Moment {
    Moment(Duration::from_millis(ms))
}

pub(crate) fn lease(port: u16, generation: u64, ttl_ms: u64) -> Lease {
    Lease::new(([127, 0, 0, 1], port).into(), generation, Duration::from_millis(ttl_ms))
}

pub(crate) fn table() -> Table {
    Table::new("here".parse().unwrap(), LIMIT)
}

fn terms() -> impl Strategy<Value = Terms> {
    (1..4_u16, proptest::option::of(1..3_u32))
        .prop_map(|(weight, capacity)| Terms::new(weight, capacity, false).unwrap())
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![1 => Just(State::Booted), 5 => Just(State::Connected), 1 => Just(State::Draining), 1 => Just(State::Killed)]
}

fn demand() -> impl Strategy<Value = Demand> {
    prop_oneof![Just(Demand::Read), Just(Demand::Write)]
}

fn status() -> impl Strategy<Value = u16> {
    prop::sample::select(vec![200, 204, 302, 404, 429, 500, 501, 502, 503, 505, 507])
}

fn step() -> impl Strategy<Value = Step> {
    let excluded = || proptest::collection::vec(0..4_u8, 0..3);
    prop_oneof![
        4 => (0..3_u8, 0..4_u8, 1..6_u16, 0..4_u64, prop_oneof![1..300_u64, 300..9000_u64], terms(), state()).prop_map(
            |(name, id, port, generation, ttl_ms, terms, state)| {
                Step::Register { name, id, port, generation, ttl_ms, terms, state }
            }
        ),
        1 => (0..3_u8, 0..4_u8).prop_map(|(name, id)| Step::Remove { name, id }),
        2 => (0..3_u8, 0..4_u8, state()).prop_map(|(name, id, state)| Step::Turn { name, id, state }),
        2 => prop_oneof![4 => 0..200_u64, 1 => 200..2000_u64].prop_map(|ms| Step::Wait { ms }),
        4 => (0..3_u8, 0..4_u8, demand(), status(), proptest::option::of(0..3_u64)).prop_map(
            |(name, id, demand, status, retry_after_s)| Step::Say { name, id, demand, status, retry_after_s }
        ),
        4 => (0..3_u8, demand(), excluded(), any::<u64>())
            .prop_map(|(name, demand, excluded, draw)| Step::Choose { name, demand, excluded, draw }),
        3 => (0..3_u8, excluded(), any::<u64>()).prop_map(|(name, excluded, draw)| Step::Open { name, excluded, draw }),
    ]
}

// === impl Model ===

impl Model {
    fn live(&self) -> impl Iterator<Item = (u8, u8, Kept)> {
        let live = self.leases.iter().filter(|(_, kept)| kept.ends_ms > self.now_ms);
        live.map(|(&(name, id), &kept)| (name, id, kept))
    }

    fn get(&self, name: u8, id: u8) -> Option<Kept> {
        self.live().find(|held| (held.0, held.1) == (name, id)).map(|held| held.2)
    }

    fn register(&mut self, (name, id): (u8, u8), new: Kept) -> Result<Registered, Refused> {
        let Kept { port, generation, .. } = new;
        let held = self.get(name, id);
        let same = held.filter(|held| (held.port, held.generation) == (port, generation));
        match held {
            Some(held) if held.generation > generation => return Err(Refused::Older { held: held.generation }),
            Some(held) if held.generation == generation && held.state == State::Killed => {
                let kept = match (generation == WRITTEN_DOWN, held.port == port) {
                    (true, false) => Kept { state: State::Killed, place: held.place, ..new },
                    (true, true) => Kept { terms: new.terms, ..held },
                    (false, _) => held,
                };
                self.leases.insert((name, id), Kept { ends_ms: self.now_ms + MEMORY_MS, ..kept });
                return Err(Refused::Killed);
            }
            Some(_) => {}
            None => {
                let is_before = |kept: Kept| kept.port == port && kept.generation < generation;
                let replaces = self.live().any(|held| held.0 == name && is_before(held.2));
                if self.live().count() >= LIMIT && !replaces {
                    return Err(Refused::Full { limit: LIMIT });
                }
            }
        }
        self.leases.retain(|key, kept| {
            *key == (name, id) || key.0 != name || kept.port != port || kept.generation >= generation
        });
        self.places += 1;
        let place = held.map_or(self.places, |held| held.place);
        let new = Kept { place, ..new };
        let kept = same.map_or(new, |same| Kept { ends_ms: new.ends_ms, terms: new.terms, ..same });
        self.leases.insert((name, id), kept);
        Ok(match same {
            None => Registered::New,
            Some(same) if same.terms == new.terms => Registered::Renewed,
            Some(_) => Registered::Changed,
        })
    }

    fn turn(&mut self, name: u8, id: u8, state: State) -> Result<(), NotTurned> {
        let now_ms = self.now_ms;
        let kept = self.leases.get_mut(&(name, id)).filter(|kept| kept.ends_ms > now_ms).ok_or(NotTurned::Absent)?;
        let is_back = kept.generation == WRITTEN_DOWN && state == State::Connected;
        match (kept.state, state) {
            (State::Killed, State::Killed) => return Ok(()),
            (State::Killed, _) if !is_back => return Err(NotTurned::Killed),
            (_, State::Killed) => kept.ends_ms = now_ms + MEMORY_MS,
            (_, State::Connected) => (kept.full_until_ms, kept.unwritten, kept.writes_rest_until_ms) = (0, 0, 0),
            _ => {}
        }
        kept.state = state;
        Ok(())
    }

    /// Somebody's answer: the rules of `Said`, in the words of the decision page.
    fn say(&mut self, at: (u8, u8), demand: Demand, status: u16, retry_after_s: Option<u64>) {
        let now_ms = self.now_ms;
        let kept = self.leases.get_mut(&at).unwrap();
        let is_write = demand == Demand::Write;
        match (status, retry_after_s) {
            (503, Some(after_s)) if !is_write => {
                kept.full_until_ms = kept.full_until_ms.max(now_ms + after_s.clamp(1, 30) * 1000);
            }
            (200..=399, _) if is_write => (kept.unwritten, kept.writes_rest_until_ms) = (0, 0),
            (500 | 502 | 503 | 507, _) if is_write && kept.writes_rest_until_ms <= now_ms => {
                kept.unwritten = if status >= 503 { (kept.unwritten + 1).max(3) } else { kept.unwritten + 1 };
                if kept.unwritten >= 3 {
                    kept.writes_rest_until_ms = now_ms + (100 << (kept.unwritten - 3).min(20)).min(30_000);
                }
            }
            _ => {}
        }
    }

    /// Every endpoint has as many tickets as its weight; two of different ones are drawn, and the one with less open
    /// requests for its weight is chosen. Those that are not willing take part only where nobody is.
    fn choose(&self, name: u8, demand: Demand, excluded: &[u8], draw: u64) -> Result<u8, NoChoice> {
        let mut behind: Vec<_> = self.live().filter(|held| held.0 == name).collect();
        behind.sort_by_key(|held| held.2.place);
        let serving: Vec<_> = behind.iter().filter(|held| held.2.state == State::Connected).collect();
        if serving.is_empty() {
            let known = self.leases.keys().any(|key| key.0 == name);
            return Err(match (behind.is_empty(), known) {
                (false, _) => NoChoice::Unconnected,
                (true, true) => NoChoice::Away,
                (true, false) => NoChoice::Unknown,
            });
        }
        let open: Vec<_> = serving.iter().filter(|held| !excluded.contains(&held.1)).collect();
        let with_room = open.iter().filter(|held| held.2.terms.capacity.is_none_or(|most| held.2.open < most));
        let is_willing = |kept: Kept| {
            let writes = demand == Demand::Read || kept.writes_rest_until_ms <= self.now_ms;
            writes && kept.full_until_ms <= self.now_ms
        };
        let anybody_is = with_room.clone().any(|held| is_willing(held.2));
        let with_room = with_room.filter(|held| is_willing(held.2) == anybody_is);
        let tickets: Vec<(u8, Kept)> =
            with_room.flat_map(|held| vec![(held.1, held.2); usize::from(held.2.terms.weight)]).collect();
        if tickets.is_empty() {
            return Err(if open.is_empty() { NoChoice::Tried } else { NoChoice::Full });
        }
        let of = |tickets: &[(u8, Kept)], draw: u64| tickets[usize::try_from(draw % tickets.len() as u64).unwrap()];
        let first = of(&tickets, draw & u64::from(u32::MAX));
        let rest: Vec<_> = tickets.into_iter().filter(|ticket| ticket.0 != first.0).collect();
        let second = if rest.is_empty() { first } else { of(&rest, draw >> 32) };
        // (open + 1) / weight, without fractions.
        let cost = |one: Kept, other: Kept| (one.open + 1) * u32::from(other.terms.weight);
        Ok(if cost(second.1, first.1) < cost(first.1, second.1) { second.0 } else { first.0 })
    }
}

proptest! {
    #[test]
    fn the_table_is_what_the_model_is(steps in proptest::collection::vec(step(), 1..80)) {
        let (mut table, mut model) = (table(), Model::default());
        for step in steps {
            let now = moment(model.now_ms);
            match step {
                Step::Wait { ms } => model.now_ms += ms,
                Step::Register { name: at, id: of, port, generation, ttl_ms, terms, state } => {
                    let lease = Lease { terms, state, ..lease(port, generation, ttl_ms) };
                    let (full_until_ms, unwritten, writes_rest_until_ms, open, place) = (0, 0, 0, 0, 0);
                    let new = Kept {
                        port, generation, ends_ms: model.now_ms + ttl_ms, terms, state, open, full_until_ms, unwritten, writes_rest_until_ms, place,
                    };
                    prop_assert_eq!(table.register(&name(at), &id(of), lease, now), model.register((at, of), new));
                }
                Step::Remove { name: at, id: of } => {
                    let was = model.get(at, of);
                    prop_assert_eq!(table.remove(&name(at), &id(of), now), was.is_some());
                    if let Some(kept) = was {
                        model.leases.insert((at, of), Kept { ends_ms: model.now_ms, ..kept });
                    }
                }
                Step::Turn { name: at, id: of, state } => {
                    prop_assert_eq!(table.turn(&name(at), &id(of), state, now), model.turn(at, of, state));
                }
                Step::Say { name: at, id: of, demand, status, retry_after_s } => {
                    let choice = table.behind(&name(at), now).find(|held| *held.endpoint == id(of)).map(|held| held.choice());
                    if let Some(choice) = choice {
                        let said = Said::of(demand, status, retry_after_s.map(Duration::from_secs));
                        table.note(&name(at), &choice, |health| health.said(said, now, now));
                        model.say((at, of), demand, status, retry_after_s);
                    }
                }
                Step::Choose { name: at, demand, excluded, draw } => {
                    let ids: Vec<_> = excluded.iter().map(|of| id(*of)).collect();
                    let chosen = table.choose_for(demand, &name(at).into(), now, &ids, Lot::Drawn(draw));
                    let (chosen, wanted) = (chosen.map(|(_, choice)| choice), model.choose(at, demand, &excluded, draw));
                    prop_assert_eq!(chosen.clone().map(|choice| choice.endpoint), wanted.map(id));
                    if let (Ok(choice), Ok(of)) = (chosen, wanted) {
                        let kept = model.get(at, of).unwrap();
                        prop_assert_eq!((choice.address.port(), choice.generation), (kept.port, kept.generation));
                    }
                }
                Step::Open { name: at, excluded, draw } => {
                    let ids: Vec<_> = excluded.iter().map(|of| id(*of)).collect();
                    if let Ok(choice) = table.choose(&name(at).into(), now, &ids, Lot::Drawn(draw)) {
                        table.note(&name(at), &choice, Health::opened);
                        let of = model.choose(at, Demand::Read, &excluded, draw).unwrap();
                        model.leases.get_mut(&(at, of)).unwrap().open += 1;
                    }
                }
            }
            let now = moment(model.now_ms);
            let mut held: Vec<_> = table
                .held(now)
                .map(|held| {
                    let place = (held.address.port(), held.generation, held.expires_in);
                    let terms = (held.terms.weight, held.terms.capacity);
                    (held.name.clone(), held.endpoint.clone(), place, terms, held.state, held.health.open())
                })
                .collect();
            held.sort();
            let expected: Vec<_> = model
                .live()
                .map(|(at, of, kept)| {
                    let left = Duration::from_millis(kept.ends_ms - model.now_ms);
                    let place = (kept.port, kept.generation, left);
                    (name(at), id(of), place, (kept.terms.weight, kept.terms.capacity), kept.state, kept.open)
                })
                .collect();
            prop_assert_eq!(&held, &expected);
            prop_assert!(held.len() <= LIMIT);
        }
    }

    /// Requests that stay open are shared out by weight: nobody is more than one request away from its share.
    #[test]
    fn open_requests_are_as_the_weights(weights in (1..20_u16, 1..20_u16), requests in 1..200_u32) {
        let mut table = table();
        let of_weight = |weight| Lease { terms: Terms::new(weight, None, false).unwrap(), ..lease(weight, 1, 1000) };
        table.register(&name(0), &id(0), of_weight(weights.0), moment(0)).unwrap();
        table.register(&name(0), &id(1), Lease { address: ([127, 0, 0, 2], 1).into(), ..of_weight(weights.1) }, moment(0)).unwrap();
        let mut open = [0_u32; 2];
        for draw in 0..u64::from(requests) {
            let choice = table.choose(&name(0).into(), moment(0), &[], Lot::Drawn(draw)).unwrap();
            table.note(&name(0), &choice, Health::opened);
            open[usize::from(choice.endpoint == id(1))] += 1;
        }
        let share = f64::from(requests) * f64::from(weights.0) / f64::from(weights.0 + weights.1);
        prop_assert!((f64::from(open[0]) - share).abs() <= 1.0, "{:?} of weights {:?}", open, weights);
    }

    /// One that leaves moves only what it had; nobody else's key moves.
    #[test]
    fn a_key_moves_only_with_its_endpoint(
        weights in proptest::collection::vec(1..4_u16, 2..6), gone in any::<prop::sample::Index>(), keys in 1..100_u32,
    ) {
        let mut table = table();
        for (of, weight) in (0_u8..).zip(&weights) {
            let terms = Terms::new(*weight, None, false).unwrap();
            table.register(&name(0), &id(of), Lease { terms, ..lease(u16::from(of) + 1, 1, 1000) }, moment(0)).unwrap();
        }
        let gone = id(u8::try_from(gone.index(weights.len())).unwrap());
        let chosen = |table: &Table, key: u32| {
            table.choose(&name(0).into(), moment(0), &[], Lot::Key(&key.to_be_bytes())).unwrap().endpoint
        };
        let before: Vec<_> = (0..keys).map(|key| chosen(&table, key)).collect();
        table.turn(&name(0), &gone, State::Draining, moment(0)).unwrap();
        for (key, before) in (0..keys).zip(before) {
            let after = chosen(&table, key);
            prop_assert_eq!(after == before, before != gone, "{} after {}", after, before);
        }
    }

    /// With two open draws the busier endpoint of the two never gets the request.
    #[test]
    fn of_two_the_less_busy_one(busy in 1..50_u32, draw in any::<u64>()) {
        let mut table = table();
        for of in 0..2 {
            table.register(&name(0), &id(of), lease(u16::from(of) + 1, 1, 1000), moment(0)).unwrap();
        }
        let to: Destination = name(0).into();
        let first = table.choose(&to, moment(0), &[id(1)], Lot::Drawn(0)).unwrap();
        for _ in 0..busy {
            table.note(&name(0), &first, Health::opened);
        }
        prop_assert_eq!(table.choose(&to, moment(0), &[], Lot::Drawn(draw)).unwrap().endpoint, id(1));
        for _ in 0..busy {
            table.note(&name(0), &first, Health::closed);
        }
        let second = table.choose(&to, moment(0), &[id(0)], Lot::Drawn(0)).unwrap();
        table.note(&name(0), &second, Health::opened);
        prop_assert_eq!(table.choose(&to, moment(0), &[], Lot::Drawn(draw)).unwrap().endpoint, id(0));
    }
}

#[test]
fn an_endpoint_that_fails_rests_longer_each_time_until_it_answers() {
    let mut table = table();
    let to: Destination = name(0).into();
    for of in 0..2 {
        table.register(&name(0), &id(of), lease(u16::from(of) + 1, 1, 60_000), moment(0)).unwrap();
    }
    let bad = table.choose(&to, moment(0), &[id(1)], Lot::Drawn(0)).unwrap();
    let rests = |table: &Table, at: Moment| {
        (0..32).all(|draw| table.choose(&to, at, &[], Lot::Drawn(draw | draw << 32)).unwrap().endpoint == id(1))
    };
    assert!(!rests(&table, moment(0)));
    let (mut now, mut rest) = (moment(0), REST_MIN);
    for _ in 0..8 {
        table.note(&name(0), &bad, |health| health.failed(now, now));
        // Those that failed with it do not count again.
        table.note(&name(0), &bad, |health| health.failed(now, now));
        assert!(rests(&table, now + (rest - Duration::from_millis(1))));
        now = now + rest;
        assert!(!rests(&table, now), "{rest:?}");
        rest = (rest * 2).min(REST_MAX);
    }
    table.note(&name(0), &bad, |health| health.failed(now, now));
    table.note(&name(0), &bad, Health::revive);
    assert!(!rests(&table, now));
    // Where all rest, the one whose rest ends first is asked.
    table.note(&name(0), &bad, |health| health.failed(now, now));
    let other = table.choose(&to, now, &[id(0)], Lot::Drawn(0)).unwrap();
    table
        .note(&name(0), &other, |health| health.failed(now + Duration::from_millis(1), now + Duration::from_millis(1)));
    assert_eq!(table.choose(&to, now + Duration::from_millis(2), &[], Lot::Drawn(3)).unwrap().endpoint, id(0));
    // A restart begins without a past, and what its predecessor still reports does not count.
    table.register(&name(0), &id(0), lease(1, 2, 60_000), now).unwrap();
    table.note(&name(0), &bad, |health| health.failed(now, now));
    assert!(!rests(&table, now + Duration::from_millis(2)));
}

#[test]
fn a_name_is_away_for_a_while_and_then_unknown() {
    let mut table = table();
    let to: Destination = name(0).into();
    assert_eq!(table.choose(&to, moment(0), &[], Lot::Drawn(0)), Err(NoChoice::Unknown));
    table.register(&name(0), &id(0), lease(1, 1, 100), moment(0)).unwrap();
    assert!(table.choose(&to, moment(99), &[], Lot::Drawn(0)).is_ok());
    assert_eq!(table.choose(&to, moment(100), &[], Lot::Drawn(0)), Err(NoChoice::Away));
    assert_eq!(table.choose(&to, moment(99) + MEMORY, &[], Lot::Drawn(0)), Err(NoChoice::Away));
    assert_eq!(table.choose(&to, moment(100) + MEMORY, &[], Lot::Drawn(0)), Err(NoChoice::Unknown));
}

#[test]
fn names_that_come_and_go_do_not_fill_the_memory() {
    let mut table = table();
    for at in 0..200 {
        table.register(&name(at), &id(0), lease(1, 1, 1000), moment(u64::from(at))).unwrap();
        assert!(table.remove(&name(at), &id(0), moment(u64::from(at))));
    }
    let now = moment(200);
    let remembered =
        (0..200).filter(|at| table.choose(&name(*at).into(), now, &[], Lot::Drawn(0)) == Err(NoChoice::Away)).count();
    assert_eq!(remembered, LIMIT);
}

#[test]
fn a_pin_is_kept() {
    let mut table = table();
    table.register(&name(0), &id(0), lease(1, 1, 1000), moment(0)).unwrap();
    assert!(table.choose(&"here--n0".parse().unwrap(), moment(0), &[], Lot::Drawn(0)).is_ok());
    assert_eq!(table.choose(&"there--n0".parse().unwrap(), moment(0), &[], Lot::Drawn(0)), Err(NoChoice::Unknown));
}

#[test]
fn an_owner_s_word_is_taken_whole() {
    let mut table = table();
    let with = |generation, state| Lease { state, ..lease(1, generation, 1000) };
    let state = |table: &Table| table.held(moment(0)).map(|held| (held.generation, held.state)).next();
    for (generation, wanted) in [(5, State::Booted), (5, State::Killed), (5, State::Connected), (3, State::Draining)] {
        table.mirror(&name(0), &id(0), with(generation, wanted), moment(0)).unwrap();
        assert_eq!(state(&table), Some((generation, wanted)));
    }
}

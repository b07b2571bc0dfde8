//! The routing table against a model that keeps everything in a list.

use std::collections::BTreeMap;
use std::time::Duration;

use flame_naming::health::Health;
use flame_naming::table::{MEMORY, REST_MAX, REST_MIN};
use flame_naming::{Destination, EndpointId, Lease, Moment, Name, NoChoice, Refused, Table};
use proptest::prelude::*;

const LIMIT: usize = 6;

#[derive(Debug, Clone)]
enum Step {
    Register { name: u8, id: u8, port: u16, generation: u64, ttl_ms: u64 },
    Remove { name: u8, id: u8 },
    Wait { ms: u64 },
    Choose { name: u8, excluded: Vec<u8>, draw: u64 },
}

/// Address, generation and end of each lease; ended ones stay in it.
#[derive(Default)]
struct Model {
    leases: BTreeMap<(u8, u8), (u16, u64, u64)>,
    now_ms: u64,
}

fn name(at: u8) -> Name {
    format!("n{at}").parse().unwrap()
}

fn id(at: u8) -> EndpointId {
    format!("e{at}").parse().unwrap()
}

fn moment(ms: u64) -> Moment {
    Moment(Duration::from_millis(ms))
}

fn lease(port: u16, generation: u64, ttl_ms: u64) -> Lease {
    Lease { address: ([127, 0, 0, 1], port).into(), generation, ttl: Duration::from_millis(ttl_ms) }
}

fn table() -> Table {
    Table::new("here".parse().unwrap(), LIMIT)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8, 0..4_u8, 1..6_u16, 0..4_u64, 1..300_u64)
            .prop_map(|(name, id, port, generation, ttl_ms)| Step::Register { name, id, port, generation, ttl_ms }),
        1 => (0..3_u8, 0..4_u8).prop_map(|(name, id)| Step::Remove { name, id }),
        2 => (0..200_u64).prop_map(|ms| Step::Wait { ms }),
        4 => (0..3_u8, proptest::collection::vec(0..4_u8, 0..3), any::<u64>())
            .prop_map(|(name, excluded, draw)| Step::Choose { name, excluded, draw }),
    ]
}

// === impl Model ===

impl Model {
    fn live(&self) -> impl Iterator<Item = (u8, u8, u16, u64, u64)> {
        let leases = self.leases.iter().filter(|(_, (_, _, ends))| *ends > self.now_ms);
        leases.map(|(&(name, id), &(port, generation, ends))| (name, id, port, generation, ends))
    }

    fn register(&mut self, name: u8, id: u8, port: u16, generation: u64, ttl_ms: u64) -> Result<bool, Refused> {
        let held = self.live().find(|held| (held.0, held.1) == (name, id));
        match held {
            Some((_, _, _, held, _)) if held > generation => return Err(Refused::Older { held }),
            Some(_) => {}
            None => {
                let replaces = self.live().any(|held| held.0 == name && held.2 == port && held.3 < generation);
                if self.live().count() >= LIMIT && !replaces {
                    return Err(Refused::Full { limit: LIMIT });
                }
            }
        }
        self.leases.retain(|key, held| *key == (name, id) || key.0 != name || held.0 != port || held.1 >= generation);
        self.leases.insert((name, id), (port, generation, self.now_ms + ttl_ms));
        Ok(held.is_none_or(|(_, _, old_port, old_generation, _)| (old_port, old_generation) != (port, generation)))
    }
}

proptest! {
    #[test]
    fn the_table_is_what_the_model_is(steps in proptest::collection::vec(step(), 1..60)) {
        let (mut table, mut model) = (table(), Model::default());
        for step in steps {
            let now = moment(model.now_ms);
            match step {
                Step::Wait { ms } => model.now_ms += ms,
                Step::Register { name: at, id: of, port, generation, ttl_ms } => {
                    let done = table.register(&name(at), &id(of), lease(port, generation, ttl_ms), now);
                    prop_assert_eq!(done, model.register(at, of, port, generation, ttl_ms));
                }
                Step::Remove { name: at, id: of } => {
                    let was = model.live().any(|held| (held.0, held.1) == (at, of));
                    prop_assert_eq!(table.remove(&name(at), &id(of), now), was);
                    if was {
                        model.leases.insert((at, of), (0, 0, model.now_ms));
                    }
                }
                Step::Choose { name: at, excluded, draw } => {
                    let ids: Vec<_> = excluded.iter().map(|of| id(*of)).collect();
                    let chosen = table.choose(&name(at).into(), now, &ids, draw);
                    prop_assert_eq!(&chosen, &table.choose(&name(at).into(), now, &ids, draw), "not deterministic");
                    let open: Vec<_> = model.live().filter(|held| held.0 == at && !excluded.contains(&held.1)).collect();
                    match chosen {
                        Ok(choice) => {
                            let is_open = open.iter().any(|held| {
                                choice.endpoint == id(held.1) && choice.address.port() == held.2 && choice.generation == held.3
                            });
                            prop_assert!(is_open, "chosen: {choice:?}, open: {open:?}");
                        }
                        Err(NoChoice::Tried) => prop_assert!(open.is_empty() && model.live().any(|held| held.0 == at)),
                        Err(NoChoice::Away) => {
                            prop_assert!(!model.live().any(|held| held.0 == at));
                            prop_assert!(model.leases.keys().any(|key| key.0 == at));
                        }
                        Err(NoChoice::Unknown) => prop_assert!(!model.leases.keys().any(|key| key.0 == at)),
                    }
                }
            }
            let now = moment(model.now_ms);
            let held: Vec<_> = table
                .held(now)
                .map(|held| (held.name.clone(), held.endpoint.clone(), held.address.port(), held.generation, held.expires_in))
                .collect();
            let mut sorted = held.clone();
            sorted.sort();
            let expected: Vec<_> = model
                .live()
                .map(|(at, of, port, generation, ends)| (name(at), id(of), port, generation, Duration::from_millis(ends - model.now_ms)))
                .collect();
            prop_assert_eq!(sorted, expected);
            prop_assert!(held.len() <= LIMIT);
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
        let first = table.choose(&to, moment(0), &[id(1)], 0).unwrap();
        for _ in 0..busy {
            table.note(&name(0), &first, Health::opened);
        }
        prop_assert_eq!(table.choose(&to, moment(0), &[], draw).unwrap().endpoint, id(1));
        for _ in 0..busy {
            table.note(&name(0), &first, Health::closed);
        }
        let second = table.choose(&to, moment(0), &[id(0)], 0).unwrap();
        table.note(&name(0), &second, Health::opened);
        prop_assert_eq!(table.choose(&to, moment(0), &[], draw).unwrap().endpoint, id(0));
    }
}

#[test]
fn draws_are_spread_over_all() {
    let mut table = table();
    for of in 0..5 {
        table.register(&name(0), &id(of), lease(u16::from(of) + 1, 1, 1000), moment(0)).unwrap();
    }
    let mut counts = BTreeMap::new();
    // A generator of its own, so that the test is the same each time (SplitMix64).
    let mut state = 7_u64;
    for _ in 0..5000 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut draw = state;
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let choice = table.choose(&name(0).into(), moment(0), &[], draw ^ (draw >> 31)).unwrap();
        *counts.entry(choice.endpoint).or_insert(0) += 1;
    }
    assert!(counts.len() == 5 && counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
}

#[test]
fn an_endpoint_that_fails_rests_longer_each_time_until_it_answers() {
    let mut table = table();
    let to: Destination = name(0).into();
    for of in 0..2 {
        table.register(&name(0), &id(of), lease(u16::from(of) + 1, 1, 60_000), moment(0)).unwrap();
    }
    let bad = table.choose(&to, moment(0), &[id(1)], 0).unwrap();
    let rests = |table: &Table, at: Moment| {
        (0..32).all(|draw| table.choose(&to, at, &[], draw | draw << 32).unwrap().endpoint == id(1))
    };
    assert!(!rests(&table, moment(0)));
    let (mut now, mut rest) = (moment(0), REST_MIN);
    for _ in 0..8 {
        table.note(&name(0), &bad, |health| health.failed(now));
        // Those that failed with it do not count again.
        table.note(&name(0), &bad, |health| health.failed(now));
        assert!(rests(&table, now + (rest - Duration::from_millis(1))));
        now = now + rest;
        assert!(!rests(&table, now), "{rest:?}");
        rest = (rest * 2).min(REST_MAX);
    }
    table.note(&name(0), &bad, |health| health.failed(now));
    table.note(&name(0), &bad, Health::revive);
    assert!(!rests(&table, now));
    // Where all rest, the one whose rest ends first is asked.
    table.note(&name(0), &bad, |health| health.failed(now));
    let other = table.choose(&to, now, &[id(0)], 0).unwrap();
    table.note(&name(0), &other, |health| health.failed(now + Duration::from_millis(1)));
    assert_eq!(table.choose(&to, now + Duration::from_millis(2), &[], 3).unwrap().endpoint, id(0));
    // A restart begins without a past, and what its predecessor still reports does not count.
    table.register(&name(0), &id(0), lease(1, 2, 60_000), now).unwrap();
    table.note(&name(0), &bad, |health| health.failed(now));
    assert!(!rests(&table, now + Duration::from_millis(2)));
}

#[test]
fn a_name_is_away_for_a_while_and_then_unknown() {
    let mut table = table();
    let to: Destination = name(0).into();
    assert_eq!(table.choose(&to, moment(0), &[], 0), Err(NoChoice::Unknown));
    table.register(&name(0), &id(0), lease(1, 1, 100), moment(0)).unwrap();
    assert!(table.choose(&to, moment(99), &[], 0).is_ok());
    assert_eq!(table.choose(&to, moment(100), &[], 0), Err(NoChoice::Away));
    assert_eq!(table.choose(&to, moment(99) + MEMORY, &[], 0), Err(NoChoice::Away));
    assert_eq!(table.choose(&to, moment(100) + MEMORY, &[], 0), Err(NoChoice::Unknown));
}

#[test]
fn names_that_come_and_go_do_not_fill_the_memory() {
    let mut table = table();
    for at in 0..200 {
        table.register(&name(at), &id(0), lease(1, 1, 1000), moment(u64::from(at))).unwrap();
        assert!(table.remove(&name(at), &id(0), moment(u64::from(at))));
    }
    let now = moment(200);
    let remembered = (0..200).filter(|at| table.choose(&name(*at).into(), now, &[], 0) == Err(NoChoice::Away)).count();
    assert_eq!(remembered, LIMIT);
}

#[test]
fn a_pin_is_kept() {
    let mut table = table();
    table.register(&name(0), &id(0), lease(1, 1, 1000), moment(0)).unwrap();
    assert!(table.choose(&"here--n0".parse().unwrap(), moment(0), &[], 0).is_ok());
    assert_eq!(table.choose(&"there--n0".parse().unwrap(), moment(0), &[], 0), Err(NoChoice::Unknown));
}

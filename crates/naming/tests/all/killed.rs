//! An endpoint that was killed: out for as long as this start of it asks, and to be had back where it has no start.

use std::time::Duration;

use flame_naming::peers::{Changes, Key};
use flame_naming::site::{Atlas, Sites};
use flame_naming::table::{MEMORY, NotTurned, Registered, WRITTEN_DOWN};
use flame_naming::{EndpointId, Label, Lease, Lot, Moment, Name, NoChoice, Refused, State, Table, Terms};

fn lease(port: u16, generation: u64, ttl: Duration) -> Lease {
    Lease::new(([127, 0, 0, 1], port).into(), generation, ttl)
}

fn sites() -> Sites {
    "version = 1\n[[sites]]\nname = \"here\"\n".parse().unwrap()
}

#[test]
fn one_that_was_killed_stays_out_for_as_long_as_it_asks() {
    let (name, id): (Name, _) = ("a".parse().unwrap(), "e".parse().unwrap());
    let (mut table, mut now) = (Table::new("here".parse().unwrap(), 6), Moment::default());
    let lease = |generation| lease(1, generation, Duration::from_secs(1));
    table.register(&name, &id, lease(1), now).unwrap();
    table.turn(&name, &id, State::Killed, now).unwrap();
    for _ in 0..10 {
        // The process renews all the time; ten minutes and more go by.
        now = now + MEMORY.mul_f64(0.4);
        assert_eq!(table.register(&name, &id, lease(1), now), Err(Refused::Killed));
        assert_eq!(table.turn(&name, &id, State::Connected, now), Err(NotTurned::Killed));
    }
    assert_eq!(table.register(&name, &id, lease(2), now), Ok(Registered::New), "a later start of it");
    table.turn(&name, &id, State::Killed, now).unwrap();
    assert_eq!(table.held(now + MEMORY).count(), 0, "it does not ask any more");
}

#[test]
fn what_is_written_down_can_be_had_back() {
    let (name, id): (Name, _) = ("a".parse().unwrap(), "e".parse().unwrap());
    let (mut table, now) = (Table::new("here".parse().unwrap(), 6), Moment::default());
    let year = Duration::from_secs(365 * 24 * 3600);
    table.register(&name, &id, lease(1, WRITTEN_DOWN, year), now).unwrap();
    table.turn(&name, &id, State::Killed, now).unwrap();
    // It has no start, and its place in the list no end.
    let later = now + MEMORY + MEMORY;
    let choose = |table: &Table, now| table.choose(&name.clone().into(), now, &[], Lot::Drawn(0));
    assert_eq!(choose(&table, later), Err(NoChoice::Unconnected));
    table.turn(&name, &id, State::Connected, later).unwrap();
    assert_eq!(choose(&table, later + MEMORY).unwrap().endpoint, id);
}

#[test]
fn what_is_written_down_is_had_back_where_it_is_now() {
    let (name, id): (Name, _) = ("a".parse().unwrap(), "e".parse().unwrap());
    let (mut table, now) = (Table::new("here".parse().unwrap(), 6), Moment::default());
    let year = Duration::from_secs(365 * 24 * 3600);
    table.register(&name, &id, lease(1, WRITTEN_DOWN, year), now).unwrap();
    table.turn(&name, &id, State::Killed, now).unwrap();
    // The file is read again, with another address.
    assert_eq!(table.register(&name, &id, lease(2, WRITTEN_DOWN, year), now), Err(Refused::Killed));
    let choose = |table: &Table| table.choose(&name.clone().into(), now, &[], Lot::Drawn(0));
    assert_eq!(choose(&table), Err(NoChoice::Unconnected));
    table.turn(&name, &id, State::Connected, now).unwrap();
    assert_eq!(choose(&table).unwrap().address, lease(2, WRITTEN_DOWN, year).address);
}

#[test]
fn what_is_written_down_anew_stays_as_it_was_told_and_takes_the_new_terms() {
    let (here, name): (Label, Name) = ("here".parse().unwrap(), "a".parse().unwrap());
    let id: EndpointId = "e".parse().unwrap();
    let key = || Key { name: name.clone(), endpoint: id.clone() };
    let now = Moment::default();
    let of = |(port, weight)| {
        let terms = Terms { tls: true, ..Terms::new(weight, None, true).unwrap() };
        Lease { terms, ..lease(port, WRITTEN_DOWN, Duration::ZERO) }
    };
    for state in [State::Booted, State::Connected, State::Draining, State::Killed] {
        let mut atlas = Atlas::new(here.clone(), &sites(), 6);
        let write = |atlas: &mut Atlas, line| atlas.write_down(&here, Changes::from([(key(), line)]), of, now);
        let held = |atlas: &Atlas| {
            let held = atlas.home().held(now + MEMORY + MEMORY).next();
            held.map(|held| (held.address.port(), held.terms.weight, held.terms.tls && held.terms.http2, held.state))
        };
        write(&mut atlas, Some((1, 1))).unwrap();
        atlas.home_mut().turn(&name, &id, state, now).unwrap();
        for (port, weight) in [(1, 2), (1, 3), (2, 4), (2, 5)] {
            write(&mut atlas, Some((port, weight))).unwrap();
            assert_eq!(held(&atlas), Some((port, weight, true, state)));
        }
        atlas.home_mut().turn(&name, &id, State::Connected, now).unwrap();
        assert_eq!(held(&atlas), Some((2, 5, true, State::Connected)));
        // Who registers itself goes before what is written down of it, also when that is taken out.
        atlas.home_mut().register(&name, &id, lease(3, 1, MEMORY * 3), now).unwrap();
        for line in [Some((2, 6)), None] {
            write(&mut atlas, line).unwrap();
            assert_eq!(held(&atlas), Some((3, 1, false, State::Connected)));
        }
        atlas.home_mut().remove(&name, &id, now);
        write(&mut atlas, Some((2, 6))).unwrap();
        write(&mut atlas, None).unwrap();
        assert_eq!(held(&atlas), None);
    }
}

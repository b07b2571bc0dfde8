//! An endpoint that was killed: out for as long as this start of it asks, and to be had back where it has no start.

use std::time::Duration;

use flame_naming::table::{MEMORY, NotTurned, Registered, WRITTEN_DOWN};
use flame_naming::{Lease, Lot, Moment, Name, NoChoice, Refused, State, Table};

fn lease(port: u16, generation: u64, ttl: Duration) -> Lease {
    Lease::new(([127, 0, 0, 1], port).into(), generation, ttl)
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

//! Which of many endpoints a draw or a key falls to: as often as their weights say, and to others only while one cannot take it.

use std::collections::BTreeMap;

use flame_naming::health::Health;
use flame_naming::{Lease, Lot, NoChoice, Table, Terms};

use crate::table::{id, lease, moment, name, table};

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
        let choice = table.choose(&name(0).into(), moment(0), &[], Lot::Drawn(draw ^ (draw >> 31))).unwrap();
        *counts.entry(choice.endpoint).or_insert(0) += 1;
    }
    assert!(counts.len() == 5 && counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
}

#[test]
fn keys_are_spread_by_weight() {
    let mut table = table();
    for (of, weight) in [(0, 1), (1, 2), (2, 3)] {
        let terms = Terms::new(weight, None, false).unwrap();
        table.register(&name(0), &id(of), Lease { terms, ..lease(u16::from(of) + 1, 1, 1000) }, moment(0)).unwrap();
    }
    let mut counts = [0; 3];
    for key in 0..6000_u32 {
        let choice = table.choose(&name(0).into(), moment(0), &[], Lot::Key(key.to_string().as_bytes())).unwrap();
        counts[usize::from(choice.endpoint.as_str().as_bytes()[1] - b'0')] += 1;
    }
    for (count, wanted) in counts.into_iter().zip([1000, 2000, 3000]) {
        assert!((wanted - 200..wanted + 200).contains(&count), "{counts:?}");
    }
}

#[test]
fn what_is_full_or_fails_gives_its_keys_to_others_meanwhile() {
    let mut table = table();
    for of in 0..2 {
        let terms = Terms::new(1, Some(1), false).unwrap();
        table.register(&name(0), &id(of), Lease { terms, ..lease(u16::from(of) + 1, 1, 1000) }, moment(0)).unwrap();
    }
    let chosen = |table: &Table| table.choose(&name(0).into(), moment(0), &[], Lot::Key(b"key"));
    let first = chosen(&table).unwrap();
    table.note(&name(0), &first, Health::opened);
    let second = chosen(&table).unwrap();
    assert_ne!(second.endpoint, first.endpoint);
    table.note(&name(0), &second, Health::opened);
    assert_eq!(chosen(&table), Err(NoChoice::Full));
    table.note(&name(0), &first, Health::closed);
    assert_eq!(chosen(&table).unwrap(), first);
    table.note(&name(0), &second, Health::closed);
    table.note(&name(0), &first, |health| health.failed(moment(0), moment(0)));
    assert_eq!(chosen(&table).unwrap(), second);
}

//! Ways through the network against looking at every one, and round-trip times whose sums are known.

use std::collections::BTreeMap;
use std::time::Duration;

use flame_api::clmc::NodeKind;
use flame_naming::site::Sites;
use flame_telemetry::Value;
use proptest::prelude::*;

use super::network::{Measured, Network};
use super::round_trip::{Answered, Endpoint, TooMany, Wanted, round_trips};
use crate::series::{Column, Tags};

const PLACES: usize = 6;

/// Sites in a row, 10 ms and 100 Mbit/s from each to the next.
fn row(count: usize) -> Sites {
    let mut text = "version = 1\n".to_owned();
    for n in 0..count {
        text.push_str(&format!("[[sites]]\nname = \"s{n}\"\n"));
    }
    for n in 1..count {
        let before = n - 1;
        text.push_str(&format!(
            "[[links]]\nbetween = [\"s{before}\", \"s{n}\"]\nlatency_ms = 10\nbandwidth_mbps = 100\n"
        ));
    }
    text.parse().unwrap()
}

fn measured(source: &str, target: &str, latency_ms: f64) -> Measured {
    Measured::new(source, target, latency_ms).unwrap()
}

/// An endpoint, and points of it: requests, seconds, bytes of requests and of answers.
fn answered(location: &str, points: &[(i64, f64, f64, f64)]) -> (Endpoint, Answered) {
    let tags: Tags = [("flame_location", location), ("flame_sfe", "cdn"), ("path", "ignored")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let column = |value: fn(&(i64, f64, f64, f64)) -> Value| -> Column {
        (0..).zip(points).map(|(time_ns, point)| (time_ns, value(point))).collect()
    };
    let columns: BTreeMap<String, Column> = [
        ("requests".to_owned(), column(|point| Value::Integer(point.0))),
        ("response_time".to_owned(), column(|point| Value::Float(point.1))),
        ("request_size".to_owned(), column(|point| Value::Float(point.2))),
        ("response_size".to_owned(), column(|point| Value::Float(point.3))),
    ]
    .into();
    let mut answered = Answered::default();
    answered.add(&columns);
    (Endpoint::of("vcdn", &tags), answered)
}

fn is_near(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-6
}

#[test]
fn a_round_trip_is_the_network_there_the_service_and_the_network_back() {
    // The way to s1 was measured in one direction only there, and in both behind; the user equipment is in no site file.
    let latencies = [
        measured("s0", "s1", 4.0),
        measured("s1", "s2", 7.0),
        measured("s2", "s1", 9.0),
        measured("phone", "s0", 20.0),
    ];
    let network = Network::new(&row(3), &latencies);
    // Three requests of 10 ms and one of 50 ms: 20 ms.
    let endpoints = [answered("s2", &[(3, 0.010, 0.0, 12_500.0), (1, 0.050, 0.0, 12_500.0)])].into();
    let found = round_trips(&network, &endpoints, &Wanted::default(), 100).unwrap();
    let of = |source: &str| found.iter().find(|trip| trip.source == source).unwrap();
    let phone = of("phone");
    assert!(is_near(phone.forward_ms, 20.0 + 4.0 + 7.0) && is_near(phone.back_ms, 9.0 + 4.0 + 20.0), "{phone:?}");
    assert!(is_near(phone.response_ms, 20.0) && is_near(phone.round_trip_ms, 31.0 + 20.0 + 33.0), "{phone:?}");
    // 100,000 bits over 100 Mbit/s.
    assert!(is_near(phone.transfer_ms, 1.0), "{phone:?}");
    assert!(is_near(of("s2").round_trip_ms, 20.0) && is_near(of("s2").transfer_ms, 0.0), "{:?}", of("s2"));
    assert_eq!((phone.service.as_str(), phone.location.as_str(), phone.tags.len()), ("vcdn", "s2", 2));
    assert_eq!(found.len(), 4, "every place, and the only endpoint");
}

#[test]
fn pairs_are_chosen_bounded_and_only_where_there_is_a_way() {
    let mut network = Network::new(&row(3), &[]);
    network.place("island", NodeKind::Location);
    let endpoints: BTreeMap<_, _> =
        [answered("s0", &[(1, 0.1, 0.0, 0.0)]), answered("island", &[(1, 0.1, 0.0, 0.0)]), answered("s1", &[])].into();
    let pairs = |wanted: &Wanted, max: usize| round_trips(&network, &endpoints, wanted, max);
    let all = pairs(&Wanted::default(), 8).unwrap();
    let shown: Vec<_> = all.iter().map(|trip| (trip.source.as_str(), trip.location.as_str())).collect();
    assert_eq!(shown, [("s0", "s0"), ("s1", "s0"), ("s2", "s0"), ("island", "island")]);
    assert_eq!(pairs(&Wanted::default(), 7), Err(TooMany { pairs: 8, max: 7 }));
    let one = Wanted { source: Some("s1".to_owned()), endpoint: Some("cdn".to_owned()) };
    assert_eq!(pairs(&one, 8).unwrap().len(), 1);
    let service = Wanted { source: Some("s1".to_owned()), endpoint: Some("vcdn".to_owned()) };
    assert_eq!(pairs(&service, 8).unwrap().len(), 1);
    let nobody = Wanted { source: None, endpoint: Some("other".to_owned()) };
    assert_eq!(pairs(&nobody, 8).unwrap(), []);
}

#[test]
fn what_is_no_latency_is_not_taken() {
    for wrong in [-1.0, f64::NAN, f64::INFINITY, 10_000.1] {
        assert_eq!(Measured::new("a", "b", wrong), None, "{wrong}");
    }
    assert_eq!(Measured::new("a", "a", 1.0), None);
}

#[test]
fn the_network_says_what_was_measured_and_what_a_file_says() {
    let shown = Network::new(&row(2), &[measured("s0", "s1", 4.0), measured("phone", "s1", 20.0)]).shown();
    let nodes: Vec<_> = shown.nodes.iter().map(|node| (node.name.as_str(), node.kind)).collect();
    assert_eq!(nodes, [("s0", NodeKind::Site), ("s1", NodeKind::Site), ("phone", NodeKind::UserEquipment)]);
    let links: Vec<_> = shown
        .links
        .iter()
        .map(|link| (link.source.as_str(), link.target.as_str(), link.bandwidth_mbps, link.is_measured))
        .collect();
    assert_eq!(
        links,
        [
            ("s0", "s1", Some(100.0), true),
            ("s1", "s0", Some(100.0), false),
            ("s1", "phone", None, false),
            ("phone", "s1", None, true),
        ]
    );
}

proptest! {
    #[test]
    fn ways_are_those_of_looking_at_every_one(
        latencies in proptest::collection::vec((0..PLACES, 0..PLACES, 0..50u64), 0..20)
    ) {
        let sites = row(PLACES - 2);
        let name = |place: usize| format!("s{place}");
        let measured: Vec<_> = latencies
            .iter()
            .filter_map(|(from, to, ms)| Measured::new(&name(*from), &name(*to), *ms as f64))
            .collect();
        let network = Network::new(&sites, &measured);
        let numbers: BTreeMap<String, usize> =
            network.places().map(|(number, name)| (name.to_owned(), number)).collect();
        // What holds between two places: what was measured last that way, else the other way, else the file.
        let link = |from: usize, to: usize| -> Option<u64> {
            let last = |from: usize, to: usize| {
                latencies.iter().rev().find(|(one, other, _)| (*one, *other) == (from, to)).map(|(_, _, ms)| *ms)
            };
            let in_file = from.abs_diff(to) == 1 && from.max(to) < PLACES - 2;
            last(from, to).or_else(|| last(to, from)).or(in_file.then_some(10))
        };
        let mut best = [[None; PLACES]; PLACES];
        for (from, row) in best.iter_mut().enumerate() {
            for (to, way) in row.iter_mut().enumerate() {
                *way = if from == to { Some(0) } else { link(from, to) };
            }
        }
        for over in 0..PLACES {
            for from in 0..PLACES {
                for to in 0..PLACES {
                    if let (Some(there), Some(on)) = (best[from][over], best[over][to])
                        && best[from][to].is_none_or(|known| known > there + on)
                    {
                        best[from][to] = Some(there + on);
                    }
                }
            }
        }
        for (from, row) in best.iter().enumerate() {
            let Some(number) = numbers.get(&name(from)) else { continue };
            let ways = network.ways(*number);
            for (to, best) in row.iter().enumerate() {
                let found = numbers.get(&name(to)).and_then(|number| ways[*number]).map(|way| way.latency);
                prop_assert_eq!(found, best.map(Duration::from_millis), "{} to {}", from, to);
            }
        }
    }
}

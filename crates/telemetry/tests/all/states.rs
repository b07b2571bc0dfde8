//! Time in states: whatever the looks, the sums of an interval are its length, and stays are counted when they end.

use flame_telemetry::states::{ENDPOINT, States};
use flame_telemetry::{Context, Point, Value};
use proptest::prelude::*;

fn float(point: &Point, name: &str) -> f64 {
    match point.fields.iter().find(|(field, _)| field == name) {
        Some((_, Value::Float(value))) => *value,
        other => panic!("{name}: {other:?}"),
    }
}

fn report(states: &mut States) -> Point {
    states.report(Point::new("endpoint_config", &Context::default(), 0))
}

#[test]
fn an_endpoint_that_boots_and_connects_is_told_as_it_was() {
    let s = |seconds: f64| (seconds * 1e9) as i64;
    let mut states = States::new(&ENDPOINT, "booting", s(100.0));
    states.look("booting", s(101.0));
    let first = report(&mut states);
    assert_eq!((float(&first, "booting_sum"), float(&first, "booting_mst")), (1.0, 0.0));
    assert_eq!(first.tags, [("current_state".to_owned(), "booting".to_owned())]);
    states.look("connecting", s(102.5));
    states.look("connected", s(103.0));
    states.look("connected", s(111.0));
    let second = report(&mut states);
    // The stay began in the interval before; its whole length counts where it ends.
    assert_eq!((float(&second, "booting_sum"), float(&second, "booting_mst")), (1.5, 2.5));
    assert_eq!((float(&second, "connecting_sum"), float(&second, "connecting_mst")), (0.5, 0.5));
    assert_eq!((float(&second, "connected_sum"), float(&second, "current_state_time")), (8.0, 8.0));
}

proptest! {
    #[test]
    fn sums_make_up_the_interval(looks in proptest::collection::vec((0..7usize, 0..5_000_000_000i64), 1..50)) {
        let mut states = States::new(&ENDPOINT, "unplaced", 0);
        let (mut now_ns, mut stays) = (0, 0.0);
        for (state, pause_ns) in &looks {
            now_ns += pause_ns;
            states.look(ENDPOINT[*state], now_ns);
        }
        let point = report(&mut states);
        for state in ENDPOINT {
            stays += float(&point, &format!("{state}_sum"));
        }
        prop_assert!((stays - now_ns as f64 / 1e9).abs() < 1e-6, "{} of {}", stays, now_ns);
    }
}

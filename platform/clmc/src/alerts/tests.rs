//! Alerts under a clock of the test's own: whatever comes when, a change is told exactly once, one interval after the first window that crosses.

use std::collections::BTreeMap;

use flame_telemetry::Value;
use proptest::prelude::*;

use super::document::{self, Comparison, Event, Specification};
use super::evaluate::{Watch, message};
use crate::series::{Series, Tags};

const S: i64 = 1_000_000_000;

fn document_with(event: &str, operator: &str, method: &str, threshold: &str) -> String {
    format!(
        "tosca_definitions_version: tosca_simple_profile_for_nfv_1_0_0
imports: [ flame_clmc_alerts_definitions.yaml ]
metadata: {{ sfc: companyA-VR, sfci: companyA-VR-premium }}
topology_template:
  policies:
    - high_requests:
        type: eu.ict-flame.policies.StateChange
        triggers:
          latency:
            description: too slow
            event_type: {event}
            metric: nginx.response_time
            condition:
              threshold: {threshold}
              granularity: 10
              aggregation_method: {method}
              resource_type: {{ flame_location: watershed }}
              comparison_operator: {operator}
            action:
              implementation: [ flame_sfemc, http://127.0.0.1:9/x ]
"
    )
}

fn specification(event: &str, operator: &str, method: &str, threshold: f64) -> Specification {
    document::read(&document_with(event, operator, method, &threshold.to_string())).unwrap()
}

fn series(points: &BTreeMap<i64, i64>) -> Vec<Series> {
    let column = points.iter().map(|(at, value)| (*at, Value::Integer(*value))).collect();
    vec![Series { tags: Tags::new(), columns: [("response_time".to_owned(), column)].into() }]
}

proptest! {
    #[test]
    fn a_change_is_told_once_and_in_time(
        points in proptest::collection::btree_map(0..200 * S, -10..10_i64, 0..120),
        event in proptest::sample::select(vec!["threshold", "relative", "deadman"]),
        method in proptest::sample::select(vec!["mean", "sum", "max", "count", "last"]),
        operator in proptest::sample::select(vec!["lt", "lte", "eq", "gt", "gte"]),
        threshold in -5..8_i64,
        step_ms in 50..900_i64,
    ) {
        let specification = specification(event, operator, method, threshold as f64);
        let (trigger, lateness_ns) = (&specification.triggers[0], 3 * S);
        let mut watch = Watch::new(trigger, 4 * S);
        let mut told = Vec::new();
        let mut now_ns = 4 * S;
        while now_ns < 220 * S {
            if let Some(window) = watch.window(trigger, lateness_ns, now_ns) {
                prop_assert_eq!(window.to_ns - window.from_ns, 10 * S);
                // Looked at when its points can have come, and soon after that.
                prop_assert!((window.to_ns + lateness_ns..window.to_ns + lateness_ns + step_ms * 1_000_000).contains(&now_ns));
                if let Some(change) = watch.close(trigger, window, &series(&points)) {
                    told.push((change.at_ns, change.is_critical));
                }
            }
            now_ns += step_ms * 1_000_000;
        }
        // The same, window by window, with nothing but the points.
        let values = |from: i64| points.range(from..from + 10 * S).map(|(_, value)| *value).collect::<Vec<_>>();
        let value = |from: i64| {
            let values = values(from);
            match method {
                "count" => Some(values.len() as f64),
                _ if values.is_empty() => None,
                "mean" => Some(values.iter().sum::<i64>() as f64 / values.len() as f64),
                "sum" => Some(values.iter().sum::<i64>() as f64),
                "max" => values.iter().max().map(|value| *value as f64),
                _ => values.last().map(|value| *value as f64),
            }
        };
        let threshold = threshold as f64;
        let compares = |value: f64| match operator {
            "lt" => value < threshold, "lte" => value <= threshold, "eq" => value == threshold, "gt" => value > threshold, _ => value >= threshold,
        };
        let (mut level, mut expected) = (false, Vec::new());
        for window in 1..21 {
            let from = window * 10 * S;
            let holds = match event {
                "deadman" => Some(values(from).len() as f64 <= threshold),
                "threshold" => value(from).map(compares),
                _ => value(from).zip(value(from - 10 * S)).map(|(now, before)| compares(now - before)),
            };
            if let Some(holds) = holds && holds != level {
                level = holds;
                expected.push((from + 10 * S, holds));
            }
        }
        prop_assert_eq!(told, expected);
    }

    #[test]
    fn whatever_is_put_is_read_or_refused_with_its_place(noise in "[a-z:{}\\[\\],\\- \n\"']{0,80}", at in 0..900_usize) {
        let mut text = document_with("threshold", "gt", "mean", "1");
        let at = at.min(text.len());
        text.insert_str(at, &noise);
        if let Err(error) = document::read(&text) {
            prop_assert!(error.line >= 1 && !error.reason.is_empty());
        }
    }
}

#[test]
fn a_clock_that_jumps_costs_windows_and_tells_nothing_twice() {
    let specification = specification("threshold", "gt", "mean", 0.0);
    let trigger = &specification.triggers[0];
    let mut watch = Watch::new(trigger, 0);
    let points = series(&[(15 * S, 1), (95 * S, 1)].into());
    let window = watch.window(trigger, S, 100 * S).unwrap();
    assert_eq!((window.from_ns, window.to_ns), (80 * S, 90 * S), "the latest that is over for a second");
    assert_eq!(watch.close(trigger, window, &points), None);
    assert_eq!(watch.window(trigger, S, 100 * S), None);
    assert_eq!(watch.window(trigger, S, 10 * S), None, "and back");
    let window = watch.window(trigger, S, 101 * S).unwrap();
    assert!(watch.close(trigger, window, &points).unwrap().is_critical);
}

#[test]
fn a_level_that_nobody_may_know_of_is_told_once_more() {
    let specification = specification("threshold", "gt", "mean", 45.0);
    let trigger = &specification.triggers[0];
    let points = series(&[(12 * S, 50), (22 * S, 50), (32 * S, 50), (42 * S, 1)].into());
    let close = |watch: &mut Watch, at: i64| {
        let window = watch.window(trigger, 0, at * S).unwrap();
        watch.close(trigger, window, &points).map(|change| (change.is_critical, change.held_ns / S))
    };
    let mut watch = Watch::new(trigger, 0);
    assert_eq!(close(&mut watch, 20), Some((true, 20)));
    assert_eq!(close(&mut watch, 30), None);
    watch.given_up.insert(1);
    assert_eq!(close(&mut watch, 40), Some((true, 20)), "it has held since 20 s");
    watch.given_up.insert(1);
    let window = watch.window(trigger, 0, 50 * S).unwrap();
    let again = series(&[(42 * S, 50)].into());
    assert_eq!(
        watch.clone().close(trigger, window, &again).unwrap().only,
        Some([1].into()),
        "who took it is not told again"
    );
    assert_eq!(watch.clone().close(trigger, window, &points).unwrap().only, None, "all are told of a change");
    assert_eq!(close(&mut watch, 50), Some((false, 30)));
    // After a start it is not known what was told before.
    let mut watch = Watch::resumed(trigger, 35 * S);
    assert_eq!(close(&mut watch, 50).map(|(is_critical, _)| is_critical), Some(false));
}

#[test]
fn the_message_is_the_one_of_flame() {
    let specification = specification("threshold", "gte", "mean", 45.0);
    let trigger = &specification.triggers[0];
    assert_eq!(
        trigger.event,
        Event::Threshold {
            field: "response_time".to_owned(),
            aggregate: crate::query::aggregate::Aggregate::Mean,
            word: "mean".to_owned(),
            comparison: Comparison::GreaterOrEqual,
        }
    );
    let mut watch = Watch::new(trigger, 0);
    let window = watch.window(trigger, 0, 20 * S).unwrap();
    let change = watch.close(trigger, window, &series(&[(12 * S, 50)].into())).unwrap();
    let said = message(&specification, trigger, &change);
    assert_eq!(
        said,
        serde_json::json!({
            "message": "TRUE", "id": "latency", "level": "CRITICAL", "previousLevel": "OK", "duration": 20 * S,
            "time": "1970-01-01T00:00:20Z",
            "details": "db=companyA-VR,sfc=companyA-VR,sfci=companyA-VR-premium,policy=high_requests",
            "data": { "series": [{
                "name": "nginx", "tags": { "flame_location": "watershed" }, "columns": ["time", "mean"],
                "values": [["1970-01-01T00:00:20Z", 50.0]],
            }] },
        })
    );
}

#[test]
fn what_is_wrong_with_a_document_is_said_with_line_and_column() {
    let good = document_with("threshold", "gt", "mean", "45");
    document::read(&good).unwrap();
    let error = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        document::read(&good.replacen(from, to, 1)).unwrap_err().to_string()
    };
    for (from, to, said) in [
        (
            "event_type: threshold",
            "event_type: treshold",
            "line 11, column 25: `treshold` is no event_type: do you mean `threshold`?",
        ),
        ("nginx.response_time", "nginx", "line 12, column 21: `nginx` is no metric"),
        ("granularity: 10", "granularity: 0", "line 15, column 28: the granularity is 1 to 86400 seconds"),
        (
            "aggregation_method: mean",
            "aggregation_method: average",
            "line 16, column 35: `average` is no aggregation_method",
        ),
        ("flame_location: watershed", "location: watershed", "`location` is no context tag"),
        (
            "comparison_operator: gt",
            "comparison_operator: above",
            "line 18, column 36: `above` is no comparison_operator",
        ),
        ("http://127.0.0.1:9/x", "ftp://127.0.0.1", "neither flame_sfemc nor an http URL"),
        (
            "policies.StateChange",
            "policies.Other",
            "line 7, column 15: `eu.ict-flame.policies.Other` is no policy type",
        ),
        ("sfc: companyA-VR,", "sfc: ../x,", "`../x` is no name"),
        ("tosca_simple_profile_for_nfv_1_0_0", "tosca_2_0", "line 1, column 28: `tosca_2_0` is no version"),
        ("threshold: 45", "threshold: much", "line 14"),
        ("condition:", "conditions:", "line 13"),
    ] {
        let error = error(from, to);
        assert!(error.contains(said), "{from}: {error}");
    }
    // A deadman needs neither field nor method nor operator.
    let deadman = good
        .replace("event_type: threshold", "event_type: deadman")
        .replace("              aggregation_method: mean\n", "")
        .replace("              comparison_operator: gt\n", "");
    assert_eq!(document::read(&deadman).unwrap().triggers[0].event, Event::Deadman);
}

//! Questions against a model that looks at every point for every window; and what is wrong with one is said with its place.

use std::collections::{BTreeMap, BTreeSet};

use flame_telemetry::Value;
use flame_telemetry::point::Type;
use proptest::prelude::*;

use super::answer::moment;
use super::ast::{Fill, Statement};
use super::evaluate::{Cell, Question, Table, evaluate};
use super::{condition, parser};
use crate::series::{Series, Shape, Tags};

const NOW_NS: i64 = 1_000_000;

/// Host, region, time, value.
type Sample = (u8, u8, i64, i64);

fn series_of(samples: &BTreeMap<i64, (u8, u8, i64)>) -> Vec<Series> {
    let mut found: BTreeMap<Tags, Series> = BTreeMap::new();
    for (time_ns, (host, region, value)) in samples {
        let tags = Tags::from([("host".to_owned(), format!("h{host}")), ("region".to_owned(), format!("r{region}"))]);
        let series = found.entry(tags.clone()).or_insert(Series { tags, columns: BTreeMap::new() });
        series.columns.entry("v".to_owned()).or_default().push((*time_ns, Value::Integer(*value)));
    }
    found.into_values().collect()
}

fn ask(text: &str, series: &[Series]) -> Result<Vec<Table>, String> {
    let statements = parser::parse(text, &parser::Parameters::new()).map_err(|error| error.to_string())?;
    let [Statement::Select(select)] = &statements[..] else { panic!("{text}") };
    let condition = condition::split(select.condition.as_ref(), NOW_NS).map_err(|error| error.to_string())?;
    let shape = Shape {
        fields: [("v".to_owned(), Type::Integer), ("s".to_owned(), Type::Text)].into(),
        series: series.iter().map(|series| series.tags.clone()).collect(),
    };
    let question =
        Question { select, condition: &condition, measurement: "m", shape: &shape, now_ns: NOW_NS, rows_max: 10_000 };
    // As the store does it: only the time asked for, and only series that the tags leave.
    let range = condition.from_ns.unwrap_or(i64::MIN)..=condition.to_ns.unwrap_or(i64::MAX);
    let mut series = series.to_vec();
    let is_field = |name: &str| shape.fields.contains_key(name);
    if let Some(rest) = &condition.rest {
        series.retain(|series| condition::holds(rest, &series.tags, &is_field, &condition::Row::Any) != Some(false));
    }
    for one in &mut series {
        one.columns.values_mut().for_each(|column| column.retain(|(time_ns, _)| range.contains(time_ns)));
        one.columns.retain(|_, column| !column.is_empty());
    }
    evaluate(&question, series).map_err(|error| error.to_string())
}

/// The function of values in the order of time, the slow way.
fn naive(function: &str, values: &[i64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let count = |value: i64| values.iter().filter(|it| **it == value).count();
    let number = |value: i64| value as f64;
    let sum = || values.iter().sum::<i64>() as f64;
    if values.is_empty() {
        return None;
    }
    Some(match function {
        "count" => values.len() as f64,
        "sum" => sum(),
        "mean" => sum() / values.len() as f64,
        "median" => (number(sorted[(sorted.len() - 1) / 2]) + number(sorted[sorted.len() / 2])) / 2.0,
        "mode" => number(sorted.iter().copied().rev().max_by_key(|value| count(*value)).unwrap()),
        "min" => number(sorted[0]),
        "max" => number(*sorted.last().unwrap()),
        "spread" => number(sorted.last().unwrap() - sorted[0]),
        "first" => number(values[0]),
        "last" => number(*values.last().unwrap()),
        _ => panic!("{function}"),
    })
}

fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Null => None,
        Cell::Value(value) => value.number(),
        Cell::Time(_) => panic!("a time"),
    }
}

proptest! {
    #[test]
    fn windows_and_groups_are_those_of_looking_at_every_point(
        samples in proptest::collection::vec((0..3_u8, 0..2_u8, 0..400_i64, -5..5_i64), 0..60),
        function in proptest::sample::select(vec!["count", "sum", "mean", "median", "mode", "min", "max", "spread", "first", "last"]),
        (from, length) in (0..300_i64, 1..200_i64),
        (width, offset) in (1..70_i64, -70..70_i64),
        group in proptest::sample::select(vec!["", "host", "region", "host,region"]),
        fill in proptest::sample::select(vec!["none", "null", "previous", "7"]),
        only in proptest::option::of(0..3_u8),
        above in proptest::option::of(-5..5_i64),
        (is_descending, limit, offset_rows) in (any::<bool>(), 0..6_usize, 0..3_usize),
    ) {
        let samples: BTreeMap<i64, (u8, u8, i64)> =
            samples.into_iter().map(|(host, region, time_ns, value): Sample| (time_ns, (host, region, value))).collect();
        let mut text = format!("SELECT {function}(\"v\") FROM m WHERE time >= {from} AND time < {}", from + length);
        only.iter().for_each(|host| text.push_str(&format!(" AND host = 'h{host}'")));
        above.iter().for_each(|value| text.push_str(&format!(" AND v > {value}")));
        text.push_str(&format!(" GROUP BY time({width}ns, {offset}ns)"));
        if !group.is_empty() {
            text.push_str(&format!(", {group}"));
        }
        text.push_str(&format!(" fill({fill})"));
        if is_descending {
            text.push_str(" ORDER BY time DESC");
        }
        if limit > 0 {
            text.push_str(&format!(" LIMIT {limit}"));
        }
        if offset_rows > 0 {
            text.push_str(&format!(" OFFSET {offset_rows}"));
        }
        let tables = ask(&text, &series_of(&samples)).unwrap();

        let kept: Vec<_> = samples.iter().filter(|(time_ns, (host, _, value))| {
            (from..from + length).contains(time_ns) && only.is_none_or(|only| only == *host) && above.is_none_or(|above| *value > above)
        }).collect();
        let key = |host: u8, region: u8| {
            let mut tags = Tags::new();
            if group.contains("host") { tags.insert("host".to_owned(), format!("h{host}")); }
            if group.contains("region") { tags.insert("region".to_owned(), format!("r{region}")); }
            tags
        };
        let groups: BTreeSet<Tags> = kept.iter().map(|(_, (host, region, _))| key(*host, *region)).collect();
        let start = |time_ns: i64| (time_ns - offset).div_euclid(width) * width + offset;
        let mut expected = Vec::new();
        for tags in groups {
            let mut rows = Vec::new();
            let mut previous = None;
            let mut window = start(from);
            while window <= start(from + length - 1) {
                let values: Vec<i64> = kept.iter()
                    .filter(|(time_ns, (host, region, _))| start(**time_ns) == window && key(*host, *region) == tags)
                    .map(|(_, (_, _, value))| *value).collect();
                let value = naive(function, &values);
                let filled = match fill {
                    "previous" => value.or(previous),
                    "7" => value.or(Some(7.0)),
                    "null" if function == "count" => value.or(Some(0.0)),
                    _ => value,
                };
                previous = filled;
                if fill != "none" || value.is_some() {
                    rows.push((window, filled));
                }
                window += width;
            }
            if is_descending {
                rows.reverse();
            }
            let limit = if limit == 0 { usize::MAX } else { limit };
            let rows: Vec<_> = rows.into_iter().skip(offset_rows).take(limit).collect();
            if !rows.is_empty() {
                expected.push((tags, rows));
            }
        }
        let got: Vec<_> = tables.iter().map(|table| {
            let rows = table.values.iter().map(|row| {
                let Cell::Time(time_ns) = row[0] else { panic!("{row:?}") };
                (time_ns, number(&row[1]))
            });
            (table.tags.clone().unwrap_or_default(), rows.collect::<Vec<_>>())
        }).collect();
        prop_assert_eq!(got, expected, "{}", text);
    }

    #[test]
    fn whatever_is_asked_is_read_or_refused(text in "[a-z(),.*/='\"<>~ !0-9:;-]{0,60}", question in "(SELECT|SHOW TAG|show) [a-z(),.*/='\" 0-9]{0,40}") {
        let _ = parser::parse(&text, &parser::Parameters::new());
        if let Ok(statements) = parser::parse(&question, &parser::Parameters::new()) {
            prop_assert!(!statements.is_empty());
        }
    }

    #[test]
    fn moments_are_written_as_rfc_3339_has_it(ns in 0..4_000_000_000_000_000_000_i64) {
        use time::format_description::well_known::Rfc3339;
        let parsed = time::OffsetDateTime::parse(&moment(ns), &Rfc3339).unwrap();
        prop_assert_eq!(parsed.unix_timestamp_nanos(), i128::from(ns));
    }
}

fn three() -> Vec<Series> {
    series_of(&[(10, (0, 0, 1)), (20, (1, 0, 5)), (30, (0, 1, -3)), (40, (0, 0, 5))].into())
}

#[test]
fn what_grafana_and_the_clients_send_is_understood() {
    let texts = |text: &str| -> Vec<Vec<String>> {
        let tables = ask(text, &three()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let cell = |cell: &Cell| match cell {
            Cell::Null => "null".to_owned(),
            Cell::Time(ns) => format!("@{ns}"),
            Cell::Value(Value::Text(text)) => text.clone(),
            Cell::Value(value) => value.number().unwrap().to_string(),
        };
        tables.iter().flat_map(|table| &table.values).map(|row| row.iter().map(cell).collect()).collect()
    };
    let grafana = r#"SELECT mean("v") FROM "m" WHERE ("host"::tag = 'h0' AND "region" =~ /^(r0|r1)$/) AND time >= 0ms and time <= 39ns GROUP BY time(20ns), "host"::tag fill(null) ORDER BY time ASC"#;
    assert_eq!(texts(grafana), [["@0", "1"], ["@20", "-3"]]);
    assert_eq!(texts("select max(v) from m"), [["@20", "5"]], "the time of the point; of equal ones the earliest");
    assert_eq!(texts("SELECT min(v), max(v) FROM m WHERE time > 5"), [["@6", "-3", "5"]]);
    assert_eq!(texts("SELECT mean(v) * 2 + 1 AS x FROM m WHERE time > 15 AND time < 35"), [["@16", "3"]]);
    assert_eq!(texts("SELECT last(v) / first(v) FROM m"), [["@0", "5"]]);
    assert_eq!(texts("SELECT v, host FROM m WHERE v = 5 OR host != 'h0' LIMIT 1"), [["@20", "5", "h1"]]);
    assert_eq!(
        texts("SELECT * FROM m WHERE host !~ /1/ ORDER BY time DESC LIMIT 2"),
        [["@40", "h0", "r0", "null", "5"], ["@30", "h0", "r1", "null", "-3"]]
    );
    assert_eq!(texts("SELECT count(*) FROM m GROUP BY host SLIMIT 1"), [["@0", "null", "3"]]);
    assert_eq!(texts("SELECT v * 10 FROM m WHERE time = 30"), [["@30", "-30"]]);
    assert_eq!(texts("SELECT mean(v) FROM m WHERE host = 'nobody'"), Vec::<Vec<String>>::new());
    assert_eq!(
        texts("SELECT mean(v), count(v) FROM m WHERE time >= 0 AND time < 60 GROUP BY time(20ns) fill(linear)"),
        [["@0", "1", "1"], ["@20", "1", "2"], ["@40", "5", "1"]]
    );
    let columns = |text: &str| ask(text, &three()).unwrap()[0].columns.join(",");
    assert_eq!(columns("SELECT mean(v), mean(v) FROM m"), "time,mean,mean_1");
    assert_eq!(columns("SELECT mean(v) / count(v) FROM m"), "time,mean_count");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let error = |text: &str| ask(text, &three()).unwrap_err();
    assert_eq!(error("SELECT v FORM m"), "error parsing query: found FORM, expected from at line 1, char 10");
    assert!(error("SELECT v\nFROM m WHERE").ends_with("at line 2, char 13"));
    assert!(error("SELECT v FROM (SELECT v FROM m)").contains("subqueries are not supported"));
    assert!(error("SELECT v INTO n FROM m").contains("INTO is not supported"));
    assert!(error("SELECT v FROM m WHERE host =~ /(/").contains("is no regular expression"));
    assert!(error("SELECT mean(s) FROM m").contains("it is a string"));
    assert!(error("SELECT mean(v), v FROM m").contains("mixing aggregate and non-aggregate"));
    assert!(error("SELECT v FROM m GROUP BY time(1s)").contains("at least one aggregate"));
    assert!(error("SELECT nonsense(v) FROM m").contains("undefined function nonsense()"));
    assert!(error("SELECT v FROM m WHERE time > 1 OR host = 'a'").contains("joined by AND"));
    assert!(error("SELECT v FROM m WHERE time > 'yesterday'").contains("invalid time: 'yesterday'"));
    assert!(
        error("SELECT count(v) FROM m WHERE time > 0 AND time < 1h GROUP BY time(1ns)")
            .contains("more than 10000 rows")
    );
    assert!(error(&format!("SELECT {}v FROM m", "(".repeat(100))).contains("levels of parentheses"));
    assert!(error("").contains("expected a statement"));
}

#[test]
fn a_question_has_bounds_in_every_direction() {
    let error = |text: &str| ask(text, &three()).unwrap_err();
    let chain = |first: &str, more: &str| format!("{first}{}", more.repeat((60 << 10) / more.len()));
    assert!(error(&chain("SELECT v FROM m WHERE time > 1", "-1")).contains("more than 500 operators"));
    assert!(error(&chain("SELECT v FROM m WHERE a", " and a")).contains("more than 500 operators"));
    assert!(error(&chain("SELECT v FROM m", ",m")).contains("more than 256 columns, measurements"));
    assert!(error(&format!("SELECT v{} FROM m", ",v".repeat(256))).contains("more than 256 columns"));
    assert!(
        error(&format!("SELECT v FROM m GROUP BY /a/{}", ",/a/".repeat(16)))
            .contains("more than 16 regular expressions")
    );
    assert!(error("SELECT v FROM m GROUP BY /(x{1000}){300}/").contains("is no regular expression"));
    // As deep as may be, it is answered.
    let deep = format!("SELECT v FROM m WHERE time > 0{}", " + 0".repeat(400));
    assert!(ask(&deep, &three()).is_ok(), "{:?}", ask(&deep, &three()));
}

#[test]
fn equal_columns_are_numbered() {
    let tables = ask("SELECT v, v, v AS v_1, v FROM m", &three()).unwrap();
    assert_eq!(tables[0].columns, ["time", "v", "v_1", "v_1_1", "v_2"]);
}

#[test]
fn linear_filling_draws_a_line_between_what_is_known() {
    let mut values = vec![None, Some(Value::Float(1.0)), None, None, Some(Value::Float(4.0)), None];
    super::windows::fill(&mut values, Fill::Linear, false);
    let numbers: Vec<_> = values.iter().map(|value| value.as_ref().and_then(Value::number)).collect();
    assert_eq!(numbers, [None, Some(1.0), Some(2.0), Some(3.0), Some(4.0), None]);
}

//! What an answer looks like on the wire: InfluxDB's JSON, and its CSV. Pure.

use std::fmt::Write;

use flame_telemetry::Value;
use flame_telemetry::line::Precision;
use serde_json::{Map, Value as Json, json};
use time::OffsetDateTime;

use super::evaluate::{Cell, Table};

/// The answer to one statement: tables, or why there are none.
pub type Outcome = Result<Vec<Table>, String>;

/// JSON as InfluxDB writes it; times as texts, or as numbers of the unit `epoch`.
pub fn json(outcomes: &[Outcome], epoch: Option<Precision>) -> Json {
    let results = outcomes.iter().enumerate().map(|(number, outcome)| {
        let mut result = Map::new();
        result.insert("statement_id".to_owned(), number.into());
        match outcome {
            Ok(tables) if tables.is_empty() => {}
            Ok(tables) => {
                let series = tables.iter().map(|table| table_json(table, epoch)).collect();
                result.insert("series".to_owned(), Json::Array(series));
            }
            Err(reason) => drop(result.insert("error".to_owned(), reason.clone().into())),
        }
        Json::Object(result)
    });
    json!({ "results": results.collect::<Vec<_>>() })
}

fn table_json(table: &Table, epoch: Option<Precision>) -> Json {
    let mut series = Map::new();
    if !table.name.is_empty() {
        series.insert("name".to_owned(), table.name.clone().into());
    }
    if let Some(tags) = &table.tags {
        series.insert("tags".to_owned(), json!(tags));
    }
    series.insert("columns".to_owned(), json!(table.columns));
    let rows = table.values.iter().map(|row| row.iter().map(|cell| cell_json(cell, epoch)).collect());
    series.insert("values".to_owned(), Json::Array(rows.collect()));
    Json::Object(series)
}

fn cell_json(cell: &Cell, epoch: Option<Precision>) -> Json {
    match cell {
        Cell::Null => Json::Null,
        Cell::Time(ns) => epoch.map_or_else(|| moment(*ns).into(), |unit| (ns.div_euclid(unit.unit_ns())).into()),
        Cell::Value(Value::Float(number)) => json!(number),
        Cell::Value(Value::Integer(number)) => json!(number),
        Cell::Value(Value::Boolean(value)) => json!(value),
        Cell::Value(Value::Text(text)) => json!(text),
    }
}

/// CSV as InfluxDB writes it: name, tags, then the columns; times in nanoseconds, or in the unit `epoch`.
pub fn csv(outcomes: &[Outcome], epoch: Option<Precision>) -> String {
    let unit_ns = epoch.map_or(1, Precision::unit_ns);
    let mut text = String::new();
    for table in outcomes.iter().flatten().flatten() {
        if !text.is_empty() {
            text.push('\n');
        }
        let _ =
            writeln!(text, "name,tags,{}", table.columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(","));
        let tags =
            table.tags.iter().flatten().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",");
        let start = format!("{},{}", quoted(&table.name), quoted(&tags));
        for row in &table.values {
            let cells = row.iter().map(|cell| match cell {
                Cell::Null => String::new(),
                Cell::Time(ns) => ns.div_euclid(unit_ns).to_string(),
                Cell::Value(Value::Float(number)) => number.to_string(),
                Cell::Value(Value::Integer(number)) => number.to_string(),
                Cell::Value(Value::Boolean(value)) => value.to_string(),
                Cell::Value(Value::Text(text)) => quoted(text),
            });
            let _ = writeln!(text, "{start},{}", cells.collect::<Vec<_>>().join(","));
        }
    }
    text
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// A moment as InfluxDB writes it: RFC 3339 in UTC, with as many digits of a second as it has.
#[must_use]
pub fn moment(ns: i64) -> String {
    let Ok(moment) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)) else { return ns.to_string() };
    let (year, month, day) = (moment.year(), u8::from(moment.month()), moment.day());
    let (hour, minute, second) = (moment.hour(), moment.minute(), moment.second());
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if moment.nanosecond() > 0 {
        let digits = format!("{:09}", moment.nanosecond());
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
    text.push('Z');
    text
}

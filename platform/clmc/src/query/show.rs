//! `SHOW`: the names that a database knows. Pure.

use std::collections::{BTreeMap, BTreeSet};

use flame_telemetry::Value;

use super::ast::{Expr, KeyChoice, Show, Shown, SourceName};
use super::condition::{self, Row};
use super::evaluate::{Cell, Table};
use crate::series::{Shape, Tags};

/// What a database holds, by measurement.
pub type Shapes = BTreeMap<String, Shape>;

/// Whether `SHOW` is of a measurement.
pub fn is_meant(show: &Show, measurement: &str) -> bool {
    show.sources.is_empty()
        || show.sources.iter().any(|source| match &source.name {
            SourceName::Is(name) => name == measurement,
            SourceName::Matches(pattern) => pattern.matches(measurement),
        })
}

/// Answers `SHOW` from the measurements that it is of.
pub fn show(show: &Show, shapes: &Shapes) -> Vec<Table> {
    let text = |text: &str| Cell::Value(Value::Text(text.to_owned()));
    let series_of = |shape: &Shape| {
        let fields = shape.fields.clone();
        let holds = |tags: &Tags| holds(show.condition.as_ref(), tags, &|name: &str| fields.contains_key(name));
        shape.series.iter().filter(|tags| holds(tags)).cloned().collect::<Vec<Tags>>()
    };
    let mut tables = Vec::new();
    match &show.what {
        Shown::Measurements => {
            let names = shapes.iter().filter(|(_, shape)| show.condition.is_none() || !series_of(shape).is_empty());
            let values = names.map(|(name, _)| vec![text(name)]).collect();
            tables.push(table("measurements", &["name"], values));
        }
        Shown::Series => {
            let mut keys: Vec<String> = Vec::new();
            for (name, shape) in shapes {
                keys.extend(series_of(shape).iter().map(|tags| key_text(name, tags)));
            }
            keys.sort();
            tables.push(table("", &["key"], keys.iter().map(|key| vec![text(key)]).collect()));
        }
        Shown::TagKeys => {
            for (name, shape) in shapes {
                let keys: BTreeSet<String> = series_of(shape).into_iter().flat_map(Tags::into_keys).collect();
                tables.push(table(name, &["tagKey"], keys.iter().map(|key| vec![text(key)]).collect()));
            }
        }
        Shown::FieldKeys => {
            for (name, shape) in shapes {
                let rows = shape.fields.iter().map(|(field, kind)| vec![text(field), text(kind.word())]);
                tables.push(table(name, &["fieldKey", "fieldType"], rows.collect()));
            }
        }
        Shown::TagValues(choice) => {
            for (name, shape) in shapes {
                let pairs: BTreeSet<(String, String)> =
                    series_of(shape).into_iter().flatten().filter(|(key, _)| is_chosen(choice, key)).collect();
                let rows = pairs.iter().map(|(key, value)| vec![text(key), text(value)]);
                tables.push(table(name, &["key", "value"], rows.collect()));
            }
        }
    }
    for table in &mut tables {
        let limit = if show.limit == 0 { usize::MAX } else { show.limit };
        table.values = std::mem::take(&mut table.values).into_iter().skip(show.offset).take(limit).collect();
    }
    tables.retain(|table| !table.values.is_empty());
    tables
}

fn table(name: &str, columns: &[&str], values: Vec<Vec<Cell>>) -> Table {
    let columns = columns.iter().map(|column| (*column).to_owned()).collect();
    Table { name: name.to_owned(), tags: None, columns, values }
}

fn is_chosen(choice: &KeyChoice, key: &str) -> bool {
    match choice {
        KeyChoice::OneOf(keys) => keys.iter().any(|chosen| chosen == key),
        KeyChoice::Not(name) => name != key,
        KeyChoice::Matching(pattern) => pattern.matches(key),
        KeyChoice::NotMatching(pattern) => !pattern.matches(key),
    }
}

/// Whether the tags of a series are those asked for. What asks for a field or a time asks nothing of names.
fn holds(condition: Option<&Expr>, tags: &Tags, is_field: &dyn Fn(&str) -> bool) -> bool {
    let is_field = |name: &str| is_field(name) || name.eq_ignore_ascii_case("time");
    condition.is_none_or(|condition| condition::holds(condition, tags, &is_field, &Row::Any) != Some(false))
}

/// A series as InfluxDB writes it: `cpu,host=a,region=eu`.
fn key_text(measurement: &str, tags: &Tags) -> String {
    let escaped = |text: &str| text.replace(',', "\\,").replace(' ', "\\ ").replace('=', "\\=");
    let mut key = measurement.replace(',', "\\,").replace(' ', "\\ ");
    for (name, value) in tags {
        key.push_str(&format!(",{}={}", escaped(name), escaped(value)));
    }
    key
}

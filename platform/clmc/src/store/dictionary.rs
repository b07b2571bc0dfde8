//! Which series and fields a database has, and the numbers that stand for them in its files. Pure.
//!
//! A field has one type for as long as the database knows it. Numbers are never given twice while the process runs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use flame_telemetry::line::Line;
use flame_telemetry::point::Type;

use super::codec::{Reader, put_text};
use crate::series::Tags;

/// The names of one database.
#[derive(Debug, Default)]
pub struct Dictionary {
    ids: HashMap<Arc<[u8]>, u32>,
    keys: HashMap<u32, Arc<[u8]>>,
    measurements: BTreeMap<String, Measurement>,
    fields: HashMap<u32, FieldKey>,
    next_series: u32,
    next_field: u32,
}

/// What is known of a measurement.
#[derive(Debug, Default)]
pub struct Measurement {
    pub series: BTreeSet<u32>,
    pub fields: BTreeMap<String, Field>,
}

/// A field within its measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub id: u32,
    pub kind: Type,
}

/// A field, to be found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldKey {
    pub measurement: String,
    pub name: String,
    pub kind: Type,
}

/// How many names a database may have.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub series: usize,
    pub fields: usize,
}

/// Why a point is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A field is of another type than before.
    #[error(
        "field type conflict: input field \"{field}\" on measurement \"{measurement}\" is type {got}, already exists as type {known}"
    )]
    Conflict {
        /// The measurement.
        measurement: String,
        /// The field.
        field: String,
        /// What was sent.
        got: &'static str,
        /// What it is.
        known: &'static str,
    },
    /// The point is older than what is kept.
    #[error("points beyond retention policy")]
    TooOld,
    /// There would be too many series.
    #[error("max-series-per-database limit exceeded: ({0}); give points fewer different tags, or set `store.series`")]
    Series(usize),
    /// There would be too many fields.
    #[error("max-fields-per-database limit exceeded: ({0}); use fewer field names, or set `store.fields`")]
    Fields(usize),
}

/// The key of a series: its measurement and its tags in order, each with its length.
pub fn key(line: &Line<'_>) -> Vec<u8> {
    let mut tags: Vec<(&str, &str)> = line.tags.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
    tags.sort_unstable();
    let mut key = Vec::with_capacity(64);
    put_text(&mut key, &line.measurement);
    for (name, value) in tags {
        put_text(&mut key, name);
        put_text(&mut key, value);
    }
    key
}

/// The tags that a key holds.
pub fn tags(key: &[u8]) -> Tags {
    let mut reader = Reader(key);
    let (_measurement, mut tags) = (reader.text(), Tags::new());
    while let (Some(name), Some(value)) = (reader.text(), reader.text()) {
        tags.insert(name.to_owned(), value.to_owned());
    }
    tags
}

// === impl Dictionary ===

impl Dictionary {
    /// The number of a line's series, and those of its fields in their order; new names are noted. A line that does not
    /// fit leaves no name behind.
    pub fn take(&mut self, line: &Line<'_>, room: Room, fields: &mut Vec<u32>) -> Result<u32, Rejection> {
        fields.clear();
        let known = self.measurements.get(line.measurement.as_ref());
        let mut unknown = 0;
        for (name, value) in &line.fields {
            match known.and_then(|known| known.fields.get(name.as_ref())) {
                Some(field) if field.kind != value.kind() => {
                    return Err(Rejection::Conflict {
                        measurement: line.measurement.to_string(),
                        field: name.to_string(),
                        got: value.kind().word(),
                        known: field.kind.word(),
                    });
                }
                Some(field) => fields.push(field.id),
                None => unknown += 1,
            }
        }
        if unknown > 0 && self.fields.len() + unknown > room.fields {
            return Err(Rejection::Fields(room.fields));
        }
        let key = key(line);
        let known = self.ids.get(&key[..]).copied();
        if known.is_none() && self.ids.len() >= room.series {
            return Err(Rejection::Series(room.series));
        }
        if unknown > 0 {
            fields.clear();
            for (name, value) in &line.fields {
                fields.push(self.field(&line.measurement, name, value.kind()));
            }
        }
        Ok(known.unwrap_or_else(|| {
            let id = self.next_series;
            self.put_series(id, &key);
            id
        }))
    }

    fn field(&mut self, measurement: &str, name: &str, kind: Type) -> u32 {
        if let Some(field) = self.measurements.get(measurement).and_then(|known| known.fields.get(name)) {
            return field.id;
        }
        let id = self.next_field;
        self.put_field(id, FieldKey { measurement: measurement.to_owned(), name: name.to_owned(), kind });
        id
    }

    /// Notes a series that a file defines.
    pub fn put_series(&mut self, id: u32, key: &[u8]) {
        self.next_series = self.next_series.max(id.saturating_add(1));
        if self.keys.contains_key(&id) {
            return;
        }
        let measurement = Reader(key).text().unwrap_or_default();
        let known = self.measurements.entry(measurement.to_owned()).or_default();
        known.series.insert(id);
        let key: Arc<[u8]> = key.into();
        self.ids.insert(Arc::clone(&key), id);
        self.keys.insert(id, key);
    }

    /// Notes a field that a file defines.
    pub fn put_field(&mut self, id: u32, key: FieldKey) {
        self.next_field = self.next_field.max(id.saturating_add(1));
        let known = self.measurements.entry(key.measurement.clone()).or_default();
        known.fields.entry(key.name.clone()).or_insert(Field { id, kind: key.kind });
        self.fields.insert(id, key);
    }

    /// Forgets the series and fields that are not in use.
    pub fn keep_only(&mut self, series: &HashSet<u32>, fields: &HashSet<u32>) {
        self.keys.retain(|id, _| series.contains(id));
        self.ids.retain(|_, id| series.contains(id));
        self.fields.retain(|id, _| fields.contains(id));
        for known in self.measurements.values_mut() {
            known.series.retain(|id| series.contains(id));
            known.fields.retain(|_, field| fields.contains(&field.id));
        }
        self.measurements.retain(|_, known| !known.series.is_empty());
    }

    pub fn key(&self, id: u32) -> Option<&Arc<[u8]>> {
        self.keys.get(&id)
    }

    pub fn field_key(&self, id: u32) -> Option<&FieldKey> {
        self.fields.get(&id)
    }

    pub fn measurement(&self, name: &str) -> Option<&Measurement> {
        self.measurements.get(name)
    }

    pub fn measurements(&self) -> impl Iterator<Item = &String> {
        self.measurements.keys()
    }

    pub fn series_count(&self) -> usize {
        self.keys.len()
    }
}

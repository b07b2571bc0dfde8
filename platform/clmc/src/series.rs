//! What is read out of the store: the points of one series, a column a field. It never knows where they lay.

use std::collections::BTreeMap;

use flame_telemetry::Value;
use flame_telemetry::point::Type;

/// The tags of a series.
pub type Tags = BTreeMap<String, String>;
/// The values of one field, by time in nanoseconds since 1970; each time once, in order.
pub type Column = Vec<(i64, Value)>;

/// The points of one measurement that have the same tags.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// What it is told apart by.
    pub tags: Tags,
    /// Its fields that have values in the time asked for.
    pub columns: BTreeMap<String, Column>,
}

/// What a database knows of one measurement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Its fields, with their types.
    pub fields: BTreeMap<String, Type>,
    /// The tags of each of its series.
    pub series: Vec<Tags>,
}

/// Puts a column in order. Of values at the same time the last one written holds, as in InfluxDB.
pub fn put_in_order(column: &mut Column) {
    if !column.is_sorted_by(|(left, _), (right, _)| left < right) {
        // Stable: those of the same time stay as they were written.
        column.sort_by_key(|(time_ns, _)| *time_ns);
        column.reverse();
        column.dedup_by_key(|(time_ns, _)| *time_ns);
        column.reverse();
    }
}

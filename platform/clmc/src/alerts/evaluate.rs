//! When a condition holds, and what is said then. Pure: the clock and the points are the caller's.
//!
//! A window of a trigger is as long as its granularity, and ends at multiples of it, counted from 1970. It is looked at once, one
//! reporting interval after its end, when the points of it have come. Told is the change: that a condition begins to hold, and that it
//! holds no more; and once more how it stands, where nobody knows who was told what: after a start, or when a message was given up.

use std::collections::BTreeSet;

use flame_telemetry::Value;

use super::document::{Event, Specification, Trigger};
use crate::query::aggregate::Aggregate;
use crate::query::answer::moment;
use crate::series::Series;

const S_NS: i64 = 1_000_000_000;

/// Where a trigger stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// The end of the last window that was looked at.
    pub closed_ns: i64,
    pub is_critical: bool,
    /// Whether those who are to know have been told of the level, or soon will be.
    pub is_told: bool,
    /// Handlers that have not been told, by their place in the trigger's list, where others have.
    pub given_up: BTreeSet<usize>,
    /// When the level became what it is.
    pub since_ns: i64,
    /// The value that was compared last.
    pub value: Option<f64>,
}

/// A window of a trigger that is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from_ns: i64,
    /// Not included.
    pub to_ns: i64,
}

/// A change of level, or the level once more.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub is_critical: bool,
    pub at_ns: i64,
    /// How long the level before held; where the level is told once more, how long that has held.
    pub held_ns: i64,
    pub value: f64,
    /// Handlers that it is for, by their place in the trigger's list; nothing where it is for all.
    pub only: Option<BTreeSet<usize>>,
}

// === impl Watch ===

impl Watch {
    /// Begins to look with the first window that begins after `now_ns`.
    pub fn new(trigger: &Trigger, now_ns: i64) -> Self {
        let length_ns = length_ns(trigger);
        let closed_ns = now_ns.div_euclid(length_ns).saturating_add(1).saturating_mul(length_ns);
        Self { closed_ns, is_critical: false, is_told: true, given_up: BTreeSet::new(), since_ns: now_ns, value: None }
    }

    /// Begins to look again after a start: what was told before it is not known.
    pub fn resumed(trigger: &Trigger, now_ns: i64) -> Self {
        Self { is_told: false, ..Self::new(trigger, now_ns) }
    }

    /// When the next window can be looked at.
    pub fn due_ns(&self, trigger: &Trigger, lateness_ns: i64) -> i64 {
        self.closed_ns.saturating_add(length_ns(trigger)).saturating_add(lateness_ns)
    }

    /// The window to look at now, if one is due: the latest, where several were missed.
    pub fn window(&self, trigger: &Trigger, lateness_ns: i64, now_ns: i64) -> Option<Window> {
        if now_ns < self.due_ns(trigger, lateness_ns) {
            return None;
        }
        let length_ns = length_ns(trigger);
        let to_ns = now_ns.saturating_sub(lateness_ns).div_euclid(length_ns).saturating_mul(length_ns);
        Some(Window { from_ns: to_ns - length_ns, to_ns })
    }

    /// Leaves a window out that could not be read. The level stays.
    pub fn skip(&mut self, window: Window) {
        self.closed_ns = window.to_ns;
    }

    /// Looks at a window, given the series of the trigger from a window's length before it on. Says whether the level changes.
    pub fn close(&mut self, trigger: &Trigger, window: Window, series: &[Series]) -> Option<Change> {
        self.closed_ns = window.to_ns;
        let before = Window { from_ns: window.from_ns - length_ns(trigger), to_ns: window.from_ns };
        #[allow(clippy::cast_precision_loss, reason = "counts of points fit")]
        let (value, holds) = match &trigger.event {
            Event::Deadman => {
                let count = count(series, window) as f64;
                (count, count <= trigger.threshold)
            }
            Event::Threshold { field, aggregate, comparison, .. } => {
                let value = aggregated(series, field, *aggregate, window)?;
                (value, comparison.holds(value, trigger.threshold))
            }
            Event::Relative { field, aggregate, comparison, .. } => {
                let value =
                    aggregated(series, field, *aggregate, window)? - aggregated(series, field, *aggregate, before)?;
                (value, comparison.holds(value, trigger.threshold))
            }
        };
        self.value = Some(value);
        if holds == self.is_critical && self.is_told && self.given_up.is_empty() {
            return None;
        }
        let given_up = std::mem::take(&mut self.given_up);
        let only = (holds == self.is_critical && self.is_told).then_some(given_up);
        let held_ns = window.to_ns.saturating_sub(self.since_ns).max(0);
        if holds != self.is_critical {
            (self.is_critical, self.since_ns) = (holds, window.to_ns);
        }
        self.is_told = true;
        Some(Change { is_critical: holds, at_ns: window.to_ns, held_ns, value, only })
    }
}

fn length_ns(trigger: &Trigger) -> i64 {
    i64::try_from(trigger.granularity_s).unwrap_or(i64::MAX / S_NS).saturating_mul(S_NS)
}

/// The value of the points of a field in a window; `None` where there are none, or it is no number.
fn aggregated(series: &[Series], field: &str, aggregate: Aggregate, window: Window) -> Option<f64> {
    let columns = series.iter().filter_map(|series| series.columns.get(field)).flatten();
    let mut points: Vec<&(i64, Value)> =
        columns.filter(|(at, _)| (window.from_ns..window.to_ns).contains(at)).collect();
    if aggregate == Aggregate::Count {
        #[allow(clippy::cast_precision_loss, reason = "counts of points fit")]
        return Some(points.len() as f64);
    }
    points.sort_by_key(|(at, _)| *at);
    aggregate.of_points(&points)?.1.number()
}

/// Points in a window: moments at which a series has any field.
fn count(series: &[Series], window: Window) -> usize {
    let moments = |series: &Series| {
        let times = series.columns.values().flatten().map(|(at, _)| *at);
        times.filter(|at| (window.from_ns..window.to_ns).contains(at)).collect::<BTreeSet<i64>>().len()
    };
    series.iter().map(moments).sum()
}

/// The message of a change, as FLAME's handlers read it.
pub fn message(specification: &Specification, trigger: &Trigger, change: &Change) -> serde_json::Value {
    let level = |is_critical: bool| if is_critical { "CRITICAL" } else { "OK" };
    let Specification { sfc, sfci, .. } = specification;
    let column = match &trigger.event {
        Event::Threshold { word, .. } => word.clone(),
        Event::Relative { .. } => "difference".to_owned(),
        Event::Deadman => "emitted".to_owned(),
    };
    serde_json::json!({
        "message": if change.is_critical { "TRUE" } else { "FALSE" },
        "id": trigger.id,
        "level": level(change.is_critical),
        "previousLevel": level(!change.is_critical),
        "duration": change.held_ns,
        "time": moment(change.at_ns),
        "details": format!("db={sfc},sfc={sfc},sfci={sfci},policy={}", trigger.policy),
        "data": { "series": [{
            "name": trigger.measurement,
            "tags": trigger.tags,
            "columns": ["time", column],
            "values": [[moment(change.at_ns), change.value]],
        }] },
    })
}

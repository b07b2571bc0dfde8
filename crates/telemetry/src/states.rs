//! How long a thing was in which state: FLAME's measurements `endpoint_config` and `<component>_config`.
//!
//! Looked at ten times a second, reported once an interval: for each state the time in it during the interval (`_sum`) and
//! the mean length of the stays in it that ended during the interval (`_mst`, from their beginning, which may lie before).
//! The clock is the caller's.

use crate::point::{Point, Value};

/// The states of an endpoint, in the order of its life.
pub const ENDPOINT: [&str; 7] = ["unplaced", "placing", "placed", "booting", "booted", "connecting", "connected"];
/// The states of a component inside one.
pub const COMPONENT: [&str; 4] = ["stopped", "starting", "running", "stopping"];
/// Looks in a second.
pub const LOOKS_PER_S: u32 = 10;

/// The stays of one thing.
#[derive(Debug, Clone)]
pub struct States {
    names: &'static [&'static str],
    current: usize,
    since_ns: i64,
    looked_ns: i64,
    /// For each state: time in it, and the number and lengths of completed stays, since the last report.
    stays: Vec<Stay>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Stay {
    sum_ns: i64,
    completed: i64,
    completed_ns: i64,
}

// === impl States ===

impl States {
    /// In the state at `first` since `now_ns`.
    #[must_use]
    pub fn new(names: &'static [&'static str], first: &str, now_ns: i64) -> Self {
        let current = names.iter().position(|name| *name == first).unwrap_or_default();
        Self { names, current, since_ns: now_ns, looked_ns: now_ns, stays: vec![Stay::default(); names.len()] }
    }

    /// Notes that the thing is in `state` now. The time since the last look belongs to the state that it was in then.
    pub fn look(&mut self, state: &str, now_ns: i64) {
        let now_ns = now_ns.max(self.looked_ns);
        self.stays[self.current].sum_ns += now_ns - self.looked_ns;
        self.looked_ns = now_ns;
        let Some(next) = self.names.iter().position(|name| *name == state) else { return };
        if next != self.current {
            let stay = &mut self.stays[self.current];
            stay.completed += 1;
            stay.completed_ns += now_ns - self.since_ns;
            (self.current, self.since_ns) = (next, now_ns);
        }
    }

    /// The state that it is in.
    #[must_use]
    pub fn current(&self) -> &'static str {
        self.names[self.current]
    }

    /// Adds what there is to report to `point`, and begins the next interval. Times are in seconds.
    #[must_use]
    pub fn report(&mut self, point: Point) -> Point {
        let mut point = point.tag("current_state", self.current());
        point = point.field("current_state_time", seconds(self.looked_ns - self.since_ns));
        for (name, stay) in self.names.iter().zip(&mut self.stays) {
            let mean = if stay.completed > 0 { seconds(stay.completed_ns / stay.completed) } else { Value::Float(0.0) };
            point = point.field(&format!("{name}_sum"), seconds(stay.sum_ns)).field(&format!("{name}_mst"), mean);
            *stay = Stay::default();
        }
        point
    }
}

#[allow(clippy::cast_precision_loss, reason = "nanoseconds of years fit to a microsecond")]
fn seconds(ns: i64) -> Value {
    Value::Float(ns as f64 / 1e9)
}

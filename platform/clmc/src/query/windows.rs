//! Windows of time, and what stands in those without points. Pure.

use flame_telemetry::Value;

use super::ast::Operator;
use super::ast::{Every, Fill};
use super::condition::calculated;

// === impl Every ===

impl Every {
    /// When the window of a moment begins. Windows are counted from 1970.
    #[must_use]
    pub fn start_of(self, time_ns: i64) -> i64 {
        let offset_ns = self.offset_ns.rem_euclid(self.width_ns);
        let since = time_ns.wrapping_sub(offset_ns);
        since.saturating_sub(since.rem_euclid(self.width_ns)).saturating_add(offset_ns)
    }

    /// Windows from the one of `from_ns` to the one of `to_ns`, at most `max`.
    #[must_use]
    pub fn starts(self, from_ns: i64, to_ns: i64, max: usize) -> Option<Vec<i64>> {
        let (first, last) = (self.start_of(from_ns), self.start_of(to_ns));
        if last < first {
            return Some(Vec::new());
        }
        let count = (i128::from(last) - i128::from(first)) / i128::from(self.width_ns) + 1;
        if count > max as i128 {
            return None;
        }
        let starts = std::iter::successors(Some(first), |start| start.checked_add(self.width_ns));
        Some(starts.take(usize::try_from(count).ok()?).collect())
    }
}

/// Fills what is missing in the values of windows, which are in the order of their starts.
pub fn fill(values: &mut [Option<Value>], fill: Fill, is_whole: bool) {
    match fill {
        Fill::Null | Fill::Nothing => {}
        Fill::Number(number) => {
            #[allow(clippy::cast_possible_truncation, reason = "a whole number is filled with one")]
            let filled = if is_whole { Value::Integer(number as i64) } else { Value::Float(number) };
            values.iter_mut().filter(|value| value.is_none()).for_each(|value| *value = Some(filled.clone()));
        }
        Fill::Previous => {
            let mut previous = None;
            for value in values {
                match value {
                    Some(value) => previous = Some(value.clone()),
                    None => value.clone_from(&previous),
                }
            }
        }
        Fill::Linear => {
            let known: Vec<usize> = (0..values.len()).filter(|at| values[*at].is_some()).collect();
            for pair in known.windows(2) {
                let [from, to] = [pair[0], pair[1]];
                for at in from + 1..to {
                    values[at] = between(values[from].as_ref(), values[to].as_ref(), at - from, to - from);
                }
            }
        }
    }
}

/// `step` of `steps` of the way from one value to another.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "windows are few; whole numbers stay whole"
)]
fn between(from: Option<&Value>, to: Option<&Value>, step: usize, steps: usize) -> Option<Value> {
    let (from, to) = (from?, to?);
    let slope = calculated(Operator::Minus, to, from)?.number()? / steps as f64;
    let value = from.number()? + slope * step as f64;
    Some(if matches!(from, Value::Integer(_)) { Value::Integer(value as i64) } else { Value::Float(value) })
}

//! One value out of many: the functions that questions and alerts have. Pure.
//!
//! As InfluxDB has them: the mean, median, spread and deviation of whole numbers have fractions; their sum wraps; of equal smallest
//! and largest ones the earliest counts, of first and last ones at the same time the greater.

use std::cmp::Ordering;

use flame_telemetry::Value;
use flame_telemetry::point::Type;

/// A function of many values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregate {
    Mean,
    Median,
    Mode,
    Sum,
    Min,
    Max,
    Count,
    First,
    Last,
    Spread,
    Deviation,
    /// The smallest value that so many per cent are not above.
    Percentile(f64),
}

// === impl Aggregate ===

impl Aggregate {
    /// By its word; `percentile` has an argument.
    #[must_use]
    pub fn of(word: &str, argument: Option<f64>) -> Option<Self> {
        Some(match (word, argument) {
            ("mean", None) => Self::Mean,
            ("median", None) => Self::Median,
            ("mode", None) => Self::Mode,
            ("sum", None) => Self::Sum,
            ("min", None) => Self::Min,
            ("max", None) => Self::Max,
            ("count", None) => Self::Count,
            ("first", None) => Self::First,
            ("last", None) => Self::Last,
            ("spread", None) => Self::Spread,
            ("stddev", None) => Self::Deviation,
            ("percentile", Some(percent)) => Self::Percentile(percent),
            _ => return None,
        })
    }

    /// Whether it gives one of the values, with its time.
    #[must_use]
    pub fn selects(self) -> bool {
        matches!(self, Self::Min | Self::Max | Self::First | Self::Last | Self::Percentile(_))
    }

    /// Whether it can be asked of values of a type.
    #[must_use]
    pub fn takes(self, kind: Type) -> bool {
        match self {
            Self::Count | Self::First | Self::Last | Self::Mode => true,
            Self::Mean
            | Self::Median
            | Self::Sum
            | Self::Min
            | Self::Max
            | Self::Spread
            | Self::Deviation
            | Self::Percentile(_) => matches!(kind, Type::Float | Type::Integer),
        }
    }

    /// The value of `points`, which are in the order of time, and the time of the one that it is, if it is one of them.
    #[must_use]
    pub fn of_points(self, points: &[&(i64, Value)]) -> Option<(Option<i64>, Value)> {
        let one = |point: &&(i64, Value)| (Some(point.0), point.1.clone());
        if points.is_empty() {
            return None;
        }
        let value = match self {
            Self::Count => return Some((None, Value::Integer(i64::try_from(points.len()).unwrap_or(i64::MAX)))),
            Self::First => return points.iter().reduce(|best, point| earlier(best, point, Ordering::Less)).map(one),
            Self::Last => return points.iter().reduce(|best, point| earlier(best, point, Ordering::Greater)).map(one),
            Self::Min => return points.iter().reduce(|best, point| smaller(best, point, Ordering::Less)).map(one),
            Self::Max => return points.iter().reduce(|best, point| smaller(best, point, Ordering::Greater)).map(one),
            Self::Percentile(percent) => return percentile(points, percent).map(one),
            Self::Mode => return mode(points).map(|value| (None, value)),
            Self::Sum => sum(points)?,
            Self::Mean => Value::Float(mean(points)?),
            Self::Median => Value::Float(median(points)?),
            Self::Spread => spread(points)?,
            Self::Deviation => Value::Float(deviation(points)?),
        };
        Some((None, value))
    }
}

/// Values of one field have one type; numbers are compared as numbers.
fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Integer(left), Value::Integer(right)) => left.cmp(right),
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Boolean(left), Value::Boolean(right)) => left.cmp(right),
        (left, right) => {
            let [left, right] = [left, right].map(|value| value.number().unwrap_or_default());
            left.partial_cmp(&right).unwrap_or(Ordering::Equal)
        }
    }
}

type Point<'a> = &'a &'a (i64, Value);

/// Of two, the one whose time is on the wanted side; at the same time the greater.
fn earlier<'a>(best: Point<'a>, point: Point<'a>, wanted: Ordering) -> Point<'a> {
    let order = point.0.cmp(&best.0);
    let is_better = order == wanted || (order == Ordering::Equal && compare(&point.1, &best.1) == Ordering::Greater);
    if is_better { point } else { best }
}

/// Of two, the one whose value is on the wanted side; of equal ones the earlier.
fn smaller<'a>(best: Point<'a>, point: Point<'a>, wanted: Ordering) -> Point<'a> {
    let order = compare(&point.1, &best.1);
    let is_better = order == wanted || (order == Ordering::Equal && point.0 < best.0);
    if is_better { point } else { best }
}

fn numbers<'a>(points: &'a [&(i64, Value)]) -> impl Iterator<Item = f64> + 'a {
    points.iter().filter_map(|point| point.1.number())
}

fn sum(points: &[&(i64, Value)]) -> Option<Value> {
    let whole = |point: &&(i64, Value)| if let Value::Integer(number) = &point.1 { Some(*number) } else { None };
    match points.iter().map(whole).collect::<Option<Vec<i64>>>() {
        Some(whole) if !whole.is_empty() => Some(Value::Integer(whole.into_iter().fold(0, i64::wrapping_add))),
        Some(_) => None,
        None => Some(Value::Float(numbers(points).sum())),
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of points fit")]
fn mean(points: &[&(i64, Value)]) -> Option<f64> {
    sum(points)?.number().map(|sum| sum / points.len() as f64)
}

fn in_order(points: &[&(i64, Value)]) -> Vec<f64> {
    let mut sorted: Vec<f64> = numbers(points).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(points: &[&(i64, Value)]) -> Option<f64> {
    let sorted = in_order(points);
    let middle = sorted.len() / 2;
    let high = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(high);
    }
    let low = *sorted.get(middle.checked_sub(1)?)?;
    Some(low + (high - low) / 2.0)
}

/// The value that is there most often; of several the smallest.
fn mode(points: &[&(i64, Value)]) -> Option<Value> {
    let mut sorted: Vec<&Value> = points.iter().map(|point| &point.1).collect();
    sorted.sort_by(|left, right| compare(left, right));
    let runs = sorted.chunk_by(|left, right| compare(left, right) == Ordering::Equal);
    let longest = runs.reduce(|best, run| if run.len() > best.len() { run } else { best })?;
    longest.first().map(|value| (*value).clone())
}

fn spread(points: &[&(i64, Value)]) -> Option<Value> {
    let at = |aggregate: Aggregate| aggregate.of_points(points).map(|(_, value)| value);
    Some(match (at(Aggregate::Min)?, at(Aggregate::Max)?) {
        (Value::Integer(low), Value::Integer(high)) => Value::Integer(high.wrapping_sub(low)),
        (low, high) => Value::Float(high.number()? - low.number()?),
    })
}

/// Of a sample (divided by one less than there are); of a single value none.
#[allow(clippy::cast_precision_loss, reason = "counts of points fit")]
fn deviation(points: &[&(i64, Value)]) -> Option<f64> {
    if points.len() < 2 {
        return None;
    }
    let mean = numbers(points).sum::<f64>() / points.len() as f64;
    let squares: f64 = numbers(points).map(|number| (number - mean).powi(2)).sum();
    Some((squares / (points.len() - 1) as f64).sqrt())
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place among points"
)]
fn percentile<'a>(points: &'a [&'a (i64, Value)], percent: f64) -> Option<Point<'a>> {
    let mut sorted: Vec<Point<'a>> = points.iter().collect();
    sorted.sort_by(|left, right| compare(&left.1, &right.1));
    let place = (sorted.len() as f64 * percent / 100.0 + 0.5).floor() - 1.0;
    if place < 0.0 { None } else { sorted.get(place as usize).copied() }
}

//! `WHERE`: the time that is asked for, and what a series and a row must be. Pure.

use std::cmp::Ordering;

use flame_telemetry::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::QueryError;
use super::ast::{Expr, Operator, Pattern};
use crate::series::Tags;

/// A condition, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The earliest time, nanoseconds since 1970; `None` where there is no bound.
    pub from_ns: Option<i64>,
    /// The latest time, included.
    pub to_ns: Option<i64>,
    /// What else is asked.
    pub rest: Option<Expr>,
}

/// What a name stands for in a row.
enum Operand<'a> {
    Value(Value),
    Pattern(&'a Pattern),
    /// The row has none.
    Missing,
    /// Nothing is known of the row yet.
    Unknown,
}

/// What is known of fields while a condition is tested.
pub enum Row<'a> {
    /// Nothing: only the series is judged.
    Any,
    /// The value of a field at a moment.
    At(&'a dyn Fn(&str) -> Option<Value>),
}

/// Takes the bounds of time out of a condition.
pub fn split(condition: Option<&Expr>, now_ns: i64) -> Result<Condition, QueryError> {
    let mut split = Condition { from_ns: None, to_ns: None, rest: None };
    if let Some(condition) = condition {
        split.take(condition, now_ns)?;
    }
    Ok(split)
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Name(name) if name.eq_ignore_ascii_case("time"))
}

fn names_time(expr: &Expr) -> bool {
    let mut found = false;
    expr.walk(&mut |part| found |= is_time(part));
    found
}

/// The moment that an expression says, nanoseconds since 1970.
fn moment(expr: &Expr, now_ns: i64) -> Result<i64, QueryError> {
    let invalid =
        || QueryError::new("a time is compared with a moment: now() - 1h, '2026-11-27T09:00:00Z', or nanoseconds");
    Ok(match expr {
        Expr::Integer(ns) | Expr::Duration(ns) => *ns,
        Expr::Text(text) => parsed(text).ok_or_else(|| QueryError::new(format!("invalid time: '{text}'")))?,
        Expr::Call(name, arguments) if name == "now" && arguments.is_empty() => now_ns,
        Expr::Binary(Operator::Plus, left, right) => {
            moment(left, now_ns)?.checked_add(moment(right, now_ns)?).ok_or_else(invalid)?
        }
        Expr::Binary(Operator::Minus, left, right) => {
            moment(left, now_ns)?.checked_sub(moment(right, now_ns)?).ok_or_else(invalid)?
        }
        _ => return Err(invalid()),
    })
}

/// `2026-11-27T09:00:00Z`, `2026-11-27 09:00:00.5`, `2026-11-27`.
fn parsed(text: &str) -> Option<i64> {
    let spelt = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        _ => {
            let joined = text.replacen(' ', "T", 1);
            let has_zone = joined.ends_with(['Z', 'z']) || joined.get(19..).is_some_and(|end| end.contains(['+', '-']));
            if has_zone { joined } else { format!("{joined}Z") }
        }
    };
    let moment = OffsetDateTime::parse(&spelt, &Rfc3339).ok()?;
    i64::try_from(moment.unix_timestamp_nanos()).ok()
}

// === impl Condition ===

impl Condition {
    fn take(&mut self, expr: &Expr, now_ns: i64) -> Result<(), QueryError> {
        match expr {
            Expr::Binary(Operator::And, left, right) => {
                self.take(left, now_ns)?;
                self.take(right, now_ns)
            }
            Expr::Binary(operator, left, right) if is_time(left) => self.bound(*operator, moment(right, now_ns)?),
            Expr::Binary(operator, left, right) if is_time(right) => {
                self.bound(mirrored(*operator), moment(left, now_ns)?)
            }
            _ if names_time(expr) => Err(QueryError::new("conditions on time are joined by AND with the others")),
            _ => {
                let rest = match self.rest.take() {
                    Some(rest) => Expr::Binary(Operator::And, Box::new(rest), Box::new(expr.clone())),
                    None => expr.clone(),
                };
                self.rest = Some(rest);
                Ok(())
            }
        }
    }

    fn bound(&mut self, operator: Operator, ns: i64) -> Result<(), QueryError> {
        let (from_ns, to_ns) = match operator {
            Operator::Equal => (Some(ns), Some(ns)),
            Operator::Greater => (Some(ns.saturating_add(1)), None),
            Operator::GreaterOrEqual => (Some(ns), None),
            Operator::Less => (None, Some(ns.saturating_sub(1))),
            Operator::LessOrEqual => (None, Some(ns)),
            _ => return Err(QueryError::new("a time is compared with =, <, <=, > or >=")),
        };
        self.from_ns = self.from_ns.into_iter().chain(from_ns).max();
        self.to_ns = self.to_ns.into_iter().chain(to_ns).min();
        Ok(())
    }
}

fn mirrored(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
        other => other,
    }
}

/// Whether a condition holds. `None`: that depends on the row, of which nothing is known.
pub fn holds(expr: &Expr, tags: &Tags, is_field: &dyn Fn(&str) -> bool, row: &Row<'_>) -> Option<bool> {
    let Expr::Binary(operator, left, right) = expr else {
        return Some(matches!(expr, Expr::Boolean(true)));
    };
    match operator {
        Operator::And | Operator::Or => {
            let sides = (holds(left, tags, is_field, row), holds(right, tags, is_field, row));
            let decides = *operator == Operator::Or;
            match sides {
                (Some(one), _) | (_, Some(one)) if one == decides => Some(decides),
                (Some(_), Some(_)) => Some(!decides),
                (None, _) | (_, None) => None,
            }
        }
        _ => {
            let operand = |expr| operand(expr, tags, is_field, row);
            match (operand(left), operand(right)) {
                (Operand::Unknown, _) | (_, Operand::Unknown) => None,
                (Operand::Value(left), Operand::Value(right)) => Some(compared(*operator, &left, &right)),
                (Operand::Value(Value::Text(text)), Operand::Pattern(pattern)) => match operator {
                    Operator::Matches => Some(pattern.matches(&text)),
                    Operator::MatchesNot => Some(!pattern.matches(&text)),
                    _ => Some(false),
                },
                (Operand::Missing | Operand::Value(_) | Operand::Pattern(_), _) => Some(false),
            }
        }
    }
}

fn operand<'a>(expr: &'a Expr, tags: &Tags, is_field: &dyn Fn(&str) -> bool, row: &Row<'_>) -> Operand<'a> {
    match expr {
        Expr::Pattern(pattern) => Operand::Pattern(pattern),
        Expr::Name(name) if is_field(name) => match row {
            Row::Any => Operand::Unknown,
            Row::At(value) => value(name).map_or(Operand::Missing, Operand::Value),
        },
        // A tag that a series has not is empty.
        Expr::Name(name) => Operand::Value(Value::Text(tags.get(name).cloned().unwrap_or_default())),
        Expr::Float(number) => Operand::Value(Value::Float(*number)),
        Expr::Integer(number) => Operand::Value(Value::Integer(*number)),
        Expr::Text(text) => Operand::Value(Value::Text(text.clone())),
        Expr::Boolean(value) => Operand::Value(Value::Boolean(*value)),
        Expr::Binary(operator, left, right) => {
            match (operand(left, tags, is_field, row), operand(right, tags, is_field, row)) {
                (Operand::Value(left), Operand::Value(right)) => {
                    calculated(*operator, &left, &right).map_or(Operand::Missing, Operand::Value)
                }
                (Operand::Unknown, _) | (_, Operand::Unknown) => Operand::Unknown,
                (Operand::Value(_) | Operand::Pattern(_) | Operand::Missing, _) => Operand::Missing,
            }
        }
        Expr::All { .. } | Expr::Duration(_) | Expr::Call(..) => Operand::Missing,
    }
}

fn compared(operator: Operator, left: &Value, right: &Value) -> bool {
    let order = match (left, right) {
        (Value::Integer(left), Value::Integer(right)) => Some(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Boolean(left), Value::Boolean(right)) => Some(left.cmp(right)),
        _ => left.number().zip(right.number()).and_then(|(left, right)| left.partial_cmp(&right)),
    };
    let Some(order) = order else { return false };
    match operator {
        Operator::Equal => order == Ordering::Equal,
        Operator::NotEqual => order != Ordering::Equal,
        // Texts have no order in this language.
        _ if matches!(left, Value::Text(_)) => false,
        Operator::Less => order == Ordering::Less,
        Operator::LessOrEqual => order != Ordering::Greater,
        Operator::Greater => order == Ordering::Greater,
        Operator::GreaterOrEqual => order != Ordering::Less,
        _ => false,
    }
}

/// Two numbers, calculated; whole ones stay whole but in a division.
pub fn calculated(operator: Operator, left: &Value, right: &Value) -> Option<Value> {
    if let (Value::Integer(left), Value::Integer(right)) = (left, right) {
        let whole = match operator {
            Operator::Plus => Some(left.wrapping_add(*right)),
            Operator::Minus => Some(left.wrapping_sub(*right)),
            Operator::Times => Some(left.wrapping_mul(*right)),
            _ => None,
        };
        if let Some(whole) = whole {
            return Some(Value::Integer(whole));
        }
    }
    let (left, right) = (left.number()?, right.number()?);
    Some(Value::Float(match operator {
        Operator::Plus => left + right,
        Operator::Minus => left - right,
        Operator::Times => left * right,
        // As InfluxDB has it, for charts.
        Operator::Over if right == 0.0 => 0.0,
        Operator::Over => left / right,
        _ => return None,
    }))
}

//! `SELECT` on series that have been read: groups, windows, columns. Pure.
//!
//! What comes out is what InfluxDB 1.x gives for the same points; the tests compare the two.

use std::collections::{BTreeMap, BTreeSet};

use flame_telemetry::Value;
use flame_telemetry::point::Type;

use super::QueryError;
use super::aggregate::Aggregate;
use super::ast::{Dimension, Expr, Fill, Select};
use super::condition::{self, Condition, Row};
use super::windows;
use crate::series::{Column, Series, Shape, Tags};

/// A table of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The measurement.
    pub name: String,
    /// What it was grouped by.
    pub tags: Option<Tags>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows.
    pub values: Vec<Vec<Cell>>,
}

/// A place in a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A moment, nanoseconds since 1970.
    Time(i64),
    /// A value.
    Value(Value),
}

/// What a `SELECT` asks of one measurement.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    pub select: &'a Select,
    pub condition: &'a Condition,
    pub measurement: &'a str,
    pub shape: &'a Shape,
    /// The end of the last window, where the question names none.
    pub now_ns: i64,
    pub rows_max: usize,
}

/// A column that is an expression over fields, tags and calls.
struct Output {
    name: String,
    expr: Expr,
}

/// Points of a group, a column of values a call.
type Called<'a> = BTreeMap<String, Vec<&'a (i64, Value)>>;

/// Fields that a question reads: those that it names, or all of them.
pub fn fields_of(question: &Question<'_>) -> Option<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut is_all = false;
    let mut look = |part: &Expr| match part {
        Expr::Name(name) => drop(names.insert(name.clone())),
        Expr::All { .. } | Expr::Pattern(_) => is_all = true,
        _ => {}
    };
    question.select.columns.iter().for_each(|column| column.expr.walk(&mut look));
    if is_all {
        return None;
    }
    if let Some(rest) = &question.condition.rest {
        let mut look = |part: &Expr| {
            if let Expr::Name(name) = part {
                names.insert(name.clone());
            }
        };
        rest.walk(&mut look);
    }
    Some(names)
}

/// Columns that the bound of rows is meant for.
const COLUMNS_USUAL: usize = 16;

/// Answers a question from `series`, which are those that the condition on tags leaves.
pub fn evaluate(question: &Question<'_>, mut series: Vec<Series>) -> Result<Vec<Table>, QueryError> {
    if let Some(rest) = &question.condition.rest {
        series.iter_mut().for_each(|series| keep_rows(series, rest, question.shape));
        series.retain(|series| !series.columns.is_empty());
    }
    series.sort_by(|left, right| left.tags.cmp(&right.tags));
    let dimensions = dimensions(question.select, question.shape);
    let outputs = outputs(question, &dimensions)?;
    let mut groups: BTreeMap<Vec<String>, Vec<&Series>> = BTreeMap::new();
    for one in &series {
        let key = dimensions.iter().map(|name| one.tags.get(name).cloned().unwrap_or_default()).collect();
        groups.entry(key).or_default().push(one);
    }
    let is_aggregate = outputs.iter().any(|output| has_call(&output.expr));
    let mut tables = Vec::new();
    // Wide rows count for more.
    let mut rows_left = question.rows_max.saturating_mul(COLUMNS_USUAL) / (outputs.len() + 1).max(COLUMNS_USUAL);
    for (key, members) in groups {
        let values = if is_aggregate {
            aggregated(question, &outputs, &members, rows_left)?
        } else {
            raw(question, &outputs, &members, rows_left)?
        };
        rows_left = rows_left.saturating_sub(values.len());
        let values = limited(values, question.select.is_descending, question.select.offset, question.select.limit);
        if values.is_empty() {
            continue;
        }
        let tags = (!dimensions.is_empty()).then(|| dimensions.iter().cloned().zip(key).collect());
        let columns = std::iter::once("time".to_owned()).chain(outputs.iter().map(|output| output.name.clone()));
        tables.push(Table { name: question.measurement.to_owned(), tags, columns: columns.collect(), values });
    }
    let (limit, offset) = (question.select.series_limit, question.select.series_offset);
    Ok(limited(tables, false, offset, limit))
}

fn limited<T>(mut rows: Vec<T>, is_descending: bool, offset: usize, limit: usize) -> Vec<T> {
    if is_descending {
        rows.reverse();
    }
    let limit = if limit == 0 { usize::MAX } else { limit };
    rows.into_iter().skip(offset).take(limit).collect()
}

/// Leaves the values at moments at which the condition holds.
fn keep_rows(series: &mut Series, rest: &Expr, shape: &Shape) {
    let is_field = |name: &str| shape.fields.contains_key(name);
    if condition::holds(rest, &series.tags, &is_field, &Row::Any) == Some(true) {
        return;
    }
    let times: BTreeSet<i64> = series.columns.values().flatten().map(|(time_ns, _)| *time_ns).collect();
    let kept: BTreeSet<i64> = times
        .into_iter()
        .filter(|time_ns| {
            let value = |name: &str| value_at(series.columns.get(name)?, *time_ns).cloned();
            condition::holds(rest, &series.tags, &is_field, &Row::At(&value)) == Some(true)
        })
        .collect();
    series.columns.values_mut().for_each(|column| column.retain(|(time_ns, _)| kept.contains(time_ns)));
    series.columns.retain(|_, column| !column.is_empty());
}

fn value_at(column: &Column, time_ns: i64) -> Option<&Value> {
    column.binary_search_by_key(&time_ns, |(time_ns, _)| *time_ns).ok().map(|at| &column[at].1)
}

/// The tags that are grouped by, in order.
fn dimensions(select: &Select, shape: &Shape) -> Vec<String> {
    let all: BTreeSet<&String> = shape.series.iter().flat_map(|tags| tags.keys()).collect();
    let mut names = BTreeSet::new();
    for dimension in &select.dimensions {
        match dimension {
            Dimension::Tag(name) => drop(names.insert(name.clone())),
            Dimension::All => names.extend(all.iter().map(|name| (*name).clone())),
            Dimension::Matching(pattern) => {
                names.extend(all.iter().filter(|name| pattern.matches(name)).map(|name| (*name).clone()));
            }
        }
    }
    names.into_iter().collect()
}

fn has_call(expr: &Expr) -> bool {
    let mut found = false;
    expr.walk(&mut |part| found |= matches!(part, Expr::Call(..)));
    found
}

/// The columns of the answer: `*` stands for what there is, names that come twice get a number.
fn outputs(question: &Question<'_>, dimensions: &[String]) -> Result<Vec<Output>, QueryError> {
    let shape = question.shape;
    let mut outputs: Vec<Output> = Vec::new();
    for column in &question.select.columns {
        let name = column.alias.clone().unwrap_or_else(|| column.expr.column_name());
        match &column.expr {
            Expr::All { fields, tags } => {
                let tags =
                    shape.series.iter().flat_map(|tags| tags.keys()).filter(|name| *tags && !dimensions.contains(name));
                let fields = shape.fields.keys().filter(|_| *fields);
                let names: BTreeSet<&String> = fields.chain(tags).collect();
                outputs.extend(
                    names.into_iter().map(|name| Output { name: name.clone(), expr: Expr::Name(name.clone()) }),
                );
            }
            Expr::Pattern(pattern) => {
                let names = shape.fields.keys().filter(|name| pattern.matches(name));
                outputs.extend(names.map(|name| Output { name: name.clone(), expr: Expr::Name(name.clone()) }));
            }
            Expr::Call(function, arguments)
                if matches!(arguments.first(), Some(Expr::All { .. } | Expr::Pattern(_))) =>
            {
                let aggregate = aggregate(function, arguments)?;
                let is_meant = |name: &&String| match arguments.first() {
                    Some(Expr::Pattern(pattern)) => pattern.matches(name),
                    _ => true,
                };
                for (field, _) in shape.fields.iter().filter(|(name, kind)| is_meant(name) && aggregate.takes(**kind)) {
                    let mut arguments = arguments.clone();
                    arguments[0] = Expr::Name(field.clone());
                    let expr = Expr::Call(function.clone(), arguments);
                    outputs.push(Output { name: format!("{name}_{field}"), expr });
                }
            }
            expr => outputs.push(Output { name, expr: expr.clone() }),
        }
    }
    let with_calls = outputs.iter().filter(|output| has_call(&output.expr)).count();
    let constants =
        outputs.iter().filter(|output| !has_call(&output.expr) && names_of(&output.expr).is_empty()).count();
    if with_calls > 0 && with_calls + constants < outputs.len() {
        return Err(QueryError::new("mixing aggregate and non-aggregate queries is not supported"));
    }
    if with_calls == 0 && question.select.every.is_some() {
        return Err(QueryError::new("GROUP BY requires at least one aggregate function"));
    }
    for output in &outputs {
        check_calls(&output.expr, shape)?;
    }
    let mut taken = BTreeSet::new();
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for output in &mut outputs {
        // Goes on where the last one of that name ended.
        while !taken.insert(output.name.clone()) {
            let number = numbers.entry(output.name.clone()).or_default();
            *number += 1;
            let name = format!("{}_{number}", output.name);
            if !taken.contains(&name) {
                output.name = name;
            }
        }
    }
    Ok(outputs)
}

fn names_of(expr: &Expr) -> Vec<&String> {
    let mut names = Vec::new();
    expr.walk(&mut |part| {
        if let Expr::Name(name) = part {
            names.push(name);
        }
    });
    names
}

fn aggregate(function: &str, arguments: &[Expr]) -> Result<Aggregate, QueryError> {
    #[allow(clippy::cast_precision_loss, reason = "a percentile")]
    let argument = match arguments {
        [_] => None,
        [_, Expr::Integer(number)] => Some(*number as f64),
        [_, Expr::Float(number)] => Some(*number),
        _ => return Err(QueryError::new(format!("invalid number of arguments for {function}"))),
    };
    let undefined = || {
        QueryError::new(format!(
            "undefined function {function}(): there are mean, median, mode, sum, min, max, count, first, last, spread, stddev and percentile"
        ))
    };
    Aggregate::of(function, argument).ok_or_else(undefined)
}

/// Refuses calls of what is not there, and of values that a function does not take.
fn check_calls(expr: &Expr, shape: &Shape) -> Result<(), QueryError> {
    match expr {
        Expr::Call(function, arguments) => {
            let aggregate = aggregate(function, arguments)?;
            let Some(Expr::Name(field)) = arguments.first() else {
                return Err(QueryError::new(format!("expected field argument in {function}()")));
            };
            match shape.fields.get(field) {
                Some(kind) if !aggregate.takes(*kind) => {
                    Err(QueryError::new(format!("unsupported {function} of field {field:?}: it is a {}", kind.word())))
                }
                Some(_) | None => Ok(()),
            }
        }
        Expr::Binary(_, left, right) => {
            check_calls(left, shape)?;
            check_calls(right, shape)
        }
        _ => Ok(()),
    }
}

/// Rows of what was written, by time.
fn raw(
    question: &Question<'_>,
    outputs: &[Output],
    members: &[&Series],
    rows_max: usize,
) -> Result<Vec<Vec<Cell>>, QueryError> {
    let fields: BTreeSet<&String> = outputs.iter().flat_map(|output| names_of(&output.expr)).collect();
    let is_field = |name: &str| question.shape.fields.contains_key(name);
    let mut rows: Vec<(i64, Vec<Cell>)> = Vec::new();
    for series in members {
        let columns = || series.columns.iter().filter(|(name, _)| fields.contains(name));
        let times: BTreeSet<i64> =
            columns().flat_map(|(_, column)| column.iter().map(|(time_ns, _)| *time_ns)).collect();
        if rows.len() + times.len() > rows_max {
            return Err(too_many_rows(question.rows_max));
        }
        for time_ns in times {
            let value = |expr: &Expr| match expr {
                Expr::Name(name) if is_field(name) => value_at(series.columns.get(name)?, time_ns).cloned(),
                Expr::Name(name) => series.tags.get(name).cloned().map(Value::Text),
                _ => None,
            };
            let cells = outputs.iter().map(|output| calculate(&output.expr, &value).map_or(Cell::Null, Cell::Value));
            rows.push((time_ns, std::iter::once(Cell::Time(time_ns)).chain(cells).collect()));
        }
    }
    rows.sort_by_key(|(time_ns, _)| *time_ns);
    Ok(rows.into_iter().map(|(_, cells)| cells).collect())
}

fn too_many_rows(rows_max: usize) -> QueryError {
    QueryError::new(format!("the answer has more than {rows_max} rows: narrow the time, or widen the windows"))
}

/// The value of an expression whose names and calls `value` knows.
fn calculate(expr: &Expr, value: &impl Fn(&Expr) -> Option<Value>) -> Option<Value> {
    match expr {
        Expr::Binary(operator, left, right) => {
            condition::calculated(*operator, &calculate(left, value)?, &calculate(right, value)?)
        }
        Expr::Float(number) => Some(Value::Float(*number)),
        Expr::Integer(number) => Some(Value::Integer(*number)),
        Expr::Text(text) => Some(Value::Text(text.clone())),
        Expr::Boolean(value) => Some(Value::Boolean(*value)),
        named => value(named),
    }
}

/// Rows of windows, or the one row of all the time.
fn aggregated(
    question: &Question<'_>,
    outputs: &[Output],
    members: &[&Series],
    rows_max: usize,
) -> Result<Vec<Vec<Cell>>, QueryError> {
    let mut calls: Vec<&Expr> = Vec::new();
    let mut look = |part| {
        if matches!(part, &Expr::Call(..)) && !calls.contains(&part) {
            calls.push(part);
        }
    };
    outputs.iter().for_each(|output| output.expr.walk(&mut look));
    let points: Called<'_> =
        calls.iter().filter_map(|call| Some((field_of(call)?.clone(), merged(members, field_of(call)?)))).collect();
    if points.values().all(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let of = |call: &Expr| field_of(call).and_then(|field| points.get(field)).map(Vec::as_slice).unwrap_or_default();
    let first_ns = points.values().filter_map(|points| points.first()).map(|point| point.0).min().unwrap_or_default();
    let Some(every) = question.select.every else {
        return Ok(vec![whole(question, outputs, &calls, of)?]);
    };
    let to_ns = question.condition.to_ns.unwrap_or(question.now_ns);
    let starts = match question.select.fill {
        Fill::Nothing => {
            let all: BTreeSet<i64> = points.values().flatten().map(|point| every.start_of(point.0)).collect();
            all.into_iter().collect()
        }
        _ => every
            .starts(question.condition.from_ns.unwrap_or(first_ns), to_ns, rows_max)
            .ok_or_else(|| too_many_rows(question.rows_max))?,
    };
    if starts.len() > rows_max {
        return Err(too_many_rows(question.rows_max));
    }
    let mut columns = Vec::new();
    for call in &calls {
        let Expr::Call(function, arguments) = call else { continue };
        let aggregate = aggregate(function, arguments)?;
        let points = of(call);
        let mut values: Vec<Option<Value>> = vec![None; starts.len()];
        for window in points.chunk_by(|left, right| every.start_of(left.0) == every.start_of(right.0)) {
            let start = every.start_of(window[0].0);
            if let Ok(at) = starts.binary_search(&start) {
                values[at] = aggregate.of_points(window).map(|(_, value)| value);
            }
        }
        // Of what is nowhere, nothing is filled; how many there are is 0 where there are none.
        if !points.is_empty() {
            let fill = match (aggregate, question.select.fill) {
                (Aggregate::Count, Fill::Null) => Fill::Number(0.0),
                (_, fill) => fill,
            };
            let kind = field_of(call).and_then(|field| question.shape.fields.get(field));
            let keeps_kind = !matches!(aggregate, Aggregate::Mean | Aggregate::Median | Aggregate::Deviation);
            let is_whole = aggregate == Aggregate::Count || (keeps_kind && kind == Some(&Type::Integer));
            windows::fill(&mut values, fill, is_whole);
        }
        columns.push(values);
    }
    let rows = starts.iter().enumerate().map(|(at, start)| {
        let value = |expr: &Expr| columns[calls.iter().position(|call| *call == expr)?][at].clone();
        let cells = outputs.iter().map(|output| calculate(&output.expr, &value).map_or(Cell::Null, Cell::Value));
        std::iter::once(Cell::Time(*start)).chain(cells).collect()
    });
    Ok(rows.collect())
}

/// The one row of all the time. It has the time of the point that it is, where it is one of them; else that of the beginning.
fn whole<'a>(
    question: &Question<'_>,
    outputs: &[Output],
    calls: &[&Expr],
    of: impl Fn(&Expr) -> &'a [&'a (i64, Value)],
) -> Result<Vec<Cell>, QueryError> {
    let mut found = Vec::new();
    for call in calls {
        let Expr::Call(function, arguments) = call else { continue };
        found.push((*call, aggregate(function, arguments)?.of_points(of(call))));
    }
    let selected = match &found[..] {
        [(Expr::Call(function, arguments), Some((time_ns, _)))] if aggregate(function, arguments)?.selects() => {
            *time_ns
        }
        _ => None,
    };
    let time_ns = selected.or(question.condition.from_ns).unwrap_or_default();
    let value = |expr: &Expr| found.iter().find(|(call, _)| *call == expr)?.1.clone().map(|(_, value)| value);
    let cells = outputs.iter().map(|output| calculate(&output.expr, &value).map_or(Cell::Null, Cell::Value));
    Ok(std::iter::once(Cell::Time(time_ns)).chain(cells).collect())
}

fn field_of(call: &Expr) -> Option<&String> {
    match call {
        Expr::Call(_, arguments) => match arguments.first() {
            Some(Expr::Name(field)) => Some(field),
            Some(_) | None => None,
        },
        _ => None,
    }
}

/// The points of a field of several series, by time.
fn merged<'a>(members: &[&'a Series], field: &str) -> Vec<&'a (i64, Value)> {
    let mut points: Vec<&(i64, Value)> =
        members.iter().filter_map(|series| series.columns.get(field)).flatten().collect();
    points.sort_by_key(|point| point.0);
    points
}

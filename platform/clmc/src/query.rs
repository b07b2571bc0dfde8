//! Questions in InfluxQL: read ([`parser`]), answered from what the store has ([`evaluate`]), said as InfluxDB says it
//! ([`answer`]).
//!
//! Reading and answering are pure; this file is the thin part, which brings the one to the other. What a question may
//! cost is bounded: values read, rows answered.

pub mod aggregate;
pub mod answer;
pub mod ast;
pub mod condition;
pub mod evaluate;
mod lexer;
pub mod parser;
mod show;
#[cfg(test)]
mod tests;
mod windows;

use std::cell;
use std::collections::BTreeMap;

use flame_telemetry::Value;

use crate::config::QueryConfig;
use crate::series::{Shape, Tags};
use crate::store::{ScanError, Selection, Store, StoreError};
use ast::{Select, Show, Shown, Source, SourceName, Statement};
use condition::Row;
use evaluate::{Cell, Question, Table};

/// Why a statement has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// It cannot be asked.
    #[error("{0}")]
    Refused(String),
    /// The store does not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored was not read.
    #[error(transparent)]
    Scan(#[from] ScanError),
}

/// What is left of the bounds of a request, whatever it asks in how many statements.
#[derive(Debug)]
pub struct Budget {
    values: cell::Cell<usize>,
    rows: cell::Cell<usize>,
}

/// Who asks, and of what.
#[derive(Debug)]
pub struct Asker<'a> {
    pub store: &'a Store,
    pub tenant: &'a str,
    /// The database of statements that name none.
    pub database: Option<&'a str>,
    pub now_ns: i64,
    pub budget: Budget,
}

// === impl Budget ===

impl Budget {
    /// All that one request may read and get.
    pub fn new(limits: &QueryConfig) -> Self {
        Self { values: cell::Cell::new(limits.values_max), rows: cell::Cell::new(limits.rows_max) }
    }
}

fn spend(budget: &cell::Cell<usize>, count: usize) {
    budget.set(budget.get().saturating_sub(count));
}

// === impl QueryError ===

impl QueryError {
    fn new(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }
}

// === impl Asker ===

impl Asker<'_> {
    /// Answers one statement.
    pub fn ask(&self, statement: &Statement) -> Result<Vec<Table>, QueryError> {
        match statement {
            Statement::Select(select) => self.select(select),
            Statement::Show(show) => self.show(show),
            Statement::ShowDatabases => {
                let text = |name: String| vec![Cell::Value(Value::Text(name))];
                let values = self.store.databases(self.tenant).into_iter().map(text).collect();
                Ok(vec![Table { name: "databases".to_owned(), tags: None, columns: vec!["name".to_owned()], values }])
            }
            Statement::ShowRetentionPolicies => {
                let columns =
                    ["name", "duration", "shardGroupDuration", "replicaN", "default"].map(str::to_owned).into();
                let text = |text: &str| Cell::Value(Value::Text(text.to_owned()));
                let policy = vec![
                    text("autogen"),
                    text("0s"),
                    text("168h0m0s"),
                    Cell::Value(Value::Integer(1)),
                    Cell::Value(Value::Boolean(true)),
                ];
                Ok(vec![Table { name: String::new(), tags: None, columns, values: vec![policy] }])
            }
            Statement::CreateDatabase(name) => Ok(self.store.create(self.tenant, name).map(|()| Vec::new())?),
            Statement::DropDatabase(name) => Ok(self.store.drop_database(self.tenant, name).map(|()| Vec::new())?),
        }
    }

    fn database<'a>(&'a self, named: Option<&'a String>) -> Result<&'a str, QueryError> {
        let named = named.map(String::as_str).or(self.database).filter(|name| !name.is_empty());
        named.ok_or_else(|| QueryError::new("database name required"))
    }

    fn select(&self, select: &Select) -> Result<Vec<Table>, QueryError> {
        let condition = condition::split(select.condition.as_ref(), self.now_ns)?;
        let mut tables = Vec::new();
        for source in &select.sources {
            let database = self.database(source.database.as_ref())?;
            for measurement in self.measurements(database, source)? {
                let Some(shape) = self.store.shape(self.tenant, database, &measurement)? else { continue };
                let question = Question {
                    select,
                    condition: &condition,
                    measurement: &measurement,
                    shape: &shape,
                    now_ns: self.now_ns,
                    rows_max: self.budget.rows.get(),
                };
                tables.extend(self.answer(&question, database)?);
            }
        }
        Ok(tables)
    }

    fn answer(&self, question: &Question<'_>, database: &str) -> Result<Vec<Table>, QueryError> {
        let Question { condition, shape, .. } = question;
        let is_field = |name: &str| shape.fields.contains_key(name);
        let series = |tags: &Tags| match &condition.rest {
            None => true,
            Some(rest) => condition::holds(rest, tags, &is_field, &Row::Any) != Some(false),
        };
        let fields = evaluate::fields_of(question);
        // As InfluxDB has it: windows end now, where nothing else is said; points of the future are asked for by name.
        let has_windows = question.select.every.is_some();
        let to_ns = condition.to_ns.unwrap_or(if has_windows { self.now_ns } else { i64::MAX });
        let selection = Selection {
            measurement: question.measurement,
            series: &series,
            fields: fields.as_ref(),
            from_ns: condition.from_ns.unwrap_or(i64::MIN),
            to_ns,
        };
        let found = self.store.read(self.tenant, database, selection, (self.now_ns, self.budget.values.get()))?;
        spend(&self.budget.values, found.iter().flat_map(|series| series.columns.values()).map(Vec::len).sum());
        let tables = evaluate::evaluate(question, found)?;
        spend(&self.budget.rows, tables.iter().map(|table| table.values.len()).sum());
        Ok(tables)
    }

    fn measurements(&self, database: &str, source: &Source) -> Result<Vec<String>, QueryError> {
        Ok(match &source.name {
            SourceName::Is(name) => {
                // Says whether there is such a database.
                self.store.measurements(self.tenant, database)?;
                vec![name.clone()]
            }
            SourceName::Matches(pattern) => {
                let names = self.store.measurements(self.tenant, database)?;
                names.into_iter().filter(|name| pattern.matches(name)).collect()
            }
        })
    }

    fn show(&self, show: &Show) -> Result<Vec<Table>, QueryError> {
        let named = show.sources.iter().find_map(|source| source.database.as_ref());
        let database = self.database(show.database.as_ref().or(named))?;
        let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
        for name in self.store.measurements(self.tenant, database)? {
            if show::is_meant(show, &name) {
                let is_named_only = show.what == Shown::Measurements && show.condition.is_none();
                let shape = if is_named_only { None } else { self.store.shape(self.tenant, database, &name)? };
                shapes.insert(name, shape.unwrap_or_default());
            }
        }
        Ok(show::show(show, &shapes))
    }
}

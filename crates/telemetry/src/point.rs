//! One measurement at one moment. It never leaves the process by itself.

use crate::context::Context;

/// A measurement: its name, who took it, what was measured, when.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its name.
    pub measurement: String,
    /// What it is told apart by.
    pub tags: Vec<(String, String)>,
    /// What was measured.
    pub fields: Vec<(String, Value)>,
    /// When, nanoseconds since 1970 (UTC).
    pub time_ns: i64,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number with a fraction.
    Float(f64),
    /// A whole number.
    Integer(i64),
    /// Yes or no.
    Boolean(bool),
    /// A text.
    Text(String),
}

/// The type of a field: within one measurement it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// [`Value::Float`]
    Float,
    /// [`Value::Integer`]
    Integer,
    /// [`Value::Boolean`]
    Boolean,
    /// [`Value::Text`]
    Text,
}

// === impl Point ===

impl Point {
    /// A measurement with the tags of `context` and no fields yet.
    #[must_use]
    pub fn new(measurement: &str, context: &Context, time_ns: i64) -> Self {
        let tags = context.iter().map(|(tag, value)| (tag.name().to_owned(), value.to_owned())).collect();
        Self { measurement: measurement.to_owned(), tags, fields: Vec::new(), time_ns }
    }

    /// The same with one more tag.
    #[must_use]
    pub fn tag(mut self, name: &str, value: &str) -> Self {
        self.tags.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with one more field.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }
}

// === impl Value ===

impl Value {
    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Type {
        match self {
            Self::Float(_) => Type::Float,
            Self::Integer(_) => Type::Integer,
            Self::Boolean(_) => Type::Boolean,
            Self::Text(_) => Type::Text,
        }
    }

    /// It as a number, if it is one.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "sums and means of whole numbers are taken as floats")]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Integer(value) => Some(*value as f64),
            Self::Boolean(_) | Self::Text(_) => None,
        }
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

/// As near as a field can say it: there are no larger whole numbers.
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

// === impl Type ===

impl Type {
    /// The word that InfluxDB has for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Text => "string",
        }
    }
}

//! The text of a document as nodes that know where they stand. What they mean is not known here.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Longest document, bytes.
pub const DOCUMENT_MAX_BYTES: usize = 32 << 10;

/// What is wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct DocumentError {
    /// From 1.
    pub line: u64,
    /// From 1, characters.
    pub column: u64,
    /// What is wrong, and what to write instead.
    pub reason: String,
}

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: u64,
    /// From 1, characters.
    pub column: u64,
}

/// A value, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where.
    pub place: Place,
    /// What.
    pub value: Value,
}

/// What stands in a document. Scalars are kept as text: what they are depends on who reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Empty,
    /// A word, a number, a truth.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order in which it is written.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where.
    pub place: Place,
    /// The word.
    pub word: String,
}

/// Reads YAML or JSON.
///
/// # Errors
/// Where it is neither.
pub fn parse(text: &str) -> Result<Node, DocumentError> {
    if text.len() > DOCUMENT_MAX_BYTES {
        let reason = format!("a chain has at most {DOCUMENT_MAX_BYTES} bytes, this one has {}", text.len());
        return Err(DocumentError { line: 1, column: 1, reason });
    }
    let node: Spanned<Value> = serde_saphyr::from_str(text).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        let shown = error.without_snippet().to_string();
        let reason = shown.lines().next().unwrap_or_default();
        // The place stands before it already.
        let reason = reason.strip_suffix(&format!(" at line {line}, column {column}")).unwrap_or(reason);
        DocumentError { line, column, reason: reason.to_owned() }
    })?;
    Ok(node.into())
}

// === impl Place ===

impl Place {
    /// An error here.
    pub fn wrong(self, reason: impl Into<String>) -> DocumentError {
        DocumentError { line: self.line, column: self.column, reason: reason.into() }
    }
}

// === impl Node ===

impl Node {
    /// An error here.
    pub fn wrong(&self, reason: impl Into<String>) -> DocumentError {
        self.place.wrong(reason)
    }

    /// Its text.
    ///
    /// # Errors
    /// It is a list, a map or nothing.
    pub fn text(&self, what: &str) -> Result<&str, DocumentError> {
        match &self.value {
            Value::Scalar(text) => Ok(text),
            Value::Empty => Err(self.wrong(format!("{what} is missing"))),
            Value::List(_) | Value::Map(_) => Err(self.wrong(format!("{what} is a word or a number"))),
        }
    }

    /// Its entries.
    ///
    /// # Errors
    /// It is no map.
    pub fn map(&self, what: &str) -> Result<&[(Key, Node)], DocumentError> {
        match &self.value {
            Value::Map(entries) => Ok(entries),
            Value::Empty | Value::Scalar(_) | Value::List(_) => {
                Err(self.wrong(format!("{what} is a map: `key: value` lines")))
            }
        }
    }
}

impl From<Spanned<Value>> for Node {
    fn from(value: Spanned<Value>) -> Self {
        Self { place: place(&value), value: value.value }
    }
}

fn place<T>(value: &Spanned<T>) -> Place {
    Place { line: value.referenced.line(), column: value.referenced.column() }
}

// === impl Value ===

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Empty)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Empty)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Value>>()? {
            list.push(item.into());
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, Spanned<Value>>()? {
            map.push((Key { place: place(&key), word: key.value }, value.into()));
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_knows_its_place() {
        let text = "name: proxy\nstages:\n  a: { crf: 23, sizes: [720, x] }\n";
        let node = parse(text).unwrap();
        let top = node.map("it").unwrap();
        assert_eq!((top[0].0.word.as_str(), top[0].0.place), ("name", Place { line: 1, column: 1 }));
        let stages = top[1].1.map("stages").unwrap();
        let inner = stages[0].1.map("a").unwrap();
        assert_eq!((inner[0].0.word.as_str(), inner[0].0.place), ("crf", Place { line: 3, column: 8 }));
        assert_eq!((&inner[0].1.value, inner[0].1.place), (&Value::Scalar("23".into()), Place { line: 3, column: 13 }));
        let Value::List(sizes) = &inner[1].1.value else { panic!("{inner:?}") };
        assert_eq!(sizes[1].place, Place { line: 3, column: 30 });
    }

    #[test]
    fn json_is_read_too() {
        let json = r#"{"name": "proxy", "stages": {"a": {"crf": 23, "on": true}}}"#;
        let yaml = "name: proxy\nstages:\n  a:\n    crf: 23\n    on: true\n";
        fn plain(node: &Node) -> String {
            match &node.value {
                Value::Empty => "-".to_owned(),
                Value::Scalar(text) => text.clone(),
                Value::List(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
                Value::Map(entries) => {
                    entries.iter().map(|(key, value)| format!("{}={};", key.word, plain(value))).collect()
                }
            }
        }
        assert_eq!(plain(&parse(json).unwrap()), plain(&parse(yaml).unwrap()));
    }

    #[test]
    fn what_is_no_document_is_refused_where_it_is_wrong() {
        assert_eq!(parse("name: proxy\nstages: [").unwrap_err().line, 2);
        let twice = parse("name: proxy\nname: other\n").unwrap_err();
        assert!(twice.line == 2 && twice.reason.contains("name"), "{twice}");
        assert!(parse(&"x".repeat(DOCUMENT_MAX_BYTES + 1)).is_err());
    }
}

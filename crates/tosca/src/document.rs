//! YAML as a tree whose every part knows its place, so that whatever is found wrong later can still say where.
//!
//! Aliases and merge keys are resolved by the parser, within its bounds; a part that came by an alias has the place where
//! it was used. Keys that stand twice in one map are refused.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::words;

/// Longest document, bytes.
pub const DOCUMENT_MAX_BYTES: usize = 256 << 10;
/// Longest list or map in one: what is looked for in them is looked for one by one.
const ENTRIES_MAX: usize = 1000;
/// Most mistakes that are told at once.
const FINDINGS_MAX: usize = 100;

/// Where something stands, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

/// A part of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub at: Place,
    /// What it is.
    pub value: Value,
}

/// A key of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Where it stands.
    pub at: Place,
    /// What it says.
    pub text: String,
}

/// What a part is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in its order.
    Map(Vec<(Key, Node)>),
}

/// A map that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Map<'a> {
    /// Where it begins.
    pub at: Place,
    /// What it is, for whoever wrote it: ``policy `start` ``.
    pub what: &'a str,
    entries: &'a [(Key, Node)],
}

/// What is wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}line {line}, column {column}: {reason}", file.as_ref().map(|file| format!("{file}, ")).unwrap_or_default())]
pub struct DocumentError {
    /// The imported file that it stands in; nothing is the document itself.
    pub file: Option<String>,
    /// Line, from 1 on.
    pub line: u64,
    /// Column, from 1 on.
    pub column: u64,
    /// Why, and what can be written instead.
    pub reason: String,
}

/// What is wrong, as far as it is told: the first hundred.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<DocumentError>);

/// Reads a document.
pub fn parse(text: &str) -> Result<Node, DocumentError> {
    if text.len() > DOCUMENT_MAX_BYTES {
        let reason = format!("the document is longer than {DOCUMENT_MAX_BYTES} bytes");
        return Err(Place::BEGIN.wrong(reason));
    }
    serde_saphyr::from_str(text).map_err(|error| malformed(&error))
}

/// What the parser found wrong.
#[must_use]
pub fn malformed(error: &serde_saphyr::Error) -> DocumentError {
    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
    let shown = error.without_snippet().to_string();
    let reason = shown.lines().next().unwrap_or_default();
    // The place stands before it already.
    let reason = reason.strip_suffix(&format!(" at line {line}, column {column}")).unwrap_or(reason);
    DocumentError { file: None, line, column, reason: reason.to_owned() }
}

// === impl Findings ===

impl Findings {
    pub fn push(&mut self, error: DocumentError) {
        if !self.is_full() {
            self.0.push(error);
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is no use in looking on.
    pub fn is_full(&self) -> bool {
        self.0.len() >= FINDINGS_MAX
    }

    /// All of them, by their places; none twice.
    pub fn sorted(mut self) -> Vec<DocumentError> {
        self.0.sort_by_key(|error| (error.line, error.column));
        self.0.dedup();
        self.0
    }
}

// === impl Place ===

impl Place {
    /// The beginning of a document.
    pub const BEGIN: Self = Self { line: 1, column: 1 };

    /// Something is wrong here.
    #[must_use]
    pub fn wrong(self, reason: impl Into<String>) -> DocumentError {
        DocumentError { file: None, line: self.line, column: self.column, reason: reason.into() }
    }
}

// === impl Value ===

impl Value {
    /// What it is called.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

// === impl Node ===

impl Node {
    /// The map that it is. `what` is what it should be a map of.
    pub fn map<'a>(&'a self, what: &'a str) -> Result<Map<'a>, DocumentError> {
        match &self.value {
            Value::Map(entries) => Ok(Map { at: self.at, what, entries }),
            other => Err(self.at.wrong(format!("{what} is a map, not {}", other.kind()))),
        }
    }

    /// The list that it is.
    pub fn list(&self, what: &str) -> Result<&[Node], DocumentError> {
        match &self.value {
            Value::List(items) => Ok(items),
            other => Err(self.at.wrong(format!("{what} is a list, not {}", other.kind()))),
        }
    }

    /// The text that it is.
    pub fn text(&self, what: &str) -> Result<&str, DocumentError> {
        match &self.value {
            Value::Text(text) => Ok(text),
            other => Err(self.at.wrong(format!("{what} is a text, not {}: put quotes around it", other.kind()))),
        }
    }

    /// The text that it is, one of `words`.
    pub fn one_of<'a>(&'a self, what: &str, words: &[&str]) -> Result<&'a str, DocumentError> {
        let text = self.text(what)?;
        if words.contains(&text) {
            return Ok(text);
        }
        Err(self.at.wrong(format!("`{text}` is no {what}: {}", words::instead(text, words))))
    }

    /// The name that it is: it becomes part of paths and names.
    pub fn name(&self, what: &str) -> Result<&str, DocumentError> {
        let text = self.text(what)?;
        if words::is_name(text) {
            return Ok(text);
        }
        Err(self.at.wrong(format!("`{text}` is no {what}: 1 to 64 letters, digits, `.`, `_` and `-`")))
    }
}

// === impl Map ===

impl<'a> Map<'a> {
    /// Refuses other keys than `words`.
    pub fn only(self, words: &[&str]) -> Result<Self, DocumentError> {
        match self.entries.iter().find(|(key, _)| !words.contains(&key.text.as_str())) {
            None => Ok(self),
            Some((key, _)) => {
                let instead = words::instead(&key.text, words);
                Err(key.at.wrong(format!("{} has no `{}`: {instead}", self.what, key.text)))
            }
        }
    }

    /// What stands under a key.
    #[must_use]
    pub fn get(self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(found, _)| found.text == key).map(|(_, node)| node)
    }

    /// What has to stand under a key.
    pub fn need(self, key: &str) -> Result<&'a Node, DocumentError> {
        self.get(key).ok_or_else(|| self.at.wrong(format!("{} needs `{key}`", self.what)))
    }

    /// Keys and what stands under them, in their order.
    pub fn iter(self) -> impl Iterator<Item = (&'a Key, &'a Node)> {
        self.entries.iter().map(|(key, node)| (key, node))
    }
}

// === Deserialize ===

struct Shape;

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { at: Place { line: referenced.line(), column: referenced.column() }, value })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self { at: Place { line: referenced.line(), column: referenced.column() }, text: value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape)
    }
}

impl<'de> Visitor<'de> for Shape {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Integer).map_err(|_| E::custom(format!("{value} is too large")))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() == ENTRIES_MAX {
                return Err(A::Error::custom(format!("a list has more than {ENTRIES_MAX} entries")));
            }
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut map: Vec<(Key, Node)> = Vec::new();
        while let Some((key, node)) = items.next_entry::<Key, Node>()? {
            if map.iter().any(|(other, _)| other.text == key.text) {
                return Err(A::Error::custom(format!("`{}` stands here twice", key.text)));
            }
            if map.len() == ENTRIES_MAX {
                return Err(A::Error::custom(format!("a map has more than {ENTRIES_MAX} entries")));
            }
            map.push((key, node));
        }
        Ok(Value::Map(map))
    }
}

//! What a question says, taken apart. Nothing is looked up here.

use std::fmt;

use regex_lite::Regex;

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// `SELECT …`
    Select(Box<Select>),
    /// `SHOW DATABASES`
    ShowDatabases,
    /// `SHOW RETENTION POLICIES [ON db]`
    ShowRetentionPolicies,
    /// `SHOW MEASUREMENTS`, `SHOW TAG KEYS`, …
    Show(Show),
    /// `CREATE DATABASE name`
    CreateDatabase(String),
    /// `DROP DATABASE name`
    DropDatabase(String),
}

/// What `SHOW` lists, of which measurements and series.
#[derive(Debug, Clone, PartialEq)]
pub struct Show {
    pub what: Shown,
    /// `ON db`
    pub database: Option<String>,
    /// `FROM`; all measurements where it is empty.
    pub sources: Vec<Source>,
    pub condition: Option<Expr>,
    pub limit: usize,
    pub offset: usize,
}

/// The things that `SHOW` lists.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    Measurements,
    Series,
    TagKeys,
    FieldKeys,
    /// Values of the keys that are among these, or not.
    TagValues(KeyChoice),
}

/// `WITH KEY …`
#[derive(Debug, Clone, PartialEq)]
pub enum KeyChoice {
    OneOf(Vec<String>),
    Matching(Pattern),
    NotMatching(Pattern),
    Not(String),
}

/// `SELECT`
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    pub columns: Vec<Chosen>,
    pub sources: Vec<Source>,
    pub condition: Option<Expr>,
    pub every: Option<Every>,
    pub dimensions: Vec<Dimension>,
    pub fill: Fill,
    pub is_descending: bool,
    pub limit: usize,
    pub offset: usize,
    pub series_limit: usize,
    pub series_offset: usize,
}

/// One column of a `SELECT`.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    pub expr: Expr,
    pub alias: Option<String>,
}

/// A measurement, or those whose names match.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    pub database: Option<String>,
    pub name: SourceName,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SourceName {
    Is(String),
    Matches(Pattern),
}

/// `GROUP BY time(width, offset)`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every {
    pub width_ns: i64,
    pub offset_ns: i64,
}

/// What else is grouped by.
#[derive(Debug, Clone, PartialEq)]
pub enum Dimension {
    Tag(String),
    All,
    Matching(Pattern),
}

/// What a window without points gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill {
    Null,
    Nothing,
    Previous,
    Linear,
    Number(f64),
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A field or tag.
    Name(String),
    /// `*`, `*::field`, `*::tag`
    All {
        fields: bool,
        tags: bool,
    },
    Float(f64),
    Integer(i64),
    Text(String),
    Boolean(bool),
    Duration(i64),
    Pattern(Pattern),
    Call(String, Vec<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    MatchesNot,
    Plus,
    Minus,
    Times,
    Over,
}

/// A regular expression; finds itself anywhere in a text.
#[derive(Clone)]
pub struct Pattern(pub Regex);

// === impl Pattern ===

impl Pattern {
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.0.as_str())
    }
}

// === impl Expr ===

impl Expr {
    /// Gives every part of it to `look`.
    pub fn walk<'a>(&'a self, look: &mut impl FnMut(&'a Expr)) {
        look(self);
        match self {
            Self::Call(_, arguments) => arguments.iter().for_each(|argument| argument.walk(look)),
            Self::Binary(_, left, right) => {
                left.walk(look);
                right.walk(look);
            }
            Self::Name(_)
            | Self::All { .. }
            | Self::Float(_)
            | Self::Integer(_)
            | Self::Text(_)
            | Self::Boolean(_)
            | Self::Duration(_)
            | Self::Pattern(_) => {}
        }
    }

    /// The name of a column that holds it, where no other is given.
    pub fn column_name(&self) -> String {
        let mut parts = Vec::new();
        match self {
            Self::Name(name) => parts.push(name.clone()),
            Self::Call(name, _) => parts.push(name.clone()),
            Self::Binary(_, left, right) => {
                parts.extend([left.column_name(), right.column_name()].into_iter().filter(|name| !name.is_empty()));
            }
            _ => {}
        }
        parts.join("_")
    }
}

//! What of the catalogue is wanted, as people write it: `state = ready and probe.video.height >= 1080`. Pure.
//!
//! A field is a path into an asset as the contract shows it; where a list lies on the way, any of its items will do. Nothing of
//! what is written reaches a database: [`crate::store`] reads the parts of assets that a filter needs, and the filter
//! judges them. So both databases find the same, and a filter can cost time only, of which there is a bound.
//!
//! ```text
//! filter     = all { "or" all }
//! all        = one { "and" one }
//! one        = "not" one | "(" filter ")" | call | field operator value | field "in" "(" value { "," value } ")"
//! call       = "exists" "(" field ")" | "near" "(" field "," latitude "," longitude "," distance ")"
//!            | "within" "(" field "," south "," west "," north "," east ")"
//! operator   = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~"
//! field      = name { "." name }          a name with other signs stands in quotes: custom."my field"
//! value      = word | "text" | 'text'     a word without quotes is also the number, date or truth that it looks like
//! distance   = number ( "m" | "km" )
//! ```
//!
//! `=` compares exactly, `~` finds words as the search does (any case, no accents, the last one a prefix). `<` and the like compare
//! numbers with numbers, dates with dates (`2026-05` is its first moment, UTC), and other texts by their code points. What an
//! asset does not have compares with nothing: only `!=` and `not` find it.

pub mod field;
mod grammar;
mod judge;
pub mod sort;

use std::fmt;

use flame_api::metadata::GeoCoordinates;

pub use field::{Field, Needs};
pub use judge::{Scalar, instant_us};
pub use sort::{Key, Sort};

use crate::limits::Refused;

/// Longest filter, in characters.
pub const FILTER_MAX_CHARS: usize = 2000;
/// Most parentheses and `not` in each other.
pub const DEPTH_MAX: usize = 16;
/// Most comparisons and calls of a filter.
pub const TERMS_MAX: usize = 64;

/// A filter that was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of these.
    All(Vec<Filter>),
    /// Any of these.
    Any(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// A field has a value that compares so.
    Compare(Field, Operator, Literal),
    /// A field has a value.
    Exists(Field),
    /// A field has a place that is so near.
    Near {
        /// The field: places, or coordinates.
        field: Field,
        /// The middle.
        centre: GeoCoordinates,
        /// The distance from it, metres.
        radius_m: f64,
    },
    /// A field has a place in this area.
    Within {
        /// The field: places, or coordinates.
        field: Field,
        /// The area.
        area: Area,
    },
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`: no value is equal.
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `~`: has these words.
    Words,
}

/// A value as it is written, and what it may stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct Literal {
    text: String,
    quoted: bool,
    number: Option<f64>,
    truth: Option<bool>,
    at_us: Option<i64>,
    words: String,
}

/// An area between two parallels and two meridians; where `west` is more than `east` it lies across the 180th.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Degrees of latitude.
    pub south: f64,
    /// Degrees of longitude.
    pub west: f64,
    /// Degrees of latitude.
    pub north: f64,
    /// Degrees of longitude.
    pub east: f64,
}

/// Where and why a filter is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not understood at character {at}: {reason}")]
pub struct Unreadable {
    /// The character, from 1.
    pub at: usize,
    /// What is wrong there, and what is expected.
    pub reason: String,
}

// === impl Filter ===

impl Filter {
    /// Reads a filter.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        grammar::parse(text)
    }

    /// What of an asset it looks at.
    #[must_use]
    pub fn needs(&self) -> Needs {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::needs).fold(Needs::default(), Needs::and),
            Self::Not(part) => part.needs(),
            Self::Compare(field, _, _) | Self::Exists(field) => field.needs(),
            Self::Near { field, .. } | Self::Within { field, .. } => field.needs(),
        }
    }
}

/// As [`Filter::parse`] reads it.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            for (at, part) in parts.iter().enumerate() {
                let before = if at == 0 { "" } else { word };
                match part {
                    Self::All(_) | Self::Any(_) => write!(f, "{before}({part})")?,
                    Self::Not(_) | Self::Compare(..) | Self::Exists(_) | Self::Near { .. } | Self::Within { .. } => {
                        write!(f, "{before}{part}")?
                    }
                }
            }
            Ok(())
        };
        match self {
            Self::All(parts) => list(f, parts, " and "),
            Self::Any(parts) => list(f, parts, " or "),
            Self::Not(part) => match **part {
                Self::All(_) | Self::Any(_) => write!(f, "not ({part})"),
                Self::Not(_) | Self::Compare(..) | Self::Exists(_) | Self::Near { .. } | Self::Within { .. } => {
                    write!(f, "not {part}")
                }
            },
            Self::Compare(field, operator, literal) => write!(f, "{field} {} {literal}", operator.sign()),
            Self::Exists(field) => write!(f, "exists({field})"),
            Self::Near { field, centre, radius_m } => {
                write!(f, "near({field}, {}, {}, {radius_m}m)", centre.latitude, centre.longitude)
            }
            Self::Within { field, area: Area { south, west, north, east } } => {
                write!(f, "within({field}, {south}, {west}, {north}, {east})")
            }
        }
    }
}

// === impl Operator ===

impl Operator {
    /// Longer signs before those that they begin with.
    const ALL: [Self; 7] =
        [Self::NotEqual, Self::AtMost, Self::AtLeast, Self::Equal, Self::Less, Self::More, Self::Words];

    fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
            Self::Words => "~",
        }
    }
}

// === impl Literal ===

impl Literal {
    /// A value; without quotes it may be a number or a truth too.
    #[must_use]
    pub fn new(text: String, quoted: bool) -> Self {
        let number = text.parse().ok().filter(|number: &f64| !quoted && number.is_finite());
        let truth = text.parse().ok().filter(|_| !quoted);
        let (at_us, words) = (instant_us(&text), crate::words::of(&text).join(" "));
        Self { text, quoted, number, truth, at_us, words }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.quoted { field::write_quoted(f, &self.text) } else { f.write_str(&self.text) }
    }
}

// === impl Unreadable ===

impl Unreadable {
    /// The refusal of the parameter called `name`.
    #[must_use]
    pub fn of(self, name: &str) -> Refused {
        Refused { field: name.to_owned(), reason: self.to_string() }
    }
}

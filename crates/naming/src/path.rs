//! Paths: a name that stands for several functions in a row (name-based forwarding, RFC 8677), pull style.
//!
//! A request for the path goes to its first function. When that needs its input, it asks for the same URL again and
//! passes on the field `Flame-Path`, in which the router wrote who is next; so the request walks to the last function,
//! and the answers walk back. `Flame-Path: media.main;index=2` says that two functions have been reached.
//!
//! The index only grows, so a walk ends. Whoever writes the field himself can begin later on the path, which is no more
//! than asking for that function by its own name: a path is no access control.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::name::{Name, NameError};

/// Most functions of a path.
pub const FUNCTIONS_MAX: usize = 16;

/// All paths, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths(BTreeMap<Name, Vec<Name>>);

/// How far a request has come on its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The path.
    pub path: Name,
    /// How many of its functions it has reached.
    pub index: usize,
}

/// The next function of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Who gets it.
    pub function: Name,
    /// What that one passes on when it asks for its input.
    pub marker: Marker,
    /// Whether nobody comes after it.
    pub is_last: bool,
}

/// Paths that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A name that is none.
    #[error("the path `{path}`")]
    Name {
        /// What the path is called.
        path: String,
        /// What is wrong.
        #[source]
        source: NameError,
    },
    /// No function, or too many.
    #[error("the path {path} has {count} functions, not 1 to {FUNCTIONS_MAX}")]
    Length {
        /// The path.
        path: Name,
        /// How many it has.
        count: usize,
    },
    /// The same path twice.
    #[error("the path {0} is there twice")]
    Twice(Name),
    /// A function that is a path: a request would never come to an end of both.
    #[error("the path {path} has {function} in it, which is a path itself")]
    Nested {
        /// The path.
        path: Box<Name>,
        /// Its function.
        function: Box<Name>,
    },
}

/// Somebody asks for more after the last function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path has ended")]
pub struct Ended;

/// A field that is no marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not of the form `name;index=2`")]
pub struct NoMarker;

// === impl Paths ===

impl Paths {
    /// Reads paths: what each is called, and its functions from the client to the source.
    pub fn new<'a>(paths: impl IntoIterator<Item = (&'a str, &'a [String])>) -> Result<Self, PathError> {
        let mut all = BTreeMap::new();
        for (text, functions) in paths {
            let name =
                |name: &str| name.parse::<Name>().map_err(|source| PathError::Name { path: text.to_owned(), source });
            let path = name(text)?;
            let functions = functions.iter().map(|function| name(function)).collect::<Result<Vec<_>, _>>()?;
            if !(1..=FUNCTIONS_MAX).contains(&functions.len()) {
                return Err(PathError::Length { path, count: functions.len() });
            }
            if all.insert(path.clone(), functions).is_some() {
                return Err(PathError::Twice(path));
            }
        }
        for (path, functions) in &all {
            if let Some(function) = functions.iter().find(|function| all.contains_key(*function)) {
                return Err(PathError::Nested { path: Box::new(path.clone()), function: Box::new(function.clone()) });
            }
        }
        Ok(Self(all))
    }

    /// The functions that a name stands for, in the order in which they are asked; none where it is no path.
    #[must_use]
    pub fn functions(&self, name: &Name) -> &[Name] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// All paths with their functions.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &[Name])> {
        self.0.iter().map(|(path, functions)| (path, functions.as_slice()))
    }

    /// Who gets a request for `name` that has come as far as `marker`; `None` where it is no path. A marker of another
    /// path is somebody's who asks for something else on the way: that begins at its beginning.
    pub fn next(&self, name: &Name, marker: Option<&Marker>) -> Result<Option<Hop>, Ended> {
        let Some(functions) = self.0.get(name) else { return Ok(None) };
        let index = marker.filter(|marker| marker.path == *name).map_or(0, |marker| marker.index);
        let function = functions.get(index).ok_or(Ended)?.clone();
        let marker = Marker { path: name.clone(), index: index + 1 };
        Ok(Some(Hop { function, is_last: marker.index == functions.len(), marker }))
    }
}

// === impl Marker ===

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};index={}", self.path, self.index)
    }
}

impl FromStr for Marker {
    type Err = NoMarker;

    fn from_str(text: &str) -> Result<Self, NoMarker> {
        let (path, index) = text.split_once(";index=").ok_or(NoMarker)?;
        let path = path.trim().parse().map_err(|_| NoMarker)?;
        Ok(Self { path, index: index.trim().parse().map_err(|_| NoMarker)? })
    }
}

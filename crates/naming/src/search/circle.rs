//! `CDN-Loop` (RFC 8586): how a router notices that a request for the same name is back.
//!
//! Each router appends its pseudonym with the name that it was asked for: `CDN-Loop: flame-1a2b3c4d;name=media.main`. The
//! name belongs to it because one request may rightly pass a router twice: for a cache, and again when the cache asks
//! its origin by another name. What others wrote stays as it is.

use crate::name::Name;

/// Longest field that is passed on: a longer one only comes from a circle of those who do not look.
pub const MARK_MAX_BYTES: usize = 4096;

/// What the router called `pseudonym` appends for a request to `name`.
#[must_use]
pub fn mark(pseudonym: &str, name: &Name) -> String {
    // Every request is marked: room for nearly every name at once.
    let mut mark = String::with_capacity(pseudonym.len() + 64);
    mark.push_str(pseudonym);
    mark.push_str(";name=");
    name.write_to(&mut mark);
    mark
}

/// How often a request for `name` has been at the router called `pseudonym`, by the values of its `CDN-Loop` fields.
pub fn times_here<'a>(values: impl IntoIterator<Item = &'a str>, pseudonym: &str, name: &Name) -> usize {
    let is_it = |of: &str| {
        let mut text = String::new();
        name.write_to(&mut text);
        text == of
    };
    let entries = values.into_iter().flat_map(|value| value.split(','));
    entries
        .filter(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let is_here = parts.next().is_some_and(|id| id.eq_ignore_ascii_case(pseudonym));
            is_here && parts.any(|part| part.split_once('=').is_some_and(|(key, of)| key == "name" && is_it(of)))
        })
        .count()
}

//! A playlist, line by line: tags, URIs, and attributes read as HLS 4.1 and 4.2 write them. Strict where a player is not.

use super::rules;
use super::{Place, quote};

/// A line that says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// `#EXT…`, with what stands behind the colon.
    Tag(&'a str, &'a str),
    /// A URI.
    Uri(&'a str),
}

/// Attributes of one tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    list: Vec<(&'a str, &'a str)>,
}

/// The lines of a playlist with their numbers, from 1. What breaks the rules of lines is noted.
pub fn of<'a>(text: &'a str, place: &mut Place<'_>) -> Vec<(usize, Line<'a>)> {
    if text.starts_with('\u{feff}') {
        place.breaks(&rules::ENCODING, Some(1), "a byte order mark");
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Vec::new();
    for (at, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.chars().any(char::is_control) {
            place.breaks(&rules::ENCODING, Some(at + 1), "a control character");
        }
        if at == 0 {
            if line != "#EXTM3U" {
                place.breaks(&rules::FIRST_LINE, Some(1), format!("`{}`", quote(line)));
            }
            continue;
        }
        if let Some(tag) = line.strip_prefix("#EXT") {
            let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
            lines.push((at + 1, Line::Tag(name, value)));
        } else if !line.is_empty() && !line.starts_with('#') {
            lines.push((at + 1, Line::Uri(line)));
        }
    }
    lines
}

// === impl Attributes ===

impl<'a> Attributes<'a> {
    /// Reads a list.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &'a str) -> Result<Self, String> {
        let mut list: Vec<(&str, &str)> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (name, behind) = rest.split_once('=').ok_or_else(|| format!("`{}` has no value", quote(rest)))?;
            let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || !name.bytes().all(is_name) {
                return Err(format!("`{}` is no name of an attribute", quote(name)));
            }
            let end = match behind.strip_prefix('"') {
                Some(quoted) => 2 + quoted.find('"').ok_or_else(|| format!("the quotes of {name} are not closed"))?,
                None => behind.find(',').unwrap_or(behind.len()),
            };
            let (value, next) = behind.split_at(end);
            if value.is_empty() || (!value.starts_with('"') && value.contains(['"', ' '])) {
                return Err(format!("{name} has no value that can be read"));
            }
            if list.iter().any(|(other, _)| *other == name) {
                return Err(format!("{name} is there twice"));
            }
            list.push((name, value));
            rest = match next.strip_prefix(',') {
                Some("") => return Err("there is nothing behind the last comma".to_owned()),
                Some(rest) => rest,
                None if next.is_empty() => "",
                None => return Err(format!("no comma behind {name}")),
            };
        }
        Ok(Self { list })
    }

    /// The same, with what is wrong noted, and nothing in it then.
    pub fn noted(text: &'a str, line: usize, place: &mut Place<'_>) -> Self {
        Self::read(text).unwrap_or_else(|why| {
            place.breaks(&rules::ATTRIBUTES, Some(line), why);
            Self::default()
        })
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        self.list.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    /// A value in quotes, without them.
    #[must_use]
    pub fn quoted(&self, name: &str) -> Option<&'a str> {
        self.raw(name)?.strip_prefix('"')?.strip_suffix('"')
    }

    /// A word without quotes.
    #[must_use]
    pub fn word(&self, name: &str) -> Option<&'a str> {
        self.raw(name).filter(|value| !value.starts_with('"'))
    }

    /// A decimal number of seconds or frames.
    #[must_use]
    pub fn decimal(&self, name: &str) -> Option<f64> {
        decimal(self.word(name)?)
    }

    /// A whole number.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<u64> {
        integer(self.word(name)?)
    }

    /// Notes which of `names` are not there, or not as they must be: in quotes (`"NAME"` in the list), or without.
    pub fn require(&self, tag: &str, names: &[&str], line: usize, place: &mut Place<'_>) -> bool {
        let mut are_there = true;
        for name in names {
            let bare = name.trim_matches('"');
            let is_there = if bare == *name { self.word(bare).is_some() } else { self.quoted(bare).is_some() };
            if !is_there {
                let how = if bare == *name { "" } else { " in quotes" };
                place.breaks(&rules::REQUIRED, Some(line), format!("EXT{tag} without {bare}{how}"));
                are_there = false;
            }
        }
        are_there
    }
}

/// A whole number as HLS 4.2 writes it.
#[must_use]
pub fn integer(text: &str) -> Option<u64> {
    let is_integer = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_integer)
}

/// A number with or without a fraction, not negative.
#[must_use]
pub fn decimal(text: &str) -> Option<f64> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && text.len() <= 40;
    text.parse().ok().filter(|number: &f64| is_decimal && number.is_finite())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn attributes_are_read_strictly() {
        let read = Attributes::read("URI=\"a,b=c\",BANDWIDTH=12,X-1=3.5,DEFAULT=YES").expect("they are right");
        assert_eq!(
            (read.quoted("URI"), read.integer("BANDWIDTH"), read.decimal("X-1")),
            (Some("a,b=c"), Some(12), Some(3.5))
        );
        assert_eq!((read.word("DEFAULT"), read.word("URI"), read.quoted("DEFAULT")), (Some("YES"), None, None));
        for wrong in ["A", "A=", "a=1", "A=1,A=2", "A=1,", "A=\"1", "A=\"1\"B=2", "A=1 ,B=2", ",A=1"] {
            assert!(Attributes::read(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,60}") {
            let _ = Attributes::read(&text);
            let _ = (integer(&text), decimal(&text));
        }
    }
}

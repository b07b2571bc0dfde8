//! InfluxDB's line protocol: one point a line, `measurement,tag=value field=1.5,other=2i 1700000000000000000`.
//!
//! Written and read as InfluxDB does it. What the protocol has no way to say is left out rather than said wrongly
//! ([`writable`]). Reading goes line by line: a line that is wrong costs itself alone. It never guesses a time: a line
//! without one says so.

use std::borrow::Cow;
use std::fmt::Write;

use crate::point::{Point, Value};

/// One line, read. What needs no unescaping is borrowed from the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'a> {
    /// The name of the measurement.
    pub measurement: Cow<'a, str>,
    /// Tags as they stand there; no name twice.
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Fields as they stand there, at least one.
    pub fields: Vec<(Cow<'a, str>, Value)>,
    /// The time, in whatever precision the writer meant.
    pub time: Option<i64>,
}

/// The unit of the times in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Nanoseconds.
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

/// Tags of a point that is read, and likewise fields.
const NAMES_MAX: usize = 1000;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// There is nothing before the first comma or space.
    #[error("missing measurement")]
    NoMeasurement,
    /// A tag without `=`, name or value.
    #[error("invalid tag format after `{0}`: write name=value, neither of them empty")]
    Tag(String),
    /// The same tag twice.
    #[error("duplicate tag `{0}`")]
    DuplicateTag(String),
    /// More tags or fields than a point has.
    #[error("more than {NAMES_MAX} tags or fields")]
    Many,
    /// A point has at least one field.
    #[error("missing fields")]
    NoFields,
    /// A field without `=` or name.
    #[error("invalid field format after `{0}`: write name=value")]
    Field(String),
    /// The value of a field is of no type.
    #[error("invalid value of field `{0}`: write 1.5, 2i, true or \"text\"")]
    Value(String),
    /// The text of a field has no end.
    #[error("unbalanced quotes in field `{0}`")]
    Quotes(String),
    /// The time is no whole number.
    #[error("bad timestamp `{0}`")]
    Time(String),
    /// `time` is the name of the time.
    #[error("`time` can be neither tag nor field")]
    Reserved,
}

/// The lines of a text.
#[derive(Debug, Clone)]
pub struct Lines<'a> {
    text: &'a str,
    at: usize,
    number: usize,
}

// === writing ===

/// Writes a point as one line, with its line feed. False, and nothing written, where nothing of it can be said: it has no
/// name, or no field of a finite value.
pub fn write(point: &Point, out: &mut String) -> bool {
    let (start, measurement) = (out.len(), writable(&point.measurement));
    if measurement.is_empty() || measurement.starts_with('#') {
        return false;
    }
    escaped(&measurement, ", ", out);
    let mut tags: Vec<(Cow<str>, Cow<str>)> =
        point.tags.iter().map(|(name, value)| (writable(name), writable(value))).collect();
    // Sorted, as InfluxDB advises; of the same name the first.
    tags.sort_by(|(left, _), (right, _)| left.cmp(right));
    tags.dedup_by(|(later, _), (former, _)| later == former);
    for (name, value) in tags.iter().filter(|(name, value)| !name.is_empty() && !value.is_empty() && name != "time") {
        out.push(',');
        escaped(name, ",= ", out);
        out.push('=');
        escaped(value, ",= ", out);
    }
    let mut separator = ' ';
    for (name, value) in &point.fields {
        let name = writable(name);
        let is_said = !matches!(value, Value::Float(number) if !number.is_finite());
        if name.is_empty() || name == "time" || !is_said {
            continue;
        }
        out.push(separator);
        separator = ',';
        escaped(&name, ",= ", out);
        out.push('=');
        // Writing to a string does not fail.
        let _ = match value {
            Value::Float(number) => write!(out, "{number:?}"),
            Value::Integer(number) => write!(out, "{number}i"),
            Value::Boolean(value) => write!(out, "{value}"),
            Value::Text(text) => write!(out, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        };
    }
    if separator == ' ' {
        out.truncate(start);
        return false;
    }
    let _ = writeln!(out, " {}", point.time_ns);
    true
}

/// A name as the protocol can say it: without line feeds (they become spaces), and without backslashes at its end, which
/// would escape what follows.
#[must_use]
pub fn writable(name: &str) -> Cow<'_, str> {
    let trimmed = name.trim_end_matches('\\');
    if trimmed.contains(['\n', '\r']) { Cow::Owned(trimmed.replace(['\n', '\r'], " ")) } else { Cow::Borrowed(trimmed) }
}

fn escaped(text: &str, special: &str, out: &mut String) {
    for character in text.chars() {
        if special.contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
}

// === reading ===

/// The lines of `text` that hold a point, each with its number (from 1).
#[must_use]
pub fn lines(text: &str) -> Lines<'_> {
    Lines { text, at: 0, number: 0 }
}

/// Reads one line, without its line feed.
pub fn read(line: &str) -> Result<Line<'_>, LineError> {
    let mut at = 0;
    let measurement = word(line, &mut at, b", ", b", ");
    if measurement.is_empty() {
        return Err(LineError::NoMeasurement);
    }
    let bytes = line.as_bytes();
    let mut tags: Vec<(Cow<str>, Cow<str>)> = Vec::new();
    while bytes.get(at) == Some(&b',') {
        at += 1;
        let name = word(line, &mut at, b"=, ", b",= ");
        if name.is_empty() || bytes.get(at) != Some(&b'=') {
            return Err(LineError::Tag(line[..at].to_owned()));
        }
        at += 1;
        let value = word(line, &mut at, b"=, ", b",= ");
        if value.is_empty() || bytes.get(at) == Some(&b'=') {
            return Err(LineError::Tag(line[..at].to_owned()));
        }
        if name == "time" {
            return Err(LineError::Reserved);
        }
        if tags.iter().any(|(known, _)| *known == name) {
            return Err(LineError::DuplicateTag(name.into_owned()));
        }
        if tags.len() >= NAMES_MAX {
            return Err(LineError::Many);
        }
        tags.push((name, value));
    }
    let mut fields = Vec::new();
    spaces(bytes, &mut at);
    if at == bytes.len() {
        return Err(LineError::NoFields);
    }
    loop {
        let name = word(line, &mut at, b"=, ", b",= ");
        if name.is_empty() || bytes.get(at) != Some(&b'=') {
            return Err(LineError::Field(line[..at].to_owned()));
        }
        at += 1;
        let value = value(line, &mut at, &name)?;
        if name == "time" {
            return Err(LineError::Reserved);
        }
        let is_full = fields.len() >= NAMES_MAX;
        match fields.iter_mut().find(|(known, _): &&mut (Cow<str>, Value)| *known == name) {
            // As InfluxDB does it: what is said last holds.
            Some((_, known)) => *known = value,
            None if is_full => return Err(LineError::Many),
            None => fields.push((name, value)),
        }
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(_) | None => break,
        }
    }
    spaces(bytes, &mut at);
    let rest = line[at..].trim_end_matches(' ');
    let time = match rest {
        "" => None,
        digits => Some(digits.parse().map_err(|_| LineError::Time(digits.to_owned()))?),
    };
    Ok(Line { measurement, tags, fields, time })
}

fn spaces(bytes: &[u8], at: &mut usize) {
    while bytes.get(*at) == Some(&b' ') {
        *at += 1;
    }
}

/// A name up to one of `stops`; a backslash takes the meaning from what is in `special`, and stands for itself elsewhere.
fn word<'a>(line: &'a str, at: &mut usize, stops: &[u8], special: &[u8]) -> Cow<'a, str> {
    let (bytes, start) = (line.as_bytes(), *at);
    let mut is_escaped = false;
    while let Some(byte) = bytes.get(*at) {
        let escapes = *byte == b'\\' && bytes.get(*at + 1).is_some_and(|next| special.contains(next));
        if !escapes && stops.contains(byte) {
            break;
        }
        is_escaped |= escapes;
        *at += 1 + usize::from(escapes);
    }
    let text = &line[start..*at];
    if is_escaped { Cow::Owned(unescaped(text, special)) } else { Cow::Borrowed(text) }
}

fn unescaped(text: &str, special: &[u8]) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        match next {
            Some(next) if character == '\\' && next.is_ascii() && special.contains(&(next as u8)) => {
                plain.push(next);
                characters.next();
            }
            Some(_) | None => plain.push(character),
        }
    }
    plain
}

fn value(line: &str, at: &mut usize, name: &str) -> Result<Value, LineError> {
    let (bytes, start) = (line.as_bytes(), *at);
    if bytes.get(start) == Some(&b'"') {
        *at += 1;
        while let Some(byte) = bytes.get(*at) {
            match byte {
                b'\\' => *at += 2,
                b'"' => {
                    let text = unescaped(&line[start + 1..*at], b"\"\\");
                    *at += 1;
                    return match bytes.get(*at) {
                        None | Some(b',' | b' ') => Ok(Value::Text(text)),
                        Some(_) => Err(LineError::Value(name.to_owned())),
                    };
                }
                _ => *at += 1,
            }
        }
        *at = bytes.len();
        return Err(LineError::Quotes(name.to_owned()));
    }
    while bytes.get(*at).is_some_and(|byte| !matches!(byte, b',' | b' ')) {
        *at += 1;
    }
    plain(&line[start..*at]).ok_or_else(|| LineError::Value(name.to_owned()))
}

fn plain(text: &str) -> Option<Value> {
    match text {
        "t" | "T" | "true" | "True" | "TRUE" => return Some(Value::Boolean(true)),
        "f" | "F" | "false" | "False" | "FALSE" => return Some(Value::Boolean(false)),
        _ => {}
    }
    // Rust also reads "inf", "nan" and "+1"; a number begins with a digit, a point or a minus.
    let begins = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if !text.as_bytes().first().is_some_and(begins) || text.contains(['n', 'N', 'y']) {
        return None;
    }
    if let Some(digits) = text.strip_suffix(['i', 'u']) {
        return digits.parse().ok().map(Value::Integer);
    }
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float)
}

// === impl Lines ===

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, Result<Line<'a>, LineError>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.at < self.text.len() {
            let rest = &self.text[self.at..];
            let end = line_end(rest.as_bytes());
            let line = rest[..end].trim_start_matches([' ', '\t']);
            let line = line.strip_suffix('\r').unwrap_or(line);
            self.at += end + 1;
            self.number += 1;
            let number = self.number;
            // A text may go over several lines.
            self.number += line.bytes().filter(|byte| *byte == b'\n').count();
            if !line.is_empty() && !line.starts_with('#') {
                return Some((number, read(line)));
            }
        }
        None
    }
}

/// Where the first line ends: at a line feed that is in no quoted text.
fn line_end(bytes: &[u8]) -> usize {
    if bytes.first() == Some(&b'#') {
        return bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    }
    let start = bytes.iter().position(|byte| *byte != b' ').unwrap_or(bytes.len());
    let (mut at, mut in_fields, mut is_quoted, mut may_open) = (start, false, false, false);
    while let Some(byte) = bytes.get(at) {
        let next = bytes.get(at + 1);
        let opens = may_open;
        may_open = false;
        match byte {
            b'\\' if is_quoted || next.is_some_and(|next| b",= ".contains(next)) => at += 1,
            b'"' if is_quoted => is_quoted = false,
            b'\n' if !is_quoted => return at,
            _ if is_quoted => {}
            b' ' => in_fields = true,
            b'=' => may_open = in_fields,
            b'"' if opens => is_quoted = true,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

// === impl Precision ===

impl Precision {
    /// By the word of a URL: `ns`, `n`, `us`, `u`, `ms`, `s`, `m`, `h`.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "ns" | "n" => Self::Nanoseconds,
            "us" | "u" | "µ" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            _ => return None,
        })
    }

    /// Nanoseconds of one unit.
    #[must_use]
    pub fn unit_ns(self) -> i64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
            Self::Minutes => 60_000_000_000,
            Self::Hours => 3_600_000_000_000,
        }
    }
}

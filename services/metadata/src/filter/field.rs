//! Fields of assets by their paths, as the contract shows them: `record.director.name`, `probe.video.height`. Pure.

use std::fmt;

use flame_api::metadata::Record;
use serde_json::Value;

/// Most names of a path.
pub const STEPS_MAX: usize = 12;
/// Longest name, in characters.
pub const NAME_MAX_CHARS: usize = 100;

/// What stands below the fields that hold others; `custom` holds anything, and `record` what its type says.
const BELOW: [(&str, &[&str]); 4] = [
    ("source", &["file_name", "key", "sha256", "size_bytes"]),
    ("probe", &["audio", "bitrate_bps", "container", "duration_ms", "other_audio", "video"]),
    ("version", &["chain", "conditioning", "created_at", "job_id", "name", "tracks"]),
    ("subtitles", &["cues", "default", "id", "language", "role", "title"]),
];
/// Fields that hold nothing but their value.
const PLAIN: [&str; 10] =
    ["created_at", "encryption", "error", "id", "poster_key", "protected", "revision", "state", "title", "updated_at"];
/// Fields that are times, however short they are written.
const TIMES: [&[&str]; 6] = [
    &["created_at"],
    &["updated_at"],
    &["version", "created_at"],
    &["record", "dateCreated"],
    &["record", "datePublished"],
    &["record", "expires"],
];

/// A path into an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field(Vec<String>);

/// What of an asset has to be read, besides what is always read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "one a column")]
pub struct Needs {
    /// What the probe measured.
    pub probe: bool,
    /// What people say.
    pub record: bool,
    /// The fields of an experimenter's own.
    pub custom: bool,
    /// The tracks of the version that plays.
    pub tracks: bool,
    /// How that was made.
    pub conditioning: bool,
    /// Subtitles.
    pub subtitles: bool,
}

// === impl Field ===

impl Field {
    /// The field of this path, if assets can have it; else why not.
    pub fn new(steps: Vec<String>) -> Result<Self, String> {
        if steps.len() > STEPS_MAX || steps.iter().any(|name| name.chars().count() > NAME_MAX_CHARS) {
            return Err(format!("a field has at most {STEPS_MAX} names of at most {NAME_MAX_CHARS} characters"));
        }
        let steps_of: Vec<&str> = steps.iter().map(String::as_str).collect();
        match steps_of.as_slice() {
            [] => return Err("a field is expected".to_owned()),
            ["record", name, ..] if !Record::has_member(name) => {
                return Err(format!("`record.{name}` is no field: schema.org's VideoObject gives the names"));
            }
            ["record" | "custom", ..] => {}
            [name] if PLAIN.contains(name) => {}
            [name, rest @ ..] => match BELOW.iter().find(|(known, _)| known == name) {
                Some((_, below)) if rest.first().is_none_or(|next| below.contains(next)) => {}
                Some((_, below)) => return Err(format!("`{name}` has the fields {}", below.join(", "))),
                None if PLAIN.contains(name) => return Err(format!("nothing stands below `{name}`")),
                None => {
                    let above = BELOW.iter().map(|(name, _)| *name).chain(PLAIN).chain(["record", "custom"]);
                    let above = above.collect::<Vec<_>>().join(", ");
                    return Err(format!("`{name}` is no field; fields begin with one of {above}"));
                }
            },
        }
        Ok(Self(steps))
    }

    /// Reads a path, all of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        super::grammar::field(text).map_err(|unreadable| unreadable.reason)
    }

    /// What of an asset it is in.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let is = |name: &str| self.0.first().is_some_and(|first| first == name);
        let below = |name: &str| is("version") && self.0.get(1).is_none_or(|second| second == name);
        Needs {
            probe: is("probe"),
            record: is("record"),
            custom: is("custom"),
            tracks: below("tracks"),
            conditioning: below("conditioning"),
            subtitles: is("subtitles"),
        }
    }

    /// Whether its values are times.
    #[must_use]
    pub fn is_time(&self) -> bool {
        TIMES.iter().any(|time| self.0.iter().map(String::as_str).eq(time.iter().copied()))
    }

    /// Whether its texts may be times.
    #[must_use]
    pub fn may_be_time(&self) -> bool {
        self.is_time() || self.0.first().is_some_and(|first| first == "custom")
    }

    /// What `asset` has there: every value that a way leads to, where lists are gone through. No nulls.
    #[must_use]
    pub fn values<'a>(&self, asset: &'a Value) -> Vec<&'a Value> {
        let mut found = Vec::new();
        walk(asset, &self.0, &mut found);
        found
    }
}

fn walk<'a>(value: &'a Value, steps: &[String], found: &mut Vec<&'a Value>) {
    match (value, steps) {
        (Value::Null, _) => {}
        (Value::Array(items), _) => items.iter().for_each(|item| walk(item, steps, found)),
        (_, []) => found.push(value),
        (Value::Object(members), [name, rest @ ..]) => {
            if let Some(member) = members.get(name) {
                walk(member, rest, found);
            }
        }
        (Value::Bool(_) | Value::Number(_) | Value::String(_), [_, ..]) => {}
    }
}

/// As [`Field::parse`] reads it.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(".")?;
            }
            let is_bare = |symbol: char| symbol.is_ascii_alphanumeric() || symbol == '_' || symbol == '-';
            let bare = name.starts_with(|symbol: char| symbol.is_ascii_alphabetic()) && name.chars().all(is_bare);
            if bare { f.write_str(name)? } else { write_quoted(f, name)? }
        }
        Ok(())
    }
}

/// Writes a text in quotes.
pub(super) fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

// === impl Needs ===

impl Needs {
    /// What either needs.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            probe: self.probe || other.probe,
            record: self.record || other.record,
            custom: self.custom || other.custom,
            tracks: self.tracks || other.tracks,
            conditioning: self.conditioning || other.conditioning,
            subtitles: self.subtitles || other.subtitles,
        }
    }
}

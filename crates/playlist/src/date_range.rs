//! Spans of time that something is said of: advertisements, chapters (`EXT-X-DATERANGE`, RFC 8216bis section 4.4.5.1).
//!
//! `hls_m3u8` knows the tag, but not `CUE`, and checks nothing; so it is written here, where live playlists are.

use std::collections::{BTreeMap, HashMap};

use crate::PlaylistError;
use crate::attributes::{Attributes, Quoted, hexadecimal};
use crate::time::{IsoDate, SecondsOfMs};

/// A span of time, and what is said of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DateRange {
    /// Its name: one span has one, and says the same in every playlist of a channel.
    pub id: String,
    /// Which attributes of its own it has; spans of one class do not overlap.
    pub class: Option<String>,
    /// When it begins, milliseconds since 1970-01-01T00:00:00Z.
    pub start_ms: u64,
    /// How long it is, or is meant to be.
    pub length: Length,
    /// When a player that has an asset for it is to act.
    pub cues: Vec<Cue>,
    /// `SCTE35-CMD`, `SCTE35-OUT`, `SCTE35-IN`: a splice_info_section each, as it came.
    pub scte35: Scte35,
    /// Attributes of its own: names that begin with `X-`.
    pub attributes: BTreeMap<String, Value>,
}

/// How long a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Length {
    /// Nobody knows.
    #[default]
    Unknown,
    /// So long, milliseconds; 0 is a moment.
    Known(u64),
    /// So long, milliseconds, unless it is cut short.
    Planned(u64),
    /// Until the next one of its class begins.
    UntilNext,
}

/// When a player is to act (`CUE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cue {
    /// Before the programme.
    Pre,
    /// Behind it.
    Post,
    /// Once only.
    Once,
}

/// Sections of SCTE 35.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scte35 {
    /// A command that is neither of the others.
    pub command: Option<Vec<u8>>,
    /// The one that begins a break.
    pub out: Option<Vec<u8>>,
    /// The one that ends it.
    pub back_in: Option<Vec<u8>>,
}

/// Value of an attribute of a span's own.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A number.
    Number(f64),
}

/// Says whether these spans can stand in one playlist.
///
/// # Errors
/// [`PlaylistError`] as a playlist with them would give.
pub fn check_date_ranges(ranges: &[DateRange]) -> Result<(), PlaylistError> {
    in_order(ranges)?.into_iter().try_for_each(|range| range.tag().map(drop))
}

/// Those of `ranges` that have not ended at `from_ms`: one without an end goes on until the next one of its class begins.
#[must_use]
pub fn date_ranges_since(ranges: &[DateRange], from_ms: u64) -> Vec<DateRange> {
    let next_ms = |range: &DateRange| {
        let later = ranges.iter().filter(|other| other.class == range.class && other.start_ms > range.start_ms);
        later.map(|other| other.start_ms).min().unwrap_or(u64::MAX)
    };
    let end_ms = |range: &DateRange| match range.length {
        Length::Known(ms) => range.start_ms.saturating_add(ms),
        Length::Unknown | Length::Planned(_) | Length::UntilNext => next_ms(range),
    };
    ranges.iter().filter(|range| end_ms(range) >= from_ms).cloned().collect()
}

/// The spans by their beginning, checked against each other.
pub(crate) fn in_order(ranges: &[DateRange]) -> Result<Vec<&DateRange>, PlaylistError> {
    let mut sorted: Vec<&DateRange> = ranges.iter().collect();
    sorted.sort_by(|a, b| (a.start_ms, &a.id).cmp(&(b.start_ms, &b.id)));
    let mut ids = HashMap::new();
    for range in &sorted {
        if ids.insert(range.id.as_str(), ()).is_some() {
            return Err(range.bad("its ID is there twice"));
        }
    }
    let mut ends: HashMap<&str, u64> = HashMap::new();
    for range in &sorted {
        let (Some(class), length) = (range.class.as_deref(), range.length) else { continue };
        if ends.get(class).is_some_and(|end_ms| range.start_ms < *end_ms) {
            return Err(range.bad("it begins before another one of its CLASS has ended"));
        }
        let length_ms = match length {
            Length::Known(ms) => ms,
            // A plan may turn out shorter, and one without an end ends here.
            Length::Unknown | Length::Planned(_) | Length::UntilNext => 0,
        };
        ends.insert(class, range.start_ms.saturating_add(length_ms));
    }
    Ok(sorted)
}

// === impl DateRange ===

impl DateRange {
    /// The tag.
    ///
    /// # Errors
    /// [`PlaylistError::DateRange`] or [`PlaylistError::Attribute`] if something in it cannot be said.
    pub fn tag(&self) -> Result<String, PlaylistError> {
        let mut tag = Attributes::default().quoted("ID", &Quoted::new("ID", &self.id)?);
        if let Some(class) = &self.class {
            tag = tag.quoted("CLASS", &Quoted::new("CLASS", class)?);
        }
        tag = tag.plain("START-DATE", format_args!("\"{}\"", IsoDate(self.start_ms)));
        if !self.cues.is_empty() {
            tag = tag.plain("CUE", format_args!("\"{}\"", self.cues()?));
        }
        tag = match self.length {
            Length::Unknown | Length::UntilNext => tag,
            Length::Known(ms) => tag.plain("DURATION", SecondsOfMs(ms)),
            Length::Planned(ms) => tag.plain("PLANNED-DURATION", SecondsOfMs(ms)),
        };
        let sections = [
            ("SCTE35-CMD", &self.scte35.command),
            ("SCTE35-OUT", &self.scte35.out),
            ("SCTE35-IN", &self.scte35.back_in),
        ];
        for (name, section) in sections {
            if let Some(section) = section {
                tag = tag.plain(name, hexadecimal(section).ok_or_else(|| self.bad("a section of SCTE 35 is empty"))?);
            }
        }
        for (name, value) in &self.attributes {
            if !is_own_name(name) {
                return Err(self.bad("names of its own attributes are X- and then A-Z, 0-9, -"));
            }
            tag = match value {
                Value::Text(text) if text.is_empty() => tag.plain(name, "\"\""),
                Value::Text(text) => tag.quoted(name, &Quoted::new("X-…", text)?),
                Value::Bytes(bytes) => {
                    tag.plain(name, hexadecimal(bytes).ok_or_else(|| self.bad("an attribute has no bytes"))?)
                }
                Value::Number(number) if number.is_finite() => tag.plain(name, number),
                Value::Number(_) => return Err(self.bad("an attribute is no number")),
            };
        }
        if self.length == Length::UntilNext {
            if self.class.is_none() {
                return Err(self.bad("END-ON-NEXT needs a CLASS"));
            }
            tag = tag.plain("END-ON-NEXT", "YES");
        }
        Ok(tag.tag("EXT-X-DATERANGE"))
    }

    fn cues(&self) -> Result<String, PlaylistError> {
        let has = |cue| self.cues.contains(&cue);
        if has(Cue::Pre) && has(Cue::Post) {
            return Err(self.bad("CUE cannot be both PRE and POST"));
        }
        let words = [(Cue::Pre, "PRE"), (Cue::Post, "POST"), (Cue::Once, "ONCE")];
        Ok(words.iter().filter(|(cue, _)| has(*cue)).map(|(_, word)| *word).collect::<Vec<_>>().join(","))
    }

    fn bad(&self, what: &'static str) -> PlaylistError {
        PlaylistError::DateRange { id: self.id.clone(), what }
    }
}

fn is_own_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
    name.strip_prefix("X-").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_letter))
}

//! What subtitles are once they are read, and how they are written: WebVTT, in one way.
//!
//! Writing holds for any values: what would break the file (an empty line in a text, an arrow in an id) is taken out,
//! so that no cue can become two, or another's text.

use std::fmt::Write as _;

use crate::clock::{ARROW, Written, timestamp};
use crate::{TIME_MAX_MS, language, settings};

/// Subtitles of one language.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// BCP 47 tag that the file itself gives, canonical.
    pub language: Option<String>,
    /// By start; those that start together in the order of the file. They may overlap.
    pub cues: Vec<Cue>,
    /// Style sheets and regions, in the order of the file.
    pub header: Vec<HeaderBlock>,
    /// What was left out or changed while reading; at most [`crate::WARNINGS_MAX`] and one.
    pub warnings: Vec<Warning>,
}

/// A text and when it is shown: from `start_ms`, and no longer at `end_ms`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cue {
    /// Milliseconds.
    pub start_ms: u64,
    /// Milliseconds, above `start_ms`.
    pub end_ms: u64,
    /// Its name, of which there is no other in the document. SubRip's numbers are none: they repeat.
    pub id: Option<String>,
    /// WebVTT cue settings, such as `line:0 align:left`; empty where it stands at the usual place.
    pub settings: String,
    /// WebVTT cue text: with its tags, `&amp;` for `&`, lines divided by `\n`, none of them empty.
    pub text: String,
}

/// A block in front of the cues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderBlock {
    /// What it is.
    pub kind: HeaderKind,
    /// What stands below its first line.
    pub text: String,
}

/// What a block in front of the cues is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderKind {
    /// A style sheet, `STYLE`.
    Style,
    /// A place for cues, `REGION`.
    Region,
}

/// Something that the sender should know, and that did not stop the reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where, from 1.
    pub line: usize,
    /// What.
    pub text: String,
}

// === impl Document ===

impl Document {
    /// A WebVTT file: what [`crate::parse`] makes this document of again, without the warnings.
    #[must_use]
    pub fn to_webvtt(&self) -> String {
        let language = self.language.as_deref().and_then(|tag| language::canonical(tag).ok());
        let first_line = language.map_or("WEBVTT\n".to_owned(), |tag| format!("WEBVTT Language: {tag}\n"));
        self.written(first_line, &self.cues)
    }

    /// The part from `from_ms` until `to_ms` (the end if none), on a timeline that begins there: as a clip has it.
    ///
    /// Cues that reach over an edge are cut there; times within texts (`<00:01.000>`) move along.
    #[must_use]
    pub fn clip(&self, from_ms: u64, to_ms: Option<u64>) -> Self {
        let to_ms = to_ms.unwrap_or(u64::MAX);
        let cues = self.cues.iter().filter(|cue| cue.overlaps(from_ms, to_ms)).map(|cue| Cue {
            start_ms: cue.start_ms.saturating_sub(from_ms),
            end_ms: cue.end_ms.min(to_ms) - from_ms,
            text: moved(&cue.text, from_ms),
            ..cue.clone()
        });
        Self {
            cues: cues.collect(),
            language: self.language.clone(),
            header: self.header.clone(),
            warnings: Vec::new(),
        }
    }

    /// A file of some of the cues, behind the lines `first`.
    pub(crate) fn written<'a>(&self, first: String, cues: impl IntoIterator<Item = &'a Cue>) -> String {
        let mut text = first;
        for block in &self.header {
            block.write(&mut text);
        }
        let frame = text.len();
        cues.into_iter().for_each(|cue| cue.write(&mut text));
        if text.len() == frame && self.header.is_empty() {
            // The line that ends the header stands also where nothing follows (WebVTT section 4.1).
            text.push('\n');
        }
        text
    }
}

// === impl Cue ===

impl Cue {
    /// Whether it is shown at any moment from `start_ms` until before `end_ms`.
    #[must_use]
    pub fn overlaps(&self, start_ms: u64, end_ms: u64) -> bool {
        self.start_ms.max(start_ms) < self.end_ms.min(end_ms)
    }

    /// Nothing, if it would not be read again.
    fn write(&self, out: &mut String) {
        if self.end_ms <= self.start_ms || self.end_ms > TIME_MAX_MS {
            return;
        }
        out.push('\n');
        if let Some(id) = self.id.as_deref().map(str::trim)
            && !id.is_empty()
            && !id.contains(['\r', '\n', '\0'])
            && !id.contains(ARROW)
        {
            out.push_str(id);
            out.push('\n');
        }
        // A `String` takes everything.
        let _ = write!(out, "{} {ARROW} {}", Written(self.start_ms), Written(self.end_ms));
        let settings = settings::canonical(&self.settings);
        if !settings.is_empty() {
            out.push(' ');
            out.push_str(&settings);
        }
        out.push('\n');
        write_lines(&self.text.replace(ARROW, "--&gt;"), out);
    }
}

// === impl HeaderBlock ===

impl HeaderBlock {
    fn write(&self, out: &mut String) {
        if self.text.contains(ARROW) || self.text.split(['\r', '\n']).all(str::is_empty) {
            return;
        }
        out.push_str(match self.kind {
            HeaderKind::Style => "\nSTYLE\n",
            HeaderKind::Region => "\nREGION\n",
        });
        write_lines(&self.text, out);
    }
}

/// An empty line would end the block.
fn write_lines(text: &str, out: &mut String) {
    for line in text.split(['\r', '\n']).filter(|line| !line.is_empty()) {
        out.extend(line.chars().map(|letter| if letter == '\0' { char::REPLACEMENT_CHARACTER } else { letter }));
        out.push('\n');
    }
}

/// A text with the times of its parts earlier by `from_ms`. A part that came before is there from the start, and
/// needs no time.
fn moved(text: &str, from_ms: u64) -> String {
    if from_ms == 0 {
        return text.to_owned();
    }
    let mut moved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('<') {
        moved.push_str(before);
        rest = behind;
        match timestamp(behind).and_then(|(ms, after)| Some((ms, after.strip_prefix('>')?))) {
            Some((ms, after)) => {
                if ms > from_ms {
                    // A `String` takes everything.
                    let _ = write!(moved, "<{}>", Written(ms - from_ms));
                }
                rest = after;
            }
            None => moved.push('<'),
        }
    }
    moved.push_str(rest);
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn cue(start_ms: u64, end_ms: u64, text: &str) -> Cue {
        Cue { start_ms, end_ms, text: text.to_owned(), ..Cue::default() }
    }

    #[test]
    fn a_file_is_written_like_this() {
        let style = HeaderBlock { kind: HeaderKind::Style, text: "::cue { color: lime }".to_owned() };
        let document = Document {
            language: Some("en".to_owned()),
            cues: vec![
                Cue { id: Some("one".to_owned()), settings: "line:0".to_owned(), ..cue(0, 1500, "Hello,\n<i>you</i>") },
                cue(3_600_000, 3_601_000, ""),
            ],
            header: vec![style],
            warnings: Vec::new(),
        };
        let golden = "WEBVTT Language: en\n\nSTYLE\n::cue { color: lime }\n\n\
                      one\n00:00:00.000 --> 00:00:01.500 line:0\nHello,\n<i>you</i>\n\n\
                      01:00:00.000 --> 01:00:01.000\n";
        assert_eq!(document.to_webvtt(), golden);
        assert_eq!(parse(golden.as_bytes(), None).unwrap(), document);
        assert_eq!(Document::default().to_webvtt(), "WEBVTT\n\n");
    }

    #[test]
    fn no_value_breaks_out_of_its_cue() {
        let mean = Cue {
            id: Some("a --> b".to_owned()),
            settings: "line:0\n\n00:00.000 --> 00:09.000".to_owned(),
            ..cue(0, 1000, "x\n\n00:05.000 --> 00:09.000\r\rSTYLE\0")
        };
        let block = |text: &str| HeaderBlock { kind: HeaderKind::Style, text: text.to_owned() };
        let document = Document {
            language: Some("en\n\nSTYLE".to_owned()),
            cues: vec![mean, cue(5, 5, "never"), cue(0, u64::MAX, "always")],
            header: vec![block("a\n\nb"), block("00:00.000 --> 00:01.000"), block("\n")],
            warnings: Vec::new(),
        };
        let read = parse(document.to_webvtt().as_bytes(), None).unwrap();
        assert_eq!(read.cues.len(), 1);
        assert_eq!(read.cues[0].settings, "line:0");
        assert_eq!(read.cues[0].text, "x\n00:05.000 --&gt; 00:09.000\nSTYLE\u{FFFD}");
        assert_eq!((read.language, read.cues[0].id.clone(), read.header), (None, None, vec![block("a\nb")]));
        assert_eq!(read.warnings, []);
    }

    #[test]
    fn a_clip_begins_at_nought() {
        let karaoke = "<00:08.000>a <00:10.000>b <00:12.500>c <i>d</i> <e";
        let document = Document {
            cues: vec![
                cue(1000, 10_000, "over"),
                cue(8000, 20_000, karaoke),
                cue(10_000, 10_500, "in"),
                cue(20_000, 21_000, "late"),
            ],
            ..Document::default()
        };
        let clip = document.clip(10_000, Some(15_000));
        let moved = "a b <00:00:02.500>c <i>d</i> <e";
        assert_eq!(clip.cues, [cue(0, 5000, moved), cue(0, 500, "in")]);
        assert_eq!(document.clip(10_000, None).cues[0].end_ms, 10_000);
        assert_eq!(document.clip(0, None), document);
    }
}

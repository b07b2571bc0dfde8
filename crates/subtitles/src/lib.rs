//! Subtitle text: WebVTT, SubRip and TTML in, one [`Document`] of cues; WebVTT out, as a file or in HLS segments.
//!
//! Pure: bytes in, values and text out. It never reads a file, never asks what time it is, and never guesses a
//! language. Whatever the bytes are, memory and time are bounded by the constants below; what a document cannot
//! hold is an error that names the line, and what can be left out is left out and told in its warnings.
//!
//! In reading order: what a document is ([`Document`]) and how it becomes text; how bytes become characters
//! (`encoding`), times (`clock`) and cue settings (`settings`); the three formats (`webvtt`, `subrip` with its
//! `markup`, `ttml`); what players ask for ([`segments`], [`thumbnails_vtt`]); and language tags ([`language`]).

mod clock;
mod collector;
mod document;
mod encoding;
pub mod language;
mod markup;
pub mod parsers;
mod segments;
mod settings;
mod subrip;
mod thumbnails;
mod ttml;
mod webvtt;

use thiserror::Error;

pub use document::{Cue, Document, HeaderBlock, HeaderKind, Warning};
pub use segments::{Segments, Timeline, segments};
pub use thumbnails::{SHEET, Sprite, thumbnails_vtt};

/// Largest input, and largest document written as WebVTT, bytes. Hours of dialogue are some 100 KiB.
pub const INPUT_MAX_BYTES: usize = 16 << 20;
/// Most cues of a document.
pub const CUES_MAX: usize = 100_000;
/// Longest text of a cue, with its tags, bytes.
pub const CUE_TEXT_MAX_BYTES: usize = 16 << 10;
/// Latest moment, milliseconds: hours of nine digits, as many as WebVTT's writers ever use.
pub const TIME_MAX_MS: u64 = 999_999_999 * 3_600_000;
/// Most warnings that are kept; one more says that there were others.
pub const WARNINGS_MAX: usize = 100;

/// How subtitles are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// WebVTT (W3C), `text/vtt`.
    WebVtt,
    /// SubRip, `.srt`.
    SubRip,
    /// TTML and the text profile of IMSC 1 (W3C), `application/ttml+xml`.
    Ttml,
}

/// Why bytes make no document. Lines count from 1.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SubtitleError {
    /// More than [`INPUT_MAX_BYTES`].
    #[error(
        "the subtitles have {bytes} bytes, {INPUT_MAX_BYTES} are read: split them by time, or leave out what is no text"
    )]
    TooLarge {
        /// As it came.
        bytes: usize,
    },
    /// Something in it grows beyond its bound.
    #[error("line {line}: more than {max} {what}: split the subtitles, or make them simpler there")]
    Limit {
        /// Where.
        line: usize,
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// None of the formats.
    #[error(
        "these are no subtitles: line 1 is not WEBVTT, no line is a SubRip time (00:00:01,000 --> 00:00:02,000), the \
         root is not <tt>: export them as WebVTT, SubRip or TTML"
    )]
    Unrecognised,
    /// Said to be WebVTT, and does not begin so.
    #[error("line 1: a WebVTT file begins with the line WEBVTT: add it, followed by an empty line")]
    NoHeader,
    /// The characters cannot be known.
    #[error("the characters cannot be read ({reason}): save the file as UTF-8")]
    Encoding {
        /// What is wrong.
        reason: &'static str,
    },
    /// Not well-formed XML.
    #[error("line {line}: not well-formed XML: {reason}")]
    Xml {
        /// Where.
        line: usize,
        /// What the reader says.
        reason: String,
    },
    /// XML that is not read, because of what it could do, or because no cue could come of it.
    #[error("line {line}: {what}")]
    Refused {
        /// Where.
        line: usize,
        /// What was found, and what to do.
        what: &'static str,
    },
    /// A sprite that no index describes.
    #[error("no thumbnails can be listed: {what}")]
    Sprite {
        /// Which value, and what it must be.
        what: &'static str,
    },
}

/// Reads subtitles of any of the formats.
///
/// What the bytes are is seen in them: `WEBVTT` at the beginning, an XML root, a line of SubRip times. `hint` is what
/// the sender calls them, and decides only where they do not tell. Cues come out sorted by their start, those that
/// start together in the order of the file. Cues that end before they start, or at once, are left out with a warning.
///
/// # Errors
/// [`SubtitleError`]: too large, none of the formats, or XML that is broken or dangerous.
pub fn parse(bytes: &[u8], hint: Option<Format>) -> Result<Document, SubtitleError> {
    if bytes.len() > INPUT_MAX_BYTES {
        return Err(SubtitleError::TooLarge { bytes: bytes.len() });
    }
    let decoded = encoding::decode(bytes)?;
    let mut collector = collector::Collector::default();
    if let Some(note) = decoded.note {
        collector.warn(1, note);
    }
    match format_of(&decoded.text, hint).ok_or(SubtitleError::Unrecognised)? {
        Format::WebVtt => webvtt::parse(&decoded.text, collector),
        Format::SubRip => subrip::parse(&decoded.text, collector),
        Format::Ttml => ttml::parse(&decoded.text, collector),
    }
}

fn format_of(text: &str, hint: Option<Format>) -> Option<Format> {
    let begins = text.trim_start();
    if webvtt::has_header(begins) {
        return Some(Format::WebVtt);
    }
    if begins.starts_with("<?xml") || begins.starts_with("<tt") || begins.starts_with("<!") {
        return Some(Format::Ttml);
    }
    let is_timed = text.lines().any(|line| matches!(clock::line(line), clock::Line::Timed { .. }));
    match hint {
        // Their settings and tags would be lost.
        Some(Format::WebVtt) => hint,
        _ if is_timed => Some(Format::SubRip),
        None if begins.starts_with('<') => Some(Format::Ttml),
        _ => hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_say_what_they_are_and_the_sender_only_where_they_do_not() {
        let srt = "1\n00:00:01,000 --> 00:00:02,000\n<tt>";
        let all = [None, Some(Format::WebVtt), Some(Format::SubRip), Some(Format::Ttml)];
        let found = |text: &str| all.map(|hint| format_of(text, hint));
        assert_eq!(found("WEBVTT\n"), [Some(Format::WebVtt); 4]);
        assert_eq!(found("\n<?xml version='1.0'?><tt/>"), [Some(Format::Ttml); 4]);
        assert_eq!(found("<tt:tt>"), [Some(Format::Ttml); 4]);
        let [none, webvtt, others @ ..] = found(srt);
        assert_eq!((none, webvtt, others), (Some(Format::SubRip), Some(Format::WebVtt), [Some(Format::SubRip); 2]));
        assert_eq!(found("<a:tt/>")[0], Some(Format::Ttml));
        assert_eq!(found(""), all);
    }
}

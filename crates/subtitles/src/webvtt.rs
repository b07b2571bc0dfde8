//! Reads WebVTT, block by block, as the W3C's parser does (WebVTT section 6.1, "collect a WebVTT block").
//!
//! Where it is kinder: a comma in a time, and digits left out. Where it says more: blocks that players skip in silence
//! are warnings here. Texts stay as they are, tags, entities and all: only a player gives them a meaning.

use std::iter::Peekable;
use std::str::Split;

use crate::clock::{self, ARROW};
use crate::collector::{Collector, Quoted};
use crate::document::{Cue, Document, HeaderBlock, HeaderKind};
use crate::{SubtitleError, language, settings};

const SIGNATURE: &str = "WEBVTT";
/// In the header, in front of the language: behind `WEBVTT`, where the W3C leaves the line to whoever writes it, or in a
/// line of its own, as YouTube has it.
const LANGUAGE: &str = "language:";
/// A line of the header that moves the times of a segment (RFC 8216bis section 3.1.4).
const TIMESTAMP_MAP: &str = "X-TIMESTAMP-MAP";

struct Lines<'a> {
    lines: Peekable<Split<'a, char>>,
    /// Number of the line that was taken last, from 1.
    number: usize,
}

/// Whether the text begins as WebVTT does.
pub fn has_header(text: &str) -> bool {
    text.strip_prefix(SIGNATURE).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n']))
}

/// Reads the whole file.
pub fn parse(text: &str, mut collector: Collector) -> Result<Document, SubtitleError> {
    let begins = text.trim_start();
    if !has_header(begins) {
        return Err(SubtitleError::NoHeader);
    }
    let mut lines = Lines::new(begins, text[..text.len() - begins.len()].matches('\n').count());
    if begins.len() < text.len() {
        collector.warn(1, "WEBVTT should be the very first thing in the file");
    }
    let language = header(&mut lines, &mut collector);
    let mut has_cues = false;
    while lines.peek().is_some() {
        block(&mut lines, &mut collector, &mut has_cues)?;
    }
    Ok(collector.finish(language))
}

/// What the first line says, behind `WEBVTT`, and those below it, up to an empty line or a cue.
fn header(lines: &mut Lines<'_>, collector: &mut Collector) -> Option<String> {
    let mut language = None;
    let first = lines.take();
    let mut said = &first[SIGNATURE.len()..];
    loop {
        for word in said.split(';') {
            take_language(word.trim(), &mut language, lines.number, collector);
        }
        if said.starts_with(TIMESTAMP_MAP) {
            collector.warn(lines.number, "X-TIMESTAMP-MAP is for segments of HLS: the times are taken as they stand");
        }
        if lines.peek().is_none_or(|line| line.contains(ARROW)) {
            return language;
        }
        said = lines.take();
        if said.is_empty() {
            return language;
        }
    }
}

/// `Language: en`; the first that is said holds.
fn take_language(said: &str, language: &mut Option<String>, line: usize, collector: &mut Collector) {
    let is_language = said.get(..LANGUAGE.len()).is_some_and(|name| name.eq_ignore_ascii_case(LANGUAGE));
    if !is_language || language.is_some() {
        return;
    }
    match language::canonical(said[LANGUAGE.len()..].trim()) {
        Ok(tag) => *language = Some(tag),
        Err(error) => collector.warn(line, format_args!("{error}: the file's language is not taken over")),
    }
}

fn block(lines: &mut Lines<'_>, collector: &mut Collector, has_cues: &mut bool) -> Result<(), SubtitleError> {
    let first = lines.take();
    let begins_at = lines.number;
    if first.is_empty() {
        return Ok(());
    }
    if first.contains(ARROW) {
        *has_cues = true;
        return cue(first, None, lines, collector);
    }
    if lines.peek().is_some_and(|line| line.contains(ARROW)) {
        *has_cues = true;
        let times = lines.take();
        return cue(times, Some(first.to_owned()), lines, collector);
    }
    let text = lines.rest_of_block();
    let kind = match first.trim_end() {
        "STYLE" => HeaderKind::Style,
        "REGION" => HeaderKind::Region,
        line if is_note(line) => return Ok(()),
        line => {
            collector.warn(begins_at, format_args!("a block without times is left out: {}", Quoted(line)));
            return Ok(());
        }
    };
    if *has_cues {
        collector
            .warn(begins_at, format_args!("{first} stands behind a cue, where players do not look: it is left out"));
    } else if !text.is_empty() {
        collector.block(begins_at, HeaderBlock { kind, text })?;
    }
    Ok(())
}

fn is_note(line: &str) -> bool {
    line.strip_prefix("NOTE").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

fn cue(times: &str, id: Option<String>, lines: &mut Lines<'_>, collector: &mut Collector) -> Result<(), SubtitleError> {
    let number = lines.number;
    let text = lines.rest_of_block();
    let clock::Line::Timed { start_ms, end_ms, rest } = clock::line(times) else {
        collector.warn(
            number,
            format_args!("not two times (00:00:01.000 --> 00:00:02.000): {}: the cue is left out", Quoted(times)),
        );
        return Ok(());
    };
    collector.cue(number, Cue { start_ms, end_ms, id, settings: settings::canonical(rest), text })
}

// === impl Lines ===

impl<'a> Lines<'a> {
    fn new(text: &'a str, before: usize) -> Self {
        Self { lines: text.split('\n').peekable(), number: before }
    }

    fn peek(&mut self) -> Option<&'a str> {
        self.lines.peek().copied()
    }

    /// The next line; an empty one at the end.
    fn take(&mut self) -> &'a str {
        self.number += 1;
        self.lines.next().unwrap_or_default()
    }

    /// What stands before an empty line or the next times.
    fn rest_of_block(&mut self) -> String {
        let mut text = String::new();
        while self.peek().is_some_and(|line| !line.is_empty() && !line.contains(ARROW)) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(self.take());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use crate::{Cue, HeaderKind, SubtitleError, parse};

    const FILE: &str = "\u{FEFF}WEBVTT - made by hand\r
Kind: captions\r
Language: EN-us\r
\r
NOTE a comment\r
of two lines\r
\r
STYLE\r
::cue(.loud) { color: red }\r
\r
REGION\r
id:fred\r
lines:3\r
\r
intro\r
00:01.000 --> 00:02.500 region:fred align:middle nonsense\r
<v Fred>Hi, &amp; <c.loud>welcome</c>\r
<00:02.000>all\r
\r
00:00:00.500 --> 00:00:04.000\r
overlapping\r
00:00:05.000 --> 00:00:06.000\r
without an empty line\r
\r
00:00:08.000 --> 00:00:07.000\r
backwards\r
\r
00:00:09,000 --> 00:00:10,5\r
comma\r
\r
00:00:11.000 -> 00:00:12.000\r
short arrow\r
\r
intro\r
00:13.000 --> 00:14.000\r
\r
STYLE\r
late {}\r
\r
00:99.000 --> 01:00.000\r
bad";

    #[test]
    fn a_file_with_everything_is_read() {
        let document = parse(FILE.as_bytes(), None).unwrap();
        assert_eq!(document.language.as_deref(), Some("en-US"));
        let kinds: Vec<_> = document.header.iter().map(|block| (block.kind, block.text.as_str())).collect();
        assert_eq!(
            kinds,
            [(HeaderKind::Style, "::cue(.loud) { color: red }"), (HeaderKind::Region, "id:fred\nlines:3")]
        );
        let cue = |start_ms, end_ms, text: &str| Cue { start_ms, end_ms, text: text.to_owned(), ..Cue::default() };
        let intro = Cue {
            id: Some("intro".to_owned()),
            settings: "align:center region:fred".to_owned(),
            ..cue(1000, 2500, "<v Fred>Hi, &amp; <c.loud>welcome</c>\n<00:02.000>all")
        };
        let expected = [
            cue(500, 4000, "overlapping"),
            intro,
            cue(5000, 6000, "without an empty line"),
            cue(9000, 10_500, "comma"),
            cue(13_000, 14_000, ""),
        ];
        assert_eq!(document.cues, expected);
        let warned: Vec<usize> = document.warnings.iter().map(|warning| warning.line).collect();
        assert_eq!(warned, [25, 31, 35, 37, 40], "{:?}", document.warnings);
    }

    #[test]
    fn a_header_alone_is_a_document() {
        for text in
            ["WEBVTT - Kind: captions; Language: en", "WEBVTT\nlanguage:eng", "WEBVTT Language: en; Language: fr"]
        {
            assert_eq!(parse(text.as_bytes(), None).unwrap().language.as_deref(), Some("en"), "{text:?}");
        }
        for text in ["WEBVTT", "WEBVTT\n", "WEBVTT\r\n\r\n", "\u{FEFF}WEBVTT\tx", "\n\nWEBVTT\n\n"] {
            assert_eq!(parse(text.as_bytes(), None).unwrap().cues, [], "{text:?}");
        }
        let hinted = parse(b"WEBVTTX\n", Some(crate::Format::WebVtt));
        assert_eq!(hinted, Err(SubtitleError::NoHeader));
    }

    #[test]
    fn a_cue_may_follow_the_header_at_once() {
        let document = parse(b"WEBVTT\n00:01.000 --> 00:02.000\nx\n\n\n\n00:02.000 --> 00:03.000\ny", None).unwrap();
        assert_eq!(document.cues.len(), 2);
    }
}

//! The text of SubRip, made WebVTT: its HTML-like tags, and the overrides in braces that came from Advanced SubStation.
//!
//! `i`, `b`, `u` are kept and closed; the colour of a `font` becomes one of the eight that WebVTT's players know, or is
//! lost; other tags of HTML are taken out. What only looks like a tag is text, and is escaped.

use std::fmt::Write as _;

use crate::CUE_TEXT_MAX_BYTES;

/// Overrides `{\an1}` to `{\an9}` (as on a number pad: 7 is the upper left corner) as cue settings.
const PLACES: [&str; 9] = [
    "align:left",
    "",
    "align:right",
    "line:50%,center align:left",
    "line:50%,center",
    "line:50%,center align:right",
    "line:0 align:left",
    "line:0",
    "line:0 align:right",
];

/// Tags of HTML that say nothing that WebVTT can.
const DROPPED: [&str; 11] = ["s", "strike", "span", "p", "div", "small", "big", "tt", "center", "sub", "sup"];

/// The colours that have a class in WebVTT (section 5.1), and what they are called in HTML.
const COLOURS: [(&str, u32); 8] = [
    ("white", 0xFF_FF_FF),
    ("lime", 0x00_FF_00),
    ("cyan", 0x00_FF_FF),
    ("red", 0xFF_00_00),
    ("yellow", 0xFF_FF_00),
    ("magenta", 0xFF_00_FF),
    ("blue", 0x00_00_FF),
    ("black", 0x00_00_00),
];

/// Longest tag or override that is looked at, bytes; what is longer is text.
const TAG_MAX_BYTES: usize = 256;
/// Deepest nesting that is kept; deeper tags are taken out.
const DEPTH_MAX: usize = 16;

/// A text of WebVTT.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Read {
    pub text: String,
    pub settings: &'static str,
}

/// A tag that is open: `i`, `b`, `u` or `c.yellow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    Italic,
    Bold,
    Underline,
    /// Of a `font`, if it is one that can be kept.
    Colour(Option<&'static str>),
}

#[derive(Default)]
struct Writer {
    read: Read,
    open: Vec<Tag>,
}

/// Reads the text of a cue.
pub fn read(text: &str) -> Read {
    let mut writer = Writer::default();
    for line in text.split('\n') {
        writer.end_line();
        writer.take(line.trim());
    }
    writer.finish()
}

/// The class of a colour (`#rrggbb`, `#rrggbbaa`, or a name), if WebVTT has one.
pub fn colour_class(value: &str) -> Option<&'static str> {
    let value = value.trim().trim_start_matches('#').to_ascii_lowercase();
    let named = match value.as_str() {
        "aqua" => "cyan",
        "fuchsia" => "magenta",
        name => name,
    };
    if let Some((name, _)) = COLOURS.iter().find(|(name, _)| *name == named) {
        return Some(name);
    }
    let is_hex = matches!(value.len(), 6 | 8) && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let rgb = is_hex.then(|| u32::from_str_radix(&value[..6], 16).ok()).flatten()?;
    COLOURS.iter().find(|(_, known)| *known == rgb).map(|(name, _)| *name)
}

/// Appends a character as text.
pub fn push_escaped(text: &mut String, letter: char) {
    match letter {
        '&' => text.push_str("&amp;"),
        '<' => text.push_str("&lt;"),
        '>' => text.push_str("&gt;"),
        '\0' => text.push(char::REPLACEMENT_CHARACTER),
        _ => text.push(letter),
    }
}

/// The length of the character reference at the beginning of `text`, if it is one that players of WebVTT know.
fn reference_bytes(text: &str) -> Option<usize> {
    const KNOWN: [&str; 8] = ["&amp;", "&lt;", "&gt;", "&quot;", "&apos;", "&nbsp;", "&lrm;", "&rlm;"];
    if let Some(known) = KNOWN.iter().find(|known| text.starts_with(**known)) {
        return Some(known.len());
    }
    let digits = text.strip_prefix("&#")?.bytes().take_while(u8::is_ascii_digit).count();
    ((1..=7).contains(&digits) && text[2 + digits..].starts_with(';')).then_some(digits + 3)
}

/// What stands between the brackets at the beginning of `text`.
fn within(text: &str, open: char, close: char) -> Option<&str> {
    let inner = text.strip_prefix(open)?;
    let end = inner.bytes().take(TAG_MAX_BYTES).position(|byte| byte == close as u8)?;
    Some(&inner[..end]).filter(|inner| !inner.contains(open))
}

// === impl Tag ===

impl Tag {
    fn write_open(self, text: &mut String) {
        let written = match self {
            Self::Italic => write!(text, "<i>"),
            Self::Bold => write!(text, "<b>"),
            Self::Underline => write!(text, "<u>"),
            Self::Colour(Some(class)) => write!(text, "<c.{class}>"),
            Self::Colour(None) => Ok(()),
        };
        // A `String` takes everything.
        let _ = written;
    }

    fn write_close(self, text: &mut String) {
        text.push_str(match self {
            Self::Italic => "</i>",
            Self::Bold => "</b>",
            Self::Underline => "</u>",
            Self::Colour(Some(_)) => "</c>",
            Self::Colour(None) => "",
        });
    }

    fn is_like(self, other: Self) -> bool {
        self == other || matches!((self, other), (Self::Colour(_), Self::Colour(_)))
    }
}

// === impl Writer ===

impl Writer {
    fn take(&mut self, line: &str) {
        let mut rest = line;
        while let Some(letter) = rest.chars().next() {
            // Tags that are closed and opened again grow: whoever takes the text refuses it.
            if self.read.text.len() > CUE_TEXT_MAX_BYTES {
                return;
            }
            let taken = match letter {
                '<' => within(rest, '<', '>').filter(|tag| self.tag(tag)).map(|tag| tag.len() + 2),
                '{' => within(rest, '{', '}').filter(|inner| self.braces(inner)).map(|inner| inner.len() + 2),
                '&' => reference_bytes(rest).inspect(|&bytes| self.read.text.push_str(&rest[..bytes])),
                _ => None,
            };
            rest = &rest[taken.unwrap_or_else(|| {
                push_escaped(&mut self.read.text, letter);
                letter.len_utf8()
            })..];
        }
    }

    /// Whether it was a tag.
    fn tag(&mut self, tag: &str) -> bool {
        let (is_end, inner) = tag.strip_prefix('/').map_or((false, tag), |inner| (true, inner));
        let inner = inner.trim().trim_end_matches('/');
        let name = inner.split(|letter: char| letter.is_ascii_whitespace() || letter == '=').next().unwrap_or_default();
        let tag = match name.to_ascii_lowercase().as_str() {
            "i" | "em" => Tag::Italic,
            "b" | "strong" => Tag::Bold,
            "u" => Tag::Underline,
            "font" => Tag::Colour(colour_of(inner)),
            "br" => {
                self.end_line();
                return true;
            }
            name => return DROPPED.contains(&name),
        };
        if is_end {
            self.close(tag)
        } else {
            self.open(tag)
        }
        true
    }

    /// Whether it was an override.
    fn braces(&mut self, inner: &str) -> bool {
        let Some(overrides) = inner.strip_prefix('\\') else { return false };
        for name in overrides.split('\\') {
            match name.trim() {
                "i1" => self.open(Tag::Italic),
                "i0" => self.close(Tag::Italic),
                "b1" => self.open(Tag::Bold),
                "b0" => self.close(Tag::Bold),
                "u1" => self.open(Tag::Underline),
                "u0" => self.close(Tag::Underline),
                name => {
                    let place = name.strip_prefix("an").and_then(|digit| digit.parse::<usize>().ok());
                    // The first one holds, as in the players that know it.
                    if let Some(place) = place.and_then(|place| PLACES.get(place.checked_sub(1)?))
                        && self.read.settings.is_empty()
                    {
                        self.read.settings = place;
                    }
                }
            }
        }
        true
    }

    fn open(&mut self, tag: Tag) {
        if self.open.len() < DEPTH_MAX {
            self.open.push(tag);
            tag.write_open(&mut self.read.text);
        }
    }

    /// Closes the innermost tag of the kind; those within are closed, and opened again.
    fn close(&mut self, tag: Tag) {
        let Some(at) = self.open.iter().rposition(|open| open.is_like(tag)) else { return };
        let inner = self.open.split_off(at);
        inner.iter().rev().for_each(|open| open.write_close(&mut self.read.text));
        inner[1..].iter().for_each(|open| open.write_open(&mut self.read.text));
        self.open.extend(&inner[1..]);
    }

    /// WebVTT has no empty lines.
    fn end_line(&mut self) {
        let trimmed = self.read.text.trim_end_matches(' ').len();
        self.read.text.truncate(trimmed);
        if !self.read.text.is_empty() && !self.read.text.ends_with('\n') {
            self.read.text.push('\n');
        }
    }

    fn finish(mut self) -> Read {
        self.read.text.truncate(self.read.text.trim_end().len());
        for open in std::mem::take(&mut self.open).into_iter().rev() {
            open.write_close(&mut self.read.text);
        }
        if !has_letters(&self.read.text) {
            self.read.text.clear();
        }
        self.read
    }
}

/// Whether anything is left when the tags are gone.
pub fn has_letters(text: &str) -> bool {
    let mut is_within = false;
    text.chars().any(|letter| {
        match letter {
            '<' => is_within = true,
            '>' => is_within = false,
            _ => return !is_within && !letter.is_whitespace(),
        }
        false
    })
}

fn colour_of(font: &str) -> Option<&'static str> {
    let at = font.to_ascii_lowercase().find("color")?;
    let value = font[at + "color".len()..].trim_start().strip_prefix('=')?.trim_start();
    let value = value.trim_start_matches(['"', '\'']);
    colour_class(value.split(['"', '\'', ' ', '>']).next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_webvtt() {
        for (line, text, settings) in [
            ("plain", "plain", ""),
            ("<I>a</I> <b>b <i>c</b> d", "<i>a</i> <b>b <i>c</i></b><i> d</i>", ""),
            ("</i>stray</font>", "stray", ""),
            ("<font color=\"#FFFF00\" size=3>y</font>", "<c.yellow>y</c>", ""),
            ("<font color=Aqua>y</font><FONT FACE='x'>z</FONT>", "<c.cyan>y</c>z", ""),
            ("<font color='#123456'>y", "y", ""),
            ("{\\an8}up{\\an1}", "up", "line:0"),
            ("{\\pos(1,2)\\an7\\i1}a{\\i0}b", "<i>a</i>b", "line:0 align:left"),
            ("{not} {\\unended", "{not} {\\unended", ""),
            (
                "I <3 you & <John> R&amp;B &#39;x&#39; &copy; a<b",
                "I &lt;3 you &amp; &lt;John&gt; R&amp;B &#39;x&#39; &amp;copy; a&lt;b",
                "",
            ),
            ("a <br/> b<br>", "a\n b", ""),
            ("<i></i>", "", ""),
            ("<em>x</em> <s>y</s>", "<i>x</i> y", ""),
            ("-- >> -->", "-- &gt;&gt; --&gt;", ""),
        ] {
            assert_eq!(read(line), Read { text: text.to_owned(), settings }, "{line}");
        }
    }

    #[test]
    fn tags_reach_over_lines_and_no_line_is_empty() {
        assert_eq!(read("<i>open\n\n").text, "<i>open</i>");
        let text = "<i>a\nb</i>\nc".to_owned();
        assert_eq!(read("\n<i>a \n\n  \nb</i>\nc\n"), Read { text, settings: "" });
    }
}

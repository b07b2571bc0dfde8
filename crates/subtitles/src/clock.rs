//! Times as WebVTT and SubRip write them: `01:02:03.004`, and the lines that hold two of them.
//!
//! Read generously, written in one way. WebVTT wants a dot and three digits, SubRip a comma; files have either, fewer
//! digits, or none. It never reads TTML's times, which have frames and ticks.

use std::fmt;

/// Between the two times of a cue.
pub const ARROW: &str = "-->";

/// Digits of an hour that are read.
const HOUR_DIGITS_MAX: usize = 9;

/// A moment as WebVTT writes it, milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Written(pub u64);

/// What a line says of times.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Nothing: it is text.
    Text,
    /// It should be a line of times, and cannot be read.
    Broken,
    /// When a cue starts and ends.
    Timed {
        /// Milliseconds.
        start_ms: u64,
        /// Milliseconds; not checked against the start.
        end_ms: u64,
        /// What stands behind the times.
        rest: &'a str,
    },
}

/// Reads a line.
pub fn line(line: &str) -> Line<'_> {
    let Some((left, right)) = line.split_once(ARROW) else { return Line::Text };
    let (left, right) = (left.trim(), right.trim_start());
    let whole = |(ms, rest): (u64, &str)| rest.is_empty().then_some(ms);
    match (timestamp(left).and_then(whole), timestamp(right)) {
        (Some(start_ms), Some((end_ms, rest))) => Line::Timed { start_ms, end_ms, rest },
        _ if is_like_a_time(left) => Line::Broken,
        _ => Line::Text,
    }
}

/// The moment at the beginning of `text`, milliseconds, and what follows it.
pub fn timestamp(text: &str) -> Option<(u64, &str)> {
    let (first, digits, mut rest) = number(text)?;
    if digits > HOUR_DIGITS_MAX {
        return None;
    }
    let (second, after) = sixtieth(rest.strip_prefix(':')?)?;
    rest = after;
    let third = rest.strip_prefix(':').and_then(sixtieth);
    let (hours, minutes, seconds) = match third {
        Some((third, after)) => {
            rest = after;
            (first, second, third)
        }
        None if first < 60 => (0, first, second),
        None => return None,
    };
    let mut ms = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let (_, digits, after) = number(fraction)?;
        // ",5" is half a second: whoever leaves digits out leaves zeros out.
        ms = (0..3).fold(0, |ms, at| ms * 10 + fraction.as_bytes().get(at).filter(|_| at < digits).map_or(0, digit));
        rest = after;
    }
    Some((((hours * 60 + minutes) * 60 + seconds) * 1000 + ms, rest))
}

fn digit(byte: &u8) -> u64 {
    u64::from(byte - b'0')
}

/// The digits at the beginning of `text`: their value, as far as it fits, and their count.
fn number(text: &str) -> Option<(u64, usize, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let value =
        text.bytes().take(digits).fold(0_u64, |value, byte| value.saturating_mul(10).saturating_add(digit(&byte)));
    (digits > 0).then(|| (value, digits, &text[digits..]))
}

fn sixtieth(text: &str) -> Option<(u64, &str)> {
    number(text).filter(|&(value, digits, _)| digits <= 2 && value < 60).map(|(value, _, rest)| (value, rest))
}

fn is_like_a_time(text: &str) -> bool {
    text.contains(':')
        && text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b":.,- ".contains(&byte))
}

// === impl Written ===

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(ms) = *self;
        write!(f, "{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_files_have_them() {
        for (text, ms) in [
            ("00:00:01.000", 1000),
            ("00:01,500", 1500),
            ("1:02:03,004", 3_723_004),
            ("00:00:01", 1000),
            ("00:00:01,5", 1500),
            ("00:00:01.123456", 1123),
            ("999999999:59:59.999", crate::TIME_MAX_MS + 3_599_999),
        ] {
            assert_eq!(timestamp(text), Some((ms, "")), "{text}");
        }
        for text in [
            "",
            "1",
            "60:00.000",
            "00:60:00.000",
            "00:00:61,000",
            "00:00:01.",
            "1000000000:00:00.000",
            "a:b",
            "00:000:00",
        ] {
            assert_eq!(timestamp(text).filter(|(_, rest)| rest.is_empty()), None, "{text}");
        }
    }

    #[test]
    fn a_line_with_an_arrow_is_not_always_a_time() {
        assert_eq!(line("he went --> there"), Line::Text);
        assert_eq!(line("10 --> 20"), Line::Text);
        assert_eq!(line("-00:00:01,000 --> 00:00:02,000"), Line::Broken);
        assert_eq!(line("00:00:01,000 --> soon"), Line::Broken);
        let timed = Line::Timed { start_ms: 1000, end_ms: 2000, rest: " align:left" };
        assert_eq!(line(" 00:00:01,000-->00:00:02,000 align:left"), timed);
    }

    #[test]
    fn what_is_written_is_read() {
        for ms in [0, 999, 3_599_999, 360_000_000, crate::TIME_MAX_MS] {
            assert_eq!(timestamp(&Written(ms).to_string()), Some((ms, "")));
        }
    }
}

//! What somebody says of pictures that do not say it themselves: raw samples in a file, and a file for each picture.
//!
//! Nothing is guessed. A wrong size would shear every picture, and a score of sheared pictures looks like any other.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::media::Rational;

/// Widest and highest picture, samples.
const SIZE_MAX: u32 = 16_384;
/// Fastest film, pictures a second.
const RATE_MAX: u32 = 1000;
/// Largest denominator of a rate.
const DENOMINATOR_MAX: u32 = 100_000;
/// Longest name of a pixel format, bytes.
const FORMAT_MAX_BYTES: usize = 20;

/// Pictures whose bytes do not say what they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case")]
pub enum Form {
    /// A file of samples, picture after picture, without a word about them.
    Raw(Raw),
    /// A file for each picture; the path has one number, such as `%04d`.
    Images {
        /// Pictures a second.
        frame_rate: Rational,
    },
}

/// What raw samples are: `1280x720@25:yuv420p`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raw {
    /// Samples of luma across.
    pub width: u32,
    /// Rows of luma.
    pub height: u32,
    /// Pictures a second.
    pub frame_rate: Rational,
    /// How the samples lie, FFmpeg's name: `yuv420p`, `yuv422p10le`, `nv12`.
    pub pixel_format: String,
}

/// Reads a rate: `25`, `30000/1001`.
///
/// # Errors
/// What a rate looks like.
pub fn rate(text: &str) -> Result<Rational, String> {
    let (num, den) = text.split_once('/').unwrap_or((text, "1"));
    let is_rate = |(num, den): &(u32, u32)| {
        *num > 0 && (1..=DENOMINATOR_MAX).contains(den) && u64::from(*num) <= u64::from(RATE_MAX) * u64::from(*den)
    };
    let known = number(num).zip(number(den)).filter(is_rate).map(|(num, den)| Rational { num, den });
    known.ok_or_else(|| format!("`{text}` is no rate: pictures a second, at most {RATE_MAX}, such as 25 or 30000/1001"))
}

/// Digits and nothing else: no sign, no space.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

// === impl Raw ===

impl FromStr for Raw {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` does not say what raw pictures are: size, rate and format, such as 1280x720@25:yuv420p")
        };
        let (size, rest) = text.split_once('@').ok_or_else(wrong)?;
        let (fps, pixel_format) = rest.split_once(':').ok_or_else(wrong)?;
        let (width, height) = size.split_once('x').ok_or_else(wrong)?;
        let side = |text: &str| number(text).filter(|side| (1..=SIZE_MAX).contains(side));
        let (Some(width), Some(height)) = (side(width), side(height)) else {
            return Err(format!("`{size}` is no size: width and height of 1 to {SIZE_MAX} samples, such as 1280x720"));
        };
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !(1..=FORMAT_MAX_BYTES).contains(&pixel_format.len()) || !pixel_format.bytes().all(is_name) {
            return Err(format!("`{pixel_format}` is no pixel format: FFmpeg's name of one, such as yuv420p"));
        }
        Ok(Self { width, height, frame_rate: rate(fps)?, pixel_format: pixel_format.to_owned() })
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, height, frame_rate: Rational { num, den }, pixel_format } = self;
        write!(formatter, "{width}x{height}@{num}")?;
        if *den != 1 {
            write!(formatter, "/{den}")?;
        }
        write!(formatter, ":{pixel_format}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_raw_pictures_is_read_and_written_the_same() {
        for text in ["1280x720@25:yuv420p", "1x16384@30000/1001:yuv422p10le", "352x288@1000:nv12"] {
            let raw: Raw = text.parse().expect(text);
            assert_eq!(raw.to_string(), text);
            assert_eq!(serde_json::from_str::<Raw>(&serde_json::to_string(&raw).unwrap()).unwrap(), raw);
        }
        let raw: Raw = "1280x720@30000/1001:yuv420p".parse().unwrap();
        assert_eq!((raw.width, raw.height, raw.frame_rate), (1280, 720, Rational { num: 30_000, den: 1001 }));
    }

    #[test]
    fn what_is_not_said_is_not_guessed() {
        for (text, word) in [
            ("", "does not say"),
            ("1280x720", "does not say"),
            ("1280x720@25", "does not say"),
            ("1280:yuv420p", "does not say"),
            ("1280@25:yuv420p", "does not say"),
            ("0x720@25:yuv420p", "no size"),
            ("1280x-720@25:yuv420p", "no size"),
            ("+1280x720@25:yuv420p", "no size"),
            ("1280x16385@25:yuv420p", "no size"),
            ("99999999999x1@25:yuv420p", "no size"),
            ("1280x720@0:yuv420p", "no rate"),
            ("1280x720@1001:yuv420p", "no rate"),
            ("1280x720@25/0:yuv420p", "no rate"),
            ("1280x720@25/100001:yuv420p", "no rate"),
            ("1280x720@29.97:yuv420p", "no rate"),
            ("1280x720@25:", "no pixel format"),
            ("1280x720@25:YUV 420", "no pixel format"),
            ("1280x720@25:yuv420pyuv420pyuv420p", "no pixel format"),
        ] {
            let why = text.parse::<Raw>().expect_err(text);
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}

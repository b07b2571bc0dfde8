//! Times of TTML (TTML2 section 12.3.1, `<time-expression>`), and how they nest (section 12.1).

use super::attributes::Attributes;
use crate::TIME_MAX_MS;

/// Digits of any number that are read: with more of them products would not fit.
const DIGITS_MAX: usize = 12;
/// Largest rate, frames or ticks a second: 10 MHz is common.
const RATE_MAX: u64 = 1_000_000_000;

/// When an element is there: from `start_ms`, and no longer at `end_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Milliseconds.
    pub start_ms: u64,
    /// Milliseconds; `u64::MAX` if nothing ends it.
    pub end_ms: u64,
}

/// What frames and ticks last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Frames a second: a fraction.
    frames: (u64, u64),
    /// Ticks a second: a fraction.
    ticks: (u64, u64),
}

// === impl Interval ===

impl Default for Interval {
    fn default() -> Self {
        Self { start_ms: 0, end_ms: u64::MAX }
    }
}

impl Interval {
    /// Of an element in a parent that is there during `parent`; `next_ms` is where it begins if it follows a sibling.
    ///
    /// # Errors
    /// What should be a time, and is none.
    pub fn within(parent: Self, next_ms: Option<u64>, attributes: &Attributes, rates: &Rates) -> Result<Self, String> {
        let read = |text: &Option<String>| match text {
            Some(text) => rates.ms(text).map(Some).ok_or_else(|| text.clone()),
            None => Ok(None),
        };
        let from_ms = next_ms.unwrap_or(parent.start_ms);
        let (begin_ms, end_ms, dur_ms) = (read(&attributes.begin)?, read(&attributes.end)?, read(&attributes.dur)?);
        let start_ms = from_ms.saturating_add(begin_ms.unwrap_or(0));
        let ends_ms = [end_ms.map(|ms| from_ms.saturating_add(ms)), dur_ms.map(|ms| start_ms.saturating_add(ms))];
        let end_ms = ends_ms.into_iter().flatten().fold(parent.end_ms, u64::min);
        Ok(Self { start_ms, end_ms })
    }
}

// === impl Rates ===

impl Default for Rates {
    /// 30 frames and one tick a second (TTML2 sections 7.2.6 and 7.2.15).
    fn default() -> Self {
        Self { frames: (30, 1), ticks: (1, 1) }
    }
}

impl Rates {
    /// What the root says; `None` if it is no rate.
    pub fn read(root: &Attributes) -> Option<Self> {
        let rate = |text: &str| text.parse().ok().filter(|rate| (1..=RATE_MAX).contains(rate));
        let frame_rate = root.frame_rate.as_deref().map(rate);
        let multiplier = match &root.frame_rate_multiplier {
            // A colon divided them in the drafts.
            Some(text) => {
                let (up, down) = text.split_once([' ', ':'])?;
                (rate(up.trim())?, rate(down.trim())?)
            }
            None => (1, 1),
        };
        let (frames, default_ticks) = match frame_rate {
            Some(rate) => {
                let rate: u64 = rate?;
                let frames = (rate.checked_mul(multiplier.0)?, multiplier.1);
                (frames, frames)
            }
            None => ((30 * multiplier.0, multiplier.1), (1, 1)),
        };
        let ticks = match root.tick_rate.as_deref() {
            Some(text) => (rate(text)?, 1),
            None => default_ticks,
        };
        Some(Self { frames, ticks })
    }

    /// A time, milliseconds, rounded.
    pub fn ms(&self, text: &str) -> Option<u64> {
        let ms = if text.contains(':') { self.clock(text) } else { self.offset(text) };
        ms.filter(|ms| *ms <= TIME_MAX_MS)
    }

    /// `hh:mm:ss`, `hh:mm:ss.fraction`, `hh:mm:ss:ff`, `hh:mm:ss:ff.sub`: parts of frames are passed over.
    fn clock(&self, text: &str) -> Option<u64> {
        let mut fields = text.split(':');
        let (hours, minutes, seconds) = (whole(fields.next()?)?, whole(fields.next()?)?, fields.next()?);
        let frames = fields.next();
        if minutes > 59 || fields.next().is_some() {
            return None;
        }
        let seconds_ms = match frames {
            None => scaled(seconds, (1000, 1))?,
            Some(frames) => {
                let frames = frames.split_once('.').map_or(frames, |(frames, _)| frames);
                whole(seconds)? * 1000 + self.frames_ms(frames)?
            }
        };
        // 60 is a leap second.
        (seconds_ms < 61_000)
            .then(|| hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60_000)?.checked_add(seconds_ms))?
    }

    /// `1.5h`, `90m`, `5400s`, `500ms`, `12f`, `45045t`.
    fn offset(&self, text: &str) -> Option<u64> {
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        match &text[digits.len()..] {
            "h" => scaled(digits, (3_600_000, 1)),
            "m" => scaled(digits, (60_000, 1)),
            "s" => scaled(digits, (1000, 1)),
            "ms" => scaled(digits, (1, 1)),
            "f" => self.frames_ms(digits),
            "t" => scaled(digits, (1000 * self.ticks.1, self.ticks.0)),
            _ => None,
        }
    }

    fn frames_ms(&self, digits: &str) -> Option<u64> {
        scaled(digits, (1000 * self.frames.1, self.frames.0))
    }
}

fn whole(text: &str) -> Option<u64> {
    let is_whole = (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| text.parse().ok()).flatten()
}

/// A decimal number times a fraction, rounded half up.
fn scaled(text: &str, (up, down): (u64, u64)) -> Option<u64> {
    let (digits, fraction) = text.split_once('.').unwrap_or((text, "0"));
    // More than nine digits of a fraction are less than a nanosecond.
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction = is_fraction.then(|| &fraction[..fraction.len().min(9)])?;
    let one = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let value = u128::from(whole(digits)?) * one + u128::from(whole(fraction)?);
    let (up, down) = (value.checked_mul(u128::from(up))?, one * u128::from(down));
    u64::try_from(up.checked_add(down / 2)? / down).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(frame_rate: Option<&str>, multiplier: Option<&str>, tick_rate: Option<&str>) -> Option<Rates> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Rates::read(&Attributes {
            frame_rate: text(frame_rate),
            frame_rate_multiplier: text(multiplier),
            tick_rate: text(tick_rate),
            ..Attributes::default()
        })
    }

    #[test]
    fn times_are_read() {
        let film = rates(Some("24"), Some("1000 1001"), Some("10000000")).unwrap();
        for (text, ms) in [
            ("00:00:01", 1000),
            ("00:00:01.5", 1500),
            ("01:02:03.0045", 3_723_005),
            ("100:00:00.000", 360_000_000),
            ("00:00:01:12", 1501),
            ("00:00:01:12.3", 1501),
            ("0.5h", 1_800_000),
            ("1.5m", 90_000),
            ("2s", 2000),
            ("1250ms", 1250),
            ("24f", 1001),
            ("45000000t", 4500),
            ("1.123456789012s", 1123),
        ] {
            assert_eq!(film.ms(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "1",
            "s",
            "1.s",
            "-1s",
            ":",
            "00:00",
            "00:60:00",
            "00:00:61.1",
            "1:2:3:4:5",
            "1e3s",
            "1d",
            "999999999999h",
            "1234567890123s",
            "é",
        ] {
            assert_eq!(film.ms(text), None, "{text}");
        }
    }

    #[test]
    fn rates_default_as_the_standard_has_it() {
        assert_eq!(rates(None, None, None), Some(Rates::default()));
        assert_eq!(rates(Some("25"), None, None).unwrap().ms("50t"), Some(2000), "ticks are frames");
        assert_eq!(rates(None, Some("999:1000"), None).unwrap().ms("2997f"), Some(100_000));
        for wrong in [rates(Some("0"), None, None), rates(Some("25"), Some("1"), None), rates(None, None, Some("fast"))]
        {
            assert_eq!(wrong, None);
        }
        let largest = rates(Some("1000000000"), Some("1000000000 1"), Some("1000000000")).unwrap();
        assert_eq!((largest.ms("999999999999t"), largest.ms("1f")), (Some(1_000_000), Some(0)));
    }
}

//! Ticks as the texts of manifests want them: decimal seconds, ISO 8601 durations and dates, target durations.
//!
//! All sums are of ticks; rounding comes last, once.

use std::fmt;

use time::OffsetDateTime;

use crate::PlaylistError;

pub(crate) const SECOND_MS: u64 = 1_000;
pub(crate) const SECOND_US: u64 = 1_000_000;
const MS_TIMESCALE: u32 = 1_000;

/// Ticks as decimal seconds, rounded to microseconds.
pub(crate) struct Seconds(pub(crate) u64, pub(crate) u32);

/// Ticks since 1970 as RFC 3339 with milliseconds.
pub(crate) struct Timestamp(pub(crate) u64, pub(crate) u32);

/// Milliseconds since 1970 as RFC 3339.
pub(crate) struct IsoDate(pub(crate) u64);

/// Milliseconds as decimal seconds.
pub(crate) struct SecondsOfMs(pub(crate) u64);

/// Milliseconds as an `xs:duration`: `PT12.5S`.
pub(crate) struct IsoDuration(pub(crate) u64);

/// The durations of consecutive spans, microseconds: each the difference of two rounded starts.
pub(crate) fn durations_us(timescale: u32, spans_ticks: &[u64]) -> Result<Vec<u64>, PlaylistError> {
    let timescale = u128::from(timescale);
    let mut end_ticks = 0_u128;
    let mut start_us = 0;
    spans_ticks
        .iter()
        .map(|&ticks| {
            end_ticks += u128::from(ticks);
            let end_us = (end_ticks * u128::from(SECOND_US) + timescale / 2)
                .checked_div(timescale)
                .ok_or(PlaylistError::Timescale)?;
            let duration_us = end_us - start_us;
            start_us = end_us;
            Ok(u64::try_from(duration_us).unwrap_or(u64::MAX))
        })
        .collect()
}

/// No `EXTINF`, rounded to the nearest second, may exceed it (RFC 8216bis section 4.4.3.1); 0 is no duration.
pub(crate) fn target_duration_s(longest_us: u64) -> u64 {
    (longest_us.saturating_add(SECOND_US / 2) / SECOND_US).max(1)
}

/// Ticks as milliseconds, rounded up: for bounds.
pub(crate) fn ceil_ms(ticks: u64, timescale: u32) -> u64 {
    let ms = (u128::from(ticks) * u128::from(SECOND_MS)).div_ceil(u128::from(timescale.max(1)));
    u64::try_from(ms).unwrap_or(u64::MAX)
}

/// Ticks as milliseconds, rounded down.
pub(crate) fn floor_ms(ticks: u64, timescale: u32) -> u64 {
    let ms = u128::from(ticks) * u128::from(SECOND_MS) / u128::from(timescale.max(1));
    u64::try_from(ms).unwrap_or(u64::MAX)
}

/// Milliseconds as ticks, to the nearest.
pub(crate) fn ticks_of_ms(ms: u64, timescale: u32) -> u64 {
    let ticks = (u128::from(ms) * u128::from(timescale) + u128::from(SECOND_MS) / 2) / u128::from(SECOND_MS);
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (timescale, second) = (u128::from(self.1.max(1)), u128::from(SECOND_US));
        let us = (u128::from(self.0) * second + timescale / 2) / timescale;
        let digits = format!("{:06}", us % second);
        let digits = digits.trim_end_matches('0');
        write!(f, "{}.{}", us / second, if digits.is_empty() { "0" } else { digits })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ticks, timescale) = (self.0, u64::from(self.1.max(1)));
        let seconds = i64::try_from(ticks / timescale).unwrap_or(i64::MAX);
        // Beyond the year 9999 there is no such text.
        let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        let ms = ticks % timescale * SECOND_MS / timescale;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

impl fmt::Display for IsoDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Timestamp(self.0, MS_TIMESCALE).fmt(f)
    }
}

impl fmt::Display for SecondsOfMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Seconds(self.0, MS_TIMESCALE).fmt(f)
    }
}

impl fmt::Display for IsoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:03}", self.0 % SECOND_MS);
        match digits.trim_end_matches('0') {
            "" => write!(f, "PT{}S", self.0 / SECOND_MS),
            digits => write!(f, "PT{}.{digits}S", self.0 / SECOND_MS),
        }
    }
}

//! A piece of an asset, asked for by URL: `?from=12.5s&to=40s`.
//!
//! Only numbers are decided here: what a player gets of it is in the playlists and manifests (`complete`, `multivariant`), and
//! in the last segment, which ends on the last sample before `to`.

use std::fmt;

use thiserror::Error;

/// The longest time that is understood, milliseconds: a year.
const TIME_MAX_MS: u64 = 366 * 24 * 3600 * 1000;
/// Decimals of a second that count.
const DECIMALS: usize = 3;

/// From when until when, on the presented timeline of the whole asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clip {
    /// Milliseconds.
    pub(crate) from_ms: u64,
    /// Milliseconds; none for the end.
    pub(crate) to_ms: Option<u64>,
}

/// A query that asks for no clip that there can be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ClipError {
    #[error("`{argument}={value}` is no time: say seconds (`12.5s`) or `h:mm:ss.sss`")]
    Time { argument: &'static str, value: String },
    #[error("`{argument}` is said twice")]
    Twice { argument: &'static str },
    #[error("a clip from {from_ms} ms to {to_ms} ms holds nothing: `to` lies behind `from`")]
    Empty { from_ms: u64, to_ms: u64 },
}

// === impl Clip ===

impl Clip {
    /// The clip that `query` asks for; `None` where it asks for all.
    pub(crate) fn of(query: Option<&str>) -> Result<Option<Self>, ClipError> {
        let (mut from, mut to) = (None, None);
        for argument in query.unwrap_or_default().split('&') {
            let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
            let (slot, argument) = match name {
                "from" => (&mut from, "from"),
                "to" => (&mut to, "to"),
                _ => continue,
            };
            let time = time_ms(value).ok_or_else(|| ClipError::Time { argument, value: value.to_owned() })?;
            if slot.replace(time).is_some() {
                return Err(ClipError::Twice { argument });
            }
        }
        match (from.unwrap_or(0), to) {
            (0, None) => Ok(None),
            (from_ms, Some(to_ms)) if to_ms <= from_ms => Err(ClipError::Empty { from_ms, to_ms }),
            (from_ms, to_ms) => Ok(Some(Self { from_ms, to_ms })),
        }
    }

    /// `from` and `to` in `timescale` ticks a second, of a track that ends after `end_ticks`.
    pub(crate) fn ticks(self, timescale: u32, end_ticks: u64) -> (u64, u64) {
        let from = ticks(self.from_ms, timescale);
        (from, self.to_ms.map_or(end_ticks, |to_ms| ticks(to_ms, timescale).min(end_ticks)))
    }
}

/// The first tick at or after a time.
pub(crate) fn ticks(time_ms: u64, timescale: u32) -> u64 {
    u64::try_from((u128::from(time_ms) * u128::from(timescale)).div_ceil(1000)).unwrap_or(u64::MAX)
}

impl fmt::Display for Clip {
    /// As a query, in the one form that names the clip.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: u64| format!("{}.{:03}s", ms / 1000, ms % 1000);
        if self.from_ms > 0 {
            write!(f, "from={}", seconds(self.from_ms))?;
        }
        if let Some(to_ms) = self.to_ms {
            write!(f, "{}to={}", if self.from_ms > 0 { "&" } else { "" }, seconds(to_ms))?;
        }
        Ok(())
    }
}

/// `12.5`, `12.5s`, `1:02.5`, `1:00:02.5` as milliseconds; what lies below them is left out. Colons may be escaped.
pub(crate) fn time_ms(text: &str) -> Option<u64> {
    let text = text.replace("%3A", ":").replace("%3a", ":");
    let text = text.strip_suffix('s').unwrap_or(&text);
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let mut seconds: u64 = 0;
    let fields: Vec<&str> = whole.split(':').collect();
    if fields.len() > 3 || !fields.iter().all(|field| is_number(field)) || !is_number(decimals) {
        return None;
    }
    for (at, field) in fields.iter().enumerate() {
        let value: u64 = field.parse().ok()?;
        if at > 0 && value >= 60 {
            return None;
        }
        seconds = seconds.checked_mul(60)?.checked_add(value)?;
    }
    let thousandths: String = decimals.chars().chain("000".chars()).take(DECIMALS).collect();
    let ms = seconds.checked_mul(1000)?.checked_add(thousandths.parse().ok()?)?;
    (ms <= TIME_MAX_MS).then_some(ms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clip(query: &str) -> Result<Option<(u64, Option<u64>)>, ClipError> {
        Ok(Clip::of(Some(query))?.map(|clip| (clip.from_ms, clip.to_ms)))
    }

    #[test]
    fn times_are_read_in_every_usual_form() {
        assert_eq!(clip("from=12.5s&to=40s"), Ok(Some((12_500, Some(40_000)))));
        assert_eq!(clip("to=1:02.25"), Ok(Some((0, Some(62_250)))));
        assert_eq!(clip("x=1&from=1%3A00%3A02"), Ok(Some((3_602_000, None))));
        assert_eq!(clip("from=0.1239"), Ok(Some((123, None))));
        for all in ["", "from=0", "from=0.0s", "from_=1", "_HLS_msn=3"] {
            assert_eq!(clip(all), Ok(None), "{all}");
        }
    }

    #[test]
    fn what_is_no_clip_is_refused() {
        for query in ["from=", "from=-1", "from=1e3", "to=1:60", "from=1:2:3:4", "from=.5", "from=5.", "to=99999999999"]
        {
            assert!(matches!(clip(query), Err(ClipError::Time { .. })), "{query}");
        }
        assert_eq!(clip("from=1&from=2"), Err(ClipError::Twice { argument: "from" }));
        assert_eq!(clip("from=2&to=2s"), Err(ClipError::Empty { from_ms: 2000, to_ms: 2000 }));
    }

    proptest! {
        #[test]
        fn a_clip_is_read_as_it_is_written(from_ms in 0_u64..TIME_MAX_MS, length_ms in prop::option::of(1_u64..1_000_000)) {
            let clip = Clip { from_ms, to_ms: length_ms.map(|ms| from_ms.saturating_add(ms).min(TIME_MAX_MS)) };
            prop_assume!(clip.from_ms > 0 || clip.to_ms.is_some());
            prop_assert_eq!(Clip::of(Some(&clip.to_string())), Ok(Some(clip)));
        }

        #[test]
        fn any_query_is_survived(query in ".{0,40}") {
            let _ = Clip::of(Some(&query));
        }
    }
}

//! A piece of what is or was live, asked for by URL: `?from=2026-11-26T12:00:00Z&to=2026-11-26T12:01:30Z`, or in seconds since
//! the channel's first picture, `?from=12.5s&to=40s`, which mean the same before and after its end.
//!
//! Only times are decided here. What is written into playlists is always the time of the wall, in one form without colons.

use std::fmt;

use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clip;

/// Letters of a date without hyphens.
const BASIC_DATE: usize = "20261126".len();

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    from: Option<Moment>,
    to: Option<Moment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Milliseconds since 1970.
    Wall(u64),
    /// Milliseconds since the first segment of all began.
    Since(u64),
}

/// From when until when, milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
}

/// A query that asks for no clip that there can be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum SpanError {
    #[error(
        "`{argument}={value}` is no time: say when (`2026-11-26T12:00:00Z`), or seconds since the channel began (`12.5s`)"
    )]
    Time { argument: &'static str, value: String },
    #[error("`{argument}` is said twice")]
    Twice { argument: &'static str },
    #[error("the clip holds nothing: `to` lies behind `from`")]
    Empty,
    #[error("the channel goes on: say with `to` where the clip ends")]
    Open,
}

// === impl Asked ===

impl Asked {
    /// The clip that `query` asks for; `None` where it asks for all.
    pub(crate) fn of(query: Option<&str>) -> Result<Option<Self>, SpanError> {
        let (mut from, mut to) = (None, None);
        for argument in query.unwrap_or_default().split('&') {
            let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
            let (slot, argument) = match name {
                "from" => (&mut from, "from"),
                "to" => (&mut to, "to"),
                _ => continue,
            };
            let moment = Moment::read(value).ok_or_else(|| SpanError::Time { argument, value: value.to_owned() })?;
            if slot.replace(moment).is_some() {
                return Err(SpanError::Twice { argument });
            }
        }
        Ok((from.is_some() || to.is_some()).then_some(Self { from, to }))
    }

    /// What it is of a channel whose first segment began at `origin_ms`, and that has ended at `end_ms`, if it has.
    pub(crate) fn resolve(self, origin_ms: u64, end_ms: Option<u64>) -> Result<Span, SpanError> {
        let ms = |moment: Moment| match moment {
            Moment::Wall(ms) => ms,
            Moment::Since(ms) => origin_ms.saturating_add(ms),
        };
        let from_ms = self.from.map_or(origin_ms, ms);
        let to_ms = self.to.map(ms).or(end_ms).ok_or(SpanError::Open)?;
        if from_ms < to_ms { Ok(Span { from_ms, to_ms }) } else { Err(SpanError::Empty) }
    }

    /// The end that a segment's URL says, milliseconds since 1970: such URLs are our own.
    pub(crate) fn end_ms(self) -> Option<u64> {
        match self.to? {
            Moment::Wall(ms) => Some(ms),
            Moment::Since(_) => None,
        }
    }
}

// === impl Moment ===

impl Moment {
    fn read(value: &str) -> Option<Self> {
        let text = ["%3A", "%3a"].iter().fold(value.to_owned(), |text, colon| text.replace(colon, ":"));
        let text = ["%2B", "%2b"].iter().fold(text, |text, plus| text.replace(plus, "+"));
        if !text.contains('T') {
            return clip::time_ms(&text).map(Self::Since);
        }
        let (date, time) = text.split_once('T')?;
        let is_basic = date.len() == BASIC_DATE && date.bytes().all(|digit| digit.is_ascii_digit());
        let text = if is_basic {
            let (hour, minute, second) = (time.get(..2)?, time.get(2..4)?, time.get(4..)?);
            format!("{}-{}-{}T{hour}:{minute}:{second}", &date[..4], &date[4..6], &date[6..])
        } else {
            text
        };
        let ms = OffsetDateTime::parse(&text, &Rfc3339).ok()?.unix_timestamp_nanos().div_euclid(1_000_000);
        u64::try_from(ms).ok().map(Self::Wall)
    }
}

// === impl Span ===

impl Span {
    /// As the query of the last segment.
    pub(crate) fn end_query(self) -> String {
        format!("to={}", wall(self.to_ms))
    }
}

impl fmt::Display for Span {
    /// As a query, in the one form that names the clip.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from={}&{}", wall(self.from_ms), self.end_query())
    }
}

/// `20261126T120000.500Z` (ISO 8601, the basic format): no colons, which cannot stand in a relative URI's first part.
fn wall(ms: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{:03}Z", ms % 1000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-26T12:00:00Z.
    const NOON_MS: u64 = 1_795_694_400_000;

    fn span(query: &str) -> Result<Span, SpanError> {
        Asked::of(Some(query)).and_then(|asked| asked.unwrap().resolve(NOON_MS, Some(NOON_MS + 60_000)))
    }

    #[test]
    fn times_of_the_wall_and_since_the_beginning_mean_the_same() {
        let expected = Ok(Span { from_ms: NOON_MS + 12_500, to_ms: NOON_MS + 40_000 });
        for query in [
            "from=12.5s&to=40s",
            "to=0:40&from=12.5",
            "from=2026-11-26T12:00:12.5Z&to=2026-11-26T12%3A00%3A40Z",
            "from=20261126T120012.500Z&to=20261126T120040Z",
            "from=2026-11-26T13:00:12.500%2B01:00&to=40s",
        ] {
            assert_eq!(span(query), expected, "{query}");
        }
        assert_eq!(span("from=30s"), Ok(Span { from_ms: NOON_MS + 30_000, to_ms: NOON_MS + 60_000 }));
        assert_eq!(Asked::of(Some("_HLS_msn=3")), Ok(None));
    }

    #[test]
    fn what_is_no_clip_is_refused() {
        for query in ["from=", "from=T", "from=2026-13-26T12:00:00Z", "to=20261126T12Z", "to=1960-01-01T00:00:00Z"] {
            assert!(matches!(span(query), Err(SpanError::Time { .. })), "{query}");
        }
        assert_eq!(span("from=2&to=2s"), Err(SpanError::Empty));
        assert_eq!(span("to=1&to=2"), Err(SpanError::Twice { argument: "to" }));
        assert_eq!(Asked::of(Some("from=1s")).unwrap().unwrap().resolve(NOON_MS, None), Err(SpanError::Open));
    }

    proptest! {
        #[test]
        fn a_clip_is_read_as_it_is_written(from_ms in 0..4_000_000_000_000_u64, length_ms in 1..1_000_000_u64) {
            let span = Span { from_ms, to_ms: from_ms + length_ms };
            let read = Asked::of(Some(&span.to_string())).unwrap().unwrap();
            prop_assert_eq!(read.resolve(0, None), Ok(span));
            prop_assert_eq!(read.end_ms(), Some(span.to_ms));
        }

        #[test]
        fn any_query_is_survived(query in ".{0,40}", time in "[0-9T:.Z+-]{0,24}") {
            let _ = Asked::of(Some(&query));
            let _ = Asked::of(Some(&format!("from={time}")));
        }
    }
}

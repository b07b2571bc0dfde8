//! Edit lists (ISO/IEC 14496-12 section 8.6.6), as far as a player of fragments can follow them: a delay, and one stretch
//! of the media at its own speed.

use bytes::Bytes;

use super::atoms::{array_at, find, i32_at, u32_at, u64_at};

/// Rate 1 in 16.16.
const RATE_ONE: u32 = 0x0001_0000;
/// The largest time that is taken, ticks: sums of a few of them stay within 64 bits.
const TICKS_MAX: u64 = 1 << 60;

/// What of a track's media is presented when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Edit {
    /// How much later than the movie the track begins, ticks of the track.
    pub(crate) delay_ticks: i64,
    /// Media time that is presented then.
    pub(crate) media_time_ticks: i64,
    /// Media time at which the presentation ends; to the end of the media if `None`.
    pub(crate) end_ticks: Option<i64>,
}

// === impl Edit ===

impl Edit {
    /// The edit list in the body of `trak`, if there is one. `movie_timescale` and `timescale` are above 0.
    pub(crate) fn parse(trak: &Bytes, movie_timescale: u32, timescale: u32) -> Result<Self, String> {
        let Some(elst) = find(trak, b"edts").and_then(|edts| find(&edts, b"elst")) else {
            return Ok(Self::default());
        };
        let cut = || "its `elst` box is cut off".to_owned();
        let is_wide = *elst.first().ok_or_else(cut)? == 1;
        let entry_bytes = if is_wide { 20 } else { 12 };
        let count = u32_at(&elst, 4).ok_or_else(cut)?;
        let scaled = |movie_ticks: u64| {
            let scale = u128::from(movie_timescale);
            let ticks = (u128::from(movie_ticks) * u128::from(timescale) + scale / 2) / scale;
            u64::try_from(ticks).ok().filter(|ticks| *ticks <= TICKS_MAX).and_then(|ticks| i64::try_from(ticks).ok())
        };
        let too_long = || "its edit list has times that are too large".to_owned();

        let mut delay_ticks = 0_i64;
        let mut shown = None;
        let mut rest = elst.get(8..).unwrap_or_default();
        for _ in 0..count {
            let entry = rest.get(..entry_bytes).ok_or_else(cut)?;
            rest = &rest[entry_bytes..];
            let (duration, media_time, rate) = if is_wide {
                let media_time = array_at(entry, 8).map(i64::from_be_bytes);
                (u64_at(entry, 0), media_time, u32_at(entry, 16))
            } else {
                (u32_at(entry, 0).map(u64::from), i32_at(entry, 4).map(i64::from), u32_at(entry, 8))
            };
            let duration = duration.ok_or_else(cut)?;
            match media_time.ok_or_else(cut)? {
                -1 if shown.is_none() => {
                    let more_ticks = scaled(duration).ok_or_else(too_long)?;
                    delay_ticks = delay_ticks.saturating_add(more_ticks);
                }
                // Nothing, after everything.
                -1 => {}
                _ if shown.is_some() => {
                    return Err("its edit list puts several stretches of the media together".to_owned());
                }
                _ if rate != Some(RATE_ONE) => return Err("its edit list changes the speed".to_owned()),
                start @ 0.. if start.unsigned_abs() <= TICKS_MAX => {
                    // A duration of 0 is that of all there is, as in files that were written while they were recorded.
                    let end_ticks =
                        if duration == 0 { None } else { Some(start + scaled(duration).ok_or_else(too_long)?) };
                    shown = Some((start, end_ticks));
                }
                _ => return Err(too_long()),
            }
        }
        if delay_ticks.unsigned_abs() > TICKS_MAX {
            return Err(too_long());
        }
        match shown {
            Some((media_time_ticks, end_ticks)) => Ok(Self { delay_ticks, media_time_ticks, end_ticks }),
            None if count == 0 => Ok(Self::default()),
            None => Err("its edit list shows nothing of the media".to_owned()),
        }
    }
}

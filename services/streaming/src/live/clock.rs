//! The clock of whoever sends to a channel, as requests see it: a lock around what is known of it ([`super::drift`]), and what time it is
//! here. That is asked of this machine's wall clock once, and counted from there by one that nobody sets: so a step of the wall's is no drift.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flame_api::live::ChannelClock;
use flame_cmaf::arriving::Chunk;
use time::OffsetDateTime;

use super::channel::Channel;
use super::drift::Drift;
use super::track::Track;
use super::window::NotTaken;

/// See the module.
#[derive(Debug)]
pub(super) struct Clock {
    began_at: Instant,
    began_us: i64,
    drift: Mutex<Drift>,
}

// === impl Clock ===

impl Clock {
    /// One that is looked at once in each `window`.
    pub(super) fn new(window: Duration) -> Self {
        let began_us = i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000).unwrap_or(0);
        let window_us = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
        Self { began_at: Instant::now(), began_us, drift: Mutex::new(Drift::new(window_us)) }
    }

    fn drift(&self) -> MutexGuard<'_, Drift> {
        // Nothing under the lock panics half-way.
        self.drift.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_us(&self) -> i64 {
        self.began_us.saturating_add(i64::try_from(self.began_at.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// Somebody begins to send.
    pub(super) fn begin(&self) {
        self.drift().begin();
    }

    /// Has `take` take what ends at `media_us` and came now, with what the time of its segment is off by, milliseconds. What is not taken, or
    /// was there already, says nothing of a clock. All tracks wait for each other here, so that a segment has one time.
    fn came(
        &self,
        media_us: i64,
        (number, segment_ms): (u64, u32),
        take: impl FnOnce(i64) -> Result<bool, NotTaken>,
    ) -> Result<(), NotTaken> {
        let (now_us, segment_us) = (self.now_us(), i64::from(segment_ms) * 1_000);
        let mut drift = self.drift();
        let correction_us = drift.next_correction_us(number, segment_us);
        if take(correction_us / 1_000)? {
            drift.corrected(number, correction_us);
            drift.came(now_us, media_us);
        }
        Ok(())
    }

    /// What its owner is told; `None` until something is known.
    pub(super) fn shown(&self) -> Option<ChannelClock> {
        let drift = self.drift();
        Some(ChannelClock { ppm: drift.ppm()?, correction_ms: drift.newest_correction_us() / 1_000 })
    }

    /// What is added to the newest media times to have the wall's, milliseconds.
    pub(super) fn correction_ms(&self) -> i64 {
        self.drift().newest_correction_us() / 1_000
    }
}

// === impl Channel ===

impl Channel {
    /// Takes a chunk of whoever has the channel, which has just come.
    pub(super) fn takes(&self, track: &Track, (number, at): (u64, usize), chunk: Chunk) -> Result<(), NotTaken> {
        let end_ticks = chunk.time_ticks.saturating_add(chunk.duration_ticks);
        let media_us = u128::from(end_ticks) * 1_000_000 / u128::from(track.timescale().max(1));
        let media_us = i64::try_from(media_us).unwrap_or(i64::MAX);
        let take = |wall_offset_ms| track.chunk((number, at), chunk, wall_offset_ms);
        self.clock.came(media_us, (number, self.segment_ms), take)?;
        self.note_length(track);
        Ok(())
    }

    /// What time it is for the media that come now: the wall's, less what the clock of who sends is behind it.
    pub(crate) fn media_now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() - time::Duration::milliseconds(self.clock.correction_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_stops_no_correction() {
        let clock = Clock::new(Duration::from_secs(1));
        assert_eq!(clock.came(i64::MAX, (u64::MAX, 2_000), |_| Err(NotTaken::Shut)), Err(NotTaken::Shut));
        clock.came(i64::MIN, (u64::MAX - 1, 2_000), |_| Ok(false)).unwrap();
        // One that is slow by two in a hundred.
        for second in 0..30 {
            clock.drift().came(second * 1_020_000, second * 1_000_000);
        }
        let mut said = Vec::new();
        for number in 0..3 {
            let take = |offset_ms| {
                said.push(offset_ms);
                Ok(true)
            };
            clock.came(30_000_000, (number, 2_000), take).unwrap();
        }
        assert_eq!(said[..2], [100, 200], "a twentieth of a segment each");
    }
}

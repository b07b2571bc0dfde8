//! Decode times for pictures that only know when they are shown.
//!
//! Encoders and containers disagree about decode times: some start below zero, some are missing, some run
//! late. A track needs one rule, and it is the one that players are most used to: *the n-th picture in decode
//! order is decoded when the picture shown `depth` places earlier than the n-th is shown*, where `depth` is
//! how far the encoder reorders. The first `depth` pictures, which have none before them, come one nominal
//! frame apart. So decode times increase strictly and evenly, also across gaps of a variable frame rate; no
//! picture is decoded after it is shown; and every distance between two pictures stays exactly as it was.
//!
//! As no time may lie below zero, everything moves up by `depth` nominal frames, and the track's edit list
//! takes that away again: [`DecodeClock::composition_delay_ticks`].
//!
//! (Signed composition offsets would need no edit list. But FFmpeg, up to 5.1 at least, shows such fragments
//! late by the largest negative offset, which takes picture and sound apart by up to `depth` frames.)

use std::collections::VecDeque;

use thiserror::Error;

/// The most pictures that may be inside the encoder at a time.
pub const INSIDE_MAX: usize = 1024;

/// Presentation times that no decode times fit to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TimingError {
    /// A picture enters that is not shown later than the one before.
    #[error("the picture presented at tick {pts_ticks} does not come later than the one before, at {previous_ticks}")]
    Order {
        /// Its time.
        pts_ticks: i64,
        /// The time of the one before.
        previous_ticks: i64,
    },
    /// More than [`INSIDE_MAX`] pictures went in and did not come out.
    #[error("the encoder holds back more than {INSIDE_MAX} pictures")]
    Stalled,
    /// More pictures come out than went in.
    #[error("the encoder gave more pictures than it got")]
    Surplus,
}

/// Gives pictures their times while they pass through an encoder.
#[derive(Debug, Clone)]
pub struct DecodeClock {
    depth: u32,
    frame_ticks: u32,
    /// Pictures that came out so far, as far as the first `depth` matter.
    left: u32,
    first_ticks: i64,
    last_ticks: Option<i64>,
    /// Presentation times that have not become decode times yet, in order.
    inside: VecDeque<i64>,
}

/// The times of a picture on the track's media timeline, as [`crate::Sample`] wants them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Decode time.
    pub dts_ticks: i64,
    /// Presentation time: the given one, plus the composition delay.
    pub pts_ticks: i64,
}

// === impl DecodeClock ===

impl DecodeClock {
    /// A clock for an encoder that shows a picture at most `depth` places later than it decodes it (x264: 0
    /// without B-frames, 1 with them, 2 with a pyramid), and for pictures nominally `frame_ticks` apart.
    #[must_use]
    pub fn new(depth: u32, frame_ticks: u32) -> Self {
        Self { depth, frame_ticks, left: 0, first_ticks: 0, last_ticks: None, inside: VecDeque::new() }
    }

    /// How far all times move up: the `composition_delay_ticks` of [`crate::VideoConfig`].
    #[must_use]
    pub fn composition_delay_ticks(&self) -> u32 {
        self.depth.saturating_mul(self.frame_ticks)
    }

    /// A picture goes into the encoder; pictures go in as they are shown.
    ///
    /// # Errors
    /// [`TimingError::Order`] or [`TimingError::Stalled`].
    pub fn enter(&mut self, pts_ticks: i64) -> Result<(), TimingError> {
        match self.last_ticks {
            Some(previous_ticks) if previous_ticks >= pts_ticks => {
                return Err(TimingError::Order { pts_ticks, previous_ticks });
            }
            Some(_) => {}
            None => self.first_ticks = pts_ticks,
        }
        if self.inside.len() == INSIDE_MAX {
            return Err(TimingError::Stalled);
        }
        self.last_ticks = Some(pts_ticks);
        self.inside.push_back(pts_ticks);
        Ok(())
    }

    /// The picture shown at `pts_ticks` comes out of the encoder; pictures come out as they are decoded.
    ///
    /// # Errors
    /// [`TimingError::Surplus`].
    pub fn leave(&mut self, pts_ticks: i64) -> Result<Times, TimingError> {
        let delay_ticks = i64::from(self.composition_delay_ticks());
        let dts_ticks = if self.left < self.depth {
            self.left += 1;
            self.first_ticks + i64::from(self.left - 1) * i64::from(self.frame_ticks)
        } else {
            self.inside.pop_front().ok_or(TimingError::Surplus)? + delay_ticks
        };
        Ok(Times { dts_ticks, pts_ticks: pts_ticks + delay_ticks })
    }

    /// The next closed GOP goes through as a whole: presentation times in decode order in, times in the same
    /// order out.
    ///
    /// # Errors
    /// As [`DecodeClock::enter`].
    pub fn pass_gop(&mut self, pts_ticks: &[i64]) -> Result<Vec<Times>, TimingError> {
        let mut shown = pts_ticks.to_vec();
        shown.sort_unstable();
        shown.into_iter().try_for_each(|pts| self.enter(pts))?;
        pts_ticks.iter().map(|&pts| self.leave(pts)).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends pictures, given by their times in decode order, through a clock.
    fn pass(decode_order: &[i64], depth: u32, frame_ticks: u32) -> Vec<Times> {
        DecodeClock::new(depth, frame_ticks).pass_gop(decode_order).unwrap()
    }

    #[test]
    fn reorders_like_an_encoder_with_b_frames() {
        // I P B b b P at 30 fps in 90 kHz ticks, with a pyramid.
        let times = pass(&[0, 12000, 6000, 3000, 9000, 15000], 2, 3000);
        let dts: Vec<i64> = times.iter().map(|times| times.dts_ticks).collect();
        let pts: Vec<i64> = times.iter().map(|times| times.pts_ticks).collect();
        assert_eq!(dts, [0, 3000, 6000, 9000, 12000, 15000]);
        assert_eq!(pts, [6000, 18000, 12000, 9000, 15000, 21000]);
    }

    #[test]
    fn refuses_what_no_encoder_does() {
        let mut clock = DecodeClock::new(0, 1);
        clock.enter(5).unwrap();
        assert_eq!(clock.enter(5), Err(TimingError::Order { pts_ticks: 5, previous_ticks: 5 }));
        clock.leave(5).unwrap();
        assert_eq!(clock.leave(6), Err(TimingError::Surplus));
        for pts_ticks in 10.. {
            if let Err(error) = clock.enter(pts_ticks) {
                assert_eq!(error, TimingError::Stalled);
                break;
            }
        }
    }

    proptest! {
        #[test]
        fn decode_times_increase_and_never_pass_presentation_times(
            distances in prop::collection::vec(1_i64..1_000_000, 1..120),
            start_ticks in 0_i64..1_000_000,
            pyramid in any::<bool>(),
            frame_ticks in 1_u32..10_000,
        ) {
            let shown: Vec<i64> = distances
                .iter()
                .scan(start_ticks, |clock, distance| Some(std::mem::replace(clock, *clock + distance)))
                .collect();
            // Groups of four: b B b P, decoded as P B b b (pyramid) or P b b b.
            let order: &[usize] = if pyramid { &[3, 1, 0, 2] } else { &[3, 0, 1, 2] };
            let decoded: Vec<i64> = shown
                .chunks(4)
                .flat_map(|group| match group.len() {
                    4 => order.iter().map(|&n| group[n]).collect(),
                    _ => group.to_vec(),
                })
                .collect();
            let depth = if pyramid { 2 } else { 1 };
            let times = pass(&decoded, depth, frame_ticks);
            // Group by group, as closed GOPs come out of an encoder, it is the same.
            let mut clock = DecodeClock::new(depth, frame_ticks);
            let grouped: Vec<Times> = decoded.chunks(4).flat_map(|gop| clock.pass_gop(gop).unwrap()).collect();
            prop_assert_eq!(&grouped, &times);
            prop_assert!(times.windows(2).all(|pair| pair[0].dts_ticks < pair[1].dts_ticks));
            prop_assert!(times.iter().all(|times| 0 <= times.dts_ticks && times.dts_ticks <= times.pts_ticks));
        }
    }
}

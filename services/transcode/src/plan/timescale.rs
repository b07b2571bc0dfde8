//! The clock of the video tracks: ticks per second in which every timestamp of the source is a whole number.
//!
//! A frame keeps its own timestamp, so the tracks count in the source's ticks wherever the container says what those
//! are. Where it does not (AVI counts frames of 1001/24000 s), the frame rate does.

use flame_api::media::{Rational, VideoStream};

/// Ticks per second where nothing is known (MPEG's own clock, ISO/IEC 13818-1 clause 2.4.2).
const MPEG: u32 = 90_000;
/// Below it, the rounding of a frame's duration shows; slower clocks are counted in fractions.
const MIN: u32 = 1000;
/// Above it, a still picture's duration leaves the 32 bits that a movie fragment has for it (430 s at this rate).
const MAX: u32 = 10_000_000;

/// The clock for `video`; for frames at a rate of the chain's own, that of the rate.
pub(super) fn of(video: Option<&VideoStream>, set: Option<Rational>) -> u32 {
    let of_container = video.and_then(|video| video.timescale).filter(|ticks| (1..=MAX).contains(ticks));
    // A rate of num/den frames per second: every frame lasts den ticks of a clock of num.
    let rate = set.or_else(|| video.and_then(super::frame_rate));
    let of_rate = || rate.map(|rate| rate.num).filter(|ticks| (1..=MAX).contains(ticks));
    of_container.or_else(of_rate).map_or(MPEG, |ticks| ticks * MIN.div_ceil(ticks))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::video;
    use super::*;

    fn clock(timescale: Option<u32>, rate: Option<(u32, u32)>) -> u32 {
        let frame_rate = rate.map(|(num, den)| Rational { num, den });
        of(Some(&VideoStream { timescale, frame_rate, ..video(640, 360) }), None)
    }

    #[test]
    fn the_source_counts_on_in_its_own_ticks() {
        // MP4, Matroska, MPEG-TS, QuickTime.
        assert_eq!(clock(Some(12_800), Some((25, 1))), 12_800);
        assert_eq!(clock(Some(1000), Some((24_000, 1001))), 1000);
        assert_eq!(clock(Some(90_000), None), 90_000);
        assert_eq!(clock(Some(600), Some((30, 1))), 1200);
        // AVI.
        assert_eq!(clock(None, Some((24_000, 1001))), 24_000);
        assert_eq!(clock(Some(25), Some((25, 1))), 1000);
        assert_eq!(clock(None, Some((30, 1))), 1020);
        // Nothing, or nonsense.
        assert_eq!(clock(None, None), MPEG);
        assert_eq!(clock(Some(u32::MAX), Some((0, 0))), MPEG);
        assert_eq!(of(None, None), MPEG);
        // A rate of the chain's own.
        assert_eq!(of(None, Some(Rational { num: 25, den: 1 })), 1000);
        assert_eq!(of(None, Some(Rational { num: 30_000, den: 1001 })), 30_000);
    }

    proptest! {
        #[test]
        fn a_tick_of_the_source_is_a_whole_number_of_ticks(ticks in 1..=MAX) {
            let clock = clock(Some(ticks), None);
            prop_assert!(clock.is_multiple_of(ticks));
            prop_assert!((MIN..=MAX).contains(&clock));
            prop_assert!(clock < 2 * MIN || clock == ticks, "no larger than it must be");
        }
    }
}

//! Times of packets and pictures: how regular key frames come, and whether something is missing, repeated or out of order.

use flame_api::quality::inspection::{Gops, Timestamps};

/// Steps of the lengths between pictures, milliseconds, and the longest that is told apart.
const PICTURE_STEP_MS: f64 = 0.5;
const PICTURE_MAX_MS: f64 = 10_000.0;
/// The same of the lengths between key frames.
const GOP_STEP_MS: f64 = 1.0;
const GOP_MAX_MS: f64 = 60_000.0;
/// A gap is longer than this many times the usual distance.
const GAP: f64 = 1.5;

/// What packets and pictures of one video say, in the order in which they come.
#[derive(Debug, Clone)]
pub struct Timeline {
    last_decoding_ms: Option<f64>,
    backwards: u64,
    missing: u64,
    last_shown_ms: Option<f64>,
    repeated: u64,
    longest_ms: f64,
    distances: Lengths,
    first_key_ms: Option<f64>,
    last_key_ms: Option<f64>,
    keyframes: u64,
    gops: Lengths,
    shortest_gop_ms: f64,
    longest_gop_ms: f64,
}

/// How often each length came, in steps.
#[derive(Debug, Clone)]
struct Lengths {
    step_ms: f64,
    counts: Vec<u64>,
}

// === impl Timeline ===

impl Default for Timeline {
    fn default() -> Self {
        Self {
            last_decoding_ms: None,
            backwards: 0,
            missing: 0,
            last_shown_ms: None,
            repeated: 0,
            longest_ms: 0.0,
            distances: Lengths::new(PICTURE_STEP_MS, PICTURE_MAX_MS),
            first_key_ms: None,
            last_key_ms: None,
            keyframes: 0,
            gops: Lengths::new(GOP_STEP_MS, GOP_MAX_MS),
            shortest_gop_ms: f64::INFINITY,
            longest_gop_ms: 0.0,
        }
    }
}

impl Timeline {
    /// A packet, in the order of the file.
    pub fn packet(&mut self, decoding_ms: Option<f64>, shown_ms: Option<f64>, is_key: bool) {
        self.missing += u64::from(decoding_ms.or(shown_ms).is_none());
        if let Some(at_ms) = decoding_ms {
            self.backwards += u64::from(self.last_decoding_ms.is_some_and(|last_ms| at_ms <= last_ms));
            self.last_decoding_ms = Some(at_ms);
        }
        if !is_key {
            return;
        }
        self.keyframes += 1;
        let Some(at_ms) = shown_ms.or(decoding_ms) else { return };
        if let Some(last_ms) = self.last_key_ms {
            let length_ms = (at_ms - last_ms).max(0.0);
            self.gops.add(length_ms);
            self.shortest_gop_ms = self.shortest_gop_ms.min(length_ms);
            self.longest_gop_ms = self.longest_gop_ms.max(length_ms);
        }
        self.first_key_ms.get_or_insert(at_ms);
        self.last_key_ms = Some(at_ms);
    }

    /// A picture, in the order in which they are shown.
    pub fn picture(&mut self, shown_ms: Option<f64>) {
        let Some(at_ms) = shown_ms else {
            self.missing += 1;
            return;
        };
        if let Some(last_ms) = self.last_shown_ms {
            let distance_ms = at_ms - last_ms;
            if distance_ms <= 0.0 {
                self.repeated += 1;
            } else {
                self.distances.add(distance_ms);
                self.longest_ms = self.longest_ms.max(distance_ms);
            }
        }
        self.last_shown_ms = Some(at_ms);
    }

    /// Both findings; `end_ms` is the end of the last picture. Without a key frame there are no groups, and with less than two
    /// pictures no distances.
    #[must_use]
    pub fn finish(self, end_ms: f64) -> (Option<Gops>, Option<Timestamps>) {
        let usual_ms = self.distances.commonest_ms();
        let tolerance_ms = usual_ms.unwrap_or(0.0) / 2.0 + GOP_STEP_MS;
        let gops = self.last_key_ms.map(|last_ms| {
            let last_group_ms = (end_ms - last_ms).max(0.0);
            let has_more = self.keyframes > 1;
            let commonest_ms = self.gops.commonest_ms().unwrap_or(last_group_ms);
            Gops {
                keyframes: self.keyframes,
                shortest_s: if has_more { self.shortest_gop_ms } else { last_group_ms } / 1000.0,
                longest_s: self.longest_gop_ms.max(last_group_ms) / 1000.0,
                irregular: self.gops.count(|length_ms| (length_ms - commonest_ms).abs() > tolerance_ms),
            }
        });
        let timestamps = usual_ms.map(|usual_ms| Timestamps {
            backwards: self.backwards,
            repeated: self.repeated,
            gaps: self.distances.count(|distance_ms| distance_ms > GAP * usual_ms + PICTURE_STEP_MS),
            longest_gap_ms: self.longest_ms,
            missing: self.missing,
        });
        (gops, timestamps)
    }
}

// === impl Lengths ===

impl Lengths {
    fn new(step_ms: f64, max_ms: f64) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a quotient of the constants above")]
        Self { step_ms, counts: vec![0; (max_ms / step_ms) as usize + 1] }
    }

    fn add(&mut self, length_ms: f64) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
        let at = ((length_ms / self.step_ms).round() as usize).min(self.counts.len() - 1);
        self.counts[at] += 1;
    }

    fn commonest_ms(&self) -> Option<f64> {
        let (at, count) = self.counts.iter().enumerate().rev().max_by_key(|(_, count)| **count)?;
        (*count > 0).then_some(at as f64 * self.step_ms)
    }

    fn count(&self, is_one: impl Fn(f64) -> bool) -> u64 {
        self.counts.iter().enumerate().filter(|(at, _)| is_one(*at as f64 * self.step_ms)).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn steady(rate: f64, count: u32, gop: u32) -> Timeline {
        let mut timeline = Timeline::default();
        for number in 0..count {
            let at_ms = (f64::from(number) * 1000.0 / rate).floor();
            timeline.packet(Some(at_ms), Some(at_ms), number % gop == 0);
            timeline.picture(Some(at_ms));
        }
        timeline
    }

    proptest! {
        /// Also where a container rounds times to milliseconds, as Matroska does.
        #[test]
        fn a_steady_film_has_nothing_to_find(rate in proptest::sample::select(vec![23.976, 25.0, 29.97, 50.0, 59.94, 120.0]), gop in 2_u32..200) {
            let count = 3 * gop + 1;
            let (gops, timestamps) = steady(rate, count, gop).finish(f64::from(count) * 1000.0 / rate);
            let (gops, timestamps) = (gops.expect("it has key frames"), timestamps.expect("it has pictures"));
            prop_assert_eq!((gops.keyframes, gops.irregular), (4, 0));
            prop_assert_eq!((timestamps.backwards, timestamps.repeated, timestamps.gaps, timestamps.missing), (0, 0, 0, 0));
            prop_assert!((gops.longest_s - f64::from(gop) / rate).abs() < 0.002);
        }

        #[test]
        fn dropped_pictures_are_gaps(drops in proptest::collection::btree_set(1_u32..98, 1..20)) {
            let mut timeline = Timeline::default();
            let kept: Vec<u32> = (0..100).filter(|number| !drops.contains(number)).collect();
            kept.iter().for_each(|number| timeline.picture(Some(f64::from(*number) * 40.0)));
            let holes = kept.windows(2).filter(|pair| pair[1] - pair[0] > 1).count() as u64;
            let found = timeline.finish(4000.0).1.expect("it has pictures");
            prop_assert_eq!(found.gaps, holes);
        }
    }

    #[test]
    fn what_goes_wrong_is_counted_by_kind() {
        let mut timeline = steady(25.0, 50, 25);
        timeline.packet(Some(1900.0), Some(2000.0), true);
        timeline.packet(None, None, false);
        for at_ms in [Some(2000.0), Some(2000.0), Some(1990.0), None, Some(2200.0)] {
            timeline.picture(at_ms);
        }
        let (gops, timestamps) = timeline.finish(2240.0);
        let timestamps = timestamps.expect("it has pictures");
        assert_eq!((timestamps.backwards, timestamps.repeated, timestamps.missing, timestamps.gaps), (1, 2, 2, 1));
        assert!((timestamps.longest_gap_ms - 210.0).abs() < 1e-9);
        assert_eq!(gops.map(|gops| (gops.keyframes, gops.irregular)), Some((3, 0)));
    }

    #[test]
    fn a_key_frame_out_of_turn_is_irregular() {
        let mut timeline = Timeline::default();
        for key in [0, 25, 50, 60, 85, 110] {
            timeline.packet(Some(f64::from(key) * 40.0), Some(f64::from(key) * 40.0), true);
        }
        let gops = timeline.finish(5400.0).0.expect("it has key frames");
        assert_eq!((gops.irregular, gops.shortest_s, gops.longest_s), (1, 0.4, 1.0));
    }

    #[test]
    fn what_is_not_there_was_not_measured() {
        assert_eq!(Timeline::default().finish(0.0), (None, None));
    }
}

//! An asset over and over again: the times of each round go on where those of the round before ended. Pure.
//!
//! A round is as long as its first track is, in that track's own ticks, so nothing is rounded there and pictures follow each other
//! without a gap for days. Sound that is longer than the pictures is cut off by the next round; where it is shorter, there is silence.

use std::collections::BTreeMap;

use super::blend::Piece;
use super::pace::Unit;
use super::parser::micros;

/// Times that overlap by less are the same, microseconds.
const SAME_US: i64 = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Rounds {
    /// What is added to times, ticks of `timescale`.
    offset_ticks: i64,
    timescale: u32,
    /// The track that says how long a round is.
    leader: Option<String>,
    /// Its first decode time, and its end, before anything was added.
    span_ticks: Option<(i64, i64)>,
    /// Where each track ends, microseconds.
    ends_us: BTreeMap<String, i64>,
}

// === impl Rounds ===

impl Rounds {
    /// Moves what was read to where it belongs, and drops what overlaps. Returns whether something is left.
    pub fn shift(
        &mut self,
        units: &mut BTreeMap<String, Vec<Unit<Piece>>>,
        may_lead: bool,
        timescale: impl Fn(&str) -> Option<u32>,
    ) -> bool {
        if self.leader.is_none() && may_lead {
            // Names begin with `v` or `a`: pictures, where there are any.
            self.leader = units.keys().next_back().cloned();
            self.timescale = self.leader.as_deref().and_then(&timescale).unwrap_or(0);
        }
        for (name, units) in units.iter_mut() {
            let Some(timescale) = timescale(name) else { continue };
            let is_leader = self.leader.as_ref() == Some(name);
            if is_leader && timescale != self.timescale {
                // It was encoded anew meanwhile.
                self.offset_ticks = scaled(self.offset_ticks, self.timescale, timescale);
                self.timescale = timescale;
            }
            let offset_ticks = scaled(self.offset_ticks, self.timescale, timescale);
            let end_us = self.ends_us.get(name).copied();
            let mut newest_us = end_us;
            units.retain_mut(|unit| {
                let Piece::Sample(sample) = &mut unit.piece else {
                    unit.at_us += micros(offset_ticks, timescale);
                    return true;
                };
                if is_leader {
                    let end = sample.dts_ticks + i64::from(sample.duration_ticks);
                    let (first, last) = self.span_ticks.unwrap_or((sample.dts_ticks, end));
                    self.span_ticks = Some((first, last.max(end)));
                }
                sample.dts_ticks += offset_ticks;
                sample.pts_ticks += offset_ticks;
                unit.at_us = micros(sample.dts_ticks, timescale);
                if end_us.is_some_and(|end_us| unit.at_us < end_us - SAME_US) {
                    return false;
                }
                newest_us = newest_us.max(Some(micros(sample.dts_ticks + i64::from(sample.duration_ticks), timescale)));
                true
            });
            if let Some(newest_us) = newest_us {
                self.ends_us.insert(name.clone(), newest_us);
            }
        }
        units.values().any(|units| !units.is_empty())
    }

    /// The next round begins. Returns whether there was one.
    pub fn turn(&mut self) -> bool {
        let Some((first, end)) = self.span_ticks.take() else { return false };
        self.offset_ticks += end - first;
        end > first
    }
}

fn scaled(ticks: i64, from: u32, to: u32) -> i64 {
    if from == to || from == 0 {
        return ticks;
    }
    let scaled = (i128::from(ticks) * i128::from(to)).div_euclid(i128::from(from));
    i64::try_from(scaled).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use flame_cmaf::Sample;

    use super::*;

    const PICTURES: u32 = 30_000;
    const SOUND: u32 = 48_000;

    fn units(dts: impl Iterator<Item = i64>, duration_ticks: u32) -> Vec<Unit<Piece>> {
        let sample = |dts_ticks| Sample {
            dts_ticks,
            pts_ticks: dts_ticks + 7,
            duration_ticks,
            is_sync: true,
            data: Bytes::from_static(b"x"),
        };
        dts.map(|dts| Unit { at_us: 0, bytes: 1, piece: Piece::Sample(sample(dts)) }).collect()
    }

    fn times(units: &BTreeMap<String, Vec<Unit<Piece>>>, name: &str) -> Vec<i64> {
        let time = |unit: &Unit<Piece>| match &unit.piece {
            Piece::Sample(sample) => Some(sample.dts_ticks),
            Piece::Track(_) | Piece::Input(_) => None,
        };
        units[name].iter().filter_map(time).collect()
    }

    /// 50 pictures of 1001/30000 s from before 0 on, and sound that is `sound` units long.
    fn round(rounds: &mut Rounds, sound: i64) -> (Vec<i64>, Vec<i64>) {
        let mut pictures = BTreeMap::from([("v".to_owned(), units((-2..48).map(|at| at * 1001), 1001))]);
        assert!(rounds.shift(&mut pictures, true, |_| Some(PICTURES)));
        let mut heard = BTreeMap::from([("a".to_owned(), units((-1..sound - 1).map(|at| at * 1024), 1024))]);
        rounds.shift(&mut heard, false, |_| Some(SOUND));
        assert!(rounds.turn());
        (times(&pictures, "v"), times(&heard, "a"))
    }

    #[test]
    fn pictures_follow_each_other_to_the_tick_and_sound_never_overlaps() {
        for sound in [70, 79, 90] {
            let mut rounds = Rounds::default();
            let (mut pictures, mut heard) = (Vec::new(), Vec::new());
            for _ in 0..200 {
                let (seen, sounded) = round(&mut rounds, sound);
                pictures.extend(seen);
                heard.extend(sounded);
            }
            assert_eq!(pictures.len(), 200 * 50);
            assert!(pictures.windows(2).all(|pair| pair[1] - pair[0] == 1001));
            assert!(heard.windows(2).all(|pair| pair[1] - pair[0] >= 1024 - 48), "{sound}");
            // It does not drift from the pictures.
            let (last, end) = (heard.last().unwrap() / 48, pictures.last().unwrap() / 30);
            assert!((last - end).abs() < 400, "{last} {end}");
        }
    }
}

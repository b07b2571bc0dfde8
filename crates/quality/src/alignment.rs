//! Which frames of two films belong together. Scores of the wrong pairs are numbers without a meaning, and look bad for
//! reasons that nobody finds; so pairs are found first, with a confidence, and below a bound nothing is scored.
//!
//! Frames are told by their signatures alone: times of containers are often wrong, and a wrong time changes no picture.
//! The pairs are the cheapest way through both films (Needleman and Wunsch 1970, with the gaps of Gotoh 1982): a pair costs
//! how unlike it is, a frame that is left out on either side costs little more than the noise of the encoder. Long films are
//! gone through in stretches that overlap by half, so memory and time grow with the length and not with its square.
//!
//! What is found: lead-ins and ends on either side, dropped frames, repeated ones, foreign ones in between; and so every
//! change of frame rate by whole frames. What is not: frames in another order, and blends of two frames.

use flame_api::quality::Alignment;

use crate::{
    signature::{FIELDS, Signature},
    stretch::Stretch,
};

/// Frames of the distorted film in a stretch.
const STRETCH_FRAMES: usize = 1200;
/// The longest lead-in, and the longest run of dropped frames, that is found.
pub const SHIFT_FRAMES_MAX: usize = 900;
/// What frames may differ by although nothing was done to them, in levels.
const STILL_LEVELS: f32 = 0.05;
/// Frames that are looked at to know the noise.
const SAMPLES: usize = 100;
/// Films whose fields move less than this around their mean, in levels, are stills.
const MOVEMENT_LEVELS_MIN: f64 = 0.25;
/// Stills that are flat are the same within this, in levels.
const FLAT_LEVELS: f64 = 16.0;

/// A frame of each film, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Of the reference.
    pub reference: usize,
    /// Of the distorted film.
    pub distorted: usize,
}

/// The pairs, in order, and how sure they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Correspondence {
    /// Both frames grow from pair to pair.
    pub pairs: Vec<Pair>,
    /// 0 to 1.
    pub confidence: f64,
    /// Between pairs: of the distorted film, such as show what was just shown.
    pub repeated: u64,
    /// Between pairs: of the distorted film, the others.
    pub foreign: u64,
}

/// How unlike frames are that belong together, in levels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noise {
    like: f32,
}

/// Finds the pairs.
#[must_use]
pub fn align(reference: &[Signature], distorted: &[Signature]) -> Correspondence {
    let noise = Noise::of(reference, distorted);
    let pairs = pairs(reference, distorted, noise);
    let (repeated, foreign) = left_out(&pairs, distorted, noise);
    let confidence = confidence(&pairs, reference, distorted, repeated);
    Correspondence { pairs, confidence, repeated, foreign }
}

fn pairs(reference: &[Signature], distorted: &[Signature], noise: Noise) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    let (mut from_reference, mut from_distorted) = (0, 0);
    while from_reference < reference.len() && from_distorted < distorted.len() {
        let end_distorted = distorted.len().min(from_distorted + STRETCH_FRAMES);
        let end_reference = reference.len().min(from_reference + STRETCH_FRAMES + SHIFT_FRAMES_MAX);
        let is_last = end_distorted == distorted.len();
        let stretch = Stretch {
            reference: &reference[from_reference..end_reference],
            distorted: &distorted[from_distorted..end_distorted],
            noise,
            is_first: from_distorted == 0,
            is_last,
        };
        let found = stretch.pairs();
        // The end of a stretch does not know what follows; the next one decides about it.
        let keep = if is_last { usize::MAX } else { STRETCH_FRAMES / 2 };
        let found = found.into_iter().take_while(|pair| pair.distorted < keep);
        let before = pairs.len();
        pairs.extend(found.map(|pair| Pair {
            reference: from_reference + pair.reference,
            distorted: from_distorted + pair.distorted,
        }));
        if is_last {
            break;
        }
        (from_reference, from_distorted) = match pairs.last() {
            Some(last) if pairs.len() > before => (last.reference + 1, last.distorted + 1),
            // Half a stretch of foreign frames.
            Some(_) | None => (from_reference, from_distorted + STRETCH_FRAMES / 2),
        };
    }
    pairs
}

/// Frames of the distorted film between pairs: repeated, foreign.
fn left_out(pairs: &[Pair], distorted: &[Signature], noise: Noise) -> (u64, u64) {
    let (mut repeated, mut foreign) = (0, 0);
    for pair in pairs.windows(2) {
        for at in pair[0].distorted + 1..pair[1].distorted {
            // Both carry the noise.
            let is_same = |other: usize| distorted[at].distance(&distorted[other]) <= 2.0 * noise.same();
            // The pair may be made with either of the two.
            if is_same(at - 1) || is_same(pair[1].distorted) { repeated += 1 } else { foreign += 1 }
        }
    }
    (repeated, foreign)
}

/// How well what changes in one film changes in the other (the correlation of fields around their means, over all pairs),
/// times how much of the shorter film has a pair. What stands still in both says nothing, bars least of all; and what
/// an encoder does to all frames alike, such as a shift of brightness, does no harm.
fn confidence(pairs: &[Pair], reference: &[Signature], distorted: &[Signature], repeated: u64) -> f64 {
    let shorter = reference.len().min(distorted.len().saturating_sub(usize::try_from(repeated).unwrap_or(0)));
    if pairs.is_empty() || shorter == 0 {
        return 0.0;
    }
    let signatures = || pairs.iter().map(|pair| (&reference[pair.reference], &distorted[pair.distorted]));
    let (mut means, count) = ([[0.0; FIELDS]; 2], pairs.len() as f64);
    for (one, other) in signatures() {
        for (mean, levels) in means.iter_mut().zip([one.levels(), other.levels()]) {
            mean.iter_mut().zip(levels).for_each(|(mean, level)| *mean += level / count);
        }
    }
    let mut moving = Moments::default();
    for (one, other) in signatures() {
        for ((one, other), means) in one.levels().zip(other.levels()).zip(means[0].iter().zip(&means[1])) {
            moving.add(one - means.0, other - means.1);
        }
    }
    let likeness = if moving.spread() >= MOVEMENT_LEVELS_MIN { moving.correlation() } else { still_likeness(&means) };
    // Half of the shorter film is enough: the rest may be lead-in.
    let coverage = 2.0 * count / shorter as f64;
    (likeness * coverage.min(1.0)).clamp(0.0, 1.0)
}

/// The same for stills: of their one picture.
fn still_likeness([one, other]: &[[f64; FIELDS]; 2]) -> f64 {
    let mean = |fields: &[f64; FIELDS]| fields.iter().sum::<f64>() / FIELDS as f64;
    let means = (mean(one), mean(other));
    let mut moments = Moments::default();
    one.iter().zip(other).for_each(|(one, other)| moments.add(one - means.0, other - means.1));
    if moments.spread() >= MOVEMENT_LEVELS_MIN {
        return moments.correlation();
    }
    let difference = one.iter().zip(other).map(|(one, other)| (one - other).abs()).sum::<f64>() / FIELDS as f64;
    1.0 - difference / FLAT_LEVELS
}

/// Sums of deviations of two series.
#[derive(Debug, Default)]
struct Moments {
    one: f64,
    other: f64,
    both: f64,
    count: f64,
}

// === impl Moments ===

impl Moments {
    fn add(&mut self, one: f64, other: f64) {
        self.one += one * one;
        self.other += other * other;
        self.both += one * other;
        self.count += 1.0;
    }

    /// Standard deviation of the first series.
    fn spread(&self) -> f64 {
        (self.one / self.count.max(1.0)).sqrt()
    }

    fn correlation(&self) -> f64 {
        let product = (self.one * self.other).sqrt();
        if product > 0.0 { self.both / product } else { 0.0 }
    }
}

// === impl Noise ===

impl Noise {
    fn of(reference: &[Signature], distorted: &[Signature]) -> Self {
        let around = |at: usize| at.saturating_sub(SHIFT_FRAMES_MAX)..reference.len().min(at + SHIFT_FRAMES_MAX);
        let nearest = spread(distorted.len()).filter_map(|at| {
            let distances = around(at).map(|other| reference[other].distance(&distorted[at]));
            distances.min_by(f32::total_cmp)
        });
        let mut nearest: Vec<f32> = nearest.collect();
        nearest.sort_by(f32::total_cmp);
        Self { like: nearest.get(nearest.len() / 2).copied().unwrap_or(0.0) }
    }

    /// Frames nearer than this show the same.
    pub(crate) fn same(self) -> f32 {
        self.like + STILL_LEVELS
    }

    /// What it costs to begin to leave frames out.
    pub(crate) fn opening(self) -> f32 {
        self.like + STILL_LEVELS
    }

    /// What it costs to leave a frame out. Twice this and no more would be saved by leaving out a good pair between two gaps:
    /// so it must be more than an opening and a pair's own noise.
    pub(crate) fn leaving(self) -> f32 {
        2.0 * self.like + STILL_LEVELS
    }
}

/// Frames evenly spread over a film.
fn spread(length: usize) -> impl Iterator<Item = usize> {
    let count = SAMPLES.min(length);
    (0..count).map(move |number| number * length / count)
}

// === impl Correspondence ===

impl Correspondence {
    /// Whether frame n goes with frame n from the first to the last of the shorter film.
    #[must_use]
    pub fn is_in_order(&self, reference: usize, distorted: usize) -> bool {
        self.pairs.len() == reference.min(distorted)
            && self.pairs.iter().enumerate().all(|(at, pair)| pair.reference == at && pair.distorted == at)
    }

    /// In words of the contract; times are those of each film's frames in milliseconds.
    #[must_use]
    pub fn describe(&self, reference_ms: &[f64], distorted_ms: &[f64]) -> Alignment {
        let none = Pair { reference: 0, distorted: 0 };
        let (first, last) = (self.pairs.first().unwrap_or(&none), self.pairs.last().unwrap_or(&none));
        let inner_reference = (last.reference - first.reference + 1).saturating_sub(self.pairs.len());
        let time = |times: &[f64], at: usize| times.get(at).copied().unwrap_or(0.0);
        Alignment {
            confidence: self.confidence,
            offset_frames: first.distorted as i64 - first.reference as i64,
            offset_ms: time(distorted_ms, first.distorted) - time(reference_ms, first.reference),
            lead_in_reference: first.reference as u64,
            lead_in_distorted: first.distorted as u64,
            tail_reference: reference_ms.len().saturating_sub(last.reference + 1) as u64,
            tail_distorted: distorted_ms.len().saturating_sub(last.distorted + 1) as u64,
            dropped_frames: inner_reference as u64,
            repeated_frames: self.repeated,
            foreign_frames: self.foreign,
        }
    }
}

#[cfg(test)]
#[path = "alignment/tests.rs"]
mod tests;

//! Seeded distortions of random films: each is recovered exactly, or so unsure that it would be refused.

use proptest::prelude::*;

use super::*;

/// What was done to a film.
#[derive(Debug, Clone)]
struct Harm {
    lead_in: usize,
    cut_start: usize,
    cut_end: usize,
    dropped: Vec<usize>,
    repeated: Vec<usize>,
    /// Of what moves from a frame to the next. With more, a frame in the place of its neighbour is not told from it.
    noise_share: f32,
}

/// A generator of the numbers that a test needs, the same on every machine.
struct Random(u64);

impl Random {
    /// 0 to 1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }
}

/// Frames of 144 fields that move by about `motion_levels` from one to the next, with a cut now and then.
fn film(random: &mut Random, frames: usize, motion_levels: f32) -> Vec<Vec<f32>> {
    let mut levels: Vec<f32> = (0..144).map(|_| 40.0 + 170.0 * random.next()).collect();
    (0..frames)
        .map(|_| {
            let is_cut = random.next() < 0.02;
            for level in &mut levels {
                let step = if is_cut { 120.0 } else { 4.0 * motion_levels };
                *level = (*level + step * (random.next() - 0.5)).clamp(16.0, 235.0);
            }
            levels.clone()
        })
        .collect()
}

fn harmed(
    random: &mut Random,
    film: &[Vec<f32>],
    harm: &Harm,
    motion_levels: f32,
) -> (Vec<Vec<f32>>, Vec<Option<usize>>) {
    let mut frames = Vec::new();
    let mut truth = Vec::new();
    let slate: Vec<f32> = (0..144).map(|_| 16.0 + 4.0 * random.next()).collect();
    for _ in 0..harm.lead_in {
        frames.push(slate.clone());
        truth.push(None);
    }
    for (at, frame) in film.iter().enumerate().take(film.len() - harm.cut_end).skip(harm.cut_start) {
        if harm.dropped.contains(&at) {
            continue;
        }
        for _ in 0..if harm.repeated.contains(&at) { 2 } else { 1 } {
            frames.push(frame.clone());
            truth.push(Some(at));
        }
    }
    for level in frames.iter_mut().flatten() {
        *level += 2.0 * harm.noise_share * motion_levels * (random.next() - 0.5);
    }
    (frames, truth)
}

fn signatures(frames: &[Vec<f32>]) -> Vec<Signature> {
    frames.iter().map(|levels| Signature::of_levels(levels)).collect()
}

fn harm(frames: usize) -> impl Strategy<Value = Harm> {
    let inner = 30..frames - 30;
    (
        prop_oneof![Just(0), 1..40_usize],
        prop_oneof![Just(0), 1..20_usize],
        prop_oneof![Just(0), 1..20_usize],
        prop::collection::vec(inner.clone(), 0..6),
        prop::collection::vec(inner, 0..6),
        0.0..0.25_f32,
    )
        .prop_map(|(lead_in, cut_start, cut_end, dropped, repeated, noise_share)| Harm {
            lead_in,
            cut_start,
            cut_end,
            dropped,
            repeated,
            noise_share,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn distortions_are_recovered_exactly(seed in any::<u64>(), harm in harm(160), motion_levels in 1.0..6.0_f32) {
        let mut random = Random(seed);
        let film = film(&mut random, 160, motion_levels);
        let (frames, truth) = harmed(&mut random, &film, &harm, motion_levels);
        let found = align(&signatures(&film), &signatures(&frames));
        let pairs: Vec<_> = found.pairs.iter().map(|pair| (pair.distorted, Some(pair.reference))).collect();
        for (distorted, reference) in &pairs {
            prop_assert_eq!(truth[*distorted], *reference, "{:?}", harm);
        }
        let shown: std::collections::BTreeSet<_> = truth.iter().flatten().collect();
        prop_assert_eq!(pairs.len(), shown.len(), "{:?}", harm);
        let repeated = harm.repeated.iter().filter(|at| shown.contains(at)).collect::<std::collections::BTreeSet<_>>().len();
        prop_assert_eq!(found.repeated, repeated as u64, "{:?}", harm);
        prop_assert_eq!(found.foreign, 0);
        prop_assert!(found.confidence > 0.8, "{}", found.confidence);
    }

    #[test]
    fn strangers_are_refused(seed in any::<u64>(), motion_levels in 1.0..6.0_f32) {
        let (mut one, mut other) = (Random(seed), Random(!seed));
        let found = align(&signatures(&film(&mut one, 160, motion_levels)), &signatures(&film(&mut other, 140, motion_levels)));
        prop_assert!(found.confidence < 0.5, "{}", found.confidence);
    }
}

#[test]
fn half_and_twice_the_frame_rate() {
    let film = film(&mut Random(7), 200, 2.0);
    let half: Vec<_> = film.iter().step_by(2).cloned().collect();
    let found = align(&signatures(&film), &signatures(&half));
    assert_eq!(found.pairs.len(), 100);
    assert!(found.pairs.iter().all(|pair| pair.reference == 2 * pair.distorted));
    let twice: Vec<_> = film.iter().flat_map(|frame| [frame.clone(), frame.clone()]).collect();
    let found = align(&signatures(&film), &signatures(&twice));
    // The first and the last one may lie outside of the pairs.
    assert_eq!((found.pairs.len(), found.repeated.clamp(198, 200), found.foreign), (200, found.repeated, 0));
    assert!(found.pairs.iter().all(|pair| pair.reference == pair.distorted / 2));
}

#[test]
fn long_films_are_gone_through_in_stretches() {
    let film = film(&mut Random(11), 5000, 2.0);
    let mut frames = film.clone();
    frames.drain(3000..3050);
    frames.splice(500..500, std::iter::repeat_n(vec![16.0; 144], 30));
    let found = align(&signatures(&film), &signatures(&frames));
    assert_eq!((found.pairs.len(), found.foreign, found.repeated), (4950, 1, 29));
    assert!(found.confidence > 0.95, "{}", found.confidence);
    let last = found.pairs.last().expect("there are pairs");
    assert_eq!((last.reference, last.distorted), (4999, 4979));
}

#[test]
fn a_still_goes_with_itself_and_nothing_with_nothing() {
    let still = signatures(&vec![vec![90.0; 144]; 50]);
    let found = align(&still, &still);
    assert!(found.is_in_order(50, 50) && found.confidence > 0.99);
    let found = align(&still, &[]);
    assert!(found.pairs.is_empty() && found.confidence <= 0.0);
    assert_eq!(align(&still[..1], &still[..1]).pairs.len(), 1);
}

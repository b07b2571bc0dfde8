//! The cheapest way through a stretch of two films. See [`crate::alignment`].

use crate::{
    alignment::{Noise, Pair},
    signature::Signature,
};

/// Parts of both films, and whether they begin and end here.
pub(crate) struct Stretch<'a> {
    pub(crate) reference: &'a [Signature],
    pub(crate) distorted: &'a [Signature],
    pub(crate) noise: Noise,
    pub(crate) is_first: bool,
    pub(crate) is_last: bool,
}

/// How a cell of the table was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A frame of each.
    Pair,
    /// A frame of the reference alone.
    Reference,
    /// A frame of the distorted film alone.
    Distorted,
}

/// What it costs to be in a cell, by the last step.
#[derive(Debug, Clone, Copy)]
struct Costs([f32; 3]);

const STEPS: [Step; 3] = [Step::Pair, Step::Reference, Step::Distorted];
const NEVER: f32 = f32::INFINITY;

// === impl Stretch ===

impl Stretch<'_> {
    /// The pairs, counted from the stretch's begin.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        if self.goes_in_order() {
            let count = self.reference.len().min(self.distorted.len());
            return (0..count).map(|at| Pair { reference: at, distorted: at }).collect();
        }
        self.cheapest()
    }

    /// Whether frame after frame goes with its counterpart, better than with the one before and behind it, up to the end of
    /// both. Most films do, and the whole table need not be made.
    fn goes_in_order(&self) -> bool {
        if self.is_last && self.reference.len() != self.distorted.len() {
            return false;
        }
        let distance = |reference: usize, distorted: usize| {
            self.reference.get(reference).map_or(NEVER, |frame| frame.distance(&self.distorted[distorted]))
        };
        let (mut here, mut before, mut behind) = (0.0, 0.0, 0.0);
        for at in 0..self.distorted.len() {
            let distance_here = distance(at, at);
            if distance_here > 3.0 * self.noise.same() {
                return false;
            }
            if at > 0 && at + 1 < self.distorted.len() {
                here += distance_here;
                before += distance(at - 1, at);
                behind += distance(at + 1, at);
                // A frame too early or too late shows in any quarter of a minute that moves.
                if at % 250 == 0 {
                    if here > before || here > behind {
                        return false;
                    }
                    (here, before, behind) = (0.0, 0.0, 0.0);
                }
            }
        }
        here <= before && here <= behind
    }

    fn cheapest(&self) -> Vec<Pair> {
        let (height, width) = (self.distorted.len() + 1, self.reference.len() + 1);
        let mut ways = vec![0_u8; height * width];
        let mut above = vec![Costs([NEVER; 3]); width];
        above[0].0[Step::Pair as usize] = 0.0;
        for at in 1..width {
            let (cost, from) = self.alone(&above[at - 1], Step::Reference, self.is_first);
            above[at].0[Step::Reference as usize] = cost;
            ways[at] = pack([Step::Pair, from, Step::Pair]);
        }
        for row in 1..height {
            let mut here = vec![Costs([NEVER; 3]); width];
            for at in 0..width {
                let mut from = [Step::Pair; 3];
                if at > 0 {
                    let (cost, step) = above[at - 1].best();
                    here[at].0[0] = cost + self.reference[at - 1].distance(&self.distorted[row - 1]);
                    from[0] = step;
                    let is_free = self.is_last && row == height - 1;
                    (here[at].0[1], from[1]) = self.alone(&here[at - 1], Step::Reference, is_free);
                }
                let is_free = (self.is_first && at == 0) || (self.is_last && at == width - 1);
                (here[at].0[2], from[2]) = self.alone(&above[at], Step::Distorted, is_free);
                ways[row * width + at] = pack(from);
            }
            above = here;
        }
        // In the middle of a film the reference goes on behind the last distorted frame.
        let end = if self.is_last {
            width - 1
        } else {
            let cost = |at: &usize| above[*at].best().0;
            (0..width).min_by(|a, b| cost(a).total_cmp(&cost(b))).unwrap_or(width - 1)
        };
        trace(&ways, width, end, height - 1, above[end].best().1)
    }

    /// The cost of one more frame of one film alone, and the step before it.
    fn alone(&self, from: &Costs, step: Step, is_free: bool) -> (f32, Step) {
        let opening = if is_free { 0.0 } else { self.noise.opening() };
        let mut best = (NEVER, Step::Pair);
        for before in STEPS {
            let cost = from.0[before as usize] + if before == step { 0.0 } else { opening };
            if cost < best.0 {
                best = (cost, before);
            }
        }
        (best.0 + self.noise.leaving(), best.1)
    }
}

fn trace(ways: &[u8], width: usize, mut at: usize, mut row: usize, mut step: Step) -> Vec<Pair> {
    let mut pairs = Vec::new();
    while at > 0 || row > 0 {
        let before = unpack(ways[row * width + at], step);
        match step {
            Step::Pair => {
                at -= 1;
                row -= 1;
                pairs.push(Pair { reference: at, distorted: row });
            }
            Step::Reference => at -= 1,
            Step::Distorted => row -= 1,
        }
        step = before;
    }
    pairs.reverse();
    pairs
}

fn pack(from: [Step; 3]) -> u8 {
    from[0] as u8 | (from[1] as u8) << 2 | (from[2] as u8) << 4
}

fn unpack(ways: u8, step: Step) -> Step {
    STEPS[usize::from(ways >> (2 * step as u8) & 3)]
}

// === impl Costs ===

impl Costs {
    /// The least, and its step; a pair where it is equal.
    fn best(&self) -> (f32, Step) {
        let mut best = (self.0[0], Step::Pair);
        for step in [Step::Reference, Step::Distorted] {
            if self.0[step as usize] < best.0 {
                best = (self.0[step as usize], step);
            }
        }
        best
    }
}

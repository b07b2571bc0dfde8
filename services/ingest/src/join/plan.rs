//! Which bytes of which partial upload become which part of the whole: pure arithmetic.
//!
//! A part of a multipart upload has 5 MiB at least, the last one excepted, and is copied from one object. So the pieces of
//! each partial upload are cut where its own parts were cut (a store that keeps those apart can take them over whole), a rest that is too
//! short goes with the piece before it, and only a partial upload that is shorter than a part altogether has to be put
//! together with what follows it.

use std::ops::Range;

use crate::parts::{PART_MIN_BYTES, PARTS_MAX};

/// A partial upload, as far as this is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Its length.
    pub size_bytes: u64,
    /// Where it was cut itself; 5 MiB at least.
    pub part_bytes: u64,
}

/// A run of bytes of one partial upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Which one, from 0.
    pub source: usize,
    /// Its bytes.
    pub range: Range<u64>,
}

/// What becomes one part: one run, which the store copies, or several short ones that go through memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// In order.
    pub runs: Vec<Run>,
}

/// The parts of the whole, in order. There are as many as a multipart upload has at most, or fewer.
#[must_use]
pub fn plan(sources: &[Source]) -> Vec<Piece> {
    let mut factor = 1;
    loop {
        let pieces = cut(sources, factor);
        // With a growing factor there is one piece a source in the end, or two: far fewer than the bound.
        if pieces.len() <= PARTS_MAX as usize || factor > u64::from(u32::MAX) {
            return pieces;
        }
        factor *= 2;
    }
}

fn cut(sources: &[Source], factor: u64) -> Vec<Piece> {
    let last = sources.iter().rposition(|source| source.size_bytes > 0);
    let mut pieces = Vec::new();
    // Runs that are too short for a part so far.
    let mut open: Vec<Run> = Vec::new();
    let mut open_bytes = 0;
    for (source, Source { size_bytes, part_bytes }) in sources.iter().copied().enumerate() {
        let is_last = Some(source) == last;
        let mut at_bytes = 0;
        if open_bytes > 0 && size_bytes > 0 {
            at_bytes = part_bytes.min(size_bytes);
            open.push(Run { source, range: 0..at_bytes });
            open_bytes += at_bytes;
            if open_bytes >= PART_MIN_BYTES {
                pieces.push(Piece { runs: std::mem::take(&mut open) });
                open_bytes = 0;
            }
        }
        while at_bytes < size_bytes {
            let mut end_bytes = (at_bytes + part_bytes * factor).min(size_bytes);
            if !is_last && size_bytes - end_bytes < PART_MIN_BYTES {
                end_bytes = size_bytes;
            }
            let run = Run { source, range: at_bytes..end_bytes };
            if end_bytes - at_bytes < PART_MIN_BYTES && !is_last {
                open_bytes = end_bytes - at_bytes;
                open.push(run);
            } else {
                pieces.push(Piece { runs: vec![run] });
            }
            at_bytes = end_bytes;
        }
    }
    if !open.is_empty() {
        pieces.push(Piece { runs: open });
    }
    pieces
}

// === impl Run ===

impl Run {
    /// Its length.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.range.end - self.range.start
    }
}

// === impl Piece ===

impl Piece {
    /// Its length.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.runs.iter().map(Run::size_bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn sources() -> impl Strategy<Value = Vec<Source>> {
        let size = prop_oneof![0..3_u64, 0..6 * MIB, 0..40 * MIB, 0..2_000 * MIB];
        let part = prop_oneof![Just(PART_MIN_BYTES), Just(8 * MIB), PART_MIN_BYTES..64 * MIB];
        prop::collection::vec(
            (size, part).prop_map(|(size_bytes, part_bytes)| Source { size_bytes, part_bytes }),
            0..20,
        )
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_sources_one_after_the_other(sources in sources()) {
            let pieces = plan(&sources);
            let mut wanted = sources.iter().enumerate().filter(|(_, source)| source.size_bytes > 0);
            let mut at = wanted.next().map(|(index, _)| (index, 0));
            for run in pieces.iter().flat_map(|piece| &piece.runs) {
                prop_assert_eq!(Some((run.source, run.range.start)), at);
                prop_assert!(!run.range.is_empty());
                at = match run.range.end {
                    end if end == sources[run.source].size_bytes => wanted.next().map(|(index, _)| (index, 0)),
                    end => Some((run.source, end)),
                };
            }
            prop_assert_eq!(at, None);
        }

        #[test]
        fn every_store_takes_the_pieces(sources in sources()) {
            let pieces = plan(&sources);
            prop_assert!(pieces.len() <= PARTS_MAX as usize);
            for piece in pieces.iter().rev().skip(1) {
                prop_assert!(piece.size_bytes() >= PART_MIN_BYTES, "{piece:?}");
            }
            // What goes through memory is short: what was too short for a part, and one part.
            for piece in pieces.iter().filter(|piece| piece.runs.len() > 1) {
                let last = sources[piece.runs.last().unwrap().source];
                prop_assert!(piece.size_bytes() < PART_MIN_BYTES + last.part_bytes, "{piece:?}");
            }
        }
    }

    #[test]
    fn the_cuts_are_those_of_the_partial_uploads() {
        let part_bytes = 8 * MIB;
        let source = |size_bytes| Source { size_bytes, part_bytes };
        let pieces = plan(&[source(22 * MIB), source(10 * MIB), source(3), source(9 * MIB)]);
        let shown: Vec<_> = pieces
            .iter()
            .map(|piece| piece.runs.iter().map(|run| (run.source, run.range.clone())).collect::<Vec<_>>())
            .collect();
        assert_eq!(
            shown,
            [
                vec![(0, 0..8 * MIB)],
                vec![(0, 8 * MIB..16 * MIB)],
                vec![(0, 16 * MIB..22 * MIB)],
                vec![(1, 0..10 * MIB)],
                vec![(2, 0..3), (3, 0..8 * MIB)],
                vec![(3, 8 * MIB..9 * MIB)],
            ]
        );
    }

    #[test]
    fn more_parts_than_there_are_become_longer_ones() {
        let source = Source { size_bytes: 400_000 * MIB, part_bytes: 8 * MIB };
        let pieces = plan(&[source, source]);
        assert!((2_500..=10_000).contains(&pieces.len()), "{}", pieces.len());
    }
}

//! A block as symbols, and back: slices of its bytes, and Reed-Solomon symbols over GF(2^8) (RFC 5510) for repair.
//!
//! Any as many symbols as a block has source symbols give it back. What a lost symbol costs is one sum over the block,
//! on either side; nothing is set up before.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use flame_naming::group::{SYMBOLS_MAX, SymbolSet};

use crate::leg::DIGEST_BYTES;
use crate::polynomial::{Known, POINTS, sum};

const _: () = assert!(SYMBOLS_MAX as usize == POINTS);

/// A block that is to be sent.
pub struct Block {
    bytes: Bytes,
    symbol_bytes: u16,
    /// Made when repair is asked for: most blocks arrive without it.
    source: Option<Known>,
    repairs_made: u32,
}

/// Source symbols a block of `bytes` has.
#[must_use]
pub fn symbols_of(bytes: usize, symbol_bytes: u16) -> u32 {
    u32::try_from(bytes.div_ceil(usize::from(symbol_bytes))).unwrap_or(u32::MAX)
}

/// SHA-256 of a block.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut out = [0; DIGEST_BYTES];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// Puts the source symbols of a block into `source` that are not among those it has (`got`), by what `repair` there is,
/// no number twice; `false` where more symbols are needed.
pub fn restore(source: &mut [u8], symbol_bytes: u16, got: SymbolSet, repair: &[(u8, Vec<u8>)]) -> bool {
    let size = usize::from(symbol_bytes);
    let missing = SymbolSet::first(symbols_of(source.len(), symbol_bytes)).without(got);
    let Some(repair) = repair.get(..missing.len() as usize) else { return false };
    let held = octets_of(got);
    let known = Known::at(held.iter().copied().chain(repair.iter().map(|(esi, _)| *esi)).collect());
    let restored: Vec<(u8, Vec<u8>)> = octets_of(missing)
        .into_iter()
        .map(|symbol| {
            let of_source = held.iter().map(|at| &source[usize::from(*at) * size..][..size]);
            let symbols = of_source.chain(repair.iter().map(|(_, octets)| &octets[..]));
            (symbol, sum(size, known.weights(symbol).zip(symbols)))
        })
        .collect();
    for (symbol, octets) in restored {
        source[usize::from(symbol) * size..][..size].copy_from_slice(&octets);
    }
    true
}

/// The numbers in `symbols`, which are below [`SYMBOLS_MAX`].
pub(crate) fn octets_of(symbols: SymbolSet) -> Vec<u8> {
    symbols.iter().filter_map(|symbol| u8::try_from(symbol).ok()).collect()
}

// === impl Block ===

impl Block {
    /// A block of `bytes`.
    #[must_use]
    pub fn new(bytes: Bytes, symbol_bytes: u16) -> Self {
        Self { bytes, symbol_bytes, source: None, repairs_made: 0 }
    }

    /// Its octets.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How many source symbols it has.
    #[must_use]
    pub fn symbols(&self) -> u32 {
        symbols_of(self.bytes.len(), self.symbol_bytes)
    }

    /// The octets of the source symbols from `first` up to `end`; the block's last one is without padding.
    #[must_use]
    pub fn source(&self, first: u32, end: u32) -> Bytes {
        let at = |symbol: u32| (symbol as usize * usize::from(self.symbol_bytes)).min(self.bytes.len());
        self.bytes.slice(at(first)..at(end))
    }

    /// So many repair symbols that were not made before, with their numbers; fewer where there are no more.
    pub fn repair(&mut self, count: u32) -> Vec<(u8, Vec<u8>)> {
        let (symbols, size) = (self.symbols(), usize::from(self.symbol_bytes));
        let known = self.source.get_or_insert_with(|| Known::at(octets_of(SymbolSet::first(symbols))));
        let first = symbols + self.repairs_made;
        let numbers = octets_of(SymbolSet::first(SYMBOLS_MAX.min(first + count)).without(SymbolSet::first(first)));
        self.repairs_made += count.min(SYMBOLS_MAX - first.min(SYMBOLS_MAX));
        let made = numbers.into_iter().map(|esi| (esi, sum(size, known.weights(esi).zip(self.bytes.chunks(size)))));
        made.collect()
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Block")
            .field("bytes", &self.bytes.len())
            .field("repairs_made", &self.repairs_made)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whichever source and repair symbols arrive: as many as there are source symbols are enough, and fewer are not.
        #[test]
        fn any_as_many_symbols_as_a_block_has_give_it_back(
            length in 1usize..12_700,
            order in Just((0..SYMBOLS_MAX).collect::<Vec<u32>>()).prop_shuffle(),
        ) {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
            let mut block = Block::new(bytes.clone().into(), 50);
            let symbols = block.symbols();
            // In two portions, since the later ones go to somebody who lacks more.
            let portions = [block.repair(7), block.repair(SYMBOLS_MAX)];
            let made = portions.concat();
            prop_assert!(made.iter().map(|(esi, _)| u32::from(*esi)).eq(symbols..SYMBOLS_MAX));
            prop_assert!(block.repair(1).is_empty());
            let arrived = |symbol: &u32| order[..symbols as usize].contains(symbol);
            let got: SymbolSet = (0..symbols).filter(arrived).collect();
            let mut source = bytes.clone();
            source.resize(symbols as usize * 50, 0);
            for lost in SymbolSet::first(symbols).without(got).iter() {
                source[lost as usize * 50..][..50].fill(0xEE);
            }
            let repair: Vec<(u8, Vec<u8>)> = made.into_iter().filter(|(esi, _)| arrived(&u32::from(*esi))).collect();
            if let Some((_, fewer)) = repair.split_last() {
                prop_assert!(!restore(&mut source, 50, got, fewer));
            }
            prop_assert!(restore(&mut source, 50, got, &repair));
            prop_assert_eq!(&source[..length], &bytes[..]);
            prop_assert!(source[length..].iter().all(|padding| *padding == 0));
        }
    }

    /// Two source symbols are a line: at α² it has this value (RFC 5510's generator matrix, worked out by hand).
    #[test]
    fn repair_has_the_values_that_rfc_5510_gives() {
        let mut block = Block::new(Bytes::from_static(&[1, 0, 0, 1]), 2);
        // Weights of the points 1 and 2 at 4: (4-2)/(1-2) = 6/3 = 2, (4-1)/(2-1) = 5/3 = 3; differences are XOR.
        assert_eq!(block.repair(1), [(2, vec![2, 3])]);
    }
}

//! A block as symbols, and back: slices of its bytes, and RaptorQ (RFC 6330) for repair.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use flame_naming::group::SymbolSet;
use raptorq::{EncodingPacket, ObjectTransmissionInformation, PayloadId, SourceBlockDecoder, SourceBlockEncoder};

use crate::leg::DIGEST_BYTES;

/// A block that is to be sent.
pub struct Block {
    bytes: Bytes,
    symbol_bytes: u16,
    /// Made when repair is asked for: most blocks arrive without it.
    encoder: Option<SourceBlockEncoder>,
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

/// Restores a block of `symbols` from source symbols (in `source`, where `got` says) and repair; `None` where more
/// symbols are needed.
#[must_use]
pub fn restore(
    symbols: u32,
    symbol_bytes: u16,
    source: &[u8],
    got: SymbolSet,
    repair: &[(u32, Vec<u8>)],
) -> Option<Vec<u8>> {
    let size = usize::from(symbol_bytes);
    let length = symbols as usize * size;
    let mut decoder = SourceBlockDecoder::new(0, &parameters(length, symbol_bytes), length as u64);
    let of_source = got.iter().filter(|symbol| *symbol < symbols).map(|symbol| {
        let at = symbol as usize * size;
        EncodingPacket::new(PayloadId::new(0, symbol), source[at..at + size].to_vec())
    });
    let of_repair = repair.iter().map(|(esi, octets)| EncodingPacket::new(PayloadId::new(0, *esi), octets.clone()));
    decoder.decode(of_source.chain(of_repair))
}

fn parameters(length: usize, symbol_bytes: u16) -> ObjectTransmissionInformation {
    // One source block, no sub-blocks, octets in their order.
    ObjectTransmissionInformation::new(length as u64, symbol_bytes, 1, 1, 1)
}

// === impl Block ===

impl Block {
    /// A block of `bytes`.
    #[must_use]
    pub fn new(bytes: Bytes, symbol_bytes: u16) -> Self {
        Self { bytes, symbol_bytes, encoder: None, repairs_made: 0 }
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

    /// So many repair symbols that were not made before, with their numbers.
    pub fn repair(&mut self, count: u32) -> Vec<(u32, Vec<u8>)> {
        let symbol_bytes = self.symbol_bytes;
        let encoder = self.encoder.get_or_insert_with(|| {
            let mut padded = self.bytes.to_vec();
            padded.resize(padded.len().next_multiple_of(usize::from(symbol_bytes)), 0);
            SourceBlockEncoder::new(0, &parameters(padded.len(), symbol_bytes), &padded)
        });
        let made = encoder.repair_packets(self.repairs_made, count);
        self.repairs_made += count;
        made.into_iter()
            .map(|packet| {
                let (id, octets) = packet.split();
                (id.encoding_symbol_id(), octets)
            })
            .collect()
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
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_is_lost_is_restored_by_as_many_repair_symbols_and_one(length in 1usize..60_000, lost in prop::collection::btree_set(0u32..60, 0..20), skipped in 0u32..30) {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
            let mut block = Block::new(bytes.clone().into(), 1000);
            let symbols = block.symbols();
            let lost: SymbolSet = lost.into_iter().collect();
            let got = SymbolSet::first(symbols).without(lost);
            let mut source = bytes.clone();
            source.resize(symbols as usize * 1000, 0);
            for symbol in lost.iter().filter(|symbol| *symbol < symbols) {
                source[symbol as usize * 1000..][..1000].fill(0xEE);
            }
            // Whichever repair symbols arrive: the earlier ones went to somebody else.
            block.repair(skipped);
            let repair = block.repair(symbols - got.len() + 2);
            prop_assert!(repair.iter().all(|(esi, _)| *esi >= symbols + skipped));
            let restored = restore(symbols, 1000, &source, got, &repair).expect("two more than needed are enough");
            prop_assert_eq!(&restored[..length], &bytes[..]);
            let too_few = restore(symbols, 1000, &source, SymbolSet::first(symbols - 1), &[]);
            prop_assert!(too_few.is_none());
        }
    }
}

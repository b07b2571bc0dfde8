//! Packets of Asynchronous Layered Coding (RFC 5775): an LCT header (RFC 5651), the FEC payload id of RaptorQ
//! (RFC 6330 section 3.2), one symbol.
//!
//! One form is written and read: no congestion control information, 32 bits each of TSI (the transfer) and TOI (the
//! block), no header extensions, source block 0. Lengths, coding and digests come on the unicast leg, so there is no
//! FDT and no EXT_FTI. Anything else is not ours, and is dropped.

/// Octets before the symbol.
pub const HEADER_BYTES: usize = 20;
/// Version 1, no congestion control bits, no protocol-specific bits.
const FIRST: u8 = 0x10;
/// 32 bits of TSI, 32 bits of TOI, no half words, nothing closed.
const SECOND: u8 = 0xA0;
/// LCT header length in words of 32 bits.
const LCT_WORDS: u8 = 4;
/// FEC encoding id of RaptorQ (RFC 6330 section 3.1), as codepoint.
const RAPTORQ: u8 = 6;
/// Encoding symbol ids have 24 bits.
const ESI_MAX: u32 = (1 << 24) - 1;

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// The transfer (TSI).
    pub transfer: u32,
    /// The block (TOI).
    pub block: u32,
    /// The encoding symbol: below the number of source symbols these themselves, from there on repair.
    pub esi: u32,
    /// Its octets.
    pub octets: &'a [u8],
}

/// Why a packet is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends before its symbol begins.
    #[error("the packet ends within its header")]
    Short,
    /// It has another form than the one that is written here.
    #[error("the packet has another header than a block's packets have")]
    Header,
    /// It belongs to a source block that no block has.
    #[error("the packet names source block {0}; there is only 0")]
    SourceBlock(u8),
}

// === impl Symbol ===

impl<'a> Symbol<'a> {
    /// Appends the packet to `out`.
    ///
    /// # Panics
    /// When `esi` has more than 24 bits.
    pub fn write(&self, out: &mut Vec<u8>) {
        assert!(self.esi <= ESI_MAX, "a block has fewer symbols than 2^24");
        out.extend_from_slice(&[FIRST, SECOND, LCT_WORDS, RAPTORQ]);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.transfer.to_be_bytes());
        out.extend_from_slice(&self.block.to_be_bytes());
        // The upper 8 bits are the source block.
        out.extend_from_slice(&self.esi.to_be_bytes());
        out.extend_from_slice(self.octets);
    }

    /// Reads a packet.
    pub fn read(packet: &'a [u8]) -> Result<Self, Malformed> {
        let (header, octets) = packet.split_first_chunk::<HEADER_BYTES>().ok_or(Malformed::Short)?;
        if octets.is_empty() {
            return Err(Malformed::Short);
        }
        if header[..4] != [FIRST, SECOND, LCT_WORDS, RAPTORQ] || header[4..8] != [0; 4] {
            return Err(Malformed::Header);
        }
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if header[16] != 0 {
            return Err(Malformed::SourceBlock(header[16]));
        }
        Ok(Self { transfer: word(8), block: word(12), esi: word(16), octets })
    }
}

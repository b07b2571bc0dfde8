//! Packets of Asynchronous Layered Coding (RFC 5775): an LCT header (RFC 5651), the FEC payload id of Reed-Solomon codes
//! over GF(2^8) (RFC 5510), one symbol.
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
/// FEC encoding id of Reed-Solomon codes over GF(2^8) (RFC 5510), as codepoint.
const REED_SOLOMON: u8 = 5;

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// The transfer (TSI).
    pub transfer: u32,
    /// The block (TOI).
    pub block: u32,
    /// The encoding symbol: below the number of source symbols these themselves, from there on repair.
    pub esi: u8,
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
    SourceBlock(u32),
}

// === impl Symbol ===

impl<'a> Symbol<'a> {
    /// Appends the packet to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[FIRST, SECOND, LCT_WORDS, REED_SOLOMON]);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.transfer.to_be_bytes());
        out.extend_from_slice(&self.block.to_be_bytes());
        // The upper 24 bits are the source block.
        out.extend_from_slice(&[0, 0, 0, self.esi]);
        out.extend_from_slice(self.octets);
    }

    /// Reads a packet.
    pub fn read(packet: &'a [u8]) -> Result<Self, Malformed> {
        let (header, octets) = packet.split_first_chunk::<HEADER_BYTES>().ok_or(Malformed::Short)?;
        if octets.is_empty() {
            return Err(Malformed::Short);
        }
        if header[..4] != [FIRST, SECOND, LCT_WORDS, REED_SOLOMON] || header[4..8] != [0; 4] {
            return Err(Malformed::Header);
        }
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        match word(16) >> 8 {
            0 => Ok(Self { transfer: word(8), block: word(12), esi: header[19], octets }),
            other => Err(Malformed::SourceBlock(other)),
        }
    }
}

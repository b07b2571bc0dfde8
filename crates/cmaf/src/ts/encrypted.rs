//! Encrypted samples in a transport stream, by Apple's "MPEG-2 Stream Encryption Format for HTTP Live Streaming", sections 2 and 3.
//!
//! Of a coded slice of H.264 one block of ten behind its first 32 octets, of a frame of AAC all whole blocks behind the first 16.
//! The last 1 to 16 octets of a slice are never encrypted. Units are encrypted with the emulation prevention that they have, and
//! get another one, since the encrypted octets may look like start codes.

use super::packets::REGISTRATION;
use crate::encryption::{BLOCK_BYTES, Cbc, ContentKey};

/// `private_data_indicator_descriptor` (ISO/IEC 13818-1 section 2.6.28).
const PRIVATE_DATA_INDICATOR: u8 = 0x0f;
/// The first octets of a slice, its NAL header among them, and of a frame of sound behind its ADTS header.
const UNIT_LEAD_BYTES: usize = 32;
const FRAME_LEAD_BYTES: usize = 16;
/// Units up to this long stay as they are.
const CLEAR_UNIT_MAX_BYTES: usize = 48;
/// A block that is encrypted, and nine that are not.
const GROUP_BYTES: usize = 10 * BLOCK_BYTES;

/// What samples are encrypted with.
#[derive(Debug)]
pub(super) struct SampleKey {
    cbc: Cbc,
    iv: [u8; BLOCK_BYTES],
}

// === impl SampleKey ===

impl SampleKey {
    pub(super) fn new(key: &ContentKey) -> Self {
        Self { cbc: Cbc::new(&key.secret), iv: key.iv }
    }

    /// A NAL unit of H.264, if it is one that is encrypted.
    pub(super) fn unit(&self, unit: &[u8]) -> Option<Vec<u8>> {
        if unit.len() <= CLEAR_UNIT_MAX_BYTES || !matches!(unit[0] & 0x1f, 1 | 5) {
            return None;
        }
        let mut unit = unit.to_vec();
        let mut chain = self.cbc.chain(&self.iv);
        let mut rest = &mut unit[UNIT_LEAD_BYTES..];
        while rest.len() > BLOCK_BYTES {
            let (group, behind) = rest.split_at_mut(rest.len().min(GROUP_BYTES));
            let block = group.first_chunk_mut::<BLOCK_BYTES>().expect("more than a block is left");
            chain.next(block);
            rest = behind;
        }
        Some(prevent_emulation(&unit))
    }

    /// A frame of AAC, without its ADTS header.
    pub(super) fn frame(&self, frame: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        if let Some(rest) = frame.get_mut(FRAME_LEAD_BYTES..) {
            let blocks = rest.len() - rest.len() % BLOCK_BYTES;
            self.cbc.encrypt(&self.iv, &mut rest[..blocks]);
        }
        frame
    }

    /// Descriptors of H.264.
    pub(super) fn of_pictures() -> Vec<u8> {
        indicator(b"zavc").to_vec()
    }

    /// Descriptors of AAC: what it is, and how a decoder is set up, which its frames no longer say.
    pub(super) fn of_aac(asc: &[u8]) -> Vec<u8> {
        let kind = match asc.first().map(|first| first >> 3) {
            Some(5) => b"zach",
            Some(29) => b"zacp",
            _ => b"zaac",
        };
        let size = |bytes: usize| u8::try_from(bytes).unwrap_or(u8::MAX);
        // No priming that is not in the times; version 1.
        let setup = [&b"apad"[..], kind, &[0, 0, 1, size(asc.len())], asc].concat();
        [&indicator(b"aacd")[..], &[REGISTRATION, size(setup.len())], &setup].concat()
    }
}

fn indicator(of: &[u8; 4]) -> [u8; 6] {
    [PRIVATE_DATA_INDICATOR, 4, of[0], of[1], of[2], of[3]]
}

/// ISO/IEC 14496-10 section 7.4.1: no two zeros are followed by 0 to 3.
fn prevent_emulation(unit: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(unit.len() + unit.len() / 64 + 8);
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte <= 3 {
            bytes.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        bytes.push(byte);
    }
    bytes
}

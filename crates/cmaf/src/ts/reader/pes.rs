//! PES packets (ISO/IEC 13818-1 section 2.4.3.6), put together from transport packets.

use super::packet::Packet;

/// What stands before `PES_packet_length`, with it, and the flags and the length behind it.
const START_BYTES: usize = 6;
const FIXED_BYTES: usize = 9;
const STAMP_BYTES: usize = 5;
/// Streams without a header like that: maps, padding, `private_stream_2`, and what is for conditional access (table 2-22).
const BARE: [u8; 8] = [0xbc, 0xbe, 0xbf, 0xf0, 0xf1, 0xf2, 0xf8, 0xff];

/// A whole one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pes {
    /// When its first access unit is decoded and shown, ticks of 90 kHz modulo 2^33; `None` where nobody says so.
    pub(super) times: Option<Times>,
    /// What it carries.
    pub(super) data: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) decoded: u64,
    pub(super) shown: u64,
}

/// What came cannot be used.
#[derive(Debug)]
pub(super) struct Damaged;

/// Puts one after another together.
#[derive(Debug)]
pub(super) struct Assembly {
    max_bytes: usize,
    /// The one that is being made.
    octets: Option<Vec<u8>>,
}

// === impl Assembly ===

impl Assembly {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, octets: None }
    }

    /// What is held does not go on.
    pub(super) fn interrupt(&mut self) {
        self.octets = None;
    }

    /// The payload of a packet; what was held before one that begins has been taken. Until the next beginning, what is too long is
    /// dropped.
    pub(super) fn push(&mut self, packet: &Packet<'_>) -> Result<(), Damaged> {
        let payload = packet.payload.unwrap_or_default();
        if packet.is_start {
            self.octets = Some(payload.to_vec());
            return Ok(());
        }
        let Some(octets) = &mut self.octets else { return Ok(()) };
        if octets.len() + payload.len() > self.max_bytes {
            self.octets = None;
            return Err(Damaged);
        }
        octets.extend_from_slice(payload);
        Ok(())
    }

    /// Whether its length is said, and has come.
    pub(super) fn is_whole(&self) -> bool {
        self.octets.as_ref().is_some_and(|octets| length(octets).is_some_and(|length| octets.len() >= length))
    }

    /// Takes what is held as whole.
    pub(super) fn take(&mut self) -> Result<Option<Pes>, Damaged> {
        self.octets.take().map(Pes::read).transpose()
    }
}

/// Of all of it, if that is said.
fn length(octets: &[u8]) -> Option<usize> {
    let start = octets.first_chunk::<START_BYTES>()?;
    let length = usize::from(u16::from_be_bytes([start[4], start[5]]));
    (length > 0).then_some(START_BYTES + length)
}

// === impl Pes ===

impl Pes {
    fn read(mut octets: Vec<u8>) -> Result<Self, Damaged> {
        if let Some(length) = length(&octets) {
            if octets.len() < length {
                return Err(Damaged);
            }
            octets.truncate(length);
        }
        let fixed = octets.first_chunk::<FIXED_BYTES>().ok_or(Damaged)?;
        let [0, 0, 1, stream, _, _, marked, flags, header_bytes] = *fixed else { return Err(Damaged) };
        if BARE.contains(&stream) || marked >> 6 != 0b10 {
            return Err(Damaged);
        }
        let data_at = FIXED_BYTES + usize::from(header_bytes);
        let fields = octets.get(FIXED_BYTES..data_at).ok_or(Damaged)?;
        let times = match flags >> 6 {
            0b00 => None,
            0b10 => {
                let shown = stamp(fields).ok_or(Damaged)?;
                Some(Times { decoded: shown, shown })
            }
            0b11 => {
                let shown = stamp(fields).ok_or(Damaged)?;
                let decoded = fields.get(STAMP_BYTES..).and_then(stamp).ok_or(Damaged)?;
                Some(Times { decoded, shown })
            }
            _ => return Err(Damaged),
        };
        octets.drain(..data_at);
        Ok(Self { times, data: octets })
    }
}

/// 33 bits in three parts, with a marker behind each.
fn stamp(field: &[u8]) -> Option<u64> {
    let [a, b, c, d, e] = *field.first_chunk::<STAMP_BYTES>()?;
    if a & c & e & 1 == 0 {
        return None;
    }
    let part = |high: u8, low: u8| u64::from(u16::from_be_bytes([high, low]) >> 1);
    Some(u64::from(a >> 1 & 0x7) << 30 | part(b, c) << 15 | part(d, e))
}

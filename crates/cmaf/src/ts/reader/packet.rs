//! One transport packet (ISO/IEC 13818-1 section 2.4.3.2), and whether it follows the one before it.

use super::super::packets::{DISCONTINUITY, HAS_ADAPTATION, HAS_PAYLOAD, HEADER_SIZE_BYTES, SIZE_BYTES, UNIT_START};

/// The encoder says that it is broken.
const ERROR: u16 = 0x8000;
const PID_BITS: u16 = 0x1fff;
const COUNTER_BITS: u8 = 0x0f;
const SCRAMBLED_BITS: u8 = 0xc0;

/// A packet that can be used.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) pid: u16,
    /// A PES packet or a section begins in it.
    pub(super) is_start: bool,
    /// Its counter need not follow, it says.
    pub(super) is_discontinuous: bool,
    counter: u8,
    /// What it carries, if anything.
    pub(super) payload: Option<&'a [u8]>,
}

/// Counts the packets of one PID.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    /// Counter and payload of the last one.
    last: Option<(u8, Vec<u8>)>,
}

/// How a packet follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is the next one.
    Next,
    /// The one before it, sent twice; or one that carries nothing.
    Again,
    /// Something is missing before it.
    After,
}

// === impl Packet ===

impl<'a> Packet<'a> {
    /// `None` where it is broken, or encrypted.
    pub(super) fn read(octets: &'a [u8]) -> Option<Self> {
        let (header, rest) = octets.get(..SIZE_BYTES)?.split_at(HEADER_SIZE_BYTES);
        let flags_and_pid = u16::from_be_bytes([header[1], header[2]]);
        let control = header[3];
        if flags_and_pid & ERROR != 0 || control & SCRAMBLED_BITS != 0 {
            return None;
        }
        let mut rest = rest;
        let mut is_discontinuous = false;
        if control & HAS_ADAPTATION != 0 {
            let (length, field) = rest.split_first()?;
            let (field, after) = field.split_at_checked(usize::from(*length))?;
            is_discontinuous = field.first().is_some_and(|flags| flags & DISCONTINUITY != 0);
            rest = after;
        }
        Some(Self {
            pid: flags_and_pid & PID_BITS,
            is_start: flags_and_pid & UNIT_START != 0,
            is_discontinuous,
            counter: control & COUNTER_BITS,
            payload: (control & HAS_PAYLOAD != 0).then_some(rest),
        })
    }
}

// === impl Continuity ===

impl Continuity {
    /// Section 2.4.3.3: the counter goes on with packets that carry something, and each of them may be sent twice.
    pub(super) fn follow(&mut self, packet: &Packet<'_>) -> Seen {
        let Some(payload) = packet.payload else { return Seen::Again };
        let seen = match &self.last {
            // Nothing is held that it would have to belong to.
            None => Seen::Next,
            Some(_) if packet.is_discontinuous => Seen::After,
            Some((last, _)) if packet.counter == (last + 1) & COUNTER_BITS => Seen::Next,
            Some((last, same)) if packet.counter == *last && same == payload => return Seen::Again,
            Some(_) => Seen::After,
        };
        let (counter, kept) = self.last.get_or_insert_default();
        *counter = packet.counter;
        kept.clear();
        kept.extend_from_slice(payload);
        seen
    }
}

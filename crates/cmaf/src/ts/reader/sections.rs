//! The two tables that say what is where (ISO/IEC 13818-1 section 2.4.4), put together from packets and believed if their checksum is
//! right.

use super::super::packets::{PAT_ID, PMT_ID, STUFFING, crc32};
use super::packet::Packet;

/// `table_id` and `section_length`.
const HEADER_BYTES: usize = 3;
/// The rest of the header of a section that has one, and the checksum.
const EXTENSION_BYTES: usize = 5;
const CHECKSUM_BYTES: usize = 4;
/// The longest section of these tables.
const SECTION_MAX_BYTES: usize = 1024;
const LENGTH_BITS: u16 = 0x0fff;
const PID_BITS: u16 = 0x1fff;
const SYNTAX: u8 = 0x80;
const IS_CURRENT: u8 = 0x01;

/// Puts sections together.
#[derive(Debug, Default)]
pub(super) struct Sections {
    /// The one that is being made; empty where none is.
    octets: Vec<u8>,
}

/// A whole section, without header and checksum.
#[derive(Debug)]
pub(super) struct Section {
    table: u8,
    /// `program_number` in a program map.
    extension: u16,
    body: Vec<u8>,
}

/// What a program map says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    number: u16,
    pub(super) streams: Vec<StreamEntry>,
}

/// One stream of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamEntry {
    pub(super) pid: u16,
    pub(super) stream_type: u8,
}

// === impl Sections ===

impl Sections {
    /// What is held does not go on.
    pub(super) fn interrupt(&mut self) {
        self.octets.clear();
    }

    /// The last section that ends in a packet and is right, and how many are not.
    pub(super) fn take(&mut self, packet: &Packet<'_>) -> (Option<Section>, u64) {
        let Some(payload) = packet.payload else { return (None, 0) };
        if !packet.is_start {
            if self.octets.is_empty() {
                return (None, 0);
            }
            self.octets.extend_from_slice(payload);
            return self.whole();
        }
        // `pointer_field`: so many octets belong to the section before.
        let Some((before, from)) =
            payload.split_first().and_then(|(pointer, rest)| rest.split_at_checked(usize::from(*pointer)))
        else {
            self.octets.clear();
            return (None, 1);
        };
        let mut ended = (None, 0);
        if !self.octets.is_empty() {
            self.octets.extend_from_slice(before);
            ended = self.whole();
        }
        self.octets.clear();
        self.octets.extend_from_slice(from);
        let (section, faults) = self.whole();
        (section.or(ended.0), ended.1 + faults)
    }

    /// Takes sections off the front, as far as they are whole.
    fn whole(&mut self) -> (Option<Section>, u64) {
        let (mut last, mut faults) = (None, 0);
        while let Some([table, high, low]) = self.octets.first_chunk::<HEADER_BYTES>().copied() {
            if table == STUFFING {
                self.octets.clear();
                break;
            }
            let size_bytes = HEADER_BYTES + usize::from(u16::from_be_bytes([high, low]) & LENGTH_BITS);
            if size_bytes > SECTION_MAX_BYTES {
                self.octets.clear();
                faults += 1;
                break;
            }
            if self.octets.len() < size_bytes {
                break;
            }
            let octets: Vec<u8> = self.octets.drain(..size_bytes).collect();
            // What has no checksum is none of these tables.
            if high & SYNTAX != 0 {
                match Section::read(&octets) {
                    Some(section) => last = section.or(last),
                    None => faults += 1,
                }
            }
        }
        if self.octets.first() == Some(&STUFFING) {
            self.octets.clear();
        }
        (last, faults)
    }
}

// === impl Section ===

impl Section {
    /// `None` where it is damaged; inside, `None` where it is not valid yet.
    fn read(octets: &[u8]) -> Option<Option<Self>> {
        // The checksum of all with the checksum is 0.
        if octets.len() < HEADER_BYTES + EXTENSION_BYTES + CHECKSUM_BYTES || crc32(octets) != 0 {
            return None;
        }
        let (header, body) = octets[..octets.len() - CHECKSUM_BYTES].split_at(HEADER_BYTES + EXTENSION_BYTES);
        let extension = u16::from_be_bytes([header[3], header[4]]);
        Some((header[5] & IS_CURRENT != 0).then(|| Self { table: header[0], extension, body: body.to_vec() }))
    }

    /// Where the map of the first program is, if this is a program association.
    pub(super) fn map_pid(&self) -> Option<u16> {
        if self.table != PAT_ID {
            return None;
        }
        let (entries, _) = self.body.as_chunks::<4>();
        // Number 0 is the network's table.
        let entry = entries.iter().find(|entry| entry[..2] != [0, 0])?;
        Some(u16::from_be_bytes([entry[2], entry[3]]) & PID_BITS)
    }

    /// The program, if this is its map.
    pub(super) fn program(&self) -> Option<Program> {
        if self.table != PMT_ID {
            return None;
        }
        let mut rest = skip(self.body.get(2..)?)?;
        let mut streams = Vec::new();
        while let Some(([stream_type, high, low], after)) = rest.split_first_chunk::<3>() {
            streams.push(StreamEntry { pid: u16::from_be_bytes([*high, *low]) & PID_BITS, stream_type: *stream_type });
            rest = skip(after)?;
        }
        Some(Program { number: self.extension, streams })
    }
}

/// Past descriptors, whose length stands in front of them.
fn skip(octets: &[u8]) -> Option<&[u8]> {
    let (length, rest) = octets.split_first_chunk::<2>()?;
    rest.get(usize::from(u16::from_be_bytes(*length) & LENGTH_BITS)..)
}

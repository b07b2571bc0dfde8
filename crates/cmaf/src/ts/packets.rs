//! Bytes of transport packets (ISO/IEC 13818-1 section 2.4.3), of the two tables, and of headers of PES packets.

use super::plan::Pes;

/// A transport packet.
pub(super) const SIZE_BYTES: usize = 188;
pub(super) const HEADER_SIZE_BYTES: usize = 4;
/// What follows its header.
pub(super) const PAYLOAD_SIZE_BYTES: usize = SIZE_BYTES - HEADER_SIZE_BYTES;
/// An adaptation field of its length and its flags.
pub(super) const FLAGS_SIZE_BYTES: usize = 2;
/// The same with a clock reference.
pub(super) const CLOCK_SIZE_BYTES: usize = FLAGS_SIZE_BYTES + 6;
/// PAT and PMT, a packet each.
pub(super) const TABLES_SIZE_BYTES: usize = 2 * SIZE_BYTES;

pub(super) const SYNC: u8 = 0x47;
pub(super) const UNIT_START: u16 = 0x4000;
pub(super) const HAS_PAYLOAD: u8 = 0x10;
pub(super) const HAS_ADAPTATION: u8 = 0x20;
// Flags of the adaptation field (section 2.4.3.4).
pub(super) const DISCONTINUITY: u8 = 0x80;
const RANDOM_ACCESS: u8 = 0x40;
const CLOCK: u8 = 0x10;
pub(super) const STUFFING: u8 = 0xff;

pub(super) const PAT_PID: u16 = 0;
const PMT_PID: u16 = 0x1000;
/// Of the elementary stream and its clock.
const PID: u16 = 0x0100;
const PROGRAM: u16 = 1;
pub(super) const PAT_ID: u8 = 0;
pub(super) const PMT_ID: u8 = 2;
/// `registration_descriptor` (section 2.6.8).
pub(super) const REGISTRATION: u8 = 5;

/// The header of a PES packet (section 2.4.3.6).
pub(super) struct PesHeader {
    bytes: [u8; Self::SIZE_MAX_BYTES],
    size_bytes: usize,
}

/// Writes one PES packet, as many transport packets as are planned.
pub(super) struct PesWriter<'a> {
    stream: &'a mut Vec<u8>,
    pes: &'a Pes,
    counter: &'a mut u8,
    /// The next packet.
    number: usize,
    /// The next clock reference.
    clock: usize,
    /// Bytes of the PES packet that are for later packets, and what the one begun still takes.
    left_bytes: usize,
    room_bytes: usize,
}

/// PAT and PMT for one elementary stream.
pub(super) fn append_tables(stream: &mut Vec<u8>, stream_type: u8, descriptors: &[u8]) {
    let mut programs = PROGRAM.to_be_bytes().to_vec();
    programs.extend(pid_field(PMT_PID));
    // The transport stream has the number 1, too.
    append_table(stream, PAT_PID, PAT_ID, PROGRAM, &programs);

    let mut streams = pid_field(PID).to_vec();
    streams.extend([0xf0, 0, stream_type]);
    streams.extend(pid_field(PID));
    streams.extend([0xf0, u8::try_from(descriptors.len()).expect("short descriptors")]);
    streams.extend(descriptors);
    append_table(stream, PMT_PID, PMT_ID, PROGRAM, &streams);
}

/// Three reserved bits and a PID.
fn pid_field(pid: u16) -> [u8; 2] {
    (0xe000 | pid).to_be_bytes()
}

/// One section in one packet, whose counter begins again.
fn append_table(stream: &mut Vec<u8>, pid: u16, table_id: u8, extension: u16, body: &[u8]) {
    let start = stream.len();
    append_header(stream, pid | UNIT_START, HAS_ADAPTATION | HAS_PAYLOAD, 0);
    // The adaptation field, and `pointer_field`: the section begins at once.
    stream.extend([1, DISCONTINUITY, 0]);
    let section = stream.len();
    // Five bytes follow the length in front of `body`, and the checksum behind it.
    let length = 0xb000 | u16::try_from(body.len() + 9).expect("a short table");
    stream.push(table_id);
    stream.extend(length.to_be_bytes());
    stream.extend(extension.to_be_bytes());
    // Version 0, valid now, section 0 of 0.
    stream.extend([0xc1, 0, 0]);
    stream.extend_from_slice(body);
    let checksum = crc32(&stream[section..]);
    stream.extend(checksum.to_be_bytes());
    stream.resize(start + SIZE_BYTES, STUFFING);
}

fn append_header(stream: &mut Vec<u8>, flags_and_pid: u16, control: u8, counter: u8) {
    let [high, low] = flags_and_pid.to_be_bytes();
    stream.extend([SYNC, high, low, control | counter]);
}

/// Annex A: what a section has to be followed by.
pub(super) fn crc32(section: &[u8]) -> u32 {
    section.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| (crc << 1) ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    })
}

/// A program clock reference: 33 bits of 90 kHz, 6 reserved ones, 9 of what is left of 27 MHz.
fn clock_field(clock_ticks: i128) -> [u8; 6] {
    let ticks = u64::try_from(clock_ticks.rem_euclid(300 << 33)).expect("42 bits");
    let [_, _, field @ ..] = ((ticks / 300) << 15 | 0x7e00 | (ticks % 300)).to_be_bytes();
    field
}

// === impl PesHeader ===

impl PesHeader {
    const FIXED_SIZE_BYTES: usize = 9;
    const STAMP_SIZE_BYTES: usize = 5;
    const SIZE_MAX_BYTES: usize = Self::FIXED_SIZE_BYTES + 2 * Self::STAMP_SIZE_BYTES + 32;

    pub(super) fn size_bytes_of(has_dts: bool, stuffing_bytes: usize) -> usize {
        Self::FIXED_SIZE_BYTES + Self::STAMP_SIZE_BYTES * (1 + usize::from(has_dts)) + stuffing_bytes
    }

    /// `data_size_bytes` is what follows, `None` for "to the next one".
    pub(super) fn new(
        stream_id: u8,
        pts: u64,
        dts: Option<u64>,
        stuffing_bytes: usize,
        data_size_bytes: Option<usize>,
    ) -> Self {
        let size_bytes = Self::size_bytes_of(dts.is_some(), stuffing_bytes);
        // What follows the field that says it: three bytes of flags, the stamps, the stuffing, the data.
        let length = data_size_bytes.map_or(0, |data| data + size_bytes - 6);
        let [high, low] = u16::try_from(length).expect("planned to fit").to_be_bytes();
        let mut bytes = [STUFFING; Self::SIZE_MAX_BYTES];
        let stamps = if dts.is_some() { 0xc0 } else { 0x80 };
        let stamps_size = u8::try_from(size_bytes - Self::FIXED_SIZE_BYTES).expect("at most 42");
        // `data_alignment_indicator`: an access unit begins right behind.
        bytes[..Self::FIXED_SIZE_BYTES].copy_from_slice(&[0, 0, 1, stream_id, high, low, 0x84, stamps, stamps_size]);
        bytes[9..14].copy_from_slice(&stamp(if dts.is_some() { 0b0011 } else { 0b0010 }, pts));
        if let Some(dts) = dts {
            bytes[14..19].copy_from_slice(&stamp(0b0001, dts));
        }
        Self { bytes, size_bytes }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.size_bytes]
    }
}

/// 33 bits in three parts, with a marker behind each.
fn stamp(prefix: u64, time: u64) -> [u8; 5] {
    let parts = (time >> 30 & 0x7) << 33 | (time >> 15 & 0x7fff) << 17 | (time & 0x7fff) << 1;
    let [_, _, _, stamp @ ..] = (prefix << 36 | parts | 0x01_0001_0001).to_be_bytes();
    stamp
}

// === impl PesWriter ===

impl<'a> PesWriter<'a> {
    /// Appends to `stream`; `counter` is that of the next packet with payload.
    pub(super) fn new(stream: &'a mut Vec<u8>, pes: &'a Pes, counter: &'a mut u8) -> Self {
        Self { stream, pes, counter, number: 0, clock: 0, left_bytes: pes.size_bytes(), room_bytes: 0 }
    }

    pub(super) fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.room_bytes == 0 {
                self.begin_packet();
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.room_bytes));
            self.stream.extend_from_slice(now);
            self.room_bytes -= now.len();
            bytes = later;
        }
    }

    /// Appends the clock references for which there was no packet.
    pub(super) fn end(mut self) {
        debug_assert_eq!((self.left_bytes, self.room_bytes, self.number), (0, 0, self.pes.payload_packets));
        while self.clock < self.pes.clocks {
            // A packet without payload has the counter of the one before it.
            append_header(self.stream, PID, HAS_ADAPTATION, self.counter.wrapping_sub(1) & 0x0f);
            self.append_adaptation(PAYLOAD_SIZE_BYTES, true);
        }
    }

    /// Each packet takes what it can, as long as a byte is left for each after it.
    fn begin_packet(&mut self) {
        let pes = self.pes;
        let has_clock = self.clock < pes.clocks_within && pes.packet_of_clock(self.clock) == self.number;
        let room_bytes = PAYLOAD_SIZE_BYTES - pes.adaptation_size_bytes(self.number, has_clock);
        let later_packets = pes.payload_packets - self.number - 1;
        self.room_bytes = room_bytes.min(self.left_bytes - later_packets);
        self.left_bytes -= self.room_bytes;

        let adaptation_bytes = PAYLOAD_SIZE_BYTES - self.room_bytes;
        let control = if adaptation_bytes == 0 { HAS_PAYLOAD } else { HAS_ADAPTATION | HAS_PAYLOAD };
        let start = if self.number == 0 { UNIT_START } else { 0 };
        append_header(self.stream, PID | start, control, *self.counter);
        if adaptation_bytes > 0 {
            self.append_adaptation(adaptation_bytes, has_clock);
        }
        *self.counter = (*self.counter + 1) & 0x0f;
        self.number += 1;
    }

    /// An adaptation field of so many bytes, its length and stuffing included.
    fn append_adaptation(&mut self, size_bytes: usize, has_clock: bool) {
        let end = self.stream.len() + size_bytes;
        self.stream.push(u8::try_from(size_bytes - 1).expect("within a packet"));
        if size_bytes > 1 {
            let is_random_access = self.number == 0 && self.pes.is_random_access;
            let flags = if is_random_access { RANDOM_ACCESS } else { 0 } | if has_clock { CLOCK } else { 0 };
            self.stream.push(flags);
        }
        if has_clock {
            self.stream.extend(clock_field(self.pes.clock_at(self.clock)));
            self.clock += 1;
        }
        self.stream.resize(end, STUFFING);
    }
}

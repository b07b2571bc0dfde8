//! A demuxer of transport streams, by ISO/IEC 13818-1 alone, that takes nothing on trust.

use std::collections::HashMap;

/// One PES packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pes {
    pub stream_id: u8,
    pub pts: u64,
    pub dts: u64,
    pub is_random_access: bool,
    pub data: Vec<u8>,
    /// The newest clock reference when its last packet had come, 27 MHz.
    pub clock_at_end: u64,
}

/// What a transport stream of one program with one elementary stream held.
#[derive(Debug, Default)]
pub struct Demuxed {
    pub stream_type: u8,
    pub registration: Option<Vec<u8>>,
    /// All descriptors of the elementary stream.
    pub descriptors: Vec<u8>,
    pub pes: Vec<Pes>,
    /// All clock references, 27 MHz.
    pub clocks: Vec<u64>,
    pub packets: usize,
    /// Packets with payload of the elementary stream, and those without.
    pub payload_packets: usize,
    pub clock_packets: usize,
    counters: HashMap<u16, u8>,
    pmt_pid: Option<u16>,
    pid: Option<u16>,
    partial: Vec<u8>,
    partial_is_random_access: bool,
    partial_clock: u64,
}

impl Demuxed {
    /// Goes on with another segment.
    pub fn feed(&mut self, stream: &[u8]) {
        assert_eq!(stream.len() % 188, 0);
        for packet in stream.chunks_exact(188) {
            self.packet(packet);
        }
    }

    /// Ends the stream.
    pub fn end(mut self) -> Self {
        self.end_pes();
        self
    }

    fn packet(&mut self, packet: &[u8]) {
        self.packets += 1;
        assert_eq!(packet[0], 0x47, "sync byte");
        let flags_and_pid = u16::from_be_bytes([packet[1], packet[2]]);
        let (pid, begins_unit) = (flags_and_pid & 0x1fff, flags_and_pid & 0x4000 != 0);
        assert_eq!(flags_and_pid & 0xa000, 0, "no error, no priority");
        let (scrambling, control, counter) = (packet[3] >> 6, packet[3] >> 4 & 3, packet[3] & 15);
        assert_eq!(scrambling, 0);
        assert_ne!(control, 0, "reserved");
        let mut at = 4;
        let (mut discontinuity, mut random_access) = (false, false);
        if control & 2 != 0 {
            let length = usize::from(packet[4]);
            assert!(if control == 2 { length == 183 } else { length <= 182 }, "adaptation field of {length}");
            let field = &packet[5..5 + length];
            at = 5 + length;
            if let Some((flags, rest)) = field.split_first() {
                (discontinuity, random_access) = (flags & 0x80 != 0, flags & 0x40 != 0);
                assert_eq!(flags & 0x2f, 0, "nothing else is announced");
                let mut stuffing = rest;
                if flags & 0x10 != 0 {
                    let (clock, behind) = rest.split_at(6);
                    assert_eq!(clock[4] & 0x7e, 0x7e, "reserved bits");
                    let base =
                        u64::from(u32::from_be_bytes(clock[..4].try_into().unwrap())) << 1 | u64::from(clock[4] >> 7);
                    let extension = u64::from(clock[4] & 1) << 8 | u64::from(clock[5]);
                    assert!(extension < 300);
                    self.clocks.push(base * 300 + extension);
                    stuffing = behind;
                    assert_eq!(Some(pid), self.pid, "on PCR_PID");
                }
                assert!(stuffing.iter().all(|byte| *byte == 0xff), "stuffing");
            }
        }
        let payload = &packet[at..];
        let last = self.counters.insert(pid, counter);
        if let Some(last) = last.filter(|_| !discontinuity) {
            let expected = if control & 1 != 0 { (last + 1) & 15 } else { last };
            assert_eq!(counter, expected, "continuity of {pid}");
        }
        assert!(!discontinuity || Some(pid) != self.pid, "the clock never breaks");
        if pid == 0 {
            assert!(begins_unit);
            let body = section(payload, 0);
            assert_eq!(body.len(), 4, "one program");
            assert_eq!(u16::from_be_bytes([body[0], body[1]]), 1);
            self.pmt_pid = Some(u16::from_be_bytes([body[2], body[3]]) & 0x1fff);
        } else if Some(pid) == self.pmt_pid {
            assert!(begins_unit);
            let body = section(payload, 2);
            let word = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
            assert_eq!(word(2) & 0x0fff, 0, "no descriptors of the program");
            self.stream_type = body[4];
            assert_eq!(word(5), word(0), "the clock is on the one elementary stream");
            self.pid = Some(word(5) & 0x1fff);
            let descriptors = &body[9..];
            assert_eq!(usize::from(word(7) & 0x0fff), descriptors.len());
            self.descriptors = descriptors.to_vec();
            if let [5, 4, format @ ..] = descriptors {
                self.registration = Some(format.to_vec());
            }
        } else {
            assert_eq!(Some(pid), self.pid, "no other PID");
            if control & 1 == 0 {
                self.clock_packets += 1;
                return;
            }
            self.payload_packets += 1;
            assert!(!payload.is_empty());
            if begins_unit {
                self.end_pes();
                self.partial_is_random_access = random_access;
            } else {
                assert!(!random_access && !self.partial.is_empty());
            }
            self.partial.extend_from_slice(payload);
            self.partial_clock = *self.clocks.last().expect("a clock before the first data");
        }
    }

    fn end_pes(&mut self) {
        let bytes = std::mem::take(&mut self.partial);
        if bytes.is_empty() {
            return;
        }
        assert_eq!(bytes[..3], [0, 0, 1], "packet_start_code_prefix");
        assert_eq!(bytes[6], 0x84, "aligned, not scrambled");
        let header_end = 9 + usize::from(bytes[8]);
        let stamp = |at: usize, prefix: u8| {
            let field = &bytes[at..at + 5];
            assert_eq!((field[0] >> 4, field[0] & 1, field[2] & 1, field[4] & 1), (prefix, 1, 1, 1), "markers");
            let part = |index: usize| u64::from(field[index]);
            (part(0) >> 1 & 7) << 30 | part(1) << 22 | (part(2) >> 1) << 15 | part(3) << 7 | part(4) >> 1
        };
        let (pts, dts, stamps_end) = match bytes[7] {
            0x80 => (stamp(9, 2), stamp(9, 2), 14),
            0xc0 => (stamp(9, 3), stamp(14, 1), 19),
            other => panic!("flags {other:#x}"),
        };
        assert!(bytes[stamps_end..header_end].iter().all(|byte| *byte == 0xff));
        let declared_size_bytes = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
        assert!(declared_size_bytes == 0 && bytes[3] == 0xe0 || declared_size_bytes == bytes.len() - 6);
        self.pes.push(Pes {
            stream_id: bytes[3],
            pts,
            dts,
            is_random_access: self.partial_is_random_access,
            data: bytes[header_end..].to_vec(),
            clock_at_end: self.partial_clock,
        });
    }
}

/// What a section of this table holds between `last_section_number` and its checksum.
fn section(payload: &[u8], table_id: u8) -> &[u8] {
    let start = 1 + usize::from(payload[0]);
    let section = &payload[start..];
    let length = u16::from_be_bytes([section[1], section[2]]);
    assert_eq!((section[0], length >> 12), (table_id, 0xb));
    let end = 3 + usize::from(length & 0x0fff);
    assert!(section[end..].iter().all(|byte| *byte == 0xff), "stuffing behind the section");
    assert_eq!(remainder(&section[..end]), 0, "CRC_32");
    assert_eq!(section[3..8], [0, 1, 0xc1, 0, 0]);
    &section[8..end - 4]
}

/// The decoder of annex A: 0 behind a section with its own checksum. By long division of bits.
fn remainder(bytes: &[u8]) -> u32 {
    let mut register = u32::MAX;
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |n| byte >> n & 1)) {
        let top = register >> 31 != 0;
        register <<= 1;
        if top != (bit == 1) {
            register ^= 1 << 26
                | 1 << 23
                | 1 << 22
                | 1 << 16
                | 1 << 12
                | 1 << 11
                | 1 << 10
                | 1 << 8
                | 1 << 7
                | 1 << 5
                | 1 << 4
                | 1 << 2
                | 1 << 1
                | 1;
        }
    }
    register
}

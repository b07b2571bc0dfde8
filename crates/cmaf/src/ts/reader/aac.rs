//! Access units of AAC out of ADTS (ISO/IEC 14496-3 section 1.A.2.2), wherever PES packets cut them.

use bytes::Bytes;

use super::super::adts::{FREQUENCIES_HZ, SIZE_BYTES};
use super::pes::Pes;
use super::{CLOCK_BITS, CLOCK_HZ, Kind, Parser, TsEvent};

/// Samples in an access unit.
const FRAME_SAMPLES: u64 = 1024;
const CHECKSUM_BYTES: usize = 2;

/// One stream of sound.
#[derive(Debug, Default)]
pub(super) struct Adts {
    /// The beginning of a frame.
    rest: Vec<u8>,
    clock: Option<Clock>,
    config: Option<[u8; 2]>,
}

/// When frames come.
#[derive(Debug, Clone, Copy)]
struct Clock {
    base_ticks: u64,
    /// Samples since then, and of how many a second.
    samples: u64,
    frequency_hz: u32,
}

/// What a header says.
struct Header {
    config: [u8; 2],
    frequency_hz: u32,
    header_bytes: usize,
    frame_bytes: usize,
}

// === impl Adts ===

impl Parser for Adts {
    fn take(&mut self, pes: Pes, events: &mut Vec<TsEvent>) -> u64 {
        let mut all = std::mem::take(&mut self.rest);
        // The time is that of the first frame that begins in the packet.
        let (begins, mut given) = (all.len(), pes.times.map(|times| times.shown));
        all.extend_from_slice(&pes.data);
        let (mut at, mut faults, mut is_lost) = (0, 0, false);
        while let Some(rest) = all.get(at..).filter(|rest| rest.len() >= SIZE_BYTES) {
            let Some(header) = Header::read(rest) else {
                faults += u64::from(!is_lost);
                is_lost = true;
                at += 1;
                continue;
            };
            let Some(frame) = rest.get(..header.frame_bytes) else { break };
            is_lost = false;
            if at >= begins
                && let Some(base_ticks) = given.take()
            {
                self.clock = Some(Clock { base_ticks, samples: 0, frequency_hz: header.frequency_hz });
            }
            self.frame(&header, frame, events);
            at += header.frame_bytes;
        }
        // A frame that begins at the end has this packet's time, if no other began in it.
        if let Some(base_ticks) = given.filter(|_| at >= begins && at < all.len()) {
            self.clock = Some(Clock { base_ticks, samples: 0, frequency_hz: 0 });
        }
        all.drain(..at.min(all.len()));
        self.rest = all;
        faults
    }

    fn interrupt(&mut self) {
        (self.rest, self.clock) = (Vec::new(), None);
    }
}

impl Adts {
    fn frame(&mut self, header: &Header, frame: &[u8], events: &mut Vec<TsEvent>) {
        // Without its time it has no place.
        let Some(clock) = &mut self.clock else { return };
        if self.config != Some(header.config) {
            self.config = Some(header.config);
            events.push(TsEvent::Configuration(Kind::Sound, Bytes::copy_from_slice(&header.config)));
        }
        let time_ticks = clock.next(header.frequency_hz);
        let data = &frame[header.header_bytes..];
        if !data.is_empty() {
            let data = Bytes::copy_from_slice(data);
            events.push(TsEvent::Media { kind: Kind::Sound, time_ticks, composition_ticks: 0, data });
        }
    }
}

// === impl Clock ===

impl Clock {
    /// When the next frame begins, ticks modulo 2^33.
    fn next(&mut self, frequency_hz: u32) -> u64 {
        if self.frequency_hz != frequency_hz {
            *self = Self { base_ticks: self.now(), samples: 0, frequency_hz };
        }
        let now = self.now();
        self.samples += FRAME_SAMPLES;
        now
    }

    fn now(&self) -> u64 {
        let since = (self.samples * u64::from(CLOCK_HZ)).checked_div(self.frequency_hz.into()).unwrap_or(0);
        (self.base_ticks + since) % (1 << CLOCK_BITS)
    }
}

// === impl Header ===

impl Header {
    /// `None` where there is none, or one of a frame that cannot be taken apart.
    fn read(octets: &[u8]) -> Option<Self> {
        let header = octets.first_chunk::<SIZE_BYTES>()?;
        let [0xff, second, third, fourth, fifth, sixth, last] = *header else { return None };
        // `syncword`, `layer` 0.
        if second & 0xf6 != 0xf0 {
            return None;
        }
        let frequency_index = third >> 2 & 0x0f;
        let frequency_hz = *FREQUENCIES_HZ.get(usize::from(frequency_index))?;
        let object_type = (third >> 6) + 1;
        let channels = (third & 1) << 2 | fourth >> 6;
        let frame_bytes = usize::from(fourth & 0x3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
        let has_checksum = second & 1 == 0;
        let header_bytes = SIZE_BYTES + if has_checksum { CHECKSUM_BYTES } else { 0 };
        // Several raw data blocks have their lengths among checksums, and no encoder of live media writes them.
        if frame_bytes < header_bytes || last & 0x3 != 0 {
            return None;
        }
        // `AudioSpecificConfig`: object type, frequency, channels, frames of 1024 samples.
        let config = u16::from(object_type) << 11 | u16::from(frequency_index) << 7 | u16::from(channels) << 3;
        Some(Self { config: config.to_be_bytes(), frequency_hz, header_bytes, frame_bytes })
    }
}

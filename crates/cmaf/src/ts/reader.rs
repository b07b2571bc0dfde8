//! Transport streams as encoders send them, taken apart: one program's H.264 and AAC, sample by sample, while octets come.
//!
//! Pure and bounded: it opens nothing, looks at no clock, and holds one table and two PES packets at most. What is damaged (a packet is
//! missing, a header contradicts itself, a table's checksum is wrong) is dropped and counted, and it goes on: a decoder hides a picture
//! that is missing better than one that is half there. A PES packet of pictures is one sample, as encoders of live media write them; AAC may be
//! cut anywhere.
//!
//! Of several programs the first is taken, of several streams of a kind the first of H.264 (in Annex B) and the first of AAC (in
//! ADTS); others are named once. It never decodes, and clock references are not looked at: when something came is known better by who
//! received it.

mod aac;
mod h264;
mod packet;
mod pes;
mod sections;

use bytes::Bytes;

use self::aac::Adts;
pub(crate) use self::h264::units;
pub use self::h264::{AccessUnit, AnnexB};
use self::packet::{Continuity, Packet, Seen};
use self::pes::{Assembly, Pes};
use self::sections::{Program, Section, Sections, StreamEntry};
use super::elementary::{AAC_STREAM, H264_STREAM};
use super::packets::{PAT_PID, SIZE_BYTES, SYNC};

/// Ticks per second of its times.
pub const CLOCK_HZ: u32 = 90_000;
/// Bits of its times: they wrap after 26.5 hours.
pub const CLOCK_BITS: u32 = 33;

/// Takes octets, gives out what is in them. See the module.
#[derive(Debug)]
pub struct TsReader {
    /// What is no whole packet yet.
    octets: Vec<u8>,
    is_synchronous: bool,
    unit_max_bytes: usize,
    association: Table,
    map: Option<(u16, Table)>,
    program: Option<Program>,
    pictures: Option<Stream<AnnexB>>,
    sound: Option<Stream<Adts>>,
    faults: u64,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TsEvent {
    /// The program has these kinds; what was read of another program before is over.
    Program {
        /// Pictures of H.264.
        has_pictures: bool,
        /// Sound of AAC.
        has_sound: bool,
    },
    /// A stream of the program that is not taken, by its type (ISO/IEC 13818-1 table 2-34).
    Skipped {
        /// Where it is.
        pid: u16,
        /// Of what type.
        stream_type: u8,
    },
    /// An `AVCDecoderConfigurationRecord` or an `AudioSpecificConfig`, whenever it is another than before.
    Configuration(Kind, Bytes),
    /// A picture, its NAL units behind lengths of four bytes; or an access unit of AAC.
    Media {
        /// Which.
        kind: Kind,
        /// When it is decoded, ticks of 90 kHz modulo 2^33.
        time_ticks: u64,
        /// How much later it is shown.
        composition_ticks: i32,
        /// Its octets.
        data: Bytes,
    },
}

/// What is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// H.264.
    Picture,
    /// AAC.
    Sound,
}

/// A table that comes again and again.
#[derive(Debug, Default)]
struct Table {
    continuity: Continuity,
    sections: Sections,
}

/// An elementary stream.
#[derive(Debug)]
struct Stream<P> {
    pid: u16,
    continuity: Continuity,
    assembly: Assembly,
    parser: P,
}

/// What makes samples of PES packets.
trait Parser {
    /// A whole one. Returns how much of it was damaged and dropped.
    fn take(&mut self, pes: Pes, events: &mut Vec<TsEvent>) -> u64;
    /// What came last was damaged: what follows does not belong to what is held.
    fn interrupt(&mut self);
}

// === impl TsReader ===

impl TsReader {
    /// Nothing has come. A PES packet has at most `unit_max_bytes`; longer ones are dropped.
    #[must_use]
    pub fn new(unit_max_bytes: usize) -> Self {
        Self {
            octets: Vec::new(),
            is_synchronous: true,
            unit_max_bytes,
            association: Table::default(),
            map: None,
            program: None,
            pictures: None,
            sound: None,
            faults: 0,
        }
    }

    /// Takes what came. What is in it is appended to `events`.
    pub fn push(&mut self, octets: &[u8], events: &mut Vec<TsEvent>) {
        let mut all = std::mem::take(&mut self.octets);
        all.extend_from_slice(octets);
        let mut at = 0;
        while let Some(rest) = all.get(at..).filter(|rest| rest.len() > SIZE_BYTES || self.is_whole(rest)) {
            // Where packets begin is believed again once two begin as they should.
            if rest[0] != SYNC || !(self.is_synchronous || rest[SIZE_BYTES] == SYNC) {
                self.faults += u64::from(self.is_synchronous);
                self.is_synchronous = false;
                at += 1;
                continue;
            }
            self.is_synchronous = true;
            match Packet::read(&rest[..SIZE_BYTES]) {
                Some(packet) => self.packet(&packet, events),
                None => self.faults += 1,
            }
            at += SIZE_BYTES;
        }
        all.drain(..at);
        self.octets = all;
    }

    /// Nothing more comes: what is only known to be whole by what follows is taken as whole.
    pub fn finish(&mut self, events: &mut Vec<TsEvent>) {
        if let Some(stream) = &mut self.pictures {
            self.faults += stream.finish(events);
        }
        if let Some(stream) = &mut self.sound {
            self.faults += stream.finish(events);
        }
    }

    /// The longest PES packet that it takes.
    #[must_use]
    pub fn unit_max_bytes(&self) -> usize {
        self.unit_max_bytes
    }

    /// How often something was damaged and dropped.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults
    }

    fn is_whole(&self, rest: &[u8]) -> bool {
        rest.len() == SIZE_BYTES && self.is_synchronous
    }

    fn packet(&mut self, packet: &Packet<'_>, events: &mut Vec<TsEvent>) {
        if packet.pid == PAT_PID {
            let (section, faults) = self.association.take(packet);
            self.faults += faults;
            if let Some(pid) = section.as_ref().and_then(Section::map_pid)
                && self.map.as_ref().is_none_or(|(known, _)| *known != pid)
            {
                self.map = Some((pid, Table::default()));
            }
            return;
        }
        if let Some((pid, table)) = &mut self.map
            && *pid == packet.pid
        {
            let (section, faults) = table.take(packet);
            self.faults += faults;
            if let Some(program) = section.as_ref().and_then(Section::program) {
                self.run(program, events);
            }
            return;
        }
        if let Some(stream) = self.pictures.as_mut().filter(|stream| stream.pid == packet.pid) {
            self.faults += stream.packet(packet, events);
        } else if let Some(stream) = self.sound.as_mut().filter(|stream| stream.pid == packet.pid) {
            self.faults += stream.packet(packet, events);
        }
    }

    /// Takes the streams of a program, where it is another than before.
    fn run(&mut self, program: Program, events: &mut Vec<TsEvent>) {
        if self.program.as_ref() == Some(&program) {
            return;
        }
        self.finish(events);
        let first = |stream_type| program.streams.iter().find(|stream| stream.stream_type == stream_type);
        let (pictures, sound) = (first(H264_STREAM).copied(), first(AAC_STREAM).copied());
        self.pictures = pictures.map(|stream| Stream::new(stream.pid, self.unit_max_bytes, AnnexB::default()));
        self.sound = sound.map(|stream| Stream::new(stream.pid, self.unit_max_bytes, Adts::default()));
        events.push(TsEvent::Program { has_pictures: pictures.is_some(), has_sound: sound.is_some() });
        for stream in &program.streams {
            let StreamEntry { pid, stream_type } = *stream;
            if Some(*stream) != pictures && Some(*stream) != sound {
                events.push(TsEvent::Skipped { pid, stream_type });
            }
        }
        self.program = Some(program);
    }
}

// === impl Table ===

impl Table {
    /// A section that is whole and right, and how much was not.
    fn take(&mut self, packet: &Packet<'_>) -> (Option<Section>, u64) {
        match self.continuity.follow(packet) {
            Seen::Again => (None, 0),
            Seen::Next => self.sections.take(packet),
            Seen::After => {
                self.sections.interrupt();
                let (section, faults) = self.sections.take(packet);
                (section, faults + u64::from(!packet.is_discontinuous))
            }
        }
    }
}

// === impl Stream ===

impl<P: Parser> Stream<P> {
    fn new(pid: u16, unit_max_bytes: usize, parser: P) -> Self {
        Self { pid, continuity: Continuity::default(), assembly: Assembly::new(unit_max_bytes), parser }
    }

    fn packet(&mut self, packet: &Packet<'_>, events: &mut Vec<TsEvent>) -> u64 {
        let mut faults = 0;
        match self.continuity.follow(packet) {
            Seen::Again => return 0,
            Seen::Next => {}
            Seen::After => {
                self.assembly.interrupt();
                self.parser.interrupt();
                faults += u64::from(!packet.is_discontinuous);
            }
        }
        if packet.is_start {
            faults += self.flush(events);
        }
        if self.assembly.push(packet).is_err() {
            self.parser.interrupt();
            return faults + 1;
        }
        if self.assembly.is_whole() { faults + self.flush(events) } else { faults }
    }

    fn finish(&mut self, events: &mut Vec<TsEvent>) -> u64 {
        self.flush(events)
    }

    fn flush(&mut self, events: &mut Vec<TsEvent>) -> u64 {
        match self.assembly.take() {
            Ok(Some(pes)) => self.parser.take(pes, events),
            Ok(None) => 0,
            Err(_) => {
                self.parser.interrupt();
                1
            }
        }
    }
}

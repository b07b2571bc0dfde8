//! What encoders send to live doors: octets of an RTMP connection, bodies of tags, pushed CMAF, and media of any times.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use flame_api::media::TrackKind;
use flame_cmaf::arriving::{Arrival, Chunk, Defaults};
use flame_cmaf::pushed::{Piece, Pushed};
use flame_cmaf::relay::{Message, Messages};
use flame_ingest::live::codecs::{Aac, H264};
use flame_ingest::live::grid::Count;
use flame_ingest::live::packager::{Hints, Input, Lengths, Packager, Step};
use flame_ingest::rtmp::amf;
use flame_ingest::rtmp::flv::{self, Tag};
use flame_ingest::rtmp::session::{Event, Session, SessionError};

const MESSAGE_MAX_BYTES: u32 = 64 << 10;
const FRAGMENT_MAX_BYTES: usize = 64 << 10;
/// High profile, level 1.2, 320x180 at 25.
const AVCC: &[u8] = include_bytes!("../corpus/live_tag/avcc");
/// AAC-LC, 48 kHz, stereo.
const ASC: &[u8] = &[0x11, 0x90];
const LENGTHS: Lengths = Lengths { segment_ms: 1000, part_ms: 200 };

/// The data is what comes on a connection after the first 3073 octets, which are its handshake.
pub fn rtmp(data: &[u8]) {
    // What is acknowledged after 64 KiB does depend on how the octets come.
    let data = &data[..data.len().min(32 << 10)];
    let whole = converse(data, data.len().max(1));
    for piece in [1, 7, 129] {
        assert_eq!(converse(data, piece), whole, "in pieces of {piece}");
    }
    let (events, answered, _) = whole;
    // What is answered is a few times what came, at most: nobody is flooded by way of this door.
    assert!(answered.len() <= 4096 + 64 * data.len());
    for event in &events {
        let Event::Publish(key) = event else { continue };
        assert!(key.reveal().len() < 8 || !format!("{event:?}").contains(key.reveal()), "a key is printed");
    }
}

fn converse(data: &[u8], piece: usize) -> (Vec<Event>, Vec<u8>, Result<(), SessionError>) {
    let mut session = Session::new(MESSAGE_MAX_BYTES);
    let hello = [&[3][..], &[0; 2 * 1536]].concat();
    let mut events = Vec::new();
    session.receive(&hello, &mut events).expect("a handshake");
    session.take_output();
    let mut all = Vec::new();
    for octets in data.chunks(piece) {
        // It is never let in: how soon it would be depends on how the octets come.
        let received = session.receive(octets, &mut events);
        all.append(&mut events);
        if let Err(error) = received {
            return (all, session.take_output(), Err(error));
        }
    }
    (all, session.take_output(), Ok(()))
}

/// The data is the body of a tag, of pictures and of sound.
pub fn tag(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    for tag in [flv::video(&body), flv::audio(&body)].into_iter().flatten() {
        let (Tag::Configuration(inside) | Tag::Media { data: inside, .. }) = tag else { continue };
        assert!(data.ends_with(&inside));
    }
    if let Ok(h264) = H264::read(body.clone()) {
        assert!((1..=4).contains(&h264.length_bytes));
        assert!(h264.rate.is_none_or(|rate| rate.den > 0 && (1.0..=300.0).contains(&rate.as_f64())));
    }
    if let Ok(aac) = Aac::read(body.clone()) {
        assert!(aac.sample_rate_hz > 0 && (1..=8).contains(&aac.channels));
    }
    // A picture that decoding can start at has a unit that says so.
    let h264 = H264::read(Bytes::from_static(AVCC)).expect("a real record");
    if h264.is_sync(data) == Ok(true) {
        assert!(data.iter().any(|octet| octet & 0x1f == 5));
    }
    if let Ok(values) = amf::read(data) {
        let written = amf::write(&values);
        let read = amf::read(&written).map(|values| amf::write(&values));
        assert_eq!(read, Ok(written));
    }
}

/// The data is what an encoder does, four octets a time: what, and how much later than before.
pub fn package(data: &[u8]) {
    let mut packager = Packager::new(LENGTHS, Count::MILLISECONDS);
    let (mut time_ms, mut now_us, mut steps) = (0_u32, 1_795_700_000_000_000, Vec::new());
    let mut programme = Programme::default();
    for action in data.chunks_exact(4) {
        let [what, high, low, offset] = action else { continue };
        let step_ms = i16::from_be_bytes([*high, *low]);
        time_ms = time_ms.wrapping_add_signed(step_ms.into());
        now_us += i64::from(step_ms.unsigned_abs());
        let media = |kind, data: &'static [u8]| Input::Media {
            kind,
            time: time_ms.into(),
            composition: i32::from(offset.cast_signed()),
            data: Bytes::from_static(data),
        };
        let input = match what % 8 {
            0 => Input::Configuration(TrackKind::Video, Bytes::from_static(AVCC)),
            1 => Input::Configuration(TrackKind::Audio, Bytes::from_static(ASC)),
            2 => media(TrackKind::Video, &[0, 0, 0, 2, 0x65, 1]),
            3 | 4 => media(TrackKind::Video, &[0, 0, 0, 2, 0x41, 1]),
            5 | 6 => media(TrackKind::Audio, &[1, 2, 3]),
            _ => {
                let has = |bit: u8| (offset & bit != 0).then_some(offset & (bit << 1) != 0);
                Input::Hints(Hints { has_video: has(1), has_audio: has(4), rate: None, size: None })
            }
        };
        let pushed = packager.push(input, now_us, &mut steps);
        // After an error there is nothing more to be had.
        if !programme.follow(&mut packager, &mut steps) || pushed.is_err() {
            return;
        }
    }
    let mut rest = Vec::new();
    if packager.finish(&mut rest).is_ok() {
        rest.into_iter().for_each(|step| programme.take(step));
        assert!(!programme.is_open, "the end was not said");
    }
}

/// What holds for the steps of a packager.
#[derive(Default)]
struct Programme {
    is_open: bool,
    /// Of each track: where its last chunk ends, its segment, and whether that is whole.
    tracks: BTreeMap<Cow<'static, str>, Option<(u64, u64, bool)>>,
}

// === impl Programme ===

impl Programme {
    /// Does what the packager says; `false` where it cannot go on.
    fn follow(&mut self, packager: &mut Packager, steps: &mut Vec<Step>) -> bool {
        let mut goes_on = true;
        while !steps.is_empty() {
            let step = steps.remove(0);
            let begins = matches!(step, Step::Begin(_));
            self.take(step);
            if begins {
                let mut held = Vec::new();
                goes_on &= packager.begun(&mut held).is_ok();
                steps.splice(0..0, held);
            }
        }
        goes_on
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Begin(tracks) => {
                assert!(!self.is_open && !tracks.is_empty());
                self.is_open = true;
                self.tracks = tracks.iter().map(|track| (track.name.clone(), None)).collect();
            }
            Step::Chunk { track, chunk } => {
                assert!(self.is_open);
                let last = self.tracks.get_mut(&track).expect("a track that was announced");
                match last {
                    None => assert!(chunk.begins_segment),
                    Some((end_ticks, number, is_whole)) => {
                        assert_eq!(chunk.time_ticks, *end_ticks);
                        assert_eq!(chunk.begins_segment, *is_whole);
                        assert!(if chunk.begins_segment { chunk.number > *number } else { chunk.number == *number });
                    }
                }
                assert!(!chunk.begins_segment || chunk.is_independent);
                assert!(chunk.duration_ticks > 0 && chunk.samples > 0);
                *last = Some((chunk.time_ticks + chunk.duration_ticks, chunk.number, chunk.ends_segment));
            }
            Step::End => {
                assert!(self.is_open);
                assert!(self.tracks.values().flatten().all(|(_, _, is_whole)| *is_whole));
                self.is_open = false;
            }
        }
    }
}

/// The data is the length of an init segment (two bytes), that, and a segment that arrives.
pub fn arriving(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk::<2>() else { return };
    let Some((init, segment)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { return };
    let Ok(defaults) = Defaults::read(init) else { return };
    let whole = arrived(defaults, segment, segment.len().max(1));
    for piece in [1, 7, 129] {
        assert_eq!(arrived(defaults, segment, piece), whole, "in pieces of {piece}");
    }
    let (chunks, is_whole) = whole;
    assert!(chunks.iter().all(|chunk| chunk.duration_ticks > 0 && chunk.samples > 0), "{chunks:?}");
    let bytes: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect();
    assert!(if is_whole { bytes == segment } else { segment.starts_with(&bytes) }, "chunks are what came");
}

/// The chunks, and whether nothing else came.
fn arrived(defaults: Defaults, segment: &[u8], piece: usize) -> (Vec<Chunk>, bool) {
    let (mut arrival, mut chunks) = (Arrival::new(defaults), Vec::new());
    for piece in segment.chunks(piece) {
        arrival.push(piece);
        loop {
            match arrival.chunk() {
                Ok(Some(chunk)) => chunks.push(chunk),
                Ok(None) => break,
                Err(_) => return (chunks, false),
            }
        }
    }
    let is_whole = arrival.end().is_ok();
    (chunks, is_whole)
}

/// The data is what an encoder pushes: header, fragments, and what stands beside them.
pub fn pushed(data: &[u8]) {
    let whole = taken(data, data.len().max(1));
    for piece in [1, 7, 129] {
        assert_eq!(taken(data, piece), whole, "in pieces of {piece}");
    }
    let (pieces, _) = whole;
    let mut bytes = 0;
    for piece in &pieces {
        match piece {
            Piece::Track(track) => {
                assert!(track.timescale > 0 && !track.codec.is_empty());
                // What goes on is read again as the same, without its edits.
                let mut again = Pushed::new(FRAGMENT_MAX_BYTES, None);
                again.push(&track.init);
                let Ok(Some(Piece::Track(ours))) = again.piece() else { panic!("our own header is none") };
                assert_eq!((&ours.codec, ours.timescale, &ours.init), (&track.codec, track.timescale, &track.init));
                assert_eq!((ours.info.edit_media_time_ticks, ours.info.edit_delay_ticks), (0, 0));
            }
            Piece::Samples(samples) => {
                assert!(!samples.is_empty() && samples.iter().all(|sample| !sample.data.is_empty()));
                bytes += samples.iter().map(|sample| sample.data.len()).sum::<usize>();
            }
            Piece::Last => {}
        }
    }
    assert!(bytes <= data.len(), "more media than came");
}

/// What comes of it, and whether it was whole and nothing else.
fn taken(data: &[u8], piece: usize) -> (Vec<Piece>, bool) {
    let (mut pushed, mut pieces) = (Pushed::new(FRAGMENT_MAX_BYTES, None), Vec::new());
    for piece in data.chunks(piece) {
        pushed.push(piece);
        loop {
            match pushed.piece() {
                Ok(Some(piece)) => pieces.push(piece),
                Ok(None) => break,
                Err(_) => return (pieces, false),
            }
        }
    }
    let is_whole = pushed.end().is_ok();
    (pieces, is_whole)
}

/// The data is what comes of a ladder, in either direction.
pub fn relay(data: &[u8]) {
    let whole = told(data, data.len().max(1));
    for piece in [1, 7, 129] {
        assert_eq!(told(data, piece), whole, "in pieces of {piece}");
    }
    let (messages, _) = whole;
    let said: usize = messages.iter().map(|message| message.encode().len()).sum();
    assert!(said <= data.len(), "more than came");
    let again: Vec<u8> = messages.iter().flat_map(|message| message.encode().to_vec()).collect();
    assert_eq!(told(&again, 7), (messages, true));
}

/// The messages, and whether nothing else came.
fn told(data: &[u8], piece: usize) -> (Vec<Message>, bool) {
    let (mut messages, mut told) = (Messages::new(FRAGMENT_MAX_BYTES), Vec::new());
    for piece in data.chunks(piece) {
        messages.push(piece);
        loop {
            match messages.message() {
                Ok(Some(message)) => told.push(message),
                Ok(None) => break,
                Err(_) => return (told, false),
            }
        }
    }
    let is_whole = messages.end().is_ok();
    (told, is_whole)
}

/// The data is a query.
pub fn directives(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let Ok(read) = flame_playlist::directives(query) else { return };
    let mut said = Vec::new();
    if let Some(position) = read.wait {
        said.push(format!("_HLS_msn={}", position.number));
        said.extend(position.part.map(|part| format!("_HLS_part={part}")));
    }
    if read.skip {
        said.push("_HLS_skip=YES".to_owned());
    }
    assert_eq!(flame_playlist::directives(&said.join("&")).ok(), Some(read));
}

//! The chunk stream of RTMP (specification 1.0, section 5.3): octets in, messages out; and messages written.
//!
//! Messages of several streams may come interleaved. A message takes memory as its octets come, never for what it says
//! about its length; streams, lengths and what is under way have bounds. Chunks of the stream have nothing to do with chunks of
//! CMAF.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

/// Length of a chunk before either side says something else.
const CHUNK_BYTES: usize = 128;
/// The longest chunk that is taken: no message is longer.
const CHUNK_MAX_BYTES: u32 = 0x00ff_ffff;
/// Chunk streams on one connection; encoders use about six.
pub const STREAMS_MAX: usize = 32;
/// A time that does not fit into three octets follows in four.
const EXTENDED: u32 = 0x00ff_ffff;

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `message type id`.
    pub kind: u8,
    /// `message stream id`.
    pub stream: u32,
    /// When, milliseconds modulo 2^32.
    pub time_ms: u32,
    /// What.
    pub payload: Bytes,
}

/// Octets that are no chunk stream, or too much of one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// A header refers to one that never came.
    #[error("chunk stream {stream} goes on without having begun")]
    NothingBefore {
        /// The chunk stream.
        stream: u32,
    },
    /// A new message begins within another one.
    #[error("chunk stream {stream} begins a message within another one")]
    WithinMessage {
        /// The chunk stream.
        stream: u32,
    },
    /// Too many chunk streams.
    #[error("more than {STREAMS_MAX} chunk streams")]
    Streams,
    /// A message that is too long.
    #[error("a message of {length_bytes} bytes; {limit_bytes} are taken at most")]
    Length {
        /// What it says.
        length_bytes: u32,
        /// What is taken.
        limit_bytes: u32,
    },
    /// More under way at once than one message may have.
    #[error("more than {limit_bytes} bytes of messages that do not come to an end")]
    UnderWay {
        /// What is taken.
        limit_bytes: u32,
    },
    /// A chunk size that is none.
    #[error("a chunk size of {size_bytes} bytes")]
    ChunkSize {
        /// What it says.
        size_bytes: u32,
    },
}

/// Reads a chunk stream.
#[derive(Debug)]
pub struct ChunkReader {
    chunk_bytes: usize,
    message_max_bytes: u32,
    streams: HashMap<u32, Stream>,
    under_way_bytes: usize,
    /// Octets of a header that is not whole.
    head: Vec<u8>,
    /// The stream whose chunk is being read, and what is left of the chunk.
    current: Option<(u32, usize)>,
}

/// What the next header of a chunk stream refers to.
#[derive(Debug, Default)]
struct Stream {
    time_ms: u32,
    /// Time of the last header as it was said: the distance, or, after a full header, the time.
    said_ms: u32,
    is_extended: bool,
    length_bytes: u32,
    kind: u8,
    stream: u32,
    payload: BytesMut,
}

/// A header, read.
struct Head {
    chunk_stream: u32,
    /// How much of what was read is header; the rest is payload.
    size_bytes: usize,
    format: u8,
    said_ms: u32,
    is_extended: bool,
    length_bytes: u32,
    kind: u8,
    stream: u32,
}

// === impl ChunkReader ===

impl ChunkReader {
    /// A reader of messages of at most `message_max_bytes`.
    #[must_use]
    pub fn new(message_max_bytes: u32) -> Self {
        Self {
            chunk_bytes: CHUNK_BYTES,
            message_max_bytes,
            streams: HashMap::new(),
            under_way_bytes: 0,
            head: Vec::new(),
            current: None,
        }
    }

    /// The sender's chunks have another size from now on.
    ///
    /// # Errors
    /// [`ChunkError::ChunkSize`] for 0 and for what has its first bit set.
    pub fn set_chunk_size(&mut self, size_bytes: u32) -> Result<(), ChunkError> {
        if size_bytes == 0 || size_bytes >= 1 << 31 {
            return Err(ChunkError::ChunkSize { size_bytes });
        }
        // Longer ones cannot be told from chunks of the longest message.
        self.chunk_bytes = usize::try_from(size_bytes.min(CHUNK_MAX_BYTES)).unwrap_or(CHUNK_BYTES);
        Ok(())
    }

    /// The sender gives up the message that is under way on a chunk stream.
    pub fn abort(&mut self, chunk_stream: u32) {
        if let Some(stream) = self.streams.get_mut(&chunk_stream) {
            self.under_way_bytes -= stream.payload.len();
            stream.payload = BytesMut::new();
        }
    }

    /// Takes octets from the front of `input` until a message is whole; `None` where all were taken before.
    ///
    /// # Errors
    /// [`ChunkError`]; nothing that follows can be read then.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ChunkError> {
        loop {
            let Some((chunk_stream, left)) = self.current else {
                if !self.begin_chunk(input)? {
                    return Ok(None);
                }
                continue;
            };
            let taken = left.min(input.len());
            let (payload, rest) = input.split_at(taken);
            *input = rest;
            if taken < left {
                self.append(chunk_stream, payload)?;
                self.current = Some((chunk_stream, left - taken));
                return Ok(None);
            }
            self.append(chunk_stream, payload)?;
            self.current = None;
            if let Some(message) = self.finish(chunk_stream) {
                return Ok(Some(message));
            }
        }
    }

    /// Reads a header; `false` where it is not whole yet.
    fn begin_chunk(&mut self, input: &mut &[u8]) -> Result<bool, ChunkError> {
        let head = loop {
            if let Some(head) = self.head_of(&self.head)? {
                break head;
            }
            let Some((octet, rest)) = input.split_first() else { return Ok(false) };
            self.head.push(*octet);
            *input = rest;
        };
        let surplus = self.head.split_off(head.size_bytes);
        self.head.clear();
        let Head { chunk_stream, format, said_ms, is_extended, length_bytes, kind, stream: message_stream, .. } = head;
        if length_bytes > self.message_max_bytes {
            return Err(ChunkError::Length { length_bytes, limit_bytes: self.message_max_bytes });
        }
        if !self.streams.contains_key(&chunk_stream) && self.streams.len() == STREAMS_MAX {
            return Err(ChunkError::Streams);
        }
        let stream = self.streams.entry(chunk_stream).or_default();
        match (stream.payload.is_empty(), format) {
            (false, 3) => {}
            (false, _) => return Err(ChunkError::WithinMessage { stream: chunk_stream }),
            (true, _) => {
                let base_ms = if format == 0 { 0 } else { stream.time_ms };
                let time_ms = base_ms.wrapping_add(said_ms);
                let payload = std::mem::take(&mut stream.payload);
                *stream = Stream { time_ms, said_ms, is_extended, length_bytes, kind, stream: message_stream, payload };
            }
        }
        let missing = usize::try_from(stream.length_bytes).unwrap_or(usize::MAX) - stream.payload.len();
        let size = missing.min(self.chunk_bytes);
        // Octets that were taken for a time, and are none, are payload; there are at most four.
        let first = surplus.len().min(size);
        self.append(chunk_stream, &surplus[..first])?;
        self.head.extend_from_slice(&surplus[first..]);
        self.current = Some((chunk_stream, size - first));
        Ok(true)
    }

    /// The header that `head` begins with, if it is whole.
    fn head_of(&self, head: &[u8]) -> Result<Option<Head>, ChunkError> {
        let Some(first) = head.first() else { return Ok(None) };
        let format = first >> 6;
        let (chunk_stream, rest) = match (first & 0x3f, &head[1..]) {
            (0, [low, rest @ ..]) => (64 + u32::from(*low), rest),
            (1, [low, high, rest @ ..]) => (64 + u32::from(*low) + 256 * u32::from(*high), rest),
            (0 | 1, _) => return Ok(None),
            (number, rest) => (number.into(), rest),
        };
        let before = self.streams.get(&chunk_stream);
        let fields = [11, 7, 3, 0][usize::from(format)];
        if rest.len() < fields {
            return Ok(None);
        }
        let (fields, rest) = rest.split_at(fields);
        let of_before = || before.ok_or(ChunkError::NothingBefore { stream: chunk_stream });
        let length_of = |fields: &[u8]| u32::from_be_bytes([0, fields[3], fields[4], fields[5]]);
        let (length_bytes, kind, stream) = match format {
            0 => (length_of(fields), fields[6], u32::from_le_bytes([fields[7], fields[8], fields[9], fields[10]])),
            1 => (length_of(fields), fields[6], of_before()?.stream),
            _ => of_before().map(|before| (before.length_bytes, before.kind, before.stream))?,
        };
        let short_ms = match fields {
            [a, b, c, ..] => Some(u32::from_be_bytes([0, *a, *b, *c])),
            _ => None,
        };
        let is_extended = match short_ms {
            Some(short_ms) => short_ms == EXTENDED,
            None => of_before()?.is_extended,
        };
        let extended_ms = match (is_extended, rest) {
            (false, _) => None,
            (true, [a, b, c, d, ..]) => Some(u32::from_be_bytes([*a, *b, *c, *d])),
            (true, _) => return Ok(None),
        };
        let mut size_bytes = head.len() - rest.len();
        let said_ms = match (short_ms, extended_ms, before) {
            (None, Some(extended_ms), Some(before)) if !before.payload.is_empty() && extended_ms != before.said_ms => {
                // Some senders leave it out within a message; then these octets are the message's.
                before.said_ms
            }
            (_, Some(extended_ms), _) => {
                size_bytes += 4;
                extended_ms
            }
            (Some(short_ms), None, _) => short_ms,
            (None, None, before) => before.map_or(0, |before| before.said_ms),
        };
        Ok(Some(Head { chunk_stream, size_bytes, format, said_ms, is_extended, length_bytes, kind, stream }))
    }

    fn append(&mut self, chunk_stream: u32, payload: &[u8]) -> Result<(), ChunkError> {
        let limit_bytes = self.message_max_bytes;
        self.under_way_bytes += payload.len();
        if self.under_way_bytes > usize::try_from(limit_bytes).unwrap_or(usize::MAX) {
            return Err(ChunkError::UnderWay { limit_bytes });
        }
        if let Some(stream) = self.streams.get_mut(&chunk_stream) {
            stream.payload.extend_from_slice(payload);
        }
        Ok(())
    }

    fn finish(&mut self, chunk_stream: u32) -> Option<Message> {
        let stream = self.streams.get_mut(&chunk_stream)?;
        if stream.payload.len() < usize::try_from(stream.length_bytes).unwrap_or(usize::MAX) {
            return None;
        }
        self.under_way_bytes -= stream.payload.len();
        let payload = std::mem::take(&mut stream.payload).freeze();
        Some(Message { kind: stream.kind, stream: stream.stream, time_ms: stream.time_ms, payload })
    }
}

/// Appends a message to `bytes`: on a chunk stream from 2 to 63, with a full header, in chunks of the size that holds while
/// nobody says another. Its time is below 2^24 - 1.
pub fn write(bytes: &mut Vec<u8>, chunk_stream: u8, message: &Message) {
    let length_bytes = u32::try_from(message.payload.len()).unwrap_or(u32::MAX);
    bytes.push(chunk_stream & 0x3f);
    bytes.extend_from_slice(&message.time_ms.min(EXTENDED - 1).to_be_bytes()[1..]);
    bytes.extend_from_slice(&length_bytes.to_be_bytes()[1..]);
    bytes.push(message.kind);
    bytes.extend_from_slice(&message.stream.to_le_bytes());
    for (n, chunk) in message.payload.chunks(CHUNK_BYTES).enumerate() {
        if n > 0 {
            bytes.push(0xc0 | (chunk_stream & 0x3f));
        }
        bytes.extend_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT_BYTES: u32 = 10_000;

    /// Reads in pieces of these sizes, over and over.
    fn read(octets: &[u8], pieces: &[usize]) -> Result<Vec<Message>, ChunkError> {
        let mut reader = ChunkReader::new(LIMIT_BYTES);
        let (mut messages, mut rest, mut pieces) = (Vec::new(), octets, pieces.iter().cycle());
        while !rest.is_empty() {
            let (mut piece, left) = rest.split_at((*pieces.next().unwrap()).clamp(1, rest.len()));
            rest = left;
            while let Some(message) = reader.read(&mut piece)? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    fn message(time_ms: u32, payload: &[u8]) -> Message {
        Message { kind: 9, stream: 1, time_ms, payload: Bytes::copy_from_slice(payload) }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            messages in prop::collection::vec((0_u32..0x00ff_fffe, any::<u8>(), any::<u32>(), 0_usize..600, 2_u8..64), 0..8),
            pieces in prop::collection::vec(1_usize..300, 1..8),
        ) {
            // One chunk stream a message: within the bound on them.
            let (mut octets, mut expected) = (Vec::new(), Vec::new());
            for (time_ms, kind, stream, length, chunk_stream) in messages {
                let message = Message { kind, stream, time_ms, payload: vec![kind; length].into() };
                write(&mut octets, chunk_stream, &message);
                expected.push(message);
            }
            prop_assert_eq!(read(&octets, &pieces), Ok(expected));
        }

        #[test]
        fn any_octets_are_survived(octets in prop::collection::vec(any::<u8>(), 0..2000), piece in 1_usize..99) {
            let mut reader = ChunkReader::new(LIMIT_BYTES);
            for mut piece in octets.chunks(piece) {
                while let Ok(Some(message)) = reader.read(&mut piece) {
                    prop_assert!(message.payload.len() <= LIMIT_BYTES as usize);
                }
                prop_assert!(reader.under_way_bytes <= LIMIT_BYTES as usize + 99);
            }
        }
    }

    #[test]
    fn messages_may_come_interleaved_and_with_short_headers() {
        let long = vec![1; 200];
        let octets = [
            // 200 octets on chunk stream 4, of which 128 come,
            &[4, 0, 0, 10, 0, 0, 200, 9, 1, 0, 0, 0][..],
            &long[..128],
            // one of 2 on chunk stream 70 (two octets of number) between them,
            &[0, 6, 0, 0, 20, 0, 0, 2, 8, 1, 0, 0, 0, 7, 7],
            // the rest,
            &[0xc4],
            &long[128..],
            // one 5 ms later with another length, one 6 ms after that, and one more of the same distance.
            &[0x44, 0, 0, 5, 0, 0, 1, 9, 3],
            &[0x84, 0, 0, 6, 3],
            &[0xc4, 3],
        ]
        .concat();
        let audio = Message { kind: 8, ..message(20, &[7, 7]) };
        let expected = vec![audio, message(10, &long), message(15, &[3]), message(21, &[3]), message(27, &[3])];
        assert_eq!(read(&octets, &[1]), Ok(expected.clone()));
        assert_eq!(read(&octets, &[1000]), Ok(expected));
    }

    #[test]
    fn a_late_time_is_repeated_within_its_message_or_is_not() {
        let payload: Vec<u8> = (0..200).collect();
        let first = [&[4, 0xff, 0xff, 0xff, 0, 0, 200, 9, 1, 0, 0, 0, 1, 2, 3, 4][..], &payload[..128]].concat();
        let repeated = [&first[..], &[0xc4, 1, 2, 3, 4], &payload[128..]].concat();
        let left_out = [&first[..], &[0xc4], &payload[128..]].concat();
        let expected = Ok(vec![message(0x0102_0304, &payload)]);
        for piece in [1, 3, 1000] {
            assert_eq!(read(&repeated, &[piece]), expected);
            assert_eq!(read(&left_out, &[piece]), expected);
        }
    }

    #[test]
    fn what_lies_is_refused() {
        assert_eq!(read(&[0xc4], &[1]), Err(ChunkError::NothingBefore { stream: 4 }));
        let long = [4, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0];
        assert_eq!(read(&long, &[9]), Err(ChunkError::Length { length_bytes: 0x00ff_ffff, limit_bytes: LIMIT_BYTES }));
        let within =
            [&[4, 0, 0, 0, 0, 1, 0, 9, 1, 0, 0, 0][..], &[0; 128], &[4, 0, 0, 0, 0, 0, 1, 9, 1, 0, 0, 0, 5]].concat();
        assert_eq!(read(&within, &[50]), Err(ChunkError::WithinMessage { stream: 4 }));
        let many: Vec<u8> = (2..60).flat_map(|stream| [stream, 0, 0, 0, 0, 0, 1, 9, 1, 0, 0, 0, 5]).collect();
        assert_eq!(read(&many, &[50]), Err(ChunkError::Streams));
        // Each within the limit, and never whole.
        let head = |stream| [stream, 0, 0, 0, 0, 0x27, 0x10, 9, 1, 0, 0, 0];
        let mut reader = ChunkReader::new(LIMIT_BYTES);
        reader.set_chunk_size(9_000).unwrap();
        let octets = [&head(4)[..], &[0; 9_000], &head(5), &[0; 9_000]].concat();
        assert_eq!(reader.read(&mut octets.as_slice()), Err(ChunkError::UnderWay { limit_bytes: LIMIT_BYTES }));
        assert_eq!(reader.set_chunk_size(0), Err(ChunkError::ChunkSize { size_bytes: 0 }));
        assert!(reader.set_chunk_size(u32::MAX >> 1).is_ok());
    }
}

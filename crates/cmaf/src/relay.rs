//! Live tracks on a pipe: what one process sends another of one or several tracks, each chunk as soon as it is there.
//!
//! Messages, one after another. Each has a head of 14 octets, numbers in network order, and its content behind it:
//!
//! ```text
//! length of the content (u32) · kind (u8) · track (u8) · number of the segment (u64) · content
//! ```
//! A description opens it, init segments follow, then chunks and ends of segments in the order in which they come. Who reads
//! holds one message at most, and believes a length only up to its bound. The content is never looked at.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Octets in front of a content.
pub const HEAD_BYTES: usize = 14;

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What is sent here: JSON.
    Head(Bytes),
    /// The init segment of a track.
    Init {
        /// Which of those that the head names.
        track: u8,
        /// Its octets.
        bytes: Bytes,
    },
    /// A chunk of a segment.
    Chunk {
        /// Which track.
        track: u8,
        /// Number of its segment.
        number: u64,
        /// Its octets.
        bytes: Bytes,
    },
    /// A segment is whole.
    End {
        /// Which track.
        track: u8,
        /// Number of the segment.
        number: u64,
    },
}

/// What came is no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RelayError {
    /// It is longer than is taken.
    #[error("a message says that it has {declared_bytes} bytes; {limit_bytes} are taken at most")]
    Size {
        /// What it says.
        declared_bytes: u64,
        /// The limit.
        limit_bytes: usize,
    },
    /// There is no such kind.
    #[error("{0} is no kind of message")]
    Kind(u8),
    /// It ended in the middle of one.
    #[error("it ends in the middle of a message, after {held_bytes} bytes of it")]
    CutOff {
        /// What came of it.
        held_bytes: usize,
    },
}

/// Takes messages out of what comes.
#[derive(Debug)]
pub struct Messages {
    content_max_bytes: usize,
    held: BytesMut,
}

const HEAD: u8 = 0;
const INIT: u8 = 1;
const CHUNK: u8 = 2;
const END: u8 = 3;

// === impl Message ===

impl Message {
    /// As it is sent. A content of more than `u32::MAX` octets cannot be said, and no chunk is as long.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let none = Bytes::new();
        let (kind, track, number, content) = match self {
            Self::Head(bytes) => (HEAD, 0, 0, bytes),
            Self::Init { track, bytes } => (INIT, *track, 0, bytes),
            Self::Chunk { track, number, bytes } => (CHUNK, *track, *number, bytes),
            Self::End { track, number } => (END, *track, *number, &none),
        };
        let mut octets = BytesMut::with_capacity(HEAD_BYTES + content.len());
        octets.put_u32(u32::try_from(content.len()).unwrap_or(u32::MAX));
        octets.put_u8(kind);
        octets.put_u8(track);
        octets.put_u64(number);
        octets.put_slice(content);
        octets.freeze()
    }
}

// === impl Messages ===

impl Messages {
    /// Nothing has come; contents have at most `content_max_bytes`.
    #[must_use]
    pub fn new(content_max_bytes: usize) -> Self {
        Self { content_max_bytes, held: BytesMut::new() }
    }

    /// Takes octets.
    pub fn push(&mut self, octets: &[u8]) {
        self.held.extend_from_slice(octets);
    }

    /// The next message, once it is whole.
    ///
    /// # Errors
    /// [`RelayError`]; nothing that comes after it can be read.
    pub fn message(&mut self) -> Result<Option<Message>, RelayError> {
        let Some(mut head) = self.held.get(..HEAD_BYTES) else { return Ok(None) };
        let (declared, kind, track, number) = (head.get_u32(), head.get_u8(), head.get_u8(), head.get_u64());
        if kind > END {
            return Err(RelayError::Kind(kind));
        }
        let length = usize::try_from(declared).ok().filter(|length| *length <= self.content_max_bytes);
        let Some(length) = length else {
            let limit_bytes = self.content_max_bytes;
            return Err(RelayError::Size { declared_bytes: declared.into(), limit_bytes });
        };
        if self.held.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.held.advance(HEAD_BYTES);
        let bytes = self.held.split_to(length).freeze();
        Ok(Some(match kind {
            HEAD => Message::Head(bytes),
            INIT => Message::Init { track, bytes },
            CHUNK => Message::Chunk { track, number, bytes },
            _ => Message::End { track, number },
        }))
    }

    /// What has come and is not read: somebody else goes on with it.
    #[must_use]
    pub fn rest(self) -> Bytes {
        self.held.freeze()
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// [`RelayError::CutOff`] in the middle of a message.
    pub fn end(&self) -> Result<(), RelayError> {
        if self.held.is_empty() { Ok(()) } else { Err(RelayError::CutOff { held_bytes: self.held.len() }) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message() -> impl Strategy<Value = Message> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
        prop_oneof![
            bytes().prop_map(Message::Head),
            (any::<u8>(), bytes()).prop_map(|(track, bytes)| Message::Init { track, bytes }),
            (any::<u8>(), any::<u64>(), bytes()).prop_map(|(track, number, bytes)| Message::Chunk {
                track,
                number,
                bytes
            }),
            (any::<u8>(), any::<u64>()).prop_map(|(track, number)| Message::End { track, number }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_comes_however_it_is_cut(
            sent in prop::collection::vec(message(), 0..12),
            cut in 1_usize..30,
        ) {
            let octets: Vec<u8> = sent.iter().flat_map(|message| message.encode().to_vec()).collect();
            let (mut messages, mut came) = (Messages::new(40), Vec::new());
            for piece in octets.chunks(cut) {
                messages.push(piece);
                while let Some(message) = messages.message().unwrap() {
                    came.push(message);
                }
            }
            prop_assert_eq!(messages.end(), Ok(()));
            prop_assert_eq!(came, sent);
        }

        #[test]
        fn whatever_comes_no_more_is_held_than_was_pushed(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut messages = Messages::new(64);
            messages.push(&octets);
            while let Ok(Some(_)) = messages.message() {}
            prop_assert!(messages.held.len() <= octets.len());
        }
    }

    #[test]
    fn a_length_is_believed_up_to_its_bound() {
        let mut messages = Messages::new(3);
        messages.push(&Message::Head(Bytes::from_static(b"four")).encode());
        assert_eq!(messages.message(), Err(RelayError::Size { declared_bytes: 4, limit_bytes: 3 }));
        let mut messages = Messages::new(3);
        messages.push(&[0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(messages.message(), Err(RelayError::Kind(9)));
        let mut messages = Messages::new(3);
        messages.push(&[0, 0]);
        assert_eq!((messages.message(), messages.end()), (Ok(None), Err(RelayError::CutOff { held_bytes: 2 })));
    }
}

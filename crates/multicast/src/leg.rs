//! The unicast leg: what sender and member say to each other over a reliable connection of their own.
//!
//! Each frame is its kind (1 octet), the length of what follows (4) and its fields, numbers big-endian. A frame that
//! is longer than any may be, of an unknown kind or of the wrong length ends the leg: the two have negotiated the
//! version before, so it is a fault.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flame_naming::group::{Lack, SymbolSet};

use crate::seal::{KEY_BYTES, Key};

/// What the two speak; the token of `Upgrade`.
pub const PROTOCOL: &str = "flame-multicast/3";
/// Octets of a digest (SHA-256).
pub const DIGEST_BYTES: usize = 32;
/// Longest frame: a whole block by unicast, and its place.
pub const FRAME_MAX_BYTES: usize = crate::BLOCK_MAX_BYTES + 64;

/// Pauses after the last word until it is followed by a nudge; then there is silence.
pub(crate) const NUDGES: [Duration; 3] =
    [Duration::from_millis(3), Duration::from_millis(9), Duration::from_millis(27)];

const HEAD_BYTES: usize = 5;

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// To a member, first: what it needs to take part.
    Welcome(Welcome),
    /// To a member: a block exists, and this is what it must be.
    Block {
        /// Its number.
        block: u32,
        /// Its octets.
        length_bytes: u32,
        /// SHA-256 of them.
        digest: [u8; DIGEST_BYTES],
    },
    /// To a member: a round is out; what is lacking?
    Ask {
        /// The block.
        block: u32,
        /// The round.
        round: u8,
    },
    /// To a member: a part of a block.
    Data {
        /// The block.
        block: u32,
        /// The first source symbol in it.
        symbol: u32,
        /// One or more symbols; the block's last one without its padding.
        octets: Bytes,
    },
    /// To a member: these were all blocks.
    End {
        /// How many.
        blocks: u32,
    },
    /// To a member: the response broke off at its origin.
    Abort {
        /// How.
        reason: String,
    },
    /// From a member, first: it listens.
    Ready,
    /// From either side: nothing. TCP notices a lost segment at once when a later one arrives, else after 200 ms.
    Nudge,
    /// From a member: a block is whole and right.
    Has {
        /// The block.
        block: u32,
    },
    /// From a member, after [`Frame::Ask`].
    Lacks {
        /// The block.
        block: u32,
        /// The round.
        round: u8,
        /// What it lacks.
        lack: Lack,
    },
    /// From a member: a block was whole and wrong.
    Spoiled {
        /// The block.
        block: u32,
    },
}

/// What a member needs to take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The transfer.
    pub transfer: u32,
    /// Opens its packets.
    pub key: Key,
    /// Octets of a symbol.
    pub symbol_bytes: u16,
    /// Blocks that a member must be able to hold at once.
    pub window_blocks: u32,
    /// What the response is, for whoever asked: opaque here.
    pub head: Bytes,
}

/// What is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Longer than a frame may be.
    #[error("a frame of {0} octets is longer than any may be")]
    Long(usize),
    /// Its kind is not known.
    #[error("there is no frame of kind {0}")]
    Kind(u8),
    /// Its fields do not fit into its length.
    #[error("a frame of kind {0} has the wrong length")]
    Length(u8),
}

// === impl Frame ===

impl Frame {
    fn kind(&self) -> u8 {
        match self {
            Self::Welcome(_) => 1,
            Self::Block { .. } => 2,
            Self::Ask { .. } => 3,
            Self::Data { .. } => 4,
            Self::End { .. } => 5,
            Self::Abort { .. } => 6,
            Self::Has { .. } => 16,
            Self::Lacks { .. } => 17,
            Self::Spoiled { .. } => 18,
            Self::Ready => 19,
            Self::Nudge => 20,
        }
    }

    /// Appends the frame to `out`.
    ///
    /// # Panics
    /// When it is longer than a frame may be: heads and reasons are cut before.
    pub fn write(&self, out: &mut BytesMut) {
        let begins = out.len();
        out.put_u8(self.kind());
        out.put_u32(0);
        match self {
            Self::Welcome(welcome) => {
                out.put_u32(welcome.transfer);
                out.put_slice(welcome.key.octets());
                out.put_u16(welcome.symbol_bytes);
                out.put_u32(welcome.window_blocks);
                out.put_slice(&welcome.head);
            }
            Self::Block { block, length_bytes, digest } => {
                out.put_u32(*block);
                out.put_u32(*length_bytes);
                out.put_slice(digest);
            }
            Self::Ask { block, round } => {
                out.put_u32(*block);
                out.put_u8(*round);
            }
            Self::Data { block, symbol, octets } => {
                out.put_u32(*block);
                out.put_u32(*symbol);
                out.put_slice(octets);
            }
            Self::Ready | Self::Nudge => {}
            Self::End { blocks } => out.put_u32(*blocks),
            Self::Abort { reason } => out.put_slice(reason.as_bytes()),
            Self::Has { block } | Self::Spoiled { block } => out.put_u32(*block),
            Self::Lacks { block, round, lack } => {
                out.put_u32(*block);
                out.put_u8(*round);
                out.put_u32(lack.short);
                out.put_slice(&lack.missing.to_bytes());
            }
        }
        let length = out.len() - begins - HEAD_BYTES;
        assert!(length <= FRAME_MAX_BYTES, "a frame of {length} octets");
        let length = u32::try_from(length).expect("a frame is shorter than 4 GiB");
        out[begins + 1..begins + HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
    }

    /// Takes a frame off the front of `buffer`, if a whole one is there.
    pub fn read(buffer: &mut BytesMut) -> Result<Option<Self>, BadFrame> {
        let Some(head) = buffer.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let kind = head[0];
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > FRAME_MAX_BYTES {
            return Err(BadFrame::Long(length));
        }
        if buffer.len() < HEAD_BYTES + length {
            buffer.reserve(HEAD_BYTES + length - buffer.len());
            return Ok(None);
        }
        buffer.advance(HEAD_BYTES);
        let mut fields = buffer.split_to(length).freeze();
        let least = |octets: usize| if length >= octets { Ok(()) } else { Err(BadFrame::Length(kind)) };
        let exactly = |octets: usize| if length == octets { Ok(()) } else { Err(BadFrame::Length(kind)) };
        Ok(Some(match kind {
            1 => {
                least(4 + KEY_BYTES + 6)?;
                let transfer = fields.get_u32();
                let mut key = [0; KEY_BYTES];
                fields.copy_to_slice(&mut key);
                let (symbol_bytes, window_blocks) = (fields.get_u16(), fields.get_u32());
                Self::Welcome(Welcome { transfer, key: key.into(), symbol_bytes, window_blocks, head: fields })
            }
            2 => {
                exactly(8 + DIGEST_BYTES)?;
                let (block, length_bytes) = (fields.get_u32(), fields.get_u32());
                let mut digest = [0; DIGEST_BYTES];
                fields.copy_to_slice(&mut digest);
                Self::Block { block, length_bytes, digest }
            }
            3 => {
                exactly(5)?;
                Self::Ask { block: fields.get_u32(), round: fields.get_u8() }
            }
            4 => {
                least(9)?;
                Self::Data { block: fields.get_u32(), symbol: fields.get_u32(), octets: fields }
            }
            5 => {
                exactly(4)?;
                Self::End { blocks: fields.get_u32() }
            }
            6 => Self::Abort { reason: String::from_utf8_lossy(&fields).into_owned() },
            16 => {
                exactly(4)?;
                Self::Has { block: fields.get_u32() }
            }
            17 => {
                exactly(9 + SymbolSet::BYTES)?;
                let (block, round, short) = (fields.get_u32(), fields.get_u8(), fields.get_u32());
                let mut missing = [0; SymbolSet::BYTES];
                fields.copy_to_slice(&mut missing);
                Self::Lacks { block, round, lack: Lack { missing: SymbolSet::from_bytes(missing), short } }
            }
            18 => {
                exactly(4)?;
                Self::Spoiled { block: fields.get_u32() }
            }
            19 => {
                exactly(0)?;
                Self::Ready
            }
            20 => {
                exactly(0)?;
                Self::Nudge
            }
            kind => return Err(BadFrame::Kind(kind)),
        }))
    }
}

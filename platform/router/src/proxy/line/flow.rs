//! The body of an answer as it comes over a line. At its end the line goes back to those that wait; dropped before, it closes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::http::HeaderMap;
use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio_util::io::poll_read_buf;

use super::{Line, Lines, ROOM_BYTES, head};

/// The most that is read at a time.
const READ_MAX_BYTES: usize = 64 << 10;

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With its last chunk.
    Chunked(Chunk),
    /// With the connection.
    Close,
}

/// What comes next of a body in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunk {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
}

/// What a look at the bytes that are there gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    /// More has to be read.
    More,
    End,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Flow {
    /// `None` once the body has come to its end.
    line: Option<Line>,
    lines: Arc<Lines>,
    framing: Framing,
    keeps_alive: bool,
    /// Whether more came than it had said.
    has_surplus: bool,
}

// === impl Framing ===

impl Framing {
    pub(crate) const CHUNKED: Self = Self::Chunked(Chunk::Size);

    /// Takes what comes next out of what was read.
    pub(crate) fn step(&mut self, read: &mut BytesMut) -> Result<Step, &'static str> {
        loop {
            *self = match *self {
                Self::Length(0) => return Ok(Step::End),
                Self::Length(_) | Self::Close | Self::Chunked(Chunk::Data(_)) if read.is_empty() => {
                    return Ok(Step::More);
                }
                Self::Length(left) => {
                    let data = take(read, left);
                    *self = Self::Length(left - data.len() as u64);
                    return Ok(Step::Data(data));
                }
                Self::Close => return Ok(Step::Data(take(read, u64::MAX))),
                Self::Chunked(Chunk::Data(left)) => {
                    let data = take(read, left);
                    let left = left - data.len() as u64;
                    *self = Self::Chunked(if left == 0 { Chunk::DataEnd } else { Chunk::Data(left) });
                    return Ok(Step::Data(data));
                }
                Self::Chunked(Chunk::DataEnd) if read.len() < 2 => return Ok(Step::More),
                Self::Chunked(Chunk::DataEnd) => {
                    if *take(read, 2) != *b"\r\n" {
                        return Err("a chunk is longer than it said");
                    }
                    Self::CHUNKED
                }
                Self::Chunked(Chunk::Size) => match head::chunk_size(read)? {
                    None => return Ok(Step::More),
                    Some((length, size)) => {
                        read.advance(length);
                        Self::Chunked(if size == 0 { Chunk::Trailers } else { Chunk::Data(size) })
                    }
                },
                Self::Chunked(Chunk::Trailers) => match head::trailers(read)? {
                    None => return Ok(Step::More),
                    Some((length, fields)) => {
                        read.advance(length);
                        *self = Self::Length(0);
                        return Ok(if fields.is_empty() { Step::End } else { Step::Trailers(fields) });
                    }
                },
            };
        }
    }
}

/// As much of what was read as there is, `most` at most.
fn take(read: &mut BytesMut, most: u64) -> Bytes {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(read.len());
    read.split_to(length).freeze()
}

// === impl Flow ===

impl Flow {
    pub(super) fn new(line: Line, lines: Arc<Lines>, framing: Framing, keeps_alive: bool) -> Self {
        let mut flow = Self { line: Some(line), lines, framing, keeps_alive, has_surplus: false };
        flow.end_if_whole();
        flow
    }

    /// Whether more came with its end than it had said: what was passed on may be only a part of what it should be.
    pub(crate) fn has_surplus(&self) -> bool {
        self.has_surplus
    }

    /// Lets the line go when nothing more of the body is to come.
    fn end_if_whole(&mut self) {
        if self.framing == Framing::Length(0)
            && let Some(line) = self.line.take()
            // What comes after an answer is none.
            && self.keeps_alive
            && line.read.is_empty()
        {
            self.lines.keep(line);
        }
    }
}

impl Body for Flow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self { line: held, framing, .. } = &mut *self;
        let Some(line) = held else { return Poll::Ready(None) };
        let frame = loop {
            match framing.step(&mut line.read) {
                Ok(Step::Data(data)) => break Some(Ok(Frame::data(data))),
                Ok(Step::Trailers(fields)) => break Some(Ok(Frame::trailers(fields))),
                Ok(Step::End) => break None,
                Ok(Step::More) => {}
                Err(reason) => break Some(Err(io::Error::new(io::ErrorKind::InvalidData, reason))),
            }
            let wanted = if let Framing::Length(left) = framing { *left } else { READ_MAX_BYTES as u64 };
            line.make_room(usize::try_from(wanted).unwrap_or(READ_MAX_BYTES).clamp(ROOM_BYTES, READ_MAX_BYTES));
            match ready!(poll_read_buf(Pin::new(&mut line.stream), cx, &mut line.read)) {
                Ok(0) if *framing == Framing::Close => {
                    *framing = Framing::Length(0);
                    break None;
                }
                Ok(0) => break Some(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => break Some(Err(error)),
            }
        };
        if let Some(Err(_)) = frame {
            self.line = None;
        }
        // Who answers without a body, and sends one all the same, is not meant.
        let is_at_end = self.framing == Framing::Length(0);
        self.has_surplus |= is_at_end && self.line.as_ref().is_some_and(|line| !line.read.is_empty());
        // The line is free before the last bytes are passed on.
        self.end_if_whole();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.line.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Length(left) => SizeHint::with_exact(left),
            Framing::Chunked(_) | Framing::Close => SizeHint::default(),
        }
    }
}

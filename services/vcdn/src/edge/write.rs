//! Writing an answer to a socket, with bounded patience.
//!
//! Head and small body leave together; larger bodies go from file to socket inside the kernel. An answer whose body breaks
//! off ends the connection before its length is reached (or before the last chunk): it never looks whole.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderName;
use bytes::Bytes;
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::answer::{Answer, Content, Lead};
use crate::fill::Phase;
use crate::front::{Front, Slice, Slices};
use crate::medium::{self, BodyFile, Medium};
use crate::shelf::count;

/// The most that one call hands to the kernel.
const SEND_MAX_BYTES: u64 = 1 << 20;
/// A chunk of a body without a length.
const CHUNK_BYTES: u64 = 64 << 10;

/// A piece of a followed body that can be sent now.
pub(crate) enum Span {
    Memory(Bytes),
    File { file: Arc<BodyFile>, offset: u64, length: u64 },
    End,
    Broken,
}

/// Writes `answer`; false if the connection has to end, because the body did not come whole.
pub(super) async fn answer(
    stream: &TcpStream,
    head: &mut Vec<u8>,
    answer: Answer,
    delay: Duration,
    keeps_alive: bool,
    patience: Duration,
    front: &Front,
) -> io::Result<bool> {
    let Answer { lead, age_s, cache_status, content, asset } = answer;
    // Without a length the body comes in chunks.
    let is_chunked = matches!(content, Content::Follow { end: None, .. } | Content::Pass { length: None, .. });
    write_head(head, &lead, age_s, &cache_status);
    let _ = write!(head, "cmsd-dynamic: {}{}{}\r\n", front.cmsd(), delay.as_millis(), front.duress());
    if is_chunked {
        head.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    if !keeps_alive {
        head.extend_from_slice(b"connection: close\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let socket = Socket { stream, patience };
    let (sent, is_whole) = match content {
        Content::None => {
            socket.all(head, &[]).await?;
            (0, true)
        }
        Content::Memory(bytes) => {
            socket.all(head, &bytes).await?;
            (bytes.len() as u64, true)
        }
        Content::File { file, offset, length } => {
            socket.head(head).await?;
            socket.file(&file, offset, length).await?;
            (length, true)
        }
        // The next bytes may take their time: the head does not wait for them.
        Content::Follow { mut fill, offset, end } => {
            socket.all(head, &[]).await?;
            socket.follow(&mut fill, offset, end).await?
        }
        Content::Slices(mut slices) => {
            socket.all(head, &[]).await?;
            let mut sent = 0;
            loop {
                let Some(Slice { mut fill, offset, end }) = slices.next() else { break (sent, true) };
                let (bytes, is_whole) = socket.follow(&mut fill, offset, Some(end)).await?;
                sent += bytes;
                if !is_whole {
                    let (bytes, is_whole) = socket.rest(&slices, end - offset - bytes).await?;
                    sent += bytes;
                    if !is_whole {
                        break (sent, false);
                    }
                }
            }
        }
        Content::Pass { mut body, length } => {
            socket.all(head, &[]).await?;
            let mut sent = 0;
            loop {
                match front.upstream.next(&mut body).await {
                    Ok(Some(data)) => {
                        sent += data.len() as u64;
                        socket.piece(&data, is_chunked).await?;
                    }
                    Ok(None) => break (sent, length.is_none_or(|length| length == sent)),
                    Err(_) => break (sent, false),
                }
            }
        }
    };
    if let Some(asset) = &asset {
        count(&asset.sent_bytes, sent);
        count(&asset.errors, u64::from(!is_whole));
    }
    if is_chunked && is_whole {
        socket.all(b"0\r\n\r\n", &[]).await?;
    }
    Ok(is_whole)
}

/// What can be sent next of a followed body, from `offset` on.
pub(crate) async fn span(fill: &mut watch::Receiver<Phase>, offset: u64, end: Option<u64>) -> Span {
    loop {
        let ready = ready(&fill.borrow_and_update(), offset, end);
        if let Some(span) = ready {
            return span;
        }
        if fill.changed().await.is_err() {
            return Span::Broken;
        }
    }
}

/// What can be sent in `phase`; `None` where more is to come. A crowd looks here for every piece: nothing but the file is cloned.
fn ready(phase: &Phase, offset: u64, end: Option<u64>) -> Option<Span> {
    let (file, readable, is_last) = match phase {
        Phase::Complete(object, _) => {
            let end = end.unwrap_or(object.length).min(object.length);
            if offset >= end {
                return Some(Span::End);
            }
            match &object.medium {
                Medium::Memory(bytes) => {
                    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
                    return Some(Span::Memory(bytes.slice(at(offset)..at(end))));
                }
                Medium::File(file) => (file, end, true),
            }
        }
        Phase::Flowing(flow) => (&flow.file, flow.written, false),
        Phase::Aborted(flow) => (&flow.file, flow.written, true),
        Phase::Asking => return None,
        Phase::Unshared | Phase::Failed(_) => return Some(Span::Broken),
    };
    let readable = end.map_or(readable, |end| readable.min(end));
    if offset < readable {
        return Some(Span::File { file: Arc::clone(file), offset, length: readable - offset });
    }
    match end {
        Some(end) if offset >= end => Some(Span::End),
        _ if is_last => Some(Span::Broken),
        _ => None,
    }
}

/// The head without its end.
fn write_head(text: &mut Vec<u8>, lead: &Lead, age_s: Option<u64>, cache_status: &str) {
    text.clear();
    match lead {
        Lead::Kept(head) => text.extend_from_slice(&head.wire),
        Lead::Fields(status, headers) => {
            const BY_HOP: [HeaderName; 2] = [axum::http::header::CONNECTION, axum::http::header::TRANSFER_ENCODING];
            text.extend_from_slice(&crate::object::wire(*status, headers, &BY_HOP));
        }
    }
    if let Some(age_s) = age_s {
        let _ = write!(text, "age: {age_s}\r\n");
    }
    text.extend_from_slice(b"cache-status: ");
    text.extend_from_slice(cache_status.as_bytes());
    text.extend_from_slice(b"\r\n");
}

/// A viewer's socket, given up when it takes nothing for too long.
#[derive(Clone, Copy)]
struct Socket<'a> {
    stream: &'a TcpStream,
    patience: Duration,
}

// === impl Socket ===

impl Socket<'_> {
    /// Writes both, in one call if the kernel takes them.
    async fn all(self, first: &[u8], second: &[u8]) -> io::Result<()> {
        let (mut first, mut second) = (first, second);
        while !first.is_empty() || !second.is_empty() {
            match self.stream.try_write_vectored(&[IoSlice::new(first), IoSlice::new(second)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    let of_first = written.min(first.len());
                    first = &first[of_first..];
                    second = &second[written - of_first..];
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes a head whose body follows: the kernel may send them in one packet.
    async fn head(self, head: &[u8]) -> io::Result<()> {
        let mut rest = head;
        while !rest.is_empty() {
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                Ok(rustix::net::send(self.stream, rest, SendFlags::MORE | SendFlags::NOSIGNAL)?)
            });
            match sent {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends a part of a file.
    async fn file(self, file: &File, offset: u64, length: u64) -> io::Result<()> {
        let end = offset + length;
        let mut at = offset;
        while at < end {
            let count = usize::try_from((end - at).min(SEND_MAX_BYTES)).unwrap_or(usize::MAX);
            let sent = self
                .stream
                .try_io(Interest::WRITABLE, || Ok(rustix::fs::sendfile(self.stream, file, Some(&mut at), count)?));
            match sent {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                // A socket that takes and takes must not keep the fill, and the others of this thread, waiting.
                Ok(_) => tokio::task::consume_budget().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends a followed body as it comes; how much, and whether it came whole.
    async fn follow(self, fill: &mut watch::Receiver<Phase>, offset: u64, end: Option<u64>) -> io::Result<(u64, bool)> {
        let mut at = offset;
        let is_chunked = end.is_none();
        loop {
            match span(fill, at, end).await {
                Span::End => return Ok((at - offset, true)),
                Span::Broken => return Ok((at - offset, false)),
                Span::Memory(bytes) => {
                    self.piece(&bytes, is_chunked).await?;
                    at += bytes.len() as u64;
                }
                Span::File { file, offset: from, length } if is_chunked => {
                    let length = length.min(CHUNK_BYTES);
                    let bytes = medium::read(&file, from, usize::try_from(length).unwrap_or(usize::MAX))?;
                    self.piece(&bytes, true).await?;
                    at += length;
                }
                Span::File { file, offset: from, length } => {
                    self.file(&file, from, length).await?;
                    at += length;
                }
            }
        }
    }

    /// Sends what is wanted of a body whose slices are not to be had any more; how much, and whether that is all.
    async fn rest(self, slices: &Slices, missing_bytes: u64) -> io::Result<(u64, bool)> {
        let Ok(mut rest) = slices.rest(missing_bytes).await else { return Ok((0, false)) };
        let mut sent = 0;
        loop {
            match rest.next().await {
                Ok(Some(data)) => {
                    self.all(&data, &[]).await?;
                    sent += data.len() as u64;
                }
                Ok(None) => return Ok((sent, true)),
                Err(_) => return Ok((sent, false)),
            }
        }
    }

    /// Writes a piece of a body.
    async fn piece(self, data: &[u8], is_chunked: bool) -> io::Result<()> {
        if !is_chunked {
            return self.all(data, &[]).await;
        }
        self.all(format!("{:x}\r\n", data.len()).as_bytes(), data).await?;
        self.all(b"\r\n", &[]).await
    }

    async fn writable(self) -> io::Result<()> {
        match tokio::time::timeout(self.patience, self.stream.writable()).await {
            Ok(ready) => ready,
            Err(_) => {
                let message = format!("the viewer took nothing for {:?}", self.patience);
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
        }
    }
}

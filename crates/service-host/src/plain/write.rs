//! Writing an answer: its head and what is there of its body in one go, the rest as it comes.
//!
//! A body that breaks off, or is not as long as was said, ends in an error before its length or its last chunk is there:
//! it never looks whole.

use std::future::poll_fn;
use std::io::{self, IoSlice, Write};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::SystemTime;

use axum::body::{Body, Bytes};
use axum::http::response::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::BytesMut;
use http_body::{Body as _, Frame};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{Connection, gone};

/// How the client knows where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// It has none.
    None,
    Length(u64),
    Chunked,
}

// === impl Connection ===

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Writes an answer; whether the connection may stay. An error means that the answer did not come whole.
    pub(super) async fn answer(&mut self, answer: Response, is_head: bool, may_follow: bool) -> io::Result<bool> {
        let Self { socket, read, text } = self;
        let (parts, body) = answer.into_parts();
        let mut body = pin!(body);
        let framing = Framing::of(&parts, &body, is_head)?;
        let keeps_alive = may_follow && !says_close(&parts.headers);
        // An answer to HEAD says what is known of the body that it does not have.
        let unsent = if is_head { body.size_hint().exact() } else { None };
        write_head(text, &parts, framing, unsent, keeps_alive);
        let mut sent = 0;
        while ![Framing::None, Framing::Length(sent)].contains(&framing) {
            // What is there leaves together with what was written before; what is not is not waited for.
            let frame = match poll_fn(|cx| Poll::Ready(body.as_mut().poll_frame(cx))).await {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    all(socket, [text, &[], &[], &[]]).await?;
                    text.clear();
                    next(body.as_mut(), socket, read).await?
                }
            };
            let Some(frame) = frame else { break };
            let piece = frame.map_err(io::Error::other)?.into_data().unwrap_or_default();
            sent += piece.len() as u64;
            match framing {
                Framing::Length(length) if sent > length => {
                    return Err(io::Error::other(format!("an answer of {length} bytes goes on after them")));
                }
                Framing::Chunked if piece.is_empty() => continue,
                Framing::Chunked => {
                    let size = format!("{:x}\r\n", piece.len());
                    all(socket, [text, size.as_bytes(), &piece, b"\r\n"]).await?;
                }
                Framing::None | Framing::Length(_) => all(socket, [text, &piece, &[], &[]]).await?,
            }
            text.clear();
        }
        match framing {
            Framing::Length(length) if length != sent => {
                let reason = format!("an answer of {length} bytes ended after {sent}");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
            }
            Framing::Chunked => all(socket, [text, b"0\r\n\r\n", &[], &[]]).await?,
            Framing::None | Framing::Length(_) => all(socket, [text, &[], &[], &[]]).await?,
        }
        socket.flush().await?;
        Ok(keeps_alive)
    }
}

/// The next frame of a body; an error where the client leaves meanwhile.
async fn next<S: AsyncRead + Unpin>(
    mut body: Pin<&mut Body>,
    socket: &mut S,
    read: &mut BytesMut,
) -> io::Result<Option<Result<Frame<Bytes>, axum::Error>>> {
    tokio::select! {
        biased;
        frame = poll_fn(|cx| body.as_mut().poll_frame(cx)) => Ok(frame),
        () = gone(socket, read) => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// `unsent` is the length of a body that is not sent.
fn write_head(text: &mut Vec<u8>, parts: &Parts, framing: Framing, unsent: Option<u64>, keeps_alive: bool) {
    text.clear();
    text.extend_from_slice(b"HTTP/1.1 ");
    text.extend_from_slice(parts.status.as_str().as_bytes());
    text.push(b' ');
    text.extend_from_slice(parts.status.canonical_reason().unwrap_or("Unknown").as_bytes());
    text.extend_from_slice(b"\r\n");
    let mut has_length = framing == Framing::Chunked || parts.status == StatusCode::NO_CONTENT;
    for (name, value) in &parts.headers {
        // Fields of this hop are written here, whatever the answer says.
        let is_length = *name == header::CONTENT_LENGTH;
        if *name == header::CONNECTION || *name == header::TRANSFER_ENCODING || (is_length && has_length) {
            continue;
        }
        has_length |= is_length;
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    // Writing to memory does not fail.
    match (framing, unsent) {
        (Framing::Length(length), _) | (Framing::None, Some(length @ 1..)) if !has_length => {
            let _ = write!(text, "content-length: {length}\r\n");
        }
        (Framing::Chunked, _) => text.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        (Framing::None | Framing::Length(_), _) => {}
    }
    if !parts.headers.contains_key(header::DATE) {
        let _ = write!(text, "date: {}\r\n", httpdate::HttpDate::from(SystemTime::now()));
    }
    if !keeps_alive {
        text.extend_from_slice(b"connection: close\r\n");
    }
    text.extend_from_slice(b"\r\n");
}

fn says_close(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("close"))
}

/// Writes all parts, in as few calls as the kernel takes.
async fn all<S: AsyncWrite + Unpin>(socket: &mut S, parts: [&[u8]; 4]) -> io::Result<()> {
    let mut slices = parts.map(IoSlice::new);
    let mut left = &mut slices[..];
    // Takes away those that are empty.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        let written = poll_fn(|cx| Pin::new(&mut *socket).poll_write_vectored(cx, left)).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut left, written);
    }
    Ok(())
}

// === impl Framing ===

impl Framing {
    fn of(parts: &Parts, body: &Body, is_head: bool) -> io::Result<Self> {
        if parts.status.is_informational() {
            return Err(io::Error::other(format!("{} is no answer to a plain request", parts.status)));
        }
        if is_head || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&parts.status) {
            return Ok(Self::None);
        }
        let mut stated = None;
        for length in parts.headers.get_all(header::CONTENT_LENGTH) {
            let digits = length.to_str().ok().filter(|length| length.bytes().all(|byte| byte.is_ascii_digit()));
            let length: Option<u64> = digits.and_then(|digits| digits.parse().ok());
            let length = length.ok_or_else(|| io::Error::other("the answer's Content-Length is no number"))?;
            if stated.is_some_and(|stated| stated != length) {
                return Err(io::Error::other("the answer has two lengths"));
            }
            stated = Some(length);
        }
        Ok(stated.or(body.size_hint().exact()).map_or(Self::Chunked, Self::Length))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;
    use tokio::io::AsyncReadExt;

    use super::*;

    /// What is written of an answer but its date, and whether it is whole.
    async fn written(answer: Response, is_head: bool, may_follow: bool) -> (String, bool) {
        let (socket, mut client) = tokio::io::duplex(4096);
        let mut connection = Connection { socket, read: BytesMut::new(), text: Vec::new() };
        let outcome = connection.answer(answer, is_head, may_follow).await;
        drop(connection);
        let mut all = String::new();
        client.read_to_string(&mut all).await.unwrap();
        let kept: Vec<_> = all.split("\r\n").filter(|line| !line.starts_with("date: ")).collect();
        (kept.join("|"), outcome.is_ok())
    }

    fn stream(pieces: &[&'static str]) -> Body {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok::<_, io::Error>(Bytes::from(*piece))).collect();
        Body::from_stream(futures_util::stream::iter(pieces))
    }

    fn stating(length: &'static str, body: Body) -> Response {
        let mut response = Response::new(body);
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static(length));
        response
    }

    #[tokio::test]
    async fn a_body_is_framed_as_what_is_known_of_it() {
        let stated = "HTTP/1.1 200 OK|content-length: 3||";
        for (answer, is_head, wanted, is_whole) in [
            (Response::new(Body::from("abc")), false, &*format!("{stated}abc"), true),
            (Response::new(Body::from("abc")), true, stated, true),
            (Response::new(Body::empty()), false, "HTTP/1.1 200 OK|content-length: 0||", true),
            (Response::new(Body::empty()), true, "HTTP/1.1 200 OK||", true),
            (stating("3", stream(&["a", "bc"])), false, &format!("{stated}abc"), true),
            (stating("3", stream(&["a"])), false, &format!("{stated}a"), false),
            (stating("3", stream(&["ab", "cd"])), false, &format!("{stated}ab"), false),
            (stating("+3", stream(&["abc"])), false, "", false),
            (stating("3", Body::empty()), true, stated, true),
            (
                Response::new(stream(&["a", "", "bc"])),
                false,
                "HTTP/1.1 200 OK|transfer-encoding: chunked||1|a|2|bc|0||",
                true,
            ),
        ] {
            assert_eq!(written(answer, is_head, true).await, (wanted.to_owned(), is_whole));
        }
        let mut none = stating("0", Body::empty());
        *none.status_mut() = StatusCode::NO_CONTENT;
        assert_eq!(written(none, false, true).await, ("HTTP/1.1 204 No Content||".to_owned(), true));
    }

    #[tokio::test]
    async fn who_answers_may_end_the_connection_and_so_may_who_asks() {
        let closing = "HTTP/1.1 200 OK|content-length: 0|connection: close||".to_owned();
        assert_eq!(written(Response::new(Body::empty()), false, false).await, (closing.clone(), true));
        let mut answer = Response::new(Body::empty());
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Close"));
        assert_eq!(written(answer, false, true).await, (closing, true));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_never_ends() {
        let pieces = [Ok(Bytes::from("abc")), Err(io::Error::other("broken"))];
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let (text, is_whole) = written(Response::new(body), false, true).await;
        assert_eq!((text.as_str(), is_whole), ("HTTP/1.1 200 OK|transfer-encoding: chunked||3|abc|", false));
    }

    #[tokio::test]
    async fn an_answer_that_nobody_waits_for_any_more_is_let_go() {
        let (socket, mut client) = tokio::io::duplex(4096);
        let mut connection = Connection { socket, read: BytesMut::new(), text: Vec::new() };
        let never = Body::from_stream(futures_util::stream::pending::<io::Result<Bytes>>());
        let leave = async move { client.read_u8().await };
        let both = async { tokio::join!(connection.answer(Response::new(never), false, true), leave).0 };
        let outcome = tokio::time::timeout(Duration::from_secs(10), both).await;
        assert!(outcome.expect("it ends when the client has left").is_err());
    }
}

//! What is read and written on a line besides bodies: a request's head; an answer's, with how its body ends (RFC 9112
//! section 6.3); sizes of chunks and trailers (section 7.1). Whatever hyper's client refuses is refused.

use std::io::Write;
use std::mem::MaybeUninit;
use std::net::SocketAddr;

use axum::http::request::Parts;
use axum::http::response;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use bytes::Bytes;
use httparse::ParserConfig;

use super::flow::Framing;

/// The longest head that is read.
const HEAD_MAX_BYTES: usize = 64 << 10;
/// The longest line that says how long a chunk is, and the most of trailers.
const CHUNK_LINE_MAX_BYTES: usize = 8 << 10;
/// The most fields of one.
const FIELDS_MAX: usize = 100;
/// The most trailers.
const TRAILERS_MAX: usize = 32;
/// Fields that the router may add before the map has to grow.
const FIELDS_ADDED: usize = 4;

/// What was read so far.
#[derive(Debug)]
pub(crate) enum Read {
    /// A head that is not whole.
    Partial,
    /// One of so many bytes that only says that the answer comes later (1xx).
    Interim(usize),
    /// The head of an answer, of so many bytes.
    Whole(usize, Box<Answer>),
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: response::Parts,
    pub(crate) framing: Framing,
    /// Whether the line can be used again after the body.
    pub(crate) keeps_alive: bool,
}

/// Whether a target is a path that ends where the line says so, whatever it holds.
pub(super) fn is_target(path_and_query: &str) -> bool {
    path_and_query.starts_with('/') && path_and_query.bytes().all(|byte| byte > b' ' && byte != 0x7f)
}

/// Writes the head of a request without a body.
pub(super) fn write(text: &mut Vec<u8>, request: &Parts, path_and_query: &str, address: SocketAddr) {
    text.clear();
    text.extend_from_slice(request.method.as_str().as_bytes());
    text.push(b' ');
    text.extend_from_slice(path_and_query.as_bytes());
    text.extend_from_slice(b" HTTP/1.1\r\n");
    if !request.headers.contains_key(header::HOST) {
        // Writing to memory does not fail.
        let _ = write!(text, "host: {address}\r\n");
    }
    for (name, value) in &request.headers {
        // There is no body to speak of.
        if *name == header::CONTENT_LENGTH || *name == header::TRANSFER_ENCODING {
            continue;
        }
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
}

/// Reads the head of an answer to a request of `method`.
pub(crate) fn read(read: &[u8], method: &Method) -> Result<Read, &'static str> {
    if read.is_empty() {
        return Ok(Read::Partial);
    }
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut answer = httparse::Response::new(&mut []);
    let length = match ParserConfig::default().parse_response_with_uninit_headers(&mut answer, read, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_MAX_BYTES => length,
        Ok(httparse::Status::Partial) if read.len() < HEAD_MAX_BYTES => return Ok(Read::Partial),
        Ok(_) => return Err("the head of its answer is too long"),
        Err(httparse::Error::TooManyHeaders) => return Err("the head of its answer has too many fields"),
        Err(_) => return Err("the head of its answer cannot be read"),
    };
    let (Some(version), Some(code)) = (answer.version, answer.code) else { return Err("no status") };
    let status = StatusCode::from_u16(code).map_err(|_| "no status")?;
    if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Read::Interim(length));
    }
    // The answer's own: what is read next has the room of what was read before.
    let bytes = Bytes::copy_from_slice(&read[..length]);
    let begins = read.as_ptr().addr();
    let mut headers = HeaderMap::with_capacity(answer.headers.len() + FIELDS_ADDED);
    for field in &*answer.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| "the name of a field")?;
        // What is empty may stand anywhere.
        let start = if field.value.is_empty() { 0 } else { field.value.as_ptr().addr() - begins };
        let value = bytes.slice(start..start + field.value.len());
        headers.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| "the value of a field")?);
    }
    let (framing, is_exact) = framing(&headers, status, method, version)?;
    let keeps_alive = is_exact && status != StatusCode::SWITCHING_PROTOCOLS && keeps_alive(&headers, version);
    let (mut head, ()) = Response::new(()).into_parts();
    (head.status, head.headers) = (status, headers);
    Ok(Read::Whole(length, Box::new(Answer { head, framing, keeps_alive })))
}

/// How the body ends, and whether that leaves no doubt about where the next answer begins.
fn framing(
    headers: &HeaderMap,
    status: StatusCode,
    method: &Method,
    version: u8,
) -> Result<(Framing, bool), &'static str> {
    let length = length(headers)?;
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status) || status.is_informational();
    let codings = headers.get_all(header::TRANSFER_ENCODING).iter().map(HeaderValue::to_str);
    let codings = codings.collect::<Result<Vec<_>, _>>().map_err(|_| "Transfer-Encoding is no text")?;
    if bodiless || *method == Method::HEAD {
        return Ok((Framing::Length(0), true));
    }
    if let Some(coding) = codings.last() {
        if version != 1 {
            return Err("HTTP/1.0 has no Transfer-Encoding");
        }
        let is_chunked = coding.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"));
        // Both is what smugglers say: chunks win, and nothing may follow.
        return Ok(if is_chunked { (Framing::CHUNKED, length.is_none()) } else { (Framing::Close, false) });
    }
    Ok(match length {
        Some(length) => (Framing::Length(length), true),
        None => (Framing::Close, false),
    })
}

/// Content-Length; several that are the same are one.
fn length(headers: &HeaderMap) -> Result<Option<u64>, &'static str> {
    let mut length = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        for part in value.as_bytes().split(|byte| *byte == b',') {
            let digits = part.trim_ascii();
            let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(digits).ok().filter(|_| is_number).and_then(|text| text.parse().ok());
            let number: u64 = number.ok_or("Content-Length is no number")?;
            if length.is_some_and(|before| before != number) {
                return Err("two different lengths");
            }
            length = Some(number);
        }
    }
    Ok(length)
}

fn keeps_alive(headers: &HeaderMap, version: u8) -> bool {
    let values = headers.get_all(header::CONNECTION).iter();
    let mut keeps = version == 1;
    for token in values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii) {
        if token.eq_ignore_ascii_case(b"close") {
            return false;
        }
        keeps |= token.eq_ignore_ascii_case(b"keep-alive");
    }
    keeps
}

/// The line that says how long a chunk is: how long it is itself, and what it says. `None` while it is not whole.
pub(crate) fn chunk_size(read: &[u8]) -> Result<Option<(usize, u64)>, &'static str> {
    let Some(end) = read.iter().take(CHUNK_LINE_MAX_BYTES).position(|byte| *byte == b'\n') else {
        return not_yet(read);
    };
    let line = read[..end].strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok());
    let line = line.filter(|line| !line.contains('\r')).ok_or("the size of a chunk is no line")?;
    let digits = line.split(';').next().unwrap_or_default().trim_end_matches([' ', '\t']);
    if digits.len() > 16 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("the size of a chunk is no number");
    }
    let size = u64::from_str_radix(digits, 16).map_err(|_| "the size of a chunk is no number")?;
    Ok(Some((end + 1, size)))
}

/// What stands behind the last chunk: how long it is, and the fields. `None` while it is not whole.
pub(crate) fn trailers(read: &[u8]) -> Result<Option<(usize, HeaderMap)>, &'static str> {
    const END: &[u8] = b"\r\n\r\n";
    let mut headers = HeaderMap::new();
    if read.starts_with(b"\r\n") {
        return Ok(Some((2, headers)));
    }
    let within = &read[..read.len().min(CHUNK_LINE_MAX_BYTES)];
    let Some(end) = within.windows(END.len()).position(|bytes| bytes == END) else { return not_yet(read) };
    let length = end + END.len();
    let mut fields = [httparse::EMPTY_HEADER; TRAILERS_MAX];
    match httparse::parse_headers(&read[..length], &mut fields) {
        Ok(httparse::Status::Complete((read, fields))) if read == length => {
            for field in fields {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| "the name of a trailer")?;
                let value = HeaderValue::from_bytes(field.value).map_err(|_| "the value of a trailer")?;
                headers.append(name, value);
            }
            Ok(Some((length, headers)))
        }
        _ => Err("the trailers cannot be read"),
    }
}

fn not_yet<T>(read: &[u8]) -> Result<Option<T>, &'static str> {
    if read.len() < CHUNK_LINE_MAX_BYTES { Ok(None) } else { Err("what stands around a chunk has no end") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str, method: Method) -> Result<(Framing, bool), &'static str> {
        match read(text.as_bytes(), &method)? {
            Read::Whole(length, answer) => {
                assert_eq!(&text[length..], "rest");
                Ok((answer.framing, answer.keeps_alive))
            }
            Read::Partial => Err("partial"),
            Read::Interim(_) => Err("interim"),
        }
    }

    #[test]
    fn where_a_body_ends_is_read_from_its_head() {
        let of = |fields: &str| answer(&format!("HTTP/1.1 200 OK\r\n{fields}\r\nrest"), Method::GET);
        assert_eq!(of("content-length: 4\r\n"), Ok((Framing::Length(4), true)));
        assert_eq!(of("content-length: 4, 4\r\nContent-Length: 4\r\n"), Ok((Framing::Length(4), true)));
        assert_eq!(of("content-length: 4\r\nconnection: close\r\n"), Ok((Framing::Length(4), false)));
        assert_eq!(
            of("connection: x, close\r\nconnection: keep-alive\r\ncontent-length: 0\r\n"),
            Ok((Framing::Length(0), false))
        );
        assert_eq!(of("transfer-encoding: chunked\r\n"), Ok((Framing::CHUNKED, true)));
        assert_eq!(of("transfer-encoding: gzip, Chunked\r\n"), Ok((Framing::CHUNKED, true)));
        assert_eq!(of("transfer-encoding: chunked\r\ncontent-length: 4\r\n"), Ok((Framing::CHUNKED, false)));
        assert_eq!(of("transfer-encoding: chunked, gzip\r\n"), Ok((Framing::Close, false)));
        assert_eq!(of("x-empty:\r\n"), Ok((Framing::Close, false)));
        for wrong in [
            "content-length: 4\r\ncontent-length: 5\r\n",
            "content-length: -4\r\n",
            "content-length: +4\r\n",
            "content-length: 4,\r\n",
            "content-length: \r\n",
            "content-length: 18446744073709551616\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: \u{e9}, chunked\r\n",
            " x\r\n",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        let head = answer("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nrest", Method::HEAD);
        assert_eq!(head, Ok((Framing::Length(0), true)));
        let none = answer("HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\nrest", Method::GET);
        assert_eq!(none, Ok((Framing::Length(0), true)));
        let old =
            |fields: &str| answer(&format!("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n{fields}\r\nrest"), Method::GET);
        assert_eq!(old(""), Ok((Framing::Length(0), false)));
        assert_eq!(old("connection: keep-alive\r\n"), Ok((Framing::Length(0), true)));
        assert!(old("transfer-encoding: chunked\r\n").is_err());
        assert_eq!(answer("HTTP/1.1 100 Continue\r\n\r\n", Method::GET), Err("interim"));
        assert_eq!(answer("HTTP/1.1 200 OK\r\ncontent-", Method::GET), Err("partial"));
        assert!(answer("nonsense\r\n\r\n", Method::GET).is_err());
    }

    #[test]
    fn a_chunk_s_size_is_hexadecimal_digits_on_a_line() {
        for (line, size) in [("0\r\n", 0), ("1f\r\nabc", 0x1f), ("A  \r\n", 10), ("5;a=\"b\"\r\n", 5), ("0005\r\n", 5)]
        {
            assert_eq!(chunk_size(line.as_bytes()), Ok(Some((line.find('\n').unwrap() + 1, size))), "{line}");
        }
        for wrong in [
            "\r\n",
            "5\n",
            " 5\r\n",
            "+5\r\n",
            "0x5\r\n",
            "5 6\r\n",
            "5\r;\r\n",
            "5\u{c}\r\n",
            ";a\r\n",
            "11111111111111111\r\n",
        ] {
            assert!(chunk_size(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert_eq!(chunk_size(b"5"), Ok(None));
        let long = format!("5;{}", "x".repeat(CHUNK_LINE_MAX_BYTES));
        assert!(chunk_size(long.as_bytes()).is_err() && chunk_size(format!("{long}\r\n").as_bytes()).is_err());
    }

    #[test]
    fn trailers_end_with_an_empty_line() {
        let read =
            |text: &str| trailers(text.as_bytes()).map(|read| read.map(|(length, fields)| (length, fields.len())));
        assert_eq!(read("\r\nx"), Ok(Some((2, 0))));
        assert_eq!(read("a: b\r\nc: d\r\n\r\nx"), Ok(Some((14, 2))));
        assert_eq!(read("a: b\r\n"), Ok(None));
        for wrong in ["a: b\n\nc\r\n\r\n", "a b\r\n\r\n", " a: b\r\n\r\n"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_is_written_as_it_is_with_a_host_in_any_case_and_no_length() {
        let request = axum::http::Request::builder().header("x-mine", "1").header("content-length", "0");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut text = b"left".to_vec();
        write(&mut text, &parts, "/a?b", ([127, 0, 0, 1], 80).into());
        assert_eq!(text, b"GET /a?b HTTP/1.1\r\nhost: 127.0.0.1:80\r\nx-mine: 1\r\n\r\n");
        for wrong in ["", "a", "/a b", "/a\r\nx: y", "/\u{7f}"] {
            assert!(!is_target(wrong), "{wrong:?}");
        }
        assert!(is_target("/a?b=%20") && is_target("/"));
    }
}

//! The head of a request: what is plain enough to be answered without a general server, and what is not.

use std::mem::MaybeUninit;
use std::ops::Range;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Fields that are taken; a request with more is not plain.
const FIELDS_MAX: usize = 48;
/// Fields that whoever passes a request on may add before its map has to grow.
const FIELDS_ADDED: usize = 8;

/// What was read so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// The head is not whole.
    Partial,
    /// Not a plain request, or none at all.
    Doubtful,
    /// A plain request.
    Whole(Plain),
}

/// A GET or HEAD of HTTP/1.1 in origin form with one Host, without a body, an upgrade, an expectation or trailers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// Where the target stands in what was read.
    pub target: Range<usize>,
    /// Bytes of the head.
    pub length: usize,
    /// HEAD, else GET.
    pub is_head: bool,
    /// Whether another request may follow.
    pub keeps_alive: bool,
}

/// Looks at what was read; `see` is shown each field, name and value, that does not decide whether the request is plain.
pub fn parse(bytes: &[u8], mut see: impl FnMut(&str, &[u8])) -> Parsed {
    if bytes.is_empty() {
        return Parsed::Partial;
    }
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Doubtful,
    };
    let (Some(method), Some(path), Some(1)) = (request.method, request.path, request.version) else {
        return Parsed::Doubtful;
    };
    let is_head = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return Parsed::Doubtful,
    };
    if !path.starts_with('/') {
        return Parsed::Doubtful;
    }
    let (mut hosts, mut keeps_alive) = (0, true);
    for field in &*request.headers {
        match Field::of(field.name) {
            Field::Host => hosts += 1,
            Field::Connection if field.value.eq_ignore_ascii_case(b"close") => keeps_alive = false,
            Field::Connection if field.value.eq_ignore_ascii_case(b"keep-alive") => {}
            Field::Connection | Field::Doubtful => return Parsed::Doubtful,
            Field::Other => see(field.name, field.value),
        }
    }
    if hosts != 1 {
        return Parsed::Doubtful;
    }
    // Empty lines may stand before the request line.
    let start = path.as_ptr().addr() - bytes.as_ptr().addr();
    Parsed::Whole(Plain { target: start..start + path.len(), length, is_head, keeps_alive })
}

/// The fields of a head that [`parse`] has found whole; `None` if one has other bytes than fields may have.
#[must_use]
pub fn fields(head: &Bytes) -> Option<HeaderMap> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    request.parse_with_uninit_headers(head, &mut fields).ok()?;
    let mut headers = HeaderMap::with_capacity(request.headers.len() + FIELDS_ADDED);
    for field in &*request.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        // The value is a part of the head: shared, not copied.
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value)).ok()?;
        headers.append(name, value);
    }
    Some(headers)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Host,
    Connection,
    /// Says that there is a body, another protocol, a question before the body, or something between two hops.
    Doubtful,
    Other,
}

// === impl Field ===

impl Field {
    fn of(name: &str) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            2 if is("te") => Self::Doubtful,
            4 if is("host") => Self::Host,
            6 if is("expect") => Self::Doubtful,
            7 if is("upgrade") || is("trailer") => Self::Doubtful,
            10 if is("connection") => Self::Connection,
            14 if is("content-length") => Self::Doubtful,
            17 if is("transfer-encoding") => Self::Doubtful,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps_alive(text: &str) -> Option<bool> {
        match parse(text.as_bytes(), |_, _| {}) {
            Parsed::Whole(Plain { keeps_alive, .. }) => Some(keeps_alive),
            Parsed::Partial | Parsed::Doubtful => None,
        }
    }

    #[test]
    fn the_target_is_found_where_it_stands_and_the_fields_are_read() {
        let text = b"HEAD /a/b?c HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\nGET";
        let mut seen = Vec::new();
        let Parsed::Whole(plain) = parse(text, |name, _| seen.push(name.to_owned())) else { panic!("it is whole") };
        assert_eq!((&text[plain.target], plain.length, plain.is_head), (&b"/a/b?c"[..], text.len() - 3, true));
        assert_eq!(seen, ["Range"]);
        let headers = fields(&Bytes::from_static(&text[..text.len() - 3])).unwrap();
        assert_eq!((headers["host"].as_bytes(), headers["range"].as_bytes()), (&b"x"[..], &b"bytes=0-1"[..]));
        assert_eq!(headers.len(), 2);
        let text = b"\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n";
        let Parsed::Whole(plain) = parse(text, |_, _| {}) else { panic!("empty lines before it are nothing") };
        assert_eq!((&text[plain.target], plain.length), (&b"/a"[..], text.len()));
    }

    #[test]
    fn only_what_leaves_no_doubt_is_plain() {
        assert_eq!(keeps_alive("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), Some(true));
        assert_eq!(keeps_alive("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), Some(false));
        assert_eq!(keeps_alive("GET / HTTP/1.1\r\nHost: x\r\nConnection: Keep-Alive\r\n\r\n"), Some(true));
        let both = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n";
        assert_eq!(keeps_alive(both), Some(false), "close is not undone");
        for doubtful in [
            "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close, x-mine\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /\r\nHost : x\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            assert_eq!(parse(doubtful.as_bytes(), |_, _| {}), Parsed::Doubtful, "{doubtful}");
        }
        for partial in ["", "G", "GET / HTTP/1.1\r\nHost: x\r\n"] {
            assert_eq!(parse(partial.as_bytes(), |_, _| {}), Parsed::Partial, "{partial}");
        }
    }
}

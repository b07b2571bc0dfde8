//! The head of a request: what the loop answers itself, and what it leaves to hyper.

use std::ops::Range;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Fields that the loop takes; requests with more are hyper's.
const FIELDS_MAX: usize = 48;

/// What was read so far.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The head is not whole.
    Partial,
    /// Not a request for the loop, or none at all.
    Doubtful,
    /// A GET or HEAD without a body.
    Whole {
        kind: Kind,
        /// Where the target stands in what was read.
        target: Range<usize>,
        /// Bytes of the head.
        length: usize,
        is_head: bool,
        keeps_alive: bool,
    },
}

/// What of the fields matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: the target says it all.
    Plain,
    /// Conditions, ranges, wishes.
    Special,
}

/// Looks at what was read.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    if bytes.is_empty() {
        return Parsed::Partial;
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
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
    let (mut kind, mut hosts, mut keeps_alive) = (Kind::Plain, 0, true);
    for field in &*request.headers {
        match Field::of(field.name) {
            Field::Host => hosts += 1,
            Field::Connection if field.value.eq_ignore_ascii_case(b"close") => keeps_alive = false,
            Field::Connection if field.value.eq_ignore_ascii_case(b"keep-alive") => {}
            Field::Connection | Field::Doubtful => return Parsed::Doubtful,
            Field::Special => kind = Kind::Special,
            Field::Other => {}
        }
    }
    if hosts != 1 {
        return Parsed::Doubtful;
    }
    // Empty lines may stand before the request line.
    let start = path.as_ptr() as usize - bytes.as_ptr() as usize;
    Parsed::Whole { kind, target: start..start + path.len(), length, is_head, keeps_alive }
}

/// The fields of a head that [`parse`] has found whole.
pub(crate) fn fields(head: &[u8]) -> HeaderMap {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let mut headers = HeaderMap::new();
    if request.parse(head).is_ok() {
        for field in &*request.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(field.name.as_bytes()), HeaderValue::from_bytes(field.value))
            {
                headers.append(name, value);
            }
        }
    }
    headers
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Host,
    Connection,
    /// Says that there is a body, another protocol, or a question before the body.
    Doubtful,
    /// Changes the answer.
    Special,
    Other,
}

// === impl Field ===

impl Field {
    fn of(name: &str) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is("host") => Self::Host,
            10 if is("connection") => Self::Connection,
            6 if is("expect") => Self::Doubtful,
            7 if is("upgrade") => Self::Doubtful,
            14 if is("content-length") => Self::Doubtful,
            17 if is("transfer-encoding") => Self::Doubtful,
            5 if is("range") => Self::Special,
            6 if is("cookie") || is("pragma") => Self::Special,
            8 if is("if-match") || is("if-range") || is("cdn-loop") => Self::Special,
            11 if is("cmcd-object") || is("cmcd-status") => Self::Special,
            12 if is("cmcd-request") || is("cmcd-session") => Self::Special,
            13 if is("if-none-match") || is("cache-control") || is("authorization") => Self::Special,
            17 if is("if-modified-since") => Self::Special,
            9 if is("x-api-key") => Self::Special,
            19 if is("if-unmodified-since") || is("proxy-authorization") => Self::Special,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use flame_naming::identity;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::object::{Head, Times, UnixMs};
    use crate::policy::{self, Condition, Part};
    use crate::rules::cmcd::Carried;

    /// Fields that somewhere change an answer, and some that nowhere do.
    const NAMES: [&str; 22] = [
        "accept",
        "accept-encoding",
        "authorization",
        "cache-control",
        "cdn-loop",
        "cmcd-object",
        "cmcd-request",
        "cmcd-session",
        "cmcd-status",
        "cookie",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "pragma",
        "proxy-authorization",
        "range",
        "referer",
        "user-agent",
        "x-api-key",
        "x-forwarded-for",
    ];
    const VALUES: [&str; 8] = [
        "no-cache",
        "no-store",
        "only-if-cached",
        "max-age=0",
        "bytes=0-1",
        "\"1\"",
        "Mon, 02 Nov 2026 10:00:00 GMT",
        "a=1",
    ];

    fn kind(text: &str) -> Option<(Kind, bool)> {
        match parse(text.as_bytes()) {
            Parsed::Whole { kind, keeps_alive, .. } => Some((kind, keeps_alive)),
            Parsed::Partial | Parsed::Doubtful => None,
        }
    }

    proptest! {
        /// What is answered on the short way is what the long one would answer: no field of a plain request changes it.
        #[test]
        fn a_plain_request_says_nothing_that_the_long_way_would_heed(
            fields in prop::collection::vec((select(NAMES.to_vec()), select(VALUES.to_vec()), any::<bool>()), 0..4),
        ) {
            let mut text = "GET /a HTTP/1.1\r\nHost: x\r\n".to_owned();
            for (name, value, is_upper) in &fields {
                let name = if *is_upper { name.to_uppercase() } else { (*name).to_owned() };
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            text.push_str("\r\n");
            let Parsed::Whole { kind: Kind::Plain, .. } = parse(text.as_bytes()) else { return Ok(()) };
            let headers = super::fields(text.as_bytes());
            let head = Head::new(StatusCode::OK, "etag: \"1\"".split_once(": ").into_iter().map(|(name, value)| {
                (name.parse().unwrap(), value.parse().unwrap())
            }).collect());
            let now = UnixMs(1_000_000);
            let times = Times { fresh_until: now.plus_ms(5000), ..Times::of(now) };
            prop_assert!(identity::credential(&headers).is_none() && !headers.contains_key("cdn-loop"), "{}", text);
            prop_assert_eq!(policy::condition(&headers, &head), Condition::Holds);
            prop_assert_eq!(policy::part(&headers, &head, 10), Part::Whole);
            prop_assert!(policy::accepts(&headers, &times, now) && !policy::only_if_cached(&headers));
            prop_assert!(!policy::forbids_keeping(&headers));
            prop_assert_eq!(Carried::of("/a", &headers), Carried::Nothing);
        }
    }

    #[test]
    fn the_target_is_found_where_it_stands() {
        let text = b"HEAD /a/b?c HTTP/1.1\r\nHost: x\r\n\r\nGET";
        let Parsed::Whole { target, length, is_head, .. } = parse(text) else { panic!("it is whole") };
        assert_eq!((&text[target], length, is_head), (&b"/a/b?c"[..], text.len() - 3, true));
        let text = b"\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n";
        let Parsed::Whole { target, length, .. } = parse(text) else { panic!("empty lines before it are nothing") };
        assert_eq!((&text[target], length), (&b"/a"[..], text.len()));
    }

    #[test]
    fn only_what_leaves_no_doubt_is_taken() {
        assert_eq!(kind("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), Some((Kind::Plain, true)));
        assert_eq!(kind("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), Some((Kind::Plain, false)));
        assert_eq!(kind("GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n"), Some((Kind::Special, true)));
        for doubtful in [
            "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
            "GET /\r\nHost : x\r\n\r\n",
        ] {
            assert_eq!(parse(doubtful.as_bytes()), Parsed::Doubtful, "{doubtful}");
        }
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: x\r\n"), Parsed::Partial);
    }
}

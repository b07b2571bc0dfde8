//! Which part of a representation a request wants: conditions, then ranges (RFC 9110 sections 13 and 14).
//!
//! Decided from headers alone, before any byte is fetched. Tags are strong: they come from the content.

use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use bytes::Bytes;

/// What is below a version never changes.
pub(super) const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// A representation, described.
#[derive(Debug, Clone)]
pub(super) struct Representation<'a> {
    /// Its strong entity tag, with quotes.
    pub(super) etag: HeaderValue,
    /// Its length.
    pub(super) size_bytes: u64,
    /// Its media type.
    pub(super) content_type: &'static str,
    /// Who may keep it, and for how long.
    pub(super) cache_control: &'a str,
}

/// What to do.
#[derive(Debug)]
pub(super) enum Selection {
    /// Answer without a body.
    Bodiless(Response<Body>),
    /// Answer with these bytes; the head is complete.
    Bytes(axum::http::response::Builder, Range<u64>),
}

/// What the `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// Everything: no range, or one that may be ignored.
    Whole,
    /// This part, which is not empty.
    Part(Range<u64>),
    /// Nothing that exists.
    Unsatisfiable,
}

/// A strong entity tag from a digest.
pub(super) fn etag(sha256: &[u8; 32]) -> HeaderValue {
    HeaderValue::try_from(format!("\"{}\"", hex::encode(sha256))).expect("hex and quotes are visible ASCII")
}

/// Answers with octets that are in memory; `digest` names them.
pub(super) fn held(
    (bytes, digest): (&Bytes, &[u8; 32]),
    content_type: &'static str,
    cache_control: &str,
    (method, headers): (&Method, &HeaderMap),
) -> Response<Body> {
    let size_bytes = u64::try_from(bytes.len()).expect("a length in memory fits 64 bits");
    let representation = Representation { etag: etag(digest), size_bytes, content_type, cache_control };
    match representation.select(method, headers) {
        Selection::Bodiless(response) => response,
        Selection::Bytes(head, range) => {
            let within = |at: u64| usize::try_from(at).expect("the range lies within octets in memory");
            let part = bytes.slice(within(range.start)..within(range.end));
            head.body(Body::from(part)).expect("the head is made of valid parts")
        }
    }
}

// === impl Representation ===

impl Representation<'_> {
    /// Decides about a GET or HEAD with these headers.
    pub(super) fn select(&self, method: &Method, headers: &HeaderMap) -> Selection {
        if let Some(tags) = list(headers, &header::IF_MATCH)
            && !tags.split(',').any(|tag| matches_strongly(tag, &self.etag))
        {
            return Selection::Bodiless(self.bodiless(StatusCode::PRECONDITION_FAILED));
        }
        if let Some(tags) = list(headers, &header::IF_NONE_MATCH)
            && tags.split(',').any(|tag| matches_weakly(tag, &self.etag))
        {
            return Selection::Bodiless(self.bodiless(StatusCode::NOT_MODIFIED));
        }
        let wanted = if *method == Method::GET && self.range_holds(headers) {
            wanted(headers.get(header::RANGE), self.size_bytes)
        } else {
            Wanted::Whole
        };
        let (status, range) = match wanted {
            Wanted::Whole => (StatusCode::OK, 0..self.size_bytes),
            Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
            Wanted::Unsatisfiable => {
                let mut refusal = self.bodiless(StatusCode::RANGE_NOT_SATISFIABLE);
                let whole = HeaderValue::try_from(format!("bytes */{}", self.size_bytes)).expect("visible ASCII");
                refusal.headers_mut().insert(header::CONTENT_RANGE, whole);
                return Selection::Bodiless(refusal);
            }
        };
        let mut head = self
            .head(status)
            .header(header::CONTENT_TYPE, self.content_type)
            .header(header::CONTENT_LENGTH, range.end - range.start);
        if status == StatusCode::PARTIAL_CONTENT {
            let content_range = format!("bytes {}-{}/{}", range.start, range.end - 1, self.size_bytes);
            head = head.header(header::CONTENT_RANGE, content_range);
        }
        if *method == Method::HEAD {
            return Selection::Bodiless(head.body(Body::empty()).expect("the head is made of valid parts"));
        }
        Selection::Bytes(head, range)
    }

    /// `If-Range` lets a range through only for the very representation that the client has a part of.
    fn range_holds(&self, headers: &HeaderMap) -> bool {
        // A date never holds: there is no Last-Modified that it could be.
        headers.get(header::IF_RANGE).is_none_or(|tag| tag == self.etag)
    }

    fn head(&self, status: StatusCode) -> axum::http::response::Builder {
        Response::builder()
            .status(status)
            .header(header::ETAG, &self.etag)
            .header(header::CACHE_CONTROL, self.cache_control)
            .header(header::ACCEPT_RANGES, "bytes")
    }

    fn bodiless(&self, status: StatusCode) -> Response<Body> {
        self.head(status).body(Body::empty()).expect("the head is made of valid parts")
    }
}

/// The lines of a list as one; `None` if there is none. What is not ASCII matches nothing.
fn list(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or_default()).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

fn matches_strongly(tag: &str, etag: &HeaderValue) -> bool {
    let tag = tag.trim();
    tag == "*" || tag.as_bytes() == etag.as_bytes()
}

fn matches_weakly(tag: &str, etag: &HeaderValue) -> bool {
    let tag = tag.trim();
    matches_strongly(tag.strip_prefix("W/").unwrap_or(tag), etag)
}

/// One range of bytes; several are ignored, which RFC 9110 section 14.2 allows, and so is what is malformed.
fn wanted(range: Option<&HeaderValue>, size_bytes: u64) -> Wanted {
    let spec = range.and_then(|range| range.to_str().ok()).and_then(|range| range.trim().strip_prefix("bytes="));
    let Some((first, last)) = spec.filter(|spec| !spec.contains(',')).and_then(|spec| spec.trim().split_once('-'))
    else {
        return Wanted::Whole;
    };
    let range = match (position(first), position(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size_bytes),
        (Some(first), None) if last.is_empty() => first..size_bytes,
        (None, Some(suffix)) if first.is_empty() => size_bytes.saturating_sub(suffix)..size_bytes,
        (Some(_), Some(_)) | (Some(_), None) | (None, Some(_)) | (None, None) => return Wanted::Whole,
    };
    if range.is_empty() { Wanted::Unsatisfiable } else { Wanted::Part(range) }
}

/// Digits only; a number that no size reaches is as good as the largest one.
fn position(digits: &str) -> Option<u64> {
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn representation(size_bytes: u64) -> Representation<'static> {
        let etag = HeaderValue::from_static("\"abc\"");
        Representation { etag, size_bytes, content_type: "video/mp4", cache_control: IMMUTABLE }
    }

    fn select(method: Method, headers: &[(header::HeaderName, &str)]) -> (u16, Option<Range<u64>>, HeaderMap) {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
        match representation(1000).select(&method, &headers) {
            Selection::Bodiless(response) => (response.status().as_u16(), None, response.headers().clone()),
            Selection::Bytes(head, range) => {
                let response = head.body(()).unwrap();
                (response.status().as_u16(), Some(range), response.headers().clone())
            }
        }
    }

    #[test]
    fn conditions_come_before_ranges() {
        let get = |headers: &[(header::HeaderName, &str)]| select(Method::GET, headers).0;
        assert_eq!(get(&[]), 200);
        assert_eq!(get(&[(header::IF_NONE_MATCH, "\"abc\"")]), 304);
        assert_eq!(get(&[(header::IF_NONE_MATCH, "\"x\", W/\"abc\"")]), 304);
        assert_eq!(get(&[(header::IF_NONE_MATCH, "*")]), 304);
        assert_eq!(get(&[(header::IF_NONE_MATCH, "\"abcd\"")]), 200);
        assert_eq!(get(&[(header::IF_MATCH, "\"x\""), (header::IF_NONE_MATCH, "*")]), 412);
        assert_eq!(get(&[(header::IF_MATCH, "W/\"abc\"")]), 412);
        assert_eq!(get(&[(header::IF_MATCH, "\"abc\""), (header::RANGE, "bytes=0-0")]), 206);
        assert_eq!(get(&[(header::IF_NONE_MATCH, "\"abc\""), (header::RANGE, "bytes=0-0")]), 304);
    }

    #[test]
    fn a_range_holds_for_the_same_representation_only() {
        for (if_range, status) in
            [("\"abc\"", 206), ("W/\"abc\"", 200), ("\"x\"", 200), ("Sun, 06 Nov 1994 08:49:37 GMT", 200)]
        {
            let headers = [(header::IF_RANGE, if_range), (header::RANGE, "bytes=10-19")];
            assert_eq!(select(Method::GET, &headers).0, status, "{if_range}");
        }
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let part = |range| Wanted::Part(range);
        for (text, expected) in [
            ("bytes=0-499", part(0..500)),
            ("bytes=500-", part(500..1000)),
            ("bytes=-500", part(500..1000)),
            ("bytes=-5000", part(0..1000)),
            ("bytes=999-5000", part(999..1000)),
            ("bytes=0-99999999999999999999999", part(0..1000)),
            ("bytes=1000-", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=5-4", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(&HeaderValue::from_str(text).unwrap()), 1000), expected, "{text}");
        }
        assert_eq!(wanted(Some(&HeaderValue::from_static("bytes=0-")), 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn heads_say_what_a_get_would() {
        let (status, range, headers) = select(Method::HEAD, &[(header::RANGE, "bytes=0-9")]);
        assert_eq!((status, range), (200, None));
        assert_eq!(headers[header::CONTENT_LENGTH], "1000");
        let (status, range, headers) = select(Method::GET, &[(header::RANGE, "bytes=10-19")]);
        assert_eq!((status, range), (206, Some(10..20)));
        assert_eq!(headers[header::CONTENT_LENGTH], "10");
        assert_eq!(headers[header::CONTENT_RANGE], "bytes 10-19/1000");
        let (status, _, headers) = select(Method::GET, &[(header::RANGE, "bytes=1000-")]);
        assert_eq!((status, &headers[header::CONTENT_RANGE]), (416, &HeaderValue::from_static("bytes */1000")));
    }

    proptest! {
        #[test]
        fn any_range_lies_within(text in "(bytes=)?[0-9,+ -]{0,24}|.{0,16}", size_bytes in 0_u64..5000) {
            let Ok(value) = HeaderValue::from_str(&text) else { return Ok(()) };
            if let Wanted::Part(range) = wanted(Some(&value), size_bytes) {
                prop_assert!(range.start < range.end && range.end <= size_bytes);
            }
        }
    }
}

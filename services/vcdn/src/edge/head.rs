//! The head of a request: what of its fields an answer may depend on. Which requests the loop takes at all is
//! `flame_service_host::plain`'s word.

use axum::http::HeaderMap;
use bytes::Bytes;
use flame_service_host::plain::head;

use crate::passed::Passed;
pub(crate) use flame_service_host::plain::head::{Parsed, Plain};

/// What of the fields matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: the target says it all.
    Plain,
    /// Conditions, ranges, wishes.
    Special,
}

/// Looks at what was read, for the surrogate that calls itself `me` in `CDN-Loop`. Every router marks what it passes on, so
/// that field alone makes nothing special: only where the request is to be refused, which the long way words.
pub(crate) fn parse(bytes: &[u8], me: &str, hops: usize) -> (Parsed, Kind) {
    let (mut kind, mut passed) = (Kind::Plain, Passed::default());
    let parsed = head::parse(bytes, |name, value| {
        if name.eq_ignore_ascii_case("cdn-loop") {
            match text_of(value) {
                Some(value) => passed.note(value, me),
                None => kind = Kind::Special,
            }
        } else if is_special(name) {
            kind = Kind::Special;
        }
    });
    (parsed, if passed.is_refused(hops) { Kind::Special } else { kind })
}

/// The text of a field where it is nothing but that.
fn text_of(value: &[u8]) -> Option<&str> {
    let is_text = value.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\t');
    std::str::from_utf8(value).ok().filter(|_| is_text)
}

/// The fields of a head that [`parse`] has found whole.
pub(crate) fn fields(head: &[u8]) -> HeaderMap {
    // Nothing that is whole has other bytes than fields may have.
    head::fields(&Bytes::copy_from_slice(head)).unwrap_or_default()
}

/// Whether a field changes the answer.
fn is_special(name: &str) -> bool {
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match name.len() {
        5 => is("range"),
        6 => is("cookie") || is("pragma"),
        8 => is("if-match") || is("if-range"),
        9 => is("x-api-key"),
        11 => is("cmcd-object") || is("cmcd-status"),
        12 => is("cmcd-request") || is("cmcd-session"),
        13 => is("if-none-match") || is("cache-control") || is("authorization"),
        17 => is("if-modified-since"),
        19 => is("if-unmodified-since") || is("proxy-authorization"),
        _ => false,
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
    const VALUES: [&str; 12] = [
        "flame-1a2b3c4d;name=cdn.main",
        "flame-1a2b3c4d;name=cdn.main, vcdn-00000002, flame-1a2b3c4e;name=cdn.main",
        "vcdn-00000001",
        "a, b, c",
        "no-cache",
        "no-store",
        "only-if-cached",
        "max-age=0",
        "bytes=0-1",
        "\"1\"",
        "Mon, 02 Nov 2026 10:00:00 GMT",
        "a=1",
    ];

    const ME: &str = "vcdn-00000001";
    const HOPS: usize = 3;

    #[test]
    fn what_a_router_passes_on_is_plain_and_what_goes_in_a_circle_or_too_far_is_not() {
        let kind = |value: &str| {
            parse(format!("GET / HTTP/1.1\r\nHost: x\r\nCDN-Loop: {value}\r\n\r\n").as_bytes(), ME, HOPS).1
        };
        let router = "flame-1a2b3c4d;name=cdn.main";
        for plain in [router, &format!("{router}, {router}, vcdn-2, {router}, vcdn-3"), ""] {
            assert_eq!(kind(plain), Kind::Plain, "{plain}");
        }
        for special in [ME, &format!("{router}, {ME};x"), "a, b, c", "a,b,c,d", "caf\u{e9}"] {
            assert_eq!(kind(special), Kind::Special, "{special}");
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
            let (Parsed::Whole(_), Kind::Plain) = parse(text.as_bytes(), ME, HOPS) else { return Ok(()) };
            let headers = super::fields(text.as_bytes());
            let head = Head::new(StatusCode::OK, "etag: \"1\"".split_once(": ").into_iter().map(|(name, value)| {
                (name.parse().unwrap(), value.parse().unwrap())
            }).collect());
            let now = UnixMs(1_000_000);
            let times = Times { fresh_until: now.plus_ms(5000), ..Times::of(now) };
            prop_assert!(identity::credential(&headers).is_none(), "{}", text);
            let mut passed = Passed::default();
            let loops = headers.get_all("cdn-loop").iter();
            loops.for_each(|value| passed.note(value.to_str().unwrap(), ME));
            prop_assert!(!passed.is_refused(HOPS), "{}", text);
            prop_assert_eq!(policy::condition(&headers, &head), Condition::Holds);
            prop_assert_eq!(policy::part(&headers, &head, 10), Part::Whole);
            prop_assert!(policy::accepts(&headers, &times, now) && !policy::only_if_cached(&headers));
            prop_assert!(!policy::forbids_keeping(&headers));
            prop_assert_eq!(Carried::of("/a", &headers), Carried::Nothing);
        }
    }

    #[test]
    fn a_field_that_changes_the_answer_is_seen_in_any_case() {
        let kind = |field: &str| parse(format!("GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n").as_bytes(), ME, HOPS).1;
        assert_eq!(kind("Accept: */*\r\n"), Kind::Plain);
        for special in ["Range: bytes=0-1\r\n", "IF-NONE-MATCH: \"1\"\r\n", "cookie: a=1\r\n"] {
            assert_eq!(kind(special), Kind::Special, "{special}");
        }
    }
}

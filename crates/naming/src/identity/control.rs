//! What an answer tells caches: the directives of `Cache-Control` (RFC 9111 section 5.2), or of the field that is for caches like
//! ours alone (`CDN-Cache-Control`, RFC 9213). Read once here, for all who share or keep answers.

use http::HeaderName;
use http::header::{self, HeaderMap};
use sfv::{Dictionary, Parser};

use super::list::members;

/// For caches of the origin's own choice, and then instead of Cache-Control (RFC 9213 section 2.1).
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// Directives of one field, their names in lower case, in the order they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives(Vec<(String, Option<String>)>);

/// What an answer tells shared caches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// What counts: those of the targeted field, if it is sound, else those of Cache-Control.
    pub directives: Directives,
    /// Whether they are those of the targeted field; `Expires` and `public` do not count beside it.
    pub is_targeted: bool,
    /// Whether the answer is not for others, as far as its status is understood. A targeted field that is none allows nothing, but what it forbids was meant.
    pub forbids: bool,
}

// === impl Directives ===

impl Directives {
    /// Those of all lines of a field. Lines that are no text say nothing.
    #[must_use]
    pub fn of(headers: &HeaderMap, name: &HeaderName) -> Self {
        let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let part = |part: &str| match part.split_once('=') {
            Some((name, value)) => (name.trim().to_ascii_lowercase(), Some(value.trim().trim_matches('"').to_owned())),
            None => (part.to_ascii_lowercase(), None),
        };
        Self(lines.flat_map(|line| members(line).map(part).collect::<Vec<_>>()).collect())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one is there, with or without a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// The value of the first one of that name; `Some(None)` where it has none.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Option<&str>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_deref())
    }

    /// Seconds, at most those of an unsigned 32-bit number (RFC 9111 section 1.2.2); a number that is none counts as 0: stale.
    #[must_use]
    pub fn seconds(&self, name: &str) -> Option<u64> {
        Some(self.value(name)?.and_then(digits).unwrap_or(0).min(u64::from(u32::MAX)))
    }
}

// === impl Control ===

impl Control {
    /// What the fields of an answer say.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let (ours, all) =
            (Directives::of(headers, &CDN_CACHE_CONTROL), Directives::of(headers, &header::CACHE_CONTROL));
        let is_targeted = is_dictionary(headers, &CDN_CACHE_CONTROL);
        // `must-understand` takes the place of a `no-store` beside it (RFC 9111 section 5.2.2.3).
        let forbidding = |directives: &Directives| {
            directives.has("private") || (directives.has("no-store") && !directives.has("must-understand"))
        };
        let forbids = forbidding(&ours) || (!is_targeted && forbidding(&all));
        Self { directives: if is_targeted { ours } else { all }, is_targeted, forbids }
    }

    /// How long a shared cache may use it, if it says so itself, seconds: `s-maxage` before `max-age`.
    #[must_use]
    pub fn life_s(&self) -> Option<u64> {
        self.directives.seconds("s-maxage").or_else(|| self.directives.seconds("max-age"))
    }
}

/// How long an answer may still be given to others, seconds: its life, less the age that it came with (RFC 9111 section 4.2).
#[must_use]
pub fn fresh_for_s(headers: &HeaderMap) -> u64 {
    let age_s = headers.get(header::AGE).and_then(|value| digits(value.to_str().ok()?)).unwrap_or(0);
    Control::of(headers).life_s().unwrap_or(0).saturating_sub(age_s)
}

/// A whole number of any length; too long ones are the largest.
#[must_use]
pub fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Whether a field is there, and a dictionary with something in it (RFC 9651 section 3.2).
fn is_dictionary(headers: &HeaderMap, name: &HeaderName) -> bool {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
    // Lines are one list, but the end of one must not be continued by the next.
    let is_sound = |line: &&[u8]| Parser::new(*line).parse::<Dictionary>().is_ok_and(|members| !members.is_empty());
    !lines.is_empty() && lines.iter().all(is_sound)
}

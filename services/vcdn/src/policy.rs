//! How the rules of a shared cache apply here: from header fields to [`Times`], parts and conditions. Values in, values out.

use std::time::SystemTime;

use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};

use crate::object::{Head, Times, UnixMs};

/// Life of a "not found" that says nothing itself, milliseconds.
const NEGATIVE_LIFE_MS: u64 = 1000;
/// Fields of requests that a shared answer may depend on; whatever else it names splits the group.
pub(crate) const KEYED: [HeaderName; 3] = [header::ACCEPT, header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE];
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
/// Tags of one object that are noted.
const TAGS_MAX: usize = 64;

/// What of an answer may be kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// All of it, for that long, under these groups, for requests that agree in these fields.
    Shared { times: Times, tags: Box<[Box<str>]>, vary: Vec<HeaderName> },
    /// Nothing: it is for the one who asked.
    Unshared,
}

/// What of a body is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// `first` to `last`, both included.
    Bytes {
        first: u64,
        last: u64,
    },
    Unsatisfiable,
}

/// What the conditions of a request come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Holds,
    NotModified,
    Failed,
}

/// Whether and how long an answer may be kept (RFC 9111 section 3, RFC 9213, RFC 5861).
pub(crate) fn keep(status: StatusCode, headers: &HeaderMap, asked: UnixMs, now: UnixMs) -> Keep {
    // One that is empty or damaged counts as none (RFC 9213 section 2.2): it must not hide a `private` beside it.
    let cdn = Directives::of(headers, &CDN_CACHE_CONTROL);
    let targeted = cdn.is_sound();
    let control = if targeted { cdn } else { Directives::of(headers, &header::CACHE_CONTROL) };
    let is_final = matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501);
    if control.has("no-store") || control.has("private") || headers.contains_key(header::SET_COOKIE) || !is_final {
        return Keep::Unshared;
    }
    let Some(vary) = vary(headers) else { return Keep::Unshared };
    let age_ms = number(headers.get(header::AGE)).unwrap_or(0).saturating_mul(1000);
    let date = headers.get(header::DATE).and_then(date);
    let apparent_ms = date.map_or(0, |date| now.since_ms(date));
    let born = UnixMs(now.0.saturating_sub(age_ms.saturating_add(now.since_ms(asked)).max(apparent_ms)));
    let expires = headers.get(header::EXPIRES);
    let life_ms = if let Some(life_s) = control.seconds("s-maxage").or_else(|| control.seconds("max-age")) {
        Some(life_s.saturating_mul(1000))
    } else if let (Some(expires), false) = (expires, targeted) {
        Some(self::date(expires).map_or(0, |at| at.since_ms(date.unwrap_or(now))))
    } else if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        Some(NEGATIVE_LIFE_MS)
    } else {
        None
    };
    let has_validator = headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED);
    let life_ms = match life_ms {
        _ if control.has("no-cache") => 0,
        Some(life_ms) => life_ms,
        // Nothing was said: it is asked for each time, at the price of a 304.
        None => 0,
    };
    // `s-maxage` alone implies proxy-revalidate (RFC 9111 section 5.2.2.10); who names a grace beside it means it.
    let must = control.has("must-revalidate") || control.has("proxy-revalidate");
    let grace =
        |name: &str| if must || control.has("no-cache") { 0 } else { control.seconds(name).unwrap_or(0) * 1000 };
    let fresh_until = born.plus_ms(life_ms);
    if life_ms == 0 && !has_validator && grace("stale-while-revalidate") == 0 {
        return Keep::Unshared;
    }
    let times = Times {
        born,
        received: now,
        fresh_until,
        while_revalidate_until: fresh_until.plus_ms(grace("stale-while-revalidate")),
        if_error_until: fresh_until.plus_ms(grace("stale-if-error")),
    };
    Keep::Shared { times, tags: tags(headers), vary }
}

/// The fields that an answer depends on; `None` where one of them is not part of any key here.
fn vary(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut fields = Vec::new();
    for value in headers.get_all(header::VARY) {
        for field in value.to_str().ok()?.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            // Upstream never sees an origin, and pages of all of them may read what is shared.
            if field.eq_ignore_ascii_case("origin") {
                continue;
            }
            let field: HeaderName = field.parse().ok().filter(|field| KEYED.contains(field))?;
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
    }
    fields.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    Some(fields)
}

/// Groups of an answer: Cache-Groups (RFC 9875), a list of strings.
fn tags(headers: &HeaderMap) -> Box<[Box<str>]> {
    let values = headers.get_all(&CACHE_GROUPS).iter().filter_map(|value| value.to_str().ok());
    let members = values.flat_map(members).map(|tag| tag.trim().trim_matches('"'));
    members.filter(|tag| !tag.is_empty()).take(TAGS_MAX).map(Box::from).collect()
}

/// What the request wants of a body of `length` bytes (RFC 9110 section 14). Several ranges are answered with the whole.
pub(crate) fn part(request: &HeaderMap, head: &Head, length: u64) -> Part {
    let Some(range) = request.get(header::RANGE).and_then(|range| range.to_str().ok()) else { return Part::Whole };
    if head.status != StatusCode::OK {
        return Part::Whole;
    }
    if let Some(condition) = request.get(header::IF_RANGE) {
        let is_same = head.strong_etag() == Some(condition)
            || head.headers.get(header::LAST_MODIFIED).is_some_and(|modified| modified == condition);
        if !is_same {
            return Part::Whole;
        }
    }
    let Some((first, last)) = single_range(range) else { return Part::Whole };
    match (first, last) {
        (Some(first), _) if first >= length => Part::Unsatisfiable,
        (Some(first), Some(last)) if last < first => Part::Whole,
        (Some(first), last) => Part::Bytes { first, last: last.unwrap_or(u64::MAX).min(length - 1) },
        (None, Some(0)) => Part::Unsatisfiable,
        (None, Some(_)) if length == 0 => Part::Unsatisfiable,
        (None, Some(suffix)) => Part::Bytes { first: length.saturating_sub(suffix), last: length - 1 },
        (None, None) => Part::Whole,
    }
}

fn single_range(range: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, set) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let number = |text: &str| if text.is_empty() { Some(None) } else { digits(text).map(Some) };
    Some((number(first)?, number(last)?))
}

/// What the conditions of a request come to for a stored answer (RFC 9110 section 13.2.2).
pub(crate) fn condition(request: &HeaderMap, head: &Head) -> Condition {
    if head.status != StatusCode::OK {
        return Condition::Holds;
    }
    let modified = head.headers.get(header::LAST_MODIFIED);
    if request.contains_key(header::IF_MATCH) {
        let strong = head.strong_etag();
        let matches = any(request, &header::IF_MATCH, |tag| tag == "*" || strong.is_some_and(|etag| etag == tag));
        if !matches {
            return Condition::Failed;
        }
    } else if let Some(since) = request.get(header::IF_UNMODIFIED_SINCE).and_then(date)
        && modified.and_then(date).is_some_and(|modified| modified > since)
    {
        return Condition::Failed;
    }
    if request.contains_key(header::IF_NONE_MATCH) {
        let weak = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
        let etag = head.etag().and_then(|etag| etag.to_str().ok()).map(weak);
        let matches =
            any(request, &header::IF_NONE_MATCH, |tag| tag == "*" || etag.as_deref() == Some(weak(tag).as_str()));
        return if matches { Condition::NotModified } else { Condition::Holds };
    }
    let since = request.get(header::IF_MODIFIED_SINCE).and_then(date);
    match (since, modified.and_then(date)) {
        (Some(since), Some(modified)) if modified <= since => Condition::NotModified,
        _ => Condition::Holds,
    }
}

fn any(request: &HeaderMap, name: &HeaderName, matches: impl Fn(&str) -> bool) -> bool {
    let values = request.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|tag| matches(tag.trim()))
}

/// Whether the request lets a stored answer be used without asking (RFC 9111 section 5.2.1).
pub(crate) fn accepts(request: &HeaderMap, times: &Times, now: UnixMs) -> bool {
    let control = Directives::of(request, &header::CACHE_CONTROL);
    let is_old_pragma = control.0.is_empty()
        && request.get(header::PRAGMA).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"no-cache"));
    let age_s = now.since_ms(times.born) / 1000;
    let left_s = times.fresh_until.since_ms(now) / 1000;
    !is_old_pragma
        && !control.has("no-cache")
        && control.seconds("max-age").is_none_or(|max_s| age_s <= max_s)
        && control.seconds("min-fresh").is_none_or(|min_s| left_s >= min_s)
}

/// Whether the request wants only what is kept.
pub(crate) fn only_if_cached(request: &HeaderMap) -> bool {
    Directives::of(request, &header::CACHE_CONTROL).has("only-if-cached")
}

/// Directives of a field, lower-cased.
struct Directives(Vec<(String, Option<String>)>);

impl Directives {
    fn of(headers: &HeaderMap, name: &HeaderName) -> Self {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let parts = values.flat_map(members).map(str::trim).filter(|part| !part.is_empty());
        Self(
            parts
                .map(|part| match part.split_once('=') {
                    Some((name, value)) => {
                        (name.trim().to_ascii_lowercase(), Some(value.trim().trim_matches('"').to_owned()))
                    }
                    None => (part.to_ascii_lowercase(), None),
                })
                .collect(),
        )
    }

    /// Whether there are some, each with a name that a directive may have (RFC 8941 section 3.1.2).
    fn is_sound(&self) -> bool {
        let is_key = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_lowercase() || first == '*')
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte))
        };
        !self.0.is_empty() && self.0.iter().all(|(name, _)| is_key(name))
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Seconds; a number that is none counts as 0: stale.
    fn seconds(&self, name: &str) -> Option<u64> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.as_deref().and_then(digits).unwrap_or(0).min(u64::from(u32::MAX)))
    }
}

/// The members of a list field; commas inside quotes separate nothing.
fn members(value: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |character| {
        let plain = !std::mem::take(&mut escaped);
        match character {
            '\\' if quoted && plain => escaped = true,
            '"' if plain => quoted = !quoted,
            ',' => return !quoted,
            _ => {}
        }
        false
    })
}

fn number(value: Option<&HeaderValue>) -> Option<u64> {
    digits(value?.to_str().ok()?)
}

fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { Some(text.parse().unwrap_or(u64::MAX)) } else { None }
}

fn date(value: &HeaderValue) -> Option<UnixMs> {
    let at = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(UnixMs(u64::try_from(since.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_000_000_000_000);

    fn kept(fields: &[(&'static str, &str)]) -> Keep {
        let field = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        keep(StatusCode::OK, &fields.iter().map(field).collect(), NOW, NOW)
    }

    #[test]
    fn a_damaged_targeted_field_hides_nothing() {
        for damaged in ["", ",", "=1", "\"a\"", "max age=60", "60"] {
            for private in ["private, max-age=60", "no-store"] {
                let fields = [("cdn-cache-control", damaged), ("cache-control", private), ("etag", "\"1\"")];
                assert_eq!(kept(&fields), Keep::Unshared, "{damaged}");
            }
        }
        let fields = [("cdn-cache-control", "max-age=60"), ("cache-control", "no-store")];
        assert!(matches!(kept(&fields), Keep::Shared { times, .. } if times.fresh_until == NOW.plus_ms(60_000)));
    }

    #[test]
    fn a_grace_beside_s_maxage_is_meant() {
        let Keep::Shared { times, .. } = kept(&[("cache-control", "s-maxage=60, stale-while-revalidate=30")]) else {
            panic!("it may be kept");
        };
        assert_eq!(times.while_revalidate_until, NOW.plus_ms(90_000));
    }

    #[test]
    fn quoted_commas_separate_nothing() {
        assert_eq!(
            members(r#"a, "b,c", "d\",e",f"#).map(str::trim).collect::<Vec<_>>(),
            ["a", r#""b,c""#, r#""d\",e""#, "f"]
        );
        let Keep::Shared { tags, .. } = kept(&[("cache-control", "max-age=9"), ("cache-groups", r#""a,b", "c""#)])
        else {
            panic!("it may be kept");
        };
        assert_eq!(*tags, [Box::from("a,b"), Box::from("c")]);
        let fields = [("cache-control", r#"foo="x, max-age=60", private"#), ("etag", "\"1\"")];
        assert_eq!(kept(&fields), Keep::Unshared);
    }
}

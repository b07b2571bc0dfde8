//! How the rules of a shared cache apply here: from header fields to [`Times`], parts and conditions. Values in, values out.

use std::time::SystemTime;

use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use flame_naming::identity::control::{Control, Directives, digits};
use flame_naming::identity::list::{members, words};
use flame_naming::identity::{Carried, Sharing, sharing};

use crate::doubt;
use crate::object::{Head, Times, UnixMs};

/// Life of a "not found" that says nothing itself.
const NEGATIVE_LIFE_MS: u64 = 1000;
/// Fields of requests that a shared answer may depend on; whatever else it names splits the group.
pub(crate) const KEYED: [HeaderName; 3] = [header::ACCEPT, header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE];
const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");
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

/// When an answer came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Came {
    /// When it was asked for.
    pub asked: UnixMs,
    pub now: UnixMs,
    /// The same moment by the wall clock, which is what origins date their answers by.
    pub wall: UnixMs,
}

/// What a front adds to the rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// Fields that go upstream for all, and that answers may depend on, beside [`KEYED`].
    pub fields: &'a [HeaderName],
    /// Longest life of an answer that says nothing of its own but when it was last changed.
    pub heuristic_max_ms: u64,
}

/// Whether and how long an answer may be kept (RFC 9111 section 3, RFC 9213, RFC 5861).
pub(crate) fn keep(rules: Rules<'_>, status: StatusCode, headers: &HeaderMap, came: Came) -> Keep {
    let Came { asked, now, wall } = came;
    // What was asked upstream for all carried nothing of one viewer.
    let is_keyed = |field: &HeaderName| rules.is_keyed(field);
    if sharing::judge(is_keyed, Carried::Identity, status, headers) != Sharing::All || !is_final(status) {
        return Keep::Unshared;
    }
    let control = Control::of(headers);
    let says = |name: &str| control.directives.has(name);
    let date = headers.get(header::DATE).and_then(date);
    let born = born(headers, came, date);
    let is_dated = born.is_some();
    let born = born.unwrap_or(asked);
    let said_ms = said_life_ms(&control, headers, date.unwrap_or(wall));
    let life_ms = match said_ms {
        _ if says("no-cache") || !is_dated => 0,
        Some(life_ms) => life_ms,
        None if !is_heuristic(status) && !says("public") => return Keep::Unshared,
        None => assumed_life_ms(rules, status, headers, date.unwrap_or(wall)),
    };
    let has_validator = headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED);
    // `s-maxage` alone implies proxy-revalidate (RFC 9111 section 5.2.2.10); who names a grace beside it means it.
    let must = says("must-revalidate") || says("proxy-revalidate") || says("no-cache");
    let grace_ms = |name: &str| if must { 0 } else { control.directives.seconds(name).unwrap_or(0) * 1000 };
    let fresh_until = born.plus_ms(life_ms);
    if life_ms == 0 && !has_validator && grace_ms("stale-while-revalidate") == 0 {
        return Keep::Unshared;
    }
    let times = Times {
        born,
        received: now,
        fresh_until,
        while_revalidate_until: fresh_until.plus_ms(grace_ms("stale-while-revalidate")),
        if_error_until: fresh_until.plus_ms(grace_ms("stale-if-error")),
    };
    Keep::Shared { times, tags: tags(headers), vary: vary(headers) }
}

/// When the origin made it (RFC 9111 section 4.2.3); `None` where its age is none, or several: that may be any.
fn born(headers: &HeaderMap, came: Came, date: Option<UnixMs>) -> Option<UnixMs> {
    let mut ages = headers.get_all(header::AGE).iter();
    let age_s = match (ages.next(), ages.next()) {
        (None, _) => 0,
        (Some(age), None) => age.to_str().ok().and_then(digits)?,
        (Some(_), Some(_)) => return None,
    };
    let apparent_ms = date.map_or(0, |date| came.wall.since_ms(date));
    let corrected_ms = age_s.saturating_mul(1000).saturating_add(came.now.since_ms(came.asked));
    Some(UnixMs(came.now.0.saturating_sub(corrected_ms.max(apparent_ms))))
}

/// The life that an answer states. `Expires` does not count beside a targeted field.
fn said_life_ms(control: &Control, headers: &HeaderMap, date: UnixMs) -> Option<u64> {
    if let Some(life_s) = control.life_s() {
        return Some(life_s.saturating_mul(1000));
    }
    let expires = headers.get(header::EXPIRES).filter(|_| !control.is_targeted)?;
    Some(self::date(expires).map_or(0, |at| at.since_ms(date)))
}

/// The life of an answer that states none: a tenth of the time for which it has not changed (RFC 9111 section 4.2.2), so that what
/// has just been made is asked for again at once. "Not found" is believed for a moment.
fn assumed_life_ms(rules: Rules<'_>, status: StatusCode, headers: &HeaderMap, date: UnixMs) -> u64 {
    let modified = headers.get(header::LAST_MODIFIED).and_then(self::date);
    match modified {
        Some(modified) => (date.since_ms(modified) / 10).min(rules.heuristic_max_ms),
        None if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) => NEGATIVE_LIFE_MS,
        None => 0,
    }
}

/// Statuses that may be kept without a word about it (RFC 9110 section 15.1), but 206: parts are not kept as such.
fn is_heuristic(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Whether a status is the answer to a plain request, whoever sends it. A part, a refusal to one client, or what is about the
/// connection is not; nor is a fault, which is over when the next one asks, whatever life a framework gave it by habit.
fn is_final(status: StatusCode) -> bool {
    let is_fault = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
    let is_for_one = matches!(
        status.as_u16(),
        100..=199 | 206 | 304 | 401 | 407 | 408 | 412 | 413 | 416 | 417 | 421 | 425 | 426 | 428 | 429 | 431
    );
    !is_fault && !is_for_one
}

/// Whether an answer that may not be kept says that the next ones may not either: then nobody waits for another's. A fault or a
/// refusal says nothing of what comes when it is over, and a part nothing of the whole.
pub(crate) fn stays_unshared(status: StatusCode) -> bool {
    status.as_u16() < 400 && status != StatusCode::PARTIAL_CONTENT
}

// === impl Came ===

impl Came {
    /// Now, to what was asked then.
    pub(crate) fn now(asked: UnixMs) -> Self {
        Self { asked, now: UnixMs::now(), wall: UnixMs::by_the_wall() }
    }
}

// === impl Rules ===

impl Rules<'_> {
    /// Whether all who wait for one answer agree in a field.
    fn is_keyed(&self, field: &HeaderName) -> bool {
        // Upstream never sees an origin, and pages of all of them may read what is shared.
        KEYED.contains(field) || *field == header::ORIGIN || self.fields.contains(field)
    }
}

/// The fields that an answer depends on, each once, in one order.
fn vary(headers: &HeaderMap) -> Vec<HeaderName> {
    let fields = words(headers, &header::VARY);
    let mut fields: Vec<HeaderName> = fields.iter().filter_map(|field| field.parse().ok()).collect();
    fields.retain(|field| *field != header::ORIGIN);
    // Who cannot read a coding must not get it because an origin forgot to name the field.
    if headers.contains_key(header::CONTENT_ENCODING) {
        fields.push(header::ACCEPT_ENCODING);
    }
    fields.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    fields.dedup();
    fields
}

/// Groups of an answer: Cache-Groups (RFC 9875 section 2).
pub(crate) fn tags(headers: &HeaderMap) -> Box<[Box<str>]> {
    groups(headers, &CACHE_GROUPS)
}

/// What an answer with `status` says of whether it is worth asking: a router says with those of a gateway that nobody behind it is there.
pub(crate) fn gave(status: StatusCode) -> doubt::Gave {
    match status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => doubt::Gave::Nothing,
        status if status.is_server_error() => doubt::Gave::Fault,
        _ => doubt::Gave::Answer,
    }
}

/// Groups that an answer to a change says are not any more what they were: Cache-Group-Invalidation (RFC 9875 section 3).
pub(crate) fn invalidated(headers: &HeaderMap) -> Box<[Box<str>]> {
    groups(headers, &CACHE_GROUP_INVALIDATION)
}

/// A list of strings. One that is damaged hides none of the others: a group that is not known cannot be purged.
fn groups(headers: &HeaderMap, name: &HeaderName) -> Box<[Box<str>]> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let groups = values.flat_map(members).map(string);
    groups.filter(|group| !group.is_empty()).take(TAGS_MAX).collect()
}

/// What a member of a list says, without its parameters: a string (RFC 9651 section 3.3.3) with its escapes undone, or a bare word.
fn string(member: &str) -> Box<str> {
    let Some(quoted) = member.strip_prefix('"') else {
        return member.split(';').next().unwrap_or_default().trim_matches(['"', ' ']).into();
    };
    let (mut text, mut letters) = (String::with_capacity(quoted.len()), quoted.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => text.extend(letters.next()),
            letter => text.push(letter),
        }
    }
    text.into()
}

/// What the request wants of a body of `length` bytes (RFC 9110 section 14). Several ranges are answered with the whole, and so is
/// any where upstream said that there are none (section 14.3): it knows that its text is another one soon.
pub(crate) fn part(request: &HeaderMap, head: &Head, length: u64) -> Part {
    let Some(range) = request.get(header::RANGE).and_then(|range| range.to_str().ok()) else { return Part::Whole };
    let has_ranges = head.headers.get(header::ACCEPT_RANGES).is_none_or(|units| units != "none");
    if head.status != StatusCode::OK || !has_ranges {
        return Part::Whole;
    }
    if let Some(condition) = request.get(header::IF_RANGE) {
        let is_same = head.strong_etag() == Some(condition) || strong_date(head) == Some(condition);
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

/// When it was last changed, if that says that bytes are equal: its origin saw at least a second of its clock go by since, so nothing
/// else can bear that date (RFC 9110 section 8.8.2.2).
fn strong_date(head: &Head) -> Option<&HeaderValue> {
    let modified = head.headers.get(header::LAST_MODIFIED)?;
    let said = head.headers.get(header::DATE).and_then(date)?;
    (date(modified)?.plus_ms(1000) <= said).then_some(modified)
}

/// The first and the last byte that a request names, where it names a first one.
pub(crate) fn range(request: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let (first, last) = single_range(request.get(header::RANGE)?.to_str().ok()?)?;
    Some((first?, last))
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
    // What does not say when it was changed was not changed after it was made (RFC 9111 section 4.3.2).
    let modified = modified.or_else(|| head.headers.get(header::DATE));
    match (since, modified.and_then(date)) {
        (Some(since), Some(modified)) if modified <= since => Condition::NotModified,
        _ => Condition::Holds,
    }
}

fn any(request: &HeaderMap, name: &HeaderName, matches: impl Fn(&str) -> bool) -> bool {
    let values = request.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(members).any(|tag| matches(tag.trim()))
}

/// Whether the request lets a stored answer be used without asking (RFC 9111 section 5.2.1).
pub(crate) fn accepts(request: &HeaderMap, times: &Times, now: UnixMs) -> bool {
    let control = Directives::of(request, &header::CACHE_CONTROL);
    let is_old_pragma = control.is_empty()
        && request.get(header::PRAGMA).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"no-cache"));
    let age_s = now.since_ms(times.born) / 1000;
    let left_s = times.fresh_until.since_ms(now) / 1000;
    !is_old_pragma
        && !control.has("no-cache")
        && control.seconds("max-age").is_none_or(|max_s| age_s <= max_s)
        && control.seconds("min-fresh").is_none_or(|min_s| left_s >= min_s)
}

/// Whether nothing of the answer to this request may be kept (RFC 9111 section 5.2.1.5).
pub(crate) fn forbids_keeping(request: &HeaderMap) -> bool {
    Directives::of(request, &header::CACHE_CONTROL).has("no-store")
}

/// Whether the request wants only what is kept.
pub(crate) fn only_if_cached(request: &HeaderMap) -> bool {
    Directives::of(request, &header::CACHE_CONTROL).has("only-if-cached")
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
    const RULES: Rules<'static> = Rules { fields: &[], heuristic_max_ms: 3_600_000 };

    fn kept(fields: &[(&'static str, &str)]) -> Keep {
        let field = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        keep(RULES, StatusCode::OK, &fields.iter().map(field).collect(), Came { asked: NOW, now: NOW, wall: NOW })
    }

    #[test]
    fn a_wall_clock_that_was_set_makes_an_answer_no_younger() {
        let day_ms = 86_400_000;
        let fields = [("cache-control", "max-age=60"), ("age", "10"), ("date", "Sun, 09 Sep 2001 01:46:40 GMT")];
        let field = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        let headers = fields.iter().map(field).collect();
        for wall in [NOW.plus_ms(day_ms), NOW, UnixMs(NOW.0 - day_ms)] {
            let came = Came { asked: NOW, now: NOW.plus_ms(1000), wall };
            let Keep::Shared { times, .. } = keep(RULES, StatusCode::OK, &headers, came) else {
                panic!("it may be kept");
            };
            // A tenth of its life upstream, a second on the way; what a clock ahead adds only makes it older.
            assert!(times.fresh_until <= NOW.plus_ms(50_000), "{wall:?}: {times:?}");
            assert!(wall > NOW || times.fresh_until == NOW.plus_ms(50_000), "{wall:?}: {times:?}");
        }
    }

    #[test]
    fn only_an_answer_that_is_not_for_sharing_keeps_the_next_ones_from_waiting() {
        let stays: Vec<u16> = (200..600).filter(|code| stays_unshared(StatusCode::from_u16(*code).unwrap())).collect();
        assert!(stays.contains(&200) && stays.contains(&302) && !stays.contains(&206), "{stays:?}");
        assert_eq!(stays.iter().find(|code| **code >= 400), None);
    }

    #[test]
    fn what_upstream_gives_no_ranges_of_is_whole_here_too() {
        let request = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static("bytes=9-"))]);
        for (units, wanted) in [("none", Part::Whole), ("bytes", Part::Bytes { first: 9, last: 9 })] {
            let fields = HeaderMap::from_iter([(header::ACCEPT_RANGES, HeaderValue::from_static(units))]);
            assert_eq!(part(&request, &Head::new(StatusCode::OK, fields), 10), wanted);
        }
    }

    #[test]
    fn a_date_says_that_bytes_are_equal_only_where_a_second_has_gone_by() {
        let (modified, later) = ("Mon, 02 Nov 2026 10:00:00 GMT", "Mon, 02 Nov 2026 10:00:01 GMT");
        let field = |(name, value): (&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        let part = |kept: &[(&'static str, &str)], condition: &str| {
            let head = Head::new(StatusCode::OK, kept.iter().copied().map(field).collect());
            let request = [("range", "bytes=0-1"), ("if-range", condition)];
            super::part(&request.into_iter().map(field).collect(), &head, 10)
        };
        let bytes = Part::Bytes { first: 0, last: 1 };
        assert_eq!(part(&[("last-modified", modified), ("date", later)], modified), bytes);
        for (kept, condition) in [
            (&[("last-modified", modified), ("date", modified)][..], modified),
            (&[("last-modified", modified)], modified),
            (&[("last-modified", later), ("date", modified)], later),
            (&[("last-modified", modified), ("date", later)], later),
            (&[("last-modified", "yesterday"), ("date", later)], "yesterday"),
        ] {
            assert_eq!(part(kept, condition), Part::Whole, "{kept:?} {condition}");
        }
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
        let Keep::Shared { tags, .. } = kept(&[("cache-control", "max-age=9"), ("cache-groups", r#""a,b", "c""#)])
        else {
            panic!("it may be kept");
        };
        assert_eq!(*tags, [Box::from("a,b"), Box::from("c")]);
        let odd = r#""say \"a\"", "back\\slash";x="y", word;z=1, "", "open"#;
        let tags = super::tags(&[(CACHE_GROUPS, odd.parse().unwrap())].into_iter().collect());
        assert_eq!(*tags, [r#"say "a""#, r"back\slash", "word", "open"].map(Box::from));
        let fields = [("cache-control", r#"foo="x, max-age=60", private"#), ("etag", "\"1\"")];
        assert_eq!(kept(&fields), Keep::Unshared);
    }
}

//! The surrogate's own reading of requests, and of what answers say of their keeping.

use flame_api::vcdn::PurgeEntry;
use flame_naming::Name;
use flame_naming::identity::{Token, url};
use flame_vcdn::parsers::{self, Condition, Head, Part, Read};
use flame_vcdn::rules::cmcd::{Carried, Report};
use http::{HeaderMap, StatusCode};

use crate::fields::{fields, lines, says, text, with};

/// Reports of a batch that are read.
const EVENTS_MAX: usize = 3;
/// Times as of some day in 2027, Unix milliseconds.
const NOW_MS: u64 = 1_800_000_000_000;

/// A head as RFC 9112 has it, line by line.
struct Model<'a> {
    length: usize,
    method: &'a str,
    target: &'a str,
    version: &'a str,
    fields: Vec<(String, Vec<u8>)>,
}

pub fn head(data: &[u8]) {
    let Read::Whole(head) = parsers::read(data) else { return };
    assert_eq!(parsers::read(&data[..head.length]), Read::Whole(head.clone()), "what follows a head changes it");
    assert_eq!(parsers::read(&data[..head.length - 1]), Read::Partial, "a head ends before its end");
    let model = Model::read(data).expect("a head that is answered is a request");
    assert_eq!((model.length, model.version), (head.length, "HTTP/1.1"));
    assert_eq!(model.method, if head.is_head { "HEAD" } else { "GET" });
    assert_eq!(data.get(head.target.clone()), Some(model.target.as_bytes()), "the target stands elsewhere");
    let count = |name: &str| model.fields.iter().filter(|(known, _)| known == name).count();
    assert_eq!(count("host"), 1);
    for name in ["content-length", "transfer-encoding", "upgrade", "expect"] {
        assert_eq!(count(name), 0, "{name}");
    }
    let closes = model.fields.iter().any(|(name, value)| name == "connection" && value.eq_ignore_ascii_case(b"close"));
    assert_eq!(head.keeps_alive, !closes);
    if head.is_plain {
        for name in ["range", "authorization", "cookie", "if-none-match", "cache-control"] {
            assert_eq!(count(name), 0, "{name}");
        }
    }
    same_fields(&head, &parsers::fields(&data[..head.length]), &model);
}

/// The fields that answers are chosen by are those that stand there.
fn same_fields(head: &Head, read: &HeaderMap, model: &Model<'_>) {
    assert_eq!(read.len(), model.fields.len(), "{head:?}");
    for (name, value) in &model.fields {
        assert!(read.get_all(name).iter().any(|known| known.as_bytes() == value.as_slice()), "{name} got lost");
    }
}

impl<'a> Model<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let mut at = 0;
        let mut line = || {
            let rest = data.get(at..)?;
            let length = rest.iter().position(|byte| *byte == b'\n')?;
            at += length + 1;
            let line = &rest[..length];
            Some((line.strip_suffix(b"\r").unwrap_or(line), at))
        };
        // An empty line before a request is nothing (RFC 9112 section 2.2).
        let (first, _) = std::iter::from_fn(&mut line).find(|(line, _)| !line.is_empty())?;
        let [method, target, version] =
            <[&str; 3]>::try_from(std::str::from_utf8(first).ok()?.split(' ').collect::<Vec<_>>()).ok()?;
        let mut fields = Vec::new();
        loop {
            let (line, end) = line()?;
            if line.is_empty() {
                return Some(Self { length: end, method, target, version, fields });
            }
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
            let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
            if name.is_empty() || !name.iter().all(is_token) || !value.iter().all(is_text) {
                return None;
            }
            fields.push((String::from_utf8(name.to_ascii_lowercase()).ok()?, value.to_vec()));
        }
    }
}

pub fn range(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let [length, etag, request] = lines(text);
    let (Ok(length), request) = (length.parse::<u64>(), fields(request)) else { return };
    let kept = fields(&format!("etag: {etag}"));
    let asked = request.get("range").and_then(|range| range.to_str().ok());
    let part = parsers::part(&request, &kept, length);
    let Some(asked) = asked else { return assert_eq!(part, Part::Whole) };
    if let Some(condition) = request.get("if-range") {
        let is_strong = etag.trim().starts_with('"') && kept.get("etag") == Some(condition);
        assert!(is_strong || part == Part::Whole, "a part of something else");
    }
    let plain: String = asked.chars().filter(|letter| *letter != ' ' && *letter != '\t').collect();
    let model = plain.to_ascii_lowercase().strip_prefix("bytes=").and_then(|set| model_part(set, length));
    match part {
        Part::Whole => {
            let is_clear = asked.starts_with("bytes=") && asked == plain && !request.contains_key("if-range");
            assert!(!is_clear || model.is_none(), "a clear range is passed over: {asked}");
        }
        Part::Bytes(first, last) => {
            assert!(first <= last && last < length);
            assert_eq!(model, Some(Some((u128::from(first), u128::from(last)))), "{asked}");
        }
        Part::Unsatisfiable => assert_eq!(model, Some(None), "{asked}"),
    }
}

/// One range (RFC 9110 section 14.1.2): `Some(None)` is one that nothing satisfies, `None` is none.
fn model_part(set: &str, length: u64) -> Option<Option<(u128, u128)>> {
    let (first, last) = set.split_once('-')?;
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // Longer ones are beyond any body.
        is_number.then(|| digits.parse::<u128>().unwrap_or(u128::MAX))
    };
    let length = u128::from(length);
    if first.is_empty() {
        let suffix = number(last)?;
        return Some((suffix > 0 && length > 0).then(|| (length.saturating_sub(suffix), length - 1)));
    }
    let first = number(first)?;
    let last = if last.is_empty() { u128::MAX } else { number(last)? };
    if first >= length {
        return Some(None);
    }
    (first <= last).then(|| Some((first, last.min(length - 1))))
}

pub fn conditions(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let [etag, modified, request] = lines(text);
    let (kept, request) = (fields(&format!("etag: {etag}\nlast-modified: {modified}")), fields(request));
    let has = |name: &str| request.contains_key(name);
    let found = parsers::condition(&request, &kept);
    match found {
        Condition::NotModified => assert!(has("if-none-match") || has("if-modified-since")),
        Condition::Failed => assert!(has("if-match") || has("if-unmodified-since")),
        Condition::Holds => {}
    }
    let is_tag = |tag: &str| {
        let opaque = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        opaque.is_some_and(|opaque| opaque.bytes().all(|byte| byte > b' ' && byte != b'"' && byte != 0x7f))
    };
    let Some(own) = kept.get("etag").and_then(|etag| etag.to_str().ok()).filter(|etag| is_tag(etag)) else { return };
    // Whatever else is listed, what is kept is among it now.
    if found != Condition::Failed && !has("if-none-match") {
        assert_eq!(parsers::condition(&with(&request, "if-none-match", own), &kept), Condition::NotModified, "{own}");
    }
    if !has("if-match") {
        let is_strong = own.starts_with('"');
        let fails = parsers::condition(&with(&request, "if-match", own), &kept) == Condition::Failed;
        assert_eq!(fails, !is_strong, "If-Match compares strongly: {own}");
        assert_ne!(parsers::condition(&with(&request, "if-match", "*"), &kept), Condition::Failed);
    }
}

pub fn policy(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let [status, answer] = lines(text);
    let Ok(status) = StatusCode::from_bytes(status.trim().as_bytes()) else { return };
    let answer = fields(answer);
    let keep = |answer: &HeaderMap| parsers::keep(status, answer, NOW_MS);
    if let Some(kept) = keep(&answer) {
        assert!(kept.fresh_until_ms <= kept.while_revalidate_until_ms, "{kept:?}");
        assert!(kept.fresh_until_ms <= kept.if_error_until_ms, "{kept:?}");
        assert!(kept.tags.len() <= 64 && kept.vary.len() <= 8 && kept.vary.is_sorted(), "{kept:?}");
        assert!(!answer.contains_key("set-cookie"));
        if !answer.contains_key("cdn-cache-control") {
            for word in ["private", "no-store"] {
                assert!(!says(&answer, "cache-control", word), "{word} is said, and it is kept");
            }
        }
    }
    assert_eq!(keep(&with(&answer, "set-cookie", "a=b")), None);
    assert_eq!(keep(&with(&answer, "vary", "*")), None);
    if !answer.contains_key("cdn-cache-control") {
        for word in ["private", "No-Store", "private=\"x\""] {
            assert_eq!(keep(&with(&answer, "cache-control", word)), None, "{word} is added, and it is kept");
        }
    }
}

/// The first line is where the playlist lies, the rest is the playlist.
pub fn playlist(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let [base, playlist] = lines(text);
    let named = parsers::named(base, playlist);
    // A manifest has templates: what it names need not stand there.
    let is_manifest = parsers::is_manifest(playlist);
    assert!(is_manifest || named.len() <= playlist.lines().count(), "a line names one thing at most");
    for (reference, target) in &named {
        let stands_there = playlist.contains(reference.as_str()) && !reference.contains('\n');
        assert!(is_manifest || stands_there, "{reference:?} stands nowhere");
        let Some(target) = target else { continue };
        assert!(target.starts_with('/') && !target.contains('#'), "{target:?} leaves the name");
        assert!(target.bytes().all(|byte| byte > b' ' && byte < 0x7f), "{target:?} cannot be asked for");
    }
    let canonical = |target: &String| url::canonical(target, Token::Unverified);
    let targets: Vec<String> = named.iter().filter_map(|(_, target)| canonical(target.as_ref()?)).collect();
    for target in parsers::in_order(base, playlist.as_bytes()) {
        assert_eq!(canonical(&target).as_ref(), Some(&target), "it is not what is asked for");
        assert!(!url::has_token(&target), "{target:?} is one viewer's own");
        assert!(targets.contains(&target), "{target:?} is not named");
    }
}

/// What another surrogate tells.
pub fn purge(data: &[u8]) {
    let Ok(entry) = serde_json::from_slice::<PurgeEntry>(data) else { return };
    let purge = &entry.purge;
    let [any, other] = ["cdn", "somebody-else.main.another"].map(|name| name.parse::<Name>().expect("it is a name"));
    // All names of a tenant: any of them stands for them.
    let of_tenant = match purge.name.as_str() {
        "*" => Some("default"),
        name => name.strip_prefix("*."),
    };
    let name = match of_tenant {
        Some(tenant) => {
            tenant.parse().and_then(|tenant| Name::new(any.function().clone(), any.instance().clone(), tenant))
        }
        None => purge.name.parse::<Name>(),
    };
    let Ok(name) = name else {
        return assert_eq!(parsers::covers(purge, &any, "/a", &[]), None);
    };
    let covers = |target: &str, tags: &[&str]| parsers::covers(purge, &name, target, tags);
    if covers("/", &[]).is_none() {
        return;
    }
    let canonical = |text: &Option<String>| text.as_ref().and_then(|text| url::canonical(text, Token::Unverified));
    let (of_url, of_prefix) = (canonical(&purge.url), canonical(&purge.prefix));
    match (&of_url, &of_prefix, &purge.tag) {
        (Some(url), None, None) => {
            assert_eq!((covers(url, &[]), covers(&format!("{url}\0677a6970,"), &[])), (Some(true), Some(true)));
            assert_eq!(covers(&format!("{url}x"), &[]), Some(false));
        }
        (None, Some(prefix), None) => {
            assert_eq!((covers(prefix, &[]), covers(&format!("{prefix}x?y"), &[])), (Some(true), Some(true)));
            let elsewhere = format!("/x{prefix}");
            assert_eq!(covers(&elsewhere, &[]), Some(elsewhere.starts_with(prefix.as_str())));
        }
        (None, None, Some(tag)) => {
            assert_eq!((covers("/a", &[tag]), covers("/a", &[])), (Some(true), Some(false)));
            assert_eq!(covers("/a", &[&format!("{tag}x")]), Some(false));
        }
        _ => panic!("not exactly one of url, prefix and tag, and it is done: {purge:?}"),
    }
    let covers_other = if of_tenant.is_some() { other.tenant() == name.tenant() } else { other == name };
    if !covers_other {
        let target = of_url.or(of_prefix).unwrap_or_else(|| "/a".to_owned());
        let tags: Vec<&str> = purge.tag.iter().map(String::as_str).collect();
        assert_eq!(parsers::covers(purge, &other, &target, &tags), Some(false), "another's");
    }
}

/// ETag, bytes that are here, length of the whole, and the fields of the rest.
pub fn content_range(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let [etag, written, length, answer] = lines(text);
    let (Ok(written), length) = (written.parse::<u64>(), length.parse::<u64>().ok()) else { return };
    let (own, answer) = (fields(&format!("etag: {etag}")), fields(answer));
    let own = own.get("etag");
    let model = || {
        let range = answer.get("content-range")?.to_str().ok()?.strip_prefix("bytes ")?;
        let (span, whole) = range.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        let [first, last, whole] = [first, last, whole].map(|digits| digits.parse::<u64>());
        let (first, last, whole) = (first.ok()?, last.ok()?, whole.ok()?);
        (first == written && Some(whole) == length && first <= last && last < whole && last == whole - 1).then_some(())
    };
    if parsers::continues(&answer, own, written, length) {
        assert_eq!(model(), Some(()), "{answer:?} is not the rest");
        assert!(own.is_some() && answer.get("etag") == own, "other bytes");
    }
    assert!(!parsers::continues(&answer, None, written, length) && !parsers::continues(&answer, own, written, None));
    let own = own.and_then(|own| own.to_str().ok());
    if let (Some(own), Some(length)) = (own, length.filter(|length| written < *length)) {
        let rest = fields(&format!("etag: {own}\ncontent-range: bytes {written}-{}/{length}", length - 1));
        assert!(parsers::continues(&rest, rest.get("etag"), written, Some(length)), "the rest itself");
    }
}

/// The first line is one report, all lines are a batch of them.
pub fn reports(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let [first, _] = lines(text);
    if let Some(report) = Report::parse(first) {
        for word in [&report.session, &report.content].into_iter().flatten() {
            assert!(word.len() <= first.len() && !word.chars().any(char::is_control), "{word:?}");
        }
    }
    let (reports, damaged) = Report::parse_events(text, EVENTS_MAX);
    let written = text.lines().filter(|line| !line.trim().is_empty()).count();
    assert_eq!(reports.len() + damaged, written.min(EVENTS_MAX));
    for line in text.lines().filter(|line| !line.contains('%')) {
        // In a query it is the same report.
        let fields = HeaderMap::new();
        let target = format!("/a?CMCD={}", line.replace('&', "%26").replace('#', "%23"));
        if let Carried::Report(report) = Carried::of(&target, &fields) {
            assert_eq!(Report::parse(line), Some(report), "{target}");
        }
    }
}

//! What the router reads: files of entries, lines of peers, heads of answers, fields of one hop.

use std::collections::{BTreeMap, BTreeSet};

use flame_api::peers::{Entry, Line, Place};
use flame_naming::peers::{Applied, Key, Message, Replica, Stamp};
use flame_naming::{Label, Mount};
use flame_router::parsers::{self, LineAnswer};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method};

use crate::fields::{fields, text};

/// Registrations that a replica of these targets takes.
const LIMIT: usize = 4;
/// Fields that end at each hop (RFC 9110 section 7.6.1).
const OF_ONE_HOP: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "transfer-encoding",
    "upgrade",
];

pub fn static_entries(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let [edge, cloud]: [Label; 2] = ["edge", "cloud"].map(|site| site.parse().expect("a site"));
    let read = parsers::static_entries(text, &edge);
    let other = parsers::static_entries(text, &cloud);
    let Ok(entries) = read else { return };
    for place in entries.values().flat_map(BTreeMap::values) {
        assert!(place.address.port() > 0 && !place.address.ip().is_unspecified() && place.generation == 0);
    }
    // An entry that names its site is the same for every router.
    if let Ok(other) = other {
        let named = |map: &BTreeMap<Label, BTreeMap<Key, Place>>| {
            map.iter()
                .filter(|(site, _)| **site != edge && **site != cloud)
                .map(|(site, it)| (site.clone(), it.clone()))
                .collect()
        };
        let (one, two): (BTreeMap<_, _>, BTreeMap<_, _>) = (named(&entries), named(&other));
        assert_eq!(one, two);
    }
}

/// The method of a request on a line, and octets that answer it.
pub fn line(data: &[u8]) {
    let (method, octets) = match (data.strip_prefix(b"GET\n"), data.strip_prefix(b"HEAD\n")) {
        (Some(octets), _) => (Method::GET, octets),
        (None, Some(octets)) => (Method::HEAD, octets),
        (None, None) => return,
    };
    let read = parsers::line_answer(octets, &method, octets.len());
    for piece_bytes in [1, 3] {
        assert_eq!(parsers::line_answer(octets, &method, piece_bytes), read, "in pieces of {piece_bytes}");
    }
    let Ok(Some(answer)) = read else { return };
    let LineAnswer { body, rest, .. } = &answer;
    if answer.is_whole {
        let (model, after) = model_of_body(&answer, &method, octets).expect("a whole body is one to the model");
        assert_eq!((body, rest), (&model, &after));
    } else {
        assert!(body.len() < octets.len(), "more came out than went in");
    }
}

/// The body of an answer and what comes after it, read by the letter (RFC 9112 sections 6.3 and 7.1).
fn model_of_body(answer: &LineAnswer, method: &Method, octets: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let bodiless = *method == Method::HEAD || matches!(answer.status.as_u16(), 101 | 204 | 304);
    let coding = last_of(&answer.fields, "transfer-encoding");
    // Heads before this one end like it; it is the last whose body is asked for.
    let starts = (0..octets.len()).filter(|at| ends_head(&octets[..*at]));
    let mut bodies = starts.map(|start| &octets[start..]).chain([&octets[octets.len()..]]);
    bodies.find_map(|from| {
        let (body, after) = match (&coding, last_of(&answer.fields, "content-length")) {
            _ if bodiless => (Vec::new(), from),
            (Some(coding), _) if coding.rsplit(',').next()?.trim().eq_ignore_ascii_case("chunked") => chunks(from)?,
            (Some(_), _) | (None, None) => (from.to_vec(), &from[from.len()..]),
            (None, Some(length)) => {
                let length = length.rsplit(',').next()?.trim().parse().ok()?;
                (from.get(..length)?.to_vec(), &from[length..])
            }
        };
        (body == answer.body && after == answer.rest).then(|| (body, after.to_vec()))
    })
}

fn last_of(fields: &HeaderMap, name: &'static str) -> Option<String> {
    fields.get_all(name).iter().next_back().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn ends_head(octets: &[u8]) -> bool {
    octets.ends_with(b"\n\r\n") || octets.ends_with(b"\n\n")
}

fn chunks(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let line = |rest: &mut &[u8]| {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&rest[..end]).ok().map(str::to_owned);
        *rest = &rest[end + 2..];
        Some(line.unwrap_or_else(|| "x".to_owned()))
    };
    let mut body = Vec::new();
    loop {
        let size = line(&mut rest)?;
        let size = usize::from_str_radix(size.split(';').next()?.trim_end(), 16).ok()?;
        if size == 0 {
            while !line(&mut rest)?.is_empty() {}
            return Some((body, rest));
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

/// Lines of a feed.
pub fn peer_feed(data: &[u8]) {
    let mut replica: Replica<Place> = Replica::new(LIMIT);
    let mut model: (Option<Stamp>, BTreeMap<Key, Place>) = (None, BTreeMap::new());
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let Ok(message) = parsers::peer_line(line) else { continue };
        let written = serde_json::to_vec(&as_line(&message)).expect("a line is JSON");
        assert_eq!(parsers::peer_line(&written).as_ref(), Ok(&message), "a line is written otherwise than it is read");
        let before = replica.entries().clone();
        let applied = replica.apply(message.clone());
        match applied {
            Applied::Newer(changes) => {
                model = become_of(&model, &message).expect("the model takes what the replica takes");
                let mut changed = before;
                for (key, value) in changes {
                    match value {
                        Some(value) => changed.insert(key, value),
                        None => changed.remove(&key),
                    };
                }
                assert_eq!(&changed, replica.entries(), "the changes do not make the new state of the old one");
            }
            Applied::Old | Applied::Gap | Applied::TooMany { .. } => assert_eq!(&before, replica.entries()),
        }
        assert!(replica.entries().len() <= LIMIT);
        assert_eq!((replica.stamp(), replica.entries()), (model.0, &model.1));
    }
}

/// What an owner's message makes of what was known, if it fits on it.
fn become_of(
    known: &(Option<Stamp>, BTreeMap<Key, Place>),
    message: &Message<Place>,
) -> Option<(Option<Stamp>, BTreeMap<Key, Place>)> {
    match message {
        Message::Full { stamp, entries } => Some((Some(*stamp), entries.clone())),
        Message::Alive { .. } => None,
        Message::Delta { after, stamp, changes } => {
            let have = known.0.filter(|have| have.incarnation == stamp.incarnation && have.version >= *after)?;
            assert!(have < *stamp, "time goes back");
            let mut entries = known.1.clone();
            entries.retain(|key, _| changes.get(key).is_none_or(Option::is_some));
            entries.extend(changes.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))));
            Some((Some(*stamp), entries))
        }
    }
}

fn as_line(message: &Message<Place>) -> Line {
    let entry =
        |key: &Key, at: Option<Place>| Entry { name: key.name.to_string(), endpoint: key.endpoint.to_string(), at };
    match message.clone() {
        Message::Full { stamp: Stamp { incarnation, version }, entries } => {
            let entries = entries.into_iter().map(|(key, at)| entry(&key, Some(at))).collect();
            Line::Full { incarnation, version, entries }
        }
        Message::Delta { after, stamp: Stamp { incarnation, version }, changes } => {
            let changes = changes.into_iter().map(|(key, at)| entry(&key, at)).collect();
            Line::Delta { incarnation, version, after, changes }
        }
        Message::Alive { stamp: Stamp { incarnation, version } } => Line::Alive { incarnation, version },
    }
}

pub fn answer_head(data: &[u8]) {
    let Some((status, headers)) = parsers::answer_head(data) else { return };
    let lengths: BTreeSet<_> =
        headers.get_all("content-length").iter().map(|value| value.as_bytes().to_vec()).collect();
    assert!(lengths.len() <= 1, "a head with several lengths");
    let written = parsers::write_answer_head(status, headers.clone());
    assert_eq!(parsers::answer_head(&written), Some((status, headers)));
}

pub fn hop_by_hop(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let before = fields(text);
    let mut after = before.clone();
    parsers::remove_hop_by_hop(&mut after);
    let lines = before.get_all("connection").iter().filter_map(|value| value.to_str().ok());
    let nominated: BTreeSet<String> =
        lines.flat_map(|line| line.split(',').map(|token| token.trim().to_ascii_lowercase())).collect();
    let is_of_hop = |name: &HeaderName| OF_ONE_HOP.contains(&name.as_str()) || nominated.contains(name.as_str());
    for name in after.keys() {
        // `TE: trailers` is said anew.
        assert!(!is_of_hop(name) || *name == http::header::TE, "{name} passes");
    }
    if let Some(te) = after.get("te") {
        assert_eq!((te.as_bytes(), after.get_all("te").iter().count()), (&b"trailers"[..], 1));
    }
    for name in before.keys().filter(|name| !is_of_hop(name) && **name != http::header::TE) {
        assert!(before.get_all(name).iter().eq(after.get_all(name)), "{name} does not pass");
    }
}

pub fn location(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (mount, upstream) = (Mount::Path("/~media".to_owned()), Authority::from_static("127.0.0.1:4000"));
    let Some(mounted) = parsers::mounted(text, &mount, &upstream, Some("localhost:8080")) else { return };
    assert!(mounted.starts_with("/~media/"), "{text} becomes {mounted}");
    let is_own = ["http://127.0.0.1:4000", "http://localhost:8080"]
        .iter()
        .any(|own| text.get(..own.len()).is_some_and(|front| front.eq_ignore_ascii_case(own)));
    let is_path = text.starts_with('/') && !text.starts_with("//");
    assert!(is_own || is_path, "a foreign {text} becomes {mounted}");
}

pub fn content_range(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let read =
        parsers::content_range(text).map(|(first, last, whole)| (first.into(), last.into(), whole.map(u128::from)));
    assert_eq!(read, model_of_range(text), "{text:?}");
}

/// The field by the letter of RFC 9110 section 14.4, in numbers that do not overflow, as far as those of the router go.
fn model_of_range(text: &str) -> Option<(u128, u128, Option<u128>)> {
    let number = |text: &str| -> Option<u128> {
        let mut value = 0_u128;
        for digit in text.chars() {
            value = (value * 10 + u128::from(digit.to_digit(10)?)).min(1 << 100);
        }
        (!text.is_empty() && value <= u128::from(u64::MAX)).then_some(value)
    };
    let parts: Vec<&str> = text.strip_prefix("bytes ")?.splitn(2, '/').collect();
    let &[range, whole] = parts.as_slice() else { return None };
    let at = range.find('-')?;
    let (first, last) = (number(&range[..at])?, number(&range[at + 1..])?);
    let whole = if whole == "*" { None } else { Some(number(whole)?) };
    if last < first || whole.is_some_and(|whole| whole <= last) { None } else { Some((first, last, whole)) }
}

/// Fields of a request; the router's cookie is called `own`.
pub fn cookie(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let before = fields(text);
    let mut after = before.clone();
    let taken = parsers::take_cookie(&mut after, "own");
    let crumbs = |fields: &HeaderMap| -> Vec<Vec<u8>> {
        let all = fields.get_all("cookie").iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
        all.map(|crumb| crumb.trim_ascii().to_vec()).filter(|crumb| !crumb.is_empty()).collect()
    };
    let (own, others): (Vec<_>, Vec<_>) = crumbs(&before).into_iter().partition(|crumb| crumb.starts_with(b"own="));
    assert_eq!(taken, own.first().map(|crumb| crumb[4..].to_vec()), "another value than the first one's");
    assert_eq!(crumbs(&after), others, "a cookie of somebody else's is lost, or the own one passes");
    if taken.is_none() {
        assert_eq!(before, after);
    }
    let rest = |fields: &HeaderMap| -> HeaderMap {
        let mut rest = fields.clone();
        rest.remove("cookie");
        rest
    };
    assert_eq!(rest(&before), rest(&after));
}

/// Fields, among them lines of `Cache-Status`.
pub fn cache_status(data: &[u8]) {
    const NAME: &str = "cache-status";
    let Some(text) = text(data) else { return };
    let before = fields(text);
    let mut after = before.clone();
    parsers::hide_sites(&mut after);
    let lines = |fields: &HeaderMap| -> Vec<String> {
        fields.get_all(NAME).iter().filter_map(|line| line.to_str().ok().map(str::to_owned)).collect()
    };
    let names_site = |member: &String| member.starts_with("router-");
    assert!(!lines(&after).iter().flat_map(|line| members(line)).any(|member| names_site(&member)));
    let kept = |line: &String| members(line).into_iter().filter(|member| !names_site(member)).collect::<Vec<_>>();
    let wanted: Vec<_> = lines(&before).iter().map(kept).filter(|left| !left.is_empty()).collect();
    assert_eq!(lines(&after), wanted.iter().map(|left| left.join(", ")).collect::<Vec<_>>());
    let mut others = [before, after];
    others.iter_mut().for_each(|fields| drop(fields.remove(NAME)));
    assert_eq!(others[0], others[1]);
}

/// The members of a list, letter by letter; where quotes do not pair, none of them counts.
fn members(line: &str) -> Vec<String> {
    let read = |do_quotes_count: bool| {
        let (mut all, mut member, mut is_open, mut is_escaped) = (Vec::new(), String::new(), false, false);
        for letter in line.chars() {
            if is_escaped {
                is_escaped = false;
            } else if do_quotes_count && is_open && letter == '\\' {
                is_escaped = true;
            } else if do_quotes_count && letter == '"' {
                is_open = !is_open;
            } else if letter == ',' && !is_open {
                all.push(std::mem::take(&mut member));
                continue;
            }
            member.push(letter);
        }
        all.push(member);
        (all, is_open)
    };
    let (all, is_open) = read(true);
    let all = if is_open { read(false).0 } else { all };
    all.iter().map(|member| member.trim().to_owned()).filter(|member| !member.is_empty()).collect()
}

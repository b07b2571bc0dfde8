//! What makes two requests the same, and an answer one that may be shared.
//!
//! Only what cannot differ from client to client is merged: GET of the same URL of the same name, without anything that
//! says who asks or what they have already. An answer is shared if its own words allow a shared cache to keep it, and
//! if it depends on no field that is not part of the key.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use flame_naming::Name;

/// Requests of one key get one answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    name: Name,
    path_and_query: String,
    /// The values of the fields that answers may depend on.
    fields: Vec<Vec<u8>>,
}

/// Fields that an answer may depend on, and be shared.
const KEYED: [HeaderName; 4] = [header::ACCEPT, header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE, header::ORIGIN];
/// Fields that make a request somebody's own.
const OWN: [HeaderName; 13] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::RANGE,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::PRAGMA,
    header::UPGRADE,
    header::EXPECT,
    HeaderName::from_static("flame-path"),
    HeaderName::from_static("flame-search"),
];

// === impl Key ===

impl Key {
    /// The key of a request; `None` where it is somebody's own.
    pub(crate) fn of(method: &Method, name: &Name, path_and_query: &str, headers: &HeaderMap) -> Option<Self> {
        let is_own = OWN.iter().any(|name| headers.contains_key(name));
        let is_fresh = words(headers, &header::CACHE_CONTROL).any(|word| word == "no-cache" || word == "no-store");
        if *method != Method::GET || is_own || is_fresh {
            return None;
        }
        let fields = KEYED.iter().map(|name| {
            let values = headers.get_all(name).iter().map(|value| value.as_bytes().to_ascii_lowercase());
            values.collect::<Vec<_>>().join(&b","[..])
        });
        Some(Self { name: name.clone(), path_and_query: without_cmcd(path_and_query), fields: fields.collect() })
    }
}

/// Whether an answer may go to all who ask for the same.
pub(crate) fn is_shared(status: StatusCode, headers: &HeaderMap) -> bool {
    let said: Vec<String> = words(headers, &header::CACHE_CONTROL).collect();
    let says = |wanted: &[&str]| said.iter().any(|word| wanted.contains(&word.split('=').next().unwrap_or_default()));
    let varies = words(headers, &header::VARY).all(|name| KEYED.iter().any(|keyed| keyed.as_str() == name));
    status == StatusCode::OK
        && !headers.contains_key(header::SET_COOKIE)
        && !says(&["private", "no-store", "no-cache"])
        && says(&["public", "max-age", "s-maxage"])
        && varies
}

/// How long an answer may be given to others: `s-maxage` or `max-age`, less what its `Age` says is over (RFC 9111).
pub(crate) fn fresh_for(headers: &HeaderMap) -> Duration {
    let said: Vec<String> = words(headers, &header::CACHE_CONTROL).collect();
    let seconds = |name: &str| said.iter().find_map(|word| word.strip_prefix(name)?.trim_matches('"').parse().ok());
    let life = seconds("s-maxage=").or_else(|| seconds("max-age=")).unwrap_or(0_u64);
    let age = headers.get(header::AGE).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0_u64);
    Duration::from_secs(life.saturating_sub(age))
}

fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> + use<'a> {
    let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let words =
        values.flat_map(|value| value.split(',').map(|word| word.trim().to_ascii_lowercase()).collect::<Vec<_>>());
    words.filter(|word| !word.is_empty())
}

/// CMCD says what a player does, never what it wants (CTA-5004): it is no part of a resource.
fn without_cmcd(path_and_query: &str) -> String {
    let Some((path, query)) = path_and_query.split_once('?') else { return path_and_query.to_owned() };
    let kept: Vec<&str> = query.split('&').filter(|argument| argument.split('=').next() != Some("CMCD")).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields =
            fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        fields.collect()
    }

    fn key(path: &str, fields: &[(&'static str, &'static str)]) -> Option<Key> {
        Key::of(&Method::GET, &"media".parse().unwrap(), path, &headers(fields))
    }

    #[test]
    fn requests_that_are_somebody_s_own_have_no_key() {
        for name in OWN {
            let headers: HeaderMap = [(name.clone(), HeaderValue::from_static("x"))].into_iter().collect();
            assert_eq!(Key::of(&Method::GET, &"media".parse().unwrap(), "/", &headers), None, "{name}");
        }
        assert_eq!(key("/", &[("cache-control", "max-age=0, No-Cache")]), None);
        assert_eq!(Key::of(&Method::POST, &"media".parse().unwrap(), "/", &HeaderMap::new()), None);
    }

    #[test]
    fn the_same_is_the_same_and_what_may_differ_is_different() {
        assert_eq!(
            key("/a?x=1&CMCD=bl%3D1", &[("user-agent", "a")]),
            key("/a?CMCD=bl%3D2&x=1", &[("user-agent", "b")])
        );
        assert_eq!(key("/a?CMCD=1", &[]), key("/a", &[]));
        for (path, fields) in
            [("/b", &[][..]), ("/a?x=2", &[]), ("/a", &[("accept-encoding", "gzip")]), ("/a", &[("origin", "x")])]
        {
            assert_ne!(key("/a", &[]), key(path, fields));
        }
    }

    #[test]
    fn an_answer_is_fresh_for_what_it_says_and_no_longer() {
        let fresh = |fields| fresh_for(&headers(fields)).as_secs();
        assert_eq!(fresh(&[("cache-control", "public, max-age=60, s-maxage=5")]), 5);
        assert_eq!(fresh(&[("cache-control", "max-age=60"), ("age", "58")]), 2);
        assert_eq!(fresh(&[("cache-control", "max-age=1"), ("age", "7")]), 0);
        assert_eq!(fresh(&[("cache-control", "public")]), 0);
    }

    #[test]
    fn only_answers_that_say_so_are_shared() {
        let shared = |fields| is_shared(StatusCode::OK, &headers(fields));
        assert!(shared(&[("cache-control", "public, max-age=60"), ("vary", "Accept-Encoding")]));
        assert!(!shared(&[]));
        assert!(!shared(&[("cache-control", "public, max-age=60"), ("set-cookie", "a=b")]));
        assert!(!shared(&[("cache-control", "private, max-age=60")]));
        assert!(!shared(&[("cache-control", "max-age=60, no-store")]));
        assert!(!shared(&[("cache-control", "max-age=60"), ("vary", "cookie")]));
        assert!(!shared(&[("cache-control", "max-age=60"), ("vary", "*")]));
        assert!(!is_shared(StatusCode::NOT_FOUND, &headers(&[("cache-control", "max-age=60")])));
    }
}

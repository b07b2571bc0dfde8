//! Names whose requests stay with one endpoint: which part of a request says whose it is.
//!
//! The key is a cookie of the router's own, a header field or an argument of the query, as the name is declared. Every
//! router gives the same key to the same endpoint (`flame_naming`'s rendezvous hashing), so nothing is stored or told.
//! A key is no secret and proves nothing: whoever writes one himself only chooses his endpoint. The router's cookie ends
//! here; endpoints do not see it.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use flame_naming::name::NameError;
use flame_naming::{Mount, Name};
use serde::{Deserialize, Serialize};

use crate::cookie;

/// The cookie, where no other name is given.
const COOKIE: &str = "flame-sticky";
/// Longest key that counts.
const KEY_MAX_BYTES: usize = 256;

/// `[[sticky]]`: a name whose requests stay with one endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StickyConfig {
    /// The name.
    pub name: String,
    /// What says whose a request is.
    pub by: StickyBy,
    /// The header field, or the argument of the query; a cookie is called `flame-sticky` where nothing is said.
    pub field: Option<String>,
}

/// What says whose a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StickyBy {
    /// A cookie that the router sets where there is none.
    Cookie,
    /// A header field.
    Header,
    /// An argument of the query.
    Query,
}

/// A `[[sticky]]` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StickyInvalid {
    /// A name that is none.
    #[error("`[[sticky]]` of the configuration")]
    Name(#[source] NameError),
    /// A field that is none.
    #[error(
        "`[[sticky]]` of the configuration, {name}: `field` names the header field, argument or cookie; `{field}` cannot be one"
    )]
    Field {
        /// The name.
        name: Name,
        /// What was given.
        field: String,
    },
}

/// The names in force.
#[derive(Debug)]
pub(crate) struct Sticky(BTreeMap<Name, Kind>);

#[derive(Debug)]
enum Kind {
    Cookie(String),
    Header(HeaderName),
    Query(String),
}

/// Whose a request is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) bytes: Vec<u8>,
    /// The cookie that the client gets, where it had none.
    pub(crate) cookie: Option<HeaderValue>,
}

// === impl Sticky ===

impl Sticky {
    pub(crate) fn new(configured: &[StickyConfig]) -> Result<Self, StickyInvalid> {
        let mut names = BTreeMap::new();
        for StickyConfig { name, by, field } in configured {
            let name = name.parse::<Name>().map_err(StickyInvalid::Name)?;
            let given = field.clone().unwrap_or_default();
            let kind = match by {
                StickyBy::Cookie if field.is_none() => Some(Kind::Cookie(COOKIE.to_owned())),
                StickyBy::Cookie => is_token(&given).then(|| Kind::Cookie(given.clone())),
                StickyBy::Header => given.parse().ok().map(Kind::Header),
                StickyBy::Query => {
                    (!given.is_empty() && !given.contains(['&', '=', '#'])).then(|| Kind::Query(given.clone()))
                }
            };
            let kind = kind.ok_or(StickyInvalid::Field { name: name.clone(), field: given })?;
            names.insert(name, kind);
        }
        Ok(Self(names))
    }

    /// Whose a request for `name` is; `None` where it is anybody's. Takes the router's own cookie out.
    pub(crate) fn key(&self, name: &Name, headers: &mut HeaderMap, query: Option<&str>, mount: &Mount) -> Option<Key> {
        let given = |bytes: &[u8]| {
            let fits = !bytes.is_empty() && bytes.len() <= KEY_MAX_BYTES;
            fits.then(|| Key { bytes: bytes.to_vec(), cookie: None })
        };
        match self.0.get(name)? {
            Kind::Header(field) => given(headers.get(field)?.as_bytes()),
            Kind::Query(argument) => given(argument_of(query?, argument)?.as_bytes()),
            Kind::Cookie(name) => {
                let key = cookie::take(headers, name).and_then(|value| given(&value));
                Some(key.unwrap_or_else(|| new_key(name, mount)))
            }
        }
    }

    /// What `key` counts for in a request for `name`, in words; `None` where the name is not sticky.
    pub(crate) fn told(&self, name: &Name) -> Option<String> {
        Some(match self.0.get(name)? {
            Kind::Cookie(cookie) => format!("the cookie `{cookie}`"),
            Kind::Header(field) => format!("the header field `{field}`"),
            Kind::Query(argument) => format!("the argument `{argument}`"),
        })
    }

    /// The key that a URL alone gives.
    pub(crate) fn key_of_url(&self, name: &Name, query: Option<&str>) -> Option<Vec<u8>> {
        match self.0.get(name)? {
            Kind::Query(argument) => Some(argument_of(query?, argument)?.as_bytes().to_vec()),
            Kind::Cookie(_) | Kind::Header(_) => None,
        }
    }
}

fn new_key(cookie: &str, mount: &Mount) -> Key {
    let value = format!("{:032x}", rand::random::<u128>());
    let set = format!("{cookie}={value}; Path={}/; HttpOnly; SameSite=Lax", mount.prefix());
    Key { bytes: value.into_bytes(), cookie: HeaderValue::from_str(&set).ok() }
}

fn argument_of<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    fn sticky(by: StickyBy, field: Option<&str>) -> Result<Sticky, StickyInvalid> {
        Sticky::new(&[StickyConfig { name: "a".to_owned(), by, field: field.map(str::to_owned) }])
    }

    fn cookies(fields: &[&'static str]) -> HeaderMap {
        fields.iter().map(|field| (header::COOKIE, HeaderValue::from_static(field))).collect()
    }

    #[test]
    fn the_cookie_is_read_taken_out_and_set_where_there_is_none() {
        let sticky = sticky(StickyBy::Cookie, None).unwrap();
        let (name, mount) = ("a".parse().unwrap(), Mount::Path("/~a".to_owned()));
        let mut headers = cookies(&["x=1; flame-sticky=me; y=2", "z=3"]);
        let key = sticky.key(&name, &mut headers, None, &mount).unwrap();
        assert_eq!(key, Key { bytes: b"me".to_vec(), cookie: None });
        assert_eq!(headers[header::COOKIE], "x=1; y=2; z=3");
        for none in [&["x=1"][..], &[], &["flame-sticky="], &["flame-sticky2=me"]] {
            let key = sticky.key(&name, &mut cookies(none), None, &mount).unwrap();
            let cookie = key.cookie.unwrap().to_str().unwrap().to_owned();
            let value = String::from_utf8(key.bytes).unwrap();
            assert_eq!(cookie, format!("flame-sticky={value}; Path=/~a/; HttpOnly; SameSite=Lax"));
        }
        assert_eq!(sticky.key(&"b".parse().unwrap(), &mut cookies(&["flame-sticky=me"]), None, &mount), None);
    }

    #[test]
    fn a_field_or_an_argument_is_the_key_and_without_it_there_is_none() {
        let key = |sticky: &Sticky, headers: &mut HeaderMap, query| {
            sticky
                .key(&"a".parse().unwrap(), headers, query, &Mount::Host)
                .map(|key| String::from_utf8(key.bytes).unwrap())
        };
        let by_query = sticky(StickyBy::Query, Some("s")).unwrap();
        let mut none = HeaderMap::new();
        assert_eq!(key(&by_query, &mut none, Some("ss=0&s=1&s=2")).as_deref(), Some("1"));
        assert_eq!(key(&by_query, &mut none, Some("t=1")), None);
        assert_eq!(key(&by_query, &mut none, None), None);
        let by_header = sticky(StickyBy::Header, Some("X-Session")).unwrap();
        let mut headers =
            HeaderMap::from_iter([(HeaderName::from_static("x-session"), HeaderValue::from_static("me"))]);
        assert_eq!(key(&by_header, &mut headers, None).as_deref(), Some("me"));
        assert_eq!(key(&by_header, &mut none, None), None);
    }

    #[test]
    fn what_cannot_be_a_field_is_named() {
        for (by, field) in [
            (StickyBy::Header, None),
            (StickyBy::Header, Some("no field")),
            (StickyBy::Query, None),
            (StickyBy::Query, Some("a=b")),
            (StickyBy::Cookie, Some("a;b")),
        ] {
            let error = sticky(by, field).unwrap_err().to_string();
            assert!(error.contains("a.main"), "{by:?} {field:?}: {error}");
        }
    }
}

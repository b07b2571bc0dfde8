//! When two requests are the same: they may then wait for one answer, and be given it.
//!
//! An error here shows one client another's data, so the rule is narrow, written once, and tested against a model that
//! compares every merged answer with the one the client would have got alone. Merging takes two decisions. Before the
//! answer is there, [`Identity::of`] says whose requests may *wait* together; when its head is there, [`sharing::judge`]
//! says whether they may be *given* it. Whoever joins a transfer later is judged by the same two.
//!
//! What it never does: guess from a URL whether an answer is private, merge what carries a credential that the edge did
//! not verify itself, or change what a client asked for beyond what RFC 3986 and the field's own definition call equal.
//!
//! | of a request | in the identity |
//! | --- | --- |
//! | tenant and name, without a pinned site | as they are |
//! | path and query | normalised ([`url`]): no CMCD, no verified token, `_HLS_*` in one form |
//! | method | GET or HEAD |
//! | Accept-Encoding | the set of codings that are accepted |
//! | Range, and If-Range with a strong validator | in one form, if it is one of bytes |
//! | fields that the service declared or its last Vary named | as they are, lines joined |
//! | Cookie | no; but then the answer has to say outright that it is for all |
//! | Authorization of a surrogate ([`Bearer`]) | by the key that signed it and the [`Rights`] that it gives; and the answer has to say that it is for surrogates |
//! | any other credential, an unverified token | such a request has no identity |

pub mod codings;
pub mod control;
pub mod list;
mod range;
pub mod sharing;
pub mod url;

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use http::header::{self, HeaderMap, HeaderName};

use crate::name::Name;

pub use sharing::{Carried, Sharing, Split};
pub use url::Token;

use list::words;

/// A request, as far as its identity goes.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The name that it goes to; a pinned site is no part of it.
    pub name: &'a Name,
    /// Its method.
    pub method: &'a Method,
    /// Path and query below the name.
    pub path_and_query: &'a str,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// Whether the edge itself has verified the viewer's token in it.
    pub token: Token,
    /// Whose the credential in its `Authorization` is, as far as the edge itself has verified it.
    pub bearer: Bearer<'a>,
}

/// What is known of the credential in a request's `Authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearer<'a> {
    /// Nobody here has verified it, or there is none.
    Unverified,
    /// A surrogate's, which verifies viewers itself. Whoever takes one token of a key takes the others that give the same rights, so
    /// what one such surrogate is given all of them are.
    Surrogate(&'a Rights),
}

/// What a verified credential gives. Those whose credentials differ in any of it wait apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rights {
    /// The id of the key that signed it.
    pub key: Box<str>,
    /// The tenant that it acts for.
    pub tenant: Box<str>,
    /// What it may do, in whatever order that was said.
    pub scopes: BTreeSet<Box<str>>,
    /// Names that it is confined to, if it is to some.
    pub names: Option<BTreeSet<Box<str>>>,
}

/// Requests of one identity may wait for one answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    name: Name,
    is_head: bool,
    url: Box<str>,
    accept_encoding: Box<str>,
    range: Option<Box<[u8]>>,
    if_range: Option<Box<[u8]>>,
    surrogates_with: Option<Rights>,
    fields: BTreeMap<Box<str>, Option<Box<[u8]>>>,
}

/// Why a request is somebody's own, and asked for singly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Single {
    /// Only GET and HEAD are merged.
    #[error("{0} is not GET or HEAD")]
    Method(Method),
    /// It carries a credential that nobody here verified.
    #[error("it carries a credential in `{0}` that this edge did not verify")]
    Credential(&'static str),
    /// It says whose it is.
    #[error("it carries a cookie")]
    Cookie,
    /// Its answer depends on what the client has already; a cache answers it from the whole.
    #[error("its answer depends on `{0}`")]
    Conditional(HeaderName),
    /// It wants an answer made for it (RFC 9111 sections 5.2.1 and 5.4).
    #[error("it wants an answer of its own")]
    Fresh,
    /// It has a body, or wants more of the connection than an answer.
    #[error("it has `{0}`, which is between one client and one server")]
    Connection(HeaderName),
    /// Its target is no path in RFC 3986, so that it cannot be said what equals it.
    #[error("its target is no path that RFC 3986 knows")]
    Url,
}

// === impl Identity ===

impl Identity {
    /// The identity of a request, whose fields in `keyed` its answer depends on (those that the service declared, and
    /// those that its last Vary named).
    ///
    /// # Errors
    /// [`Single`]: it is asked for singly.
    pub fn of(question: &Question<'_>, keyed: &[HeaderName]) -> Result<Self, Single> {
        let Question { name, method, path_and_query, headers, token, bearer } = *question;
        if let Some(field) = unverified(headers, bearer) {
            return Err(Single::Credential(field));
        }
        refused_whoever_asks(method, headers)?;
        let if_range = range::validator(method, headers)?;
        let url = url::canonical(path_and_query, token).ok_or(Single::Url)?;
        if token == Token::Unverified && url::has_token(&url) {
            return Err(Single::Credential("URISigningPackage"));
        }
        let fields = keyed.iter().filter(|name| !is_in_every_key(name));
        Ok(Self {
            name: name.clone(),
            is_head: *method == Method::HEAD,
            url: url.into(),
            accept_encoding: codings::accepted(headers).into(),
            range: range::canonical(headers),
            if_range,
            surrogates_with: match bearer {
                Bearer::Surrogate(rights) if headers.contains_key(header::AUTHORIZATION) => Some(rights.clone()),
                Bearer::Surrogate(_) | Bearer::Unverified => None,
            },
            fields: fields.map(|name| (name.as_str().into(), joined(headers, name))).collect(),
        })
    }

    /// Name, and with it the tenant.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What upstream is asked for: path and query without what is no part of the resource.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The Accept-Encoding that upstream is asked with.
    #[must_use]
    pub fn accept_encoding(&self) -> &str {
        &self.accept_encoding
    }

    /// Whether those who ask are surrogates, by their credentials: then [`Carried::Credential`] goes upstream.
    #[must_use]
    pub fn is_of_surrogates(&self) -> bool {
        self.surrogates_with.is_some()
    }

    /// Whether a field that an answer names in Vary was compared.
    #[must_use]
    pub fn is_keyed(&self, field: &HeaderName) -> bool {
        self.fields.contains_key(field.as_str()) || is_in_every_key(field)
    }
}

/// Fields that every identity has in a form of its own.
fn is_in_every_key(name: &HeaderName) -> bool {
    *name == header::ACCEPT_ENCODING || *name == header::RANGE
}

/// The field of a request in which it carries a credential. Nobody shares an answer to such a request, whatever that says.
#[must_use]
pub fn credential(headers: &HeaderMap) -> Option<&'static str> {
    unverified(headers, Bearer::Unverified)
}

/// The same but for the one in `Authorization` that is known to be a surrogate's.
fn unverified(headers: &HeaderMap, bearer: Bearer<'_>) -> Option<&'static str> {
    const FIELDS: [(HeaderName, &str); 3] = [
        (header::AUTHORIZATION, "Authorization"),
        (header::PROXY_AUTHORIZATION, "Proxy-Authorization"),
        (HeaderName::from_static("x-api-key"), "X-Api-Key"),
    ];
    let is_known = |name: &HeaderName| bearer != Bearer::Unverified && *name == header::AUTHORIZATION;
    FIELDS.iter().find(|(name, _)| headers.contains_key(name) && !is_known(name)).map(|(_, text)| *text)
}

/// Refuses what is between one client and one server, whatever credential it shows: it costs little, so it is looked at before one
/// is verified.
///
/// # Errors
/// [`Single`]: it is asked for singly.
pub fn refused_whoever_asks(method: &Method, headers: &HeaderMap) -> Result<(), Single> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Single::Method(method.clone()));
    }
    // Origins forget `Vary: Cookie`, and RFC 9111 lets them.
    if headers.contains_key(header::COOKIE) {
        return Err(Single::Cookie);
    }
    for name in [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE] {
        if headers.contains_key(&name) {
            return Err(Single::Conditional(name));
        }
    }
    let has_body = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    for name in [header::TRANSFER_ENCODING, header::UPGRADE, header::EXPECT] {
        if headers.contains_key(&name) {
            return Err(Single::Connection(name));
        }
    }
    if has_body {
        return Err(Single::Connection(header::CONTENT_LENGTH));
    }
    let wants_own = |word: &str| matches!(word, "no-cache" | "no-store" | "max-age=0");
    let is_fresh = words(headers, &header::CACHE_CONTROL).iter().any(|word| wants_own(word));
    let is_old_fresh = words(headers, &header::PRAGMA).iter().any(|word| word == "no-cache");
    if is_fresh || is_old_fresh { Err(Single::Fresh) } else { Ok(()) }
}

/// All lines of a field as one (RFC 9110 section 5.3); a field that is not there is not an empty one.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Box<[u8]>> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii()).collect();
    if lines.is_empty() { None } else { Some(lines.join(&b", "[..]).into()) }
}

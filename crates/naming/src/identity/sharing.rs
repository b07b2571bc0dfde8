//! Whether an answer may be given to all who waited for it, decided from its head.

use http::HeaderName;
use http::StatusCode;
use http::header::{self, HeaderMap};

use super::control::Control;
use super::list::words;

/// Fields that say who asks: an answer that varies by one of them is one person's.
const PERSONAL: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];

/// What the request that was sent upstream carried of one client. The more, the more outright the answer has to say that it is
/// for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// Only what its identity has: all of the group would have been asked for in the same words.
    Identity,
    /// Other fields of its own, but neither a cookie nor a credential.
    Fields,
    /// The credential of a surrogate, besides other fields: its answer has to say for whom it is, not only for how long
    /// (RFC 9111 section 3.5).
    Credential,
}

/// What becomes of a group when the head of its answer is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody who waited gets it.
    All,
    /// It is for the one whose request was sent; the others are asked for singly.
    Split(Split),
}

/// Why an answer is one client's only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// It sets a cookie.
    SetCookie,
    /// It says so (RFC 9111 sections 5.2.2.5 and 5.2.2.7).
    Private,
    /// It depends on more than fields (`Vary: *`), or on who asks.
    VaryAny,
    /// It depends on fields that were not compared: compare them from now on, and their groups will hold.
    Vary(Vec<HeaderName>),
    /// It does not say that caches may use it, and the request had fields that the group did not agree in.
    Unsaid,
    /// It asks for credentials, or is no final answer to a plain request.
    Status(StatusCode),
}

/// Judges an answer. `is_keyed`: whether all in the group agree in a field that it varies by.
#[must_use]
pub fn judge(
    is_keyed: impl Fn(&HeaderName) -> bool,
    carried: Carried,
    status: StatusCode,
    headers: &HeaderMap,
) -> Sharing {
    match split(is_keyed, carried, status, headers) {
        Some(split) => Sharing::Split(split),
        None => Sharing::All,
    }
}

fn split(
    is_keyed: impl Fn(&HeaderName) -> bool,
    carried: Carried,
    status: StatusCode,
    headers: &HeaderMap,
) -> Option<Split> {
    let is_between_two = status.is_informational()
        || matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::NOT_MODIFIED
                | StatusCode::PRECONDITION_FAILED
        );
    if is_between_two {
        return Some(Split::Status(status));
    }
    if headers.contains_key(header::SET_COOKIE) {
        return Some(Split::SetCookie);
    }
    let control = Control::of(headers);
    let must_understand = control.directives.has("must-understand");
    if control.forbids || (must_understand && !is_understood(status)) {
        return Some(Split::Private);
    }
    let mut unkeyed = Vec::new();
    for field in words(headers, &header::VARY) {
        let Ok(name) = field.parse::<HeaderName>() else { return Some(Split::VaryAny) };
        if field == "*" || PERSONAL.contains(&name) {
            return Some(Split::VaryAny);
        }
        if !is_keyed(&name) && !unkeyed.contains(&name) {
            unkeyed.push(name);
        }
    }
    if !unkeyed.is_empty() {
        return Some(Split::Vary(unkeyed));
    }
    match carried {
        Carried::Identity => None,
        // Origins forget to name what they look at; they do not give an answer a life by chance.
        Carried::Fields => {
            let says = |name| control.directives.has(name);
            let is_for_caches = says("public") || says("max-age") || says("s-maxage");
            (!is_for_caches || says("no-cache")).then_some(Split::Unsaid)
        }
        Carried::Credential => {
            let says = |name| control.directives.has(name);
            let is_for_surrogates = says("public") || says("s-maxage");
            (!is_for_surrogates || says("no-cache")).then_some(Split::Unsaid)
        }
    }
}

/// Statuses whose meaning for caches is known here (RFC 9110 section 15).
fn is_understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 302 | 303 | 307 | 308 | 404 | 405 | 410 | 414 | 501)
}

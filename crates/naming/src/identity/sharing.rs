//! Whether an answer may be given to all who waited for it, decided from its head.

use http::HeaderName;
use http::StatusCode;
use http::header::{self, HeaderMap};

use super::{Identity, words};

/// Fields that say who asks: an answer that varies by one of them is one person's.
const PERSONAL: [HeaderName; 3] = [header::AUTHORIZATION, header::COOKIE, header::PROXY_AUTHORIZATION];
/// For caches like this one alone, and then instead of Cache-Control (RFC 9213 section 2.1).
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

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
    /// Somebody in the group sent a cookie, and it does not say outright that it is for all.
    Cookie,
    /// It asks for credentials, or is no final answer to a plain request.
    Status(StatusCode),
}

/// Judges an answer. `any_cookie`: somebody in the group sent one ([`super::has_cookie`]).
#[must_use]
pub fn judge(identity: &Identity, any_cookie: bool, status: StatusCode, headers: &HeaderMap) -> Sharing {
    match split(identity, any_cookie, status, headers) {
        Some(split) => Sharing::Split(split),
        None => Sharing::All,
    }
}

fn split(identity: &Identity, any_cookie: bool, status: StatusCode, headers: &HeaderMap) -> Option<Split> {
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
    let names = |word: &str, directive: &str| word.split('=').next().is_some_and(|name| name.trim() == directive);
    let control: Vec<String> = words(headers, &header::CACHE_CONTROL).collect();
    let targeted: Vec<String> = words(headers, &CDN_CACHE_CONTROL).collect();
    let forbids = |words: &[String]| words.iter().any(|word| names(word, "private") || names(word, "no-store"));
    let is_targeted = is_dictionary(headers, &CDN_CACHE_CONTROL);
    // A targeted field that is none allows nothing (RFC 9213 section 2.1), but what it forbids was meant.
    if forbids(&targeted) || (!is_targeted && forbids(&control)) {
        return Some(Split::Private);
    }
    let vary: Vec<String> = words(headers, &header::VARY).collect();
    let mut unkeyed = Vec::new();
    for field in vary {
        let Ok(name) = field.parse::<HeaderName>() else { return Some(Split::VaryAny) };
        if field == "*" || PERSONAL.contains(&name) {
            return Some(Split::VaryAny);
        }
        if !identity.is_keyed(&field) && !unkeyed.contains(&name) {
            unkeyed.push(name);
        }
    }
    if !unkeyed.is_empty() {
        return Some(Split::Vary(unkeyed));
    }
    // RFC 9111 lets a shared cache ignore cookies. Origins forget `Vary: Cookie`; they do not write `public` by chance.
    let is_for_all = if is_targeted {
        targeted.iter().any(|word| names(word, "public") || names(word, "s-maxage") || names(word, "max-age"))
    } else {
        control.iter().any(|word| names(word, "public") || names(word, "s-maxage"))
    };
    (any_cookie && !is_for_all).then_some(Split::Cookie)
}

/// Whether a field is there and a dictionary (RFC 8941 section 3.2) of what directives are made of: keys alone, or with
/// an integer, a token, a boolean or a string without a comma.
fn is_dictionary(headers: &HeaderMap, name: &HeaderName) -> bool {
    let mut members = 0_usize;
    for line in headers.get_all(name) {
        let Ok(line) = line.to_str() else { return false };
        for member in line.split(',').map(str::trim) {
            let (key, value) = member.split_once('=').map_or((member, None), |(key, value)| (key, Some(value)));
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
            let is_key =
                key.starts_with(|first: char| first.is_ascii_lowercase() || first == '*') && key.bytes().all(fits);
            if !is_key || !value.is_none_or(is_item) {
                return false;
            }
            members += 1;
        }
    }
    members > 0
}

fn is_item(value: &str) -> bool {
    let is_string =
        value.len() >= 2 && value.starts_with('"') && value.ends_with('"') && !value[1..value.len() - 1].contains('"');
    let is_token =
        !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.*".contains(&byte));
    is_string || is_token || matches!(value, "?0" | "?1")
}

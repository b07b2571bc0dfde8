//! URI signing (RFC 9246): verified at the edge and taken out, so that protected media is shared.
//!
//! A token is a signed JWT in a segment in front of the asset (`/;URISigningPackage=<JWT>/asset/index.m3u8`), so that relative
//! URLs in playlists keep it, or an argument of that name. Its `cdniuc` says which URLs it opens. What is matched is the
//! canonical URL, the very one that upstream is asked with: no spelling opens what another does not.
//!
//! Here is no key store and no clock. What it never does: pass a claim over that it does not know how to hold to. A token
//! bound to an address (`cdniip`) or to one use (`jti`) is refused, not taken without that bond.

use flame_naming::identity::Token;
use flame_naming::identity::url::{TOKEN_PARAMETER, canonical, split_token};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;

/// Longest token that is looked at; a longer one does not fit beside a path into the heads that proxies take.
pub const TOKEN_MAX_BYTES: usize = 4096;
/// What the clock of whoever signs may be ahead.
const AHEAD_MAX_S: u64 = 5;
/// Asymmetric ones only: nobody who can verify can sign.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::EdDSA, Algorithm::ES256];
/// The claims that this edge holds to, for `cdnicrit`.
const KNOWN: [&str; 8] = ["iss", "sub", "aud", "exp", "nbf", "iat", "cdniv", "cdniuc"];
/// Memory of a compiled container, of which each token that is remembered has one.
const CONTAINER_MAX_BYTES: usize = 64 << 10;

/// What a token has to be for.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Scheme and authority that viewers ask, as signers write it: `https://media.example`.
    pub origin: &'a str,
    /// Who the token is for, if it says so.
    pub audience: &'a str,
    /// Keys of those who may sign.
    pub keys: &'a JwkSet,
    /// Now, Unix seconds.
    pub now_unix_s: u64,
}

/// A token whose signature holds, whatever the time: read once, and held against every URL that it comes with.
#[derive(Debug)]
pub struct Grant {
    container: Regex,
    is_for_us: bool,
    begins_unix_s: u64,
    expires_unix_s: Option<u64>,
    subject: Option<String>,
}

/// A viewer who may have what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The URL without the token: what is looked up, and asked upstream.
    pub url: String,
    /// Whom it was issued to, if it says so.
    pub subject: Option<String>,
    /// When it ends, if it does, Unix seconds.
    pub expires_unix_s: Option<u64>,
}

/// Why a request is refused with 403.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is none.
    #[error("the URL carries no token: ask who gives out links for a signed one")]
    Missing,
    /// It is no token, or there are several.
    #[error("what the URL carries is not one token of this form: {0}")]
    Malformed(&'static str),
    /// No key of ours signed it.
    #[error("the token was not signed with a key that is trusted here")]
    Signature,
    /// It is over.
    #[error("the token ended {0} s ago")]
    Expired(u64),
    /// It has not begun.
    #[error("the token begins in {0} s")]
    Early(u64),
    /// It opens other URLs, or is for another CDN.
    #[error("the token does not open this URL")]
    Scope,
    /// It demands what cannot be held to here.
    #[error("the token demands `{0}`, which this edge cannot hold to")]
    Unsupported(String),
}

/// The claims of RFC 9246 section 2.1 that matter here.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: Option<String>,
    aud: Option<Audience>,
    exp: Option<u64>,
    nbf: Option<u64>,
    iat: Option<u64>,
    jti: Option<serde_json::Value>,
    cdniv: Option<u64>,
    cdnicrit: Option<String>,
    cdniip: Option<serde_json::Value>,
    cdniuc: Option<String>,
}

/// One or several (RFC 7519 section 4.1.3).
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Verifies the token in `path_and_query` and takes it out.
///
/// # Errors
/// [`Refused`]: a 403, with [`Refused::kind`] as its problem type.
pub fn verify(path_and_query: &str, expected: &Expected<'_>) -> Result<Admitted, Refused> {
    let (token, url) = take(path_and_query)?;
    Grant::read(token, expected.keys, expected.audience)?.admit(url, expected.origin, expected.now_unix_s)
}

/// Parts the token from the canonical URL that it has to open; nothing of either is verified.
///
/// # Errors
/// [`Refused`]: there is no token, or not exactly one; or the URL is none.
pub fn take(path_and_query: &str) -> Result<(&str, String), Refused> {
    let token = token_of(path_and_query)?;
    let several = Refused::Malformed("the URL is no path, or carries several");
    Ok((token, canonical(path_and_query, Token::Verified).ok_or(several)?))
}

/// The text of the token in a URL.
fn token_of(path_and_query: &str) -> Result<&str, Refused> {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let argument = query.split('&').find_map(|argument| argument.strip_prefix(TOKEN_PARAMETER)?.strip_prefix('='));
    let token = match (split_token(path), argument) {
        (Some(_), Some(_)) => return Err(Refused::Malformed("the URL carries several")),
        (Some((token, _)), None) | (None, Some(token)) => token,
        (None, None) => return Err(Refused::Missing),
    };
    if token.len() > TOKEN_MAX_BYTES { Err(Refused::Malformed("it is too long")) } else { Ok(token) }
}

/// The claims, if one of `keys` signed them.
fn signed(token: &str, keys: &JwkSet) -> Result<Claims, Refused> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refused::Malformed("it is no signed JWT"))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Refused::Signature);
    }
    let key = header.kid.and_then(|kid| keys.find(&kid)).ok_or(Refused::Signature)?;
    let key = DecodingKey::from_jwk(key).map_err(|_| Refused::Signature)?;
    let mut validation = Validation::new(header.alg);
    // Times and audience are compared here, with the time that was given.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let decoded = jsonwebtoken::decode::<Claims>(token, &key, &validation);
    decoded.map(|token| token.claims).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::Json(_) => Refused::Malformed("its claims are of another form"),
        _ => Refused::Signature,
    })
}

/// Whether everything that it demands can be held to (RFC 9246 section 2.1).
fn holds(claims: &Claims) -> Result<(), Refused> {
    let unsupported = |claim: &str| Err(Refused::Unsupported(claim.to_owned()));
    if claims.cdniv.is_some_and(|version| version != 1) {
        return unsupported("cdniv");
    }
    if claims.cdniip.is_some() {
        return unsupported("cdniip");
    }
    if claims.jti.is_some() {
        return unsupported("jti");
    }
    let critical = claims.cdnicrit.as_deref().unwrap_or_default().split(',').map(str::trim);
    match critical.filter(|claim| !claim.is_empty()).find(|claim| !KNOWN.contains(claim)) {
        Some(claim) => unsupported(claim),
        None => Ok(()),
    }
}

/// A URI container (RFC 9246 section 2.1.15), which opens what matches as a whole.
fn container(claim: &str) -> Result<Regex, Refused> {
    let Some(pattern) = claim.strip_prefix("regex:") else {
        return Err(Refused::Unsupported("cdniuc of another form than regex:".to_owned()));
    };
    let whole = format!("^(?:{pattern})$");
    let compiled = RegexBuilder::new(&whole).size_limit(CONTAINER_MAX_BYTES).build();
    compiled.map_err(|_| Refused::Malformed("the URLs that it opens are no regular expression"))
}

// === impl Grant ===

impl Grant {
    /// Reads a token that one of `keys` signed.
    ///
    /// # Errors
    /// [`Refused`]: nobody who is trusted signed it, or it demands what cannot be held to.
    pub fn read(token: &str, keys: &JwkSet, audience: &str) -> Result<Self, Refused> {
        let claims = signed(token, keys)?;
        holds(&claims)?;
        let is_for_us = match &claims.aud {
            None => true,
            Some(Audience::One(named)) => named == audience,
            Some(Audience::Several(named)) => named.iter().any(|named| named == audience),
        };
        let uris = claims.cdniuc.as_deref().ok_or(Refused::Malformed("it does not say which URLs it opens"))?;
        Ok(Self {
            container: container(uris)?,
            is_for_us,
            begins_unix_s: claims.nbf.max(claims.iat).unwrap_or(0),
            expires_unix_s: claims.exp,
            subject: claims.sub,
        })
    }

    /// Whether it opens `url`, a canonical one behind `origin`, now.
    ///
    /// # Errors
    /// [`Refused`]: it is over, has not begun, or opens something else.
    pub fn admit(&self, url: String, origin: &str, now_unix_s: u64) -> Result<Admitted, Refused> {
        if let Some(ended_s) = self.expires_unix_s.and_then(|expires| now_unix_s.checked_sub(expires)) {
            return Err(Refused::Expired(ended_s));
        }
        if self.begins_unix_s > now_unix_s.saturating_add(AHEAD_MAX_S) {
            return Err(Refused::Early(self.begins_unix_s - now_unix_s));
        }
        if !self.is_for_us || !self.container.is_match(&format!("{origin}{url}")) {
            return Err(Refused::Scope);
        }
        Ok(Admitted { url, subject: self.subject.clone(), expires_unix_s: self.expires_unix_s })
    }
}

// === impl Refused ===

impl Refused {
    /// The problem type of the 403 (RFC 9457).
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "token-missing",
            Self::Malformed(_) => "token-malformed",
            Self::Signature => "token-signature",
            Self::Expired(_) => "token-expired",
            Self::Early(_) => "token-early",
            Self::Scope => "token-scope",
            Self::Unsupported(_) => "token-unsupported",
        }
    }
}

#[cfg(test)]
mod tests;

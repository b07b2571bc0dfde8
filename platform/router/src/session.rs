//! Signed-in browsers: a cookie that only this router reads.
//!
//! The portal shows a token or a link once (`POST /api/router/session`) and gets it back as a cookie that no script can
//! read. It ends here: where a request is for this router or for one of the names of `[session] names`, the token goes on
//! as `Authorization`, as if the browser had sent that; whoever else stands behind a name gets neither. Pages of those
//! others are the portal's origin too when they are asked for below `/~name/`: for a signed-in browser they are
//! sandboxed (CSP Level 3, 6.2.2), so that their scripts speak for nobody.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use flame_naming::name::NameError;
use flame_naming::{Mount, Name, Target};
use serde::{Deserialize, Serialize};

use crate::cookie;

/// The cookie.
const COOKIE: &str = "flame-session";
/// That of a browser on its way to an issuer and back.
const ON_THE_WAY: &str = "flame-sign-in";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What pages of others may do: everything but be of this origin.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox allow-downloads allow-forms allow-popups allow-scripts");

/// `[session]`: browsers that signed in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// Names whose endpoints get the token of a signed-in browser. Whoever stands behind one of them can act as the viewer.
    pub names: Vec<String>,
}

/// Who gets the token.
#[derive(Debug)]
pub(crate) struct Sessions(BTreeSet<Name>);

/// What became of a request's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    /// There was none, or it has gone on to who may have it.
    Ordinary,
    /// The browser is signed in, and the request is for somebody who may not know.
    Hidden,
}

// === impl SessionConfig ===

impl Default for SessionConfig {
    fn default() -> Self {
        let names = ["metadata", "ingest", "transcode", "streaming", "quality", "vcdn", "clmc", "orchestrator"];
        Self { names: names.map(str::to_owned).into() }
    }
}

// === impl Sessions ===

impl Sessions {
    pub(crate) fn new(config: &SessionConfig) -> Result<Self, NameError> {
        config.names.iter().map(|name| name.parse()).collect::<Result<_, _>>().map(Self)
    }

    /// Takes the session out of a request, and turns it into `Authorization` where that is due.
    pub(crate) fn take(&self, target: &Target, request: &mut Request) -> Session {
        let Some(token) = cookie::take(request.headers_mut(), COOKIE) else { return Session::Ordinary };
        if let Target::Service(forward) = target
            && !self.0.contains(&forward.destination.name)
        {
            let shares_our_origin = matches!(forward.mount, Mount::Path(_));
            return if shares_our_origin { Session::Hidden } else { Session::Ordinary };
        }
        // Browsers send a cookie that is `SameSite=Strict` also from other ports and sister hosts.
        let site = request.headers().get(SEC_FETCH_SITE);
        let is_ours = site.is_none_or(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
        if is_ours
            && !request.headers().contains_key(header::AUTHORIZATION)
            && let Ok(mut value) = HeaderValue::from_bytes(&[b"Bearer ".as_slice(), &token].concat())
        {
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Session::Ordinary
    }
}

// === impl Session ===

impl Session {
    /// Shuts a page in that may not speak for the viewer.
    pub(crate) fn confine(self, answer: &mut Response) {
        if self == Self::Hidden {
            // Besides what the service says itself: of several policies all count.
            answer.headers_mut().append(header::CONTENT_SECURITY_POLICY, SANDBOX);
        }
    }
}

/// The cookie of a browser that has signed in for `life`, as `Set-Cookie` wants it; an empty token signs out.
pub(crate) fn set(token: &str, life: Duration, is_secure: bool) -> Option<HeaderValue> {
    set_cookie(COOKIE, token, "/", life, ("Strict", is_secure))
}

/// The cookie of a browser that is on its way to an issuer and back within `life`; an empty one ends it. Browsers bring it when the issuer
/// sends them back, which is another site (so `Lax`), and to nothing but `path`, where they come back.
pub(crate) fn on_the_way(carried: &str, path: &str, life: Duration, is_secure: bool) -> Option<HeaderValue> {
    set_cookie(ON_THE_WAY, carried, path, life, ("Lax", is_secure))
}

/// What a browser that was on its way brings back.
pub(crate) fn brought(headers: &mut HeaderMap) -> Option<String> {
    cookie::take(headers, ON_THE_WAY).and_then(|carried| String::from_utf8(carried).ok())
}

fn set_cookie(
    name: &str,
    value: &str,
    path: &str,
    life: Duration,
    (sites, is_secure): (&str, bool),
) -> Option<HeaderValue> {
    let secure = if is_secure { "; Secure" } else { "" };
    let life_s = life.as_secs();
    let text = format!("{name}={value}; Path={path}; Max-Age={life_s}; HttpOnly; SameSite={sites}{secure}");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

//! Who may have what of a protected asset: viewers whose signed URL opens it, and surrogates, which verify viewers themselves.
//!
//! A surrogate is known by its certificate, or by a token with the scope `service`; where neither is asked of anybody (on
//! loopback) that makes nobody a surrogate. What is answered to one of them is for a cache that verifies viewers, what is answered
//! to a viewer for his own. Without keys of viewers, only surrogates get what is protected.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use flame_credentials::{Peer, Role};
use flame_service_host::keys::{Keyring, unix_seconds};
use flame_service_host::viewers::Verifier;
use flame_service_host::viewers::token::Refused;

const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Whom an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Everybody,
    /// A cache that verifies viewers.
    Surrogate,
    /// Who asked, and nobody else.
    Viewer,
}

/// What a request says of who asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asker {
    /// Path and query as they came, with the token if there is one.
    target: String,
    bearer: Option<String>,
    /// The connection shows the certificate of a service.
    is_part: bool,
}

/// The target as it came, where what is routed has no token in it.
#[derive(Debug, Clone)]
pub(crate) struct Signed(pub(crate) Uri);

/// Knows viewers and surrogates. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Admission {
    pub(crate) viewers: Option<Arc<Verifier>>,
    pub(crate) surrogates: Option<Arc<Keyring>>,
}

// === impl Admission ===

impl Admission {
    /// Whether `asker` may have something of an asset, and whom the answer is for.
    pub(crate) fn admit(&self, is_protected: bool, asker: &Asker) -> Result<Audience, Refused> {
        if !is_protected {
            return Ok(Audience::Everybody);
        }
        if asker.is_part || asker.bearer.as_deref().is_some_and(|token| self.is_surrogate(token)) {
            return Ok(Audience::Surrogate);
        }
        let viewers = self.viewers.as_ref().ok_or(Refused::Missing)?;
        viewers.verify(&asker.target, unix_seconds()).map(|_| Audience::Viewer)
    }

    fn is_surrogate(&self, token: &str) -> bool {
        self.surrogates.as_ref().is_some_and(|keyring| keyring.surrogate(token).is_some())
    }

    /// Reads the keys of viewers and surrogates again; those that cannot be read stay as they were.
    pub(crate) fn reload(&self) -> Result<(), String> {
        if let Some(viewers) = &self.viewers {
            viewers.reload();
        }
        let surrogates = self.surrogates.as_ref().map_or(Ok(()), |keyring| keyring.reload());
        surrogates.map_err(|error| format!("the keys of surrogates stay as they were: {error}"))
    }
}

// === impl Audience ===

impl Audience {
    /// Makes the fields of an answer that says what everybody may do with it say what those may whom it is for: to everybody else
    /// it is private, and a cache that verifies viewers keeps it by its own field (RFC 9213).
    pub(crate) fn mark(self, headers: &mut HeaderMap) {
        let Some(shared) = headers.get(header::CACHE_CONTROL).cloned().filter(|_| self != Self::Everybody) else {
            return;
        };
        let own = shared.to_str().unwrap_or("no-store").replace("public", "private");
        headers.insert(header::CACHE_CONTROL, HeaderValue::try_from(own).unwrap_or(NO_STORE));
        if self == Self::Surrogate {
            headers.insert(CDN_CACHE_CONTROL, shared);
        }
    }
}

// === impl Asker ===

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let uri = parts.extensions.get::<Signed>().map_or(&parts.uri, |Signed(uri)| uri);
        let credential = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = credential.and_then(|value| value.split_once(' ')).unwrap_or_default();
        let is_part =
            parts.extensions.get::<Peer>().is_some_and(|peer| peer.standing.role == Role::Service && !peer.has_ended());
        Ok(Self {
            target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            bearer: scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned()),
            is_part,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_protected_is_nobody_s_where_nobody_is_known() {
        let nobody = Admission::default();
        let stranger = Asker { bearer: Some("anything".to_owned()), ..Asker::default() };
        assert_eq!(nobody.admit(false, &stranger), Ok(Audience::Everybody));
        assert_eq!(nobody.admit(true, &stranger), Err(Refused::Missing));
        let part = Asker { is_part: true, ..Asker::default() };
        assert_eq!(nobody.admit(true, &part), Ok(Audience::Surrogate));
    }

    #[test]
    fn only_caches_that_verify_viewers_may_share_what_is_protected() {
        let marked = |audience: Audience, shared: &'static str| {
            let mut headers = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(shared))]);
            audience.mark(&mut headers);
            let says = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            (says(header::CACHE_CONTROL).unwrap(), says(CDN_CACHE_CONTROL))
        };
        let shared = "public, max-age=60";
        let (own, kept) = ("private, max-age=60".to_owned(), Some(shared.to_owned()));
        assert_eq!(marked(Audience::Everybody, shared), (shared.to_owned(), None));
        assert_eq!(marked(Audience::Viewer, shared), (own.clone(), None));
        assert_eq!(marked(Audience::Surrogate, shared), (own, kept));
        assert_eq!(marked(Audience::Viewer, "no-store"), ("no-store".to_owned(), None));
    }
}

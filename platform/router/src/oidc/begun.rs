//! People on their way to the issuer and back: what is to be known when they return. Their browser carries it, sealed, in a cookie, so that
//! nobody can crowd others out; the issuer takes a code once.

use std::time::Duration;

use flame_service_host::keys::unix_seconds;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::secret;

/// How long somebody may take to sign in.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// A sign-in that was begun.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// What the issuer sends back: that it is this sign-in (RFC 6749, 10.12).
    pub(crate) state: String,
    /// What the ID token must repeat.
    pub(crate) nonce: String,
    /// What shows the issuer that who began it ends it (RFC 7636).
    pub(crate) verifier: String,
    /// Where the issuer sends the browser back to.
    pub(crate) redirect_uri: String,
    /// Until when it counts, Unix seconds.
    exp: u64,
}

/// Seals them, with a key of this process.
pub(crate) struct Seal {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

// === impl Begun ===

impl Begun {
    /// A new one, with secrets of its own.
    pub(crate) fn new(redirect_uri: String) -> Self {
        let exp = unix_seconds() + PATIENCE.as_secs();
        Self { state: secret(), nonce: secret(), verifier: secret(), redirect_uri, exp }
    }
}

// === impl Seal ===

impl Seal {
    pub(crate) fn new() -> Self {
        let key: [u8; 32] = rand::random();
        Self { encoding: EncodingKey::from_secret(&key), decoding: DecodingKey::from_secret(&key) }
    }

    /// What the browser carries.
    pub(crate) fn sealed(&self, begun: &Begun) -> Result<String, String> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), begun, &self.encoding).map_err(|error| error.to_string())
    }

    /// The sign-in that a browser brings back, which is the one that the issuer means by `state`.
    pub(crate) fn opened(&self, carried: &str, state: &str) -> Option<Begun> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        let begun = jsonwebtoken::decode::<Begun>(carried, &self.decoding, &validation).ok()?.claims;
        (begun.state == state).then_some(begun)
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_set_out_returns_in_the_same_browser_in_time_and_to_the_same_router() {
        let (seal, begun) = (Seal::new(), Begun::new("http://a/b".to_owned()));
        let carried = seal.sealed(&begun).unwrap();
        assert!(seal.opened(&carried, &begun.state).is_some_and(|opened| opened == begun));
        assert!(seal.opened(&carried, &Begun::new("http://a/b".to_owned()).state).is_none(), "another sign-in");
        assert!(Seal::new().opened(&carried, &begun.state).is_none(), "another router");
        assert!(seal.opened("", &begun.state).is_none() && seal.opened("a.b.c", &begun.state).is_none());
        let late = Begun { exp: unix_seconds() - 1, ..begun.clone() };
        assert!(seal.opened(&seal.sealed(&late).unwrap(), &begun.state).is_none(), "too late");
        let mut changed = carried.into_bytes();
        let middle = changed.len() / 2;
        changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
        assert!(seal.opened(&String::from_utf8(changed).unwrap(), &begun.state).is_none(), "changed on the way");
    }
}

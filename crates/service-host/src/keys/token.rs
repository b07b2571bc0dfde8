//! Reading a token (a JWT, RFC 7519): what a key of ours signed, for us, and whose time is not over. Without a folder and a clock, so that
//! any token can be held against it. What was revoked, and what a token allows, is for others to say.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::KeyError;

/// How far the clock of whoever signed may be behind, seconds.
const LEEWAY_S: u64 = 5;

/// What every token says.
#[derive(Deserialize)]
struct Timed {
    exp: u64,
}

/// The claims of `token`, where the key that it names, as `find` gives it, signed them for `audience`, and they have not ended at
/// `now_unix_s`.
///
/// # Errors
/// [`KeyError::Invalid`]: why it is not taken.
pub fn verify<T: DeserializeOwned>(
    token: &str,
    find: impl FnOnce(&str) -> Option<Jwk>,
    audience: &str,
    now_unix_s: u64,
) -> Result<T, KeyError> {
    let invalid = |error: jsonwebtoken::errors::Error| KeyError::Invalid(error.to_string());
    let header = jsonwebtoken::decode_header(token).map_err(invalid)?;
    let kid = header.kid.ok_or_else(|| KeyError::Invalid("it names no key".to_owned()))?;
    let jwk = find(&kid).ok_or_else(|| KeyError::Invalid("its key is not known here".to_owned()))?;
    let key = DecodingKey::from_jwk(&jwk).map_err(invalid)?;
    // What signs is not for the token to choose.
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "aud"]);
    // That is a matter of the clock, which is not looked at here.
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation).map_err(invalid)?.claims;
    let malformed = |error: serde_json::Error| KeyError::Invalid(format!("its claims are none of ours: {error}"));
    let Timed { exp } = Timed::deserialize(&claims).map_err(malformed)?;
    if exp.saturating_add(LEEWAY_S) < now_unix_s {
        return Err(KeyError::Invalid(format!("it expired {} s ago", now_unix_s - exp)));
    }
    serde_json::from_value(claims).map_err(malformed)
}

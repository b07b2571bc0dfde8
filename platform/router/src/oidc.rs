//! Browsers that sign in at an issuer of OpenID Connect: the code flow (OpenID Connect Core 1.0, 3.1) with PKCE (RFC 7636).
//!
//! Here is decided what is asked of the issuer, whether what it says is believed, and what a viewer may do then; [`flow`] speaks with it.
//! The issuer says only *who* somebody is. What services see is a token of our own, made for that viewer as for a link, so nothing
//! of the issuer's ever reaches a service or a script, and `flame token revoke` ends it. An issuer never makes anybody `service`
//! or `metrics`: those are for machines.

mod begun;
pub(crate) mod flow;

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flame_service_host::auth::{DEFAULT_TENANT, LOOPBACK, is_tenant};
use flame_service_host::config::Span;
use flame_service_host::keys::Grant;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

pub(crate) use begun::{Begun, PATIENCE, Seal};

/// Scopes that an issuer may give; all others are for machines.
const GIVABLE: [&str; 3] = ["read", "write", "admin"];
/// Longest name of somebody, bytes (a `sub` has at most 255 characters of ASCII: OpenID Connect Core 1.0, 2).
const SUBJECT_MAX_BYTES: usize = 255;
/// Where the issuer sends browsers back to.
pub(crate) const RETURN: &str = "/api/router/session/oidc/return";
/// How far clocks may be apart, seconds.
const LEEWAY_S: u64 = 60;
/// What may sign: keys that the issuer publishes, never a secret that both know.
const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// `[oidc]`: an issuer at which people sign in.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// The issuer, as its tokens name it; `…/.well-known/openid-configuration` is read below it. `http://` only on loopback.
    pub issuer: Url,
    /// What this router is called there.
    pub client_id: String,
    /// The secret that it shares with the issuer; without one PKCE alone shows who asks.
    #[serde(default)]
    pub client_secret: Option<String>,
    /// Where the issuer sends browsers back to, if that is not the address at which they came, as behind a proxy that ends TLS:
    /// `https://PORTAL/api/router/session/oidc/return`.
    #[serde(default)]
    pub redirect_uri: Option<Url>,
    /// What the issuer is asked for, besides `openid`.
    #[serde(default)]
    pub ask: Vec<String>,
    /// The claim that says who somebody is: shown in the portal, and kept in histories.
    #[serde(default = "default_subject_claim")]
    pub subject_claim: String,
    /// The tenant of everybody who signs in so.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// The claim that names the tenant instead; who has none does not get in.
    #[serde(default)]
    pub tenant_claim: Option<String>,
    /// Scopes of everybody who signs in so: `read`, `write`, `admin`.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// The claim that names scopes instead (a list, or words with spaces between them); who has none of ours does not get in.
    #[serde(default)]
    pub scopes_claim: Option<String>,
    /// How long one is signed in.
    #[serde(default = "default_life")]
    pub life: Span,
    /// Time for each answer of the issuer.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
}

fn default_subject_claim() -> String {
    "sub".to_owned()
}

fn default_tenant() -> String {
    DEFAULT_TENANT.to_owned()
}

fn default_scopes() -> Vec<String> {
    vec!["read".to_owned()]
}

fn default_life() -> Span {
    Span(Duration::from_secs(8 * 3600))
}

fn default_timeout() -> Span {
    Span(Duration::from_secs(10))
}

/// What an issuer says of itself (OpenID Connect Discovery 1.0, 3), as far as it is needed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Discovered {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
}

/// Why an issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OidcInvalid {
    /// What is said there could be read on the way.
    #[error("`[oidc] issuer` is {0}: it must be https://, or http:// on loopback")]
    Open(Url),
    /// The same of where one comes back to; and nobody would be known there.
    #[error("`[oidc] redirect_uri` is {0}: it must be https:// (http:// on loopback), and end in {RETURN}")]
    Return(Url),
    /// Nobody would get in.
    #[error("`[oidc] scopes` are empty, and no `scopes_claim` is set: nobody could do anything")]
    NoScopes,
    /// Somebody would get too far.
    #[error("`[oidc] scopes` hold `{0}`: an issuer gives read, write and admin")]
    Scope(String),
    /// It names no tenant.
    #[error("`[oidc] tenant` is `{0}`, which is no tenant: 1 to 63 lower-case letters, digits and inner hyphens")]
    Tenant(String),
    /// There is no key to sign with, so nobody could be told apart.
    #[error("`[oidc]` needs `[host.auth] keys` with a private key: whoever signs in gets a token of this router's own")]
    NoKeys,
    /// The client cannot be made.
    #[error("the client of `[oidc]` cannot be made: {0}")]
    Client(String),
}

/// Without the secret: configurations get into logs.
impl fmt::Debug for OidcConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcConfig")
            .field("issuer", &self.issuer.as_str())
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

// === impl Discovered ===

impl Discovered {
    /// All places that it sends somebody to.
    pub(crate) fn leads(&self) -> [&Url; 3] {
        [&self.authorization_endpoint, &self.token_endpoint, &self.jwks_uri]
    }
}

// === impl OidcConfig ===

impl OidcConfig {
    /// Whether it can be used.
    pub(crate) fn check(&self) -> Result<(), OidcInvalid> {
        if !is_private(&self.issuer) {
            return Err(OidcInvalid::Open(self.issuer.clone()));
        }
        let is_ours = |url: &&Url| is_private(url) && url.path() == RETURN;
        if let Some(wrong) = self.redirect_uri.as_ref().filter(|url| !is_ours(url)) {
            return Err(OidcInvalid::Return(wrong.clone()));
        }
        if self.scopes.is_empty() && self.scopes_claim.is_none() {
            return Err(OidcInvalid::NoScopes);
        }
        if let Some(wrong) = self.scopes.iter().find(|scope| !GIVABLE.contains(&scope.as_str())) {
            return Err(OidcInvalid::Scope(wrong.clone()));
        }
        if !is_tenant(&self.tenant) {
            return Err(OidcInvalid::Tenant(self.tenant.clone()));
        }
        Ok(())
    }

    /// Whether the issuer is on this machine.
    fn is_here(&self) -> bool {
        is_near(&self.issuer)
    }

    /// Where the issuer says what it is.
    pub(crate) fn discovery(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.issuer.as_str().trim_end_matches('/'))
    }

    /// Whether what was read there is of this issuer, and leads nowhere that others could listen.
    pub(crate) fn believes(&self, found: &Discovered) -> Result<(), String> {
        if found.issuer.trim_end_matches('/') != self.issuer.as_str().trim_end_matches('/') {
            return Err(format!("it calls itself {}, and `[oidc] issuer` is {}", found.issuer, self.issuer));
        }
        match found.leads().into_iter().find(|url| !is_private(url)) {
            Some(open) => Err(format!("it leads to {open}, which is neither https:// nor on loopback")),
            None => Ok(()),
        }
    }

    /// Where the issuer sends a browser back to that came to `here`; or why it cannot.
    pub(crate) fn returns(&self, here: &str) -> Result<String, String> {
        if let Some(url) = &self.redirect_uri {
            return Ok(url.to_string());
        }
        let url = format!("{here}{RETURN}");
        match Url::parse(&url) {
            Ok(parsed) if is_private(&parsed) => Ok(url),
            Ok(_) | Err(_) => {
                Err(format!("you came to {here}: what the issuer sends back there could be read on the way"))
            }
        }
    }

    /// Where a browser goes to sign in.
    pub(crate) fn leads(&self, found: &Discovered, begun: &Begun) -> Url {
        let scope = ["openid"].into_iter().chain(self.ask.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(begun.verifier.as_bytes()));
        let mut url = found.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &begun.redirect_uri)
            .append_pair("scope", &scope)
            .append_pair("state", &begun.state)
            .append_pair("nonce", &begun.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        url
    }

    /// The claims of an ID token that this issuer has signed for this router and this sign-in (OpenID Connect Core 1.0, 3.1.3.7).
    pub(crate) fn verified(
        &self,
        found: &Discovered,
        keys: &JwkSet,
        token: &str,
        nonce: &str,
    ) -> Result<Value, String> {
        let wrong = |error: jsonwebtoken::errors::Error| format!("its ID token is not valid: {error}");
        let header = jsonwebtoken::decode_header(token).map_err(wrong)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(format!("its ID token is signed with {:?}, which is not taken", header.alg));
        }
        let key = match &header.kid {
            Some(kid) => keys.find(kid),
            None => keys.keys.first().filter(|_| keys.keys.len() == 1),
        };
        let key = key.ok_or("its ID token is signed with a key that it does not publish")?;
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.client_id]);
        validation.set_issuer(&[&found.issuer]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        validation.leeway = LEEWAY_S;
        let key = DecodingKey::from_jwk(key).map_err(wrong)?;
        let claims = jsonwebtoken::decode::<Value>(token, &key, &validation).map_err(wrong)?.claims;
        if claims["nonce"].as_str() != Some(nonce) {
            return Err("its ID token is not of this sign-in".to_owned());
        }
        let is_for_several = claims["aud"].as_array().is_some_and(|all| all.len() > 1);
        if (is_for_several || !claims["azp"].is_null()) && claims["azp"].as_str() != Some(&self.client_id) {
            return Err("its ID token was made for another client".to_owned());
        }
        Ok(claims)
    }

    /// What whoever has these claims may do here; or why nothing.
    pub(crate) fn grant(&self, claims: &Value) -> Result<Grant, String> {
        let is_name = |name: &&str| {
            !name.trim().is_empty() && name.len() <= SUBJECT_MAX_BYTES && !name.contains(char::is_control)
        };
        let subject = claims[self.subject_claim.as_str()].as_str().filter(is_name);
        let subject =
            subject.ok_or_else(|| format!("`{}` of its ID token names nobody", self.subject_claim))?.to_owned();
        // The portal takes that one for everybody on this machine.
        if subject == LOOPBACK {
            return Err(format!("`{LOOPBACK}` is nobody's name"));
        }
        if self.subject_claim == "email" && claims["email_verified"] == false {
            return Err(format!("the issuer does not vouch that {subject} is whose address it is"));
        }
        let tenant = match &self.tenant_claim {
            None => self.tenant.as_str(),
            Some(claim) => claims[claim.as_str()]
                .as_str()
                .filter(|tenant| is_tenant(tenant))
                .ok_or_else(|| format!("{subject} has no tenant here: `{claim}` of the ID token names none"))?,
        };
        let said: Vec<&str> = match &self.scopes_claim {
            None => self.scopes.iter().map(String::as_str).collect(),
            Some(claim) => words(&claims[claim.as_str()]),
        };
        let scopes: Vec<&str> = GIVABLE.into_iter().filter(|scope| said.contains(scope)).collect();
        if scopes.is_empty() {
            let claim = self.scopes_claim.as_deref().unwrap_or("scopes");
            return Err(format!("{subject} may do nothing here: `{claim}` names none of read, write, admin"));
        }
        Ok(Grant { subject, tenant: tenant.to_owned(), scope: scopes.join(" "), life: self.life.0 })
    }
}

/// Words of a claim: a list of them, or one text.
fn words(claim: &Value) -> Vec<&str> {
    match claim {
        Value::String(text) => text.split_whitespace().collect(),
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// Whether nobody on the way can listen.
fn is_private(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_near(url))
}

fn is_near(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// 256 bits that nobody guesses, as text.
fn secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests;

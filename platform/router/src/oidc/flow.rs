//! Speaking with the issuer: what it is, the exchange of a code, its keys. Nothing is decided here.

use std::time::{Duration, Instant};

use flame_service_host::Authority;
use flame_service_host::keys::Grant;
use flame_service_host::problem;
use jsonwebtoken::jwk::JwkSet;
use reqwest::{RequestBuilder, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, Semaphore};
use url::Url;

use super::{Begun, Discovered, OidcConfig, OidcInvalid, Seal};

/// Longest answer of an issuer that is read.
const ANSWER_MAX_BYTES: usize = 256 * 1024;
/// Sign-ins that speak with the issuer at once; others are told to come back.
const AT_ONCE: usize = 16;
/// What the issuer says of itself is believed for so long: whoever only sets out costs it little.
const KNOWN_FOR: Duration = Duration::from_secs(60);
/// And that it cannot be asked for so long.
const AWAY_FOR: Duration = Duration::from_secs(2);

/// Where people sign in.
#[derive(Debug)]
pub(crate) struct Door {
    config: OidcConfig,
    seal: Seal,
    http: reqwest::Client,
    /// Who sets out keeps nobody from coming back.
    setting_out: Semaphore,
    coming_back: Semaphore,
    /// What it says of itself, or why that is not known, and since when. Held while it is asked: others wait for the same.
    found: Mutex<Option<(Instant, Result<Discovered, String>)>>,
}

/// Somebody who sets out.
#[derive(Debug)]
pub(crate) struct Departure {
    /// Where to.
    pub(crate) to: Url,
    /// What the browser has to bring back.
    pub(crate) carried: String,
    /// Whether only over TLS.
    pub(crate) is_secure: bool,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSignedIn {
    /// As many speak with the issuer as may.
    #[error("many people sign in just now; try again in a moment")]
    Busy,
    /// It cannot be asked, or what it says is not to be used.
    #[error("the issuer {issuer} cannot be used: {reason}")]
    Issuer {
        /// The issuer.
        issuer: Url,
        /// Why.
        reason: String,
    },
    /// They came by a way on which others listen.
    #[error("{0}; come by https://, or have `[oidc] redirect_uri` say where people do")]
    Open(String),
    /// Nobody set out so.
    #[error("this sign-in was not begun in this browser, or too long ago; sign in again from the portal")]
    Unknown,
    /// The issuer has said no.
    #[error("the issuer has signed nobody in: {0}")]
    Refused(String),
    /// It is somebody who may do nothing here.
    #[error("{0}")]
    Nobody(String),
}

/// What an issuer sends a browser back with (RFC 6749, 4.1.2).
#[derive(Deserialize)]
pub(crate) struct Returned {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

/// What a token endpoint answers (RFC 6749, 5.1), as far as it is needed.
#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

// === impl NotSignedIn ===

impl NotSignedIn {
    /// What the portal says it by.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Issuer { .. } => "issuer",
            Self::Open(_) => "open",
            Self::Unknown => "unknown",
            Self::Refused(_) => "refused",
            Self::Nobody(_) => "nobody",
        }
    }
}

// === impl Door ===

impl Door {
    /// Opens it; the issuer is asked when somebody signs in, and may be away until then.
    pub(crate) fn open(config: OidcConfig, authority: &Authority) -> Result<Self, OidcInvalid> {
        config.check()?;
        if !authority.issues() {
            return Err(OidcInvalid::NoKeys);
        }
        let http = reqwest::Client::builder().timeout(config.timeout.0).redirect(redirect::Policy::none());
        // What is on this machine is not reached through a proxy.
        let http = if config.is_here() { http.no_proxy() } else { http }.build();
        let http = http.map_err(|error| OidcInvalid::Client(error.to_string()))?;
        let [setting_out, coming_back] = [(); 2].map(|()| Semaphore::new(AT_ONCE));
        Ok(Self { config, seal: Seal::new(), http, setting_out, coming_back, found: Mutex::default() })
    }

    /// Who is asked.
    pub(crate) fn issuer(&self) -> &Url {
        &self.config.issuer
    }

    /// Somebody begins to sign in who came to the origin `here`.
    pub(crate) async fn begin(&self, here: &str) -> Result<Departure, NotSignedIn> {
        let redirect_uri = self.config.returns(here).map_err(NotSignedIn::Open)?;
        let is_secure = redirect_uri.starts_with("https:");
        let _turn = self.setting_out.try_acquire().map_err(|_| NotSignedIn::Busy)?;
        let found = self.discover().await?;
        let begun = Begun::new(redirect_uri);
        let carried = self.seal.sealed(&begun).map_err(|reason| self.failed(reason))?;
        Ok(Departure { to: self.config.leads(&found, &begun), carried, is_secure })
    }

    /// Somebody comes back, in the browser that carried `carried`; what they may do, and whether they came by TLS.
    pub(crate) async fn end(&self, returned: &Returned, carried: &str) -> Result<(Grant, bool), NotSignedIn> {
        let _turn = self.coming_back.try_acquire().map_err(|_| NotSignedIn::Busy)?;
        let state = returned.state.as_deref().unwrap_or_default();
        let begun = self.seal.opened(carried, state).ok_or(NotSignedIn::Unknown)?;
        let Some(code) = &returned.code else {
            let said = returned.error.as_deref().unwrap_or("no reason").chars().filter(|one| !one.is_control());
            return Err(NotSignedIn::Refused(said.take(100).collect()));
        };
        let found = self.discover().await?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", begun.redirect_uri.as_str()),
            ("code_verifier", begun.verifier.as_str()),
        ];
        let mut call = self.http.post(found.token_endpoint.clone());
        match &self.config.client_secret {
            // Names and secrets are encoded before (RFC 6749, 2.3.1).
            Some(secret) => call = call.basic_auth(encoded(&self.config.client_id), Some(encoded(secret))),
            None => form.push(("client_id", &self.config.client_id)),
        }
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let call = call.header("content-type", "application/x-www-form-urlencoded").body(body);
        let tokens: Tokens = self.asked(call).await.map_err(|reason| self.failed(reason))?;
        let keys: JwkSet =
            self.asked(self.http.get(found.jwks_uri.clone())).await.map_err(|reason| self.failed(reason))?;
        let claims = self.config.verified(&found, &keys, &tokens.id_token, &begun.nonce);
        let claims = claims.map_err(|reason| self.failed(reason))?;
        let grant = self.config.grant(&claims).map_err(NotSignedIn::Nobody)?;
        Ok((grant, begun.redirect_uri.starts_with("https:")))
    }

    async fn discover(&self) -> Result<Discovered, NotSignedIn> {
        let mut known = self.found.lock().await;
        if let Some((since, found)) = &*known
            && since.elapsed() < if found.is_ok() { KNOWN_FOR } else { AWAY_FOR }
        {
            return found.clone().map_err(|reason| self.failed(reason));
        }
        let found = self.asked::<Discovered>(self.http.get(self.config.discovery())).await;
        let found = found.and_then(|found| self.config.believes(&found).map(|()| found));
        *known = Some((Instant::now(), found.clone()));
        found.map_err(|reason| self.failed(reason))
    }

    /// What it answers, or why that is of no use.
    async fn asked<T: DeserializeOwned>(&self, call: RequestBuilder) -> Result<T, String> {
        let failed = |error: reqwest::Error| problem::chain(&error.without_url());
        let mut answer = call.header("accept", "application/json").send().await.map_err(failed)?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > ANSWER_MAX_BYTES {
                return Err(format!("it answers with more than {ANSWER_MAX_BYTES} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let said = said["error"].as_str().unwrap_or("no reason").chars().take(100).collect::<String>();
            return Err(format!("it answers {status}: {said}"));
        }
        serde_json::from_slice(&body).map_err(|error| format!("its answer cannot be read: {error}"))
    }

    fn failed(&self, reason: String) -> NotSignedIn {
        NotSignedIn::Issuer { issuer: self.config.issuer.clone(), reason }
    }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

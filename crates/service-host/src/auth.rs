//! Who calls, and what they may do: bearer tokens (JWT, EdDSA) with a tenant and scopes.
//!
//! On loopback everything is open by default: every caller is the tenant `default` with all scopes. Elsewhere a
//! service without keys refuses to start, unless it has a certificate: then parts whose connection shows one are known by
//! it, and nobody else is known without a token. Routes are private unless they are declared public, so a forgotten check
//! is a refused request and not an open door. Identity never comes from a forwarded header; the header
//! `Flame-Tenant` only says for whom a caller with the scope `service` acts.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flame_credentials::{Peer, Role};
use serde::{Deserialize, Serialize};

use crate::keys::{self, Claims, Grant, KeyError, Keyring, unix_seconds};
use crate::links;
use crate::problem::Failure;

/// The tenant of callers that need not say who they are.
pub const DEFAULT_TENANT: &str = "default";
/// Who callers on this machine are, where none of them need say so.
pub const LOOPBACK: &str = "loopback";
/// The header in which a service says for which tenant it acts.
pub const TENANT_HEADER: &str = "flame-tenant";

/// `[host.auth]`: who may call.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Folder with `jwks.json` (RFC 7517 public keys) and `revoked.json`; without it the service is open, and then it
    /// listens on loopback only.
    pub keys: Option<PathBuf>,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Read the catalogue, uploads and jobs.
    #[serde(rename = "read")]
    Read,
    /// Upload, edit, delete, run chains.
    #[serde(rename = "write")]
    Write,
    /// Register endpoints and change the platform.
    #[serde(rename = "admin")]
    Admin,
    /// Read the measurements of the services, of all tenants together.
    #[serde(rename = "metrics")]
    Metrics,
    /// Act for any tenant: the services themselves.
    #[serde(rename = "service")]
    Service,
}

/// The authenticated caller of a private route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant that it acts for.
    pub tenant: String,
    /// Who it is, for the log.
    pub subject: String,
    /// Names that it may register behind, if it is confined to some.
    pub names: Option<Vec<String>>,
    /// Whose certificate the connection shows, if that is how it is known.
    pub part: Option<Peer>,
    /// Whether it need not say who it is: it is on this machine, where no tokens are needed.
    pub is_local: bool,
    /// When the token that it shows ends, Unix seconds; nothing where it is known without one.
    pub ends_unix_s: Option<u64>,
    scopes: Vec<Scope>,
}

/// What a browser signs in with, and who it is then.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who it is.
    pub caller: Caller,
    /// The token that says so from now on, and how long it lives; nothing where no token is needed.
    pub token: Option<(String, Duration)>,
}

/// Decides who a request comes from.
#[derive(Debug, Clone)]
pub struct Authority {
    keyring: Option<Arc<Keyring>>,
    /// What this part is by its own certificate, if it has one.
    role: Option<Role>,
}

// === impl Scope ===

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Admin, Self::Metrics, Self::Service];

    /// The word in a token's `scope` claim.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
            Self::Metrics => "metrics",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|scope| scope.as_str() == text).copied();
        known.ok_or_else(|| format!("`{text}` is no scope: read, write, admin, metrics or service"))
    }
}

// === impl Authority ===

impl Authority {
    /// Opens the keys of `config`. A service that can be reached from elsewhere needs some, or a certificate: `role` is
    /// what that says.
    pub fn open(config: &AuthConfig, listen: SocketAddr, role: Option<Role>) -> Result<Self, KeyError> {
        let keyring = config.keys.as_ref().map(|folder| Keyring::open(folder)).transpose()?.map(Arc::new);
        if keyring.is_none() && role.is_none() && !listen.ip().is_loopback() {
            return Err(KeyError::Needed(listen));
        }
        Ok(Self { keyring, role })
    }

    /// Whether everybody on this machine may call, without a token.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.keyring.is_none() && self.role.is_none()
    }

    /// Reads keys and revocations again.
    pub fn reload(&self) -> Result<(), KeyError> {
        self.keyring.as_ref().map_or(Ok(()), |keyring| keyring.reload())
    }

    /// The caller of a request with these headers, which came over a connection with these extensions: by the
    /// certificate that it shows, and what its token adds to that; else by its token.
    pub fn authenticate(&self, headers: &HeaderMap, connection: &Extensions) -> Result<Caller, Failure> {
        let peer = connection.get::<Peer>().filter(|peer| self.knows(peer));
        let (mut caller, acts_for_others) = match (peer, &self.keyring) {
            (Some(peer), _) if peer.has_ended() => {
                return Err(unauthorised(
                    "the certificate of this connection has ended: connect anew with the next one",
                ));
            }
            (Some(peer), keyring) => {
                let besides = keyring.as_ref().map(|keys| besides(peer, keys, headers)).transpose()?.flatten();
                (Caller::part(peer, besides), true)
            }
            (None, None) if self.role.is_none() => (Caller::local(), true),
            (None, None) => {
                return Err(unauthorised("the connection shows no certificate, and tokens are not taken here"));
            }
            (None, Some(keyring)) => {
                let claims = keyring.verify(bearer(headers)?).map_err(|error| unauthorised(&error.to_string()))?;
                // It becomes a part of keys and paths: whoever signed it, it has to be a name.
                if !is_tenant(&claims.tenant) {
                    return Err(unauthorised("the token names no tenant"));
                }
                let caller = Caller::from(claims);
                let acts_for_others = caller.scopes.contains(&Scope::Service);
                (caller, acts_for_others)
            }
        };
        if let Some(tenant) = headers.get(TENANT_HEADER) {
            let tenant = tenant.to_str().ok().filter(|tenant| is_tenant(tenant));
            let tenant = tenant.ok_or_else(|| Failure::bad_request("Flame-Tenant holds no tenant name"))?;
            if tenant != caller.tenant {
                if !acts_for_others {
                    return Err(forbidden("only services act for another tenant"));
                }
                tenant.clone_into(&mut caller.tenant);
            }
        }
        Ok(caller)
    }

    /// Signs a browser in that shows a token, or a link that is exchanged for one ([`crate::links`]), as bearer.
    pub fn sign_in(&self, headers: &HeaderMap) -> Result<SignedIn, Failure> {
        let Some(keyring) = &self.keyring else {
            if self.role.is_none() {
                return Ok(SignedIn { caller: Caller::local(), token: None });
            }
            return Err(unauthorised("tokens are not taken here"));
        };
        let shown = bearer(headers)?;
        let redeemed = links::redeem(keyring, shown).map_err(|error| match error {
            KeyError::Invalid(_) => unauthorised(&error.to_string()),
            KeyError::NoSigner(_) => {
                unauthorised("links are taken where the signing key is; sign in with a token here")
            }
            KeyError::Needed(_) | KeyError::File(_) | KeyError::Damaged { .. } | KeyError::Randomness => {
                Failure::internal(&error)
            }
        })?;
        let (token, claims) = match redeemed {
            Some(redeemed) => redeemed,
            None => {
                let claims = keyring.verify(shown).map_err(|error| unauthorised(&error.to_string()))?;
                (shown.to_owned(), claims)
            }
        };
        if !is_tenant(&claims.tenant) {
            return Err(unauthorised("the token names no tenant"));
        }
        let life = Duration::from_secs(claims.exp.saturating_sub(unix_seconds()));
        Ok(SignedIn { caller: Caller::from(claims), token: Some((token, life)) })
    }

    /// Whether it can make tokens: there are keys, and a private one among them.
    #[must_use]
    pub fn issues(&self) -> bool {
        self.keyring.as_ref().is_some_and(|keyring| keys::signer(keyring.folder()).is_ok())
    }

    /// Signs a browser in as somebody who was made known elsewhere: with a token of its own, of `grant`.
    pub fn admit(&self, grant: &Grant) -> Result<SignedIn, Failure> {
        let keyring = self.keyring.as_ref().ok_or_else(|| unauthorised("tokens are not taken here"))?;
        let (token, claims) = keys::issue(keyring.folder(), grant).map_err(|error| Failure::internal(&error))?;
        Ok(SignedIn { caller: Caller::from(claims), token: Some((token, grant.life)) })
    }

    /// Whether a connection is who calls. One of a router is not, except for another router: what comes over it is
    /// what the router's clients ask for.
    fn knows(&self, peer: &Peer) -> bool {
        peer.standing.role == Role::Service || self.role == Some(Role::Router)
    }
}

/// Whether `text` can name a tenant: 1 to 63 lower-case letters, digits and inner hyphens (a DNS label).
#[must_use]
pub fn is_tenant(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// What a part's token says besides its certificate, if it shows one. One that is not good is refused as it is without a
/// certificate: else who asks for one tenant would be answered of another as soon as its token has ended. One without the scope `service`
/// adds nothing: what it may for its own tenant it would be allowed for all that the certificate acts for. Of a router's connection it is
/// the word of whoever asks through it.
fn besides(peer: &Peer, keyring: &Keyring, headers: &HeaderMap) -> Result<Option<Claims>, Failure> {
    if peer.standing.role != Role::Service || !headers.contains_key(header::AUTHORIZATION) {
        return Ok(None);
    }
    let claims = keyring.verify(bearer(headers)?).map_err(|error| unauthorised(&error.to_string()))?;
    if !is_tenant(&claims.tenant) {
        return Err(unauthorised("the token names no tenant"));
    }
    let is_service = claims.scope.split_whitespace().any(|word| word == Scope::Service.as_str());
    Ok(is_service.then_some(claims))
}

fn bearer(headers: &HeaderMap) -> Result<&str, Failure> {
    let value = headers.get(header::AUTHORIZATION).ok_or_else(|| unauthorised("no token was sent"))?;
    let text = value.to_str().unwrap_or_default();
    let (scheme, token) = text.split_once(' ').unwrap_or_default();
    // `Token` is how clients of InfluxDB 2 and Telegraf show theirs.
    if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") {
        Ok(token.trim())
    } else {
        Err(unauthorised("the credential is no bearer token"))
    }
}

fn unauthorised(reason: &str) -> Failure {
    let detail = format!("{reason}; make one with `flame token issue` and send `Authorization: Bearer TOKEN`");
    Failure::new(StatusCode::UNAUTHORIZED, "unauthorised", "A valid token is needed", detail)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

fn forbidden(detail: &str) -> Failure {
    Failure::new(StatusCode::FORBIDDEN, "forbidden", "The token does not allow this", detail)
}

/// Middleware of private routes: authenticates, or answers 401.
pub(crate) async fn require_caller(authority: Authority, mut request: Request, next: Next) -> Response {
    match authority.authenticate(request.headers(), request.extensions()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            let mut response = next.run(request).await;
            // What is answered to one caller is not for a cache, unless the route says so itself.
            let headers = response.headers_mut();
            headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
            // For the access log.
            response.extensions_mut().insert(caller);
            response
        }
        Err(failure) => failure.into_response(),
    }
}

// === impl Caller ===

impl Caller {
    fn local() -> Self {
        let (tenant, subject) = (DEFAULT_TENANT.to_owned(), LOOPBACK.to_owned());
        let scopes = Scope::ALL.to_vec();
        Self { tenant, subject, names: None, part: None, is_local: true, ends_unix_s: None, scopes }
    }

    /// A part, by its certificate: it reads, and acts for any tenant, and registers behind the names that it lists. What a service's token
    /// allows that it shows besides, it may too: that token acts for any tenant by itself, over a connection without a certificate.
    fn part(peer: &Peer, token: Option<Claims>) -> Self {
        let own: Vec<String> = peer.standing.names.iter().map(ToString::to_string).collect();
        let (mut tenant, subject) = (DEFAULT_TENANT.to_owned(), peer.standing.to_string());
        let (mut names, mut scopes) = (Some(own.clone()), vec![Scope::Read, Scope::Service]);
        let mut ends_unix_s = None;
        if let Some(token) = token.map(Self::from) {
            ends_unix_s = token.ends_unix_s;
            tenant = token.tenant;
            names = match token.names {
                Some(listed) => Some(own.into_iter().chain(listed).collect()),
                // Whoever administers is confined to no names.
                None if token.scopes.contains(&Scope::Admin) => None,
                None => Some(own),
            };
            scopes.extend(token.scopes.into_iter().filter(|scope| !matches!(scope, Scope::Read | Scope::Service)));
        }
        Self { tenant, subject, names, part: Some(peer.clone()), is_local: false, ends_unix_s, scopes }
    }

    /// Refuses with 403 unless the caller has `scope`.
    pub fn require(&self, scope: Scope) -> Result<(), Failure> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        Err(forbidden(&format!("it needs the scope `{scope}`")))
    }

    /// What it may do.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Whether the caller may see everything of every tenant.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.scopes.contains(&Scope::Service)
    }
}

impl From<Claims> for Caller {
    fn from(claims: Claims) -> Self {
        let scopes = claims.scope.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        Self {
            tenant: claims.tenant,
            subject: claims.sub,
            names: claims.names,
            part: None,
            is_local: false,
            ends_unix_s: Some(claims.exp),
            scopes,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| unauthorised("this route was reached without a caller"))
    }
}

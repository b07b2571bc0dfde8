//! This process as a part among others: it joins once with a token, and renews its certificate while it runs.
//!
//! The key is made here and stays in its folder. At two thirds of its life a certificate is replaced by a new one for a
//! new key; handshakes from then on use it, and connections that show the old one are left. Nothing restarts. Who holds
//! the issuer itself asks nobody.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flame_api::client::Transport;
use flame_api::router::{Certificate, CertificateRequest};
use flame_api::{Client, ClientError};
use flame_credentials::standing::ANY_ROUTER;
use flame_credentials::{
    Current, Identity, IdentityError, Issued, Issuer, IssuerError, JoinToken, Key, Role, Standing, Wanted, tls,
};
use flame_naming::Label;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::problem::chain;

/// How long a first start waits for the router that issues.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
/// Pause between tries.
const RETRY: Duration = Duration::from_millis(500);
/// Longest pause between tries to renew.
const RENEW_RETRY_MAX: Duration = Duration::from_secs(60);

/// `[host.tls]`: who this part is to the others.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Folder of its key and certificate, its own alone; made at the first start.
    pub folder: PathBuf,
    /// The router that issues certificates, if it is not the one that the service registers with.
    #[serde(default)]
    pub issuer: Option<Url>,
    /// One-time join token (`flame ca join-token`): needed while the folder holds no certificate that is still good.
    #[serde(default)]
    pub join_token: Option<String>,
}

/// What this process is, and who makes it so.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it means to be.
    pub wanted: Wanted,
    /// The issuer, where this process holds it, and what it calls itself then.
    pub own: Option<(Issuer, Label)>,
}

/// Why a part has no certificate.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// Its folder has none, and nobody can be asked.
    #[error(
        "{folder} holds no certificate{ended}: set `join_token` in [host.tls] (`flame ca join-token` makes one){issuer}"
    )]
    NoToken {
        /// The folder.
        folder: PathBuf,
        /// Whether there was one.
        ended: &'static str,
        /// What else is missing.
        issuer: &'static str,
    },
    /// The token is none.
    #[error("`join_token` in [host.tls]")]
    Token(#[from] flame_credentials::invitation::NoToken),
    /// Certificates are asked for over TLS only.
    #[error("certificates are asked for over https, not at {0}: set `issuer` in [host.tls]")]
    Plain(Url),
    /// The router that issues was not reached, or said no.
    #[error("join")]
    Asked(#[from] ClientError),
    /// Key or certificate cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The own issuer did not sign.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The certificate is not what the part is.
    #[error(
        "the certificate in {folder} is of a {got}, this is a {wanted}: use a folder of its own, or empty it and join with a token for that"
    )]
    Other {
        /// The folder.
        folder: PathBuf,
        /// What it says.
        got: Standing,
        /// What it should say.
        wanted: String,
    },
    /// A task of the process is gone.
    #[error("the work on files was cut off")]
    CutOff,
}

/// A part that has a certificate. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub current: Current,
    /// Connections to whoever has a name in its certificate; the first is the router of its site.
    transports: Arc<Mutex<Vec<(String, Transport)>>>,
    folder: PathBuf,
    own: Option<Issuer>,
    issuer: Option<Url>,
}

/// Makes connections to whoever has a certain name in its certificate. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Transports(pub(crate) Option<Membership>);

// === impl Transports ===

impl Transports {
    /// Connections to whoever has `name` in its certificate, which are replaced with the own one; `None` where this part has
    /// none to show.
    pub fn to(&self, name: &str) -> Result<Option<Transport>, IdentityError> {
        self.0.as_ref().map(|membership| membership.transport_to(name)).transpose()
    }
}

// === impl TlsConfig ===

/// Without the token.
impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, issuer, join_token } = self;
        f.debug_struct("TlsConfig")
            .field("folder", folder)
            .field("issuer", &issuer.as_ref().map(Url::as_str))
            .field("join_token", &join_token.as_ref().map(|_| "[redacted]"))
            .finish()
    }
}

// === impl Membership ===

impl Membership {
    /// Takes the certificate in the folder, or joins. `router` issues where the configuration names nobody else.
    pub(crate) async fn enter(config: &TlsConfig, router: Option<&Url>, entry: Entry) -> Result<Self, MembershipError> {
        let folder = config.folder.clone();
        let issuer = config.issuer.as_ref().or(router).cloned();
        let kept = blocking({
            let folder = folder.clone();
            move || Ok(Identity::read(&folder)?)
        });
        let kept = kept.await?;
        let ended = if kept.is_some() { " that is still good" } else { "" };
        let is_good = |kept: &Identity| {
            let of_other = |(own, _): &(Issuer, Label)| own.fingerprint() != kept.authority();
            !kept.has_ended() && !entry.own.as_ref().is_some_and(of_other)
        };
        let identity = match (kept.filter(is_good), &entry.own) {
            (Some(kept), _) => kept,
            (None, Some((own, site))) => first_of(own.clone(), site.clone(), folder.clone()).await?,
            (None, None) => match (&config.join_token, &issuer) {
                (Some(token), Some(issuer)) => join(&folder, token.parse()?, issuer, &entry.wanted).await?,
                (_, named) => {
                    let issuer = if named.is_some() { "" } else { ", and `issuer`" };
                    return Err(MembershipError::NoToken { folder, ended, issuer });
                }
            },
        };
        fits(&identity, &entry.wanted, &folder)?;
        let own = entry.own.map(|(issuer, _)| issuer);
        let router = flame_credentials::standing::dns_of_router(&identity.standing.site);
        let current = Current::new(identity);
        let membership = Self { current, transports: Arc::default(), folder, own, issuer };
        membership.transport_to(&router)?;
        Ok(membership)
    }

    /// Connections to whoever has `name` in its certificate. They are replaced with the own certificate.
    pub(crate) fn transport_to(&self, name: &str) -> Result<Transport, IdentityError> {
        let mut transports = self.transports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, transport)) = transports.iter().find(|(known, _)| known == name) {
            return Ok(transport.clone());
        }
        let transport = Transport::over_tls(self.current.client_expecting(name)?);
        transports.push((name.to_owned(), transport.clone()));
        Ok(transport)
    }

    /// Connections to the router of its site.
    pub(crate) fn transport(&self) -> Transport {
        let transports = self.transports.lock().unwrap_or_else(PoisonError::into_inner);
        transports.first().map(|(_, transport)| transport.clone()).unwrap_or_default()
    }

    /// Renews the certificate until `stop`.
    pub(crate) async fn keep(self, stop: CancellationToken) {
        loop {
            let identity = self.current.identity();
            if !pause(identity.renewed_in(), &stop).await {
                return;
            }
            while let Err(error) = self.renew().await {
                let (error, ends_in_s) = (chain(&error), self.current.identity().ends_in().as_secs());
                tracing::warn!(error, ends_in_s, "the certificate was not renewed; trying on");
                if !pause((identity.life() / 30).clamp(RETRY, RENEW_RETRY_MAX), &stop).await {
                    return;
                }
            }
        }
    }

    async fn renew(&self) -> Result<(), MembershipError> {
        let before = self.current.identity();
        let key = blocking(|| Ok(Key::new()?)).await?;
        let request = key.request_pem()?;
        let issued = match (&self.own, &self.issuer) {
            (Some(own), _) => {
                let (own, standing) = (own.clone(), before.standing.clone());
                blocking(move || Ok(own.renew(standing, &request)?)).await?
            }
            (None, Some(issuer)) => {
                let transport = Transport::over_tls(self.current.client_expecting(ANY_ROUTER)?);
                let body = CertificateRequest { request, token: None, role: None, site: None, names: Vec::new() };
                issued(ask(issuer, transport, &body).await?)?
            }
            (None, None) => {
                let (folder, ended) = (self.folder.clone(), " that can be renewed");
                return Err(MembershipError::NoToken { folder, ended, issuer: ", and `issuer`" });
            }
        };
        issued.is_of(before.authority())?;
        let folder = self.folder.clone();
        if issued.standing != before.standing {
            let (got, wanted) = (issued.standing, before.standing.to_string());
            return Err(MembershipError::Other { folder, got, wanted });
        }
        let identity = blocking(move || Ok(Identity::keep(&folder, &key, &issued)?)).await?;
        tracing::info!(ends_in_s = identity.ends_in().as_secs(), standing = %identity.standing, "renewed the certificate");
        self.current.replace(identity);
        for (name, transport) in self.transports.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            transport.replace(self.current.client_expecting(name)?);
        }
        Ok(())
    }
}

/// The certificate of who holds the issuer itself.
async fn first_of(own: Issuer, site: Label, folder: PathBuf) -> Result<Identity, MembershipError> {
    blocking(move || {
        let key = Key::joining(&folder)?;
        let standing = Standing { role: Role::Router, site, names: [].into() };
        let issued = own.renew(standing, &key.request_pem()?)?;
        Ok(Identity::keep(&folder, &key, &issued)?)
    })
    .await
}

/// Joins with a token: asks until the router that issues is there, for a while.
async fn join(
    folder: &std::path::Path,
    token: JoinToken,
    issuer: &Url,
    wanted: &Wanted,
) -> Result<Identity, MembershipError> {
    let key = blocking({
        let folder = folder.to_owned();
        move || Ok(Key::joining(&folder)?)
    });
    let key = key.await?;
    let body = CertificateRequest {
        request: key.request_pem()?,
        token: Some(token.to_string()),
        role: Some(wanted.role.to_string()),
        site: wanted.site.as_ref().map(ToString::to_string),
        names: wanted.names.iter().map(ToString::to_string).collect(),
    };
    let transport = Transport::over_tls(tls::joining(token.authority)?);
    let began = tokio::time::Instant::now();
    let certificate = loop {
        match ask(issuer, transport.clone(), &body).await {
            Err(MembershipError::Asked(error)) if error.is_transient() && began.elapsed() < JOIN_PATIENCE => {
                tracing::info!(%issuer, error = chain(&error), "the router that issues certificates is not there yet");
                tokio::time::sleep(RETRY).await;
            }
            asked => break asked?,
        }
    };
    let issued = issued(certificate)?;
    issued.is_of(token.authority)?;
    let folder = folder.to_owned();
    let identity = blocking(move || Ok(Identity::keep(&folder, &key, &issued)?)).await?;
    tracing::info!(standing = %identity.standing, ends_in_s = identity.ends_in().as_secs(), "joined");
    Ok(identity)
}

async fn ask(issuer: &Url, transport: Transport, body: &CertificateRequest) -> Result<Certificate, MembershipError> {
    if issuer.scheme() != "https" {
        return Err(MembershipError::Plain(issuer.clone()));
    }
    let client = Client::over(transport, issuer.clone(), None).with_deadline(Duration::from_secs(5));
    Ok(client.certificate(body).await?)
}

fn issued(certificate: Certificate) -> Result<Issued, MembershipError> {
    let unusable = |reason: String| IdentityError::Unusable(reason);
    let Certificate { certificate: certificate_pem, authority: authority_pem, role, site, names } = certificate;
    let standing = Standing {
        role: role.parse().map_err(unusable)?,
        site: site.parse().map_err(|error: flame_naming::NameError| unusable(error.to_string()))?,
        names: names.iter().filter_map(|name| name.parse().ok()).collect(),
    };
    Ok(Issued { certificate_pem, authority_pem, standing })
}

/// Refuses a certificate of something else: a folder that two parts share.
fn fits(identity: &Identity, wanted: &Wanted, folder: &std::path::Path) -> Result<(), MembershipError> {
    let Standing { role, site, .. } = &identity.standing;
    let is_there = wanted.site.as_ref().is_none_or(|wanted| wanted == site);
    let is_named = wanted.names.iter().all(|name| identity.standing.covers(name));
    if *role == wanted.role && is_there && is_named {
        return Ok(());
    }
    let mut text = wanted.role.to_string();
    wanted.site.iter().for_each(|site| text.push_str(&format!(" at {site}")));
    wanted.names.iter().for_each(|name| text.push_str(&format!(" for {name}")));
    Err(MembershipError::Other { folder: folder.to_owned(), got: identity.standing.clone(), wanted: text })
}

async fn pause(span: Duration, stop: &CancellationToken) -> bool {
    stop.run_until_cancelled(tokio::time::sleep(span)).await.is_some()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MembershipError> + Send + 'static,
) -> Result<T, MembershipError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| MembershipError::CutOff)?
}

/// Whether the certificate is still good, for readiness.
pub(crate) fn check(current: &Current) -> Result<(), String> {
    if current.identity().has_ended() {
        return Err("the certificate has ended, and was not renewed: the log says why".to_owned());
    }
    Ok(())
}

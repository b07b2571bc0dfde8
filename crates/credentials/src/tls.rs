//! rustls configurations of an identity, which is replaced while they are used: every handshake takes the current one.
//!
//! TLS 1.3 only, among parts of one version. Sessions are not resumed: a resumed one would believe a certificate that
//! has ended meanwhile. Whom a client expects is a name in the certificate ([`crate::standing`]), never an address.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

use crate::identity::{Identity, IdentityError};
use crate::invitation::Fingerprint;
use crate::standing::{ANY_ROUTER, Standing};

/// The identity that is in force. Cheap to clone: all clones change together.
#[derive(Debug, Clone)]
pub struct Current(Arc<RwLock<Holding>>);

#[derive(Debug)]
struct Holding {
    identity: Arc<Identity>,
    /// How often it has been replaced.
    serial: u64,
}

/// Whom a client believes, whatever the address that was connected to.
#[derive(Debug)]
enum Believed {
    /// Whoever the authority of a fingerprint calls a router. It sends that authority's certificate along.
    Pinned(Fingerprint),
    /// Whoever has a name in a certificate of the own authority.
    Named(ServerName<'static>, Arc<WebPkiServerVerifier>),
}

/// The cryptography that all of it uses.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

// === impl Current ===

impl Current {
    /// Begins with `identity`.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self(Arc::new(RwLock::new(Holding { identity: Arc::new(identity), serial: 0 })))
    }

    /// The identity in force.
    #[must_use]
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).identity)
    }

    /// How often it has been replaced: connections that were made before belong to another number.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).serial
    }

    /// Replaces it; handshakes from now on use the new one. Its authority has to be the same.
    pub fn replace(&self, identity: Identity) {
        let mut holding = self.0.write().unwrap_or_else(PoisonError::into_inner);
        holding.identity = Arc::new(identity);
        holding.serial += 1;
    }

    /// For a listener: shows the current certificate and asks for the peer's. A peer may have none; one that is damaged,
    /// has ended or is of another authority ends the handshake.
    pub fn server(&self) -> Result<ServerConfig, IdentityError> {
        let peers = WebPkiClientVerifier::builder_with_provider(self.roots()?, provider()).allow_unauthenticated();
        let peers = peers.build().map_err(|error| IdentityError::Unusable(error.to_string()))?;
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
        let mut config =
            builder.map_err(unusable)?.with_client_cert_verifier(peers).with_cert_resolver(Arc::new(self.clone()));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// For connections to whoever has the name in its certificate that the connection is opened with.
    pub fn client(&self) -> Result<ClientConfig, IdentityError> {
        let chain = self.chain()?;
        self.client_with(chain)
    }

    /// For connections to whoever has `name` in its certificate, whatever the connection is opened with.
    pub fn client_expecting(&self, name: &str) -> Result<ClientConfig, IdentityError> {
        let name = ServerName::try_from(name.to_owned()).map_err(|error| IdentityError::Unusable(error.to_string()))?;
        let chain = self.chain()?;
        self.client_with(Arc::new(Believed::Named(name, chain)))
    }

    fn client_with(&self, verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, IdentityError> {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
        let builder = builder.map_err(unusable)?.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = builder.with_client_cert_resolver(Arc::new(self.clone()));
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn chain(&self) -> Result<Arc<WebPkiServerVerifier>, IdentityError> {
        let builder = WebPkiServerVerifier::builder_with_provider(self.roots()?, provider());
        builder.build().map_err(|error| IdentityError::Unusable(error.to_string()))
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, IdentityError> {
        roots(&self.identity().authority).map(Arc::new).map_err(unusable)
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.identity().certified))
    }
}

impl ResolvesClientCert for Current {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.identity().certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// For who joins and has no certificate yet: believes a router of the authority `pin`, and nobody else.
pub fn joining(pin: Fingerprint) -> Result<ClientConfig, IdentityError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
    let builder =
        builder.map_err(unusable)?.dangerous().with_custom_certificate_verifier(Arc::new(Believed::Pinned(pin)));
    Ok(builder.with_no_client_auth())
}

/// For who has no certificate and no authority: believes nobody, so that nothing is sent.
pub fn believing_nobody() -> Result<ClientConfig, IdentityError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
    Ok(builder.map_err(unusable)?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Refuses a certificate that `authority` has not signed, or that has ended.
pub(crate) fn verify(
    certificate: &CertificateDer<'_>,
    authority: &CertificateDer<'_>,
    standing: &Standing,
) -> Result<(), IdentityError> {
    let roots = roots(authority).map(Arc::new).map_err(unusable)?;
    let chain = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
    let chain = chain.map_err(|error| IdentityError::Unusable(error.to_string()))?;
    let name = standing.dns_names().swap_remove(0);
    let name = ServerName::try_from(name).map_err(|error| IdentityError::Unusable(error.to_string()))?;
    chain.verify_server_cert(certificate, &[], &name, &[], UnixTime::now()).map_err(unusable)?;
    Ok(())
}

fn roots(authority: &CertificateDer<'_>) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned())?;
    Ok(roots)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unusable(error: rustls::Error) -> IdentityError {
    IdentityError::Unusable(error.to_string())
}

// === impl Believed ===

impl ServerCertVerifier for Believed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pin = match self {
            Self::Named(name, chain) => {
                return chain.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
            }
            Self::Pinned(pin) => *pin,
        };
        let authority = intermediates.iter().find(|one| Fingerprint::of(one) == pin);
        let other = rustls::CertificateError::UnknownIssuer;
        let roots = roots(authority.ok_or(rustls::Error::InvalidCertificate(other))?)?;
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let chain = chain.map_err(|error| rustls::Error::General(error.to_string()))?;
        let router = ServerName::try_from(ANY_ROUTER).map_err(|error| rustls::Error::General(error.to_string()))?;
        chain.verify_server_cert(end_entity, &[], &router, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

//! Where viewers connect over TLS: listeners of their own, with a certificate for each name that they ask for (SNI).
//!
//! These certificates are the world's, from files that somebody else renews; they have nothing to do with those that
//! parts show each other. The files are read again on SIGHUP; what cannot be read leaves everything as it was. A viewer
//! who asks for a name of which there is no certificate is refused in the handshake (RFC 6066 section 3).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use flame_service_host::Acceptor;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;

/// Certificates of one listener at most.
const CERTIFICATES_MAX: usize = 1000;

/// `[[viewers]]`: a listener besides the router's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewersConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// What it shows; without any it speaks plain HTTP.
    #[serde(default)]
    pub certificates: Vec<CertificateFiles>,
}

/// `[[viewers.certificates]]`: a certificate and its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// The certificate and those between it and a root, PEM. Its DNS names say whom it is shown to.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// A certificate that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ViewersInvalid {
    /// A file cannot be read.
    #[error("read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{path}: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// More than a listener keeps.
    #[error("a listener shows at most {CERTIFICATES_MAX} certificates")]
    TooMany,
}

/// What one listener shows to whom. Cheap to clone: all clones change together.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    files: Arc<[CertificateFiles]>,
    by_name: Arc<RwLock<ByName>>,
}

/// Certificates by the names that they are for.
#[derive(Debug, Default)]
struct ByName {
    certificates: BTreeMap<String, Arc<CertifiedKey>>,
    /// For viewers who name nobody: the first one.
    other: Option<Arc<CertifiedKey>>,
}

// === impl Shown ===

impl Shown {
    /// Reads the certificates of `config`; `None` where there are none.
    pub(crate) fn open(config: &ViewersConfig) -> Result<Option<Self>, ViewersInvalid> {
        if config.certificates.is_empty() {
            return Ok(None);
        }
        if config.certificates.len() > CERTIFICATES_MAX {
            return Err(ViewersInvalid::TooMany);
        }
        let files: Arc<[_]> = config.certificates.clone().into();
        let by_name = Arc::new(RwLock::new(ByName::read(&files)?));
        Ok(Some(Self { files, by_name }))
    }

    /// Reads them again.
    pub(crate) fn reload(&self) -> Result<(), ViewersInvalid> {
        let fresh = ByName::read(&self.files)?;
        *self.by_name.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Makes TLS of a listener's connections, on which `protocols` are spoken.
    pub(crate) fn acceptor(
        &self,
        protocols: &[&[u8]],
        patience: std::time::Duration,
    ) -> Result<Acceptor, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Acceptor::new(Arc::new(config), patience))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).of(hello.server_name())
    }
}

// === impl ByName ===

impl ByName {
    fn read(files: &[CertificateFiles]) -> Result<Self, ViewersInvalid> {
        let mut by_name = Self::default();
        for CertificateFiles { certificate, key } in files {
            let content = |reason: String| ViewersInvalid::Content { path: certificate.clone(), reason };
            let chain = CertificateDer::pem_slice_iter(&read(certificate)?).collect::<Result<Vec<_>, _>>();
            let chain = chain.map_err(|error| content(error.to_string()))?;
            let names = names(chain.first().ok_or_else(|| content("it holds no certificate".to_owned()))?);
            let names = names.ok_or_else(|| content("its certificate has no DNS name".to_owned()))?;
            let private = PrivateKeyDer::from_pem_slice(&read(key)?);
            let private =
                private.map_err(|error| ViewersInvalid::Content { path: key.clone(), reason: error.to_string() })?;
            let certified = CertifiedKey::from_der(chain, private, &provider());
            let certified = Arc::new(certified.map_err(|error| content(format!("with {}: {error}", key.display())))?);
            by_name.other.get_or_insert_with(|| Arc::clone(&certified));
            for name in names {
                by_name.certificates.entry(name).or_insert_with(|| Arc::clone(&certified));
            }
        }
        Ok(by_name)
    }

    /// The certificate of a name, or of all names beside it (RFC 6125 section 6.4.3).
    fn of(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let Some(name) = name.map(str::to_ascii_lowercase) else { return self.other.clone() };
        let beside = || name.split_once('.').and_then(|(_, parent)| self.certificates.get(&format!("*.{parent}")));
        self.certificates.get(&name).or_else(beside).cloned()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn read(path: &Path) -> Result<Vec<u8>, ViewersInvalid> {
    std::fs::read(path).map_err(|source| ViewersInvalid::File { path: path.to_owned(), source })
}

/// The DNS names of a certificate, in lower case; `None` where it has none.
fn names(certificate: &[u8]) -> Option<Vec<String>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    let names = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    Some(names.collect::<Vec<_>>()).filter(|names| !names.is_empty())
}

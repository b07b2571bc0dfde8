//! A part's own identity: a private key that never leaves its folder, and the certificate that it got for it.
//!
//! `identity.pem` holds key, certificate and the authority's certificate in one file, so that a key and its certificate
//! never part; `joining.key` is the key of a join whose answer has not come yet: who is interrupted asks again with the
//! same one, and its token is still good. Both have mode 0600 and are replaced by rename.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::parse_x509_certificate;

use crate::file::{FileError, failed, replace};
use crate::invitation::Fingerprint;
use crate::issuer::Issued;
use crate::standing::{Peer, Standing};
use crate::tls;

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// What it says.
    pub standing: Standing,
    /// When it begins, Unix seconds.
    pub begins_unix_s: u64,
    /// When it ends, Unix seconds.
    pub ends_unix_s: u64,
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) authority: CertificateDer<'static>,
}

/// A key that a certificate is wanted for.
pub struct Key {
    pair: KeyPair,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Key and certificates are not what they should be, or do not belong together.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
    /// Whoever answered is not the authority that the token names.
    #[error("the answer is of the authority {got}, the join token is of {wanted}: somebody else answered")]
    OtherAuthority {
        /// Whose it is.
        got: Fingerprint,
        /// Whose it should be.
        wanted: Fingerprint,
    },
    /// A key cannot be made.
    #[error("a key cannot be made: {0}")]
    Key(#[from] rcgen::Error),
}

// === impl Identity ===

impl Identity {
    /// The identity in `folder`, if there is one; it may have ended.
    pub fn read(folder: &Path) -> Result<Option<Self>, IdentityError> {
        let path = folder.join("identity.pem");
        match fs::read(&path) {
            Ok(pem) => Self::of_pem(&pem).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error).into()),
        }
    }

    /// What `issued` makes of `key`; kept in `folder` for the next start.
    pub fn keep(folder: &Path, key: &Key, issued: &Issued) -> Result<Self, IdentityError> {
        let pem = [&key.pair.serialize_pem(), issued.certificate_pem.as_str(), issued.authority_pem.as_str()].concat();
        let identity = Self::of_pem(pem.as_bytes())?;
        let [certificate, ..] = identity.certified.cert.as_slice() else {
            return Err(IdentityError::Unusable("there is no certificate".to_owned()));
        };
        // Whoever passed it on may have changed it: what cannot be used must not take the place of what can.
        tls::verify(certificate, &identity.authority, &identity.standing)?;
        let path = folder.join("identity.pem");
        replace(&path, pem.as_bytes()).map_err(failed("write", &path))?;
        match fs::remove_file(folder.join("joining.key")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("delete", &path)(error).into()),
            Ok(()) | Err(_) => Ok(identity),
        }
    }

    fn of_pem(pem: &[u8]) -> Result<Self, IdentityError> {
        let unusable = |reason: String| IdentityError::Unusable(reason);
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| unusable(error.to_string()))?;
        let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| unusable(error.to_string()))?;
        let [certificate, authority] = chain.as_slice() else {
            return Err(unusable(format!("{} certificates instead of its own and the authority's", chain.len())));
        };
        let Peer { standing, ends_unix_s } =
            Peer::of(certificate).ok_or_else(|| unusable("it says nothing of a part of FLAME".to_owned()))?;
        let (_, parsed) = parse_x509_certificate(certificate).map_err(|error| unusable(error.to_string()))?;
        let begins_unix_s = u64::try_from(parsed.validity().not_before.timestamp()).unwrap_or(0);
        let authority = authority.clone();
        let certified = CertifiedKey::from_der(chain.clone(), key, &tls::provider());
        let certified = Arc::new(certified.map_err(|error| unusable(error.to_string()))?);
        Ok(Self { standing, begins_unix_s, ends_unix_s, certified, authority })
    }

    /// Whose certificate it is.
    #[must_use]
    pub fn authority(&self) -> Fingerprint {
        Fingerprint::of(&self.authority)
    }

    /// Whether it is over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ends_in().is_zero()
    }

    /// Time until it is over.
    #[must_use]
    pub fn ends_in(&self) -> Duration {
        until(Duration::from_secs(self.ends_unix_s))
    }

    /// Time until two thirds of its life are over: then it is renewed.
    #[must_use]
    pub fn renewed_in(&self) -> Duration {
        let (begins, ends) = (Duration::from_secs(self.begins_unix_s), Duration::from_secs(self.ends_unix_s));
        until(begins + ends.saturating_sub(begins) * 2 / 3)
    }

    /// Its whole life.
    #[must_use]
    pub fn life(&self) -> Duration {
        Duration::from_secs(self.ends_unix_s.saturating_sub(self.begins_unix_s))
    }
}

fn until(unix: Duration) -> Duration {
    unix.saturating_sub(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

// === impl Key ===

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key([redacted])")
    }
}

impl Key {
    /// A new one.
    pub fn new() -> Result<Self, IdentityError> {
        Ok(Self { pair: KeyPair::generate()? })
    }

    /// The key of the join that is under way in `folder`, or a new one that is from now on.
    pub fn joining(folder: &Path) -> Result<Self, IdentityError> {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        created.map_err(failed("create the folder", folder))?;
        let path = folder.join("joining.key");
        match fs::read_to_string(&path) {
            Ok(pem) => return Ok(Self { pair: KeyPair::from_pem(&pem)? }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read", &path)(error).into()),
        }
        let key = Self::new()?;
        replace(&path, key.pair.serialize_pem().as_bytes()).map_err(failed("write", &path))?;
        Ok(key)
    }

    /// What is sent: a signing request (PKCS #10) for its public half, PEM.
    pub fn request_pem(&self) -> Result<String, IdentityError> {
        let mut params = CertificateParams::default();
        // Empty: who it is says the authority.
        params.distinguished_name = rcgen::DistinguishedName::new();
        Ok(params.serialize_request(&self.pair)?.pem()?)
    }
}

impl Issued {
    /// Refuses what another authority than `wanted` gave.
    pub fn is_of(&self, wanted: Fingerprint) -> Result<(), IdentityError> {
        let authority = CertificateDer::from_pem_slice(self.authority_pem.as_bytes())
            .map_err(|error| IdentityError::Unusable(error.to_string()))?;
        let got = Fingerprint::of(&authority);
        if got == wanted { Ok(()) } else { Err(IdentityError::OtherAuthority { got, wanted }) }
    }
}

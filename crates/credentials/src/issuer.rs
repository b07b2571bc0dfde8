//! The local certificate authority: a folder with its certificate, its key and the invitations.
//!
//! ```text
//! ca.pem       its certificate: everybody may have it
//! ca.key       its private key, mode 0600: read for each signature, kept in nobody's memory
//! ca.lock      held by who spends an invitation
//! joins/ID     an invitation, as JSON; what it was spent for, once it was
//! ```
//!
//! An invitation is spent, and that is on disk, before anything is signed. A crash in between costs nothing: the same
//! key may ask again, another one may not. Its authority reaches names under `flame.internal` only (RFC 5280 section
//! 4.2.1.10): whoever steals the key makes no certificate that a browser or another program believes.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;

use crate::file::{self, FileError, failed, replace};
use crate::invitation::{Fingerprint, Invitation, JoinToken, Refusal, Wanted};
use crate::standing::{PARENT, REACHES_MAX, Role, Standing};

/// Life of a certificate.
pub const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Life of the authority's own certificate: ten years. There is no way yet to change to another one while everything runs.
const OWN_LIFE: Duration = Duration::from_secs(3650 * 24 * 3600);
/// How far clocks may differ.
const SKEW: Duration = Duration::from_secs(300);
/// Invitations kept at most; ended ones are forgotten first.
const INVITATIONS_MAX: usize = 10_000;
/// Longest signing request.
pub const REQUEST_MAX_BYTES: usize = 16 << 10;
/// Public keys that are signed, by what they look like: P-256 uncompressed, Ed25519.
const KEY_BYTES: [usize; 2] = [65, 32];

/// The authority. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Issuer {
    folder: PathBuf,
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    life: Duration,
}

/// A certificate that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The authority's, PEM.
    pub authority_pem: String,
    /// What it says.
    pub standing: Standing,
}

/// Why the authority did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not of the form that it should have.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        reason: String,
    },
    /// There is none.
    #[error("{0} holds no authority: `flame ca init` makes one")]
    Absent(PathBuf),
    /// The token allows something else, or nothing.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What is to be signed is no request.
    #[error("the signing request is not understood: {0}")]
    Request(String),
    /// It makes no such certificates, or keeps no more invitations.
    #[error("{0}")]
    Unfit(String),
    /// Making or using a key failed.
    #[error("the certificate cannot be made: {0}")]
    Signing(#[from] rcgen::Error),
}

/// A request whose signature shows that who sent it has the key.
pub(crate) struct Signed {
    key: CertificateSigningRequestParams,
    pub(crate) key_sha256: String,
}

// === impl Issuer ===

impl Issuer {
    /// Makes an authority in `folder`; an existing one is kept.
    pub fn init(folder: &Path) -> Result<Self, IssuerError> {
        let private = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        private(folder).map_err(failed("create the folder", folder))?;
        let _lock = lock(folder)?;
        if !folder.join("ca.pem").is_file() {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::default();
            params.distinguished_name =
                named(&format!("FLAME authority {}", &hex::encode(key.public_key_raw())[2..10]));
            (params.not_before, params.not_after) = times(OWN_LIFE);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let permitted_subtrees = vec![GeneralSubtree::DnsName(PARENT.to_owned())];
            params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
            let certificate = params.self_signed(&key)?;
            // The key first: a certificate without its key would be taken for an authority.
            put(&folder.join("ca.key"), key.serialize_pem().as_bytes())?;
            put(&folder.join("ca.pem"), certificate.pem().as_bytes())?;
        }
        Self::open(folder)
    }

    /// Opens the authority in `folder`.
    pub fn open(folder: &Path) -> Result<Self, IssuerError> {
        let path = folder.join("ca.pem");
        let certificate_pem = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(IssuerError::Absent(folder.to_owned()));
            }
            Err(error) => return Err(failed("read", &path)(error).into()),
        };
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|error| IssuerError::Damaged { path, reason: error.to_string() })?;
        Ok(Self { folder: folder.to_owned(), certificate_pem, certificate, life: LIFE })
    }

    /// The same, whose certificates live for `life`.
    #[must_use]
    pub fn with_life(self, life: Duration) -> Self {
        Self { life, ..self }
    }

    /// What tells it from others.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Makes a token that is good for one join in the next `life`.
    pub fn invite(&self, standing: &Standing, life: Duration) -> Result<JoinToken, IssuerError> {
        if standing.names.len() > REACHES_MAX {
            return Err(IssuerError::Unfit(format!("a certificate lists at most {REACHES_MAX} names")));
        }
        if standing.role == Role::Router && !standing.names.is_empty() {
            // What clients ask for would reach another router under this one's certificate.
            return Err(IssuerError::Unfit("a router stands behind no names: leave them out".to_owned()));
        }
        let _lock = lock(&self.folder)?;
        let folder = self.folder.join("joins");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed("create the folder", &folder))?;
        self.forget_ended(&folder)?;
        let mut token = JoinToken { id: [0; 8], secret: [0; 16], authority: self.fingerprint() };
        let drawn = rand::fill(&mut token.id).and_then(|()| rand::fill(&mut token.secret));
        drawn.map_err(|_| IssuerError::Signing(rcgen::Error::RingUnspecified))?;
        let invitation = Invitation::new(&token, standing.clone(), unix_s().saturating_add(life.as_secs()));
        self.keep(&token, &invitation)?;
        Ok(token)
    }

    /// Takes a token back, spent or not; `false` where there is none. Certificates that it got live on until they end.
    pub fn take_back(&self, token: &JoinToken) -> Result<bool, IssuerError> {
        let path = self.path(token);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("delete", &path)(error).into()),
        }
    }

    /// Whether somebody could still join with `token`: it is kept here, has not ended, and nobody has.
    pub fn is_open(&self, token: &JoinToken) -> Result<bool, IssuerError> {
        match self.invitation(token) {
            Ok(invitation) => Ok(invitation.is_open(token, unix_s())),
            Err(IssuerError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Spends `token` for the key of `request_pem`, then signs what the token allows.
    pub fn join(&self, token: &JoinToken, wanted: &Wanted, request_pem: &str) -> Result<Issued, IssuerError> {
        let request = Signed::read(request_pem)?;
        let standing = {
            let _lock = lock(&self.folder)?;
            let mut invitation = self.invitation(token)?;
            invitation.admits(token, wanted, &request.key_sha256, unix_s())?;
            if invitation.spent_for.is_none() {
                invitation.spent_for = Some(request.key_sha256.clone());
                self.keep(token, &invitation)?;
            }
            invitation.standing
        };
        self.sign(request, standing)
    }

    /// Signs another certificate that says what `standing` says: for who shows one that does.
    pub fn renew(&self, standing: Standing, request_pem: &str) -> Result<Issued, IssuerError> {
        self.sign(Signed::read(request_pem)?, standing)
    }

    fn sign(&self, Signed { mut key, .. }: Signed, standing: Standing) -> Result<Issued, IssuerError> {
        let path = self.folder.join("ca.key");
        let signer = fs::read_to_string(&path).map_err(failed("read", &path))?;
        let issuer = rcgen::Issuer::from_ca_cert_der(&self.certificate, KeyPair::from_pem(&signer)?)?;
        // Of the request only the key counts.
        let mut params = CertificateParams::new(standing.dns_names())?;
        params.distinguished_name = named(&format!("FLAME {} at {}", standing.role, standing.site));
        (params.not_before, params.not_after) = times(self.life);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        key.params = params;
        let certificate_pem = key.signed_by(&issuer)?.pem();
        Ok(Issued { certificate_pem, authority_pem: self.certificate_pem.clone(), standing })
    }

    fn invitation(&self, token: &JoinToken) -> Result<Invitation, IssuerError> {
        let path = self.path(token);
        match fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|error| IssuerError::Damaged { path, reason: error.to_string() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Refusal::Unknown.into()),
            Err(error) => Err(failed("read", &path)(error).into()),
        }
    }

    fn keep(&self, token: &JoinToken, invitation: &Invitation) -> Result<(), IssuerError> {
        let text = serde_json::to_vec(invitation).expect("an invitation holds nothing that JSON cannot say");
        put(&self.path(token), &text)
    }

    fn path(&self, token: &JoinToken) -> PathBuf {
        self.folder.join("joins").join(token.id())
    }

    fn forget_ended(&self, joins: &Path) -> Result<(), IssuerError> {
        let now = unix_s();
        let mut kept = 0;
        for entry in fs::read_dir(joins).map_err(failed("read the folder", joins))? {
            let path = entry.map_err(failed("read the folder", joins))?.path();
            let invitation = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Invitation>(&text).ok());
            match invitation {
                Some(invitation) if invitation.ends_unix_s <= now => {
                    fs::remove_file(&path).map_err(failed("delete", &path))?;
                }
                Some(_) | None => kept += 1,
            }
        }
        if kept >= INVITATIONS_MAX {
            return Err(IssuerError::Unfit(format!("{INVITATIONS_MAX} join tokens have not ended yet")));
        }
        Ok(())
    }
}

// === impl Signed ===

impl Signed {
    /// Reads a request (PKCS #10) and checks its signature.
    pub(crate) fn read(request_pem: &str) -> Result<Self, IssuerError> {
        let wrong = |reason: &str| IssuerError::Request(reason.to_owned());
        if request_pem.len() > REQUEST_MAX_BYTES {
            return Err(wrong("it is too long"));
        }
        let key = CertificateSigningRequestParams::from_pem(request_pem).map_err(|error| wrong(&error.to_string()))?;
        let raw = key.public_key.der_bytes();
        if !KEY_BYTES.contains(&raw.len()) {
            return Err(wrong("its key is neither of P-256 nor of Ed25519"));
        }
        let key_sha256 = hex::encode(digest(&SHA256, raw));
        Ok(Self { key, key_sha256 })
    }
}

/// From a little before now, for clocks differ, until `life` from now.
fn times(life: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::from(SystemTime::now());
    (now - SKEW.min(life / 10), now + life)
}

fn named(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), IssuerError> {
    Ok(replace(path, bytes).map_err(failed("write", path))?)
}

fn lock(folder: &Path) -> Result<File, IssuerError> {
    Ok(file::lock(&folder.join("ca.lock"))?)
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

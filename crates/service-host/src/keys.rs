//! Keys on disk: who may sign tokens, and which tokens are revoked.
//!
//! A folder holds `jwks.json` (public Ed25519 keys, RFC 7517/8037, read by the services), `<kid>.pk8` (private key, mode
//! 0600, read only by whoever issues) and `revoked.json` (ids of revoked tokens with the time they would have ended).
//! Files are replaced by rename, so a reader never sees half of one; who changes them holds `keys.lock`, so that of two
//! revocations at the same time none is lost. Services notice a change within a second, or at once on SIGHUP.

pub mod token;

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flame_credentials::file::{self, FileError, failed};
use flame_naming::identity::Rights;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::auth::Scope;

/// Who may receive our tokens (`aud`).
pub const AUDIENCE: &str = "flame";
/// How often the files are looked at for changes.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// The most revoked tokens that are remembered; expired ones are forgotten first.
const REVOKED_MAX: usize = 100_000;
/// The most surrogates' tokens that are remembered as verified; the one that ends first is forgotten first.
const VERIFIED_MAX: usize = 1024;
/// The file that is locked while others are changed.
const LOCK: &str = "keys.lock";
/// A private key that was handed on to another folder, where names of files have to be known before: `<kid>.pk8` is the issuer's own.
pub const SIGNER: &str = "signer.pk8";

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Token id, what `revoke` takes.
    pub jti: Uuid,
    /// Whom it was issued to.
    pub sub: String,
    /// Always [`AUDIENCE`].
    pub aud: String,
    /// Tenant that it acts for.
    pub tenant: String,
    /// Scopes, separated by spaces (RFC 9068 section 2.2.3).
    pub scope: String,
    /// Names that its holder may register behind, if it is confined to some; nothing leaves it to the scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// Issued at, Unix seconds.
    pub iat: u64,
    /// Ends at, Unix seconds.
    pub exp: u64,
}

/// What a token is wanted for.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Whom it is issued to.
    pub subject: String,
    /// Tenant that it acts for.
    pub tenant: String,
    /// Scopes, separated by spaces.
    pub scope: String,
    /// Life.
    pub life: Duration,
}

/// Why keys or tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A service that can be reached from elsewhere has no keys.
    #[error("{0} can be reached from other machines: set `[host.auth] keys`, or listen on loopback")]
    Needed(SocketAddr),
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
    /// There is no private key to sign with.
    #[error("{0} holds no private key to a public one in its jwks.json")]
    NoSigner(PathBuf),
    /// A key cannot be made.
    #[error("the system gives no randomness")]
    Randomness,
    /// A token is not valid.
    #[error("the token is not valid: {0}")]
    Invalid(String),
}

/// The public keys and revocations of a folder.
#[derive(Debug)]
pub struct Keyring {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    keys: JwkSet,
    revoked: Vec<Revoked>,
    seen: [Option<Seen>; 2],
    looked_at: Instant,
    /// What surrogates' tokens give and when they end, by their SHA-256: forgotten with the keys and revocations that they were
    /// verified against.
    verified: HashMap<[u8; 32], (Rights, u64)>,
}

/// What tells one content of a file from another: a replaced file is another inode, also within one tick of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    inode: u64,
    size_bytes: u64,
    modified: (i64, i64),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Revoked {
    jti: Uuid,
    exp: u64,
}

/// Makes sure that `folder` holds a key pair; an existing one is kept.
pub fn ensure(folder: &Path) -> Result<(), KeyError> {
    let jwks = folder.join("jwks.json");
    if jwks.is_file() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(failed("create the folder", folder))?;
    let _lock = lock(folder)?;
    // Somebody else may have been faster.
    if jwks.is_file() {
        return Ok(());
    }
    let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Randomness)?;
    let document = pair.to_pkcs8v1().map_err(|_| KeyError::Randomness)?;
    let kid = kid(&pair);
    replace(&folder.join(format!("{kid}.pk8")), document.as_ref())?;
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let set = serde_json::json!({ "keys": [
        { "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x }
    ] });
    replace(&jwks, set.to_string().as_bytes())
}

/// Issues a token, signed with the private key in `folder`.
pub fn issue(folder: &Path, grant: &Grant) -> Result<(String, Claims), KeyError> {
    issue_confined(folder, grant, None)
}

/// Issues a token whose holder registers behind `names` only, whatever its scopes would allow.
pub fn issue_confined(folder: &Path, grant: &Grant, names: Option<Vec<String>>) -> Result<(String, Claims), KeyError> {
    let now = unix_seconds();
    let claims = Claims {
        jti: Uuid::now_v7(),
        sub: grant.subject.clone(),
        aud: AUDIENCE.to_owned(),
        tenant: grant.tenant.clone(),
        scope: grant.scope.clone(),
        names,
        iat: now,
        exp: now.saturating_add(grant.life.as_secs()),
    };
    Ok((sign(folder, &claims)?, claims))
}

/// Signs claims of whatever kind with the private key in `folder`: a JWT (RFC 7519).
pub fn sign(folder: &Path, claims: &impl Serialize) -> Result<String, KeyError> {
    let (kid, der) = signer(folder)?;
    let header = Header { kid: Some(kid), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(&der))
        .map_err(|error| KeyError::Invalid(error.to_string()))
}

/// Revokes a token by its id. `exp` is when it can be forgotten. Whether it had not been revoked before.
pub fn revoke(folder: &Path, jti: Uuid, exp: u64) -> Result<bool, KeyError> {
    let path = folder.join("revoked.json");
    let _lock = lock(folder)?;
    let mut revoked = read_revoked(&path)?;
    let now = unix_seconds();
    let is_new = !revoked.iter().any(|entry| entry.jti == jti);
    revoked.retain(|entry| entry.exp > now && entry.jti != jti);
    revoked.push(Revoked { jti, exp });
    if revoked.len() > REVOKED_MAX {
        return Err(KeyError::Damaged {
            path,
            reason: format!("more than {REVOKED_MAX} revoked tokens: rotate the key"),
        });
    }
    let text = serde_json::to_vec(&revoked).map_err(|error| KeyError::Invalid(error.to_string()))?;
    replace(&path, &text)?;
    Ok(is_new)
}

/// The private key to the first public one that has it here. A private key whose public one nobody publishes (left by a
/// start that broke off, or rotated out) would sign tokens that nobody takes. Its id, and the key as PKCS#8.
pub fn signer(folder: &Path) -> Result<(String, Vec<u8>), KeyError> {
    let published = read_published(folder)?.keys.into_iter().filter_map(|key| key.common.key_id);
    // A key id of another issuer may be any text: only ours are names of files.
    for kid in published.filter(|kid| kid.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        let path = folder.join(format!("{kid}.pk8"));
        match fs::read(&path) {
            Ok(der) => return Ok((kid, der)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read", &path)(error).into()),
        }
    }
    handed_on(folder)?.ok_or_else(|| KeyError::NoSigner(folder.to_owned()))
}

/// The private key that was handed on as [`SIGNER`], if its public one is published.
fn handed_on(folder: &Path) -> Result<Option<(String, Vec<u8>)>, KeyError> {
    let path = folder.join(SIGNER);
    let der = match fs::read(&path) {
        Ok(der) => der,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", &path)(error).into()),
    };
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
        .map_err(|error| KeyError::Damaged { path: path.clone(), reason: error.to_string() })?;
    let kid = kid(&pair);
    let is_published = read_published(folder)?.keys.iter().any(|key| key.common.key_id.as_deref() == Some(&kid));
    Ok(is_published.then_some((kid, der)))
}

fn kid(pair: &Ed25519KeyPair) -> String {
    hex::encode(&pair.public_key().as_ref()[..8])
}

fn read_published(folder: &Path) -> Result<JwkSet, KeyError> {
    let path = folder.join("jwks.json");
    let text = fs::read(&path).map_err(failed("read", &path))?;
    serde_json::from_slice(&text).map_err(damaged(&path))
}

fn read_revoked(path: &Path) -> Result<Vec<Revoked>, KeyError> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(damaged(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed("read", path)(error).into()),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    Ok(flame_credentials::replace(path, bytes).map_err(failed("write", path))?)
}

/// Waits until nobody else changes the files.
fn lock(folder: &Path) -> Result<File, KeyError> {
    Ok(file::lock(&folder.join(LOCK))?)
}

fn damaged(path: &Path) -> impl FnOnce(serde_json::Error) -> KeyError {
    move |error| KeyError::Damaged { path: path.to_owned(), reason: error.to_string() }
}

fn set<'a>(words: impl Iterator<Item = &'a str>) -> BTreeSet<Box<str>> {
    words.map(Box::from).collect()
}

/// Now, in Unix seconds.
#[must_use]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

// === impl Keyring ===

impl Keyring {
    /// Reads the public keys and revocations in `folder`.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        Ok(Self { folder: folder.to_owned(), state: Mutex::new(State::read(folder)?) })
    }

    /// Reads them again; what was there stays if they cannot be read.
    pub fn reload(&self) -> Result<(), KeyError> {
        let fresh = State::read(&self.folder)?;
        *self.lock() = fresh;
        Ok(())
    }

    /// The folder that it reads.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Verifies signature, audience, time and revocation of a token.
    pub fn verify(&self, token: &str) -> Result<Claims, KeyError> {
        let claims: Claims = self.verified(token, AUDIENCE)?;
        let state = self.lock();
        if state.revoked.iter().any(|entry| entry.jti == claims.jti) {
            return Err(KeyError::Invalid("it was revoked".to_owned()));
        }
        Ok(claims)
    }

    /// The rights that `token` gives, where that is a valid one with the scope `service`: whoever shows it is a part of the platform,
    /// as a surrogate is, which verifies viewers itself. One that was verified is remembered until it ends or the files change.
    #[must_use]
    pub fn surrogate(&self, token: &str) -> Option<Rights> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let seen = {
            let mut state = self.lock();
            state.refresh(&self.folder);
            let now = unix_seconds();
            if let Some((rights, _)) = state.verified.get(&digest).filter(|(_, exp)| *exp > now) {
                return Some(rights.clone());
            }
            state.seen
        };
        let claims = self.verify(token).ok()?;
        let scopes = set(claims.scope.split_whitespace());
        if !scopes.contains(Scope::Service.as_str()) {
            return None;
        }
        let rights = Rights {
            // It was verified with the key that it names.
            key: jsonwebtoken::decode_header(token).ok()?.kid?.into(),
            tenant: claims.tenant.into(),
            scopes,
            names: claims.names.map(|names| set(names.iter().map(String::as_str))),
        };
        let mut state = self.lock();
        // Files that changed meanwhile may have revoked it.
        if state.seen == seen {
            state.remember(digest, rights.clone(), claims.exp);
        }
        Some(rights)
    }

    /// The claims of what one of the keys signed for `audience`, and whose time is not over.
    pub(crate) fn verified<T: DeserializeOwned>(&self, token: &str, audience: &str) -> Result<T, KeyError> {
        let find = |kid: &str| {
            let mut state = self.lock();
            state.refresh(&self.folder);
            // Others verify meanwhile.
            state.keys.find(kid).cloned()
        };
        token::verify(token, find, audience, unix_seconds())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn read(folder: &Path) -> Result<Self, KeyError> {
        // Looked at before it is read: a change in between is noticed the next time.
        let seen = Self::look(folder);
        let keys = read_published(folder)?;
        let revoked = read_revoked(&folder.join("revoked.json"))?;
        Ok(Self { keys, revoked, seen, looked_at: Instant::now(), verified: HashMap::new() })
    }

    fn look(folder: &Path) -> [Option<Seen>; 2] {
        ["jwks.json", "revoked.json"].map(|name| {
            let metadata = fs::metadata(folder.join(name)).ok()?;
            let modified = (metadata.mtime(), metadata.mtime_nsec());
            Some(Seen { inode: metadata.ino(), size_bytes: metadata.len(), modified })
        })
    }

    fn remember(&mut self, digest: [u8; 32], rights: Rights, exp: u64) {
        if self.verified.len() >= VERIFIED_MAX {
            let first = self.verified.iter().min_by_key(|(_, (_, exp))| *exp).map(|(digest, _)| *digest);
            first.map(|digest| self.verified.remove(&digest));
        }
        self.verified.insert(digest, (rights, exp));
    }

    fn refresh(&mut self, folder: &Path) {
        if self.looked_at.elapsed() < WATCH_INTERVAL {
            return;
        }
        self.looked_at = Instant::now();
        if Self::look(folder) != self.seen {
            match Self::read(folder) {
                Ok(fresh) => *self = fresh,
                Err(error) => tracing::error!(%error, "the keys cannot be read again; the old ones stay"),
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Viewers and their tokens: held against the keys of those who sign, by surrogates and by the service behind them.
//!
//! The rules are in [`token`]; here are the file of keys, and the tokens whose signatures were found good, so that a player's
//! thousand requests cost one verification. A token is remembered by its digest, and is nowhere logged.

pub mod token;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::jwk::JwkSet;
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use token::{Grant, Refused};

/// Whose tokens are taken, and for what.
#[derive(Debug, Clone)]
pub struct Signers {
    /// JWKS file of those who may sign.
    pub keys: PathBuf,
    /// Scheme and authority of the URLs that tokens open: `https://media.example`.
    pub origin: String,
    /// Whom a token is for, if it says so.
    pub audience: String,
    /// Verified tokens that are remembered.
    pub remembered: usize,
}

/// Verifies tokens of viewers.
#[derive(Debug)]
pub struct Verifier {
    signers: Signers,
    trusted: RwLock<Trusted>,
}

/// Keys, and what they have signed.
#[derive(Debug)]
struct Trusted {
    keys: JwkSet,
    /// By digest of the token. Goes with the keys: what one of yesterday's has signed is verified anew.
    known: Arc<Cache<[u8; 32], Arc<Grant>, UnitWeighter>>,
}

// === impl Verifier ===

impl Verifier {
    /// Reads the keys.
    ///
    /// # Errors
    /// The file cannot be read, or holds no keys.
    pub fn open(signers: Signers) -> io::Result<Self> {
        let trusted = RwLock::new(Trusted::read(&signers)?);
        Ok(Self { signers, trusted })
    }

    /// Reads the keys again; those that were there stay if it fails.
    pub fn reload(&self) {
        match Trusted::read(&self.signers) {
            Ok(trusted) => *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = trusted,
            Err(error) => {
                tracing::error!(%error, "the keys of those who sign URLs stay as they were");
            }
        }
    }

    /// The canonical URL in `path_and_query` without its token, if that opens it now (Unix seconds).
    ///
    /// # Errors
    /// [`Refused`]: a 403, with [`Refused::kind`] as its problem type.
    pub fn verify(&self, path_and_query: &str, now_unix_s: u64) -> Result<String, Refused> {
        let (token, url) = token::take(path_and_query)?;
        Ok(self.grant(token)?.admit(url, &self.signers.origin, now_unix_s)?.url)
    }

    fn grant(&self, token: &str) -> Result<Arc<Grant>, Refused> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let trusted = self.trusted.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(grant) = trusted.known.get(&digest) {
            return Ok(grant);
        }
        let grant = Arc::new(Grant::read(token, &trusted.keys, &self.signers.audience)?);
        trusted.known.insert(digest, Arc::clone(&grant));
        Ok(grant)
    }
}

// === impl Trusted ===

impl Trusted {
    fn read(signers: &Signers) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", signers.keys.display()));
        let text = fs::read(&signers.keys).map_err(named)?;
        let keys = serde_json::from_slice(&text).map_err(|error| named(error.into()))?;
        Ok(Self { keys, known: Arc::new(Cache::new(signers.remembered)) })
    }
}

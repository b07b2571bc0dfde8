//! Who may ask: viewers' tokens of one name, held against the keys of those who sign.
//!
//! The rules are in [`crate::rules::token`]; here are the file of keys, and the tokens whose signatures were found good, so that
//! a player's thousand requests cost one verification. A token is remembered by its digest, and is nowhere logged.

use std::fs;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use flame_naming::Name;
use flame_naming::identity::{Token, url};
use jsonwebtoken::jwk::JwkSet;
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use crate::config::TokenConfig;
use crate::object::UnixMs;
use crate::rules::token::{self, Grant, Refused};

/// What protects the paths of one name.
#[derive(Debug)]
pub(crate) struct Guard {
    config: TokenConfig,
    origin: String,
    audience: String,
    trusted: RwLock<Trusted>,
}

/// Keys, and what they have signed.
#[derive(Debug)]
struct Trusted {
    keys: JwkSet,
    /// By digest of the token. Goes with the keys: what one of yesterday's has signed is verified anew.
    known: Arc<Cache<[u8; 32], Arc<Grant>, UnitWeighter>>,
}

// === impl Guard ===

impl Guard {
    /// Reads the keys.
    pub(crate) fn open(config: &TokenConfig, name: &Name) -> io::Result<Self> {
        Ok(Self {
            config: config.clone(),
            origin: config.origin.clone().unwrap_or_else(|| format!("https://{name}")),
            audience: config.audience.clone().unwrap_or_else(|| name.to_string()),
            trusted: RwLock::new(Trusted::read(config)?),
        })
    }

    /// Reads the keys again; those that were there stay if it fails.
    pub(crate) fn reload(&self) {
        match Trusted::read(&self.config) {
            Ok(trusted) => *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = trusted,
            Err(error) => {
                tracing::error!(%error, "the keys of those who sign URLs stay as they were");
            }
        }
    }

    /// Whether a canonical path may be asked for without a token.
    pub(crate) fn is_open(&self, target: &str) -> bool {
        !self.config.paths.iter().any(|path| target.starts_with(path))
    }

    /// The URL without its token, if that opens it; a path that needs none may come without.
    pub(crate) fn admit(&self, target: &str, now: UnixMs) -> Result<String, Refused> {
        let (token, target) = match token::take(target) {
            Ok(taken) => taken,
            Err(Refused::Missing) => {
                let target = url::canonical(target, Token::Unverified);
                let is_open = |target: &String| self.is_open(target) && !url::has_token(target);
                return target.filter(is_open).ok_or(Refused::Missing);
            }
            Err(refused) => return Err(refused),
        };
        Ok(self.grant(token)?.admit(target, &self.origin, now.0 / 1000)?.url)
    }

    fn grant(&self, token: &str) -> Result<Arc<Grant>, Refused> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let trusted = self.trusted.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(grant) = trusted.known.get(&digest) {
            return Ok(grant);
        }
        let grant = Arc::new(Grant::read(token, &trusted.keys, &self.audience)?);
        trusted.known.insert(digest, Arc::clone(&grant));
        Ok(grant)
    }
}

// === impl Trusted ===

impl Trusted {
    fn read(config: &TokenConfig) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", config.keys.display()));
        let text = fs::read(&config.keys).map_err(named)?;
        let keys = serde_json::from_slice(&text).map_err(|error| named(error.into()))?;
        Ok(Self { keys, known: Arc::new(Cache::new(config.remembered)) })
    }
}

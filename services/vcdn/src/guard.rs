//! Who may ask: which paths of one name need a viewer's token, and what a token opens.

use std::io;

use flame_naming::Name;
use flame_naming::identity::{Token, url};
use flame_service_host::viewers::token::Refused;
use flame_service_host::viewers::{Signers, Verifier};

use crate::config::TokenConfig;
use crate::object::UnixMs;

/// What protects the paths of one name.
#[derive(Debug)]
pub(crate) struct Guard {
    paths: Vec<String>,
    verifier: Verifier,
}

// === impl Guard ===

impl Guard {
    /// Reads the keys.
    pub(crate) fn open(config: &TokenConfig, name: &Name) -> io::Result<Self> {
        let signers = Signers {
            keys: config.keys.clone(),
            origin: config.origin.clone().unwrap_or_else(|| format!("https://{name}")),
            audience: config.audience.clone().unwrap_or_else(|| name.to_string()),
            remembered: config.remembered,
        };
        Ok(Self { paths: config.paths.clone(), verifier: Verifier::open(signers)? })
    }

    /// Reads the keys again; those that were there stay if it fails.
    pub(crate) fn reload(&self) {
        self.verifier.reload();
    }

    /// Whether a canonical path may be asked for without a token.
    pub(crate) fn is_open(&self, target: &str) -> bool {
        !self.paths.iter().any(|path| target.starts_with(path))
    }

    /// The URL without its token, if that opens it; a path that needs none may come without.
    pub(crate) fn admit(&self, target: &str, now: UnixMs) -> Result<String, Refused> {
        match self.verifier.verify(target, now.0 / 1000) {
            Err(Refused::Missing) => {
                let target = url::canonical(target, Token::Unverified);
                let is_open = |target: &String| self.is_open(target) && !url::has_token(target);
                target.filter(is_open).ok_or(Refused::Missing)
            }
            verified => verified,
        }
    }
}

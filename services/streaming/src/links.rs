//! Links that open a protected asset for whoever may read it (RFC 9246): so that a browser that is signed in plays what is its tenant's own,
//! though neither its pictures nor its media are asked for with a token.
//!
//! A link lives no longer than what its caller showed. It is not bound to them: whoever is given it plays the asset until it ends. The
//! private key is read anew for each link, so that one that was replaced signs nothing more. Whether the caller may read the asset is asked before.
//!
//! A link that leads to a surrogate opens the asset here, too, where the same signature does: whoever plays goes on here when nobody
//! answers there.

use std::path::PathBuf;

use flame_naming::Name;
use flame_naming::identity::url::TOKEN_PARAMETER;
use flame_service_host::keys::{self, KeyError};
use serde::Serialize;
use uuid::Uuid;

use crate::config::LinksConfig;

/// Signs links.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    signer: PathBuf,
    first: Way,
    /// This service itself, where links lead elsewhere first.
    own: Option<Way>,
    life_s: u64,
}

/// A name that links lead to.
#[derive(Debug, Clone)]
struct Way {
    name: Name,
    /// Scheme and authority of the URLs that tokens open there.
    origin: String,
}

/// A link, and until when it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// A path of the router: [`Link::below`] of the name that it leads to.
    pub(crate) path: String,
    /// The same of the other names, in the order in which they are to be tried.
    pub(crate) others: Vec<String>,
    /// The length of what names `path`.
    mount_bytes: usize,
    pub(crate) expires_unix_s: u64,
}

/// The claims of RFC 9246 section 2.1 that surrogates here hold to. Not for whom it is: links are handed on, and tell nobody who made them.
#[derive(Debug, Serialize)]
struct Claims {
    exp: u64,
    cdniv: u32,
    cdniuc: String,
}

// === impl Links ===

impl Links {
    /// As configured; `own` is what the service is called, and `own_origin` what viewers of its own URLs ask.
    ///
    /// # Errors
    /// For people: the name is none, links live no time, or there is no key to sign with.
    pub(crate) fn open(config: &LinksConfig, own: &Name, own_origin: Option<&str>) -> Result<Self, String> {
        let life_s = config.life.0.as_secs();
        if life_s == 0 {
            return Err("`life` in [viewers.links] is a second at least".to_owned());
        }
        keys::signer(&config.signer).map_err(|error| format!("`signer` in [viewers.links]: {error}"))?;
        let own = Way::new(own.clone(), own_origin);
        let (first, own) = match config.through.as_deref() {
            None => (Way { origin: config.origin.clone().unwrap_or(own.origin), name: own.name }, None),
            Some(through) => {
                let name = through.parse::<Name>().map_err(|error| format!("`through` in [viewers.links]: {error}"))?;
                let first = Way::new(name, config.origin.as_deref());
                let own = (own.name != first.name).then_some(own);
                (first, own)
            }
        };
        Ok(Self { signer: config.signer.clone(), first, own, life_s })
    }

    /// Whether links lead nowhere else.
    pub(crate) fn lead_here(&self) -> bool {
        self.own.is_none()
    }

    /// The same, which open nothing here.
    pub(crate) fn elsewhere(self) -> Self {
        Self { own: None, ..self }
    }

    /// One that opens all of `asset`, for whoever's own token ends at `ends_unix_s` if it ever does.
    ///
    /// # Errors
    /// [`KeyError`]: the key that was there at the start cannot be read any more.
    pub(crate) fn sign(&self, asset: Uuid, ends_unix_s: Option<u64>, now_unix_s: u64) -> Result<Link, KeyError> {
        let expires_unix_s = expiry(self.life_s, ends_unix_s, now_unix_s);
        let origins: Vec<_> = [&self.first].into_iter().chain(&self.own).map(|way| way.origin.as_str()).collect();
        let claims = Claims { exp: expires_unix_s, cdniv: 1, cdniuc: container(&origins, asset) };
        let token = keys::sign(&self.signer, &claims)?;
        let mount = self.first.mount();
        let below = format!("/;{TOKEN_PARAMETER}={token}/{asset}/index.m3u8");
        let others = self.own.iter().map(|way| format!("{}{below}", way.mount())).collect();
        Ok(Link { path: format!("{mount}{below}"), others, mount_bytes: mount.len(), expires_unix_s })
    }
}

// === impl Way ===

impl Way {
    fn new(name: Name, origin: Option<&str>) -> Self {
        let origin = origin.map_or_else(|| format!("https://{name}"), str::to_owned);
        Self { name, origin }
    }

    /// Where the router has it.
    fn mount(&self) -> String {
        format!("/~{}", self.name)
    }
}

// === impl Link ===

impl Link {
    /// The path as who stands behind the name is asked for it.
    pub(crate) fn below(&self) -> &str {
        &self.path[self.mount_bytes..]
    }
}

/// When a link ends that is made now: never after the token of whoever asks for it.
fn expiry(life_s: u64, ends_unix_s: Option<u64>, now_unix_s: u64) -> u64 {
    let own = now_unix_s.saturating_add(life_s);
    ends_unix_s.map_or(own, |ends| ends.min(own))
}

/// Everything below one asset at these origins, and nothing else: an origin is text, not a pattern (RFC 9246 section 2.1.15).
fn container(origins: &[&str], asset: Uuid) -> String {
    let literals: Vec<_> = origins.iter().map(|origin| literal(origin)).collect();
    match literals.as_slice() {
        [one] => format!("regex:{one}/{asset}/.*"),
        several => format!("regex:({})/{asset}/.*", several.join("|")),
    }
}

/// A regular expression for this text alone.
fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 4);
    for letter in text.chars() {
        if !(letter.is_alphanumeric() || matches!(letter, ':' | '/' | '-')) {
            literal.push('\\');
        }
        literal.push(letter);
    }
    literal
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_link_outlives_its_life_or_its_caller(
            life_s in 1..1_000_000_u64,
            left_s in proptest::option::of(0..2_000_000_u64),
            now_unix_s in 0..=u64::MAX,
        ) {
            let ends_unix_s = left_s.map(|left_s| now_unix_s.saturating_add(left_s));
            let expires_unix_s = expiry(life_s, ends_unix_s, now_unix_s);
            prop_assert!(expires_unix_s >= now_unix_s);
            prop_assert!(expires_unix_s - now_unix_s <= life_s);
            prop_assert!(ends_unix_s.is_none_or(|ends_unix_s| expires_unix_s <= ends_unix_s));
        }
    }

    #[test]
    fn an_origin_is_no_pattern() {
        let asset = Uuid::nil();
        let signed = "https://cdn\\.signed:8443";
        assert_eq!(container(&["https://cdn.signed:8443"], asset), format!("regex:{signed}/{asset}/.*"));
        let both = container(&["https://cdn.signed:8443", "https://streaming.main"], asset);
        assert_eq!(both, format!("regex:({signed}|https://streaming\\.main)/{asset}/.*"));
    }
}

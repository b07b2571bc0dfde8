//! Join tokens: what one looks like, what it allows, and whether who joins wants no more than that. Pure.
//!
//! A token is 54 letters: where its invitation is kept, a secret, and the beginning of the authority's fingerprint. What
//! it allows stands with the authority, not in the token: nothing of it can be changed on the way, and it can be taken
//! back. It is good for one *key*: who asks again with the same one (its answer was lost) gets a certificate for that
//! key again, which helps nobody else; any other key is refused.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flame_naming::{Label, Name};
use serde::{Deserialize, Serialize};

use crate::standing::{Role, Standing};

const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 16;
const PIN_BYTES: usize = 16;

/// SHA-256 of the authority's certificate; tokens hold its beginning.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; PIN_BYTES]);

/// A one-time join token. Its `Display` is the secret itself.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub(crate) id: [u8; ID_BYTES],
    pub(crate) secret: [u8; SECRET_BYTES],
    /// Whose certificates who joins may believe.
    pub authority: Fingerprint,
}

/// What the authority keeps of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// SHA-256 of the secret, hexadecimal.
    pub(crate) secret_sha256: String,
    /// What the certificate will say.
    pub standing: Standing,
    /// When the token ends, Unix seconds.
    pub ends_unix_s: u64,
    /// SHA-256 of the public key that it was spent for, hexadecimal.
    pub(crate) spent_for: Option<String>,
}

/// What who joins means to be, so that a token for something else is refused before it is spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What it is.
    pub role: Role,
    /// Its site, where it knows it.
    pub site: Option<Label>,
    /// Names that it will register behind.
    pub names: Vec<Name>,
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody was invited with it, or it is forgotten.
    #[error("the join token is not known here: it is damaged, of another authority, or ended long ago")]
    Unknown,
    /// Its time is over.
    #[error("the join token has ended")]
    Ended,
    /// Somebody else has joined with it.
    #[error("the join token is spent: it is good for one join")]
    Spent,
    /// It is for another role.
    #[error("the join token is for a {allowed}, not for a {wanted}")]
    Role {
        /// What it is for.
        allowed: Role,
        /// What it was used for.
        wanted: Role,
    },
    /// It is for another site.
    #[error("the join token is for the site {allowed}, not for {wanted}")]
    Site {
        /// What it is for.
        allowed: Label,
        /// What it was used for.
        wanted: Label,
    },
    /// It is for other names.
    #[error("the join token is not for the name {0}")]
    Name(Name),
}

/// Says that a text is no join token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no join token: `flame ca join-token` makes one, 54 letters")]
pub struct NoToken;

// === impl Fingerprint ===

impl Fingerprint {
    /// Of a certificate.
    #[must_use]
    pub fn of(certificate_der: &[u8]) -> Self {
        let mut pin = [0; PIN_BYTES];
        pin.copy_from_slice(&digest(&SHA256, certificate_der).as_ref()[..PIN_BYTES]);
        Self(pin)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

// === impl JoinToken ===

impl JoinToken {
    /// The name of the invitation; not a secret.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(self.id)
    }

    pub(crate) fn secret_sha256(&self) -> String {
        hex::encode(digest(&SHA256, &self.secret))
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id[..], &self.secret, &self.authority.0].concat();
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Without the secret.
impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, authority, .. } = self;
        f.debug_struct("JoinToken").field("id", &hex::encode(id)).field("authority", authority).finish_non_exhaustive()
    }
}

impl FromStr for JoinToken {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| NoToken)?;
        let (id, rest) = bytes.split_first_chunk().ok_or(NoToken)?;
        let (secret, pin) = rest.split_first_chunk().ok_or(NoToken)?;
        let authority = Fingerprint(pin.try_into().map_err(|_| NoToken)?);
        Ok(Self { id: *id, secret: *secret, authority })
    }
}

// === impl Invitation ===

impl Invitation {
    pub(crate) fn new(token: &JoinToken, standing: Standing, ends_unix_s: u64) -> Self {
        Self { secret_sha256: token.secret_sha256(), standing, ends_unix_s, spent_for: None }
    }

    /// Whether somebody could still join with `token`.
    pub(crate) fn is_open(&self, token: &JoinToken, now_unix_s: u64) -> bool {
        token.secret_sha256() == self.secret_sha256 && now_unix_s < self.ends_unix_s && self.spent_for.is_none()
    }

    /// Whether who shows `token` and has the key of `key_sha256` may be what it wants to be.
    pub fn admits(&self, token: &JoinToken, wanted: &Wanted, key_sha256: &str, now_unix_s: u64) -> Result<(), Refusal> {
        // Digests are compared: how long that takes says nothing of the secret.
        if token.secret_sha256() != self.secret_sha256 {
            return Err(Refusal::Unknown);
        }
        if now_unix_s >= self.ends_unix_s {
            return Err(Refusal::Ended);
        }
        if self.spent_for.as_ref().is_some_and(|key| key != key_sha256) {
            return Err(Refusal::Spent);
        }
        let Standing { role, site, .. } = &self.standing;
        if wanted.role != *role {
            return Err(Refusal::Role { allowed: *role, wanted: wanted.role });
        }
        if let Some(other) = wanted.site.as_ref().filter(|wanted| *wanted != site) {
            return Err(Refusal::Site { allowed: site.clone(), wanted: other.clone() });
        }
        match wanted.names.iter().find(|name| !self.standing.covers(name)) {
            Some(name) => Err(Refusal::Name(name.clone())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken { id: [1; ID_BYTES], secret: [2; SECRET_BYTES], authority: Fingerprint::of(b"a certificate") }
    }

    fn invitation() -> Invitation {
        let names = ["media.*".parse().unwrap()].into();
        Invitation::new(&token(), Standing { role: Role::Service, site: "edge".parse().unwrap(), names }, 100)
    }

    fn wanted(site: Option<&str>, names: &[&str]) -> Wanted {
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        Wanted { role: Role::Service, site: site.map(|site| site.parse().unwrap()), names }
    }

    #[test]
    fn a_token_is_short_and_read_as_it_was_printed() {
        let text = token().to_string();
        assert_eq!(text.len(), 54);
        assert_eq!(text.parse(), Ok(token()));
        assert!(!format!("{:?}", token()).contains(&hex::encode([2; SECRET_BYTES])), "a log shows no secret");
        for wrong in ["", "x", &text[1..], &format!("{text}AA"), "!!!!"] {
            assert_eq!(wrong.parse::<JoinToken>(), Err(NoToken), "{wrong}");
        }
    }

    #[test]
    fn an_invitation_admits_what_it_names_and_nothing_else() {
        let (invitation, token) = (invitation(), token());
        let admits = |wanted: &Wanted, now| invitation.admits(&token, wanted, "key", now);
        assert_eq!(admits(&wanted(None, &[]), 99), Ok(()));
        assert_eq!(admits(&wanted(Some("edge"), &["media", "media.west"]), 0), Ok(()));
        assert_eq!(admits(&wanted(None, &[]), 100), Err(Refusal::Ended));
        let cloud = Refusal::Site { allowed: "edge".parse().unwrap(), wanted: "cloud".parse().unwrap() };
        assert_eq!(admits(&wanted(Some("cloud"), &[]), 0), Err(cloud));
        let other = Refusal::Name("metadata".parse().unwrap());
        assert_eq!(admits(&wanted(None, &["media", "metadata"]), 0), Err(other));
        let router = Wanted { role: Role::Router, ..wanted(None, &[]) };
        assert!(matches!(admits(&router, 0), Err(Refusal::Role { .. })));
        let guessed = JoinToken { secret: [3; SECRET_BYTES], ..token.clone() };
        assert_eq!(invitation.admits(&guessed, &wanted(None, &[]), "key", 0), Err(Refusal::Unknown));
    }

    #[test]
    fn a_spent_invitation_admits_its_own_key_only() {
        let spent = Invitation { spent_for: Some("key".to_owned()), ..invitation() };
        assert_eq!(spent.admits(&token(), &wanted(None, &[]), "key", 0), Ok(()));
        assert_eq!(spent.admits(&token(), &wanted(None, &[]), "other", 0), Err(Refusal::Spent));
    }
}

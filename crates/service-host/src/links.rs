//! Links that sign a browser in, once.
//!
//! A link holds a token for another audience than services are: none of them takes it. Whoever shows it first where
//! browsers sign in gets an ordinary token for it, of the scopes and the life that the link says; the link is revoked
//! before that token is made, so of many that show it at the same time one succeeds, also across processes.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::keys::{self, Claims, Grant, KeyError, Keyring, unix_seconds};

/// Who takes links (`aud`).
const AUDIENCE: &str = "flame-link";

/// The claims of a link.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct LinkClaims {
    jti: Uuid,
    sub: String,
    aud: String,
    tenant: String,
    scope: String,
    /// Life of the token that it is exchanged for, seconds.
    session_s: u64,
    iat: u64,
    exp: u64,
}

/// Makes a link that works once within `life` for a token of `grant`, signed with the private key in `folder`.
pub fn issue(folder: &Path, grant: &Grant, life: Duration) -> Result<String, KeyError> {
    let now = unix_seconds();
    let claims = LinkClaims {
        jti: Uuid::now_v7(),
        sub: grant.subject.clone(),
        aud: AUDIENCE.to_owned(),
        tenant: grant.tenant.clone(),
        scope: grant.scope.clone(),
        session_s: grant.life.as_secs(),
        iat: now,
        exp: now.saturating_add(life.as_secs()),
    };
    keys::sign(folder, &claims)
}

/// The token that `link` is exchanged for; `None` where it is no link of ours.
pub(crate) fn redeem(ring: &Keyring, link: &str) -> Result<Option<(String, Claims)>, KeyError> {
    let Ok(claims) = ring.verified::<LinkClaims>(link, AUDIENCE) else { return Ok(None) };
    // A little longer than it counts (clocks are read with leeway), or it could be used again at its very end.
    if !keys::revoke(ring.folder(), claims.jti, claims.exp.saturating_add(60))? {
        return Err(KeyError::Invalid("this link was used before".to_owned()));
    }
    let life = Duration::from_secs(claims.session_s);
    let grant = Grant { subject: claims.sub, tenant: claims.tenant, scope: claims.scope, life };
    keys::issue(ring.folder(), &grant).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_for_one_token_and_no_token_itself() {
        let dir = tempfile::tempdir().unwrap();
        keys::ensure(dir.path()).unwrap();
        let ring = Keyring::open(dir.path()).unwrap();
        let grant = Grant {
            subject: "ann".into(),
            tenant: "acme".into(),
            scope: "read".into(),
            life: Duration::from_secs(600),
        };
        let link = issue(dir.path(), &grant, Duration::from_secs(60)).unwrap();
        assert!(ring.verify(&link).is_err(), "no service takes a link");
        // Of many at the same time one gets a token.
        let got: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| redeem(&ring, &link))).collect();
            all.into_iter().filter_map(|one| one.join().unwrap().ok().flatten()).collect()
        });
        assert_eq!(got.len(), 1);
        let (token, claims) = &got[0];
        assert_eq!(ring.verify(token).unwrap(), *claims);
        assert_eq!((claims.tenant.as_str(), claims.scope.as_str(), claims.exp - claims.iat), ("acme", "read", 600));
        let (ordinary, _) = keys::issue(dir.path(), &grant).unwrap();
        assert!(redeem(&ring, &ordinary).unwrap().is_none(), "a token is no link");
    }
}

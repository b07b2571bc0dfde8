//! An authority in a folder of its own, and parts that join it.

use std::path::Path;
use std::time::Duration;

use flame_credentials::{Identity, Issuer, IssuerError, JoinToken, Key, Refusal, Role, Standing, Wanted};

pub const LIFE: Duration = Duration::from_secs(60);

pub struct World {
    pub folder: tempfile::TempDir,
    pub issuer: Issuer,
}

// === impl World ===

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issuer = Issuer::init(&folder.path().join("ca")).unwrap();
        Self { folder, issuer }
    }

    /// A folder for a part.
    pub fn part(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    pub fn invite(&self, standing: &Standing) -> JoinToken {
        self.issuer.invite(standing, LIFE).unwrap()
    }

    /// Joins as `standing`, with a token of its own.
    pub fn member(&self, folder: &Path, standing: &Standing) -> Identity {
        let key = Key::joining(folder).unwrap();
        let issued = self.issuer.join(&self.invite(standing), &as_is(standing), &key.request_pem().unwrap()).unwrap();
        Identity::keep(folder, &key, &issued).unwrap()
    }
}

pub fn service(site: &str, names: &[&str]) -> Standing {
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    Standing { role: Role::Service, site: site.parse().unwrap(), names }
}

pub fn router(site: &str) -> Standing {
    Standing { role: Role::Router, site: site.parse().unwrap(), names: [].into() }
}

/// Wants to be what it was invited to be, whatever the names.
pub fn as_is(standing: &Standing) -> Wanted {
    Wanted { role: standing.role, site: Some(standing.site.clone()), names: Vec::new() }
}

pub fn refusal(outcome: Result<impl std::fmt::Debug, IssuerError>) -> Refusal {
    match outcome {
        Err(IssuerError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

//! What is made once and kept from then on: the store's credentials, what streaming wraps keys with, and a person's first token.
//!
//! It lies in a data folder, readable by its owner only. Nothing here is ever a default, and nothing is printed but the first token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use flame_service_host::Scope;
use flame_service_host::keys::Grant;
use serde::{Deserialize, Serialize};

use crate::token;

/// What streaming wraps keys of encrypted assets with.
pub const STREAMING_SECRET: &str = "streaming.secret";
/// The store's credentials.
pub const STORE_KEYS: &str = "store-keys.json";
/// Life of the token that the first start prints.
const FIRST_TOKEN_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Says that the first token has been shown: a start that failed before must not have used it up.
pub const FIRST_TOKEN_SHOWN: &str = "first-token-shown";

/// The credentials of the object store, made once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoreKeys {
    /// Who asks.
    pub access_key: String,
    /// What it signs with.
    pub secret_key: String,
}

/// A token for the person who starts everything for the first time.
pub fn first_token(data: &Path) -> anyhow::Result<String> {
    let scope = [Scope::Read, Scope::Write].map(Scope::as_str).join(" ");
    let grant =
        Grant { subject: "first-start".to_owned(), tenant: "default".to_owned(), scope, life: FIRST_TOKEN_LIFE };
    Ok(token::issue(data, &grant)?.0)
}

/// Whether people have seen it.
pub fn first_token_was_shown(data: &Path) -> bool {
    data.join(FIRST_TOKEN_SHOWN).is_file()
}

/// Notes that they have.
pub fn note_first_token(data: &Path) -> anyhow::Result<()> {
    let path = data.join(FIRST_TOKEN_SHOWN);
    std::fs::write(&path, "").with_context(|| format!("write {}", path.display()))
}

/// The secret that streaming wraps keys with, made at the first start.
pub fn of_streaming(data: &Path) -> anyhow::Result<PathBuf> {
    let path = data.join(STREAMING_SECRET);
    if !path.is_file() {
        let random: String = (0..4).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
        keep_secret(&path, random.as_bytes()).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(path)
}

/// Writes a new file that nobody else can read.
pub fn keep_secret(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    // Whole or not at all: a secret that was cut off would be another one.
    let draft = path.with_extension("new");
    if draft.exists() {
        std::fs::remove_file(&draft)?;
    }
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}

// === impl StoreKeys ===

impl StoreKeys {
    /// The credentials kept in `data`, made at the first start.
    pub fn of(data: &Path) -> anyhow::Result<Self> {
        let path = data.join(STORE_KEYS);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::make(&path),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    fn make(path: &Path) -> anyhow::Result<Self> {
        let random = || uuid::Uuid::new_v4().simple().to_string();
        let keys = Self { access_key: random(), secret_key: random() + &random() };
        let write = || keep_secret(path, &serde_json::to_vec(&keys)?);
        write().with_context(|| format!("write {}", path.display()))?;
        Ok(keys)
    }
}

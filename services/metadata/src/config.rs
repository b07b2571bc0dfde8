//! What the service is told. `config.example.toml` holds every key with its meaning.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flame_api::metadata::Action;
use flame_object_store::StoreConfig;
use flame_service_host::HostConfig;
use flame_service_host::config::Span;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::webhooks::event::Secret;

/// Most webhooks: each is told by a task of its own.
const WEBHOOKS_MAX: usize = 64;

/// The configuration of the metadata service.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What every service is told.
    pub host: HostConfig,
    /// Where the catalogue lies.
    pub database: Location,
    /// Connections that read at once; one more writes. With PostgreSQL all of these do both.
    pub database_readers: u32,
    /// Time that a request waits for a free connection, or for another process's lock, before it gets 503.
    pub database_wait: Span,
    /// The object store, from which the objects of deleted assets are removed. Without one they stay until there is.
    pub store: Option<StoreConfig>,
    /// Who is told when something was deleted that surrogates keep.
    pub purges: PurgeConfig,
    /// What anybody may know.
    pub public: PublicConfig,
    /// How long what was deleted can be had again.
    pub trash: TrashConfig,
    /// How much is known of what became of each asset.
    pub history: HistoryConfig,
    /// How much of the catalogue a filter, an order or a count looks at.
    pub search: SearchConfig,
    /// The change feed.
    pub feed: FeedConfig,
    /// Who is told of changes.
    #[serde(deserialize_with = "webhooks")]
    pub webhooks: Vec<Webhook>,
}

/// Where the catalogue lies. Written `postgres://…`, else a path.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Location {
    /// A SQLite file; it and its folder are made if they are not there.
    Sqlite(PathBuf),
    /// The URL of a PostgreSQL database, which is there and empty, or a catalogue already.
    Postgres(String),
}

/// `[purges]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PurgeConfig {
    /// Names under which surrogates serve media: those of their fronts; `*`: all names that surrogates serve for the asset's tenant, also
    /// those of templates. None: nobody is told.
    pub names: Vec<String>,
    /// They are told again after this time, when streaming believes the catalogue's last answer no more
    /// (`catalogue.media_fresh` there): meanwhile they may have fetched it anew.
    pub again: Span,
}

/// `[public]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublicConfig {
    /// How long surrogates keep what anybody may know of an asset that anybody may play (`GET /public/{id}`), at least a second; zero:
    /// nothing is public.
    pub fresh: Span,
}

/// `[trash]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrashConfig {
    /// After this time in the trash an asset is gone for good; zero: at once.
    pub keep: Span,
}

/// `[history]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryConfig {
    /// Changes of an asset that are kept; the oldest go with each that comes.
    pub keep: u32,
}

/// `[search]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchConfig {
    /// Assets that one request looks at, newest first; a filtered page says where to go on.
    pub scan: u32,
    /// Matches that are put into an order, or counted.
    pub matches: u32,
    /// Time after which a request looks at no more: a filtered page says where to go on, an order and a count are of what was seen.
    pub time: Span,
}

/// `[feed]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeedConfig {
    /// Changes of a tenant that are kept; the oldest go.
    pub keep: u32,
    /// Callers that follow it at once.
    pub followers: usize,
    /// How often is looked for changes that another service made in the same database.
    pub poll: Span,
}

/// `[[webhooks]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Its name among those of the tenant: how far it was told is kept under it.
    pub name: String,
    /// Whose changes.
    pub tenant: String,
    /// Where each is sent with POST.
    pub url: reqwest::Url,
    /// The key of the signatures.
    pub secret: Secret,
    /// What it is told of; nothing: of everything.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// Time that an answer may take.
    #[serde(default = "answer_within")]
    pub timeout: Span,
}

fn answer_within() -> Span {
    Span(Duration::from_secs(10))
}

/// Reads all of them; two of one name would take each other's place.
pub fn webhooks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Webhook>, D::Error> {
    let webhooks = Vec::<Webhook>::deserialize(deserializer)?;
    let named = |webhook: &Webhook| (webhook.tenant.clone(), webhook.name.clone());
    let names: BTreeSet<_> = webhooks.iter().map(named).collect();
    if names.len() < webhooks.len() {
        return Err(D::Error::custom("two webhooks of a tenant have the same name"));
    }
    if webhooks.len() > WEBHOOKS_MAX {
        return Err(D::Error::custom(format!("there are more than {WEBHOOKS_MAX} webhooks")));
    }
    match webhooks.iter().find(|webhook| !matches!(webhook.url.scheme(), "http" | "https")) {
        Some(webhook) => Err(D::Error::custom(format!("the webhook {} is told over http or https", webhook.name))),
        None => Ok(webhooks),
    }
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            host: HostConfig::default(),
            database: PathBuf::from("metadata.db").into(),
            database_readers: 4,
            database_wait: Span(Duration::from_secs(5)),
            store: None,
            purges: PurgeConfig::default(),
            public: PublicConfig::default(),
            trash: TrashConfig::default(),
            history: HistoryConfig::default(),
            search: SearchConfig::default(),
            feed: FeedConfig::default(),
            webhooks: Vec::new(),
        }
    }
}

// === impl PublicConfig ===

impl Default for PublicConfig {
    fn default() -> Self {
        Self { fresh: Span(Duration::ZERO) }
    }
}

// === impl TrashConfig ===

impl Default for TrashConfig {
    fn default() -> Self {
        Self { keep: Span(Duration::from_secs(7 * 24 * 3600)) }
    }
}

// === impl HistoryConfig ===

impl Default for HistoryConfig {
    fn default() -> Self {
        Self { keep: 200 }
    }
}

// === impl SearchConfig ===

impl Default for SearchConfig {
    fn default() -> Self {
        Self { scan: 50_000, matches: 10_000, time: Span(Duration::from_secs(2)) }
    }
}

// === impl FeedConfig ===

impl Default for FeedConfig {
    fn default() -> Self {
        Self { keep: 100_000, followers: 256, poll: Span(Duration::from_secs(1)) }
    }
}

// === impl Location ===

impl Location {
    /// The file, where it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

impl From<String> for Location {
    fn from(text: String) -> Self {
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        if is_url { Self::Postgres(text) } else { Self::Sqlite(text.into()) }
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self::Sqlite(path)
    }
}

/// Without what a URL says of passwords: it gets into logs.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => {
                let (url, _) = url.split_once('?').unwrap_or((url, ""));
                let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
                let (_, place) = rest.rsplit_once('@').unwrap_or(("", rest));
                write!(f, "{scheme}://{place}")
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

// === impl PurgeConfig ===

impl Default for PurgeConfig {
    fn default() -> Self {
        Self { names: Vec::new(), again: Span(Duration::from_secs(90)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_as_a_url_of_postgresql_is_one_and_says_no_password() {
        assert_eq!(Location::from("m.db".to_owned()).file(), Some(Path::new("m.db")));
        for (url, said) in [
            ("postgres://flame:s3cret@db:5432/flame?sslmode=disable&password=s3cret", "postgres://db:5432/flame"),
            ("postgresql:///flame?host=/run/postgresql", "postgresql:///flame"),
            ("postgres://u:p@ss@db/x", "postgres://db/x"),
        ] {
            let location = Location::from(url.to_owned());
            assert_eq!((location.file(), location.to_string().as_str()), (None, said));
            assert_eq!(format!("{location:?}"), said);
        }
    }
}

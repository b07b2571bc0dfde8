//! Endpoints that do not register: written down in a file, with the site where they are.
//!
//! ```toml
//! [[entries]]
//! name = "archive"
//! endpoint = "tape"
//! address = "192.0.2.7:8000"
//! site = "cloud"
//! weight = 2          # 1 where unset
//! capacity = 20       # any number of requests at once where unset
//! http2 = true        # whether it takes HTTP/2 without being asked first
//! tls = true          # whether it is asked over TLS; its certificate has to list the name
//! ```
//!
//! All routers may have the same file. Each takes the entries of its own site, which it then tells its peers, and those of
//! sites that have no router to tell of them. They hold no lease that ends when they are gone: the router asks those of
//! which it hears nothing whether they are there (`[upstream] probe_static_every`). The file is read again when it changes; one that cannot be read leaves
//! everything as it was.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use flame_api::peers::Place;
use flame_naming::name::NameError;
use flame_naming::peers::{Changes, Key};
use flame_naming::table::WRITTEN_DOWN;
use flame_naming::{EndpointId, Label, Name, Terms};
use flame_service_host::problem::chain;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::registry::Registry;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most entries of a file.
const ENTRIES_MAX: usize = 10_000;

/// The file, and what it said last.
#[derive(Debug)]
pub(crate) struct StaticEntries {
    path: PathBuf,
    registry: Registry,
    modified: Option<SystemTime>,
    known: BTreeMap<Label, BTreeMap<Key, Place>>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// It is not of the form that it should have; the cause says line and column.
    #[error("{path} is not understood")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is expected.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// An entry says what is no name.
    #[error("{path}, entries[{at}]")]
    Name {
        /// The file.
        path: PathBuf,
        /// Its place, from 0.
        at: usize,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// An entry that cannot be.
    #[error("{path}, entries[{at}]: {reason}")]
    Entry {
        /// The file.
        path: PathBuf,
        /// Its place, from 0.
        at: usize,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    endpoint: String,
    address: SocketAddr,
    /// The router's own where none is named.
    site: Option<String>,
    #[serde(default = "ordinary_weight")]
    weight: u16,
    capacity: Option<u32>,
    #[serde(default)]
    http2: bool,
    /// Whether it is asked over TLS: then its certificate has to list the name.
    #[serde(default)]
    tls: bool,
}

// === impl StaticEntries ===

impl StaticEntries {
    /// Reads `path`, and puts what it says into `registry`.
    pub(crate) fn open(path: &Path, registry: Registry) -> Result<Self, FileError> {
        let mut entries = Self { path: path.to_owned(), registry, modified: None, known: BTreeMap::new() };
        entries.read()?;
        Ok(entries)
    }

    /// Reads it again when it changes, until `stop`.
    pub(crate) async fn watch(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
            let modified = fs::metadata(&self.path).and_then(|file| file.modified()).ok();
            if modified.is_some()
                && modified != self.modified
                && let Err(error) = self.read()
            {
                let error = chain(&error);
                tracing::error!(error, "the static entries stay as they were");
            }
        }
    }

    fn read(&mut self) -> Result<(), FileError> {
        let failed = |source| FileError::Read { path: self.path.clone(), source };
        // Looked at before it is read: a change in between is noticed the next time.
        self.modified = Some(fs::metadata(&self.path).and_then(|file| file.modified()).map_err(failed)?);
        let text = fs::read_to_string(&self.path).map_err(failed)?;
        let own = self.registry.site();
        let mut now = parse(&self.path, &text, &own)?;
        now.retain(|site, _| *site == own || !self.registry.has_router(site));
        // A site that is not there any more has no entries left.
        for site in self.known.keys().filter(|site| !now.contains_key(*site)).cloned().collect::<Vec<_>>() {
            now.insert(site, BTreeMap::new());
        }
        for (site, entries) in &now {
            let before = self.known.get(site);
            let gone = before.into_iter().flatten().filter(|(key, _)| !entries.contains_key(*key));
            let mut changes: Changes<Place> = gone.map(|(key, _)| (key.clone(), None)).collect();
            // Only what is different; what was made of an endpoint at this router is not in the file, and stays.
            let new = entries.iter().filter(|(key, place)| before.and_then(|before| before.get(key)) != Some(place));
            changes.extend(new.map(|(key, place)| (key.clone(), Some(place.clone()))));
            self.registry.write_down(site, changes);
        }
        self.known = now;
        tracing::info!(file = %self.path.display(), entries = self.known.values().map(BTreeMap::len).sum::<usize>(), "read");
        Ok(())
    }
}

fn ordinary_weight() -> u16 {
    Terms::default().weight
}

pub(crate) fn parse(path: &Path, text: &str, own: &Label) -> Result<BTreeMap<Label, BTreeMap<Key, Place>>, FileError> {
    let form = |source| FileError::Form { path: path.to_owned(), source: Box::new(source) };
    let File { entries } = toml::from_str(text).map_err(form)?;
    let mut sites: BTreeMap<Label, BTreeMap<Key, Place>> = BTreeMap::new();
    for (at, entry) in entries.into_iter().enumerate() {
        let named = |source| FileError::Name { path: path.to_owned(), at, source };
        let wrong = |reason| FileError::Entry { path: path.to_owned(), at, reason };
        if at >= ENTRIES_MAX {
            return Err(wrong(format!("at most {ENTRIES_MAX} entries are read")));
        }
        if entry.address.port() == 0 || entry.address.ip().is_unspecified() {
            return Err(wrong(format!("nobody can be reached at {}", entry.address)));
        }
        let name = entry.name.parse::<Name>().map_err(named)?;
        let endpoint = entry.endpoint.parse::<EndpointId>().map_err(wrong)?;
        let site = entry.site.map_or_else(|| Ok(own.clone()), |site| site.parse::<Label>()).map_err(named)?;
        let key = Key { name, endpoint };
        let mut place = Place::new(entry.address, WRITTEN_DOWN);
        (place.weight, place.capacity, place.http2) = (entry.weight, entry.capacity, entry.http2);
        place.tls = entry.tls;
        Terms::new(place.weight, place.capacity, place.http2).map_err(|unfit| wrong(unfit.to_string()))?;
        if sites.entry(site).or_default().insert(key, place).is_some() {
            return Err(wrong(format!("{} behind {} is there twice", entry.endpoint, entry.name)));
        }
    }
    Ok(sites)
}

//! The embedded store: databases of points on disk, bounded in space and time.
//!
//! A database is a folder of files that are only appended to ([`segment`]), and the names in them ([`dictionary`]). A write
//! is acknowledged when it is synced; writes that come together share a sync. Reading goes over the stretches of files that
//! have points of the time asked for, so recent time is cheap however much is kept, and memory does not grow with what
//! is kept, but for names. What is too old, or too much, goes file by file. There is no compaction, no cache of values,
//! and no index by value: a bounded window needs none ([decision 0030](../../../docs/decisions/0030-telemetry-store.md)).
//!
//! All of it blocks; the service calls it from threads that may.

mod codec;
mod database;
mod dictionary;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use flame_telemetry::line::Line;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::config::StoreConfig;
use crate::series::{Series, Shape, Tags};
use database::{Bounds, Database, Mark};
pub use dictionary::Rejection;
use dictionary::Room;

/// Longest name of a database, bytes.
const NAME_MAX_BYTES: usize = 64;
/// A file is closed after this part of the retention time at the latest: so much longer than it points may be there.
const SEGMENT_AGES: u32 = 24;

/// All databases. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: StoreConfig,
    shelves: RwLock<BTreeMap<Key, Arc<Shelf>>>,
}

/// Tenant and name.
type Key = (String, String);

#[derive(Debug)]
struct Shelf {
    database: RwLock<Database>,
    /// How far the files are synced: number of the file, and length.
    synced: Mutex<(u64, u64)>,
}

/// What became of a write.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Points that are safe on disk.
    pub accepted: usize,
    /// Points that were not taken, by their places among those given.
    pub rejected: Vec<(usize, Rejection)>,
}

/// What is to be read.
pub struct Selection<'a> {
    /// The measurement.
    pub measurement: &'a str,
    /// Which of its series.
    pub series: &'a dyn Fn(&Tags) -> bool,
    /// Which of its fields; all of them where it is `None`.
    pub fields: Option<&'a BTreeSet<String>>,
    /// From this time, nanoseconds since 1970.
    pub from_ns: i64,
    /// To this time, included.
    pub to_ns: i64,
}

/// What the store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Databases.
    pub databases: usize,
    /// Series of all of them.
    pub series: usize,
    /// Bytes on disk, without indexes.
    pub bytes: u64,
}

/// Why points were not written, or a database not made.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such database.
    #[error("database not found: {0:?}")]
    NoDatabase(String),
    /// The name cannot be one of a database.
    #[error("{0:?} cannot name a database: write 1 to 64 bytes, without `/`")]
    Name(String),
    /// There are as many as there may be.
    #[error("there are {0} databases, and no more may be made: drop one, or set `store.databases`")]
    TooMany(usize),
    /// The disk is full.
    #[error("the disk is full")]
    Full(#[source] io::Error),
    /// Files cannot be read or written.
    #[error("the files of database {name:?} cannot be used")]
    Io {
        /// The database.
        name: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

/// Why points were not read.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A file cannot be read.
    #[error("a file of the store cannot be read")]
    Io(#[source] io::Error),
    /// A file is not as it was written.
    #[error("a file of the store is damaged")]
    Damaged,
    /// The question is too large.
    #[error("the question reads more than {0} values: narrow its time or its series, or set `query.values_max`")]
    TooMany(usize),
}

// === impl Store ===

impl Store {
    /// Opens what is in the folder of `settings`, or makes it.
    pub fn open(settings: &StoreConfig) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Io { name: settings.folder.display().to_string(), source };
        std::fs::create_dir_all(&settings.folder).map_err(failed)?;
        let mut shelves = BTreeMap::new();
        for tenant in names_in(&settings.folder).map_err(failed)? {
            for name in names_in(&settings.folder.join(encoded(&tenant))).map_err(failed)? {
                let database = Database::open(settings.folder.join(encoded(&tenant)).join(encoded(&name)));
                let database = database.map_err(|source| StoreError::Io { name: name.clone(), source })?;
                shelves.insert((tenant.clone(), name), Arc::new(Shelf::new(database)));
            }
        }
        Ok(Self(Arc::new(Inner { settings: settings.clone(), shelves: RwLock::new(shelves) })))
    }

    /// The names of a tenant's databases.
    #[must_use]
    pub fn databases(&self, tenant: &str) -> Vec<String> {
        let shelves = self.0.shelves.read().unwrap_or_else(PoisonError::into_inner);
        shelves.keys().filter(|(owner, _)| owner == tenant).map(|(_, name)| name.clone()).collect()
    }

    /// All databases: tenant and name.
    #[must_use]
    pub fn all(&self) -> Vec<(String, String)> {
        let shelves = self.0.shelves.read().unwrap_or_else(PoisonError::into_inner);
        shelves.keys().cloned().collect()
    }

    /// Makes a database; one that is there stays as it is.
    pub fn create(&self, tenant: &str, name: &str) -> Result<(), StoreError> {
        self.made(tenant, name).map(drop)
    }

    /// Deletes a database with all that is in it.
    pub fn drop_database(&self, tenant: &str, name: &str) -> Result<(), StoreError> {
        let mut shelves = self.0.shelves.write().unwrap_or_else(PoisonError::into_inner);
        if shelves.remove(&(tenant.to_owned(), name.to_owned())).is_none() {
            return Ok(());
        }
        let removed = std::fs::remove_dir_all(self.folder(tenant, name));
        removed.map_err(|source| StoreError::Io { name: name.to_owned(), source })
    }

    /// Writes points; when it returns, those accepted are safe. Points are given with their times, nanoseconds since 1970.
    pub fn write(
        &self,
        tenant: &str,
        name: &str,
        points: &[(Line<'_>, i64)],
        now_ns: i64,
    ) -> Result<Written, StoreError> {
        let shelf = match self.shelf(tenant, name) {
            Ok(shelf) => shelf,
            Err(StoreError::NoDatabase(_)) if self.0.settings.create_on_write => self.made(tenant, name)?,
            Err(error) => return Err(error),
        };
        let settings = &self.0.settings;
        let bounds = Bounds {
            room: Room { series: settings.series, fields: settings.fields },
            oldest_ns: self.oldest_ns(now_ns),
            segment_bytes: settings.segment.0,
            segment_age: self.segment_age(),
        };
        let taken = shelf.write_lock().append(points, &bounds).map_err(|source| io_error(name, source))?;
        if let Some(mark) = &taken.mark {
            shelf.sync(mark).map_err(|source| io_error(name, source))?;
        }
        if taken.has_rolled {
            self.keep_within_disk();
        }
        Ok(Written { accepted: taken.accepted, rejected: taken.rejected })
    }

    /// Reads at most `values_max` values; none that is older than is kept.
    pub fn read(
        &self,
        tenant: &str,
        name: &str,
        selection: Selection<'_>,
        (now_ns, values_max): (i64, usize),
    ) -> Result<Vec<Series>, ScanError> {
        let Ok(shelf) = self.shelf(tenant, name) else { return Ok(Vec::new()) };
        let from_ns = selection.from_ns.max(self.oldest_ns(now_ns));
        let plan = shelf.read_lock().plan(&Selection { from_ns, ..selection });
        plan.read(values_max)
    }

    /// The names of a database's measurements.
    pub fn measurements(&self, tenant: &str, name: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.shelf(tenant, name)?.read_lock().measurements())
    }

    /// Fields and series of a measurement; `None` where it is not known.
    pub fn shape(&self, tenant: &str, name: &str, measurement: &str) -> Result<Option<Shape>, StoreError> {
        Ok(self.shelf(tenant, name)?.read_lock().shape(measurement))
    }

    /// Deletes what is too old, and what is too much.
    pub fn tidy(&self, now_ns: i64) {
        let oldest_ns = self.oldest_ns(now_ns);
        for ((_, name), shelf) in self.shelves() {
            if let Err(error) = shelf.write_lock().expire(oldest_ns, self.segment_age()) {
                tracing::warn!(%error, database = name, "old points were not deleted");
            }
        }
        self.keep_within_disk();
    }

    /// What it holds.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let shelves = self.shelves();
        let mut figures = Figures { databases: shelves.len(), ..Figures::default() };
        for (_, shelf) in shelves {
            let database = shelf.read_lock();
            figures.series += database.series_count();
            figures.bytes += database.bytes();
        }
        figures
    }

    fn keep_within_disk(&self) {
        loop {
            let sized = |(key, shelf): (Key, Arc<Shelf>)| {
                let bytes = shelf.read_lock().bytes();
                (bytes, key, shelf)
            };
            let sizes: Vec<_> = self.shelves().into_iter().map(sized).collect();
            let total: u64 = sizes.iter().map(|(bytes, ..)| bytes).sum();
            if total <= self.0.settings.disk.0 {
                return;
            }
            // The tenant that keeps most loses first, of its largest database. Files that are still written to stay.
            let mut kept: HashMap<String, u64> = HashMap::new();
            for (bytes, (tenant, _), _) in &sizes {
                *kept.entry(tenant.clone()).or_default() += bytes;
            }
            let largest = sizes
                .into_iter()
                .filter(|(_, _, shelf)| shelf.read_lock().has_closed())
                .max_by_key(|(bytes, (tenant, _), _)| (kept.get(tenant).copied(), *bytes));
            let Some((_, (_, name), shelf)) = largest else { return };
            if let Err(error) = shelf.write_lock().delete_oldest() {
                tracing::warn!(%error, database = name, "the oldest points were not deleted");
                return;
            }
        }
    }

    fn oldest_ns(&self, now_ns: i64) -> i64 {
        now_ns.saturating_sub(i64::try_from(self.0.settings.retention.0.as_nanos()).unwrap_or(i64::MAX))
    }

    fn segment_age(&self) -> Duration {
        self.0.settings.retention.0 / SEGMENT_AGES
    }

    fn folder(&self, tenant: &str, name: &str) -> PathBuf {
        self.0.settings.folder.join(encoded(tenant)).join(encoded(name))
    }

    fn shelves(&self) -> Vec<(Key, Arc<Shelf>)> {
        let shelves = self.0.shelves.read().unwrap_or_else(PoisonError::into_inner);
        shelves.iter().map(|(key, shelf)| (key.clone(), Arc::clone(shelf))).collect()
    }

    fn shelf(&self, tenant: &str, name: &str) -> Result<Arc<Shelf>, StoreError> {
        let shelves = self.0.shelves.read().unwrap_or_else(PoisonError::into_inner);
        let found = shelves.get(&(tenant.to_owned(), name.to_owned())).map(Arc::clone);
        found.ok_or_else(|| StoreError::NoDatabase(name.to_owned()))
    }

    fn made(&self, tenant: &str, name: &str) -> Result<Arc<Shelf>, StoreError> {
        let is_name = !name.is_empty() && name.len() <= NAME_MAX_BYTES && !name.contains(['/', '\0']);
        if !is_name {
            return Err(StoreError::Name(name.chars().take(NAME_MAX_BYTES).collect()));
        }
        let mut shelves = self.0.shelves.write().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.to_owned(), name.to_owned());
        if let Some(shelf) = shelves.get(&key) {
            return Ok(Arc::clone(shelf));
        }
        if shelves.len() >= self.0.settings.databases {
            return Err(StoreError::TooMany(shelves.len()));
        }
        let database = Database::open(self.folder(tenant, name)).map_err(|source| io_error(name, source))?;
        let shelf = Arc::new(Shelf::new(database));
        shelves.insert(key, Arc::clone(&shelf));
        Ok(shelf)
    }
}

fn io_error(name: &str, source: io::Error) -> StoreError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(source),
        _ => StoreError::Io { name: name.to_owned(), source },
    }
}

/// A name as a folder.
fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

/// Names of the folders in `folder`.
fn names_in(folder: &std::path::Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_str().map(|name| percent_decode_str(name).decode_utf8_lossy().into_owned());
        if entry.file_type()?.is_dir() {
            names.extend(name);
        }
    }
    Ok(names)
}

// === impl Shelf ===

impl Shelf {
    fn new(database: Database) -> Self {
        Self { database: RwLock::new(database), synced: Mutex::new((0, 0)) }
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Database> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, Database> {
        self.database.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when all up to `mark` is on disk. Who waited while another synced finds it done, mostly.
    fn sync(&self, mark: &Mark) -> io::Result<()> {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if *synced >= (mark.sequence, mark.length) {
            return Ok(());
        }
        // Also what others have appended since.
        let latest = self.read_lock().mark().filter(|latest| latest.sequence == mark.sequence);
        let upto = latest.unwrap_or_else(|| mark.clone());
        upto.file.sync_data()?;
        *synced = (upto.sequence, upto.length);
        Ok(())
    }
}

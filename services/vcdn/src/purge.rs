//! Purges: what must not be served any more, noted before it is acknowledged.
//!
//! The log serves three ends. A fill that began before a purge must not be kept after it. A surrogate that was cut off
//! between note and deed does the deed at its next start, before it serves. And one that was away asks its peers for what
//! it has missed. The log is bounded for each name: what is older than its oldest entry cannot be vouched for, so a
//! surrogate that was away for longer than its peers remember drops what it kept under that name. And it is bounded for each
//! tenant: one that purges much makes nobody forget what others purged.
//!
//! A purge bears the time of the surrogate that took it, and clocks differ. So what runs here is held against the moment at
//! which a purge arrived *here*; the other one orders the log, and says at a start what of the disk came before it.

mod cover;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flame_api::vcdn::PurgeEntry;
use uuid::Uuid;

pub(crate) use cover::{Cover, told};

use crate::object::UnixMs;

/// Purges of one name that are remembered.
const REMEMBERED: usize = 4_000;
/// Names of one tenant of which any are remembered, beside what is purged of all of them; beyond it goes the one that was purged longest ago.
const NAMES_REMEMBERED: usize = 50;
/// Purges of all names of one tenant that are remembered while it has several: at most 80 MB, and half of that on disk.
const TENANT_REMEMBERED: usize = 20_000;
/// Longest path, prefix or tag, octets: all that is remembered of a name has to be told within a peer's patience.
const TEXT_MAX_BYTES: usize = 2 << 10;
/// How many are forgotten when there are more.
const FORGOTTEN_AT_ONCE: usize = REMEMBERED / 10;
/// Clocks of surrogates differ by less than this.
const CLOCKS_MS: u64 = 60_000;
const LOG: &str = "purges.ndjson";

/// The purges of this surrogate.
#[derive(Debug)]
pub(crate) struct Purges {
    /// Held while one is written; before `state`, where both are.
    log: Mutex<Log>,
    /// Never held while something is written: whoever answers viewers looks here.
    state: Mutex<State>,
    /// When the last one arrived here (Unix milliseconds): mostly that says all, and nobody waits for a lock.
    arrived: AtomicU64,
    path: Option<PathBuf>,
    /// This log in this process.
    id: Uuid,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first.
    entries: VecDeque<Noted>,
    /// Counts those that were noted.
    revision: u64,
}

/// The file.
#[derive(Debug, Default)]
struct Log {
    file: Option<File>,
    /// Whether the end of the file may be a piece of a line, which the next one must not be written behind.
    is_torn: bool,
}

#[derive(Debug, Clone)]
struct Noted {
    entry: PurgeEntry,
    cover: Cover,
    by: By,
    /// When it arrived here; nothing for what was in the log at the start, which was done before anything ran.
    arrived: Option<UnixMs>,
}

/// Who says a purge, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Whoever may write in a tenant: what has that number already is not to be hidden by it.
    Tenant,
    /// A service: also a number that a tenant has said is its own.
    Service,
    /// Another surrogate that is believed: it is done as it says.
    Surrogate,
}

/// A purge that says nothing that can be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PurgeError {
    #[error("say exactly one of `url`, `prefix` and `tag`")]
    Scope,
    #[error("a path, prefix or tag has at most {TEXT_MAX_BYTES} bytes")]
    TooLong,
    #[error("`{0}` is no path: it begins with `/`, as it stands behind the name")]
    Path(String),
    #[error("`{0}` is no name")]
    Name(String, #[source] flame_naming::NameError),
    #[error("another purge has the id {0}")]
    Taken(Uuid),
    #[error("the purge cannot be noted")]
    Note(#[source] io::Error),
}

// === impl Purges ===

impl Purges {
    /// Reads the log in `folder`; without a folder there is nothing to outlive.
    pub(crate) fn open(folder: Option<&Path>) -> io::Result<Self> {
        let Some(folder) = folder else { return Ok(Self::new(State::default(), None)) };
        let path = folder.join(LOG);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        // A line that a power cut tore was not acknowledged.
        let entries = text.lines().filter_map(|line| serde_json::from_str::<PurgeEntry>(line).ok());
        let mut entries: VecDeque<Noted> = entries.filter_map(|entry| Noted::new(entry, By::Surrogate).ok()).collect();
        // What others told late stands late in the file.
        entries.make_contiguous().sort_by_key(|noted| noted.entry.at_unix_ms);
        let names: HashSet<String> = entries.iter().map(|noted| noted.cover.under().to_owned()).collect();
        let mut state = State { entries, ..State::default() };
        for name in &names {
            state.forget(name, REMEMBERED);
        }
        for tenant in names.iter().map(|name| cover::owner(name)) {
            while state.make_room(tenant, "", NAMES_REMEMBERED + 1) {}
        }
        let purges = Self::new(state, Some(path));
        purges.compact(&mut purges.lock_log())?;
        Ok(purges)
    }

    fn new(state: State, path: Option<PathBuf>) -> Self {
        let (log, state, arrived) = (Mutex::default(), Mutex::new(state), AtomicU64::new(0));
        Self { log, state, arrived, path, id: Uuid::new_v4() }
    }

    /// Notes a purge; nothing if it was known. Blocks until it is on disk.
    pub(crate) fn note(&self, entry: PurgeEntry, by: By) -> Result<Option<Cover>, PurgeError> {
        let mut log = self.lock_log();
        let mut noted = Noted::new(entry, by)?;
        let is_shorter = {
            let mut state = self.lock();
            let id = noted.entry.id;
            let of_id = || state.entries.iter().filter(move |known| known.entry.id == id);
            if of_id().any(|known| known.cover == noted.cover) {
                return Ok(None);
            }
            // Who says an id that is in use must not be told that something else was done.
            let is_taken = match by {
                By::Tenant => of_id().next().is_some(),
                By::Service => of_id().any(|known| known.by == By::Service),
                By::Surrogate => false,
            };
            if is_taken {
                return Err(PurgeError::Taken(id));
            }
            let under = noted.cover.under();
            let tenant = cover::owner(under);
            let is_shorter = match state.count(under) {
                // All names stand beside the others.
                0 if !noted.cover.is_of_all_names() => state.make_room(tenant, under, NAMES_REMEMBERED),
                // Some at once, so that the file is not written anew for each.
                REMEMBERED.. => state.forget(under, REMEMBERED - FORGOTTEN_AT_ONCE),
                _ => false,
            };
            let is_crowded =
                state.entries.iter().filter(|known| known.cover.is_of(tenant)).count() >= TENANT_REMEMBERED;
            let is_less = is_crowded && state.make_room(tenant, under, 1);
            is_shorter || is_less
        };
        if is_shorter || log.is_torn {
            self.compact(&mut log).map_err(PurgeError::Note)?;
        }
        if let Some(file) = &mut log.file {
            let append = |file: &mut File| {
                let mut line = serde_json::to_vec(&noted.entry)?;
                line.push(b'\n');
                file.write_all(&line)?;
                file.sync_data()
            };
            let appended = append(file);
            log.is_torn = appended.is_err();
            appended.map_err(PurgeError::Note)?;
        }
        let cover = noted.cover.clone();
        let mut state = self.lock();
        // Now that it is written: what began meanwhile began before it.
        let arrived = UnixMs::now();
        noted.arrived = Some(arrived);
        let at = state.entries.partition_point(|known| known.entry.at_unix_ms <= noted.entry.at_unix_ms);
        state.entries.insert(at, noted);
        state.revision += 1;
        self.arrived.store(arrived.0, Ordering::Release);
        Ok(Some(cover))
    }

    /// Purges since `after`, oldest first.
    pub(crate) fn since(&self, after: UnixMs) -> Vec<PurgeEntry> {
        let state = self.lock();
        let entries = state.entries.iter().map(|noted| &noted.entry);
        entries.filter(|entry| entry.at_unix_ms >= after.0).cloned().collect()
    }

    /// Whether something under `key`, begun here at `since`, was purged after that.
    pub(crate) fn arrived_since(&self, since: UnixMs, key: &str, tags: &[Box<str>]) -> bool {
        self.arrived_between(since, UnixMs(u64::MAX), key, tags)
    }

    /// Whether any purge arrived here after `since`: mostly none did, and nobody need know more.
    pub(crate) fn has_arrived_since(&self, since: UnixMs) -> bool {
        self.arrived.load(Ordering::Acquire) >= since.0
    }

    /// Whether something under `key`, begun here at `since`, was purged after that and not after `until`.
    pub(crate) fn arrived_between(&self, since: UnixMs, until: UnixMs, key: &str, tags: &[Box<str>]) -> bool {
        if !self.has_arrived_since(since) {
            return false;
        }
        let state = self.lock();
        let is_then = |noted: &&Noted| noted.arrived.is_some_and(|arrived| arrived >= since && arrived <= until);
        state.entries.iter().filter(is_then).any(|noted| noted.cover.covers(key, tags))
    }

    /// Whether something under `key`, received at `since` when another process ran here, was purged after that.
    pub(crate) fn covers_since(&self, since: UnixMs, key: &str, tags: &[Box<str>]) -> bool {
        let state = self.lock();
        let later = state.entries.iter().rev().take_while(|noted| noted.entry.at_unix_ms >= since.0);
        later.into_iter().any(|noted| noted.cover.covers(key, tags))
    }

    /// What the purges of that number cover that are in the log: mostly one; a tenant may have said the number of another one.
    pub(crate) fn covers_of(&self, id: Uuid) -> Vec<Cover> {
        let state = self.lock();
        state.entries.iter().filter(|known| known.entry.id == id).map(|known| known.cover.clone()).collect()
    }

    /// Those of `entries` that are not in the log. What has the number of one that is, and covers something else, is not.
    pub(crate) fn missing(&self, entries: Vec<PurgeEntry>) -> Vec<PurgeEntry> {
        let entries: Vec<_> = entries.into_iter().map(|entry| (Cover::of(&entry.purge).ok(), entry)).collect();
        let state = self.lock();
        let known: HashSet<(Uuid, &Cover)> = state.entries.iter().map(|known| (known.entry.id, &known.cover)).collect();
        let missing = entries.into_iter().filter(|(cover, entry)| {
            // What says nothing that can be done is for the one that does it to refuse.
            cover.as_ref().is_none_or(|cover| !known.contains(&(entry.id, cover)))
        });
        missing.map(|(_, entry)| entry).collect()
    }

    /// What the log is now, as an entity tag: the same while nothing is noted.
    pub(crate) fn etag(&self) -> String {
        format!("\"{}-{}\"", self.id.simple(), self.lock().revision)
    }

    /// The moment of the last one.
    pub(crate) fn last(&self) -> UnixMs {
        UnixMs(self.lock().entries.back().map_or(0, |noted| noted.entry.at_unix_ms))
    }

    /// Writes the log anew, as it is in memory.
    fn compact(&self, log: &mut Log) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut text = Vec::new();
        for noted in &self.lock().entries {
            serde_json::to_writer(&mut text, &noted.entry)?;
            text.push(b'\n');
        }
        let draft = path.with_extension("draft");
        let mut file = File::create(&draft)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        log.file = Some(OpenOptions::new().append(true).open(path)?);
        log.is_torn = false;
        Ok(())
    }

    fn lock_log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// How many of a name are remembered.
    fn count(&self, under: &str) -> usize {
        self.entries.iter().filter(|noted| noted.cover.under() == under).count()
    }

    /// Forgets that name of a tenant, other than `under` and all of them, that was purged longest ago, where there are `names_max` already;
    /// whether one had to go.
    fn make_room(&mut self, tenant: &str, under: &str, names_max: usize) -> bool {
        let may_go = |cover: &Cover| cover.under() != under && cover.is_of(tenant) && !cover.is_of_all_names();
        let others = self.entries.iter().enumerate().filter(|(_, noted)| may_go(&noted.cover));
        // Oldest first: what stands here in the end is each one's last.
        let last: HashMap<&str, usize> = others.map(|(at, noted)| (noted.cover.under(), at)).collect();
        if last.len() < names_max {
            return false;
        }
        let oldest = last.into_iter().min_by_key(|(_, at)| *at).map(|(under, _)| under.to_owned());
        oldest.is_some_and(|oldest| self.forget(&oldest, 0))
    }

    /// Leaves the latest `left` of a name; whether any had to go.
    fn forget(&mut self, under: &str, left: usize) -> bool {
        let mut surplus = self.count(under).saturating_sub(left);
        let has_surplus = surplus > 0;
        self.entries.retain(|noted| {
            let goes = surplus > 0 && noted.cover.under() == under;
            surplus -= usize::from(goes);
            !goes
        });
        has_surplus
    }
}

// === impl Noted ===

impl Noted {
    fn new(entry: PurgeEntry, by: By) -> Result<Self, PurgeError> {
        let cover = Cover::of(&entry.purge)?;
        Ok(Self { entry, cover, by, arrived: None })
    }
}

/// Names of which purges may be missing between `last`, which is known here, and what another surrogate `remembers`, oldest
/// first: one that has forgotten some of a name remembers many of it, and none as old as that. All that is under them.
pub(crate) fn gaps(last: UnixMs, remembers: &[PurgeEntry]) -> Vec<Cover> {
    // Counted as they are forgotten: `cdn` and `cdn.main` are one name.
    let mut names: HashMap<String, (&str, u64, usize)> = HashMap::new();
    // Of each tenant: when each of its names was purged last, and how many purges there are.
    let mut tenants: HashMap<String, (HashMap<String, u64>, usize)> = HashMap::new();
    for entry in remembers {
        let Ok(cover) = Cover::of(&entry.purge) else { continue };
        names.entry(cover.under().to_owned()).or_insert((entry.purge.name.as_str(), entry.at_unix_ms, 0)).2 += 1;
        if !cover.is_of_all_names() {
            let (last_ms, count) = tenants.entry(cover::owner(cover.under()).to_owned()).or_default();
            last_ms.insert(cover.under().to_owned(), entry.at_unix_ms);
            *count += 1;
        }
    }
    let has_gap = |(_, oldest_ms, count): &(&str, u64, usize)| {
        *count >= REMEMBERED - FORGOTTEN_AT_ONCE && oldest_ms.saturating_add(CLOCKS_MS) > last.0
    };
    let gaps = names.into_values().filter(has_gap);
    let mut gaps: Vec<Cover> = gaps.filter_map(|(name, ..)| Cover::all_of(name).ok()).collect();
    // Where there are many names, one may have been forgotten wholly: it was purged last no later than each that is left.
    let has_lost = |(last_ms, count): &(HashMap<String, u64>, usize)| {
        let is_full = last_ms.len() >= NAMES_REMEMBERED || *count >= TENANT_REMEMBERED / 2;
        is_full && last_ms.values().min().is_some_and(|oldest_ms| oldest_ms.saturating_add(CLOCKS_MS) > last.0)
    };
    let lost = tenants.into_iter().filter(|(_, held)| has_lost(held));
    gaps.extend(lost.filter_map(|(tenant, _)| Cover::all_of(&format!("*.{tenant}")).ok()));
    gaps
}

#[cfg(test)]
mod tests;

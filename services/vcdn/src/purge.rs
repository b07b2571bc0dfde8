//! Purges: what must not be served any more, noted before it is acknowledged.
//!
//! The log serves three ends. A fill that began before a purge must not be kept after it. A surrogate that was cut off
//! between note and deed does the deed at its next start, before it serves. And one that was away asks its peers for what
//! it has missed. The log is bounded for each name: what is older than its oldest entry cannot be vouched for, so a
//! surrogate that was away for longer than its peers remember drops what it kept under that name.
//!
//! A purge bears the time of the surrogate that took it, and clocks differ. So what runs here is held against the moment at
//! which a purge arrived *here*; the other one orders the log, and says at a start what of the disk came before it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flame_api::vcdn::{Purge, PurgeEntry};
use flame_naming::Name;
use flame_naming::identity::Token;
use flame_naming::identity::url;
use uuid::Uuid;

use crate::front::key_prefix;
use crate::object::UnixMs;

/// Purges of one name that are remembered.
const REMEMBERED: usize = 4_000;
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
    /// When it arrived here; nothing for what was in the log at the start, which was done before anything ran.
    arrived: Option<UnixMs>,
}

/// What a purge covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cover {
    key_prefix: String,
    scope: Scope,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    /// One resource, in all its variants.
    Url(String),
    /// All whose path and query begin so.
    Prefix(String),
    /// All of one group (RFC 9875).
    Tag(String),
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
        let mut entries: VecDeque<Noted> = entries.filter_map(|entry| Noted::new(entry, None).ok()).collect();
        // What others told late stands late in the file.
        entries.make_contiguous().sort_by_key(|noted| noted.entry.at_unix_ms);
        let names: HashSet<String> = entries.iter().map(|noted| noted.cover.key_prefix.clone()).collect();
        let mut state = State { entries, ..State::default() };
        for name in names {
            state.forget(&name, REMEMBERED);
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
    pub(crate) fn note(&self, entry: PurgeEntry) -> Result<Option<Cover>, PurgeError> {
        let mut log = self.lock_log();
        let mut noted = Noted::new(entry, None)?;
        let is_shorter = {
            let mut state = self.lock();
            if let Some(known) = state.entries.iter().find(|known| known.entry.id == noted.entry.id) {
                // Who says an id that is in use must not be told that something else was done.
                let is_same = known.cover == noted.cover;
                return if is_same { Ok(None) } else { Err(PurgeError::Taken(noted.entry.id)) };
            }
            // Some at once, so that the file is not written anew for each.
            state.count(&noted.cover.key_prefix) >= REMEMBERED
                && state.forget(&noted.cover.key_prefix, REMEMBERED - FORGOTTEN_AT_ONCE)
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

    /// The purges in the log.
    pub(crate) fn known(&self) -> HashSet<Uuid> {
        self.lock().entries.iter().map(|known| known.entry.id).collect()
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
    fn count(&self, key_prefix: &str) -> usize {
        self.entries.iter().filter(|noted| noted.cover.key_prefix == key_prefix).count()
    }

    /// Leaves the latest `left` of a name; whether any had to go.
    fn forget(&mut self, key_prefix: &str, left: usize) -> bool {
        let mut surplus = self.count(key_prefix).saturating_sub(left);
        let has_surplus = surplus > 0;
        self.entries.retain(|noted| {
            let goes = surplus > 0 && noted.cover.key_prefix == key_prefix;
            surplus -= usize::from(goes);
            !goes
        });
        has_surplus
    }
}

// === impl Noted ===

impl Noted {
    fn new(entry: PurgeEntry, arrived: Option<UnixMs>) -> Result<Self, PurgeError> {
        let cover = Cover::of(&entry.purge)?;
        Ok(Self { entry, cover, arrived })
    }
}

/// Names of which purges may be missing between `last`, which is known here, and what another surrogate `remembers`, oldest
/// first: one that has forgotten some of a name remembers many of it, and none as old as that. All that is under them.
pub(crate) fn gaps(last: UnixMs, remembers: &[PurgeEntry]) -> Vec<Cover> {
    let mut names: HashMap<&str, (u64, usize)> = HashMap::new();
    for entry in remembers {
        names.entry(&entry.purge.name).or_insert((entry.at_unix_ms, 0)).1 += 1;
    }
    let has_gap = |(oldest_ms, count): (u64, usize)| {
        count >= REMEMBERED - FORGOTTEN_AT_ONCE && oldest_ms.saturating_add(CLOCKS_MS) > last.0
    };
    let gaps = names.into_iter().filter(|(_, remembered)| has_gap(*remembered));
    gaps.filter_map(|(name, _)| Cover::all_of(name).ok()).collect()
}

// === impl Cover ===

impl Cover {
    /// What `purge` covers.
    pub(crate) fn of(purge: &Purge) -> Result<Self, PurgeError> {
        let name: Name = purge.name.parse().map_err(|source| PurgeError::Name(purge.name.clone(), source))?;
        let texts = [&purge.url, &purge.prefix, &purge.tag];
        if texts.into_iter().flatten().any(|text| text.len() > TEXT_MAX_BYTES) {
            return Err(PurgeError::TooLong);
        }
        let path =
            |text: &String| url::canonical(text, Token::Unverified).ok_or_else(|| PurgeError::Path(text.clone()));
        let scope = match (&purge.url, &purge.prefix, &purge.tag) {
            (Some(url), None, None) => Scope::Url(path(url)?),
            (None, Some(prefix), None) => Scope::Prefix(path(prefix)?),
            (None, None, Some(tag)) if !tag.is_empty() => Scope::Tag(tag.clone()),
            _ => return Err(PurgeError::Scope),
        };
        Ok(Self { key_prefix: key_prefix(&name), scope })
    }

    /// All that is kept under a name.
    fn all_of(name: &str) -> Result<Self, PurgeError> {
        Self::of(&Purge { name: name.to_owned(), prefix: Some("/".to_owned()), ..Purge::default() })
    }

    /// Whether it covers what is kept under `key` with `tags`.
    pub(crate) fn covers(&self, key: &str, tags: &[Box<str>]) -> bool {
        let Some(resource) = key.strip_prefix(&self.key_prefix) else { return false };
        // Behind it stands what a variant depends on.
        let target = resource.split('\0').next().unwrap_or_default();
        match &self.scope {
            Scope::Url(url) => target == url,
            Scope::Prefix(prefix) => target.starts_with(prefix),
            Scope::Tag(tag) => tags.iter().any(|known| **known == **tag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purge(url: Option<&str>, prefix: Option<&str>, tag: Option<&str>) -> Purge {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Purge { name: "cdn".to_owned(), url: own(url), prefix: own(prefix), tag: own(tag), id: None }
    }

    fn entry(at_unix_ms: u64, prefix: &str) -> PurgeEntry {
        PurgeEntry { id: Uuid::new_v4(), at_unix_ms, purge: purge(None, Some(prefix), None) }
    }

    #[test]
    fn a_purge_covers_what_it_says_in_its_name_only() {
        let cover = |purge: &Purge| Cover::of(purge).unwrap();
        let tags = ["red".into()];
        let url = cover(&purge(Some("/a/1?x=1&CMCD=b"), None, None));
        assert!(url.covers("cdn.main\0/a/1?x=1", &[]) && url.covers("cdn.main\0/a/1?x=1\0x677a6970,", &[]));
        assert!(!url.covers("cdn.main\0/a/1", &[]) && !url.covers("cdn.other\0/a/1?x=1", &[]));
        let prefix = cover(&purge(None, Some("/a/"), None));
        assert!(prefix.covers("cdn.main\0/a/1", &[]) && !prefix.covers("cdn.main\0/ab", &[]));
        let tag = cover(&purge(None, None, Some("red")));
        assert!(tag.covers("cdn.main\0/z", &tags) && !tag.covers("cdn.main\0/z", &[]));
        assert!(!tag.covers("cdn.main.acme\0/z", &tags), "another tenant's");
        assert!(Cover::of(&purge(Some("/a"), Some("/a"), None)).is_err());
        assert!(Cover::of(&purge(Some("a"), None, None)).is_err());
        assert!(Cover::of(&purge(None, None, Some(&"x".repeat(TEXT_MAX_BYTES + 1)))).is_err());
    }

    #[test]
    fn the_log_outlives_the_process_and_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let purges = Purges::open(Some(folder.path())).unwrap();
        let first = entry(5, "/a");
        assert!(purges.note(first.clone()).unwrap().is_some());
        // Also a repeat, which is asked for later.
        assert!(purges.note(PurgeEntry { at_unix_ms: 7, ..first.clone() }).unwrap().is_none(), "it is known");
        assert_eq!(purges.since(UnixMs(0)), std::slice::from_ref(&first), "and stands there once, as it was");
        let other = PurgeEntry { id: first.id, ..entry(5, "/z") };
        assert!(matches!(purges.note(other), Err(PurgeError::Taken(id)) if id == first.id), "it would not be done");
        for at in 0..u64::try_from(REMEMBERED).unwrap() {
            purges.lock().entries.push_back(Noted::new(entry(100 + at, "/b"), None).unwrap());
        }
        purges.note(entry(1_000_000, "/c")).unwrap();
        let again = Purges::open(Some(folder.path())).unwrap();
        let entries = again.since(UnixMs(0));
        assert!(entries.len() <= REMEMBERED);
        assert_eq!(entries.last().unwrap().purge.prefix.as_deref(), Some("/c"));
        assert!(again.covers_since(UnixMs(999_999), "cdn.main\0/c/1", &[]));
        assert!(!again.covers_since(UnixMs(1_000_001), "cdn.main\0/c/1", &[]));
    }

    #[test]
    fn a_purge_from_a_clock_that_is_behind_holds_against_what_runs_here() {
        let purges = Purges::open(None).unwrap();
        let began = UnixMs::now();
        assert!(!purges.arrived_since(began, "cdn.main\0/a/1", &[]));
        purges.note(entry(began.0 - 3_600_000, "/a")).unwrap();
        assert!(purges.arrived_since(began, "cdn.main\0/a/1", &[]), "it arrived after that");
        assert!(!purges.arrived_since(began, "cdn.main\0/b/1", &[]));
        assert!(!purges.arrived_since(began.plus_ms(60_000), "cdn.main\0/a/1", &[]), "it arrived before that");
        let (before, after) = (UnixMs(began.0 - 1), began.plus_ms(60_000));
        assert!(!purges.arrived_between(before, before, "cdn.main\0/a/1", &[]), "it arrived after that");
        assert!(purges.arrived_between(began, after, "cdn.main\0/a/1", &[]), "it arrived in between");
    }

    #[test]
    fn who_was_away_for_longer_than_another_remembers_is_told() {
        let remembers = |count: u64| (0..count).map(|at| entry(10_000_000 + at, "/a")).collect::<Vec<_>>();
        let full = remembers((REMEMBERED - FORGOTTEN_AT_ONCE) as u64);
        let all = [Cover::all_of("cdn").unwrap()];
        assert_eq!((gaps(UnixMs(9_000_000), &full), gaps(UnixMs(0), &full)), (all.to_vec(), all.to_vec()));
        assert_eq!(gaps(UnixMs(10_000_500), &full), all, "as far as clocks tell");
        assert_eq!(gaps(UnixMs(10_000_000 + CLOCKS_MS), &full), []);
        assert_eq!(gaps(UnixMs(0), &remembers(100)), [], "nothing was forgotten there");
        assert_eq!(gaps(UnixMs(0), &[]), []);
    }

    #[test]
    fn many_purges_of_one_name_cost_others_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let purges = Purges::open(Some(folder.path())).unwrap();
        let other =
            PurgeEntry { purge: Purge { name: "other".to_owned(), ..purge(None, Some("/o"), None) }, ..entry(1, "/") };
        purges.note(other.clone()).unwrap();
        for at in 0..u64::try_from(REMEMBERED).unwrap() {
            purges.lock().entries.push_back(Noted::new(entry(100 + at, "/b"), None).unwrap());
        }
        purges.note(entry(1_000_000, "/c")).unwrap();
        let entries = Purges::open(Some(folder.path())).unwrap().since(UnixMs(0));
        assert_eq!((entries.len(), entries[0].id), (REMEMBERED - FORGOTTEN_AT_ONCE + 2, other.id));
        assert_eq!(
            gaps(UnixMs(0), &entries),
            [Cover::all_of("cdn").unwrap()],
            "what is kept under the other is not dropped"
        );
    }

    #[test]
    fn what_comes_after_a_line_that_did_not_fit_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let purges = Purges::open(Some(folder.path())).unwrap();
        purges.note(entry(5, "/a")).unwrap();
        // As a full disk does: half a line, and an error.
        {
            let mut log = purges.lock_log();
            log.file.as_mut().unwrap().write_all(b"{\"id\":\"0").unwrap();
            log.is_torn = true;
        }
        purges.note(entry(6, "/b")).unwrap();
        let prefixes = Purges::open(Some(folder.path())).unwrap().since(UnixMs(0));
        assert_eq!(prefixes.iter().filter_map(|entry| entry.purge.prefix.as_deref()).collect::<Vec<_>>(), ["/a", "/b"]);
    }

    #[test]
    fn who_answers_viewers_does_not_wait_while_a_purge_is_written() {
        let purges = std::sync::Arc::new(Purges::open(None).unwrap());
        let began = UnixMs::now();
        purges.note(entry(5, "/a")).unwrap();
        // A disk that takes its time with the next one.
        let writing = purges.lock_log();
        let (asked, (told, answer)) = (std::sync::Arc::clone(&purges), std::sync::mpsc::sync_channel(1));
        let asking = std::thread::spawn(move || {
            told.send((asked.has_arrived_since(began), asked.arrived_since(began, "cdn.main\0/a/1", &[])))
        });
        let answer = answer.recv_timeout(std::time::Duration::from_secs(10));
        drop(writing);
        asking.join().unwrap().unwrap();
        assert_eq!(answer, Ok((true, true)));
    }

    #[test]
    fn a_torn_line_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        Purges::open(Some(folder.path())).unwrap().note(entry(5, "/a")).unwrap();
        let path = folder.path().join(LOG);
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"id\":\"0");
        fs::write(&path, text).unwrap();
        assert_eq!(Purges::open(Some(folder.path())).unwrap().since(UnixMs(0)).len(), 1);
    }
}

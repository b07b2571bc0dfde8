//! What purges cover, how long they are remembered, and what of them outlives the process.

use flame_api::vcdn::Purge;

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
    assert!(purges.note(first.clone(), By::Service).unwrap().is_some());
    // Also a repeat, which is asked for later.
    assert!(purges.note(PurgeEntry { at_unix_ms: 7, ..first.clone() }, By::Service).unwrap().is_none(), "it is known");
    assert_eq!(purges.since(UnixMs(0)), std::slice::from_ref(&first), "and stands there once, as it was");
    let other = PurgeEntry { id: first.id, ..entry(5, "/z") };
    assert!(
        matches!(purges.note(other, By::Service), Err(PurgeError::Taken(id)) if id == first.id),
        "it would not be done"
    );
    for at in 0..u64::try_from(REMEMBERED).unwrap() {
        purges.lock().entries.push_back(Noted::new(entry(100 + at, "/b"), By::Service).unwrap());
    }
    purges.note(entry(1_000_000, "/c"), By::Service).unwrap();
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
    purges.note(entry(began.0 - 3_600_000, "/a"), By::Service).unwrap();
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
    purges.note(other.clone(), By::Service).unwrap();
    for at in 0..u64::try_from(REMEMBERED).unwrap() {
        purges.lock().entries.push_back(Noted::new(entry(100 + at, "/b"), By::Service).unwrap());
    }
    purges.note(entry(1_000_000, "/c"), By::Service).unwrap();
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
    purges.note(entry(5, "/a"), By::Service).unwrap();
    // As a full disk does: half a line, and an error.
    {
        let mut log = purges.lock_log();
        log.file.as_mut().unwrap().write_all(b"{\"id\":\"0").unwrap();
        log.is_torn = true;
    }
    purges.note(entry(6, "/b"), By::Service).unwrap();
    let prefixes = Purges::open(Some(folder.path())).unwrap().since(UnixMs(0));
    assert_eq!(prefixes.iter().filter_map(|entry| entry.purge.prefix.as_deref()).collect::<Vec<_>>(), ["/a", "/b"]);
}

#[test]
fn who_answers_viewers_does_not_wait_while_a_purge_is_written() {
    let purges = std::sync::Arc::new(Purges::open(None).unwrap());
    let began = UnixMs::now();
    purges.note(entry(5, "/a"), By::Service).unwrap();
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
    Purges::open(Some(folder.path())).unwrap().note(entry(5, "/a"), By::Service).unwrap();
    let path = folder.path().join(LOG);
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(b"{\"id\":\"0");
    fs::write(&path, text).unwrap();
    assert_eq!(Purges::open(Some(folder.path())).unwrap().since(UnixMs(0)).len(), 1);
}

fn named(at_unix_ms: u64, name: &str) -> PurgeEntry {
    PurgeEntry { purge: Purge { name: name.to_owned(), ..purge(None, Some("/"), None) }, ..entry(at_unix_ms, "/") }
}

fn names(purges: &Purges) -> HashSet<String> {
    purges.since(UnixMs(0)).into_iter().map(|entry| entry.purge.name).collect()
}

#[test]
fn of_many_names_of_a_tenant_the_one_that_was_purged_longest_ago_is_forgotten() {
    let purges = Purges::open(None).unwrap();
    // What is older than all of them, and about all names.
    purges.note(named(1, "*.default"), By::Service).unwrap();
    for at in 0..u64::try_from(NAMES_REMEMBERED).unwrap() {
        purges.note(named(at + 2, &format!("n{at}")), By::Service).unwrap();
    }
    purges.note(named(1_000_000, "n0"), By::Service).unwrap();
    purges.note(named(1_000_001, "late"), By::Service).unwrap();
    let names = names(&purges);
    assert_eq!(names.len(), NAMES_REMEMBERED + 1);
    assert!(names.contains("n0") && names.contains("late") && !names.contains("n1"), "n1 was purged longest ago");
    assert!(names.contains("*.default"));
}

#[test]
fn what_one_tenant_purges_makes_nobody_forget_what_others_purged() {
    let folder = tempfile::tempdir().unwrap();
    let purges = Purges::open(Some(folder.path())).unwrap();
    let others = ["cdn", "*.default", "cdn.main.other", "*.acme"];
    for (at, name) in others.into_iter().enumerate() {
        purges.note(named(at as u64 + 1, name), By::Service).unwrap();
    }
    for at in 0..u64::try_from(2 * NAMES_REMEMBERED).unwrap() {
        purges.note(named(100 + at, &format!("n{at}.main.acme")), By::Tenant).unwrap();
    }
    // Many of one name, too.
    {
        let mut state = purges.lock();
        for at in 0..u64::try_from(TENANT_REMEMBERED).unwrap() {
            let entry = named(10_000 + at, &format!("n{}.main.acme", 2 * NAMES_REMEMBERED - 1));
            state.entries.push_back(Noted::new(entry, By::Tenant).unwrap());
        }
    }
    purges.note(named(1_000_000, "n0.main.acme"), By::Tenant).unwrap();
    for purges in [&purges, &Purges::open(Some(folder.path())).unwrap()] {
        let names = names(purges);
        assert!(others.iter().all(|name| names.contains(*name)), "{names:?}");
        assert!(names.len() <= others.len() + NAMES_REMEMBERED && names.contains("n0.main.acme"), "{}", names.len());
    }
}

#[test]
fn a_log_that_has_more_names_of_a_tenant_than_are_remembered_is_bounded_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let lines = (0..1_000).map(|at| serde_json::to_string(&named(at + 1, &format!("n{at}"))).unwrap() + "\n");
    fs::write(folder.path().join(LOG), lines.collect::<String>()).unwrap();
    let names = names(&Purges::open(Some(folder.path())).unwrap());
    assert!(names.len() == NAMES_REMEMBERED && names.contains("n999"), "{}", names.len());
}

#[test]
fn the_number_of_a_purge_that_a_tenant_says_of_something_else_does_not_hide_it() {
    let purges = Purges::open(None).unwrap();
    let truth = named(10, "cdn");
    let of_id = |name: &str, path: &str| PurgeEntry {
        id: truth.id,
        purge: Purge { name: name.to_owned(), ..purge(None, Some(path), None) },
        ..truth.clone()
    };
    let note = |entry: PurgeEntry, by: By| purges.note(entry, by).map(|cover| cover.is_some());
    // Those that a tenant has told of it first, under another name and under the same.
    assert!(note(of_id("*.acme", "/nothing"), By::Tenant).unwrap());
    let is_taken = |noted: Result<bool, PurgeError>| matches!(noted, Err(PurgeError::Taken(id)) if id == truth.id);
    assert!(is_taken(note(of_id("cdn.main.acme", "/"), By::Tenant)), "it has it for something else");
    // Who looks for what it lacks finds it lacking, and so do the repeats of who deleted it.
    assert_eq!(purges.missing(vec![truth.clone(), of_id("*.acme", "/nothing")]), std::slice::from_ref(&truth));
    assert!(note(truth.clone(), By::Service).unwrap());
    assert!(!note(truth.clone(), By::Service).unwrap(), "it is held once");
    assert!(is_taken(note(of_id("cdn", "/b"), By::Service)), "another service's number is not free");
    assert!(note(of_id("cdn", "/c"), By::Surrogate).unwrap(), "whoever is believed is done as it says");
    assert_eq!(purges.missing(vec![truth.clone()]), []);
    let covers = purges.covers_of(truth.id);
    assert_eq!(covers.len(), 3);
    assert!(covers.contains(&Cover::of(&truth.purge).unwrap()) && purges.covers_of(Uuid::new_v4()).is_empty());
}

#[test]
fn gaps_are_counted_as_purges_are_forgotten_however_a_name_is_written() {
    let half = ((REMEMBERED - FORGOTTEN_AT_ONCE) / 2) as u64;
    for texts in [["cdn", "cdn.main"], ["*", "*.default"]] {
        let remembers: Vec<_> = (0..2 * half).map(|at| named(10_000_000 + at, texts[usize::from(at < half)])).collect();
        assert_eq!(gaps(UnixMs(0), &remembers), [Cover::all_of(texts[0]).unwrap()], "{texts:?}");
        assert_eq!(gaps(UnixMs(0), &remembers[1..]), [], "{texts:?}");
    }
}

/// Of a name that was forgotten wholly nothing is left to count: it was purged last no later than those that are left.
#[test]
fn where_a_tenant_has_as_many_names_as_are_remembered_one_may_be_gone() {
    let names =
        |count: usize| (0..count as u64).map(|at| named(10_000_000 + at, &format!("n{at}"))).collect::<Vec<_>>();
    let all = [Cover::all_of("*.default").unwrap()];
    assert_eq!(gaps(UnixMs(0), &names(NAMES_REMEMBERED)), all);
    assert_eq!(gaps(UnixMs(10_000_000 + CLOCKS_MS), &names(NAMES_REMEMBERED)), [], "what is gone was known here");
    assert_eq!(gaps(UnixMs(0), &names(NAMES_REMEMBERED - 1)), [], "all have room");
}

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

#[test]
fn of_many_names_the_one_that_was_purged_longest_ago_is_forgotten() {
    let purges = Purges::open(None).unwrap();
    let named = |at_unix_ms: u64, name: &str| PurgeEntry {
        purge: Purge { name: name.to_owned(), ..purge(None, Some("/"), None) },
        ..entry(at_unix_ms, "/")
    };
    for at in 0..u64::try_from(NAMES_REMEMBERED).unwrap() {
        purges.note(named(at + 1, &format!("n{at}"))).unwrap();
    }
    purges.note(named(1_000_000, "n0")).unwrap();
    purges.note(named(1_000_001, "*.acme")).unwrap();
    let names: HashSet<String> = purges.since(UnixMs(0)).into_iter().map(|entry| entry.purge.name).collect();
    assert_eq!(names.len(), NAMES_REMEMBERED);
    assert!(names.contains("n0") && names.contains("*.acme") && !names.contains("n1"), "n1 was purged longest ago");
}

//! The corpora replay without libFuzzer: what was found once stays found.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;

use flame_fuzz::TARGETS;
use flame_test_kit::repository;

/// Longest file of a corpus: they are read by people.
const FILE_MAX_BYTES: usize = 8 << 10;

fn corpora() -> PathBuf {
    repository().join("fuzz/corpus")
}

fn names(folder: &std::path::Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_file_of_every_corpus_holds() {
    let mut findings = Vec::new();
    for target in TARGETS {
        let folder = corpora().join(target.name);
        for name in names(&folder) {
            let bytes = fs::read(folder.join(&name)).unwrap();
            assert!(bytes.len() <= FILE_MAX_BYTES, "{}/{name} has {} bytes", target.name, bytes.len());
            if catch_unwind(|| (target.run)(&bytes)).is_err() {
                findings.push(format!("{}/{name}: {}", target.name, target.holds));
            }
        }
    }
    assert!(findings.is_empty(), "what holds no more:\n  {}", findings.join("\n  "));
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "two targets of one name");
    assert_eq!(names(&corpora()), targets);
    assert!(TARGETS.is_sorted_by_key(|target| target.name));
    for target in TARGETS {
        assert!(names(&corpora().join(target.name)).len() >= 3, "{} has hardly a corpus", target.name);
    }
}

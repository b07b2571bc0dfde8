//! The repository's own rules (CONTRIBUTING.md), checked: a rule that nobody checks is a wish.

#[path = "tidy/arrows.rs"]
mod arrows;
#[path = "tidy/binaries.rs"]
mod binaries;
#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/links.rs"]
mod links;
#[path = "tidy/words.rs"]
mod words;
#[path = "tidy/workspace.rs"]
mod workspace;

use std::path::PathBuf;
use std::process::Command;

use flame_test_kit::repository;

/// Every file of the repository that is tracked, or would be by the next commit; relative to its root.
fn listed_files() -> Vec<PathBuf> {
    let ran = Command::new("git")
        .current_dir(repository())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .expect("git runs (tools/deps test)");
    assert!(ran.status.success(), "not a git checkout: {}", String::from_utf8_lossy(&ran.stderr));
    let names = String::from_utf8(ran.stdout).expect("file names are UTF-8");
    let files = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    // What was deleted and not yet committed is still listed.
    files.filter(|file| repository().join(file).is_file()).collect()
}

fn read(file: &std::path::Path) -> String {
    let bytes = std::fs::read(repository().join(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Fails with all findings at once.
fn none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

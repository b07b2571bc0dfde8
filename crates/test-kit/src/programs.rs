//! Finds what a test starts: the repository's own files, and the binaries of its workspace.

use std::path::{Path, PathBuf};

/// The repository's root.
///
/// # Panics
/// When the checkout that this was built from is gone.
#[must_use]
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", root.display()))
}

/// A binary of this workspace (`flame`, `flame-media`), where Cargo puts it beside the running test.
///
/// Cargo builds the binaries of the tested package only; the test of another package finds what was built last.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    // target/<profile>/deps/<test>-<hash>
    let profile = test.parent().and_then(Path::parent).expect("tests lie two folders deep");
    let found = profile.join(name);
    assert!(found.is_file(), "{} is not there: cargo build --workspace --bins", found.display());
    found
}

//! Finds what a test starts: the repository's own files, and the binaries of its workspace.

use std::path::{Path, PathBuf};

/// The root of the checkout that is tested: the folder with `Cargo.lock` above the package, or above the working
/// directory of a program that Cargo did not start.
///
/// Checkouts share build results, so the path of the one that built a program says nothing: it is asked at run time.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn repository() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let start = package.unwrap_or_else(|| std::env::current_dir().expect("there is a working directory"));
    let root = start.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    root.unwrap_or_else(|| panic!("{} lies in no checkout", start.display())).to_owned()
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

//! Sizes, names and shapes of files.

use std::path::Path;

use flame_test_kit::repository;

use super::workspace::Metadata;
use super::{listed_files, none, read};

/// A file longer than this holds more than one thing.
const LINES_MAX: usize = 500;
/// Names that say nothing of what is inside.
const BANNED_NAMES: [&str; 12] = [
    "common", "util", "utils", "utility", "helper", "helpers", "misc", "manager", "managers", "base", "shared", "stuff",
];
/// What every service and platform folder holds.
const SERVICE_SHAPE: [&str; 6] =
    ["README.md", "config.example.toml", "src/main.rs", "src/lib.rs", "src/config.rs", "src/http.rs"];

fn is_rust(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "rs")
}

#[test]
fn files_are_short() {
    let long = |file: &std::path::PathBuf| {
        let lines = read(file).lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines", file.display()))
    };
    let findings: Vec<String> = listed_files().iter().filter(|file| is_rust(file)).filter_map(long).collect();
    none("no .rs file is longer than 500 lines", &findings);
}

#[test]
fn every_file_says_why_it_exists() {
    let silent = |file: &&std::path::PathBuf| !read(file).starts_with("//!");
    let files = listed_files();
    let findings: Vec<String> =
        files.iter().filter(|file| is_rust(file)).filter(silent).map(|file| file.display().to_string()).collect();
    none("every .rs file begins with a //! paragraph", &findings);
}

#[test]
fn names_say_something() {
    let mut findings = Vec::new();
    for file in listed_files() {
        for part in file.components() {
            let name = Path::new(part.as_os_str()).file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
            if name.split(['-', '_']).any(|word| BANNED_NAMES.contains(&word)) {
                findings.push(format!("{}: \"{name}\" says nothing", file.display()));
            }
        }
    }
    none("banned names", &findings);
}

#[test]
fn every_service_has_the_same_shape() {
    let mut findings = Vec::new();
    for package in Metadata::ours().packages {
        let folder = package.folder();
        if folder.starts_with("services") || folder.starts_with("platform") {
            let missing = SERVICE_SHAPE.iter().filter(|file| !repository().join(&folder).join(file).is_file());
            findings.extend(missing.map(|file| format!("{} has no {file}", folder.display())));
        }
    }
    none("a service is always the same shape", &findings);
}

#[test]
fn every_package_has_one_integration_test_binary() {
    let mut findings = Vec::new();
    for package in Metadata::ours().packages {
        let tests: Vec<_> =
            package.targets.iter().filter(|target| target.kind.iter().any(|kind| kind == "test")).collect();
        if tests.len() > 1 || tests.iter().any(|test| !test.src_path.ends_with("tests/all.rs")) {
            let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
            findings.push(format!("{}: {}", package.name, names.join(", ")));
        }
    }
    none("one integration-test binary a package, tests/all.rs: links are slow", &findings);
}

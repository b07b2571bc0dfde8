//! What no file may say: where its writer lives, and whose mirror a package came from.

use super::{listed_files, none, read};

/// In pieces, so that this file does not hold them.
const REGISTRY_HOSTS: [(&str, &str); 10] = [
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("registry.npmjs", ".org"),
    ("registry.yarnpkg", ".com"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("deb.debian", ".org"),
    ("security.debian", ".org"),
    ("proxy.golang", ".org"),
    ("registry-1.docker", ".io"),
];
const HOME_PATHS: [(&str, &str); 4] = [("/ro", "ot/."), ("/ho", "me/"), ("/Us", "ers/"), ("/work/", "main")];

/// Whether `word` stands in `text` where a path or a host name begins; `a/ro…` is somebody's folder.
fn begins_with(text: &str, word: &str) -> bool {
    let starts = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/~}".contains(c));
    text.match_indices(word).any(|(at, _)| starts(at) || !word.starts_with('/'))
}

#[test]
fn no_registry_hosts_and_no_home_paths() {
    let words: Vec<String> =
        REGISTRY_HOSTS.iter().chain(&HOME_PATHS).map(|(start, end)| format!("{start}{end}")).collect();
    let mut findings = Vec::new();
    for file in listed_files() {
        let text = read(&file);
        let said = words.iter().filter(|word| begins_with(&text, word));
        findings.extend(said.map(|word| format!("{}: {word}", file.display())));
    }
    none("files name no registry host and no home path", &findings);
}

#[test]
fn lock_files_of_npm_name_no_registry() {
    let mut findings = Vec::new();
    for file in listed_files().iter().filter(|file| file.ends_with("package-lock.json")) {
        if read(file).contains("\"resolved\"") {
            findings.push(format!("{} (npm config set omit-lockfile-registry-resolved true)", file.display()));
        }
    }
    none("package-lock.json says where packages came from", &findings);
}

//! What is linked, against deny.toml: every licence is allowed, and no package is banned.

use serde::Deserialize;

use super::workspace::Metadata;
use super::{none, read};

#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    package: String,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    package: String,
    allow: Vec<String>,
}

/// Whether an SPDX expression (`OR`, `AND`, brackets; `/` is the old way to write `OR`) can be met.
fn is_met(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "+WITH+");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, end) = any_of(&words, 0, allowed);
    assert!(end == words.len(), "not an SPDX expression: {expression}");
    met
}

fn any_of(words: &[&str], start: usize, allowed: &dyn Fn(&str) -> bool) -> (bool, usize) {
    let (mut met, mut at) = all_of(words, start, allowed);
    while words.get(at) == Some(&"OR") {
        let (other, end) = all_of(words, at + 1, allowed);
        (met, at) = (met || other, end);
    }
    (met, at)
}

fn all_of(words: &[&str], start: usize, allowed: &dyn Fn(&str) -> bool) -> (bool, usize) {
    let (mut met, mut at) = one(words, start, allowed);
    while words.get(at) == Some(&"AND") {
        let (other, end) = one(words, at + 1, allowed);
        (met, at) = (met && other, end);
    }
    (met, at)
}

fn one(words: &[&str], start: usize, allowed: &dyn Fn(&str) -> bool) -> (bool, usize) {
    match words.get(start) {
        Some(&"(") => {
            let (met, end) = any_of(words, start + 1, allowed);
            assert_eq!(words.get(end), Some(&")"), "unbalanced brackets");
            (met, end + 1)
        }
        Some(licence) => (allowed(&licence.replace("+WITH+", " WITH ")), start + 1),
        None => (false, start),
    }
}

#[test]
fn expressions_are_read_right() {
    let mit_and_bsd = |licence: &str| ["MIT", "BSD-3-Clause"].contains(&licence);
    for (expression, met) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND BSD-3-Clause", true),
        ("(GPL-3.0 AND MIT) OR (ISC AND MIT)", false),
        ("Apache-2.0 WITH LLVM-exception", false),
    ] {
        assert_eq!(is_met(expression, &mit_and_bsd), met, "{expression}");
    }
}

#[test]
fn licences_are_allowed() {
    let deny: Deny = toml::from_str(&read("deny.toml".as_ref())).expect("deny.toml is TOML");
    let mut findings = Vec::new();
    for package in Metadata::all().packages.iter().filter(|package| package.source.is_some()) {
        let excepted = deny.licenses.exceptions.iter().filter(|exception| exception.package == package.name);
        let more: Vec<&String> = excepted.flat_map(|exception| &exception.allow).collect();
        let allowed = |licence: &str| deny.licenses.allow.iter().chain(more.iter().copied()).any(|ok| ok == licence);
        let licence = package.license.as_deref().unwrap_or("none given");
        if package.license.is_none() || !is_met(licence, &allowed) {
            findings.push(format!("{}: {licence}", package.name));
        }
    }
    none("licences that deny.toml does not allow", &findings);
}

#[test]
fn banned_packages_stay_away() {
    let deny: Deny = toml::from_str(&read("deny.toml".as_ref())).expect("deny.toml is TOML");
    let packages = Metadata::all().packages;
    let banned = |name: &str| deny.bans.deny.iter().any(|ban| ban.package == name);
    let findings: Vec<String> = packages.into_iter().map(|package| package.name).filter(|name| banned(name)).collect();
    none("packages that deny.toml bans", &findings);
}

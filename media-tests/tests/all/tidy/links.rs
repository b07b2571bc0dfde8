//! Links in Markdown lead somewhere: to a file, to a heading, and in docs/evidence.md to what they claim.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use flame_test_kit::repository;

use super::{listed_files, none, read};

struct Link {
    text: String,
    target: String,
}

/// Links outside fenced code, `[text](target)`.
fn links(markdown: &str) -> Vec<Link> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("](").filter(|_| !in_code) {
            let Some((target, behind)) = after.split_once(')') else { break };
            let text = before.rsplit_once('[').map_or("", |(_, text)| text);
            found.push(Link { text: text.to_owned(), target: target.to_owned() });
            rest = behind;
        }
    }
    found
}

/// Anchors of the headings, as code hosts make them.
fn anchors(markdown: &str) -> HashSet<String> {
    let headings = markdown.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let kept = line.trim_start_matches('#').trim().to_lowercase();
            kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
        })
        .collect()
}

fn markdown_files() -> Vec<PathBuf> {
    listed_files().into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "md")).collect()
}

fn target(from: &Path, link: &str) -> PathBuf {
    repository().join(from).parent().expect("a file lies in a folder").join(link)
}

#[test]
fn links_in_markdown_resolve() {
    let mut findings = Vec::new();
    for file in markdown_files() {
        let text = read(&file);
        for link in links(&text) {
            if link.target.contains("://") || link.target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
            let found = if path.is_empty() { repository().join(&file) } else { target(&file, path) };
            if !found.exists() {
                findings.push(format!("{}: {} is not there", file.display(), link.target));
            } else if !anchor.is_empty() && !anchors(&read(&found)).contains(anchor) {
                findings.push(format!("{}: {} has no such heading", file.display(), link.target));
            }
        }
    }
    none("links in Markdown", &findings);
}

#[test]
fn evidence_is_where_it_is_said_to_be() {
    let evidence = PathBuf::from("docs/evidence.md");
    let mut findings = Vec::new();
    let mut proofs = 0;
    for link in links(&read(&evidence)) {
        let Some(name) = link.text.strip_prefix('`').and_then(|text| text.strip_suffix('`')) else { continue };
        let found = target(&evidence, &link.target);
        if found.is_file() && !read(&found).contains(name) {
            findings.push(format!("{} does not hold {name}", link.target));
        }
        proofs += 1;
    }
    none("docs/evidence.md: a name in a link stands in the file it points to", &findings);
    assert!(proofs > 10, "docs/evidence.md has lost its links");
}

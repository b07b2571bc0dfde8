//! A manifest lists many sources: CSV with a heading (`path,title,chain,subtitles`) or NDJSON with the same keys.
//!
//! Subtitles are files with their languages: `de:film.de.srt;en:film.en.vtt`.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use serde::Deserialize;

/// The most sources that one manifest may list.
const ENTRIES_MAX: usize = 100_000;

/// One source to bring in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// A path or an http(s) URL.
    pub source: String,
    /// Its title, if one was given.
    pub title: Option<String>,
    /// The chain to run.
    pub chain: String,
    /// Subtitles to add: language and file.
    pub subtitles: Vec<(String, PathBuf)>,
    /// The line of the manifest that names it.
    pub line: Option<u64>,
}

/// A line of a manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    chain: Option<String>,
    #[serde(default)]
    subtitles: Option<String>,
}

/// Reads a manifest. Relative paths are meant from its folder; every error names the line.
pub fn read(manifest: &Path, default_chain: &str) -> anyhow::Result<Vec<Entry>> {
    let text = std::fs::read_to_string(manifest).with_context(|| format!("read {}", manifest.display()))?;
    let entries = parse(&text, default_chain).with_context(|| format!("{} is not usable", manifest.display()))?;
    let folder = manifest.parent().unwrap_or(Path::new(""));
    Ok(entries
        .into_iter()
        .map(|mut entry| {
            entry.subtitles.iter_mut().for_each(|(_, file)| *file = folder.join(&file));
            if entry.is_url() {
                entry
            } else {
                Entry { source: folder.join(&entry.source).display().to_string(), ..entry }
            }
        })
        .collect())
}

fn parse(text: &str, default_chain: &str) -> anyhow::Result<Vec<Entry>> {
    let lines = if text.trim_start().starts_with('{') { ndjson(text)? } else { csv(text)? };
    ensure!(!lines.is_empty(), "it lists nothing");
    ensure!(lines.len() <= ENTRIES_MAX, "it lists more than {ENTRIES_MAX} sources");
    lines
        .into_iter()
        .map(|(number, line)| line.entry(number, default_chain).with_context(|| format!("line {number}")))
        .collect()
}

fn ndjson(text: &str) -> anyhow::Result<Vec<(u64, Line)>> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| Ok((number, serde_json::from_str(line).with_context(|| format!("line {number}"))?)))
        .collect()
}

fn csv(text: &str) -> anyhow::Result<Vec<(u64, Line)>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let headings = reader.headers()?.clone();
    ensure!(
        headings.iter().any(|heading| heading == "path"),
        "the first line names no column `path` (path,title,chain)"
    );
    reader
        .records()
        .map(|record| {
            let record = record?;
            let number = record.position().map_or(0, csv::Position::line);
            ensure!(
                record.len() <= headings.len(),
                "line {number} has more values than the heading; quote values that hold commas"
            );
            Ok((number, record.deserialize(Some(&headings)).with_context(|| format!("line {number}"))?))
        })
        .collect()
}

// === impl Line ===

impl Line {
    fn entry(self, number: u64, default_chain: &str) -> anyhow::Result<Entry> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        if self.path.is_empty() {
            return Err(anyhow!("`path` is empty"));
        }
        let chain = given(self.chain).unwrap_or_else(|| default_chain.to_owned());
        let subtitles = given(self.subtitles).map(|list| subtitles(&list)).transpose()?.unwrap_or_default();
        Ok(Entry { source: self.path, title: given(self.title), chain, subtitles, line: Some(number) })
    }
}

/// `de:film.de.srt;en:film.en.vtt` as languages and files.
fn subtitles(list: &str) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let one = |text: &str| {
        let (language, file) =
            text.split_once(':').filter(|(language, file)| !language.is_empty() && !file.is_empty())?;
        Some((language.to_owned(), PathBuf::from(file)))
    };
    let all = list.split(';').map(str::trim).filter(|text| !text.is_empty());
    all.map(|text| one(text).with_context(|| format!("`subtitles`: {text:?} is not like de:film.de.srt"))).collect()
}

// === impl Entry ===

impl Entry {
    /// Whether the source is a URL that the service pulls.
    pub fn is_url(&self) -> bool {
        self.source.starts_with("http://") || self.source.starts_with("https://")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_and_ndjson_say_the_same() {
        let csv = "path,title,chain,subtitles\na.mp4,\"One, two\",none,de:a.srt; en:b.vtt\nhttp://x/b.mp4,,\n";
        let ndjson = "{\"path\":\"a.mp4\",\"title\":\"One, two\",\"chain\":\"none\",\"subtitles\":\"de:a.srt;en:b.vtt\"}\n\n{\"path\":\"http://x/b.mp4\"}\n";
        let entries = parse(csv, "ladder").unwrap();
        let said =
            |entries: &[Entry]| entries.iter().map(|entry| Entry { line: None, ..entry.clone() }).collect::<Vec<_>>();
        assert_eq!(said(&entries), said(&parse(ndjson, "ladder").unwrap()));
        assert_eq!(entries[0].title.as_deref(), Some("One, two"));
        let german_and_english = [("de".to_owned(), "a.srt".into()), ("en".to_owned(), "b.vtt".into())];
        assert_eq!(entries[0].subtitles, german_and_english);
        let bare = Entry {
            source: "http://x/b.mp4".into(),
            title: None,
            chain: "ladder".into(),
            subtitles: Vec::new(),
            line: Some(3),
        };
        assert_eq!(entries[1], bare);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, wanted) in [
            ("path\na\n\"\"\n", "line 3"),
            ("path,title\na,b,c\n", "line 2"),
            ("file\na\n", "path"),
            ("{\"path\":\"a\"}\n{\"pth\":\"b\"}\n", "line 2"),
            ("path\n", "nothing"),
            ("path,subtitles\na,de\n", "line 2"),
            ("path,subtitles\na,:x.srt\n", "de:film.de.srt"),
        ] {
            let error = format!("{:#}", parse(text, "ladder").unwrap_err());
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }
}

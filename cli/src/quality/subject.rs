//! What a case of a suite is about: clips are fetched, subjects are made by commands, by chains, or are there. Nothing is measured here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail, ensure};
use flame_quality::suite::{Case, Clip, Command, Files, Subject, Suite};
use sha2::{Digest, Sha256};

use crate::args::Global;
use crate::{clips, connection, ingest};

/// Most files that a pattern may name.
const FILES_MAX: usize = 1000;
/// Bytes that are read at once for a digest.
const DIGEST_BLOCK_BYTES: usize = 1 << 16;
/// Characters of a version that are kept.
const VERSION_MAX_CHARS: usize = 200;
/// Bytes of what a command says that are shown.
const WORDS_MAX_BYTES: usize = 2000;

/// What is to be compared.
pub struct Pair {
    /// Beside the case's name, where it has several.
    pub name: Option<String>,
    /// None, where nothing is compared.
    pub reference: Option<PathBuf>,
    pub distorted: String,
    /// The digest of the clip, and what made the subject with which version; only where a baseline needs it.
    pub clip_sha256: Option<String>,
    pub tools: BTreeMap<String, String>,
}

// === impl Pair ===

impl Pair {
    /// What the case is called with this pair.
    pub fn of(&self, case: &Case) -> String {
        self.name.as_ref().map_or_else(|| case.name.clone(), |name| format!("{}: {name}", case.name))
    }
}

/// Makes what is to be compared.
pub async fn pairs(
    global: &Global,
    suite: &Suite,
    folder: &Path,
    case: &Case,
    scratch: &Path,
) -> anyhow::Result<Vec<Pair>> {
    let clip = match case.clip.as_ref().and_then(|name| suite.clips.get(name)) {
        Some(clip) => Some(fetch(clip, folder).await?),
        None => None,
    };
    let clip_sha256 = match &clip {
        Some(clip) if !case.against.is_empty() => Some(digest(clip)?),
        Some(_) | None => None,
    };
    let single = |reference: PathBuf, distorted, tools| {
        let reference = case.compares().then_some(reference);
        vec![Pair { name: None, reference, distorted, clip_sha256, tools }]
    };
    match (&case.subject, clip) {
        (Subject::Files(files), _) => files_of(files, folder, !case.against.is_empty()),
        (Subject::Command(command), Some(clip)) => {
            let out = encode(command, &clip, scratch).await?;
            Ok(single(clip, out.to_string_lossy().into_owned(), versions(command, scratch).await?))
        }
        (Subject::Url(url), Some(clip)) => Ok(single(clip, url.clone(), BTreeMap::new())),
        (Subject::Url(url), None) => {
            let (distorted, tools) = (url.clone(), BTreeMap::new());
            Ok(vec![Pair { name: None, reference: None, distorted, clip_sha256: None, tools }])
        }
        (Subject::Chain(chain), Some(clip)) => {
            let (url, made) = ingest::conditioned(&connection::client(global), &clip, chain).await?;
            let tools =
                made.map(|made| ("services".to_owned(), format!("{}; {}", made.tools, made.encoders.join(", "))));
            Ok(single(clip, url, tools.into_iter().collect()))
        }
        (Subject::Command(_) | Subject::Chain(_), None) => bail!("the case has no clip"),
    }
}

async fn fetch(clip: &Clip, folder: &Path) -> anyhow::Result<PathBuf> {
    if let Some(file) = &clip.file {
        let path = folder.join(file);
        if let Some(wanted) = &clip.sha256 {
            let found = digest(&path)?;
            ensure!(
                found.eq_ignore_ascii_case(wanted),
                "{} is not the clip that the suite was written for: its SHA-256 is {found}, not {wanted}",
                path.display()
            );
        }
        return Ok(path);
    }
    let mut arguments: Vec<String> = clip.real.iter().chain(&clip.recipe).cloned().collect();
    let seconds = clip.seconds.map(|seconds| seconds.to_string());
    for (option, value) in [("--seconds", &seconds), ("--size", &clip.size), ("--rate", &clip.rate)] {
        if let Some(value) = value {
            arguments.extend([option.to_owned(), value.clone()]);
        }
    }
    clips::fetch(&arguments).await
}

fn digest(path: &Path) -> anyhow::Result<String> {
    let mut file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; DIGEST_BLOCK_BYTES];
    loop {
        match std::io::Read::read(&mut file, &mut block).with_context(|| format!("read {}", path.display()))? {
            0 => return Ok(hex::encode(hasher.finalize())),
            count => hasher.update(&block[..count]),
        }
    }
}

/// Runs the command in `scratch`; gives what it made.
async fn encode(command: &Command, clip: &Path, scratch: &Path) -> anyhow::Result<PathBuf> {
    let out = scratch.join(format!("out.{}", command.makes));
    let line = command.run.replace("{in}", &quoted(clip)).replace("{out}", &quoted(&out));
    let mut shell = tokio::process::Command::new("sh");
    shell.arg("-c").arg(&line).current_dir(scratch).stdin(Stdio::null()).kill_on_drop(true);
    let ran = shell.output().await.context("run the command with sh")?;
    let words = String::from_utf8_lossy(&ran.stderr);
    let last = words.char_indices().rev().nth(WORDS_MAX_BYTES).map_or(0, |(at, _)| at);
    ensure!(ran.status.success(), "the command ended with {}: {}", ran.status, words[last..].trim());
    ensure!(out.is_file(), "the command ended well and made no {}", out.display());
    Ok(out)
}

/// Which version the encoder has, where the suite says how to ask it.
async fn versions(command: &Command, scratch: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let Some(line) = &command.version else { return Ok(BTreeMap::new()) };
    let mut shell = tokio::process::Command::new("sh");
    shell.arg("-c").arg(line).current_dir(scratch).stdin(Stdio::null()).kill_on_drop(true);
    let ran = shell.output().await.context("ask for the version with sh")?;
    let said = String::from_utf8_lossy(&ran.stdout);
    let version = said.lines().map(str::trim).find(|line| !line.is_empty());
    let version = version.filter(|_| ran.status.success());
    let version = version.with_context(|| format!("`{line}` ended with {} and says no version", ran.status))?;
    Ok([("command".to_owned(), version.chars().take(VERSION_MAX_CHARS).collect())].into())
}

/// A path as one word for the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

fn files_of(files: &Files, folder: &Path, has_baseline: bool) -> anyhow::Result<Vec<Pair>> {
    let distorted = matching(folder, &files.distorted)?;
    let references = match &files.reference {
        Some(reference) => {
            let found = matching(folder, reference)?;
            ensure!(
                found.len() == distorted.len() || found.len() == 1,
                "{reference} names {} files and {} names {}: they cannot be pairs",
                found.len(),
                files.distorted,
                distorted.len()
            );
            found.into_iter().map(Some).collect()
        }
        None => vec![None],
    };
    let references = references.iter().cycle();
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let pairs = distorted.iter().zip(references).map(|(distorted, reference)| {
        let clip = reference.as_ref().filter(|_| has_baseline);
        Ok(Pair {
            name: name(distorted),
            reference: reference.clone(),
            distorted: distorted.to_string_lossy().into_owned(),
            clip_sha256: clip.map(|clip| digest(clip)).transpose()?,
            tools: BTreeMap::new(),
        })
    });
    pairs.collect()
}

/// Files whose name fits the last part of `pattern`, in order.
fn matching(folder: &Path, pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let whole = folder.join(pattern);
    let name = whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let inside = whole.parent().unwrap_or(folder);
    let entries = std::fs::read_dir(inside).with_context(|| format!("look into {}", inside.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("look into {}", inside.display()))?;
        if fits(&name, &entry.file_name().to_string_lossy()) && entry.path().is_file() {
            found.push(entry.path());
        }
        ensure!(found.len() <= FILES_MAX, "{pattern} names more than {FILES_MAX} files");
    }
    ensure!(!found.is_empty(), "{pattern} names no file in {}", folder.display());
    found.sort();
    Ok(found)
}

/// Whether `name` is `pattern`, in which each `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(before) else { return false };
    (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| fits(after, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names() {
        assert!(fits("*.mp4", "a.mp4") && fits("a*b*.y4m", "axxbyy.y4m") && fits("film.mp4", "film.mp4"));
        assert!(!fits("*.mp4", "a.mp4x") && !fits("a*b", "ac") && !fits("", "a"));
    }

    #[test]
    fn paths_stay_one_word() {
        assert_eq!(quoted(Path::new("/a b/it's")), "'/a b/it'\\''s'");
    }
}

//! `flame quality test`: runs suites, case after case, and says what holds. What a suite means is decided elsewhere.
//!
//! Status 0: all gates hold. 1: one fails. 2: a suite is wrong; nothing was run. 3: something could not be measured, or a
//! case that must fail did not, and so nothing that the run says can be believed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use flame_api::quality::{Comparison, Inspection};
use flame_media_child::protocol::ComparePlan;
use flame_quality::gate::Gate;
use flame_quality::junit;
use flame_quality::suite::{Case, Clip, Command, Files, SUITE_MAX_BYTES, Subject, Suite};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{alignment, cores, inspect, measure};
use crate::args::{Global, Test};
use crate::exit::Exit;
use crate::{clips, connection, ingest, output};

/// Most files that a pattern may name.
const FILES_MAX: usize = 1000;
/// Bytes that are read at once for a digest.
const DIGEST_BLOCK_BYTES: usize = 1 << 16;
/// Bytes of what a command says that are shown.
const WORDS_MAX_BYTES: usize = 2000;

/// What became of a case, or of one pair of files of it.
#[derive(Debug, Serialize)]
struct Ended {
    suite: String,
    case: String,
    time_s: f64,
    outcome: Outcome,
    said: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Comparison>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inspection: Option<Inspection>,
}

/// What was measured for a case.
#[derive(Debug, Default)]
struct Figures {
    comparison: Option<Comparison>,
    inspection: Option<Inspection>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Passed,
    Failed,
    NotMeasured,
}

/// A suite and the folder that its paths are seen from.
struct Loaded {
    suite: Suite,
    folder: PathBuf,
}

/// What is to be compared.
struct Pair {
    /// Beside the case's name, where it has several.
    name: Option<String>,
    /// None, where nothing is compared.
    reference: Option<PathBuf>,
    distorted: String,
}

pub async fn run(global: &Global, test: &Test) -> Result<(), Exit> {
    let loaded = test.suites.iter().map(|path| load(path)).collect::<anyhow::Result<Vec<_>>>().map_err(Exit::usage)?;
    let mut all = Vec::new();
    for loaded in &loaded {
        if !global.json {
            output::print_line(&format!("{}: {}", loaded.suite.suite, loaded.suite.about.trim()))?;
        }
        for case in &loaded.suite.cases {
            for ended in run_case(global, loaded, case, test.case_timeout.0).await {
                if !global.json {
                    output::print_line(&line(&ended))?;
                }
                all.push(ended);
            }
        }
    }
    if let Some(path) = &test.junit {
        super::write(path, &junit::document("flame quality test", &cases(&all)))?;
    }
    if global.json {
        output::print_json(&all)?;
    }
    verdict(&all)
}

fn load(path: &Path) -> anyhow::Result<Loaded> {
    let size = std::fs::metadata(path).with_context(|| format!("open {}", path.display()))?.len();
    ensure!(size <= SUITE_MAX_BYTES as u64, "{} is larger than a suite may be", path.display());
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let suite = Suite::parse(&text).map_err(|why| anyhow!("{}: {why}", path.display()))?;
    let path = std::path::absolute(path)?;
    Ok(Loaded { suite, folder: path.parent().unwrap_or(Path::new("/")).to_owned() })
}

async fn run_case(global: &Global, loaded: &Loaded, case: &Case, timeout: Duration) -> Vec<Ended> {
    let begun = Instant::now();
    let ended = |name: Option<&str>, begun: Instant, outcome, said, figures: Figures| Ended {
        suite: loaded.suite.suite.clone(),
        case: name.map_or_else(|| case.name.clone(), |name| format!("{}: {name}", case.name)),
        time_s: begun.elapsed().as_secs_f64(),
        outcome,
        said,
        comparison: figures.comparison,
        inspection: figures.inspection,
    };
    let scratch = match tempfile::tempdir() {
        Ok(scratch) => scratch,
        Err(error) => {
            return vec![ended(
                None,
                begun,
                Outcome::NotMeasured,
                format!("no temporary folder: {error}"),
                Figures::default(),
            )];
        }
    };
    let prepared = tokio::time::timeout(timeout, pairs(global, loaded, case, scratch.path())).await;
    let pairs = match prepared.unwrap_or_else(|_| Err(anyhow!("it took longer than {} s", timeout.as_secs()))) {
        Ok(pairs) => pairs,
        Err(error) => return vec![ended(None, begun, Outcome::NotMeasured, format!("{error:#}"), Figures::default())],
    };
    let mut all = Vec::with_capacity(pairs.len());
    let mut since = begun;
    for pair in pairs {
        let (outcome, said, figures) = score(case, &pair).await;
        all.push(ended(pair.name.as_deref(), since, outcome, said, figures));
        since = Instant::now();
    }
    all
}

async fn score(case: &Case, pair: &Pair) -> (Outcome, String, Figures) {
    let mut figures = Figures::default();
    match verdict_of(case, pair, &mut figures).await {
        Ok((outcome, said)) => (outcome, said, figures),
        Err(why) => (Outcome::NotMeasured, why, figures),
    }
}

/// What the gates of a case say; an error if one of them cannot say anything.
async fn verdict_of(case: &Case, pair: &Pair, figures: &mut Figures) -> Result<(Outcome, String), String> {
    let gates = case.bounds()?;
    if let Some(reference) = &pair.reference {
        let plan = ComparePlan {
            reference: reference.to_string_lossy().into_owned(),
            distorted: pair.distorted.clone(),
            follow_playlists: true,
            metrics: case.metrics.clone(),
            frames_max: None,
            subsample: case.subsample,
            threads: cores(),
            confidence_min: 0.5,
        };
        let (comparison, _) = measure(plan, &case.name, true).await.map_err(|exit| exit.message())?;
        figures.comparison = Some(comparison);
    }
    if gates.iter().any(Gate::needs_inspection) {
        let found = inspect::measure(pair.distorted.clone(), case.shortest_s, &case.name, true).await;
        figures.inspection = Some(found.map_err(|exit| exit.message())?);
    }
    let (mut holds, mut fails) = (Vec::new(), Vec::new());
    for gate in gates {
        let judged = match (&figures.comparison, &figures.inspection) {
            (_, Some(inspection)) if gate.needs_inspection() => gate.judge_inspection(inspection),
            (Some(comparison), _) => gate.judge(comparison),
            (None, _) => Err(format!("gate {gate}: nothing was compared")),
        };
        let verdict = judged?;
        let said = format!("{gate} (measured {:.4})", verdict.measured);
        if verdict.passes { holds.push(said) } else { fails.push(said) }
    }
    let pairs = figures.comparison.as_ref().map_or_else(String::new, |comparison| {
        format!("; {} pairs{}", comparison.scored_frames, alignment(comparison))
    });
    Ok(match (fails.is_empty(), case.must_fail) {
        (true, false) => (Outcome::Passed, holds.join("; ")),
        (false, true) => (Outcome::Passed, format!("fails as it must: {}", fails.join("; "))),
        (false, false) => (Outcome::Failed, format!("{}{pairs}", fails.join("; "))),
        (true, true) => (
            Outcome::NotMeasured,
            format!("this case must fail and does not, so this run shows nothing: {}", holds.join("; ")),
        ),
    })
}

/// Makes what is to be compared.
async fn pairs(global: &Global, loaded: &Loaded, case: &Case, scratch: &Path) -> anyhow::Result<Vec<Pair>> {
    let clip = match case.clip.as_ref().and_then(|name| loaded.suite.clips.get(name)) {
        Some(clip) => Some(fetch(clip, &loaded.folder).await?),
        None => None,
    };
    let single = |reference: PathBuf, distorted| {
        vec![Pair { name: None, reference: case.compares().then_some(reference), distorted }]
    };
    match (&case.subject, clip) {
        (Subject::Files(files), _) => files_of(files, &loaded.folder),
        (Subject::Command(command), Some(clip)) => {
            let out = encode(command, &clip, scratch).await?;
            Ok(single(clip, out.to_string_lossy().into_owned()))
        }
        (Subject::Url(url), Some(clip)) => Ok(single(clip, url.clone())),
        (Subject::Url(url), None) => Ok(vec![Pair { name: None, reference: None, distorted: url.clone() }]),
        (Subject::Chain(chain), Some(clip)) => {
            let url = ingest::conditioned(&connection::client(global), &clip, chain).await?;
            Ok(single(clip, url))
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

/// A path as one word for the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

fn files_of(files: &Files, folder: &Path) -> anyhow::Result<Vec<Pair>> {
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
    let pairs = distorted.iter().zip(references).map(|(distorted, reference)| Pair {
        name: name(distorted),
        reference: reference.clone(),
        distorted: distorted.to_string_lossy().into_owned(),
    });
    Ok(pairs.collect())
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

fn line(ended: &Ended) -> String {
    let word = match ended.outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "FAILED",
        Outcome::NotMeasured => "NOT MEASURED",
    };
    format!("  {word}  {} ({:.1} s): {}", ended.case, ended.time_s, ended.said)
}

fn cases(all: &[Ended]) -> Vec<junit::Case> {
    let case = |ended: &Ended| junit::Case {
        class: ended.suite.clone(),
        name: ended.case.clone(),
        time_s: ended.time_s,
        outcome: match ended.outcome {
            Outcome::Passed => junit::Outcome::Passed(ended.said.clone()),
            Outcome::Failed => junit::Outcome::Failed(ended.said.clone()),
            Outcome::NotMeasured => junit::Outcome::Error(ended.said.clone()),
        },
    };
    all.iter().map(case).collect()
}

fn verdict(all: &[Ended]) -> Result<(), Exit> {
    let named = |wanted: Outcome| {
        let cases = all.iter().filter(|ended| ended.outcome == wanted);
        cases.map(|ended| ended.case.as_str()).collect::<Vec<_>>()
    };
    let (failed, not_measured) = (named(Outcome::Failed), named(Outcome::NotMeasured));
    if !not_measured.is_empty() {
        return Err(Exit::not_carried_out(anyhow!("could not be measured: {}", not_measured.join(", "))));
    }
    if !failed.is_empty() {
        return Err(Exit::failed(anyhow!("gates fail in {} of {}: {}", failed.len(), all.len(), failed.join(", "))));
    }
    Ok(())
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

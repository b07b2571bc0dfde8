//! `flame quality test`: runs suites, case after case, and says what holds. What a suite means is decided elsewhere.
//!
//! Status 0: all gates hold. 1: one fails. 2: a suite is wrong; nothing was run. 3: something could not be measured, or a
//! case that must fail did not, and so nothing that the run says can be believed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use flame_api::quality::jobs::GateVerdict;
use flame_api::quality::suites::{CaseOutcome, CaseResult};
use flame_api::quality::{Comparison, Form, Inspection};
use flame_media_child::protocol::ComparePlan;
use flame_quality::baseline::{Baseline, Run, Said};
use flame_quality::conformance::Report;
use flame_quality::gate::{Gate, Verdict};
use flame_quality::junit;
use flame_quality::shard::Shard;
use flame_quality::suite::{Case, SUITE_MAX_BYTES, Suite};
use serde::Serialize;

use super::baseline::{self, Kept};
use super::record::{self, Begun};
use super::subject::{self, Pair};
use super::{alignment, conform, cores, form, inspect, measure};
use crate::args::{Global, Test};
use crate::exit::Exit;
use crate::output;

/// Segments of each rendition that are looked into.
const SEGMENTS_MAX: usize = 500;

/// What became of a case, or of one pair of files of it.
#[derive(Debug, Serialize)]
struct Ended {
    suite: String,
    case: String,
    time_s: f64,
    outcome: Outcome,
    #[serde(skip)]
    must_fail: bool,
    said: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gates: Vec<GateVerdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<Comparison>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inspection: Option<Inspection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conformance: Option<Report>,
    /// What a baseline is made of, or held against; nothing of a case that has no business with one.
    #[serde(skip)]
    run: Option<Run>,
}

/// What was measured for a case.
#[derive(Debug, Default)]
struct Figures {
    gates: Vec<GateVerdict>,
    comparison: Option<Comparison>,
    inspection: Option<Inspection>,
    conformance: Option<Report>,
    run: Option<Run>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Passed,
    Failed,
    NotMeasured,
}

/// A suite and the folder that its paths are seen from.
pub(super) struct Loaded {
    pub(super) suite: Suite,
    pub(super) folder: PathBuf,
    kept: Option<Kept>,
}

pub async fn run(global: &Global, test: &Test) -> Result<(), Exit> {
    let loaded = test.suites.iter().map(|path| load(path)).collect::<anyhow::Result<Vec<_>>>().map_err(Exit::usage)?;
    if test.record {
        let suites: Vec<_> = loaded.iter().map(|loaded| &loaded.suite).collect();
        record::check(&suites).map_err(Exit::usage)?;
    }
    if test.update_baseline {
        return update(global, test, loaded).await;
    }
    let (mut all, mut runs) = (Vec::new(), Vec::new());
    let shares = shares(test.shard, &loaded);
    'suites: for (loaded, shares) in loaded.iter().zip(&shares) {
        if !shares.contains(&true) {
            continue;
        }
        if !global.json {
            output::print_line(&format!("{}: {}", loaded.suite.suite, loaded.suite.about.trim()))?;
        }
        let (begun, first) = (Begun::now(&loaded.suite.suite), all.len());
        let cases = loaded.suite.cases.iter().zip(shares).filter(|(_, is_ours)| **is_ours);
        for (case, _) in cases {
            let held = loaded.kept.as_ref().map(|kept| &kept.baseline);
            for ended in run_case(global, loaded, case, test.case_timeout.0, held).await {
                if !global.json {
                    output::print_line(&line(&ended))?;
                }
                all.push(ended);
            }
            if test.fail_fast && all.iter().any(|ended: &Ended| ended.outcome != Outcome::Passed) {
                break 'suites;
            }
        }
        runs.push(begun.ended(all[first..].iter().map(Ended::result).collect()));
    }
    if let (true, Some(shard), false) = (all.is_empty(), test.shard, global.json) {
        output::print_line(&format!("no case is in part {shard}"))?;
    }
    if let Some(path) = &test.junit {
        super::write(path, &junit::document("flame quality test", &cases(&all)))?;
    }
    if global.json {
        output::print_json(&all)?;
    }
    let verdict = verdict(&all);
    if test.record
        && let Err(why) = record::tell(global, runs).await
    {
        // What was measured weighs more than that it is not kept.
        let Err(found) = verdict else { return Err(why) };
        eprintln!("flame: {}", why.message());
        return Err(found);
    }
    verdict
}

/// Which cases of each suite are run.
fn shares(shard: Option<Shard>, all: &[Loaded]) -> Vec<Vec<bool>> {
    let controls = |loaded: &Loaded| loaded.suite.cases.iter().map(|case| case.must_fail).collect::<Vec<_>>();
    let controls: Vec<_> = all.iter().map(controls).collect();
    match shard {
        Some(shard) => shard.takes(&controls),
        None => controls.into_iter().map(|cases| vec![true; cases.len()]).collect(),
    }
}

/// Makes the baselines of suites anew.
async fn update(global: &Global, test: &Test, all: Vec<Loaded>) -> Result<(), Exit> {
    baseline::refuse_in_ci()?;
    let has_cases = |loaded: &Loaded| loaded.suite.cases.iter().any(|case| !case.against.is_empty());
    if let Some(none) = all.iter().find(|loaded| !has_cases(loaded)) {
        return Err(Exit::usage(anyhow!("the suite `{}` holds nothing `against` a baseline", none.suite.suite)));
    }
    for loaded in all {
        let mut runs: BTreeMap<String, Vec<Run>> = BTreeMap::new();
        for case in loaded.suite.cases.iter().filter(|case| !case.against.is_empty()) {
            for _ in 0..test.repeats {
                for ended in run_case(global, &loaded, case, test.case_timeout.0, None).await {
                    // What does not even pass its own gates is nothing to be held to.
                    let Some(run) = ended.run.filter(|_| ended.outcome == Outcome::Passed) else {
                        return Err(Exit::not_carried_out(anyhow!(
                            "case {}: {}; nothing was written",
                            ended.case,
                            ended.said
                        )));
                    };
                    runs.entry(ended.case).or_default().push(run);
                }
            }
        }
        if let Some(kept) = loaded.kept {
            kept.update(global, runs)?;
        }
    }
    Ok(())
}

pub(super) fn load(path: &Path) -> anyhow::Result<Loaded> {
    let size = std::fs::metadata(path).with_context(|| format!("open {}", path.display()))?.len();
    ensure!(size <= SUITE_MAX_BYTES as u64, "{} is larger than a suite may be", path.display());
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let suite = Suite::parse(&text).map_err(|why| anyhow!("{}: {why}", path.display()))?;
    let path = std::path::absolute(path)?;
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    let kept = baseline::load(&folder, &suite)?;
    Ok(Loaded { suite, folder, kept })
}

/// Runs a case; what it measures is held against the baseline `held`, if there is one to be held to.
async fn run_case(
    global: &Global,
    loaded: &Loaded,
    case: &Case,
    timeout: Duration,
    held: Option<&Baseline>,
) -> Vec<Ended> {
    let begun = Instant::now();
    let ended = |name: Option<&str>, begun: Instant, outcome, said, figures: Figures| Ended {
        suite: loaded.suite.suite.clone(),
        case: name.map_or_else(|| case.name.clone(), |name| format!("{}: {name}", case.name)),
        time_s: begun.elapsed().as_secs_f64(),
        outcome,
        must_fail: case.must_fail,
        said,
        gates: figures.gates,
        comparison: figures.comparison,
        inspection: figures.inspection,
        conformance: figures.conformance,
        run: figures.run,
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
    let prepared =
        tokio::time::timeout(timeout, subject::pairs(global, &loaded.suite, &loaded.folder, case, scratch.path()))
            .await;
    let pairs = match prepared.unwrap_or_else(|_| Err(anyhow!("it took longer than {} s", timeout.as_secs()))) {
        Ok(pairs) => pairs,
        Err(error) => return vec![ended(None, begun, Outcome::NotMeasured, format!("{error:#}"), Figures::default())],
    };
    let mut all = Vec::with_capacity(pairs.len());
    let mut since = begun;
    for pair in pairs {
        let (outcome, said, figures) = score(case, &pair, held).await;
        all.push(ended(pair.name.as_deref(), since, outcome, said, figures));
        since = Instant::now();
    }
    all
}

async fn score(case: &Case, pair: &Pair, held: Option<&Baseline>) -> (Outcome, String, Figures) {
    let mut figures = Figures::default();
    match verdict_of(case, pair, &mut figures, held).await {
        Ok((outcome, said)) => (outcome, said, figures),
        Err(why) => (Outcome::NotMeasured, why, figures),
    }
}

/// How something of a case is scored.
pub(super) fn plan(case: &Case, reference: &Path, distorted: &str) -> Result<ComparePlan, String> {
    let raw = case.raw()?;
    let form = |path: &Path| match &raw {
        _ if !form::is_raw(path) => Ok(None),
        Some(raw) => Ok(Some(Form::Raw(raw.clone()))),
        None => Err(format!(
            "{} does not say what its samples are: say it in the case, such as `raw: 1280x720@25:yuv420p`",
            path.display()
        )),
    };
    Ok(ComparePlan {
        reference: reference.to_string_lossy().into_owned(),
        distorted: distorted.to_owned(),
        follow_playlists: true,
        reference_form: form(reference)?,
        distorted_form: if distorted.starts_with("http://") { None } else { form(Path::new(distorted))? },
        metrics: case.metrics.clone(),
        frames_max: None,
        subsample: case.subsample,
        threads: cores(),
        confidence_min: 0.5,
    })
}

/// What the gates of a case say; an error if one of them cannot say anything.
async fn verdict_of(
    case: &Case,
    pair: &Pair,
    figures: &mut Figures,
    held: Option<&Baseline>,
) -> Result<(Outcome, String), String> {
    let gates = case.bounds()?;
    if let Some(reference) = &pair.reference {
        let plan = plan(case, reference, &pair.distorted)?;
        let (comparison, _) = measure(plan, &case.name, true).await.map_err(|exit| exit.message())?;
        figures.comparison = Some(comparison);
    }
    if case.asked()?.iter().any(Gate::needs_inspection) {
        let found = inspect::measure(pair.distorted.clone(), case.shortest_s, &case.name, true).await;
        figures.inspection = Some(found.map_err(|exit| exit.message())?);
    }
    if case.asked()?.iter().any(|gate| gate.conformance_figure().is_some()) {
        let reach = conform::Reach { segments: SEGMENTS_MAX, lasts: Duration::from_secs_f64(case.live_s) };
        figures.conformance = Some(conform::measure(&pair.distorted, reach).await?);
    }
    let (mut holds, mut fails) = (Vec::new(), Vec::new());
    for gate in gates {
        let verdict = figures.judge(&gate)?;
        figures.gates.push(GateVerdict {
            gate: gate.to_string(),
            measured: Some(verdict.measured),
            passed: verdict.passes,
            why: None,
        });
        let said = format!("{gate} (measured {:.4})", verdict.measured);
        if verdict.passes {
            holds.push(said);
        } else {
            // The first rule that is not kept says more than how many.
            let first = figures.conformance.as_ref().filter(|_| gate.conformance_figure().is_some());
            let first = first.and_then(|report| report.findings.first());
            fails
                .push(first.map_or(said.clone(), |first| {
                    format!("{said}: {} {}: {}", first.clause, first.place, first.found)
                }));
        }
    }
    if !case.against.is_empty() {
        let run = figures.run_of(case, pair)?;
        for against in case.against.iter().filter(|_| held.is_some()) {
            let recorded = held.and_then(|baseline| baseline.cases.get(&pair.of(case)));
            let measured = run.figures.get(&against.figure).copied();
            let mut note = |passed, why: &str| {
                let (gate, why) = (against.name(), Some(record::cut(why)));
                figures.gates.push(GateVerdict { gate, measured, passed, why });
            };
            match against.judge(recorded, &run) {
                Said::Holds(said) => {
                    note(true, &said);
                    holds.push(said);
                }
                Said::Regression(said) => {
                    note(false, &said);
                    fails.push(format!("regression: {said}"));
                }
                Said::ToolChanged(said) => {
                    note(false, &said);
                    return Err(format!("tool changed: {said}"));
                }
                Said::NotComparable(said) => {
                    note(false, &said);
                    return Err(said);
                }
            }
        }
        figures.run = Some(run);
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

// === impl Figures ===

impl Figures {
    fn judge(&self, gate: &Gate) -> Result<Verdict, String> {
        if gate.conformance_figure().is_some() {
            let counted = self.conformance.as_ref().and_then(|report| conform::judge(report, gate));
            return counted
                .map(|counted| gate.verdict(counted))
                .ok_or_else(|| format!("gate {gate}: nothing was looked at"));
        }
        match (&self.comparison, &self.inspection) {
            (_, Some(inspection)) if gate.needs_inspection() => gate.judge_inspection(inspection),
            (Some(comparison), _) => gate.judge(comparison),
            (None, _) => Err(format!("gate {gate}: nothing was compared")),
        }
    }

    /// What a baseline is about.
    fn run_of(&self, case: &Case, pair: &Pair) -> Result<Run, String> {
        let mut tools = pair.tools.clone();
        tools.insert("flame".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        if let Some(comparison) = &self.comparison {
            tools.insert("libvmaf".to_owned(), comparison.libvmaf.clone());
        }
        let mut figures = BTreeMap::new();
        for against in &case.against {
            figures.insert(against.figure.clone(), self.judge(&against.gate()?)?.measured);
        }
        Ok(Run { clip_sha256: pair.clip_sha256.clone(), tools, threads: cores(), figures })
    }
}

// === impl Ended ===

impl Ended {
    /// As the quality service keeps it.
    fn result(&self) -> CaseResult {
        let outcome = match self.outcome {
            Outcome::Passed => CaseOutcome::Passed,
            Outcome::Failed => CaseOutcome::Failed,
            Outcome::NotMeasured => CaseOutcome::NotMeasured,
        };
        let (said, gates) = (record::cut(&self.said), self.gates.clone());
        let (case, must_fail) = (self.case.clone(), self.must_fail);
        CaseResult { case, outcome, time_s: self.time_s, must_fail, said, gates }
    }
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

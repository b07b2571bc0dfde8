//! `flame quality`: figures of media, by a `flame-media` child of this command's own, or by the quality service (`--remote`). It
//! computes nothing itself.

mod baseline;
mod conform;
mod curve;
mod form;
mod inspect;
mod jobs;
mod record;
mod remote;
mod report;
mod subject;
mod suite;
mod watch;

pub use remote::follow;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use flame_api::quality::jobs::MediaName;
use flame_api::quality::{Comparison, Form, Scores};
use flame_media_child::protocol::{ComparePlan, Outcome, Request};
use flame_media_child::{Call, ChildError, Limits, Pool, PoolConfig, find_program};
use flame_quality::gate::Verdict;
use flame_quality::{csv, json, junit};
use tokio::sync::watch::channel;

use crate::args::{Compare, Global, Quality, QualityCommand};
use crate::connection;
use crate::exit::Exit;
use crate::output::{self, Progress};

/// Gates, and what each of them says.
type Verdicts = Vec<(String, Result<Verdict, String>)>;

/// The child serves one request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

pub async fn run(global: &Global, quality: Quality) -> Result<(), Exit> {
    match quality.command {
        QualityCommand::Compare(compare) if compare.remote => remote::compare(global, &compare).await,
        QualityCommand::Compare(compare) => run_compare(global, &compare).await,
        QualityCommand::Conform(conform) => conform::run(global, &conform).await,
        QualityCommand::Curve(curve) => curve::run(global, &curve).await,
        QualityCommand::Inspect(inspect) => inspect::run(global, &inspect).await,
        QualityCommand::Jobs(jobs) => jobs::run(global, &jobs).await,
        QualityCommand::Cancel { id } => jobs::cancel(global, id).await,
        QualityCommand::Watch(watch) => watch::run(global, &watch).await,
        QualityCommand::Test(test) => suite::run(global, &test).await,
    }
}

async fn run_compare(global: &Global, compare: &Compare) -> Result<(), Exit> {
    let [reference_form, distorted_form] = form::of(compare).map_err(Exit::usage)?;
    let plan = ComparePlan {
        reference: input(global, &compare.reference, reference_form.as_ref()).await?,
        distorted: input(global, &compare.distorted, distorted_form.as_ref()).await?,
        follow_playlists: true,
        reference_form: reference_form.clone(),
        distorted_form: distorted_form.clone(),
        metrics: compare.metrics.clone(),
        frames_max: compare.frames,
        subsample: compare.subsample,
        threads: compare.threads.unwrap_or_else(cores),
        confidence_min: compare.confidence,
    };
    let begun = std::time::Instant::now();
    let measured = measure(plan, "comparing", global.json).await;
    let time_s = begun.elapsed().as_secs_f64();
    let name = format!("{} against {}", compare.distorted, compare.reference);
    let (comparison, scores) = match measured {
        Ok(measured) => measured,
        Err(exit) => {
            let outcome = junit::Outcome::Error(exit.message());
            write_junit(
                compare.junit.as_deref(),
                &[junit::Case { class: name, name: "measured".to_owned(), time_s, outcome }],
            )?;
            return Err(exit);
        }
    };
    let verdicts: Vec<_> = compare.gates.iter().map(|gate| (gate.to_string(), gate.judge(&comparison))).collect();
    if let Some(path) = &compare.csv {
        write(path, &csv::table(&scores))?;
    }
    if let Some(path) = &compare.html {
        report::write(path, &comparison, [reference_form, distorted_form], &scores, &verdicts).await?;
    }
    let summary = format!("{} pairs of frames{}", comparison.scored_frames, alignment(&comparison));
    write_junit(compare.junit.as_deref(), &cases(&name, &verdicts, summary, time_s))?;
    if global.json {
        output::print_json(&json::document(&comparison, Some(&scores)))?;
    } else {
        print(&comparison)?;
    }
    judge(global, &verdicts, &comparison)
}

/// What the child is to open; `form` is what was said of it.
async fn input(global: &Global, text: &str, form: Option<&Form>) -> Result<String, Exit> {
    if text.starts_with("http://") {
        return Ok(text.to_owned());
    }
    if text.contains("://") {
        return Err(Exit::usage(anyhow!("{text}: only files and http:// URLs can be measured; fetch it first")));
    }
    if let Ok(name) = text.parse::<MediaName>() {
        return played(global, &name).await;
    }
    let path = std::path::absolute(text).with_context(|| format!("find {text}"))?;
    // Of a sequence the child looks for the files.
    let is_sequence = matches!(form, Some(Form::Images { .. }));
    if !is_sequence && !path.is_file() {
        return Err(Exit::usage(anyhow!("{text} is not a file")));
    }
    Ok(path.to_string_lossy().into_owned())
}

/// Where media that the services hold plays.
async fn played(global: &Global, name: &MediaName) -> Result<String, Exit> {
    let router = global.router.as_str().trim_end_matches('/');
    match name {
        MediaName::Asset(id) => Ok(format!("{router}/~streaming/{id}/index.m3u8")),
        MediaName::Path(path) => Ok(format!("{router}{path}")),
        MediaName::Track(id, track) => {
            let asset = connection::client(global).asset(*id).await?;
            let asset = asset.ok_or_else(|| Exit::not_carried_out(anyhow!("there is no asset {id}")))?;
            let version =
                asset.version.ok_or_else(|| Exit::not_carried_out(anyhow!("asset {id} has no version yet")))?;
            Ok(format!("{router}/~streaming/{id}/{}/{track}/index.m3u8", version.name))
        }
        MediaName::Source(_) => {
            Err(Exit::usage(anyhow!("{name}: only the quality service can open what was uploaded: use --remote")))
        }
    }
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(64).min(64))
}

/// A child for one request.
fn child(program: PathBuf) -> Pool {
    let limits = Limits::default();
    Pool::new(PoolConfig { limits, idle_timeout: IDLE_TIMEOUT, requests_max: 1, ..PoolConfig::new(program, 1) })
}

/// Has a child compare; shows how far it is.
async fn measure(plan: ComparePlan, name: &str, quiet: bool) -> Result<(Comparison, Scores), Exit> {
    let folder = tempfile::tempdir().context("make a folder for the scores")?;
    let path = folder.path().join("scores.json");
    let request = Request::Compare { plan, output: path.clone() };
    let Outcome::Compare { comparison } = ask(request, name, quiet).await? else { return Err(misunderstood()) };
    let text = std::fs::read(&path).context("read the scores")?;
    let scores = serde_json::from_slice(&text).context("read the scores")?;
    Ok((*comparison, scores))
}

/// Has a child do something; shows how far it is.
async fn ask(request: Request, name: &str, quiet: bool) -> Result<Outcome, Exit> {
    let pool = child(find_program().map_err(anyhow::Error::new)?);
    let (sender, mut fraction) = channel(0.0);
    let call = Call { progress: Some(sender), ..Call::default() };
    let mut progress = Progress::new(name, quiet);
    let work = pool.run(&request, call);
    tokio::pin!(work);
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            Ok(()) = fraction.changed() => progress.set(*fraction.borrow_and_update(), ""),
        }
    };
    progress.finish();
    match outcome {
        Ok(outcome) => Ok(outcome),
        Err(ChildError::Input { reason }) => Err(Exit::not_carried_out(anyhow!("{reason}"))),
        Err(error) => Err(Exit::not_carried_out(error)),
    }
}

fn misunderstood() -> Exit {
    Exit::not_carried_out(anyhow!("the media process answered something else"))
}

fn print(comparison: &Comparison) -> Result<(), Exit> {
    let mut table = output::table(&["metric", "mean", "harmonic", "min", "p1", "p5", "p10"]);
    for column in &comparison.columns {
        let pooled = &column.pooled;
        let figures = [pooled.mean, pooled.harmonic_mean, pooled.min, pooled.p1, pooled.p5, pooled.p10];
        let cells = std::iter::once(column.name.clone()).chain(figures.map(|figure| format!("{figure:.4}")));
        table.add_row(cells);
    }
    output::print_line(&table.to_string())?;
    output::print_line(&format!("{} pairs of frames{}", comparison.scored_frames, alignment(comparison)))?;
    let worst = comparison.columns.iter().rev().find(|column| !column.worst.is_empty());
    if let Some(column) = worst {
        let moments = column.worst.iter().map(|frame| {
            format!(
                "{:.1} at {} (frame {})",
                frame.score,
                output::clock(frame.time_ms.max(0.0) as u64),
                frame.distorted
            )
        });
        output::print_line(&format!("worst {}: {}", column.name, moments.collect::<Vec<_>>().join(", ")))?;
    }
    for lack in &comparison.incomplete {
        output::print_line(&format!("PARTIAL: {lack}"))?;
    }
    for note in &comparison.notes {
        output::print_line(&format!("note: {note}"))?;
    }
    Ok(())
}

/// What is not as it should be between the two, and how sure it is.
fn alignment(comparison: &Comparison) -> String {
    let alignment = &comparison.alignment;
    let said = [
        (alignment.lead_in_reference, "at the start of the reference are missing"),
        (alignment.lead_in_distorted, "were put in front"),
        (alignment.dropped_frames, "were dropped"),
        (alignment.repeated_frames, "are repeated"),
        (alignment.foreign_frames, "in between are not of the reference"),
        (alignment.tail_reference, "at the end of the reference are missing"),
        (alignment.tail_distorted, "were put behind"),
    ];
    let mut text = format!(", confidence {:.2}", alignment.confidence);
    for (count, what) in said.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!("; {count} {what}"));
    }
    text
}

fn cases(
    class: &str,
    verdicts: &[(String, Result<Verdict, String>)],
    summary: String,
    time_s: f64,
) -> Vec<junit::Case> {
    let measured = junit::Case {
        class: class.to_owned(),
        name: "measured".to_owned(),
        time_s,
        outcome: junit::Outcome::Passed(summary),
    };
    let gates = verdicts.iter().map(|(gate, verdict)| {
        let outcome = match verdict {
            Ok(verdict) if verdict.passes => junit::Outcome::Passed(format!("measured {:.4}", verdict.measured)),
            Ok(verdict) => junit::Outcome::Failed(format!("{gate} fails: measured {:.4}", verdict.measured)),
            Err(why) => junit::Outcome::Error(why.clone()),
        };
        junit::Case { class: class.to_owned(), name: gate.clone(), time_s: 0.0, outcome }
    });
    std::iter::once(measured).chain(gates).collect()
}

/// Says what every gate says; the worst of it is the command's status. A gate that asks for what was not computed is the caller's
/// mistake; one that only a part keeps, nobody's.
fn judge(global: &Global, verdicts: &[(String, Result<Verdict, String>)], comparison: &Comparison) -> Result<(), Exit> {
    let (mut failed, mut unknown) = (Vec::new(), Vec::new());
    for (gate, verdict) in verdicts {
        match verdict {
            Ok(verdict) if verdict.passes => {
                if !global.json {
                    output::print_line(&format!("passed: {gate} (measured {:.4})", verdict.measured))?;
                }
            }
            Ok(verdict) => failed.push(format!("{gate} (measured {:.4})", verdict.measured)),
            Err(why) if comparison.incomplete.is_empty() => {
                return Err(Exit::usage(anyhow!("gate {gate}: {why}")));
            }
            Err(why) => unknown.push(format!("{gate}: {why}")),
        }
    }
    if !unknown.is_empty() {
        return Err(Exit::not_carried_out(anyhow!("a gate could not be judged: {}", unknown.join("; "))));
    }
    if failed.is_empty() { Ok(()) } else { Err(Exit::failed(anyhow!("a gate failed: {}", failed.join("; ")))) }
}

fn write_junit(path: Option<&Path>, cases: &[junit::Case]) -> Result<(), Exit> {
    match path {
        Some(path) => write(path, &junit::document("flame quality", cases)),
        None => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Exit> {
    Ok(std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?)
}

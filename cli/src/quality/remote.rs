//! `--remote`: the quality service measures what the services hold, as a job that goes on without this command.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use flame_api::quality::Inspection;
use flame_api::quality::jobs::{GateVerdict, JobState, Measuring, MediaName, NewComparison, NewInspection, ResultFile};
use flame_api::{Client, ClientError};
use flame_quality::gate::Verdict;
use flame_quality::junit;
use uuid::Uuid;

use super::{Verdicts, alignment, cases, judge, print, write_junit};
use crate::args::{Compare, Global, Inspect};
use crate::connection;
use crate::exit::Exit;
use crate::output::{self, Progress};

/// How often a job is asked how far it is.
const POLL: Duration = Duration::from_millis(250);
/// Times in a row that the service may not answer while a job is followed (it may be restarting).
const SILENCES_MAX: u32 = 60;

pub async fn compare(global: &Global, args: &Compare) -> Result<(), Exit> {
    let client = connection::client(global);
    let new = NewComparison {
        id: Uuid::now_v7(),
        reference: name(global, &args.reference)?,
        distorted: name(global, &args.distorted)?,
        metrics: args.metrics.clone(),
        gates: args.gates.iter().map(ToString::to_string).collect(),
        subsample: args.subsample,
        frames_max: args.frames,
        confidence_min: args.confidence,
    };
    client.create_comparison(&new).await?;
    let get = || async {
        let job = client.comparison(new.id).await?;
        Ok(job.map(|job| (job.standing, job.result)))
    };
    let class = format!("{} against {}", new.distorted, new.reference);
    let begun = std::time::Instant::now();
    let followed = follow(global.json, new.id, "comparing", get).await;
    let time_s = begun.elapsed().as_secs_f64();
    let (gates, comparison) = match followed {
        Ok(ended) => ended,
        Err(exit) => {
            let outcome = junit::Outcome::Error(exit.message());
            let case = junit::Case { class, name: "measured".to_owned(), time_s, outcome };
            write_junit(args.junit.as_deref(), &[case])?;
            return Err(exit);
        }
    };
    let verdicts = verdicts(gates);
    for (path, file) in [(&args.csv, ResultFile::FramesCsv), (&args.html, ResultFile::Report)] {
        if let Some(path) = path {
            save(&client, new.id, file, path).await?;
        }
    }
    let summary = format!("{} pairs of frames{}", comparison.scored_frames, alignment(&comparison));
    write_junit(args.junit.as_deref(), &cases(&class, &verdicts, summary, time_s))?;
    if global.json {
        let document = client.comparison_file(new.id, ResultFile::FramesJson).await?;
        output::print_line(&document.text().await.context("read the result")?)?;
    } else {
        print(&comparison)?;
    }
    judge(global, &verdicts, &comparison)
}

pub async fn inspect(global: &Global, args: &Inspect) -> Result<(Inspection, Verdicts), Exit> {
    let client = connection::client(global);
    let new = NewInspection {
        id: Uuid::now_v7(),
        media: name(global, &args.media)?,
        shortest_s: args.shortest.0.as_secs_f64(),
        gates: args.gates.iter().map(ToString::to_string).collect(),
    };
    client.create_inspection(&new).await?;
    let get = || async {
        let job = client.inspection(new.id).await?;
        Ok(job.map(|job| (job.standing, job.result)))
    };
    let (gates, inspection) = follow(global.json, new.id, "inspecting", get).await?;
    Ok((inspection, verdicts(gates)))
}

/// What the service calls it.
fn name(global: &Global, text: &str) -> Result<MediaName, Exit> {
    let router = global.router.as_str().trim_end_matches('/');
    let text = text.strip_prefix(router).unwrap_or(text);
    text.parse().map_err(|why: String| {
        Exit::usage(anyhow!("{why}; files are uploaded first (`flame ingest FILE`), or measured without --remote"))
    })
}

/// Follows a job to its end; gives what its gates say, and what was measured.
pub async fn follow<T, Asking>(
    quiet: bool,
    id: Uuid,
    what: &str,
    get: impl Fn() -> Asking,
) -> Result<(Vec<GateVerdict>, T), Exit>
where
    Asking: Future<Output = Result<Option<(Measuring, Option<T>)>, ClientError>>,
{
    let mut bar = Progress::new(what, quiet);
    let mut silences = 0;
    let (standing, result) = loop {
        match get().await {
            Ok(Some((standing, result))) => {
                silences = 0;
                bar.set(standing.progress, standing.state.word());
                if standing.state.is_final() {
                    break (standing, result);
                }
            }
            Ok(None) => return Err(Exit::not_carried_out(anyhow!("job {id} is gone"))),
            Err(error) if error.is_transient() && silences < SILENCES_MAX => silences += 1,
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(POLL).await;
    };
    bar.finish();
    match (standing.state, result) {
        (JobState::Succeeded, Some(result)) => Ok((standing.gates, result)),
        (state, _) => {
            let why = standing.error.unwrap_or_else(|| format!("it is {}", state.word()));
            Err(Exit::not_carried_out(anyhow!("job {id}: {why}")))
        }
    }
}

fn verdicts(gates: Vec<GateVerdict>) -> Verdicts {
    let verdict = |gate: GateVerdict| {
        let said = match gate.measured {
            Some(measured) => Ok(Verdict { measured, passes: gate.passed }),
            None => Err(gate.why.unwrap_or_default()),
        };
        (gate.gate, said)
    };
    gates.into_iter().map(verdict).collect()
}

/// Writes a file of a comparison, block after block.
async fn save(client: &Client, id: Uuid, file: ResultFile, path: &Path) -> Result<(), Exit> {
    let mut answer = client.comparison_file(id, file).await?;
    let failed = || format!("write {}", path.display());
    let mut to = std::fs::File::create(path).with_context(failed)?;
    while let Some(block) = answer.chunk().await.with_context(|| format!("read {} of job {id}", file.name()))? {
        std::io::Write::write_all(&mut to, &block).with_context(failed)?;
    }
    Ok(())
}

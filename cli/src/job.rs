//! `flame job`: conditioning jobs, listed, watched and cancelled.

mod stages;

use std::time::Duration;

use anyhow::{Context, anyhow};
use flame_api::Client;
use flame_api::transcode::{Job, JobQuery, JobState, NewJob};
use stages::Stages;
use uuid::Uuid;

use crate::args::{self, Global, JobCommand};
use crate::chain::{self, Wanted};
use crate::connection;
use crate::exit::Exit;
use crate::output::{self, Progress};

/// How often a job is asked how far it is.
const POLL: Duration = Duration::from_millis(250);
/// Times in a row that the service may not answer while a job is followed (it may be restarting).
const SILENCES_MAX: u32 = 60;
/// Items asked for at once.
const PAGE: usize = 200;

pub async fn run(global: &Global, args: args::Job) -> Result<(), Exit> {
    let client = connection::client(global);
    match args.command {
        JobCommand::List { limit } => list(global, &client, limit).await,
        JobCommand::Start { id, chain, set } => start(global, &client, id, chain::wanted(&chain, &set)?).await,
        JobCommand::Watch { id } => watch(global, &client, id).await,
        JobCommand::Cancel { id } => {
            let job = client.cancel_job(id).await?;
            if global.json {
                output::print_json(&job)
            } else {
                let said = match job.state {
                    JobState::Cancelled => "is cancelled".to_owned(),
                    JobState::Queued | JobState::Running => "is being cancelled".to_owned(),
                    JobState::Succeeded | JobState::Failed => format!("had {} before", job.state.word()),
                };
                output::print_line(&format!("job {id} {said}"))
            }
        }
    }
}

/// Conditions an asset that is there: uploaded with `--chain none`, or whose job failed or was cancelled.
async fn start(global: &Global, client: &Client, id: Uuid, wanted: Wanted) -> Result<(), Exit> {
    let job = queue(client, id, wanted).await?;
    if global.json {
        return output::print_json(&job);
    }
    output::print_line(&format!("job {} is {}; `flame job watch {}` follows it", job.id, job.state.word(), job.id))
}

/// Queues a job for an asset that is there.
pub async fn queue(client: &Client, id: Uuid, wanted: Wanted) -> Result<Job, Exit> {
    let asset = client.asset(id).await?.ok_or_else(|| Exit::failed(anyhow!("there is no asset {id}")))?;
    let Wanted { name: chain, document, parameters } = wanted;
    let (source_key, probe) = (asset.source.key, asset.probe);
    let job = NewJob { id: Uuid::now_v7(), chain, document, parameters, asset_id: id, source_key, probe };
    Ok(client.create_job(&job).await?)
}

async fn list(global: &Global, client: &Client, limit: usize) -> Result<(), Exit> {
    let mut query = JobQuery::default();
    let mut jobs = Vec::new();
    while jobs.len() < limit {
        query.limit = u32::try_from((limit - jobs.len()).min(PAGE)).ok();
        let page = client.jobs(&query).await?;
        jobs.extend(page.items);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    if global.json {
        return output::print_json(&jobs);
    }
    if jobs.is_empty() {
        return output::print_line("no jobs");
    }
    let headings = ["job", "chain", "asset", "state", "done", "attempt", "created", "error"];
    let has_errors = jobs.iter().any(|job| job.error.is_some());
    let shown = if has_errors { &headings[..] } else { &headings[..7] };
    let mut table = output::table(shown);
    for job in &jobs {
        let cells = [
            job.id.to_string(),
            job.chain.clone(),
            job.asset_id.to_string(),
            job.state.word().to_owned(),
            format!("{:.0} %", job.progress * 100.0),
            job.attempt.to_string(),
            output::moment(job.created_at),
            job.error.clone().unwrap_or_default(),
        ];
        table.add_row(cells.into_iter().take(shown.len()));
    }
    output::wrap_only(&mut table, 7);
    output::narrow(&mut table, &[5, 1, 6]);
    output::print_line(&table.trim_fmt())
}

/// Follows a job to its end, with a bar for each stage.
pub async fn watch(global: &Global, client: &Client, id: Uuid) -> Result<(), Exit> {
    if client.job(id).await?.is_none() {
        return Err(Exit::failed(anyhow!("there is no job {id}")));
    }
    let mut stages = Stages::new(global.json);
    let job = followed(client, id, |job| stages.set(&job.stages)).await?;
    drop(stages);
    if global.json {
        output::print_json(&job)?;
    } else {
        stages::print(&job)?;
        output::print_line(&format!("job {id} {}", job.state.word()))?;
    }
    match job.state {
        JobState::Succeeded => Ok(()),
        JobState::Failed | JobState::Cancelled | JobState::Queued | JobState::Running => {
            let reason = job.error.unwrap_or_else(|| job.state.word().to_owned());
            Err(Exit::failed(anyhow!("job {id}: {reason}")))
        }
    }
}

/// Follows a job to its end, with a bar called `name`.
pub async fn follow(client: &Client, id: Uuid, name: &str, quiet: bool) -> anyhow::Result<Job> {
    let mut bar = Progress::new(name, quiet);
    let ended = followed(client, id, |job| bar.set(job.progress, &job.stage)).await?;
    bar.finish();
    Ok(ended)
}

/// Follows a job to its end; `show` sees it each time.
async fn followed(client: &Client, id: Uuid, mut show: impl FnMut(&Job)) -> anyhow::Result<Job> {
    let mut silences = 0;
    loop {
        match client.job(id).await {
            Ok(job) => {
                let job = job.with_context(|| format!("job {id} is gone"))?;
                silences = 0;
                show(&job);
                if job.state.is_final() {
                    return Ok(job);
                }
            }
            Err(error) if error.is_transient() && silences < SILENCES_MAX => silences += 1,
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(POLL).await;
    }
}

//! `flame ingest`: files and URLs go up, and, unless told otherwise, are followed until they play.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use flame_api::Client;
use flame_api::ingest::{NewPull, Upload, UploadState};
use flame_api::metadata::Conditioning;
use flame_api::subtitles::SubtitleQuery;
use flame_api::transcode::{ChainCheck, Job, JobState};
use serde::Serialize;
use uuid::Uuid;

use crate::args::{Global, Ingest};
use crate::chain::{self, Wanted};
use crate::connection;
use crate::exit::Exit;
use crate::manifest::{self, Entry};
use crate::output::{self, Progress};
use crate::{job, subtitles, upload};

/// What is said instead of a chain where none is to run.
const NO_CHAIN: &str = "none";
/// How often a state is asked for.
const POLL: Duration = Duration::from_millis(200);
/// Times in a row that ingest may not answer meanwhile (it may be restarting).
const SILENCES_MAX: u32 = 60;

/// What became of one source.
#[derive(Debug, Clone, Serialize)]
pub struct Ingested {
    /// The path or URL.
    pub source: String,
    /// The upload's, and so the asset's, identifier.
    pub id: Uuid,
    /// Its conditioning job, if there is one.
    pub job: Option<Job>,
    /// Where it plays, once it does.
    pub play_url: Option<url::Url>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// How far a source has come, for whoever interrupts it.
#[derive(Debug, Clone, Copy)]
enum Reached {
    /// Nothing is stored, or nothing is left to do.
    Nothing,
    /// Bytes of this upload may be stored.
    Upload(Uuid),
    /// This job is queued or runs.
    Job(Uuid),
}

pub async fn run(global: &Global, args: Ingest) -> Result<(), Exit> {
    // What is more than a name goes to who conditions, once the source is registered.
    let wanted = chain::wanted(&args.chain, &args.set)?;
    let wanted = (wanted.document.is_some() || !wanted.parameters.is_empty()).then_some(wanted);
    let chain = if wanted.is_some() { NO_CHAIN.to_owned() } else { args.chain };
    let entries = match &args.manifest {
        Some(manifest) => manifest::read(manifest, &chain).map_err(Exit::usage)?,
        None if args.sources.is_empty() => return Err(Exit::usage(anyhow!("name a file, a URL or a manifest"))),
        None if args.sources.len() > 1 && args.title.is_some() => {
            return Err(Exit::usage(anyhow!("a title is for one source; a manifest gives each its own")));
        }
        None => {
            let entry = |source| Entry {
                source,
                title: args.title.clone(),
                chain: chain.clone(),
                subtitles: Vec::new(),
                line: None,
            };
            args.sources.into_iter().map(entry).collect()
        }
    };
    // Missing files are found before the first byte is sent.
    for entry in &entries {
        if let Some((scheme, _)) = entry.source.split_once("://").filter(|_| !entry.is_url()) {
            return Err(Exit::usage(anyhow!("{}: http and https URLs are pulled, not {scheme}", entry.source)));
        }
        let files = entry.subtitles.iter().map(|(_, file)| file.as_path());
        for file in files.chain((!entry.is_url()).then_some(Path::new(&entry.source))) {
            is_file(file).map_err(Exit::usage)?;
        }
    }
    let client = connection::client(global);
    match &wanted {
        Some(wanted) => check(&client, wanted).await?,
        None => known_chains(&client, &entries).await?,
    }
    let mut results = Vec::with_capacity(entries.len());
    for entry in &entries {
        let reached = Cell::new(Reached::Nothing);
        let result = tokio::select! {
            result = one(&client, entry, wanted.as_ref(), args.no_wait, global.json, &reached) => result,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                let left = give_up(&client, reached.get()).await;
                return Err(Exit::not_carried_out(anyhow!("{}: interrupted; {left}", entry.source)));
            }
        };
        let failure = result.as_ref().err().map(|error| format!("{error:#}"));
        match result {
            Ok(ingested) => {
                // A single one that failed is said at the end.
                if !global.json && (entries.len() > 1 || ingested.error.is_none()) {
                    output::print_line(&describe(&ingested))?;
                }
                results.push(ingested);
            }
            Err(error) if entries.len() == 1 => return Err(error.into()),
            Err(error) if Exit::is_of_all(&error) => {
                if global.json {
                    output::print_json(&results)?;
                }
                eprintln!("flame: {}: {} of {} were brought in before it", entry.source, results.len(), entries.len());
                return Err(error.into());
            }
            Err(_) => {
                let error = failure;
                eprintln!("flame: {}: {}", entry.source, error.as_deref().unwrap_or_default());
                results.push(Ingested {
                    source: entry.source.clone(),
                    id: Uuid::nil(),
                    job: None,
                    play_url: None,
                    error,
                });
            }
        }
    }
    if global.json {
        output::print_json(&results)?;
    }
    let failed: Vec<_> = results.iter().filter_map(|result| result.error.as_deref()).collect();
    match failed.as_slice() {
        [] => Ok(()),
        [reason] if results.len() == 1 => Err(Exit::failed(anyhow!(blame(&results[0].source, reason)))),
        _ => Err(Exit::failed(anyhow!("{} of {} failed", failed.len(), results.len()))),
    }
}

/// Fails if a source wants a chain that nobody runs: before its first byte is sent.
async fn known_chains(client: &Client, entries: &[Entry]) -> Result<(), Exit> {
    if entries.iter().all(|entry| entry.chain == NO_CHAIN) {
        return Ok(());
    }
    let known = match client.chains().await {
        Ok(known) => known,
        // Who conditions may come back before the upload is complete; ingest asks again.
        Err(error) if error.status().is_some() && error.is_transient() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut known: Vec<_> = known.items.into_iter().map(|chain| chain.name).collect();
    known.push(NO_CHAIN.to_owned());
    let Some(entry) = entries.iter().find(|entry| !known.contains(&entry.chain)) else { return Ok(()) };
    let line = entry.line.map(|line| format!("line {line}: ")).unwrap_or_default();
    Err(Exit::usage(anyhow!("{line}there is no chain `{}`; there are {}", entry.chain, known.join(", "))))
}

/// Fails if a chain that is not just a name cannot be run here: before the first byte is sent.
async fn check(client: &Client, wanted: &Wanted) -> Result<(), Exit> {
    let document = match &wanted.document {
        Some(document) => document.clone(),
        None => {
            let chain = client.chain(&wanted.name).await?;
            let unknown = || Exit::usage(anyhow!("there is no chain `{}`; `flame chain list` names them", wanted.name));
            chain.ok_or_else(unknown)?.document
        }
    };
    let checked = client.check_chain(&ChainCheck { document, parameters: wanted.parameters.clone() }).await;
    match checked {
        Ok(_) => Ok(()),
        Err(error) if error.status() == Some(422) => Err(Exit::usage(error)),
        Err(error) => Err(error.into()),
    }
}

/// Uploads a clip, waits until `chain` has conditioned it, and says where it plays and how it was made.
pub async fn conditioned(client: &Client, clip: &Path, chain: &str) -> anyhow::Result<(String, Option<Conditioning>)> {
    let source = clip.to_string_lossy().into_owned();
    let entry = Entry { source, title: None, chain: chain.to_owned(), subtitles: Vec::new(), line: None };
    let ingested = one(client, &entry, None, false, true, &Cell::new(Reached::Nothing)).await?;
    if let Some(reason) = ingested.error {
        return Err(anyhow!("the chain {chain} failed: {reason}"));
    }
    let asset = client.asset(ingested.id).await?;
    let made = asset.and_then(|asset| asset.version).and_then(|version| version.conditioning);
    let url = ingested.play_url.map(String::from).with_context(|| format!("after the chain {chain} nothing plays"))?;
    Ok((url, made))
}

/// Brings in a file or URL without a word, and waits until the catalogue has it; its identifier.
pub async fn brought(client: &Client, source: &str, title: Option<&str>, chain: &str) -> anyhow::Result<Uuid> {
    let (source, title) = (source.to_owned(), title.map(str::to_owned));
    let entry = Entry { source, title, chain: chain.to_owned(), subtitles: Vec::new(), line: None };
    let ingested = one(client, &entry, None, true, true, &Cell::new(Reached::Nothing)).await?;
    ingested.error.map_or(Ok(ingested.id), |reason| Err(anyhow!(reason)))
}

/// Fails unless `path` is a file.
pub fn is_file(path: &Path) -> anyhow::Result<()> {
    let metadata = std::fs::metadata(path).with_context(|| format!("open {}", path.display()))?;
    ensure!(metadata.is_file(), "{} is not a file", path.display());
    Ok(())
}

/// Brings one source in and, unless `no_wait`, follows it to its end.
async fn one(
    client: &Client,
    entry: &Entry,
    wanted: Option<&Wanted>,
    no_wait: bool,
    quiet: bool,
    reached: &Cell<Reached>,
) -> anyhow::Result<Ingested> {
    let id = if entry.is_url() {
        let pull = NewPull { url: entry.source.clone(), title: entry.title.clone(), chain: Some(entry.chain.clone()) };
        let id = client.pull(&pull).await?.id;
        reached.set(Reached::Upload(id));
        id
    } else {
        let path = Path::new(&entry.source);
        let wanted = upload::Upload { path, title: entry.title.as_deref(), chain: &entry.chain };
        let (id, length) = upload::create(client, &wanted).await?;
        reached.set(Reached::Upload(id));
        let mut bar = Progress::new("upload", quiet);
        let mut progress = |done, length| bar.set(share(done, length), &output::size_of(done, length));
        let sent = upload::fill(client, id, path, length, &mut progress).await;
        bar.finish();
        sent?;
        id
    };
    let upload = registered(client, id).await?;
    reached.set(upload.job_id.map_or(Reached::Nothing, Reached::Job));
    let mut ingested = Ingested { source: entry.source.clone(), id, job: None, play_url: None, error: upload.error };
    if ingested.error.is_none() {
        ingested.error = add_subtitles(client, id, &entry.subtitles).await;
    }
    let mut job_id = upload.job_id;
    if let (Some(wanted), None) = (wanted, &ingested.error) {
        match job::queue(client, id, wanted.clone()).await {
            Ok(job) => job_id = Some(job.id),
            Err(error) => {
                ingested.error = Some(format!("asset {id} is registered, and not conditioned: {}", error.message()))
            }
        }
        reached.set(job_id.map_or(Reached::Nothing, Reached::Job));
    }
    if let (Some(job_id), false, None) = (job_id, no_wait, &ingested.error) {
        let job = job::follow(client, job_id, "condition", quiet).await?;
        ingested.play_url = (job.state == JobState::Succeeded).then(|| connection::play_url(client.router(), id));
        ingested.error = match job.state {
            JobState::Succeeded => None,
            JobState::Cancelled => Some("its job was cancelled".to_owned()),
            JobState::Failed | JobState::Queued | JobState::Running => {
                Some(job.error.clone().unwrap_or_else(|| "its job did not end".to_owned()))
            }
        };
        ingested.job = Some(job);
    } else if ingested.error.is_none() && connection::plays(client, id).await {
        // As it was uploaded, until something better is made of it.
        ingested.play_url = Some(connection::play_url(client.router(), id));
    }
    Ok(ingested)
}

/// Adds subtitles to an asset that is registered; says what went wrong.
async fn add_subtitles(client: &Client, id: Uuid, subtitles: &[(String, PathBuf)]) -> Option<String> {
    for (language, file) in subtitles {
        let query = SubtitleQuery { language: Some(language.clone()), ..SubtitleQuery::default() };
        if let Err(exit) = subtitles::add(client, id, file, &query).await {
            return Some(format!("asset {id} is registered without these subtitles: {}", exit.message()));
        }
    }
    None
}

/// Ends what was interrupted, as far as nobody else has begun with it. Says what is left.
async fn give_up(client: &Client, reached: Reached) -> String {
    match reached {
        Reached::Nothing => "nothing is left to do".to_owned(),
        Reached::Upload(id) => match upload::end(client, id).await {
            Ok(()) => "what had been uploaded is deleted".to_owned(),
            Err(_) => format!("upload {id} stays for a day, or is registered if all of it had come"),
        },
        Reached::Job(id) => {
            format!("its job goes on: `flame job watch {id}` follows it, `flame job cancel {id}` ends it")
        }
    }
}

/// Waits until ingest has registered the upload or refused it.
pub async fn registered(client: &Client, id: Uuid) -> anyhow::Result<Upload> {
    let mut silences = 0;
    loop {
        match client.upload(id).await {
            Ok(upload) => {
                let upload = upload.context("the upload is gone: somebody ended it")?;
                silences = 0;
                match upload.state {
                    UploadState::Done | UploadState::Failed => return Ok(upload),
                    UploadState::Receiving | UploadState::Processing => {}
                }
            }
            Err(error) if error.is_transient() && silences < SILENCES_MAX => silences += 1,
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// `done` of `length` as a fraction.
#[allow(clippy::cast_precision_loss, reason = "for a progress bar")]
pub fn share(done: u64, length: u64) -> f64 {
    if length == 0 { 1.0 } else { done as f64 / length as f64 }
}

/// The reason with what it is about, once: reasons of pulls begin with the URL.
fn blame(source: &str, reason: &str) -> String {
    if reason.starts_with(source) { reason.to_owned() } else { format!("{source}: {reason}") }
}

fn describe(ingested: &Ingested) -> String {
    let Ingested { source, id, job, play_url, error } = ingested;
    match (error, play_url, job) {
        (Some(error), _, _) => format!("{source}: failed: {error}"),
        (None, Some(url), _) => format!("{source}: asset {id} plays at {url}"),
        (None, None, _) => format!("{source}: asset {id} is registered"),
    }
}

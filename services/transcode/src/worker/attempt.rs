//! One attempt at a job: take what was made before, fetch, encode the rest, store, commit; publish; succeed.
//!
//! Every step can be done twice with the same effect, so an attempt that dies anywhere is simply followed by another.
//! Until the commit nothing can be seen by anybody; after it nothing is encoded again.

mod chunked;

use std::time::Duration;

use flame_api::metadata::Conditioning;
use flame_chain::Chain;
use flame_jobs::attempt::{self, Unfinished, failed, media_trouble};
use flame_jobs::hold::{Cause, Held, Hold};
use flame_jobs::job::{Phase, Refused, Report};
use flame_jobs::metrics::AttemptEnd;
use flame_jobs::patience::{GaveUp, Patience};
use flame_jobs::queue::ReportError;
use flame_jobs::scratch::JobFolder;
use flame_media_child::Call;
use flame_media_child::protocol::{Agreed, Fault, LadderPlan, Outcome, Request};
use flame_object_store::StoreError;
use flame_quality::gate::Gate;
use flame_service_host::fault;
use flame_service_host::problem::chain;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::gates::Checking;
use super::reuse::Reusing;
use super::{Worker, catalogue, tracks};
use crate::chains;
use crate::config::JobConfig;
use crate::plan::{self, Means, Plan, PlanError};
use crate::reuse::{Keys, Taken};
use crate::stage::{Progress, Stage};
use crate::store::Claimed;
use crate::version::{self, Made};

/// File name of the source in the job's folder.
const SOURCE: &str = "source";
/// Share of the tracks' largest possible size that must be free: a cap is rarely reached for long.
const EXPECTED_PERCENT: u64 = 50;
/// Duration that is assumed where the probe found none, for the deadline.
const UNKNOWN_DURATION: Duration = Duration::from_secs(3600);

/// Makes one attempt at `job`, and reports how it went.
pub(super) async fn run(worker: &Worker, job: Claimed, stop: CancellationToken) {
    let lease = job.lease;
    tracing::info!(job = %job.id, tenant = job.tenant, attempt = job.attempt, phase = ?job.phase, "an attempt begins");
    let stage = if job.phase == Phase::Publishing { Stage::Publishing } else { Stage::Fetching };
    let (hold, board) = (Hold::new(Progress::start(stage)), Board::default());
    let attempt = Attempt { worker, job: &job, hold: &hold, board: &board };
    let held = Held { changes: worker.store.queue().changes(), lease, life: worker.config.lease.0 };
    let board = &board;
    let renew = |progress| async move { worker.store.renew(lease, progress, &board.stages()).await };
    let result = hold.during(held, &stop, renew, attempt.steps()).await;
    let cause = hold.abort().cause();
    if cause == Some(Cause::LeaseLost) {
        tracing::warn!(job = %job.id, "the attempt's lease was lost; another one goes on");
        worker.metrics.jobs.attempt_ended(AttemptEnd::LeaseLost);
        return;
    }
    if let Err(Unfinished::Failed { fault, reason }) = &result {
        tracing::warn!(job = %job.id, ?fault, reason, "the attempt failed");
    }
    let (end, report) = result.map_or_else(Unfinished::report, |()| (AttemptEnd::Succeeded, Report::Succeed));
    worker.metrics.jobs.attempt_ended(end);
    board.end(cause);
    let stages = board.stages();
    if !stages.is_empty()
        && let Err(error) = worker.store.note_stages(lease, &stages).await
    {
        tracing::warn!(job = %job.id, error = chain(&error), "how far the stages were is not noted");
    }
    tracing::info!(job = %job.id, ?end, ?cause, "the attempt ended");
    attempt::say(lease, worker.config.lease.0, || worker.store.queue().report(lease, report.clone())).await;
}

/// An attempt under way.
struct Attempt<'a> {
    worker: &'a Worker,
    job: &'a Claimed,
    hold: &'a Hold<Progress>,
    board: &'a Board,
}

// === impl Attempt ===

impl Attempt<'_> {
    async fn steps(&self) -> Result<(), Unfinished> {
        let made = match (self.job.phase, &self.job.made) {
            (Phase::Publishing, Some(made)) => {
                self.board.go_on(self.job.stages.clone());
                made.clone()
            }
            _ => self.make().await?,
        };
        self.at(Stage::Publishing, 0.0);
        catalogue::publish(self.worker, self.job, made, self.hold.abort().token()).await?;
        fault::point("job-published");
        self.board.finish(|_| true);
        Ok(())
    }

    async fn make(&self) -> Result<Made, Unfinished> {
        let (worker, job) = (self.worker, self.job);
        let wanted = chains::resolve(&job.chain, job.document.as_deref(), &job.parameters);
        let wanted = wanted.map_err(|error| failed(Fault::Input, format!("the chain cannot be run: {error}")))?;
        let board = self.board;
        board.begin(&wanted);
        let plan = self.plan(&wanted).await?;
        let prefix = version::prefix(&job.tenant, job.asset_id, &version::of_job(job.id));
        let folder = worker
            .scratch
            .job_folder(job.lease)
            .map_err(|error| failed(Fault::Environment, format!("no folder for the job can be made: {error}")))?;
        board.start(|kind| kind == "decode");
        fault::point("job-begun");
        let abort = self.hold.abort().token();
        let reusing = Reusing { worker, job, folder: folder.path(), prefix: &prefix, board, abort };
        let keys = self.unless_aborted(reusing.keys(&plan.ladder)).await?;
        // After a failure everything is made: whatever it was, what was made before has no part in the next one.
        let sought = keys.as_ref().filter(|_| job.error.is_none());
        let taken = match sought {
            Some(keys) => self.take(&reusing, keys, &wanted, &plan).await?,
            None => Taken::nothing(&plan),
        };
        let rest = taken.rest(&plan);
        // Who has everything needs the source no more, unless a gate compares with it.
        if !rest.stages.is_empty() || wanted.stages.iter().flat_map(|stage| stage.gates()).any(Gate::needs_pictures) {
            self.fetch(&folder, &rest.ladder).await?;
        }
        fault::point("job-fetched");
        let encoded = self.encode(&folder, &rest).await.map_err(|unfinished| match unfinished {
            // A part that cannot be made is not yet the input's fault.
            Unfinished::Failed { reason, .. } if !taken.is_nothing() => failed(Fault::Environment, reason),
            unfinished => unfinished,
        });
        let (fresh, agreed) = encoded?;
        let made = taken.with(fresh.clone());
        fault::point("job-encoded");
        self.check(&folder, &wanted, &plan, &made).await?;
        self.at(Stage::Storing, 0.0);
        board.start(|kind| kind == "package");
        let storing = tracks::Storing {
            objects: &worker.objects,
            prefix: &prefix,
            folder: folder.path(),
            patience: self.patience(),
            is_clear: job.attempt == 1 || sought.is_some(),
            all: &made.tracks,
        };
        // A put that is broken off may still be carried out, after everything else was removed: so when the job is
        // cancelled it is awaited, and the next one is not begun.
        let stored_bytes = tokio::select! {
            () = self.hold.abort().urgent().cancelled() => return Err(Unfinished::Aborted),
            stored = storing.run(&fresh, |fraction| {
                board.advance(|kind| kind == "package", fraction);
                self.at(Stage::Storing, fraction);
            }) => stored?,
        };
        worker.metrics.stored(stored_bytes);
        fault::point("job-stored");
        let outputs = match &keys {
            Some(keys) => reusing.outputs(keys, &made, agreed).await,
            None => Vec::new(),
        };
        drop(folder);
        let (patience, stages) = (self.patience(), board.stages());
        match patience.call(|| worker.store.commit(job.lease, &made, &stages, &outputs)).await {
            Ok(()) => {
                fault::point("job-committed");
                Ok(made)
            }
            // A lost lease shows itself to the keeper, too; nothing more is written in any case.
            Err(
                GaveUp::Aborted | GaveUp::Failed(ReportError::Refused(Refused::CancelRequested | Refused::LeaseLost)),
            ) => Err(Unfinished::Aborted),
            Err(GaveUp::Failed(error)) => Err(failed(Fault::Environment, chain(&error))),
        }
    }

    /// Takes what was made before. Nothing of an earlier attempt is there any more when it begins.
    async fn take(&self, reusing: &Reusing<'_>, keys: &Keys, chain: &Chain, plan: &Plan) -> Result<Taken, Unfinished> {
        if self.job.attempt > 1 {
            let patience = self.patience();
            let cleared = patience.call(|| tracks::clear(&self.worker.objects, reusing.prefix)).await;
            cleared.map_err(store_trouble)?;
        }
        // As when tracks are stored: a copy that is broken off may still be carried out, so it is awaited.
        tokio::select! {
            () = self.hold.abort().urgent().cancelled() => Err(Unfinished::Aborted),
            taken = reusing.take(keys, chain, plan) => taken.ok_or(Unfinished::Aborted),
        }
    }

    /// What the chain makes of this source, with what is installed here.
    async fn plan(&self, chain: &Chain) -> Result<Plan, Unfinished> {
        let (worker, job) = (self.worker, self.job);
        let encoders = worker.encoders.installed().await.map_err(|error| media_trouble(&error))?;
        let means = Means { preset: worker.config.preset.as_str(), encoders: Some(encoders) };
        plan::of(chain, &job.probe, means).map_err(|error| {
            let fault = match error {
                PlanError::NoEncoder { .. } => Fault::Environment,
                _ => Fault::Input,
            };
            failed(fault, error.to_string())
        })
    }

    /// Brings the source into `folder`, if there is room for it and for what is made of it.
    async fn fetch(&self, folder: &JobFolder, plan: &LadderPlan) -> Result<(), Unfinished> {
        let (worker, key) = (self.worker, &self.job.source_key);
        let found = self.patience().call(|| worker.objects.head(key)).await.map_err(store_trouble)?;
        let Some(source) = found else { return Err(self.without_source().await) };
        let tracks_bytes = plan::size_max_bytes(plan) / 100 * EXPECTED_PERCENT;
        let needed_bytes = source.size_bytes.saturating_add(tracks_bytes);
        let free_bytes = worker.scratch.free_bytes().map_err(|error| {
            failed(Fault::Environment, format!("the free space of the scratch folder is not known: {error}"))
        })?;
        if needed_bytes > free_bytes {
            let (needed_mib, free_mib) = (needed_bytes.div_ceil(1 << 20), free_bytes >> 20);
            let reason = format!(
                "the scratch folder's disk is too full: {needed_mib} MiB are needed for the source and its tracks, \
                 {free_mib} MiB are free"
            );
            return Err(failed(Fault::Environment, reason));
        }
        let path = folder.path().join(SOURCE);
        let fetched = async {
            let patience = self.patience();
            patience.call(|| worker.objects.download(key, &path)).await
        };
        match self.unless_aborted(fetched).await? {
            Ok(_) => Ok(()),
            Err(GaveUp::Failed(StoreError::NotFound { .. })) => Err(self.without_source().await),
            Err(gave_up) => Err(store_trouble(gave_up)),
        }
    }

    /// What it means that there is no source: the asset is gone with it, or somebody named a wrong key.
    async fn without_source(&self) -> Unfinished {
        match catalogue::exists(self.worker, self.job, self.hold.abort().token()).await {
            Ok(true) => failed(Fault::Input, format!("the source {} is not in the object store", self.job.source_key)),
            Ok(false) => Unfinished::Orphaned { reason: "the asset was deleted".to_owned() },
            Err(unfinished) => unfinished,
        }
    }

    /// Makes what is `planned`, which may be nothing. Also gives where the tracks begin.
    async fn encode(&self, folder: &JobFolder, planned: &Plan) -> Result<(Made, Option<Agreed>), Unfinished> {
        self.at(Stage::Encoding, 0.0);
        let board = self.board;
        board.start(|kind| kind != "package");
        let conditioning = Some(self.conditioning(planned).await?);
        if planned.stages.is_empty() {
            board.finish(|kind| kind != "package");
            return Ok((Made { conditioning, ..Made::default() }, planned.ladder.agreed));
        }
        let (duration, began) = (Duration::from_millis(planned.ladder.duration_ms), Instant::now());
        let in_chunks = match self.job.error {
            // Whatever it was, chunks have no part in the next attempt.
            Some(_) => None,
            None => match self.encode_in_chunks(folder, planned).await {
                // A part that cannot be made is not yet the input's fault.
                Err(Unfinished::Failed { fault: Fault::Input, reason }) => {
                    tracing::warn!(job = %self.job.id, reason, "chunks cannot be made: it is encoded in one piece");
                    None
                }
                made => made?,
            },
        };
        let (made, agreed) = match in_chunks {
            Some((made, agreed)) => (made, Some(agreed)),
            None => self.encode_in_one_piece(folder, planned).await?,
        };
        let made = Made { conditioning, ..made };
        let checked = tracks::check(folder.path(), &planned.ladder, &made).await;
        checked.map_err(|error| failed(Fault::Environment, chain(&error)))?;
        self.worker.metrics.encoded(duration, began.elapsed());
        board.finish(|kind| kind != "package");
        Ok((made, agreed))
    }

    async fn encode_in_one_piece(
        &self,
        folder: &JobFolder,
        planned: &Plan,
    ) -> Result<(Made, Option<Agreed>), Unfinished> {
        let cancel = self.hold.abort().token();
        let encoding = self.ladder(folder, &planned.ladder, cancel, |fraction, parts| {
            self.board.encoded(&planned.stages, fraction, parts);
            self.at(Stage::Encoding, fraction);
        });
        encoding.await.map(|(made, agreed, _)| (made, agreed))
    }

    /// Has a child make `plan` of the source in `folder`. Tells how much of it is done, and of each track. Also gives where the tracks
    /// begin, and the pictures that the source has if any are needed.
    async fn ladder(
        &self,
        folder: &JobFolder,
        plan: &LadderPlan,
        cancel: &CancellationToken,
        on_progress: impl Fn(f64, &[f64]),
    ) -> Result<(Made, Option<Agreed>, u64), Unfinished> {
        let (fraction, mut fractions) = watch::channel(0.0);
        let (part, parts) = watch::channel(Vec::new());
        let call = Call {
            progress: Some(fraction),
            parts: Some(part),
            deadline: Some(self.deadline(Duration::from_millis(plan.duration_ms))),
            // Not dropped but cancelled: the child has ended when the call returns, and writes no more.
            cancel: cancel.clone(),
        };
        let request = Request::Ladder {
            input: folder.path().join(SOURCE),
            output_dir: folder.path().to_owned(),
            plan: plan.clone(),
        };
        let encoding = self.worker.pool.run(&request, call);
        let passing_on = async {
            while fractions.changed().await.is_ok() {
                let fraction = *fractions.borrow_and_update();
                on_progress(fraction, &parts.borrow());
            }
            std::future::pending().await
        };
        let outcome = tokio::select! {
            outcome = encoding => outcome.map_err(|error| media_trouble(&error))?,
            never = passing_on => never,
        };
        let Outcome::Ladder { tracks, thumbnails, agreed, source_frames, .. } = outcome else {
            return Err(another_answer());
        };
        Ok((Made { tracks, thumbnails, conditioning: None }, agreed, source_frames))
    }

    /// What the catalogue is told of how the version was made.
    async fn conditioning(&self, plan: &Plan) -> Result<Conditioning, Unfinished> {
        let tools = self.worker.encoders.tools().await.map_err(|error| media_trouble(&error))?;
        let document = self.job.document.as_deref().or_else(|| chains::shipped_text(&self.job.chain));
        Ok(Conditioning {
            document_sha256: hex::encode(Sha256::digest(document.unwrap_or_default())),
            parameters: self.job.parameters.clone(),
            encoders: plan.encoders.clone(),
            tools: tools.to_owned(),
        })
    }

    /// Measures whether all tracks pass the gates of their stages.
    async fn check(&self, folder: &JobFolder, chain: &Chain, plan: &Plan, made: &Made) -> Result<(), Unfinished> {
        if chain.stages.iter().all(|stage| stage.gates().is_empty()) {
            return Ok(());
        }
        self.at(Stage::Checking, 0.0);
        let duration = Duration::from_millis(plan.ladder.duration_ms);
        let checking = Checking {
            pool: &self.worker.pool,
            source: &folder.path().join(SOURCE),
            folder: folder.path(),
            plan,
            board: self.board,
            cancel: self.hold.abort().token(),
            deadline: self.deadline(duration),
        };
        checking.run(chain, made, |fraction| self.at(Stage::Checking, fraction)).await
    }

    fn deadline(&self, duration: Duration) -> Duration {
        deadline(&self.worker.config, duration)
    }

    fn patience(&self) -> Patience<'_> {
        Patience { limit: self.worker.config.patience.0, abort: self.hold.abort().token() }
    }

    fn at(&self, stage: Stage, fraction: f64) {
        self.hold.at(Progress { stage, fraction });
    }

    /// Gives up a step that can be dropped anywhere.
    async fn unless_aborted<T>(&self, step: impl Future<Output = T>) -> Result<T, Unfinished> {
        tokio::select! {
            () = self.hold.abort().token().cancelled() => Err(Unfinished::Aborted),
            result = step => Ok(result),
        }
    }
}

/// Time for the work of a media process on so much of a source.
pub(super) fn deadline(config: &JobConfig, duration: Duration) -> Duration {
    let known = if duration.is_zero() { UNKNOWN_DURATION } else { duration };
    let seconds = u32::try_from(known.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
    (config.deadline.0 + config.deadline_per_second.0.saturating_mul(seconds)).min(config.deadline_max.0)
}

/// What a media process said is no answer to what it was asked.
pub(super) fn another_answer() -> Unfinished {
    failed(Fault::Environment, "the media process answered another question".to_owned())
}

/// Trouble with the object store is never the input's fault.
pub(super) fn store_trouble(gave_up: GaveUp<StoreError>) -> Unfinished {
    match gave_up {
        GaveUp::Aborted => Unfinished::Aborted,
        GaveUp::Failed(error) => failed(Fault::Environment, chain(&error)),
    }
}

//! One attempt at a job: find the media, measure it, judge it, put the files in place, say so.
//!
//! Every step can be done twice with the same effect, so an attempt that dies anywhere is simply followed by another.

use flame_api::quality::Scores;
use flame_api::quality::jobs::{NewComparison, NewInspection};
use flame_jobs::attempt::{self, Unfinished, failed, media_trouble};
use flame_jobs::hold::{Cause, Held, Hold};
use flame_jobs::metrics::AttemptEnd;
use flame_jobs::scratch::JobFolder;
use flame_media_child::Call;
use flame_media_child::protocol::{ComparePlan, Fault, InspectPlan, Outcome, Request};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fetch::{self, Input};
use super::{Worker, files};
use crate::store::{Claimed, Measured};
use crate::verdict::{self, Asked, Found};

/// File name of the scores of single frames in the attempt's folder.
const SCORES: &str = "scores.json";
/// Share of a job that measuring is; the rest draws and writes.
const MEASURING: f64 = 0.95;
/// Makes one attempt at `job`, and reports how it went.
pub(super) async fn run(worker: &Worker, job: Claimed, stop: CancellationToken) {
    let lease = job.lease;
    tracing::info!(job = %job.id, tenant = job.tenant, attempt = job.attempt, "an attempt begins");
    let began = Instant::now();
    let hold = Hold::new(0.0);
    let attempt = Attempt { worker, job: &job, hold: &hold };
    let held = Held { changes: worker.store.queue().changes(), lease, life: worker.config.lease.0 };
    let renew = |progress| worker.store.renew(lease, progress);
    let result = hold.during(held, &stop, renew, attempt.steps()).await;
    if hold.abort().cause() == Some(Cause::LeaseLost) {
        tracing::warn!(job = %job.id, "the attempt's lease was lost; another one goes on");
        worker.metrics.jobs.attempt_ended(AttemptEnd::LeaseLost);
        return;
    }
    if let Err(Unfinished::Failed { fault, reason }) = &result {
        tracing::warn!(job = %job.id, ?fault, reason, "the attempt failed");
    }
    let life = worker.config.lease.0;
    match result {
        Ok(measured) => {
            worker.metrics.jobs.attempt_ended(AttemptEnd::Succeeded);
            worker.metrics.measured(began.elapsed());
            tracing::info!(job = %job.id, "the attempt succeeded");
            attempt::say(lease, life, || worker.store.succeed(lease, &measured)).await;
        }
        Err(unfinished) => {
            let (end, report) = unfinished.report();
            worker.metrics.jobs.attempt_ended(end);
            tracing::info!(job = %job.id, ?end, "the attempt ended");
            attempt::say(lease, life, || worker.store.queue().report(lease, report.clone())).await;
        }
    }
}

/// An attempt under way.
struct Attempt<'a> {
    worker: &'a Worker,
    job: &'a Claimed,
    hold: &'a Hold<f64>,
}

// === impl Attempt ===

impl Attempt<'_> {
    async fn steps(&self) -> Result<Measured, Unfinished> {
        let folder = self.worker.scratch.job_folder(self.job.lease);
        let folder = folder
            .map_err(|error| failed(Fault::Environment, format!("no folder for the job can be made: {error}")))?;
        match &self.job.asked {
            Asked::Comparison(asked) => self.compare(asked, &folder).await,
            Asked::Inspection(asked) => self.inspect(asked, &folder).await,
        }
    }

    async fn compare(&self, asked: &NewComparison, folder: &JobFolder) -> Result<Measured, Unfinished> {
        let reference = self.input(&asked.reference, folder, "0").await?;
        let distorted = self.input(&asked.distorted, folder, "1").await?;
        let follow_playlists = reference.follow_playlists || distorted.follow_playlists;
        let frames_max = self.worker.config.frames_max;
        let plan = ComparePlan {
            reference: reference.address.clone(),
            distorted: distorted.address.clone(),
            follow_playlists,
            reference_form: None,
            distorted_form: None,
            metrics: flame_quality::columns::ordered(&asked.metrics),
            frames_max: Some(asked.frames_max.unwrap_or(frames_max).min(frames_max)),
            subsample: asked.subsample,
            threads: self.threads(),
            confidence_min: asked.confidence_min,
        };
        let scores_path = folder.path().join(SCORES);
        let outcome = self.ask(Request::Compare { plan, output: scores_path.clone() }).await?;
        let Outcome::Compare { mut comparison } = outcome else { return Err(misunderstood()) };
        // Where they lay on the way says nothing to the caller.
        comparison.reference.input = asked.reference.to_string();
        comparison.distorted.input = asked.distorted.to_string();
        let plan = files::sheets(&comparison, reference.address, distorted.address, follow_playlists);
        if !plan.pairs.is_empty() {
            let output_dir = folder.path().to_owned();
            let Outcome::Sheets = self.ask(Request::Sheets { plan, output_dir }).await? else {
                return Err(misunderstood());
            };
        }
        let (found, version) = (Found::Comparison(comparison.clone()), distorted.version.clone());
        let gates = verdict::judge(&asked.gates, &found);
        let (results, seq, path) = (self.worker.results.clone(), self.job.lease.seq, folder.path().to_owned());
        let kept = gates.clone();
        let written = tokio::task::spawn_blocking(move || {
            let scores = std::fs::read(&scores_path).map_err(|error| format!("read the scores: {error}"))?;
            let scores: Scores =
                serde_json::from_slice(&scores).map_err(|error| format!("the scores are damaged: {error}"))?;
            let draft = files::write(&path, &comparison, &scores, &kept)
                .map_err(|(path, error)| format!("write {}: {error}", path.display()))?;
            results.put(seq, &draft).map_err(|error| format!("put the files in place: {error}"))
        });
        let written = written.await.unwrap_or_else(|error| Err(error.to_string()));
        written.map_err(|reason| failed(Fault::Environment, reason))?;
        Ok(Measured { found, gates, version })
    }

    async fn inspect(&self, asked: &NewInspection, folder: &JobFolder) -> Result<Measured, Unfinished> {
        let Input { address, follow_playlists, version } = self.input(&asked.media, folder, "0").await?;
        let plan = InspectPlan { input: address, follow_playlists, shortest_s: asked.shortest_s };
        let outcome = self.ask(Request::Inspect { plan }).await?;
        let Outcome::Inspect { mut inspection } = outcome else { return Err(misunderstood()) };
        inspection.input = asked.media.to_string();
        let found = Found::Inspection(inspection);
        let gates = verdict::judge(&asked.gates, &found);
        Ok(Measured { found, gates, version })
    }

    async fn input(
        &self,
        name: &flame_api::quality::jobs::MediaName,
        folder: &JobFolder,
        file: &str,
    ) -> Result<Input, Unfinished> {
        fetch::input(self.worker, &self.job.tenant, name, folder, file, self.hold.abort().token()).await
    }

    /// Has a media process do something.
    async fn ask(&self, request: Request) -> Result<Outcome, Unfinished> {
        let (fraction, mut fractions) = watch::channel(0.0);
        let call = Call {
            progress: Some(fraction),
            deadline: Some(self.worker.config.deadline.0),
            // Not dropped but cancelled: the child has ended when the call returns, and writes no more.
            cancel: self.hold.abort().token().clone(),
            ..Call::default()
        };
        let measuring = self.worker.pool.run(&request, call);
        let passing_on = async {
            while fractions.changed().await.is_ok() {
                self.hold.at(MEASURING * *fractions.borrow_and_update());
            }
            std::future::pending().await
        };
        tokio::select! {
            outcome = measuring => outcome.map_err(|error| media_trouble(&error)),
            never = passing_on => never,
        }
    }

    fn threads(&self) -> u32 {
        match self.worker.config.threads {
            0 => {
                std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(64).min(64))
            }
            threads => threads.min(64),
        }
    }
}

fn misunderstood() -> Unfinished {
    failed(Fault::Environment, "the media process answered another question".to_owned())
}

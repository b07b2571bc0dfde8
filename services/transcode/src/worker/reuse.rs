//! Takes what was made before: it is copied, by the store itself, from the version that it lies in to the one of this job.
//!
//! It saves time, and is needed by nobody: what is gone is forgotten, and whatever cannot be taken for another reason is made. Only
//! what is known by the bytes of its source is looked for; the catalogue knows them, and is not waited for.

use std::ops::ControlFlow;
use std::path::Path;

use flame_api::media::{Thumbnails, Track};
use flame_chain::Chain;
use flame_chain::chain::Work;
use flame_cmaf::index::JSON_SIZE_MAX_BYTES;
use flame_media_child::protocol::{Agreed, LadderPlan};
use flame_object_store::StoreError;
use flame_quality::gate::Gate;
use flame_service_host::problem::chain as chained;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::tracks::read_index;
use super::{Worker, catalogue};
use crate::plan::Plan;
use crate::reuse::{Key, Keys, Output, Taken, What};
use crate::store::Claimed;
use crate::version::{Made, index_name, media_name, sheet_name};

/// What a stage of thumbnails is said to have taken again.
const THUMBNAILS: &str = "thumbnails";

/// Why something was not taken.
#[derive(Debug, Error)]
enum NotTaken {
    #[error("it is not what it was")]
    Changed,
    #[error("the scratch folder's disk is too full to measure it")]
    NoRoom,
    #[error("the job was told to end")]
    Aborted,
    #[error(transparent)]
    Store(#[from] StoreError),
}

// === impl NotTaken ===

impl NotTaken {
    /// Whether it will not be there another time either.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Changed | Self::Store(StoreError::NotFound { .. }))
    }

    /// Whether nothing else is to be tried: the store would be waited for, once for each thing, and no job waits for what only saves time.
    fn is_for_all(&self) -> bool {
        use StoreError::{Denied, StorageFull, Unavailable};
        matches!(self, Self::Aborted | Self::Store(Denied { .. } | StorageFull { .. } | Unavailable { .. }))
    }
}

/// Taking again what a job would make.
pub(super) struct Reusing<'a> {
    pub(super) worker: &'a Worker,
    pub(super) job: &'a Claimed,
    /// The job's folder.
    pub(super) folder: &'a Path,
    /// What the keys of the job's version begin with.
    pub(super) prefix: &'a str,
    pub(super) board: &'a Board,
    /// Says that the job is to end.
    pub(super) abort: &'a CancellationToken,
}

// === impl Reusing ===

impl Reusing<'_> {
    /// By what all that `plan` makes is known; none where nothing is to be taken again, or the bytes of the source are not known.
    pub(super) async fn keys(&self, plan: &LadderPlan) -> Option<Keys> {
        if !self.worker.reuses {
            return None;
        }
        let tools = self.worker.encoders.tools().await.ok()?;
        let source = catalogue::source(self.worker, self.job).await?;
        Some(Keys::of(&source, plan, tools))
    }

    /// Takes what is there of `plan`. Indexes come into the job's folder, and media where a gate has to look at it. `None` where the job is
    /// told to end: no other copy is begun then.
    pub(super) async fn take(&self, keys: &Keys, chain: &Chain, plan: &Plan) -> Option<Taken> {
        let began = Instant::now();
        let mut taken = Taken::nothing(plan);
        let _ = self.gather(&mut taken, keys, chain, plan).await;
        if self.abort.is_cancelled() {
            return None;
        }
        let taken = taken.with_pictures_for_thumbnails(&plan.ladder);
        self.say(chain, plan, &taken, began);
        Some(taken)
    }

    /// Breaks off where nothing more is to be tried.
    async fn gather(&self, taken: &mut Taken, keys: &Keys, chain: &Chain, plan: &Plan) -> ControlFlow<()> {
        let pictures = plan.ladder.video.iter().map(|rung| &rung.name);
        let names = pictures.chain(plan.ladder.audio.iter().map(|rung| &rung.name));
        for (at, (key, name)) in keys.tracks.iter().zip(names).enumerate() {
            let is_measured = plan.stages.get(at).is_some_and(|stage| is_measured(chain, stage));
            for output in self.places(key).await {
                let What::Track { track, index_sha256, agreed } = &output.what else { continue };
                // All of a version begin at one time.
                if taken.agreed.is_some_and(|other| other != *agreed) {
                    continue;
                }
                match self.track(&output.prefix, track, index_sha256, name, is_measured).await {
                    Ok(()) => {
                        taken.tracks[at] = Some(Track { name: name.clone(), ..(**track).clone() });
                        taken.agreed = Some(*agreed);
                        break;
                    }
                    Err(error) => self.not_taken(&output, &error).await?,
                }
            }
        }
        for output in self.places_of(keys.thumbnails.as_ref()).await {
            let What::Thumbnails { thumbnails } = &output.what else { continue };
            match self.thumbnails(&output.prefix, thumbnails).await {
                Ok(()) => {
                    taken.thumbnails = Some(thumbnails.clone());
                    break;
                }
                Err(error) => self.not_taken(&output, &error).await?,
            }
        }
        ControlFlow::Continue(())
    }

    /// What the job has made, and taken, for those that come later.
    pub(super) async fn outputs(&self, keys: &Keys, made: &Made, agreed: Option<Agreed>) -> Vec<Output> {
        let output = |key: &Key, what| Output { key: key.clone(), prefix: self.prefix.to_owned(), what };
        let mut outputs = Vec::new();
        for (key, track) in keys.tracks.iter().zip(&made.tracks) {
            let (Some(agreed), Ok(index)) = (agreed, read_index(self.folder, &track.name).await) else { continue };
            let index_sha256 = hex::encode(Sha256::digest(index));
            outputs.push(output(key, What::Track { track: Box::new(track.clone()), index_sha256, agreed }));
        }
        if let (Some(key), Some(thumbnails)) = (&keys.thumbnails, &made.thumbnails) {
            outputs.push(output(key, What::Thumbnails { thumbnails: thumbnails.clone() }));
        }
        outputs
    }

    async fn places_of(&self, key: Option<&Key>) -> Vec<Output> {
        match key {
            Some(key) => self.places(key).await,
            None => Vec::new(),
        }
    }

    async fn places(&self, key: &Key) -> Vec<Output> {
        match self.worker.store.outputs(&self.job.tenant, key).await {
            Ok(places) => places,
            Err(error) => {
                tracing::warn!(job = %self.job.id, error = chained(&error), "what was made before cannot be looked for");
                Vec::new()
            }
        }
    }

    /// Takes a track that lies below `from`, under this name.
    async fn track(
        &self,
        from: &str,
        track: &Track,
        index_sha256: &str,
        name: &str,
        is_measured: bool,
    ) -> Result<(), NotTaken> {
        self.go_on()?;
        // It comes before the source, for which room is looked for later, and must not fill the disk under other jobs.
        if is_measured
            && self.worker.scratch.free_bytes().is_ok_and(|free_bytes| !has_room(free_bytes, track.size_bytes))
        {
            return Err(NotTaken::NoRoom);
        }
        let objects = &self.worker.objects;
        let index = objects.get(&format!("{from}{}", index_name(&track.name)), JSON_SIZE_MAX_BYTES as u64).await?;
        if hex::encode(Sha256::digest(&index)) != index_sha256 {
            return Err(NotTaken::Changed);
        }
        let media = format!("{}{}", self.prefix, media_name(name));
        objects.copy(&format!("{from}{}", media_name(&track.name)), &media).await?;
        let copied = objects.head(&media).await?;
        if copied.is_none_or(|copied| copied.size_bytes != track.size_bytes) {
            return Err(NotTaken::Changed);
        }
        if is_measured {
            let path = self.folder.join(media_name(name));
            tokio::select! {
                () = self.abort.cancelled() => return Err(NotTaken::Aborted),
                fetched = objects.download(&media, &path) => fetched?,
            };
        }
        let path = self.folder.join(index_name(name));
        let written = tokio::fs::write(&path, &index).await;
        written.map_err(|source| StoreError::File { action: "write", path, source })?;
        Ok(())
    }

    /// Takes the sheets that lie below `from`.
    async fn thumbnails(&self, from: &str, thumbnails: &Thumbnails) -> Result<(), NotTaken> {
        let objects = &self.worker.objects;
        let mut size_bytes = 0;
        for name in (0..thumbnails.sheets()).map(sheet_name) {
            self.go_on()?;
            let sheet = format!("{}{name}", self.prefix);
            objects.copy(&format!("{from}{name}"), &sheet).await?;
            size_bytes += objects.head(&sheet).await?.ok_or(NotTaken::Changed)?.size_bytes;
        }
        if size_bytes == thumbnails.size_bytes { Ok(()) } else { Err(NotTaken::Changed) }
    }

    /// Who is told to end begins no other copy; the one under way is awaited.
    fn go_on(&self) -> Result<(), NotTaken> {
        if self.abort.is_cancelled() { Err(NotTaken::Aborted) } else { Ok(()) }
    }

    /// What is gone is forgotten; what may be there another time is not. Breaks off where nothing else is to be tried.
    async fn not_taken(&self, output: &Output, error: &NotTaken) -> ControlFlow<()> {
        let (job, prefix, is_gone) = (self.job.id, &output.prefix, error.is_gone());
        tracing::info!(%job, prefix, is_gone, error = chained(error), "what was made before is not taken");
        if is_gone && let Err(error) = self.worker.store.forget_output(&self.job.tenant, output).await {
            tracing::warn!(%job, error = chained(&error), "what is gone is not forgotten");
        }
        if error.is_for_all() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Says what was taken, stage by stage.
    fn say(&self, chain: &Chain, plan: &Plan, taken: &Taken, began: Instant) {
        for stage in chain.packaged() {
            let (names, all) = match stage.work {
                Work::Thumbnails => (taken.thumbnails.iter().map(|_| THUMBNAILS.to_owned()).collect(), 1),
                _ => {
                    let all = plan.stages.iter().filter(|maker| **maker == stage.name).count();
                    (taken.of_stage(plan, &stage.name), all)
                }
            };
            if !names.is_empty() {
                self.board.taken(&stage.name, &names, names.len() == all);
            }
        }
        if !taken.is_nothing() {
            let tracks = taken.tracks.iter().flatten().count();
            self.worker.metrics.reused(tracks + usize::from(taken.thumbnails.is_some()));
            let (of, took_ms) = (taken.tracks.len(), began.elapsed().as_millis());
            tracing::info!(job = %self.job.id, tracks, of, took_ms, "tracks that were made before are taken again");
        }
    }
}

/// Whether a track of so many bytes may be brought where so much is free: it leaves as much as it takes.
const fn has_room(free_bytes: u64, track_bytes: u64) -> bool {
    free_bytes > track_bytes.saturating_mul(2)
}

/// Whether a gate of the stage has to look at its media.
fn is_measured(chain: &Chain, stage: &str) -> bool {
    let looks = |gate: &Gate| gate.needs_pictures() || gate.needs_inspection();
    chain.stage(stage).is_some_and(|stage| stage.gates().iter().any(looks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_forgotten_and_a_store_that_does_not_answer_is_asked_for_nothing_else() {
        let (operation, key) = ("copy", || "default/media/a/b/v.mp4".to_owned());
        let source = || Box::<dyn std::error::Error + Send + Sync>::from("it says nothing");
        for (error, is_gone, is_for_all) in [
            (NotTaken::Changed, true, false),
            (NotTaken::NoRoom, false, false),
            (NotTaken::Aborted, false, true),
            (StoreError::NotFound { operation, key: key() }.into(), true, false),
            (StoreError::Unavailable { operation, key: key(), source: source() }.into(), false, true),
            (StoreError::Denied { operation, key: key(), source: source() }.into(), false, true),
            (StoreError::StorageFull { operation, key: key() }.into(), false, true),
            (StoreError::PreconditionFailed { operation, key: key() }.into(), false, false),
        ] {
            assert_eq!((error.is_gone(), error.is_for_all()), (is_gone, is_for_all), "{error}");
        }
    }

    #[test]
    fn what_a_gate_looks_at_leaves_as_much_room_as_it_takes() {
        for (free_bytes, track_bytes, expected) in
            [(0, 0, false), (1, 0, true), (200, 100, false), (201, 100, true), (u64::MAX, u64::MAX, false)]
        {
            assert_eq!(has_room(free_bytes, track_bytes), expected, "{track_bytes} of {free_bytes}");
        }
    }
}

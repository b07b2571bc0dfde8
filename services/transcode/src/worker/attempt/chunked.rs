//! A job whose pictures are encoded in chunks: the attempt is the one who plans, waits, joins and goes on to store.
//!
//! Sound and thumbnails are made meanwhile, in one piece. An attempt that dies loses neither the chunks that are there nor those under
//! way, for whoever comes next wants the same ones. Each chunk was told how full its encoder's buffer is where it begins; one that finds
//! less behind the others is made again with what it finds. Pictures of which that is true again and again are encoded in one piece, and so
//! is whatever cannot be made in chunks: at once where the source seems to be at fault, else in the next attempt.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flame_api::media::Track;
use flame_jobs::attempt::{Unfinished, failed, media_trouble};
use flame_jobs::changes::Change;
use flame_jobs::hold::Cause;
use flame_jobs::patience::{GaveUp, Patience};
use flame_jobs::queue::ReportError;
use flame_jobs::scratch::JobFolder;
use flame_media_child::Call;
use flame_media_child::protocol::{Agreed, ChunkPlace, Fault, GopRange, LadderPlan, Outcome, Request, Unkept};
use flame_object_store::StoreError;
use flame_service_host::fault;
use flame_service_host::problem::chain;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Attempt, EXPECTED_PERCENT, SOURCE, another_answer, store_trouble};
use crate::chunks::{self, Apart, Task};
use crate::plan::{self, Plan};
use crate::reuse::{Key, Source};
use crate::stage::Stage;
use crate::store::{Chunk, ChunkLease, ChunkState, WantedChunk};
use crate::version::Made;
use crate::worker::catalogue;

/// How often chunks are wanted: those that do not go with those before them are made again, and those that were swept meanwhile.
const ROUNDS_MAX: u32 = 3;
/// How often chunks that are gone when they are fetched are made again.
const GONE_MAX: u32 = 3;
/// Where chunks lie in the job's folder.
const FOLDER: &str = "chunks";

/// The pictures of a job.
struct Pictures<'a> {
    folder: &'a JobFolder,
    apart: &'a Apart,
    source: &'a Source,
    tools: &'a str,
    /// Cancelled when the job is to end, or another part of it has failed.
    over: &'a CancellationToken,
}

/// A chunk that is there.
#[derive(Debug, Clone)]
struct There {
    key: Key,
    lease: ChunkLease,
    size_bytes: u64,
}

/// How far the parts are, 0 to 1.
#[derive(Debug, Default)]
struct Shown {
    pictures: f64,
    sounds: Vec<f64>,
}

// === impl Attempt ===

impl Attempt<'_> {
    /// Makes what is `planned` with its pictures in chunks. `None` where they are to be encoded in one piece.
    pub(super) async fn encode_in_chunks(
        &self,
        folder: &JobFolder,
        planned: &Plan,
    ) -> Result<Option<(Made, Agreed)>, Unfinished> {
        let (worker, ladder) = (self.worker, &planned.ladder);
        let Some(ranges) = chunks::divide(ladder, &self.job.probe, worker.chunks.length.0) else { return Ok(None) };
        let source = self.unless_aborted(catalogue::source(worker, self.job)).await?;
        // What is not known by its bytes cannot be told from anything else.
        let Some(source) = source else { return Ok(None) };
        let tools = worker.encoders.tools().await.map_err(|error| media_trouble(&error))?;
        let agreed = match ladder.agreed {
            Some(agreed) => agreed,
            None => match self.agree(folder, ladder).await {
                Ok(agreed) => agreed,
                Err(Unfinished::Failed { reason, .. }) => {
                    tracing::warn!(job = %self.job.id, reason, "it cannot be told how to make parts: it is encoded in one piece");
                    return Ok(None);
                }
                Err(unfinished) => return Err(unfinished),
            },
        };
        let apart = Apart::of(ladder, agreed);
        let over = self.hold.abort().token().child_token();
        let shown = Mutex::new(Shown::default());
        let pictures = Pictures { folder, apart: &apart, source: &source, tools, over: &over };
        let rest = async {
            let on_progress = |sounds: &[f64]| self.show(planned, &shown, |shown| shown.sounds = sounds.to_vec());
            self.rest(folder, &apart.rest, &over, on_progress).await.inspect_err(|_| over.cancel())
        };
        let video = async {
            let on_progress = |fraction| self.show(planned, &shown, |shown| shown.pictures = fraction);
            let made = self.pictures(&pictures, ranges, on_progress).await;
            if !matches!(made, Ok(Some(_))) {
                over.cancel();
            }
            made
        };
        // Both are awaited in any case: what they started has ended then.
        let (rest, tracks) = match tokio::join!(rest, video) {
            (_, Ok(None)) => return Ok(None),
            (Ok((rest, frames)), Ok(Some(tracks))) => {
                if frames.is_some_and(|frames| tracks.iter().any(|track| track.samples != frames)) {
                    // A damaged source gives other pictures to one who begins to decode in the middle.
                    tracing::warn!(job = %self.job.id, ?frames, "chunks lack pictures of the source: it is encoded in one piece");
                    return Ok(None);
                }
                (rest, tracks)
            }
            (Err(Unfinished::Aborted), Err(unfinished)) | (Err(unfinished), _) | (Ok(_), Err(unfinished)) => {
                return Err(unfinished);
            }
        };
        let made = Made { tracks: [tracks, rest.tracks].concat(), ..rest };
        match chunks::cut_off(&apart, agreed, &made.tracks) {
            // What was made before has shown that the source is whole.
            Some(reason) if ladder.agreed.is_none() => Err(failed(Fault::Input, reason)),
            _ => Ok(Some((made, agreed))),
        }
    }

    /// Says how far the job is: what counts are the chunks.
    fn show(&self, planned: &Plan, shown: &Mutex<Shown>, change: impl FnOnce(&mut Shown)) {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut shown);
        let mut parts = vec![shown.pictures; planned.ladder.video.len()];
        parts.extend((0..planned.ladder.audio.len()).map(|n| shown.sounds.get(n).copied().unwrap_or(0.0)));
        self.board.encoded(&planned.stages, shown.pictures, &parts);
        self.at(Stage::Encoding, shown.pictures);
    }

    /// Finds where the tracks of a version begin.
    async fn agree(&self, folder: &JobFolder, plan: &LadderPlan) -> Result<Agreed, Unfinished> {
        let request = Request::Agree {
            input: folder.path().join(SOURCE),
            output_dir: folder.path().to_owned(),
            plan: plan.clone(),
        };
        match self.ask(&request, plan, self.hold.abort().token()).await? {
            Outcome::Agreed { agreed } => Ok(agreed),
            _ => Err(another_answer()),
        }
    }

    /// Makes sound and thumbnails, if there are any. Also gives the pictures of the source, where thumbnails needed them.
    async fn rest(
        &self,
        folder: &JobFolder,
        plan: &LadderPlan,
        over: &CancellationToken,
        on_progress: impl Fn(&[f64]),
    ) -> Result<(Made, Option<u64>), Unfinished> {
        if plan.audio.is_empty() && plan.thumbnails.is_none() {
            return Ok((Made::default(), None));
        }
        let (made, _, frames) = self.ladder(folder, plan, over, |_, sounds| on_progress(sounds)).await?;
        Ok((made, plan.thumbnails.is_some().then_some(frames)))
    }

    /// Makes the tracks of the pictures. `None` where that has to be done in one piece.
    async fn pictures(
        &self,
        pictures: &Pictures<'_>,
        mut ranges: Vec<GopRange>,
        on_progress: impl Fn(f64),
    ) -> Result<Option<Vec<Track>>, Unfinished> {
        let mut wanted = Vec::new();
        let made = self.rounds(pictures, &mut ranges, &mut wanted, &on_progress).await;
        // Whoever goes on with the job wants the same; chunks of an attempt that died are wanted for a while.
        if !matches!(self.hold.abort().cause(), Some(Cause::Stopping | Cause::LeaseLost)) {
            self.let_go(&wanted).await;
        }
        // What stays goes with the job's folder.
        let _ = tokio::fs::remove_dir_all(pictures.folder.path().join(FOLDER)).await;
        made
    }

    /// Nothing of these is wanted any more.
    async fn let_go(&self, wanted: &[i64]) {
        if let Err(error) = self.worker.store.let_chunks_go(wanted).await {
            tracing::warn!(job = %self.job.id, error = chain(&error), "chunks are wanted for a while longer");
            return;
        }
        let changes = self.worker.store.queue().changes();
        for seq in wanted {
            // Whoever makes it in this process hears it at once; others when they renew their leases.
            changes.tell(Change { seq: -seq, cancel_requested: true });
        }
    }

    async fn rounds(
        &self,
        pictures: &Pictures<'_>,
        ranges: &mut [GopRange],
        wanted: &mut Vec<i64>,
        on_progress: &impl Fn(f64),
    ) -> Result<Option<Vec<Track>>, Unfinished> {
        for _ in 0..ROUNDS_MAX {
            let Some(seqs) = self.want(pictures, ranges).await? else {
                tracing::info!(job = %self.job.id, "there is no room for chunks: the pictures are encoded in one piece");
                return Ok(None);
            };
            wanted.extend(&seqs);
            // Swept when another job let go of them: they are wanted anew.
            let Some((places, leases)) = self.fetched(pictures, ranges, &seqs, on_progress).await? else { continue };
            fault::point("job-chunks-fetched");
            let joined = self.join(pictures, places).await;
            if let Err(Unfinished::Failed { .. }) = &joined {
                // Whichever of them it was: nobody is to meet it again.
                for lease in leases {
                    let patience = self.patience_until(pictures.over);
                    let again = patience.call(|| self.worker.store.make_chunk_again(lease)).await;
                    again.map_err(database_trouble)?;
                }
            }
            let (tracks, unkept) = joined?;
            if unkept.is_empty() {
                return Ok(Some(tracks));
            }
            tracing::info!(job = %self.job.id, chunks = unkept.len(), "chunks find less than they need, and are made again");
            chunks::adapt(ranges, &unkept);
        }
        tracing::warn!(job = %self.job.id, "chunks do not keep the cap, or do not stay: the pictures are encoded in one piece");
        Ok(None)
    }

    /// Says which chunks are wanted. `None` where there is no room for them.
    async fn want(&self, pictures: &Pictures<'_>, ranges: &[GopRange]) -> Result<Option<Vec<i64>>, Unfinished> {
        let Pictures { apart, source, tools, .. } = *pictures;
        let plan = apart.of_chunk();
        // Who takes nothing of others is not taken from either.
        let only_for = (!self.worker.reuses).then_some(self.job.id);
        let wanted = ranges.iter().map(|&range| {
            let lasting = LadderPlan { duration_ms: chunks::duration_ms(&plan, range), ..plan.clone() };
            WantedChunk {
                key: Key::of_chunk(source, tools, &plan, range, only_for),
                task: Task { source_key: self.job.source_key.clone(), plan: plan.clone(), range },
                expected_bytes: plan::size_max_bytes(&lasting) / 100 * EXPECTED_PERCENT,
            }
        });
        let wanted: Vec<WantedChunk> = wanted.collect();
        let patience = self.patience_until(pictures.over);
        let seqs = patience.call(|| self.worker.store.want_chunks(&self.job.tenant, &wanted)).await;
        seqs.map_err(database_trouble)
    }

    /// Waits until the chunks of these numbers are there, and brings them here. `None` where some were swept meanwhile.
    async fn fetched(
        &self,
        pictures: &Pictures<'_>,
        ranges: &[GopRange],
        seqs: &[i64],
        on_progress: &impl Fn(f64),
    ) -> Result<Option<(Vec<ChunkPlace>, Vec<ChunkLease>)>, Unfinished> {
        let mut said = Instant::now();
        for _ in 0..GONE_MAX {
            let Some(there) = self.until_there(pictures, seqs, on_progress).await? else { return Ok(None) };
            let all_bytes: u64 = there.iter().map(|chunk| chunk.size_bytes).sum();
            self.has_room(all_bytes)?;
            let mut places = Vec::new();
            for (n, (chunk, range)) in there.iter().zip(ranges).enumerate() {
                let folder = pictures.folder.path().join(FOLDER).join(n.to_string());
                tokio::fs::create_dir_all(&folder).await.map_err(|error| {
                    failed(Fault::Environment, format!("no folder for chunks can be made: {error}"))
                })?;
                let place = ChunkPlace { folder, range: *range };
                self.go_on_wanting(pictures, seqs, &mut said).await?;
                if !self.fetch_chunk(pictures, chunk, &place).await? {
                    break;
                }
                places.push(place);
            }
            if places.len() == ranges.len() {
                return Ok(Some((places, there.iter().map(|chunk| chunk.lease).collect())));
            }
        }
        Err(failed(Fault::Environment, "chunks that were made are not in the object store".to_owned()))
    }

    /// Brings a chunk here; false where it is gone, and is made again.
    async fn fetch_chunk(
        &self,
        pictures: &Pictures<'_>,
        chunk: &There,
        place: &ChunkPlace,
    ) -> Result<bool, Unfinished> {
        let (objects, patience) = (&self.worker.objects, self.patience_until(pictures.over));
        let prefix = chunks::prefix(&self.job.tenant, &chunk.key, chunk.lease.number);
        for rung in &pictures.apart.pictures.video {
            let name = chunks::file_name(&rung.name);
            let (key, path) = (format!("{prefix}{name}"), place.folder.join(&name));
            let fetched = tokio::select! {
                () = pictures.over.cancelled() => return Err(Unfinished::Aborted),
                fetched = patience.call(|| objects.download(&key, &path)) => fetched,
            };
            match fetched {
                Ok(_) => {}
                Err(GaveUp::Failed(StoreError::NotFound { .. })) => {
                    tracing::warn!(job = %self.job.id, key, "a chunk is gone, and is made again");
                    let again = patience.call(|| self.worker.store.make_chunk_again(chunk.lease)).await;
                    return again.map(|()| false).map_err(database_trouble);
                }
                Err(gave_up) => return Err(store_trouble(gave_up)),
            }
        }
        Ok(true)
    }

    /// Waits until all are there, in the order of their ranges. `None` where some were swept meanwhile.
    async fn until_there(
        &self,
        pictures: &Pictures<'_>,
        seqs: &[i64],
        on_progress: &impl Fn(f64),
    ) -> Result<Option<Vec<There>>, Unfinished> {
        let store = &self.worker.store;
        let patience = self.patience_until(pictures.over);
        let mut said = Instant::now();
        loop {
            // Enabled before looking: a chunk that is done in between wakes the wait below.
            let mut woken = std::pin::pin!(store.queue().changes().work());
            woken.as_mut().enable();
            let chunks = patience.call(|| store.chunks(seqs)).await.map_err(database_trouble)?;
            let Some((there, fraction)) = self.count(seqs, &chunks).await? else { return Ok(None) };
            on_progress(fraction);
            if there.len() == seqs.len() {
                return Ok(Some(there));
            }
            self.go_on_wanting(pictures, seqs, &mut said).await?;
            tokio::select! {
                () = pictures.over.cancelled() => return Err(Unfinished::Aborted),
                () = woken => {}
                () = tokio::time::sleep(self.worker.config.poll.0) => {}
            }
        }
    }

    /// Says that these are wanted, if that was said some time ago.
    async fn go_on_wanting(&self, pictures: &Pictures<'_>, seqs: &[i64], said: &mut Instant) -> Result<(), Unfinished> {
        if said.elapsed() > self.worker.config.lease.0 / 3 {
            let patience = self.patience_until(pictures.over);
            let wanted = patience.call(|| self.worker.store.go_on_wanting_chunks(seqs)).await;
            wanted.map_err(database_trouble)?;
            *said = Instant::now();
        }
        Ok(())
    }

    /// Those that are there, in this order, and how much of all is done. `None` where some were swept.
    async fn count(&self, seqs: &[i64], chunks: &[Chunk]) -> Result<Option<(Vec<There>, f64)>, Unfinished> {
        let mut there = Vec::new();
        let mut fractions = 0.0_f64;
        for seq in seqs {
            let Some(chunk) = chunks.iter().find(|chunk| chunk.seq == *seq) else { return Ok(None) };
            match &chunk.state {
                ChunkState::Waiting { fraction } => fractions += *fraction,
                ChunkState::Done { lease, size_bytes } => {
                    let lease = ChunkLease { seq: *seq, number: *lease };
                    there.push(There { key: chunk.key.clone(), lease, size_bytes: *size_bytes });
                    fractions += 1.0;
                }
                ChunkState::Failed { fault, reason } => return Err(self.chunk_failed(*fault, reason).await),
            }
        }
        #[allow(clippy::cast_precision_loss, reason = "there are a thousand at most")]
        let fraction = fractions / seqs.len().max(1) as f64;
        Ok(Some((there, fraction)))
    }

    /// What it means that a chunk was given up: its maker cannot tell a bad source from one that was deleted meanwhile.
    async fn chunk_failed(&self, fault: Fault, reason: &str) -> Unfinished {
        let key = &self.job.source_key;
        match self.patience().call(|| self.worker.objects.head(key)).await {
            Ok(Some(_)) => failed(fault, format!("a chunk of the pictures cannot be made: {reason}")),
            Ok(None) => self.without_source().await,
            Err(gave_up) => store_trouble(gave_up),
        }
    }

    /// Whether chunks of so many bytes, and what is joined of them, have room here.
    fn has_room(&self, chunks_bytes: u64) -> Result<(), Unfinished> {
        let free_bytes = self.worker.scratch.free_bytes().map_err(|error| {
            failed(Fault::Environment, format!("the free space of the scratch folder is not known: {error}"))
        })?;
        if chunks_bytes.saturating_mul(2) <= free_bytes {
            return Ok(());
        }
        let (needed_mib, free_mib) = (chunks_bytes.saturating_mul(2).div_ceil(1 << 20), free_bytes >> 20);
        let reason = format!(
            "the scratch folder's disk is too full: {needed_mib} MiB are needed for chunks and the tracks of them, \
             {free_mib} MiB are free"
        );
        Err(failed(Fault::Environment, reason))
    }

    async fn join(
        &self,
        pictures: &Pictures<'_>,
        chunks: Vec<ChunkPlace>,
    ) -> Result<(Vec<Track>, Vec<Unkept>), Unfinished> {
        let plan = &pictures.apart.pictures;
        let output_dir = pictures.folder.path().to_owned();
        let request = Request::Join { chunks, output_dir, plan: plan.clone() };
        match self.ask(&request, plan, pictures.over).await? {
            Outcome::Joined { tracks, unkept } => Ok((tracks, unkept)),
            _ => Err(another_answer()),
        }
    }

    async fn ask(&self, request: &Request, plan: &LadderPlan, over: &CancellationToken) -> Result<Outcome, Unfinished> {
        let deadline = Some(self.deadline(Duration::from_millis(plan.duration_ms)));
        let call = Call { deadline, cancel: over.clone(), ..Call::default() };
        self.worker.pool.run(request, call).await.map_err(|error| media_trouble(&error))
    }

    fn patience_until<'a>(&self, over: &'a CancellationToken) -> Patience<'a> {
        Patience { limit: self.worker.config.patience.0, abort: over }
    }
}

/// Trouble with the database is never the input's fault.
fn database_trouble(gave_up: GaveUp<ReportError>) -> Unfinished {
    match gave_up {
        GaveUp::Aborted => Unfinished::Aborted,
        GaveUp::Failed(error) => failed(Fault::Environment, chain(&error)),
    }
}

//! What happens to an upload once all its bytes are here: one object, looked into, pictured, registered, queued.
//!
//! Where an upload stands is a stage in the database; each stage's work may be repeated, and the next one begins only
//! after the stage has been noted. So a crash repeats at most one stage, and the identifiers chosen before (the asset's
//! is the upload's, the job's is noted before it is queued) make that harmless elsewhere too. What is away (the store,
//! metadata, transcode, the media program) is waited for, with growing pauses and without end: the file is safe. What
//! will not get better is refused: then everything stored is deleted, and only after that the upload is called `failed`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flame_api::metadata::{NewAsset, Source};
use flame_api::transcode::NewJob;
use flame_api::{Client, ClientError};
use flame_media_child::protocol::NOT_MEDIA;
use flame_object_store::StoreError;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::crew::{self, CRASHES_MAX, Crew, Ended};
use crate::depot::{self, AssembleError};
use crate::intake::Intake;
use crate::labels::NO_CHAIN;
use crate::record::{Record, Stage};
use crate::retry;
use crate::store::{Findings, RecordError, RecordResult};
use flame_service_host::fault;
use media::Media;

mod boxes;
pub mod media;
mod sounds;

/// Longest time without a look at the table, in case that a waking call is lost.
const LOOK: Duration = Duration::from_secs(5);
/// Looks into a file that may end this process, one after the other.
const LOOKS_MAX: u32 = 5;
/// Life of the URLs under which children read the source.
const URL_LIFE: Duration = Duration::from_secs(3600);

/// Does the work. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Processor {
    /// What is known of uploads, and where their bytes are.
    pub intake: Intake,
    /// Looks into media.
    pub media: Arc<Media>,
    /// The other services; without one, uploads wait before they are registered.
    pub client: Option<Client>,
    /// Folder for posters on their way.
    pub scratch: PathBuf,
}

/// Why a stage's work was not done.
#[derive(Debug)]
pub enum Trouble {
    /// It will not get better; the reason is for the uploader.
    Refused(String),
    /// It may get better; the reason is for whoever waits.
    Later(String),
}

/// Where the work leads.
struct Next {
    stage: Stage,
    findings: Findings,
}

// === impl Processor ===

impl Processor {
    /// Does what is due until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut crew = Crew::default();
        while !stop.is_cancelled() {
            let next = match self.start_due(&mut crew).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(%error, "work cannot be looked up");
                    None
                }
            };
            tokio::select! {
                ended = crew.next() => if let Err(error) = self.look_after(ended).await {
                    tracing::warn!(%error, id = %ended.id, "a crash cannot be noted");
                },
                () = self.intake.processing.notified() => {}
                () = tokio::time::sleep(retry::until(next, LOOK)) => {}
                () = stop.cancelled() => {}
            }
        }
        // Every stage can be repeated: the next start does.
        let cut_off = crew.busy();
        crew.shutdown().await;
        // A look that this end cut off says nothing of the file.
        for id in cut_off {
            if let Err(error) = self.intake.uploads.take_look_back(id).await {
                tracing::warn!(%error, %id, "a look into a file that was cut off counts");
            }
        }
    }

    async fn start_due(&self, crew: &mut Crew) -> RecordResult<Option<OffsetDateTime>> {
        let now = OffsetDateTime::now_utc();
        let max = self.intake.limits.max_processing;
        // Running ones are due too, so as many more are asked for.
        let limit = u32::try_from(max + crew.len()).unwrap_or(u32::MAX);
        for id in self.intake.uploads.due(now, limit).await? {
            if crew.len() < max {
                let processor = self.clone();
                crew.start(id, async move {
                    if let Err(error) = processor.work(id).await {
                        tracing::warn!(%error, %id, "the work on an upload is tried again later");
                        tokio::time::sleep(retry::pause(1, processor.intake.limits.max_backoff.0)).await;
                    }
                });
            }
        }
        self.intake.uploads.next_due(now).await
    }

    /// Work that crashed is tried again later, and at last given up.
    async fn look_after(&self, Ended { id, crashes }: Ended) -> RecordResult<()> {
        let uploads = &self.intake.uploads;
        let Some(record) = uploads.load(id).await?.filter(|record| crashes > 0 && record.stage.has_work()) else {
            return Ok(());
        };
        let reason = crew::reason(crashes);
        // What is being deleted already is not given up again.
        if crashes >= CRASHES_MAX && !matches!(record.stage, Stage::Refusing | Stage::Ending) {
            uploads.give_up(id, record.stage, Stage::Refusing, &reason).await?;
            return Ok(());
        }
        let attempts = record.attempts.saturating_add(1);
        let pause = retry::pause(attempts, self.intake.limits.max_backoff.0);
        uploads.postpone(&record, attempts, OffsetDateTime::now_utc() + pause, &reason).await?;
        Ok(())
    }

    /// Takes an upload from stage to stage until it is done or something is in the way.
    async fn work(&self, id: Uuid) -> RecordResult<()> {
        let uploads = &self.intake.uploads;
        while let Some(record) = uploads.load(id).await?.filter(|record| record.stage.has_work()) {
            match self.step(&record).await {
                Ok(Next { stage: stage @ (Stage::Failed | Stage::Gone), .. }) => {
                    let forget_at = OffsetDateTime::now_utc() + self.intake.limits.expiry.0;
                    uploads.cleared(&record, stage, forget_at).await?;
                    tracing::info!(%id, stage = stage.as_str(), reason = record.error, "nothing is kept of an upload");
                }
                Ok(Next { stage, findings }) => {
                    uploads.advance(id, record.stage, stage, &findings).await?;
                    tracing::info!(%id, stage = stage.as_str(), "an upload advances");
                    fault::point(stage.as_str());
                }
                Err(Trouble::Refused(reason)) => {
                    uploads.give_up(id, record.stage, Stage::Refusing, &reason).await?;
                }
                Err(Trouble::Later(reason)) => {
                    let attempts = record.attempts.saturating_add(1);
                    let pause = retry::pause(attempts, self.intake.limits.max_backoff.0);
                    tracing::warn!(%id, stage = record.stage.as_str(), attempts, reason, "an upload has to wait");
                    uploads.postpone(&record, attempts, OffsetDateTime::now_utc() + pause, &reason).await?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn step(&self, record: &Record) -> Result<Next, Trouble> {
        match record.stage {
            Stage::Assemble => self.assemble(record).await,
            Stage::Inspect => self.inspect(record).await,
            Stage::Picture => self.picture(record).await,
            Stage::Register => self.register(record).await,
            Stage::Queue => self.queue(record).await,
            Stage::Refusing => self.discard(record, Stage::Failed).await,
            Stage::Ending => self.discard(record, Stage::Gone).await,
            Stage::Receiving | Stage::Done | Stage::Failed | Stage::Gone => Ok(Next::plain(record.stage)),
        }
    }

    async fn assemble(&self, record: &Record) -> Result<Next, Trouble> {
        let parts = self.intake.uploads.parts(record.id).await.map_err(|error| Trouble::away(&error))?;
        match self.intake.depot.assemble(record, &parts).await {
            Ok(()) => {
                fault::point("assembled");
                Ok(Next::plain(Stage::Inspect))
            }
            Err(AssembleError::Store(error)) => Err(Trouble::away(&error)),
            Err(error @ AssembleError::Lost { .. }) => Err(Trouble::Refused(error.to_string())),
        }
    }

    async fn inspect(&self, record: &Record) -> Result<Next, Trouble> {
        if record.offset_bytes == 0 {
            return Err(Trouble::Refused("the file is empty: it has 0 bytes".to_owned()));
        }
        self.share(record).await?;
        let store = self.intake.depot.store();
        let key = depot::source_key(record);
        let layout = boxes::walk(store, &key, record.offset_bytes).await?;
        let moov = match &layout {
            Some(layout) => boxes::movie(store, &key, layout).await?,
            None => None,
        };
        if record.looks >= LOOKS_MAX {
            let looks = record.looks;
            let reason = format!("the file cannot be looked into: the service has ended over it {looks} times");
            return Err(Trouble::Refused(reason));
        }
        let url = self.url(record).await?;
        let probed = self.look(record, self.media.probe(url, record.attempts)).await?;
        let mut probe = probed.map_err(|trouble| match trouble {
            Trouble::Refused(reason) if layout.is_some() && reason.contains(NOT_MEDIA) => {
                Trouble::Refused("the MP4 file is damaged: its index (the `moov` box) cannot be read".to_owned())
            }
            trouble => trouble,
        })?;
        if let Some(moov) = moov {
            sounds::learn(&moov, &mut probe);
        }
        if probe.video.is_none() && probe.audio.is_none() {
            return Err(Trouble::Refused("the file holds neither pictures nor sound".to_owned()));
        }
        let stage = if probe.video.is_some() { Stage::Picture } else { Stage::Register };
        Ok(Next { stage, findings: Findings { probe: Some(probe), ..Findings::default() } })
    }

    /// Does what may take the service down with it, should the child's memory be the whole container's. What was being looked
    /// into when that happened is looked into alone the next time: so what others did is not laid to its charge.
    async fn look<T>(&self, record: &Record, look: impl Future<Output = T>) -> Result<T, Trouble> {
        let away = |error: RecordError| Trouble::away(&error);
        let _turn = self.media.turn(record.looks > 0).await;
        self.intake.uploads.begin_look(record.id).await.map_err(away)?;
        fault::point("look-begun");
        let seen = look.await;
        self.intake.uploads.end_look(record.id).await.map_err(away)?;
        Ok(seen)
    }

    /// Where the same bytes are stored already, they need not be twice. From then on both uploads have them, whichever is
    /// deleted first: the store counts who uses them. Who shares whose is noted before it is done, because of two that find each
    /// other one has to stay as it is; after a crash it is done again.
    async fn share(&self, record: &Record) -> Result<(), Trouble> {
        let Intake { uploads, depot, .. } = &self.intake;
        let twin = match record.duplicate_of {
            Some(twin) => twin,
            // Looked for once: whoever comes later shares what is here, not the other way round.
            None if record.attempts > 0 => return Ok(()),
            None => match uploads.note_twin(record, depot.shares()).await.map_err(|error| Trouble::away(&error))? {
                Some(twin) => twin,
                None => return Ok(()),
            },
        };
        fault::point("twin-noted");
        match depot.share(twin, record).await {
            Ok(()) => tracing::info!(id = %record.id, %twin, "the same bytes were stored before"),
            // It was deleted just now. The bytes that came are still here.
            Err(StoreError::NotFound { .. }) => {
                uploads.forget_twin(record, twin).await.map_err(|error| Trouble::away(&error))?;
            }
            Err(error) => return Err(Trouble::away(&error)),
        }
        Ok(())
    }

    /// A poster is welcome, not needed: without one the upload goes on.
    async fn picture(&self, record: &Record) -> Result<Next, Trouble> {
        let folder = tempfile::tempdir_in(&self.scratch).map_err(|error| Trouble::away(&error))?;
        let file = folder.path().join("poster.jpg");
        let duration_ms = record.probe.as_ref().map_or(0, |probe| probe.duration_ms);
        if record.looks >= LOOKS_MAX {
            tracing::warn!(id = %record.id, looks = record.looks, "an upload gets no poster: the service ended over it");
            return Ok(Next::plain(Stage::Register));
        }
        let url = self.url(record).await?;
        if let Err(error) = self.look(record, self.media.poster(url, duration_ms, &file)).await? {
            tracing::warn!(id = %record.id, %error, "an upload gets no poster");
            return Ok(Next::plain(Stage::Register));
        }
        let key = self.intake.depot.put_poster(record, &file).await.map_err(|error| Trouble::away(&error))?;
        Ok(Next { stage: Stage::Register, findings: Findings { poster_key: Some(key), ..Findings::default() } })
    }

    async fn register(&self, record: &Record) -> Result<Next, Trouble> {
        let asset = NewAsset {
            id: record.id,
            title: record.labels.display_title(),
            source: Source {
                key: depot::source_key(record),
                file_name: record.labels.file_name.clone(),
                size_bytes: record.offset_bytes,
                sha256: known(record.sha256.as_ref(), "SHA-256")?,
            },
            probe: known(record.probe.as_ref(), "probe")?,
            poster_key: record.poster_key.clone(),
        };
        self.client(record)?.create_asset(&asset).await.map_err(|error| of_client(&error))?;
        let mut findings = Findings { asset_id: Some(record.id), ..Findings::default() };
        if record.labels.chain == NO_CHAIN {
            return Ok(Next { stage: Stage::Done, findings });
        }
        // Chosen and noted before it is used, so that a repeated call queues once.
        findings.job_id = Some(Uuid::now_v7());
        Ok(Next { stage: Stage::Queue, findings })
    }

    async fn queue(&self, record: &Record) -> Result<Next, Trouble> {
        let job = NewJob {
            id: known(record.job_id.as_ref(), "job")?,
            chain: record.labels.chain.clone(),
            document: None,
            parameters: Default::default(),
            asset_id: record.id,
            source_key: depot::source_key(record),
            probe: known(record.probe.as_ref(), "probe")?,
        };
        self.client(record)?.create_job(&job).await.map_err(|error| of_client(&error))?;
        Ok(Next::plain(Stage::Done))
    }

    /// Deletes everything: what was registered first, so that nobody finds an asset without its source.
    async fn discard(&self, record: &Record, then: Stage) -> Result<Next, Trouble> {
        if let Some(asset_id) = record.asset_id {
            // A refusal here would leave half an asset: it is repeated until it is done.
            let deleted = self.client(record)?.erase_asset(asset_id).await;
            deleted.map_err(|error| Trouble::away(&error))?;
        }
        self.intake.depot.discard(record).await.map_err(|error| Trouble::away(&error))?;
        Ok(Next::plain(then))
    }

    fn client(&self, record: &Record) -> Result<Client, Trouble> {
        let client = self.client.as_ref().map(|client| client.for_tenant(&record.tenant));
        client.ok_or_else(|| {
            Trouble::Later("no router is configured, so metadata and transcode are not found".to_owned())
        })
    }

    async fn url(&self, record: &Record) -> Result<String, Trouble> {
        let key = depot::source_key(record);
        self.intake.depot.store().presigned_get(&key, URL_LIFE).await.map_err(|error| Trouble::away(&error))
    }
}

// === impl Trouble ===

impl Trouble {
    /// Something that is needed does not answer.
    fn away(error: &dyn std::error::Error) -> Self {
        Self::Later(flame_service_host::problem::chain(error))
    }
}

// === impl Next ===

impl Next {
    fn plain(stage: Stage) -> Self {
        Self { stage, findings: Findings::default() }
    }
}

/// What an earlier stage has noted.
fn known<T: Clone>(value: Option<&T>, what: &str) -> Result<T, Trouble> {
    value.cloned().ok_or_else(|| Trouble::Later(format!("the database has lost the {what} of this upload")))
}

/// Whether a refusal of another service is about this upload, or about the services.
fn of_client(error: &ClientError) -> Trouble {
    let reason = flame_service_host::problem::chain(error);
    match error.status() {
        // Malformed, in conflict, too large, not to be processed: another try says the same.
        Some(400 | 409 | 413 | 415 | 422) => Trouble::Refused(reason),
        // Not authorised, not found (the service, not the upload), not reached, not understood: an operator's matter.
        Some(_) | None => Trouble::Later(reason),
    }
}

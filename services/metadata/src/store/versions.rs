//! Versions: publishing them, and noting that there will be none.

use flame_api::media::{Thumbnails, Track};
use flame_api::metadata::{Action, Asset, AssetState, Conditioning, NewVersion, Version};
use sqlx::types::Json;
use uuid::Uuid;

use super::assets::{find, find_kept};
use super::history::{self, By, Note};
use super::rows::{self, damaged, kind_word, state_word, stored};
use super::sql::{Transaction, json_or_null, sql};
use super::{Store, StoreResult, deletions, now_us};
use crate::asset::{self, FailureReport, Publication};

/// What became of a publication.
#[derive(Debug)]
pub enum Published {
    /// It plays from now on.
    New(Asset),
    /// It was published before, just so.
    Known(Asset),
    /// It was published before with other content.
    Differs,
    /// There is no such asset.
    Missing,
}

#[derive(Debug, sqlx::FromRow)]
struct VersionRow {
    seq: i64,
    name: String,
    job_id: Option<String>,
    chain: String,
    thumbnails: Option<Json<Thumbnails>>,
    conditioning: Option<Json<Conditioning>>,
    created_at_us: i64,
}

// === impl Store ===

impl Store {
    /// Publishes the version `name` of the tenant's asset.
    pub async fn publish(&self, by: By<'_>, id: Uuid, name: &str, new: &NewVersion) -> StoreResult<Published> {
        let tenant = by.tenant;
        let mut transaction = self.database.changing(id).await?;
        let Some((asset_seq, asset)) = find_kept(&mut transaction, tenant, id).await? else {
            // Erased while its job ran: what the job has stored since has to go too.
            if deletions::note_again(&mut transaction, tenant, id).await? {
                self.commit(transaction).await?;
                self.deletion_noted.notify_one();
            }
            return Ok(Published::Missing);
        };
        let existing = find_version(&mut transaction, asset_seq, name).await?;
        match asset::publish(existing.as_ref(), new) {
            Publication::Add => {}
            Publication::Repeat => return Ok(Published::Known(asset)),
            Publication::Differs => return Ok(Published::Differs),
        }
        let now = now_us();
        insert(&mut transaction, tenant, (asset_seq, name), new, now).await?;
        sql("UPDATE assets SET state = $2, error = NULL, revision = revision + 1, updated_at_us = $3 WHERE seq = $1")
            .bind(asset_seq)
            .bind(state_word(AssetState::Ready))
            .bind(now)
            .run(&mut transaction)
            .await?;
        let note = Note { action: Action::Published, detail: Some(name), edited: None };
        history::note(&mut transaction, by, (id, asset.revision + 1, self.keep()), note).await?;
        let published = find(&mut transaction, id).await?;
        self.commit(transaction).await?;
        Ok(published.map_or(Published::Missing, |(_, asset)| Published::New(asset)))
    }

    /// Notes that conditioning the tenant's asset failed; gives the asset as it is now, if there is one.
    pub async fn fail(&self, by: By<'_>, id: Uuid, reason: &str) -> StoreResult<Option<Asset>> {
        let mut transaction = self.database.changing(id).await?;
        let Some((seq, asset)) = find_kept(&mut transaction, by.tenant, id).await? else {
            return Ok(None);
        };
        match asset::fail(&asset, reason) {
            FailureReport::Note => {}
            FailureReport::Ignore => return Ok(Some(asset)),
        }
        sql("UPDATE assets SET state = $2, error = $3, revision = revision + 1, updated_at_us = $4 WHERE seq = $1")
            .bind(seq)
            .bind(state_word(AssetState::Failed))
            .bind(reason)
            .bind(now_us())
            .run(&mut transaction)
            .await?;
        let note = Note { action: Action::Failed, detail: Some(reason), edited: None };
        history::note(&mut transaction, by, (id, asset.revision + 1, self.keep()), note).await?;
        let failed = find(&mut transaction, id).await?;
        self.commit(transaction).await?;
        Ok(failed.map(|(_, asset)| asset))
    }
}

async fn find_version(transaction: &mut Transaction, asset_seq: i64, name: &str) -> StoreResult<Option<Version>> {
    let query = sql(
        "SELECT seq, name, job_id, chain, thumbnails, conditioning, created_at_us FROM versions WHERE asset_seq = $1 AND name = $2",
    )
    .bind(asset_seq)
    .bind(name);
    let Some(row) = query.one::<VersionRow>(transaction).await? else { return Ok(None) };
    let tracks = rows::tracks(transaction, &[row.seq]).await?.remove(&row.seq).unwrap_or_default();
    let conditioning = row.conditioning.map(|conditioning| conditioning.0);
    let made = (tracks, row.thumbnails.map(|thumbnails| thumbnails.0), conditioning);
    rows::version(row.name, row.job_id.as_deref(), row.chain, row.created_at_us, made).map(Some)
}

/// Inserts a version with its tracks, within a transaction.
pub(super) async fn insert(
    transaction: &mut Transaction,
    tenant: &str,
    (asset_seq, name): (i64, &str),
    new: &NewVersion,
    now: i64,
) -> StoreResult<()> {
    let inserted =
        sql("INSERT INTO versions (tenant, asset_seq, name, job_id, chain, created_at_us, thumbnails, conditioning) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING seq")
        .bind(tenant)
        .bind(asset_seq)
        .bind(name)
        .bind(&new.job_id.map(|id| id.to_string()))
        .bind(&new.chain)
        .bind(now)
        .bind(json_or_null(new.thumbnails.as_ref())?)
        .bind(json_or_null(new.conditioning.as_ref())?)
        .one(transaction)
        .await?;
    let (version_seq,): (i64,) = inserted.ok_or_else(|| damaged("nothing where a version was noted", name))?;
    for (position, track) in (0_i64..).zip(&new.tracks) {
        insert_track(transaction, tenant, version_seq, position, track).await?;
    }
    Ok(())
}

async fn insert_track(
    transaction: &mut Transaction,
    tenant: &str,
    version_seq: i64,
    position: i64,
    track: &Track,
) -> StoreResult<()> {
    sql("INSERT INTO tracks (version_seq, position, tenant, name, kind, codec, width, height, frame_rate_num, \
         frame_rate_den, channels, sample_rate_hz, language, duration_ms, samples, average_bandwidth_bps, \
         peak_bandwidth_bps, size_bytes, role, title, source_sound) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)")
    .bind(version_seq)
    .bind(position)
    .bind(tenant)
    .bind(&track.name)
    .bind(kind_word(track.kind))
    .bind(&track.codec)
    .bind(track.width)
    .bind(track.height)
    .bind(track.frame_rate.map(|rate| rate.num))
    .bind(track.frame_rate.map(|rate| rate.den))
    .bind(track.channels.map(u32::from))
    .bind(track.sample_rate_hz)
    .bind(&track.language)
    .bind(stored(track.duration_ms))
    .bind(stored(track.samples))
    .bind(stored(track.average_bandwidth_bps))
    .bind(stored(track.peak_bandwidth_bps))
    .bind(stored(track.size_bytes))
    .bind(track.role.word())
    .bind(&track.title)
    .bind(track.source_sound)
    .run(transaction)
    .await?;
    Ok(())
}

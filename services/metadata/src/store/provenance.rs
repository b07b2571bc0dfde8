//! Where bytes came from: an asset with every version that was published of it, who did that, and what else has the same source; and
//! assets by what others call them.

use std::collections::HashMap;

use flame_api::Page;
use flame_api::media::Thumbnails;
use flame_api::metadata::{Action, Asset, Conditioning, Deed, MadeVersion, Provenance, SAME_SOURCE_MAX, SoundLabel};
use sqlx::types::Json;
use uuid::Uuid;

use super::assets::{find_own, page};
use super::rows::{self, AssetRow, moment, select_assets};
use super::sql::{Sql, Transaction, Value, sql};
use super::{Store, StoreResult, scores};
use crate::cursor::{Position, Tier};
use crate::known::KnownBy;

#[derive(Debug, sqlx::FromRow)]
struct MadeRow {
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
    /// Where the bytes of the asset came from, if it is `tenant`'s.
    pub async fn provenance(&self, tenant: &str, id: Uuid) -> StoreResult<Option<Provenance>> {
        let mut transaction = self.database.reading().await?;
        let Some((seq, asset)) = find_own(&mut transaction, tenant, id).await? else { return Ok(None) };
        let actors = actors(&mut transaction, tenant, id).await?;
        let registered = Deed { at: asset.created_at, by: actors.get("").cloned() };
        let versions = versions(&mut transaction, seq, &asset.sound_labels, &actors).await?;
        let scores = scores::of_asset(&mut transaction, seq).await?;
        let same_source = same_source(&mut transaction, &asset).await?;
        let Asset { title, source, probe, subtitles, .. } = asset;
        Ok(Some(Provenance {
            asset_id: id,
            title,
            source,
            probe,
            registered,
            versions,
            scores,
            subtitles,
            same_source,
        }))
    }

    /// A page of `tenant`'s assets that are known by something, newest first.
    pub async fn known_by(&self, tenant: &str, by: &KnownBy, from: Position, limit: u32) -> StoreResult<Page<Asset>> {
        const BY_IDENTIFIER: Sql = Sql {
            sqlite: select_assets!(
                "identifiers i JOIN assets a ON a.seq = i.asset_seq",
                "WHERE i.tenant = $1 AND i.scheme = $4 AND i.value = $5 AND i.asset_seq < $2 AND a.deleted_at_us IS NULL \
                 ORDER BY i.asset_seq DESC LIMIT $3"
            ),
            postgres: select_assets!(
                "assets a",
                "WHERE a.tenant = $1 AND a.record -> 'identifier' @> \
                 jsonb_build_array(jsonb_build_object('propertyID', CAST($4 AS TEXT), 'value', CAST($5 AS TEXT))) \
                 AND a.seq < $2 AND a.deleted_at_us IS NULL ORDER BY a.seq DESC LIMIT $3"
            ),
        };
        const BY_IDS: Sql = Sql {
            sqlite: select_assets!(
                "assets a",
                "WHERE a.tenant = $1 AND a.id IN (SELECT value FROM json_each('[\"' || replace($4, ',', '\",\"') || '\"]')) \
                 AND a.seq < $2 AND a.deleted_at_us IS NULL ORDER BY a.seq DESC LIMIT $3"
            ),
            postgres: select_assets!(
                "assets a",
                "WHERE a.tenant = $1 AND a.id = ANY (string_to_array(CAST($4 AS TEXT), ',')) \
                 AND a.seq < $2 AND a.deleted_at_us IS NULL ORDER BY a.seq DESC LIMIT $3"
            ),
        };
        let mut transaction = self.database.reading().await?;
        let query = match by {
            KnownBy::Identifier { .. } => sql(BY_IDENTIFIER),
            KnownBy::Ids(_) => sql(BY_IDS),
            KnownBy::Sha256(_) => sql(select_assets!(
                "assets a",
                "WHERE a.tenant = $1 AND a.source_sha256 = $4 AND a.seq < $2 AND a.deleted_at_us IS NULL \
                 ORDER BY a.seq DESC LIMIT $3"
            )),
        };
        let query = query.bind(tenant).bind(from.before_seq).bind(i64::from(limit) + 1);
        let query = match by {
            KnownBy::Identifier { scheme, value } => query.bind(scheme).bind(value),
            KnownBy::Sha256(sha256) => query.bind(sha256),
            KnownBy::Ids(ids) => query.bind(ids.iter().map(Uuid::to_string).collect::<Vec<_>>().join(",")),
        };
        let rows: Vec<AssetRow> = query.all(&mut transaction).await?;
        page(&mut transaction, rows.into_iter().map(|row| (Tier::Title, row)).collect(), limit).await
    }
}

/// Who published each version, by its name, and under the empty name who registered the asset; as far as the history reaches.
async fn actors(transaction: &mut Transaction, tenant: &str, id: Uuid) -> StoreResult<HashMap<String, String>> {
    let query = sql(
        "SELECT detail, actor FROM changes WHERE tenant = $1 AND asset_id = $2 AND action IN ($3, $4) ORDER BY revision",
    );
    let words = [Action::Registered, Action::Published].map(super::history::action_word);
    let query = query.bind(tenant).bind(id.to_string()).bind(words[0]).bind(words[1]);
    let rows: Vec<(Option<String>, String)> = query.all(transaction).await?;
    Ok(rows.into_iter().map(|(version, actor)| (version.unwrap_or_default(), actor)).collect())
}

async fn versions(
    transaction: &mut Transaction,
    asset_seq: i64,
    labels: &[SoundLabel],
    actors: &HashMap<String, String>,
) -> StoreResult<Vec<MadeVersion>> {
    let query = sql("SELECT seq, name, job_id, chain, thumbnails, conditioning, created_at_us FROM versions \
         WHERE asset_seq = $1 ORDER BY seq DESC");
    let made: Vec<MadeRow> = query.bind(asset_seq).all(transaction).await?;
    let seqs: Vec<i64> = made.iter().map(|row| row.seq).collect();
    let mut tracks = rows::tracks(transaction, &seqs).await?;
    let version = |(at, row): (usize, MadeRow)| {
        let mut tracks = tracks.remove(&row.seq).unwrap_or_default();
        tracks.iter_mut().for_each(|track| SoundLabel::apply(labels, track));
        let made = (tracks, row.thumbnails.map(|it| it.0), row.conditioning.map(|it| it.0));
        let published = Deed { at: moment(row.created_at_us)?, by: actors.get(&row.name).cloned() };
        let version = rows::version(row.name, row.job_id.as_deref(), row.chain, row.created_at_us, made)?;
        Ok(MadeVersion { version, plays: at == 0, published })
    };
    made.into_iter().enumerate().map(version).collect()
}

async fn same_source(transaction: &mut Transaction, asset: &Asset) -> StoreResult<Vec<Uuid>> {
    let query =
        sql("SELECT id FROM assets WHERE tenant = $1 AND source_sha256 = $2 AND id <> $3 AND deleted_at_us IS NULL \
         ORDER BY seq DESC LIMIT $4")
        .bind(&asset.tenant)
        .bind(&asset.source.sha256)
        .bind(asset.id.to_string())
        .bind(Value::Number(i64::try_from(SAME_SOURCE_MAX).ok()));
    let rows: Vec<(String,)> = query.all(transaction).await?;
    rows.into_iter().map(|(id,)| rows::uuid(&id)).collect()
}

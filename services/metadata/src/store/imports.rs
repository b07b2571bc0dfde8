//! Whole assets that come many at once: looked for, and registered, by a few statements for all of them, in one transaction.
//!
//! Each line that is registered is there with all of its parts, or none is. What is refused is decided before anything is written, so one
//! line that is refused leaves the others alone.

use std::collections::HashMap;

use flame_api::group;
use flame_api::metadata::{Action, AssetState};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::history::{self, By, Made};
use super::rows::{self, AssetRow, damaged, encryption_word, select_assets, state_word};
use super::sql::{Sql, Transaction, Value, sql};
use super::{Store, StoreError, StoreResult, now_us, purges, subtitles, versions};
use crate::imports::{self, Catalogue, Fate, Whole};
use crate::search::tsvector;

// === impl Store ===

impl Store {
    /// A turn to read a body with many assets, and to register them.
    pub async fn import_turn(&self) -> StoreResult<OwnedSemaphorePermit> {
        let turn = tokio::time::timeout(self.wait, self.imports.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or(StoreError::Busy(sqlx::Error::PoolTimedOut))
    }

    /// Registers those of `wholes` that the catalogue has not; says what becomes of each.
    pub async fn import(&self, by: By<'_>, wholes: &[Whole]) -> StoreResult<Vec<Fate>> {
        let ids: Vec<Uuid> = wholes.iter().map(|whole| whole.asset.id).collect();
        let mut transaction = self.database.importing(by.tenant, &ids).await?;
        let there = catalogue(&mut transaction, by.tenant, wholes).await?;
        let fates = imports::decide(by.tenant, wholes.iter().map(|whole| &whole.asset), there);
        let new: Vec<&Whole> =
            wholes.iter().zip(&fates).filter(|(_, fate)| **fate == Fate::New).map(|(whole, _)| whole).collect();
        if new.is_empty() {
            return Ok(fates);
        }
        insert(&mut transaction, by.tenant, &new).await?;
        insert_parts(&mut transaction, by.tenant, &new).await?;
        let mut is_for_others = false;
        for whole in &new {
            // Surrogates may keep what they were given before the catalogue was lost.
            if whole.asset.protected || whole.asset.encryption.is_some() {
                let tag = group::of_asset(whole.asset.id);
                purges::note(&mut transaction, &self.purges, by.tenant, &tag).await?;
                is_for_others = true;
            }
        }
        let made: Vec<Made<'_>> = new.iter().flat_map(|whole| changes(whole)).collect();
        history::note_all(&mut transaction, by, &made, self.keep()).await?;
        self.commit(transaction).await?;
        if is_for_others {
            self.purge_noted.notify_one();
        }
        Ok(fates)
    }
}

/// What the catalogue knows of what `wholes` name.
async fn catalogue(transaction: &mut Transaction, tenant: &str, wholes: &[Whole]) -> StoreResult<Catalogue> {
    const BY_IDS: Sql = Sql {
        sqlite: select_assets!("assets a", "WHERE a.id IN (SELECT value FROM json_each($1))"),
        postgres: select_assets!("assets a", "WHERE a.id IN (SELECT jsonb_array_elements_text($1))"),
    };
    const DELETED: Sql = Sql {
        sqlite: "SELECT asset_id FROM deletions WHERE asset_id IN (SELECT value FROM json_each($1))",
        postgres: "SELECT asset_id FROM deletions WHERE asset_id IN (SELECT jsonb_array_elements_text($1))",
    };
    // Not `min(a.id)`, for which PostgreSQL would walk the index of ids until one fits.
    const IDENTIFIED: Sql = Sql {
        sqlite: "SELECT j.value ->> '$.propertyID', j.value ->> '$.value', j.value ->> '$.sha256', \
                 (SELECT a.id FROM identifiers i CROSS JOIN assets a ON a.seq = i.asset_seq \
                 WHERE i.tenant = $2 AND i.scheme = j.value ->> '$.propertyID' AND i.value = j.value ->> '$.value' \
                 AND a.source_sha256 = j.value ->> '$.sha256' AND a.deleted_at_us IS NULL LIMIT 1) FROM json_each($1) AS j",
        postgres: "SELECT one ->> 'propertyID', one ->> 'value', one ->> 'sha256', \
                   (SELECT min(a.id || '') FROM assets a WHERE a.tenant = $2 AND a.source_sha256 = one ->> 'sha256' \
                   AND a.record -> 'identifier' @> jsonb_build_array(one - 'sha256') AND a.deleted_at_us IS NULL) \
                   FROM jsonb_array_elements($1) AS j (one)",
    };
    let ids: Vec<Uuid> = wholes.iter().map(|whole| whole.asset.id).collect();
    let found: Vec<AssetRow> = sql(BY_IDS).bind(texts(&ids)).all(transaction).await?;
    let assets = rows::assets(transaction, found).await?;
    let deleted: Vec<(String,)> = sql(DELETED).bind(texts(&ids)).all(transaction).await?;
    let deleted = deleted.into_iter().map(|(id,)| rows::uuid(&id)).collect::<StoreResult<_>>()?;
    let named = wholes.iter().flat_map(|whole| imports::names(&whole.asset));
    let named = named.map(|(scheme, value, sha256)| json!({ "propertyID": scheme, "value": value, "sha256": sha256 }));
    let named: Vec<_> = named.collect();
    let mut identified = HashMap::new();
    if !named.is_empty() {
        let query = sql(IDENTIFIED).bind(Value::Json(Some(named.into()))).bind(tenant);
        for (scheme, value, sha256, id) in query.all::<(String, String, String, Option<String>)>(transaction).await? {
            if let Some(id) = id {
                identified.insert((scheme, value, sha256), rows::uuid(&id)?);
            }
        }
    }
    Ok(Catalogue { assets: assets.into_iter().map(|asset| (asset.id, asset)).collect(), deleted, identified })
}

/// Inserts assets, with their records and words.
async fn insert(transaction: &mut Transaction, tenant: &str, new: &[&Whole]) -> StoreResult<()> {
    const INSERT: Sql = Sql {
        sqlite: "INSERT INTO assets (id, tenant, title, state, source_key, file_name, source_size_bytes, source_sha256, probe, \
                 poster_key, protected, encryption, sound_labels, record, custom, record_words, stems, revision, \
                 created_at_us, updated_at_us) \
                 SELECT value ->> '$.id', $2, value ->> '$.title', value ->> '$.state', value ->> '$.source_key', \
                 value ->> '$.file_name', value ->> '$.source_size_bytes', value ->> '$.source_sha256', value -> '$.probe', \
                 value ->> '$.poster_key', value ->> '$.protected', value ->> '$.encryption', value -> '$.sound_labels', \
                 value -> '$.record', value -> '$.custom', value ->> '$.record_words', value ->> '$.stems', \
                 value ->> '$.revision', $3, $3 FROM json_each($1)",
        postgres: "INSERT INTO assets (id, tenant, title, state, source_key, file_name, source_size_bytes, source_sha256, probe, \
                   poster_key, protected, encryption, sound_labels, record, custom, record_words, stems, revision, \
                   created_at_us, updated_at_us, words) \
                   SELECT id, $2, title, state, source_key, file_name, source_size_bytes, source_sha256, probe, \
                   poster_key, protected, encryption, sound_labels, record, custom, record_words, stems, revision, \
                   $3, $3, CAST(words AS tsvector) FROM jsonb_to_recordset($1) AS made (id text, title text, state text, \
                   source_key text, file_name text, source_size_bytes bigint, source_sha256 text, probe jsonb, poster_key text, \
                   protected boolean, encryption text, sound_labels jsonb, record jsonb, custom jsonb, record_words text, \
                   stems text, revision bigint, words text)",
    };
    // With SQLite a table of its own finds identifiers, which a trigger keeps of updates alone.
    const IDENTIFIERS: &str = "INSERT OR IGNORE INTO identifiers (tenant, scheme, value, asset_seq) \
         SELECT a.tenant, json_extract(i.value, '$.propertyID'), json_extract(i.value, '$.value'), a.seq \
         FROM json_each($1) n CROSS JOIN assets a ON a.id = n.value CROSS JOIN json_each(a.record, '$.identifier') i";
    let rows = new.iter().map(|whole| row(tenant, whole)).collect::<Result<Vec<_>, _>>();
    let rows = rows.map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    sql(INSERT).bind(Value::Json(Some(rows.into()))).bind(tenant).bind(now_us()).run(transaction).await?;
    let named: Vec<Uuid> =
        new.iter().filter(|whole| !whole.asset.record.identifier.is_empty()).map(|whole| whole.asset.id).collect();
    if let Transaction::Sqlite(_) = transaction
        && !named.is_empty()
    {
        sql(IDENTIFIERS).bind(texts(&named)).run(transaction).await?;
    }
    Ok(())
}

/// The columns of an asset.
fn row(tenant: &str, Whole { asset, searched }: &Whole) -> serde_json::Result<serde_json::Value> {
    let state = if asset.version.is_some() { AssetState::Ready } else { AssetState::Registered };
    let file_name = asset.source.file_name.as_deref();
    Ok(json!({
        "id": asset.id.to_string(), "title": asset.title, "state": state_word(state), "source_key": asset.source.key,
        "file_name": file_name, "source_size_bytes": asset.source.size_bytes, "source_sha256": asset.source.sha256,
        "probe": serde_json::to_value(&asset.probe)?, "poster_key": asset.poster_key, "protected": asset.protected,
        "encryption": asset.encryption.map(encryption_word), "sound_labels": serde_json::to_value(&asset.sound_labels)?,
        "record": serde_json::to_value(&asset.record)?, "custom": asset.custom,
        "record_words": searched.record_words, "stems": searched.stems, "revision": changes_of(asset),
        "words": tsvector::of(tenant, &asset.title, file_name, searched),
    }))
}

/// Inserts the versions and subtitles of assets that are inserted.
async fn insert_parts(transaction: &mut Transaction, tenant: &str, new: &[&Whole]) -> StoreResult<()> {
    const PLACES: Sql = Sql {
        sqlite: "SELECT id, seq FROM assets WHERE id IN (SELECT value FROM json_each($1))",
        postgres: "SELECT id, seq FROM assets WHERE id IN (SELECT jsonb_array_elements_text($1))",
    };
    let more = new.iter().filter(|whole| whole.asset.version.is_some() || !whole.asset.subtitles.is_empty());
    let more: Vec<&Whole> = more.copied().collect();
    if more.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = more.iter().map(|whole| whole.asset.id).collect();
    let places: Vec<(String, i64)> = sql(PLACES).bind(texts(&ids)).all(transaction).await?;
    let places: HashMap<String, i64> = places.into_iter().collect();
    for Whole { asset, .. } in more {
        let id = asset.id.to_string();
        let asset_seq = *places.get(&id).ok_or_else(|| damaged("nothing where an asset was inserted", &id))?;
        for subtitle in &asset.subtitles {
            let listed = imports::new_subtitle(subtitle);
            subtitles::put(transaction, tenant, (asset_seq, &subtitle.id), &listed).await?;
        }
        if let Some(version) = &asset.version {
            let published = imports::new_version(version);
            versions::insert(transaction, tenant, (asset_seq, &version.name), &published, now_us()).await?;
        }
    }
    Ok(())
}

/// How many changes made the asset, which is its revision.
fn changes_of(asset: &flame_api::metadata::ImportedAsset) -> usize {
    1 + asset.subtitles.len() + usize::from(asset.version.is_some())
}

/// The changes that made it, as if each had been a call of its own.
fn changes(Whole { asset, .. }: &Whole) -> Vec<Made<'_>> {
    let mut made = vec![(Action::Registered, None)];
    made.extend(asset.subtitles.iter().map(|subtitle| (Action::SubtitleListed, Some(subtitle.id.as_str()))));
    made.extend(asset.version.iter().map(|version| (Action::Published, Some(version.name.as_str()))));
    let newest = changes_of(asset) as u64;
    (1..)
        .zip(made)
        .map(|(revision, (action, detail))| Made { id: asset.id, revision, newest, action, detail })
        .collect()
}

/// Ids as an array of JSON.
fn texts(ids: &[Uuid]) -> Value {
    Value::Json(Some(ids.iter().map(Uuid::to_string).collect()))
}

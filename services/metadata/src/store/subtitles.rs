//! Subtitles of assets: listing them, and letting them go with their objects.

use std::collections::HashMap;

use flame_api::group;
use flame_api::metadata::{Action, Asset};
use flame_api::subtitles::{NewSubtitle, Subtitle, SubtitleRole};
use flame_service_host::IfMatch;
use uuid::Uuid;

use super::assets::{find, find_own};
use super::history::{self, By, Note};
use super::rows::{damaged, moment, number, stored};
use super::sql::{Sql, Transaction, among, sql};
use super::{Store, StoreResult, deletions, now_us, purges, removals};
use crate::subtitle::{self, Listing};

/// What became of a listing.
#[derive(Debug)]
pub enum Listed {
    /// It is new.
    New(Box<Asset>),
    /// It is listed so now, or was before.
    Known(Box<Asset>),
    /// The name stands for another text.
    Differs,
    /// The asset has as many as it may have.
    TooMany,
    /// The asset is not of the revision that the caller saw, but of this one.
    Stale(u64),
    /// There is no such asset.
    Missing,
}

/// What became of a removal.
#[derive(Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// They are gone.
    Done,
    /// The asset is not of the revision that the caller saw, but of this one.
    Stale(u64),
    /// There is no such asset, or it has none of that name.
    Missing,
}

#[derive(Debug, sqlx::FromRow)]
struct SubtitleRow {
    asset_seq: i64,
    name: String,
    language: String,
    role: String,
    title: Option<String>,
    is_default: bool,
    object_key: String,
    size_bytes: i64,
    sha256: String,
    cues: i64,
    created_at_us: i64,
}

// === impl Store ===

impl Store {
    /// Lists subtitles of the tenant's asset under `name`, if it is as the caller saw it.
    pub async fn list_subtitle(
        &self,
        by: By<'_>,
        (id, name): (Uuid, &str),
        seen: Option<&IfMatch>,
        new: &NewSubtitle,
    ) -> StoreResult<Listed> {
        let tenant = by.tenant;
        let mut transaction = self.database.changing(id).await?;
        let Some((asset_seq, asset)) = find_own(&mut transaction, tenant, id).await? else {
            // Deleted while the text was stored: that has to go too.
            if deletions::note_again(&mut transaction, tenant, id).await? {
                self.commit(transaction).await?;
                self.deletion_noted.notify_one();
            }
            return Ok(Listed::Missing);
        };
        if seen.is_some_and(|seen| !seen.allows(asset.revision)) {
            return Ok(Listed::Stale(asset.revision));
        }
        let listing = subtitle::list(&asset.subtitles, name, new);
        let is_new = match &listing {
            Listing::Add => true,
            Listing::Replace { freed_key } => {
                if let Some(key) = freed_key {
                    removals::note(&mut transaction, tenant, id, key).await?;
                }
                false
            }
            Listing::Repeat => return Ok(Listed::Known(Box::new(asset))),
            Listing::Differs => return Ok(Listed::Differs),
            Listing::TooMany => return Ok(Listed::TooMany),
        };
        if new.default {
            sql("UPDATE subtitles SET is_default = FALSE WHERE asset_seq = $1")
                .bind(asset_seq)
                .run(&mut transaction)
                .await?;
        }
        put(&mut transaction, tenant, (asset_seq, name), new).await?;
        touch(&mut transaction, asset_seq).await?;
        let note = Note { action: Action::SubtitleListed, detail: Some(name), edited: None };
        history::note(&mut transaction, by, (id, asset.revision + 1, self.keep()), note).await?;
        let listed = find(&mut transaction, id).await?;
        self.commit(transaction).await?;
        self.deletion_noted.notify_one();
        Ok(listed.map_or(Listed::Missing, |(_, asset)| {
            let asset = Box::new(asset);
            if is_new { Listed::New(asset) } else { Listed::Known(asset) }
        }))
    }

    /// Takes the subtitles called `name` from the tenant's asset, and notes that their object has to go.
    pub async fn unlist_subtitle(
        &self,
        by: By<'_>,
        (id, name): (Uuid, &str),
        seen: Option<&IfMatch>,
    ) -> StoreResult<Unlisted> {
        let tenant = by.tenant;
        let mut transaction = self.database.changing(id).await?;
        let Some((asset_seq, asset)) = find_own(&mut transaction, tenant, id).await? else {
            return Ok(Unlisted::Missing);
        };
        if seen.is_some_and(|seen| !seen.allows(asset.revision)) {
            return Ok(Unlisted::Stale(asset.revision));
        }
        let Some(known) = asset.subtitles.iter().find(|known| known.id == name) else {
            return Ok(Unlisted::Missing);
        };
        sql("DELETE FROM subtitles WHERE asset_seq = $1 AND name = $2")
            .bind(asset_seq)
            .bind(name)
            .run(&mut transaction)
            .await?;
        removals::note(&mut transaction, tenant, id, &known.key).await?;
        purges::note(&mut transaction, &self.purges, tenant, &group::of_subtitle(id, name)).await?;
        touch(&mut transaction, asset_seq).await?;
        let note = Note { action: Action::SubtitleUnlisted, detail: Some(name), edited: None };
        history::note(&mut transaction, by, (id, asset.revision + 1, self.keep()), note).await?;
        self.commit(transaction).await?;
        self.deletion_noted.notify_one();
        self.purge_noted.notify_one();
        Ok(Unlisted::Done)
    }
}

/// Lists subtitles under `name`, within a transaction.
pub(super) async fn put(
    transaction: &mut Transaction,
    tenant: &str,
    (asset_seq, name): (i64, &str),
    new: &NewSubtitle,
) -> StoreResult<()> {
    sql("INSERT INTO subtitles (tenant, asset_seq, name, language, role, title, is_default, object_key, size_bytes, \
         sha256, cues, created_at_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (asset_seq, name) DO UPDATE SET title = $6, is_default = $7, object_key = $8")
    .bind(tenant)
    .bind(asset_seq)
    .bind(name)
    .bind(&new.language)
    .bind(new.role.as_str())
    .bind(&new.title)
    .bind(new.default)
    .bind(&new.key)
    .bind(stored(new.size_bytes))
    .bind(&new.sha256)
    .bind(stored(new.cues))
    .bind(now_us())
    .run(transaction)
    .await?;
    Ok(())
}

async fn touch(transaction: &mut Transaction, asset_seq: i64) -> StoreResult<()> {
    sql("UPDATE assets SET revision = revision + 1, updated_at_us = $2 WHERE seq = $1")
        .bind(asset_seq)
        .bind(now_us())
        .run(transaction)
        .await?;
    Ok(())
}

/// The subtitles of each of `assets`, by their places in the list, in their order.
pub(super) async fn subtitles(
    transaction: &mut Transaction,
    assets: &[i64],
) -> StoreResult<HashMap<i64, Vec<Subtitle>>> {
    const OF_ASSETS: Sql = among!(
        "SELECT asset_seq, name, language, role, title, is_default, object_key, size_bytes, sha256, cues, created_at_us \
         FROM subtitles WHERE asset_seq",
        "ORDER BY seq"
    );
    let rows: Vec<SubtitleRow> = sql(OF_ASSETS).bind(assets).all(transaction).await?;
    let mut found: HashMap<i64, Vec<Subtitle>> = HashMap::new();
    for row in rows {
        found.entry(row.asset_seq).or_default().push(row.subtitle()?);
    }
    Ok(found)
}

// === impl SubtitleRow ===

impl SubtitleRow {
    fn subtitle(self) -> StoreResult<Subtitle> {
        let role = SubtitleRole::ALL.into_iter().find(|role| role.as_str() == self.role);
        Ok(Subtitle {
            id: self.name,
            language: self.language,
            role: role.ok_or_else(|| damaged("a role of subtitles", &self.role))?,
            title: self.title,
            default: self.is_default,
            key: self.object_key,
            size_bytes: number(self.size_bytes)?,
            sha256: self.sha256,
            cues: number(self.cues)?,
            created_at: moment(self.created_at_us)?,
        })
    }
}

//! Assets: registering, reading, listing, editing, deleting.

use flame_api::Page;
use flame_api::group;
use flame_api::metadata::{Asset, AssetPatch, AssetState, NewAsset};
use flame_service_host::IfMatch;
use sqlx::sqlite::SqliteConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::rows::{self, AssetRow, encryption_word, select_assets, state_word, stored};
use super::{Store, StoreResult, deletions, now_us, purges};
use crate::asset::{self, Registration};
use crate::cursor::{Position, Tier};
use crate::search::Search;

/// What became of a registration.
#[derive(Debug)]
pub enum Registered {
    /// It is new.
    New(Asset),
    /// It was there, from the same source.
    Known(Asset),
    /// The id stands for something else.
    Taken,
    /// The id stood for an asset that was deleted.
    Deleted,
}

/// What became of an edit.
#[derive(Debug)]
pub enum Patched {
    /// The asset as it is now.
    Done(Box<Asset>),
    /// It is not of the revision that the caller saw, but of this one.
    Stale(u64),
    /// There is none.
    Missing,
}

/// What became of a deletion.
#[derive(Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Done,
    /// It is not of the revision that the caller saw, but of this one.
    Stale(u64),
    /// There is none.
    Missing,
}

// === impl Store ===

impl Store {
    /// Registers `new` for `tenant`.
    pub async fn register(&self, tenant: &str, new: &NewAsset) -> StoreResult<Registered> {
        let mut transaction = self.writing().await?;
        let existing = find(&mut transaction, new.id).await?.map(|(_, asset)| asset);
        match (asset::register(existing.as_ref(), tenant, new), existing) {
            (Registration::Create, _) => {}
            (Registration::Repeat, Some(asset)) => return Ok(Registered::Known(asset)),
            (Registration::Repeat | Registration::Taken, _) => return Ok(Registered::Taken),
        }
        if deletions::was_noted(&mut transaction, new.id).await? {
            return Ok(Registered::Deleted);
        }
        let now = now_us();
        sqlx::query(
            "INSERT INTO assets (id, tenant, title, state, source_key, file_name, source_size_bytes, source_sha256, \
             probe, poster_key, revision, created_at_us, updated_at_us) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1, ?11, ?11)",
        )
        .bind(new.id.to_string())
        .bind(tenant)
        .bind(&new.title)
        .bind(state_word(AssetState::Registered))
        .bind(&new.source.key)
        .bind(&new.source.file_name)
        .bind(stored(new.source.size_bytes))
        .bind(&new.source.sha256)
        .bind(Json(&new.probe))
        .bind(&new.poster_key)
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        let created = find(&mut transaction, new.id).await?;
        transaction.commit().await?;
        Ok(created.map_or(Registered::Taken, |(_, asset)| Registered::New(asset)))
    }

    /// The asset, if it is `tenant`'s (anybody's where that is `None`).
    pub async fn asset(&self, tenant: Option<&str>, id: Uuid) -> StoreResult<Option<Asset>> {
        let mut transaction = self.reading().await?;
        let found = find(&mut transaction, id).await?.map(|(_, asset)| asset);
        Ok(found.filter(|asset| tenant.is_none_or(|tenant| asset.tenant == tenant)))
    }

    /// A page of `tenant`'s assets, newest first.
    pub async fn list(
        &self,
        tenant: &str,
        state: Option<AssetState>,
        from: Position,
        limit: u32,
    ) -> StoreResult<Page<Asset>> {
        let mut transaction = self.reading().await?;
        // One more than wanted tells whether there is a next page.
        let query = match state {
            None => sqlx::query_as(select_assets!(
                "assets a",
                "WHERE a.tenant = ?1 AND a.seq < ?2 ORDER BY a.seq DESC LIMIT ?3"
            )),
            Some(_) => sqlx::query_as(select_assets!(
                "assets a",
                "WHERE a.tenant = ?1 AND a.state = ?4 AND a.seq < ?2 ORDER BY a.seq DESC LIMIT ?3"
            )),
        };
        let mut query = query.bind(tenant).bind(from.before_seq).bind(i64::from(limit) + 1);
        if let Some(state) = state {
            query = query.bind(state_word(state));
        }
        let found: Vec<AssetRow> = query.fetch_all(&mut *transaction).await?;
        page(&mut transaction, found.into_iter().map(|row| (Tier::Title, row)).collect(), limit).await
    }

    /// A page of `tenant`'s assets that a search finds: by tier, each newest first.
    pub async fn search(
        &self,
        tenant: &str,
        search: &Search,
        state: Option<AssetState>,
        from: Position,
        limit: u32,
    ) -> StoreResult<Page<Asset>> {
        let mut transaction = self.reading().await?;
        let mut found: Vec<(Tier, AssetRow)> = Vec::new();
        let mut position = Some(from);
        while let Some(Position { tier, before_seq }) = position {
            let missing = i64::from(limit) + 1 - i64::try_from(found.len()).unwrap_or(i64::MAX);
            let expression = match tier {
                Tier::Title => &search.in_title,
                Tier::FileName => &search.with_file_name,
            };
            // CROSS JOIN keeps the full-text index outermost: it gives rows in this order by itself, so that a page
            // costs a page, however many assets match.
            let rows: Vec<AssetRow> = sqlx::query_as(select_assets!(
                "assets_text t CROSS JOIN assets a ON a.seq = t.rowid",
                "WHERE t.assets_text MATCH ?1 AND t.rowid < ?2 AND a.tenant = ?3 AND (?4 IS NULL OR a.state = ?4) \
                 ORDER BY t.rowid DESC LIMIT ?5"
            ))
            .bind(expression)
            .bind(before_seq)
            .bind(tenant)
            .bind(state.map(state_word))
            .bind(missing)
            .fetch_all(&mut *transaction)
            .await?;
            found.extend(rows.into_iter().map(|row| (tier, row)));
            let full = found.len() > usize::try_from(limit).unwrap_or(usize::MAX);
            position = (tier == Tier::Title && !full).then_some(Position::top(Tier::FileName));
        }
        page(&mut transaction, found, limit).await
    }

    /// Edits `tenant`'s asset, if it is as the caller saw it.
    pub async fn patch(&self, tenant: &str, id: Uuid, seen: &IfMatch, patch: &AssetPatch) -> StoreResult<Patched> {
        let mut transaction = self.writing().await?;
        let Some((seq, current)) = find_own(&mut transaction, tenant, id).await? else {
            return Ok(Patched::Missing);
        };
        if !seen.allows(current.revision) {
            return Ok(Patched::Stale(current.revision));
        }
        let title = patch.title.as_ref().unwrap_or(&current.title);
        let protected = patch.protected.unwrap_or(current.protected);
        let encryption = patch.encryption.unwrap_or(current.encryption);
        let sound_labels = patch.sound_labels.as_ref().unwrap_or(&current.sound_labels);
        let is_same = *title == current.title
            && protected == current.protected
            && encryption == current.encryption
            && *sound_labels == current.sound_labels;
        if is_same {
            return Ok(Patched::Done(Box::new(current)));
        }
        sqlx::query(
            "UPDATE assets SET title = ?2, protected = ?3, sound_labels = ?4, encryption = ?6, revision = revision + 1, \
             updated_at_us = ?5 WHERE seq = ?1",
        )
        .bind(seq)
        .bind(title)
        .bind(protected)
        .bind(Json(sound_labels))
        .bind(now_us())
        .bind(encryption.map(encryption_word))
        .execute(&mut *transaction)
        .await?;
        let patched = find(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(patched.map_or(Patched::Missing, |(_, asset)| Patched::Done(Box::new(asset))))
    }

    /// Takes `tenant`'s asset out of the catalogue, and notes that its objects have to go.
    pub async fn delete(&self, tenant: &str, id: Uuid, seen: Option<&IfMatch>) -> StoreResult<Deleted> {
        let mut transaction = self.writing().await?;
        let Some((seq, current)) = find_own(&mut transaction, tenant, id).await? else {
            return Ok(Deleted::Missing);
        };
        if seen.is_some_and(|seen| !seen.allows(current.revision)) {
            return Ok(Deleted::Stale(current.revision));
        }
        sqlx::query("DELETE FROM assets WHERE seq = ?1").bind(seq).execute(&mut *transaction).await?;
        deletions::note(&mut transaction, tenant, id).await?;
        purges::note(&mut transaction, &self.purges, tenant, &group::of_asset(id)).await?;
        transaction.commit().await?;
        self.deletion_noted.notify_one();
        self.purge_noted.notify_one();
        Ok(Deleted::Done)
    }
}

/// The asset with its place in the list, whoever owns it.
pub(super) async fn find(connection: &mut SqliteConnection, id: Uuid) -> StoreResult<Option<(i64, Asset)>> {
    let row: Option<AssetRow> = sqlx::query_as(select_assets!("assets a", "WHERE a.id = ?1"))
        .bind(id.to_string())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let seq = row.seq;
    let asset = rows::assets(connection, vec![row]).await?.pop();
    Ok(asset.map(|asset| (seq, asset)))
}

/// The asset with its place in the list, if it is `tenant`'s.
pub(super) async fn find_own(
    connection: &mut SqliteConnection,
    tenant: &str,
    id: Uuid,
) -> StoreResult<Option<(i64, Asset)>> {
    Ok(find(connection, id).await?.filter(|(_, asset)| asset.tenant == tenant))
}

/// At most `limit` of `found`, and the cursor behind them if there were more.
async fn page(
    connection: &mut SqliteConnection,
    mut found: Vec<(Tier, AssetRow)>,
    limit: u32,
) -> StoreResult<Page<Asset>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let end = found.last().map(|(tier, row)| Position { tier: *tier, before_seq: row.seq });
    let rows = found.into_iter().map(|(_, row)| row).collect();
    let items = rows::assets(connection, rows).await?;
    Ok(Page { items, next_cursor: end.filter(|_| more).map(Position::encode) })
}

//! Assets: registering, reading, listing.

use flame_api::Page;
use flame_api::metadata::{Action, Asset, AssetState, NewAsset};
use uuid::Uuid;

use super::history::{self, By, Note};
use super::rows::{self, AssetRow, select_assets, state_word, stored};
use super::sql::{Sql, Transaction, json, sql};
use super::{Store, StoreResult, deletions, now_us};
use crate::asset::{self, Registration};
use crate::cursor::{Position, Tier};
use crate::search::{Search, tsvector};
use crate::searched::Searched;

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

// === impl Store ===

impl Store {
    /// Registers `new` for the tenant.
    pub async fn register(&self, by: By<'_>, new: &NewAsset) -> StoreResult<Registered> {
        let tenant = by.tenant;
        let mut transaction = self.database.changing(new.id).await?;
        let existing = find(&mut transaction, new.id).await?.map(|(_, asset)| asset);
        match (asset::register(existing.as_ref(), tenant, new), existing) {
            (Registration::Create, _) => {}
            // Also one that lies in the trash: it can come back, and whoever asks again must not take its bytes for nobody's.
            (Registration::Repeat, Some(asset)) => return Ok(Registered::Known(asset)),
            (Registration::Repeat | Registration::Taken, _) => return Ok(Registered::Taken),
        }
        if deletions::was_noted(&mut transaction, new.id).await? {
            return Ok(Registered::Deleted);
        }
        // The words are an index of SQLite's own, kept by its triggers, and a column of PostgreSQL.
        let insert = Sql {
            sqlite: "INSERT INTO assets (id, tenant, title, state, source_key, file_name, source_size_bytes, source_sha256, \
                     probe, poster_key, revision, created_at_us, updated_at_us) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $11)",
            postgres: "INSERT INTO assets (id, tenant, title, state, source_key, file_name, source_size_bytes, source_sha256, \
                       probe, poster_key, revision, created_at_us, updated_at_us, words) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $11, CAST($12 AS tsvector))",
        };
        sql(insert)
            .bind(new.id.to_string())
            .bind(tenant)
            .bind(&new.title)
            .bind(state_word(AssetState::Registered))
            .bind(&new.source.key)
            .bind(&new.source.file_name)
            .bind(stored(new.source.size_bytes))
            .bind(&new.source.sha256)
            .bind(json(&new.probe)?)
            .bind(&new.poster_key)
            .bind(now_us())
            .bind(tsvector::of(tenant, &new.title, new.source.file_name.as_deref(), &Searched::default()))
            .run(&mut transaction)
            .await?;
        history::note(&mut transaction, by, (new.id, 1, self.keep()), Note::plain(Action::Registered)).await?;
        let created = find(&mut transaction, new.id).await?;
        self.commit(transaction).await?;
        Ok(created.map_or(Registered::Taken, |(_, asset)| Registered::New(asset)))
    }

    /// The asset, if it is `tenant`'s (anybody's where that is `None`).
    pub async fn asset(&self, tenant: Option<&str>, id: Uuid) -> StoreResult<Option<Asset>> {
        let mut transaction = self.database.reading().await?;
        let found =
            find(&mut transaction, id).await?.map(|(_, asset)| asset).filter(|asset| asset.deleted_at.is_none());
        Ok(found.filter(|asset| tenant.is_none_or(|tenant| asset.tenant == tenant)))
    }

    /// A page of `tenant`'s assets, newest first: of those in the catalogue, or of those in the trash.
    pub async fn list(
        &self,
        tenant: &str,
        (state, deleted): (Option<AssetState>, bool),
        from: Position,
        limit: u32,
    ) -> StoreResult<Page<Asset>> {
        let mut transaction = self.database.reading().await?;
        // One more than wanted tells whether there is a next page.
        let query = match (deleted, state) {
            (false, None) => sql(select_assets!(
                "assets a",
                "WHERE a.tenant = $1 AND a.deleted_at_us IS NULL AND a.seq < $2 ORDER BY a.seq DESC LIMIT $3"
            )),
            (false, Some(_)) => sql(select_assets!(
                "assets a",
                "WHERE a.tenant = $1 AND a.state = $4 AND a.deleted_at_us IS NULL AND a.seq < $2 ORDER BY a.seq DESC LIMIT $3"
            )),
            (true, None) => sql(select_assets!(
                "assets a",
                "WHERE a.tenant = $1 AND a.deleted_at_us IS NOT NULL AND a.seq < $2 ORDER BY a.seq DESC LIMIT $3"
            )),
            (true, Some(_)) => sql(select_assets!(
                "assets a",
                "WHERE a.tenant = $1 AND a.state = $4 AND a.deleted_at_us IS NOT NULL AND a.seq < $2 ORDER BY a.seq DESC LIMIT $3"
            )),
        };
        let mut query = query.bind(tenant).bind(from.before_seq).bind(i64::from(limit) + 1);
        if let Some(state) = state {
            query = query.bind(state_word(state));
        }
        let found: Vec<AssetRow> = query.all(&mut transaction).await?;
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
        let mut transaction = self.database.reading().await?;
        let mut found: Vec<(Tier, AssetRow)> = Vec::new();
        let mut position = Some(from);
        while let Some(Position { tier, before_seq }) = position {
            let missing = i64::from(limit) + 1 - i64::try_from(found.len()).unwrap_or(i64::MAX);
            let expression = search.of(tier);
            let expression = match &transaction {
                Transaction::Sqlite(_) => &expression.fts5,
                Transaction::Postgres(_) => &expression.tsquery,
            };
            // CROSS JOIN keeps SQLite's full-text index outermost: it gives rows in this order by itself, so that a page
            // costs a page, however many assets match. PostgreSQL's planner chooses between its index of words and the order.
            let matching = Sql {
                sqlite: select_assets!(
                    "assets_text t CROSS JOIN assets a ON a.seq = t.rowid",
                    "WHERE t.assets_text MATCH $1 AND t.rowid < $2 AND a.tenant = $3 AND a.deleted_at_us IS NULL \
                     AND ($4 IS NULL OR a.state = $4) ORDER BY t.rowid DESC LIMIT $5"
                ),
                postgres: select_assets!(
                    "assets a",
                    "WHERE a.words @@ CAST($1 AS tsquery) AND a.seq < $2 AND a.tenant = $3 AND a.deleted_at_us IS NULL \
                     AND ($4 IS NULL OR a.state = $4) ORDER BY a.seq DESC LIMIT $5"
                ),
            };
            let rows: Vec<AssetRow> = sql(matching)
                .bind(expression)
                .bind(before_seq)
                .bind(tenant)
                .bind(state.map(state_word))
                .bind(missing)
                .all(&mut transaction)
                .await?;
            found.extend(rows.into_iter().map(|row| (tier, row)));
            let full = found.len() > usize::try_from(limit).unwrap_or(usize::MAX);
            position = tier.next().filter(|_| !full).map(Position::top);
        }
        page(&mut transaction, found, limit).await
    }
}

/// The asset with its place in the list, whoever owns it, also in the trash.
pub(super) async fn find(transaction: &mut Transaction, id: Uuid) -> StoreResult<Option<(i64, Asset)>> {
    let query = sql(select_assets!("assets a", "WHERE a.id = $1")).bind(id.to_string());
    let Some(row) = query.one::<AssetRow>(transaction).await? else { return Ok(None) };
    let seq = row.seq;
    let asset = rows::assets(transaction, vec![row]).await?.pop();
    Ok(asset.map(|asset| (seq, asset)))
}

/// The tenant's asset, also where it lies in the trash: what a job says of it counts, for it can come back.
pub(super) async fn find_kept(
    transaction: &mut Transaction,
    tenant: &str,
    id: Uuid,
) -> StoreResult<Option<(i64, Asset)>> {
    Ok(find(transaction, id).await?.filter(|(_, asset)| asset.tenant == tenant))
}

/// The asset with its place in the list, if it is `tenant`'s and in the catalogue.
pub(super) async fn find_own(
    transaction: &mut Transaction,
    tenant: &str,
    id: Uuid,
) -> StoreResult<Option<(i64, Asset)>> {
    Ok(find(transaction, id).await?.filter(|(_, asset)| asset.tenant == tenant && asset.deleted_at.is_none()))
}

/// At most `limit` of `found`, and the cursor behind them if there were more.
pub(super) async fn page(
    transaction: &mut Transaction,
    mut found: Vec<(Tier, AssetRow)>,
    limit: u32,
) -> StoreResult<Page<Asset>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let end = found.last().map(|(tier, row)| Position { tier: *tier, before_seq: row.seq });
    let rows = found.into_iter().map(|(_, row)| row).collect();
    let items = rows::assets(transaction, rows).await?;
    Ok(Page { items, next_cursor: end.filter(|_| more).map(Position::encode) })
}

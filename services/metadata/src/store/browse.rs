//! Lists by filter and order, and counts of values: assets are looked at newest first, in batches of one reading transaction, up to a
//! bound (`[search]`). [`crate::filter`] decides; here is only who is looked at, and when it ends.
//!
//! A filtered page ends when it is full or `scan` assets were looked at: then its cursor says where to go on, so that who follows the
//! cursors sees everything. An order and a count look at `scan` assets too, and at `matches` of those that are wanted.

use flame_api::Page;
use flame_api::metadata::{Asset, AssetState, Facets, Matches};
use serde_json::Value;
use tokio::sync::SemaphorePermit;

use super::facts::{self, FactsRow};
use super::rows::{self, AssetRow, select_assets, state_word};
use super::sql::{Sql, Transaction, Value as Bound, sql};
use super::{Store, StoreError, StoreResult};
use crate::cursor::{Position, Tier};
use crate::facet::Tally;
use crate::filter::{Filter, Key, Needs, Sort};
use crate::search::Search;

/// Assets that are read at once: at most some ten MiB of JSON.
const BATCH: u64 = 250;

/// Which assets are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// With which words, if with any.
    pub search: Option<&'a Search>,
    /// In which state, if in one.
    pub state: Option<AssetState>,
    /// Those in the trash, instead of those in the catalogue.
    pub deleted: bool,
    /// What else they must be.
    pub filter: Option<&'a Filter>,
}

/// A walk over the assets of a selection, as far as its budget reaches.
struct Scan<'a> {
    selection: Selection<'a>,
    needs: Needs,
    /// Where it goes on; `None`: everything was looked at.
    position: Option<Position>,
    /// Assets that may still be looked at.
    left: u64,
}

// === impl Store ===

impl Store {
    /// A page of a selection: titles before file names, each newest first.
    pub async fn filtered(&self, selection: Selection<'_>, from: Position, limit: u32) -> StoreResult<Page<Asset>> {
        let _turn = self.turn().await?;
        let mut transaction = self.database.reading().await?;
        let mut scan = self.scan(selection, Needs::default(), from);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found: Vec<(Position, i64)> = Vec::new();
        while found.len() <= limit && !scan.is_over() {
            for (tier, seq, document) in scan.next(&mut transaction).await? {
                if scan.wants(&document) {
                    found.push((Position { tier, before_seq: seq }, seq));
                }
            }
        }
        let next = if found.len() > limit { found.get(limit - 1).map(|(at, _)| *at) } else { scan.position };
        found.truncate(limit);
        let seqs: Vec<i64> = found.into_iter().map(|(_, seq)| seq).collect();
        let items = by_places(&mut transaction, &seqs).await?;
        Ok(Page { items, next_cursor: next.map(Position::encode) })
    }

    /// A page of a selection in another order, after an asset with the key `after`.
    pub async fn sorted(
        &self,
        selection: Selection<'_>,
        sort: &Sort,
        after: Option<&Key>,
        limit: u32,
    ) -> StoreResult<Page<Asset>> {
        let _turn = self.turn().await?;
        let mut transaction = self.database.reading().await?;
        let mut keys = Vec::new();
        let mut scan = self.scan(selection, sort.needs(), Position::START);
        self.matches(&mut scan, &mut transaction, |seq, document| keys.push(sort.key(document, seq))).await?;
        keys.retain(|key| after.is_none_or(|after| sort.order(key, after).is_gt()));
        keys.sort_by(|one, other| sort.order(one, other));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = keys.len() > limit;
        keys.truncate(limit);
        let cursor = keys.last().filter(|_| more).map(|key| sort.cursor(key)).transpose();
        let next_cursor = cursor.map_err(|error| StoreError::Database(sqlx::Error::Encode(Box::new(error))))?;
        let seqs: Vec<i64> = keys.iter().map(|key| key.seq).collect();
        Ok(Page { items: by_places(&mut transaction, &seqs).await?, next_cursor })
    }

    /// How often each value occurs among the assets of a selection.
    pub async fn facets(&self, selection: Selection<'_>, mut tally: Tally) -> StoreResult<Facets> {
        let _turn = self.turn().await?;
        let mut transaction = self.database.reading().await?;
        let mut scan = self.scan(selection, tally.needs(), Position::START);
        let matches = self.matches(&mut scan, &mut transaction, |_, document| tally.count(document)).await?;
        Ok(Facets { matches, facets: tally.told() })
    }

    /// Waits for a turn: those who look at many assets leave a reader to those who want one.
    async fn turn(&self) -> StoreResult<SemaphorePermit<'_>> {
        let turn = tokio::time::timeout(self.wait, self.turns.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or(StoreError::Busy(sqlx::Error::PoolTimedOut))
    }

    fn scan<'a>(&self, selection: Selection<'a>, needs: Needs, from: Position) -> Scan<'a> {
        let needs = selection.filter.map_or(needs, |filter| needs.and(filter.needs()));
        Scan { selection, needs, position: Some(from), left: u64::from(self.search.scan) }
    }

    /// Shows each asset that a scan wants, up to `[search] matches`.
    async fn matches(
        &self,
        scan: &mut Scan<'_>,
        transaction: &mut Transaction,
        mut show: impl FnMut(i64, &Value),
    ) -> StoreResult<Matches> {
        let most = u64::from(self.search.matches);
        let mut count = 0;
        while !scan.is_over() {
            for (_, seq, document) in scan.next(transaction).await? {
                if !scan.wants(&document) {
                    continue;
                }
                if count == most {
                    return Ok(Matches { count, more: true });
                }
                count += 1;
                show(seq, &document);
            }
        }
        Ok(Matches { count, more: scan.position.is_some() })
    }
}

// === impl Scan ===

impl Scan<'_> {
    fn is_over(&self) -> bool {
        self.position.is_none() || self.left == 0
    }

    fn wants(&self, document: &Value) -> bool {
        self.selection.filter.is_none_or(|filter| filter.wants(document))
    }

    /// The next assets, each with its tier and its place in the list.
    async fn next(&mut self, transaction: &mut Transaction) -> StoreResult<Vec<(Tier, i64, Value)>> {
        let Some(Position { tier, before_seq }) = self.position else { return Ok(Vec::new()) };
        let Selection { tenant, search, state, deleted, .. } = self.selection;
        let wanted = self.left.min(BATCH);
        let first = facts::statement(search.is_some())
            .bind(tenant)
            .bind(before_seq)
            .bind(i64::try_from(wanted).unwrap_or(i64::MAX))
            .bind(state.map(state_word))
            .bind(deleted);
        let mut query = facts::select(first, self.needs);
        if let Some(search) = search {
            let expression = match tier {
                Tier::Title => &search.in_title,
                Tier::FileName => &search.with_file_name,
            };
            query = query.bind(match transaction {
                Transaction::Sqlite(_) => &expression.fts5,
                Transaction::Postgres(_) => &expression.tsquery,
            });
        }
        let rows: Vec<FactsRow> = query.all(transaction).await?;
        let read = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        self.left = self.left.saturating_sub(read);
        self.position = match (rows.last(), tier) {
            (Some(last), _) if read == wanted => Some(Position { tier, before_seq: last.seq }),
            (_, Tier::Title) if search.is_some() => Some(Position::top(Tier::FileName)),
            (_, Tier::Title | Tier::FileName) => None,
        };
        rows.into_iter().map(|row| Ok((tier, row.seq, row.document()?))).collect()
    }
}

/// The assets at these places, in this order.
async fn by_places(transaction: &mut Transaction, seqs: &[i64]) -> StoreResult<Vec<Asset>> {
    const AT_PLACES: Sql = Sql {
        sqlite: select_assets!("assets a", "WHERE a.seq IN (SELECT value FROM json_each($1))"),
        postgres: select_assets!("assets a", "WHERE a.seq = ANY ($1)"),
    };
    let mut rows: Vec<AssetRow> = sql(AT_PLACES).bind(Bound::from(seqs)).all(transaction).await?;
    let place = |seq: i64| seqs.iter().position(|wanted| *wanted == seq);
    rows.sort_by_cached_key(|row| place(row.seq));
    rows::assets(transaction, rows).await
}

//! Lists by filter and order, and counts of values: assets are looked at newest first, in batches of one reading transaction, up to a
//! bound (`[search]`). [`crate::filter`] decides; here is only who is looked at, and when it ends.
//!
//! A filtered page ends when it is full, `scan` assets were looked at or `time` is over: then its cursor says where to go on, so that
//! who follows the cursors sees everything. An order and a count end there too, and at `matches` of those that are wanted.
//!
//! What is judged, and put into an order, is so on threads that may block: one question holds up no other request, nor another
//! service of the same process. Its turn is in hand there too, so that callers who go away leave no more work behind than there are turns.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use flame_api::Page;
use flame_api::metadata::{Asset, AssetState, Facets, Matches};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use super::facts::{self, Among, FactsRow};
use super::rows::{self, AssetRow, select_assets};
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
    /// Those in the trash, instead of those in the catalogue. No words are sought there.
    pub deleted: bool,
    /// What else they must be.
    pub filter: Option<&'a Filter>,
}

/// A walk over the assets of a selection, as far as its budget reaches.
struct Scan<'a> {
    selection: Selection<'a>,
    filter: Option<Arc<Filter>>,
    needs: Needs,
    /// Where it goes on; `None`: everything was looked at.
    position: Option<Position>,
    /// Assets that may still be looked at.
    left: u64,
    /// When it ends, if it has not before.
    until: Instant,
    turn: Arc<OwnedSemaphorePermit>,
}

/// Is shown one asset after the other that a scan wants, with its place; says when it has seen enough.
type Show<S> = fn(&mut S, Position, &Value) -> ControlFlow<()>;

/// How a batch was left.
enum Left {
    /// All of it was looked at.
    Whole,
    /// Enough was seen.
    Enough,
    /// The time was over behind this place.
    Late(i64),
}

// === impl Store ===

impl Store {
    /// A page of a selection: titles before file names before records, each newest first.
    pub async fn filtered(&self, selection: Selection<'_>, from: Position, limit: u32) -> StoreResult<Page<Asset>> {
        let mut scan = self.scan(selection, Needs::default(), from).await?;
        let mut transaction = self.database.reading().await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut found, more) = scan
            .show(&mut transaction, (limit, Vec::new()), |(limit, found), at, _| {
                found.push(at);
                if found.len() > *limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await
            .map(|((_, found), more)| (found, more))?;
        let next = if more { found.get(limit.saturating_sub(1)).copied() } else { scan.position };
        found.truncate(limit);
        let seqs: Vec<i64> = found.into_iter().map(|at: Position| at.before_seq).collect();
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
        let mut scan = self.scan(selection, sort.needs(), Position::START).await?;
        let mut transaction = self.database.reading().await?;
        let seen = (sort.clone(), Vec::new());
        let ((sort, mut keys), _) = self
            .matches(&mut scan, &mut transaction, seen, |(sort, keys), at, document| {
                keys.push(sort.key(document, at.before_seq));
            })
            .await?;
        let (after, limit) = (after.cloned(), usize::try_from(limit).unwrap_or(usize::MAX));
        let (sort, keys, more) = apart(&scan.turn, move || {
            keys.retain(|key| after.as_ref().is_none_or(|after| sort.order(key, after).is_gt()));
            keys.sort_by(|one, other| sort.order(one, other));
            let more = keys.len() > limit;
            keys.truncate(limit);
            (sort, keys, more)
        })
        .await?;
        let cursor = keys.last().filter(|_| more).map(|key| sort.cursor(key)).transpose();
        let next_cursor = cursor.map_err(|error| StoreError::Database(sqlx::Error::Encode(Box::new(error))))?;
        let seqs: Vec<i64> = keys.iter().map(|key| key.seq).collect();
        Ok(Page { items: by_places(&mut transaction, &seqs).await?, next_cursor })
    }

    /// How often each value occurs among the assets of a selection.
    pub async fn facets(&self, selection: Selection<'_>, tally: Tally) -> StoreResult<Facets> {
        let mut scan = self.scan(selection, tally.needs(), Position::START).await?;
        let mut transaction = self.database.reading().await?;
        let count: fn(&mut Tally, Position, &Value) = |tally, _, document| tally.count(document);
        let (tally, matches) = self.matches(&mut scan, &mut transaction, tally, count).await?;
        Ok(Facets { matches, facets: apart(&scan.turn, move || tally.told()).await? })
    }

    /// Begins a walk when it is its turn: those who look at many assets leave a reader to those who want one.
    async fn scan<'a>(&self, selection: Selection<'a>, needs: Needs, from: Position) -> StoreResult<Scan<'a>> {
        let turn = tokio::time::timeout(self.wait, self.turns.clone().acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(StoreError::Busy(sqlx::Error::PoolTimedOut))?;
        Ok(Scan {
            selection,
            filter: selection.filter.map(|filter| Arc::new(filter.clone())),
            needs: selection.filter.map_or(needs, |filter| needs.and(filter.needs())),
            position: Some(from),
            left: u64::from(self.search.scan),
            until: Instant::now() + self.search.time.0,
            turn: Arc::new(turn),
        })
    }

    /// Shows each asset that a scan wants, up to `[search] matches`.
    async fn matches<S: Send + 'static>(
        &self,
        scan: &mut Scan<'_>,
        transaction: &mut Transaction,
        seen: S,
        show: fn(&mut S, Position, &Value),
    ) -> StoreResult<(S, Matches)> {
        let seen = (u64::from(self.search.matches), 0, show, seen);
        let ((_, count, _, seen), more) = scan
            .show(transaction, seen, |(most, count, show, seen), at, document| {
                if count == most {
                    return ControlFlow::Break(());
                }
                *count += 1;
                show(seen, at, document);
                ControlFlow::Continue(())
            })
            .await?;
        Ok((seen, Matches { count, more: more || scan.position.is_some() }))
    }
}

// === impl Scan ===

impl Scan<'_> {
    /// Shows what it wants to `seen`; whether that has seen enough before the end.
    async fn show<S: Send + 'static>(
        &mut self,
        transaction: &mut Transaction,
        mut seen: S,
        show: Show<S>,
    ) -> StoreResult<(S, bool)> {
        while let Some(Position { tier, .. }) = self.position.filter(|_| self.left > 0) {
            let rows = self.read(transaction).await?;
            let (filter, until, state) = (self.filter.clone(), self.until, self.selection.state);
            let (back, left) = apart(&self.turn, move || {
                let left = judge(rows, tier, (state, filter.as_deref(), until), &mut seen, show);
                (seen, left)
            })
            .await?;
            seen = back;
            match left? {
                Left::Whole => {}
                Left::Enough => return Ok((seen, true)),
                Left::Late(seq) => self.position = Some(Position { tier, before_seq: seq }),
            }
            if Instant::now() >= self.until {
                self.left = 0;
            }
        }
        Ok((seen, false))
    }

    /// The next assets.
    async fn read(&mut self, transaction: &mut Transaction) -> StoreResult<Vec<FactsRow>> {
        let Some(Position { tier, before_seq }) = self.position else { return Ok(Vec::new()) };
        let Selection { tenant, search, state, deleted, .. } = self.selection;
        let wanted = self.left.min(BATCH);
        let among = match (search, deleted, state) {
            (Some(search), _, _) => Among::Words(search.of(tier)),
            (None, true, _) => Among::Trash,
            (None, false, Some(state)) => Among::State(state),
            (None, false, None) => Among::Catalogue,
        };
        let rows = facts::read(transaction, tenant, among, (before_seq, wanted), self.needs).await?;
        let read = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        self.left = self.left.saturating_sub(read);
        self.position = match rows.last() {
            Some(last) if read == wanted => Some(Position { tier, before_seq: last.seq }),
            Some(_) | None => tier.next().filter(|_| search.is_some()).map(Position::top),
        };
        Ok(rows)
    }
}

/// Shows the wanted ones of a batch; looks at one of them, however late it is, so that who follows cursors comes to the end.
fn judge<S>(
    rows: Vec<FactsRow>,
    tier: Tier,
    (state, filter, until): (Option<AssetState>, Option<&Filter>, Instant),
    seen: &mut S,
    show: Show<S>,
) -> StoreResult<Left> {
    let mut last = None;
    for row in rows {
        if let Some(seq) = last.filter(|_| Instant::now() >= until) {
            return Ok(Left::Late(seq));
        }
        let at = Position { tier, before_seq: row.seq };
        last = Some(row.seq);
        // Neither words nor the trash have an index of states: others count as looked at.
        if state.is_some_and(|state| !row.is_in(state)) {
            continue;
        }
        let document = row.document()?;
        if filter.is_none_or(|filter| filter.wants(&document)) && show(seen, at, &document).is_break() {
            return Ok(Left::Enough);
        }
    }
    Ok(Left::Whole)
}

/// Does what takes long where it holds up nobody, with the turn in hand.
async fn apart<T: Send + 'static>(
    turn: &Arc<OwnedSemaphorePermit>,
    work: impl FnOnce() -> T + Send + 'static,
) -> StoreResult<T> {
    let turn = turn.clone();
    let done = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    Ok(done.await.map_err(|_| sqlx::Error::WorkerCrashed)?)
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

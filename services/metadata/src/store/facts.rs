//! What filters, orders and counts look at: assets in the form of the contract, but only the parts that are asked for, and without
//! what it costs to make whole assets of them.

use flame_api::metadata::AssetState;
use serde_json::{Value, json};
use sqlx::types::{Json, JsonRawValue};
use time::format_description::well_known::Rfc3339;

use super::rows::{damaged, moment, state_word};
use super::sql::{Sql, Statement, Transaction, sql};
use super::{StoreError, StoreResult};
use crate::filter::Needs;
use crate::search::Expression;

/// Selects facts: parameters $1 to $3 are the tenant, the place before which to go on, and how many; $4 to $9 are [`Needs`], $10 the
/// state or the words.
macro_rules! select_facts {
    ($tracks:literal, $subtitles:literal, $from:literal, $where:literal) => {
        concat!(
            "SELECT a.seq, a.id, a.title, a.state, a.error, a.poster_key, a.protected, a.encryption, a.revision, a.source_key, \
             a.file_name, a.source_size_bytes, a.source_sha256, a.created_at_us, a.updated_at_us, \
             CASE WHEN $4 THEN a.probe END AS probe, CASE WHEN $5 THEN a.record END AS record, \
             CASE WHEN $6 THEN a.custom END AS custom, CASE WHEN $7 THEN (SELECT ",
            $tracks,
            " FROM tracks t WHERE t.version_seq = v.seq) END AS tracks, \
             CASE WHEN $8 THEN v.conditioning END AS conditioning, CASE WHEN $9 THEN (SELECT ",
            $subtitles,
            " FROM subtitles s WHERE s.asset_seq = a.seq) END AS subtitles, \
             v.name AS version_name, v.job_id AS version_job_id, v.chain AS version_chain, \
             v.created_at_us AS version_created_at_us FROM ",
            $from,
            " LEFT JOIN versions v ON v.seq = (SELECT max(seq) FROM versions WHERE asset_seq = a.seq) WHERE ",
            $where
        )
    };
}

macro_rules! facts_sqlite {
    ($from:literal, $where:literal) => {
        select_facts!(
            "json_group_array(json_object('name', t.name, 'kind', t.kind, 'codec', t.codec, 'width', t.width, 'height', t.height, \
             'channels', t.channels, 'sample_rate_hz', t.sample_rate_hz, 'duration_ms', t.duration_ms, 'samples', t.samples, \
             'average_bandwidth_bps', t.average_bandwidth_bps, 'peak_bandwidth_bps', t.peak_bandwidth_bps, \
             'size_bytes', t.size_bytes))",
            "json_group_array(json_object('id', s.name, 'language', s.language, 'role', s.role, 'title', s.title, \
             'default', json(CASE WHEN s.is_default THEN 'true' ELSE 'false' END), 'cues', s.cues))",
            $from,
            $where
        )
    };
}

macro_rules! facts_postgres {
    ($where:literal) => {
        select_facts!(
            "jsonb_agg(jsonb_build_object('name', t.name, 'kind', t.kind, 'codec', t.codec, 'width', t.width, 'height', t.height, \
             'channels', t.channels, 'sample_rate_hz', t.sample_rate_hz, 'duration_ms', t.duration_ms, 'samples', t.samples, \
             'average_bandwidth_bps', t.average_bandwidth_bps, 'peak_bandwidth_bps', t.peak_bandwidth_bps, \
             'size_bytes', t.size_bytes))",
            "jsonb_agg(jsonb_build_object('id', s.name, 'language', s.language, 'role', s.role, 'title', s.title, \
             'default', s.is_default, 'cues', s.cues))",
            "assets a",
            $where
        )
    };
}

/// Of a list: a text each, so that an index answers it, and what is looked at is what is given.
macro_rules! listed {
    ($where:literal) => {
        Sql { sqlite: facts_sqlite!("assets a", $where), postgres: facts_postgres!($where) }
    };
}

const CATALOGUE: Sql = listed!("a.tenant = $1 AND a.deleted_at_us IS NULL AND a.seq < $2 ORDER BY a.seq DESC LIMIT $3");
const IN_STATE: Sql =
    listed!("a.tenant = $1 AND a.state = $10 AND a.deleted_at_us IS NULL AND a.seq < $2 ORDER BY a.seq DESC LIMIT $3");
const TRASH: Sql = listed!("a.tenant = $1 AND a.deleted_at_us IS NOT NULL AND a.seq < $2 ORDER BY a.seq DESC LIMIT $3");
const WITH_WORDS: Sql = Sql {
    sqlite: facts_sqlite!(
        "assets_text x CROSS JOIN assets a ON a.seq = x.rowid",
        "x.assets_text MATCH $10 AND a.tenant = $1 AND a.deleted_at_us IS NULL AND x.rowid < $2 \
         ORDER BY x.rowid DESC LIMIT $3"
    ),
    postgres: facts_postgres!(
        "a.words @@ CAST($10 AS tsquery) AND a.tenant = $1 AND a.deleted_at_us IS NULL AND a.seq < $2 \
         ORDER BY a.seq DESC LIMIT $3"
    ),
};

/// Which assets are looked at, newest first.
#[derive(Debug, Clone, Copy)]
pub(super) enum Among<'a> {
    /// Those in the catalogue.
    Catalogue,
    /// Those of them in this state.
    State(AssetState),
    /// Those in the trash.
    Trash,
    /// Those in the catalogue with the words of this expression.
    Words(&'a Expression),
}

/// A column of JSON as it was stored: what it holds is read where that holds up nobody ([`FactsRow::document`]).
type Part = Option<Json<Box<JsonRawValue>>>;

/// One row of what is selected.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct FactsRow {
    pub(super) seq: i64,
    id: String,
    title: String,
    state: String,
    error: Option<String>,
    poster_key: Option<String>,
    protected: bool,
    encryption: Option<String>,
    revision: i64,
    source_key: String,
    file_name: Option<String>,
    source_size_bytes: i64,
    source_sha256: String,
    created_at_us: i64,
    updated_at_us: i64,
    probe: Part,
    record: Part,
    custom: Part,
    tracks: Part,
    conditioning: Part,
    subtitles: Part,
    version_name: Option<String>,
    version_job_id: Option<String>,
    version_chain: Option<String>,
    version_created_at_us: Option<i64>,
}

/// At most `most` assets of the tenant, registered before `before_seq`.
pub(super) async fn read(
    transaction: &mut Transaction,
    tenant: &str,
    among: Among<'_>,
    (before_seq, most): (i64, u64),
    needs: Needs,
) -> StoreResult<Vec<FactsRow>> {
    let (text, last) = match among {
        Among::Catalogue => (CATALOGUE, None),
        Among::State(state) => (IN_STATE, Some(state_word(state))),
        Among::Trash => (TRASH, None),
        Among::Words(expression) => match transaction {
            Transaction::Sqlite(_) => (WITH_WORDS, Some(expression.fts5.as_str())),
            Transaction::Postgres(_) => (WITH_WORDS, Some(expression.tsquery.as_str())),
        },
    };
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let Needs { probe, record, custom, tracks, conditioning, subtitles } = needs;
    let needs = [probe, record, custom, tracks, conditioning, subtitles];
    let statement = sql(text).bind(tenant).bind(before_seq).bind(most);
    let statement = needs.into_iter().fold(statement, Statement::bind);
    let statement = last.into_iter().fold(statement, Statement::bind);
    Ok(statement.all(transaction).await?)
}

// === impl FactsRow ===

impl FactsRow {
    /// Whether it is in this state.
    pub(super) fn is_in(&self, state: AssetState) -> bool {
        self.state == state_word(state)
    }

    /// The asset in the form of the contract, as far as it was read. Takes as long as its JSON is large.
    pub(super) fn document(self) -> StoreResult<Value> {
        let plain = |part: Part| {
            let parsed = part.map(|part| serde_json::from_str::<Value>(part.0.get())).transpose();
            parsed.map_err(|_| damaged("JSON of an asset", &self.id))
        };
        let version = match self.version_name {
            Some(name) => json!({
                "name": name, "job_id": self.version_job_id, "chain": self.version_chain,
                "created_at": self.version_created_at_us.map(instant).transpose()?,
                "tracks": plain(self.tracks)?, "conditioning": plain(self.conditioning)?,
            }),
            None => Value::Null,
        };
        Ok(json!({
            "id": self.id, "title": self.title, "state": self.state, "error": self.error, "poster_key": self.poster_key,
            "protected": self.protected, "encryption": self.encryption, "revision": self.revision,
            "source": {
                "key": self.source_key, "file_name": self.file_name, "size_bytes": self.source_size_bytes,
                "sha256": self.source_sha256,
            },
            "probe": plain(self.probe)?, "record": plain(self.record)?, "custom": plain(self.custom)?, "version": version,
            "subtitles": plain(self.subtitles)?,
            "created_at": instant(self.created_at_us)?, "updated_at": instant(self.updated_at_us)?,
        }))
    }
}

fn instant(micros: i64) -> Result<String, StoreError> {
    moment(micros)?.format(&Rfc3339).map_err(|_| damaged("a time", micros))
}

#[cfg(test)]
mod tests {
    use sqlx::Connection;
    use sqlx::sqlite::SqliteConnection;

    use super::*;
    use crate::config::Config;
    use crate::store::Store;

    /// What is passed over without being given has no bound: so nothing is.
    #[tokio::test]
    async fn what_is_looked_at_is_what_an_index_gives_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("metadata.db");
        let config = Config { database: file.clone().into(), ..Config::default() };
        let _store = Store::open(&config).await.unwrap();
        let mut connection = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        for (name, text, index) in [
            ("in state", IN_STATE, "assets_by_state (tenant=? AND state=? AND seq<?)"),
            ("trash", TRASH, "assets_in_trash (tenant=? AND seq<?)"),
        ] {
            let explained = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", text.sqlite));
            let plan: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(explained).fetch_all(&mut connection).await.unwrap();
            let plan = plan.into_iter().map(|(_, _, _, step)| step).collect::<Vec<_>>().join("\n");
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{name}: {plan}");
        }
    }
}

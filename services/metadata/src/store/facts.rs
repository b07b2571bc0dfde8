//! What filters, orders and counts look at: assets in the form of the contract, but only the parts that are asked for, and without
//! what it costs to make whole assets of them.

use serde_json::{Value, json};
use sqlx::types::{Json, JsonRawValue};
use time::format_description::well_known::Rfc3339;

use super::rows::{damaged, moment};
use super::sql::{Sql, Statement, sql};
use super::{StoreError, StoreResult};
use crate::filter::Needs;

/// Selects facts: parameters $1 to $5 are the tenant, the place before which to go on, how many, a state or none, and whether those in the
/// trash; $6 to $11 are [`Needs`].
macro_rules! select_facts {
    ($tracks:literal, $subtitles:literal, $from:literal, $where:literal) => {
        concat!(
            "SELECT a.seq, a.id, a.title, a.state, a.error, a.poster_key, a.protected, a.encryption, a.revision, a.source_key, \
             a.file_name, a.source_size_bytes, a.source_sha256, a.created_at_us, a.updated_at_us, \
             CASE WHEN $6 THEN a.probe END AS probe, CASE WHEN $7 THEN a.record END AS record, \
             CASE WHEN $8 THEN a.custom END AS custom, CASE WHEN $9 THEN (SELECT ",
            $tracks,
            " FROM tracks t WHERE t.version_seq = v.seq) END AS tracks, \
             CASE WHEN $10 THEN v.conditioning END AS conditioning, CASE WHEN $11 THEN (SELECT ",
            $subtitles,
            " FROM subtitles s WHERE s.asset_seq = a.seq) END AS subtitles, \
             v.name AS version_name, v.job_id AS version_job_id, v.chain AS version_chain, \
             v.created_at_us AS version_created_at_us FROM ",
            $from,
            " LEFT JOIN versions v ON v.seq = (SELECT max(seq) FROM versions WHERE asset_seq = a.seq) WHERE ",
            $where,
            " a.tenant = $1 AND ($4 IS NULL OR a.state = $4) AND (a.deleted_at_us IS NOT NULL) = $5 "
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

/// Of a list.
const LISTED: Sql = Sql {
    sqlite: concat!(facts_sqlite!("assets a", ""), "AND a.seq < $2 ORDER BY a.seq DESC LIMIT $3"),
    postgres: concat!(facts_postgres!(""), "AND a.seq < $2 ORDER BY a.seq DESC LIMIT $3"),
};
/// Of a search for words ($12).
const FOUND: Sql = Sql {
    sqlite: concat!(
        facts_sqlite!("assets_text x CROSS JOIN assets a ON a.seq = x.rowid", "x.assets_text MATCH $12 AND"),
        "AND x.rowid < $2 ORDER BY x.rowid DESC LIMIT $3"
    ),
    postgres: concat!(
        facts_postgres!("a.words @@ CAST($12 AS tsquery) AND"),
        "AND a.seq < $2 ORDER BY a.seq DESC LIMIT $3"
    ),
};

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

/// The statement for a list, or for what has the words of `expression`; $1 to $5 are bound already.
pub(super) fn select(first: Statement, needs: Needs) -> Statement {
    let Needs { probe, record, custom, tracks, conditioning, subtitles } = needs;
    [probe, record, custom, tracks, conditioning, subtitles].into_iter().fold(first, Statement::bind)
}

/// A statement without its values.
pub(super) fn statement(words: bool) -> Statement {
    sql(if words { FOUND } else { LISTED })
}

// === impl FactsRow ===

impl FactsRow {
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

//! Rows, and the values of the contract that they stand for.

use std::collections::HashMap;

use flame_api::media::{Rational, SoundRole, Thumbnails, Track, TrackKind};
use flame_api::metadata::{Asset, AssetState, Conditioning, Custom, Encryption, Record, SoundLabel, Source, Version};
use flame_api::subtitles::Subtitle;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::sql::{Sql, Transaction, among, sql};
use super::{StoreError, StoreResult, subtitles};

/// Selects assets with the version that plays; `$rest` says which.
macro_rules! select_assets {
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT a.seq, a.id, a.tenant, a.title, a.state, a.error, a.source_key, a.file_name, ",
            "a.source_size_bytes, a.source_sha256, a.probe, a.poster_key, a.protected, a.encryption, a.sound_labels, a.revision, ",
            "a.record, a.custom, a.deleted_at_us, ",
            "a.created_at_us, a.updated_at_us, v.seq AS version_seq, v.name AS version_name, v.job_id AS version_job_id, ",
            "v.chain AS version_chain, v.thumbnails AS version_thumbnails, v.conditioning AS version_conditioning, ",
            "v.created_at_us AS version_created_at_us FROM ",
            $from,
            " LEFT JOIN versions v ON v.seq = (SELECT max(seq) FROM versions WHERE asset_seq = a.seq) ",
            $rest
        )
    };
}
pub(super) use select_assets;

/// One row of [`select_assets`].
#[derive(Debug, sqlx::FromRow)]
pub(super) struct AssetRow {
    pub(super) seq: i64,
    id: String,
    tenant: String,
    title: String,
    state: String,
    error: Option<String>,
    source_key: String,
    file_name: Option<String>,
    source_size_bytes: i64,
    source_sha256: String,
    probe: Json<flame_api::media::Probe>,
    poster_key: Option<String>,
    protected: bool,
    encryption: Option<String>,
    sound_labels: Json<Vec<SoundLabel>>,
    record: Json<Record>,
    custom: Json<Custom>,
    deleted_at_us: Option<i64>,
    revision: i64,
    created_at_us: i64,
    updated_at_us: i64,
    version_seq: Option<i64>,
    version_name: Option<String>,
    version_job_id: Option<String>,
    version_chain: Option<String>,
    version_thumbnails: Option<Json<Thumbnails>>,
    version_conditioning: Option<Json<Conditioning>>,
    version_created_at_us: Option<i64>,
}

#[derive(Debug, sqlx::FromRow)]
struct TrackRow {
    version_seq: i64,
    name: String,
    kind: String,
    codec: String,
    width: Option<i64>,
    height: Option<i64>,
    frame_rate_num: Option<i64>,
    frame_rate_den: Option<i64>,
    channels: Option<i64>,
    sample_rate_hz: Option<i64>,
    language: Option<String>,
    role: String,
    title: Option<String>,
    source_sound: Option<i64>,
    duration_ms: i64,
    samples: i64,
    average_bandwidth_bps: i64,
    peak_bandwidth_bps: i64,
    size_bytes: i64,
}

/// The assets of `rows`, with the tracks of their versions and their subtitles, in two more queries.
pub(super) async fn assets(transaction: &mut Transaction, rows: Vec<AssetRow>) -> StoreResult<Vec<Asset>> {
    let versions: Vec<i64> = rows.iter().filter_map(|row| row.version_seq).collect();
    let mut tracks = tracks(transaction, &versions).await?;
    let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
    let mut subtitles = subtitles::subtitles(transaction, &seqs).await?;
    rows.into_iter()
        .map(|row| {
            let tracks = row.version_seq.and_then(|seq| tracks.remove(&seq)).unwrap_or_default();
            let subtitles = subtitles.remove(&row.seq).unwrap_or_default();
            row.asset(tracks, subtitles)
        })
        .collect()
}

/// The tracks of each of `versions`, in their order.
pub(super) async fn tracks(transaction: &mut Transaction, versions: &[i64]) -> StoreResult<HashMap<i64, Vec<Track>>> {
    let mut found: HashMap<i64, Vec<Track>> = HashMap::new();
    if versions.is_empty() {
        return Ok(found);
    }
    const OF_VERSIONS: Sql = among!(
        "SELECT version_seq, name, kind, codec, width, height, frame_rate_num, frame_rate_den, channels, \
         sample_rate_hz, language, role, title, source_sound, duration_ms, samples, average_bandwidth_bps, \
         peak_bandwidth_bps, size_bytes FROM tracks WHERE version_seq",
        "ORDER BY version_seq, position"
    );
    let rows: Vec<TrackRow> = sql(OF_VERSIONS).bind(versions).all(transaction).await?;
    for row in rows {
        found.entry(row.version_seq).or_default().push(row.track()?);
    }
    Ok(found)
}

// === impl AssetRow ===

impl AssetRow {
    fn asset(self, mut tracks: Vec<Track>, subtitles: Vec<Subtitle>) -> StoreResult<Asset> {
        let sound_labels = self.sound_labels.0;
        tracks.iter_mut().for_each(|track| SoundLabel::apply(&sound_labels, track));
        let version = match (self.version_name, self.version_chain, self.version_created_at_us) {
            (Some(name), Some(chain), Some(created_at_us)) => {
                let conditioning = self.version_conditioning.map(|conditioning| conditioning.0);
                let made = (tracks, self.version_thumbnails.map(|thumbnails| thumbnails.0), conditioning);
                Some(version(name, self.version_job_id.as_deref(), chain, created_at_us, made)?)
            }
            // The columns are NOT NULL: without one of them the join found no version.
            (_, _, _) => None,
        };
        Ok(Asset {
            id: uuid(&self.id)?,
            tenant: self.tenant,
            title: self.title,
            state: state(&self.state)?,
            error: self.error,
            source: Source {
                key: self.source_key,
                file_name: self.file_name,
                size_bytes: number(self.source_size_bytes)?,
                sha256: self.source_sha256,
            },
            probe: self.probe.0,
            poster_key: self.poster_key,
            protected: self.protected,
            encryption: self.encryption.as_deref().map(encryption).transpose()?,
            sound_labels,
            record: self.record.0,
            custom: self.custom.0,
            version,
            subtitles,
            revision: number(self.revision)?,
            created_at: moment(self.created_at_us)?,
            updated_at: moment(self.updated_at_us)?,
            deleted_at: self.deleted_at_us.map(moment).transpose()?,
            highlights: None,
        })
    }
}

/// A version from its columns.
pub(super) fn version(
    name: String,
    job_id: Option<&str>,
    chain: String,
    created_at_us: i64,
    (tracks, thumbnails, conditioning): (Vec<Track>, Option<Thumbnails>, Option<Conditioning>),
) -> StoreResult<Version> {
    let (job_id, created_at) = (job_id.map(uuid).transpose()?, moment(created_at_us)?);
    Ok(Version { name, job_id, chain, tracks, thumbnails, conditioning, created_at })
}

// === impl TrackRow ===

impl TrackRow {
    fn track(self) -> StoreResult<Track> {
        let kind = match self.kind.as_str() {
            "video" => TrackKind::Video,
            "audio" => TrackKind::Audio,
            other => return Err(damaged("a kind of track", other)),
        };
        let frame_rate = small(self.frame_rate_num)?.zip(small(self.frame_rate_den)?);
        Ok(Track {
            name: self.name,
            kind,
            codec: self.codec,
            width: small(self.width)?,
            height: small(self.height)?,
            frame_rate: frame_rate.map(|(num, den)| Rational { num, den }),
            channels: small(self.channels)?,
            sample_rate_hz: small(self.sample_rate_hz)?,
            language: self.language,
            role: SoundRole::of_word(&self.role).ok_or_else(|| damaged("a role", &self.role))?,
            title: self.title,
            source_sound: small(self.source_sound)?,
            duration_ms: number(self.duration_ms)?,
            samples: number(self.samples)?,
            average_bandwidth_bps: number(self.average_bandwidth_bps)?,
            peak_bandwidth_bps: number(self.peak_bandwidth_bps)?,
            size_bytes: number(self.size_bytes)?,
        })
    }
}

/// The word of a kind of track, as it is stored.
pub(super) fn kind_word(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
    }
}

/// The word of a state, as it is stored.
pub(super) fn state_word(state: AssetState) -> &'static str {
    match state {
        AssetState::Registered => "registered",
        AssetState::Ready => "ready",
        AssetState::Failed => "failed",
    }
}

fn state(word: &str) -> StoreResult<AssetState> {
    [AssetState::Registered, AssetState::Ready, AssetState::Failed]
        .into_iter()
        .find(|state| state_word(*state) == word)
        .ok_or_else(|| damaged("a state", word))
}

/// The word of an encryption, as it is stored.
pub(super) fn encryption_word(encryption: Encryption) -> &'static str {
    match encryption {
        Encryption::Aes128 => "aes-128",
        Encryption::SampleAes => "sample-aes",
    }
}

fn encryption(word: &str) -> StoreResult<Encryption> {
    [Encryption::Aes128, Encryption::SampleAes]
        .into_iter()
        .find(|encryption| encryption_word(*encryption) == word)
        .ok_or_else(|| damaged("an encryption", word))
}

/// An id, as it is stored.
pub(super) fn uuid(text: &str) -> StoreResult<Uuid> {
    text.parse().map_err(|_| damaged("an id", text))
}

pub(super) fn number(stored: i64) -> StoreResult<u64> {
    u64::try_from(stored).map_err(|_| damaged("a number", stored))
}

/// A number that is small by its nature, if there is one.
fn small<T: TryFrom<i64>>(stored: Option<i64>) -> StoreResult<Option<T>> {
    stored.map(|number| T::try_from(number).map_err(|_| damaged("a number", number))).transpose()
}

pub(super) fn moment(micros: i64) -> StoreResult<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).map_err(|_| damaged("a time", micros))
}

pub(super) fn damaged(what: &'static str, value: impl ToString) -> StoreError {
    StoreError::Damaged { what, value: value.to_string() }
}

/// A number as it is stored. [`crate::limits`] keeps all of them far below the end.
pub(super) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

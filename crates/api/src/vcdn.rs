//! The surrogates' own API: what they keep, and what they must forget.
//!
//! `GET /stats` · `GET|POST /purges` · `POST /warm`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What the surrogates' own API is called; those that templates start have names of their own.
pub const API: &str = "vcdn";

/// Whether surrogates answer for their own API behind `name`: the platform's (`vcdn`), or one that a template has started
/// (`vcdn-first.city`).
#[must_use]
pub fn is_api(name: &str) -> bool {
    let function = name.split('.').next().unwrap_or_default();
    function.strip_prefix(API).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Body of `POST /purges`: exactly one of `url`, `prefix` and `tag`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Purge {
    /// The name that it was served under: `cdn`. `*`: all names that surrogates serve for the caller's tenant, also those of templates.
    pub name: String,
    /// One resource: path and query behind the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// All whose path begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// All of one group (Cache-Groups, RFC 9875).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The purge's identifier, for who may ask for it again: surrogates that have noted it do it no second time, and hold it once. It has to be
    /// one that nobody guesses (a random UUID). Absent: each time is another purge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
}

/// A purge as it is noted, and told to other surrogates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PurgeEntry {
    /// Told twice, it is done once.
    pub id: Uuid,
    /// When it was asked for, Unix milliseconds.
    pub at_unix_ms: u64,
    /// What it covers.
    pub purge: Purge,
}

/// Answer to `POST /purges`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Purged {
    /// The purge's identifier.
    pub id: Uuid,
    /// Objects that this surrogate has dropped.
    pub objects: u64,
    /// Other surrogates that have done the same; those that serve no such name are not among them.
    pub peers: Vec<String>,
    /// Other surrogates that could not be told; they ask when they are back.
    pub unreached: Vec<String>,
    /// Whether these are all others. Not where the router does not list them, lists them for too short a time to know
    /// all (`alone_after`), or does not hear another site's: those that it does not know go on serving what was purged until they ask
    /// (`purges_every`).
    #[serde(default)]
    pub all_known: bool,
    /// Sites of the site file whose router is not heard now, or never was: nobody knows which surrogates stand there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unheard_sites: Vec<String>,
}

/// Body of `POST /warm`: what is to be fetched before anybody asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Warm {
    /// The name that it is served under: `cdn`.
    pub name: String,
    /// Path and query behind the name. What a playlist of HLS or a manifest of DASH names is fetched too.
    pub url: String,
    /// The most objects to fetch. What is named beyond them is counted in `left`.
    #[serde(default = "warm_max")]
    pub max: u32,
}

/// Answer to `POST /warm`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warmed {
    /// Objects that are kept now.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What could not be fetched, with the status that came instead.
    pub failed: Vec<String>,
    /// What is named besides, beyond `max`, and was not fetched: at least so much, for what it would name itself is not known. 100,000 are
    /// counted at most.
    #[serde(default)]
    pub left: u64,
}

/// Figures of an asset, or of all together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Figures {
    /// Answered from what is kept.
    pub hits: u64,
    /// Asked upstream, and kept.
    pub misses: u64,
    /// Answered together with another request for the same.
    pub collapsed: u64,
    /// Answered with something stale.
    pub stale: u64,
    /// Passed on without being kept.
    pub passed: u64,
    /// Upstream failed, or an answer broke off.
    pub errors: u64,
    /// Viewers who left in the middle, or took nothing for too long.
    pub abandoned: u64,
    /// Bytes of bodies sent to viewers.
    pub sent_bytes: u64,
    /// Bytes of bodies fetched from upstream.
    pub fetched_bytes: u64,
    /// Requests upstream.
    pub fetches: u64,
}

/// What a tenant keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Kept {
    /// The tenant.
    pub tenant: String,
    /// Objects in memory.
    pub memory_objects: u64,
    /// What they take of it.
    pub memory_bytes: u64,
    /// Objects on disk.
    pub disk_objects: u64,
    /// What they take of it.
    pub disk_bytes: u64,
    /// Fills that run.
    pub fills: u64,
    /// What bodies on their way, and the beginnings of those that broke off, take beside it.
    #[serde(default)]
    pub filling_bytes: u64,
}

/// Figures of one asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssetFigures {
    /// The tenant.
    pub tenant: String,
    /// The first part of the path; `(others)` for those beyond the bound.
    pub asset: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// What its viewers' players report, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub viewing: Option<Viewing>,
}

/// How viewers fare, as their players report it (CMCD, CTA-5004 and CTA-5004-A). Means are over all reports that say so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Viewing {
    /// Reports: in queries, fields and events.
    pub reports: u64,
    /// What came in their place and is none.
    pub damaged: u64,
    /// Sessions; one that was silent for long may count twice.
    pub sessions: u64,
    /// Those whose buffer ran dry at least once.
    pub starved_sessions: u64,
    /// Reports that the buffer ran dry (`bs`).
    pub starvations: u64,
    /// Reports that the player waits for media (`sta=r`).
    pub rebuffering: u64,
    /// Reports of errors (`e=e`, `ec`, `sta=f`).
    pub errors: u64,
    /// Throughput that players measured (`mtp`), mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput_kbps: Option<u64>,
    /// Bitrate that they asked for (`br`), mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate_kbps: Option<u64>,
    /// Media in their buffers (`bl`), mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer_ms: Option<u64>,
    /// Time from the wish to play to the first frame (`msd`), mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_delay_ms: Option<u64>,
}

/// Answer to `GET /stats`: since the surrogate was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// The surrogate, as `Cache-Status` names it.
    pub surrogate: String,
    /// The names that it serves.
    pub names: Vec<String>,
    /// All assets together.
    pub total: Figures,
    /// What is kept.
    pub kept: Vec<Kept>,
    /// By asset, those with the most bytes sent first.
    pub assets: Vec<AssetFigures>,
    /// Of how many players it is known how they fare.
    #[serde(default)]
    pub voices: Voices,
}

/// Sessions of players that said how they fare (CMCD): each once in four seconds, however often it speaks, and of one address so many at
/// most as the surrogate is told (`sessions_of_an_address`). What sites are judged by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Voices {
    /// All of them.
    pub sessions: u64,
    /// Those that told of an empty buffer, of waiting, or of an error.
    pub complaining: u64,
}

// === impl Figures ===

impl Figures {
    /// Adds `other` to it.
    pub fn add(&mut self, other: &Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.collapsed += other.collapsed;
        self.stale += other.stale;
        self.passed += other.passed;
        self.errors += other.errors;
        self.abandoned += other.abandoned;
        self.sent_bytes += other.sent_bytes;
        self.fetched_bytes += other.fetched_bytes;
        self.fetches += other.fetches;
    }
}

fn warm_max() -> u32 {
    1000
}

#[cfg(test)]
mod tests {
    use super::is_api;

    #[test]
    fn the_api_of_a_surrogate_is_known_by_its_name() {
        for name in ["vcdn", "vcdn.main", "vcdn-first.city", "vcdn-edge.vod-main.acme"] {
            assert!(is_api(name), "{name}");
        }
        for name in ["", "cdn.main", "vcdnx.main", "edge.vcdn", "xvcdn-first.city"] {
            assert!(!is_api(name), "{name}");
        }
    }
}

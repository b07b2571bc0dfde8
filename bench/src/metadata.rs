//! The catalogue with a million assets: how fast they are registered, and how soon searches are answered; on SQLite and on PostgreSQL.
//!
//! The assets are made by a recipe: the same number is always the same asset. They are registered by `POST /assets/import`, with indexes,
//! history and feed, through a router; then one client asks one question after the other.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use flame_api::Client;
use flame_api::metadata::{AssetQuery, FacetQuery, IMPORT_LINES_MAX};
use flame_test_kit::{Postgres, postgres};
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use crate::Options;
use crate::flame::free_port;
use crate::machine;
use crate::peer::Peer;
use crate::process;
use crate::report::{Figure, Row, Section};
use crate::router_process::Router;
use crate::samples::{Bound, Samples};

/// Registrations a second that are promised.
const RATE_MIN: f64 = 5000.0;
/// Promised time of 99 in 100 searches for words, milliseconds.
const SQLITE_P99_MAX_MS: f64 = 100.0;
const POSTGRES_P99_MAX_MS: f64 = 50.0;
/// Questions of each kind in a round.
const QUESTIONS: u64 = 40;
/// Batches after which the process's memory is looked at.
const LOOK_EVERY: u64 = 50;
/// Of what words are made.
const SYLLABLES: [&str; 16] =
    ["ba", "de", "fi", "go", "lu", "ma", "ne", "pi", "ro", "su", "ta", "ve", "wi", "zo", "ka", "he"];
/// Different words: the first are in many texts, the last in few.
const WORDS: u64 = 4096;

/// What is asked.
#[derive(Debug, Clone, Copy)]
enum Kind {
    OneWord,
    TwoWords,
    WordsAndField,
    Facets,
    Near,
}

const KINDS: [(Kind, &str); 5] = [
    (Kind::OneWord, "one word"),
    (Kind::TwoWords, "two words"),
    (Kind::WordsAndField, "a word and a filter"),
    (Kind::Facets, "facets of a word"),
    (Kind::Near, "near a place"),
];

/// Measures it.
pub async fn measure(options: &Options) -> Result<Section> {
    let workshop = options.workshop()?;
    let (mut rows, mut figures) = (Vec::new(), Vec::new());
    let file = workshop.path().join("metadata.db").display().to_string();
    on("SQLite", &file, SQLITE_P99_MAX_MS, (workshop.path(), options), (&mut rows, &mut figures)).await?;
    ensure!(postgres::is_installed(), "PostgreSQL is missing: apt-get install postgresql");
    let server = Postgres::start().await;
    on("PostgreSQL", &server.url(), POSTGRES_P99_MAX_MS, (workshop.path(), options), (&mut rows, &mut figures)).await?;
    Ok(Section {
        name: "metadata",
        title: format!("A catalogue of {} assets by recipe, registered and searched through the router", options.assets),
        rows,
        figures,
        notes: vec![
            format!("Registered {IMPORT_LINES_MAX} at once by one client, each batch a transaction; making the lines counts."),
            "SQLite syncs each commit. PostgreSQL is the tests' own: it syncs nothing, has 16 MB of shared buffers and no autovacuum; ANALYZE is run after the registrations.".to_owned(),
            format!("A title of 4 words, a description of 12, 3 keywords, a language, a place and a field of its own each; {WORDS} different words, the frequent ones in a large part of all. No versions, no identifiers."),
            "One client, one question after the other; pages of 50. Filters and counts look at a part of the catalogue (`[search]`), and have no bound here.".to_owned(),
        ],
        commands: vec![format!("flame-bench metadata --assets {} --rounds {}", options.assets, options.rounds)],
    })
}

/// Measures it on one database.
async fn on(
    name: &str,
    database: &str,
    p99_max_ms: f64,
    (folder, options): (&Path, &Options),
    (rows, figures): (&mut Vec<Row>, &mut Vec<Figure>),
) -> Result<()> {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder)?;
    let router = Router::start(&folder).await?;
    let port = free_port()?;
    let file = folder.join("metadata.toml");
    std::fs::write(&file, format!("database = \"{database}\"\n[host]\nlisten = \"127.0.0.1:{port}\"\n"))?;
    let mut command = Command::new(machine::ours("flame-metadata")?);
    let peer = Peer::start("flame-metadata", command.arg(&file).env("FLAME_LOG", "warn"), port).await?;
    router.register("metadata", "metadata", port).await?;

    let client = router.client();
    let (rate, mut peak_mib) = register(client, &peer, u64::from(options.assets)).await?;
    if database.starts_with("postgres") {
        process::time(Command::new("psql").args(["-q", database, "-c", "ANALYZE"])).await?;
    }
    let mut words_ms = Samples::default();
    for (kind, what) in KINDS {
        let mut took_ms = Samples::default();
        for round in 0..=u64::from(options.rounds) {
            for question in 0..QUESTIONS {
                let began = Instant::now();
                ask(client, kind, Dice(1 + round * QUESTIONS + question)).await?;
                let one_ms = began.elapsed().as_secs_f64() * 1000.0;
                // The first round warms up.
                if round > 0 {
                    took_ms.add(one_ms);
                    if matches!(kind, Kind::OneWord | Kind::TwoWords) {
                        words_ms.add(one_ms);
                    }
                }
            }
        }
        peak_mib = peak_mib.max(peer.server.resident_mib()?);
        figures.push(figure(format!("{name}: {what}, p99"), took_ms.percentile(99), "ms", None));
        rows.push(Row { what: format!("{name}: {what}"), unit: "ms", samples: took_ms });
    }
    let bound = Some(Bound::AtMost(p99_max_ms));
    figures.push(figure(format!("{name}: searches for words, p99"), words_ms.percentile(99), "ms", bound));
    figures.push(figure(format!("{name}: registered"), rate, "assets/s", Some(Bound::AtLeast(RATE_MIN))));
    figures.push(figure(format!("{name}: highest resident memory of the service"), peak_mib, "MiB", None));
    peer.server.stop().await?;
    router.stop().await
}

fn figure(what: String, value: f64, unit: &'static str, bound: Option<Bound>) -> Figure {
    Figure { what, value, unit, bound }
}

/// Registers assets; gives how many a second, and the highest memory that was seen, MiB.
async fn register(client: &Client, peer: &Peer, assets: u64) -> Result<(f64, f64)> {
    let (began, mut peak_mib) = (Instant::now(), 0_f64);
    let step = IMPORT_LINES_MAX as u64;
    for (batch, first) in (0..assets).step_by(IMPORT_LINES_MAX).enumerate() {
        let numbers = first..assets.min(first + step);
        let lines: String = numbers.map(|number| format!("{}\n", asset(number))).collect();
        let outcomes = client.import_assets(lines).await.context("register a batch")?;
        let refused = outcomes.items.iter().find(|outcome| outcome.status != 201);
        ensure!(refused.is_none(), "an asset of the recipe was not registered: {refused:?}");
        if (batch as u64).is_multiple_of(LOOK_EVERY) {
            peak_mib = peak_mib.max(peer.server.resident_mib()?);
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = assets as f64 / began.elapsed().as_secs_f64();
    Ok((rate, peak_mib))
}

async fn ask(client: &Client, kind: Kind, mut dice: Dice) -> Result<()> {
    let mut query = AssetQuery::default();
    match kind {
        Kind::OneWord => query.q = Some(dice.word()),
        Kind::TwoWords => query.q = Some(format!("{} {}", dice.word(), dice.word())),
        Kind::WordsAndField => {
            query.q = Some(dice.word());
            query.filter = Some(format!("custom.shoot.day = {}", dice.below(365)));
        }
        Kind::Near => {
            let (latitude, longitude) = dice.place();
            query.filter = Some(format!("near(record.contentLocation, {latitude}, {longitude}, 50km)"));
        }
        Kind::Facets => {
            let query = FacetQuery {
                by: "record.inLanguage,record.keywords".to_owned(),
                q: Some(dice.word()),
                state: None,
                filter: None,
            };
            client.facets(&query).await?;
            return Ok(());
        }
    }
    client.assets(&query).await?;
    Ok(())
}

// --- the recipe ---

/// The asset of this number.
fn asset(number: u64) -> Value {
    let mut dice = Dice(number + 1);
    let id = Uuid::from_u128(0x0190_a5d8_7f3a_7000_8000_0000_0000_0000 | u128::from(number));
    let mut text = |words: usize| (0..words).map(|_| dice.word()).collect::<Vec<_>>().join(" ");
    let (title, description, keywords) = (text(4), text(12), [text(1), text(1), text(1)]);
    let (latitude, longitude) = dice.place();
    let language = ["en", "de", "fr", "es"][usize::try_from(dice.below(4)).unwrap_or(0)];
    json!({
        "id": id, "title": title,
        "source": {
            "key": format!("default/sources/{id}"), "file_name": format!("clip-{number}.mp4"), "size_bytes": 1_000_000 + number,
            "sha256": format!("{number:064x}"),
        },
        "probe": { "container": "mov", "duration_ms": 1000 + dice.below(600_000), "bitrate_bps": 2_000_000 },
        "record": {
            "description": description, "keywords": keywords, "inLanguage": [language],
            "contentLocation": [{ "name": "Place", "geo": { "latitude": latitude, "longitude": longitude } }],
        },
        "custom": { "shoot": { "day": dice.below(365) } },
    })
}

/// Numbers that look random and are the same every time: splitmix64 (Steele, Lea and Flood 2014).
#[derive(Debug, Clone, Copy)]
struct Dice(u64);

// === impl Dice ===

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// A word; low numbers are frequent, as words of a language are.
    fn word(&mut self) -> String {
        let end = 1 + self.below(WORDS);
        let number = self.below(end);
        let syllable = |shift: u32| SYLLABLES[usize::try_from((number >> shift) & 15).unwrap_or(0)];
        [syllable(0), syllable(4), syllable(8)].concat()
    }

    /// Latitude and longitude, degrees.
    fn place(&mut self) -> (i64, i64) {
        let degrees = |number: u64| i64::try_from(number).unwrap_or(0);
        (degrees(self.below(121)) - 60, degrees(self.below(361)) - 180)
    }
}

#[cfg(test)]
mod tests {
    use flame_api::metadata::ImportedAsset;

    use super::*;

    #[test]
    fn a_number_is_always_the_same_asset_and_one_that_can_be_registered() {
        assert_eq!(asset(7), asset(7));
        assert_ne!(asset(7)["title"], asset(8)["title"]);
        let lines: Vec<ImportedAsset> = (0..100).map(|number| serde_json::from_value(asset(number)).unwrap()).collect();
        assert!(lines.iter().all(|one| one.record.content_location.len() == 1 && one.source.sha256.len() == 64));
    }
}

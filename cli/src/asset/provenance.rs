//! `flame asset provenance`: from an asset, a URL that somebody played, or the digest of a source, back to what made the bytes, and
//! forwards to what was made of them.

use anyhow::{anyhow, bail};
use flame_api::Client;
use flame_api::metadata::{AssetQuery, MadeVersion, Provenance, ProvenanceQuery, Score};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use crate::args::Global;
use crate::exit::Exit;
use crate::output;

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    /// An asset; of a URL also its version and its track.
    Asset(Uuid, ProvenanceQuery),
    /// All assets whose source has this SHA-256.
    Source(String),
}

pub async fn run(global: &Global, client: &Client, what: &str) -> Result<(), Exit> {
    let found = match asked(what).map_err(Exit::usage)? {
        Asked::Asset(id, query) => {
            let found = client.provenance(id, &query).await?;
            vec![found.ok_or_else(|| Exit::failed(anyhow!("the catalogue knows nothing of {what}")))?]
        }
        Asked::Source(sha256) => {
            let query = AssetQuery { sha256: Some(sha256), limit: Some(200), ..AssetQuery::default() };
            let mut found = Vec::new();
            for asset in client.assets(&query).await?.items {
                found.extend(client.provenance(asset.id, &ProvenanceQuery::default()).await?);
            }
            if found.is_empty() {
                return Err(Exit::failed(anyhow!("no asset was made of the bytes {what}")));
            }
            found
        }
    };
    if global.json {
        return output::print_json(&found);
    }
    found.iter().try_for_each(show)
}

/// Reads an identifier, a digest or a URL: of a URL the first part of its path that is an identifier counts, so that it may have been
/// signed, or have come through a surrogate.
fn asked(what: &str) -> anyhow::Result<Asked> {
    if let Ok(id) = what.parse() {
        return Ok(Asked::Asset(id, ProvenanceQuery::default()));
    }
    if what.len() == 64 && what.chars().all(|symbol| symbol.is_ascii_hexdigit()) {
        return Ok(Asked::Source(what.to_ascii_lowercase()));
    }
    let path = Url::parse(what).map_or_else(|_| what.to_owned(), |url| url.path().to_owned());
    let parts: Vec<&str> = path.split('/').collect();
    let Some((at, id)) = parts.iter().enumerate().find_map(|(at, part)| Some((at, part.parse::<Uuid>().ok()?))) else {
        bail!("{what} is no identifier of an asset, no SHA-256, and no URL that has one in its path");
    };
    let is_version = |part: &&str| part.len() == 12 && part.chars().all(|symbol| symbol.is_ascii_hexdigit());
    let version = parts.get(at + 1).copied().filter(is_version);
    let is_media = parts.last().is_some_and(|file| {
        [".m4s", ".mp4", ".ts", ".m3u8", ".m4a", ".aac"].iter().any(|ending| file.ends_with(ending))
    });
    let track = parts.get(at + 2).copied().filter(|_| version.is_some() && is_media && parts.len() == at + 4);
    let owned = |part: Option<&str>| part.map(str::to_owned);
    Ok(Asked::Asset(id, ProvenanceQuery { version: owned(version), track: owned(track) }))
}

fn show(found: &Provenance) -> Result<(), Exit> {
    let by = |by: &Option<String>| by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let mut facts = output::table(&["", ""]);
    let mut fact = |name: &str, value: String| {
        facts.add_row([name.to_owned(), value]);
    };
    fact("asset", format!("{} {}", found.asset_id, found.title));
    fact("source", found.source.file_name.clone().unwrap_or_else(|| found.source.key.clone()));
    fact("sha256", found.source.sha256.clone());
    fact("size", output::size(found.source.size_bytes));
    fact("came in", format!("{}{}", output::moment(found.registered.at), by(&found.registered.by)));
    for other in &found.same_source {
        fact("same bytes", other.to_string());
    }
    for Score { job_id, score } in &found.scores {
        let against = score.reference.as_ref().map(|reference| format!(" against {reference}")).unwrap_or_default();
        fact("measured", format!("{}{against}, {}", score.media, output::moment(score.measured_at)));
        fact("  job", job_id.to_string());
        let figures: Vec<_> = score.figures.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
        fact("  figures", figures.join(", "));
        for gate in &score.gates {
            let kept = if gate.passed { "kept" } else { "not kept" };
            fact("  gate", format!("{}: {kept}", gate.gate));
        }
    }
    for MadeVersion { version, plays, published } in &found.versions {
        fact("version", format!("{}{}", version.name, if *plays { ", which plays" } else { "" }));
        fact("  published", format!("{}{}", output::moment(published.at), by(&published.by)));
        fact("  chain", version.chain.clone());
        if let Some(job) = version.job_id {
            fact("  job", job.to_string());
        }
        // Whatever is recorded: a newer service may record more than this program knows by name.
        let recorded = serde_json::to_value(&version.conditioning).map_err(Exit::failed)?;
        recorded_facts("  ", &recorded, &mut fact);
        for track in &version.tracks {
            let size = match (track.width, track.height) {
                (Some(width), Some(height)) => format!(" {width}x{height}"),
                (_, _) => String::new(),
            };
            let rate = output::bit_rate(track.average_bandwidth_bps);
            fact("  track", format!("{} {}{size} {rate}", track.name, track.codec));
        }
    }
    output::wrap_only(&mut facts, 1);
    output::print_line(&facts.trim_fmt())
}

/// The members of what is recorded, one a line.
fn recorded_facts(indent: &str, recorded: &Value, fact: &mut impl FnMut(&str, String)) {
    let Value::Object(members) = recorded else { return };
    for (name, value) in members {
        let name = format!("{indent}{}", name.replace('_', " "));
        match value {
            Value::Null => {}
            Value::Object(inner) if inner.is_empty() => {}
            Value::Array(inner) if inner.is_empty() => {}
            Value::Object(_) => recorded_facts(&format!("{name} "), value, fact),
            Value::Array(items) => items.iter().for_each(|item| fact(&name, plain(item))),
            Value::String(_) | Value::Number(_) | Value::Bool(_) => fact(&name, plain(value)),
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_was_played_names_asset_version_and_track() {
        let id = "0190a5d8-7f3a-7000-8000-000000000001";
        let of = |version: Option<&str>, track: Option<&str>| {
            let query = ProvenanceQuery { version: version.map(str::to_owned), track: track.map(str::to_owned) };
            Asked::Asset(id.parse().unwrap(), query)
        };
        for (text, expected) in [
            (id.to_owned(), of(None, None)),
            (format!("http://127.0.0.1:8080/~streaming/{id}/index.m3u8"), of(None, None)),
            (
                format!("http://127.0.0.1:8080/~streaming/{id}/0123456789ab/v720/7.m4s?CMCD=x"),
                of(Some("0123456789ab"), Some("v720")),
            ),
            (
                format!("https://x/~cdn/~token.e30.e30.x/{id}/0123456789ab/a128/init.mp4"),
                of(Some("0123456789ab"), Some("a128")),
            ),
            (format!("/{id}/0123456789ab/thumbnails/1.jpg"), of(Some("0123456789ab"), None)),
        ] {
            assert_eq!(asked(&text).unwrap(), expected, "{text}");
        }
        assert_eq!(asked(&"AB".repeat(32)).unwrap(), Asked::Source("ab".repeat(32)));
        for wrong in ["", "x", "http://127.0.0.1/index.m3u8", "abab"] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
    }
}

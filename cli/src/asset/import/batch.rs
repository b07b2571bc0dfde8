//! Whole assets that are registered many at once: those at the head of what is left of an import, a line each.
//!
//! One that the catalogue has is not changed by it: it is looked at alone afterwards, as is what fits in no call.

use anyhow::{anyhow, ensure};
use flame_api::Client;
use flame_api::metadata::{Asset, IMPORT_BODY_MAX_BYTES, IMPORT_LINES_MAX, ImportOutcome, ImportedAsset};

use super::super::exchange::Entry;

/// What became of one of them.
pub enum Sent {
    /// It is new.
    Created,
    /// The catalogue has it, or it was not sent: what it says is still to be compared.
    Alone,
    /// It cannot be registered.
    Refused(anyhow::Error),
}

/// Sends the first of `entries`, as many as one call takes, and says what became of each of them; of one that is no whole asset, or too
/// long, that alone.
pub async fn send(client: &Client, entries: &[anyhow::Result<Entry>]) -> anyhow::Result<Vec<Sent>> {
    let (lines, count) = lines(entries)?;
    if count == 0 {
        return Ok(vec![Sent::Alone]);
    }
    let outcomes = client.import_assets(lines).await?.items;
    ensure!(outcomes.len() == count, "{count} assets were sent, and {} answered", outcomes.len());
    Ok(outcomes.into_iter().map(sent).collect())
}

/// The lines of the entries at the head that are whole assets, as many as one call takes, and how many they are.
fn lines(entries: &[anyhow::Result<Entry>]) -> anyhow::Result<(String, usize)> {
    let (mut lines, mut count) = (String::new(), 0);
    for entry in entries.iter().take(IMPORT_LINES_MAX) {
        let Ok(Entry { whole: Some(whole), .. }) = entry else { break };
        let line = serde_json::to_string(&ImportedAsset::from(Asset::clone(whole)))?;
        if lines.len() + line.len() + 1 > IMPORT_BODY_MAX_BYTES {
            break;
        }
        lines.push_str(&line);
        lines.push('\n');
        count += 1;
    }
    Ok((lines, count))
}

fn sent(outcome: ImportOutcome) -> Sent {
    match (outcome.status, outcome.problem) {
        (201, _) => Sent::Created,
        (200, _) => Sent::Alone,
        (_, Some(problem)) => Sent::Refused(anyhow!("{problem}")),
        (status, None) => Sent::Refused(anyhow!("the catalogue answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn whole(title_bytes: usize) -> anyhow::Result<Entry> {
        let asset = json!({
            "id": "0190a5d8-7f3a-7000-8000-000000000001", "tenant": "default", "title": "x".repeat(title_bytes), "state": "registered",
            "source": { "key": "default/sources/x", "file_name": "a.mp4", "size_bytes": 7, "sha256": "ab".repeat(32) },
            "probe": { "container": "mov", "duration_ms": 5280, "bitrate_bps": 1 }, "revision": 2,
            "created_at": "2026-05-17T12:00:00Z", "updated_at": "2026-05-17T12:00:00Z",
        });
        Entry::of_json(&asset.to_string())
    }

    #[test]
    fn a_call_takes_so_many_lines_and_bytes() {
        let many: Vec<_> = (0..=IMPORT_LINES_MAX).map(|_| whole(1)).collect();
        let (text, count) = lines(&many).unwrap();
        assert_eq!((count, text.lines().count()), (IMPORT_LINES_MAX, IMPORT_LINES_MAX));
        let long = [whole(1 << 20), whole(1 << 20), whole(1)];
        let (text, count) = lines(&long).unwrap();
        assert!(count == 1 && text.len() <= IMPORT_BODY_MAX_BYTES);
        assert_eq!(lines(&[whole(IMPORT_BODY_MAX_BYTES)]).unwrap().1, 0);
        // What is no whole asset ends it.
        let mixed = [whole(1), Entry::of_json(r#"{ "title": "x", "path": "a.mp4" }"#), whole(1)];
        assert_eq!((lines(&mixed).unwrap().1, lines(&mixed[1..]).unwrap().1), (1, 0));
    }
}

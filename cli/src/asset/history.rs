//! `flame asset history`, `flame asset restore`, and what `flame asset show` says of the record.

use anyhow::anyhow;
use flame_api::Client;
use flame_api::metadata::{Action, Asset, Change, HISTORY_LIMIT_MAX};
use flame_api::page::PageQuery;
use serde_json::Value;
use uuid::Uuid;

use crate::args::Global;
use crate::exit::Exit;
use crate::output;

/// What became of an asset, newest first.
pub async fn show(global: &Global, client: &Client, id: Uuid, limit: usize) -> Result<(), Exit> {
    let (mut changes, mut cursor) = (Vec::<Change>::new(), None);
    while changes.len() < limit {
        let wanted = u32::try_from(limit - changes.len()).unwrap_or(HISTORY_LIMIT_MAX).min(HISTORY_LIMIT_MAX);
        let page = client.asset_history(id, &PageQuery { cursor, limit: Some(wanted) }).await?;
        let page = page.ok_or_else(|| Exit::failed(anyhow!("there never was an asset {id}")))?;
        changes.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if global.json {
        return output::print_json(&changes);
    }
    let mut table = output::table(&["revision", "when", "who", "did", "what"]);
    for change in &changes {
        table.add_row([
            change.revision.to_string(),
            output::moment(change.at),
            change.by.clone(),
            word(change.action).to_owned(),
            change.detail.clone().unwrap_or_else(|| edits(change)),
        ]);
    }
    output::wrap_only(&mut table, 4);
    output::print_line(&table.trim_fmt())
}

/// Takes assets out of the trash; with `revision`, takes edits back.
pub async fn restore(global: &Global, client: &Client, ids: &[Uuid], revision: Option<u64>) -> Result<(), Exit> {
    let mut restored = Vec::new();
    for id in ids {
        let missing = || Exit::failed(anyhow!("there is no asset {id}, also not in the trash"));
        let seen = match revision {
            None => None,
            Some(_) => {
                let newest = client.asset_history(*id, &PageQuery { cursor: None, limit: Some(1) }).await?;
                let newest = newest.and_then(|page| page.items.first().map(|change| change.revision));
                Some(newest.ok_or_else(missing)?)
            }
        };
        let asset = client.restore_asset(*id, seen, revision).await?.ok_or_else(missing)?;
        if !global.json {
            output::print_line(&format!("{id} is at revision {}: {}", asset.revision, asset.title))?;
        }
        restored.push(asset);
    }
    if global.json { output::print_json(&restored) } else { Ok(()) }
}

/// The facts of the record and of the fields of one's own.
pub fn record(asset: &Asset, fact: &mut impl FnMut(&str, String)) -> Result<(), Exit> {
    let record = serde_json::to_value(&asset.record).map_err(Exit::failed)?;
    let members = record.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value));
    let own = asset.custom.iter().map(|(name, value)| (format!("custom.{name}"), value));
    members.chain(own).for_each(|(name, value)| fact(&name, plain(value)));
    Ok(())
}

/// A value for people: texts without their quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().map(plain).collect::<Vec<_>>().join(", ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// What was edited: `title: "Before" -> "After"`.
fn edits(change: &Change) -> String {
    let (Some(Value::Object(after)), Some(before)) = (&change.change, &change.undo) else { return String::new() };
    let said = |value: Option<&Value>| value.filter(|value| !value.is_null()).map_or("-".to_owned(), Value::to_string);
    let lines =
        after.iter().map(|(name, value)| format!("{name}: {} -> {}", said(before.get(name)), said(Some(value))));
    lines.collect::<Vec<_>>().join("\n")
}

/// What somebody did.
pub fn word(action: Action) -> &'static str {
    match action {
        Action::Registered => "registered it",
        Action::Edited => "edited it",
        Action::Published => "published a version",
        Action::Failed => "reported a failure",
        Action::SubtitleListed => "listed subtitles",
        Action::SubtitleUnlisted => "took subtitles away",
        Action::Deleted => "deleted it",
        Action::Restored => "restored it",
        Action::Erased => "erased it",
    }
}

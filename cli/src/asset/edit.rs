//! `flame asset edit`: from arguments to one merge patch (RFC 7396).

use std::io::Read;

use anyhow::{Context, anyhow};
use flame_api::Client;
use flame_api::metadata::AssetPatch;
use serde_json::{Map, Value};

use crate::args::{Edit, Global};
use crate::exit::Exit;
use crate::output;

/// Edits an asset.
pub async fn edit(global: &Global, client: &Client, args: Edit) -> Result<(), Exit> {
    let patch = patch(&args).map_err(Exit::usage)?;
    let id = args.id;
    let asset = client.asset(id).await?.ok_or_else(|| Exit::failed(anyhow!("there is no asset {id}")))?;
    let asset = client.patch_asset(id, args.revision.unwrap_or(asset.revision), &patch).await?;
    if global.json {
        return output::print_json(&asset);
    }
    output::print_line(&format!("{id} is at revision {}: {}", asset.revision, asset.title))
}

/// The patch that the arguments mean: the file's, then what is set and unset over it.
fn patch(args: &Edit) -> anyhow::Result<AssetPatch> {
    let mut patch = args.patch.as_deref().map_or(Ok(Value::Object(Map::new())), read)?;
    if let Some(title) = &args.title {
        put(&mut patch, "title", Value::from(title.as_str()))?;
    }
    for set in &args.set {
        let (path, text) = set.split_once('=').with_context(|| format!("--set {set}: write it NAME=VALUE"))?;
        // What is JSON is taken as such; everything else is text.
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        put(&mut patch, &within(path), value)?;
    }
    for path in &args.unset {
        put(&mut patch, &within(path), Value::Null)?;
    }
    let patch: AssetPatch = serde_json::from_value(patch).context("this cannot be edited")?;
    anyhow::ensure!(patch != AssetPatch::default(), "nothing to edit: --title, --set, --unset or --patch says what");
    Ok(patch)
}

fn read(file: &str) -> anyhow::Result<Value> {
    let mut text = String::new();
    if file == "-" {
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))?;
    }
    serde_json::from_str(&text).with_context(|| format!("{file} holds no JSON"))
}

/// Names of the record may stand alone: `description` is `record.description`.
fn within(path: &str) -> String {
    let is_whole = ["record", "custom"].iter().any(|top| path == *top || path.starts_with(&format!("{top}.")));
    if is_whole { path.to_owned() } else { format!("record.{path}") }
}

fn put(patch: &mut Value, path: &str, value: Value) -> anyhow::Result<()> {
    let mut at = patch;
    for name in path.split('.') {
        anyhow::ensure!(!name.is_empty(), "`{path}` names nothing");
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at =
            at.as_object_mut().with_context(|| format!("`{path}` is in no object"))?.entry(name).or_insert(Value::Null);
    }
    *at = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn args(set: &[&str], unset: &[&str]) -> Edit {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Edit { id: uuid::Uuid::nil(), title: None, set: own(set), unset: own(unset), patch: None, revision: None }
    }

    #[test]
    fn arguments_become_one_merge_patch() {
        let made = patch(&args(
            &["description=Sea = wide", "keywords=[\"a\"]", "custom.shoot.day=3"],
            &["genre", "custom.old"],
        ));
        let made = serde_json::to_value(made.unwrap()).unwrap();
        let wanted = json!({
            "record": { "description": "Sea = wide", "keywords": ["a"], "genre": null },
            "custom": { "shoot": { "day": 3 }, "old": null },
        });
        assert_eq!(made, wanted);
        for wrong in [args(&[], &[]), args(&["description"], &[]), args(&["custom..a=1"], &[])] {
            assert!(patch(&wrong).is_err(), "{wrong:?}");
        }
    }
}

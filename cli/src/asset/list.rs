//! `flame asset list`, `flame asset search`: which assets there are, and how often each value occurs among them.

use anyhow::anyhow;
use flame_api::Client;
use flame_api::metadata::{AssetQuery, FacetQuery};

use crate::args::{Choice, Global};
use crate::exit::Exit;
use crate::output;

/// Items asked for at once.
const PAGE: usize = 200;

/// Lists what `query` and `choice` want, or counts its values.
pub async fn run(global: &Global, client: &Client, query: AssetQuery, choice: Choice) -> Result<(), Exit> {
    let Choice { filter, sort, facet, limit } = choice;
    let query = AssetQuery { filter, sort, ..query };
    match facet {
        Some(by) => count(global, client, query, by).await,
        None => list(global, client, query, limit).await,
    }
}

async fn list(global: &Global, client: &Client, mut query: AssetQuery, limit: usize) -> Result<(), Exit> {
    let mut assets = Vec::new();
    while assets.len() < limit {
        query.limit = u32::try_from((limit - assets.len()).min(PAGE)).ok();
        let page = client.assets(&query).await?;
        assets.extend(page.items);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    if global.json {
        return output::print_json(&assets);
    }
    if assets.is_empty() {
        let is_all = AssetQuery { limit: None, cursor: None, sort: None, ..query.clone() } == AssetQuery::default();
        let none = match (&query.q, &query.filter) {
            (Some(_), None) => "no asset has these words",
            _ if !is_all || limit == 0 => "no asset is so",
            _ => "no assets; `flame ingest FILE` brings one in",
        };
        return output::print_line(none);
    }
    let mut table = output::table(&["asset", "title", "state", "duration", "pictures", "source", "created"]);
    for asset in &assets {
        table.add_row([
            asset.id.to_string(),
            asset.title.clone(),
            super::state(asset.state).to_owned(),
            output::clock(asset.probe.duration_ms),
            asset
                .probe
                .video
                .as_ref()
                .map_or_else(|| "-".to_owned(), |video| format!("{}x{}", video.display_width, video.display_height)),
            output::size(asset.source.size_bytes),
            output::moment(asset.created_at),
        ]);
    }
    output::wrap_only(&mut table, 1);
    output::narrow(&mut table, &[5, 4, 6, 3]);
    output::print_line(&table.trim_fmt())?;
    if query.cursor.is_some() {
        eprintln!("these are {} of more: --limit shows them", assets.len());
    }
    Ok(())
}

/// How often each value of the fields `by` occurs.
async fn count(global: &Global, client: &Client, query: AssetQuery, by: String) -> Result<(), Exit> {
    let AssetQuery { q, state, filter, deleted, .. } = query;
    if deleted {
        return Err(Exit::usage(anyhow!("values are counted of what is in the catalogue; leave --deleted out")));
    }
    let facets = client.facets(&FacetQuery { by, q, state, filter }).await?;
    if global.json {
        return output::print_json(&facets);
    }
    output::print_line(&format!("of {} assets", facets.matches))?;
    for facet in &facets.facets {
        let mut table = output::table(&[&facet.field, "assets"]);
        for one in &facet.values {
            let value = one.value.as_str().map_or_else(|| one.value.to_string(), str::to_owned);
            table.add_row([value, one.count.to_string()]);
        }
        if facet.missing > 0 {
            table.add_row(["(none)".to_owned(), facet.missing.to_string()]);
        }
        output::wrap_only(&mut table, 0);
        output::print_line(&format!("\n{}", table.trim_fmt()))?;
        if facet.more {
            output::print_line("(these are the most frequent of more)")?;
        }
    }
    Ok(())
}

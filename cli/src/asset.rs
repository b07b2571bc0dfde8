//! `flame asset`: the catalogue.

mod changes;
mod edit;
mod exchange;
pub mod export;
mod history;
pub mod import;
mod list;
mod provenance;
mod scores;
mod sounds;

use anyhow::anyhow;
use flame_api::Client;
use flame_api::media::Thumbnails;
use flame_api::metadata::{self, Asset, AssetPatch, AssetQuery, Encryption};
use uuid::Uuid;

use crate::args::{self, AssetCommand, AssetState, Global};
use crate::connection;
use crate::exit::Exit;
use crate::output;
use crate::subtitles;

pub async fn run(global: &Global, args: args::Asset) -> Result<(), Exit> {
    let client = connection::client(global);
    match args.command {
        AssetCommand::List { state, deleted, choice } => {
            let state = state.map(metadata::AssetState::from);
            list::run(global, &client, AssetQuery { state, deleted, ..AssetQuery::default() }, choice).await
        }
        AssetCommand::Search { words, choice } => {
            let query = AssetQuery { q: Some(words.join(" ")), ..AssetQuery::default() };
            list::run(global, &client, query, choice).await
        }
        AssetCommand::Show { id } => show(global, &client, id).await,
        AssetCommand::Sound(args) => sounds::label(global, &client, args).await,
        AssetCommand::Protect { ids, off } => protect(global, &client, &ids, !off).await,
        AssetCommand::Link { id } => link(global, &client, id).await,
        AssetCommand::Encrypt(args) => encrypt(global, &client, &args.ids, args.encryption()).await,
        AssetCommand::Edit(args) => edit::edit(global, &client, args).await,
        AssetCommand::History { id, limit } => history::show(global, &client, id, limit).await,
        AssetCommand::Restore { ids, revision } => history::restore(global, &client, &ids, revision).await,
        AssetCommand::Provenance { what } => provenance::run(global, &client, &what).await,
        AssetCommand::Scores(args) => scores::run(global, &client, &args).await,
        AssetCommand::Changes { after, follow, limit } => changes::run(global, &client, after, follow, limit).await,
        AssetCommand::Export(args) => export::run(global, &client, args).await,
        AssetCommand::Import(args) => import::run(global, &client, args).await,
        AssetCommand::Rm { ids, erase } => remove(global, &client, &ids, erase).await,
    }
}

async fn show(global: &Global, client: &Client, id: Uuid) -> Result<(), Exit> {
    let asset = client.asset(id).await?.ok_or_else(|| Exit::failed(anyhow!("there is no asset {id}")))?;
    if global.json {
        return output::print_json(&asset);
    }
    let mut facts = output::table(&["", ""]);
    let mut fact = |name: &str, value: String| {
        facts.add_row([name.to_owned(), value]);
    };
    fact("asset", asset.id.to_string());
    fact("title", asset.title.clone());
    fact("state", state(asset.state).to_owned());
    if let Some(error) = &asset.error {
        fact("error", error.clone());
    }
    fact("tenant", asset.tenant.clone());
    fact("created", output::moment(asset.created_at));
    fact("file", asset.source.file_name.clone().unwrap_or_else(|| "-".to_owned()));
    fact("size", output::size(asset.source.size_bytes));
    fact("sha256", asset.source.sha256.clone());
    fact("container", asset.probe.container.clone());
    fact("duration", output::clock(asset.probe.duration_ms));
    if let Some(video) = &asset.probe.video {
        let rate = video.frame_rate.map_or_else(|| "-".to_owned(), |rate| format!("{:.3} fps", rate.as_f64()));
        fact("video", format!("{} {}x{} {rate} {}", video.codec, video.width, video.height, video.pixel_format));
    }
    for stream in asset.probe.sounds() {
        fact(&format!("sound {}", stream.number), sounds::describe(&asset, stream));
    }
    if let Some(thumbnails) = asset.version.as_ref().and_then(|version| version.thumbnails.as_ref()) {
        let Thumbnails { tile_width, tile_height, count, interval_ms, .. } = thumbnails;
        let every_s = interval_ms / 1000;
        let (sheets, size) = (thumbnails.sheets(), output::size(thumbnails.size_bytes));
        fact(
            "thumbnails",
            format!("{count} of {tile_width}x{tile_height}, every {every_s} s, {sheets} sheets, {size}"),
        );
    }
    history::record(&asset, &mut fact)?;
    fact("protected", if asset.protected { "yes: only with a signed URL" } else { "no" }.to_owned());
    fact("encrypted", asset.encryption.map_or("no", word).to_owned());
    if asset.version.is_some() || connection::plays(client, id).await {
        let url = connection::play_url(client.router(), id);
        fact("plays at", if asset.protected { format!("flame token sign-url {url}") } else { url.to_string() });
    }
    output::wrap_only(&mut facts, 1);
    output::print_line(&facts.trim_fmt())?;
    if asset.version.is_some() {
        output::print_line(&tracks(&asset).trim_fmt())?;
    }
    if !asset.subtitles.is_empty() {
        output::print_line(&subtitles::table(&asset).trim_fmt())?;
    }
    Ok(())
}

/// The table of an asset's tracks.
pub fn tracks(asset: &Asset) -> comfy_table::Table {
    let mut table = output::table(&["track", "codec", "pictures", "average", "peak", "size", "duration"]);
    for track in asset.version.iter().flat_map(|version| &version.tracks) {
        let pictures = match (track.width, track.height, track.channels) {
            (Some(width), Some(height), _) => format!("{width}x{height}"),
            (_, _, Some(channels)) => sounds::channels(track, channels),
            _ => "-".to_owned(),
        };
        table.add_row([
            track.name.clone(),
            track.codec.clone(),
            pictures,
            output::bit_rate(track.average_bandwidth_bps),
            output::bit_rate(track.peak_bandwidth_bps),
            output::size(track.size_bytes),
            output::clock(track.duration_ms),
        ]);
    }
    table
}

async fn link(global: &Global, client: &Client, id: Uuid) -> Result<(), Exit> {
    let link = client.viewer_link(id).await?;
    let url = format!("{}{}", client.router().as_str().trim_end_matches('/'), link.path);
    if global.json {
        return output::print_json(&serde_json::json!({ "url": url, "link": link }));
    }
    output::print_line(&url)
}

async fn protect(global: &Global, client: &Client, ids: &[Uuid], protected: bool) -> Result<(), Exit> {
    let patch = AssetPatch { protected: Some(protected), ..AssetPatch::default() };
    let mut patched = Vec::new();
    for id in ids {
        let asset = client.asset(*id).await?.ok_or_else(|| Exit::failed(anyhow!("there is no asset {id}")))?;
        let asset = client.patch_asset(*id, asset.revision, &patch).await?;
        if !global.json {
            let state = if asset.protected { "protected: only signed URLs play it" } else { "for everybody" };
            output::print_line(&format!("{id} is {state}"))?;
            if asset.protected && asset.version.is_some() {
                // It has been played by whoever wanted to; surrogates keep what nobody needed a token for.
                output::print_line(&format!(
                    "  copies that open surrogates keep: flame edge purge --prefix /{id}/, in a minute"
                ))?;
            }
        }
        patched.push(asset);
    }
    if global.json { output::print_json(&patched) } else { Ok(()) }
}

async fn encrypt(global: &Global, client: &Client, ids: &[Uuid], encryption: Option<Encryption>) -> Result<(), Exit> {
    let patch = AssetPatch { encryption: Some(encryption), ..AssetPatch::default() };
    let mut patched = Vec::new();
    for id in ids {
        let asset = client.asset(*id).await?.ok_or_else(|| Exit::failed(anyhow!("there is no asset {id}")))?;
        let asset = client.patch_asset(*id, asset.revision, &patch).await?;
        if !global.json {
            let state =
                asset.encryption.map_or_else(|| "in the clear".to_owned(), |it| format!("encrypted: {}", word(it)));
            output::print_line(&format!("{id} is {state}"))?;
            if asset.encryption.is_some() && asset.version.is_some() {
                // It has been sent in the clear to whoever wanted it, under other URLs.
                output::print_line(&format!(
                    "  clear copies that surrogates keep: flame edge purge --prefix /{id}/, in a minute"
                ))?;
            }
        }
        patched.push(asset);
    }
    if global.json { output::print_json(&patched) } else { Ok(()) }
}

fn word(encryption: Encryption) -> &'static str {
    match encryption {
        Encryption::Aes128 => "aes-128",
        Encryption::SampleAes => "sample-aes",
    }
}

async fn remove(global: &Global, client: &Client, ids: &[Uuid], erase: bool) -> Result<(), Exit> {
    let (mut deleted, mut missing) = (Vec::new(), Vec::new());
    for id in ids {
        let is_done = if erase { client.erase_asset(*id).await? } else { client.delete_asset(*id).await? };
        if is_done {
            deleted.push(id);
            if !global.json {
                let how =
                    if erase { "for good".to_owned() } else { format!("into the trash: flame asset restore {id}") };
                output::print_line(&format!("deleted {id} {how}"))?;
            }
        } else {
            missing.push(id.to_string());
        }
    }
    if global.json {
        output::print_json(&serde_json::json!({ "deleted": deleted, "missing": missing }))?;
    }
    if missing.is_empty() { Ok(()) } else { Err(Exit::failed(anyhow!("there is no asset {}", missing.join(", ")))) }
}

fn state(state: metadata::AssetState) -> &'static str {
    match state {
        metadata::AssetState::Registered => "registered",
        metadata::AssetState::Ready => "ready",
        metadata::AssetState::Failed => "failed",
    }
}

impl From<AssetState> for metadata::AssetState {
    fn from(state: AssetState) -> Self {
        match state {
            AssetState::Registered => Self::Registered,
            AssetState::Ready => Self::Ready,
            AssetState::Failed => Self::Failed,
        }
    }
}

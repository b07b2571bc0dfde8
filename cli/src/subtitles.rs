//! `flame subtitles`: what can be read along with an asset.

use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use flame_api::metadata::Asset;
use flame_api::subtitles::{self, AddedSubtitle, SubtitleQuery};
use flame_api::{Client, ClientError};
use uuid::Uuid;

use crate::args::{Global, SubtitleRole, Subtitles, SubtitlesCommand};
use crate::connection;
use crate::exit::Exit;
use crate::output;

/// Larger files are not read: no service takes them.
const FILE_MAX_BYTES: u64 = 16 << 20;
/// Warnings that are printed.
const WARNINGS_SHOWN: usize = 10;

pub async fn run(global: &Global, args: Subtitles) -> Result<(), Exit> {
    let client = connection::client(global);
    match args.command {
        SubtitlesCommand::Add { asset, file, language, title, role, default } => {
            let query = SubtitleQuery { language, role: Some(role.into()), title, default: default.then_some(true) };
            let added = add(&client, asset, &file, &query).await?;
            if global.json { output::print_json(&added) } else { tell(&client, asset, &added) }
        }
        SubtitlesCommand::List { asset } => list(global, &client, asset).await,
        SubtitlesCommand::Rm { asset, subtitles } => remove(global, &client, asset, &subtitles).await,
    }
}

/// Sends a file.
pub async fn add(client: &Client, asset: Uuid, file: &Path, query: &SubtitleQuery) -> Result<AddedSubtitle, Exit> {
    let bytes = read(file).map_err(Exit::usage)?;
    let added = client.add_subtitle(asset, query, media_type(file), bytes).await;
    // The file is at fault, and the service says in which line.
    added.map_err(|error| match &error {
        ClientError::Refused { problem, .. } if problem.status == 422 => {
            Exit::failed(anyhow!("{}: {}", file.display(), problem.detail))
        }
        ClientError::Refused { .. } | ClientError::Unreachable { .. } | ClientError::Malformed { .. } => error.into(),
    })
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let metadata = std::fs::metadata(file).with_context(|| format!("open {}", file.display()))?;
    ensure!(metadata.is_file(), "{} is not a file", file.display());
    let size_bytes = metadata.len();
    ensure!(size_bytes <= FILE_MAX_BYTES, "{} has {} and is no subtitles", file.display(), output::size(size_bytes));
    std::fs::read(file).with_context(|| format!("read {}", file.display()))
}

/// What the file's name says of its format; its bytes say more.
fn media_type(file: &Path) -> &'static str {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "vtt" | "webvtt" => "text/vtt",
        "srt" => "application/x-subrip",
        "ttml" | "dfxp" | "xml" => "application/ttml+xml",
        _ => "application/octet-stream",
    }
}

fn tell(client: &Client, asset: Uuid, added: &AddedSubtitle) -> Result<(), Exit> {
    let AddedSubtitle { subtitle, warnings } = added;
    for warning in warnings.iter().take(WARNINGS_SHOWN) {
        eprintln!("flame: line {}: {}", warning.line, warning.text);
    }
    if warnings.len() > WARNINGS_SHOWN {
        eprintln!("flame: and {} more", warnings.len() - WARNINGS_SHOWN);
    }
    let url = connection::play_url(client.router(), asset);
    output::print_line(&format!(
        "subtitles {} ({}, {} texts) play with {url}",
        subtitle.id, subtitle.language, subtitle.cues
    ))
}

async fn list(global: &Global, client: &Client, id: Uuid) -> Result<(), Exit> {
    let asset = client.asset(id).await?.ok_or_else(|| Exit::failed(anyhow!("there is no asset {id}")))?;
    if global.json {
        return output::print_json(&asset.subtitles);
    }
    if asset.subtitles.is_empty() {
        return output::print_line("no subtitles; `flame subtitles add ASSET FILE --language TAG` adds some");
    }
    output::print_line(&table(&asset).trim_fmt())
}

/// The table of an asset's subtitles.
pub fn table(asset: &Asset) -> comfy_table::Table {
    let mut table = output::table(&["subtitles", "language", "role", "default", "title", "texts", "size"]);
    for subtitle in &asset.subtitles {
        table.add_row([
            subtitle.id.clone(),
            subtitle.language.clone(),
            subtitle.role.as_str().to_owned(),
            if subtitle.default { "yes" } else { "no" }.to_owned(),
            subtitle.title.clone().unwrap_or_else(|| "-".to_owned()),
            subtitle.cues.to_string(),
            output::size(subtitle.size_bytes),
        ]);
    }
    output::wrap_only(&mut table, 4);
    table
}

async fn remove(global: &Global, client: &Client, asset: Uuid, names: &[String]) -> Result<(), Exit> {
    let (mut deleted, mut missing) = (Vec::new(), Vec::new());
    for name in names {
        // What could not be one would be another path.
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_name && client.delete_subtitle(asset, name).await? {
            deleted.push(name.clone());
            if !global.json {
                output::print_line(&format!("deleted {name}"))?;
            }
        } else {
            missing.push(name.clone());
        }
    }
    if global.json {
        output::print_json(&serde_json::json!({ "deleted": deleted, "missing": missing }))?;
    }
    let none = || anyhow!("asset {asset} has no subtitles {}", missing.join(", "));
    if missing.is_empty() { Ok(()) } else { Err(Exit::failed(none())) }
}

impl From<SubtitleRole> for subtitles::SubtitleRole {
    fn from(role: SubtitleRole) -> Self {
        match role {
            SubtitleRole::Subtitle => Self::Subtitle,
            SubtitleRole::Caption => Self::Caption,
            SubtitleRole::Forced => Self::Forced,
        }
    }
}

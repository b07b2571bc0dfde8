//! Scenario `metadata`: what the catalogue knows of an asset, how it is found, and where what plays came from. Nobody's edit is lost, and
//! what is imported twice is there once.

use std::path::Path;

use anyhow::{Context, ensure};
use flame_api::Client;
use flame_api::metadata::{Action, Asset, AssetPatch, AssetQuery, ChangesQuery, FacetQuery, ProvenanceQuery};
use serde_json::json;
use uuid::Uuid;

use super::files;
use super::stage::Stage;
use super::tour::{Broken, Tour, Verified};
use super::vod::{encoded, probed};
use crate::args::{Export, Form, Import};
use crate::asset::{export, import};
use crate::exit::Exit;
use crate::upload;

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path) -> Result<(), Broken> {
    let client = tour.step("start", start(stage)).await?;
    let id = tour.step("upload", send(&client, clip)).await?;
    let job = tour.step("probe", probed(&client, id)).await?;
    let quiet = tour.quiet();
    let asset = tour.step("condition", encoded(&client, id, job, quiet)).await?;
    let asset = tour.step("describe", described(&client, &asset)).await?;
    tour.step("search", found(&client, id)).await?;
    tour.step("facets", counted(&client)).await?;
    tour.step("edit conflict", conflict(&client, &asset)).await?;
    tour.step("provenance", traced(&client, &asset, clip)).await?;
    tour.step("changes", followed(&client, id)).await?;
    tour.step("export, import", exchanged(&client, stage, id)).await?;
    tour.close_with(format!("flame asset provenance {id}\nflame asset changes --follow"));
    Ok(())
}

async fn start(stage: &mut Stage) -> anyhow::Result<Verified<Client>> {
    let (client, took) = stage.up().await?;
    let detail = format!("ready at {} after {:.2} s", client.router(), took.as_secs_f64());
    Ok(Verified(client, detail))
}

async fn send(client: &Client, clip: &Path) -> anyhow::Result<Verified<Uuid>> {
    let wanted = upload::Upload { path: clip, title: Some("Waves at the pier"), chain: "ladder" };
    let id = upload::send(client, &wanted, |_, _| {}).await?;
    Ok(Verified(id, format!("asset {id}")))
}

async fn described(client: &Client, asset: &Asset) -> anyhow::Result<Verified<Asset>> {
    let record = json!({
        "description": "Waves, and wind.", "keywords": ["sea", "wind"], "dateCreated": "2026-05-17",
        "identifier": [{ "propertyID": "house", "value": "tour-1" }],
        "contentLocation": [{ "name": "Pier", "geo": { "latitude": 51.45, "longitude": -2.6 } }],
    });
    let patch =
        AssetPatch { record: Some(record), custom: Some(json!({ "shoot": { "day": 3 } })), ..AssetPatch::default() };
    let asset = client.patch_asset(asset.id, asset.revision, &patch).await?;
    ensure!(asset.record.keywords == ["sea", "wind"], "the record is {:?}", asset.record);
    Ok(Verified(asset, "keywords, place, an identifier, and a field of one's own".to_owned()))
}

async fn found(client: &Client, id: Uuid) -> anyhow::Result<Verified<()>> {
    let text = "record.keywords = sea and near(record.contentLocation, 51.5, -2.6, 20km) and version.tracks.kind = video \
                and record.dateCreated >= 2026-05 and custom.shoot.day = 3";
    let wanted = [
        AssetQuery { q: Some("wav".to_owned()), ..AssetQuery::default() },
        AssetQuery {
            filter: Some(text.to_owned()),
            sort: Some("-probe.duration_ms".to_owned()),
            ..AssetQuery::default()
        },
        AssetQuery { identifier: Some("house:tour-1".to_owned()), ..AssetQuery::default() },
    ];
    for query in wanted {
        let page = client.assets(&query).await?;
        ensure!(page.items.iter().map(|asset| asset.id).eq([id]), "{query:?} found {} assets", page.items.len());
    }
    let none = AssetQuery { filter: Some(format!("not ({text})")), ..AssetQuery::default() };
    ensure!(client.assets(&none).await?.items.is_empty(), "what is not so was found, too");
    Ok(Verified(
        (),
        "by a word's begin, by keyword, place, tracks, time and own field, and by its identifier".to_owned(),
    ))
}

async fn counted(client: &Client) -> anyhow::Result<Verified<()>> {
    let facets = client.facets(&FacetQuery { by: "record.keywords,state".to_owned(), ..FacetQuery::default() }).await?;
    let values = facets.facets.iter().flat_map(|facet| &facet.values).map(|one| format!("{} {}", one.value, one.count));
    let told = values.collect::<Vec<_>>().join(", ");
    ensure!(told == "\"sea\" 1, \"wind\" 1, \"ready\" 1", "the counts are {told}");
    Ok(Verified((), told))
}

async fn conflict(client: &Client, asset: &Asset) -> anyhow::Result<Verified<()>> {
    let title = |title: &str| AssetPatch { title: Some(title.to_owned()), ..AssetPatch::default() };
    client.patch_asset(asset.id, asset.revision, &title("Waves at the old pier")).await?;
    let second = client.patch_asset(asset.id, asset.revision, &title("Waves")).await;
    let status = second.err().and_then(|error| error.status());
    ensure!(status == Some(412), "who had read an older revision was answered with {status:?}");
    let now = client.asset(asset.id).await?.context("the asset is gone")?;
    ensure!(now.title == "Waves at the old pier", "the title is {}", now.title);
    Ok(Verified(
        (),
        "the second of two who had read the same revision gets 412; nothing is overwritten unseen".to_owned(),
    ))
}

/// From the first segment of what plays back to the file.
async fn traced(client: &Client, asset: &Asset, clip: &Path) -> anyhow::Result<Verified<()>> {
    let version = asset.version.as_ref().context("it has no version")?;
    let track = version.tracks.first().context("it has no track")?;
    let path = format!("{}/{}/{}", asset.id, version.name, track.name);
    let playlist = client.request(reqwest::Method::GET, "streaming", &format!("{path}/index.m3u8")).send().await?;
    let playlist = playlist.error_for_status()?.text().await?;
    let segment = playlist.lines().find(|line| line.ends_with(".m4s")).context("the playlist has no segment")?;
    let answer = client.request(reqwest::Method::GET, "streaming", &format!("{path}/{segment}")).send().await?;
    let bytes = answer.error_for_status()?.bytes().await?.len();
    let query = ProvenanceQuery { version: Some(version.name.clone()), track: Some(track.name.clone()) };
    let found = client.provenance(asset.id, &query).await?.context("nothing is known of what plays")?;
    let ours = files::sha256(clip).await?;
    ensure!(found.source.sha256 == ours, "the source is said to be {}, the file is {ours}", found.source.sha256);
    let [made] = found.versions.as_slice() else {
        anyhow::bail!("{} versions have that segment", found.versions.len())
    };
    ensure!(made.version.job_id == version.job_id && made.plays, "another version is said to play");
    let tools = made.version.conditioning.as_ref().map_or("nothing", |made| made.tools.as_str());
    Ok(Verified(
        (),
        format!(
            "{path}/{segment} ({bytes} B): chain {}, made by {tools}, from SHA-256 {}…",
            made.version.chain,
            &ours[..12]
        ),
    ))
}

async fn followed(client: &Client, id: Uuid) -> anyhow::Result<Verified<()>> {
    let mut stream = client.follow_changes(&ChangesQuery { after: Some(0), limit: None }).await?;
    let mut told = Vec::new();
    for _ in 0..4 {
        let change = stream.next().await?.context("the feed ended")?;
        ensure!(change.asset_id == id, "another asset is in the feed");
        told.push(change.action);
    }
    ensure!(
        told == [Action::Registered, Action::Published, Action::Edited, Action::Edited],
        "the feed tells of {told:?}"
    );
    Ok(Verified((), "registered, published, edited, edited: each once, in order".to_owned()))
}

async fn exchanged(client: &Client, stage: &Stage, id: Uuid) -> anyhow::Result<Verified<()>> {
    let plain = |exit: Exit| anyhow::anyhow!(exit.message());
    let mut sizes = Vec::new();
    for (form, name) in [(Form::Ndjson, "all.ndjson"), (Form::Jsonld, "all.jsonld"), (Form::Csv, "all.csv")] {
        let file = stage.path(name);
        let wanted = Export { words: Vec::new(), filter: None, format: form, output: None };
        let written = export::to_file(client, &wanted, &file, true).await.map_err(plain)?;
        ensure!(written == 1, "{written} assets were exported");
        sizes.push(format!("{name} {} B", std::fs::metadata(&file)?.len()));
        let back = Import { file, format: None, register: false, chain: "none".to_owned() };
        let told = import::all(client, &back, true).await.map_err(plain)?;
        ensure!(told.unchanged == 1 && told.created + told.updated == 0, "importing {name} gave {told:?}");
    }
    let all = client.assets(&AssetQuery::default()).await?;
    ensure!(all.items.iter().map(|asset| asset.id).eq([id]), "there are {} assets now", all.items.len());
    Ok(Verified((), format!("{}; imported again, nothing changes", sizes.join(", "))))
}

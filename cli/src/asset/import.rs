//! `flame asset import`: what others say of assets, into the catalogue, as often as one likes.
//!
//! An entry is of the asset that has its `id`, else one of its identifiers (a whole one: and the same bytes), else the SHA-256 of its
//! source (of a file that it names, that is computed). That asset gets what the entry says, over what it has; where nothing differs
//! nothing changes. Where there is none, the file or URL that the entry names is brought in; with `--register` whole entries of
//! `flame asset export` are registered as they are, many at once ([`batch`]), for who has copied the objects too: such an entry is of
//! the asset that has its id or one of its identifiers alone. So an import that was cut off is begun anew, and makes nothing twice.
//!
//! What is registered plays last: who may see it, how it is encrypted, what its sounds are called and its subtitles come before.

mod batch;

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use flame_api::Client;
use flame_api::metadata::{Asset, AssetPatch, AssetQuery, NewAsset, NewVersion, Version};
use flame_api::subtitles::{NewSubtitle, Subtitle};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use self::batch::Sent;
use super::exchange::Entry;
use crate::args::{Form, Global, Import};
use crate::exit::Exit;
use crate::ingest::{self, share};
use crate::output::{self, Progress};

/// The most entries of one file.
const ENTRIES_MAX: usize = 1_000_000;
/// Longest file: an import is held in memory.
const FILE_MAX_BYTES: u64 = 1 << 30;
/// Most reasons that are told one by one.
const REASONS_MAX: usize = 20;

/// What became of the entries.
#[derive(Debug, Default, Serialize)]
pub struct Told {
    /// Assets that are new.
    pub created: u64,
    /// Assets that were given something else than they had.
    pub updated: u64,
    /// Assets that had it all.
    pub unchanged: u64,
    /// Entries that could not be carried out.
    pub failed: Vec<Failed>,
}

/// An entry that could not be carried out.
#[derive(Debug, Serialize)]
pub struct Failed {
    /// Its place in the file, from 1.
    pub entry: usize,
    /// Why.
    pub reason: String,
}

enum Done {
    Created,
    Updated,
    Unchanged,
}

// === impl Told ===

impl Told {
    fn count(&mut self, done: &Done) {
        match done {
            Done::Created => self.created += 1,
            Done::Updated => self.updated += 1,
            Done::Unchanged => self.unchanged += 1,
        }
    }
}

pub async fn run(global: &Global, client: &Client, args: Import) -> Result<(), Exit> {
    let told = all(client, &args, global.json).await?;
    let Told { created, updated, unchanged, failed } = &told;
    if global.json {
        output::print_json(&told)?;
    } else {
        output::print_line(&format!(
            "{created} created, {updated} updated, {unchanged} unchanged, {} failed",
            failed.len()
        ))?;
        failed
            .iter()
            .take(REASONS_MAX)
            .for_each(|Failed { entry, reason }| eprintln!("flame: entry {entry}: {reason}"));
    }
    match failed.len() {
        0 => Ok(()),
        failed => Err(Exit::failed(anyhow!("{failed} entries failed; the others are in"))),
    }
}

/// Imports the entries of a file, one after the other; ends where the others cannot come in either.
pub async fn all(client: &Client, args: &Import, quiet: bool) -> Result<Told, Exit> {
    let entries = read(args).with_context(|| format!("{} is not usable", args.file.display())).map_err(Exit::usage)?;
    let folder = args.file.parent().unwrap_or(Path::new("")).to_owned();
    let mut progress = Progress::new("import", quiet);
    let mut told = Told::default();
    let mut sent = VecDeque::new();
    for (at, entry) in entries.iter().enumerate() {
        if sent.is_empty() {
            match together(client, &entries[at..], args).await {
                Ok(more) => sent.extend(more),
                Err(error) => sent.push_back(Sent::Refused(error)),
            }
        }
        let done = match (sent.pop_front(), entry) {
            (Some(Sent::Created), _) => Ok(Done::Created),
            (Some(Sent::Refused(error)), _) => Err(error),
            (Some(Sent::Alone) | None, Ok(entry)) => one(client, entry, &folder, args).await,
            (Some(Sent::Alone) | None, Err(error)) => Err(anyhow!("{error:#}")),
        };
        match done {
            Ok(done) => told.count(&done),
            Err(error) if Exit::is_of_all(&error) => {
                let Told { created, updated, unchanged, failed } = &told;
                let failed = failed.len();
                eprintln!(
                    "flame: entry {}: {created} created, {updated} updated, {unchanged} unchanged, {failed} failed before it; \
                           begin anew, nothing is made twice",
                    at + 1
                );
                return Err(error.into());
            }
            Err(error) => told.failed.push(Failed { entry: at + 1, reason: format!("{error:#}") }),
        }
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        progress.set(share(count(at + 1), count(entries.len())), &format!("{} of {}", at + 1, entries.len()));
    }
    Ok(told)
}

/// What becomes of the first of these entries, which go together where they are to be registered.
async fn together(client: &Client, entries: &[anyhow::Result<Entry>], args: &Import) -> anyhow::Result<Vec<Sent>> {
    if args.register { batch::send(client, entries).await } else { Ok(vec![Sent::Alone]) }
}

async fn one(client: &Client, entry: &Entry, folder: &Path, args: &Import) -> anyhow::Result<Done> {
    let file = entry.source.as_ref().filter(|source| !is_url(source)).map(|source| folder.join(source));
    let sha256 = match (&entry.sha256, &file) {
        (Some(sha256), _) => Some(sha256.clone()),
        (None, Some(file)) => Some(digest(file).await?),
        (None, None) => None,
    };
    let (mut asset, is_new) = match find(client, entry, sha256.as_deref()).await? {
        Some(asset) => (asset, false),
        None => (bring(client, entry, file, args).await?, true),
    };
    let found = asset.revision;
    if let Some(whole) = entry.whole.as_deref().filter(|whole| args.register && whole.id == asset.id) {
        asset = complete(client, asset, whole).await?;
    }
    let changed = describe(client, &asset, &entry.over(&asset)?).await? || asset.revision != found;
    Ok(match (is_new, changed) {
        (true, _) => Done::Created,
        (false, true) => Done::Updated,
        (false, false) => Done::Unchanged,
    })
}

/// The asset that an entry is of, if there is one.
async fn find(client: &Client, entry: &Entry, sha256: Option<&str>) -> anyhow::Result<Option<Asset>> {
    if let Some(id) = entry.id
        && let Some(asset) = client.asset(id).await?
    {
        return Ok(Some(asset));
    }
    for identifier in entry.identifiers() {
        let query = AssetQuery { identifier: Some(identifier.clone()), limit: Some(200), ..AssetQuery::default() };
        let mut found = client.assets(&query).await?.items;
        if let Some(whole) = &entry.whole {
            // Two assets may have the same identifier; what is said of the bytes of one is not said of the other's.
            found.retain(|asset| asset.source.sha256 == whole.source.sha256);
        }
        let found = only(found, &identifier)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    let Some(sha256) = sha256 else { return Ok(None) };
    let query = AssetQuery { sha256: Some(sha256.to_owned()), limit: Some(200), ..AssetQuery::default() };
    let mut found = client.assets(&query).await?.items;
    if !entry.identifiers().is_empty() {
        // Two entries of the same bytes, each with a name of its own, are two assets; one that has none yet was left so by an import
        // that was cut off.
        found.retain(|asset| asset.record.identifier.is_empty());
    }
    only(found, sha256)
}

/// The one that was found, if one was.
fn only(mut found: Vec<Asset>, by: &str) -> anyhow::Result<Option<Asset>> {
    ensure!(found.len() < 2, "several assets are known by {by}; say which by `id`");
    Ok(found.pop())
}

/// Brings in what the catalogue has not.
async fn bring(client: &Client, entry: &Entry, file: Option<PathBuf>, args: &Import) -> anyhow::Result<Asset> {
    let source = match (&entry.source, file) {
        (_, Some(file)) => file.display().to_string(),
        (Some(url), None) => url.clone(),
        (None, None) => match &entry.whole {
            Some(whole) if args.register => return register(client, whole).await,
            Some(_) => {
                bail!("the catalogue has no such asset; with --register it is entered, if its objects are in the store")
            }
            None => bail!("the catalogue has no such asset, and the entry names no `path` and no `url`"),
        },
    };
    let id = ingest::brought(client, &source, entry.title.as_deref(), &args.chain).await?;
    client.asset(id).await?.with_context(|| format!("asset {id} is gone again"))
}

/// Enters an asset that was exported; [`complete`] does the rest.
async fn register(client: &Client, whole: &Asset) -> anyhow::Result<Asset> {
    let Asset { id, title, source, probe, poster_key, .. } = whole.clone();
    let asset = client.create_asset(&NewAsset { id, title, source, probe, poster_key }).await?;
    ensure!(asset.deleted_at.is_none(), "asset {id} lies in the trash; `flame asset restore {id}` takes it out");
    Ok(asset)
}

/// Makes of an asset without a version what was exported, and publishes the version that played; one that has a version was complete.
async fn complete(client: &Client, mut asset: Asset, whole: &Asset) -> anyhow::Result<Asset> {
    if asset.version.is_some() {
        return Ok(asset);
    }
    let Asset { id, protected, encryption, sound_labels, subtitles, version, .. } = whole.clone();
    if (asset.protected, asset.encryption, &asset.sound_labels) != (protected, encryption, &sound_labels) {
        let (protected, encryption, sound_labels) = (Some(protected), Some(encryption), Some(sound_labels));
        let patch = AssetPatch { protected, encryption, sound_labels, ..AssetPatch::default() };
        asset = client.patch_asset(id, asset.revision, &patch).await?;
    }
    for subtitle in subtitles {
        let Subtitle { id: name, language, role, title, default, key, size_bytes, sha256, cues, .. } = subtitle;
        if asset.subtitles.iter().all(|there| there.id != name) {
            let subtitle = NewSubtitle { language, role, title, default, key, size_bytes, sha256, cues };
            asset = client.list_subtitle(id, &name, None, &subtitle).await?;
        }
    }
    if let Some(Version { name, job_id, chain, tracks, thumbnails, conditioning, .. }) = version {
        let version = NewVersion { job_id, chain, tracks, thumbnails, conditioning };
        asset = client.publish_version(id, &name, &version).await?;
    }
    Ok(asset)
}

/// Gives the asset what the entry says; `false` where it had that before.
async fn describe(client: &Client, asset: &Asset, entry: &Entry) -> anyhow::Result<bool> {
    let Entry { title, record, custom, .. } = entry;
    let members =
        |members: &serde_json::Map<String, Value>| (!members.is_empty()).then(|| Value::Object(members.clone()));
    let patch =
        AssetPatch { title: title.clone(), record: members(record), custom: members(custom), ..AssetPatch::default() };
    if patch == AssetPatch::default() {
        return Ok(false);
    }
    let after = client.patch_asset(asset.id, asset.revision, &patch).await?;
    Ok(after.revision != asset.revision)
}

fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// The SHA-256 of a file.
async fn digest(file: &Path) -> anyhow::Result<String> {
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || -> std::io::Result<String> {
        let (mut file, mut hash) = (std::fs::File::open(path)?, Sha256::new());
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok(hex::encode(hash.finalize()));
            }
            hash.update(&buffer[..count]);
        }
    });
    read.await?.with_context(|| format!("read {}", file.display()))
}

/// The entries of a file; one that is not understood does not keep the others out.
fn read(args: &Import) -> anyhow::Result<Vec<anyhow::Result<Entry>>> {
    let file = std::fs::File::open(&args.file)?;
    let length = file.metadata()?.len();
    ensure!(length <= FILE_MAX_BYTES, "it has {}, and may have {}", output::size(length), output::size(FILE_MAX_BYTES));
    let form = args.format.or_else(|| Form::of(&args.file));
    let form = form.context("say its form: --format ndjson, jsonld or csv")?;
    let mut entries = Vec::new();
    match form {
        Form::Ndjson => {
            for line in BufReader::new(file).lines() {
                let line = line?;
                if !line.trim().is_empty() {
                    entries.push(Entry::of_json(&line));
                }
                ensure!(entries.len() <= ENTRIES_MAX, "it has more than {ENTRIES_MAX} entries");
            }
        }
        Form::Jsonld => {
            let document: Value = serde_json::from_reader(BufReader::new(file)).context("this is no JSON")?;
            let list = match &document {
                Value::Array(items) => items.clone(),
                document => document["@graph"].as_array().cloned().unwrap_or_else(|| vec![document.clone()]),
            };
            ensure!(list.len() <= ENTRIES_MAX, "it has more than {ENTRIES_MAX} entries");
            entries.extend(list.iter().map(Entry::of_json_ld));
        }
        Form::Csv => {
            let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(BufReader::new(file));
            let names = reader.headers()?.clone();
            for row in reader.records() {
                let row = row?;
                let cells = names.iter().zip(&row).map(|(name, cell)| (name.trim().to_owned(), cell.trim().to_owned()));
                entries.push(Entry::of_row(&cells.collect::<BTreeMap<_, _>>()));
                ensure!(entries.len() <= ENTRIES_MAX, "it has more than {ENTRIES_MAX} entries");
            }
        }
    }
    ensure!(!entries.is_empty(), "it has no entries");
    Ok(entries)
}

//! `flame migrate`: from a data folder to PostgreSQL and an S3 that somebody else runs.
//!
//! The old folder is only read, and stays: who is not content starts it again. What lies neither in the database nor in the store goes
//! into a new folder, which says that it is unfinished until all is there. Cut off at any moment, the same command goes on:
//! an object is left alone where both stores give the same bytes, the catalogue is one transaction, an upload is noted when it has moved.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use flame_ingest::config::{DEFAULT_BUCKET, EmbeddedStore};
use flame_object_store::{EmbeddedServer, MultipartUpload, ObjectSummary, RunningStore, SecretKey, Store, StoreConfig};
use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use crate::args::{Global, Migrate};
use crate::contents::{self, CATALOGUE, DATABASES, OBJECTS, UPLOADS};
use crate::data::{self, DataFolder, Unfinished};
use crate::exit::Exit;
use crate::output::{self, Progress};
use crate::outside::{self, Outside};
use crate::secrets::{self, StoreKeys};

/// Objects that are copied at once: with 8 MiB each at most in memory.
const AT_ONCE: usize = 4;
/// An object up to this size is one request, a larger one has parts of it or more.
const PART_BYTES: u64 = 8 << 20;

/// What has come over.
#[derive(Debug, Default, serde::Serialize)]
struct Migrated {
    data: std::path::PathBuf,
    objects: u64,
    size_bytes: u64,
    /// Objects that were there already, from a try before.
    found: u64,
    uploads: u64,
    rows: std::collections::BTreeMap<&'static str, u64>,
}

pub async fn run(global: &Global, args: Migrate) -> Result<(), Exit> {
    let from = data::folder(args.data.as_deref())?;
    let to = std::path::absolute(&args.to).with_context(|| format!("resolve {}", args.to.display()))?;
    let (outside, text) = Outside::read(&args.outside).map_err(Exit::usage)?;
    if !from.join(data::LOCK).is_file() || !from.join(OBJECTS).is_dir() {
        return Err(Exit::not_carried_out(anyhow!("{} is not a data folder that `flame up` has used", from.display())));
    }
    if from.join(outside::FILE).exists() {
        return Err(Exit::not_carried_out(anyhow!("{} has its catalogue and store outside already", from.display())));
    }
    if to.starts_with(&from) {
        return Err(Exit::usage(anyhow!("{} lies in the folder that is left: name another place", to.display())));
    }
    // Nothing may run on it: what came in meanwhile would be lost.
    let held = DataFolder::take(from.clone()).await?;
    let target = Store::connect(&outside.store.to_client());
    let what =
        format!("{} -> {} and {} of {}", from.display(), outside.url(), outside.store.bucket, outside.store.endpoint);
    let id = prepare(&to, &args, &target, what).await?;
    // Known to this try alone: whatever else the database holds is not touched.
    let mark = format!("flame migrate {id}");
    let taken = DataFolder::take_unfinished(to.clone()).await?;

    let server = serve(&from).await?;
    let inside = Store::connect_inside(&server, &embedded(&from, &server)?);
    let mut migrated = Migrated { data: to.clone(), ..Migrated::default() };
    let copied = copy_objects(&inside, &target, global.json, &mut migrated).await;
    server.stop().await;
    copied?;
    flame_service_host::fault::point("objects-copied");

    for name in DATABASES {
        let copy = to.join(name);
        // What a try before has moved stays moved.
        if !copy.is_file() {
            let draft = to.join(format!("{name}.new"));
            if draft.is_file() {
                std::fs::remove_file(&draft).with_context(|| format!("remove {}", draft.display()))?;
            }
            if contents::copy_database(&from.join(name), &draft).await? {
                std::fs::rename(&draft, &copy).with_context(|| format!("rename {}", draft.display()))?;
            }
        }
    }
    if to.join(UPLOADS).is_file() {
        let objects = from.join(OBJECTS);
        let moved = flame_ingest::moving::move_uploads(&to.join(UPLOADS), (&objects, DEFAULT_BUCKET), &target).await;
        migrated.uploads = moved.context("move the unfinished uploads")?;
    }
    if to.join(CATALOGUE).is_file() {
        let rows = flame_metadata::store::transfer(&to.join(CATALOGUE), outside.url(), &mark).await;
        migrated.rows = rows.context("move the catalogue")?.into_iter().collect();
    }
    flame_service_host::fault::point("catalogue-copied");
    finish(&from, &to, &text)?;
    drop((held, taken));
    tell(global, &migrated)
}

fn tell(global: &Global, migrated: &Migrated) -> Result<(), Exit> {
    if global.json {
        return output::print_json(migrated);
    }
    let assets = migrated.rows.get("assets").copied().unwrap_or(0);
    output::print_line(&format!(
        "{assets} assets, {} objects ({}), {} unfinished uploads: start it with `flame up --data {}`",
        migrated.objects,
        output::size(migrated.size_bytes),
        migrated.uploads,
        migrated.data.display()
    ))
}

/// Takes an empty folder and an empty bucket, or a folder in which the same was cut off; gives the identifier of the try.
async fn prepare(to: &Path, args: &Migrate, target: &Store, of: String) -> Result<uuid::Uuid, Exit> {
    match data::unfinished(to)? {
        // With passwords: the note is as secret as what it leads to.
        Some(unfinished) if unfinished.of == of => Ok(unfinished.id),
        Some(unfinished) => Err(Exit::not_carried_out(anyhow!(
            "{} holds what another command has left unfinished: end that with `{}`, or name another folder",
            to.display(),
            unfinished.command
        ))),
        None => {
            // Before anything says that this may go on: what lies in the bucket is somebody's.
            let there = target.list("", None).await;
            let there = there.with_context(|| format!("look into the bucket {}", target.bucket()))?;
            if !there.objects.is_empty() {
                let told = anyhow!("the bucket {} holds objects already: name one that is empty", target.bucket());
                return Err(Exit::not_carried_out(told));
            }
            contents::make_empty(to)?;
            let outside = std::path::absolute(&args.outside).context("resolve the file that says where to")?;
            let from = data::folder(args.data.as_deref())?;
            let (from, to_shown, outside) = (from.display(), to.display(), outside.display());
            let command = format!("flame migrate --data {from} --to {to_shown} --outside {outside}");
            let id = uuid::Uuid::new_v4();
            data::begin(to, &Unfinished { of, id, command })?;
            Ok(id)
        }
    }
}

async fn serve(from: &Path) -> anyhow::Result<RunningStore> {
    let keys = StoreKeys::of(from)?;
    let mut config = EmbeddedStore::new(from.join(OBJECTS), keys.access_key, keys.secret_key).to_server();
    // It is only read.
    config.min_free_percent = 0;
    EmbeddedServer::start(config).await.context("open the embedded object store")
}

fn embedded(from: &Path, server: &RunningStore) -> anyhow::Result<StoreConfig> {
    let keys = StoreKeys::of(from)?;
    Ok(StoreConfig {
        endpoint: server.endpoint(),
        region: "us-east-1".to_owned(),
        bucket: DEFAULT_BUCKET.to_owned(),
        access_key: keys.access_key,
        secret_key: SecretKey::new(keys.secret_key),
    })
}

/// Copies every object, and reads each copy back.
async fn copy_objects(from: &Store, to: &Store, quiet: bool, migrated: &mut Migrated) -> anyhow::Result<()> {
    let mut progress = Progress::new("objects", quiet);
    let mut page = None;
    loop {
        let listed = from.list("", page).await.context("list the objects")?;
        let copies = stream::iter(listed.objects).map(|object| async move {
            let new =
                copy_object(from, to, &object).await.with_context(|| format!("copy the object {}", object.key))?;
            anyhow::Ok((object.size_bytes, new))
        });
        let mut copies = std::pin::pin!(copies.buffer_unordered(AT_ONCE));
        while let Some((size_bytes, new)) = copies.try_next().await? {
            migrated.objects += 1;
            migrated.size_bytes += size_bytes;
            migrated.found += u64::from(!new);
            flame_service_host::fault::point("object-copied");
        }
        progress.set(0.0, &format!("{} objects, {}", migrated.objects, output::size(migrated.size_bytes)));
        page = listed.next;
        if page.is_none() {
            progress.finish();
            return Ok(());
        }
    }
}

/// Copies one object unless it is there; whether it was not. Both have the same bytes when this ends well.
async fn copy_object(from: &Store, to: &Store, object: &ObjectSummary) -> anyhow::Result<bool> {
    let key = object.key.as_str();
    if let Some(there) = to.head(key).await?
        && there.size_bytes == object.size_bytes
        && digest(to, key).await? == digest(from, key).await?
    {
        return Ok(false);
    }
    let info = from.head(key).await?.context("it is not there any more")?;
    let kind = info.content_type.as_deref().unwrap_or("application/octet-stream");
    let sent = if object.size_bytes <= PART_BYTES {
        let bytes = from.get(key, PART_BYTES).await?;
        let sent = sha256(&bytes);
        to.put(key, bytes, kind).await?;
        sent
    } else {
        let upload = to.create_multipart(key, kind).await?;
        let sent = send_parts(from, to, &upload, object.size_bytes).await;
        if sent.is_err() {
            to.abort_multipart(&upload).await?;
        }
        sent?
    };
    if digest(to, key).await? != sent {
        bail!("the store gives other bytes than it was sent");
    }
    Ok(true)
}

/// Sends an object in parts; gives the SHA-256 of what was sent.
async fn send_parts(from: &Store, to: &Store, upload: &MultipartUpload, size_bytes: u64) -> anyhow::Result<[u8; 32]> {
    let part_bytes = flame_object_store::client::part_size_bytes(size_bytes);
    let (mut parts, mut hash, mut offset_bytes) = (Vec::new(), Sha256::new(), 0);
    while offset_bytes < size_bytes {
        let end_bytes = (offset_bytes + part_bytes).min(size_bytes);
        let bytes = from.get_range(&upload.key, offset_bytes..end_bytes).await?;
        if bytes.len() as u64 != end_bytes - offset_bytes {
            bail!("it is shorter than it says");
        }
        hash.update(&bytes);
        let number = u16::try_from(parts.len() + 1).context("it has too many parts")?;
        parts.push(to.upload_part(upload, number, bytes).await?);
        offset_bytes = end_bytes;
    }
    to.complete_multipart(upload, &parts).await?;
    Ok(hash.finalize().into())
}

async fn digest(store: &Store, key: &str) -> anyhow::Result<[u8; 32]> {
    let mut body = store.stream(key, None).await?;
    let mut hash = Sha256::new();
    while let Some(block) = body.next().await {
        hash.update(&block?);
    }
    Ok(hash.finalize().into())
}

fn sha256(bytes: &Bytes) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Copies what is kept beside databases and store, says where those are, and that the folder is whole.
fn finish(from: &Path, to: &Path, text: &str) -> anyhow::Result<()> {
    for path in contents::kept_files(from)? {
        let target = to.join(&path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        if target.is_file() {
            std::fs::remove_file(&target).with_context(|| format!("replace {}", target.display()))?;
        }
        crate::backup::copy_hashed(&from.join(&path), &target)?;
    }
    // It lies in PostgreSQL now, and the copy would only mislead.
    for name in [CATALOGUE.to_owned(), format!("{CATALOGUE}-wal"), format!("{CATALOGUE}-shm")] {
        match std::fs::remove_file(to.join(&name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {name}"));
            }
            Ok(()) | Err(_) => {}
        }
    }
    secrets::keep_secret(&to.join(outside::FILE), text.as_bytes()).context("say where the rest lies")?;
    contents::sync(to)?;
    data::finish(to)
}

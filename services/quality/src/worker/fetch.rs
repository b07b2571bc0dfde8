//! Brings what a job names to where a media process can open it.

use std::path::Path;

use flame_api::quality::jobs::MediaName;
use flame_jobs::attempt::{Unfinished, failed};
use flame_jobs::scratch::JobFolder;
use flame_media_child::protocol::Fault;
use flame_object_store::StoreError;
use flame_service_host::problem::chain;
use tokio_util::sync::CancellationToken;

use super::Worker;
use crate::media::{self, Place};

/// What a media process opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    /// A path, or an `http://` URL.
    pub(super) address: String,
    /// Whether it may be a playlist.
    pub(super) follow_playlists: bool,
    /// The version of the asset that it is of, where it is of one.
    pub(super) version: Option<String>,
}

/// Finds `name` for `tenant`; what is an object is downloaded as `file` into `folder`.
pub(super) async fn input(
    worker: &Worker,
    tenant: &str,
    name: &MediaName,
    folder: &JobFolder,
    file: &str,
    abort: &CancellationToken,
) -> Result<Input, Unfinished> {
    let (place, version) = place(worker, tenant, name).await?;
    match place {
        Place::Url(address) => Ok(Input { address, follow_playlists: true, version }),
        Place::Object { key } => {
            let path = folder.path().join(file);
            let fetching = download(worker, name, &key, &path);
            // A download that is dropped leaves a file in a folder that goes with the attempt.
            tokio::select! {
                () = abort.cancelled() => return Err(Unfinished::Aborted),
                fetched = fetching => fetched?,
            }
            Ok(Input { address: path.to_string_lossy().into_owned(), follow_playlists: false, version })
        }
    }
}

/// Where it is, and of which version of an asset.
async fn place(worker: &Worker, tenant: &str, name: &MediaName) -> Result<(Place, Option<String>), Unfinished> {
    let is_absent = |missing: media::Missing| failed(Fault::Input, missing.to_string());
    let asset_id = match (media::is_catalogued(name), name) {
        (Some(id), _) => id,
        // What plays is public where it is not protected; that it is an asset of the tenant is asked all the same.
        (None, MediaName::Asset(id)) => *id,
        (None, MediaName::Path(_) | MediaName::Source(_) | MediaName::Track(_, _)) => {
            return media::played(name, worker.client.router()).map(|place| (place, None)).map_err(is_absent);
        }
    };
    let asset = worker.client.for_tenant(tenant).asset(asset_id).await;
    let asset = asset.map_err(|error| failed(Fault::Environment, chain(&error)))?;
    // The catalogue answers services for every tenant: whose an asset is, is looked at here.
    let own = asset.filter(|asset| asset.tenant == tenant);
    let asset = own.ok_or_else(|| is_absent(media::Missing::Asset(asset_id)))?;
    let place = match media::is_catalogued(name) {
        Some(_) => media::object(name, &asset).map_err(is_absent)?,
        None => media::played(name, worker.client.router()).map_err(is_absent)?,
    };
    let is_source = matches!(name, MediaName::Source(_));
    Ok((place, asset.version.filter(|_| !is_source).map(|version| version.name)))
}

async fn download(worker: &Worker, name: &MediaName, key: &str, path: &Path) -> Result<(), Unfinished> {
    let trouble = |error: StoreError| {
        let fault = match error {
            StoreError::NotFound { .. } => Fault::Input,
            StoreError::Unavailable { .. }
            | StoreError::PreconditionFailed { .. }
            | StoreError::TooLarge { .. }
            | StoreError::StorageFull { .. }
            | StoreError::Denied { .. }
            | StoreError::Rejected { .. }
            | StoreError::File { .. } => Fault::Environment,
        };
        failed(fault, format!("{name} cannot be fetched: {}", chain(&error)))
    };
    let Some(found) = worker.objects.head(key).await.map_err(trouble)? else {
        return Err(failed(Fault::Input, format!("{name} is not in the object store")));
    };
    let free_bytes = worker.scratch.free_bytes();
    let free_bytes =
        free_bytes.map_err(|error| failed(Fault::Environment, format!("the free space is not known: {error}")))?;
    if found.size_bytes > free_bytes {
        let (needed_mib, free_mib) = (found.size_bytes.div_ceil(1 << 20), free_bytes >> 20);
        let reason = format!("the disk is too full for {name}: it has {needed_mib} MiB, {free_mib} MiB are free");
        return Err(failed(Fault::Environment, reason));
    }
    worker.objects.download(key, path).await.map(drop).map_err(trouble)
}

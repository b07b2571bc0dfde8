//! The tracks of a version on their way from the job's folder into the object store, and out of it again.

use std::path::{Path, PathBuf};
use std::slice::Iter;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use flame_api::media::{Thumbnails, Track, TrackKind};
use flame_cmaf::index::{IndexError, JSON_SIZE_MAX_BYTES, TrackIndex};
use flame_jobs::attempt::Unfinished;
use flame_jobs::patience::Patience;
use flame_media_child::protocol::LadderPlan;
use flame_object_store::{Store, StoreError};
use flame_service_host::fault;
use thiserror::Error;

use super::attempt::store_trouble;
use crate::version::{Made, index_name, media_name, sheet_name};

/// Unfinished uploads below one version that are removed at once: a put leaves at most one behind for each track.
const UPLOADS_MAX: usize = 1000;

/// What a child left is not what it said.
#[derive(Debug, Error)]
pub(super) enum TrackError {
    /// Other tracks than planned.
    #[error("the media process made the tracks {made:?} and not {planned:?}")]
    Others {
        /// What it says.
        made: Vec<String>,
        /// What it was asked for.
        planned: Vec<String>,
    },
    /// A file is not there, or cannot be read.
    #[error("the media process left no readable {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// An index cannot be used.
    #[error("the media process left an index of {track} that cannot be used")]
    Index {
        /// The track.
        track: String,
        /// Why not.
        source: IndexError,
    },
    /// Sheets and answer do not agree.
    #[error("the sheets of thumbnails have {file_bytes} bytes, the media process said {said_bytes}")]
    Sheets {
        /// In the files.
        file_bytes: u64,
        /// By the answer.
        said_bytes: u64,
    },
    /// Index, file and answer do not agree.
    #[error("{track} has {file_bytes} bytes, its index says {index_bytes} and the media process {said_bytes}")]
    Size {
        /// The track.
        track: String,
        /// In the file.
        file_bytes: u64,
        /// By the index.
        index_bytes: u64,
        /// By the answer.
        said_bytes: u64,
    },
}

/// Checks that a child made what was planned, and that what it left can be served.
pub(super) async fn check(folder: &Path, plan: &LadderPlan, made: &Made) -> Result<(), TrackError> {
    let Made { tracks, thumbnails, .. } = made;
    let video = plan.video.iter().map(|rung| rung.name.clone());
    let planned: Vec<String> = video.chain(plan.audio.iter().map(|rung| rung.name.clone())).collect();
    let made: Vec<String> = tracks.iter().map(|track| track.name.clone()).collect();
    if made != planned {
        return Err(TrackError::Others { made, planned });
    }
    for track in tracks {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| TrackError::Unreadable { path, source }
        };
        let media = folder.join(media_name(&track.name));
        let file_bytes = tokio::fs::metadata(&media).await.map_err(unreadable(&media))?.len();
        let index = read_index(folder, &track.name).await.map_err(|(path, source)| unreadable(&path)(source))?;
        let index =
            TrackIndex::from_json(&index).map_err(|source| TrackError::Index { track: track.name.clone(), source })?;
        let index_bytes = index.object_size_bytes();
        if file_bytes != index_bytes || file_bytes != track.size_bytes {
            let said_bytes = track.size_bytes;
            return Err(TrackError::Size { track: track.name.clone(), file_bytes, index_bytes, said_bytes });
        }
    }
    let mut sheets_bytes = 0;
    for path in sheets(thumbnails.as_ref()).map(|name| folder.join(name)) {
        let unreadable = |source| TrackError::Unreadable { path: path.clone(), source };
        sheets_bytes += tokio::fs::metadata(&path).await.map_err(unreadable)?.len();
    }
    let said_bytes = thumbnails.as_ref().map_or(0, |thumbnails| thumbnails.size_bytes);
    if sheets_bytes != said_bytes {
        return Err(TrackError::Sheets { file_bytes: sheets_bytes, said_bytes });
    }
    Ok(())
}

/// File names of the sheets.
fn sheets(thumbnails: Option<&Thumbnails>) -> impl Iterator<Item = String> {
    (0..thumbnails.map_or(0, Thumbnails::sheets)).map(sheet_name)
}

pub(super) async fn read_index(folder: &Path, track: &str) -> Result<Vec<u8>, (PathBuf, std::io::Error)> {
    let path = folder.join(index_name(track));
    let read = async {
        let size_bytes = tokio::fs::metadata(&path).await?.len();
        if size_bytes > JSON_SIZE_MAX_BYTES as u64 {
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, format!("{size_bytes} bytes")));
        }
        tokio::fs::read(&path).await
    };
    read.await.map_err(|error| (path.clone(), error))
}

/// Storing the tracks of a version.
#[derive(Debug)]
pub(super) struct Storing<'a> {
    pub(super) objects: &'a Store,
    /// What the keys begin with.
    pub(super) prefix: &'a str,
    /// Where the files are.
    pub(super) folder: &'a Path,
    pub(super) patience: Patience<'a>,
    /// Whether nothing of an earlier attempt can be there.
    pub(super) is_clear: bool,
    /// All tracks of the version, also those whose media is there: for their indexes.
    pub(super) all: &'a [Track],
}

// === impl Storing ===

impl Storing<'_> {
    /// Stores the media of the tracks that were made and the thumbnails, then the indexes of all: what has an index is whole.
    /// Returns the bytes of media stored.
    pub(super) async fn run(&self, made: &Made, progress: impl Fn(f64)) -> Result<u64, Unfinished> {
        let Made { tracks, thumbnails, .. } = made;
        if !self.is_clear {
            let cleared = self.patience.call(|| clear(self.objects, self.prefix)).await;
            cleared.map_err(store_trouble)?;
        }
        let all_bytes: u64 = tracks.iter().map(|track| track.size_bytes).sum();
        let stored_bytes = AtomicU64::new(0);
        let media = Mutex::new(tracks.iter());
        let media_lane = async || {
            while let Some(track) = next(&media) {
                self.put_media(track).await.inspect_err(|_| end(&media))?;
                fault::point("job-track-stored");
                let so_far_bytes = stored_bytes.fetch_add(track.size_bytes, Relaxed) + track.size_bytes;
                #[allow(clippy::cast_precision_loss, reason = "only shown")]
                progress(so_far_bytes as f64 / all_bytes.max(1) as f64);
            }
            Ok(())
        };
        both(media_lane(), media_lane()).await?;
        for name in sheets(thumbnails.as_ref()) {
            self.put_file(&name, "image/jpeg").await?;
        }
        let indexes = Mutex::new(self.all.iter());
        let index_lane = async || {
            while let Some(track) = next(&indexes) {
                self.put_index(track).await.inspect_err(|_| end(&indexes))?;
            }
            Ok(())
        };
        both(index_lane(), index_lane()).await?;
        Ok(all_bytes + thumbnails.as_ref().map_or(0, |thumbnails| thumbnails.size_bytes))
    }

    async fn put_media(&self, track: &Track) -> Result<(), Unfinished> {
        let content_type = match track.kind {
            TrackKind::Video => "video/mp4",
            TrackKind::Audio => "audio/mp4",
        };
        self.put_file(&media_name(&track.name), content_type).await
    }

    async fn put_file(&self, name: &str, content_type: &str) -> Result<(), Unfinished> {
        self.go_on()?;
        let (key, path) = (format!("{}{name}", self.prefix), self.folder.join(name));
        let stored = self.patience.call(|| self.objects.put_file(&key, &path, content_type)).await;
        stored.map_err(store_trouble).map(drop)
    }

    async fn put_index(&self, track: &Track) -> Result<(), Unfinished> {
        self.go_on()?;
        let key = format!("{}{}", self.prefix, index_name(&track.name));
        let put = || async {
            let json = read_index(self.folder, &track.name).await;
            let json = json.map_err(|(path, source)| StoreError::File { action: "read", path, source })?;
            self.objects.put(&key, Bytes::from(json), "application/json").await
        };
        self.patience.call(put).await.map_err(store_trouble).map(drop)
    }

    fn go_on(&self) -> Result<(), Unfinished> {
        if self.patience.abort.is_cancelled() { Err(Unfinished::Aborted) } else { Ok(()) }
    }
}

// --- two lanes, so that one track is on its way while the store syncs another to its disk ---

/// The next track that no lane has taken.
fn next<'a>(rest: &Mutex<Iter<'a, Track>>) -> Option<&'a Track> {
    rest.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// Leaves nothing for the other lane to begin.
fn end(rest: &Mutex<Iter<'_, Track>>) {
    *rest.lock().unwrap_or_else(PoisonError::into_inner) = [].iter();
}

/// Waits for both lanes, also if one fails: a put that is broken off may still be carried out.
async fn both(
    one: impl Future<Output = Result<(), Unfinished>>,
    other: impl Future<Output = Result<(), Unfinished>>,
) -> Result<(), Unfinished> {
    let (one, other) = tokio::join!(one, other);
    one.and(other)
}

/// Removes everything below `prefix`, also what was never finished.
pub(super) async fn clear(objects: &Store, prefix: &str) -> Result<(), StoreError> {
    for open in objects.list_multipart(prefix, UPLOADS_MAX).await? {
        objects.abort_multipart(&open.upload).await?;
    }
    objects.delete_prefix(prefix).await.map(drop)
}

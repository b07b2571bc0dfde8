//! What comes next: the order in which playlists name things.
//!
//! Whoever asks for a segment will ask for the one behind it. So when an object is asked for the first time here, the ones
//! that its playlist names next are fetched, unless they are kept or on their way, and never so many that viewers would wait.
//!
//! The order is learned from each playlist that comes, and after a start from those that lie on disk: viewers of a film go on
//! where they were, and do not ask for its playlist again.

use std::fs::File;
use std::io;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use flame_naming::identity::{Token, url};
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;

use crate::disk::Record;
use crate::front::Front;
use crate::medium::{self, Medium};
use crate::object::Object;
use crate::shelf::Found;
use crate::{fetch, mpd, warm};

/// Neighbours that are remembered.
const REMEMBERED: usize = 100_000;
/// Playlists up to this size are read where they come; longer ones beside what serves.
const AT_ONCE_MAX_BYTES: usize = 16 << 10;
/// Playlists that are read from disk at a start, all together.
const AT_START_MAX_BYTES: u64 = 64 << 20;

/// Who comes after whom, by target.
#[derive(Debug)]
pub(crate) struct Order {
    next: Cache<Arc<str>, Arc<str>, UnitWeighter>,
}

// === impl Order ===

impl Order {
    pub(crate) fn new() -> Self {
        Self { next: Cache::new(REMEMBERED) }
    }

    /// Notes the order of what the playlist at `target` names, if `object` is one. A long one and a manifest are read beside what serves.
    pub(crate) async fn learn(&self, target: &str, object: &Object) {
        let kind = object.head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(warm::is_playlist) || object.length > warm::PLAYLIST_MAX_BYTES {
            return;
        }
        let named = match &object.medium {
            Medium::Memory(bytes) if bytes.len() <= AT_ONCE_MAX_BYTES && !is_manifest(bytes) => {
                Ok(in_order(target, bytes))
            }
            Medium::Memory(bytes) => {
                let (bytes, target) = (bytes.clone(), target.to_owned());
                tokio::task::spawn_blocking(move || in_order(&target, &bytes)).await.map_err(io::Error::other)
            }
            Medium::File(file) => {
                let (file, target, length) = (Arc::clone(file), target.to_owned(), object.length);
                let read = move || Ok::<_, io::Error>(in_order(&target, &whole(&file, length)?));
                tokio::task::spawn_blocking(read).await.map_err(io::Error::other).flatten()
            }
        };
        match named {
            Ok(named) => self.note(&named),
            Err(error) => tracing::debug!(%error, "a playlist was not read for what comes next"),
        }
    }

    fn note(&self, named: &[Vec<Arc<str>>]) {
        for pair in named.iter().flat_map(|named| named.windows(2)) {
            self.next.insert(Arc::clone(&pair[0]), Arc::clone(&pair[1]));
        }
    }

    /// What comes after `target`.
    pub(crate) fn after(&self, target: &str) -> Option<Arc<str>> {
        self.next.get(target)
    }
}

fn is_manifest(playlist: &[u8]) -> bool {
    std::str::from_utf8(playlist).is_ok_and(mpd::is_one)
}

fn is_kept_playlist(record: &Record) -> bool {
    let kind = record.meta.headers.iter().find(|(name, _)| name == header::CONTENT_TYPE.as_str());
    let kind = kind.and_then(|(_, value)| hex::decode(value).ok()).unwrap_or_default();
    record.meta.length <= warm::PLAYLIST_MAX_BYTES && warm::is_playlist(&String::from_utf8_lossy(&kind))
}

fn whole(file: &File, length: u64) -> io::Result<Bytes> {
    medium::read(file, 0, usize::try_from(length).map_err(io::Error::other)?)
}

/// The targets that the media playlist at `target` names, one behind the other, as they are asked for here; those of each Representation
/// where it is a manifest of DASH.
pub(crate) fn in_order(target: &str, playlist: &[u8]) -> Vec<Vec<Arc<str>>> {
    let (Ok(text), Some(base)) = (std::str::from_utf8(playlist), warm::Base::of(target)) else { return Vec::new() };
    if mpd::is_one(text) {
        let named = mpd::named(text);
        return named.iter().map(|named| targets(&base, named.iter().map(String::as_str))).collect();
    }
    // Renditions in a multivariant playlist are alternatives: nobody plays them one after the other.
    if text.contains("#EXT-X-STREAM-INF") {
        return Vec::new();
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    vec![targets(&base, lines)]
}

fn targets<'a>(base: &warm::Base, named: impl Iterator<Item = &'a str>) -> Vec<Arc<str>> {
    let resolved = named.take(warm::NAMED_MAX).filter_map(|reference| base.resolve(reference));
    // What only a viewer's own link opens is not fetched for all.
    let targets = resolved.filter(|target| target.len() <= warm::TARGET_MAX_BYTES && !url::has_token(target));
    targets.filter_map(|target| url::canonical(&target, Token::Unverified)).map(Arc::from).collect()
}

// === impl Front ===

impl Front {
    /// Learns the order from what lies on disk under this name. Blocks.
    pub(crate) fn learn_kept(&self) {
        let Some(disk) = self.shelf.disk() else { return };
        let mut left_bytes = AT_START_MAX_BYTES;
        for record in disk.records().filter(|record| is_kept_playlist(record)) {
            let length = record.meta.length;
            // Behind the target stands what a variant depends on.
            let resource = record.meta.key.strip_prefix(self.key_prefix());
            let Some(target) = resource.and_then(|resource| resource.split('\0').next()) else { continue };
            if length > left_bytes {
                return;
            }
            left_bytes -= length;
            match record.open().and_then(|file| whole(&file, length)) {
                Ok(playlist) => self.order.note(&in_order(target, &playlist)),
                Err(error) => tracing::debug!(target, %error, "a kept playlist was not read for what comes next"),
            }
        }
    }

    /// Fetches what comes after `target`.
    pub(crate) fn prefetch_after(self: &Arc<Self>, target: &str) {
        let mut at: Arc<str> = target.into();
        for _ in 0..self.settings.prefetch {
            let Some(next) = self.order.after(&at) else { return };
            at = next;
            let resource: Arc<str> = format!("{}{at}", self.key_prefix()).into();
            // What varies is left to those who say which variant they want.
            let varies = self.shelf.vary(&resource).is_some_and(|vary| !vary.is_empty());
            // Viewers come first: they find half of the fills free.
            if varies || self.shelf.is_kept(&resource) || self.shelf.filling() >= self.settings.fills / 2 {
                continue;
            }
            if let Found::Begun(fill) = self.shelf.fill(&resource, self.settings.fills, |_| true) {
                let target = at.to_string();
                self.begin(&fill, fetch::Wanted { target, resource, headers: HeaderMap::new(), stale: None });
            }
        }
    }
}

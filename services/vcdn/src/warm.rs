//! Fetching before anybody asks: a URL, and what a playlist of HLS or a manifest of DASH under it names.
//!
//! A playlist is a stranger's: of each only so many references are looked at, whatever they come to, and it is read beside what serves.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use axum::http::header;
use bytes::Bytes;
use flame_api::vcdn::Warmed;
use futures_util::future::join_all;
use tokio::sync::watch;

use crate::answer::{Answer, Content, Lead};
use crate::edge::{Span, span};
use crate::fill::Phase;
use crate::front::Front;
use crate::{medium, mpd};

/// Fetches at once.
const AT_ONCE: usize = 4;
/// The tag of a playlist that names pathways to several sites; what it names itself is each player's own.
const STEERING: &str = "#EXT-X-CONTENT-STEERING";
/// Playlists are read up to this size.
pub(crate) const PLAYLIST_MAX_BYTES: u64 = 4 << 20;
/// References of one playlist that are looked at.
pub(crate) const NAMED_MAX: usize = 20_000;
/// Longest target that is fetched before anybody asks for it.
pub(crate) const TARGET_MAX_BYTES: usize = 2048;
/// Targets beyond the most that are to be fetched which are counted.
const LEFT_MAX: usize = 100_000;
/// A piece that is read at a time.
const PIECE_BYTES: u64 = 256 << 10;

/// Fetches `url` and all that playlists from there on name, up to `max` objects.
pub(crate) async fn warm(front: &Arc<Front>, url: &str, max: u32) -> Warmed {
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let mut warmed = Warmed { objects: 0, bytes: 0, failed: Vec::new(), left: 0 };
    // Told apart by what they hash to: they may be many, and long.
    let (hasher, mut left) = (RandomState::new(), HashSet::new());
    let mut seen = HashSet::from([url.to_owned()]);
    let mut wanted = VecDeque::from([url.to_owned()]);
    while !wanted.is_empty() {
        let batch: Vec<String> = wanted.drain(..wanted.len().min(AT_ONCE)).collect();
        let fetched = join_all(batch.iter().map(|url| fetch(front, url))).await;
        for (url, fetched) in batch.iter().zip(fetched) {
            match fetched {
                Ok((bytes, playlist)) => {
                    warmed.objects += 1;
                    warmed.bytes += bytes;
                    let targets = match playlist {
                        Some(text) => {
                            let url = url.clone();
                            tokio::task::spawn_blocking(move || targets(&url, &text)).await.unwrap_or_default()
                        }
                        None => Vec::new(),
                    };
                    for target in targets {
                        if seen.contains(&target) {
                            continue;
                        }
                        if seen.len() < max {
                            seen.insert(target.clone());
                            wanted.push_back(target);
                        } else if left.len() < LEFT_MAX {
                            left.insert(hasher.hash_one(&target));
                        }
                    }
                }
                Err(reason) => warmed.failed.push(format!("{url}: {reason}")),
            }
        }
    }
    warmed.left = left.len() as u64;
    warmed
}

/// Fetches one object to its end: its size, and its text if it is a playlist.
async fn fetch(front: &Arc<Front>, url: &str) -> Result<(u64, Option<String>), String> {
    let Answer { lead, content, .. } = front.warm(url).await;
    let (status, headers) = match &lead {
        Lead::Kept(head) => (head.status, &head.headers),
        Lead::Fields(status, headers) => (*status, headers),
    };
    if !status.is_success() {
        return Err(status.to_string());
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_playlist = is_playlist(kind);
    let (bytes, text) = match content {
        Content::Memory(bytes) => (bytes.len() as u64, bytes.to_vec()),
        Content::File { length, .. } => (length, Vec::new()),
        Content::Follow { mut fill, offset, end } => {
            drain(&mut fill, offset, end, is_playlist).await.ok_or("the body broke off")?
        }
        Content::Pass { .. } | Content::Slices(_) | Content::None => return Err("it is not for a cache".to_owned()),
    };
    Ok((bytes, is_playlist.then(|| String::from_utf8_lossy(&text).into_owned())))
}

/// Follows a fill to its end; its size, and its bytes if they are wanted.
async fn drain(
    fill: &mut watch::Receiver<Phase>,
    offset: u64,
    end: Option<u64>,
    is_wanted: bool,
) -> Option<(u64, Vec<u8>)> {
    let (mut at, mut text) = (offset, Vec::new());
    loop {
        let (bytes, length) = match span(fill, at, end).await {
            Span::End => return Some((at - offset, text)),
            Span::Broken => return None,
            Span::Memory(bytes) => {
                let length = bytes.len() as u64;
                (bytes, length)
            }
            Span::File { file, offset, length } if is_wanted => {
                let length = length.min(PIECE_BYTES);
                (medium::read(&file, offset, usize::try_from(length).ok()?).ok()?, length)
            }
            Span::File { length, .. } => (Bytes::new(), length),
        };
        at += length;
        if is_wanted && at <= PLAYLIST_MAX_BYTES {
            text.extend_from_slice(&bytes);
        }
    }
}

/// Whether what has this type names other objects: a playlist of HLS (RFC 8216 section 4), or a manifest of DASH (ISO/IEC 23009-1 annex C).
pub(crate) fn is_playlist(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    kind.contains("mpegurl") || kind.contains("dash+xml")
}

/// What a playlist or a manifest names, in its order, up to a bound.
pub(crate) fn all_named(text: &str) -> Vec<String> {
    if mpd::is_one(text) {
        return mpd::named(text).into_iter().flatten().take(NAMED_MAX).collect();
    }
    named(text).take(NAMED_MAX).map(str::to_owned).collect()
}

/// What of that can be fetched here, where it lies at `url`. It computes for a while: not for a thread that serves.
fn targets(url: &str, text: &str) -> Vec<String> {
    let Some(base) = Base::of(url) else { return Vec::new() };
    let is_steered = text.contains(STEERING);
    let target = |reference: String| {
        let on_pathway = || is_steered.then(|| resolve_on_pathway(url, &reference)).flatten();
        base.resolve(&reference).or_else(on_pathway).filter(|target| target.len() <= TARGET_MAX_BYTES)
    };
    all_named(text).into_iter().filter_map(target).collect()
}

/// What an HLS playlist names, in its order: URI lines, and URI attributes of tags (RFC 8216 section 4).
fn named(playlist: &str) -> impl Iterator<Item = &str> {
    let is_told = |line: &&str| !line.is_empty() && !line.starts_with(STEERING);
    playlist.lines().map(str::trim).filter(is_told).filter_map(|line| {
        if line.starts_with('#') { Some(line.split_once("URI=\"")?.1.split_once('"')?.0) } else { Some(line) }
    })
}

/// Where a playlist lies, and what it names means something.
pub(crate) struct Base {
    /// Any host will do: only what stays on it is of interest.
    root: url::Url,
    playlist: url::Url,
}

// === impl Base ===

impl Base {
    pub(crate) fn of(target: &str) -> Option<Self> {
        let root = url::Url::parse("http://name.invalid").expect("it is a URL");
        let playlist = root.join(target).ok()?;
        Some(Self { root, playlist })
    }

    /// The target that `reference` means; `None` where it leaves the name.
    pub(crate) fn resolve(&self, reference: &str) -> Option<String> {
        let resolved = self.playlist.join(reference).ok()?;
        if resolved.origin() != self.root.origin() {
            return None;
        }
        Some(match resolved.query() {
            Some(query) => format!("{}?{query}", resolved.path()),
            None => resolved.path().to_owned(),
        })
    }
}

/// The target that `reference` means in the playlist at `base`; `None` where it leaves the name.
pub(crate) fn resolve(base: &str, reference: &str) -> Option<String> {
    Base::of(base)?.resolve(reference)
}

/// The same of a playlist whose pathways lead to other sites: what lies there below the asset is what lies here below it. Nothing is
/// asked there.
fn resolve_on_pathway(base: &str, reference: &str) -> Option<String> {
    let elsewhere = url::Url::parse(reference).ok()?;
    let below = format!("/{}/", base.trim_start_matches('/').split_once('/')?.0);
    let from = elsewhere.path().find(&below)?;
    Some(match elsewhere.query() {
        Some(query) => format!("{}?{query}", &elsewhere.path()[from..]),
        None => elsewhere.path()[from..].to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefetch;

    #[test]
    fn what_lies_on_a_pathway_is_found_behind_the_own_name() {
        let playlist = "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering\",PATHWAY-ID=\"east\"\n\
                        #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"east\"\nhttp://east:8080/~cdn/film/v/index.m3u8?from=1s\n";
        let all: Vec<_> = named(playlist).collect();
        let [uri] = all[..] else { panic!("{all:?}") };
        assert_eq!(resolve("/film/index.m3u8", uri), None);
        assert_eq!(resolve_on_pathway("/film/index.m3u8", uri).as_deref(), Some("/film/v/index.m3u8?from=1s"));
        for other in ["http://east:8080/~cdn/other/v/index.m3u8", "v/index.m3u8", "http://east:8080/"] {
            assert_eq!(resolve_on_pathway("/film/index.m3u8", other), None, "{other}");
        }
    }

    #[test]
    fn what_a_playlist_names_is_found_and_stays_behind_the_name() {
        let playlist =
            "#EXTM3U\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4,\n0.m4s\n\n#EXTINF:4,\n../b/1.m4s?x=1\n//evil/2\n";
        let found: Vec<_> = named(playlist).map(|uri| resolve("/a/v/index.m3u8", uri)).collect();
        assert_eq!(resolve("/a/v/index.m3u8", "other://name.invalid"), None, "it is no path");
        let wanted = [Some("/a/v/init.mp4"), Some("/a/v/0.m4s"), Some("/a/b/1.m4s?x=1"), None];
        assert_eq!(found, wanted.map(|target| target.map(str::to_owned)));
    }

    #[test]
    fn of_a_playlist_that_names_too_much_so_many_references_are_looked_at_and_none_that_is_too_long() {
        let endless = "a\n".repeat(usize::try_from(PLAYLIST_MAX_BYTES).unwrap() / 2);
        assert_eq!((all_named(&endless).len(), targets("/f/index.m3u8", &endless).len()), (NAMED_MAX, NAMED_MAX));
        assert_eq!(prefetch::in_order("/f/index.m3u8", endless.as_bytes())[0].len(), NAMED_MAX);
        // Those count that lead nowhere, too.
        let elsewhere = format!("{}0.m4s\n", "//evil/\n".repeat(NAMED_MAX));
        assert!(targets("/f/index.m3u8", &elsewhere).is_empty());
        let long = "b".repeat(TARGET_MAX_BYTES);
        assert_eq!(targets("/f/index.m3u8", &format!("{long}\n0.m4s\n")), ["/f/0.m4s"]);
        let order = prefetch::in_order("/f/index.m3u8", format!("{long}\n0.m4s\n").as_bytes());
        assert_eq!(order[0].iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["/f/0.m4s"]);
    }
}

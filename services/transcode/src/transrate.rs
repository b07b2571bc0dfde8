//! The transrater of a site: renditions that are made when somebody asks for them, of one that is there, a segment at a time.
//!
//! It stands in front of the name that media comes from at its site, and asks there as a stranger: what streaming shows to anybody,
//! and nothing else. What is offered follows from the multivariant playlist, which is asked for again every few seconds; so what
//! is deleted or protected there is gone here. A derived segment has the times of its source, an entity tag of its own, and is
//! `private`: no shared cache keeps it, and another site makes its own. Memory, processes, times and sizes are bounded.

pub mod listing;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;
use bytes::Bytes;
use flame_api::Client;
use flame_media_child::protocol::{Outcome, Request};
use flame_media_child::{Call, ChildError, Pool};
use futures_util::StreamExt;
use moka::future::Cache;
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::config::TransrateConfig;
use listing::{Offer, Taste};

/// What makes other bytes of the same segment: it is part of their tag.
const MAKER: &str = "flame transrate 1";
/// How long a multivariant playlist, and who may see it, is taken for what it was.
const LISTED_FOR: Duration = Duration::from_secs(3);
/// Assets whose playlists are known at once.
const LISTED_MAX: u64 = 10_000;
/// Longest playlist.
const PLAYLIST_MAX_BYTES: u64 = 4 << 20;
/// Init segments that are known at once.
const INITS_MAX: u64 = 10_000;
/// How long what cannot be made is not tried again.
const FAILED_FOR: Duration = Duration::from_secs(10);
/// Failures that are known at once.
const FAILED_MAX: u64 = 10_000;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum TransrateError {
    /// Nothing of that name is offered.
    #[error("{0} is not offered here")]
    NotOffered(String),
    /// Upstream says no.
    #[error("{name} answers {status} for {path}")]
    Refused {
        /// Who.
        name: String,
        /// What was asked for.
        path: String,
        /// What it said.
        status: u16,
    },
    /// Upstream does not answer.
    #[error("{name} cannot be reached")]
    Away {
        /// Who.
        name: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Upstream does not answer in time.
    #[error("{name} does not answer within {patience:?}")]
    Silent {
        /// Who.
        name: String,
        /// How long was waited.
        patience: Duration,
    },
    /// Others have all the places, and more wait than may.
    #[error("{making} segments are being made and others wait")]
    Busy {
        /// How many are made at once.
        making: usize,
    },
    /// More than is taken.
    #[error("{path} has more than {limit_bytes} bytes")]
    TooLarge {
        /// What was asked for.
        path: String,
        /// The bound.
        limit_bytes: u64,
    },
    /// What upstream gave is nothing that can be used.
    #[error("{path} cannot be used: {reason}")]
    Unusable {
        /// What was asked for.
        path: String,
        /// Why.
        reason: String,
    },
    /// The media process fails.
    #[error("the media process fails")]
    Child(#[from] ChildError),
    /// The scratch folder fails.
    #[error("the scratch folder cannot be used")]
    Scratch(#[from] std::io::Error),
}

/// What was made, or passed on whole.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its bytes.
    pub bytes: Bytes,
    /// What names them.
    pub identity: [u8; 32],
}

/// A derived rendition, by its URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Identifier of the asset.
    pub asset: String,
    /// Version.
    pub version: String,
    /// Track: `v720.360`.
    pub track: String,
}

/// A multivariant playlist, and what is offered beside it.
#[derive(Debug)]
struct Listed {
    text: String,
    offers: Vec<Offer>,
}

/// A segment and the init segment that it needs.
#[derive(Debug, Clone)]
struct Segment {
    init: Bytes,
    made: Made,
}

/// Makes renditions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Transrater {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Without a credential: as anybody.
    client: Client,
    config: TransrateConfig,
    pool: Pool,
    scratch: PathBuf,
    next: AtomicU64,
    listed: Cache<String, Arc<Listed>>,
    inits: Cache<Wanted, Made>,
    segments: Cache<(Wanted, u64), Segment>,
    failed: Cache<(Wanted, u64), Arc<TransrateError>>,
    /// Those that are made and those that wait; a segment is fetched and laid away only by who has a turn.
    places: Semaphore,
    turns: Semaphore,
}

// === impl Transrater ===

impl Transrater {
    /// Asks with `client`, which has no credential, and works in `scratch`, which it empties.
    ///
    /// # Errors
    /// The folder cannot be emptied or made.
    pub fn open(client: Client, config: TransrateConfig, pool: Pool, scratch: PathBuf) -> std::io::Result<Self> {
        match std::fs::remove_dir_all(&scratch) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        std::fs::create_dir_all(&scratch)?;
        let weigh = |_: &(Wanted, u64), segment: &Segment| {
            u32::try_from(segment.made.bytes.len() + segment.init.len()).unwrap_or(u32::MAX)
        };
        let segments = Cache::builder().max_capacity(config.memory.0).weigher(weigh).build();
        let listed = Cache::builder().max_capacity(LISTED_MAX).time_to_live(LISTED_FOR).build();
        let inits = Cache::builder().max_capacity(INITS_MAX).build();
        let failed = Cache::builder().max_capacity(FAILED_MAX).time_to_live(FAILED_FOR).build();
        let at_once = config.at_once.max(1);
        let (turns, places) = (Semaphore::new(at_once), Semaphore::new(at_once.saturating_add(config.waiting_max)));
        let next = AtomicU64::new(0);
        let shared = Shared { client, config, pool, scratch, next, listed, inits, segments, failed, places, turns };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The multivariant playlist of `asset`, with what can be made.
    ///
    /// # Errors
    /// [`TransrateError`].
    pub async fn multivariant(&self, asset: &str) -> Result<String, Arc<TransrateError>> {
        let listed = self.listed(asset).await?;
        Ok(listing::with(&listed.text, &listed.offers))
    }

    /// The media playlist of a derived rendition: that of its source, whose segments are named alike.
    ///
    /// # Errors
    /// [`TransrateError`].
    pub async fn playlist(&self, wanted: &Wanted) -> Result<String, Arc<TransrateError>> {
        let offer = self.offer(wanted).await?;
        let path = format!("{}/{}/{}/index.m3u8", wanted.asset, offer.version, offer.source);
        Ok(self.shared.text(&path).await?)
    }

    /// The init segment of a derived rendition, one for all of its segments.
    ///
    /// # Errors
    /// [`TransrateError`].
    pub async fn init(&self, wanted: &Wanted) -> Result<Made, Arc<TransrateError>> {
        let offer = self.offer(wanted).await?;
        self.init_of(wanted, &offer).await
    }

    /// A segment of a derived rendition, by its number.
    ///
    /// # Errors
    /// [`TransrateError`].
    pub async fn segment(&self, wanted: &Wanted, number: u64) -> Result<Made, Arc<TransrateError>> {
        let offer = self.offer(wanted).await?;
        let init = self.init_of(wanted, &offer).await?;
        let segment = self.made(wanted, &offer, number).await?;
        if segment.init != init.bytes {
            let reason = "its pictures need another init segment than the first one's".to_owned();
            return Err(Arc::new(TransrateError::Unusable { path: wanted.source_path(&offer, number), reason }));
        }
        Ok(segment.made)
    }

    /// What upstream answers for a path that is none of a derived rendition, to be passed on as it comes.
    ///
    /// # Errors
    /// [`TransrateError::Away`].
    pub async fn pass(
        &self,
        path: &str,
        query: Option<&str>,
        headers: HeaderMap,
    ) -> Result<Response, Arc<TransrateError>> {
        // The body may take as long as its reader.
        let name = &self.shared.config.upstream;
        let mut request = self.shared.client.request(Method::GET, name, path).headers(headers);
        if let Some(query) = query {
            let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            request = request.query(&pairs);
        }
        let away = |source| Arc::new(TransrateError::Away { name: name.clone(), source });
        let patience = self.shared.config.deadline.0;
        match tokio::time::timeout(patience, request.send()).await {
            Ok(answer) => answer.map_err(away),
            Err(_) => Err(Arc::new(TransrateError::Silent { name: name.clone(), patience })),
        }
    }

    async fn listed(&self, asset: &str) -> Result<Arc<Listed>, Arc<TransrateError>> {
        let shared = Arc::clone(&self.shared);
        let path = format!("{asset}/index.m3u8");
        self.shared.listed.try_get_with(asset.to_owned(), async move { shared.list(&path).await }).await
    }

    /// Only what is announced is made.
    async fn offer(&self, wanted: &Wanted) -> Result<Offer, Arc<TransrateError>> {
        let listed = self.listed(&wanted.asset).await?;
        let found = listed.offers.iter().find(|offer| offer.version == wanted.version && offer.track() == wanted.track);
        found.cloned().ok_or_else(|| Arc::new(TransrateError::NotOffered(format!("the track {}", wanted.track))))
    }

    async fn init_of(&self, wanted: &Wanted, offer: &Offer) -> Result<Made, Arc<TransrateError>> {
        let made = async {
            let first = self.shared.first(wanted, offer).await?;
            let Segment { init, .. } = self.made(wanted, offer, first).await?;
            let identity = Sha256::digest(&init).into();
            Ok::<_, Arc<TransrateError>>(Made { bytes: init, identity })
        };
        // Its error is shared already.
        self.shared.inits.try_get_with(wanted.clone(), made).await.map_err(|error| (*error).clone())
    }

    async fn made(&self, wanted: &Wanted, offer: &Offer, number: u64) -> Result<Segment, Arc<TransrateError>> {
        let (shared, wanted, offer) = (Arc::clone(&self.shared), wanted.clone(), offer.clone());
        let key = (wanted.clone(), number);
        if let Some(error) = self.shared.failed.get(&key).await {
            return Err(error);
        }
        let making = async move { shared.make_in_turn(&wanted, &offer, number).await };
        let made = self.shared.segments.try_get_with(key.clone(), making).await;
        if let Err(error) = &made
            && error.is_of_the_segment()
        {
            self.shared.failed.insert(key, Arc::clone(error)).await;
        }
        made
    }
}

// === impl TransrateError ===

impl TransrateError {
    /// Whether the next try would fail alike: what a stranger's segment does to a process, it does each time.
    pub(crate) fn is_of_the_segment(&self) -> bool {
        match self {
            Self::TooLarge { .. } | Self::Unusable { .. } => true,
            Self::Child(error) => match error {
                ChildError::Crashed { .. }
                | ChildError::TimedOut { .. }
                | ChildError::TooMuchMemory { .. }
                | ChildError::Input { .. } => true,
                ChildError::Environment { .. }
                | ChildError::Cancelled
                | ChildError::NotFound { .. }
                | ChildError::Start { .. }
                | ChildError::Protocol { .. } => false,
            },
            Self::NotOffered(_) | Self::Refused { .. } | Self::Away { .. } | Self::Silent { .. } => false,
            Self::Busy { .. } | Self::Scratch(_) => false,
        }
    }
}

// === impl Wanted ===

impl Wanted {
    fn source_path(&self, offer: &Offer, number: u64) -> String {
        format!("{}/{}/{}/{number}.m4s", self.asset, offer.version, offer.source)
    }
}

// === impl Shared ===

impl Shared {
    async fn ask(&self, path: &str) -> Result<Response, TransrateError> {
        let name = &self.config.upstream;
        let request = self.client.request(Method::GET, name, path).timeout(self.config.deadline.0);
        request.send().await.map_err(|source| TransrateError::Away { name: name.clone(), source })
    }

    async fn bytes(&self, path: &str, limit_bytes: u64) -> Result<Bytes, TransrateError> {
        let name = self.config.upstream.clone();
        let answer = self.ask(path).await?;
        if answer.status() != StatusCode::OK {
            return Err(TransrateError::Refused { name, path: path.to_owned(), status: answer.status().as_u16() });
        }
        let too_large = || TransrateError::TooLarge { path: path.to_owned(), limit_bytes };
        let mut bytes = Vec::new();
        let mut pieces = answer.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|source| TransrateError::Away { name: name.clone(), source })?;
            if (bytes.len() + piece.len()) as u64 > limit_bytes {
                return Err(too_large());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.into())
    }

    async fn text(&self, path: &str) -> Result<String, TransrateError> {
        let bytes = self.bytes(path, PLAYLIST_MAX_BYTES).await?;
        let unusable = |reason: String| TransrateError::Unusable { path: path.to_owned(), reason };
        String::from_utf8(bytes.into()).map_err(|error| unusable(error.to_string()))
    }

    async fn list(&self, path: &str) -> Result<Arc<Listed>, TransrateError> {
        let text = self.text(path).await?;
        let TransrateConfig { rungs, crf, preset, .. } = &self.config;
        let mut offers = listing::offers(&text, Taste { rungs, crf: *crf, preset: preset.as_str() });
        // What is live, encrypted or has holes is left as it is; all offers of a version have the same few sources.
        let mut looked: Vec<(String, bool)> = Vec::new();
        for offer in &offers {
            if !looked.iter().any(|(source, _)| *source == offer.source) {
                let asset = path.strip_suffix("/index.m3u8").unwrap_or_default();
                let path = format!("{asset}/{}/{}/index.m3u8", offer.version, offer.source);
                looked.push((offer.source.clone(), segments(&self.text(&path).await?).is_some()));
            }
        }
        offers.retain(|offer| looked.iter().any(|(source, is_whole)| *source == offer.source && *is_whole));
        Ok(Arc::new(Listed { text, offers }))
    }

    /// The number of the first segment.
    async fn first(&self, wanted: &Wanted, offer: &Offer) -> Result<u64, TransrateError> {
        let path = format!("{}/{}/{}/index.m3u8", wanted.asset, offer.version, offer.source);
        let first = segments(&self.text(&path).await?).and_then(|numbers| numbers.first().copied());
        first.ok_or_else(|| TransrateError::Unusable { path, reason: "it names no segment".to_owned() })
    }

    /// [`Self::make`], once one of the few turns is free.
    async fn make_in_turn(&self, wanted: &Wanted, offer: &Offer, number: u64) -> Result<Segment, TransrateError> {
        let busy = || TransrateError::Busy { making: self.config.at_once.max(1) };
        let _place = self.places.try_acquire().map_err(|_| busy())?;
        let turn = tokio::time::timeout(self.config.deadline.0, self.turns.acquire()).await.map_err(|_| busy())?;
        let _turn = turn.expect("the semaphore is never closed");
        self.make(wanted, offer, number).await
    }

    async fn make(&self, wanted: &Wanted, offer: &Offer, number: u64) -> Result<Segment, TransrateError> {
        let limit_bytes = self.config.segment_max.0;
        let path = wanted.source_path(offer, number);
        let init_path = format!("{}/{}/{}/init.mp4", wanted.asset, offer.version, offer.source);
        let (init, segment) = tokio::try_join!(self.bytes(&init_path, limit_bytes), self.bytes(&path, limit_bytes))?;
        let folder = self.scratch.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let folder = Folder::make(folder).await?;
        let input = folder.0.join("source.mp4");
        tokio::fs::write(&input, [&init[..], &segment[..]].concat()).await?;
        let request = Request::Transrate {
            input,
            init_size_bytes: init.len() as u64,
            output_dir: folder.0.clone(),
            plan: offer.plan.clone(),
        };
        let call = Call { deadline: Some(self.config.deadline.0), ..Call::default() };
        match self.pool.run(&request, call).await {
            Ok(Outcome::Transrate { .. }) => {}
            Ok(_) => return Err(std::io::Error::other("the media process answered another question").into()),
            Err(ChildError::Input { reason }) => {
                return Err(TransrateError::Unusable { path, reason });
            }
            Err(error) => return Err(error.into()),
        }
        let mut digest = Sha256::new();
        digest.update(MAKER);
        digest.update(Sha256::digest(&init));
        digest.update(Sha256::digest(&segment));
        digest.update(format!("{:?}", offer.plan));
        let init = tokio::fs::read(folder.0.join("init.mp4")).await?.into();
        let bytes = tokio::fs::read(folder.0.join("segment.m4s")).await?.into();
        Ok(Segment { init, made: Made { bytes, identity: digest.finalize().into() } })
    }
}

/// The numbers of the segments of a media playlist that can be derived: whole, in the clear, without holes, one init segment.
fn segments(text: &str) -> Option<Vec<u64>> {
    let Ok(flame_playlist::ReadPlaylist::Media(media)) = flame_playlist::read_playlist(text) else { return None };
    let number = |segment: &flame_playlist::ReadSegment| {
        let init = segment.init.as_ref()?;
        let is_plain = init.uri == "init.mp4" && init.range.is_none() && segment.part.range.is_none();
        let is_odd = segment.is_encrypted || segment.is_gap || segment.is_discontinuity;
        segment.part.uri.strip_suffix(".m4s")?.parse().ok().filter(|_| is_plain && !is_odd)
    };
    let numbers: Option<Vec<u64>> = media.segments.iter().map(number).collect();
    numbers.filter(|numbers| media.has_ended && !numbers.is_empty())
}

/// A folder that is gone when it is dropped.
struct Folder(PathBuf);

// === impl Folder ===

impl Folder {
    async fn make(path: PathBuf) -> std::io::Result<Self> {
        tokio::fs::create_dir(&path).await?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A few small files; the start of the service empties what stays.
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "a scratch folder stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_whole_and_clear_is_a_source() {
        let whole = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:4.0,\n0.m4s\n#EXTINF:2.0,\n1.m4s\n#EXT-X-ENDLIST\n";
        assert_eq!(segments(whole), Some(vec![0, 1]));
        for (was, becomes) in [
            ("#EXT-X-ENDLIST\n", ""),
            ("#EXT-X-MAP:URI=\"init.mp4\"\n", ""),
            ("init.mp4", "init-1.mp4"),
            ("#EXTINF:2.0,", "#EXT-X-DISCONTINUITY\n#EXTINF:2.0,"),
            ("#EXTINF:2.0,", "#EXT-X-GAP\n#EXTINF:2.0,"),
            ("#EXTINF:2.0,", "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:2.0,"),
            ("1.m4s", "../1.m4s"),
            ("1.m4s", "1.ts"),
        ] {
            assert_eq!(segments(&whole.replacen(was, becomes, 1)), None, "{becomes}");
        }
        assert_eq!(segments("nonsense"), None);
    }
}

//! All viewers of one run, each a task of its own, and the watch over the generator itself. Whoever drops it ends them.

use std::sync::Arc;
use std::time::Duration;

use flame_playlist::{ReadPlaylist, read_playlist};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::ledger::Ledger;
use crate::profile::{Profile, TooMany};
use crate::strain::Strain;
use crate::viewer::{self, Shared};
use crate::zipf::Zipf;

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Load {
    /// Playlists of what can be watched, the most popular one first.
    pub playlists: Vec<Url>,
    /// Who comes when.
    pub profile: Profile,
    /// Exponent of Zipf's law: how much more the first is watched than the others; 0 is all alike.
    pub skew: f64,
    /// What a buffer is filled up to, milliseconds.
    pub buffer_ms: u64,
    /// Media that it takes to begin playing, milliseconds.
    pub start_ms: u64,
    /// Renditions above it are left out, bits a second: as small screens do.
    pub cap_bps: Option<u64>,
    /// Time for one request, its body included.
    pub deadline: Duration,
    /// Whether viewers tell of themselves (CMCD).
    pub tells: bool,
    /// Where the dice begin: the same makes the same choices.
    pub seed: u64,
}

/// Viewers at work.
#[derive(Debug)]
pub struct Crowd {
    shared: Arc<Shared>,
    viewers: JoinSet<()>,
    strain: JoinSet<Strain>,
    stop: CancellationToken,
}

/// Why nobody watches.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is nothing to watch.
    #[error("there is nothing to watch: upload something (`flame ingest FILE`), or name a playlist")]
    Nothing,
    /// The profile is too long.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// The first playlist is not to be had.
    #[error("{url} is not to be had")]
    Unreachable {
        /// The playlist.
        url: Url,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It is none.
    #[error("{url} is no playlist that can be watched: {reason}")]
    Unreadable {
        /// The playlist.
        url: Url,
        /// What is wrong.
        reason: String,
    },
}

// === impl Crowd ===

impl Crowd {
    /// Looks whether the first playlist is there, and lets viewers come.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn begin(load: Load, http: reqwest::Client) -> Result<Self, LoadError> {
        let first = load.playlists.first().ok_or(LoadError::Nothing)?;
        check(first, &http, load.deadline).await?;
        let mut draws = StdRng::seed_from_u64(load.seed);
        let stays = load.profile.stays(|| draws.random::<f64>())?;
        let zipf = Zipf::new(load.playlists.len(), load.skew);
        let shared = Arc::new(Shared { http, load, zipf, ledger: Ledger::default(), began: Instant::now() });
        let (mut viewers, mut strain, stop) = (JoinSet::new(), JoinSet::new(), CancellationToken::new());
        strain.spawn(Strain::watch(stop.clone()));
        for (number, stay) in stays.into_iter().enumerate() {
            viewers.spawn(viewer::watch(Arc::clone(&shared), number, stay));
        }
        Ok(Self { shared, viewers, strain, stop })
    }

    /// What they have met with so far.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// Milliseconds since they began.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.shared.now_ms()
    }

    /// Whether all have left.
    pub fn is_over(&mut self) -> bool {
        while let Some(ended) = self.viewers.try_join_next() {
            passed_on(ended);
        }
        self.viewers.is_empty()
    }

    /// Waits until all have left. How the generator did.
    pub async fn end(&mut self) -> Strain {
        while let Some(ended) = self.viewers.join_next().await {
            passed_on(ended);
        }
        self.stop.cancel();
        self.strain.join_next().await.and_then(Result::ok).unwrap_or_default()
    }

    /// Sends everybody home at once. How the generator did.
    pub async fn dismiss(&mut self) -> Strain {
        self.viewers.shutdown().await;
        self.end().await
    }
}

/// A viewer that fell over is a mistake of ours.
fn passed_on(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// The bit rates that a playlist says of its variants (`BANDWIDTH`), rising: what [`Load::cap_bps`] is compared with.
///
/// # Errors
/// [`LoadError`] where it is not to be had, or no playlist of variants.
pub async fn variants(url: &Url, http: &reqwest::Client, deadline: Duration) -> Result<Vec<u64>, LoadError> {
    match read(url, http, deadline).await? {
        ReadPlaylist::Multivariant(multivariant) => {
            let mut rates: Vec<u64> = multivariant.variants.iter().map(|one| one.bandwidth_bps).collect();
            rates.sort_unstable();
            rates.dedup();
            Ok(rates)
        }
        ReadPlaylist::Media(_) => {
            Err(LoadError::Unreadable { url: url.clone(), reason: "it has no variants".to_owned() })
        }
    }
}

/// Reads a playlist.
async fn read(url: &Url, http: &reqwest::Client, deadline: Duration) -> Result<ReadPlaylist, LoadError> {
    let unreachable = |source| LoadError::Unreachable { url: url.clone(), source };
    let answer = http.get(url.clone()).timeout(deadline).send().await;
    let answer = answer.and_then(reqwest::Response::error_for_status).map_err(unreachable)?;
    let text = answer.bytes().await.map_err(unreachable)?;
    let wrong = |reason: String| LoadError::Unreadable { url: url.clone(), reason };
    read_playlist(&String::from_utf8_lossy(&text)).map_err(|error| wrong(error.to_string()))
}

/// Whether a playlist can be watched.
async fn check(url: &Url, http: &reqwest::Client, deadline: Duration) -> Result<(), LoadError> {
    let read = async |url: &Url| read(url, http, deadline).await;
    let wrong = |reason: &str| LoadError::Unreadable { url: url.clone(), reason: reason.to_owned() };
    let media = match read(url).await? {
        ReadPlaylist::Media(media) => media,
        ReadPlaylist::Multivariant(multivariant) => {
            let variant = multivariant.variants.first().ok_or_else(|| wrong("it has no variants"))?;
            let at = url.join(&variant.uri).map_err(|error| wrong(&error.to_string()))?;
            match read(&at).await? {
                ReadPlaylist::Media(media) => media,
                ReadPlaylist::Multivariant(_) => return Err(wrong("its variant names others again")),
            }
        }
    };
    if media.segments.is_empty() && media.parts.is_empty() {
        return Err(wrong("it has no segments"));
    }
    Ok(())
}

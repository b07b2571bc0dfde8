//! Sources: channels whose media nobody brings, because this service fetches it: from an HLS playlist, or from an asset of this system
//! that plays over and over again.
//!
//! Which channels have one is streaming's to know, so it is asked again and again; nothing about it is kept here, and a restart
//! changes nothing. Each such channel has a task that begins a [`session`] whenever nobody else publishes: an encoder with the channel's key takes
//! it over, and when it leaves the source goes on. So two instances of this service never pull for one channel for long either.
//!
//! In reading order: where it is fetched ([`origin`]), which segment is next ([`cursor`]), what is in it ([`parser`]), how an asset
//! begins again ([`round`]), the loop around them ([`reader`]); when it is sent on ([`pace`]) and as what ([`blend`]). Nothing is decoded.

pub mod blend;
pub mod cursor;
pub mod origin;
pub mod pace;
pub mod parser;
pub mod reader;
pub mod round;
pub mod session;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use flame_api::Client;
use flame_api::live::{Channel, ChannelState, Source, SourceState};
use flame_service_host::problem::chain;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::config::SourcesConfig;
use crate::live::figures::Figures;
use crate::live::publisher::{Reach, Way};
use crate::live::queue::Bound;
use crate::pull::fetch::Fetcher;
use crate::retry;
use origin::Origin;
use reader::{Bounds, Reader};
use session::{Ended, Fetched};

/// A session that was this long is no failure in a row.
const GOOD: Duration = Duration::from_secs(30);

/// The sources of all channels. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sources {
    config: SourcesConfig,
    fetcher: Fetcher,
    way: Way,
}

// === impl Sources ===

impl Sources {
    /// Nothing is fetched yet.
    #[must_use]
    pub fn new(config: SourcesConfig, reach: Reach, fetcher: Fetcher, figures: Figures) -> Self {
        let Reach { client, ladder } = reach;
        let way = Way {
            client,
            ladder,
            bound: Bound { bytes: bytes(config.queue.0), segments: config.queue_segments },
            patience: config.patience.0,
            answer_timeout: config.answer_timeout.0,
            figures,
        };
        Self { config, fetcher, way }
    }

    /// Fetches for the channels that have a source until `stop`, and then ends what is published.
    pub async fn run(self, stop: CancellationToken) {
        let mut tasks: JoinSet<Uuid> = JoinSet::new();
        let mut running: HashMap<Uuid, CancellationToken> = HashMap::new();
        while !stop.is_cancelled() {
            match self.client().sources().await {
                Ok(page) => self.follow(page.items, &mut tasks, &mut running, &stop),
                Err(error) => {
                    tracing::debug!(error = chain(&error), "streaming cannot be asked which channels have sources")
                }
            }
            let look = tokio::time::sleep(self.config.look.0);
            tokio::pin!(look);
            loop {
                tokio::select! {
                    Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                        if let Ok(channel) = ended {
                            running.remove(&channel);
                        }
                    }
                    () = &mut look => break,
                    () = stop.cancelled() => break,
                }
            }
        }
        // Each notices the stop by itself, and ends what it publishes.
        while tasks.join_next().await.is_some() {}
    }

    /// Begins for those that are new, and leaves those that are gone.
    fn follow(
        &self,
        channels: Vec<Channel>,
        tasks: &mut JoinSet<Uuid>,
        running: &mut HashMap<Uuid, CancellationToken>,
        stop: &CancellationToken,
    ) {
        let wanted: HashMap<Uuid, (Channel, Source)> = channels
            .into_iter()
            .filter_map(|channel| {
                let from = channel.source.as_ref()?.from.clone();
                Some((channel.id, (channel, from)))
            })
            .collect();
        running.iter().filter(|(id, _)| !wanted.contains_key(*id)).for_each(|(_, token)| token.cancel());
        for (id, (channel, source)) in wanted {
            if running.contains_key(&id) || running.len() >= self.config.max_channels {
                continue;
            }
            let token = stop.child_token();
            running.insert(id, token.clone());
            let sources = self.clone();
            tasks.spawn(async move {
                sources.fetch(channel, source, token).await;
                id
            });
        }
    }

    /// Fetches for one channel until nobody wants it.
    async fn fetch(&self, channel: Channel, source: Source, stop: CancellationToken) {
        let id = channel.id;
        let fetched = Fetched { way: self.way.clone(), channel, held_max_bytes: bytes(self.config.held.0) };
        let reader = match self.reader(&source) {
            Ok(reader) => reader,
            Err(what) => {
                fetched.report(SourceState::Waiting, Some(what)).await;
                return stop.cancelled().await;
            }
        };
        let mut attempts = 0;
        while !stop.is_cancelled() {
            let pause = match self.client().channel(id).await {
                Ok(Some(channel)) if channel.state == ChannelState::Idle => {
                    let begun = Instant::now();
                    let ended = session::run(&reader, fetched.clone(), &stop).await;
                    attempts = if begun.elapsed() > GOOD { 1 } else { attempts + 1 };
                    match ended {
                        Ended::Stopped => return,
                        Ended::Over => {
                            fetched.report(SourceState::Over, None).await;
                            return;
                        }
                        Ended::Source(_) | Ended::Drive(_) => {
                            fetched.report(SourceState::Waiting, Some(chain(&ended).to_string())).await;
                            retry::pause(attempts, self.config.max_backoff.0)
                        }
                    }
                }
                Ok(Some(channel)) if channel.state == ChannelState::Live => {
                    fetched.report(SourceState::Waiting, Some("an encoder publishes".to_owned())).await;
                    self.config.look.0
                }
                Ok(_) => return,
                Err(_) => self.config.look.0,
            };
            tokio::select! { () = tokio::time::sleep(pause) => {}, () = stop.cancelled() => return }
        }
    }

    /// What is to be read, or why it cannot be.
    fn reader(&self, source: &Source) -> Result<Reader, String> {
        let bounds = Bounds {
            playlist_max_bytes: bytes(self.config.max_playlist.0),
            segment_max_bytes: bytes(self.config.max_segment.0),
            stale: self.config.stale.0,
        };
        let figures = self.way.figures.clone();
        match source {
            Source::Pull(url) => {
                let url = Url::parse(url).map_err(|error| format!("{url} is no URL: {error}"))?;
                Ok(Reader { origin: Origin::Web(self.fetcher.clone()), url, is_loop: false, bounds, figures })
            }
            Source::Loop(asset) => {
                let client = self.way.client.clone();
                let url = Origin::asset(&client, *asset);
                let origin = Origin::Own { client, answer_timeout: self.config.answer_timeout.0 };
                Ok(Reader { origin, url, is_loop: true, bounds, figures })
            }
        }
    }

    fn client(&self) -> Client {
        self.way.client.clone().with_deadline(self.config.answer_timeout.0)
    }
}

fn bytes(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

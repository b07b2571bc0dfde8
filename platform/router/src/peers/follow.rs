//! Listening to one peer: its feed is opened, kept, and opened again when it breaks or falls silent.

use std::time::{Duration, Instant};

use flame_api::peers::{Entry, Line, PROTOCOL, PeerState, Place};
use flame_api::{Client, ClientError};
use flame_naming::Label;
use flame_naming::name::NameError;
use flame_naming::peers::{Applied, Key, Message, Replica, Stamp};
use flame_service_host::problem::chain;
use tokio_util::sync::CancellationToken;

use super::{Followed, Peers};
use crate::registry::Registry;

/// Time for a connection and the first line.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// Pause before a feed is opened again.
const RETRY: Duration = Duration::from_millis(200);

/// How long a peer may be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Then its feed is taken for broken, and opened anew.
    pub(crate) stale_after: Duration,
    /// Then its endpoints are forgotten.
    pub(crate) forget_after: Duration,
}

/// Listens to the router of one site.
#[derive(Debug)]
pub(crate) struct Follower {
    site: Label,
    client: Client,
    peers: Peers,
    registry: Registry,
    patience: Patience,
    replica: Replica<Place>,
    /// The start of its router that was last heard of.
    incarnation: Option<u64>,
}

/// Why a conversation with a peer ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("the feed cannot be read")]
    Feed(#[from] ClientError),
    #[error("it ended the feed")]
    Closed,
    #[error("it said nothing for {0:?}")]
    Silent(Duration),
    #[error("it speaks version {0} of the protocol, this router speaks 1 to {PROTOCOL}")]
    Protocol(u32),
    #[error("it says that it is of the site `{0}`: the site file gives its address to another")]
    OtherSite(String),
    #[error("it began with something else than who it is")]
    NoHello,
    #[error("it says what is none: {0}")]
    Name(#[from] NameError),
    #[error("it says what is none: {0}")]
    Endpoint(String),
    #[error("it left something out")]
    Gap,
    #[error("it has more than {limit} endpoints; raise `[limits] endpoints`")]
    TooMany { limit: usize },
}

// === impl Follower ===

impl Follower {
    /// Listens to the router of `site` through `client`, and takes at most `limit` endpoints from it.
    pub(crate) fn new(
        site: Label,
        client: Client,
        (peers, registry): (Peers, Registry),
        patience: Patience,
        limit: usize,
    ) -> Self {
        let followed = Followed {
            router: client.router().to_string(),
            distance_ms: registry.distance(&site).map(|distance| distance.as_secs_f64() * 1000.0),
            state: PeerState::Unknown,
            heard: None,
            endpoints: 0,
            error: None,
        };
        peers.followed().insert(site.clone(), followed);
        Self { site, client, peers, registry, patience, replica: Replica::new(limit), incarnation: None }
    }

    /// Listens until `stop`, or until `end`: then its site is not there any more.
    pub(crate) async fn follow(mut self, stop: CancellationToken, end: CancellationToken) {
        let mut heard = Instant::now();
        loop {
            let ended = tokio::select! {
                ended = self.converse(&mut heard) => ended,
                () = stop.cancelled() => return,
                () = end.cancelled() => return self.forget(),
            };
            self.lost(&ended);
            if heard.elapsed() > self.patience.forget_after && !self.replica.entries().is_empty() {
                tracing::warn!(site = %self.site, "not heard for too long: its endpoints are forgotten");
                self.registry.learn(&self.site, self.replica.forget());
                self.peers.note(&self.site, |followed| {
                    followed.state = PeerState::Forgotten;
                    followed.endpoints = 0;
                });
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => return,
                () = end.cancelled() => return self.forget(),
            }
        }
    }

    /// The site file does not name it any more.
    fn forget(mut self) {
        tracing::info!(site = %self.site, "not listened to any more: its endpoints are forgotten");
        self.registry.learn(&self.site, self.replica.forget());
        self.peers.followed().remove(&self.site);
    }

    /// One feed, from its opening to its end.
    async fn converse(&mut self, heard: &mut Instant) -> Ended {
        let begin = async {
            let mut feed = self.client.peer_feed().await?;
            match feed.next().await? {
                Some(Line::Hello { protocol, .. }) if !(1..=PROTOCOL).contains(&protocol) => {
                    Err(Ended::Protocol(protocol))
                }
                Some(Line::Hello { site, .. }) if site != self.site.as_str() => Err(Ended::OtherSite(site)),
                Some(Line::Hello { .. }) => Ok(feed),
                Some(Line::Full { .. } | Line::Delta { .. } | Line::Alive { .. }) => Err(Ended::NoHello),
                None => Err(Ended::Closed),
            }
        };
        let mut feed = match tokio::time::timeout(CONNECT_PATIENCE, begin).await {
            Ok(Ok(feed)) => feed,
            Ok(Err(ended)) => return ended,
            Err(_) => return Ended::Silent(CONNECT_PATIENCE),
        };
        self.replica.begin_anew();
        loop {
            let line = match tokio::time::timeout(self.patience.stale_after, feed.next()).await {
                Ok(Ok(Some(line))) => line,
                Ok(Ok(None)) => return Ended::Closed,
                Ok(Err(error)) => return error.into(),
                Err(_) => return Ended::Silent(self.patience.stale_after),
            };
            if let Err(ended) = self.take(line) {
                return ended;
            }
            *heard = Instant::now();
        }
    }

    fn take(&mut self, line: Line) -> Result<(), Ended> {
        match self.replica.apply(message(line)?) {
            Applied::Newer(changes) => {
                let incarnation = self.replica.stamp().map(|stamp| stamp.incarnation);
                if std::mem::replace(&mut self.incarnation, incarnation) != incarnation {
                    self.registry.another_began();
                }
                self.registry.learn(&self.site, changes);
            }
            Applied::Old => {}
            Applied::Gap => return Err(Ended::Gap),
            Applied::TooMany { limit } => return Err(Ended::TooMany { limit }),
        }
        self.registry.router_is_heard(&self.site, true);
        let endpoints = self.replica.entries().len();
        self.peers.note(&self.site, |followed| {
            if followed.state != PeerState::Connected {
                tracing::info!(site = %self.site, endpoints, "listening to its router");
            }
            followed.state = PeerState::Connected;
            followed.heard = Some(Instant::now());
            followed.endpoints = endpoints;
            followed.error = None;
        });
        Ok(())
    }

    fn lost(&self, ended: &Ended) {
        self.registry.router_is_heard(&self.site, false);
        let error = chain(ended);
        self.peers.note(&self.site, |followed| {
            // Once, and not at each try.
            if followed.error.is_none() {
                tracing::warn!(site = %self.site, error, "not heard; what is known of it is served on");
            }
            if followed.state == PeerState::Connected {
                followed.state = PeerState::Stale;
            }
            followed.error = Some(error);
        });
    }
}

pub(crate) fn message(line: Line) -> Result<Message<Place>, Ended> {
    let stamp = |incarnation, version| Stamp { incarnation, version };
    Ok(match line {
        Line::Hello { .. } => return Err(Ended::NoHello),
        Line::Full { incarnation, version, entries } => {
            let entries = entries.into_iter().map(|entry| {
                let key = key(&entry)?;
                // Gone from the whole state is what nobody says.
                entry.at.map(|at| (key, at)).ok_or(Ended::Gap)
            });
            Message::Full { stamp: stamp(incarnation, version), entries: entries.collect::<Result<_, _>>()? }
        }
        Line::Delta { incarnation, version, after, changes } => {
            let changes = changes.into_iter().map(|entry| Ok::<_, Ended>((key(&entry)?, entry.at)));
            Message::Delta { after, stamp: stamp(incarnation, version), changes: changes.collect::<Result<_, _>>()? }
        }
        Line::Alive { incarnation, version } => Message::Alive { stamp: stamp(incarnation, version) },
    })
}

fn key(entry: &Entry) -> Result<Key, Ended> {
    Ok(Key { name: entry.name.parse()?, endpoint: entry.endpoint.parse().map_err(Ended::Endpoint)? })
}

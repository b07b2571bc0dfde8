//! The RTMP door: encoders publish to `rtmp://HOST:1935/live/KEY`.
//!
//! The protocol is a state machine without I/O ([`handshake`], [`chunk_stream`], [`amf`], [`session`]), and so is the reading
//! of what it carries ([`flv`], [`media`]); [`connection`] is the socket around them. The door only takes connections, up to a bound, and
//! ends them when the service stops. Whoever sends octets that are none of RTMP's loses its own connection and nothing else.
//!
//! Publishing needs no token of the service: the channel's key is the credential, and streaming decides about it.

pub mod amf;
pub mod chunk_stream;
pub mod connection;
pub mod flv;
pub mod handshake;
pub mod media;
pub mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flame_service_host::StartError;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::RtmpConfig;
use crate::live::figures::Figures;
use crate::live::publisher::{Reach, Way};
use crate::live::queue::Bound;
use crate::live::shares::Shares;
use connection::Terms;

/// The door, where it cannot listen.
pub const SERVICE: &str = "ingest's RTMP door";
/// Connections of one address that have not got to publishing.
const EARLY_OF_ADDRESS_MAX: usize = 8;
/// The pause after a connection that could not be taken.
const PAUSE: Duration = Duration::from_millis(50);

/// The door. See the module.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    terms: Arc<Terms>,
    places: Arc<Semaphore>,
    early: Shares,
}

// === impl Door ===

impl Door {
    /// Listens. Without a `client`, nobody can publish.
    ///
    /// # Errors
    /// [`StartError::Bind`].
    pub async fn open(config: &RtmpConfig, reach: Option<Reach>, figures: Figures) -> Result<Self, StartError> {
        let bind = |source| StartError::Bind { service: SERVICE, address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let way = reach.map(|Reach { client, ladder }| Way {
            client,
            ladder,
            bound: Bound {
                bytes: usize::try_from(config.queue.0).unwrap_or(usize::MAX),
                segments: config.queue_segments,
            },
            patience: config.patience.0,
            answer_timeout: config.answer_timeout.0,
            figures: figures.clone(),
        });
        let terms = Terms {
            way,
            figures,
            handshake: config.handshake.0,
            idle: config.idle.0,
            message_max_bytes: u32::try_from(config.max_message.0).unwrap_or(u32::MAX),
        };
        let places = Arc::new(Semaphore::new(config.max_connections));
        let early = Shares::new(EARLY_OF_ADDRESS_MAX);
        Ok(Self { listener, address, terms: Arc::new(terms), places, early })
    }

    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes connections until `stop`, and then ends those that there are.
    pub async fn run(self, stop: CancellationToken) {
        tracing::info!(address = %self.address, "taking RTMP");
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                () = stop.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, mostly: going on at once would spin.
                    tracing::warn!(%error, "an RTMP connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let Some(early) = self.early.take(peer.ip()) else {
                self.terms.figures.refused.with_label_values(&["full"]).inc();
                tracing::debug!(%peer, "many connections of one address have not published yet: the connection is closed");
                continue;
            };
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                self.terms.figures.refused.with_label_values(&["full"]).inc();
                tracing::warn!(%peer, "all places of the RTMP door are taken: the connection is closed");
                continue;
            };
            let (terms, stop) = (Arc::clone(&self.terms), stop.clone());
            connections.spawn(async move {
                connection::serve(stream, (peer, early), &terms, &stop).await;
                drop(place);
            });
        }
        drop(self.listener);
        // Each notices the stop by itself, and ends what it publishes.
        while connections.join_next().await.is_some() {}
    }
}

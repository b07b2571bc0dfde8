//! The WHIP door (RFC 9725): browsers and other WebRTC encoders publish H.264 and Opus.
//!
//! A session begins with an offer by HTTP (`crate::http`), and is answered once streaming knows the key. Its media comes by UDP, to one
//! port for all sessions; [`table`] says whose a datagram is, a task of each [`session`] what it means, and [`media`] when it
//! was recorded. This side is ICE-lite: it never asks for the way and needs no servers to find it.
//!
//! Nothing is decoded: the channel has the Opus that came. Trickled candidates and restarts (PATCH) are not taken; none is needed
//! where one side has an address that the other reaches.

pub mod media;
pub mod session;
pub mod table;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flame_service_host::StartError;
use socket2::SockRef;
use str0m::crypto::{CryptoProvider, from_feature_flags};
use str0m::ice::StunMessage;
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::config::WhipConfig;
use crate::live::driver::Driver;
use crate::live::figures::Figures;
use crate::live::grid::Count;
use crate::live::key::{self, KeyError};
use crate::live::packager::{Lengths, Packager};
use crate::live::publisher::{Reach, Way};
use crate::live::queue::Bound;
use crate::push::ChannelKey;
use session::{Datagram, OfferError, Session, Terms};
use table::Table;

/// The door, where it cannot listen.
pub const SERVICE: &str = "ingest's WHIP door";
/// Questions to streaming about keys, at once.
const LOOKUPS_MAX: usize = 8;
/// Sessions with one key: an encoder, one that stands by, and those that came again before their last connection was missed.
const SESSIONS_OF_KEY_MAX: usize = 4;
/// Datagrams that wait for a session's task; more are lost, and the peer sends them again.
const DATAGRAMS_MAX: usize = 1024;
/// The longest datagram that is looked at.
const DATAGRAM_MAX_BYTES: usize = 2048;
/// The pause after a datagram that could not be received.
const PAUSE: Duration = Duration::from_millis(50);
/// An address that is nobody's (RFC 5737): the way there is the way to others. Nothing is sent to it.
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// The door. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    socket: Arc<UdpSocket>,
    address: SocketAddr,
    /// Where peers are told to send to; there is one at least.
    advertised: Vec<SocketAddr>,
    config: WhipConfig,
    way: Option<Way>,
    figures: Figures,
    lookups: Semaphore,
    lines: Mutex<Table<Line>>,
    crypto: CryptoProvider,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The way to a session.
#[derive(Debug)]
struct Line {
    id: Uuid,
    key: ChannelKey,
    /// What ICE's messages to it are sealed with.
    secret: String,
    datagrams: mpsc::Sender<Datagram>,
    left: CancellationToken,
}

/// What a peer is told.
#[derive(Debug)]
pub struct Begun {
    /// The session.
    pub id: Uuid,
    /// The answer, SDP.
    pub answer: String,
}

/// Why no session begins.
#[derive(Debug, Error)]
pub enum WhipError {
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The offer.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// Too many sessions.
    #[error("{limit} sessions are open, the most that there may be")]
    Full {
        /// The bound.
        limit: usize,
    },
    /// Too many sessions with one key.
    #[error("{limit} sessions are open with this key, the most that there may be: end one, or wait until it is missed")]
    Crowded {
        /// The bound.
        limit: usize,
    },
    /// Too many questions about keys.
    #[error("too many keys are being looked at")]
    Busy,
    /// The service stops.
    #[error("the service stops")]
    Stopping,
}

// === impl Door ===

impl Door {
    /// Listens. Without a `client`, nobody can publish.
    ///
    /// # Errors
    /// [`StartError::Bind`].
    pub async fn open(config: &WhipConfig, reach: Option<Reach>, figures: Figures) -> Result<Self, StartError> {
        let bind = |source| StartError::Bind { service: SERVICE, address: config.listen, source };
        let socket = UdpSocket::bind(config.listen).await.map_err(bind)?;
        let address = socket.local_addr().map_err(bind)?;
        let receive_buffer = usize::try_from(config.receive_buffer.0).unwrap_or(usize::MAX);
        SockRef::from(&socket).set_recv_buffer_size(receive_buffer).map_err(bind)?;
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
        Ok(Self(Arc::new(Inner {
            socket: Arc::new(socket),
            address,
            advertised: advertised(&config.advertise, address).await,
            config: config.clone(),
            way,
            figures,
            lookups: Semaphore::new(LOOKUPS_MAX),
            lines: Mutex::default(),
            crypto: from_feature_flags(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })))
    }

    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// What it counts.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.0.figures
    }

    /// Routes datagrams until `stop`, and then ends all sessions.
    pub async fn run(self, stop: CancellationToken) {
        tracing::info!(address = %self.0.address, advertised = ?self.0.advertised, "taking WebRTC");
        let mut buffer = vec![0; DATAGRAM_MAX_BYTES];
        loop {
            tokio::select! {
                received = self.0.socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => self.take(&buffer[..length], from),
                    Err(error) => {
                        tracing::warn!(%error, "no WebRTC datagram was received");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                () = stop.cancelled() => break,
            }
        }
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Begins a session with what `offer` offers, in the channel that `key` opens.
    ///
    /// # Errors
    /// [`WhipError`].
    pub async fn begin(&self, key: ChannelKey, offer: &str) -> Result<Begun, WhipError> {
        let inner = &self.0;
        let terms = {
            // Never waited for: who asks with wrong keys must not keep others from being asked about.
            let _place = inner.lookups.try_acquire().map_err(|_| WhipError::Busy)?;
            key::terms(inner.way.as_ref(), &key.to_shown()).await?
        };
        let (way, terms) = terms;
        let agreed = session::agree(offer, &inner.advertised)?;
        let (sender, receiver) = mpsc::channel(DATAGRAMS_MAX);
        let (id, left, name) = (Uuid::new_v4(), CancellationToken::new(), agreed.name.clone());
        {
            let mut lines = self.lines();
            let limit = inner.config.max_sessions;
            if lines.len() >= limit {
                return Err(WhipError::Full { limit });
            }
            if lines.receivers().filter(|line| line.key == key).count() >= SESSIONS_OF_KEY_MAX {
                return Err(WhipError::Crowded { limit: SESSIONS_OF_KEY_MAX });
            }
            if inner.stop.is_cancelled() {
                return Err(WhipError::Stopping);
            }
            let secret = agreed.secret.clone();
            lines.insert(name.clone(), Line { id, key: key.clone(), secret, datagrams: sender, left: left.clone() });
        }
        tracing::info!(channel = %terms.channel, session = %id, "an encoder publishes by WHIP");
        let lengths = Lengths { segment_ms: terms.segment_ms, part_ms: terms.part_ms };
        // RTP's clock of pictures is that of transport streams, and sound is brought to it.
        let packager = Packager::new(lengths, Count::TRANSPORT_STREAM);
        let driver = Driver::new(way, key.to_shown(), terms.clone(), packager);
        let bounds = Terms {
            connect_timeout: inner.config.connect_timeout.0,
            idle: inner.config.idle.0,
            segment: Duration::from_millis(terms.segment_ms.into()),
            figures: inner.figures.clone(),
        };
        let answer = agreed.answer.clone();
        let session = Session::new(agreed, Arc::clone(&inner.socket), inner.advertised[0], driver, bounds);
        let (door, stop) = (self.clone(), inner.stop.clone());
        inner.tasks.spawn(async move {
            session.run(receiver, left, stop).await;
            door.lines().remove(&name);
        });
        Ok(Begun { id, answer })
    }

    /// Ends a session of the channel that `key` opens; `false`, if there is none.
    #[must_use]
    pub fn end(&self, key: &ChannelKey, id: Uuid) -> bool {
        let lines = self.lines();
        let line = lines.receivers().find(|line| line.id == id && line.key == *key);
        if let Some(line) = line {
            line.left.cancel();
        }
        line.is_some()
    }

    fn take(&self, octets: &[u8], from: SocketAddr) {
        let mut lines = self.lines();
        let is_sealed = |line: &Line| is_sealed(&self.0.crypto, octets, &line.secret);
        if let Some(line) = lines.find(from, || name_in(octets), is_sealed) {
            // What has no room is lost, as it may be on the way; the peer is asked for it again.
            let _ = line.datagrams.try_send((from, Bytes::copy_from_slice(octets)));
        }
    }

    fn lines(&self) -> MutexGuard<'_, Table<Line>> {
        // Nothing panics while it holds it.
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the session that a message of ICE is for: ours is the first of the two in it (RFC 8445 section 7.2.2).
fn name_in(octets: &[u8]) -> Option<String> {
    // The first two bits of a STUN message are zero (RFC 8489 section 5); media and DTLS have others.
    if octets.first().is_none_or(|first| first >> 2 != 0) {
        return None;
    }
    let message = StunMessage::parse(octets).ok()?;
    message.split_username().map(|(ours, _)| ours.to_owned())
}

/// Whether a message of ICE is sealed with this secret (RFC 8489 section 14.5).
fn is_sealed(crypto: &CryptoProvider, octets: &[u8], secret: &str) -> bool {
    let hmac = |key: &[u8], payloads: &[&[u8]]| crypto.sha1_hmac_provider.sha1_hmac(key, payloads);
    StunMessage::parse(octets).is_ok_and(|message| message.verify(secret.as_bytes(), hmac))
}

/// Where peers are to send to: what is configured, or the address that is listened at, or those of this machine.
async fn advertised(configured: &[IpAddr], address: SocketAddr) -> Vec<SocketAddr> {
    if !configured.is_empty() {
        return configured.iter().map(|ip| SocketAddr::new(*ip, address.port())).collect();
    }
    if !address.ip().is_unspecified() {
        return vec![address];
    }
    let outward = async {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
        socket.connect(ELSEWHERE).await.ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let ips = outward.await.into_iter().chain([IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    ips.map(|ip| SocketAddr::new(ip, address.port())).collect()
}

// === impl WhipError ===

impl WhipError {
    /// A word for `/metrics`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Key(error) => error.reason(),
            Self::Offer(_) => "protocol",
            Self::Full { .. } | Self::Crowded { .. } => "full",
            Self::Busy | Self::Stopping => "away",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn peers_are_told_addresses_that_they_can_reach() {
        let listening = |text: &str| text.parse::<SocketAddr>().unwrap();
        let own = advertised(&[], listening("127.0.0.1:8189")).await;
        assert_eq!(own, [listening("127.0.0.1:8189")]);
        let said = advertised(&["203.0.113.7".parse().unwrap()], listening("0.0.0.0:8189")).await;
        assert_eq!(said, [listening("203.0.113.7:8189")]);
        let found = advertised(&[], listening("0.0.0.0:8189")).await;
        assert!(found.contains(&listening("127.0.0.1:8189")), "{found:?}");
        assert!(found.iter().all(|address| !address.ip().is_unspecified()), "{found:?}");
    }

    #[test]
    fn only_messages_of_ice_name_a_session() {
        // RFC 5769 section 2.1: a request with the user name `evtj:h6vY`.
        let request = hex::decode(
            "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36\
             000600096576746a3a6836765920202000080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
                .replace([' ', '\n'], ""),
        );
        let request = request.unwrap();
        assert_eq!(name_in(&request).as_deref(), Some("evtj"));
        // Its password, ibid.
        let crypto = from_feature_flags();
        assert!(is_sealed(&crypto, &request, "VOkJxbRl1RmTxUk/WvJxBt"));
        assert!(!is_sealed(&crypto, &request, "VOkJxbRl1RmTxUk/WvJxBu"));
        let mut changed = request;
        changed[60] ^= 1;
        assert!(!is_sealed(&crypto, &changed, "VOkJxbRl1RmTxUk/WvJxBt"));
        assert_eq!(name_in(&[0x80, 96, 0, 1, 0, 0, 0, 0]), None);
        assert_eq!(name_in(&[0x16, 0xfe, 0xfd]), None);
        assert_eq!(name_in(&[0, 1, 0, 0]), None);
        assert_eq!(name_in(&[]), None);
    }
}

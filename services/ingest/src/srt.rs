//! The SRT door: encoders publish MPEG-TS to `srt://HOST:8890?streamid=KEY`.
//!
//! One UDP port for all channels. The protocol is a few state machines without I/O ([`packet`], [`handshake`], [`receiver`]), as are
//! what a stream identifier asks for ([`access`]) and what its transport stream means ([`media`]); [`connection`] is what is done with them for one caller. The door itself routes datagrams, up
//! to a bound of callers, and keeps nothing of who has not shown that it is where it says it is. Whoever sends something else
//! loses its own connection and nothing else.
//!
//! It only receives: what is asked for with `m=request` is refused. Where it has a passphrase, whoever encrypts with another one, or not at all, is
//! refused in the handshake ([`secret`], on other threads: [`opener`]); where it has none, whoever encrypts is.

pub mod access;
pub mod connection;
pub mod handshake;
pub mod media;
pub mod opener;
pub mod packet;
pub mod receiver;
pub mod secret;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flame_api::live::LiveTerms;
use flame_service_host::StartError;
use flame_service_host::problem::chain;
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::SrtConfig;
use crate::live::driver::Driver;
use crate::live::figures::Figures;
use crate::live::grid::Count;
use crate::live::key::{self, KeyError, StreamKey};
use crate::live::packager::{Lengths, Packager};
use crate::live::publisher::{Reach, Way};
use crate::live::queue::Bound;
use crate::live::shares::{Share, Shares};
use connection::{Line, Terms};
use handshake::{Call, Greeter, Greeting, Refusal};
use opener::Opener;
use packet::{Body, Packet};
use secret::{Passphrase, Sealed, Secret};

/// The door, where it cannot listen.
pub const SERVICE: &str = "ingest's SRT door";
/// Questions to streaming about keys, at once.
const LOOKUPS_MAX: usize = 8;
/// Those of one address.
const LOOKUPS_OF_ADDRESS_MAX: usize = 2;
/// Datagrams that wait for a connection's task; more are lost, and sent again.
const DATAGRAMS_MAX: usize = 1024;
/// The longest datagram that is looked at.
const DATAGRAM_MAX_BYTES: usize = 2048;
/// The pause after a datagram that could not be received.
const PAUSE: Duration = Duration::from_millis(50);

/// The door. See the module.
#[derive(Debug)]
pub struct Door {
    socket: Arc<UdpSocket>,
    address: SocketAddr,
    config: SrtConfig,
    opener: Option<Opener>,
    way: Option<Way>,
    figures: Figures,
}

/// Who calls: its address, and its socket there.
type Caller = (SocketAddr, u32);
/// What came of a question about a key.
type Answer = (Caller, Call, Result<Granted, Refused>);

/// What a caller may do, and with what its packets are opened.
struct Granted {
    way: Way,
    key: StreamKey,
    terms: LiveTerms,
    secret: Option<(Opener, Secret)>,
}

/// Why a caller is sent away.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("its stream identifier asks for what this door does not do")]
    Asked(Refusal),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("all places of the door are taken")]
    Full,
    #[error("it does not encrypt, and this door takes nothing in the clear")]
    Clear,
    #[error("it encrypts, and this door has no passphrase")]
    Encrypted,
    #[error("its keys cannot be opened")]
    Sealed(#[from] Sealed),
}

/// The door while it is open.
struct Open {
    door: Door,
    greeter: Greeter,
    begun: Instant,
    /// By the number of our socket.
    lines: HashMap<u32, Connected>,
    asked: HashMap<Caller, Share>,
    shares: Shares,
    lookups: JoinSet<Answer>,
    connections: JoinSet<()>,
    stop: CancellationToken,
}

/// A caller that publishes.
struct Connected {
    caller: Caller,
    sender: mpsc::Sender<Bytes>,
    /// It is told again, if it asks again.
    answer: Vec<u8>,
}

// === impl Door ===

impl Door {
    /// Listens. Without a `client`, nobody can publish.
    ///
    /// # Errors
    /// [`StartError::Bind`].
    pub async fn open(config: &SrtConfig, reach: Option<Reach>, figures: Figures) -> Result<Self, StartError> {
        let bind = |source| StartError::Bind { service: SERVICE, address: config.listen, source };
        let open = |source| StartError::Open { service: SERVICE, what: "passphrase", source };
        let opener = match &config.passphrase {
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|error| open(error.into()))?;
                Some(Opener::new(Passphrase::new(&text).map_err(|error| open(error.into()))?))
            }
            None => None,
        };
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
        Ok(Self { socket: Arc::new(socket), address, config: config.clone(), opener, way, figures })
    }

    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes callers until `stop`, and then ends those that there are.
    pub async fn run(self, stop: CancellationToken) {
        tracing::info!(address = %self.address, "taking SRT");
        let secret = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        let open = Open {
            door: self,
            greeter: Greeter::new(secret.try_into().unwrap_or_default()),
            begun: Instant::now(),
            lines: HashMap::new(),
            asked: HashMap::new(),
            shares: Shares::new(LOOKUPS_OF_ADDRESS_MAX),
            lookups: JoinSet::new(),
            connections: JoinSet::new(),
            stop,
        };
        open.run().await;
    }
}

// === impl Open ===

impl Open {
    async fn run(mut self) {
        let mut buffer = vec![0; DATAGRAM_MAX_BYTES];
        let socket = Arc::clone(&self.door.socket);
        loop {
            tokio::select! {
                received = socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => {
                        self.take(&buffer[..length], from).await;
                        // A picture comes at once: what came with it is not left to overflow the socket.
                        for _ in 1..DATAGRAMS_MAX {
                            let Ok((length, from)) = socket.try_recv_from(&mut buffer) else { break };
                            self.take(&buffer[..length], from).await;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no SRT datagram was received");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                Some(answered) = self.lookups.join_next(), if !self.lookups.is_empty() => {
                    if let Ok((caller, call, answer)) = answered {
                        self.asked.remove(&caller);
                        self.answer(caller, &call, answer).await;
                    }
                }
                Some(_) = self.connections.join_next(), if !self.connections.is_empty() => {
                    self.lines.retain(|_, line| !line.sender.is_closed());
                }
                () = self.stop.cancelled() => break,
            }
        }
        // Each notices the stop by itself, and ends what it publishes.
        while self.connections.join_next().await.is_some() {}
    }

    async fn take(&mut self, octets: &[u8], from: SocketAddr) {
        let Some(packet) = Packet::read(octets) else { return };
        if let Body::Handshake(handshake) = packet.body {
            return self.greet(handshake, from).await;
        }
        // Who only knows the number of a socket is not heard.
        if let Some(line) = self.lines.get(&packet.destination).filter(|line| line.caller.0 == from) {
            // What has no room is sent again.
            let _ = line.sender.try_send(Bytes::copy_from_slice(octets));
        }
    }

    async fn greet(&mut self, handshake: &[u8], from: SocketAddr) {
        match self.greeter.greet(from, handshake, self.begun.elapsed().as_secs()) {
            Greeting::Silence => {}
            Greeting::Answer(answer, socket) => self.send(&answer.write(self.now_us(), socket), from).await,
            Greeting::Call(call) => {
                let caller = (from, call.socket);
                if let Some(line) = self.lines.values().find(|line| line.caller == caller) {
                    // The answer was lost.
                    let answer = line.answer.clone();
                    return self.send(&answer, from).await;
                }
                if !self.asked.contains_key(&caller) {
                    self.ask(caller, call).await;
                }
            }
        }
    }

    /// Asks streaming about a caller's key, unless it is known without.
    async fn ask(&mut self, caller: Caller, call: Call) {
        let is_full = self.lines.len() + self.asked.len() >= self.door.config.max_connections;
        if is_full {
            return self.answer(caller, &call, Err(Refused::Full)).await;
        }
        // Who finds no place in line is not refused: it calls again by itself, several times a second.
        if self.asked.len() >= LOOKUPS_MAX {
            return;
        }
        let Some(share) = self.shares.take(caller.0.ip()) else { return };
        let key = match access::read(&call.stream_id) {
            Ok(key) => key,
            Err(refusal) => return self.answer(caller, &call, Err(Refused::Asked(refusal))).await,
        };
        let (way, opener) = (self.door.way.clone(), self.door.opener.clone());
        self.asked.insert(caller, share);
        self.lookups.spawn(async move {
            let granted = async {
                // First, because it costs nobody else anything.
                let secret = match (opener, &call.keys) {
                    (None, None) => None,
                    (None, Some(_)) => return Err(Refused::Encrypted),
                    (Some(_), None) => return Err(Refused::Clear),
                    (Some(opener), Some(message)) => {
                        let secret = opener.open(message.clone()).await?;
                        Some((opener, secret))
                    }
                };
                let (way, terms) = key::terms(way.as_ref(), &key).await?;
                Ok(Granted { way, key, terms, secret })
            };
            let granted = granted.await;
            (caller, call, granted)
        });
    }

    async fn answer(&mut self, caller: Caller, call: &Call, answer: Result<Granted, Refused>) {
        let (from, remote) = caller;
        let Granted { way, key, terms, secret } = match answer {
            Ok(granted) => granted,
            Err(refused) => {
                self.door.figures.refused.with_label_values(&[refused.reason()]).inc();
                tracing::warn!(peer = %from, reason = refused.reason(), error = chain(&refused), "an SRT caller is refused");
                let answer = call.refuse(refused.code()).write(self.now_us(), remote);
                return self.send(&answer, from).await;
            }
        };
        let SrtConfig { latency, max_latency, window_packets, idle, max_picture, .. } = self.door.config;
        let asked = Duration::from_millis(call.latency_ms.into());
        let latency = asked.clamp(latency.0, max_latency.0);
        let Some(local) = self.socket_number() else { return };
        let latency_ms = u16::try_from(latency.as_millis()).unwrap_or(u16::MAX);
        let key_length = secret.as_ref().map(|(_, secret)| secret.announced_length());
        let answer = call.accept(local, latency_ms, window_packets, key_length).write(self.now_us(), remote);
        tracing::info!(peer = %from, channel = %terms.channel, latency_ms, "an encoder publishes by SRT");
        let lengths = Lengths { segment_ms: terms.segment_ms, part_ms: terms.part_ms };
        let driver = Driver::new(way, key, terms, Packager::new(lengths, Count::TRANSPORT_STREAM));
        let line = Line {
            socket: Arc::clone(&self.door.socket),
            peer: from,
            remote,
            first: call.sequence,
            secret,
            terms: Terms {
                latency,
                window_packets,
                idle: idle.0,
                picture_max_bytes: usize::try_from(max_picture.0).unwrap_or(usize::MAX),
                figures: self.door.figures.clone(),
            },
        };
        let (sender, receiver) = mpsc::channel(DATAGRAMS_MAX);
        self.lines.insert(local, Connected { caller, sender, answer: answer.clone() });
        self.connections.spawn(connection::serve(line, driver, receiver, self.stop.clone()));
        self.send(&answer, from).await;
    }

    /// A number that nobody can guess and no other socket of ours has.
    fn socket_number(&self) -> Option<u32> {
        let numbers = std::iter::repeat_with(|| {
            let [a, b, c, d, ..] = Uuid::new_v4().into_bytes();
            u32::from_be_bytes([a, b, c, d])
        });
        numbers.take(8).find(|number| *number != 0 && !self.lines.contains_key(number))
    }

    async fn send(&self, octets: &[u8], to: SocketAddr) {
        // What does not arrive is asked for again.
        let _ = self.door.socket.send_to(octets, to).await;
    }

    fn now_us(&self) -> u32 {
        connection::micros_since(self.begun)
    }
}

// === impl Refused ===

impl Refused {
    fn code(&self) -> Refusal {
        match self {
            Self::Asked(refusal) => *refusal,
            Self::Key(KeyError::Wrong) => Refusal::Unauthorized,
            Self::Key(KeyError::NoWay | KeyError::NotAsked(_)) => Refusal::Down,
            Self::Full => Refusal::Overload,
            Self::Clear | Self::Encrypted | Self::Sealed(Sealed::Unknown) => Refusal::Encrypted,
            Self::Sealed(Sealed::Wrong) => Refusal::WrongPassphrase,
        }
    }

    /// A word for `/metrics`.
    fn reason(&self) -> &'static str {
        match self {
            Self::Asked(_) | Self::Clear | Self::Encrypted | Self::Sealed(Sealed::Unknown) => "protocol",
            Self::Sealed(Sealed::Wrong) => "passphrase",
            Self::Key(error) => error.reason(),
            Self::Full => "full",
        }
    }
}

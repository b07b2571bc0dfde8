//! One caller that publishes: what is done of what its datagrams and its transport stream say.
//!
//! Two halves go on at once in one task. The line answers its sender in time, whatever streaming does; the media half reads
//! the transport stream and hands it to the [`Driver`], which may have to wait for streaming. Between them is a queue with a bound: past it
//! packets are dropped, and the transport stream shows what is missing. It ends with the first thing that is wrong, with silence, with
//! the service, or with a publication that cannot go on, and says in one line of the log which of them it was.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flame_cmaf::ts::reader::{TsEvent, TsReader};
use flame_service_host::problem::chain;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::media;
use super::opener::Opener;
use super::packet::{Body, Control, Packet};
use super::receiver::{Receiver, TICK};
use super::secret::{Sealed, Secret};
use crate::live::driver::{DriveError, Driver, Leaving};
use crate::live::figures::Figures;
use crate::live::packager::{PackageError, Packager};

/// Packets of media that wait while a publication begins: some seconds of 6 Mbit/s.
const MESSAGES_MAX: usize = 4096;

/// What is the same for all connections.
#[derive(Debug, Clone)]
pub struct Terms {
    /// How long what is missing is waited for.
    pub latency: Duration,
    /// Packets that are held meanwhile.
    pub window_packets: usize,
    /// Time without a packet after which a publisher has gone.
    pub idle: Duration,
    /// Longest picture.
    pub picture_max_bytes: usize,
    /// What is counted.
    pub figures: Figures,
}

/// Where a caller is.
#[derive(Debug)]
pub struct Line {
    /// All go through this one.
    pub socket: Arc<UdpSocket>,
    /// Its address.
    pub peer: SocketAddr,
    /// Its socket there.
    pub remote: u32,
    /// The number of its first packet.
    pub first: u32,
    /// What its packets are opened with, where they are encrypted, and what opens keys that come later.
    pub secret: Option<(Opener, Secret)>,
    /// How it is treated.
    pub terms: Terms,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it left")]
    Left,
    #[error("the service stops")]
    Stopped,
    #[error("nothing came of it for {} s", .after.as_secs())]
    Idle { after: Duration },
    #[error("what it sends is encrypted")]
    Encrypted,
    #[error("its program has neither H.264 nor AAC in ADTS")]
    NoStreams,
    #[error(transparent)]
    Drive(#[from] DriveError<PackageError>),
}

/// Serves one connection to its end.
pub async fn serve(
    mut line: Line,
    mut driver: Driver<Packager>,
    datagrams: mpsc::Receiver<Bytes>,
    stop: CancellationToken,
) {
    let begun = Instant::now();
    let (sender, messages) = mpsc::channel(MESSAGES_MAX);
    let (ended, lost) = {
        let mut lost = 0;
        let both = async {
            let terms = line.terms.clone();
            let receiving = line.receive(begun, datagrams, sender, &mut lost);
            let publishing = publish(&mut driver, &terms, messages);
            tokio::pin!(receiving, publishing);
            tokio::select! {
                ended = &mut receiving => publishing.await.err().unwrap_or(ended),
                published = &mut publishing => published.err().unwrap_or(Ended::Left),
            }
        };
        let ended = tokio::select! {
            ended = both => ended,
            () = stop.cancelled() => Ended::Stopped,
        };
        (ended, lost)
    };
    if !matches!(ended, Ended::Left) {
        line.send(&Control::Shutdown, begun).await;
    }
    let (peer, channel, reason) = (line.peer, driver.channel(), ended.reason());
    if matches!(ended, Ended::Left | Ended::Stopped) {
        tracing::info!(%peer, %channel, reason, lost, "an SRT connection ended: {ended}");
    } else {
        line.terms.figures.lost.with_label_values(&[reason]).inc();
        tracing::warn!(%peer, %channel, reason, lost, error = chain(&ended), "an SRT connection was ended");
    }
    driver
        .end(match &ended {
            Ended::Stopped => Leaving::Stopped,
            Ended::Drive(error) => Leaving::Failed(error),
            Ended::Left | Ended::Idle { .. } | Ended::Encrypted | Ended::NoStreams => Leaving::Left,
        })
        .await;
}

// === impl Ended ===

impl Ended {
    /// A word for `/metrics`.
    fn reason(&self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Stopped => "stopped",
            Self::Idle { .. } => "idle",
            Self::Encrypted => "protocol",
            Self::NoStreams => "media",
            Self::Drive(error) => error.reason(),
        }
    }
}

// === impl Line ===

impl Line {
    /// Takes datagrams until there are no more, and answers them.
    async fn receive(
        &mut self,
        begun: Instant,
        mut datagrams: mpsc::Receiver<Bytes>,
        messages: mpsc::Sender<(Bytes, Instant)>,
        lost: &mut u64,
    ) -> Ended {
        let mut receiver = Receiver::new(self.first, self.terms.latency, self.terms.window_packets, begun);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = begun;
        // Keys that are being opened: one message at a time. Senders say it again until it is answered.
        let mut opening: JoinSet<(Vec<u8>, Result<Secret, Sealed>)> = JoinSet::new();
        loop {
            let datagram = tokio::select! {
                datagram = datagrams.recv() => match datagram {
                    Some(datagram) => Some(datagram),
                    None => return Ended::Stopped,
                },
                Some(Ok((message, opened))) = opening.join_next(), if !opening.is_empty() => {
                    if let (Some((_, secret)), Ok(later)) = (&mut self.secret, opened) {
                        secret.renew(later);
                        self.send(&Control::Keys(message), begun).await;
                    }
                    None
                }
                _ = tick.tick() => None,
            };
            let now = Instant::now();
            let mut ended = None;
            if let Some(packet) = datagram.as_deref().and_then(Packet::read) {
                heard_at = now;
                match packet.body {
                    Body::Data { sequence, keys: 0, payload } if self.secret.is_none() => {
                        receiver.data(sequence, payload, now);
                    }
                    // In the clear, though its sender said that it encrypts: not its sender's.
                    Body::Data { keys: 0, .. } => {}
                    Body::Data { sequence, keys, payload } => match &self.secret {
                        // Of a key that was not announced it is as good as lost.
                        Some((_, secret)) => {
                            if let Some(clear) = secret.decrypt(sequence, keys, payload) {
                                receiver.data(sequence, &clear, now);
                            }
                        }
                        None => ended = Some(Ended::Encrypted),
                    },
                    Body::Keys(message) => {
                        if let Some((opener, _)) = &self.secret
                            && opening.is_empty()
                        {
                            let (opener, message) = (opener.clone(), message.to_vec());
                            opening.spawn(async move {
                                let opened = opener.open_within(message.clone()).await;
                                (message, opened)
                            });
                        }
                    }
                    Body::AckAck(number) => receiver.ack_ack(number, now),
                    Body::DropRequest { first, last } => receiver.drop_request(first, last),
                    Body::Shutdown => {
                        receiver.close();
                        ended = Some(Ended::Left);
                    }
                    Body::Handshake(_) | Body::Other => {}
                }
            } else if now.saturating_duration_since(heard_at) > self.terms.idle {
                receiver.close();
                ended = Some(Ended::Idle { after: self.terms.idle });
            }
            while let Some(payload) = receiver.take(now) {
                // What has no room is missing in the transport stream, which is noticed there.
                let _ = messages.try_send((payload, now));
            }
            *lost = receiver.lost();
            if let Some(ended) = ended {
                return ended;
            }
            for control in receiver.due(now) {
                self.send(&control, begun).await;
            }
        }
    }

    async fn send(&self, control: &Control, begun: Instant) {
        // What does not arrive is said again.
        let _ = self.socket.send_to(&control.write(micros_since(begun), self.remote), self.peer).await;
    }
}

/// Publishes what comes until there is no more.
async fn publish(
    driver: &mut Driver<Packager>,
    terms: &Terms,
    mut messages: mpsc::Receiver<(Bytes, Instant)>,
) -> Result<(), Ended> {
    let (mut reader, mut events) = (TsReader::new(terms.picture_max_bytes), Vec::new());
    loop {
        let message = tokio::select! {
            message = timeout(terms.idle, messages.recv()) => message,
            lost = driver.lost() => {
                driver.go_on_after(lost).await?;
                continue;
            }
        };
        // The time of the last media, not of the end, where it only now shows that it is whole.
        let (came_at, is_last) = match message {
            Ok(Some((octets, came_at))) => {
                terms.figures.received_bytes.inc_by(octets.len() as u64);
                reader.push(&octets, &mut events);
                (came_at, false)
            }
            Ok(None) => {
                reader.finish(&mut events);
                (Instant::now(), true)
            }
            Err(_) => return Err(Ended::Idle { after: terms.idle }),
        };
        for event in events.drain(..) {
            match &event {
                TsEvent::Program { has_pictures: false, has_sound: false } => return Err(Ended::NoStreams),
                TsEvent::Skipped { pid, stream_type } => {
                    let channel = driver.channel();
                    tracing::info!(%channel, pid, stream_type, "a stream is not taken: only H.264 and AAC in ADTS are, one of each");
                }
                TsEvent::Program { .. } | TsEvent::Configuration(..) | TsEvent::Media { .. } => {}
            }
            if let Some(input) = media::read(event) {
                driver.push(came_at, |packager, now_us, steps| packager.push(input, now_us, steps)).await?;
            }
        }
        if is_last {
            tracing::debug!(channel = %driver.channel(), faults = reader.faults(), "a transport stream ended");
            return Ok(());
        }
    }
}

/// Microseconds in 32 bits, which go round.
pub(super) fn micros_since(begun: Instant) -> u32 {
    u32::try_from(begun.elapsed().as_micros() & u128::from(u32::MAX)).unwrap_or_default()
}

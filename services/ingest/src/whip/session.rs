//! One browser's session: datagrams in and out by `str0m`, its media to the driver, until either ends.
//!
//! `str0m` opens no socket and looks at no clock; this task does both for it. What a peer sends is believed once its keys fit
//! (DTLS with the fingerprint of the offer, SRTP).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use flame_api::media::TrackKind;
use flame_service_host::problem::chain;
use str0m::change::SdpOffer;
use str0m::crypto::from_feature_flags;
use str0m::ice::IceCreds;
use str0m::media::{KeyframeRequestKind, MediaData, Mid, Rid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceConnectionState, Input as RtcInput, Output, Rtc, RtcConfig, RtcError};
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::media::{Heard, KeyFrames, Reader, Report};
use crate::live::driver::{DriveError, Driver, Leaving};
use crate::live::figures::Figures;
use crate::live::packager::{Hints, Input, PackageError, Packager, Step};

/// A datagram and where it came from.
pub type Datagram = (SocketAddr, Bytes);

/// What was agreed on with a peer.
#[derive(Debug)]
pub struct Agreed {
    /// The session.
    pub rtc: Rtc,
    /// What the peer is told.
    pub answer: String,
    /// The name by which its datagrams are known.
    pub name: String,
    /// What the first of them are sealed with: ICE's password.
    pub secret: String,
    /// What it will send.
    pub media: HashMap<Mid, TrackKind>,
}

/// Why an offer is not taken.
#[derive(Debug, Error)]
pub enum OfferError {
    /// It is no SDP, or none that WebRTC allows.
    #[error("the offer cannot be read: {0}")]
    Unreadable(String),
    /// Nothing in it can be taken.
    #[error("the offer has neither H.264 nor Opus to send: let the encoder send these (`a=sendonly`)")]
    NoMedia,
}

/// What a session is bound by.
#[derive(Debug)]
pub struct Terms {
    /// Time until the first media.
    pub connect_timeout: Duration,
    /// Time without media afterwards.
    pub idle: Duration,
    /// How often a segment begins.
    pub segment: Duration,
    /// What is counted.
    pub figures: Figures,
}

/// Why a session ends.
#[derive(Debug, Error)]
enum End {
    /// The encoder ended it, or went away.
    #[error("it left")]
    Left,
    /// The service stops.
    #[error("the service stops")]
    Stopped,
    /// Nothing came.
    #[error("nothing came for {} s", .0.as_secs())]
    Idle(Duration),
    /// What came is not WebRTC.
    #[error("the session broke off")]
    Protocol(#[from] RtcError),
    /// Its media does not go on.
    #[error(transparent)]
    Drive(#[from] DriveError<PackageError>),
}

/// A session under way.
pub struct Session {
    rtc: Rtc,
    socket: Arc<UdpSocket>,
    /// What the peer believes to send to.
    local: SocketAddr,
    driver: Driver<Packager>,
    media: HashMap<Mid, TrackKind>,
    /// Of simulcast the first layer that comes.
    layers: HashMap<Mid, Option<Rid>>,
    reader: Reader,
    key_frames: KeyFrames,
    terms: Terms,
    began: Instant,
    heard: Option<Instant>,
}

/// Answers an offer. `addresses` are those that the peer is to send to.
///
/// # Errors
/// [`OfferError`].
pub fn agree(offer: &str, addresses: &[SocketAddr]) -> Result<Agreed, OfferError> {
    let unreadable = |error: &dyn std::error::Error| OfferError::Unreadable(chain(error));
    let offer = SdpOffer::from_sdp_string(offer).map_err(|error| unreadable(&error))?;
    let mut rtc = RtcConfig::new()
        .set_crypto_provider(Arc::new(from_feature_flags()))
        // It has an address that is known and never asks for the way.
        .set_ice_lite(true)
        .clear_codecs()
        .enable_h264(true)
        .enable_opus(true, false)
        .build(Instant::now());
    for address in addresses {
        let candidate = Candidate::host(*address, "udp").map_err(|error| unreadable(&error))?;
        rtc.add_local_candidate(candidate);
    }
    let answer = rtc.sdp_api().accept_offer(offer).map_err(|error| unreadable(&error))?;
    let answer = answer.to_sdp_string();
    let media = media_of(&answer);
    if media.is_empty() {
        return Err(OfferError::NoMedia);
    }
    let IceCreds { ufrag: name, pass: secret } = rtc.direct_api().local_ice_credentials();
    Ok(Agreed { answer, name, secret, media, rtc })
}

/// What an answer of ours takes: one of each kind, for more make no channel. (The session itself tells of it only once media flows.)
fn media_of(answer: &str) -> HashMap<Mid, TrackKind> {
    let mut media = HashMap::new();
    // What stands before the first one is about the session.
    for section in answer.split("\r\nm=").skip(1) {
        let kind = match section.split(' ').next() {
            Some("audio") => TrackKind::Audio,
            Some("video") => TrackKind::Video,
            Some(_) | None => continue,
        };
        let is_refused = section.split(' ').nth(1) == Some("0");
        let is_taken = section.lines().any(|line| matches!(line, "a=recvonly" | "a=sendrecv"));
        let mid = section.lines().find_map(|line| line.strip_prefix("a=mid:"));
        if let Some(mid) = mid.filter(|_| is_taken && !is_refused && !media.values().any(|known| *known == kind)) {
            media.insert(Mid::from(mid), kind);
        }
    }
    media
}

// === impl Session ===

impl Session {
    /// A session that was agreed on.
    #[must_use]
    pub fn new(
        agreed: Agreed,
        socket: Arc<UdpSocket>,
        local: SocketAddr,
        driver: Driver<Packager>,
        terms: Terms,
    ) -> Self {
        let Agreed { rtc, media, .. } = agreed;
        let key_frames = KeyFrames::new(terms.segment);
        Self {
            rtc,
            socket,
            local,
            driver,
            media,
            layers: HashMap::new(),
            reader: Reader::new(),
            key_frames,
            terms,
            began: Instant::now(),
            heard: None,
        }
    }

    /// Takes its media until it ends: by itself, by `left`, or because the service stops.
    pub async fn run(
        mut self,
        mut datagrams: mpsc::Receiver<Datagram>,
        left: CancellationToken,
        stop: CancellationToken,
    ) {
        let end = match self.take(&mut datagrams, &left, &stop).await {
            Err(end) => end,
            Ok(never) => match never {},
        };
        let channel = self.driver.channel();
        let is_failure = !matches!(end, End::Left | End::Stopped);
        if is_failure {
            tracing::warn!(%channel, error = chain(&end), "a WHIP session ends");
        } else {
            tracing::info!(%channel, why = %end, "a WHIP session ends");
        }
        // The peer is told, if it is still there.
        let _ = self.rtc.close();
        let _ = self.drain().await;
        let leaving = match &end {
            End::Drive(error) => {
                self.terms.figures.lost.with_label_values(&[error.reason()]).inc();
                Leaving::Failed(error)
            }
            End::Stopped => Leaving::Stopped,
            End::Left | End::Idle(_) | End::Protocol(_) => Leaving::Left,
        };
        self.driver.end(leaving).await;
    }

    async fn take(
        &mut self,
        datagrams: &mut mpsc::Receiver<Datagram>,
        left: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<std::convert::Infallible, End> {
        let hints = Hints {
            has_video: Some(self.media.values().any(|kind| *kind == TrackKind::Video)),
            has_audio: Some(self.media.values().any(|kind| *kind == TrackKind::Audio)),
            ..Hints::default()
        };
        self.push(vec![Input::Hints(hints)], Instant::now()).await?;
        loop {
            let due = self.drain().await?;
            let patience = if self.heard.is_some() { self.terms.idle } else { self.terms.connect_timeout };
            let silent = self.heard.unwrap_or(self.began) + patience;
            tokio::select! {
                datagram = datagrams.recv() => match datagram {
                    Some((from, octets)) => self.receive(from, &octets)?,
                    // The door is gone.
                    None => return Err(End::Stopped),
                },
                () = tokio::time::sleep_until(due.min(silent).into()) => {
                    if Instant::now() >= silent {
                        return Err(End::Idle(patience));
                    }
                    self.rtc.handle_input(RtcInput::Timeout(Instant::now()))?;
                }
                lost = self.driver.lost() => self.driver.go_on_after(lost).await?,
                () = left.cancelled() => return Err(End::Left),
                () = stop.cancelled() => return Err(End::Stopped),
            }
        }
    }

    fn receive(&mut self, from: SocketAddr, octets: &[u8]) -> Result<(), End> {
        let Ok(received) = Receive::new(Protocol::Udp, from, self.local, octets) else {
            // Nothing that WebRTC sends.
            return Ok(());
        };
        self.rtc.handle_input(RtcInput::Receive(Instant::now(), received))?;
        Ok(())
    }

    /// Does what the session wants done; says when it wants to be asked again.
    async fn drain(&mut self) -> Result<Instant, End> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(due) => return if self.rtc.is_alive() { Ok(due) } else { Err(End::Left) },
                Output::Transmit(sent) => {
                    // What does not arrive is asked for again.
                    let _ = self.socket.send_to(&sent.contents, sent.destination).await;
                }
                Output::Event(Event::MediaData(data)) => self.media(data).await?,
                Output::Event(Event::IceConnectionStateChange(IceConnectionState::Disconnected)) => {
                    return Err(End::Left);
                }
                Output::Event(_) => {}
            }
        }
    }

    async fn media(&mut self, data: MediaData) -> Result<(), End> {
        let Some(kind) = self.media.get(&data.mid).copied() else { return Ok(()) };
        if *self.layers.entry(data.mid).or_insert(data.rid) != data.rid {
            return Ok(());
        }
        let now = Instant::now();
        self.heard = Some(now);
        self.terms.figures.received_bytes.inc_by(data.data.len() as u64);
        if kind == TrackKind::Video && self.key_frames.is_due(now, data.is_keyframe(), data.contiguous) {
            self.ask_for_key_frame(data.mid, data.rid);
        }
        let report = data
            .last_sender_info
            .as_ref()
            .map(|sender| Report { rtp: low_bits(sender.rtp_time.numer()), wall_us: micros_of(sender.ntp_time) });
        let heard = Heard {
            rtp: low_bits(data.time.numer()),
            arrived: data.network_time.saturating_duration_since(self.began),
            report,
        };
        let mut inputs = Vec::new();
        self.reader.read(kind, &heard, &data.data, &mut inputs);
        self.push(inputs, now).await
    }

    fn ask_for_key_frame(&mut self, mid: Mid, rid: Option<Rid>) {
        let Some(mut writer) = self.rtc.writer(mid) else { return };
        let kinds = [KeyframeRequestKind::Pli, KeyframeRequestKind::Fir];
        if let Some(kind) = kinds.into_iter().find(|kind| writer.is_request_keyframe_possible(*kind)) {
            // It may have sent nothing yet that could be named.
            let _ = writer.request_keyframe(rid, kind);
        }
    }

    async fn push(&mut self, inputs: Vec<Input>, came_at: Instant) -> Result<(), End> {
        let push = |packager: &mut Packager, now_us: i64, steps: &mut Vec<Step>| {
            inputs.into_iter().try_for_each(|input| packager.push(input, now_us, steps))
        };
        Ok(self.driver.push(came_at, push).await?)
    }
}

fn low_bits(time: u64) -> u32 {
    u32::try_from(time & u64::from(u32::MAX)).expect("32 bits")
}

/// Microseconds since 1970.
fn micros_of(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_or_wants_to_be_sent_is_not_waited_for() {
        let section = |kind, port, mid, direction| {
            format!("m={kind} {port} UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na={direction}\r\n")
        };
        let answer = ["v=0\r\ns=-\r\na=group:BUNDLE 0 1 2\r\n".to_owned()]
            .into_iter()
            .chain([
                section("video", 0, "0", "inactive"),
                section("video", 9, "1", "sendonly"),
                section("video", 9, "2", "recvonly"),
                section("video", 9, "3", "recvonly"),
                section("audio", 9, "4", "sendrecv"),
            ])
            .collect::<String>();
        let expected = HashMap::from([(Mid::from("2"), TrackKind::Video), (Mid::from("4"), TrackKind::Audio)]);
        assert_eq!(media_of(&answer), expected);
        assert_eq!(media_of(""), HashMap::new());
    }
}

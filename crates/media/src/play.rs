//! Plays a file or an HLS playlist to its end without showing it: everything is decoded and counted.
//!
//! For people and for `flame demo`, which checks with it that what the router delivers is what the source held. It is
//! no part of the protocol with the services: it follows playlists to other URLs, which a child must never do.

use std::time::{Duration, Instant};

use ffmpeg_next::{Dictionary, Error as FfmpegError, codec, decoder, format, frame, media, util::error as errno};
use serde::Serialize;

use crate::{fault::MediaError, source};

/// How long playing may take.
const BUDGET: Duration = Duration::from_secs(3600);

/// What was decoded.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Played {
    /// Frames of video.
    pub video_frames: u64,
    /// Audio samples per channel, from time 0 on.
    pub audio_samples: u64,
    /// Presentation time of the first frame in milliseconds, from the start of the file's timeline.
    pub video_start_ms: Option<f64>,
    /// Presentation time of the first audio sample in milliseconds.
    pub audio_start_ms: Option<f64>,
    /// Packets that the decoders refused.
    pub decode_errors: u64,
}

/// One stream that is decoded.
struct Lane {
    index: usize,
    ms_per_tick: f64,
    decoder: Decoder,
}

enum Decoder {
    Video(decoder::Video),
    Audio(decoder::Audio),
}

/// Plays `input`, a path or an `http://` URL of a file or playlist.
///
/// # Errors
/// [`MediaError`] when it cannot be opened, or holds neither video nor audio.
pub fn play(input: &str) -> Result<Played, MediaError> {
    let mut container = open(input)?;
    let mut lanes = Vec::new();
    for kind in [media::Type::Video, media::Type::Audio] {
        if let Some(stream) = container.streams().best(kind) {
            lanes.push(Lane::of(&stream)?);
        }
    }
    if lanes.is_empty() {
        return Err(MediaError::input(format!("{input} holds neither video nor audio")));
    }
    let mut played = Played::default();
    loop {
        let mut packet = codec::packet::Packet::empty();
        match packet.read(&mut container) {
            Ok(()) => {}
            Err(FfmpegError::Eof) => break,
            Err(error) => return Err(MediaError::input(format!("{input} breaks off: {error}"))),
        }
        let Some(lane) = lanes.iter_mut().find(|lane| lane.index == packet.stream()) else { continue };
        if lane.decoder.send(&packet).is_err() {
            played.decode_errors += 1;
        }
        lane.receive(&mut played);
    }
    for lane in &mut lanes {
        // A decoder that refuses to flush has nothing to give.
        let _ = lane.decoder.send_eof();
        lane.receive(&mut played);
    }
    Ok(played)
}

fn open(input: &str) -> Result<format::context::Input, MediaError> {
    source::initialise();
    let mut options = Dictionary::new();
    let is_url = input.starts_with("http://");
    options.set("protocol_whitelist", if is_url { "http,tcp,crypto" } else { "file" });
    let address = if is_url { input.to_owned() } else { format!("file:{input}") };
    let deadline = Instant::now() + BUDGET;
    format::input_with_interrupt_and_dictionary(&address, move || Instant::now() > deadline, options)
        .map_err(|error| MediaError::input(format!("{input} cannot be opened: {error}")))
}

// === impl Lane ===

impl Lane {
    fn of(stream: &format::stream::Stream<'_>) -> Result<Self, MediaError> {
        let failed = |error| MediaError::input(format!("stream {} cannot be decoded: {error}", stream.index()));
        let context = codec::context::Context::from_parameters(stream.parameters()).map_err(failed)?;
        let decoder = match stream.parameters().medium() {
            media::Type::Video => Decoder::Video(context.decoder().video().map_err(failed)?),
            _ => Decoder::Audio(context.decoder().audio().map_err(failed)?),
        };
        let base = stream.time_base();
        let ms_per_tick = 1000.0 * f64::from(base.numerator()) / f64::from(base.denominator());
        Ok(Self { index: stream.index(), ms_per_tick, decoder })
    }

    /// Takes what the decoder has ready.
    fn receive(&mut self, played: &mut Played) {
        loop {
            let outcome = match &mut self.decoder {
                Decoder::Video(decoder) => {
                    let mut picture = frame::Video::empty();
                    decoder.receive_frame(&mut picture).map(|()| {
                        played.video_frames += 1;
                        earliest(&mut played.video_start_ms, picture.timestamp(), self.ms_per_tick);
                    })
                }
                Decoder::Audio(decoder) => {
                    let mut sound = frame::Audio::empty();
                    decoder.receive_frame(&mut sound).map(|()| hear(played, &sound, self.ms_per_tick))
                }
            };
            match outcome {
                Ok(()) => {}
                Err(FfmpegError::Eof | FfmpegError::Other { errno: errno::EAGAIN }) => return,
                Err(_) => {
                    played.decode_errors += 1;
                    return;
                }
            }
        }
    }
}

/// Counts sound from time 0 on: what an edit list puts before it is the encoder's priming, which nobody hears.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within one frame"
)]
fn hear(played: &mut Played, sound: &frame::Audio, ms_per_tick: f64) {
    let start_ms = sound.timestamp().map_or(0.0, |ticks| ticks as f64 * ms_per_tick);
    let before_zero = (-start_ms.min(0.0) * f64::from(sound.rate()) / 1000.0).round() as u64;
    let heard = (sound.samples() as u64).saturating_sub(before_zero);
    if heard > 0 {
        played.audio_samples += heard;
        let start_ms = start_ms.max(0.0);
        played.audio_start_ms = Some(played.audio_start_ms.map_or(start_ms, |earlier| earlier.min(start_ms)));
    }
}

#[allow(clippy::cast_precision_loss, reason = "media times are far below 2^52 ticks")]
fn earliest(start_ms: &mut Option<f64>, ticks: Option<i64>, ms_per_tick: f64) {
    if let Some(ticks) = ticks {
        let ms = ticks as f64 * ms_per_tick;
        *start_ms = Some(start_ms.map_or(ms, |earlier| earlier.min(ms)));
    }
}

// === impl Decoder ===

impl Decoder {
    fn send(&mut self, packet: &codec::packet::Packet) -> Result<(), FfmpegError> {
        match self {
            Self::Video(decoder) => decoder.send_packet(packet),
            Self::Audio(decoder) => decoder.send_packet(packet),
        }
    }

    fn send_eof(&mut self) -> Result<(), FfmpegError> {
        match self {
            Self::Video(decoder) => decoder.send_eof(),
            Self::Audio(decoder) => decoder.send_eof(),
        }
    }
}

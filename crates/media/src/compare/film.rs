//! One side of a comparison: decoded in a thread of its own, frame after frame, a few ahead and no more.

use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Scope, ScopedJoinHandle},
    time::Duration,
};

use ffmpeg_next::{Error as FfmpegError, Packet, Rational, codec::threading, decoder, format, frame, media};

use crate::{fault::MediaError, ffi, probe, source};

/// Decoded frames that wait.
const AHEAD_FRAMES: usize = 4;
/// Time for all reads together.
const BUDGET: Duration = Duration::from_secs(24 * 60 * 60);

/// A decoded frame.
pub(super) struct Shown {
    pub(super) frame: frame::Video,
    /// From the first frame on, milliseconds.
    pub(super) time_ms: f64,
    /// How long it shows; 0 if nobody says.
    pub(super) duration_ms: f64,
}

/// What the container says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct About {
    pub(super) codec: String,
    pub(super) frame_rate: Option<f64>,
    pub(super) duration_ms: Option<f64>,
    pub(super) rotation_deg: u16,
}

/// An opened film whose decoding has not begun.
pub(super) struct Film {
    pub(super) about: About,
    input: String,
    context: format::context::Input,
    decoder: decoder::Video,
    index: usize,
    time_base: Rational,
}

/// A film that is being decoded. Dropping it ends that.
pub(super) struct Playing<'scope> {
    frames: Option<Receiver<Shown>>,
    thread: Option<ScopedJoinHandle<'scope, Result<u64, MediaError>>>,
    last: (f64, f64),
    times_ms: Vec<f64>,
}

// === impl Film ===

impl Film {
    pub(super) fn open(input: &str, follow_playlists: bool) -> Result<Self, MediaError> {
        let mut context = if follow_playlists && input.starts_with("http://") {
            source::open_playlist(input, BUDGET)?
        } else {
            source::open(input, BUDGET)?
        };
        let no_video = || MediaError::input(format!("{input} has no video to compare"));
        let stream = probe::best_stream(&context, media::Type::Video).ok_or_else(no_video)?;
        let mut decoder = probe::decoder_for(&stream, "video").map_err(|error| named(input, &error))?;
        decoder.set_threading(threading::Config { kind: threading::Type::Frame, ..threading::Config::default() });
        let decoder = decoder
            .video()
            .map_err(|error| MediaError::input(format!("the video of {input} cannot be decoded: {error}")))?;
        let (index, time_base) = (stream.index(), stream.time_base());
        let rates = [stream.avg_frame_rate(), stream.rate()].into_iter();
        let about = About {
            codec: stream.parameters().id().name().to_owned(),
            frame_rate: rates.map(f64::from).find(|rate| (0.01..1000.0).contains(rate)),
            duration_ms: Some(context.duration()).filter(|us| *us > 0).map(|us| us as f64 / 1000.0),
            rotation_deg: probe::rotation_deg(&stream),
        };
        ffi::leave_out_all_but(&mut context, &[index]);
        Ok(Self { about, input: input.to_owned(), context, decoder, index, time_base })
    }

    /// Begins to decode.
    pub(super) fn play<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        name: &str,
    ) -> Result<Playing<'scope>, MediaError> {
        let (sender, frames) = sync_channel(AHEAD_FRAMES);
        let thread =
            std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, move || self.decode(&sender));
        let thread = thread.map_err(|error| MediaError::environment(format!("cannot start a thread: {error}")))?;
        Ok(Playing { frames: Some(frames), thread: Some(thread), last: (0.0, 0.0), times_ms: Vec::new() })
    }

    /// Decodes to the end, or until nobody listens. Returns how many packets were refused.
    fn decode(mut self, frames: &SyncSender<Shown>) -> Result<u64, MediaError> {
        let mut refused = 0;
        let mut first = None;
        loop {
            let mut packet = Packet::empty();
            match packet.read(&mut self.context) {
                Ok(()) => {}
                // A file that is cut off ends like this.
                Err(FfmpegError::Eof | FfmpegError::InvalidData) => break,
                Err(error) => {
                    return Err(MediaError::environment(format!("{} cannot be read on: {error}", self.input)));
                }
            }
            if packet.stream() != self.index {
                continue;
            }
            refused += u64::from(self.decoder.send_packet(&packet).is_err());
            if !self.drain(&mut first, frames) {
                return Ok(refused);
            }
        }
        let _ = self.decoder.send_eof();
        self.drain(&mut first, frames);
        Ok(refused)
    }

    /// False if nobody listens any more.
    fn drain(&mut self, first: &mut Option<f64>, frames: &SyncSender<Shown>) -> bool {
        let ms_a_tick = 1000.0 * f64::from(self.time_base);
        loop {
            let mut frame = frame::Video::empty();
            if self.decoder.receive_frame(&mut frame).is_err() {
                return true;
            }
            let duration_ms = frame.packet().duration.max(0) as f64 * ms_a_tick;
            let time_ms = frame.timestamp().or(frame.pts()).map_or(0.0, |ticks| ticks as f64 * ms_a_tick);
            let time_ms = time_ms - *first.get_or_insert(time_ms);
            if frames.send(Shown { frame, time_ms, duration_ms }).is_err() {
                return false;
            }
        }
    }
}

fn named(input: &str, error: &MediaError) -> MediaError {
    MediaError::input(format!("{input}: {error}"))
}

// === impl Playing ===

impl Playing<'_> {
    /// The next frame, or the end.
    pub(super) fn next(&mut self) -> Option<Shown> {
        let shown = self.frames.as_ref()?.recv().ok()?;
        self.last = (shown.time_ms, shown.duration_ms);
        self.times_ms.push(shown.time_ms);
        Some(shown)
    }

    /// Times of the frames that were given.
    pub(super) fn times_ms(&self) -> &[f64] {
        &self.times_ms
    }

    /// From the first frame to the end of the last one that was given.
    pub(super) fn duration_ms(&self) -> f64 {
        self.last.0 + self.last.1
    }

    /// Ends decoding. Returns how many packets were refused.
    pub(super) fn stop(&mut self) -> Result<u64, MediaError> {
        self.frames = None;
        match self.thread.take().map(ScopedJoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(MediaError::environment("the thread that decodes panicked")),
            None => Ok(0),
        }
    }
}

//! One side of a comparison: decoded in a thread of its own, frame after frame, a few ahead and no more. Where its bytes do not say
//! what they are, somebody has stated it.

use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Scope, ScopedJoinHandle},
    time::Duration,
};

use ffmpeg_next::{
    Error as FfmpegError, Packet, Rational, codec::threading, decoder, format, frame, media, util::error as errno,
};

use flame_api::quality::Form;
use flame_quality::inspect::extent::{Extent, Stated};

use super::{images, raw};
use crate::{fault::MediaError, ffi, probe, source, stated};

/// Decoded frames that wait.
const AHEAD_FRAMES: usize = 4;
/// Time for all reads together.
const BUDGET: Duration = Duration::from_secs(24 * 60 * 60);

/// A decoded frame.
pub(super) struct Shown {
    pub(super) frame: frame::Video,
    /// From the first frame on, milliseconds.
    pub(super) time_ms: f64,
    /// When the first frame is shown, as the container has it, milliseconds.
    pub(super) begin_ms: f64,
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
    pub(super) stated: Stated,
}

/// An opened film whose decoding has not begun.
pub(super) struct Film {
    pub(super) about: About,
    origin: Origin,
}

/// Where its frames come from.
enum Origin {
    Container(Container),
    Raw(raw::Reader),
}

/// Something that FFmpeg takes apart and decodes.
struct Container {
    input: String,
    context: format::context::Input,
    decoder: decoder::Video,
    index: usize,
    time_base: Rational,
}

/// A film that is being decoded. Dropping it ends that.
pub(super) struct Playing<'scope> {
    frames: Option<Receiver<Shown>>,
    thread: Option<ScopedJoinHandle<'scope, Result<Ended, MediaError>>>,
    last: (f64, f64),
    begin_ms: f64,
    times_ms: Vec<f64>,
    extent: Extent,
    usual_ms: f64,
    /// The last frame was given.
    is_over: bool,
}

/// How decoding ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// Packets that could not be decoded, and pictures that were decoded in part only.
    pub(super) refused: u64,
    /// Nothing more could be read, in the middle of it.
    pub(super) is_broken: bool,
}

// === impl Film ===

impl Film {
    /// Opens it; `form` is what it is, if it does not say that itself.
    pub(super) fn open(input: &str, form: Option<&Form>, follow_playlists: bool) -> Result<Self, MediaError> {
        match form {
            Some(Form::Raw(stated)) => {
                let reader = raw::Reader::open(input, stated)?;
                Ok(Self { about: reader.about(), origin: Origin::Raw(reader) })
            }
            Some(Form::Images { frame_rate }) => {
                let found = images::find(input)?;
                Self::of(input, source::open_images(&found.address, found.first, *frame_rate, BUDGET)?)
            }
            None if follow_playlists && input.starts_with("http://") => {
                Self::of(input, source::open_playlist(input, BUDGET)?)
            }
            None => Self::of(input, source::open(input, BUDGET)?),
        }
    }

    fn of(input: &str, mut context: format::context::Input) -> Result<Self, MediaError> {
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
            stated: stated::of(&context, &stream),
        };
        ffi::leave_out_all_but(&mut context, &[index]);
        let origin = Origin::Container(Container { input: input.to_owned(), context, decoder, index, time_base });
        Ok(Self { about, origin })
    }

    /// Begins to decode.
    pub(super) fn play<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        name: &str,
    ) -> Result<Playing<'scope>, MediaError> {
        let (extent, usual_ms) =
            (Extent::new(self.about.stated), self.about.frame_rate.map_or(0.0, |rate| 1000.0 / rate));
        let (sender, frames) = sync_channel(AHEAD_FRAMES);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, move || match self.origin {
            Origin::Container(container) => container.decode(&sender),
            Origin::Raw(reader) => reader.read(&sender),
        });
        let thread = thread.map_err(|error| MediaError::environment(format!("cannot start a thread: {error}")))?;
        let (frames, thread) = (Some(frames), Some(thread));
        Ok(Playing {
            frames,
            thread,
            last: (0.0, 0.0),
            begin_ms: 0.0,
            times_ms: Vec::new(),
            extent,
            usual_ms,
            is_over: false,
        })
    }
}

// === impl Container ===

impl Container {
    /// Decodes to the end, or until nobody listens.
    fn decode(mut self, frames: &SyncSender<Shown>) -> Result<Ended, MediaError> {
        let mut ended = Ended::default();
        let mut first = None;
        loop {
            let mut packet = Packet::empty();
            match packet.read(&mut self.context) {
                Ok(()) => {}
                Err(FfmpegError::Eof) => break,
                // A file that is cut off may end like this.
                Err(FfmpegError::InvalidData) => {
                    ended.is_broken = true;
                    break;
                }
                Err(error) => {
                    return Err(MediaError::environment(format!("{} cannot be read on: {error}", self.input)));
                }
            }
            if packet.stream() != self.index {
                continue;
            }
            ended.refused += u64::from(self.decoder.send_packet(&packet).is_err());
            if !self.drain(&mut first, &mut ended.refused, frames) {
                return Ok(ended);
            }
        }
        let _ = self.decoder.send_eof();
        self.drain(&mut first, &mut ended.refused, frames);
        Ok(ended)
    }

    /// False if nobody listens any more.
    fn drain(&mut self, first: &mut Option<f64>, refused: &mut u64, frames: &SyncSender<Shown>) -> bool {
        let ms_a_tick = 1000.0 * f64::from(self.time_base);
        loop {
            let mut frame = frame::Video::empty();
            match self.decoder.receive_frame(&mut frame) {
                Ok(()) => *refused += u64::from(ffi::is_patched(&frame)),
                Err(FfmpegError::Eof | FfmpegError::Other { errno: errno::EAGAIN }) => return true,
                Err(_) => {
                    *refused += 1;
                    return true;
                }
            }
            let duration_ms = frame.packet().duration.max(0) as f64 * ms_a_tick;
            let time_ms = frame.timestamp().or(frame.pts()).map_or(0.0, |ticks| ticks as f64 * ms_a_tick);
            let begin_ms = *first.get_or_insert(time_ms);
            let time_ms = time_ms - begin_ms;
            if frames.send(Shown { frame, time_ms, begin_ms, duration_ms }).is_err() {
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
        let Ok(shown) = self.frames.as_ref()?.recv() else {
            self.is_over = true;
            return None;
        };
        (self.last, self.begin_ms) = ((shown.time_ms, shown.duration_ms), shown.begin_ms);
        self.times_ms.push(shown.time_ms);
        self.extent.came(if shown.duration_ms > 0.0 { shown.duration_ms } else { self.usual_ms });
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

    /// How long the film is stated to be, and how much of that did not come, milliseconds; none where it was not read to its end.
    pub(super) fn missing_ms(&self, refused: u64) -> (Option<f64>, Option<f64>) {
        let missing_ms =
            self.extent.missing_ms((self.begin_ms, self.begin_ms + self.duration_ms()), refused, self.usual_ms);
        (self.extent.stated_ms(), missing_ms.filter(|_| self.is_over))
    }

    /// Ends decoding.
    pub(super) fn stop(&mut self) -> Result<Ended, MediaError> {
        self.frames = None;
        match self.thread.take().map(ScopedJoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => Err(MediaError::environment("the thread that decodes panicked")),
            None => Ok(Ended::default()),
        }
    }
}

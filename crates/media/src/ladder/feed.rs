//! Decodes the source with FFmpeg and feeds the pipeline: the one place where a ladder's frames come from.
//!
//! FFmpeg and not GStreamer's demuxers, because Debian's GStreamer 1.22 loses frames: `qtdemux` ends an MP4
//! whose edit list begins between keyframes at the first keyframe after its movie duration. Here every frame
//! that FFmpeg's own players would show comes out once, with its time; edit lists and priming are applied
//! by the demuxer and the decoders. Streams are those that the probe chose.
//!
//! One thread reads and decodes all streams. The sources it pushes into are bounded and block, so the
//! slowest encoder sets the pace; nothing in the pipeline lets sound wait for pictures or the reverse.

mod picture;
mod sound;

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use ffmpeg_next::{Error as FfmpegError, Packet, Rational, codec::threading, decoder, format, frame, media};
use flame_api::media::Rational as FrameRate;
use gstreamer as gst;
use gstreamer_app::AppSrc;

use self::{picture::Pictures, sound::Sounds};
use super::{
    cut::{Cut, Place},
    graph::Shared,
    thumbnails::Sheets,
};
use crate::{fault::MediaError, probe, source};

/// Time for all reads together: the parent's deadline comes long before.
const BUDGET: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Source times are moved up by this. Priming and streams that start below zero stay above it; and x264enc,
/// which wants room for decode times, moves by itself all times below 1000 hours, but not the running times of
/// the requests for keyframes, of which it then ignores all but the first.
const MARGIN_NS: i128 = 1001 * 3_600 * 1_000_000_000;

/// How long before a range a keyframe is looked for, nanoseconds: containers find by decode times, which come before.
const EARLY_NS: [i128; 2] = [1_000_000_000, 20_000_000_000];
/// How far before a range a keyframe lies at least, nanoseconds: more than what a frame may lie before a boundary and still be on it.
const IN_FRONT_NS: i128 = 1_000_000;
/// Farthest that a keyframe may lie in front of a chunk, nanoseconds: all from there on is decoded for each chunk.
const FAR_NS: i128 = 60_000_000_000;
/// Packets that are looked at for a keyframe.
const LOOKED_AT_MAX: u32 = 10_000;

/// Where decoded media goes; `None` for what the plan does not want.
pub(super) struct Sources {
    pub(super) video: Option<AppSrc>,
    /// For each sound, which of the source's audio streams it is.
    pub(super) audio: Vec<(u32, AppSrc)>,
    /// Nominal frame rate, for the encoders' rate control.
    pub(super) frame_rate: Option<FrameRate>,
    /// Where thumbnails go, if the plan wants any.
    pub(super) sheets: Option<Sheets>,
    /// Time of the source from which running time is counted, if that was agreed on before.
    pub(super) origin_ns: Option<i64>,
    /// Which pictures go into the pipeline, if not all.
    pub(super) cut: Option<Cut>,
}

/// What becomes of pictures besides being encoded.
struct Watching {
    sheets: Option<Sheets>,
    cut: Option<Cut>,
    /// Whether a picture before the range came out: only then none of the range is missing. A decoder that begins where a stream only
    /// recovers bit by bit (intra refresh) gives nothing out until it has.
    is_led_in: bool,
    /// Whether all that come belong to others.
    is_over: bool,
}

/// One stream of the source on its way into the pipeline.
struct Stream<D, C> {
    index: usize,
    time_base: Rational,
    decoder: D,
    convert: C,
    /// None for pictures that nothing encodes.
    sink: Option<AppSrc>,
    /// End of the newest frame, for one that has no time.
    end_ns: Option<u64>,
    last_error: Option<FfmpegError>,
}

type Video = Stream<decoder::Video, Pictures>;
type Audio = Stream<decoder::Audio, Sounds>;

/// Why feeding ends early.
enum Stop {
    /// The pipeline takes no more: it is being shut down, and whoever does that knows why.
    Refused,
    Failed(MediaError),
}

/// Opens the source, so that a file that is no media fails before anything runs.
pub(super) fn open(input: &Path) -> Result<format::context::Input, MediaError> {
    source::open(&input.to_string_lossy(), BUDGET)
}

/// Opens the source, a path or a URL, where decoding has to begin for `cut`: at a keyframe that is shown before it. Where none is
/// found by the container's own index, that is the beginning of the source.
pub(super) fn open_at(input: &str, cut: &Cut) -> Result<format::context::Input, MediaError> {
    let Some(begins_ns) = cut.begins_ns() else { return source::open(input, BUDGET) };
    for early_ns in EARLY_NS {
        let mut context = source::open(input, BUDGET)?;
        if seek_before(&mut context, begins_ns, early_ns).is_some() {
            return Ok(context);
        }
    }
    source::open(input, BUDGET)
}

/// Whether decoding for `cut` begins shortly before it.
pub(super) fn begins_near(input: &Path, cut: &Cut) -> Result<bool, MediaError> {
    let Some(begins_ns) = cut.begins_ns() else { return Ok(true) };
    for early_ns in EARLY_NS {
        let mut context = open(input)?;
        if let Some(keyframe_ns) = seek_before(&mut context, begins_ns, early_ns) {
            return Ok(begins_ns - keyframe_ns <= FAR_NS);
        }
    }
    let first_ns = first_keyframe_ns(&mut open(input)?);
    Ok(first_ns.is_some_and(|first_ns| begins_ns - first_ns <= FAR_NS))
}

/// Seeks to a keyframe that is shown before `begins_ns`, looked for so much earlier, and says when it is shown.
fn seek_before(context: &mut format::context::Input, begins_ns: i128, early_ns: i128) -> Option<i128> {
    let wanted_us = i64::try_from((begins_ns - early_ns).div_euclid(1000)).ok()?;
    context.seek(wanted_us, ..wanted_us).ok()?;
    let keyframe_ns = first_keyframe_ns(context).filter(|&keyframe_ns| keyframe_ns < begins_ns - IN_FRONT_NS)?;
    context.seek(wanted_us, ..wanted_us).ok()?;
    Some(keyframe_ns)
}

/// When the next keyframe of the video is shown.
fn first_keyframe_ns(context: &mut format::context::Input) -> Option<i128> {
    let (index, time_base) = probe::best_stream(context, media::Type::Video).map(|it| (it.index(), it.time_base()))?;
    for _ in 0..LOOKED_AT_MAX {
        let mut packet = Packet::empty();
        packet.read(context).ok()?;
        if packet.stream() == index && packet.is_key() {
            return packet.pts().map(|ticks| to_ns(ticks, time_base));
        }
    }
    None
}

/// Starts the thread, once the pipeline runs. It ends when the source does or the pipeline is stopped.
pub(super) fn start(
    context: format::context::Input,
    sources: Sources,
    shared: Arc<Shared>,
) -> Result<JoinHandle<()>, MediaError> {
    let feed = move || {
        let sounds = sources.audio.iter().map(|(_, sink)| sink);
        let ends: Vec<AppSrc> = sources.video.iter().chain(sounds).cloned().collect();
        match feed(context, sources, &shared) {
            Ok(()) | Err(Stop::Refused) => {}
            Err(Stop::Failed(error)) => shared.fail(error),
        }
        for end in ends {
            // A pipeline that was stopped needs no end.
            let _ = end.end_of_stream();
        }
    };
    let thread = std::thread::Builder::new().name("feed".to_owned()).spawn(feed);
    thread.map_err(|error| MediaError::environment(format!("cannot start a thread: {error}")))
}

fn feed(mut context: format::context::Input, sources: Sources, shared: &Shared) -> Result<(), Stop> {
    let Sources { video, audio, frame_rate, sheets, origin_ns, cut } = sources;
    let mut watching = Watching { sheets, cut, is_led_in: false, is_over: false };
    let mut video = match video.is_some() || watching.sheets.is_some() {
        true => Video::open(&context, video, frame_rate)?,
        false => None,
    };
    let sounds = audio.into_iter().filter_map(|(number, sink)| Audio::open(&context, number, sink).transpose());
    let mut audio = sounds.collect::<Result<Vec<_>, Stop>>()?;
    let indices = video.iter().map(|stream| stream.index).chain(audio.iter().map(|stream| stream.index));
    let zero_ns = origin_ns.map_or_else(|| start_ns(&context, indices) - MARGIN_NS, i128::from);
    shared.count_from(zero_ns);
    while !watching.is_over {
        let mut packet = Packet::empty();
        match packet.read(&mut context) {
            Ok(()) => {}
            // A file that is cut off ends like this; what it promised and what came is compared at the end.
            Err(FfmpegError::Eof) => break,
            // Of a chunk, which is read from the object store, it may as well be a seek that failed.
            Err(FfmpegError::InvalidData) if watching.cut.is_none() => break,
            Err(error) => {
                return Err(Stop::Failed(MediaError::environment(format!("the source cannot be read on: {error}"))));
            }
        }
        let index = packet.stream();
        if let Some(video) = video.as_mut().filter(|video| video.index == index) {
            video.last_error = video.decoder.send_packet(&packet).err().or(video.last_error);
            video.drain(zero_ns, &mut watching, shared)?;
        } else if let Some(audio) = audio.iter_mut().find(|audio| audio.index == index) {
            audio.last_error = audio.decoder.send_packet(&packet).err().or(audio.last_error);
            audio.drain(zero_ns)?;
        }
    }
    if let Some(video) = &mut video {
        let _ = video.decoder.send_eof();
        video.drain(zero_ns, &mut watching, shared)?;
        video.check("video")?;
        watching.check()?;
    }
    for audio in &mut audio {
        let _ = audio.decoder.send_eof();
        audio.drain(zero_ns)?;
        audio.check("audio")?;
    }
    match watching.sheets.map_or(Ok(None), Sheets::finish) {
        Ok(thumbnails) => *shared.thumbnails.lock().expect("no panic while it is held") = thumbnails,
        Err(error) => go_without(&error),
    }
    Ok(())
}

/// Thumbnails are welcome, not needed.
fn go_without(error: &MediaError) {
    eprintln!("no thumbnails are made: {error}");
}

/// The earliest start that the container states, nanoseconds.
fn start_ns(context: &format::context::Input, indices: impl Iterator<Item = usize>) -> i128 {
    let streams = indices.filter_map(|index| context.stream(index));
    let starts = streams.filter(|stream| stream.start_time() != i64::MIN);
    starts.map(|stream| to_ns(stream.start_time(), stream.time_base())).min().unwrap_or(0)
}

fn to_ns(ticks: i64, time_base: Rational) -> i128 {
    let (num, den) = (i128::from(time_base.numerator()), i128::from(time_base.denominator().max(1)));
    (i128::from(ticks) * num * 1_000_000_000 + den / 2).div_euclid(den)
}

// === impl Watching ===

impl Watching {
    /// Fails where pictures of the range may have come before the decoder gave any out.
    fn check(&self) -> Result<(), Stop> {
        if self.is_led_in || self.cut.as_ref().and_then(Cut::begins_ns).is_none() {
            return Ok(());
        }
        let reason = "the decoder gave no picture before the chunk: some of it may be missing";
        Err(Stop::Failed(MediaError::environment(reason)))
    }
}

// === impl Stream ===

impl<D, C> Stream<D, C> {
    /// When a frame plays, in nanoseconds of running time, and for how long.
    fn time(&mut self, frame: &frame::Frame, timestamp: Option<i64>, zero_ns: i128) -> Option<(u64, Option<u64>)> {
        let duration = frame.packet().duration;
        let duration_ns = (duration > 0).then(|| u64::try_from(to_ns(duration, self.time_base)).ok()).flatten();
        let stated = timestamp.map(|ticks| to_ns(ticks, self.time_base) - zero_ns);
        let running_ns = stated.map_or(self.end_ns, |ns| u64::try_from(ns).ok())?;
        self.end_ns = Some(running_ns + duration_ns.unwrap_or(0));
        Some((running_ns, duration_ns))
    }

    fn push(&self, sample: &gst::Sample) -> Result<(), Stop> {
        let Some(sink) = &self.sink else { return Ok(()) };
        sink.push_sample(sample).map(|_| ()).map_err(|_| Stop::Refused)
    }

    /// A stream of which nothing could be decoded.
    fn check(&self, kind: &str) -> Result<(), Stop> {
        match (self.end_ns, self.last_error) {
            (None, Some(error)) => Err(Stop::Failed(MediaError::input(format!(
                "the {kind} of the file is damaged, nothing of it can be decoded: {error}"
            )))),
            _ => Ok(()),
        }
    }
}

impl Video {
    fn open(
        context: &format::context::Input,
        sink: Option<AppSrc>,
        frame_rate: Option<FrameRate>,
    ) -> Result<Option<Self>, Stop> {
        let Some(stream) = probe::best_stream(context, media::Type::Video) else { return Ok(None) };
        let mut decoder = probe::decoder_for(&stream, "video")?;
        // As many threads as the machine has; the frames do not depend on it.
        decoder.set_threading(threading::Config { kind: threading::Type::Frame, ..threading::Config::default() });
        let decoder = decoder.video().map_err(|error| cannot_open("video", error))?;
        let (index, time_base) = (stream.index(), stream.time_base());
        let convert = Pictures::new(frame_rate);
        Ok(Some(Self { index, time_base, decoder, convert, sink, end_ns: None, last_error: None }))
    }

    fn drain(&mut self, zero_ns: i128, watching: &mut Watching, shared: &Shared) -> Result<(), Stop> {
        let mut frame = frame::Video::empty();
        while !watching.is_over && self.decoder.receive_frame(&mut frame).is_ok() {
            let Some((running_ns, duration_ns)) = self.time(&frame, frame.timestamp(), zero_ns) else { continue };
            if let Some(place) = watching.cut.as_mut().map(|cut| cut.place(running_ns)) {
                if place == Place::Before {
                    watching.is_led_in = true;
                    continue;
                }
                watching.check()?;
                if place == Place::Behind {
                    watching.is_over = true;
                    return Ok(());
                }
            }
            if let Some(Err(error)) = watching.sheets.as_mut().map(|sheets| sheets.look(&frame, running_ns)) {
                go_without(&error);
                watching.sheets = None;
            }
            if self.sink.is_none() {
                shared.source_frames.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let sample = self.convert.sample(&frame, running_ns, duration_ns)?;
            self.push(&sample)?;
        }
        Ok(())
    }
}

impl Audio {
    fn open(context: &format::context::Input, number: u32, sink: AppSrc) -> Result<Option<Self>, Stop> {
        let found = probe::sounds::streams(context).find(|(other, _)| *other == number);
        let Some((_, stream)) = found else { return Ok(None) };
        let decoder = probe::decoder_for(&stream, "audio")?;
        let decoder = decoder.audio().map_err(|error| cannot_open("audio", error))?;
        let (index, time_base) = (stream.index(), stream.time_base());
        let convert = Sounds::default();
        Ok(Some(Self { index, time_base, decoder, convert, sink: Some(sink), end_ns: None, last_error: None }))
    }

    fn drain(&mut self, zero_ns: i128) -> Result<(), Stop> {
        let mut frame = frame::Audio::empty();
        while self.decoder.receive_frame(&mut frame).is_ok() {
            let Some((running_ns, _)) = self.time(&frame, frame.timestamp(), zero_ns) else { continue };
            let sample = self.convert.sample(&frame, running_ns)?;
            self.push(&sample)?;
        }
        Ok(())
    }
}

fn cannot_open(kind: &str, error: FfmpegError) -> Stop {
    Stop::Failed(MediaError::input(format!("the {kind} of the file cannot be decoded: {error}")))
}

// === impl Stop ===

impl From<MediaError> for Stop {
    fn from(error: MediaError) -> Self {
        Self::Failed(error)
    }
}

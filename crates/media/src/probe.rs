//! Measures a file: what a player would choose, how it should be shown, whether it can be decoded at all.
//!
//! It reads a bounded number of packets in a bounded time and decodes the first frames of each chosen stream,
//! so that a file that merely looks like media is found out here and not in the middle of a job.

pub(crate) mod sounds;
mod timing;

use std::time::Duration;

use ffmpeg_next::{
    Error as FfmpegError, Packet, Rational as AvRational, Stream, codec, decoder, format, frame, media,
    packet::side_data,
};
use flame_api::media::{AudioStream, Probe, Rational, VideoStream};

use self::timing::PacketTimes;
use crate::{fault::MediaError, ffi, source};

/// Time for the whole probe.
const BUDGET: Duration = Duration::from_secs(30);
/// Most packets that are read.
const PACKETS_MAX: usize = 20_000;
/// Most bytes that are read.
const BYTES_MAX: usize = 256 << 20;
/// Frames that are decoded to see whether the video is interlaced.
const FRAMES_LOOKED_AT: usize = 8;

/// Measures `input`, a path or an `http://` URL.
///
/// # Errors
/// [`MediaError`] in people's words.
pub fn probe(input: &str) -> Result<Probe, MediaError> {
    let mut context = source::open(input, BUDGET)?;
    let video = best_stream(&context, media::Type::Video);
    let mut video = video.map(|stream| Chosen::of(&stream, media::Type::Video, 0)).transpose()?;
    let mut audio = sounds::open(&context)?;
    if video.is_none() && audio.is_empty() {
        return Err(MediaError::input("the file has neither video nor audio"));
    }
    let read_all = read(&mut context, &mut video, &mut audio);
    drain(&mut video, &mut audio, read_all);
    // A stream that is announced but never comes is not there.
    video = video.filter(|video| !(read_all && video.packets == 0));
    audio.retain(|audio| !(read_all && audio.packets == 0));

    let video_stream = video.as_ref().map(|video| video.describe_video(&context, read_all)).transpose()?;
    let (audio_stream, other_audio) = sounds::describe(&context, &mut audio)?;
    if video_stream.is_none() && audio_stream.is_none() {
        return Err(MediaError::input("the file has no packet of video or audio: it is empty or cut off"));
    }
    let duration_ms = duration_ms(&context, video.iter().chain(&audio), read_all);
    let size_bytes = context.io_size().and_then(|size| u64::try_from(size).ok());
    Ok(Probe {
        container: context.format().name().to_owned(),
        duration_ms,
        bitrate_bps: bitrate_bps(&context, size_bytes, duration_ms),
        video: video_stream,
        audio: audio_stream,
        other_audio,
    })
}

/// The video stream that a player would choose; cover art is none.
pub(crate) fn best_stream(context: &format::context::Input, kind: media::Type) -> Option<Stream<'_>> {
    let cover = format::stream::Disposition::ATTACHED_PIC;
    let stream = context.streams().best(kind).filter(|stream| !stream.disposition().contains(cover));
    stream.or_else(|| {
        context.streams().find(|stream| stream.parameters().medium() == kind && !stream.disposition().contains(cover))
    })
}

/// A decoder for `stream`, or why there is none.
pub(crate) fn decoder_for(stream: &Stream<'_>, kind: &str) -> Result<decoder::Decoder, MediaError> {
    let codec = stream.parameters().id();
    if decoder::find(codec).is_none() {
        return Err(MediaError::input(format!("no decoder for the {kind} codec {}", codec.name())));
    }
    let context = codec::Context::from_parameters(stream.parameters())
        .map_err(|error| MediaError::input(format!("the {kind} stream is not described correctly: {error}")))?;
    let mut decoder = context.decoder();
    decoder.set_packet_time_base(stream.time_base());
    Ok(decoder)
}

/// A chosen stream while the probe reads.
struct Chosen {
    index: usize,
    /// Which of the file's audio streams it is.
    number: u32,
    codec: codec::Id,
    decoder: decoder::Opened,
    packets: u64,
    frames: Vec<FirstFrame>,
    frames_wanted: usize,
    times: PacketTimes,
    last_error: Option<FfmpegError>,
}

/// What a decoded frame tells.
enum FirstFrame {
    Video { width: u32, height: u32, format: format::Pixel, pixel_aspect: AvRational, interlaced: bool },
    Audio { sample_rate_hz: u32, channels: u16 },
}

// === impl Chosen ===

impl Chosen {
    fn of(stream: &Stream<'_>, kind: media::Type, number: u32) -> Result<Self, MediaError> {
        let name = if kind == media::Type::Video { "video" } else { "audio" };
        let codec = stream.parameters().id();
        let decoder = decoder_for(stream, name)?;
        let opened = if kind == media::Type::Video {
            decoder.video().map(|video| video.0)
        } else {
            decoder.audio().map(|audio| audio.0)
        };
        let decoder = opened.map_err(|error| {
            MediaError::input(format!("the {name} codec {} cannot be opened: {error}", codec.name()))
        })?;
        Ok(Self {
            index: stream.index(),
            number,
            codec,
            decoder,
            packets: 0,
            frames: Vec::new(),
            frames_wanted: if kind == media::Type::Video { FRAMES_LOOKED_AT } else { 1 },
            times: PacketTimes::default(),
            last_error: None,
        })
    }

    fn is_satisfied(&self) -> bool {
        let enough_times = self.frames_wanted == 1 || self.times.is_full();
        enough_times && self.frames.len() >= self.frames_wanted
    }

    fn take(&mut self, packet: &Packet) {
        self.packets += 1;
        self.times.add(packet.pts().or(packet.dts()), packet.duration());
        if self.frames.len() < self.frames_wanted {
            // Damaged packets are normal at the start of recorded streams: what counts is whether frames come.
            if let Err(error) = self.decoder.send_packet(packet) {
                self.last_error = Some(error);
            }
            self.receive();
        }
    }

    fn finish_decoding(&mut self) {
        if self.frames.len() < self.frames_wanted {
            let _ = self.decoder.send_eof();
            self.receive();
        }
    }

    fn receive(&mut self) {
        while self.frames.len() < self.frames_wanted {
            let frame = if self.frames_wanted == 1 { self.receive_audio() } else { self.receive_video() };
            match frame {
                Ok(frame) => self.frames.push(frame),
                Err(FfmpegError::Other { .. } | FfmpegError::Eof) => return,
                Err(error) => {
                    self.last_error = Some(error);
                    return;
                }
            }
        }
    }

    fn receive_video(&mut self) -> Result<FirstFrame, FfmpegError> {
        let mut frame = frame::Video::empty();
        self.decoder.receive_frame(&mut frame)?;
        Ok(FirstFrame::Video {
            width: frame.width(),
            height: frame.height(),
            format: frame.format(),
            pixel_aspect: frame.aspect_ratio(),
            interlaced: frame.is_interlaced(),
        })
    }

    fn receive_audio(&mut self) -> Result<FirstFrame, FfmpegError> {
        let mut frame = frame::Audio::empty();
        self.decoder.receive_frame(&mut frame)?;
        Ok(FirstFrame::Audio { sample_rate_hz: frame.rate(), channels: frame.channels() })
    }

    fn undecodable(&self, kind: &str) -> MediaError {
        let cause = self.last_error.map(|error| format!(" ({error})")).unwrap_or_default();
        MediaError::input(format!(
            "the {kind} of the file ({}) cannot be decoded: no frame came out{cause}",
            self.codec.name()
        ))
    }

    fn describe_video(&self, context: &format::context::Input, read_all: bool) -> Result<VideoStream, MediaError> {
        let stream = context.stream(self.index).ok_or_else(|| self.undecodable("video"))?;
        let mut interlaced = false;
        let mut first = None;
        for frame in &self.frames {
            if let FirstFrame::Video { width, height, format, pixel_aspect, interlaced: is_interlaced } = *frame {
                first.get_or_insert((width, height, format, pixel_aspect));
                interlaced |= is_interlaced;
            }
        }
        let (width, height, format, coded_aspect) = first.ok_or_else(|| self.undecodable("video"))?;
        if width == 0 || height == 0 {
            return Err(self.undecodable("video"));
        }
        let pixel_aspect = [ffi::container_pixel_aspect(&stream), coded_aspect].into_iter().find_map(ratio);
        let pixel_aspect = pixel_aspect.unwrap_or(Rational { num: 1, den: 1 });
        let rotation_deg = rotation_deg(&stream);
        let (display_width, display_height) = display_size(width, height, pixel_aspect, rotation_deg);
        let time_base = stream.time_base();
        let frame_rate = [stream.avg_frame_rate(), stream.rate()].into_iter().find_map(ratio);
        Ok(VideoStream {
            codec: self.codec.name().to_owned(),
            width,
            height,
            display_width,
            display_height,
            rotation_deg,
            pixel_aspect,
            frame_rate: frame_rate.filter(|rate| (0.01..1000.0).contains(&rate.as_f64())),
            variable_frame_rate: self.times.is_variable(time_base, read_all),
            timescale: (time_base.numerator() == 1).then(|| u32::try_from(time_base.denominator()).ok()).flatten(),
            pixel_format: format.descriptor().map_or("unknown", |descriptor| descriptor.name()).to_owned(),
            bit_depth: ffi::bit_depth(format).unwrap_or(8),
            interlaced,
            duration_ms: stream_duration_ms(&stream),
        })
    }

    fn describe_audio(&self, context: &format::context::Input) -> Result<AudioStream, MediaError> {
        let stream = context.stream(self.index).ok_or_else(|| self.undecodable("audio"))?;
        let (sample_rate_hz, channels) = match self.frames.first() {
            Some(FirstFrame::Audio { sample_rate_hz, channels }) => (*sample_rate_hz, *channels),
            // The sound begins later than the probe reads; the container's word must do.
            _ if self.packets == 0 => ffi::audio_parameters(&stream),
            _ => return Err(self.undecodable("audio")),
        };
        if sample_rate_hz == 0 || channels == 0 {
            return Err(self.undecodable("audio"));
        }
        let language = stream.metadata().get("language").map(str::to_owned);
        let title = sounds::title_of(&stream);
        Ok(AudioStream {
            number: self.number,
            role: sounds::role_of(stream.disposition(), title.as_deref()),
            title,
            codec: self.codec.name().to_owned(),
            sample_rate_hz,
            channels,
            language: language.filter(|language| !language.is_empty() && language != "und"),
            duration_ms: stream_duration_ms(&stream),
        })
    }
}

/// Reads until all streams have what they want. Returns whether that was the whole file.
fn read(context: &mut format::context::Input, video: &mut Option<Chosen>, audio: &mut [Chosen]) -> bool {
    let mut bytes = 0;
    for packets in 0.. {
        let are_satisfied = video.iter().chain(&*audio).all(Chosen::is_satisfied);
        if are_satisfied || packets >= PACKETS_MAX || bytes >= BYTES_MAX {
            return false;
        }
        let mut packet = Packet::empty();
        if packet.read(context).is_err() {
            return true;
        }
        bytes += packet.size();
        for chosen in video.iter_mut().chain(&mut *audio) {
            if chosen.index == packet.stream() {
                chosen.take(&packet);
            }
        }
    }
    true
}

fn drain(video: &mut Option<Chosen>, audio: &mut [Chosen], read_all: bool) {
    if read_all {
        for chosen in video.iter_mut().chain(audio) {
            chosen.finish_decoding();
        }
    }
}

fn ratio(value: AvRational) -> Option<Rational> {
    let value = value.reduce();
    let num = u32::try_from(value.numerator()).ok().filter(|&num| num > 0)?;
    let den = u32::try_from(value.denominator()).ok().filter(|&den| den > 0)?;
    Some(Rational { num, den })
}

/// Clockwise rotation that the display matrix asks for, in quarter turns.
pub(crate) fn rotation_deg(stream: &Stream<'_>) -> u16 {
    let matrix = stream.side_data().find(|data| data.kind() == side_data::Type::DisplayMatrix);
    matrix.map_or(0, |matrix| timing::quarter_turns(matrix.data()) * 90)
}

/// Size in square pixels: never smaller than coded, so the side that the pixel aspect shrinks stays.
fn display_size(width: u32, height: u32, pixel_aspect: Rational, rotation_deg: u16) -> (u32, u32) {
    let stretched = f64::from(width) * pixel_aspect.as_f64();
    let square = (stretched.round().clamp(1.0, 65_535.0) as u32, height);
    if rotation_deg.is_multiple_of(180) { square } else { (square.1, square.0) }
}

fn to_ms(ticks: i64, time_base: AvRational) -> Option<i64> {
    let (num, den) = (i128::from(time_base.numerator()), i128::from(time_base.denominator()));
    if ticks == i64::MIN || den == 0 {
        return None;
    }
    i64::try_from((i128::from(ticks) * num * 1000 + den / 2).div_euclid(den)).ok()
}

fn stream_duration_ms(stream: &Stream<'_>) -> Option<u64> {
    let ms = to_ms(stream.duration(), stream.time_base())?;
    u64::try_from(ms).ok().filter(|&ms| ms > 0)
}

/// From the earliest start to the latest end of the chosen streams.
fn duration_ms<'a>(context: &format::context::Input, chosen: impl Iterator<Item = &'a Chosen>, read_all: bool) -> u64 {
    let mut starts = Vec::new();
    let mut ends = Vec::new();
    for chosen in chosen {
        let Some(stream) = context.stream(chosen.index) else { continue };
        let seen = chosen.times.span().filter(|_| read_all);
        let seen = seen.and_then(|(start, end)| to_ms(start, stream.time_base()).zip(to_ms(end, stream.time_base())));
        let start_ms = to_ms(stream.start_time(), stream.time_base()).unwrap_or(0);
        let stated = stream_duration_ms(&stream).and_then(|ms| i64::try_from(ms).ok());
        if let Some((start, end)) = stated.map(|ms| (start_ms, start_ms + ms)).or(seen) {
            starts.push(start);
            ends.push(end);
        }
    }
    let of_streams = starts.iter().min().zip(ends.iter().max()).map(|(start, end)| end - start);
    let of_container = Some(context.duration()).filter(|&us| us > 0).map(|us| us / 1000);
    of_streams.or(of_container).and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0)
}

fn bitrate_bps(context: &format::context::Input, size_bytes: Option<u64>, duration_ms: u64) -> u64 {
    let measured = size_bytes.and_then(|bytes| (bytes * 8000).checked_div(duration_ms));
    measured.or_else(|| u64::try_from(context.bit_rate()).ok()).unwrap_or(0)
}

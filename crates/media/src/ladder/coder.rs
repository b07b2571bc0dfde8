//! Encoders of H.265, AV1 and VP9 by way of FFmpeg, which links their libraries already: no package more is needed.
//!
//! Pictures are known to the encoder by their numbers only; their times wait here. So a variable rate reaches no rate control,
//! and what comes out has exactly the times that went in. GOPs begin on the same pictures as those of x264: the same rule is
//! asked, and a keyframe comes nowhere else. SVT-AV1 takes no requests for keyframes through FFmpeg 5.1, so each of its GOPs
//! is encoded by an encoder of its own.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use ffmpeg_next::{
    Dictionary, Error as FfmpegError, Packet, Rational, codec, encoder, format::Pixel, frame::Video, picture,
};
use flame_cmaf::{Colour, PictureCodec, record};
use flame_media_child::protocol::VideoRung;
use gstreamer as gst;
use gstreamer_video::{self as gst_video, VideoFrameRef, VideoInfo};

use super::grid::CellStarts;
use crate::{fault::MediaError, ffi, scale::copy_rows};

/// VBV buffer in seconds at the cap, as that of x264.
const VBV_BUFFER_S: u64 = 2;
/// Longer than any GOP: keyframes come from outside only.
const NEVER: &str = "100000";
/// Pictures inside an encoder at most; none looks further ahead.
const INSIDE_MAX: usize = 1024;

/// A library that encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    X265,
    SvtAv1,
    Vp9,
}

/// The encoder of one rung.
pub(super) struct Coder {
    rung: VideoRung,
    library: Library,
    rate: Rational,
    starts: CellStarts,
    colour: Option<Colour>,
    open: Option<encoder::video::Encoder>,
    /// Number of the next picture.
    next: i64,
    /// Times of the pictures inside.
    inside: BTreeMap<i64, Times>,
    record: Option<PictureCodec>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    running_ns: u64,
    duration_ns: Option<u64>,
}

/// An encoded picture, as a sample.
#[derive(Debug)]
pub(super) struct Coded {
    pub(super) running_ns: u64,
    pub(super) duration_ns: Option<u64>,
    pub(super) is_key: bool,
    pub(super) data: Bytes,
}

/// FFmpeg's name of the library of an encoder that is driven here, if it is one.
pub(super) fn library_name(encoder: &str) -> Option<&'static str> {
    Library::of(encoder).map(Library::name)
}

/// Whether FFmpeg has an encoder of this name.
pub(super) fn is_installed(name: &str) -> bool {
    !name.contains('\0') && encoder::find_by_name(name).is_some()
}

// === impl Library ===

impl Library {
    fn of(encoder: &str) -> Option<Self> {
        match encoder {
            "x265" => Some(Self::X265),
            "svt-av1" => Some(Self::SvtAv1),
            "vpx-vp9" => Some(Self::Vp9),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::X265 => "libx265",
            Self::SvtAv1 => "libsvtav1",
            Self::Vp9 => "libvpx-vp9",
        }
    }

    /// What this library calls a speed for which x264 has a word.
    fn speed(self, preset: &str) -> Option<u32> {
        let words =
            ["placebo", "veryslow", "slower", "slow", "medium", "fast", "faster", "veryfast", "superfast", "ultrafast"];
        let at = words.iter().position(|word| *word == preset)?;
        let speeds: [u32; 10] = match self {
            Self::X265 => return None,
            Self::SvtAv1 => [2, 3, 4, 6, 7, 8, 9, 10, 11, 12],
            Self::Vp9 => [0, 1, 2, 3, 4, 5, 6, 7, 8, 8],
        };
        speeds.get(at).copied()
    }

    fn options(self, rung: &VideoRung, colour: Option<Colour>) -> Result<Dictionary<'static>, MediaError> {
        let mut options = Dictionary::new();
        options.set("g", NEVER);
        options.set("keyint_min", NEVER);
        let unknown = || MediaError::environment(format!("{} has no preset {:?}", rung.encoder, rung.preset));
        match self {
            Self::X265 => {
                options.set("preset", &rung.preset);
                options.set("forced-idr", "1");
                options.set("x265-params", "scenecut=0:open-gop=0:keyint=-1:min-keyint=1:info=0:log-level=error");
            }
            Self::SvtAv1 => options.set("preset", &self.speed(&rung.preset).ok_or_else(unknown)?.to_string()),
            Self::Vp9 => {
                options.set("cpu-used", &self.speed(&rung.preset).ok_or_else(unknown)?.to_string());
                options.set("deadline", "good");
                options.set("row-mt", "1");
                options.set("threads", "0");
            }
        }
        if rung.max_bitrate_bps > 0 {
            options.set("maxrate", &rung.max_bitrate_bps.to_string());
            options.set("bufsize", &(u64::from(rung.max_bitrate_bps) * VBV_BUFFER_S).to_string());
        }
        match (rung.mean_bitrate_bps, self) {
            // libvpx keeps no mean in one pass, but a constant rate: over the buffer.
            (Some(mean_bps), Self::Vp9) => {
                for option in ["b", "minrate", "maxrate"] {
                    options.set(option, &mean_bps.to_string());
                }
                options.set("bufsize", &(u64::from(mean_bps) * VBV_BUFFER_S).to_string());
            }
            (Some(mean_bps), Self::X265 | Self::SvtAv1) => options.set("b", &mean_bps.to_string()),
            (None, Self::X265 | Self::SvtAv1) => options.set("crf", &rung.crf.to_string()),
            (None, Self::Vp9) => {
                options.set("crf", &rung.crf.to_string());
                // Constrained quality: the cap is that of a mean.
                options.set("b", &rung.max_bitrate_bps.to_string());
            }
        }
        if let Some(Colour { primaries, transfer, matrix, full_range }) = colour {
            options.set("color_primaries", &primaries.to_string());
            options.set("color_trc", &transfer.to_string());
            options.set("colorspace", &matrix.to_string());
            options.set("color_range", if full_range { "pc" } else { "tv" });
        }
        Ok(options)
    }
}

// === impl Coder ===

impl Coder {
    /// The encoder of `rung`, for GOPs of this length; `None` if it is driven elsewhere.
    pub(super) fn new(rung: &VideoRung, rate: Option<flame_api::media::Rational>, gop: Duration) -> Option<Self> {
        let number = |value: u32| i32::try_from(value).ok().filter(|value| *value > 0);
        let rate = rate.and_then(|rate| Some(Rational::new(number(rate.num)?, number(rate.den)?)));
        Some(Self {
            library: Library::of(&rung.encoder)?,
            rung: rung.clone(),
            rate: rate.unwrap_or(Rational::new(25, 1)),
            starts: CellStarts::new(gop),
            colour: None,
            open: None,
            next: 0,
            inside: BTreeMap::new(),
            record: None,
        })
    }

    /// How the pictures are coded, and their colour; known once the first has gone in.
    pub(super) fn record(&self) -> Result<(PictureCodec, Option<Colour>), MediaError> {
        let record = self.record.clone();
        let record = record.ok_or_else(|| self.failure("did not say how its stream is configured"))?;
        Ok((record, self.colour))
    }

    /// Encodes the next picture. Gives those that are ready, in decode order.
    pub(super) fn push(&mut self, sample: &gst::Sample, colour: Option<Colour>) -> Result<Vec<Coded>, MediaError> {
        let unreadable = || MediaError::environment("a picture on its way to the encoder is unreadable");
        let buffer = sample.buffer().ok_or_else(unreadable)?;
        let info = sample.caps().and_then(|caps| VideoInfo::from_caps(caps).ok()).ok_or_else(unreadable)?;
        let source = VideoFrameRef::from_buffer_ref_readable(buffer, &info).map_err(|_| unreadable())?;
        let running_ns = buffer.pts().map(gst::ClockTime::nseconds).ok_or_else(unreadable)?;
        if info.format() != gst_video::VideoFormat::I420 {
            return Err(unreadable());
        }
        let begins = self.starts.begins(running_ns);
        let mut ready = Vec::new();
        if begins && self.library == Library::SvtAv1 {
            ready = self.finish()?;
        }
        self.colour = self.colour.or(colour);
        if self.open.is_none() {
            self.open()?;
        }
        let mut picture = Video::new(Pixel::YUV420P, info.width(), info.height());
        for plane in 0..3 {
            let stride = info.stride()[plane].unsigned_abs() as usize;
            let rows =
                u32::try_from(plane).ok().and_then(|plane| source.plane_data(plane).ok()).ok_or_else(unreadable)?;
            let to_stride = picture.stride(plane);
            copy_rows(rows, stride, picture.data_mut(plane), to_stride);
        }
        picture.set_pts(Some(self.next));
        picture.set_kind(if begins { picture::Type::I } else { picture::Type::None });
        let duration_ns = buffer.duration().map(gst::ClockTime::nseconds);
        self.inside.insert(self.next, Times { running_ns, duration_ns });
        self.next += 1;
        if self.inside.len() > INSIDE_MAX {
            return Err(self.failure("holds pictures back"));
        }
        let sent = self.open.as_mut().map_or(Err(FfmpegError::Eof), |open| open.send_frame(&picture));
        sent.map_err(|error| self.failure(&format!("does not take a picture: {error}")))?;
        self.receive(&mut ready)?;
        Ok(ready)
    }

    /// Ends the stream, or the GOP. Gives the rest, in decode order.
    pub(super) fn finish(&mut self) -> Result<Vec<Coded>, MediaError> {
        let mut ready = Vec::new();
        let Some(open) = self.open.as_mut() else { return Ok(ready) };
        open.send_eof().map_err(|error| self.failure(&format!("does not end: {error}")))?;
        self.receive(&mut ready)?;
        self.open = None;
        if !self.inside.is_empty() {
            return Err(self.failure(&format!("kept {} pictures", self.inside.len())));
        }
        Ok(ready)
    }

    fn open(&mut self) -> Result<(), MediaError> {
        let name = self.library.name();
        let codec = encoder::find_by_name(name);
        let codec = codec.ok_or_else(|| self.failure(&format!("is missing: this FFmpeg is built without {name}")))?;
        let context = codec::Context::new_with_codec(codec).encoder().video();
        let mut context = context.map_err(|error| self.failure(&format!("cannot be set up: {error}")))?;
        context.set_width(self.rung.width);
        context.set_height(self.rung.height);
        context.set_format(Pixel::YUV420P);
        context.set_aspect_ratio(Rational::new(1, 1));
        context.set_time_base(self.rate.invert());
        context.set_frame_rate(Some(self.rate));
        context.set_flags(codec::Flags::GLOBAL_HEADER);
        let opened = context.open_with(self.library.options(&self.rung, self.colour)?);
        let open = opened.map_err(|error| self.failure(&format!("does not start: {error}")))?;
        if self.record.is_none() {
            self.record = self.read_record(&ffi::extradata(&open));
        }
        self.open = Some(open);
        Ok(())
    }

    fn read_record(&self, header: &[u8]) -> Option<PictureCodec> {
        let pixels = |value: u32| u16::try_from(value).ok();
        match self.library {
            Library::X265 => record::hevc(header).map(PictureCodec::Hevc),
            Library::SvtAv1 => record::av1(header).map(PictureCodec::Av1),
            Library::Vp9 => {
                let (width, height) = (pixels(self.rung.width)?, pixels(self.rung.height)?);
                Some(PictureCodec::Vp9(record::vp9(width, height, f64::from(self.rate), self.colour)))
            }
        }
    }

    fn receive(&mut self, ready: &mut Vec<Coded>) -> Result<(), MediaError> {
        loop {
            let mut packet = Packet::empty();
            let received = self.open.as_mut().map_or(Err(FfmpegError::Eof), |open| open.receive_packet(&mut packet));
            match received {
                Ok(()) => ready.push(self.coded(&packet)?),
                Err(FfmpegError::Eof) => return Ok(()),
                Err(FfmpegError::Other { errno }) if errno == ffmpeg_next::util::error::EAGAIN => return Ok(()),
                Err(error) => return Err(self.failure(&format!("fails: {error}"))),
            }
        }
    }

    fn coded(&mut self, packet: &Packet) -> Result<Coded, MediaError> {
        let times = packet.pts().and_then(|number| self.inside.remove(&number));
        let Times { running_ns, duration_ns } = times.ok_or_else(|| self.failure("lost a timestamp"))?;
        let (record, data) = (self.record.as_ref(), packet.data());
        let data = record.zip(data).and_then(|(record, data)| record.sample(Bytes::copy_from_slice(data)));
        let data = data.ok_or_else(|| self.failure("gave a picture that is cut off"))?;
        Ok(Coded { running_ns, duration_ns, is_key: packet.is_key(), data })
    }

    fn failure(&self, what: &str) -> MediaError {
        MediaError::environment(format!("the encoder {} of {} {what}", self.rung.encoder, self.rung.name))
    }
}

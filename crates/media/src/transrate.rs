//! One segment in another size and at another rate, for who asks for a rendition that is not there.
//!
//! What comes out has the decode times, presentation times, durations and sync samples of what went in, so a player switches
//! between both as between tracks of one ladder; and an init segment that follows from the plan and the source's init segment
//! alone, so that one stands for all segments. Nothing of one segment is needed for another, and nothing is remembered.

use std::{collections::HashSet, fs, path::Path, time::Duration};

use bytes::Bytes;
use ffmpeg_next::{
    Dictionary, Error as FfmpegError, Packet, Rational, codec, decoder, encoder,
    format::{self, Pixel},
    frame::Video,
    media, picture,
    software::scaling,
};
use flame_cmaf::{
    Colour, MediaConfig, PictureCodec, Sample, Segmentation, TrackConfig, TrackWriter, VideoConfig,
    samples::{self, InitInfo, SampleRef},
    ts::reader::AnnexB,
};
use flame_media_child::protocol::TransratePlan;

use crate::{fault::MediaError, ffi, probe, source};

/// Names of what is written.
const INIT: &str = "init.mp4";
const SEGMENT: &str = "segment.m4s";
/// Time for all reads together; the parent's deadline comes before.
const BUDGET: Duration = Duration::from_secs(60);
/// Longer than any segment: keyframes are those of the source.
const NEVER: &str = "100000";
/// What stands in the stream for its rate: that of the pictures is in their times. It may not depend on a segment.
const NOMINAL_RATE: i32 = 30;

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// RFC 6381 codec string.
    pub codec: String,
    /// Pictures.
    pub samples: u32,
}

/// Reads `input`, an init segment of `init_size_bytes` and one media segment behind it, and writes `init.mp4` and `segment.m4s`
/// into the existing folder `output_dir`.
///
/// # Errors
/// [`MediaError`] in people's words.
pub fn transrate(
    input: &Path,
    init_size_bytes: u64,
    output_dir: &Path,
    plan: &TransratePlan,
) -> Result<Derived, MediaError> {
    let bytes = fs::read(input).map_err(|error| failed("read", input, &error))?;
    let init_size = usize::try_from(init_size_bytes).ok().filter(|size| *size <= bytes.len());
    let (init, segment) =
        bytes.split_at(init_size.ok_or_else(|| MediaError::environment("the init segment is cut off"))?);
    let not_cmaf = |error: &dyn std::fmt::Display| MediaError::input(format!("the segment cannot be used: {error}"));
    let init = InitInfo::parse(init).map_err(|error| not_cmaf(&error))?;
    let refs = samples::samples(segment, &init).map_err(|error| not_cmaf(&error))?;
    if init.edit_delay_ticks != 0 {
        return Err(not_cmaf(&"it begins with an empty edit"));
    }
    let shown = Shown::of(&refs)?;
    let mut work = Work::open(input, plan, &init)?;
    let coded = work.run(&shown)?;
    let record = work.record.ok_or_else(|| MediaError::environment("x264 did not say how its stream is configured"))?;
    let video = VideoConfig {
        codec: PictureCodec::Avc(record.to_vec()),
        width: u16::try_from(plan.width).unwrap_or(u16::MAX),
        height: u16::try_from(plan.height).unwrap_or(u16::MAX),
        timescale: init.timescale,
        colour: work.colour,
        composition_delay_ticks: u32::try_from(init.edit_media_time_ticks).unwrap_or(0),
    };
    let config = TrackConfig { media: MediaConfig::Video(video), language: None };
    let refused =
        |error: &dyn std::fmt::Display| MediaError::environment(format!("the segment cannot be written: {error}"));
    let mut writer = TrackWriter::new(&config, Segmentation::OnCall).map_err(|error| refused(&error))?;
    let (codec, init_bytes) = (writer.codec().to_owned(), writer.init().to_vec());
    for ((coded, sample), pts_ticks) in coded.into_iter().zip(&refs).zip(&shown.ticks) {
        let sample = Sample {
            dts_ticks: i64::try_from(sample.decode_ticks).unwrap_or(i64::MAX),
            pts_ticks: *pts_ticks,
            duration_ticks: sample.duration_ticks,
            is_sync: coded.is_key,
            data: coded.data,
        };
        writer.push(sample).map_err(|error| refused(&error))?;
    }
    let finished = writer.finish().map_err(|error| refused(&error))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = output_dir.join(name);
        fs::write(&path, bytes).map_err(|error| failed("write", &path, &error))
    };
    write(INIT, &init_bytes)?;
    write(SEGMENT, &finished.last_segment.bytes)?;
    Ok(Derived { codec, samples: finished.last_segment.entry.samples })
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> MediaError {
    MediaError::environment(format!("cannot {what} {}: {error}", path.display()))
}

/// When the pictures of a segment are shown, in that order, and at which of these times decoding can start.
struct Shown {
    ticks: Vec<i64>,
    sync: HashSet<i64>,
}

/// A picture that is encoded.
struct Coded {
    is_key: bool,
    data: Bytes,
}

/// One decoder, scaler and encoder.
struct Work {
    context: format::context::Input,
    stream: usize,
    decoder: decoder::Video,
    scaler: Option<scaling::Context>,
    encoder: encoder::video::Encoder,
    size: (u32, u32),
    annex_b: AnnexB,
    record: Option<Bytes>,
    colour: Option<Colour>,
    sent: usize,
    coded: Vec<Coded>,
}

// === impl Shown ===

impl Shown {
    fn of(refs: &[SampleRef]) -> Result<Self, MediaError> {
        let tick = |sample: &SampleRef| {
            let decoded = i64::try_from(sample.decode_ticks).unwrap_or(i64::MAX);
            decoded.saturating_add(i64::from(sample.composition_offset_ticks))
        };
        let mut ticks: Vec<i64> = refs.iter().map(tick).collect();
        ticks.sort_unstable();
        let sync = refs.iter().filter(|sample| sample.is_sync).map(tick).collect();
        if ticks.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(MediaError::input(
                "the segment cannot be used: two of its pictures are shown at the same time",
            ));
        }
        Ok(Self { ticks, sync })
    }
}

// === impl Work ===

impl Work {
    fn open(input: &Path, plan: &TransratePlan, init: &InitInfo) -> Result<Self, MediaError> {
        let context = source::open(&input.to_string_lossy(), BUDGET)?;
        let stream = probe::best_stream(&context, media::Type::Video);
        let stream = stream.ok_or_else(|| MediaError::input("the segment has no pictures"))?;
        let decoder = probe::decoder_for(&stream, "video")?.video();
        let decoder = decoder.map_err(|error| MediaError::input(format!("the segment cannot be decoded: {error}")))?;
        let colour = colour_of(&decoder);
        let encoder = open_encoder(plan, init.timescale, colour)?;
        let mut annex_b = AnnexB::default();
        let record = annex_b.read(&ffi::extradata(&encoder)).and_then(|unit| unit.configuration);
        Ok(Self {
            stream: stream.index(),
            decoder,
            scaler: None,
            encoder,
            size: (plan.width, plan.height),
            annex_b,
            record,
            colour,
            sent: 0,
            coded: Vec::new(),
            context,
        })
    }

    /// The pictures, encoded, in the order in which they are shown, which is that in which they are decoded.
    fn run(&mut self, shown: &Shown) -> Result<Vec<Coded>, MediaError> {
        loop {
            let mut packet = Packet::empty();
            match packet.read(&mut self.context) {
                Ok(()) if packet.stream() != self.stream => continue,
                Ok(()) => self.decoder.send_packet(&packet),
                Err(FfmpegError::Eof) => self.decoder.send_eof(),
                Err(error) => return Err(MediaError::input(format!("the segment cannot be read: {error}"))),
            }
            .map_err(|error| MediaError::input(format!("the segment cannot be decoded: {error}")))?;
            let mut frame = Video::empty();
            let ended = loop {
                match self.decoder.receive_frame(&mut frame) {
                    Ok(()) => self.encode(&frame, shown)?,
                    Err(FfmpegError::Eof) => break true,
                    Err(FfmpegError::Other { errno }) if errno == ffmpeg_next::util::error::EAGAIN => break false,
                    Err(error) => {
                        return Err(MediaError::input(format!("the segment cannot be decoded: {error}")));
                    }
                }
            };
            if ended {
                break;
            }
        }
        self.encoder.send_eof().map_err(broken)?;
        self.receive()?;
        let (wanted, given) = (shown.ticks.len(), self.coded.len());
        if self.sent != wanted || given != wanted {
            let decoded = self.sent;
            let reason = format!("the segment promises {wanted} pictures; {decoded} were decoded and {given} encoded");
            return Err(MediaError::input(reason));
        }
        Ok(std::mem::take(&mut self.coded))
    }

    fn encode(&mut self, frame: &Video, shown: &Shown) -> Result<(), MediaError> {
        let Some(ticks) = shown.ticks.get(self.sent).copied() else {
            self.sent += 1;
            return Ok(());
        };
        let (width, height) = self.size;
        let scaler = match self.scaler.as_mut() {
            Some(scaler) => scaler,
            None => {
                let flags = scaling::Flags::BICUBIC;
                let scaler = scaling::Context::get(
                    frame.format(),
                    frame.width(),
                    frame.height(),
                    Pixel::YUV420P,
                    width,
                    height,
                    flags,
                );
                self.scaler.insert(scaler.map_err(broken)?)
            }
        };
        let mut picture = Video::new(Pixel::YUV420P, width, height);
        // A size that changes within a segment is refused by the scaler.
        scaler.run(frame, &mut picture).map_err(broken)?;
        picture.set_pts(Some(ticks));
        picture.set_kind(if shown.sync.contains(&ticks) { picture::Type::I } else { picture::Type::None });
        self.sent += 1;
        self.encoder.send_frame(&picture).map_err(broken)?;
        self.receive()
    }

    fn receive(&mut self) -> Result<(), MediaError> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(FfmpegError::Eof) => return Ok(()),
                Err(FfmpegError::Other { errno }) if errno == ffmpeg_next::util::error::EAGAIN => return Ok(()),
                Err(error) => return Err(broken(error)),
            }
            let unit = packet.data().and_then(|data| self.annex_b.read(data));
            let data = unit.and_then(|unit| unit.picture);
            let data = data.ok_or_else(|| MediaError::environment("x264 gave a picture without slices"))?;
            self.coded.push(Coded { is_key: packet.is_key(), data });
        }
    }
}

fn broken(error: FfmpegError) -> MediaError {
    MediaError::environment(format!("the segment cannot be encoded: {error}"))
}

fn open_encoder(
    plan: &TransratePlan,
    timescale: u32,
    colour: Option<Colour>,
) -> Result<encoder::video::Encoder, MediaError> {
    let found = encoder::find_by_name("libx264");
    let found = found.ok_or_else(|| MediaError::environment("this FFmpeg is built without libx264"))?;
    let mut context = codec::Context::new_with_codec(found).encoder().video().map_err(broken)?;
    context.set_width(plan.width);
    context.set_height(plan.height);
    context.set_format(Pixel::YUV420P);
    context.set_aspect_ratio(Rational::new(1, 1));
    context.set_time_base(Rational::new(1, i32::try_from(timescale).unwrap_or(i32::MAX)));
    context.set_frame_rate(Some(Rational::new(NOMINAL_RATE, 1)));
    context.set_flags(codec::Flags::GLOBAL_HEADER);
    let mut options = Dictionary::new();
    options.set("preset", &plan.preset);
    options.set("profile", "high");
    // By itself it would follow from the rate, which is nominal.
    options.set("level", &plan.level);
    options.set("crf", &plan.crf.to_string());
    options.set("maxrate", &plan.max_bitrate_bps.to_string());
    options.set("bufsize", &plan.max_bitrate_bps.to_string());
    options.set("g", NEVER);
    options.set("keyint_min", NEVER);
    // Without them, decode times of the source fit whatever it reorders.
    options.set("bf", "0");
    options.set("forced-idr", "1");
    // Several requests share the cores, and what comes out must not depend on how many there are.
    options.set("threads", "1");
    options.set("x264-params", "scenecut=0:open-gop=0");
    if let Some(Colour { primaries, transfer, matrix, full_range }) = colour {
        options.set("color_primaries", &primaries.to_string());
        options.set("color_trc", &transfer.to_string());
        options.set("colorspace", &matrix.to_string());
        options.set("color_range", if full_range { "pc" } else { "tv" });
    }
    context.open_with(options).map_err(|error| MediaError::environment(format!("x264 does not start: {error}")))
}

/// What the init segment, or the stream, says of colour; `None` where that is nothing.
fn colour_of(decoder: &decoder::Video) -> Option<Colour> {
    /// ITU-T H.273: unspecified.
    const UNSAID: u16 = 2;
    let code = |code: u32| u16::try_from(code).unwrap_or(UNSAID);
    let primaries = code(ffi::primaries_code(decoder.color_primaries()));
    let transfer = code(ffi::transfer_code(decoder.color_transfer_characteristic()));
    let matrix = code(ffi::matrix_code(decoder.color_space()));
    let full_range = decoder.color_range() == ffmpeg_next::color::Range::JPEG;
    let is_said = (primaries, transfer, matrix) != (UNSAID, UNSAID, UNSAID) || full_range;
    is_said.then_some(Colour { primaries, transfer, matrix, full_range })
}

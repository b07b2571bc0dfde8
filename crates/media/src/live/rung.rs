//! One rendition of a live ladder: its scaler, its encoder, and the writer of its chunks.
//!
//! One picture in, one picture out: x264 looks at nothing ahead and reorders nothing. Its init segment follows from the plan and the
//! source's colour alone, so a child that takes another's place goes on with the same one.

use std::collections::VecDeque;
use std::sync::mpsc::Receiver;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use ffmpeg_next::{
    Dictionary, Error as FfmpegError, Packet, Rational, codec, encoder, format::Pixel, frame::Video, picture,
    software::scaling,
};
use flame_cmaf::relay::Message;
use flame_cmaf::ts::reader::AnnexB;
use flame_cmaf::{Chunk, ChunkWriter, Colour, MediaConfig, Parts, PictureCodec, Sample, TrackConfig, VideoConfig};
use flame_media_child::live::{LivePlan, LiveRung};

use super::{Output, Picture, Work};
use crate::ffi;

/// Longer than any segment: key frames come where segments begin.
const NEVER: &str = "100000";
/// Pictures per second for the rate control, where they are not known.
const USUAL_RATE: Rational = Rational(30, 1);

/// A rendition.
pub(super) struct Rung {
    wanted: LiveRung,
    encoder: encoder::video::Encoder,
    annex_b: AnnexB,
    writer: ChunkWriter,
    parts: Parts,
    timescale: u32,
    /// Pictures inside the encoder, in their order.
    inside: VecDeque<Inside>,
    /// The segment under way.
    number: Option<u64>,
    /// When the newest picture is shown: the encoder takes only later ones.
    newest_ticks: i64,
}

#[derive(Debug, Clone, Copy)]
struct Inside {
    number: u64,
    ticks: i64,
    delay_ticks: i64,
    duration_ticks: u32,
}

/// A scaler, and what it is for.
struct Scaler {
    context: scaling::Context,
    input: (Pixel, u32, u32),
}

// === impl Rung ===

impl Rung {
    /// Opens its encoder. `timescale` is the source's: all times are counted in it.
    pub(super) fn open(
        wanted: &LiveRung,
        plan: &LivePlan,
        timescale: u32,
        colour: Option<Colour>,
    ) -> anyhow::Result<Self> {
        let encoder = open_encoder(wanted, plan, timescale, colour)?;
        let mut annex_b = AnnexB::default();
        let record = annex_b.read(&ffi::extradata(&encoder)).and_then(|unit| unit.configuration);
        let record = record.context("x264 did not say how its stream is configured")?;
        let frame_ticks = plan.frame_rate.and_then(|rate| {
            let ticks = u64::from(timescale) * u64::from(rate.den);
            u32::try_from(ticks / u64::from(rate.num.max(1))).ok().filter(|_| ticks.is_multiple_of(rate.num.into()))
        });
        let video = VideoConfig {
            codec: PictureCodec::Avc(record.to_vec()),
            width: u16::try_from(wanted.width).context("a rendition is too wide")?,
            height: u16::try_from(wanted.height).context("a rendition is too high")?,
            timescale,
            colour,
            composition_delay_ticks: 0,
        };
        let config = TrackConfig { media: MediaConfig::Video(video), language: None };
        let parts = Parts::of(plan.part_ms, timescale, frame_ticks);
        let writer = ChunkWriter::new(&config, parts)?;
        Ok(Self {
            wanted: wanted.clone(),
            encoder,
            annex_b,
            writer,
            parts,
            timescale,
            inside: VecDeque::new(),
            number: None,
            newest_ticks: i64::MIN,
        })
    }

    pub(super) fn wanted(&self) -> &LiveRung {
        &self.wanted
    }

    pub(super) fn init(&self) -> &Bytes {
        self.writer.init()
    }

    pub(super) fn codec(&self) -> &str {
        self.writer.codec()
    }

    pub(super) fn timescale(&self) -> u32 {
        self.timescale
    }

    pub(super) fn part_ticks(&self) -> u32 {
        self.parts.longest_ticks
    }

    /// Works until nobody sends anything more.
    pub(super) fn run(mut self, works: &Receiver<Work>, track: u8, output: &Output) -> anyhow::Result<()> {
        let name = self.wanted.name.clone();
        let mut scaler = None;
        while let Ok(work) = works.recv() {
            let done = match work {
                Work::Picture(picture) => self.picture(&picture, &mut scaler, track, output),
                Work::End { number } => self.end(number, track, output),
            };
            done.with_context(|| format!("the rendition {name} failed"))?;
        }
        Ok(())
    }

    fn picture(
        &mut self,
        picture: &Picture,
        scaler: &mut Option<Scaler>,
        track: u8,
        output: &Output,
    ) -> anyhow::Result<()> {
        let Picture { frame, number, ticks, delay_ticks, duration_ticks } = picture;
        if *ticks <= self.newest_ticks {
            return Ok(());
        }
        self.newest_ticks = *ticks;
        let mut scaled = Video::new(Pixel::YUV420P, self.wanted.width, self.wanted.height);
        let input = (frame.format(), frame.width(), frame.height());
        let scaler = match scaler.take().filter(|scaler| scaler.input == input) {
            Some(known) => scaler.insert(known),
            None => scaler.insert(Scaler::new(input, (self.wanted.width, self.wanted.height))?),
        };
        scaler.context.run(frame, &mut scaled).context("a picture cannot be scaled")?;
        let begins = self.number != Some(*number);
        self.number = Some(*number);
        scaled.set_pts(Some(*ticks));
        scaled.set_kind(if begins { picture::Type::I } else { picture::Type::None });
        let (number, delay_ticks, duration_ticks) = (*number, *delay_ticks, *duration_ticks);
        self.inside.push_back(Inside { number, ticks: *ticks, delay_ticks, duration_ticks });
        self.encoder.send_frame(&scaled).context("x264 does not take a picture")?;
        self.receive(track, output)
    }

    fn receive(&mut self, track: u8, output: &Output) -> anyhow::Result<()> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(FfmpegError::Eof) => return Ok(()),
                Err(FfmpegError::Other { errno }) if errno == ffmpeg_next::util::error::EAGAIN => return Ok(()),
                Err(error) => return Err(error).context("x264 fails"),
            }
            let Some(Inside { number, ticks, delay_ticks, duration_ticks }) = self.inside.pop_front() else {
                return Err(anyhow!("x264 gave a picture that it did not get"));
            };
            let unit = packet.data().and_then(|data| self.annex_b.read(data));
            let data = unit.and_then(|unit| unit.picture).context("x264 gave a picture without slices")?;
            let is_sync = packet.is_key();
            // As the source's first picture of the segment: so both begin at the same time.
            let dts_ticks = ticks - delay_ticks;
            let sample = Sample { dts_ticks, pts_ticks: ticks, duration_ticks, is_sync, data };
            for chunk in self.writer.push_timed(sample, number)? {
                write(&chunk, track, output)?;
            }
        }
    }

    fn end(&mut self, number: u64, track: u8, output: &Output) -> anyhow::Result<()> {
        if let Some(chunk) = self.writer.end_segment()? {
            write(&chunk, track, output)?;
        }
        self.number = None;
        output.write(&Message::End { track, number })
    }
}

fn write(chunk: &Chunk, track: u8, output: &Output) -> anyhow::Result<()> {
    output.write(&Message::Chunk { track, number: chunk.number, bytes: chunk.bytes.clone() })
}

// === impl Scaler ===

impl Scaler {
    fn new(input: (Pixel, u32, u32), (width, height): (u32, u32)) -> anyhow::Result<Self> {
        let (format, from_width, from_height) = input;
        let flags = scaling::Flags::BICUBIC;
        let context = scaling::Context::get(format, from_width, from_height, Pixel::YUV420P, width, height, flags);
        Ok(Self { context: context.context("pictures of this size cannot be scaled")?, input })
    }
}

fn open_encoder(
    wanted: &LiveRung,
    plan: &LivePlan,
    timescale: u32,
    colour: Option<Colour>,
) -> anyhow::Result<encoder::video::Encoder> {
    let found = encoder::find_by_name("libx264").context("this FFmpeg is built without libx264")?;
    let mut context = codec::Context::new_with_codec(found).encoder().video()?;
    context.set_width(wanted.width);
    context.set_height(wanted.height);
    context.set_format(Pixel::YUV420P);
    context.set_aspect_ratio(Rational::new(1, 1));
    context.set_time_base(Rational::new(1, i32::try_from(timescale).unwrap_or(i32::MAX)));
    let rate = plan
        .frame_rate
        .and_then(|rate| Some(Rational::new(i32::try_from(rate.num).ok()?, i32::try_from(rate.den).ok()?)));
    context.set_frame_rate(Some(rate.unwrap_or(USUAL_RATE)));
    context.set_flags(codec::Flags::GLOBAL_HEADER);
    let mut options = Dictionary::new();
    options.set("preset", &plan.preset);
    // Nothing ahead is looked at, nothing is reordered: a picture is out before the next one comes.
    options.set("tune", "zerolatency");
    options.set("profile", "high");
    options.set("b", &wanted.bitrate_bps.to_string());
    options.set("maxrate", &wanted.max_bitrate_bps.to_string());
    options.set("bufsize", &wanted.max_bitrate_bps.to_string());
    options.set("g", NEVER);
    options.set("keyint_min", NEVER);
    options.set("forced-idr", "1");
    // Renditions share the cores; each has a thread already.
    options.set("threads", "1");
    options.set("x264-params", "scenecut=0:open-gop=0");
    if let Some(Colour { primaries, transfer, matrix, full_range }) = colour {
        options.set("color_primaries", &primaries.to_string());
        options.set("color_trc", &transfer.to_string());
        options.set("colorspace", &matrix.to_string());
        options.set("color_range", if full_range { "pc" } else { "tv" });
    }
    context.open_with(options).context("x264 does not start")
}

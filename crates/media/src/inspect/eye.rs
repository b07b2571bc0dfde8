//! The pictures of an inspection: decodes one stream of video and shows what comes to the detectors.

use ffmpeg_next::{Error as FfmpegError, Packet, Stream, codec::threading, decoder, frame, util::error as errno};
use flame_api::quality::inspection::VideoInspection;
use flame_media_child::protocol::InspectPlan;
use flame_quality::inspect::{
    blockiness::Blockiness,
    blur::Blur,
    extent::{self, Extent, Stated},
    information::Information,
    pictures::{Stillness, is_black},
    spans::Stretches,
    timeline::Timeline,
};

use crate::{
    compare::shape::{self, Common, Converter, Kind},
    fault::MediaError,
    ffi, probe,
};

/// Looks at the pictures of one stream.
pub(super) struct Eye {
    index: usize,
    ms_a_tick: f64,
    codec: String,
    frame_rate: Option<f64>,
    decoder: decoder::Video,
    seen: Option<Seen>,
    extent: Extent,
    timeline: Timeline,
    black: Stretches,
    freeze: Stretches,
    stillness: Stillness,
    information: Information,
    blur: Blur,
    blockiness: Blockiness,
    frames: u64,
    decode_errors: u64,
}

/// What is known since the first picture.
struct Seen {
    kind: Kind,
    common: Common,
    converter: Converter,
    /// When the first one is shown, as the container has it.
    first_ms: f64,
    /// When the last one is shown, and when it ends.
    last_ms: f64,
    end_ms: f64,
    /// When the picture that others are compared with was shown.
    kept_ms: f64,
    has_times: bool,
}

/// What was found in pictures.
pub(super) struct Seeing {
    pub(super) video: VideoInspection,
    /// What did not come.
    pub(super) early: Option<String>,
    /// From when to when pictures are shown, milliseconds as the container has them.
    pub(super) span_ms: Option<(f64, f64)>,
}

// === impl Eye ===

impl Eye {
    pub(super) fn of(stream: &Stream<'_>, stated: Stated, plan: &InspectPlan) -> Result<Self, MediaError> {
        let mut decoder = probe::decoder_for(stream, "video")?;
        decoder.set_threading(threading::Config { kind: threading::Type::Frame, ..threading::Config::default() });
        let decoder =
            decoder.video().map_err(|error| MediaError::input(format!("the pictures cannot be decoded: {error}")))?;
        let rates = [stream.avg_frame_rate(), stream.rate()].into_iter();
        Ok(Self {
            index: stream.index(),
            ms_a_tick: 1000.0 * f64::from(stream.time_base()),
            codec: stream.parameters().id().name().to_owned(),
            frame_rate: rates.map(f64::from).find(|rate| (0.01..1000.0).contains(rate)),
            decoder,
            seen: None,
            extent: Extent::new(stated),
            timeline: Timeline::default(),
            black: Stretches::new(plan.shortest_s),
            freeze: Stretches::new(plan.shortest_s),
            stillness: Stillness::default(),
            information: Information::default(),
            blur: Blur::default(),
            blockiness: Blockiness::default(),
            frames: 0,
            decode_errors: 0,
        })
    }

    /// The stream.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// How far it has come, seconds from the first picture.
    pub(super) fn seen_s(&self) -> f64 {
        self.seen.as_ref().map_or(0.0, |seen| (seen.last_ms - seen.first_ms) / 1000.0)
    }

    /// Takes a packet of the stream.
    pub(super) fn look(&mut self, packet: &Packet) -> Result<(), MediaError> {
        let ms = |ticks: Option<i64>| ticks.map(|ticks| ticks as f64 * self.ms_a_tick);
        self.timeline.packet(ms(packet.dts()), ms(packet.pts()), packet.is_key());
        self.decode_errors += u64::from(self.decoder.send_packet(packet).is_err());
        self.drain()
    }

    fn drain(&mut self) -> Result<(), MediaError> {
        loop {
            let mut frame = frame::Video::empty();
            match self.decoder.receive_frame(&mut frame) {
                Ok(()) => self.show(&mut frame)?,
                Err(FfmpegError::Eof | FfmpegError::Other { errno: errno::EAGAIN }) => return Ok(()),
                Err(_) => {
                    self.decode_errors += 1;
                    return Ok(());
                }
            }
        }
    }

    fn show(&mut self, frame: &mut frame::Video) -> Result<(), MediaError> {
        let usual_ms = self.frame_rate.map_or(0.0, |rate| 1000.0 / rate);
        let stated_ms = frame.timestamp().or(frame.pts()).map(|ticks| ticks as f64 * self.ms_a_tick);
        let long_ms = match frame.packet().duration {
            ticks if ticks > 0 => ticks as f64 * self.ms_a_tick,
            _ => usual_ms,
        };
        self.timeline.picture(stated_ms);
        self.extent.came(long_ms);
        self.decode_errors += u64::from(ffi::is_patched(frame));
        let seen = match &mut self.seen {
            Some(seen) => seen,
            none => {
                let kind = Kind::of(frame)?;
                let (common, _) = shape::common(kind, kind)?;
                let at_ms = stated_ms.unwrap_or(0.0);
                none.insert(Seen {
                    kind,
                    common,
                    converter: Converter::new(common),
                    first_ms: at_ms,
                    last_ms: at_ms,
                    end_ms: at_ms,
                    kept_ms: at_ms,
                    has_times: stated_ms.is_some(),
                })
            }
        };
        // Without a time a picture follows the one before as it usually does.
        let guessed_ms = if self.frames == 0 { seen.first_ms } else { seen.last_ms + usual_ms };
        let at_ms = stated_ms.unwrap_or(guessed_ms);
        (seen.last_ms, seen.end_ms) = (at_ms, at_ms + long_ms);
        self.frames += 1;
        let at_s = (at_ms - seen.first_ms) / 1000.0;
        let picture = seen.converter.convert(frame)?;
        let (luma, full_range) = (&picture.planes[0], seen.common.full_range);
        if is_black(luma, full_range) {
            self.black.begin(at_s);
        } else {
            self.black.end(at_s);
        }
        self.information.look(luma, full_range);
        self.blur.look(luma);
        self.blockiness.look(luma);
        if self.stillness.look(&picture) {
            self.freeze.begin((seen.kept_ms - seen.first_ms) / 1000.0);
        } else {
            self.freeze.end(at_s);
            seen.kept_ms = at_ms;
        }
        Ok(())
    }

    /// What was found.
    pub(super) fn finish(mut self) -> Result<Seeing, String> {
        let _ = self.decoder.send_eof();
        self.drain().map_err(|error| error.to_string())?;
        let Some(seen) = self.seen else { return Err("no picture of the video can be decoded".to_owned()) };
        let shape = seen.kind.shape();
        let end_s = (seen.end_ms - seen.first_ms) / 1000.0;
        let usual_ms = self.frame_rate.map_or(0.0, |rate| 1000.0 / rate);
        let missing_ms = self.extent.missing_ms((seen.first_ms, seen.end_ms), self.decode_errors, usual_ms);
        let early = extent::said("pictures", self.extent.stated_ms(), missing_ms);
        let (si, ti) = self.information.finish();
        let (gop, timestamps) = self.timeline.finish(seen.end_ms);
        let video = VideoInspection {
            codec: self.codec,
            width: shape.width,
            height: shape.height,
            pixel_format: shape.pixel_format,
            frame_rate: self.frame_rate,
            frames: self.frames,
            duration_s: end_s,
            missing_s: missing_ms.map(|ms| ms / 1000.0),
            decode_errors: self.decode_errors,
            black: self.black.finish(end_s),
            freeze: self.freeze.finish(end_s),
            si,
            ti,
            blur: self.blur.finish(),
            blockiness: self.blockiness.finish(),
            gop,
            timestamps,
        };
        Ok(Seeing { video, early, span_ms: seen.has_times.then_some((seen.first_ms, seen.end_ms)) })
    }
}

//! The GStreamer elements of a ladder, made by name; all settings of the encoders live here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flame_media_child::protocol::{AudioRung, Borders, LadderPlan, PictureStep, VideoRung};
use gstreamer as gst;
use gstreamer::prelude::*;

use super::coder;
use crate::{fault::MediaError, scale};

/// Frames that wait between two threads. Few: a frame of 4K takes 12 MiB.
const QUEUE_FRAMES: u32 = 4;
/// VBV buffer in milliseconds at the cap.
pub(super) const VBV_BUFFER_MS: u32 = 2000;
/// What sums of rounded times are off by at most, nanoseconds.
const TIME_ROUNDING_NS: u64 = 1000;
/// More than a picture can need, bits per second.
const OPEN_BPS: u32 = 200_000_000;
/// Threads of a conversion in front of all rungs.
const CONVERT_THREADS: u32 = 2;

/// Makes an element, or names the package that has it.
pub(super) fn make(factory: &str) -> Result<gst::Element, MediaError> {
    gst::ElementFactory::make(factory).build().map_err(|_| {
        MediaError::environment(format!(
            "GStreamer's element {factory} is missing: install Debian's package {}",
            package_of(factory)
        ))
    })
}

/// Makes one of each element that any ladder needs.
pub(super) fn examine() -> Result<(), MediaError> {
    let always = ["tee", "queue", "capsfilter", "x264enc", "avenc_aac", "audiorate", "audioconvert", "audioresample"];
    for factory in always {
        make(factory)?;
    }
    turning(true, 90)?;
    Ok(())
}

/// Debian's package of an element that a ladder needs.
fn package_of(factory: &str) -> &'static str {
    match factory {
        "x264enc" => "gstreamer1.0-plugins-ugly",
        "avenc_aac" => "gstreamer1.0-libav",
        "openh264enc" | "h264parse" => "gstreamer1.0-plugins-bad",
        "deinterlace" | "videoflip" | "videocrop" | "videobox" => "gstreamer1.0-plugins-good",
        "queue" | "tee" | "capsfilter" => "libgstreamer1.0-0",
        _ => "gstreamer1.0-plugins-base",
    }
}

/// A queue that only the number of frames bounds.
fn frame_queue() -> Result<gst::Element, MediaError> {
    let queue = make("queue")?;
    queue.set_property("max-size-buffers", QUEUE_FRAMES);
    queue.set_property("max-size-bytes", 0_u32);
    queue.set_property("max-size-time", 0_u64);
    Ok(queue)
}

/// What stands in front of the tee: deinterlacing, rotation, and the plan's further steps.
pub(super) fn video_front(plan: &LadderPlan) -> Result<Vec<gst::Element>, MediaError> {
    let mut elements = turning(plan.deinterlace, plan.rotation_deg)?;
    for step in &plan.front {
        elements.extend(picture_step(*step)?);
    }
    if !elements.is_empty() {
        // These elements know fewer pixel formats than there are.
        elements.insert(0, convert()?);
        elements.push(convert()?);
    }
    Ok(elements)
}

fn picture_step(step: PictureStep) -> Result<Vec<gst::Element>, MediaError> {
    let pixels = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    let bordered = |factory: &str, sign: i32, borders: Borders| {
        let element = make(factory)?;
        let Borders { left, right, top, bottom } = borders;
        for (side, border) in [("left", left), ("right", right), ("top", top), ("bottom", bottom)] {
            element.set_property(side, sign * pixels(border));
        }
        Ok::<_, MediaError>(element)
    };
    match step {
        PictureStep::Crop(borders) => Ok(vec![bordered("videocrop", 1, borders)?]),
        PictureStep::Pad(borders) => {
            let element = bordered("videobox", -1, borders)?;
            element.set_property_from_str("fill", "black");
            Ok(vec![convert()?, element])
        }
        PictureStep::FrameRate(rate) => {
            let element = make("videorate")?;
            // Running times begin high up; nothing is to be made of the time before.
            element.set_property("skip-to-first", true);
            end_with_its_source(&element);
            let rate = gst::Fraction::new(pixels(rate.num), pixels(rate.den));
            let caps = gst::Caps::builder("video/x-raw").field("framerate", rate).build();
            Ok(vec![element, caps_filter(&caps)?])
        }
    }
}

/// Lets nothing out of a `videorate` that begins where its source has ended: at the end of a stream it closes the segment
/// with one picture more than fits.
fn end_with_its_source(rate: &gst::Element) {
    let (Some(sink), Some(source)) = (rate.static_pad("sink"), rate.static_pad("src")) else { return };
    let end_ns = Arc::new(AtomicU64::new(u64::MAX));
    let seen_ns = Arc::clone(&end_ns);
    sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let end = info.buffer().and_then(|buffer| Some(buffer.pts()? + buffer.duration()?));
        seen_ns.store(end.map_or(u64::MAX, gst::ClockTime::nseconds), Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    source.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let begin_ns = info.buffer().and_then(|buffer| buffer.pts()).map_or(0, gst::ClockTime::nseconds);
        match begin_ns.saturating_add(TIME_ROUNDING_NS) < end_ns.load(Ordering::Relaxed) {
            true => gst::PadProbeReturn::Ok,
            false => gst::PadProbeReturn::Drop,
        }
    });
}

fn turning(deinterlace: bool, rotation_deg: u16) -> Result<Vec<gst::Element>, MediaError> {
    let mut elements = Vec::new();
    if deinterlace {
        let element = make("deinterlace")?;
        // One frame out for each frame in.
        element.set_property_from_str("mode", "interlaced");
        element.set_property_from_str("fields", "top");
        element.set_property_from_str("method", "linear");
        elements.push(element);
    }
    if let Some(direction) = direction(rotation_deg)? {
        let flip = make("videoflip")?;
        flip.set_property_from_str("video-direction", direction);
        elements.extend([convert()?, flip]);
    }
    Ok(elements)
}

fn convert() -> Result<gst::Element, MediaError> {
    let convert = make("videoconvert")?;
    convert.set_property("n-threads", CONVERT_THREADS);
    Ok(convert)
}

fn direction(rotation_deg: u16) -> Result<Option<&'static str>, MediaError> {
    match rotation_deg {
        0 => Ok(None),
        90 => Ok(Some("90r")),
        180 => Ok(Some("180")),
        270 => Ok(Some("90l")),
        other => Err(MediaError::environment(format!("the plan rotates by {other} degrees, not by quarter turns"))),
    }
}

/// Queue, scaler and encoder of one rung, and the caps between them; without an encoder, where FFmpeg encodes behind them.
/// A chunk's encoder begins with a buffer that is full to `fullness` percent.
pub(super) fn video_rung(rung: &VideoRung, fullness: Option<u8>) -> Result<Vec<gst::Element>, MediaError> {
    let dimension = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    let raw = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", dimension(rung.width))
        .field("height", dimension(rung.height))
        .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
        .build();
    let mut elements = vec![frame_queue()?, make(scale::NAME)?, caps_filter(&raw)?];
    let coded = gst::Caps::builder("video/x-h264").field("stream-format", "avc").field("alignment", "au");
    match rung.encoder.as_str() {
        "x264" => elements.extend([x264(rung, fullness)?, caps_filter(&coded.field("profile", "high").build())?]),
        "openh264" => elements.extend([openh264(rung)?, make("h264parse")?, caps_filter(&coded.build())?]),
        other if coder::library_name(other).is_some() => {}
        other => return Err(MediaError::environment(format!("no encoder {other:?} is known"))),
    }
    Ok(elements)
}

/// H.264 by Cisco's library: a fixed quantiser, or a mean. Keyframes come from outside only.
fn openh264(rung: &VideoRung) -> Result<gst::Element, MediaError> {
    let encoder = make("openh264enc")?;
    match rung.mean_bitrate_bps {
        Some(mean_bps) => {
            encoder.set_property_from_str("rate-control", "bitrate");
            encoder.set_property("bitrate", mean_bps);
            encoder.set_property("max-bitrate", rung.max_bitrate_bps);
        }
        None => {
            encoder.set_property_from_str("rate-control", "quality");
            encoder.set_property("qp-min", rung.crf.clamp(1, 51));
            encoder.set_property("qp-max", rung.crf.clamp(1, 51));
            // Above what the quantiser can need, so that it alone decides.
            encoder.set_property("bitrate", OPEN_BPS);
        }
    }
    encoder.set_property("gop-size", 0_u32);
    encoder.set_property("scene-change-detection", false);
    encoder.set_property("enable-frame-skip", false);
    Ok(encoder)
}

/// H.264, constant quality or a mean, capped. Keyframes come from outside only, so that rungs agree on them.
fn x264(rung: &VideoRung, fullness: Option<u8>) -> Result<gst::Element, MediaError> {
    let encoder = make("x264enc")?;
    let known = encoder.find_property("speed-preset").map(|property| property.value_type());
    let preset = known.and_then(gst::glib::EnumClass::with_type).and_then(|class| class.to_value_by_nick(&rung.preset));
    let preset = preset.ok_or_else(|| MediaError::environment(format!("x264 has no preset {:?}", rung.preset)))?;
    encoder.set_property_from_value("speed-preset", &preset);
    let mut options = "scenecut=0:open-gop=0:force-cfr=0".to_owned();
    if let Some(percent) = fullness {
        options.push_str(&format!(":vbv-init={}.{:02}", percent / 100, percent % 100));
    }
    let cap_kbps = rung.max_bitrate_bps.div_ceil(1000);
    match rung.mean_bitrate_bps {
        Some(mean_bps) => {
            encoder.set_property_from_str("pass", "cbr");
            encoder.set_property("bitrate", mean_bps.div_ceil(1000).max(1));
            // The element caps at the mean; a mean needs room above it.
            let buffer_kbit = u64::from(cap_kbps) * u64::from(VBV_BUFFER_MS) / 1000;
            options.push_str(&format!(":vbv-maxrate={cap_kbps}:vbv-bufsize={buffer_kbit}"));
        }
        None => {
            encoder.set_property_from_str("pass", "qual");
            encoder.set_property("quantizer", rung.crf.min(50));
            encoder.set_property("bitrate", cap_kbps.max(1));
        }
    }
    encoder.set_property("vbv-buf-capacity", if rung.max_bitrate_bps == 0 { 0 } else { VBV_BUFFER_MS });
    encoder.set_property("key-int-max", i32::MAX.unsigned_abs());
    encoder.set_property("aud", false);
    encoder.set_property("option-string", options);
    Ok(encoder)
}

/// What makes AAC-LC of any decoded sound. `audiorate` fills holes and drops overlaps, so that counting
/// samples behind it is telling time.
pub(super) fn audio(rung: &AudioRung, gain_db: Option<f64>) -> Result<Vec<gst::Element>, MediaError> {
    let mut elements = mixed(rung, false)?;
    if let Some(gain_db) = gain_db {
        // Floats: nothing is clipped on the way.
        let floats = gst::Caps::builder("audio/x-raw").field("format", "F32LE").field("layout", "interleaved").build();
        elements.extend([make("audioconvert")?, caps_filter(&floats)?]);
        // One element amplifies by 20 dB at most: each does half of it.
        for _ in 0..2 {
            let volume = make("volume")?;
            volume.set_property("volume", 10_f64.powf(gain_db / 40.0));
            elements.push(volume);
        }
        elements.push(make("audioconvert")?);
    }
    let encoder = make("avenc_aac")?;
    encoder.set_property("bitrate", i32::try_from(rung.bitrate_bps).unwrap_or(i32::MAX));
    // FFmpeg decides band by band; the element's default forces it, and sound whose channels differ loses a decibel.
    if encoder.find_property("aac-ms").is_some() {
        encoder.set_property("aac-ms", false);
    }
    elements.push(encoder);
    Ok(elements)
}

/// What gives the samples that the encoder would get, as floats with channels in turn.
pub(super) fn metered(rung: &AudioRung) -> Result<Vec<gst::Element>, MediaError> {
    mixed(rung, true)
}

fn mixed(rung: &AudioRung, as_floats: bool) -> Result<Vec<gst::Element>, MediaError> {
    let rate = make("audiorate")?;
    rate.set_property("skip-to-first", true);
    let raw = gst::Caps::builder("audio/x-raw")
        .field("rate", i32::try_from(rung.sample_rate_hz).unwrap_or(i32::MAX))
        .field("channels", i32::from(rung.channels))
        .field_if_some("format", as_floats.then_some("F32LE"))
        .field_if_some("layout", as_floats.then_some("interleaved"))
        .build();
    Ok(vec![make("audioconvert")?, make("audioresample")?, rate, caps_filter(&raw)?])
}

fn caps_filter(caps: &gst::Caps) -> Result<gst::Element, MediaError> {
    let filter = make("capsfilter")?;
    filter.set_property("caps", caps);
    Ok(filter)
}

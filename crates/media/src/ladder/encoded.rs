//! What comes out of an encoder that is an element: bytes, times, and how they are configured.

use bytes::Bytes;
use flame_cmaf::Colour;
use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::fault::MediaError;

/// What an encoder gave.
pub(super) struct Encoded {
    pub(super) pts_ns: Option<u64>,
    pub(super) duration_ns: Option<u64>,
    pub(super) is_key: bool,
    pub(super) data: Bytes,
}

// === impl Encoded ===

impl Encoded {
    pub(super) fn of(sample: &gst::Sample) -> Result<Self, MediaError> {
        let buffer = sample.buffer().ok_or_else(|| MediaError::environment("the encoder gave an empty sample"))?;
        let data = buffer.map_readable().map_err(|_| MediaError::environment("the encoder's memory is unreadable"))?;
        Ok(Self {
            pts_ns: buffer.pts().map(gst::ClockTime::nseconds),
            duration_ns: buffer.duration().map(gst::ClockTime::nseconds),
            is_key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            data: Bytes::copy_from_slice(&data),
        })
    }
}

pub(super) fn codec_data(sample: &gst::Sample) -> Result<Vec<u8>, MediaError> {
    let caps = sample.caps().and_then(|caps| caps.structure(0));
    let data = caps.and_then(|caps| caps.get::<gst::Buffer>("codec_data").ok());
    let data = data.and_then(|buffer| buffer.map_readable().ok().map(|map| map.to_vec()));
    data.ok_or_else(|| MediaError::environment("the encoder did not say how its stream is configured"))
}

pub(super) fn colour_of(sample: &gst::Sample) -> Option<Colour> {
    let caps = sample.caps().and_then(|caps| caps.structure(0))?;
    let colour: gst_video::VideoColorimetry = caps.get::<&str>("colorimetry").ok()?.parse().ok()?;
    let code = |iso: u32| u16::try_from(iso).ok();
    Some(Colour {
        primaries: code(colour.primaries().to_iso())?,
        transfer: code(colour.transfer().to_iso())?,
        matrix: code(colour.matrix().to_iso())?,
        full_range: colour.range() == gst_video::VideoColorRange::Range0_255,
    })
}

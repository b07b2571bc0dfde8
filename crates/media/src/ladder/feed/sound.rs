//! Decoded sound as a buffer for the pipeline: interleaved, with its channels named.

use ffmpeg_next::{
    format::{Sample, sample::Type},
    frame::Audio,
};
use gstreamer as gst;

use crate::fault::MediaError;

/// FFmpeg counts the side channels from bit 9, GStreamer from bit 10 (it has a second LFE in between).
const SIDE_IN: u64 = 0b11 << 9;
const SIDE_OUT_SHIFT: u32 = 1;
/// Bits that both give the same meaning: front left to back centre.
const COMMON: u64 = (1 << 9) - 1;

/// Converts frames of sound; remembers the newest caps.
#[derive(Default)]
pub(super) struct Sounds {
    caps: Option<((Sample, u32, u16, u64), gst::Caps)>,
}

// === impl Sounds ===

impl Sounds {
    /// The frame as a sample with caps.
    pub(super) fn sample(&mut self, frame: &Audio, running_ns: u64) -> Result<gst::Sample, MediaError> {
        let shape = (frame.format(), frame.rate(), frame.channels(), frame.channel_layout().bits());
        if self.caps.as_ref().is_none_or(|(known, _)| *known != shape) {
            self.caps = Some((shape, caps(frame)?));
        }
        let Some((_, caps)) = &self.caps else {
            return Err(MediaError::environment("sound has no shape"));
        };
        let mut buffer = gst::Buffer::from_mut_slice(interleaved(frame));
        buffer.get_mut().expect("nobody else holds a new buffer").set_pts(gst::ClockTime::from_nseconds(running_ns));
        Ok(gst::Sample::builder().buffer(&buffer).caps(caps).build())
    }
}

fn caps(frame: &Audio) -> Result<gst::Caps, MediaError> {
    let format = match frame.format() {
        Sample::U8(_) => "U8",
        Sample::I16(_) => "S16LE",
        Sample::I32(_) => "S32LE",
        Sample::F32(_) => "F32LE",
        Sample::F64(_) => "F64LE",
        Sample::I64(_) | Sample::None => {
            return Err(MediaError::input(format!("sound as {:?} cannot be processed", frame.format())));
        }
    };
    let channels = frame.channels();
    let builder = gst::Caps::builder("audio/x-raw")
        .field("format", format)
        .field("layout", "interleaved")
        .field("rate", i32::try_from(frame.rate()).unwrap_or(0))
        .field("channels", i32::from(channels));
    let mask = channel_mask(frame.channel_layout().bits(), channels);
    let named = channels > 2 || mask != usual_mask(channels);
    Ok(if named { builder.field("channel-mask", gst::Bitmask::new(mask)).build() } else { builder.build() })
}

/// GStreamer's names of the channels. Without names nothing can be mixed down, so odd layouts get usual ones.
fn channel_mask(layout: u64, channels: u16) -> u64 {
    let known = layout & !(COMMON | SIDE_IN) == 0 && layout.count_ones() == u32::from(channels);
    if !known {
        return usual_mask(channels);
    }
    (layout & COMMON) | ((layout & SIDE_IN) << SIDE_OUT_SHIFT)
}

/// Front left and right, centre, LFE, back left and right and so on, as many as there are.
fn usual_mask(channels: u16) -> u64 {
    match channels {
        1 => 0b100,
        2 => 0b11,
        _ => 1_u64.checked_shl(channels.into()).map_or(u64::MAX, |bit| bit - 1),
    }
}

fn interleaved(frame: &Audio) -> Vec<u8> {
    let (bytes, channels) = (frame.format().bytes(), usize::from(frame.channels()));
    let plane_bytes = frame.samples() * bytes;
    let is_planar = matches!(
        frame.format(),
        Sample::U8(Type::Planar)
            | Sample::I16(Type::Planar)
            | Sample::I32(Type::Planar)
            | Sample::I64(Type::Planar)
            | Sample::F32(Type::Planar)
            | Sample::F64(Type::Planar)
    );
    if !is_planar {
        return frame.data(0)[..plane_bytes * channels].to_vec();
    }
    let mut out = vec![0; plane_bytes * channels];
    for channel in 0..channels {
        let plane = &frame.data(channel)[..plane_bytes];
        for (n, sample) in plane.chunks_exact(bytes).enumerate() {
            let at = (n * channels + channel) * bytes;
            out[at..at + bytes].copy_from_slice(sample);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_keep_their_places() {
        // 5.1 with side channels (0x60f) and with back channels (0x3f).
        assert_eq!(channel_mask(0x60f, 6), 0xc0f);
        assert_eq!(channel_mask(0x3f, 6), 0x3f);
        assert_eq!(channel_mask(0, 6), 0x3f);
        assert_eq!(channel_mask(0x4, 1), 0x4);
        assert_eq!(channel_mask(0x3, 2), 0x3);
        assert_eq!(channel_mask(1 << 40, 1), 0x4);
    }
}

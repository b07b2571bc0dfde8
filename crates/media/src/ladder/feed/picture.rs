//! A decoded frame as a buffer for the pipeline.

use ffmpeg_next::{
    color,
    format::Pixel,
    frame::Video,
    software::scaling::{Context, Flags},
};
use flame_api::media::Rational;
use gstreamer as gst;
use gstreamer_video::{self as gst_video, VideoFormat, VideoFrameExt, VideoInfo, video_frame::VideoBufferExt};

use crate::{
    fault::MediaError,
    ffi::{PADDING_BYTES, SendContext},
    scale::{FORMATS, copy_rows},
};

/// What a pixel format that the pipeline does not know is converted to: nothing of the colour gets lost.
const FALLBACK: (VideoFormat, Pixel) = (VideoFormat::Y444, Pixel::YUV444P);

/// Converts frames; remembers what the newest one needed.
pub(super) struct Pictures {
    frame_rate: Option<Rational>,
    shape: Option<(Shape, Prepared)>,
}

/// What decides about a frame's caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    width: u32,
    height: u32,
    format: Pixel,
    space: color::Space,
    range: color::Range,
    primaries: color::Primaries,
    transfer: color::TransferCharacteristic,
    interlaced: bool,
}

struct Prepared {
    info: VideoInfo,
    caps: gst::Caps,
    /// Into [`FALLBACK`], where that is needed.
    converter: Option<SendContext>,
}

// === impl Pictures ===

impl Pictures {
    pub(super) fn new(frame_rate: Option<Rational>) -> Self {
        Self { frame_rate, shape: None }
    }

    /// The frame as a sample with caps.
    pub(super) fn sample(
        &mut self,
        frame: &Video,
        running_ns: u64,
        duration_ns: Option<u64>,
    ) -> Result<gst::Sample, MediaError> {
        let shape = Shape::of(frame);
        if self.shape.as_ref().is_none_or(|(known, _)| *known != shape) {
            self.shape = Some((shape, Prepared::new(shape, self.frame_rate)?));
        }
        let Some((_, prepared)) = &mut self.shape else {
            return Err(MediaError::environment("a frame has no shape"));
        };
        let mut converted = Video::empty();
        let frame_in = match &mut prepared.converter {
            Some(SendContext(converter)) => {
                converter
                    .run(frame, &mut converted)
                    .map_err(|error| MediaError::input(format!("a frame of the video cannot be converted: {error}")))?;
                &converted
            }
            None => frame,
        };
        let mut buffer = prepared.copy(frame_in)?;
        {
            let buffer = buffer.get_mut().expect("nobody else holds a new buffer");
            buffer.set_pts(gst::ClockTime::from_nseconds(running_ns));
            buffer.set_duration(duration_ns.map(gst::ClockTime::from_nseconds));
            if shape.interlaced {
                let mut flags = gst_video::VideoBufferFlags::INTERLACED;
                flags.set(gst_video::VideoBufferFlags::TFF, frame.is_top_first());
                buffer.set_video_flags(flags);
            }
        }
        Ok(gst::Sample::builder().buffer(&buffer).caps(&prepared.caps).build())
    }
}

// === impl Shape ===

impl Shape {
    fn of(frame: &Video) -> Self {
        Self {
            width: frame.width(),
            height: frame.height(),
            format: frame.format(),
            space: frame.color_space(),
            range: frame.color_range(),
            primaries: frame.color_primaries(),
            transfer: frame.color_transfer_characteristic(),
            interlaced: frame.is_interlaced(),
        }
    }
}

// === impl Prepared ===

impl Prepared {
    fn new(shape: Shape, frame_rate: Option<Rational>) -> Result<Self, MediaError> {
        let (width, height) = (shape.width, shape.height);
        let refused = |what: &dyn std::fmt::Display| {
            MediaError::input(format!("frames of {width}x{height} in {:?} cannot be processed: {what}", shape.format))
        };
        // The formats with a J are full range, which the colorimetry says.
        let plain = match shape.format {
            Pixel::YUVJ420P => Pixel::YUV420P,
            Pixel::YUVJ422P => Pixel::YUV422P,
            Pixel::YUVJ444P => Pixel::YUV444P,
            other => other,
        };
        let known = FORMATS.iter().copied().find(|(_, format)| *format == plain);
        let converter = match known {
            Some(_) => None,
            None => {
                let flags = Flags::BICUBIC | Flags::ACCURATE_RND | Flags::FULL_CHR_H_INP;
                let context = Context::get(shape.format, width, height, FALLBACK.1, width, height, flags);
                Some(SendContext(context.map_err(|error| refused(&error))?))
            }
        };
        let (format, _) = known.unwrap_or(FALLBACK);
        let fps = frame_rate
            .and_then(|rate| Some(gst::Fraction::new(i32::try_from(rate.num).ok()?, i32::try_from(rate.den).ok()?)));
        let default = VideoInfo::builder(format, width, height).build().map_err(|error| refused(&error))?;
        let colorimetry = shape.colorimetry(&default.colorimetry(), converter.is_some());
        let interlace_mode = if shape.interlaced {
            gst_video::VideoInterlaceMode::Interleaved
        } else {
            gst_video::VideoInterlaceMode::Progressive
        };
        let info = VideoInfo::builder(format, width, height)
            .fps(fps.unwrap_or(gst::Fraction::new(0, 1)))
            .colorimetry(&colorimetry)
            .interlace_mode(interlace_mode)
            .build()
            .map_err(|error| refused(&error))?;
        let caps = info.to_caps().map_err(|error| refused(&error))?;
        Ok(Self { info, caps, converter })
    }

    fn copy(&self, frame: &Video) -> Result<gst::Buffer, MediaError> {
        let no_memory = |_| MediaError::environment("there is no memory for a frame");
        // With room behind it the scalers can read it where it lies.
        let buffer = gst::Buffer::with_size(self.info.size() + PADDING_BYTES).map_err(no_memory)?;
        let mut target = gst_video::VideoFrame::from_buffer_writable(buffer, &self.info)
            .map_err(|_| MediaError::environment("a frame's memory cannot be written"))?;
        for plane in 0..target.n_planes() {
            let n = plane as usize;
            let stride = usize::try_from(target.plane_stride()[n]).unwrap_or(0);
            let rows = target.plane_data_mut(plane).map_err(no_memory)?;
            copy_rows(frame.data(n), frame.stride(n), rows, stride);
        }
        Ok(target.into_buffer())
    }
}

impl Shape {
    /// FFmpeg and GStreamer both count as ITU-T H.273 does; what the file leaves open is guessed by size, as
    /// `default` does. RGB becomes what swscale makes of it: BT.601, limited range.
    fn colorimetry(self, default: &gst_video::VideoColorimetry, converted: bool) -> gst_video::VideoColorimetry {
        use gst_video::{VideoColorMatrix, VideoColorPrimaries, VideoColorRange, VideoTransferFunction};
        let is_j = matches!(self.format, Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P);
        let range = match self.range {
            _ if converted => VideoColorRange::Range16_235,
            color::Range::JPEG => VideoColorRange::Range0_255,
            color::Range::Unspecified if is_j => VideoColorRange::Range0_255,
            color::Range::Unspecified | color::Range::MPEG => VideoColorRange::Range16_235,
        };
        let matrix = match VideoColorMatrix::from_iso(crate::ffi::matrix_code(self.space)) {
            _ if converted => VideoColorMatrix::Bt601,
            VideoColorMatrix::Unknown | VideoColorMatrix::Rgb => default.matrix(),
            known => known,
        };
        let transfer = match VideoTransferFunction::from_iso(crate::ffi::transfer_code(self.transfer)) {
            VideoTransferFunction::Unknown => default.transfer(),
            known => known,
        };
        let primaries = match VideoColorPrimaries::from_iso(crate::ffi::primaries_code(self.primaries)) {
            VideoColorPrimaries::Unknown => default.primaries(),
            known => known,
        };
        gst_video::VideoColorimetry::new(range, matrix, transfer, primaries)
    }
}

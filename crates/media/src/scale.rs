//! A GStreamer element around FFmpeg's swscale: size and pixel format in one pass, bicubic.
//!
//! GStreamer's own scaler takes several times the processor time for the same quality, and a ladder scales
//! every frame several times. The element stretches to whatever its output caps say and ignores pixel
//! aspect ratios: the plan has computed the sizes. swscale's vector code reads and writes past the end of a
//! row, which FFmpeg pads for and GStreamer does not: so the output, and any input without room behind it,
//! goes through a frame of FFmpeg's own.

use ffmpeg_next::format::Pixel;
use gst_video::{VideoFormat, glib, gst, gst_base};
use gstreamer_video as gst_video;

/// The element's name, once [`register`] was called.
pub(crate) const NAME: &str = "flamescale";

/// What is taken in, and FFmpeg's name for it. Anything else is converted beforehand.
pub(crate) const FORMATS: [(VideoFormat, Pixel); 12] = [
    (VideoFormat::I420, Pixel::YUV420P),
    (VideoFormat::Nv12, Pixel::NV12),
    (VideoFormat::Y42b, Pixel::YUV422P),
    (VideoFormat::Y444, Pixel::YUV444P),
    (VideoFormat::Y41b, Pixel::YUV411P),
    (VideoFormat::Yuy2, Pixel::YUYV422),
    (VideoFormat::Uyvy, Pixel::UYVY422),
    (VideoFormat::I42010le, Pixel::YUV420P10LE),
    (VideoFormat::I42210le, Pixel::YUV422P10LE),
    (VideoFormat::Y44410le, Pixel::YUV444P10LE),
    (VideoFormat::I42012le, Pixel::YUV420P12LE),
    (VideoFormat::P01010le, Pixel::P010LE),
];

/// Registers the element with GStreamer.
pub(crate) fn register() -> Result<(), glib::BoolError> {
    use glib::types::StaticType;
    gst::Element::register(None, NAME, gst::Rank::NONE, Scale::static_type())
}

glib::wrapper! {
    /// The element. Its output caps decide the size; the output format is always I420.
    pub struct Scale(ObjectSubclass<imp::Scale>)
        @extends gst_video::VideoFilter, gst_base::BaseTransform, gst::Element, gst::Object;
}

mod imp {
    // The attribute below expands to the trait impl that makes a GObject class.
    #![allow(unsafe_code)]

    use std::sync::{Mutex, OnceLock};

    use ffmpeg_next::{
        format::Pixel,
        frame::Video,
        software::scaling::{Context, Flags},
    };
    use gst_video::{VideoFormat, VideoFrameExt, VideoFrameRef, VideoInfo, glib, gst, gst_base, subclass::prelude::*};
    use gstreamer_video as gst_video;

    use super::{FORMATS, copy_rows};
    use crate::ffi::{PADDING_BYTES, Plane, SendContext};

    #[derive(Default)]
    pub struct Scale {
        state: Mutex<Option<State>>,
    }

    /// What one pair of caps needs.
    struct State {
        context: SendContext,
        input: Video,
        output: Video,
    }

    // === impl Scale ===

    #[glib::object_subclass]
    impl ObjectSubclass for Scale {
        const NAME: &'static str = "FlameScale";
        type Type = super::Scale;
        type ParentType = gst_video::VideoFilter;
    }

    impl ObjectImpl for Scale {}

    impl GstObjectImpl for Scale {}

    impl ElementImpl for Scale {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: OnceLock<gst::subclass::ElementMetadata> = OnceLock::new();
            Some(METADATA.get_or_init(|| {
                gst::subclass::ElementMetadata::new(
                    "Scaler",
                    "Filter/Converter/Video/Scaler",
                    "Scales and converts to I420 with swscale",
                    "FLAME",
                )
            }))
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: OnceLock<Vec<gst::PadTemplate>> = OnceLock::new();
            TEMPLATES.get_or_init(|| {
                let template = |name, direction, formats: &[VideoFormat]| {
                    let caps = gst_video::VideoCapsBuilder::new().format_list(formats.iter().copied()).build();
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps)
                        .expect("name, direction and caps are constants that fit")
                };
                vec![
                    template("sink", gst::PadDirection::Sink, &FORMATS.map(|(format, _)| format)),
                    template("src", gst::PadDirection::Src, &[VideoFormat::I420]),
                ]
            })
        }
    }

    impl BaseTransformImpl for Scale {
        const MODE: gst_base::subclass::BaseTransformMode = gst_base::subclass::BaseTransformMode::NeverInPlace;
        const PASSTHROUGH_ON_SAME_CAPS: bool = true;
        const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

        fn transform_caps(
            &self,
            direction: gst::PadDirection,
            caps: &gst::Caps,
            filter: Option<&gst::Caps>,
        ) -> Option<gst::Caps> {
            let mut other = gst::Caps::new_empty();
            {
                let other = other.get_mut().expect("nobody else holds new caps");
                for structure in caps.iter() {
                    let mut structure = structure.to_owned();
                    structure.remove_fields(["width", "height", "pixel-aspect-ratio", "interlace-mode", "field-order"]);
                    match direction {
                        gst::PadDirection::Sink => structure.set("format", VideoFormat::I420.to_str()),
                        gst::PadDirection::Src | gst::PadDirection::Unknown => {
                            // Chroma positions follow the format, which may differ on that side.
                            structure.remove_field("chroma-site");
                            structure.set("format", gst::List::new(FORMATS.map(|(format, _)| format.to_str())));
                        }
                    }
                    other.append_structure(structure);
                }
            }
            Some(match filter {
                Some(filter) => filter.intersect_with_mode(&other, gst::CapsIntersectMode::First),
                None => other,
            })
        }
    }

    impl VideoFilterImpl for Scale {
        fn set_info(
            &self,
            _incaps: &gst::Caps,
            in_info: &VideoInfo,
            _outcaps: &gst::Caps,
            out_info: &VideoInfo,
        ) -> Result<(), gst::LoggableError> {
            let format = FORMATS.iter().find(|(format, _)| *format == in_info.format());
            let (_, format) = format.ok_or_else(|| gst::loggable_error!(gst::CAT_RUST, "unknown pixel format"))?;
            let (in_width, in_height) = (in_info.width(), in_info.height());
            let (out_width, out_height) = (out_info.width(), out_info.height());
            let context =
                Context::get(*format, in_width, in_height, Pixel::YUV420P, out_width, out_height, Flags::BICUBIC)
                    .map_err(|error| gst::loggable_error!(gst::CAT_RUST, "no scaling context: {}", error))?;
            *self.state.lock().expect("no panic while it is held") = Some(State {
                context: SendContext(context),
                input: Video::new(*format, in_width, in_height),
                output: Video::new(Pixel::YUV420P, out_width, out_height),
            });
            Ok(())
        }

        fn transform_frame(
            &self,
            inframe: &VideoFrameRef<&gst::BufferRef>,
            outframe: &mut VideoFrameRef<&mut gst::BufferRef>,
        ) -> Result<gst::FlowSuccess, gst::FlowError> {
            let mut state = self.state.lock().expect("no panic while it is held");
            let State { context, input, output } = state.as_mut().ok_or(gst::FlowError::NotNegotiated)?;
            let n_planes = inframe.n_planes();
            let strides = inframe.plane_stride();
            let planes = (0..n_planes)
                .map(|n| {
                    let bytes = inframe.plane_data(n).map_err(|_| gst::FlowError::Error)?;
                    Ok(Plane { bytes, stride_bytes: stride_bytes(strides[n as usize])? })
                })
                .collect::<Result<Vec<_>, gst::FlowError>>()?;
            if is_padded(inframe, &planes) {
                // SAFETY: `is_padded` has looked.
                if !unsafe { context.scale(&planes, output) } {
                    return Err(gst::FlowError::NotNegotiated);
                }
            } else {
                for (n, plane) in planes.iter().enumerate() {
                    let stride = input.stride(n);
                    copy_rows(plane.bytes, plane.stride_bytes, input.data_mut(n), stride);
                }
                context.0.run(input, output).map_err(|_| gst::FlowError::Error)?;
            }
            for plane in 0..outframe.n_planes() {
                let stride = outframe.plane_stride()[plane as usize];
                let rows = outframe.plane_data_mut(plane).map_err(|_| gst::FlowError::Error)?;
                copy_rows(output.data(plane as usize), output.stride(plane as usize), rows, stride_bytes(stride)?);
            }
            Ok(gst::FlowSuccess::Ok)
        }
    }

    /// Whether behind every plane, and so behind the last, there is room that swscale may read. The planes are
    /// mapped in one piece if the buffer has one memory only.
    fn is_padded(frame: &VideoFrameRef<&gst::BufferRef>, planes: &[Plane<'_>]) -> bool {
        let ends = frame.plane_offset().iter().zip(planes).map(|(offset, plane)| offset + plane.bytes.len());
        let end = ends.max().unwrap_or(usize::MAX);
        frame.buffer().n_memory() == 1
            && end.checked_add(PADDING_BYTES).is_some_and(|needed| frame.buffer().size() >= needed)
    }

    fn stride_bytes(stride: i32) -> Result<usize, gst::FlowError> {
        usize::try_from(stride).ok().filter(|&stride| stride > 0).ok_or(gst::FlowError::NotSupported)
    }
}

/// Copies row by row; what one side pads more than the other is left alone.
pub(crate) fn copy_rows(from: &[u8], from_stride: usize, to: &mut [u8], to_stride: usize) {
    if from_stride == to_stride {
        let length = from.len().min(to.len());
        to[..length].copy_from_slice(&from[..length]);
        return;
    }
    for (from, to) in from.chunks(from_stride).zip(to.chunks_mut(to_stride)) {
        let length = from.len().min(to.len());
        to[..length].copy_from_slice(&from[..length]);
    }
}

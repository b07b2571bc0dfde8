//! The wall to FFmpeg's C structures: what the safe bindings do not show.
//!
//! Everything unsafe about FFmpeg is in this file, but for one call from `scale`. Most functions read plain
//! numbers out of a structure that their argument keeps alive; none keeps a pointer.
#![allow(unsafe_code)]

use ffmpeg_next::{
    Rational, Stream, codec, color, encoder,
    ffi::{
        AV_INPUT_BUFFER_PADDING_SIZE, AV_PIX_FMT_FLAG_BITSTREAM, AV_PIX_FMT_FLAG_HWACCEL, AV_PIX_FMT_FLAG_PAL,
        AV_PIX_FMT_FLAG_RGB, AVColorPrimaries, AVColorSpace, AVColorTransferCharacteristic, AVDiscard,
        AVDurationEstimationMethod, av_find_program_from_stream, av_image_get_linesize, av_mallocz,
        av_pix_fmt_count_planes, sws_getCoefficients, sws_getColorspaceDetails, sws_scale, sws_setColorspaceDetails,
    },
    format::{self, Pixel},
    frame,
    software::scaling,
};

/// A scaling context that may move between threads, one user at a time.
pub(crate) struct SendContext(pub(crate) scaling::Context);

// SAFETY: an `SwsContext` has no thread affinity (FFmpeg's own filter graph hands it from thread to thread);
// it only must not be used by two threads at once, which `&mut` in `scaling::Context::run` guarantees.
unsafe impl Send for SendContext {}

/// Bytes behind the last row of a picture that swscale's vector code may read.
pub(crate) const PADDING_BYTES: usize = 64;

/// One plane of a picture in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plane<'a> {
    /// All its rows.
    pub(crate) bytes: &'a [u8],
    /// From row to row.
    pub(crate) stride_bytes: usize,
}

// === impl SendContext ===

impl SendContext {
    /// Scales a picture that lies in foreign memory into `output`. False if the planes are not those of the
    /// context's input format and size, or `output` is not of its output format and size; nothing is done then.
    ///
    /// # Safety
    /// Behind each plane another [`PADDING_BYTES`] bytes may be read.
    pub(crate) unsafe fn scale(&mut self, planes: &[Plane<'_>], output: &mut frame::Video) -> bool {
        let (input, wanted) = (*self.0.input(), *self.0.output());
        let Some(descriptor) = input.format.descriptor() else { return false };
        let is_complete = |(n, plane): (usize, &Plane<'_>)| {
            let shift = if n == 0 { 0 } else { u32::from(descriptor.log2_chroma_h()) };
            let rows = (input.height + (1 << shift) - 1) >> shift;
            // SAFETY: a function of numbers.
            let row_bytes = unsafe {
                av_image_get_linesize(
                    input.format.into(),
                    i32::try_from(input.width).unwrap_or(i32::MAX),
                    i32::try_from(n).unwrap_or(i32::MAX),
                )
            };
            usize::try_from(row_bytes).is_ok_and(|row_bytes| row_bytes > 0 && row_bytes <= plane.stride_bytes)
                && plane.stride_bytes <= i32::MAX as usize
                && plane.bytes.len() >= plane.stride_bytes * rows as usize
        };
        let input_fits = planes.len() == plane_count(input.format) && planes.iter().enumerate().all(is_complete);
        let output_fits = output.format() == wanted.format
            && output.width() == wanted.width
            && output.height() == wanted.height
            && output.planes() > 0;
        if !input_fits || !output_fits {
            return false;
        }
        let mut data = [std::ptr::null(); 4];
        let mut strides = [0; 4];
        for (n, plane) in planes.iter().enumerate() {
            data[n] = plane.bytes.as_ptr();
            strides[n] = i32::try_from(plane.stride_bytes).unwrap_or(0);
        }
        // SAFETY: every plane that the input format has was checked to hold its rows, and the caller vouches
        // for the padding; the output was allocated by FFmpeg in the context's output format and size.
        unsafe {
            sws_scale(
                self.0.as_mut_ptr(),
                data.as_ptr(),
                strides.as_ptr(),
                0,
                i32::try_from(input.height).unwrap_or(0),
                (*output.as_mut_ptr()).data.as_ptr(),
                (*output.as_mut_ptr()).linesize.as_ptr(),
            );
        }
        true
    }
}

/// Planes of a pixel format, at most 4.
fn plane_count(format: Pixel) -> usize {
    // SAFETY: a function of a number.
    usize::try_from(unsafe { av_pix_fmt_count_planes(format.into()) }).unwrap_or(0)
}

/// Bytes of a row and number of rows of each plane, where samples lie without gaps; `None` for a format whose samples do not.
pub(crate) fn packed_planes(format: Pixel, width: u32, height: u32) -> Option<Vec<(usize, usize)>> {
    let shift = u32::from(format.descriptor()?.log2_chroma_h());
    let width = i32::try_from(width).ok()?;
    let plane = |n: usize| {
        let rows = if matches!(n, 1 | 2) { height.div_ceil(1 << shift) } else { height };
        let number = i32::try_from(n).ok()?;
        // SAFETY: a function of numbers.
        let row_bytes = unsafe { av_image_get_linesize(format.into(), width, number) };
        let row_bytes = usize::try_from(row_bytes).ok().filter(|bytes| *bytes > 0)?;
        Some((row_bytes, usize::try_from(rows).ok()?))
    };
    let planes: Option<Vec<_>> = (0..plane_count(format)).map(plane).collect();
    planes.filter(|planes| !planes.is_empty())
}

/// The pixel aspect ratio that the container states, 0/x if it does not. Matroska has it nowhere else.
pub(crate) fn container_pixel_aspect(stream: &Stream<'_>) -> Rational {
    // SAFETY: the stream borrows its context, which owns the `AVStream`; a plain field is copied.
    unsafe { (*stream.as_ptr()).sample_aspect_ratio }.into()
}

/// Whether a programme of a transport stream that has the stream `one` has `other` too; true where `one` is in none.
pub(crate) fn share_a_programme(context: &format::context::Input, one: usize, other: usize) -> bool {
    let (Ok(one), Ok(other)) = (i32::try_from(one), u32::try_from(other)) else { return false };
    let mut programme = std::ptr::null_mut();
    let mut is_in_any = false;
    loop {
        // SAFETY: `context` keeps the `AVFormatContext` and its programmes alive, which are only read; the function walks
        // from one programme to the next, and ends with null.
        programme = unsafe { av_find_program_from_stream(context.as_ptr().cast_mut(), programme, one) };
        if programme.is_null() {
            return !is_in_any;
        }
        is_in_any = true;
        // SAFETY: a programme's list has as many entries as it says.
        let has_other = unsafe {
            let count = usize::try_from((*programme).nb_stream_indexes).unwrap_or(0);
            (0..count).any(|at| *(*programme).stream_index.add(at) == other)
        };
        if has_other {
            return true;
        }
    }
}

/// Sample rate and channels that the container states; 0 if it does not.
pub(crate) fn audio_parameters(stream: &Stream<'_>) -> (u32, u16) {
    let parameters = stream.parameters();
    // SAFETY: `parameters` keeps the `AVCodecParameters` alive; plain fields are copied.
    let (rate, channels) = unsafe { ((*parameters.as_ptr()).sample_rate, (*parameters.as_ptr()).channels) };
    (u32::try_from(rate).unwrap_or(0), u16::try_from(channels).unwrap_or(0))
}

/// What an open encoder says ahead of its stream: parameter sets, a sequence header; empty if nothing.
pub(crate) fn extradata(open: &encoder::video::Encoder) -> Vec<u8> {
    // SAFETY: `open` keeps the `AVCodecContext` alive, which owns as many bytes as it says; they are copied.
    unsafe {
        let (data, size) = ((*open.as_ptr()).extradata, (*open.as_ptr()).extradata_size);
        match usize::try_from(size) {
            Ok(size) if !data.is_null() => std::slice::from_raw_parts(data, size).to_vec(),
            Ok(_) | Err(_) => Vec::new(),
        }
    }
}

/// Tells a decoder that is not open yet what stands ahead of its stream: the record of an init segment. `None` without memory.
pub(crate) fn set_extradata(context: &mut codec::Context, record: &[u8]) -> Option<()> {
    let size = i32::try_from(record.len()).ok()?;
    let padded = record.len().checked_add(usize::try_from(AV_INPUT_BUFFER_PADDING_SIZE).ok()?)?;
    // SAFETY: the memory is FFmpeg's own and as long as the record and the padding that decoders read; the context, which `context`
    // owns, frees it. What it had before is none: a decoder is given its record once, before it is opened.
    unsafe {
        if !(*context.as_ptr()).extradata.is_null() {
            return None;
        }
        let data = av_mallocz(padded).cast::<u8>();
        if data.is_null() {
            return None;
        }
        std::ptr::copy_nonoverlapping(record.as_ptr(), data, record.len());
        (*context.as_mut_ptr()).extradata = data;
        (*context.as_mut_ptr()).extradata_size = size;
    }
    Some(())
}

/// How samples of a pixel format lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Shifts of chroma against luma: horizontal, vertical. A grey picture has those of 4:2:0.
    pub(crate) chroma_shifts: (u32, u32),
    /// Bits of a sample.
    pub(crate) bits: u8,
    /// Whether it is no YUV.
    pub(crate) is_rgb: bool,
}

/// The layout of a pixel format; `None` for one that has no samples in memory.
pub(crate) fn layout(format: Pixel) -> Option<Layout> {
    let descriptor = format.descriptor()?;
    // SAFETY: descriptors are constants of the library; plain fields are copied.
    let (components, flags) = unsafe { ((*descriptor.as_ptr()).nb_components, (*descriptor.as_ptr()).flags) };
    let has = |flag: i32| flags & u64::from(flag.unsigned_abs()) != 0;
    if has(AV_PIX_FMT_FLAG_HWACCEL) || has(AV_PIX_FMT_FLAG_BITSTREAM) {
        return None;
    }
    let is_grey = components < 3;
    let chroma_shifts = (u32::from(descriptor.log2_chroma_w()), u32::from(descriptor.log2_chroma_h()));
    Some(Layout {
        chroma_shifts: if is_grey { (1, 1) } else { chroma_shifts },
        bits: bit_depth(format)?,
        is_rgb: has(AV_PIX_FMT_FLAG_RGB) || has(AV_PIX_FMT_FLAG_PAL),
    })
}

/// Has the demuxer leave out all streams but these: of an HLS playlist only their renditions are fetched.
pub(crate) fn leave_out_all_but(context: &mut format::context::Input, wanted: &[usize]) {
    for mut stream in context.streams_mut() {
        let is_wanted = wanted.contains(&stream.index());
        let discard = if is_wanted { AVDiscard::AVDISCARD_DEFAULT } else { AVDiscard::AVDISCARD_ALL };
        // SAFETY: the stream borrows its context, which owns the `AVStream`; a plain field is set.
        unsafe { (*stream.as_mut_ptr()).discard = discard };
    }
}

/// Whether the length of an input stands in it: it is neither guessed from a bit rate nor measured by looking at its end.
pub(crate) fn states_duration(context: &format::context::Input) -> bool {
    // SAFETY: `context` keeps the `AVFormatContext` alive; a plain field is copied.
    let method = unsafe { (*context.as_ptr()).duration_estimation_method };
    method == AVDurationEstimationMethod::AVFMT_DURATION_FROM_STREAM
}

/// Whether a decoder has made up a part of a picture, because it could not decode that.
pub(crate) fn is_patched(frame: &frame::Video) -> bool {
    // SAFETY: `frame` keeps the `AVFrame` alive; a plain field is copied.
    unsafe { (*frame.as_ptr()).decode_error_flags != 0 }
}

/// Bits per sample of the format's first component.
pub(crate) fn bit_depth(format: Pixel) -> Option<u8> {
    let descriptor = format.descriptor()?;
    // SAFETY: descriptors are constants of the library; a plain field is copied.
    let depth = unsafe { (*descriptor.as_ptr()).comp[0].depth };
    u8::try_from(depth).ok()
}

/// Code point of ITU-T H.273 (`MatrixCoefficients`), whose numbers FFmpeg uses.
pub(crate) fn matrix_code(space: color::Space) -> u32 {
    AVColorSpace::from(space) as u32
}

/// Has a scaler go between RGB and YUV by this matrix (ITU-T H.273, `MatrixCoefficients`); without it goes by BT.601's. False where it cannot.
pub(crate) fn set_matrix(scaler: &mut scaling::Context, matrix: u32) -> bool {
    let Ok(matrix) = i32::try_from(matrix) else { return false };
    let (mut inverse, mut table) = (std::ptr::null_mut(), std::ptr::null_mut());
    let [mut from, mut to, mut brightness, mut contrast, mut saturation] = [0; 5];
    // SAFETY: the context is initialised, the pointers are to locals, and the coefficients are constants of the library.
    unsafe {
        let scaler = scaler.as_mut_ptr();
        let wanted = sws_getCoefficients(matrix);
        sws_getColorspaceDetails(
            scaler,
            &raw mut inverse,
            &raw mut from,
            &raw mut table,
            &raw mut to,
            &raw mut brightness,
            &raw mut contrast,
            &raw mut saturation,
        ) >= 0
            && sws_setColorspaceDetails(scaler, wanted, from, wanted, to, brightness, contrast, saturation) >= 0
    }
}

/// Code point of ITU-T H.273 (`TransferCharacteristics`).
pub(crate) fn transfer_code(transfer: color::TransferCharacteristic) -> u32 {
    AVColorTransferCharacteristic::from(transfer) as u32
}

/// Code point of ITU-T H.273 (`ColourPrimaries`).
pub(crate) fn primaries_code(primaries: color::Primaries) -> u32 {
    AVColorPrimaries::from(primaries) as u32
}

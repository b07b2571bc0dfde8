//! The wall to FFmpeg's C structures: the few fields that the safe bindings do not show.
//!
//! Everything unsafe of this crate is in this file; each function reads plain numbers out of a structure
//! that its argument keeps alive, and keeps no pointer.
#![allow(unsafe_code)]

use ffmpeg_next::{
    Rational, Stream, color,
    ffi::{AVColorPrimaries, AVColorSpace, AVColorTransferCharacteristic},
    format::Pixel,
    software::scaling,
};

/// A scaling context that may move between threads, one user at a time.
pub(crate) struct SendContext(pub(crate) scaling::Context);

// SAFETY: an `SwsContext` has no thread affinity (FFmpeg's own filter graph hands it from thread to thread);
// it only must not be used by two threads at once, which `&mut` in `scaling::Context::run` guarantees.
unsafe impl Send for SendContext {}

/// The pixel aspect ratio that the container states, 0/x if it does not. Matroska has it nowhere else.
pub(crate) fn container_pixel_aspect(stream: &Stream<'_>) -> Rational {
    // SAFETY: the stream borrows its context, which owns the `AVStream`; a plain field is copied.
    unsafe { (*stream.as_ptr()).sample_aspect_ratio }.into()
}

/// Sample rate and channels that the container states; 0 if it does not.
pub(crate) fn audio_parameters(stream: &Stream<'_>) -> (u32, u16) {
    let parameters = stream.parameters();
    // SAFETY: `parameters` keeps the `AVCodecParameters` alive; plain fields are copied.
    let (rate, channels) = unsafe { ((*parameters.as_ptr()).sample_rate, (*parameters.as_ptr()).channels) };
    (u32::try_from(rate).unwrap_or(0), u16::try_from(channels).unwrap_or(0))
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

/// Code point of ITU-T H.273 (`TransferCharacteristics`).
pub(crate) fn transfer_code(transfer: color::TransferCharacteristic) -> u32 {
    AVColorTransferCharacteristic::from(transfer) as u32
}

/// Code point of ITU-T H.273 (`ColourPrimaries`).
pub(crate) fn primaries_code(primaries: color::Primaries) -> u32 {
    AVColorPrimaries::from(primaries) as u32
}

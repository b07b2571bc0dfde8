//! What GStreamer's error messages mean. Decoding is not its work here, so the input is rarely at fault.

use gstreamer as gst;

use crate::fault::MediaError;

/// Translates an error message of the bus.
pub(super) fn failure(message: &gst::message::Error) -> MediaError {
    use gst::prelude::GstObjectExt;
    let error = message.error();
    let element = message.src().map(|source| source.name()).unwrap_or_default();
    if error.matches(gst::ResourceError::NoSpaceLeft) {
        return MediaError::environment(format!("the disk is full: {error} ({element})"));
    }
    if error.matches(gst::CoreError::MissingPlugin) {
        return MediaError::environment(format!("a plugin of GStreamer is missing: {error} ({element})"));
    }
    if error.matches(gst::CoreError::Negotiation) || error.matches(gst::StreamError::Format) {
        return MediaError::input(format!("the file changes its format in a way that cannot be followed: {error}"));
    }
    MediaError::environment(format!("the media pipeline failed: {error} ({element})"))
}

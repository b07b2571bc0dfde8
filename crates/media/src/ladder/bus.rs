//! What GStreamer's error messages mean for the person who uploaded the file.

use gstreamer::{self as gst, prelude::*};

use crate::fault::MediaError;

/// Collects what the pipeline says about plugins that it lacks.
#[derive(Debug, Default)]
pub(super) struct MissingPlugins {
    descriptions: Vec<String>,
}

// === impl MissingPlugins ===

impl MissingPlugins {
    /// Remembers the message if it names a missing plugin.
    pub(super) fn note(&mut self, message: &gst::message::Element) {
        let Some(structure) = message.structure().filter(|structure| structure.name() == "missing-plugin") else {
            return;
        };
        let name = structure.get::<String>("name").unwrap_or_else(|_| "an unknown format".to_owned());
        if !self.descriptions.contains(&name) {
            self.descriptions.push(name);
        }
    }

    /// The failure, if a plugin is missing.
    pub(super) fn failure(&self) -> Option<MediaError> {
        (!self.descriptions.is_empty()).then(|| {
            MediaError::environment(format!(
                "GStreamer has no plugin for: {}; Debian's packages gstreamer1.0-libav, -plugins-good, -plugins-bad \
                 and -plugins-ugly hold the usual ones",
                self.descriptions.join(", ")
            ))
        })
    }
}

/// Translates an error message of the bus.
pub(super) fn failure(message: &gst::message::Error, missing: &MissingPlugins) -> MediaError {
    let error = message.error();
    let detail = format!("{error} ({})", message.src().map(|source| source.name()).unwrap_or_default());
    if let Some(kind) = error.kind::<gst::StreamError>() {
        return stream_failure(kind, &detail, missing);
    }
    if error.matches(gst::ResourceError::NoSpaceLeft) {
        return MediaError::environment(format!("the disk is full: {detail}"));
    }
    if error.matches(gst::CoreError::MissingPlugin) {
        return missing.failure().unwrap_or_else(|| MediaError::environment(format!("a plugin is missing: {detail}")));
    }
    MediaError::environment(format!("the media pipeline failed: {detail}"))
}

fn stream_failure(kind: gst::StreamError, detail: &str, missing: &MissingPlugins) -> MediaError {
    match kind {
        gst::StreamError::CodecNotFound => {
            missing.failure().unwrap_or_else(|| MediaError::environment(format!("no decoder is installed: {detail}")))
        }
        gst::StreamError::TypeNotFound | gst::StreamError::WrongType => {
            MediaError::input(format!("this is not a media file that can be decoded: {detail}"))
        }
        gst::StreamError::Demux => {
            MediaError::input(format!("the container is damaged or the file is cut off: {detail}"))
        }
        gst::StreamError::Decode | gst::StreamError::Format => {
            MediaError::input(format!("the file is damaged, it cannot be decoded: {detail}"))
        }
        gst::StreamError::Decrypt | gst::StreamError::DecryptNokey => {
            MediaError::input(format!("the file is encrypted: {detail}"))
        }
        // A branch stopped by one of our own writers is reported by that writer; what is left here is a
        // stream that the demuxer or a parser could not go on with.
        gst::StreamError::Failed => missing
            .failure()
            .unwrap_or_else(|| MediaError::input(format!("the file's streams cannot be decoded: {detail}"))),
        other => MediaError::environment(format!("the media pipeline failed: {detail} ({other:?})")),
    }
}

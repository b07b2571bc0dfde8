//! Players that play to the end, or say why not.

pub mod browser;
pub mod gstreamer;
pub mod hls_js;

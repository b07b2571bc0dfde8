//! Manifests as text, and as `hls_m3u8` and `quick-xml` read them back.

#[path = "all/dash.rs"]
mod dash;
#[path = "all/dash_live.rs"]
mod dash_live;
#[path = "all/date_ranges.rs"]
mod date_ranges;
#[path = "all/iframes.rs"]
mod iframes;
#[path = "all/live.rs"]
mod live;
#[path = "all/media.rs"]
mod media;
#[path = "all/multivariant.rs"]
mod multivariant;
#[path = "all/pathways.rs"]
mod pathways;
#[path = "all/read_back.rs"]
mod read_back;
#[path = "all/text.rs"]
mod text;

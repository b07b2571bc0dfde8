//! Playlists as text, and as `hls_m3u8` reads them back.

#[path = "all/live.rs"]
mod live;
#[path = "all/media.rs"]
mod media;
#[path = "all/multivariant.rs"]
mod multivariant;

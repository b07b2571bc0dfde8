//! Judges that nobody here wrote: FFmpeg, GStreamer's `hlsdemux2` and hls.js in a browser say whether a playback is
//! right.
//!
//! A judge gets a URL and, where it compares, the source file. It observes first, with foreign tools only, and then
//! decides in a pure function; `Err` is its objection. It never asks the services how they meant it: whatever serves
//! HLS can be judged, and the tests of the judges do so with playlists that FFmpeg wrote. [`playback::judge`] calls
//! all of them.

pub mod command;
pub mod measure;
pub mod picture;
pub mod playback;
pub mod players;
pub mod renditions;
pub mod source;
pub mod verdict;

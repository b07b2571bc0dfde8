//! Headless viewers: many players of HLS that fetch real segments, choose renditions, keep a buffer, and measure what a viewer
//! would feel. It decodes nothing, and never asks faster than a player would.
//!
//! What a viewer does is decided by pure parts: who comes and goes when ([`profile`]), what is watched ([`zipf`]), which
//! rendition ([`ladder`]), what comes next of something live ([`edge`]), when it plays and when it stalls ([`buffer`]), what it tells of itself ([`cmcd`]), what all of it came to
//! ([`ledger`]), and whether the generator itself was the bottleneck ([`strain`]). [`viewer`] fetches, [`crowd`] owns the viewers.

pub mod buffer;
pub mod cmcd;
pub mod crowd;
pub mod edge;
pub mod ladder;
pub mod ledger;
pub mod profile;
pub mod strain;
pub mod viewer;
pub mod zipf;

pub use crowd::{Crowd, Load, LoadError, variants};
pub use ledger::{Figures, Ledger};
pub use profile::{Profile, Stay, Step};

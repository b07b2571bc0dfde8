//! Tracks written by this crate, judged by what reads them.

#[path = "all/chunks.rs"]
mod chunks;
#[path = "all/foreign.rs"]
mod foreign;
#[path = "all/movie.rs"]
mod movie;
#[path = "all/refusals.rs"]
mod refusals;
#[path = "all/roundtrip.rs"]
mod roundtrip;
#[path = "all/unpack.rs"]
mod unpack;

//! Tracks written by this crate, judged by what reads them.

#[path = "all/chunks.rs"]
mod chunks;
#[path = "all/demux.rs"]
mod demux;
#[path = "all/encryption.rs"]
mod encryption;
#[path = "all/foreign.rs"]
mod foreign;
#[path = "all/movie.rs"]
mod movie;
#[path = "all/pushed.rs"]
mod pushed;
#[path = "all/refusals.rs"]
mod refusals;
#[path = "all/roundtrip.rs"]
mod roundtrip;
#[path = "all/samples.rs"]
mod samples;
#[path = "all/ts.rs"]
mod ts;
#[path = "all/ts_reader.rs"]
mod ts_reader;
#[path = "all/unpack.rs"]
mod unpack;

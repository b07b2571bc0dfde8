//! Media work on files: probe, poster, ladder. The only crate that names GStreamer or FFmpeg.
//!
//! It runs inside `flame-media` processes, never inside a service: what a hostile file does to a library it
//! does to a child that can be thrown away. It decides nothing about renditions; a plan says what to make.
//!
//! In reading order: whose fault a failure is ([`fault`]), opening a source ([`source`]), measuring it
//! ([`probe`]), one picture of it ([`poster`]), all of it as CMAF tracks ([`ladder`]), all of it decoded and counted ([`play`]), one
//! segment of a track made smaller ([`transrate`]), live media made smaller while it comes ([`live`]), two
//! of them compared ([`compare`]), one looked through for faults ([`inspect`]); then the process around
//! it: what it may use ([`limits`]) and what it says ([`worker`]). [`ffi`], [`scale`] and [`vmaf`] hold
//! what the bindings leave out.

pub mod compare;
pub mod fault;
mod ffi;
pub mod inspect;
pub mod ladder;
pub mod limits;
pub mod live;
pub mod play;
pub mod poster;
pub mod probe;
mod scale;
pub mod source;
mod stated;
pub mod transrate;
mod vmaf;
pub mod worker;

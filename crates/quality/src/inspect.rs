//! What is found in pictures and sound without a reference. Samples and times go in, one after the other, findings come out;
//! nothing here decodes, and nothing that is kept grows with the length of a film but the loudness of its tenths of a second.
//!
//! Definitions are those of what people compare with: FFmpeg's `blackdetect`, `freezedetect`, `silencedetect` and `siti`, EBU R 128; of
//! blur and blocks, those of papers.
//! In reading order: stretches of time ([`spans`]), pictures ([`pictures`], [`information`], [`blur`], [`blockiness`]), sound
//! ([`sound`]), times ([`timeline`]), whether all of it was there ([`extent`]).

pub mod blockiness;
pub mod blur;
pub mod extent;
pub mod information;
pub mod pictures;
pub mod sound;
pub mod spans;
pub mod timeline;

//! What all live doors share: media as an encoder sends it becomes CMAF, and goes to streaming.
//!
//! A door (RTMP now) reads its protocol and hands over configurations and samples. In reading order: what the codecs say about
//! themselves ([`codecs`]), times as they should be ([`grid`]), tracks and chunks ([`packager`]), what waits on its way
//! ([`queue`]), and the way to streaming ([`publisher`]), with its [`figures`]. Nothing here decodes, and nothing is kept
//! once streaming has it.

pub mod codecs;
pub mod figures;
pub mod grid;
pub mod packager;
pub mod publisher;
pub mod queue;

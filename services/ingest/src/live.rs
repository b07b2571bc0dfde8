//! What all live doors share: media as an encoder sends it becomes CMAF, and goes to streaming.
//!
//! A door reads its protocol and hands over configurations and samples. In reading order: whose media it is ([`key`]), what the codecs
//! say about themselves ([`codecs`]), times as they should be ([`grid`]), tracks and chunks ([`packager`]), what waits on its way
//! ([`queue`]), what an address may have of a door before it is let in ([`shares`]), the way to streaming ([`publisher`]), with its [`figures`], the renditions that transcode makes of it ([`ladder`]), and what drives them all ([`driver`]). Nothing here
//! decodes, and nothing is kept once streaming has it.

pub mod codecs;
pub mod driver;
pub mod figures;
pub mod grid;
pub mod key;
pub mod ladder;
pub mod packager;
pub mod publisher;
pub mod queue;
pub mod shares;

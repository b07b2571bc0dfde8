//! CMAF (ISO/IEC 23000-19) tracks: encoded samples in, boxes and an index out; and back.
//!
//! The packager of the project. Pure: no I/O, no media library, so the streaming service can use it in the
//! request path and `flame-media` right behind its encoders. It never looks inside encoded pictures beyond the
//! headers of their NAL units, and reads no more of a codec's configuration than its codec string, or a transport stream, needs.
//!
//! In reading order: what a track is ([`track`]), when its samples are decoded ([`timing`]), how it is cut
//! and written ([`writer`]), what encoders say about it ([`record`]), what stands in front of it (`init`) and around each segment (`fragment`), what
//! lies where ([`index`]) and how fast it runs ([`figures`]). Live tracks are written in [`chunks`], all cut at the same
//! times ([`cuts`]). What was written is read back by [`samples`], carried to players of transport streams by [`ts`], and
//! encrypted on its way out by [`encryption`].
//! [`relay`] brings live tracks from one process to another.
//! [`boxes`] looks at files of others before anything heavier does, [`movie`] packages them as they are, and [`pushed`] and
//! [`ts::reader`] take apart what encoders of others push ([`muxed`]: one track of several).

pub mod arriving;
pub mod boxes;
pub mod chunks;
pub mod codec;
pub mod cuts;
pub mod encryption;
pub mod figures;
mod fragment;
pub mod index;
mod init;
pub mod movie;
pub mod muxed;
pub mod pushed;
pub mod record;
pub mod relay;
pub mod samples;
pub mod timing;
pub mod track;
pub mod ts;
pub mod writer;

pub use chunks::{Chunk, ChunkWriter, Parts};
pub use cuts::{Cuts, Followed, MediaTime};
pub use figures::Figures;
pub use index::{IndexError, SegmentEntry, TrackIndex};
pub use movie::{Movie, MovieError, MovieTrack};
pub use pushed::{Piece, Pushed, PushedError, PushedTrack};
pub use track::{AudioConfig, Colour, MediaConfig, PictureCodec, SoundCodec, TrackConfig, VideoConfig};
pub use writer::{Finished, Sample, Segment, Segmentation, TrackWriter, WriteError};

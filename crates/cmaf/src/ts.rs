//! MPEG-2 transport streams (ISO/IEC 13818-1) of CMAF segments, for players of HLS that take nothing else
//! (RFC 8216 section 3.2): one segment of one track in, one segment with PAT, PMT and PES out.
//!
//! *Stateless.* A segment needs no knowledge of the ones before it, yet all of them, played in order, are one stream.
//! Continuity counters run on over borders, because in each segment the packets of the elementary stream that have a
//! payload are a multiple of 16: an access unit near the end is spread over up to 15 more packets, the rest of them
//! stuffed. PAT and PMT stand once in a segment (RFC 8216 asks for no more) and say with `discontinuity_indicator` that
//! their counters begin again, which section 2.4.3.5 allows on each PID without a clock; 16 copies of each would cost
//! 6,016 bytes a segment, these cost 376.
//!
//! *Times.* What CMAF presents at 0, the edit applied, is presented here at [`START_S`] seconds, so that neither priming
//! nor clock are below 0; all tracks of an asset are shifted alike. Clock references are [`DELAY_MS`] behind decode times,
//! and at most [`CLOCK_INTERVAL_MS`] apart. All wrap at 33 bits. Where composition offsets may be negative, as brand `cmf2`
//! of CMAF allows, decode times move back by as many pictures as the sequence parameter set says are reordered: the same
//! for each segment.
//!
//! *Bounds.* Neither the segment nor what is made of it may have more bytes than the caller says, nor last longer than
//! [`DURATION_MAX_S`]. What is made is counted before it is allocated, once.
//!
//! It never re-encodes, and writes neither ID3 nor private data. What encoders of others send is read by [`reader`].

mod adts;
mod elementary;
mod encrypted;
mod packets;
mod plan;
pub mod reader;
pub(crate) mod reorder;

use thiserror::Error;

use self::{elementary::Elementary, encrypted::SampleKey, plan::Plan};
use crate::{
    boxes::BoxType,
    encryption::ContentKey,
    samples::{self, InitInfo, SamplesError},
};

/// Where the presentation begins on the transport stream's clock, seconds.
pub const START_S: u32 = 10;
/// How long before it is decoded the first byte of an access unit arrives, by the clock references, milliseconds.
pub const DELAY_MS: u32 = 700;
/// The longest distance of clock references (section 2.7.2), and of the first and the last sample of one PES packet of
/// sound with the duration of that, milliseconds.
pub const CLOCK_INTERVAL_MS: u32 = 100;
/// How long a segment may last, seconds: it bounds how many clock references a slow picture gets.
pub const DURATION_MAX_S: u32 = 600;

/// A segment that makes no transport stream.
#[derive(Debug, Error)]
pub enum TsError {
    /// Its boxes do not fit together.
    #[error(transparent)]
    Samples(#[from] SamplesError),
    /// No stream type of HLS for this codec.
    #[error("`{codec}` cannot be carried in a transport stream of HLS: offer it as fragmented MP4 only")]
    Codec {
        /// Its sample entry.
        codec: BoxType,
    },
    /// How samples of this codec are encrypted in a transport stream, nobody here knows.
    #[error("only samples of H.264 and AAC can be encrypted in a transport stream: offer it as fragmented MP4 only")]
    Unencryptable,
    /// A codec's configuration record cannot be read, or says something that a transport stream cannot.
    #[error("the codec's configuration cannot be carried in a transport stream: {what}")]
    Configuration {
        /// What about it.
        what: &'static str,
    },
    /// A sample is not made of whole NAL units, or too large for its header.
    #[error("sample {number}: {what}")]
    Sample {
        /// Its number in the segment.
        number: usize,
        /// What about it.
        what: &'static str,
    },
    /// The segment, or the stream that it would make, is larger than the caller takes.
    #[error("{size_bytes} bytes, of a segment or the transport stream made of it; {limit_bytes} are taken at most")]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// It lasts longer than [`DURATION_MAX_S`].
    #[error("the segment lasts longer than {limit_s} s")]
    TooLong {
        /// The limit.
        limit_s: u32,
    },
}

/// The transport stream of `segment`, which belongs to the track of `init`. Neither it nor the segment may have more than
/// `size_max_bytes`.
///
/// # Errors
/// [`TsError`], if the segment is broken, too large, or of a codec that HLS has no stream type for.
pub fn segment(init: &InitInfo, segment: &[u8], size_max_bytes: usize) -> Result<Vec<u8>, TsError> {
    of_elementary(init, segment, size_max_bytes, &Elementary::of(&init.codec)?)
}

/// The same with encrypted samples: `SAMPLE-AES` of HLS, by Apple's "MPEG-2 Stream Encryption Format for HTTP Live
/// Streaming".
///
/// # Errors
/// [`TsError`] as of [`segment`], and if samples of this codec cannot be encrypted so.
pub fn encrypted_segment(
    init: &InitInfo,
    segment: &[u8],
    size_max_bytes: usize,
    key: &ContentKey,
) -> Result<Vec<u8>, TsError> {
    of_elementary(init, segment, size_max_bytes, &Elementary::encrypted(&init.codec, SampleKey::new(key))?)
}

fn of_elementary(
    init: &InitInfo,
    segment: &[u8],
    size_max_bytes: usize,
    elementary: &Elementary,
) -> Result<Vec<u8>, TsError> {
    let within = |size_bytes: usize| {
        if size_bytes > size_max_bytes {
            return Err(TsError::TooLarge { size_bytes, limit_bytes: size_max_bytes });
        }
        Ok(())
    };
    within(segment.len())?;
    let samples = samples::samples(segment, init)?;
    let plan = Plan::of(init, segment, &samples, elementary, size_max_bytes)?;
    within(plan.size_bytes())?;

    let mut stream = Vec::with_capacity(plan.size_bytes());
    packets::append_tables(&mut stream, elementary.stream_type(), &elementary.descriptors());
    let mut counter = 0;
    for pes in &plan.packets {
        let mut writer = packets::PesWriter::new(&mut stream, pes, &mut counter);
        writer.put(pes.header(elementary.stream_id()).bytes());
        for number in pes.samples.clone() {
            let sample = &samples[number];
            elementary.visit(&segment[sample.range.clone()], sample.is_sync, number, |bytes| writer.put(bytes))?;
        }
        writer.end();
    }
    debug_assert_eq!((stream.len(), counter), (plan.size_bytes(), 0), "what was planned");
    Ok(stream)
}

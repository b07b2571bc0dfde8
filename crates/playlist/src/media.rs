//! The media playlist of a track that is complete (RFC 8216bis section 4.4.3), or of a piece of it.

use std::ops::Range;
use std::time::Duration;

use hls_m3u8::{
    MediaPlaylist, MediaSegment,
    tags::{ExtInf, ExtXMap},
    types::PlaylistType,
};

use crate::attributes::{start_tag, under_version};
use crate::time::{Seconds, durations_us, target_duration_s};
use crate::{Key, PlaylistError, uri};

/// URI of the init segment, beside the playlist.
pub const INIT_URI: &str = "init.mp4";

/// `EXT-X-MAP` needs 6; Apple's authoring rules and tools pair fragmented MP4 with 7.
pub(crate) const VERSION_OF_MP4: u16 = 7;
/// Decimal durations need 3, `IV` 2; `KEYFORMAT` needs 5.
const VERSION_OF_TS: u16 = 5;

/// A complete track, as its playlist sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VodMedia {
    /// Ticks per second.
    pub timescale: u32,
    /// Presented duration of each segment in order, ticks.
    pub segment_ticks: Vec<u64>,
    /// Whether each segment can be decoded without the ones before it.
    pub independent_segments: bool,
    /// What the segments are.
    pub container: Container,
    /// How they are encrypted. The init segment never is.
    pub key: Option<Key>,
    /// Only this much of it.
    pub clip: Option<Clip>,
}

/// What segments are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Container {
    /// Fragmented MP4, with an init segment.
    #[default]
    FragmentedMp4,
    /// MPEG transport streams, which need none.
    TransportStream,
}

/// A piece of a track, on the presented timeline of the whole one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    /// Where it begins, ticks: the frame that is shown first.
    pub from_ticks: u64,
    /// Where it ends, ticks: the end of the last sample that is shown.
    pub to_ticks: u64,
    /// Query of the last segment's URI where only a part of it belongs to the clip, so that its name differs from that of
    /// the whole one. All others are the segments of the track, under the names that caches have.
    pub query: String,
}

/// The segments of a [`Clip`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Their numbers. The first one holds the first frame; as each segment begins with a random access point, so does it.
    pub segments: Range<usize>,
    /// From the beginning of the first segment to the first frame, ticks.
    pub lead_ticks: u64,
    /// What belongs to the clip of the last segment, ticks; all of it, or less.
    pub last_ticks: u64,
    /// Whether that is less.
    pub is_shortened: bool,
}

/// URI of the segment `number`, from 0, beside the playlist.
#[must_use]
pub fn segment_uri(number: usize) -> String {
    format!("{number}.m4s")
}

/// URI of the segment `number`, from 0, as a transport stream, beside the playlist.
#[must_use]
pub fn ts_segment_uri(number: usize) -> String {
    format!("{number}.ts")
}

/// The playlist of a complete track, with whole URLs for init segment and segments.
///
/// Each `EXTINF` is the difference of two segment starts rounded to microseconds, so that the sum of any
/// number of them is off by less than two microseconds.
///
/// `EXT-X-MAP` stands in front of `EXT-X-KEY`: a key applies to an init segment that comes after it (section 4.4.4.5).
///
/// A clip keeps the numbers of the track as media sequence numbers, so that an initialization vector that is one stays
/// right; `EXT-X-START` marks its first frame.
///
/// # Errors
/// [`PlaylistError`] if there is no segment or no timescale, the clip lies outside, or a URI is not relative.
pub fn vod_media_playlist(media: &VodMedia) -> Result<String, PlaylistError> {
    if media.segment_ticks.is_empty() {
        return Err(PlaylistError::Empty { what: "segment" });
    }
    let cut = media.clip.as_ref().map(|clip| clip.cut(&media.segment_ticks)).transpose()?;
    let (numbers, mut ticks) = match &cut {
        None => (0..media.segment_ticks.len(), media.segment_ticks.clone()),
        Some(cut) => (cut.segments.clone(), media.segment_ticks[cut.segments.clone()].to_vec()),
    };
    if let (Some(cut), Some(last)) = (&cut, ticks.last_mut()) {
        *last = cut.last_ticks;
    }
    let durations_us = durations_us(media.timescale, &ticks)?;
    let longest_us = durations_us.iter().copied().max().unwrap_or(0);
    let mut playlist = MediaPlaylist::builder();
    playlist
        .target_duration(Duration::from_secs(target_duration_s(longest_us)))
        .playlist_type(PlaylistType::Vod)
        .media_sequence(numbers.start)
        .has_independent_segments(media.independent_segments)
        .has_end_list(true);
    let mut front = Vec::new();
    if let Some(cut) = cut.as_ref().filter(|cut| cut.lead_ticks > 0) {
        front.push(start_tag(Seconds(cut.lead_ticks, media.timescale), true));
    }
    if media.container == Container::FragmentedMp4 {
        front.push(ExtXMap::new(INIT_URI).to_string());
    }
    if let Some(key) = &media.key {
        front.push(key.tag()?);
    }
    let shortened = match (&media.clip, &cut) {
        (Some(clip), Some(cut)) if cut.is_shortened => Some((cut.segments.end - 1, uri::checked_query(&clip.query)?)),
        _ => None,
    };
    for (number, duration_us) in numbers.zip(durations_us) {
        let mut segment = MediaSegment::builder();
        let name = match media.container {
            Container::FragmentedMp4 => segment_uri(number),
            Container::TransportStream => ts_segment_uri(number),
        };
        segment.duration(ExtInf::new(Duration::from_micros(duration_us))).uri(match shortened {
            Some((last, query)) if last == number => format!("{name}?{query}"),
            Some(_) | None => name,
        });
        playlist.push_segment(segment.build()?);
    }
    let version = match media.container {
        Container::FragmentedMp4 => VERSION_OF_MP4,
        Container::TransportStream => VERSION_OF_TS,
    };
    Ok(under_version(version, &front, &playlist.build()?.to_string()))
}

// === impl Clip ===

impl Clip {
    /// The segments that hold it, of a track whose segments last `segment_ticks`.
    ///
    /// # Errors
    /// [`PlaylistError::Clip`] if it is empty, or begins behind the end of the track. It may end behind it.
    pub fn cut(&self, segment_ticks: &[u64]) -> Result<Cut, PlaylistError> {
        let bad = || PlaylistError::Clip { from_ticks: self.from_ticks, to_ticks: self.to_ticks };
        if self.from_ticks >= self.to_ticks {
            return Err(bad());
        }
        let mut start_ticks = 0_u64;
        let mut cut: Option<Cut> = None;
        for (number, &ticks) in segment_ticks.iter().enumerate() {
            let end_ticks = start_ticks.saturating_add(ticks);
            if start_ticks >= self.to_ticks {
                break;
            }
            if end_ticks > self.from_ticks {
                let begun = cut.get_or_insert_with(|| Cut {
                    segments: number..number,
                    lead_ticks: self.from_ticks - start_ticks,
                    last_ticks: 0,
                    is_shortened: false,
                });
                begun.segments.end = number + 1;
                begun.last_ticks = end_ticks.min(self.to_ticks) - start_ticks;
                begun.is_shortened = end_ticks > self.to_ticks;
            }
            start_ticks = end_ticks;
        }
        cut.ok_or_else(bad)
    }
}

//! The media playlist of a track that is complete (RFC 8216 section 4.3.3).

use std::time::Duration;

use hls_m3u8::{
    MediaPlaylist, MediaSegment,
    tags::{ExtInf, ExtXMap},
    types::PlaylistType,
};

use crate::PlaylistError;

/// URI of the init segment, beside the playlist.
pub const INIT_URI: &str = "init.mp4";

/// `hls_m3u8` declares the least version that the tags need, 6 for `EXT-X-MAP`; Apple's authoring rules and
/// tools pair fragmented MP4 with 7.
const VERSION_OF_TAGS: &str = "#EXT-X-VERSION:6\n";
const VERSION_DECLARED: &str = "#EXT-X-VERSION:7\n";

const SECOND_US: u64 = 1_000_000;

/// A complete track, as its playlist sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VodMedia {
    /// Ticks per second.
    pub timescale: u32,
    /// Presented duration of each segment in order, ticks.
    pub segment_ticks: Vec<u64>,
    /// Whether each segment can be decoded without the ones before it.
    pub independent_segments: bool,
}

/// URI of the segment `number`, from 0, beside the playlist.
#[must_use]
pub fn segment_uri(number: usize) -> String {
    format!("{number}.m4s")
}

/// The playlist of a complete track, with whole URLs for init segment and segments.
///
/// Each `EXTINF` is the difference of two segment starts rounded to microseconds, so that the sum of any
/// number of them is off by less than two microseconds.
///
/// # Errors
/// [`PlaylistError`] if there is no segment or no timescale.
pub fn vod_media_playlist(media: &VodMedia) -> Result<String, PlaylistError> {
    if media.segment_ticks.is_empty() {
        return Err(PlaylistError::Empty { what: "segment" });
    }
    let durations_us = durations_us(media)?;
    let longest_us = durations_us.iter().copied().max().unwrap_or(0);
    let mut playlist = MediaPlaylist::builder();
    playlist
        .target_duration(Duration::from_secs(target_duration_s(longest_us)))
        .playlist_type(PlaylistType::Vod)
        .has_independent_segments(media.independent_segments)
        .has_end_list(true);
    for (number, duration_us) in durations_us.into_iter().enumerate() {
        let mut segment = MediaSegment::builder();
        segment.duration(ExtInf::new(Duration::from_micros(duration_us))).uri(segment_uri(number));
        if number == 0 {
            segment.map(ExtXMap::new(INIT_URI));
        }
        playlist.push_segment(segment.build()?);
    }
    Ok(playlist.build()?.to_string().replacen(VERSION_OF_TAGS, VERSION_DECLARED, 1))
}

fn durations_us(media: &VodMedia) -> Result<Vec<u64>, PlaylistError> {
    let timescale = u128::from(media.timescale);
    let mut end_ticks = 0_u128;
    let mut start_us = 0;
    media
        .segment_ticks
        .iter()
        .map(|&ticks| {
            end_ticks += u128::from(ticks);
            let end_us = (end_ticks * u128::from(SECOND_US) + timescale / 2)
                .checked_div(timescale)
                .ok_or(PlaylistError::Timescale)?;
            let duration_us = end_us - start_us;
            start_us = end_us;
            Ok(u64::try_from(duration_us).unwrap_or(u64::MAX))
        })
        .collect()
}

/// No `EXTINF`, rounded to the nearest second, may exceed it (RFC 8216bis section 4.4.3.1); 0 is no duration.
fn target_duration_s(longest_us: u64) -> u64 {
    (longest_us.saturating_add(SECOND_US / 2) / SECOND_US).max(1)
}

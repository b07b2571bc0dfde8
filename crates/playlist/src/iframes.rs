//! I-frame playlists (RFC 8216bis section 4.4.3.6): one picture an entry, for seeking and for fast play.
//!
//! Each entry has a URI of its own, as segments have (docs: no byte ranges), and begins with the picture's `moof` or its
//! packets. What the URIs are called is the caller's.

use std::time::Duration;

use hls_m3u8::{
    MediaPlaylist, MediaSegment,
    tags::{ExtInf, ExtXMap, ExtXProgramDateTime},
    types::PlaylistType,
};

use crate::attributes::under_version;
use crate::media::VERSION_OF_MP4;
use crate::time::{Timestamp, durations_us, target_duration_s};
use crate::{Key, PlaylistError, init_uri, uri};

/// `EXT-X-I-FRAMES-ONLY` needs 4, `KEYFORMAT` 5.
const VERSION_WITHOUT_MAP: u16 = 5;

/// The I-frames of a track, as their playlist sees them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IframeMedia {
    /// Ticks per second.
    pub timescale: u32,
    /// The pictures in order.
    pub frames: Vec<Iframe>,
    /// How they are encrypted. Init segments never are.
    pub key: Option<Key>,
    /// What a playlist of a live track says besides; without it, the track is complete.
    pub live: Option<LiveIframes>,
}

/// An I-frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Iframe {
    /// URI of the picture, relative to the playlist.
    pub uri: String,
    /// From this picture to the next I-frame, or to the end of the track, ticks.
    pub duration_ticks: u64,
    /// When it is shown, ticks since 1970-01-01T00:00:00Z, if its track is live or was.
    pub time_ticks: Option<u64>,
    /// Number of its init segment; none in a transport stream.
    pub init: Option<u32>,
    /// Whether the segment that it lies in does not go on from the one before.
    pub is_discontinuity: bool,
    /// Which key opens it, where they change: its number stands behind a hyphen behind the key's URI.
    pub key_period: Option<u64>,
}

/// What of a live track differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveIframes {
    /// Number of the first picture: it counts the I-frames of the track, and never goes back.
    pub first_number: u64,
    /// Discontinuities that went with pictures that are no longer listed.
    pub discontinuity_sequence: u64,
    /// `EXT-X-TARGETDURATION`, seconds; it never changes.
    pub target_duration_s: u64,
    /// Whether nothing more will come.
    pub is_over: bool,
}

/// The playlist of the pictures.
///
/// # Errors
/// [`PlaylistError`] if there is no picture or no timescale, a URI is not relative, or a live picture lasts longer than the
/// target duration.
pub fn iframe_playlist(media: &IframeMedia) -> Result<String, PlaylistError> {
    if media.frames.is_empty() {
        return Err(PlaylistError::Empty { what: "I-frame" });
    }
    let ticks: Vec<u64> = media.frames.iter().map(|frame| frame.duration_ticks).collect();
    let durations_us = durations_us(media.timescale, &ticks)?;
    let longest_us = durations_us.iter().copied().max().unwrap_or(0);
    let target_duration_s = media.live.map_or(target_duration_s(longest_us), |live| live.target_duration_s);
    let mut playlist = MediaPlaylist::builder();
    playlist
        .target_duration(Duration::from_secs(target_duration_s))
        .has_i_frames_only(true)
        .has_end_list(media.live.is_none_or(|live| live.is_over));
    // A discontinuity in front of the first entry is counted, since its tag would stand in front of nothing.
    let dropped = u64::from(media.live.is_some() && media.frames.first().is_some_and(|first| first.is_discontinuity));
    match media.live {
        Some(live) => {
            playlist
                .media_sequence(number(live.first_number)?)
                .discontinuity_sequence(number(live.discontinuity_sequence + dropped)?);
            if live.is_over {
                playlist.playlist_type(PlaylistType::Vod);
            }
        }
        None => {
            playlist.playlist_type(PlaylistType::Vod);
        }
    }
    let mut front = Vec::new();
    let mut init = None;
    if let Some(first) = media.frames.first().and_then(|frame| frame.init) {
        front.push(ExtXMap::new(init_uri(first)).to_string());
        init = Some(first);
    }
    if let Some((key, first)) = media.key.as_ref().zip(media.frames.first()) {
        front.push(key_tag(key, first)?);
    }
    for (at, (frame, duration_us)) in media.frames.iter().zip(durations_us).enumerate() {
        let mut segment = MediaSegment::builder();
        segment
            .duration(ExtInf::new(Duration::from_micros(duration_us)))
            .uri(uri::checked(&frame.uri)?)
            .has_discontinuity(frame.is_discontinuity && at > 0);
        if let Some(new) = frame.init.filter(|new| init != Some(*new)) {
            init = Some(new);
            segment.map(ExtXMap::new(init_uri(new)));
        }
        if let Some(time_ticks) = frame.time_ticks {
            segment.program_date_time(ExtXProgramDateTime::new(Timestamp(time_ticks, media.timescale).to_string()));
        }
        playlist.push_segment(segment.build()?);
    }
    let version = if init.is_some() { VERSION_OF_MP4 } else { VERSION_WITHOUT_MAP };
    let text = under_version(version, &front, &playlist.build()?.to_string());
    match &media.key {
        None => Ok(text),
        Some(key) => with_keys(&text, key, &media.frames),
    }
}

/// The tag of the key that opens a picture.
fn key_tag(key: &Key, frame: &Iframe) -> Result<String, PlaylistError> {
    match frame.key_period {
        None => key.tag(),
        Some(period) => Key { uri: format!("{}-{period}", key.uri), ..key.clone() }.tag(),
    }
}

/// A written playlist, whose first key stands in it, with a key in front of each picture at which another one begins, and none in front of
/// each further init segment, which a key would open too (section 4.4.4.5).
fn with_keys(text: &str, key: &Key, frames: &[Iframe]) -> Result<String, PlaylistError> {
    let mut with = String::with_capacity(text.len());
    let mut push = |line: &str| {
        with.push_str(line);
        with.push('\n');
    };
    let mut in_force = frames.first().map(|first| first.key_period);
    let mut is_in_front = frames.first().is_some_and(|first| first.init.is_some());
    let mut frames = frames.iter();
    for line in text.lines() {
        if line.starts_with("#EXT-X-MAP:") && !std::mem::take(&mut is_in_front) {
            push("#EXT-X-KEY:METHOD=NONE");
            in_force = None;
        }
        if line.starts_with("#EXTINF:")
            && let Some(frame) = frames.next()
            && in_force != Some(frame.key_period)
        {
            push(&key_tag(key, frame)?);
            in_force = Some(frame.key_period);
        }
        push(line);
    }
    Ok(with)
}

fn number(number: u64) -> Result<usize, PlaylistError> {
    usize::try_from(number).map_err(|_| PlaylistError::Number { number })
}

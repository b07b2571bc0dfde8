//! Subtitles in manifests: the media playlist of text that is cut where the pictures are cut, and text as one file in an MPD.
//!
//! WebVTT segments have no init segment, and are not encrypted. Those for transport streams have names of their own: they say
//! another time on the media's clock.

use std::time::Duration;

use hls_m3u8::tags::ExtInf;
use hls_m3u8::types::PlaylistType;
use hls_m3u8::{MediaPlaylist, MediaSegment};

use crate::attributes::{start_tag, under_version};
use crate::time::{Seconds, durations_us, target_duration_s};
use crate::{Clip, Container, PlaylistError, Role};

/// Decimal durations need it.
const VERSION_OF_TEXT: u16 = 3;

/// Text that is shown with a complete track, as its playlist sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VodText {
    /// Ticks per second.
    pub timescale: u32,
    /// Presented duration of each segment in order, ticks: those of the track.
    pub segment_ticks: Vec<u64>,
    /// What the segments of the track are.
    pub container: Container,
    /// Only this much of it. The last segment is the whole one: what is shown behind the end is not reached.
    pub clip: Option<Clip>,
}

/// Text as one file, as an MPD sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DashText {
    /// Its name: letters, digits, `. - _`.
    pub id: String,
    /// URI of the WebVTT file, relative. Its times are those of the presentation.
    pub uri: String,
    /// Language (BCP 47), if it is known.
    pub language: Option<String>,
    /// Name for people.
    pub label: Option<String>,
    /// What it is for.
    pub role: Role,
    /// Whether it is shown unless the viewer chooses otherwise.
    pub is_default: bool,
    /// Bits per second, on the average.
    pub bandwidth_bps: u64,
}

/// URI of the WebVTT segment `number`, from 0, beside its playlist.
#[must_use]
pub fn text_segment_uri(number: usize, container: Container) -> String {
    match container {
        Container::FragmentedMp4 => format!("{number}.vtt"),
        Container::TransportStream => format!("{number}.ts.vtt"),
    }
}

/// The playlist of text that is shown with a complete track, or with a clip of it.
///
/// # Errors
/// [`PlaylistError`] if there is no segment or no timescale, or the clip lies outside.
pub fn vod_text_playlist(text: &VodText) -> Result<String, PlaylistError> {
    if text.segment_ticks.is_empty() {
        return Err(PlaylistError::Empty { what: "segment" });
    }
    let cut = text.clip.as_ref().map(|clip| clip.cut(&text.segment_ticks)).transpose()?;
    let (numbers, mut ticks) = match &cut {
        None => (0..text.segment_ticks.len(), text.segment_ticks.clone()),
        Some(cut) => (cut.segments.clone(), text.segment_ticks[cut.segments.clone()].to_vec()),
    };
    if let (Some(cut), Some(last)) = (&cut, ticks.last_mut()) {
        *last = cut.last_ticks;
    }
    let durations_us = durations_us(text.timescale, &ticks)?;
    let longest_us = durations_us.iter().copied().max().unwrap_or(0);
    let mut playlist = MediaPlaylist::builder();
    playlist
        .target_duration(Duration::from_secs(target_duration_s(longest_us)))
        .playlist_type(PlaylistType::Vod)
        .media_sequence(numbers.start)
        .has_end_list(true);
    for (number, duration_us) in numbers.zip(durations_us) {
        let mut segment = MediaSegment::builder();
        segment.duration(ExtInf::new(Duration::from_micros(duration_us)));
        playlist.push_segment(segment.uri(text_segment_uri(number, text.container)).build()?);
    }
    let start = cut.filter(|cut| cut.lead_ticks > 0);
    let front: Vec<String> =
        start.map(|cut| start_tag(Seconds(cut.lead_ticks, text.timescale), true)).into_iter().collect();
    Ok(under_version(VERSION_OF_TEXT, &front, &playlist.build()?.to_string()))
}

//! The multivariant playlist (RFC 8216 section 4.3.4): which renditions there are, and what each costs.
//!
//! Every video rendition is a variant, and all sound is one audio group that goes with each of them. So the
//! bandwidth of a variant is its own plus that of the most expensive sound: the largest sum that a player
//! can choose.

use std::collections::{BTreeSet, HashSet};

use hls_m3u8::{
    MasterPlaylist,
    tags::{ExtXMedia, VariantStream},
    types::{Channels, ClosedCaptions, MediaType, StreamData, UFloat},
};

use crate::PlaylistError;

/// The one audio group.
const AUDIO_GROUP: &str = "audio";

/// What can be played.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MultivariantInput {
    /// Video renditions, in the order of the playlist; the first one is what some players begin with.
    pub video: Vec<VideoRendition>,
    /// Audio renditions; the first one is the default.
    pub audio: Vec<AudioRendition>,
}

/// One video rendition.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoRendition {
    /// URI of its media playlist, relative.
    pub uri: String,
    /// RFC 6381 codec string.
    pub codec: String,
    /// Width in square pixels.
    pub width: u32,
    /// Height in square pixels.
    pub height: u32,
    /// Frames per second as a ratio, if there is a rate.
    pub frame_rate: Option<(u32, u32)>,
    /// Mean bits per second, measured.
    pub average_bandwidth_bps: u64,
    /// Peak segment bit rate, measured.
    pub peak_bandwidth_bps: u64,
}

/// One audio rendition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioRendition {
    /// URI of its media playlist, relative.
    pub uri: String,
    /// RFC 6381 codec string.
    pub codec: String,
    /// Name for people; made unique here.
    pub name: String,
    /// Language (BCP 47), if it is known.
    pub language: Option<String>,
    /// Channels, if they are known.
    pub channels: Option<u16>,
    /// Mean bits per second, measured.
    pub average_bandwidth_bps: u64,
    /// Peak segment bit rate, measured.
    pub peak_bandwidth_bps: u64,
}

/// The playlist of everything in `input`.
///
/// Without video each audio rendition is a variant; without audio there is no group.
///
/// # Errors
/// [`PlaylistError`] if there is nothing to play, or a URI is not relative.
pub fn multivariant_playlist(input: &MultivariantInput) -> Result<String, PlaylistError> {
    let uris = input.video.iter().map(|video| &video.uri).chain(input.audio.iter().map(|audio| &audio.uri));
    for uri in uris {
        if !is_relative(uri) {
            return Err(PlaylistError::Uri { uri: uri.clone() });
        }
    }
    let mut playlist = MasterPlaylist::builder();
    if input.video.is_empty() {
        if input.audio.is_empty() {
            return Err(PlaylistError::Empty { what: "rendition" });
        }
        playlist.variant_streams(input.audio.iter().map(sound_variant).collect::<Result<Vec<_>, _>>()?);
    } else {
        playlist.media(audio_group(&input.audio)?);
        let variants = input.video.iter().map(|video| picture_variant(video, &input.audio));
        playlist.variant_streams(variants.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(playlist.has_independent_segments(true).build()?.to_string())
}

fn picture_variant<'a>(
    video: &'a VideoRendition,
    audio: &'a [AudioRendition],
) -> Result<VariantStream<'a>, PlaylistError> {
    let peak = audio.iter().map(|audio| audio.peak_bandwidth_bps).max().unwrap_or(0);
    let average = audio.iter().map(|audio| audio.average_bandwidth_bps).max().unwrap_or(0);
    let sounds: BTreeSet<&str> = audio.iter().map(|audio| audio.codec.as_str()).collect();
    let codecs: Vec<&str> = std::iter::once(video.codec.as_str()).chain(sounds).collect();
    let stream_data = StreamData::builder()
        .bandwidth(video.peak_bandwidth_bps.saturating_add(peak))
        .average_bandwidth(video.average_bandwidth_bps.saturating_add(average))
        .codecs(codecs)
        .resolution((as_usize(video.width), as_usize(video.height)))
        .build()?;
    Ok(VariantStream::ExtXStreamInf {
        uri: video.uri.as_str().into(),
        frame_rate: video.frame_rate.and_then(frame_rate),
        audio: (!audio.is_empty()).then(|| AUDIO_GROUP.into()),
        subtitles: None,
        // Without it players offer captions that may or may not lie in the pictures.
        closed_captions: Some(ClosedCaptions::None),
        stream_data,
    })
}

fn sound_variant(audio: &AudioRendition) -> Result<VariantStream<'_>, PlaylistError> {
    let stream_data = StreamData::builder()
        .bandwidth(audio.peak_bandwidth_bps)
        .average_bandwidth(audio.average_bandwidth_bps)
        .codecs(vec![audio.codec.as_str()])
        .build()?;
    Ok(VariantStream::ExtXStreamInf {
        uri: audio.uri.as_str().into(),
        frame_rate: None,
        audio: None,
        subtitles: None,
        closed_captions: None,
        stream_data,
    })
}

fn audio_group(audio: &[AudioRendition]) -> Result<Vec<ExtXMedia<'_>>, PlaylistError> {
    let mut names = HashSet::new();
    let mut languages = HashSet::new();
    audio
        .iter()
        .enumerate()
        .map(|(position, audio)| {
            let language = audio.language.as_deref().filter(|language| is_language(language));
            let mut media = ExtXMedia::builder();
            media
                .media_type(MediaType::Audio)
                .group_id(AUDIO_GROUP)
                .name(unique_name(&audio.name, &mut names))
                .uri(audio.uri.as_str())
                .is_default(position == 0)
                // A player chooses by itself among languages only, so the first of each is eligible.
                .is_autoselect(languages.insert(language));
            if let Some(language) = language {
                media.language(language);
            }
            if let Some(channels) = audio.channels {
                media.channels(Channels::new(u64::from(channels)));
            }
            Ok(media.build()?)
        })
        .collect()
}

/// `NAME` must differ within a group and cannot hold quotes or line ends.
fn unique_name(name: &str, taken: &mut HashSet<String>) -> String {
    let clean: String = name.chars().filter(|&letter| letter != '"' && !letter.is_control()).collect();
    let clean = if clean.trim().is_empty() { "Audio".to_owned() } else { clean };
    let unique = std::iter::once(clean.clone())
        .chain((2_u32..).map(|number| format!("{clean} {number}")))
        .find(|candidate| !taken.contains(candidate))
        .expect("the numbers do not run out");
    taken.insert(unique.clone());
    unique
}

/// The letters of a BCP 47 tag; sources carry all sorts of text there.
fn is_language(tag: &str) -> bool {
    !tag.is_empty() && tag != "und" && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_relative(uri: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b':' | b'#' | b'<' | b'>' | b'\\');
    !uri.is_empty() && !uri.starts_with('/') && uri.bytes().all(sound)
}

fn frame_rate((num, den): (u32, u32)) -> Option<UFloat> {
    #[expect(clippy::cast_possible_truncation, reason = "the playlist prints three decimals")]
    let rate = (f64::from(num) / f64::from(den)) as f32;
    (num > 0 && den > 0).then(|| UFloat::new(rate))
}

fn as_usize(pixels: u32) -> usize {
    usize::try_from(pixels).unwrap_or(usize::MAX)
}

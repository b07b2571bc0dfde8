//! The multivariant playlist and the MPD of tracks that are complete: pure, from what the catalogue and the indexes say.

use std::borrow::Cow;
use std::sync::Arc;

use flame_api::media::{SoundRole, Thumbnails, Track as Facts, TrackKind};
use flame_api::metadata::Encryption;
use flame_api::subtitles::{Subtitle, SubtitleRole};
use flame_playlist::{
    AudioRendition, Container, DashText, IframeRendition, MultivariantInput, PlaylistError, Role, SubtitleRendition,
    Tiles, VideoRange, VideoRendition, VodMpd, multivariant_playlist,
};

use crate::clip::Clip;
use crate::complete::Complete;
use crate::presentation::Document;
use crate::seals::Seal;
use crate::steering::Ways;
use crate::text::{self, WHOLE_URI};

/// Codecs that a transport stream of HLS carries here, by the beginning of their strings.
const TS_CODECS: [&str; 6] = ["avc1.", "avc3.", "hvc1.", "hev1.", "mp4a.40.", "ac-3"];

/// Where the sheets of a version's thumbnails lie, beside its tracks.
pub(crate) const SHEETS_FOLDER: &str = "thumbnails";

/// A track of a version.
#[derive(Debug, Clone)]
pub(crate) struct Listed<'a> {
    pub(crate) facts: Cow<'a, Facts>,
    pub(crate) video_range: Option<VideoRange>,
    pub(crate) supplemental_codec: Option<&'a str>,
    /// Its segments; none where they cannot be read now.
    pub(crate) complete: Option<Arc<Complete>>,
}

/// The playlist of all tracks and subtitles of `version`, of a clip or of all of it; sealed or in the clear.
pub(crate) fn playlist(
    version: &str,
    (tracks, subtitles): (&[Listed<'_>], &[Subtitle]),
    container: Container,
    clip: Option<Clip>,
    (seal, ways): (Option<&Seal>, &Ways),
) -> Result<Document, PlaylistError> {
    let sealed = seal.map(|seal| seal.version(version));
    let version = sealed.as_deref().unwrap_or(version);
    let query = clip.map(|clip| format!("?{clip}")).unwrap_or_default();
    let file = match container {
        Container::FragmentedMp4 => "index.m3u8",
        Container::TransportStream => "ts.m3u8",
    };
    // Players of samples' encryption find the key's identifier in init segments: without it they cannot use a key ahead of them.
    let ahead = seal.filter(|seal| seal.method == Encryption::Aes128).map(|seal| seal.listed("", container));
    let mut input = MultivariantInput { session_keys: ahead.into_iter().collect(), ..MultivariantInput::default() };
    let fits = |track: &&Listed<'_>| {
        let codec = &track.facts.codec;
        (container == Container::FragmentedMp4 || fits_ts(codec))
            && seal.is_none_or(|seal| seal.takes(codec, container))
    };
    for track in in_order(tracks).into_iter().filter(fits) {
        let facts = &*track.facts;
        let uri = format!("{version}/{}/{file}{query}", facts.name);
        match facts.kind {
            TrackKind::Video => {
                input.video.push(VideoRendition {
                    supplemental_codecs: supplement(track, container),
                    ..video(facts, track.video_range, uri)
                });
                if offers_iframes(container, clip) {
                    input.iframes.extend(iframes(track, format!("{version}/{}/iframes.m3u8", facts.name)));
                }
            }
            TrackKind::Audio => input.audio.push(audio(facts, uri)),
        }
    }
    if let Some(grid) = grid(tracks) {
        let listed = |subtitle| {
            let track = text::track(subtitle, &grid.name);
            let uri = format!("{version}/{track}/{file}{query}");
            readable(subtitle, track, uri)
        };
        input.subtitles = subtitles.iter().map(listed).collect();
    }
    ways.put(&mut input);
    Ok(Document::new(multivariant_playlist(&input)?))
}

/// The track that text is cut like: that of the best pictures, or of sound where there are none. None where no segments are
/// known, and so of what was live: text then is not offered.
fn grid<'a>(tracks: &'a [Listed<'_>]) -> Option<&'a Facts> {
    let first = |kind| tracks.iter().find(|track| track.facts.kind == kind && track.complete.is_some());
    first(TrackKind::Video).or_else(|| first(TrackKind::Audio)).map(|track| &*track.facts)
}

/// Whether the playlist of this form names playlists of I-frames.
pub(crate) fn offers_iframes(container: Container, clip: Option<Clip>) -> bool {
    container == Container::FragmentedMp4 && clip.is_none()
}

/// The MPD of all tracks of `version` whose segments are known, of a clip or of all of it with its subtitles and thumbnails:
/// a clip has none, since the one file of a text and the sheets count from the beginning.
pub(crate) fn mpd(
    version: &str,
    (tracks, subtitles, thumbnails): (&[Listed<'_>], &[Subtitle], Option<&Thumbnails>),
    clip: Option<Clip>,
    (seal, ways): (Option<&Seal>, &Ways),
) -> Result<Document, PlaylistError> {
    let sealed = seal.map(|seal| seal.version(version));
    // Small pictures are in the clear.
    let (clear, version) = (version, sealed.as_deref().unwrap_or(version));
    let fits = |track: &&Listed<'_>| seal.is_none_or(|seal| seal.takes(&track.facts.codec, Container::FragmentedMp4));
    let sounds = tracks.iter().filter(fits).filter(|track| track.facts.kind == TrackKind::Audio).count();
    let mut names: Vec<String> = Vec::new();
    let track = |track: &Listed<'_>| {
        let (facts, complete) = (&track.facts, track.complete.as_ref()?);
        let chosen = (facts.kind == TrackKind::Audio && sounds > 1).then(|| {
            let is_default = names.is_empty();
            let name = name(facts);
            // Two with the same name would be taken for one at two bit rates.
            let twins = names.iter().filter(|other| **other == name).count();
            names.push(name.clone());
            (if twins == 0 { name } else { format!("{name} {}", twins + 1) }, is_default)
        });
        let mut made = complete.dash(facts, format!("{version}/{}", facts.name), role(facts.role), chosen);
        made.track.key_id = seal.map(|seal| seal.key.id);
        Some(made)
    };
    let texts = grid(tracks).into_iter().flat_map(|grid| subtitles.iter().map(|text| file(version, text, grid)));
    let texts: Vec<DashText> = texts.collect();
    let tracks: Vec<_> = in_order(tracks).into_iter().filter(fits).filter_map(track).collect();
    let tiles = thumbnails.map(|thumbnails| Tiles {
        folder: format!("{clear}/{SHEETS_FOLDER}"),
        interval_ms: thumbnails.interval_ms.into(),
        columns: thumbnails.columns,
        rows: thumbnails.rows,
        tile_width_px: thumbnails.tile_width,
        tile_height_px: thumbnails.tile_height,
        largest_sheet_bytes: thumbnails.largest_sheet_bytes,
    });
    let steering = ways.dash();
    let vod = VodMpd { tracks: &tracks, texts: &texts, tiles: tiles.as_ref(), steering: steering.as_ref() };
    let text = match clip {
        None => vod.mpd()?,
        Some(clip) => vod.clip(clip.from_ms, clip.to_ms.unwrap_or(u64::MAX))?,
    };
    Ok(Document::new(text))
}

fn text_role(role: SubtitleRole) -> Role {
    match role {
        SubtitleRole::Subtitle => Role::Subtitle,
        SubtitleRole::Caption => Role::Caption,
        SubtitleRole::Forced => Role::Forced,
    }
}

fn readable(subtitle: &Subtitle, track: String, uri: String) -> SubtitleRendition {
    SubtitleRendition {
        uri,
        codec: None,
        name: subtitle.title.clone().unwrap_or_else(|| subtitle.language.clone()),
        language: Some(subtitle.language.clone()),
        role: text_role(subtitle.role),
        is_default: subtitle.default,
        stable_id: Some(track),
    }
}

fn file(version: &str, subtitle: &Subtitle, grid: &Facts) -> DashText {
    let name = text::track(subtitle, &grid.name);
    DashText {
        uri: format!("{version}/{name}/{WHOLE_URI}"),
        id: name,
        language: Some(subtitle.language.clone()),
        label: subtitle.title.clone(),
        role: text_role(subtitle.role),
        is_default: subtitle.default,
        bandwidth_bps: subtitle.size_bytes.saturating_mul(8000) / grid.duration_ms.max(1),
    }
}

/// Pictures, then sounds; the programme as it is meant before other sounds, since the first one is the default.
fn in_order<'a, 'b>(tracks: &'b [Listed<'a>]) -> Vec<&'b Listed<'a>> {
    let mut ordered: Vec<_> = tracks.iter().collect();
    ordered.sort_by_key(|track| (track.facts.kind == TrackKind::Audio, track.facts.role != SoundRole::Main));
    ordered
}

/// What viewers choose a sound by.
fn name(facts: &Facts) -> String {
    let name = facts.title.as_ref().or(facts.language.as_ref()).map_or("Audio", String::as_str);
    match facts.role {
        SoundRole::Main => name.to_owned(),
        _ if facts.title.is_some() => name.to_owned(),
        SoundRole::Alternate => format!("{name} (alternate)"),
        SoundRole::Dub => format!("{name} (dubbed)"),
        SoundRole::Commentary => format!("{name} (commentary)"),
        SoundRole::Description => format!("{name} (audio description)"),
        SoundRole::ClearSpeech => format!("{name} (clear speech)"),
    }
}

fn role(role: SoundRole) -> Role {
    match role {
        SoundRole::Main => Role::Main,
        SoundRole::Alternate => Role::Alternate,
        SoundRole::Dub => Role::Dub,
        SoundRole::Commentary => Role::Commentary,
        SoundRole::Description => Role::Description,
        SoundRole::ClearSpeech => Role::ClearSpeech,
    }
}

/// Whether transport streams carry this codec.
pub(crate) fn fits_ts(codec: &str) -> bool {
    TS_CODECS.iter().any(|known| codec.starts_with(known)) || codec == "ec-3"
}

/// What the pictures of a track are besides, for players of fragmented MP4 (Apple's HLS Authoring Specification, 1.10): the layer below, which
/// all others show, is what the brand says, or nothing is said of it.
fn supplement(track: &Listed<'_>, container: Container) -> Option<String> {
    let codec = track.supplemental_codec.filter(|_| container == Container::FragmentedMp4)?;
    let fits = match codec.rsplit_once('/')?.1 {
        "db1p" => track.video_range == Some(VideoRange::Pq),
        "db4h" => track.video_range == Some(VideoRange::Hlg),
        "db2g" => matches!(track.video_range, None | Some(VideoRange::Sdr)),
        _ => false,
    };
    fits.then(|| codec.to_owned())
}

fn video(facts: &Facts, video_range: Option<VideoRange>, uri: String) -> VideoRendition {
    VideoRendition {
        uri,
        codec: facts.codec.clone(),
        supplemental_codecs: None,
        width: facts.width.unwrap_or(0),
        height: facts.height.unwrap_or(0),
        frame_rate: facts.frame_rate.map(|rate| (rate.num, rate.den)),
        video_range,
        average_bandwidth_bps: facts.average_bandwidth_bps,
        peak_bandwidth_bps: facts.peak_bandwidth_bps,
        stable_id: Some(facts.name.clone()),
    }
}

fn audio(facts: &Facts, uri: String) -> AudioRendition {
    AudioRendition {
        uri,
        codec: facts.codec.clone(),
        name: name(facts),
        language: facts.language.clone(),
        role: role(facts.role),
        channels: facts.channels,
        average_bandwidth_bps: facts.average_bandwidth_bps,
        peak_bandwidth_bps: facts.peak_bandwidth_bps,
        stable_id: Some(facts.name.clone()),
    }
}

/// What the I-frames of a track are called in all its playlists, whatever the version: the track's own name is that of the variant.
pub(crate) fn stable_iframes(track: &str) -> String {
    format!("{track}.i")
}

fn iframes(track: &Listed<'_>, uri: String) -> Option<IframeRendition> {
    let bandwidth = track.complete.as_ref()?.iframes_bandwidth()?;
    Some(IframeRendition {
        uri,
        codec: track.facts.codec.clone(),
        width: track.facts.width?,
        height: track.facts.height?,
        video_range: track.video_range,
        average_bandwidth_bps: bandwidth.average_bps,
        peak_bandwidth_bps: bandwidth.peak_bps,
        stable_id: Some(stable_iframes(&track.facts.name)),
    })
}

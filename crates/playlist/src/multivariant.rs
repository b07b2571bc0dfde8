//! The multivariant playlist (RFC 8216bis section 4.4.6): which renditions there are, and what each costs.
//!
//! Every video rendition is a variant, once for each group of audio and once for each pathway. The bandwidth of a variant
//! is its own plus that of the most expensive sound of its group: the largest sum that a player can choose.
//!
//! `hls_m3u8` checks and writes the classic tags; what it has no words for is put behind their attributes
//! (`attributes.rs`).

mod groups;
mod renditions;

use std::collections::BTreeSet;

use hls_m3u8::{
    MasterPlaylist,
    tags::{ExtXMedia, VariantStream},
    types::{Channels, ClosedCaptions, MediaType, StreamData, UFloat},
};

use self::groups::{AudioGroup, Named, names};
pub use self::renditions::{
    AudioRendition, IframeRendition, MultivariantInput, Pathway, Start, Steering, SubtitleRendition, VideoRange,
    VideoRendition,
};
use crate::attributes::{Attributes, Quoted, start_tag};
use crate::time::SecondsOfMs;
use crate::{PlaylistError, Role, uri};

/// The one group of subtitles.
const SUBTITLES_GROUP: &str = "subtitles";
/// `KEYFORMAT` needs it; nothing else in here needs more than 1.
const VERSION_OF_KEYS: u16 = 5;
/// The only pathway, if none is named.
const UNNAMED: Pathway = Pathway { id: String::new(), base: String::new() };

/// A tag of `hls_m3u8`, and what it has no words for.
struct Extended<T> {
    tag: T,
    attributes: Attributes,
}

/// The playlist of everything in `input`.
///
/// Without video each audio rendition is a variant, unless they differ in more than their cost: then they are a group that
/// is chosen from, as with video. Without audio there is no group.
///
/// # Errors
/// [`PlaylistError`] if there is nothing to play, a URI is not relative, or a name or identifier breaks its rule.
pub fn multivariant_playlist(input: &MultivariantInput) -> Result<String, PlaylistError> {
    if input.video.is_empty() && input.audio.is_empty() {
        return Err(PlaylistError::Empty { what: "rendition" });
    }
    check_stable_ids(input)?;
    let mut media = Vec::new();
    let mut variants = Vec::new();
    let mut iframes = Vec::new();
    let unnamed = [UNNAMED];
    for pathway in if input.pathways.is_empty() { &unnamed[..] } else { &input.pathways[..] } {
        let way = Way { input, pathway };
        way.check()?;
        let is_grouped = !input.video.is_empty() || is_choice(&input.audio);
        let groups = if is_grouped { AudioGroup::of(&input.audio) } else { Vec::new() };
        for group in &groups {
            media.extend(way.audio(group)?);
        }
        media.extend(way.subtitles()?);
        if input.video.is_empty() {
            let firsts = groups.iter().filter_map(|group| Some((group.members.first()?.audio, Some(group))));
            let alone = input.audio.iter().filter(|_| !is_grouped).map(|audio| (audio, None));
            for (audio, group) in firsts.chain(alone) {
                variants.push(way.sound_variant(audio, group)?);
            }
        }
        for video in &input.video {
            // Without sound there is no group, and still the variant.
            for group in groups.iter().map(Some).chain(groups.is_empty().then_some(None)) {
                variants.push(way.picture_variant(video, group, groups.len() > 1)?);
            }
        }
        for iframe in &input.iframes {
            iframes.push(way.iframes(iframe)?);
        }
    }
    variants.extend(iframes);
    write(input, &media, &variants)
}

fn write(
    input: &MultivariantInput,
    media: &[Extended<ExtXMedia<'_>>],
    variants: &[Extended<VariantStream<'_>>],
) -> Result<String, PlaylistError> {
    // The rules between tags are checked by `hls_m3u8`: every group that is named is there.
    MasterPlaylist::builder()
        .media(media.iter().map(|media| media.tag.clone()).collect::<Vec<_>>())
        .variant_streams(variants.iter().map(|variant| variant.tag.clone()).collect::<Vec<_>>())
        .has_independent_segments(true)
        .build()?;
    let mut lines = vec!["#EXTM3U".to_owned()];
    if !input.session_keys.is_empty() {
        lines.push(format!("#EXT-X-VERSION:{VERSION_OF_KEYS}"));
    }
    lines.push("#EXT-X-INDEPENDENT-SEGMENTS".to_owned());
    if let Some(steering) = &input.steering {
        lines.push(steering.tag(&input.pathways)?);
    }
    if let Some(start) = input.start {
        let sign = if start.offset_ms < 0 { "-" } else { "" };
        let offset = format!("{sign}{}", SecondsOfMs(start.offset_ms.unsigned_abs()));
        lines.push(start_tag(offset, start.is_precise));
    }
    for key in &input.session_keys {
        lines.push(key.session_tag()?);
    }
    lines.extend(media.iter().map(|media| media.attributes.behind(&media.tag)));
    lines.extend(variants.iter().map(|variant| variant.attributes.behind(&variant.tag)));
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// One pathway through all renditions.
struct Way<'a> {
    input: &'a MultivariantInput,
    pathway: &'a Pathway,
}

// === impl Way ===

impl<'a> Way<'a> {
    fn check(&self) -> Result<(), PlaylistError> {
        let Pathway { id, base } = self.pathway;
        let twice = self.input.pathways.iter().filter(|other| other.id == *id).count() > 1;
        if twice || (!self.input.pathways.is_empty() && !is_pathway(id)) {
            return Err(PlaylistError::Attribute { attribute: "PATHWAY-ID", value: id.clone() });
        }
        if !base.is_empty() {
            uri::checked_base(base)?;
        }
        Ok(())
    }

    fn uri(&self, uri: &str) -> Result<String, PlaylistError> {
        uri::checked(uri)?;
        Ok(format!("{}{uri}", self.pathway.base))
    }

    /// Groups of two pathways hold other URIs, so they are other groups.
    fn group_id(&self, id: &str) -> String {
        if self.pathway.id.is_empty() { id.to_owned() } else { format!("{id}.{}", self.pathway.id) }
    }

    fn audio(&self, group: &AudioGroup<'a>) -> Result<Vec<Extended<ExtXMedia<'a>>>, PlaylistError> {
        let member = |(at, member): (usize, &groups::Member<'a>)| {
            let audio = member.audio;
            self.media(&Rendition {
                kind: MediaType::Audio,
                group: &group.id,
                uri: &audio.uri,
                named: &member.named,
                role: audio.role,
                is_default: at == 0,
                channels: audio.channels,
                stable_id: audio.stable_id.as_deref(),
            })
        };
        group.members.iter().enumerate().map(member).collect()
    }

    fn subtitles(&self) -> Result<Vec<Extended<ExtXMedia<'a>>>, PlaylistError> {
        let subtitles = &self.input.subtitles;
        let said = subtitles.iter().map(|text| {
            (text.name.as_str(), text.language.as_deref().filter(|language| is_language(language)), text.role)
        });
        let default = subtitles.iter().position(|text| text.is_default);
        let text = |(at, (text, mut named)): (usize, (&SubtitleRendition, Named))| {
            let is_default = default == Some(at);
            // What is the default may be chosen by the player, too (section 4.4.6.1).
            named.is_autoselect |= is_default;
            self.media(&Rendition {
                kind: MediaType::Subtitles,
                group: SUBTITLES_GROUP,
                uri: &text.uri,
                named: &named,
                role: text.role,
                is_default,
                channels: None,
                stable_id: text.stable_id.as_deref(),
            })
        };
        subtitles.iter().zip(names(said, "Subtitles")).enumerate().map(text).collect()
    }

    fn media(&self, rendition: &Rendition<'_>) -> Result<Extended<ExtXMedia<'a>>, PlaylistError> {
        let mut tag = ExtXMedia::builder();
        tag.media_type(rendition.kind)
            .group_id(self.group_id(rendition.group))
            .name(rendition.named.name.clone())
            .uri(self.uri(rendition.uri)?)
            .is_default(rendition.is_default)
            .is_autoselect(rendition.named.is_autoselect)
            .is_forced(rendition.kind == MediaType::Subtitles && rendition.role == Role::Forced);
        if let Some(language) = &rendition.named.language {
            tag.language(language.clone());
        }
        if let Some(characteristics) = rendition.role.characteristics() {
            tag.characteristics(characteristics);
        }
        if let Some(channels) = rendition.channels {
            tag.channels(Channels::new(u64::from(channels)));
        }
        let stable = rendition.stable_id.map(|id| Quoted::id("STABLE-RENDITION-ID", id)).transpose()?;
        let attributes = Attributes::default().quoted_if("STABLE-RENDITION-ID", stable.as_ref());
        Ok(Extended { tag: tag.build()?, attributes })
    }

    fn picture_variant(
        &self,
        video: &'a VideoRendition,
        group: Option<&AudioGroup<'a>>,
        is_repeated: bool,
    ) -> Result<Extended<VariantStream<'a>>, PlaylistError> {
        let most = |of: fn(&AudioRendition) -> u64| group.map_or(0, |group| group.most(of));
        let peak = video.peak_bandwidth_bps.saturating_add(most(|audio| audio.peak_bandwidth_bps));
        let average = video.average_bandwidth_bps.saturating_add(most(|audio| audio.average_bandwidth_bps));
        let sounds = group.into_iter().flat_map(AudioGroup::codecs);
        let codecs = std::iter::once(video.codec.as_str()).chain(sounds).chain(self.text_codecs());
        let stream_data = StreamData::builder()
            .bandwidth(peak)
            .average_bandwidth(average)
            .codecs(checked_codecs(codecs)?)
            .resolution((as_usize(video.width), as_usize(video.height)))
            .build()?;
        let tag = VariantStream::ExtXStreamInf {
            uri: self.uri(&video.uri)?.into(),
            frame_rate: video.frame_rate.and_then(frame_rate),
            audio: group.map(|group| self.group_id(&group.id).into()),
            subtitles: self.subtitles_group(),
            // Without it players offer captions that may or may not lie in the pictures.
            closed_captions: Some(ClosedCaptions::None),
            stream_data,
        };
        // Two variants of the same pictures are two variants.
        let stable_id = video.stable_id.as_ref().map(|id| match group {
            Some(group) if is_repeated => format!("{id}.{}", group.id),
            Some(_) | None => id.clone(),
        });
        let supplemental = video.supplemental_codecs.as_deref();
        let supplemental = supplemental.map(|codecs| Quoted::new("SUPPLEMENTAL-CODECS", codecs)).transpose()?;
        let attributes = self.variant_attributes(video.video_range, stable_id.as_deref())?;
        Ok(Extended { tag, attributes: attributes.quoted_if("SUPPLEMENTAL-CODECS", supplemental.as_ref()) })
    }

    fn sound_variant(
        &self,
        audio: &'a AudioRendition,
        group: Option<&AudioGroup<'a>>,
    ) -> Result<Extended<VariantStream<'a>>, PlaylistError> {
        let sounds = group.map_or_else(|| BTreeSet::from([audio.codec.as_str()]), AudioGroup::codecs);
        let codecs = sounds.into_iter().chain(self.text_codecs());
        let most = |of: fn(&AudioRendition) -> u64| group.map_or_else(|| of(audio), |group| group.most(of));
        let stream_data = StreamData::builder()
            .bandwidth(most(|audio| audio.peak_bandwidth_bps))
            .average_bandwidth(most(|audio| audio.average_bandwidth_bps))
            .codecs(checked_codecs(codecs)?)
            .build()?;
        let tag = VariantStream::ExtXStreamInf {
            uri: self.uri(&audio.uri)?.into(),
            frame_rate: None,
            audio: group.map(|group| self.group_id(&group.id).into()),
            subtitles: self.subtitles_group(),
            closed_captions: None,
            stream_data,
        };
        Ok(Extended { tag, attributes: self.variant_attributes(None, audio.stable_id.as_deref())? })
    }

    fn iframes(&self, iframe: &'a IframeRendition) -> Result<Extended<VariantStream<'a>>, PlaylistError> {
        let stream_data = StreamData::builder()
            .bandwidth(iframe.peak_bandwidth_bps)
            .average_bandwidth(iframe.average_bandwidth_bps)
            .codecs(checked_codecs(std::iter::once(iframe.codec.as_str()))?)
            .resolution((as_usize(iframe.width), as_usize(iframe.height)))
            .build()?;
        let tag = VariantStream::ExtXIFrame { uri: self.uri(&iframe.uri)?.into(), stream_data };
        Ok(Extended { tag, attributes: self.variant_attributes(iframe.video_range, iframe.stable_id.as_deref())? })
    }

    fn variant_attributes(
        &self,
        range: Option<VideoRange>,
        stable_id: Option<&str>,
    ) -> Result<Attributes, PlaylistError> {
        let attributes = match range {
            Some(range) => Attributes::default().plain("VIDEO-RANGE", range.word()),
            None => Attributes::default(),
        };
        let stable = stable_id.map(|id| Quoted::id("STABLE-VARIANT-ID", id)).transpose()?;
        let pathway = Some(&self.pathway.id).filter(|id| !id.is_empty());
        let pathway = pathway.map(|id| Quoted::id("PATHWAY-ID", id)).transpose()?;
        Ok(attributes.quoted_if("STABLE-VARIANT-ID", stable.as_ref()).quoted_if("PATHWAY-ID", pathway.as_ref()))
    }

    fn subtitles_group(&self) -> Option<std::borrow::Cow<'a, str>> {
        (!self.input.subtitles.is_empty()).then(|| self.group_id(SUBTITLES_GROUP).into())
    }

    fn text_codecs(&self) -> std::collections::BTreeSet<&'a str> {
        self.input.subtitles.iter().filter_map(|text| text.codec.as_deref()).collect()
    }
}

/// What sound and text have in common.
struct Rendition<'a> {
    kind: MediaType,
    group: &'a str,
    uri: &'a str,
    named: &'a Named,
    role: Role,
    is_default: bool,
    channels: Option<u16>,
    stable_id: Option<&'a str>,
}

// === impl Steering ===

impl Steering {
    fn tag(&self, pathways: &[Pathway]) -> Result<String, PlaylistError> {
        let attributes =
            Attributes::default().quoted("SERVER-URI", &Quoted::new("SERVER-URI", uri::checked(&self.server_uri)?)?);
        let Some(first) = &self.first_pathway else { return Ok(attributes.tag("EXT-X-CONTENT-STEERING")) };
        if !pathways.iter().any(|pathway| pathway.id == *first) {
            return Err(PlaylistError::Attribute { attribute: "PATHWAY-ID", value: first.clone() });
        }
        let attributes = attributes.quoted("PATHWAY-ID", &Quoted::id("PATHWAY-ID", first)?);
        Ok(attributes.tag("EXT-X-CONTENT-STEERING"))
    }
}

// === impl VideoRange ===

impl VideoRange {
    fn word(self) -> &'static str {
        match self {
            Self::Sdr => "SDR",
            Self::Hlg => "HLG",
            Self::Pq => "PQ",
        }
    }
}

/// All renditions have a stable identifier, or none has: a player that maps some by identifier finds no place for the rest.
fn check_stable_ids(input: &MultivariantInput) -> Result<(), PlaylistError> {
    let ids = || {
        let video = input.video.iter().map(|video| (&video.uri, &video.stable_id));
        let audio = input.audio.iter().map(|audio| (&audio.uri, &audio.stable_id));
        let subtitles = input.subtitles.iter().map(|text| (&text.uri, &text.stable_id));
        let iframes = input.iframes.iter().map(|iframe| (&iframe.uri, &iframe.stable_id));
        video.chain(audio).chain(subtitles).chain(iframes)
    };
    let lacks = ids().find(|(_, id)| id.is_none());
    match lacks {
        Some((uri, _)) if ids().any(|(_, id)| id.is_some()) => Err(PlaylistError::StableId { uri: uri.clone() }),
        Some(_) | None => Ok(()),
    }
}

/// Whether a listener chooses among these: they are not the same at several bit rates.
fn is_choice(audio: &[AudioRendition]) -> bool {
    let said = |audio: &AudioRendition| (audio.name.clone(), audio.language.clone(), audio.role);
    audio.windows(2).any(|pair| said(&pair[0]) != said(&pair[1]))
}

fn checked_codecs<'a>(codecs: impl Iterator<Item = &'a str>) -> Result<Vec<&'a str>, PlaylistError> {
    codecs.map(|codec| Quoted::new("CODECS", codec).map(|_| codec)).collect()
}

pub(crate) fn is_pathway(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

/// Text that could be a BCP 47 tag, as `xs:language` has it; sources carry all sorts of text there.
pub(crate) fn is_language(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let has_length = |subtag: &str| (1..=8).contains(&subtag.len());
    let is_primary = |subtag: &str| has_length(subtag) && subtag.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_other = |subtag: &str| has_length(subtag) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    tag != "und" && subtags.next().is_some_and(is_primary) && subtags.all(is_other)
}

fn frame_rate((num, den): (u32, u32)) -> Option<UFloat> {
    #[expect(clippy::cast_possible_truncation, reason = "the playlist prints three decimals")]
    let rate = (f64::from(num) / f64::from(den)) as f32;
    (num > 0 && den > 0).then(|| UFloat::new(rate))
}

fn as_usize(pixels: u32) -> usize {
    usize::try_from(pixels).unwrap_or(usize::MAX)
}

//! Tracks as Representations, and which of them a player may switch between (AdaptationSet).

use super::timeline::Timeline;
use super::xml::Element;
use crate::multivariant::is_language;
use crate::time::Seconds;
use crate::{PlaylistError, Role, uri};

/// Channel layouts (ISO/IEC 23091-3) by count of channels, as encoders mean them.
const CHANNEL_SCHEME: &str = "urn:mpeg:mpegB:cicp:ChannelConfiguration";
const ROLE_SCHEME: &str = "urn:mpeg:dash:role:2011";
const PURPOSE_SCHEME: &str = "urn:tva:metadata:cs:AudioPurposeCS:2007";
/// Sets that show the same in different codecs name each other (DASH-IF IOP 4.3 section 3.8).
const SWITCHING_SCHEME: &str = "urn:mpeg:dash:adaptation-set-switching:2016";

/// Encrypted samples (ISO/IEC 23009-1 section 5.8.5.2), and who opens them: DASH-IF's identifier of Clear Key.
const PROTECTION_SCHEME: &str = "urn:mpeg:dash:mp4protection:2011";
const CENC_NAMESPACE: &str = "urn:mpeg:cenc:2013";
const CLEAR_KEY_SCHEME: &str = "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e";

/// What of a track an MPD says in every Period.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DashTrack {
    /// Its name: letters, digits, `. - _`.
    pub id: String,
    /// Where its segments and init segments are: relative to the MPD, without `/` at the end.
    pub folder: String,
    /// RFC 6381 codec string.
    pub codec: String,
    /// What it carries.
    pub kind: DashKind,
    /// Language (BCP 47), if it is known.
    pub language: Option<String>,
    /// Name for people.
    pub label: Option<String>,
    /// What it is for.
    pub role: Role,
    /// Whether a player that has no wish takes it rather than others of its kind.
    pub is_preferred: bool,
    /// Peak segment bit rate, measured, bits per second.
    pub bandwidth_bps: u64,
    /// Ticks per second, above 0.
    pub timescale: u32,
    /// Stream access point type of the first sample of every segment, if it is one: 1 or 2 allow switching.
    pub start_with_sap: Option<u8>,
    /// Identifier of the key of its samples, where they are encrypted (`cbcs` of ISO/IEC 23001-7).
    pub key_id: Option<[u8; 16]>,
}

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DashKind {
    /// Pictures.
    Video {
        /// Width in coded pixels.
        width: u32,
        /// Height in coded pixels.
        height: u32,
        /// Frames per second as a ratio, if there is a rate.
        frame_rate: Option<(u32, u32)>,
        /// Shape of a pixel, width to height.
        sar: (u32, u32),
    },
    /// Sound.
    Audio {
        /// Samples per second.
        sampling_rate_hz: Option<u32>,
        /// Channels, if they are known.
        channels: Option<u16>,
    },
    /// Subtitles in fragmented MP4.
    #[default]
    Text,
}

/// A track in a Period.
pub(super) struct Piece<'a> {
    pub(super) track: &'a DashTrack,
    /// Its segments, on its own ticks.
    pub(super) timeline: Timeline,
    /// The tick that is presented when the Period begins.
    pub(super) origin_ticks: u64,
    /// File name of its init segment.
    pub(super) init: String,
    /// How much earlier than whole a segment can be asked for, ticks, if it can be.
    pub(super) early_ticks: Option<u64>,
}

/// Tracks that show the same thing, by the numbers of their places in the list.
pub(super) struct Set {
    tracks: Vec<usize>,
}

// === impl Set ===

impl Set {
    /// The sets of all tracks: one for the pictures of a codec, one for the sound of a codec, layout, language, role and label,
    /// in the order in which they come.
    pub(super) fn of(tracks: &[&DashTrack]) -> Vec<Self> {
        let mut sets: Vec<Self> = Vec::new();
        for (at, track) in tracks.iter().enumerate() {
            match sets.iter_mut().find(|set| set.tracks.iter().all(|other| tracks[*other].is_akin(track))) {
                Some(set) => set.tracks.push(at),
                None => sets.push(Self { tracks: vec![at] }),
            }
        }
        sets
    }

    /// The element for `pieces`, which are of the tracks that a Period has; `None` if it has none of these.
    pub(super) fn element(
        &self,
        number: usize,
        sets: &[Self],
        tracks: &[&DashTrack],
        pieces: &[Option<Piece<'_>>],
    ) -> Result<Option<Element>, PlaylistError> {
        let pieces: Vec<&Piece<'_>> = self.tracks.iter().filter_map(|at| pieces[*at].as_ref()).collect();
        let Some(first) = pieces.first() else { return Ok(None) };
        let track = first.track;
        let (content, media_type) = track.kind.media_types();
        let saps = pieces.iter().map(|piece| piece.track.start_with_sap.filter(|sap| (1..=6).contains(sap)));
        let sap = saps.reduce(|worst, sap| Some(worst?.max(sap?))).flatten();
        let mut element = Element::new("AdaptationSet")
            .with("id", number)
            .with("contentType", content)
            .with("mimeType", media_type)
            .with_if("lang", track.language.as_ref().filter(|language| is_language(language)))
            // Clause 5.3.3: the highest is taken; 1 where nothing is said.
            .with_if("selectionPriority", track.is_preferred.then_some(2))
            .with_if("segmentAlignment", pieces.iter().all(|piece| first.is_aligned(piece)).then_some("true"))
            .with_if("startWithSAP", sap);
        element = bounds(element, &pieces).children(track.key_id.into_iter().flat_map(protection));
        let is_video = |set: &Self| matches!(tracks[set.tracks[0]].kind, DashKind::Video { .. });
        if is_video(self) {
            let others = sets.iter().enumerate().filter(|(at, set)| *at != number && is_video(set));
            let others: Vec<String> = others.map(|(at, _)| at.to_string()).collect();
            if !others.is_empty() {
                element = element.child(descriptor("SupplementalProperty", SWITCHING_SCHEME, &others.join(",")));
            }
        }
        element = element.children(track.label.as_deref().map(label)).children(purpose(track.role));
        element = element.child(role(track.role));
        let shared = shared_folder(&pieces);
        if let Some(parent) = &shared {
            element = element.child(first.template(&format!("{parent}$RepresentationID$")));
        }
        for piece in pieces {
            element = element.child(piece.representation(shared.is_none())?);
        }
        Ok(Some(element))
    }
}

// === impl DashTrack ===

impl DashTrack {
    fn is_akin(&self, other: &Self) -> bool {
        let family = |codec: &str| codec.split('.').next().map(str::to_owned);
        let is_same_kind = std::mem::discriminant(&self.kind) == std::mem::discriminant(&other.kind);
        let is_same_layout = match (self.kind, other.kind) {
            (DashKind::Audio { channels: mine, .. }, DashKind::Audio { channels: theirs, .. }) => mine == theirs,
            _ => true,
        };
        is_same_kind
            && is_same_layout
            && family(&self.codec) == family(&other.codec)
            && (matches!(self.kind, DashKind::Video { .. }) || self.language == other.language)
            && (self.role, &self.label) == (other.role, &other.label)
            && self.key_id == other.key_id
    }

    fn check(&self) -> Result<(), PlaylistError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if self.id.is_empty() || !self.id.bytes().all(is_plain) {
            return Err(PlaylistError::Attribute { attribute: "Representation@id", value: self.id.clone() });
        }
        if self.codec.is_empty() || self.codec.contains(char::is_whitespace) {
            return Err(PlaylistError::Attribute { attribute: "codecs", value: self.codec.clone() });
        }
        if uri::checked(&self.folder)?.ends_with('/') {
            return Err(PlaylistError::Uri { uri: self.folder.clone() });
        }
        Ok(())
    }
}

// === impl DashKind ===

impl DashKind {
    fn media_types(self) -> (&'static str, &'static str) {
        match self {
            Self::Video { .. } => ("video", "video/mp4"),
            Self::Audio { .. } => ("audio", "audio/mp4"),
            Self::Text => ("text", "application/mp4"),
        }
    }
}

// === impl Piece ===

impl Piece<'_> {
    fn representation(&self, with_template: bool) -> Result<Element, PlaylistError> {
        let track = self.track;
        track.check()?;
        let mut element = Element::new("Representation")
            .with("id", &track.id)
            .with("codecs", &track.codec)
            .with("bandwidth", track.bandwidth_bps.clamp(1, u64::from(u32::MAX)));
        match track.kind {
            DashKind::Video { width, height, frame_rate, sar } => {
                element = element
                    .with("width", width)
                    .with("height", height)
                    .with_if("frameRate", frame_rate.and_then(rate))
                    .with_if("sar", (sar.0 > 0 && sar.1 > 0).then(|| ratio(sar)));
            }
            DashKind::Audio { sampling_rate_hz, channels } => {
                element = element.with_if("audioSamplingRate", sampling_rate_hz);
                if let Some(layout) = channels.and_then(channel_layout) {
                    element = element.child(descriptor("AudioChannelConfiguration", CHANNEL_SCHEME, layout));
                }
            }
            DashKind::Text => {}
        }
        Ok(if with_template { element.child(self.template(&escaped(&track.folder))) } else { element })
    }

    fn template(&self, folder: &str) -> Element {
        let early = self.early_ticks.map(|ticks| Seconds(ticks, self.track.timescale).to_string());
        Element::new("SegmentTemplate")
            .with("timescale", self.track.timescale)
            .with_if("presentationTimeOffset", (self.origin_ticks > 0).then_some(self.origin_ticks))
            .with("startNumber", self.timeline.first_number)
            .with_if("availabilityTimeOffset", early)
            .with_if("availabilityTimeComplete", self.early_ticks.map(|_| "false"))
            .with("initialization", format!("{folder}/{}", self.init))
            .with("media", format!("{folder}/$Number$.m4s"))
            .child(self.timeline.element())
    }

    /// Whether the segments of both begin, and end, at the same moments.
    fn is_aligned(&self, other: &Self) -> bool {
        let starts = |piece: &Self| {
            let start = u128::from(piece.timeline.start_ticks);
            let durations = piece.timeline.durations_ticks.iter();
            let ends = durations.scan(start, |end, ticks| {
                *end += u128::from(*ticks);
                Some(*end)
            });
            std::iter::once(start).chain(ends).collect::<Vec<_>>()
        };
        let (mine, theirs) = (starts(self), starts(other));
        let (my_scale, their_scale) = (u128::from(self.track.timescale), u128::from(other.track.timescale));
        self.timeline.first_number == other.timeline.first_number
            && mine.len() == theirs.len()
            && mine.iter().zip(&theirs).all(|(mine, theirs)| mine * their_scale == theirs * my_scale)
    }
}

/// What stands in front of the names of all tracks, if they differ in nothing else and share one timeline.
fn shared_folder<'a>(pieces: &[&Piece<'a>]) -> Option<String> {
    let parent = |piece: &Piece<'a>| piece.track.folder.strip_suffix(piece.track.id.as_str()).map(str::to_owned);
    let first = pieces.first()?;
    let folder = parent(first).filter(|folder| folder.is_empty() || folder.ends_with('/'))?;
    let is_same = |piece: &&Piece<'a>| {
        parent(piece).as_ref() == Some(&folder)
            && (piece.track.timescale, piece.origin_ticks, piece.early_ticks, &piece.init, &piece.timeline)
                == (first.track.timescale, first.origin_ticks, first.early_ticks, &first.init, &first.timeline)
    };
    (pieces.len() > 1 && pieces.iter().all(is_same)).then(|| escaped(&folder))
}

/// `par`, and the largest size and rate of any.
fn bounds(element: Element, pieces: &[&Piece<'_>]) -> Element {
    let mut most: Option<(u32, u32)> = None;
    let mut fastest: Option<(u32, u32)> = None;
    let mut shapes = Vec::new();
    for piece in pieces {
        let DashKind::Video { width, height, frame_rate, sar } = piece.track.kind else { return element };
        most = Some(most.map_or((width, height), |(w, h)| (w.max(width), h.max(height))));
        let is_faster =
            |a: (u32, u32), b: (u32, u32)| u64::from(a.0) * u64::from(b.1) > u64::from(b.0) * u64::from(a.1);
        if let Some(new) = frame_rate.filter(|rate| rate.1 > 0)
            && fastest.is_none_or(|old| is_faster(new, old))
        {
            fastest = Some(new);
        }
        shapes.push(shape(width, height, sar));
    }
    let first = shapes.first().copied().flatten();
    let par = first.filter(|_| shapes.iter().all(|shape| *shape == first));
    element
        .with_if("par", par.map(ratio))
        .with_if("maxWidth", most.map(|most| most.0))
        .with_if("maxHeight", most.map(|most| most.1))
        .with_if("maxFrameRate", fastest.and_then(rate))
}

/// Width to height of the picture, reduced; none if it is no ratio that a person would write.
fn shape(width: u32, height: u32, sar: (u32, u32)) -> Option<(u32, u32)> {
    let (w, h) = (u64::from(width) * u64::from(sar.0), u64::from(height) * u64::from(sar.1));
    let divisor = greatest_common_divisor(w, h);
    let reduced = (w.checked_div(divisor)?, h.checked_div(divisor)?);
    // 853×480 is 16:9 to everybody but arithmetic; then it is left out.
    (1..100).contains(&reduced.0).then_some(())?;
    Some((u32::try_from(reduced.0).ok()?, u32::try_from(reduced.1).ok().filter(|h| (1..100).contains(h))?))
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn rate((num, den): (u32, u32)) -> Option<String> {
    let divisor = greatest_common_divisor(u64::from(num), u64::from(den));
    let (num, den) = (u64::from(num).checked_div(divisor)?, u64::from(den).checked_div(divisor)?);
    match den {
        0 => None,
        1 => Some(num.to_string()),
        _ => Some(format!("{num}/{den}")),
    }
}

fn ratio((width, height): (u32, u32)) -> String {
    format!("{width}:{height}")
}

fn channel_layout(channels: u16) -> Option<&'static str> {
    match channels {
        1 => Some("1"),
        2 => Some("2"),
        3 => Some("3"),
        4 => Some("4"),
        5 => Some("5"),
        6 => Some("6"),
        8 => Some("12"),
        _ => None,
    }
}

/// A folder in a template: `$` begins an identifier there (section 5.3.9.4.4).
fn escaped(folder: &str) -> String {
    folder.replace('$', "$$")
}

pub(super) fn descriptor(name: &'static str, scheme: &str, value: &str) -> Element {
    Element::new(name).with("schemeIdUri", scheme).with("value", value)
}

/// What players have to know of samples that are encrypted: how, with which key (ISO/IEC 23001-7 section 11.2), and that the key itself is all
/// that opens them (Clear Key). Where the key is to be had an MPD cannot say: players take such addresses as relative to their page.
fn protection(key_id: [u8; 16]) -> [Element; 2] {
    let hex: String = key_id.iter().map(|octet| format!("{octet:02x}")).collect();
    let uuid = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    let common = descriptor("ContentProtection", PROTECTION_SCHEME, "cbcs");
    [
        common.with("xmlns:cenc", CENC_NAMESPACE).with("cenc:default_KID", uuid),
        descriptor("ContentProtection", CLEAR_KEY_SCHEME, "ClearKey1.0"),
    ]
}

pub(super) fn label(text: &str) -> Element {
    Element::new("Label").text(text)
}

pub(super) fn role(role: Role) -> Element {
    descriptor("Role", ROLE_SCHEME, role.dash())
}

pub(super) fn purpose(role: Role) -> Option<Element> {
    role.accessibility().map(|purpose| descriptor("Accessibility", PURPOSE_SCHEME, purpose))
}

//! A track at one moment, as playlists of I-frames, clips, multivariant playlists and MPDs see it: of a channel that goes on,
//! or of one that has ended. Pure: it holds no media.

use std::sync::Arc;

use flame_api::live::LiveTrack;
use flame_api::media::TrackKind;
use flame_playlist::{
    AudioRendition, Container, Content, DashKind, DashTrack, DateRange, Iframe, IframeMedia, IframeRendition, Key,
    LiveIframes, LiveMedia, LiveMpd, LiveTrack as DashLiveTrack, MultivariantInput, PlaylistError, Role, VideoRange,
    VideoRendition, date_ranges_since, iframe_playlist, multivariant_playlist,
};

use super::span::Span;
use super::window::Keyframe;
use crate::clip;
use crate::complete::Bandwidth;
use crate::multivariant::{fits_ts, stable_iframes};
use crate::names::keyframe_uri;
use crate::presentation::Document;
use crate::source::listed_range;
use crate::steering::Ways;

/// A track at one moment.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) facts: LiveTrack,
    /// Transfer characteristics of its newest pictures (H.273), where they are said.
    pub(crate) transfer: Option<u16>,
    pub(crate) media: LiveMedia,
    /// Of each segment.
    pub(crate) sizes_bytes: Vec<u64>,
    /// Of each segment.
    pub(crate) keyframes: Vec<Vec<Keyframe>>,
    /// I-frames of segments that are not listed any more.
    pub(crate) keyframes_before: u64,
    /// When the first segment of all began.
    pub(crate) origin_ticks: Option<u64>,
}

/// The multivariant playlist of these tracks, whose version is `version`, in this form; of a clip of them, if there is one.
pub(crate) fn multivariant(
    (version, container): (&str, Container),
    views: &[Arc<View>],
    span: Option<Span>,
    ways: &Ways,
) -> Result<Document, PlaylistError> {
    let query = span.map(|span| format!("?{span}")).unwrap_or_default();
    let mut input = MultivariantInput::default();
    let is_ts = container == Container::TransportStream;
    let file = if is_ts { "ts.m3u8" } else { "index.m3u8" };
    for view in views.iter().filter(|view| !is_ts || fits_ts(&view.facts.codec)) {
        let facts = &view.facts;
        let folder = format!("{version}/{}", facts.name);
        let uri = format!("{folder}/{file}{query}");
        let Bandwidth { average_bps, peak_bps } = view.bandwidth();
        match facts.kind {
            TrackKind::Video => {
                input.video.push(VideoRendition {
                    uri,
                    codec: facts.codec.clone(),
                    supplemental_codecs: None,
                    width: facts.width.unwrap_or(0),
                    height: facts.height.unwrap_or(0),
                    frame_rate: facts.frame_rate.map(|rate| (rate.num, rate.den)),
                    video_range: view.video_range(),
                    average_bandwidth_bps: average_bps,
                    peak_bandwidth_bps: peak_bps,
                    stable_id: Some(facts.name.clone()),
                });
                if let Some(cost) = view.iframes_bandwidth().filter(|_| span.is_none() && !is_ts) {
                    input.iframes.push(IframeRendition {
                        uri: format!("{folder}/iframes.m3u8"),
                        codec: facts.codec.clone(),
                        width: facts.width.unwrap_or(0),
                        height: facts.height.unwrap_or(0),
                        video_range: view.video_range(),
                        average_bandwidth_bps: cost.average_bps,
                        peak_bandwidth_bps: cost.peak_bps,
                        stable_id: Some(stable_iframes(&facts.name)),
                    });
                }
            }
            TrackKind::Audio => input.audio.push(AudioRendition {
                uri,
                codec: facts.codec.clone(),
                name: facts.language.clone().unwrap_or_else(|| "Audio".to_owned()),
                language: facts.language.clone(),
                role: Role::Main,
                channels: facts.channels,
                average_bandwidth_bps: average_bps,
                peak_bandwidth_bps: peak_bps,
                stable_id: Some(facts.name.clone()),
            }),
        }
    }
    ways.put(&mut input);
    multivariant_playlist(&input).map(Document::new)
}

/// An MPD of these tracks that says nothing yet of how far the channel is; of what a clip needs of them, if there is one.
pub(crate) fn mpd(version: &str, views: &[Arc<View>], span: Option<Span>) -> LiveMpd {
    let mut tracks: Vec<DashLiveTrack> = views.iter().map(|view| view.dash(version, span)).collect();
    if span.is_some() {
        tracks.retain(|track| !track.segments.is_empty());
    }
    let said = views.first().map(|view| view.media.date_ranges.as_slice()).unwrap_or_default();
    let is_shown = |range: &&DateRange| span.is_none_or(|span| range.start_ms < span.to_ms);
    let said = said.iter().filter(is_shown).cloned().collect::<Vec<_>>();
    LiveMpd {
        tracks,
        clip_ms: span.map(|span| (span.from_ms, span.to_ms)),
        date_ranges: span.map_or(said.clone(), |span| date_ranges_since(&said, span.from_ms)),
        ..LiveMpd::default()
    }
}

/// When the first segment of all of these tracks began, milliseconds since 1970.
pub(crate) fn origin_ms(views: &[Arc<View>]) -> u64 {
    let origins = views.iter().filter_map(|view| Some(view.ms(view.origin_ticks?)));
    origins.min().unwrap_or(0)
}

/// When the last of them ends that is whole, milliseconds since 1970.
pub(crate) fn end_ms(views: &[Arc<View>]) -> u64 {
    views.iter().filter_map(|view| view.end_ms()).max().unwrap_or(0)
}

/// Whether all has come that is shown before `to_ms`, of a channel whose segments are `segment_ms` long. A track that lies two
/// segments behind the others is one that nobody sends any more.
pub(crate) fn have_come(views: &[Arc<View>], to_ms: u64, segment_ms: u32) -> bool {
    let newest_ms = end_ms(views);
    let is_left = |end_ms: u64| end_ms.saturating_add(2 * u64::from(segment_ms)) < newest_ms;
    let has_come = |view: &Arc<View>| view.end_ms().is_some_and(|end_ms| end_ms >= to_ms || is_left(end_ms));
    newest_ms >= to_ms && views.iter().all(has_come)
}

/// Bits a second.
fn rate(bytes: u64, ticks: u64, timescale: u32) -> u64 {
    let bits = u128::from(bytes) * 8 * u128::from(timescale);
    u64::try_from(bits.div_ceil(u128::from(ticks.max(1)))).unwrap_or(u64::MAX).max(1)
}

// === impl View ===

impl View {
    /// Memory that it takes, for the weights of caches.
    pub(crate) fn weight_bytes(&self) -> usize {
        let keyframes: usize = self.keyframes.iter().map(|found| size_of_val(found.as_slice())).sum();
        let segments = size_of_val(self.media.segments.as_slice()) + size_of_val(self.keyframes.as_slice());
        segments + keyframes + size_of_val(self.sizes_bytes.as_slice())
    }

    /// The same with its segments under this key.
    pub(crate) fn under(&self, key: Key) -> Self {
        let mut view = self.clone();
        view.media.key = Some(key);
        view
    }

    /// The playlist of all of it.
    pub(crate) fn whole(&self) -> Result<Document, PlaylistError> {
        self.media.playlist(false).map(Document::new)
    }

    /// How bright its newest pictures get.
    fn video_range(&self) -> Option<VideoRange> {
        self.transfer.map(|transfer| listed_range(flame_cmaf::movie::VideoRange::of_transfer(transfer)))
    }

    fn ms(&self, ticks: u64) -> u64 {
        let ms = u128::from(ticks) * 1000 / u128::from(self.media.timescale.max(1));
        u64::try_from(ms).unwrap_or(u64::MAX)
    }

    /// When the last segment ends that came and is whole.
    pub(crate) fn end_ms(&self) -> Option<u64> {
        let mut segments = self.media.segments.iter().rev();
        let last = segments.find(|segment| matches!(segment.content, Content::Whole(_)))?;
        Some(self.ms(last.time_ticks.saturating_add(last.duration_ticks)))
    }

    /// When the newest segment begins that is listed.
    pub(crate) fn newest_ms(&self) -> u64 {
        self.media.segments.last().map_or(0, |last| self.ms(last.time_ticks))
    }

    /// Average, and highest of a segment (RFC 8216 section 4.3.4.2).
    pub(crate) fn bandwidth(&self) -> Bandwidth {
        let (mut bytes, mut ticks, mut peak_bps) = (0_u64, 0_u64, 1);
        for (segment, size_bytes) in self.media.segments.iter().zip(&self.sizes_bytes) {
            if matches!(segment.content, Content::Whole(_)) {
                bytes += size_bytes;
                ticks = ticks.saturating_add(segment.duration_ticks);
                peak_bps = peak_bps.max(rate(*size_bytes, segment.duration_ticks, self.media.timescale));
            }
        }
        Bandwidth { average_bps: rate(bytes, ticks, self.media.timescale), peak_bps }
    }

    /// Its I-frames: the segment's place, the picture, and how long it stands: until the next one, or until the segment ends.
    fn pictures(&self) -> impl Iterator<Item = (usize, Keyframe, u64)> {
        let whole = self.media.segments.iter().enumerate();
        let whole = whole.filter(|(_, segment)| matches!(segment.content, Content::Whole(_)));
        whole.flat_map(|(at, segment)| {
            let found = self.keyframes.get(at).map(Vec::as_slice).unwrap_or_default();
            let end_ticks = segment.time_ticks.saturating_add(segment.duration_ticks);
            let next = found.iter().skip(1).map(|next| next.time_ticks).chain([end_ticks]);
            let lasting = |(keyframe, next): (&Keyframe, u64)| (*keyframe, next.saturating_sub(keyframe.time_ticks));
            found.iter().zip(next).map(lasting).map(move |(keyframe, ticks)| (at, keyframe, ticks))
        })
    }

    /// What its I-frames cost; `None` where there are none.
    fn iframes_bandwidth(&self) -> Option<Bandwidth> {
        let (mut bytes, mut ticks, mut peak_bps) = (0_u64, 0_u64, 0);
        for (_, keyframe, lasting) in self.pictures() {
            bytes += u64::from(keyframe.size_bytes);
            ticks = ticks.saturating_add(lasting);
            peak_bps = peak_bps.max(rate(keyframe.size_bytes.into(), lasting, self.media.timescale));
        }
        (peak_bps > 0).then(|| Bandwidth { average_bps: rate(bytes, ticks, self.media.timescale), peak_bps })
    }

    /// The playlist of its I-frames; `None` where there are none.
    pub(crate) fn iframes(&self) -> Option<Result<Document, PlaylistError>> {
        // A discontinuity in front of a segment without a picture stands in front of the next one.
        let mut frames = Vec::new();
        let mut last: Option<usize> = None;
        for (number, (at, keyframe, duration_ticks)) in (self.keyframes_before..).zip(self.pictures()) {
            let from = last.map_or(0, |last| last + 1);
            let is_discontinuity =
                last != Some(at) && self.media.segments.get(from..=at)?.iter().any(|segment| segment.is_discontinuity);
            last = Some(at);
            frames.push(Iframe {
                uri: keyframe_uri(usize::try_from(number).unwrap_or(usize::MAX)),
                duration_ticks,
                time_ticks: Some(self.media.segments[at].by_the_wall(keyframe.time_ticks, self.media.timescale)),
                init: Some(self.media.segments[at].init),
                is_discontinuity,
                key_period: self.media.key_segments.map(|every| (self.media.first_number + at as u64) / every),
            });
        }
        if frames.is_empty() {
            return None;
        }
        let timescale = u64::from(self.media.timescale.max(1));
        let longest_ticks = frames.iter().map(|frame| frame.duration_ticks).max().unwrap_or(0);
        let longest_s = longest_ticks.saturating_add(timescale / 2) / timescale;
        let live = LiveIframes {
            first_number: self.keyframes_before,
            discontinuity_sequence: self.media.discontinuity_sequence,
            target_duration_s: self.media.target_duration_s.max(longest_s),
            is_over: self.media.is_over,
        };
        let key = self.media.key.clone();
        let media = IframeMedia { timescale: self.media.timescale, frames, key, live: Some(live) };
        Some(iframe_playlist(&media).map(Document::new))
    }

    /// The segment that holds the I-frame `number`, and its place among those of the segment.
    pub(crate) fn keyframe(&self, number: u64) -> Option<(u64, u32)> {
        let mut before = self.keyframes_before;
        for (at, found) in self.keyframes.iter().enumerate() {
            let next = before + found.len() as u64;
            if (before..next).contains(&number) {
                return Some((self.media.first_number + at as u64, u32::try_from(number - before).ok()?));
            }
            before = next;
        }
        None
    }

    /// The playlist of its transport streams.
    pub(crate) fn transport_streams(&self) -> Result<Document, PlaylistError> {
        self.media.transport_streams().map(Document::new)
    }

    /// The playlist of a clip.
    pub(crate) fn clip(&self, span: Span) -> Result<Document, PlaylistError> {
        let ticks = |ms: u64| clip::ticks(ms, self.media.timescale);
        let text = self.media.clip(ticks(span.from_ms), ticks(span.to_ms), &span.end_query())?;
        Ok(Document::new(text))
    }

    fn dash(&self, version: &str, span: Option<Span>) -> DashLiveTrack {
        let facts = &self.facts;
        let kind = match facts.kind {
            TrackKind::Video => DashKind::Video {
                width: facts.width.unwrap_or(0),
                height: facts.height.unwrap_or(0),
                frame_rate: facts.frame_rate.map(|rate| (rate.num, rate.den)),
                sar: (1, 1),
            },
            TrackKind::Audio => DashKind::Audio { sampling_rate_hz: facts.sample_rate_hz, channels: facts.channels },
        };
        let ticks = |ms: u64| clip::ticks(ms, self.media.timescale);
        let listed = match span {
            None => 0..self.media.segments.len(),
            Some(span) => self.media.cut(ticks(span.from_ms), ticks(span.to_ms)),
        };
        DashLiveTrack {
            track: DashTrack {
                id: facts.name.clone(),
                folder: format!("{version}/{}", facts.name),
                codec: facts.codec.clone(),
                kind,
                language: facts.language.clone(),
                label: None,
                role: Role::Main,
                is_preferred: false,
                bandwidth_bps: self.bandwidth().peak_bps,
                timescale: self.media.timescale,
                start_with_sap: Some(1),
                key_id: None,
            },
            first_number: self.media.first_number + listed.start as u64,
            segments: self.media.segments[listed].to_vec(),
        }
    }
}

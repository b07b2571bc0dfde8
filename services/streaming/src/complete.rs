//! A track that has come to its end, as playlists and manifests see it: how long its segments are and where it can be entered,
//! however its bytes are stored.

use std::ops::Range;

use flame_api::media::{Track as Facts, TrackKind};
use flame_cmaf::{MovieTrack, TrackIndex};
use flame_playlist::{
    Clip as PlaylistClip, Container, DashKind, DashTrack, Iframe, IframeMedia, Key, PlaylistError, Role, VideoRange,
    VodMedia, VodText, VodTrack, iframe_playlist, vod_media_playlist, vod_text_playlist,
};

use crate::clip::Clip;
use crate::names::keyframe_uri;
use crate::presentation::Document;

/// The most I-frames of an upload that are listed: 27 hours of one a second. Where every picture is one, there is no use for a list.
const KEYFRAMES_MAX: usize = 100_000;

/// A complete track.
#[derive(Debug)]
pub(crate) struct Complete {
    /// Its media playlist.
    pub(crate) playlist: Document,
    media: VodMedia,
    /// Presentation time of the first segment, ticks.
    start_ticks: u64,
    segment_bytes: Box<[u64]>,
    keyframes: Box<[Keyframe]>,
    /// How bright its pictures get, where their init segment says it.
    pub(crate) video_range: Option<VideoRange>,
}

/// A picture that needs no other, as a playlist of I-frames sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Keyframe {
    /// Until the next one, ticks.
    duration_ticks: u64,
    size_bytes: u64,
}

/// Measured bits a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bandwidth {
    pub(crate) average_bps: u64,
    pub(crate) peak_bps: u64,
}

// === impl Complete ===

impl Complete {
    /// A track that is stored as CMAF.
    pub(crate) fn stored(index: &TrackIndex) -> Result<Self, PlaylistError> {
        let ticks: Vec<u64> = (0..index.segments.len()).filter_map(|number| index.presented_ticks(number)).collect();
        let first_ticks = index.segments.first().map_or(0, |first| first.time_ticks);
        let start_ticks = first_ticks.saturating_sub(index.edit_media_time_ticks);
        let end_ticks = start_ticks + ticks.iter().sum::<u64>();
        let shown = |time_ticks: u64| time_ticks.saturating_sub(index.edit_media_time_ticks);
        let noted: Vec<(u64, u64)> = index
            .segments
            .iter()
            .flat_map(|segment| &segment.keyframes)
            .map(|keyframe| (shown(keyframe.time_ticks), u64::from(keyframe.size_bytes)))
            .collect();
        let next = noted.iter().skip(1).map(|(ticks, _)| *ticks).chain([end_ticks]);
        let keyframes = noted.iter().zip(next).map(|((ticks, size_bytes), next)| Keyframe {
            duration_ticks: next.saturating_sub(*ticks),
            size_bytes: *size_bytes,
        });
        let keyframes = keyframes.collect();
        let is_independent = index.segments.iter().all(|segment| matches!(segment.sap, 1 | 2));
        let segment_bytes = index.segments.iter().map(|segment| segment.size_bytes).collect();
        Self::of((index.timescale, ticks, is_independent), start_ticks, segment_bytes, keyframes)
    }

    /// A track of a file as it was uploaded.
    pub(crate) fn uploaded(track: &MovieTrack, has_pictures: bool) -> Result<Self, PlaylistError> {
        let edit_ticks = track.edit_media_time_ticks();
        let ticks = (0..track.segments().len()).filter_map(|number| track.presented_ticks(number)).collect();
        let first_ticks = track.segments().next().map_or(0, |first| first.time_ticks);
        let keyframes = if has_pictures {
            let keyframe = |keyframe: flame_cmaf::movie::Keyframe| Keyframe {
                duration_ticks: keyframe.duration_ticks,
                size_bytes: keyframe.size_bytes,
            };
            let found: Vec<Keyframe> = track.keyframes().map(keyframe).take(KEYFRAMES_MAX + 1).collect();
            if found.len() > KEYFRAMES_MAX { Box::default() } else { found.into_boxed_slice() }
        } else {
            Box::default()
        };
        let is_independent = track.segments().all(|segment| matches!(segment.sap, 1 | 2));
        let segment_bytes = track.segments().map(|segment| segment.size_bytes).collect();
        let start_ticks = first_ticks.saturating_sub(edit_ticks);
        Self::of((track.timescale, ticks, is_independent), start_ticks, segment_bytes, keyframes)
    }

    fn of(
        (timescale, segment_ticks, independent_segments): (u32, Vec<u64>, bool),
        start_ticks: u64,
        segment_bytes: Box<[u64]>,
        keyframes: Box<[Keyframe]>,
    ) -> Result<Self, PlaylistError> {
        let media = VodMedia {
            timescale,
            segment_ticks,
            independent_segments,
            container: Container::FragmentedMp4,
            key: None,
            clip: None,
        };
        let playlist = Document::new(vod_media_playlist(&media)?);
        Ok(Self { playlist, media, start_ticks, segment_bytes, keyframes, video_range: None })
    }

    /// Memory that it takes, for the weights of caches.
    pub(crate) fn weight_bytes(&self) -> usize {
        self.playlist.text.len()
            + 8 * self.media.segment_ticks.len()
            + size_of_val(&*self.segment_bytes)
            + size_of_val(&*self.keyframes)
    }

    /// The media playlist of all of it or of a clip, as fragmented MP4 or as transport streams.
    pub(crate) fn listed(
        &self,
        container: Container,
        clip: Option<Clip>,
        key: Option<Key>,
    ) -> Result<Document, PlaylistError> {
        if container == Container::FragmentedMp4 && clip.is_none() && key.is_none() {
            return Ok(self.playlist.clone());
        }
        let clip = clip.map(|clip| self.clip(clip));
        let media = VodMedia { container, clip, key, ..self.media.clone() };
        Ok(Document::new(vod_media_playlist(&media)?))
    }

    /// The playlist of text that is cut like it, beside segments of the kind `container`.
    pub(crate) fn text(&self, container: Container, clip: Option<Clip>) -> Result<Document, PlaylistError> {
        let VodMedia { timescale, segment_ticks, .. } = self.media.clone();
        let clip = clip.map(|clip| self.clip(clip));
        Ok(Document::new(vod_text_playlist(&VodText { timescale, segment_ticks, container, clip })?))
    }

    /// When the segment `number` is shown, milliseconds of the presentation, rounded to the outside.
    pub(crate) fn shown_ms(&self, number: usize) -> Option<Range<u64>> {
        let length_ticks = *self.media.segment_ticks.get(number)?;
        let start_ticks = self.start_ticks + self.media.segment_ticks[..number].iter().sum::<u64>();
        let timescale = u128::from(self.media.timescale.max(1));
        let scaled = |ticks: u64| u128::from(ticks) * 1000;
        let start_ms = u64::try_from(scaled(start_ticks) / timescale).unwrap_or(u64::MAX);
        let end_ms = scaled(start_ticks.saturating_add(length_ticks)).div_ceil(timescale);
        Some(start_ms..u64::try_from(end_ms).unwrap_or(u64::MAX))
    }

    /// `clip` on its own ticks.
    fn clip(&self, clip: Clip) -> PlaylistClip {
        let end_ticks = self.start_ticks + self.media.segment_ticks.iter().sum::<u64>();
        let (from_ticks, to_ticks) = clip.ticks(self.media.timescale, end_ticks);
        // A track that begins late has nothing before.
        let within = |ticks: u64| ticks.saturating_sub(self.start_ticks);
        let query = Clip { from_ms: 0, ..clip }.to_string();
        PlaylistClip { from_ticks: within(from_ticks), to_ticks: within(to_ticks), query }
    }

    /// The playlist of its I-frames; `None` where it has none, or none are noted.
    pub(crate) fn iframes(&self, key: Option<Key>) -> Option<Result<Document, PlaylistError>> {
        let frame = |(number, keyframe): (usize, &Keyframe)| Iframe {
            uri: keyframe_uri(number),
            time_ticks: None,
            duration_ticks: keyframe.duration_ticks,
            init: Some(0),
            is_discontinuity: false,
            key_period: None,
        };
        let frames: Vec<Iframe> = self.keyframes.iter().enumerate().map(frame).collect();
        (!frames.is_empty()).then(|| {
            let media = IframeMedia { timescale: self.media.timescale, frames, key, live: None };
            iframe_playlist(&media).map(Document::new)
        })
    }

    /// What its I-frames cost, each taken to last until the next; `None` where there are none.
    pub(crate) fn iframes_bandwidth(&self) -> Option<Bandwidth> {
        let rate = |bytes: u64, ticks: u64| {
            let bits = u128::from(bytes) * 8 * u128::from(self.media.timescale);
            u64::try_from(bits.div_ceil(u128::from(ticks.max(1)))).unwrap_or(u64::MAX).max(1)
        };
        let peak_bps =
            self.keyframes.iter().map(|keyframe| rate(keyframe.size_bytes, keyframe.duration_ticks)).max()?;
        let bytes = self.keyframes.iter().map(|keyframe| keyframe.size_bytes).sum();
        let ticks = self.keyframes.iter().map(|keyframe| keyframe.duration_ticks).sum();
        Some(Bandwidth { average_bps: rate(bytes, ticks), peak_bps })
    }

    /// As an MPD sees it; it is below `folder`, and of several sounds it has a name, and may be the preferred one.
    pub(crate) fn dash(&self, facts: &Facts, folder: String, role: Role, chosen: Option<(String, bool)>) -> VodTrack {
        let (label, is_preferred) = chosen.map_or((None, false), |(name, is_default)| (Some(name), is_default));
        let kind = match facts.kind {
            TrackKind::Video => DashKind::Video {
                width: facts.width.unwrap_or(0),
                height: facts.height.unwrap_or(0),
                frame_rate: facts.frame_rate.map(|rate| (rate.num, rate.den)),
                sar: (1, 1),
            },
            TrackKind::Audio => DashKind::Audio { sampling_rate_hz: facts.sample_rate_hz, channels: facts.channels },
        };
        VodTrack {
            track: DashTrack {
                id: facts.name.clone(),
                folder,
                codec: facts.codec.clone(),
                kind,
                language: facts.language.clone(),
                label,
                role,
                is_preferred,
                bandwidth_bps: facts.peak_bandwidth_bps,
                timescale: self.media.timescale,
                start_with_sap: self.media.independent_segments.then_some(1),
                key_id: None,
            },
            start_ticks: self.start_ticks,
            segment_ticks: self.media.segment_ticks.clone(),
            segment_bytes: self.segment_bytes.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use flame_cmaf::SegmentEntry;
    use flame_cmaf::index::{KeyframeEntry, VERSION};

    use super::*;

    /// Two segments of 2 s, each with two keyframes a second apart; shown from 0.1 s on.
    fn complete() -> Complete {
        let segment = |number: u64| SegmentEntry {
            offset_bytes: 100 + number * 1000,
            size_bytes: 1000,
            time_ticks: 200 + number * 2000,
            duration_ticks: 2000,
            samples: 50,
            sap: 1,
            sha256: "ab".repeat(32),
            keyframes: (0..2)
                .map(|at| KeyframeEntry { time_ticks: 200 + number * 2000 + at * 1000, size_bytes: 100 })
                .collect(),
        };
        let index = TrackIndex {
            version: VERSION,
            codec: "avc1.64001f".to_owned(),
            timescale: 1000,
            edit_media_time_ticks: 100,
            init_size_bytes: 100,
            init_sha256: "cd".repeat(32),
            segments: vec![segment(0), segment(1)],
        };
        Complete::stored(&index).unwrap()
    }

    fn text(document: Document) -> String {
        String::from_utf8(document.text.to_vec()).unwrap()
    }

    #[test]
    fn pictures_that_need_no_other_are_listed_with_what_they_cost() {
        let iframes = text(complete().iframes(None).unwrap().unwrap());
        assert_eq!(iframes.matches("#EXTINF:1").count(), 4, "{iframes}");
        assert!(iframes.contains("#EXT-X-I-FRAMES-ONLY\n") && iframes.contains("i3.m4s\n"), "{iframes}");
        assert_eq!(complete().iframes_bandwidth(), Some(Bandwidth { average_bps: 800, peak_bps: 800 }));
    }

    #[test]
    fn a_clip_begins_in_the_segment_that_holds_its_first_frame_and_shortens_the_last() {
        let clip = Clip { from_ms: 1_100, to_ms: Some(3_100) };
        let whole = text(complete().listed(Container::FragmentedMp4, Some(clip), None).unwrap());
        assert!(whole.contains("#EXT-X-START:TIME-OFFSET=1.0,PRECISE=YES"), "{whole}");
        assert!(whole.contains("#EXTINF:2,\n0.m4s\n") && whole.contains("#EXTINF:1,\n1.m4s?to=3.100s\n"), "{whole}");
        let stream = text(complete().listed(Container::TransportStream, Some(clip), None).unwrap());
        assert!(stream.contains("1.ts?to=3.100s\n") && !stream.contains("EXT-X-MAP"), "{stream}");
        let behind = Clip { from_ms: 60_000, to_ms: None };
        assert!(complete().listed(Container::FragmentedMp4, Some(behind), None).is_err());
    }
}

//! The MPD of a channel that goes on: the same segments as its playlists, also the one that is just being made, which is sent
//! while it comes (ISO/IEC 23009-1 section 5.3.9.5.3, DASH-IF's low-latency modes).
//!
//! It is written once a change, however many ask. What a Period's start was is remembered, because the segment that it began
//! with leaves the window before the Period does.

use std::sync::{Arc, PoisonError};

use flame_playlist::{LiveMpd, LowLatency, Phase, PlaylistError, WallClock};

use super::channel::Channel;
use super::documents::{SegmentDocument, TrackDocument};
use super::recording::listed;
use super::view;
use crate::presentation::Document;
use crate::steering::Ways;

/// How often players are to look again, milliseconds: caches keep an MPD for a second.
const UPDATE_MS: u64 = 1_000;
/// Latency that is aimed at beyond the length of a segment, milliseconds, and how many segments it may become.
const BEYOND_SEGMENT_MS: u64 = 1_000;
const LATENCY_MAX_SEGMENTS: u64 = 4;
/// Players that take whole segments only play so many behind the edge, as those of HLS do (`HOLD-BACK`).
const DELAY_SEGMENTS: u64 = 3;
/// Where it is asked what time it is for this channel, from the MPD.
const CLOCK_URI: &str = "clock";

/// What a channel's MPD was.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    period_starts_ms: Vec<u64>,
    written: Option<Written>,
}

/// The last one written.
#[derive(Debug)]
struct Written {
    /// Of how many changes of each track.
    changes: Vec<u64>,
    ways: Ways,
    document: Arc<Document>,
}

// === impl Manifest ===

impl Manifest {
    /// Remembers the Periods of all that is kept of what was ever sent, the first of which began at one of `known_ms`.
    pub(super) fn restore(&mut self, tracks: &[(TrackDocument, Vec<SegmentDocument>)], known_ms: Vec<u64>) {
        let track = |(document, segments): &(TrackDocument, Vec<SegmentDocument>)| flame_playlist::LiveTrack {
            track: flame_playlist::DashTrack { timescale: document.track.timescale, ..Default::default() },
            first_number: segments.first().map_or(0, |first| first.number),
            segments: segments.iter().map(listed).collect(),
        };
        let tracks = tracks.iter().map(track).collect();
        let all = LiveMpd { tracks, known_period_starts_ms: known_ms, ..LiveMpd::default() };
        self.period_starts_ms = all.period_starts_ms();
    }
}

// === impl Channel ===

impl Channel {
    /// The MPD; `None` while not every track has a whole segment.
    pub(crate) fn mpd(&self, ways: &Ways) -> Option<Result<Arc<Document>, PlaylistError>> {
        // Counted before they are looked at: what changes meanwhile is written the next time.
        let changes: Vec<u64> = self.tracks().iter().map(|track| track.change_count()).collect();
        let mut manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(written) = &manifest.written
            && (&written.changes, &written.ways) == (&changes, ways)
        {
            return Some(Ok(Arc::clone(&written.document)));
        }
        let mpd = LiveMpd { steering: ways.dash(), ..self.live_mpd(manifest.period_starts_ms.clone())? };
        manifest.period_starts_ms = mpd.period_starts_ms();
        Some(mpd.mpd().map(|text| {
            let document = Arc::new(Document::new(text));
            manifest.written = Some(Written { changes, ways: ways.clone(), document: Arc::clone(&document) });
            document
        }))
    }

    /// Remembers the Periods that there are: to be called before a segment can leave the window.
    pub(super) fn note_periods(&self) {
        let mut manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        let known = manifest.period_starts_ms.clone();
        if let Some(mpd) = self.live_mpd(known) {
            manifest.period_starts_ms = mpd.period_starts_ms();
        }
    }

    /// When the Period began in which `at_ms` lies, if that is known.
    pub(super) fn period_start_ms(&self, at_ms: u64) -> Option<u64> {
        let manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        manifest.period_starts_ms.iter().copied().filter(|start_ms| *start_ms <= at_ms).max()
    }

    fn live_mpd(&self, known_period_starts_ms: Vec<u64>) -> Option<LiveMpd> {
        let views = self.views()?;
        let (segment_ms, part_ms) = (u64::from(self.segment_ms), u64::from(self.part_ms));
        let target_ms = segment_ms + BEYOND_SEGMENT_MS;
        Some(LiveMpd {
            phase: if self.is_ended() { Phase::Ended } else { Phase::Live },
            published_ms: views.iter().map(|view| view.newest_ms()).max().unwrap_or(0),
            update_ms: UPDATE_MS,
            window_ms: u64::from(self.window_s) * 1_000,
            delay_ms: DELAY_SEGMENTS * segment_ms,
            clocks: vec![WallClock::HttpIso { uri: CLOCK_URI.to_owned() }],
            low_latency: Some(LowLatency {
                segment_ms,
                chunk_ms: part_ms,
                target_ms,
                min_ms: part_ms,
                max_ms: LATENCY_MAX_SEGMENTS * segment_ms,
            }),
            known_period_starts_ms,
            ..view::mpd(&self.media_version, &views, None)
        })
    }
}

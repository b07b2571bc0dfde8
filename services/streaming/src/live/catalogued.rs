//! A recording as the catalogue has it: its tracks, and what a probe would say of it. Pure.

use flame_api::live::LiveTrack;
use flame_api::media::{self, TrackKind};

use super::window::{Segment, State};

/// Average, and highest of a segment, bits a second (RFC 8216 section 4.3.4.2); at least 1.
fn bandwidths<'a>(timescale: u32, media: impl Iterator<Item = &'a Segment>) -> (u64, u64) {
    let rate = |bytes: u64, ticks: u64| (bytes * 8 * u64::from(timescale)).div_ceil(ticks.max(1)).max(1);
    let (mut bytes, mut ticks, mut peak) = (0, 0, 1);
    for segment in media {
        bytes += segment.size_bytes;
        ticks += segment.duration_ticks;
        peak = peak.max(rate(segment.size_bytes, segment.duration_ticks));
    }
    (rate(bytes, ticks), peak)
}

/// A track as the catalogue has it.
pub(super) fn track(facts: LiveTrack, segments: &[Segment]) -> media::Track {
    let media = || segments.iter().filter(|segment| segment.state != State::Gap);
    let (average_bandwidth_bps, peak_bandwidth_bps) = bandwidths(facts.timescale, media());
    let ticks: u64 = media().map(|segment| segment.duration_ticks).sum();
    media::Track {
        name: facts.name,
        kind: facts.kind,
        codec: facts.codec,
        width: facts.width,
        height: facts.height,
        frame_rate: facts.frame_rate,
        channels: facts.channels,
        sample_rate_hz: facts.sample_rate_hz,
        language: facts.language,
        role: media::SoundRole::Main,
        title: None,
        source_sound: None,
        duration_ms: ticks * 1000 / u64::from(facts.timescale.max(1)),
        samples: 0,
        average_bandwidth_bps,
        peak_bandwidth_bps,
        size_bytes: media().map(|segment| segment.size_bytes).sum(),
    }
}

/// What a probe would say of the recording.
pub(super) fn probe(tracks: &[media::Track]) -> media::Probe {
    let longest = |kind| tracks.iter().filter(move |track| track.kind == kind).max_by_key(|track| track.size_bytes);
    let codec = |track: &media::Track| if track.codec.starts_with("mp4a") { "aac" } else { "h264" }.to_owned();
    let video = longest(TrackKind::Video).map(|track| {
        let (width, height) = (track.width.unwrap_or(0), track.height.unwrap_or(0));
        media::VideoStream {
            codec: codec(track),
            width,
            height,
            display_width: width,
            display_height: height,
            rotation_deg: 0,
            pixel_aspect: media::Rational { num: 1, den: 1 },
            frame_rate: track.frame_rate,
            variable_frame_rate: track.frame_rate.is_none(),
            timescale: None,
            pixel_format: "yuv420p".to_owned(),
            bit_depth: 8,
            interlaced: false,
            duration_ms: Some(track.duration_ms),
        }
    });
    let audio = longest(TrackKind::Audio).map(|track| media::AudioStream {
        number: 0,
        codec: codec(track),
        sample_rate_hz: track.sample_rate_hz.unwrap_or(0),
        channels: track.channels.unwrap_or(0),
        language: track.language.clone(),
        role: track.role,
        title: track.title.clone(),
        duration_ms: Some(track.duration_ms),
    });
    media::Probe {
        container: "cmaf".to_owned(),
        duration_ms: tracks.iter().map(|track| track.duration_ms).max().unwrap_or(0),
        bitrate_bps: tracks.iter().map(|track| track.average_bandwidth_bps).sum(),
        video,
        audio,
        other_audio: Vec::new(),
    }
}

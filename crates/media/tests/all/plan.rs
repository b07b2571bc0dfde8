//! A ladder's plan for a probed file, as the transcode service would make it, with two small rungs.

use flame_api::media::{Probe, VideoStream};
use flame_media_child::protocol::{AudioRung, LadderPlan, VideoRung};

/// Two rungs, the source's size and half of it, and stereo.
pub fn of(probe: &Probe) -> LadderPlan {
    LadderPlan {
        video: probe.video.iter().flat_map(|video| [rung("top", video, 1), rung("half", video, 2)]).collect(),
        audio: probe.audio.as_ref().map(|audio| AudioRung {
            name: "sound".to_owned(),
            channels: audio.channels.min(2),
            sample_rate_hz: if audio.sample_rate_hz == 44_100 { 44_100 } else { 48_000 },
            bitrate_bps: 96_000,
        }),
        gop_ms: 1000,
        segment_ms: 2000,
        video_timescale: probe
            .video
            .as_ref()
            .and_then(|video| video.timescale)
            .filter(|&ticks| ticks >= 1000)
            .unwrap_or(90_000),
        rotation_deg: probe.video.as_ref().map_or(0, |video| video.rotation_deg),
        deinterlace: probe.video.as_ref().is_some_and(|video| video.interlaced),
        frame_rate: probe.video.as_ref().and_then(|video| video.frame_rate),
        duration_ms: probe.duration_ms,
        language: probe.audio.as_ref().and_then(|audio| audio.language.clone()),
    }
}

fn rung(name: &str, video: &VideoStream, divisor: u32) -> VideoRung {
    let even = |pixels: u32| (pixels / divisor).next_multiple_of(2);
    VideoRung {
        name: name.to_owned(),
        width: even(video.display_width),
        height: even(video.display_height),
        crf: 18,
        max_bitrate_bps: 8_000_000,
        preset: "veryfast".to_owned(),
    }
}

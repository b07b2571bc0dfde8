//! A ladder's plan for a probed file, as the transcode service would make it, with two small rungs.

use flame_api::media::{AudioStream, Probe, VideoStream};
use flame_media_child::protocol::{AudioRung, LadderPlan, VideoRung};

/// Two rungs, the source's size and half of it, and every sound in stereo.
pub fn of(probe: &Probe) -> LadderPlan {
    LadderPlan {
        video: probe.video.iter().flat_map(|video| [rung("top", video, 1), rung("half", video, 2)]).collect(),
        audio: probe.sounds().enumerate().map(|(at, audio)| sound(at, audio)).collect(),
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
        front: Vec::new(),
        frame_rate: probe.video.as_ref().and_then(|video| video.frame_rate),
        duration_ms: probe.duration_ms,
        thumbnails: None,
        agreed: None,
    }
}

fn sound(at: usize, audio: &AudioStream) -> AudioRung {
    AudioRung {
        name: if at == 0 { "sound".to_owned() } else { format!("sound-{}", at + 1) },
        sound: audio.number,
        language: audio.language.clone(),
        role: audio.role,
        title: audio.title.clone(),
        channels: audio.channels.min(2),
        sample_rate_hz: if audio.sample_rate_hz == 44_100 { 44_100 } else { 48_000 },
        bitrate_bps: 96_000,
        loudness: None,
    }
}

fn rung(name: &str, video: &VideoStream, divisor: u32) -> VideoRung {
    let even = |pixels: u32| (pixels / divisor).next_multiple_of(2);
    VideoRung {
        name: name.to_owned(),
        width: even(video.display_width),
        height: even(video.display_height),
        encoder: "x264".to_owned(),
        crf: 18,
        mean_bitrate_bps: None,
        max_bitrate_bps: 8_000_000,
        preset: "veryfast".to_owned(),
    }
}

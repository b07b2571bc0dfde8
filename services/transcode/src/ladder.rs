//! What a source is encoded into: from what the probe measured to the plan that a media child obeys. Pure.
//!
//! Everything that is a matter of taste (sizes, qualities, caps) is decided here and nowhere else, so that it can be
//! read, tested and argued about without a single frame. Nothing here looks at media: a probe that lies gives a plan
//! that fails in the child.

mod rungs;
mod thumbnails;
mod timescale;

use flame_api::media::{AudioStream, Probe, SOUNDS_MAX, VideoStream};
use flame_media_child::protocol::{AudioRung, LadderPlan};
use thiserror::Error;

/// Closed GOPs of this length.
pub const GOP_MS: u32 = 2000;
/// Segments of this length: two GOPs.
pub const SEGMENT_MS: u32 = 4000;
/// Most video rungs of a plan.
pub const RUNGS_MAX: usize = 7;
/// Bits per second of stereo.
const STEREO_BPS: u32 = 128_000;
/// Bits per second of mono.
const MONO_BPS: u32 = 64_000;

/// A source from which no ladder can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PlanError {
    /// There is nothing to encode.
    #[error("the source has neither video nor audio")]
    NothingToEncode,
    /// The probe describes pictures that cannot be.
    #[error("the source's pictures have no size: {width} x {height} pixels")]
    NoPixels {
        /// Width in square pixels.
        width: u32,
        /// Height in square pixels.
        height: u32,
    },
}

/// Plans the ladder of a source, encoded with x264's `preset`.
///
/// # Errors
/// [`PlanError`], if there is nothing that could be encoded.
pub fn plan(probe: &Probe, preset: &str) -> Result<LadderPlan, PlanError> {
    if probe.video.is_none() && probe.audio.is_none() {
        return Err(PlanError::NothingToEncode);
    }
    let video = probe.video.as_ref();
    Ok(LadderPlan {
        video: video.map(|video| rungs::of(video, preset)).transpose()?.unwrap_or_default(),
        audio: sounds(probe),
        gop_ms: GOP_MS,
        segment_ms: SEGMENT_MS,
        video_timescale: timescale::of(video),
        rotation_deg: video.map_or(0, |video| video.rotation_deg),
        deinterlace: video.is_some_and(|video| video.interlaced),
        frame_rate: video.and_then(frame_rate),
        duration_ms: probe.duration_ms,
        thumbnails: video.and_then(|video| thumbnails::of(video, probe.duration_ms)),
    })
}

/// What the tracks of `plan` take on disk at most, in bytes: their caps over the promised duration.
#[must_use]
pub fn size_max_bytes(plan: &LadderPlan) -> u64 {
    let video_bps: u64 = plan.video.iter().map(|rung| u64::from(rung.max_bitrate_bps)).sum();
    let audio_bps: u64 = plan.audio.iter().map(|rung| u64::from(rung.bitrate_bps)).sum();
    let sheets_bytes = plan.thumbnails.as_ref().map_or(0, thumbnails::size_max_bytes);
    ((video_bps + audio_bps).saturating_mul(plan.duration_ms) / 8000).saturating_add(sheets_bytes)
}

/// Every sound of the source, the one that a player chooses first. Names differ: `a128`, `a128-2`, `a64`.
fn sounds(probe: &Probe) -> Vec<AudioRung> {
    let mut rungs: Vec<AudioRung> = Vec::new();
    for source in probe.sounds().take(SOUNDS_MAX) {
        let rung = audio(source);
        let twins = rungs.iter().filter(|other| other.bitrate_bps == rung.bitrate_bps).count();
        let name = if twins == 0 { rung.name.clone() } else { format!("{}-{}", rung.name, twins + 1) };
        rungs.push(AudioRung { name, ..rung });
    }
    rungs
}

/// AAC-LC: mono stays mono and everything else becomes stereo; rates of the 44.1 kHz family stay in it, because
/// going over to 48 kHz would change every sample.
fn audio(source: &AudioStream) -> AudioRung {
    let (channels, bitrate_bps) = if source.channels == 1 { (1, MONO_BPS) } else { (2, STEREO_BPS) };
    let of_44100 = source.sample_rate_hz > 0 && source.sample_rate_hz.is_multiple_of(11_025);
    AudioRung {
        name: format!("a{}", bitrate_bps / 1000),
        sound: source.number,
        language: source.language.clone(),
        role: source.role,
        title: source.title.clone(),
        channels,
        sample_rate_hz: if of_44100 { 44_100 } else { 48_000 },
        bitrate_bps,
    }
}

fn frame_rate(video: &VideoStream) -> Option<flame_api::media::Rational> {
    video.frame_rate.filter(|rate| rate.num > 0 && rate.den > 0)
}

#[cfg(test)]
mod tests {
    use flame_api::media::{Rational, SoundRole};
    use proptest::prelude::*;

    use super::*;

    pub(super) fn video(width: u32, height: u32) -> VideoStream {
        VideoStream {
            codec: "h264".to_owned(),
            width,
            height,
            display_width: width,
            display_height: height,
            rotation_deg: 0,
            pixel_aspect: Rational { num: 1, den: 1 },
            frame_rate: Some(Rational { num: 25, den: 1 }),
            variable_frame_rate: false,
            timescale: Some(12_800),
            pixel_format: "yuv420p".to_owned(),
            bit_depth: 8,
            interlaced: false,
            duration_ms: Some(10_000),
        }
    }

    fn sound(sample_rate_hz: u32, channels: u16) -> AudioStream {
        AudioStream {
            number: 0,
            codec: "aac".to_owned(),
            sample_rate_hz,
            channels,
            language: Some("deu".to_owned()),
            role: SoundRole::Main,
            title: None,
            duration_ms: None,
        }
    }

    fn probe(video: Option<VideoStream>, audio: Option<AudioStream>) -> Probe {
        let container = "matroska,webm".to_owned();
        Probe { container, duration_ms: 10_000, bitrate_bps: 1_000_000, video, audio, other_audio: Vec::new() }
    }

    #[test]
    fn what_the_child_needs_to_know_is_passed_on() {
        let turned = VideoStream { rotation_deg: 90, interlaced: true, ..video(1280, 720) };
        let plan = plan(&probe(Some(turned), Some(sound(48_000, 6))), "fast").unwrap();
        assert_eq!((plan.rotation_deg, plan.deinterlace, plan.duration_ms), (90, true, 10_000));
        assert_eq!(plan.frame_rate, Some(Rational { num: 25, den: 1 }));
        assert_eq!(plan.audio[0].language.as_deref(), Some("deu"));
        assert!(plan.video.iter().all(|rung| rung.preset == "fast"));
        assert!(plan.segment_ms.is_multiple_of(plan.gop_ms));
    }

    #[test]
    fn sound_keeps_its_family_of_rates_and_at_most_two_channels() {
        for (rate, channels, name, rate_out, channels_out) in [
            (44_100, 2, "a128", 44_100, 2),
            (22_050, 1, "a64", 44_100, 1),
            (88_200, 2, "a128", 44_100, 2),
            (48_000, 6, "a128", 48_000, 2),
            (8000, 1, "a64", 48_000, 1),
            (96_000, 8, "a128", 48_000, 2),
            (0, 0, "a128", 48_000, 2),
        ] {
            let rung = audio(&sound(rate, channels));
            assert_eq!((rung.name.as_str(), rung.sample_rate_hz, rung.channels), (name, rate_out, channels_out));
        }
    }

    #[test]
    fn every_sound_becomes_a_track_with_its_language_and_role() {
        let other = |number, channels, role| AudioStream { number, role, ..sound(48_000, channels) };
        let source = Probe {
            other_audio: vec![
                other(0, 6, SoundRole::Dub),
                other(1, 1, SoundRole::Commentary),
                other(3, 2, SoundRole::Description),
            ],
            ..probe(None, Some(other(2, 2, SoundRole::Main)))
        };
        let made = plan(&source, "veryfast").unwrap().audio;
        let made: Vec<_> = made.iter().map(|rung| (rung.name.as_str(), rung.sound, rung.role)).collect();
        let expected = [
            ("a128", 2, SoundRole::Main),
            ("a128-2", 0, SoundRole::Dub),
            ("a64", 1, SoundRole::Commentary),
            ("a128-3", 3, SoundRole::Description),
        ];
        assert_eq!(made, expected);
        let many = (0..20).map(|number| other(number, 2, SoundRole::Main)).collect();
        assert_eq!(plan(&Probe { other_audio: many, ..source }, "veryfast").unwrap().audio.len(), SOUNDS_MAX);
    }

    #[test]
    fn one_of_both_is_enough() {
        assert_eq!(plan(&probe(None, None), "veryfast").unwrap_err(), PlanError::NothingToEncode);
        let silent = plan(&probe(Some(video(640, 360)), None), "veryfast").unwrap();
        assert!(silent.audio.is_empty() && !silent.video.is_empty());
        let radio = plan(&probe(None, Some(sound(48_000, 2))), "veryfast").unwrap();
        assert!(!radio.audio.is_empty() && radio.video.is_empty() && radio.video_timescale >= 1000);
    }

    #[test]
    fn the_size_follows_the_caps() {
        let radio = plan(&probe(None, Some(sound(48_000, 2))), "veryfast").unwrap();
        assert_eq!(size_max_bytes(&radio), 160_000);
        let forever = LadderPlan { duration_ms: u64::MAX, ..radio };
        assert!(size_max_bytes(&forever) > 1 << 40);
    }

    proptest! {
        #[test]
        fn any_probe_gives_a_sane_plan_or_a_reason(
            size in (0_u32..70_000, 0_u32..70_000),
            rate in (0_u32..200_000, 0_u32..2000),
            timescale in proptest::option::of(any::<u32>()),
            audio in proptest::option::of((any::<u32>(), any::<u16>())),
            duration_ms: u64,
        ) {
            let video = VideoStream {
                frame_rate: Some(Rational { num: rate.0, den: rate.1 }),
                timescale,
                ..video(size.0, size.1)
            };
            let probe = Probe {
                duration_ms,
                ..probe(Some(video), audio.map(|(rate, channels)| sound(rate, channels)))
            };
            match plan(&probe, "veryfast") {
                Ok(plan) => {
                    prop_assert!(!plan.video.is_empty() && plan.video.len() <= RUNGS_MAX);
                    prop_assert!((1000..=1_000_000_000).contains(&plan.video_timescale));
                    let mut names: Vec<_> = plan.video.iter().map(|rung| &rung.name).collect();
                    names.extend(plan.audio.iter().map(|rung| &rung.name));
                    let count = names.len();
                    names.sort();
                    names.dedup();
                    prop_assert_eq!(names.len(), count);
                    let _ = size_max_bytes(&plan);
                }
                Err(error) => {
                    prop_assert_eq!(error, PlanError::NoPixels { width: size.0, height: size.1 });
                    prop_assert!(size.0.min(size.1) == 0);
                }
            }
        }
    }
}

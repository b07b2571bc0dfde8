//! What a document and a source come to.

use flame_api::media::{Rational, SoundRole};
use flame_media_child::protocol::Borders;
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
    let plan = ladder(&probe(Some(turned), Some(sound(48_000, 6))), "fast").unwrap();
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
        let rung = audio(&sound(rate, channels), None, None);
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
    let made = ladder(&source, "veryfast").unwrap().audio;
    let made: Vec<_> = made.iter().map(|rung| (rung.name.as_str(), rung.sound, rung.role)).collect();
    let expected = [
        ("a128", 2, SoundRole::Main),
        ("a128-2", 0, SoundRole::Dub),
        ("a64", 1, SoundRole::Commentary),
        ("a128-3", 3, SoundRole::Description),
    ];
    assert_eq!(made, expected);
    let many = (0..20).map(|number| other(number, 2, SoundRole::Main)).collect();
    assert_eq!(ladder(&Probe { other_audio: many, ..source }, "veryfast").unwrap().audio.len(), SOUNDS_MAX);
}

#[test]
fn one_of_both_is_enough() {
    assert_eq!(ladder(&probe(None, None), "veryfast").unwrap_err(), PlanError::NothingToEncode);
    let silent = ladder(&probe(Some(video(640, 360)), None), "veryfast").unwrap();
    assert!(silent.audio.is_empty() && !silent.video.is_empty());
    let radio = ladder(&probe(None, Some(sound(48_000, 2))), "veryfast").unwrap();
    assert!(!radio.audio.is_empty() && radio.video.is_empty() && radio.video_timescale >= 1000);
}

#[test]
fn the_size_follows_the_caps() {
    let radio = ladder(&probe(None, Some(sound(48_000, 2))), "veryfast").unwrap();
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
        match ladder(&probe, "veryfast") {
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

fn planned(document: &str, probe: &Probe, encoders: Option<&[String]>) -> Result<Plan, PlanError> {
    let chain = read(document, &Default::default()).unwrap_or_else(|error| panic!("{error}"));
    of(&chain, probe, Means { preset: "fast", encoders })
}

const CUT: &str = "\
chain: cut
stages:
  source: { type: decode }
  whole: { type: deinterlace, input: source }
  upright: { type: rotate, input: whole }
  cut: { type: crop, input: upright, top: 60, bottom: 60 }
  wide: { type: pad, input: cut, aspect: 16:9 }
  slow: { type: frame-rate, input: wide, fps: 12.5 }
  sizes: { type: scale, input: slow, sizes: [240] }
  video: { type: encode-video, input: sizes, bitrate: 300k }
  again: { type: encode-video, input: sizes, crf: 30 }
  audio: { type: encode-audio, input: source, sounds: first }
  out: { type: package, input: [video, again, audio] }
";

#[test]
fn a_document_is_planned_stage_by_stage() {
    let source = VideoStream { interlaced: true, ..video(640, 480) };
    let plan = planned(CUT, &probe(Some(source), Some(sound(48_000, 2))), None).unwrap();
    let LadderPlan { front, deinterlace, rotation_deg, video_timescale, video, .. } = &plan.ladder;
    assert_eq!((*deinterlace, *rotation_deg, *video_timescale), (true, 0, 1000));
    let cut = Borders { top: 60, bottom: 60, ..Borders::default() };
    assert_eq!(front, &[PictureStep::Crop(cut), PictureStep::FrameRate(Rational { num: 25, den: 2 })]);
    let rungs: Vec<_> = video.iter().map(|rung| (rung.name.as_str(), rung.width, rung.height)).collect();
    assert_eq!(rungs, [("v240", 426, 240), ("v240-2", 426, 240)]);
    assert_eq!((video[0].mean_bitrate_bps, video[0].max_bitrate_bps), (Some(300_000), 450_000));
    assert_eq!((video[1].mean_bitrate_bps, video[1].crf), (None, 30));
    assert_eq!(plan.stages, ["video", "again", "audio"]);
    assert_eq!(plan.encoders, ["x264", "avenc-aac"]);
    assert_eq!(plan.ladder.thumbnails, None);
}

#[test]
fn what_cannot_be_run_on_a_source_is_said() {
    let small = planned(CUT, &probe(Some(video(640, 130)), None), None).unwrap_err();
    assert_eq!(small, PlanError::CropsAll { stage: "cut".to_owned(), width: 640, height: 130 });
    let gated = "chain: gated\nstages:\n  source: { type: decode }\n  upright: { type: rotate, input: source }\n  \
                 video: { type: encode-video, input: upright, gates: [psnr.p5 >= 30] }\n  \
                 out: { type: package, input: video }\n";
    assert!(planned(gated, &probe(Some(video(640, 360)), None), None).is_ok());
    let turned = probe(Some(VideoStream { rotation_deg: 90, ..video(360, 640) }), None);
    let refused = planned(gated, &turned, None).unwrap_err().to_string();
    assert!(refused.contains("`psnr.p5 >= 30`") && refused.contains("turned"), "{refused}");
    let radio = probe(None, Some(sound(48_000, 2)));
    assert_eq!(planned(gated, &radio, None).unwrap_err(), PlanError::NothingOfIt("video"));
}

#[test]
fn an_encoder_that_is_not_there_is_replaced_by_another_or_refused_with_what_there_is() {
    let source = probe(Some(video(640, 360)), None);
    let there = ["openh264".to_owned()];
    let document = |encoder: &str| {
        format!(
            "chain: mine\nstages:\n  source: {{ type: decode }}\n  video: {{ type: encode-video, input: source, encoder: \
             {encoder} }}\n  out: {{ type: package, input: video }}\n"
        )
    };
    assert_eq!(planned(&document("auto"), &source, Some(&there)).unwrap().ladder.video[0].encoder, "openh264");
    let refused = planned(&document("x264"), &source, Some(&there)).unwrap_err().to_string();
    assert!(refused.contains("use openh264 or auto") && refused.contains("gstreamer1.0-plugins-ugly"), "{refused}");
    let refused = planned(&document("auto"), &source, Some(&[])).unwrap_err().to_string();
    assert!(refused.contains("for h264") && refused.contains("install"), "{refused}");
}

#[test]
fn other_codecs_leave_out_what_their_encoder_does_not_take() {
    let text = shipped::find("ladder-av1").unwrap().text;
    let chain = read(text, &[("fallback".to_owned(), "source".to_owned())].into()).unwrap();
    let means = Means { preset: "fast", encoders: None };
    let made = |width, height| of(&chain, &probe(Some(video(width, height)), None), means);
    let plan = made(640, 360).unwrap();
    let rungs: Vec<_> = plan.ladder.video.iter().map(|rung| (rung.name.as_str(), rung.encoder.as_str())).collect();
    assert_eq!(rungs, [("v360", "svt-av1"), ("v240", "svt-av1"), ("v360-2", "x264")]);
    assert_eq!(plan.encoders, ["svt-av1", "x264", "avenc-aac"]);
    let small = made(100, 62).unwrap_err();
    assert!(matches!(small, PlanError::TooSmall { side_min: 64, .. }), "{small}");
    // Nobody has looked, or one is not there: it is named with what there is.
    let none = Means { encoders: Some(&[]), ..means };
    let missing = of(&chain, &probe(Some(video(640, 360)), None), none).unwrap_err().to_string();
    assert!(missing.contains("for av1") && missing.contains("libavcodec59"), "{missing}");
}

#[test]
fn sound_is_told_how_loud_it_is_to_be() {
    let text = "chain: a\nstages:\n  s: { type: decode }\n  m: { type: mix, input: s }\n  l: { type: loudness, input: m, target: -16 }\n  \
                a: { type: encode-audio, input: l }\n  p: { type: package, input: a }\n";
    let chain = read(text, &Default::default()).unwrap();
    let means = Means { preset: "fast", encoders: None };
    let plan = of(&chain, &probe(None, Some(sound(48_000, 2))), means).unwrap();
    assert_eq!(plan.ladder.audio[0].loudness, Some(LoudnessPlan { target_lufs: -16.0, true_peak_max_dbtp: -2.0 }));
}

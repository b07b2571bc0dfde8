//! Chunks have every GOP once, and are for what comes out the same in parts.

use flame_api::media::{Rational, SoundRole, TrackKind};
use flame_media_child::protocol::{AudioRung, VideoRung};
use proptest::prelude::*;

use super::*;
use crate::reuse::Source;

const AGREED: Agreed = Agreed { origin_ns: 0, zero_ns: 1_000_000_000, grid_ns: 1_500_000_000 };

fn plan(duration_ms: u64, gop_ms: u32) -> LadderPlan {
    LadderPlan {
        video: vec![VideoRung {
            name: "v240".to_owned(),
            width: 426,
            height: 240,
            encoder: "x264".to_owned(),
            crf: 26,
            mean_bitrate_bps: None,
            max_bitrate_bps: 1_000_000,
            preset: "veryfast".to_owned(),
        }],
        audio: vec![AudioRung {
            name: "a96".to_owned(),
            sound: 0,
            language: None,
            role: SoundRole::Main,
            title: None,
            channels: 2,
            sample_rate_hz: 48_000,
            bitrate_bps: 96_000,
            loudness: None,
        }],
        gop_ms,
        segment_ms: gop_ms * 2,
        video_timescale: 90_000,
        rotation_deg: 0,
        deinterlace: false,
        front: Vec::new(),
        frame_rate: None,
        duration_ms,
        thumbnails: None,
        agreed: None,
    }
}

fn probe(container: &str) -> Probe {
    Probe {
        container: container.to_owned(),
        duration_ms: 60_000,
        bitrate_bps: 1_000_000,
        video: None,
        audio: None,
        other_audio: Vec::new(),
    }
}

fn mp4() -> Probe {
    probe("mov,mp4,m4a,3gp,3g2,mj2")
}

const LENGTH: Duration = Duration::from_secs(10);

proptest! {
    #[test]
    fn chunks_follow_each_other_from_the_first_gop_to_the_end(
        duration_ms in 1_u64..100_000_000,
        gop_ms in 200_u32..10_000,
        length_ms in 1_u64..100_000,
    ) {
        let plan = plan(duration_ms, gop_ms);
        let Some(ranges) = divide(&plan, &mp4(), Duration::from_millis(length_ms)) else {
            // One GOP is the least.
            let each_ms = length_ms / u64::from(gop_ms) * u64::from(gop_ms);
            prop_assert!(duration_ms <= 2 * each_ms.max(u64::from(gop_ms)));
            return Ok(());
        };
        prop_assert!(ranges.len() >= 2 && ranges.len() <= usize::try_from(CHUNKS_MAX).unwrap());
        prop_assert_eq!(ranges[0].from, 0);
        for (one, next) in ranges.iter().zip(&ranges[1..]) {
            prop_assert_eq!(one.to, Some(next.from));
            prop_assert!(one.from < next.from);
        }
        prop_assert_eq!(ranges[ranges.len() - 1].to, None, "a source that is longer than it said is not cut");
        let lasting: u64 = ranges.iter().map(|range| duration_ms_of(&plan, *range)).sum();
        prop_assert_eq!(lasting, duration_ms);
    }
}

fn duration_ms_of(plan: &LadderPlan, range: GopRange) -> u64 {
    duration_ms(plan, range)
}

#[test]
fn a_source_of_less_than_two_chunks_is_encoded_in_one_piece() {
    assert_eq!(divide(&plan(19_000, 1000), &mp4(), LENGTH), None);
    assert_eq!(divide(&plan(60_000, 1000), &mp4(), Duration::ZERO), None);
    let range = |from, to, buffer_percent| GopRange { from, to, buffer_percent };
    let two = divide(&plan(29_000, 1000), &mp4(), LENGTH).unwrap();
    assert_eq!(two, [range(0, Some(10), 90), range(10, None, 50)]);
}

#[test]
fn what_does_not_come_out_the_same_in_parts_is_encoded_in_one_piece() {
    let whole = plan(60_000, 1000);
    let with = |change: &dyn Fn(&mut LadderPlan)| {
        let mut plan = whole.clone();
        change(&mut plan);
        divide(&plan, &mp4(), LENGTH)
    };
    assert!(with(&|_| {}).is_some());
    assert!(with(&|plan| plan.video[0].encoder = "x265".to_owned()).is_none());
    assert!(with(&|plan| plan.video[0].mean_bitrate_bps = Some(500_000)).is_none());
    assert!(with(&|plan| plan.deinterlace = true).is_none());
    assert!(with(&|plan| plan.front = vec![PictureStep::FrameRate(Rational { num: 25, den: 1 })]).is_none());
    assert!(with(&|plan| plan.video.clear()).is_none());
    for (container, expected) in [("matroska,webm", true), ("mpegts", false), ("avi", false), ("", false)] {
        assert_eq!(divide(&whole, &probe(container), LENGTH).is_some(), expected, "{container}");
    }
}

#[test]
fn a_chunk_that_finds_less_begins_with_it_and_has_another_key() {
    let source = Source { sha256: "ab".repeat(32), size_bytes: 1 };
    let apart = Apart::of(&plan(60_000, 1000), AGREED);
    let key = |range, job| Key::of_chunk(&source, "x264 1", &apart.of_chunk(), range, job);
    let mut ranges = divide(&apart.pictures, &mp4(), LENGTH).unwrap();
    let before: Vec<Key> = ranges.iter().map(|range| key(*range, None)).collect();
    adapt(&mut ranges, &[Unkept { chunk: 2, found_percent: 17 }, Unkept { chunk: 99, found_percent: 1 }]);
    let after: Vec<Key> = ranges.iter().map(|range| key(*range, None)).collect();
    let changed: Vec<usize> = (0..before.len()).filter(|n| before[*n] != after[*n]).collect();
    assert_eq!((changed, ranges[2].buffer_percent), (vec![2], 17));
    assert_ne!(key(ranges[0], Some(uuid::Uuid::nil())), key(ranges[0], None));
    assert_eq!(prefix("acme", &Key::stored("ab".to_owned()), 3), "acme/chunks/ab/3/");
}

#[test]
fn pictures_and_the_rest_are_the_whole() {
    let whole = plan(60_000, 1000);
    let apart = Apart::of(&whole, AGREED);
    assert_eq!((&apart.pictures.video, &apart.rest.audio), (&whole.video, &whole.audio));
    assert!(apart.pictures.audio.is_empty() && apart.rest.video.is_empty());
    assert_eq!((apart.pictures.agreed, apart.rest.agreed), (Some(AGREED), Some(AGREED)));
    assert_eq!((apart.pictures.segment_ms, apart.of_chunk().segment_ms), (2000, 1000));
}

#[test]
fn a_source_that_ends_long_before_it_promised_is_cut_off() {
    let apart = Apart::of(&plan(10_000, 1000), AGREED);
    let track = |name: &str, duration_ms| Track {
        name: name.to_owned(),
        kind: TrackKind::Video,
        codec: "avc1.640015".to_owned(),
        width: None,
        height: None,
        frame_rate: None,
        channels: None,
        sample_rate_hz: None,
        language: None,
        role: SoundRole::Main,
        title: None,
        source_sound: None,
        duration_ms,
        samples: 1,
        average_bandwidth_bps: 1,
        peak_bandwidth_bps: 1,
        size_bytes: 1,
    };
    // The pictures begin half a second late.
    assert_eq!(cut_off(&apart, AGREED, &[track("v240", 9000), track("a96", 5000)]), None);
    let reason = cut_off(&apart, AGREED, &[track("v240", 8000), track("a96", 8200)]).unwrap();
    assert_eq!(reason, "the file is cut off: it promises 10000 ms and ends after 8500 ms");
    assert_eq!(cut_off(&apart, AGREED, &[track("v240", 2000), track("a96", 9900)]), None);
}

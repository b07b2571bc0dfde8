//! What a live ladder has: the sizes below the source's, and what each may cost. Pure.

use flame_api::live::{NewLadder, RUNGS_MAX};
use flame_api::media::{Rational, TrackKind};
use flame_media_child::live::{LivePlan, LiveRung};

use super::LadderError;
use crate::config::LiveConfig;
use crate::plan::cap_bps;

/// Pictures per second, where they are not known.
const USUAL_RATE: f64 = 30.0;
/// What a rendition has on average of what the ladder of a file may have at most: live, nothing is known of what comes, so the cap is
/// near to the mean.
const MEAN_PERCENT: u32 = 75;
/// Bounds of a source's sides and of a rendition's shorter side, pixels.
const SIDE_MAX: u32 = 8192;
const RUNG_MIN: u32 = 90;
const RUNG_MAX: u32 = 2160;
/// What is decoded live: the beginnings of `CODECS` (RFC 6381) of H.264 and H.265.
const CODECS: [&str; 4] = ["avc1.", "avc3.", "hvc1.", "hev1."];
/// Bounds of a part, milliseconds: those of a channel.
const PART_MS: std::ops::RangeInclusive<u32> = 100..=1000;

/// What is made of it.
///
/// # Errors
/// [`LadderError::Wanted`] with what is wrong.
pub fn of(new: &NewLadder, config: &LiveConfig) -> Result<LivePlan, LadderError> {
    let refuse = |why: String| Err(LadderError::Wanted(why));
    if !PART_MS.contains(&new.part_ms) {
        return refuse(format!("`part_ms` is {} to {}, not {}", PART_MS.start(), PART_MS.end(), new.part_ms));
    }
    if new.rungs.len() > RUNGS_MAX || new.rungs.iter().any(|side| !(RUNG_MIN..=RUNG_MAX).contains(side)) {
        return refuse(format!("a ladder has up to {RUNGS_MAX} rungs of {RUNG_MIN} to {RUNG_MAX} lines"));
    }
    let source = &new.source;
    let (TrackKind::Video, Some(width), Some(height)) = (source.kind, source.width, source.height) else {
        return refuse("a ladder is made of pictures whose size is known".to_owned());
    };
    if width.min(height) == 0 || width.max(height) > SIDE_MAX {
        return refuse(format!("pictures have 1 to {SIDE_MAX} pixels a side, not {width}x{height}"));
    }
    if !CODECS.iter().any(|codec| source.codec.starts_with(codec)) {
        return refuse(format!("a ladder is made of H.264 or H.265, not of {}", source.codec));
    }
    let wanted = if new.rungs.is_empty() { &config.rungs } else { &new.rungs };
    let mut sides: Vec<u32> = wanted.iter().copied().filter(|side| *side < width.min(height)).collect();
    sides.sort_unstable_by(|a, b| b.cmp(a));
    sides.dedup();
    if sides.is_empty() {
        return refuse(format!(
            "none of the rungs {wanted:?} is smaller than the pictures that come ({width}x{height})"
        ));
    }
    let fps = source.frame_rate.map_or(USUAL_RATE, Rational::as_f64);
    let rungs = sides.into_iter().map(|side| rung(side, (width, height), fps, &source.name)).collect();
    let preset = config.preset.as_str().to_owned();
    Ok(LivePlan { part_ms: new.part_ms, frame_rate: source.frame_rate.filter(|rate| rate.num > 0), preset, rungs })
}

fn rung(side: u32, (width, height): (u32, u32), fps: f64, source_name: &str) -> LiveRung {
    let shorter = u64::from(width.min(height));
    let scaled = |length: u32| {
        let exact = u64::from(length) * u64::from(side);
        // The nearest even number, at least 2.
        u32::try_from((exact + shorter) / (2 * shorter) * 2).unwrap_or(u32::MAX).max(2)
    };
    let (width, height) = (scaled(width), scaled(height));
    let max_bitrate_bps = cap_bps(u64::from(width) * u64::from(height), fps);
    let bitrate_bps = max_bitrate_bps / 100 * MEAN_PERCENT;
    let named = format!("v{side}");
    let name = if named == source_name { format!("r{side}") } else { named };
    LiveRung { name, width, height, bitrate_bps, max_bitrate_bps }
}

#[cfg(test)]
mod tests {
    use flame_api::live::LiveTrack;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn wanted(width: u32, height: u32, rungs: Vec<u32>) -> NewLadder {
        let source = LiveTrack {
            name: "v".to_owned(),
            kind: TrackKind::Video,
            codec: "avc1.64001f".to_owned(),
            timescale: 360_000,
            part_ticks: 72_000,
            width: Some(width),
            height: Some(height),
            frame_rate: Some(Rational { num: 30, den: 1 }),
            channels: None,
            sample_rate_hz: None,
            language: None,
        };
        NewLadder { channel: Uuid::nil(), part_ms: 200, source, rungs }
    }

    fn sizes(new: &NewLadder) -> Vec<(String, u32, u32)> {
        let plan = of(new, &LiveConfig::default()).unwrap();
        plan.rungs.into_iter().map(|rung| (rung.name, rung.width, rung.height)).collect()
    }

    #[test]
    fn only_what_is_smaller_than_the_source_is_made() {
        let all = sizes(&wanted(1280, 720, Vec::new()));
        let sized = |name: &str, width, height| (name.to_owned(), width, height);
        assert_eq!(all, [sized("v480", 854, 480), sized("v360", 640, 360), sized("v240", 426, 240)]);
        // Upright, and in the order of sizes whatever was said.
        let upright = sizes(&wanted(720, 1280, vec![240, 480, 480, 720]));
        assert_eq!(upright, [sized("v480", 480, 854), sized("v240", 240, 426)]);
        let refused = |new: &NewLadder| of(new, &LiveConfig::default()).unwrap_err().to_string();
        let mut other = wanted(1280, 720, Vec::new());
        other.source.codec = "av01.0.05M.08".to_owned();
        assert!(refused(&other).contains("not of av01"));
        assert!(refused(&wanted(320, 180, Vec::new())).contains("320x180"));
        assert!(refused(&wanted(1280, 720, vec![5000])).contains("2160"));
        let mut sound = wanted(1280, 720, Vec::new());
        sound.source.width = None;
        assert!(refused(&sound).contains("size"));
    }

    proptest! {
        #[test]
        fn rungs_are_even_smaller_and_cheaper_one_after_the_other(
            width in 1_u32..=SIDE_MAX,
            height in 1_u32..=SIDE_MAX,
            rungs in prop::collection::vec(RUNG_MIN..=RUNG_MAX, 0..=RUNGS_MAX),
        ) {
            let new = wanted(width, height, rungs);
            if let Ok(plan) = of(&new, &LiveConfig::default()) {
                prop_assert!(!plan.rungs.is_empty());
                for rung in &plan.rungs {
                    prop_assert!(rung.width % 2 == 0 && rung.height % 2 == 0);
                    prop_assert!(rung.width <= width + 1 && rung.height <= height + 1);
                    prop_assert!(rung.bitrate_bps > 0 && rung.bitrate_bps <= rung.max_bitrate_bps);
                }
                for pair in plan.rungs.windows(2) {
                    prop_assert!(pair[1].height <= pair[0].height && pair[1].bitrate_bps <= pair[0].bitrate_bps);
                    prop_assert!(pair[1].name != pair[0].name);
                }
            }
        }
    }
}

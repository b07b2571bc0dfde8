//! Media of which a part is missing: a file that was cut off, a playlist whose segments cannot be had or read. What is there is measured,
//! what is not is said, and no gate is kept by a part.

use std::path::{Path, PathBuf};

use flame_api::quality::{Comparison, Inspection, Metric};
use flame_media::compare::compare;
use flame_media::inspect::inspect;
use flame_media_child::protocol::{ComparePlan, InspectPlan};
use flame_quality::gate::{Gate, Verdict};
use flame_test_kit::Scratch;
use flame_test_kit::origin::Origin;

use crate::judge;

const SOURCE: &str = "-f lavfi -i testsrc2=s=320x180:r=25:d=8 -f lavfi -i sine=440:sample_rate=48000:d=8";
const CODED: &str = "-c:v libx264 -preset ultrafast -g 50 -keyint_min 50 -sc_threshold 0 -pix_fmt yuv420p -c:a aac";

fn inspected(input: &str) -> Inspection {
    let plan = InspectPlan { input: input.to_owned(), follow_playlists: true, shortest_s: 2.0 };
    inspect(&plan, &mut |_| {}).unwrap_or_else(|error| panic!("{input}: {error}"))
}

fn compared(reference: &Path, distorted: &Path) -> Comparison {
    let plan = ComparePlan {
        reference: reference.to_string_lossy().into_owned(),
        distorted: distorted.to_string_lossy().into_owned(),
        follow_playlists: false,
        reference_form: None,
        distorted_form: None,
        metrics: vec![Metric::Psnr],
        frames_max: None,
        subsample: 1,
        threads: 2,
        confidence_min: 0.5,
    };
    compare(&plan, &mut |_| {}).expect("they can be compared").0
}

fn judged(found: &Inspection, gate: &str) -> Result<Verdict, String> {
    gate.parse::<Gate>().expect("it is a gate").judge_inspection(found)
}

/// The same film whole and with its last half gone; its index comes first, so that it opens.
fn cut(folder: &Path, name: &str, options: &str) -> (PathBuf, PathBuf) {
    judge::ffmpeg(folder, &format!("{SOURCE} {CODED} {options} {name}"));
    let (whole, part) = (folder.join(name), folder.join(format!("cut-{name}")));
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&part, &bytes[..bytes.len() * 6 / 10]).unwrap();
    (whole, part)
}

#[test]
fn a_file_that_ends_early_keeps_no_gate() {
    let folder = Scratch::new("part");
    for (name, options) in [("film.mp4", "-movflags +faststart"), ("film.mkv", "")] {
        let (whole, part) = cut(&folder, name, options);
        let found = inspected(whole.to_str().unwrap());
        assert!(found.incomplete.is_empty(), "{name}: {:?}", found.incomplete);
        assert_eq!(judged(&found, "black.count <= 0").map(|verdict| verdict.passes), Ok(true), "{name}");
        assert_eq!(judged(&found, "video.missing_s <= 0").map(|verdict| verdict.passes), Ok(true), "{name}");

        let found = inspected(part.to_str().unwrap());
        let video = found.video.as_ref().expect("there are pictures");
        let missing_s = video.missing_s.expect("it is stated");
        assert!((8.0 - video.duration_s - missing_s).abs() < 0.2 && missing_s > 2.0, "{name}: {video:?}");
        assert!(judged(&found, "black.count <= 0").is_err_and(|why| why.contains("did not come")), "{name}");
        assert!(judged(&found, "loudness.integrated >= -70").is_err(), "{name}");
        assert_eq!(judged(&found, "video.missing_s <= 0").map(|verdict| verdict.passes), Ok(false), "{name}");
    }
}

#[test]
fn sound_that_is_late_or_shorter_is_no_part() {
    let folder = Scratch::new("part");
    for (name, sound) in
        [("late.mkv", "-itsoffset 1 -f lavfi -i sine=440:d=3"), ("short.mp4", "-f lavfi -i sine=440:d=3")]
    {
        judge::ffmpeg(&folder, &format!("-f lavfi -i testsrc2=s=320x180:r=25:d=5 {sound} {CODED} {name}"));
        let found = inspected(folder.join(name).to_str().unwrap());
        assert!(found.incomplete.is_empty(), "{name}: {:?}", found.incomplete);
    }
    let hls = "-f hls -hls_time 2 -hls_playlist_type vod index.m3u8";
    judge::ffmpeg(&folder, &format!("-f lavfi -i testsrc2=s=320x180:r=25:d=8 -f lavfi -i sine=440:d=5 {CODED} {hls}"));
    let origin = Origin::of_folder(&folder);
    let found = inspected(&origin.url("index.m3u8"));
    assert!(found.incomplete.is_empty(), "{:?}", found.incomplete);
}

#[test]
fn a_comparison_with_a_film_that_ends_early_keeps_no_gate() {
    let folder = Scratch::new("part");
    let (whole, part) = cut(&folder, "film.mp4", "-movflags +faststart");
    let judged = |comparison: &Comparison, gate: &str| gate.parse::<Gate>().expect("it is a gate").judge(comparison);
    let same = compared(&whole, &whole);
    assert!(same.incomplete.is_empty() && same.distorted.missing_ms == Some(0.0), "{:?}", same.incomplete);
    assert_eq!(judged(&same, "psnr.min >= 99").map(|verdict| verdict.passes), Ok(true));

    let early = compared(&whole, &part);
    assert!(early.distorted.missing_ms.is_some_and(|ms| ms > 2000.0) && early.alignment.tail_reference > 50);
    assert!(judged(&early, "psnr.min >= 1").is_err_and(|why| why.contains("the distorted film")), "{early:?}");
    assert_eq!(judged(&early, "psnr.min >= 101").map(|verdict| verdict.passes), Ok(false));
    // The other way round half of what is scored has nothing to be held against.
    assert!(judged(&compared(&part, &whole), "psnr.min >= 1").is_err_and(|why| why.contains("the reference")));
    // And where both end alike, what there is was compared; the distorted film still states more.
    assert!(!compared(&part, &part).incomplete.is_empty());
}

/// A playlist of four segments.
fn listed(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let hls = format!("-f hls -hls_time 2 -hls_playlist_type vod -hls_segment_type {kind} index.m3u8");
    judge::ffmpeg(folder, &format!("{SOURCE} {CODED} {hls}"));
    let mut segments: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "ts" || extension == "m4s"));
    segments.sort();
    assert_eq!(segments.len(), 4, "{segments:?}");
    segments
}

#[test]
fn segments_that_are_missing_or_broken_are_missed() {
    for kind in ["mpegts", "fmp4"] {
        let folder = Scratch::new("part");
        let segments = listed(&folder, kind);
        let origin = Origin::of_folder(&folder);
        let url = origin.url("index.m3u8");
        let found = inspected(&url);
        assert!(found.incomplete.is_empty(), "{kind}: {:?}", found.incomplete);
        assert_eq!(judged(&found, "video.missing_s <= 0").map(|verdict| verdict.passes), Ok(true), "{kind}");

        // FFmpeg leaves a segment out that it cannot fetch, and says nothing.
        let bytes = std::fs::read(&segments[1]).unwrap();
        std::fs::remove_file(&segments[1]).unwrap();
        let found = inspected(&url);
        let missing_s = found.video.as_ref().and_then(|video| video.missing_s).expect("it is stated");
        assert!((missing_s - 2.0).abs() < 0.3, "{kind}: {missing_s}");
        assert!(judged(&found, "freeze.count <= 0").is_err_and(|why| why.contains("did not come")), "{kind}");

        // One whose second half is noise.
        let mut noisy = bytes.clone();
        let half = noisy.len() / 2;
        for (at, byte) in noisy.iter_mut().enumerate().skip(half) {
            *byte = (at.wrapping_mul(2_654_435_761) >> 7) as u8;
        }
        std::fs::write(&segments[1], noisy).unwrap();
        let found = inspected(&url);
        assert!(!found.incomplete.is_empty(), "{kind}: {found:?}");
        assert!(judged(&found, "black.count <= 0").is_err(), "{kind}");

        std::fs::write(&segments[1], bytes).unwrap();
        assert!(inspected(&url).incomplete.is_empty(), "{kind}: whole again");
    }
}

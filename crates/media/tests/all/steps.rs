//! What chains ask for beyond the ladder: other pictures, other rates, other encoders.

use std::path::Path;

use flame_api::media::Rational;
use flame_api::quality::Metric;
use flame_media::{compare::compare, ladder, ladder::Ladder, probe};
use flame_media_child::protocol::{Borders, ComparePlan, LadderPlan, PictureStep};
use flame_test_kit::Scratch;

use crate::judge::{self, Clip};
use crate::plan;

/// Two seconds of a picture that is different everywhere and all the time, at 25 pictures a second.
fn original() -> Clip {
    judge::clip("original.mkv", "-f lavfi -i testsrc2=size=320x240:rate=25:duration=2 -pix_fmt yuv420p -c:v ffv1")
}

/// One rung of the source, changed.
fn encoded(clip: &Clip, change: impl FnOnce(&mut LadderPlan)) -> (Scratch, Ladder) {
    let probe = probe::probe(clip.path.to_str().unwrap()).unwrap();
    let mut plan = plan::of(&probe);
    plan.video.truncate(1);
    change(&mut plan);
    let folder = Scratch::new("steps");
    let ladder = ladder::encode(&clip.path, &folder, &plan, &mut |_, _| {}).unwrap_or_else(|error| panic!("{error}"));
    (folder, ladder)
}

/// Mean PSNR of `distorted` against `reference`.
fn psnr_db(reference: &Path, distorted: &Path) -> f64 {
    let plan = ComparePlan {
        reference: reference.to_string_lossy().into_owned(),
        distorted: distorted.to_string_lossy().into_owned(),
        follow_playlists: false,
        reference_form: None,
        distorted_form: None,
        metrics: vec![Metric::Psnr],
        frames_max: None,
        subsample: 1,
        threads: 1,
        confidence_min: 0.5,
    };
    let (comparison, _) = compare(&plan, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    comparison.columns[0].pooled.mean
}

#[test]
fn borders_are_cut_and_bars_added_where_they_belong() {
    let clip = original();
    let (folder, ladder) = encoded(&clip, |plan| {
        plan.front = vec![
            PictureStep::Crop(Borders { left: 40, right: 20, top: 10, bottom: 30 }),
            PictureStep::Pad(Borders { left: 8, right: 52, top: 16, bottom: 24 }),
        ];
        (plan.video[0].width, plan.video[0].height) = (320, 240);
    });
    assert_eq!(ladder.source_frames, 50);
    judge::ffmpeg(
        &clip.folder,
        "-i original.mkv -vf crop=260:200:40:10,pad=320:240:8:16:black -pix_fmt yuv420p -c:v ffv1 expected.mkv",
    );
    let psnr_db = psnr_db(&clip.folder.join("expected.mkv"), &folder.join("top.mp4"));
    assert!(psnr_db > 35.0, "{psnr_db}");
}

#[test]
fn pictures_are_dropped_and_repeated_until_the_rate_is_right() {
    let clip = original();
    for (rate, frames) in [((10, 1), 20), ((50, 1), 100), ((30_000, 1001), 60)] {
        let (num, den) = rate;
        let (folder, ladder) = encoded(&clip, |plan| {
            plan.front = vec![PictureStep::FrameRate(Rational { num, den })];
            plan.video_timescale = 30_000;
        });
        let track = &ladder.tracks[0];
        assert_eq!(track.frame_rate, Some(Rational { num, den }));
        assert!(track.samples.abs_diff(frames) <= 1, "{rate:?}: {} frames", track.samples);
        let times: Vec<f64> = judge::frames(&folder.join("top.mp4")).iter().map(|frame| frame.time_s).collect();
        for (n, time_s) in times.iter().enumerate() {
            let wanted_s = n as f64 * f64::from(den) / f64::from(num);
            assert!((time_s - times[0] - wanted_s).abs() < 2e-4, "{rate:?}: frame {n} at {time_s} s");
        }
    }
}

#[test]
fn a_mean_is_kept_and_a_cap_as_well() {
    let clip = judge::clip(
        "noise.mkv",
        "-f lavfi -i testsrc2=size=320x240:rate=25:duration=6,noise=alls=20:allf=t -pix_fmt yuv420p -c:v ffv1",
    );
    let (_folder, ladder) = encoded(&clip, |plan| {
        (plan.video[0].mean_bitrate_bps, plan.video[0].max_bitrate_bps) = (Some(600_000), 900_000);
    });
    let mean_bps = ladder.tracks[0].average_bandwidth_bps;
    assert!((480_000..720_000).contains(&mean_bps), "{mean_bps}");
    // The same without a cap, and the cap alone: constant quality that would take far more.
    let (_folder, open) = encoded(&clip, |plan| plan.video[0].max_bitrate_bps = 0);
    let (_folder, capped) = encoded(&clip, |plan| plan.video[0].max_bitrate_bps = 900_000);
    let [open_bps, capped_bps] = [open, capped].map(|ladder| ladder.tracks[0].average_bandwidth_bps);
    assert!(open_bps > 2_000_000 && capped_bps < 1_200_000, "{open_bps} without a cap, {capped_bps} with it");
}

#[test]
fn another_encoder_makes_the_same_pictures_on_the_same_grid() {
    let clip =
        judge::clip("original.mkv", "-f lavfi -i testsrc2=size=320x240:rate=25:duration=3 -pix_fmt yuv420p -c:v ffv1");
    let by = |encoder: &str, crf| {
        let (encoder, crf) = (encoder.to_owned(), crf);
        encoded(&clip, |plan| (plan.video[0].encoder, plan.video[0].crf) = (encoder, crf))
    };
    let (folder, other) = by("openh264", 24);
    let (reference, _) = by("x264", 24);
    let keys = |folder: &Path| {
        let frames = judge::frames(&folder.join("top.mp4"));
        (frames.len(), frames.iter().enumerate().filter(|(_, frame)| frame.is_key).map(|(n, _)| n).collect::<Vec<_>>())
    };
    assert_eq!(keys(&folder), keys(&reference));
    assert!(other.tracks[0].codec.starts_with("avc1."), "{:?}", other.tracks[0]);
    let fine_db = psnr_db(&clip.path, &folder.join("top.mp4"));
    let (coarse, _) = by("openh264", 45);
    let coarse_db = psnr_db(&clip.path, &coarse.join("top.mp4"));
    assert!(fine_db > 32.0 && coarse_db < fine_db - 5.0, "{fine_db} dB and {coarse_db} dB");
}

/// Every codec, on a rate whose GOPs are not all of the same number of frames.
#[test]
fn every_codec_has_the_frames_times_and_grid_of_the_first() {
    let clip = judge::clip(
        "original.mkv",
        "-f lavfi -i testsrc2=size=320x240:rate=30000/1001:duration=5.2 -pix_fmt yuv420p -c:v ffv1",
    );
    let by = |encoder: &str| {
        let encoder = encoder.to_owned();
        encoded(&clip, |plan| (plan.video[0].encoder, plan.video[0].crf) = (encoder, 28))
    };
    let shown = |folder: &Path| {
        let frames = judge::frames(&folder.join("top.mp4"));
        frames.iter().map(|frame| ((frame.time_s * 1e4).round() as i64, frame.is_key)).collect::<Vec<_>>()
    };
    let (reference, _) = by("x264");
    let reference = shown(&reference);
    assert_eq!(reference.iter().filter(|(_, is_key)| *is_key).count(), 6);
    for (encoder, codec, name) in
        [("x265", "hvc1.1.6.L", "hevc"), ("svt-av1", "av01.0.0", "av1"), ("vpx-vp9", "vp09.00.20.08", "vp9")]
    {
        let (folder, ladder) = by(encoder);
        let track = &ladder.tracks[0];
        assert!(track.codec.starts_with(codec), "{encoder}: {}", track.codec);
        assert_eq!(shown(&folder), reference, "{encoder}");
        let said = judge::probe_entries(&folder.join("top.mp4"), &["-show_entries", "stream=codec_name,width,height"]);
        assert_eq!(said.trim(), format!("{name},320,240"), "{encoder}");
        let psnr_db = psnr_db(&clip.path, &folder.join("top.mp4"));
        assert!(psnr_db > 30.0, "{encoder}: {psnr_db} dB");
    }
}

#[test]
fn every_codec_keeps_a_mean_and_takes_one_frame() {
    let clip = judge::clip(
        "noise.mkv",
        "-f lavfi -i testsrc2=size=320x240:rate=25:duration=6,noise=alls=20:allf=t -pix_fmt yuv420p -c:v ffv1",
    );
    let one = judge::clip("one.mkv", "-f lavfi -i testsrc2=size=64x64:rate=25 -frames:v 1 -pix_fmt yuv420p -c:v ffv1");
    for encoder in ["x265", "svt-av1", "vpx-vp9"] {
        let (_folder, ladder) = encoded(&clip, |plan| {
            plan.video[0].encoder = encoder.to_owned();
            (plan.video[0].mean_bitrate_bps, plan.video[0].max_bitrate_bps) = (Some(600_000), 900_000);
        });
        let mean_bps = ladder.tracks[0].average_bandwidth_bps;
        // SVT-AV1 comes to two thirds of it in six seconds, and to a little less or more by how its threads run.
        assert!((300_000..800_000).contains(&mean_bps), "{encoder}: {mean_bps}");
        let (_folder, ladder) = encoded(&one, |plan| plan.video[0].encoder = encoder.to_owned());
        assert_eq!(ladder.tracks[0].samples, 1, "{encoder}");
    }
}

#[test]
fn what_is_installed_is_found() {
    let names = ["x264enc", "nosuchenc", "avenc_aac", "libx265", "libnosuch"].map(str::to_owned).to_vec();
    assert_eq!(ladder::installed(names).unwrap(), ["x264enc", "avenc_aac", "libx265"]);
}

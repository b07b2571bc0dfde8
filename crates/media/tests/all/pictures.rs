//! Odd pictures: sizes, rates, rotation, pixel formats, fields.

use flame_api::media::Rational;

use crate::judge::{Clip, clip, frames, judge, judge_with};

const SOUND: &str = "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=2";

fn picture(size: &str, rate: &str) -> String {
    format!("-f lavfi -i testsrc2=size={size}:rate={rate}:duration=2")
}

fn h264(output: &str, size: &str, rate: &str, options: &str) -> Clip {
    clip(
        output,
        &format!(
            "{} {SOUND} -c:v libx264 -preset ultrafast -crf 12 -pix_fmt yuv420p -c:a aac {options}",
            picture(size, rate)
        ),
    )
}

#[test]
fn without_sound() {
    let clip = clip("a.mp4", &format!("{} -c:v libx264 -pix_fmt yuv420p", picture("320x240", "25")));
    let verdict = judge(&clip);
    assert_eq!(verdict.probe.audio, None);
    assert!(verdict.psnr_db(&clip.path) > 35.0);
}

#[test]
fn odd_dimensions() {
    let clip =
        clip("a.mp4", &format!("{} {SOUND} -vf format=yuv444p,scale=161:121 -c:v libx264", picture("320x240", "25")));
    let verdict = judge(&clip);
    let video = verdict.probe.video.as_ref().unwrap();
    assert_eq!((video.width, video.height, video.pixel_format.as_str()), (161, 121, "yuv444p"));
    assert!(verdict.psnr_db(&clip.path) > 28.0);
}

#[test]
fn rotated_by_each_quarter_turn() {
    for turn in [90, 180, 270] {
        let clip = h264("a.mp4", "320x180", "25", "");
        crate::judge::ffmpeg(&clip.folder, &format!("-i a.mp4 -c copy -metadata:s:v:0 rotate={turn} turned.mp4"));
        let clip = Clip { path: clip.folder.join("turned.mp4"), folder: clip.folder };
        let verdict = judge(&clip);
        let video = verdict.probe.video.as_ref().unwrap();
        // The old tag counts against the clock.
        assert_eq!(video.rotation_deg, 360 - turn);
        let shown = if turn == 180 { (320, 180) } else { (180, 320) };
        assert_eq!((video.display_width, video.display_height), shown);
        // FFmpeg turns the source upright by itself: a wrong or doubled turn is no likeness.
        let psnr_db = verdict.psnr_db(&clip.path);
        assert!(psnr_db > 30.0, "turn {turn}: {psnr_db} dB");
    }
}

#[test]
fn variable_frame_rate() {
    // select drops one frame in five, and a second of them.
    let select =
        "-vf select='not(eq(mod(n\\,5)\\,2))*not(between(n\\,12\\,25))' -vsync vfr -video_track_timescale 90000";
    let clip = h264("a.mp4", "320x240", "25", select);
    let verdict = judge(&clip);
    assert!(verdict.probe.video.unwrap().variable_frame_rate);
}

#[test]
fn film_and_ntsc_rates() {
    for (rate, exact) in [("24000/1001", 24_000), ("30000/1001", 30_000)] {
        let clip = h264("a.mp4", "320x240", rate, "");
        let verdict = judge(&clip);
        let video = verdict.probe.video.as_ref().unwrap();
        assert_eq!(video.frame_rate, Some(Rational { num: exact, den: 1001 }));
        assert!(!video.variable_frame_rate);
    }
}

#[test]
fn anamorphic_pixels() {
    let clip = h264("a.mp4", "176x144", "25", "-vf setsar=16/11");
    let verdict = judge(&clip);
    let video = verdict.probe.video.as_ref().unwrap();
    assert_eq!(video.pixel_aspect, Rational { num: 16, den: 11 });
    assert_eq!((video.display_width, video.display_height), (256, 144));
    assert!(verdict.psnr_db(&clip.path) > 30.0);
}

#[test]
fn anamorphic_in_matroska() {
    let clip = h264("a.mkv", "176x144", "25", "-vf setsar=16/11");
    let verdict = judge(&clip);
    assert_eq!(verdict.probe.video.unwrap().display_width, 256);
}

#[test]
fn ten_bits() {
    let clip = clip("a.mp4", &format!("{} {SOUND} -c:v libx264 -pix_fmt yuv420p10le", picture("320x240", "25")));
    let verdict = judge(&clip);
    let video = verdict.probe.video.as_ref().unwrap();
    assert_eq!((video.bit_depth, video.pixel_format.as_str()), (10, "yuv420p10le"));
    assert!(verdict.psnr_db(&clip.path) > 33.0);
    assert_eq!(verdict.ladder.tracks[0].codec.get(..9), Some("avc1.6400"));
}

#[test]
fn interlaced() {
    for field in ["interleave_top", "interleave_bottom"] {
        let filter = format!("-vf tinterlace={field} -flags +ilme+ildct");
        let clip = h264("a.mp4", "320x240", "50", &filter);
        let verdict = judge(&clip);
        assert!(verdict.probe.video.as_ref().unwrap().interlaced);
        assert!(verdict.plan.deinterlace);
        let psnr_db = verdict.psnr_db(&clip.path);
        assert!(psnr_db > 18.0, "{psnr_db} dB");
    }
}

#[test]
fn full_range_and_rgb() {
    let clip = clip("a.mp4", &format!("{} -c:v libx264 -pix_fmt yuvj420p", picture("320x240", "25")));
    assert!(judge(&clip).psnr_db(&clip.path) > 30.0);
    let clip = crate::judge::clip("b.mkv", &format!("{} -c:v ffv1 -pix_fmt bgr0", picture("320x240", "25")));
    assert!(judge(&clip).psnr_db(&clip.path) > 28.0);
}

#[test]
fn one_frame() {
    let clip = clip("a.mp4", &format!("{} -c:v libx264 -pix_fmt yuv420p -frames:v 1", picture("320x240", "25")));
    let verdict = judge(&clip);
    assert_eq!(verdict.ladder.source_frames, 1);
    assert_eq!(verdict.ladder.tracks[0].duration_ms, 40);
}

#[test]
fn open_gops() {
    let clip =
        h264("a.mp4", "320x240", "25", "-preset veryfast -x264-params open-gop=1:keyint=12:bframes=3:scenecut=0");
    judge(&clip);
}

#[test]
fn the_same_input_gives_the_same_frames() {
    let clip = h264("a.mp4", "320x240", "25", "");
    let first = judge(&clip);
    let tracks = clip.folder.join("again");
    std::fs::create_dir(&tracks).unwrap();
    let again = flame_media::ladder::encode(&clip.path, &tracks, &first.plan, &mut |_, _| {}).unwrap();
    assert_eq!(again.source_audio_samples, first.ladder.source_audio_samples);
    let times = |path| frames(path).iter().map(|frame| frame.time_s).collect::<Vec<_>>();
    assert_eq!(times(&tracks.join("half.mp4")), times(&first.track("half")));
}

#[test]
fn segments_begin_with_gops_and_sound_is_cut_where_pictures_are() {
    let arguments = "-f lavfi -i testsrc2=size=320x240:rate=30000/1001:duration=7 \
                     -f lavfi -i sine=sample_rate=48000:duration=7 -c:v libx264 -pix_fmt yuv420p -c:a aac";
    let clip = clip("a.mp4", arguments);
    let verdict = judge_with(&clip, |plan| {
        plan.gop_ms = 1000;
        plan.segment_ms = 2000;
    });
    let index = |name: &str| {
        let json = std::fs::read(verdict.tracks.join(format!("{name}.index.json"))).unwrap();
        flame_cmaf::TrackIndex::from_json(&json).unwrap()
    };
    let (top, half, sound) = (index("top"), index("half"), index("sound"));
    let starts_s = |index: &flame_cmaf::TrackIndex| -> Vec<f64> {
        let shown = |ticks: u64| ticks.saturating_sub(index.edit_media_time_ticks) as f64 / f64::from(index.timescale);
        index.segments.iter().map(|segment| shown(segment.time_ticks)).collect()
    };
    assert_eq!(top.segments.len(), 4);
    assert_eq!(starts_s(&top), starts_s(&half));
    assert!(top.segments.iter().all(|segment| segment.sap == 1));
    for (n, start_s) in starts_s(&top).iter().enumerate() {
        assert!((0.0..0.034).contains(&(start_s - 2.0 * n as f64)), "picture segment {n} begins at {start_s}");
    }
    for (n, start_s) in starts_s(&sound).iter().enumerate() {
        assert!((-0.001..0.0215).contains(&(start_s - 2.0 * n as f64)), "sound segment {n} begins at {start_s}");
    }
}

/// What is odd for one codec is odd for all: every frame, its time, the grid of GOPs, and both sizes.
#[test]
fn odd_pictures_in_every_codec() {
    let select =
        "-vf select='not(eq(mod(n\\,5)\\,2))*not(between(n\\,12\\,25))' -vsync vfr -video_track_timescale 90000";
    for encoder in ["x265", "svt-av1", "vpx-vp9"] {
        let by = |clip: &Clip| {
            judge_with(clip, |plan| plan.video.iter_mut().for_each(|rung| rung.encoder = encoder.to_owned()))
        };
        // A rate that varies, a film without its upper bits, one that lies, one too small to be split further, no frame rate.
        by(&h264("a.mp4", "320x240", "25", select));
        let odd = clip(
            "a.mp4",
            &format!("{} {SOUND} -vf format=yuv444p,scale=321:181 -c:v libx264", picture("320x240", "25")),
        );
        assert!(by(&odd).psnr_db(&odd.path) > 28.0, "{encoder}");
        by(&clip("a.mp4", &format!("{} -c:v libx264 -pix_fmt yuv420p10le", picture("320x180", "24000/1001"))));
        by(&h264("a.mp4", "128x128", "12", ""));
        by(&h264("a.mkv", "176x144", "50", "-vf setsar=16/11"));
    }
}

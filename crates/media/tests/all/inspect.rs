//! Inspections as a caller sees them. FFmpeg's own filters are the judge of what is found, and for loudness pyloudnorm as well;
//! what was done to a film is known, so the rest judges itself.

use std::path::Path;
use std::process::Command;

use flame_api::quality::Inspection;
use flame_api::quality::inspection::{Spans, TimeSpan};
use flame_media::fault::MediaError;
use flame_media::inspect::inspect;
use flame_media_child::protocol::InspectPlan;
use flame_test_kit::{Scratch, clips, repository};

use crate::judge;

fn run(path: &Path, shortest_s: f64) -> Result<Inspection, MediaError> {
    let input = path.to_string_lossy().into_owned();
    inspect(&InspectPlan { input, follow_playlists: false, shortest_s }, &mut |_| {})
}

fn inspected(path: &Path) -> Inspection {
    run(path, 2.0).expect("it can be inspected")
}

/// Values of a key that the judge's filters write, in their order.
fn judged(path: &Path, filters: &[&str], keys: &[&str]) -> Vec<Vec<f64>> {
    let ran = Command::new(repository().join("media-tests/judges/ffmpeg"))
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        .args(filters)
        .args(["-f", "null", "-"])
        .output()
        .expect("the judge runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let values = |key: &&str| {
        let lines = said.lines().filter_map(|line| line.strip_prefix("lavfi.")?.split_once('='));
        lines.filter(|(name, _)| name == key).map(|(_, value)| value.parse().expect("it is a number")).collect()
    };
    keys.iter().map(values).collect()
}

fn same_spans(ours: &Spans, starts: &[f64], ends: &[f64], what: &str) {
    assert_eq!(ours.count as usize, starts.len(), "{what}: {ours:?}, {starts:?}");
    for (at, TimeSpan { start_s, end_s }) in ours.list.iter().enumerate() {
        assert!((start_s - starts[at]).abs() < 0.002, "{what}: {ours:?}, {starts:?}");
        // What lasts to the end has no end for the judge.
        assert!(ends.get(at).is_none_or(|end| (end_s - end).abs() < 0.002), "{what}: {ours:?}, {ends:?}");
    }
}

/// Five seconds of which three stand still, black ones, moving ones; sound that is silent in the middle.
fn faulty() -> (Scratch, std::path::PathBuf) {
    let folder = Scratch::new("inspect");
    let pictures = "testsrc2=s=320x180:r=25:d=2,tpad=stop_mode=clone:stop_duration=3[a];\
                    color=c=black:s=320x180:r=25:d=2.6[b];testsrc2=s=320x180:r=25:d=2[c];[a][b][c]concat=n=3";
    let sound = "aevalsrc=0.5*sin(2*PI*440*t)*(lt(t\\,3.21)+gt(t\\,6.5))|0.4*sin(2*PI*330*t)*(lt(t\\,3)+gt(t\\,6.6)):s=48000:d=9.6";
    judge::ffmpeg(
        &folder,
        &format!("-f lavfi -i {pictures} -f lavfi -i {sound} -pix_fmt yuv420p -c:v ffv1 -c:a pcm_s16le faulty.mkv"),
    );
    let path = folder.join("faulty.mkv");
    (folder, path)
}

#[test]
fn black_freeze_and_silence_are_where_ffmpegs_filters_find_them() {
    let (_folder, path) = faulty();
    let found = inspected(&path);
    let filters = [
        "-vf",
        "blackdetect=d=2,freezedetect=n=-60dB:d=2,metadata=mode=print:file=-",
        "-af",
        "silencedetect=n=-60dB:d=2,ametadata=mode=print:file=-",
    ];
    let keys = [
        "black_start",
        "black_end",
        "freezedetect.freeze_start",
        "freezedetect.freeze_end",
        "silence_start",
        "silence_end",
    ];
    let judged = judged(&path, &filters, &keys);
    let (video, audio) = (found.video.expect("there are pictures"), found.audio.expect("there is sound"));
    assert!(judged[0].len() == 1 && judged[2].len() == 2 && judged[4].len() == 1, "{judged:?}");
    same_spans(&video.black, &judged[0], &judged[1], "black");
    same_spans(&video.freeze, &judged[2], &judged[3], "freeze");
    same_spans(&audio.silence, &judged[4], &judged[5], "silence");
    assert_eq!(found.not_measured, []);
    // What is shorter than asked for does not count, and what is as long does.
    let shorter = run(&path, 2.6).expect("it can be inspected").video.expect("there are pictures");
    assert_eq!((shorter.black.count, shorter.freeze.count), (1, 2));
    assert_eq!(run(&path, 2.7).expect("it can be inspected").video.map(|video| video.black.count), Some(0));
}

#[test]
fn detail_and_motion_are_ffmpegs() {
    let clips = [clips::path("carphone_pristine"), clips::path("bikes")];
    for path in clips {
        let video = inspected(&path).video.expect("there are pictures");
        let judged = judged(&path, &["-vf", "siti,metadata=mode=print:file=-"], &["siti.si", "siti.ti"]);
        for (ours, theirs) in [(video.si, &judged[0]), (video.ti, &judged[1])] {
            let ours = ours.expect("it was measured");
            let mean = theirs.iter().sum::<f64>() / theirs.len() as f64;
            let max = theirs.iter().copied().fold(0.0, f64::max);
            assert_eq!(theirs.len() as u64, video.frames);
            assert!((ours.mean - mean).abs() < 0.02 && (ours.max - max).abs() < 0.02, "{ours:?}: {mean} {max}");
        }
    }
}

/// What the judge's filter says in the mean of the pictures.
fn judged_mean(path: &Path, filter: &str, key: &str) -> f64 {
    let values = judged(path, &["-vf", &format!("{filter},metadata=mode=print:file=-")], &[key]).swap_remove(0);
    assert_eq!(values.len(), 25, "{key} of {}", path.display());
    values.iter().sum::<f64>() / values.len() as f64
}

/// Whether each is larger than the one before by a factor.
fn rises(values: &[f64], factor: f64) -> bool {
    values.windows(2).all(|pair| pair[1] > factor * pair[0])
}

#[test]
fn coarser_encodes_are_blockier_and_softer_pictures_more_blurred_as_ffmpeg_finds_too() {
    let folder = Scratch::new("blocks");
    let clip = clips::path("carphone_pristine");
    std::fs::copy(&clip, folder.join("clip.mp4")).unwrap();
    // MPEG-2 has blocks of 8 x 8 and no filter for their edges; five rates.
    let (mut blockiness, mut theirs) = (Vec::new(), Vec::new());
    for quantiser in [2, 5, 10, 18, 31] {
        let encoder = format!("-frames:v 25 -an -c:v mpeg2video -bf 0 -q:v {quantiser}");
        judge::ffmpeg(&folder, &format!("-i clip.mp4 {encoder} coded.mkv"));
        let path = folder.join("coded.mkv");
        let video = inspected(&path).video.expect("there are pictures");
        blockiness.push(video.blockiness.expect("it was measured").mean);
        theirs.push(judged_mean(&path, "blockdetect", "block"));
    }
    assert!(rises(&blockiness, 1.1) && rises(&theirs, 1.1), "{blockiness:?} {theirs:?}");
    assert!(blockiness[0] < 1.7 && blockiness[4] > 3.0, "{blockiness:?}");

    let (mut blur, mut theirs, mut blocks) = (Vec::new(), Vec::new(), Vec::new());
    for sigma in ["0.5", "1", "2", "4", "8"] {
        judge::ffmpeg(&folder, &format!("-i clip.mp4 -frames:v 25 -an -vf gblur=sigma={sigma} -c:v ffv1 soft.mkv"));
        let path = folder.join("soft.mkv");
        let video = inspected(&path).video.expect("there are pictures");
        blur.push(video.blur.expect("it was measured").mean);
        blocks.push(video.blockiness.expect("it was measured").mean);
        theirs.push(judged_mean(&path, "blurdetect", "blur"));
    }
    assert!(rises(&blur, 1.05) && rises(&theirs, 1.05), "{blur:?} {theirs:?}");
    assert!(blur[0] < 0.45 && blur[4] > 0.75 && blur[4] < 1.0, "{blur:?}");
    // What is soft has no blocks.
    assert!(blocks.iter().all(|blocks| *blocks < 1.7), "{blocks:?}");
}

/// Sound that is not the same all the time, on which the gates of loudness matter.
fn changing_sound(folder: &Scratch) -> std::path::PathBuf {
    let sound =
        "aevalsrc=(0.02+0.4*mod(floor(t/4)\\,3)/2)*sin(2*PI*(200+40*t)*t)|0.3*sin(2*PI*997*t)*lt(t\\,12):s=48000:d=24";
    judge::ffmpeg(folder, &format!("-f lavfi -i {sound} -c:a pcm_s16le sound.wav"));
    folder.join("sound.wav")
}

#[test]
fn loudness_is_ffmpegs() {
    let folder = Scratch::new("inspect");
    for path in [changing_sound(&folder), clips::path("bigbuckbunny")] {
        let loudness = inspected(&path).audio.and_then(|audio| audio.loudness).expect("it was measured");
        let keys = ["r128.I", "r128.LRA"];
        let filters = ["-vn", "-af", "ebur128=metadata=1:peak=true,ametadata=mode=print:file=-"];
        let channels: Vec<String> = (0..6).map(|channel| format!("r128.true_peaks_ch{channel}")).collect();
        let keys: Vec<&str> = keys.into_iter().chain(channels.iter().map(String::as_str)).collect();
        let judged = judged(&path, &filters, &keys);
        let last = |at: usize| *judged[at].last().expect("the judge has measured it");
        let integrated = loudness.integrated_lufs.expect("it is loud enough");
        assert!((integrated - last(0)).abs() <= 0.1, "{}: {integrated}, {}", path.display(), last(0));
        // Of a few seconds the range is that of two or three values, and FFmpeg counts its percentiles one value lower than
        // EBU Tech 3342 does.
        let (range, tolerance_lu) =
            (loudness.range_lu.expect("it is long enough"), if path.ends_with("sound.wav") { 0.2 } else { 1.0 });
        assert!((range - last(1)).abs() <= tolerance_lu, "{}: {range}, {}", path.display(), last(1));
        let peaks = judged[2..].iter().flatten().map(|peak| 20.0 * peak.log10()).fold(f64::NEG_INFINITY, f64::max);
        let peak = loudness.true_peak_dbtp.expect("it is not silent");
        assert!((peak - peaks).abs() <= 0.2, "{}: {peak}, {peaks}", path.display());
    }
}

#[test]
fn loudness_is_pyloudnorms() {
    let folder = Scratch::new("inspect");
    let path = changing_sound(&folder);
    let ran = Command::new(repository().join("tools/python"))
        .arg(repository().join("media-tests/judges/loudness.py"))
        .arg(&path)
        .output()
        .expect("tools/python starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let theirs: f64 = String::from_utf8_lossy(&ran.stdout).trim().parse().expect("it is a number");
    let ours = inspected(&path).audio.and_then(|audio| audio.loudness?.integrated_lufs).expect("it was measured");
    assert!((ours - theirs).abs() < 0.1, "{ours}, {theirs}");
}

#[test]
fn clipped_sound_is_heard_and_loud_sound_is_not_mistaken_for_it() {
    let folder = Scratch::new("inspect");
    for (gain, clips) in [("0.99", false), ("1.6", true)] {
        // More than full scale is cut off where it becomes 16 bits.
        let sound = format!("aevalsrc={gain}*sin(2*PI*440*t):s=48000:d=2");
        judge::ffmpeg(&folder, &format!("-f lavfi -i {sound} -c:a pcm_s16le {gain}.wav"));
        let clipping = inspected(&folder.join(format!("{gain}.wav"))).audio.expect("there is sound").clipping;
        // Two peaks a cycle.
        let runs = if clips { 2 * 440 * 2 } else { 0 };
        assert!(clipping.runs.abs_diff(runs) <= 2, "{gain}: {clipping:?}");
        assert_eq!(clips, clipping.peak_dbfs.expect("it is not silent") > -0.01, "{clipping:?}");
    }
}

#[test]
fn key_frames_and_times_are_as_they_were_made() {
    let folder = Scratch::new("inspect");
    let source = "-f lavfi -i testsrc2=s=320x180:r=30000/1001:d=6";
    let x264 = "-c:v libx264 -preset ultrafast -bf 2 -x264-params scenecut=0:open-gop=0:keyint=30:min-keyint=30";
    let made = |name: &str, arguments: &str| {
        judge::ffmpeg(&folder, &format!("{source} {x264} {arguments} {name}"));
        inspected(&folder.join(name)).video.expect("there are pictures")
    };
    let regular = made("regular.mp4", "");
    let (gop, timestamps) = (regular.gop.expect("there are key frames"), regular.timestamps.expect("there are times"));
    assert_eq!((regular.frames, gop.keyframes, gop.irregular), (180, 6, 0));
    assert!((gop.longest_s - 1.001).abs() < 0.001 && (gop.shortest_s - 1.001).abs() < 0.001, "{gop:?}");
    assert_eq!((timestamps.backwards, timestamps.repeated, timestamps.gaps, timestamps.missing), (0, 0, 0, 0));
    assert!((regular.duration_s - 6.006).abs() < 0.001, "{}", regular.duration_s);

    let odd = made("odd.mp4", "-force_key_frames 2.4");
    let gop = odd.gop.expect("there are key frames");
    assert!(gop.irregular >= 1 && gop.shortest_s < 0.7, "{gop:?}");

    let holes = made("holes.mp4", "-vf select=not(between(n\\,40\\,44))*not(eq(n\\,100)) -fps_mode passthrough");
    let timestamps = holes.timestamps.expect("there are times");
    assert_eq!((holes.frames, timestamps.gaps), (174, 2));
    assert!((timestamps.longest_gap_ms - 6.0 * 1001.0 / 30.0).abs() < 1.0, "{timestamps:?}");
}

#[test]
fn sound_that_comes_late_is_measured() {
    let path = clips::recipe("late-audio").seconds(3.0).make();
    let synchrony = inspected(&path).synchrony.expect("there are both");
    assert!((synchrony.start_offset_ms - 200.0).abs() < 25.0, "{synchrony:?}");
}

#[test]
fn what_cannot_be_looked_at_is_said() {
    let detectors = |found: &Inspection| {
        let mut names: Vec<_> = found.not_measured.iter().map(|missing| missing.detector.clone()).collect();
        names.sort();
        names
    };
    let pictures = inspected(&clips::recipe("no-audio").seconds(1.0).make());
    assert_eq!(detectors(&pictures), ["audio", "clipping", "loudness", "silence", "synchrony"]);
    assert!(pictures.not_measured.iter().all(|missing| missing.why.contains("sound")), "{:?}", pictures.not_measured);
    assert!(pictures.video.is_some() && pictures.audio.is_none());

    let sound = inspected(&clips::recipe("audio-only").seconds(1.0).make());
    let expected = ["black", "blockiness", "blur", "freeze", "gop", "si", "synchrony", "ti", "timestamps", "video"];
    assert_eq!(detectors(&sound), expected);
    // A second is too short for a loudness range; that is no number either.
    let loudness = sound.audio.and_then(|audio| audio.loudness).expect("it was measured");
    assert!(loudness.integrated_lufs.is_some() && loudness.range_lu.is_none());

    let one = inspected(&clips::recipe("one-frame").make());
    assert!(detectors(&one).contains(&"timestamps".to_owned()), "{one:?}");

    let folder = Scratch::new("inspect");
    std::fs::write(folder.join("text.mp4"), "no film at all").unwrap();
    let refused = run(&folder.join("text.mp4"), 2.0).expect_err("it is no film");
    assert!(refused.to_string().contains("not a media file"), "{refused}");
    assert!(run(&folder.join("text.mp4"), f64::NAN).is_err());
}

#[test]
fn sound_that_changes_its_shape_is_not_measured_in_part() {
    let folder = Scratch::new("inspect");
    for (name, rate) in [("a", 44_100), ("b", 48_000)] {
        judge::ffmpeg(&folder, &format!("-f lavfi -i sine=440:sample_rate={rate}:d=2 -ac 2 -c:a mp2 {name}.mp2.ts"));
    }
    let mut joined = std::fs::read(folder.join("a.mp2.ts")).unwrap();
    joined.extend(std::fs::read(folder.join("b.mp2.ts")).unwrap());
    std::fs::write(folder.join("joined.ts"), joined).unwrap();
    match run(&folder.join("joined.ts"), 2.0) {
        Ok(found) => panic!("half of it says nothing of the whole: {found:?}"),
        Err(refused) => assert!(refused.to_string().contains("44100 Hz"), "{refused}"),
    }
}

#[test]
fn a_film_that_is_cut_off_is_measured_as_far_as_it_goes() {
    let path = clips::recipe("mpegts").seconds(4.0).make();
    let folder = Scratch::new("inspect");
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(folder.join("cut.ts"), &bytes[..bytes.len() / 2]).unwrap();
    let video = inspected(&folder.join("cut.ts")).video.expect("there are pictures");
    assert!((20..80).contains(&video.frames), "{}", video.frames);
}

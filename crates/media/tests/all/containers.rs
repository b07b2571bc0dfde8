//! Odd containers: where the index lies, how time is written, what stands beside the media.

use crate::judge::{Clip, clip, ffmpeg, judge};

const BOTH: &str = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=2.5 \
                    -f lavfi -i sine=frequency=440:sample_rate=48000:duration=2.5";
const H264: &str = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -bf 2 -c:a aac -ar 48000";

/// The offset between picture and sound survives, within one access unit.
fn judge_with_sync(clip: &Clip) {
    let verdict = judge(clip);
    let (given_s, wanted_s) = verdict.audio_offsets_s(&clip.path);
    // Decoders of the source may keep or drop priming: a unit each way.
    assert!((given_s - wanted_s).abs() <= 2.0 * 1024.0 / 48_000.0 + 0.001, "{given_s} s instead of {wanted_s} s");
}

fn remuxed(name: &str, options: &str) -> Clip {
    let made = clip("made.mp4", &format!("{BOTH} {H264} -g 50"));
    ffmpeg(&made.folder, &format!("{options} {name}"));
    Clip { path: made.folder.join(name), folder: made.folder }
}

#[test]
fn mp4_with_its_index_at_the_end_and_in_front() {
    judge_with_sync(&clip("a.mp4", &format!("{BOTH} {H264}")));
    judge_with_sync(&clip("a.mp4", &format!("{BOTH} {H264} -movflags +faststart")));
}

#[test]
fn fragmented_mp4() {
    judge_with_sync(&clip("a.mp4", &format!("{BOTH} {H264} -movflags +frag_keyframe+empty_moov")));
}

#[test]
fn mp4_with_an_edit_list() {
    let clip = remuxed("cut.mp4", "-ss 0.7 -i made.mp4 -c copy");
    let verdict = judge(&clip);
    // FFmpeg's own demuxer must have applied the edit list, or this tests nothing.
    assert!(verdict.ladder.source_frames < 62, "{}", verdict.ladder.source_frames);
}

#[test]
fn mp4_with_negative_composition_offsets() {
    judge_with_sync(&remuxed("negative.mp4", "-i made.mp4 -c copy -movflags negative_cts_offsets"));
}

#[test]
fn sound_that_begins_late() {
    let clip = remuxed("late.mp4", "-i made.mp4 -itsoffset 0.5 -i made.mp4 -map 0:v -map 1:a -c copy");
    let verdict = judge(&clip);
    let (given_s, _) = verdict.audio_offsets_s(&clip.path);
    assert!((given_s - 0.5).abs() < 0.044, "{given_s}");
}

#[test]
fn pictures_that_begin_late() {
    let clip = remuxed("late.mkv", "-itsoffset 0.5 -i made.mp4 -i made.mp4 -map 0:v -map 1:a -c copy");
    let verdict = judge(&clip);
    let (given_s, _) = verdict.audio_offsets_s(&clip.path);
    assert!((given_s + 0.5).abs() < 0.044, "{given_s}");
}

#[test]
fn matroska() {
    judge_with_sync(&clip("a.mkv", &format!("{BOTH} {H264}")));
    judge_with_sync(&clip("a.mkv", &format!("{BOTH} -c:v libx264 -pix_fmt yuv420p -c:a flac -sample_fmt s16")));
}

#[test]
fn avi() {
    judge(&clip("a.avi", &format!("{BOTH} -c:v mpeg4 -q:v 3 -c:a libmp3lame")));
    judge(&clip("b.avi", &format!("{BOTH} -c:v mjpeg -q:v 3 -pix_fmt yuvj420p -c:a pcm_s16le")));
}

#[test]
fn webm() {
    judge_with_sync(&clip("a.webm", &format!("{BOTH} -c:v libvpx -deadline realtime -b:v 1M -c:a libvorbis")));
    judge_with_sync(&clip(
        "b.webm",
        &format!("{BOTH} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 1M -c:a libopus"),
    ));
}

#[test]
fn mpeg_ts() {
    judge_with_sync(&clip("a.ts", &format!("{BOTH} {H264}")));
    judge_with_sync(&clip("b.ts", &format!("{BOTH} -c:v mpeg2video -q:v 3 -bf 2 -c:a mp2")));
}

#[test]
fn flash_and_quicktime() {
    judge_with_sync(&clip("a.flv", &format!("{BOTH} {H264}")));
    judge_with_sync(&clip("b.mov", &format!("{BOTH} -c:v libx264 -pix_fmt yuv420p -c:a pcm_s16le")));
}

#[test]
fn names_with_spaces_and_colons() {
    let made = clip("a.mp4", &format!("{BOTH} {H264}"));
    let path = made.folder.join("http: a film #1 ? ä.mp4");
    std::fs::rename(&made.path, &path).unwrap();
    judge(&Clip { path, folder: made.folder });
}

//! Loudness to a target: one gain for a sound, judged by pyloudnorm and by FFmpeg's `ebur128`.

use std::path::Path;
use std::process::Command;

use flame_media::{ladder, probe};
use flame_media_child::protocol::LoudnessPlan;
use flame_test_kit::Scratch;

use crate::judge::{self, Clip};
use crate::plan;

const PICTURE: &str = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=16";
/// Loud and soft stretches, so that the gates of the measurement matter.
const SOUND: &str =
    "-f lavfi -i aevalsrc=(0.02+0.1*mod(floor(t/4)\\,3)/2)*sin(2*PI*(200+40*t)*t)|0.05*sin(2*PI*997*t):s=48000:d=16";

/// The first sound of the clip, encoded in stereo at a rate that adds little of its own.
fn encoded(clip: &Clip, target_lufs: f64, true_peak_max_dbtp: f64) -> Scratch {
    let mut plan = plan::of(&probe::probe(clip.path.to_str().unwrap()).unwrap());
    plan.video.truncate(1);
    plan.audio.truncate(1);
    plan.audio[0].bitrate_bps = 256_000;
    plan.audio[0].loudness = Some(LoudnessPlan { target_lufs, true_peak_max_dbtp });
    let folder = Scratch::new("loudness");
    let mut said = Vec::new();
    let ladder = ladder::encode(&clip.path, &folder, &plan, &mut |fraction, _| said.push(fraction)).unwrap();
    assert!(said.is_sorted(), "{said:?}");
    assert_eq!(ladder.source_audio_samples.len(), 1);
    folder
}

/// Integrated loudness in LUFS by pyloudnorm, which has no code in common with ours.
fn pyloudnorm_lufs(track: &Path) -> f64 {
    let folder = track.parent().unwrap();
    judge::ffmpeg(folder, &format!("-i {} -c:a pcm_s16le judged.wav", track.display()));
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let ran = Command::new(repository.join("tools/python"))
        .arg(repository.join("media-tests/judges/loudness.py"))
        .arg(folder.join("judged.wav"))
        .output()
        .expect("tools/python starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).trim().parse().expect("it is a number")
}

/// Integrated loudness in LUFS and true peak in dBTP by FFmpeg's filter.
fn ffmpeg_lufs_dbtp(track: &Path) -> (f64, f64) {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-i"])
        .arg(track)
        .args(["-af", "ebur128=peak=true", "-f", "null", "-"])
        .output()
        .expect("ffmpeg is installed");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let summary = words.rsplit("Summary:").next().unwrap().to_owned();
    let after = |label: &str| -> f64 {
        let rest = summary.split(label).nth(1).unwrap_or_else(|| panic!("{words}"));
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    (after("I:"), after("Peak:"))
}

#[test]
fn a_sound_is_brought_to_its_target_whatever_it_was() {
    let clip = judge::clip("soft.mkv", &format!("{PICTURE} {SOUND} -c:v libx264 -pix_fmt yuv420p -c:a flac"));
    for target_lufs in [-23.0, -16.0, -35.0] {
        let folder = encoded(&clip, target_lufs, -1.0);
        let track = folder.join("sound.mp4");
        let (lufs, peak_dbtp) = ffmpeg_lufs_dbtp(&track);
        assert!((lufs - target_lufs).abs() < 0.3, "{lufs} LUFS for {target_lufs}");
        assert!((pyloudnorm_lufs(&track) - target_lufs).abs() < 0.3, "pyloudnorm hears another loudness");
        assert!(peak_dbtp < 0.0, "{peak_dbtp} dBTP");
    }
}

/// Six channels are measured as they are heard: mixed down to two.
#[test]
fn what_is_mixed_down_is_measured_after_it() {
    // Tones, each in a channel of its own: a coder at a low rate leaves something out of noise.
    let tones = "-f lavfi -i aevalsrc=0.1*sin(2*PI*440*t)|0.1*sin(2*PI*550*t)|0.1*sin(2*PI*660*t)|0|0.05*sin(2*PI*770*t)|\
                 0.05*sin(2*PI*880*t):s=48000:d=16:c=5.1";
    let clip = judge::clip("six.mkv", &format!("{PICTURE} {tones} -c:v libx264 -pix_fmt yuv420p -c:a flac"));
    let (lufs, _) = ffmpeg_lufs_dbtp(&encoded(&clip, -23.0, -1.0).join("sound.mp4"));
    assert!((lufs + 23.0).abs() < 0.3, "{lufs}");
}

#[test]
fn peaks_end_the_gain_and_silence_stays_silent() {
    // Soft, but for a click in each second that is near full scale.
    let clicks = "-f lavfi -i aevalsrc=0.005*sin(2*PI*440*t)+0.7*lt(mod(t\\,1)\\,0.002)*sin(2*PI*2000*t):s=48000:d=16";
    let clip = judge::clip("clicks.mkv", &format!("{PICTURE} {clicks} -c:v libx264 -pix_fmt yuv420p -c:a flac"));
    let (lufs, peak_dbtp) = ffmpeg_lufs_dbtp(&encoded(&clip, -16.0, -2.0).join("sound.mp4"));
    assert!(lufs < -20.0, "{lufs} LUFS would need a limiter");
    assert!((-3.5..-1.0).contains(&peak_dbtp), "{peak_dbtp} dBTP");
    let clip = judge::clip(
        "silent.mkv",
        &format!("{PICTURE} -f lavfi -i anullsrc=r=48000:d=16 -c:v libx264 -pix_fmt yuv420p -c:a flac"),
    );
    let (lufs, _) = ffmpeg_lufs_dbtp(&encoded(&clip, -23.0, -2.0).join("sound.mp4"));
    assert!(lufs <= -70.0, "{lufs}");
}

//! The judge: what `ffprobe` and `ffmpeg` say about a source and about the tracks made of it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use flame_api::media::{Probe, TrackKind};
use flame_media::{ladder, ladder::Ladder, probe};
use flame_media_child::protocol::LadderPlan;
use flame_test_kit::Scratch;

use crate::plan;

/// Samples of an AAC access unit: sound may be this much longer or shorter.
const UNIT_SAMPLES: u64 = 1024;

/// A file made of lavfi sources, in a folder of its own.
pub struct Clip {
    pub folder: Scratch,
    pub path: PathBuf,
}

/// What came out, for further checks.
pub struct Verdict {
    pub probe: Probe,
    pub plan: LadderPlan,
    pub ladder: Ladder,
    pub tracks: PathBuf,
}

/// One frame as ffprobe sees it.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    pub time_s: f64,
    pub is_key: bool,
}

/// Runs `ffmpeg` with `arguments`, which are split at spaces, and `output` in a new folder.
pub fn clip(output: &str, arguments: &str) -> Clip {
    let folder = Scratch::new("clip");
    let path = folder.join(output);
    ffmpeg(&folder, &format!("{arguments} {output}"));
    Clip { folder, path }
}

/// Runs `ffmpeg` in `folder`; it must not complain.
pub fn ffmpeg(folder: &Path, arguments: &str) {
    let arguments = arguments.split_whitespace();
    run(Command::new("ffmpeg").args(["-v", "error", "-y", "-nostdin"]).args(arguments).current_dir(folder));
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("ffmpeg and ffprobe are installed");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {words}");
    output.stdout
}

/// Makes a ladder of `clip` and compares every track with the source.
pub fn judge(clip: &Clip) -> Verdict {
    judge_with(clip, |_| {})
}

/// [`judge`], with a plan that was changed.
pub fn judge_with(clip: &Clip, change: impl FnOnce(&mut LadderPlan)) -> Verdict {
    let input = clip.path.to_str().unwrap();
    let probe = probe::probe(input).unwrap_or_else(|error| panic!("probe of {input}: {error}"));
    let mut plan = plan::of(&probe);
    change(&mut plan);
    let tracks = clip.folder.join("tracks");
    std::fs::create_dir(&tracks).unwrap();
    let mut said = 0.0;
    let tracks_planned = plan.video.len() + plan.audio.len();
    let mut on_progress = |fraction: f64, parts: Vec<f64>| {
        assert_eq!(parts.len(), tracks_planned);
        assert!(parts.iter().all(|part| (0.0..=1.0).contains(part)), "{parts:?}");
        assert!(fraction > said && fraction < 1.0, "progress goes from {said} to {fraction}");
        said = fraction;
    };
    let ladder = ladder::encode(&clip.path, &tracks, &plan, &mut on_progress)
        .unwrap_or_else(|error| panic!("ladder of {input}: {error}"));
    assert_eq!(ladder.tracks.len(), plan.video.len() + plan.audio.len());
    let verdict = Verdict { probe, plan, ladder, tracks };
    verdict.video_is_faithful(&clip.path);
    verdict.audio_is_faithful(&clip.path);
    verdict
}

impl Verdict {
    pub fn track(&self, name: &str) -> PathBuf {
        self.tracks.join(format!("{name}.mp4"))
    }

    fn video_is_faithful(&self, source: &Path) {
        let Some(first_rung) = self.plan.video.first() else { return };
        let tick_s = 1.0 / f64::from(self.plan.video_timescale);
        let wanted = frames(source);
        assert_eq!(self.ladder.source_frames, wanted.len() as u64, "frames that the decoder gave");
        let keys = keys_of(&frames(&self.track(&first_rung.name)));
        for rung in &self.plan.video {
            let path = self.track(&rung.name);
            decodes(&path);
            let given = frames(&path);
            assert_eq!(given.len(), wanted.len(), "frames of {}", rung.name);
            for (n, (given_frame, wanted_frame)) in given.iter().zip(&wanted).enumerate() {
                let moved_s = (given_frame.time_s - given[0].time_s) - (wanted_frame.time_s - wanted[0].time_s);
                assert!(moved_s.abs() <= tick_s + 2e-6, "frame {n} of {} moved by {moved_s} s", rung.name);
            }
            assert_eq!(keys_of(&given), keys, "keyframes of {}", rung.name);
            assert_eq!(size(&path), (rung.width, rung.height));
        }
        // A keyframe at or after each second of the grid, and nowhere else.
        let gop_s = f64::from(self.plan.gop_ms) / 1000.0;
        let cell = |frame: &Frame| ((frame.time_s - wanted[0].time_s + 0.0005) / gop_s).floor() as i64;
        let wanted_keys: Vec<usize> =
            (0..wanted.len()).filter(|&n| n == 0 || cell(&wanted[n]) > cell(&wanted[n - 1])).collect();
        assert_eq!(keys, wanted_keys, "keyframes lie on the grid");
    }

    fn audio_is_faithful(&self, source: &Path) {
        for (rung, counted) in self.plan.audio.iter().zip(&self.ladder.source_audio_samples) {
            let (name, rate_hz) = (&rung.name, rung.sample_rate_hz);
            let path = self.track(name);
            decodes(&path);
            let wanted = span_samples(source, &format!("a:{}", rung.sound), rate_hz);
            let given = samples(&path, rate_hz);
            let near = |samples: u64| samples.abs_diff(wanted) <= UNIT_SAMPLES;
            assert!(near(*counted), "{name}: {counted} for {wanted}");
            assert!(near(given) || near(given.saturating_sub(UNIT_SAMPLES)), "{name}: {given} samples for {wanted}");
            let track = self.ladder.tracks.iter().find(|track| track.name == *name).unwrap();
            assert_eq!((track.kind, &track.language), (TrackKind::Audio, &rung.language), "{name}");
            assert_eq!((track.role, &track.title), (rung.role, &rung.title), "{name}");
            assert_eq!(track.source_sound, Some(rung.sound), "{name}");
            let said = track.duration_ms * u64::from(rate_hz) / 1000;
            assert!(said.abs_diff(wanted) <= UNIT_SAMPLES + u64::from(rate_hz) / 1000, "{name}: {said} for {wanted}");
        }
    }

    /// Difference in time between the first frame and the first sound, seconds; in the tracks and in the source.
    pub fn audio_offsets_s(&self, source: &Path) -> (f64, f64) {
        self.offsets_of("sound", "a:0", source)
    }

    /// The same of the track `name`, made of the source's `stream`.
    pub fn offsets_of(&self, name: &str, stream: &str, source: &Path) -> (f64, f64) {
        let given = start_s(&self.track(name), "a:0") - start_s(&self.track("top"), "v:0");
        let wanted = start_s(source, stream) - start_s(source, "v:0");
        (given, wanted)
    }

    /// PSNR in dB of the first rung against the source as FFmpeg shows it, frame by frame.
    pub fn psnr_db(&self, source: &Path) -> f64 {
        let rung = &self.plan.video[0];
        let graph = format!(
            "[0:v]scale={}:{},setsar=1,format=yuv420p,settb=1/90000,setpts=N[a];\
             [1:v]setsar=1,format=yuv420p,settb=1/90000,setpts=N[b];[a][b]psnr",
            rung.width, rung.height
        );
        let output = Command::new("ffmpeg")
            .args(["-nostdin", "-i"])
            .arg(source)
            .arg("-i")
            .arg(self.track(&rung.name))
            .args(["-lavfi", &graph, "-f", "null", "-"])
            .output()
            .expect("ffmpeg is installed");
        let words = String::from_utf8_lossy(&output.stderr);
        let average = words.split("average:").nth(1).and_then(|rest| rest.split_whitespace().next());
        let average = average.unwrap_or_else(|| panic!("no PSNR in {words}"));
        if average == "inf" { 100.0 } else { average.parse().unwrap() }
    }
}

fn keys_of(frames: &[Frame]) -> Vec<usize> {
    (0..frames.len()).filter(|&n| frames[n].is_key).collect()
}

/// The frames of the first video stream that is no cover, in order of presentation.
pub fn frames(path: &Path) -> Vec<Frame> {
    let entries = "frame=best_effort_timestamp_time,key_frame";
    let text = probe_entries(path, &["-select_streams", "V:0", "-show_frames", "-show_entries", entries]);
    let mut frames: Vec<Frame> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(',').filter(|field| !field.is_empty());
            let is_key = fields.next()? == "1";
            Some(Frame { time_s: fields.next()?.parse().ok()?, is_key })
        })
        .collect();
    frames.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
    frames
}

fn size(path: &Path) -> (u32, u32) {
    let text = probe_entries(path, &["-select_streams", "v:0", "-show_entries", "stream=width,height"]);
    let (width, height) = text.trim().split_once(',').unwrap();
    (width.parse().unwrap(), height.trim_end_matches(',').parse().unwrap())
}

fn start_s(path: &Path, stream: &str) -> f64 {
    // The decoder's first frame, not the container's word for it.
    let entries = "frame=best_effort_timestamp_time";
    let text = probe_entries(path, &["-select_streams", stream, "-show_frames", "-show_entries", entries]);
    let first = text.lines().next().unwrap().trim_start_matches(',').split(',').next().unwrap();
    first.parse().unwrap_or_else(|_| panic!("{first:?} is no time"))
}

/// What `ffprobe` says, as lines of CSV.
pub fn probe_entries(path: &Path, arguments: &[&str]) -> String {
    let output = run(Command::new("ffprobe").args(["-v", "quiet", "-of", "csv=p=0"]).args(arguments).arg(path));
    String::from_utf8(output).unwrap()
}

/// Samples at `rate_hz` from the beginning of the first decoded sound to the end of the last: holes count, as a
/// player is silent in them.
fn span_samples(path: &Path, stream: &str, rate_hz: u32) -> u64 {
    let entries = "stream=sample_rate:frame=best_effort_timestamp_time,nb_samples";
    let text = probe_entries(path, &["-select_streams", stream, "-show_frames", "-show_entries", entries]);
    let mut source_rate_hz = 0.0;
    let mut frames: Vec<(f64, f64)> = Vec::new();
    for line in text.lines() {
        let fields: Vec<f64> = line.split(',').filter_map(|field| field.parse().ok()).collect();
        match fields[..] {
            [rate] => source_rate_hz = rate,
            [time_s, samples, ..] => frames.push((time_s, samples)),
            [] => {}
        }
    }
    let (first, last) = (frames.first().unwrap(), frames.last().unwrap());
    ((last.0 - first.0 + last.1 / source_rate_hz) * f64::from(rate_hz)).round() as u64
}

/// Samples per channel that `ffmpeg` decodes, at `rate_hz`.
pub fn samples(path: &Path, rate_hz: u32) -> u64 {
    let rate = rate_hz.to_string();
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "quiet", "-nostdin", "-i"]).arg(path);
    command.args(["-map", "0:a:0", "-ac", "1", "-ar", &rate, "-f", "s16le", "-"]);
    run(&mut command).len() as u64 / 2
}

/// `ffmpeg` decodes every frame and has nothing to say about it.
pub fn decodes(path: &Path) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-xerror", "-i"]).arg(path);
    // Frames keep their times; otherwise those of a variable rate are moved to a grid, which is complained about.
    command.args(["-vsync", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"]);
    let output = command.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && words.is_empty(), "{}: {words}", path.display());
}

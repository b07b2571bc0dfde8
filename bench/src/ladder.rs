//! The ladder, beside one `ffmpeg` command that makes the same tracks.
//!
//! "The same" is not claimed but checked: x264 writes its settings into every stream, and if those of a rung differ
//! between the two sides, there is no result.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use flame_api::ingest::Upload;
use flame_api::media::Probe;
use flame_media_child::protocol::{LadderPlan, Outcome, Request, VideoRung};
use flame_media_child::{Call, Pool, PoolConfig};
use flame_transcode::plan;
use tokio::process::Command;

use crate::flame::Flame;
use crate::report::{Figure, Row, Section};
use crate::samples::{Bound, Samples};
use crate::{Options, machine, process};

/// Promised speed against ffmpeg.
const RATIO_MIN: f64 = 1.0;
/// The clip that is looped where none is given, and how often it plays: about a minute.
const CLIP: &str = "bigbuckbunny";
const LOOPS: u32 = 12;
/// x264's preset, as transcode has it by default.
const PRESET: &str = "veryfast";
/// Most time for one ladder.
const DEADLINE: Duration = Duration::from_secs(900);

/// What one way took.
#[derive(Debug, Default)]
struct Side {
    took_s: Samples,
    processor_s: Samples,
}

impl Side {
    fn add(&mut self, (processor_s, took): (f64, Duration)) {
        self.took_s.add(took.as_secs_f64());
        self.processor_s.add(processor_s);
    }
}

/// Measures it.
pub async fn measure(options: &Options) -> Result<Section> {
    let ffmpeg_version = machine::version("ffmpeg", "-version", "ffmpeg").await?;
    let workshop = options.workshop()?;
    let clip = match &options.clip {
        Some(clip) => std::path::absolute(clip)?,
        None => looped_clip(&workshop.path().join("clip.mp4")).await?,
    };
    let probe = probe(&clip).await?;
    let plan = plan::ladder(&probe, PRESET)?;
    let (ours, theirs) = (workshop.path().join("ours"), workshop.path().join("theirs"));
    let mut command = ffmpeg_command(&clip, &theirs, &plan);
    let commands = vec![process::shown(&command)];

    let flame = Flame::up(&workshop.path().join("flame")).await?;
    let (mut child, mut job, mut ffmpeg) = (Side::default(), Side::default(), Side::default());
    for round in 0..=options.rounds {
        let by_child = process::processor_while(run_child(&clip, &ours, &plan)).await?;
        let by_ffmpeg = process::processor_while(run_ffmpeg(&mut command, &theirs)).await?;
        let asset = upload(&flame, &another(&clip, &workshop.path().join("another.mp4"), round).await?).await?;
        // What the others wrote is on its way to the disk, and the job's syncs would wait for it.
        process::settle_disk().await?;
        let by_job = process::processor_while(flame.run_ladder(asset)).await?;
        // The first round warms up, and shows that both make the same.
        if round == 0 {
            plan.video.iter().try_for_each(|rung| compare(rung, &ours, &theirs))?;
        } else {
            child.add(by_child);
            ffmpeg.add(by_ffmpeg);
            job.add(by_job);
        }
    }
    flame.server.stop().await?;

    let ratio = |what: &str, ours: &Samples, theirs: &Samples, bound| Figure {
        what: what.to_owned(),
        value: theirs.median() / ours.median(),
        unit: "×",
        bound,
    };
    let bound = Some(Bound::AtLeast(RATIO_MIN));
    let figures = vec![
        ratio("speed of flame-media / ffmpeg (medians)", &child.took_s, &ffmpeg.took_s, bound),
        ratio("speed of the whole job / ffmpeg (medians)", &job.took_s, &ffmpeg.took_s, bound),
        ratio("processor time of ffmpeg / flame-media (medians)", &child.processor_s, &ffmpeg.processor_s, None),
        ratio("processor time of ffmpeg / the whole job (medians)", &job.processor_s, &ffmpeg.processor_s, None),
    ];
    let row = |what: &str, samples| Row { what: what.to_owned(), unit: "s", samples };
    Ok(Section {
        name: "ladder",
        title: format!("The ladder of {}", described(&probe, &plan)),
        rows: vec![
            row("flame-media: start, encode, package, index", child.took_s),
            row("flame-media, processor time", child.processor_s),
            row("job: fetch from S3, the same, store, publish", job.took_s),
            row("job, processor time", job.processor_s),
            row("one ffmpeg command", ffmpeg.took_s),
            row("one ffmpeg command, processor time", ffmpeg.processor_s),
        ],
        figures,
        notes: vec![
            "Order of a round: flame-media, ffmpeg, job.".to_owned(),
            "x264's settings, as each stream states them, are the same for every rung (checked).".to_owned(),
            "ffmpeg writes fragmented MP4 without an index; flame also writes one, with digests.".to_owned(),
            format!("Peer: {ffmpeg_version}."),
        ],
        commands,
    })
}

fn described(probe: &Probe, plan: &LadderPlan) -> String {
    let size = probe.video.as_ref().map(|video| format!("{}x{} ", video.width, video.height)).unwrap_or_default();
    let rungs: Vec<&str> = plan.video.iter().map(|rung| rung.name.as_str()).collect();
    let seconds = probe.duration_ms / 1000;
    format!("{seconds} s of {size}{}: {}, preset {PRESET}", probe.container, rungs.join(" "))
}

// --- the source ---

/// A minute of real footage, made by looping a clip.
pub(crate) async fn looped_clip(path: &Path) -> Result<PathBuf> {
    let (_, clip) = process::time(Command::new("media-tests/clips/fetch").arg(CLIP)).await.context("fetch a clip")?;
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y", "-stream_loop", &(LOOPS - 1).to_string(), "-i", clip.trim()]);
    command.args(["-map", "0:v:0", "-map", "0:a:0", "-c", "copy", "-movflags", "+faststart"]).arg(path);
    process::time(&mut command).await.context("loop the clip")?;
    Ok(path.to_owned())
}

async fn probe(clip: &Path) -> Result<Probe> {
    let (_, text) = process::time(Command::new(machine::ours("flame-media")?).arg("probe").arg(clip)).await?;
    serde_json::from_str(&text).context("understand what flame-media says of the clip")
}

/// A copy that plays the same and has other bytes: what was encoded once is not encoded again.
async fn another(clip: &Path, copy: &Path, round: u32) -> Result<PathBuf> {
    let mut bytes = tokio::fs::read(clip).await.with_context(|| format!("read {}", clip.display()))?;
    // A box of 16 bytes that means nothing (ISO/IEC 14496-12 section 8.1.2).
    bytes.extend_from_slice(b"\0\0\0\x10free");
    bytes.extend_from_slice(format!("{round:08}").as_bytes());
    tokio::fs::write(copy, bytes).await.with_context(|| format!("write {}", copy.display()))?;
    Ok(copy.to_owned())
}

async fn upload(flame: &Flame, clip: &Path) -> Result<uuid::Uuid> {
    let mut url = flame.client.url("ingest", "files/bench.mp4");
    url.set_query(Some("chain=none"));
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail-with-body", "--noproxy", "*", "-T"]).arg(clip).arg(url.as_str());
    let (_, answer) = process::time(&mut curl).await?;
    let upload: Upload =
        serde_json::from_str(&answer).with_context(|| format!("the upload was not taken: {answer}"))?;
    flame.registered(upload.id).await
}

// --- ours ---

/// Has a fresh child make the ladder, as transcode would; its start counts.
async fn run_child(clip: &Path, folder: &Path, plan: &LadderPlan) -> Result<Duration> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder)?;
    process::settle_disk().await?;
    let request = Request::Ladder { input: clip.to_owned(), output_dir: folder.to_owned(), plan: plan.clone() };
    let began = Instant::now();
    let pool = Pool::new(PoolConfig::new(machine::ours("flame-media")?, 1));
    let outcome = pool.run(&request, Call { deadline: Some(DEADLINE), ..Call::default() }).await?;
    let took = began.elapsed();
    match outcome {
        Outcome::Ladder { tracks, .. } => {
            ensure!(tracks.len() == plan.video.len() + plan.audio.len(), "tracks are missing");
            Ok(took)
        }
        Outcome::Probe { .. }
        | Outcome::Poster { .. }
        | Outcome::Agreed { .. }
        | Outcome::Chunk { .. }
        | Outcome::Joined { .. }
        | Outcome::Elements { .. }
        | Outcome::Compare { .. }
        | Outcome::Inspect { .. }
        | Outcome::Sheets
        | Outcome::Transrate { .. } => {
            bail!("flame-media has done something else")
        }
    }
}

// --- ffmpeg ---

async fn run_ffmpeg(command: &mut Command, folder: &Path) -> Result<Duration> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder)?;
    process::settle_disk().await?;
    Ok(process::time(command).await?.0)
}

/// One command: decode once, scale and encode each rung, one fragmented MP4 a track.
fn ffmpeg_command(clip: &Path, folder: &Path, plan: &LadderPlan) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y", "-i"]).arg(clip);
    if !plan.video.is_empty() {
        command.arg("-filter_complex").arg(filter(plan));
    }
    let output = |command: &mut Command, name: &str| {
        command.args(["-f", "mp4", "-movflags", "+cmaf+frag_keyframe"]).arg(folder.join(format!("{name}.mp4")));
    };
    for rung in &plan.video {
        command.args(["-map", &format!("[{}]", rung.name)]);
        command.args(["-c:v", "libx264", "-profile:v", "high", "-preset", &rung.preset, "-crf", &rung.crf.to_string()]);
        let cap_kbps = rung.max_bitrate_bps.div_ceil(1000);
        command.args(["-maxrate", &format!("{cap_kbps}k"), "-bufsize", &format!("{}k", 2 * cap_kbps)]);
        command.args(["-x264-params", "keyint=infinite:scenecut=0:open-gop=0:force-cfr=0"]);
        let gop_s = f64::from(plan.gop_ms) / 1000.0;
        command.args(["-force_key_frames", &format!("expr:gte(t,n_forced*{gop_s})")]);
        output(&mut command, &rung.name);
    }
    for audio in &plan.audio {
        command.args(["-map", &format!("0:a:{}", audio.sound), "-c:a", "aac", "-b:a", &audio.bitrate_bps.to_string()]);
        command.args(["-ac", &audio.channels.to_string(), "-ar", &audio.sample_rate_hz.to_string()]);
        output(&mut command, &audio.name);
    }
    command
}

fn filter(plan: &LadderPlan) -> String {
    let front = if plan.deinterlace { "yadif=deint=interlaced," } else { "" };
    let copies: String = (0..plan.video.len()).map(|at| format!("[s{at}]")).collect();
    let split = format!("[0:v:0]{front}split={}{copies}", plan.video.len());
    let scale = |(at, rung): (usize, &VideoRung)| {
        let VideoRung { name, width, height, .. } = rung;
        format!("[s{at}]scale={width}:{height}:flags=bicubic,setsar=1,format=yuv420p[{name}]")
    };
    std::iter::once(split).chain(plan.video.iter().enumerate().map(scale)).collect::<Vec<_>>().join(";")
}

// --- the comparison ---

/// Fails unless both sides encoded `rung` with the same settings.
fn compare(rung: &VideoRung, ours: &Path, theirs: &Path) -> Result<()> {
    let file = format!("{}.mp4", rung.name);
    let (ours, theirs) = (settings(&ours.join(&file))?, settings(&theirs.join(&file))?);
    ensure!(ours == theirs, "x264 was told different things for {}:\n  {ours}\n  {theirs}", rung.name);
    Ok(())
}

/// What x264 says of its settings in the first bytes of a stream (an SEI message of user data), but for `keyint_min`: x264
/// derives it from the nominal frame rate, of which the two read different ones from a looped file, and where the caller
/// places every IDR frame nothing looks at it.
fn settings(file: &Path) -> Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    settings_in(&bytes).with_context(|| format!("{} does not state x264's settings", file.display()))
}

fn settings_in(bytes: &[u8]) -> Option<String> {
    let mark = b" - options: ";
    let start = bytes.windows(mark.len()).position(|window| window == mark)? + mark.len();
    let rest = &bytes[start..];
    let end = rest.iter().position(|byte| *byte == 0)?;
    let told = String::from_utf8_lossy(&rest[..end]);
    Some(told.split(' ').filter(|setting| !setting.starts_with("keyint_min=")).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_from_a_stream() {
        assert_eq!(
            settings_in(b"..x264 - core 164 - options: a=1 keyint_min=24 b=2\0\x80").as_deref(),
            Some("a=1 b=2")
        );
        assert_eq!(settings_in(b"nothing"), None);
    }
}

//! Scores of a film, beside one FFmpeg that computes the same; how much memory that takes whatever the length; and what 200 viewers who
//! watch cost who watches.
//!
//! "The same" is checked: the means of VMAF, PSNR's own and SSIM's are told by both, and VMAF's are held against each other here; frame by
//! frame all of them are, in the tests of crates/media.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::flame::{self, Flame};
use crate::ladder::looped_clip;
use crate::process::{self, Took};
use crate::report::{Figure, Row, Section};
use crate::samples::{Bound, Samples};
use crate::{Options, machine};

/// Promised speed against FFmpeg.
const RATIO_MIN: f64 = 1.0;
/// Promised memory, MiB.
const PEAK_MAX_MIB: f64 = 512.0;
/// How far the means of VMAF may be apart.
const TOLERANCE: f64 = 1e-3;
/// Length of the film that is scored in every round, seconds.
const SHORT_S: &str = "10";
/// Threads of both.
const THREADS: &str = "2";
/// Viewers, and how long they watch.
const VIEWERS: &str = "200";
const WATCHED: &str = "30s";
/// The one core that they have.
const CORE: &str = "0";
/// What is scored: an encode that is far from its original.
const ENCODER: [&str; 8] = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "30", "-pix_fmt", "yuv420p"];

/// What one side took.
#[derive(Debug, Default)]
struct Side {
    took_s: Samples,
    processor_s: Samples,
    peak_mib: Samples,
}

/// A film and an encode of it.
struct Pair {
    reference: PathBuf,
    distorted: PathBuf,
}

/// What viewers met with.
struct Watched {
    took: Took,
    stalls: f64,
    failed: f64,
    bottleneck: String,
}

// === impl Side ===

impl Side {
    fn add(&mut self, took: &Took) {
        self.took_s.add(took.took.as_secs_f64());
        self.processor_s.add(took.processor_s);
        self.peak_mib.add(took.peak_mib);
    }

    fn rows(self, who: &str) -> [Row; 3] {
        let row = |what: String, unit, samples| Row { what, unit, samples };
        [
            row(who.to_owned(), "s", self.took_s),
            row(format!("{who}, processor time"), "s", self.processor_s),
            row(format!("{who}, most memory"), "MiB", self.peak_mib),
        ]
    }
}

/// Measures it.
pub async fn measure(options: &Options) -> Result<Section> {
    let judge = std::path::absolute("media-tests/judges/ffmpeg")?;
    let peer = machine::version(&judge.to_string_lossy(), "-version", "python3-pip").await?;
    let workshop = options.workshop()?;
    let clip = looped_clip(&workshop.path().join("clip.mp4")).await?;
    let long = encoded(&clip, workshop.path(), "long", None).await?;
    let short = encoded(&clip, workshop.path(), "short", Some(SHORT_S)).await?;
    let (mut ours, mut theirs) = (ours(&short)?, theirs(&judge, &short, workshop.path()));
    let mut commands = vec![process::shown(&ours), process::shown(&theirs)];

    let (mut flame, mut ffmpeg) = (Side::default(), Side::default());
    let scores = workshop.path().join("flame.json");
    for round in 0..=options.rounds {
        let by_flame = process::watched(&mut ours, into(&scores)?).await?;
        let by_ffmpeg = process::watched(&mut theirs, Stdio::null()).await?;
        // The first round warms up, and shows that both say the same.
        if round == 0 {
            same(&scores, &workshop.path().join("ffmpeg.json"))?;
        } else {
            flame.add(&by_flame);
            ffmpeg.add(&by_ffmpeg);
        }
    }
    let of_long = process::watched(&mut self::ours(&long)?, Stdio::null()).await?;
    let (watched, command) = watch(&clip, workshop.path()).await?;
    commands.push(command);

    let figures = figures(&flame, &ffmpeg, &of_long, &watched);
    let mut rows: Vec<_> = flame.rows("flame quality compare").into_iter().collect();
    rows.extend(ffmpeg.rows("one ffmpeg command"));
    let mut notes = vec![
        "Order of a round: flame, ffmpeg. Both have two threads for VMAF; decoders have more.".to_owned(),
        format!(
            "The means of VMAF differ by less than {TOLERANCE} (checked). flame also says which frames belong together."
        ),
        format!("Peer: {peer}."),
        format!("The {VIEWERS} viewers are one process on one core; what they watch is served by the others."),
    ];
    notes.extend(Some(watched.bottleneck).filter(|why| !why.is_empty()));
    Ok(Section {
        name: "quality",
        title: format!("PSNR, SSIM and VMAF of {SHORT_S} s of 1280x720; {VIEWERS} viewers who watch for {WATCHED}"),
        rows,
        figures,
        notes,
        commands,
    })
}

fn figures(flame: &Side, ffmpeg: &Side, of_long: &Took, watched: &Watched) -> Vec<Figure> {
    let figure = |what: &str, value, unit, bound| Figure { what: what.to_owned(), value, unit, bound };
    let memory = Some(Bound::AtMost(PEAK_MAX_MIB));
    let cores = watched.took.processor_s / watched.took.took.as_secs_f64();
    vec![
        figure(
            "speed of flame / ffmpeg (medians)",
            ffmpeg.took_s.median() / flame.took_s.median(),
            "×",
            Some(Bound::AtLeast(RATIO_MIN)),
        ),
        figure(
            "processor time of ffmpeg / flame (medians)",
            ffmpeg.processor_s.median() / flame.processor_s.median(),
            "×",
            None,
        ),
        figure("most memory of flame", flame.peak_mib.max(), "MiB", memory),
        figure("most memory of flame, a minute instead of ten seconds", of_long.peak_mib, "MiB", memory),
        figure("viewers: stalls", watched.stalls, "", Some(Bound::AtMost(0.0))),
        figure("viewers: requests that failed", watched.failed, "", Some(Bound::AtMost(0.0))),
        figure("viewers: processor time of who watches", cores, "cores", Some(Bound::AtMost(1.0))),
    ]
}

/// A part of the clip without its sound, and an encode of that.
async fn encoded(clip: &Path, folder: &Path, name: &str, seconds: Option<&str>) -> Result<Pair> {
    let pair =
        Pair { reference: folder.join(format!("{name}.mp4")), distorted: folder.join(format!("{name}-encoded.mp4")) };
    let mut cut = Command::new("ffmpeg");
    cut.args(["-nostdin", "-v", "error", "-y", "-i"]).arg(clip);
    cut.args(seconds.into_iter().flat_map(|seconds| ["-t", seconds]));
    process::time(cut.args(["-map", "0:v:0", "-c", "copy"]).arg(&pair.reference)).await.context("cut the clip")?;
    let mut encode = Command::new("ffmpeg");
    encode.args(["-nostdin", "-v", "error", "-y", "-i"]).arg(&pair.reference);
    process::time(encode.args(["-fps_mode", "passthrough"]).args(ENCODER).arg(&pair.distorted))
        .await
        .context("encode the clip")?;
    Ok(pair)
}

fn ours(pair: &Pair) -> Result<Command> {
    let mut command = Command::new(machine::ours("flame")?);
    command.args(["quality", "compare"]).arg(&pair.reference).arg(&pair.distorted);
    command.args(["--metrics", "psnr,ssim,vmaf", "--threads", THREADS, "--json"]);
    Ok(command)
}

/// Each film is decoded once, and all three filters look at the frames in their order.
fn theirs(judge: &Path, pair: &Pair, folder: &Path) -> Command {
    let graph = format!(
        "[0:v]settb=1/25,setpts=N,split=3[d1][d2][d3];[1:v]settb=1/25,setpts=N,split=3[r1][r2][r3];\
         [d1][r1]libvmaf=log_fmt=json:log_path=ffmpeg.json:n_threads={THREADS}[o1];[d2][r2]psnr[o2];[d3][r3]ssim[o3]"
    );
    let mut command = Command::new(judge);
    command.args(["-nostdin", "-v", "error", "-i"]).arg(&pair.distorted).arg("-i").arg(&pair.reference);
    command.args(["-lavfi", &graph, "-map", "[o1]", "-map", "[o2]", "-map", "[o3]", "-f", "null", "-"]);
    command.current_dir(folder);
    command
}

fn into(path: &Path) -> Result<Stdio> {
    Ok(std::fs::File::create(path).with_context(|| format!("write {}", path.display()))?.into())
}

/// Fails unless both sides say the same of the film.
fn same(ours: &Path, theirs: &Path) -> Result<()> {
    let means = [ours, theirs].map(|path| {
        let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        mean_vmaf(&text).with_context(|| format!("{} has no VMAF", path.display()))
    });
    let [ours, theirs] = means;
    let (ours, theirs) = (ours?, theirs?);
    ensure!((ours - theirs).abs() <= TOLERANCE, "flame says VMAF {ours} and ffmpeg {theirs}: these are not the same");
    Ok(())
}

/// The mean of VMAF in a log as libvmaf writes it.
fn mean_vmaf(log: &[u8]) -> Option<f64> {
    let log: Value = serde_json::from_slice(log).ok()?;
    log["pooled_metrics"]["vmaf"]["mean"].as_f64()
}

/// Has viewers watch an upload, all of them on one core; also gives the command.
async fn watch(clip: &Path, folder: &Path) -> Result<(Watched, String)> {
    let flame = Flame::up(&folder.join("flame")).await?;
    let (upload, _) = flame.put(clip).await?;
    let asset = flame.registered(upload).await?;
    let url = format!("{}~streaming/{asset}/index.m3u8", flame.router);
    flame::begun(&url).await?;
    let mut command = Command::new("taskset");
    command.args(["-c", CORE]).arg(machine::ours("flame")?).args(["quality", "watch", &url]);
    command.args(["--viewers", VIEWERS, "--for", WATCHED, "--json"]);
    let said = folder.join("watched.json");
    let took = process::watched(&mut command, into(&said)?).await?;
    flame.server.stop().await?;
    let said: Value = serde_json::from_slice(&std::fs::read(&said)?).context("understand what viewers met with")?;
    let count = |name: &str| said[name].as_f64().with_context(|| format!("nobody says how many {name} there were"));
    let bottleneck = said["bottleneck"].as_str().map(|why| format!("Viewers: {why}.")).unwrap_or_default();
    Ok((Watched { took, stalls: count("stalls")?, failed: count("failed")?, bottleneck }, process::shown(&command)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_read_from_both_logs() {
        let log = br#"{"frames":[],"pooled_metrics":{"psnr":{"mean":1.0},"vmaf":{"min":1,"mean":81.5}}}"#;
        assert_eq!(mean_vmaf(log), Some(81.5));
        assert_eq!((mean_vmaf(b"{}"), mean_vmaf(b"no log")), (None, None));
    }

    #[test]
    fn what_is_too_slow_or_stalls_does_not_hold() {
        let took = |seconds: u64, peak_mib| Took {
            took: std::time::Duration::from_secs(seconds),
            processor_s: 10.0,
            peak_mib,
        };
        let side = |seconds, peak_mib| {
            let mut side = Side::default();
            side.add(&took(seconds, peak_mib));
            side
        };
        let judged = |seconds, peak_mib, stalls| {
            let watched = Watched { took: took(30, 20.0), stalls, failed: 0.0, bottleneck: String::new() };
            let figures = figures(&side(seconds, peak_mib), &side(20, 900.0), &took(60, 100.0), &watched);
            figures.iter().all(|figure| figure.bound.is_none_or(|bound| bound.holds(figure.value)))
        };
        assert!(judged(19, 300.0, 0.0));
        assert!(!judged(21, 300.0, 0.0) && !judged(19, 513.0, 0.0) && !judged(19, 300.0, 1.0));
    }
}

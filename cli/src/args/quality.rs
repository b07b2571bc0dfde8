//! What `flame quality` is told.

use std::path::PathBuf;

use clap::Subcommand;
use flame_api::media::Rational;
use flame_api::quality::{Metric, Raw, form};
use flame_quality::gate::Gate;
use flame_quality::shard::Shard;
use flame_service_host::config::Span;
use uuid::Uuid;

#[derive(Debug, clap::Args)]
pub struct Quality {
    #[command(subcommand)]
    pub command: QualityCommand,
}

#[derive(Debug, Subcommand)]
pub enum QualityCommand {
    /// Score a film against its reference; status 1 if a gate fails, 3 if it cannot be measured
    Compare(Compare),
    /// Look for what is wrong with media, without a reference: black, freeze, silence, clipping, loudness, detail and motion, key
    /// frames, times; status 1 if a gate fails, 3 if something that a gate asks for cannot be measured
    Inspect(Inspect),
    /// Whether playlists and segments of HLS keep the rules of RFC 8216bis and CMAF, each finding with its clause; status 1 if one that says
    /// must is not kept
    Conform(Conform),
    /// What encoders need for the same quality: the points of a suite's curves, and the rate that each needs more than the first (BD-rate);
    /// status 3 if the curves do not share enough to say
    Curve(Curve),
    /// List what the quality service was asked to measure (`--remote`), newest first
    Jobs(Jobs),
    /// Cancel what the quality service was asked to measure; what has ended stays as it is
    Cancel {
        /// The job (`flame quality jobs`)
        id: Uuid,
    },
    /// Watch something as a viewer does, on request or live, and measure what that is like: start, stalls, changes of rendition, requests, and how
    /// far behind what is live; status 1 if a gate fails, or if nothing was seen
    Watch(Watch),
    /// Run suites; status 0 if all gates hold, 1 if one fails, 2 if a suite is wrong, 3 if something cannot be measured
    Test(Test),
}

#[derive(Debug, clap::Args)]
pub struct Test {
    /// Suites, YAML
    #[arg(required = true, value_name = "SUITE")]
    pub suites: Vec<PathBuf>,
    /// Write a test report for continuous integration: a case for each one of the suites
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Have the quality service keep what the suites found, so that the portal shows each gate over time
    #[arg(long, conflicts_with = "update_baseline")]
    pub record: bool,
    /// Run a part of the cases only, such as 2/5, so that several machines share them; what must fail is in every part
    #[arg(long, value_name = "PART/PARTS", conflicts_with_all = ["record", "update_baseline"])]
    pub shard: Option<Shard>,
    /// End with the first case that does not hold
    #[arg(long, conflicts_with_all = ["record", "update_baseline"])]
    pub fail_fast: bool,
    /// How long making what is scored may take, for each case
    #[arg(long, value_name = "TIME", default_value = "10min")]
    pub case_timeout: Span,
    /// Make the suites' baselines anew: cases that are held against one are run several times, what is different is shown, and the
    /// file is written. Refused where CI is set: what is measured there is judged, and does not judge itself
    #[arg(long, conflicts_with = "junit")]
    pub update_baseline: bool,
    /// Runs of each case that a baseline is the mean of; how far they are apart is its noise
    #[arg(long, value_name = "NUMBER", default_value_t = 3, requires = "update_baseline",
        value_parser = clap::value_parser!(u32).range(1..=20))]
    pub repeats: u32,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Figures that gates can be about: video, audio: decode_errors, duration_s and more; black, freeze, silence: count, total_s, \
longest_s; loudness: integrated (LUFS), range (LU), true_peak (dBTP); clipping: runs, samples; si, ti: min, mean, max; gop: longest_s, \
irregular; timestamps: gaps, repeated, backwards; synchrony: start_offset_ms, end_offset_ms. A figure that is not known is answered with \
those that are. What could not be measured passes no gate."
)]
pub struct Inspect {
    /// What is inspected: a file, an http:// URL (HLS too), an asset's identifier, or that with /TRACK behind it
    pub media: String,
    /// A bound to keep, such as "loudness.integrated >= -24" or "black.count <= 0"; as often as wanted
    #[arg(long = "gate", value_name = "GATE")]
    pub gates: Vec<Gate>,
    /// Black, frozen and silent stretches count from this length on
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub shortest: Span,
    /// Write a test report for continuous integration: a case for each gate
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Have the quality service do it, as a job that goes on without this command: only of what the services hold; also ID/source
    #[arg(long)]
    pub remote: bool,
}

#[derive(Debug, clap::Args)]
pub struct Conform {
    /// What is looked at: a playlist (a file, or an http:// URL), an asset's identifier, or that with /TRACK behind it
    pub media: String,
    /// Follow what is live for so long
    #[arg(long = "for", id = "for", value_name = "TIME", default_value = "20s")]
    pub lasts: Span,
    /// Segments of each rendition that are looked into, at most
    #[arg(long, value_name = "NUMBER", default_value_t = 500)]
    pub segments: usize,
    /// Status 1 also if a rule that says should is not kept
    #[arg(long)]
    pub strict: bool,
    /// Write a test report for continuous integration: a case for each finding
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Figures that gates can be about: watch: startup_p95_ms, stalls, stalled_ms, played_ms, switches, requests, failed, head_p95_ms, \
delay_p50_ms, delay_p95_ms. Nothing is decoded: what is late is measured, not what is ugly, and nothing here is a MOS."
)]
pub struct Watch {
    /// What is watched: the http:// URL of an HLS playlist, or the identifier of an asset or a channel
    pub media: String,
    /// For so long; what has ended is begun once more
    #[arg(long = "for", id = "for", value_name = "TIME", default_value = "60s")]
    pub lasts: Span,
    /// Viewers at once
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub viewers: usize,
    /// Media that a player keeps ahead
    #[arg(long, default_value = "12s", value_name = "TIME")]
    pub buffer: Span,
    /// Media that it takes to begin playing; of something live no more than half of what lies before its end
    #[arg(long, default_value = "2s", value_name = "TIME")]
    pub start: Span,
    /// A bound to keep, such as "watch.stalls <= 0" or "watch.delay_p95_ms <= 3000"; as often as wanted
    #[arg(long = "gate", value_name = "GATE")]
    pub gates: Vec<Gate>,
    /// Also send what is measured to clmc each second, as measurement `watch` of this database: alerts can be about it
    #[arg(long, value_name = "DATABASE")]
    pub clmc: Option<String>,
    /// Write a test report for continuous integration: a case for each gate
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Curve {
    /// The suite, YAML, some cases of which name a `curve`
    pub suite: PathBuf,
    /// What quality is: a column and a pooling
    #[arg(long, value_name = "FIGURE", default_value = "vmaf.mean")]
    pub figure: String,
    /// The curve that the others are held against [default: the first]
    #[arg(long, value_name = "NAME")]
    pub anchor: Option<String>,
    /// Write a page for people, with the plot
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// How long making what is scored may take, for each case
    #[arg(long, value_name = "TIME", default_value = "10min")]
    pub case_timeout: Span,
}

#[derive(Debug, clap::Args)]
pub struct Jobs {
    /// Only those that measured media of this asset
    #[arg(long, value_name = "ID")]
    pub asset: Option<Uuid>,
    /// How many of each kind
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub limit: u32,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "With --json the whole result is printed as libvmaf writes it: frames and pooled_metrics.")]
pub struct Compare {
    /// The reference: a file (of raw samples: --raw; a file for each picture: --images), an http:// URL (HLS too), an asset's identifier,
    /// or that with /TRACK behind it
    pub reference: String,
    /// What is scored: a file, an http:// URL (HLS too), an asset's identifier, or that with /TRACK behind it
    pub distorted: String,
    /// What raw samples are (files called .yuv or .raw): size, pictures a second, FFmpeg's pixel format, such as 1280x720@25:yuv420p
    #[arg(long, value_name = "RAW", conflicts_with = "remote")]
    pub raw: Option<Raw>,
    /// The same of what is scored, where it is not as the reference is
    #[arg(long, value_name = "RAW", conflicts_with = "remote")]
    pub raw_distorted: Option<Raw>,
    /// Pictures a second of image sequences, such as frames/%04d.png: 25, 30000/1001
    #[arg(long, value_name = "RATE", conflicts_with = "remote", value_parser = form::rate)]
    pub images: Option<Rational>,
    /// What to compute: psnr, ssim, xpsnr, float_ssim, ms_ssim, vif, vmaf, vmaf_neg, vmaf_4k, vmaf_phone, vmaf_v1,
    /// vmaf_v1_5h, vmaf_v1_4k
    #[arg(long, value_delimiter = ',', default_value = "psnr,ssim,vmaf", value_name = "METRICS")]
    pub metrics: Vec<Metric>,
    /// A bound to keep, such as "vmaf.p5 >= 80" or "alignment.dropped_frames <= 0"; as often as wanted
    #[arg(long = "gate", value_name = "GATE")]
    pub gates: Vec<Gate>,
    /// Write the scores of all frames as a table
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write a report for people: one page with plots and the worst frames
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write a test report for continuous integration: a case for each gate
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Score only so many pairs of frames
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,
    /// Score every n-th pair only
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub subsample: u32,
    /// Refuse to score when it is less sure than this (0 to 1) that the frames belong together
    #[arg(long, value_name = "CONFIDENCE", default_value_t = 0.5)]
    pub confidence: f64,
    /// Threads for libvmaf [default: one a core]
    #[arg(long, value_name = "NUMBER", conflicts_with = "remote", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: Option<u32>,
    /// Have the quality service do it, as a job that goes on without this command: only of what the services hold; also ID/source,
    /// the file that was uploaded
    #[arg(long)]
    pub remote: bool,
}

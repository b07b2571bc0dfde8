//! What `flame quality` is told.

use std::path::PathBuf;

use clap::Subcommand;
use flame_api::quality::Metric;
use flame_quality::gate::Gate;
use flame_service_host::config::Span;

#[derive(Debug, clap::Args)]
pub struct Quality {
    #[command(subcommand)]
    pub command: QualityCommand,
}

#[derive(Debug, Subcommand)]
pub enum QualityCommand {
    /// Score a film against its reference; status 1 if a gate fails, 3 if it cannot be measured
    Compare(Compare),
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
    /// How long making what is scored may take, for each case
    #[arg(long, value_name = "TIME", default_value = "10min")]
    pub case_timeout: Span,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "With --json the whole result is printed as libvmaf writes it: frames and pooled_metrics.")]
pub struct Compare {
    /// The reference: a file, an http:// URL (HLS too), or an asset's identifier
    pub reference: String,
    /// What is scored: a file, an http:// URL (HLS too), or an asset's identifier
    pub distorted: String,
    /// What to compute: psnr, ssim, float_ssim, ms_ssim, vif, vmaf, vmaf_neg, vmaf_4k, vmaf_phone, vmaf_v1
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
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: Option<u32>,
}

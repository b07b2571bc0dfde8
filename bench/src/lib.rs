//! Measurements of the product beside its peers, on one machine, in one run.
//!
//! Every benchmark is a subcommand that alternates ours and theirs (A B A B), so that what changes on the machine
//! meanwhile hits both; gives minimum, median and maximum; and says what exactly was run. It is bounded in time, cleans
//! up after itself and ends only its own processes. It is never part of the tests: numbers of a busy machine prove
//! nothing.
//!
//! Reading order: [`samples`] and [`report`] (pure), [`machine`], [`process`], the servers ([`flame`], [`nginx`],
//! [`peer`], [`router_process`], [`proxies`]), what puts load on them ([`load`]), then one file a benchmark ([`startup`],
//! [`upload`], [`ladder`], [`vod`], [`vcdn`], [`switching`], [`router`], [`multicast`], [`metadata`], [`live`],
//! [`glass`], [`players`], [`quality`]); [`soak`] looks at memory for an hour.

pub mod flame;
pub mod glass;
pub mod judge;
pub mod ladder;
pub mod live;
pub mod load;
pub mod machine;
pub mod metadata;
pub mod multicast;
pub mod nginx;
pub mod paced;
pub mod peer;
pub mod players;
pub mod portal;
pub mod process;
pub mod proxies;
pub mod quality;
pub mod report;
pub mod router;
pub mod router_process;
pub mod samples;
pub mod soak;
pub mod startup;
pub mod switching;
pub mod upload;
pub mod vcdn;
pub mod vod;

use std::path::PathBuf;

/// What every benchmark is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Measured rounds of each side; one more of each warms up
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Folder for what is written, on the disk to measure; emptied afterwards [default: ~/.cache/flame/bench]
    #[arg(long, global = true, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Put the results into bench/RESULTS.md, in the place of older ones
    #[arg(long, global = true)]
    pub write: bool,
    /// Size of the file of the upload benchmark, MiB
    #[arg(long, global = true, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(8..=4000))]
    pub mib: u32,
    /// How long `soak` goes on, minutes
    #[arg(long, global = true, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub minutes: u32,
    /// Assets in the catalogue of `metadata`
    #[arg(long, global = true, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(200..=10_000_000))]
    pub assets: u32,
    /// Source of the ladder and vod benchmarks [default: a minute of real footage, made by looping a clip]
    #[arg(long, global = true, value_name = "FILE")]
    pub clip: Option<PathBuf>,
}

// === impl Options ===

impl Options {
    /// A fresh folder for one benchmark, deleted when dropped.
    pub fn workshop(&self) -> anyhow::Result<tempfile::TempDir> {
        let base = match &self.dir {
            Some(folder) => folder.clone(),
            None => machine::cache_folder()?.join("bench"),
        };
        std::fs::create_dir_all(&base)?;
        Ok(tempfile::Builder::new().prefix("run-").tempdir_in(base)?)
    }
}

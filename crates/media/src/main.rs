//! `flame-media`: media work in a process that may be thrown away. See the library.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use flame_media::{ladder, limits::Limits, live, play, probe, worker};

/// Measures and encodes media. Services start it; `probe` is for people.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve requests of a parent process: JSON lines from standard input to standard output.
    Worker(LimitArgs),
    /// Make a ladder of live media for a parent process: messages from standard input to standard output
    Live(LimitArgs),
    /// Measure a file and print what was found as JSON.
    Probe {
        /// A path, or an http:// URL.
        input: String,
    },
    /// Decode a file or an HLS playlist to its end and print what was counted as JSON.
    Play {
        /// A path, or an http:// URL.
        input: String,
    },
    /// Look whether everything that a ladder needs is installed.
    Check,
}

#[derive(Debug, Clone, Copy, clap::Args)]
struct LimitArgs {
    /// Most address space, in bytes.
    #[arg(long)]
    address_space_bytes: Option<u64>,
    /// Most processor time, in seconds.
    #[arg(long)]
    cpu_s: Option<u64>,
    /// Largest file written, in bytes.
    #[arg(long)]
    file_size_bytes: Option<u64>,
    /// Niceness: the higher, the more is left to others who want the processor.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=19))]
    nice: Option<u8>,
}

impl LimitArgs {
    fn apply(self) -> anyhow::Result<()> {
        let Self { address_space_bytes, cpu_s, file_size_bytes, nice } = self;
        Limits { address_space_bytes, cpu_s, file_size_bytes, nice }.apply()
    }
}

fn print(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Worker(limits) => limits.apply().and_then(|()| worker::run()),
        Command::Live(limits) => limits.apply().and_then(|()| live::run()),
        Command::Probe { input } => probe::probe(&input).map_err(anyhow::Error::from).and_then(|probe| print(&probe)),
        Command::Play { input } => play::play(&input).map_err(anyhow::Error::from).and_then(|played| print(&played)),
        Command::Check => ladder::examine().map_err(anyhow::Error::from).map(|found| println!("{found}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flame-media: {error:#}");
            ExitCode::FAILURE
        }
    }
}

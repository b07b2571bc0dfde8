//! What `flame sla` is told.

use std::path::PathBuf;

use clap::Subcommand;
use flame_service_host::config::{Bytes, Span};
use uuid::Uuid;

use crate::connection;

#[derive(Debug, clap::Args)]
pub struct Sla {
    #[command(subcommand)]
    pub command: SlaCommand,
}

#[derive(Debug, Subcommand)]
pub enum SlaCommand {
    /// Say what is wrong with a demand, with its line
    Validate {
        /// The demand (YAML)
        file: PathBuf,
    },
    /// Measure what one surrogate does, with real viewers: what demands are reckoned by
    Calibrate(Calibrate),
    /// Say how many surrogates a demand takes, of which size and where, and what binds; or what would be possible. Status 1 if it is not
    Solve {
        /// The demand (YAML)
        file: PathBuf,
        /// What was measured [default: FILE with the ending `.calibration.json`]
        #[arg(long, value_name = "FILE")]
        calibration: Option<PathBuf>,
        /// Deploy it, and wait until it serves
        #[arg(long)]
        deploy: bool,
        /// Write the template to a file
        #[arg(long, value_name = "FILE")]
        template: Option<PathBuf>,
    },
    /// Print the JSON Schema of demands
    Schema,
}

#[derive(Debug, clap::Args)]
pub struct Calibrate {
    /// The demand (YAML)
    pub file: PathBuf,
    /// Where to write it [default: FILE with the ending `.calibration.json`]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// What is watched, the most popular one first; the first one's renditions are reckoned with [default: all that plays]
    #[arg(long = "asset", value_name = "ID", value_parser = connection::id)]
    pub assets: Vec<Uuid>,
    /// What each surrogate may send in a second [default: as much as it can]
    #[arg(long, value_name = "SIZE")]
    pub uplink: Option<Bytes>,
    /// Loads to measure, as shares of what it sends at most
    #[arg(long, value_delimiter = ',', default_value = "0.3,0.55,0.8", value_name = "SHARE", value_parser = share)]
    pub levels: Vec<f64>,
    /// How long each
    #[arg(long = "for", id = "for", default_value = "20s", value_name = "TIME")]
    pub lasts: Span,
    /// Time within which the viewers of a level come
    #[arg(long, default_value = "5s", value_name = "TIME")]
    pub ramp: Span,
    /// Media that a player keeps ahead
    #[arg(long, default_value = "12s", value_name = "TIME")]
    pub buffer: Span,
    /// Media that it takes to begin playing
    #[arg(long, default_value = "2s", value_name = "TIME")]
    pub start: Span,
}

fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is no share: write 0.8"))?;
    if value > 0.0 && value <= 1.5 { Ok(value) } else { Err(format!("{value} is not above 0 and at most 1.5")) }
}

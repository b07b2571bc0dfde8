//! What `flame job` is told.

use clap::Subcommand;
use uuid::Uuid;

use crate::connection;

#[derive(Debug, clap::Args)]
pub struct Job {
    #[command(subcommand)]
    pub command: JobCommand,
}

#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// List jobs, newest first
    List {
        /// The most to list
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Condition an asset that is there: it came with `--chain none`, or its job failed or was cancelled
    Start {
        /// The asset's identifier
        #[arg(value_name = "ASSET", value_parser = connection::id)]
        id: Uuid,
        /// The chain to run: a name (`flame chain list`), or the file of a document
        #[arg(long, value_name = "NAME|FILE", default_value = "ladder")]
        chain: String,
        /// A value for a parameter of the chain, `--set crf=30`, or of a stage, `--set video.preset=slow`
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = super::chain::setting)]
        set: Vec<(String, String)>,
    },
    /// Watch a job until it ends; status 1 if it fails
    Watch {
        /// Its identifier
        #[arg(value_parser = connection::id)]
        id: Uuid,
    },
    /// Cancel a job
    Cancel {
        /// Its identifier
        #[arg(value_parser = connection::id)]
        id: Uuid,
    },
}

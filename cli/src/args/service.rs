//! What `flame service` is told.

use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub struct Service {
    #[command(subcommand)]
    pub command: ServiceCommand,
}

#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Say which clause of the contract (docs/own-service.md) a service function does not keep; status 1 if there is one
    Check {
        /// Where it listens (127.0.0.1:9000), or a name behind the router (greeter.own-main)
        address: String,
        /// A path that it answers with 200
        #[arg(long, default_value = "/", value_name = "PATH")]
        path: String,
        /// What answers 2xx once it serves; a template says the same as `ready_path`
        #[arg(long, value_name = "PATH")]
        ready: Option<String>,
        /// Its process on this machine: it is told to end (SIGTERM) with a request open, which it is to finish
        #[arg(long, value_name = "PID")]
        drain: Option<u32>,
    },
}

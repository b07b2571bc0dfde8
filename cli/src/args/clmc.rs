//! What `flame clmc` is told.

use std::path::PathBuf;

use clap::Subcommand;
use flame_service_host::config::Span;

#[derive(Debug, clap::Args)]
pub struct Clmc {
    #[command(subcommand)]
    pub command: ClmcCommand,
}

#[derive(Debug, Subcommand)]
pub enum ClmcCommand {
    /// Ask in InfluxQL: flame clmc query 'SELECT mean(response_time) FROM streaming WHERE time > now() - 5m GROUP BY time(10s)'
    Query {
        /// The question
        question: String,
        /// The database: the service function chain
        #[arg(long, default_value = "flame", value_name = "NAME")]
        db: String,
    },
    /// Print the points of measurements as CSV, for spreadsheets and scripts
    Export {
        /// The measurements [default: all]
        measurements: Vec<String>,
        /// How far back
        #[arg(long, default_value = "1h", value_name = "TIME")]
        since: Span,
        /// Only series with this tag, NAME=VALUE; all of several
        #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = tag)]
        tags: Vec<(String, String)>,
        /// The database: the service function chain
        #[arg(long, default_value = "flame", value_name = "NAME")]
        db: String,
    },
    /// Show the network: sites, links, and what was measured of them
    Graph {
        /// The database: the service function chain
        #[arg(long, default_value = "flame", value_name = "NAME")]
        db: String,
    },
    /// Show round-trip times: the network there, the service, the network back, of every place and endpoint
    Rtt {
        /// Only from this place: a site, or user equipment
        #[arg(long, value_name = "PLACE")]
        from: Option<String>,
        /// Only to this endpoint (flame_sfe) or service
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
        /// The database: the service function chain
        #[arg(long, default_value = "flame", value_name = "NAME")]
        db: String,
    },
    /// Conditions that are looked at, and who is told
    Alerts {
        #[command(subcommand)]
        command: AlertsCommand,
    },
}

#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// Put a TOSCA alerts document; one of the same chain and instance takes the place of the one before
    Put {
        /// The document (YAML)
        file: PathBuf,
    },
    /// List triggers, and where each stands
    List,
    /// Remove a document
    Rm {
        /// The service function chain
        sfc: String,
        /// Its instance
        sfci: String,
    },
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is no NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

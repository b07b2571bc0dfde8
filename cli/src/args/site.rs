//! What `flame site` is told.

use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub struct Site {
    #[command(subcommand)]
    pub command: SiteCommand,
}

#[derive(Debug, Subcommand)]
pub enum SiteCommand {
    /// List the sites that are shipped; `flame up --site NAME` runs one on this machine
    List,
    /// Show the points of presence of a site, what each has, and how far they are apart
    Show {
        /// A site that is shipped, or a site file of yours (templates/sites)
        #[arg(value_name = "NAME|FILE")]
        site: String,
    },
}

//! What can be said to `flame ca`.

use std::path::PathBuf;

use clap::Subcommand;
use flame_service_host::config::Span;

#[derive(Debug, clap::Args)]
pub struct Ca {
    #[command(subcommand)]
    pub command: CaCommand,
}

#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Make the authority that one router holds, if there is none yet, and print its fingerprint
    Init {
        /// The data folder that it is made in [default: as in `flame up`]
        #[arg(long, env = "FLAME_DATA", hide_env_values = true, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Make a token that is good for one join and print it
    JoinToken {
        /// A name that the joiner may stand behind, and no others; repeat it for more, `media.*` is every instance
        #[arg(long = "name", value_name = "NAME")]
        names: Vec<flame_credentials::Reach>,
        /// Where the joiner is
        #[arg(long, default_value = "local")]
        site: flame_naming::Label,
        /// What the joiner is: service or router
        #[arg(long, default_value = "service")]
        role: flame_credentials::Role,
        /// How long the token is good: 10min, 24h
        #[arg(long, default_value = "10min", value_name = "DURATION")]
        ttl: Span,
        /// The data folder that holds the authority [default: as in `flame up`]
        #[arg(long, env = "FLAME_DATA", hide_env_values = true, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Take a join token back; certificates that it got live on until they end
    TakeBack {
        /// The token
        token: String,
        /// The data folder that holds the authority [default: as in `flame up`]
        #[arg(long, env = "FLAME_DATA", hide_env_values = true, value_name = "DIR")]
        data: Option<PathBuf>,
    },
}

//! What can be said to `flame backup`, `flame restore`, `flame migrate` and `flame store`.

use std::path::PathBuf;

use clap::Subcommand;
use uuid::Uuid;

use crate::connection;

#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The folder of the backup: new, or empty
    #[arg(value_name = "DIR")]
    pub to: PathBuf,
    /// The data folder to copy [default: as in `flame up`]
    #[arg(long, env = "FLAME_DATA", hide_env_values = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The folder of the backup
    #[arg(value_name = "DIR")]
    pub from: PathBuf,
    /// The data folder to make: new, or empty, or one in which the same restore was cut off [default: as in `flame up`]
    #[arg(long, env = "FLAME_DATA", hide_env_values = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Only look whether the backup is as it was made; status 1 if not
    #[arg(long)]
    pub check: bool,
}

#[derive(Debug, clap::Args)]
pub struct Migrate {
    /// The data folder to leave, on which nothing runs; it stays as it is [default: as in `flame up`]
    #[arg(long, env = "FLAME_DATA", hide_env_values = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The data folder to make, for what lies neither in the database nor in the store: new, or empty, or one in which the same was cut off
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Where to: a TOML file with `database` (postgres://…) and a table `[store]` (endpoint, bucket, access_key, secret_key)
    #[arg(long, value_name = "FILE")]
    pub outside: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct Store {
    #[command(subcommand)]
    pub command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Have every stored object read and compared with what was noted when it was written; status 1 if one is not what it was
    Scrub {
        /// Leave when it is under way; `flame store show` tells how far it is
        #[arg(long)]
        no_wait: bool,
    },
    /// What the last look found, and how far one has come that is under way; status 1 if an object is not what it was
    Show,
    /// Bring what plays of an asset to the stores of sites before anybody asks for it there (`[replicas]` of streaming)
    Place {
        /// Its identifier
        #[arg(value_parser = connection::id)]
        id: Uuid,
        /// A site whose store is to have it; may be said several times
        #[arg(long = "site", required = true, value_name = "SITE")]
        sites: Vec<String>,
        /// The site that has it: all others get one transfer, where routers multicast [default: for each the nearest that has it]
        #[arg(long, value_name = "SITE")]
        from: Option<String>,
        /// Leave when it has begun; saying it again tells how far it is
        #[arg(long)]
        no_wait: bool,
        /// Seconds without a byte more after which it counts as not possible
        #[arg(long, default_value_t = 60, value_name = "SECONDS")]
        patience: u64,
    },
}

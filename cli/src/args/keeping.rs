//! What can be said to `flame backup`, `flame restore` and `flame migrate`.

use std::path::PathBuf;

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
    #[arg(long, conflicts_with = "data")]
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

//! Arguments of `flame asset edit`.

use uuid::Uuid;

use crate::connection;

#[derive(Debug, clap::Args)]
pub struct Edit {
    /// Its identifier
    #[arg(value_parser = connection::id)]
    pub id: Uuid,
    /// Its title from now on
    #[arg(long)]
    pub title: Option<String>,
    /// Say something: description=TEXT, keywords='["a", "b"]', custom.shoot.day=3
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Say it no more: description, custom.shoot
    #[arg(long, value_name = "NAME")]
    pub unset: Vec<String>,
    /// A merge patch (RFC 7396) in a file; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub patch: Option<String>,
    /// Only if it is at this revision; else at the one that is found
    #[arg(long)]
    pub revision: Option<u64>,
}

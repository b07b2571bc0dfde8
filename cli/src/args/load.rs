//! What `flame load` is told.

use std::path::PathBuf;

use flame_service_host::config::Span;
use uuid::Uuid;

use crate::connection;

#[derive(Debug, clap::Args)]
pub struct Load {
    /// What serves them: a name behind the router, a URL that assets follow (`http://host/~edge.city`), or one playlist (`….m3u8`)
    #[arg(long, default_value = "cdn", value_name = "NAME|URL")]
    pub name: String,
    /// Viewers at once
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub viewers: usize,
    /// How long
    #[arg(long = "for", id = "for", default_value = "60s", value_name = "TIME")]
    pub lasts: Span,
    /// Time within which they come
    #[arg(long, default_value = "5s", value_name = "TIME")]
    pub ramp: Span,
    /// Who comes when: a TOML file of [[steps]] with `for`, `viewers`, `ramp`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["viewers", "for", "ramp"])]
    pub profile: Option<PathBuf>,
    /// What is watched, the most popular one first [default: all that plays, the newest first]
    #[arg(long = "asset", value_name = "ID", value_parser = connection::id)]
    pub assets: Vec<Uuid>,
    /// How much more the first one is watched than the others: the exponent of Zipf's law; 0 is all alike
    #[arg(long, default_value_t = 0.8, value_name = "S")]
    pub skew: f64,
    /// Media that a player keeps ahead
    #[arg(long, default_value = "12s", value_name = "TIME")]
    pub buffer: Span,
    /// Media that it takes to begin playing
    #[arg(long, default_value = "2s", value_name = "TIME")]
    pub start: Span,
    /// Leave renditions above it out, bits a second, as small screens do
    #[arg(long, value_name = "BPS")]
    pub max_bitrate: Option<u64>,
    /// Time for one request, its body included
    #[arg(long, default_value = "20s", value_name = "TIME")]
    pub deadline: Span,
    /// Tell nothing of themselves (CMCD) with requests
    #[arg(long)]
    pub no_cmcd: bool,
    /// Where the dice begin: the same makes the same choices
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Also send what is measured to clmc each second, as measurement `viewers` of this database
    #[arg(long, value_name = "DATABASE")]
    pub report: Option<String>,
}

//! What can be said to `flame parts`.

use std::net::IpAddr;
use std::path::PathBuf;

use url::Url;

#[derive(Debug, clap::Args)]
pub struct Parts {
    /// Where it goes: a folder for each part, and `authority`, which holds the private keys and goes to nobody else
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// Where every part finds its own folder, if that is mounted somewhere else where it runs [default: where it is]
    #[arg(long, value_name = "DIR")]
    pub at: Option<PathBuf>,
    /// The object store's URL, as parts reach it: the one in ingest, or another S3
    #[arg(long, default_value = "http://127.0.0.1:9000", value_name = "URL")]
    pub store: Url,
    /// The store is not the one in ingest: its keys are in authority/store-keys.json, put them there before or let it take them
    #[arg(long)]
    pub external_store: bool,
    /// Address that surrogates listen at for viewers, on free ports
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub fronts: IpAddr,
}

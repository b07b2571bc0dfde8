//! What can be said to `flame parts`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use flame_naming::Label;
use flame_service_host::config::Span;
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
    /// The site that all of them are at
    #[arg(long, default_value = "local")]
    pub site: Label,
    /// Parts know each other by certificates of an authority that this makes in the router's folder, and speak TLS: --router is https
    #[arg(long)]
    pub tls: bool,
    /// With --tls: where the router listens for people, players and `flame`, who have no certificates
    #[arg(long, requires = "tls", default_value = "127.0.0.1:8081", value_name = "ADDRESS")]
    pub viewers: SocketAddr,
    /// With --tls: how long each part's token to join is good
    #[arg(long, requires = "tls", default_value = "24h", value_name = "DURATION")]
    pub join: Span,
}

//! The metadata database as a process of its own: `flame-metadata [CONFIG.toml]`.

use flame_metadata::Config;
use flame_service_host::{config, logs};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    logs::init("info");
    let file = config::file_argument("metadata");
    let config: Config = config::load("metadata", file.as_deref())?;
    let running = flame_metadata::start(config).await?;
    running.until_signal().await?;
    Ok(())
}

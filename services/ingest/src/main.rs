//! Content ingest as a process of its own: `flame-ingest [CONFIG.toml]`.

use flame_ingest::Config;
use flame_service_host::{config, logs};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    logs::init("info");
    let file = config::file_argument("ingest");
    let config: Config = config::load("ingest", file.as_deref())?;
    let running = flame_ingest::start(config).await?;
    running.until_signal().await?;
    Ok(())
}

//! The streaming service as a process of its own: `flame-streaming [CONFIG.toml]`.

use std::path::PathBuf;

use flame_service_host::{config, logs};
use flame_streaming::Config;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    logs::init("info");
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let config: Config = config::load("streaming", file.as_deref())?;
    let running = flame_streaming::start(config).await?;
    running.until_signal().await?;
    Ok(())
}

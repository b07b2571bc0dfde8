//! The surrogate as a process of its own: `flame-vcdn [CONFIG.toml]`.

use std::path::PathBuf;

use flame_service_host::{config, logs};
use flame_vcdn::Config;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    logs::init("info");
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let config: Config = config::load("vcdn", file.as_deref())?;
    let running = flame_vcdn::start(config).await?;
    running.until_signal().await?;
    Ok(())
}

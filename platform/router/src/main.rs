//! The router as a process of its own: `flame-router [CONFIG.toml]`.

use std::path::PathBuf;

use flame_router::Config;
use flame_service_host::{config, logs};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    logs::init("info");
    let file = std::env::args_os().nth(1).map(PathBuf::from);
    let config = config::load_over(&Config::default(), "router", file.as_deref())?;
    let running = flame_router::start(config).await?;
    running.until_signal().await?;
    Ok(())
}

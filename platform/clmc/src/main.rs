//! CLMC as a process of its own: `flame-clmc [CONFIG.toml]`.

use flame_clmc::Config;
use flame_service_host::{config, logs};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    logs::init("info");
    let file = config::file_argument("clmc");
    let config: Config = config::load("clmc", file.as_deref())?;
    let running = flame_clmc::start(config).await?;
    running.until_signal().await?;
    Ok(())
}

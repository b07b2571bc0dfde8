//! The orchestrator as a process of its own: `flame-orchestrator [CONFIG.toml]`.

use flame_orchestrator::Config;
use flame_service_host::{config, logs};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    logs::init("info");
    let file = config::file_argument("orchestrator");
    let config: Config = config::load("orchestrator", file.as_deref())?;
    let running = flame_orchestrator::start(config).await?;
    running.until_signal().await?;
    Ok(())
}

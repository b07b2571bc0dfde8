//! Quality analysis as a process of its own: `flame-quality [CONFIG.toml]`.

use flame_quality_service::Config;
use flame_service_host::{config, logs};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    logs::init("info");
    let file = config::file_argument("quality");
    let config: Config = config::load("quality", file.as_deref())?;
    let running = flame_quality_service::start(config).await?;
    running.until_signal().await?;
    Ok(())
}

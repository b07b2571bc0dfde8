//! The streaming service as a process of its own: `flame-streaming [CONFIG.toml]`.

use flame_service_host::{config, logs};
use flame_streaming::Config;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    logs::init("info");
    let file = config::file_argument("streaming");
    let config: Config = config::load("streaming", file.as_deref())?;
    let running = flame_streaming::start(config).await?;
    running.until_signal().await?;
    Ok(())
}

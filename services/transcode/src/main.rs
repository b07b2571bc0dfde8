//! Content conditioning as a process of its own: `flame-transcode [CONFIG.toml]`.

use flame_service_host::{config, logs};
use flame_transcode::Config;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    logs::init("info");
    let file = config::file_argument("transcode");
    let config: Config = config::load("transcode", file.as_deref())?;
    let running = flame_transcode::start(config).await?;
    running.until_signal().await?;
    Ok(())
}

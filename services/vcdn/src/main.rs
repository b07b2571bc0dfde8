//! The surrogate as a process of its own: `flame-vcdn [CONFIG.toml]`.

use flame_service_host::{config, logs};
use flame_vcdn::Config;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    logs::init("info");
    let file = config::file_argument("vcdn");
    let config: Config = config::load("vcdn", file.as_deref())?;
    let running = flame_vcdn::start(config).await?;
    running.until_signal().await?;
    Ok(())
}

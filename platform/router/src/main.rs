//! The router as a process of its own: `flame-router [CONFIG.toml]`.

use flame_router::Config;
use flame_service_host::{config, logs};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    logs::init("info");
    let file = config::file_argument("router");
    let read = move || config::load_over(&Config::default(), "router", file.as_deref());
    let running = flame_router::start_with(read()?, read).await?;
    running.until_signal().await?;
    Ok(())
}

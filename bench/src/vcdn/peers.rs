//! The caches that are measured: ours behind a router, nginx's proxy cache, and Varnish.

use std::path::Path;

use anyhow::Result;
use tokio::process::Command;

use crate::flame::free_port;
use crate::machine;
use crate::nginx;
use crate::peer::Peer;
use crate::router_process::Router;

/// What brings the peers.
pub(super) const NGINX_PACKAGE: &str = "nginx";
pub(super) const VARNISH_PACKAGE: &str = "varnish";

/// Both peers.
#[derive(Debug)]
pub(super) struct Peers {
    pub nginx: Peer,
    pub varnish: Peer,
}

/// Ours: a surrogate, and the router that it asks through.
#[derive(Debug)]
pub(super) struct Flame {
    pub vcdn: Peer,
    router: Router,
    pub port: u16,
}

// === impl Peers ===

impl Peers {
    pub(super) async fn start(folder: &Path, origin: u16) -> Result<Self> {
        let port = free_port()?;
        let nginx = folder.join("nginx");
        std::fs::create_dir_all(&nginx)?;
        std::fs::write(nginx.join("nginx.conf"), nginx_text(&nginx, port, origin))?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(nginx.join("nginx.conf")).arg("-p").arg(&nginx).arg("-e").arg(nginx.join("error.log"));
        let nginx = Peer::start("nginx", &mut command, port).await?;
        let port = free_port()?;
        let mut command = Command::new("varnishd");
        command.arg("-F").arg("-n").arg(folder.join("varnish")).arg("-s").arg("malloc,512m");
        command.arg("-a").arg(format!("127.0.0.1:{port}")).arg("-b").arg(format!("127.0.0.1:{origin}"));
        let varnish = Peer::start("varnishd", &mut command, port).await?;
        Ok(Self { nginx, varnish })
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.nginx.server.stop().await?;
        self.varnish.server.stop().await
    }
}

fn nginx_text(folder: &Path, port: u16, origin: u16) -> String {
    let http = format!(
        "    sendfile on;
    tcp_nopush off;
    keepalive_requests 100000000;
    proxy_cache_path {cache} levels=1:2 keys_zone=bench:10m max_size=2g;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{origin};
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_cache bench;
            proxy_cache_lock on;
        }}
    }}
",
        cache = folder.join("cache").display()
    );
    nginx::configuration(folder, "body", 2048, &http)
}

// === impl Flame ===

impl Flame {
    pub(super) async fn start(folder: &Path, origin: u16) -> Result<Self> {
        let router = Router::start(folder).await?;
        router.register("origin", "bench", origin).await?;
        let (own, port) = (free_port()?, free_port()?);
        let url = router.client().router();
        let file = folder.join("vcdn.toml");
        let text = format!(
            "[[fronts]]\nname = \"cdn\"\nupstream = \"origin\"\nlisten = \"127.0.0.1:{port}\"\n\
             [host]\nlisten = \"127.0.0.1:{own}\"\nrouter = \"{url}\"\n"
        );
        std::fs::write(&file, text)?;
        let mut command = Command::new(machine::ours("flame-vcdn")?);
        let vcdn = Peer::start("flame-vcdn", command.arg(&file).env("FLAME_LOG", "warn"), port).await?;
        Ok(Self { vcdn, router, port })
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.vcdn.server.stop().await?;
        self.router.stop().await
    }
}

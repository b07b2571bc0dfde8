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

/// Both peers, and a plain proxy in front of the first.
#[derive(Debug)]
pub(super) struct Peers {
    pub nginx: Peer,
    pub varnish: Peer,
    pub front: Peer,
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
        let nginx = start_nginx(&folder.join("nginx"), |folder, port| cache_text(folder, port, origin)).await?;
        let cache = nginx.port;
        let front = start_nginx(&folder.join("front"), |folder, port| front_text(folder, port, cache)).await?;
        let port = free_port()?;
        let mut command = Command::new("varnishd");
        command.arg("-F").arg("-n").arg(folder.join("varnish")).arg("-s").arg("malloc,512m");
        command.arg("-a").arg(format!("127.0.0.1:{port}")).arg("-b").arg(format!("127.0.0.1:{origin}"));
        let varnish = Peer::start("varnishd", &mut command, port).await?;
        Ok(Self { nginx, varnish, front })
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.front.server.stop().await?;
        self.nginx.server.stop().await?;
        self.varnish.server.stop().await
    }
}

async fn start_nginx(folder: &Path, text: impl Fn(&Path, u16) -> String) -> Result<Peer> {
    let port = free_port()?;
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("nginx.conf"), text(folder, port))?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(folder.join("nginx.conf")).arg("-p").arg(folder).arg("-e").arg(folder.join("error.log"));
    Peer::start("nginx", &mut command, port).await
}

/// A proxy that keeps nothing but its connections.
fn front_text(folder: &Path, port: u16, cache: u16) -> String {
    let http = format!(
        "    keepalive_requests 100000000;
    upstream cache {{
        server 127.0.0.1:{cache};
        keepalive 64;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_buffers 32 8k;
            proxy_pass http://cache;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
"
    );
    nginx::configuration(folder, "body", 2048, &http)
}

fn cache_text(folder: &Path, port: u16, origin: u16) -> String {
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

    /// Where viewers ask.
    pub(super) fn door(&self) -> u16 {
        self.router.peer.port
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.vcdn.server.stop().await?;
        self.router.stop().await
    }
}

//! The caches that are measured: ours behind a router, nginx's proxy cache, and Varnish.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flame_api::Client;
use flame_api::router::Registration;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::sleep;
use url::Url;

use crate::flame::free_port;
use crate::machine;
use crate::process::Server;

/// What brings the peers.
pub(super) const NGINX_PACKAGE: &str = "nginx";
pub(super) const VARNISH_PACKAGE: &str = "varnish";
/// Time until one takes connections.
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// Pause between two attempts.
const POLL: Duration = Duration::from_millis(20);
/// Longer than the benchmark runs.
const LEASE_MS: u64 = 60_000;

/// A peer's process.
#[derive(Debug)]
pub(super) struct Peer {
    server: Server,
    pub port: u16,
}

/// Both peers.
#[derive(Debug)]
pub(super) struct Peers {
    pub nginx: Peer,
    pub varnish: Peer,
}

/// Ours: a surrogate, and the router that it asks through.
#[derive(Debug)]
pub(super) struct Flame {
    vcdn: Server,
    router: Server,
    pub port: u16,
    /// Keeps the origin registered.
    _lease: tokio::task::JoinSet<()>,
}

// === impl Peer ===

impl Peer {
    async fn start(name: &'static str, command: &mut Command, port: u16) -> Result<Self> {
        let server = start(name, command, port).await?;
        Ok(Self { server, port })
    }
}

async fn start(name: &'static str, command: &mut Command, port: u16) -> Result<Server> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Server::start(name, command)?;
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if server.child().try_wait()?.is_some() || began.elapsed() > READY_DEADLINE {
            bail!("{name} does not start");
        }
        sleep(POLL).await;
    }
    Ok(server)
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
    let folder = folder.display();
    let user = if rustix::process::getuid().is_root() { "user root;\n" } else { "" };
    format!(
        "{user}daemon off;
pid {folder}/nginx.pid;
worker_processes auto;
events {{ worker_connections 2048; }}
http {{
    sendfile on;
    tcp_nopush off;
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache levels=1:2 keys_zone=bench:10m max_size=2g;
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
}}
"
    )
}

// === impl Flame ===

impl Flame {
    pub(super) async fn start(folder: &Path, origin: u16) -> Result<Self> {
        let (router_port, own, port) = (free_port()?, free_port()?, free_port()?);
        let router_file = folder.join("router.toml");
        std::fs::write(&router_file, format!("[host]\nlisten = \"127.0.0.1:{router_port}\"\n"))?;
        let mut command = Command::new(machine::ours("flame-router")?);
        let router = start("flame-router", command.arg(&router_file).env("FLAME_LOG", "warn"), router_port).await?;
        let url = Url::parse(&format!("http://127.0.0.1:{router_port}"))?;
        let lease = register(Client::new(url.clone(), None), origin).await?;
        let file = folder.join("vcdn.toml");
        let text = format!(
            "[[fronts]]\nname = \"cdn\"\nupstream = \"origin\"\nlisten = \"127.0.0.1:{port}\"\n\
             [host]\nlisten = \"127.0.0.1:{own}\"\nrouter = \"{url}\"\n"
        );
        std::fs::write(&file, text)?;
        let mut command = Command::new(machine::ours("flame-vcdn")?);
        let vcdn = start("flame-vcdn", command.arg(&file).env("FLAME_LOG", "warn"), port).await?;
        Ok(Self { vcdn, router, port, _lease: lease })
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.vcdn.stop().await?;
        self.router.stop().await
    }
}

/// Registers the origin, and keeps it so.
async fn register(client: Client, origin: u16) -> Result<tokio::task::JoinSet<()>> {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], origin));
    let registration = Registration { address, generation: 1, ttl_ms: LEASE_MS };
    client.register("origin", "bench", &registration).await.context("register the origin")?;
    let mut lease = tokio::task::JoinSet::new();
    lease.spawn(async move {
        loop {
            sleep(Duration::from_millis(LEASE_MS / 3)).await;
            // One that fails is made up for by the next.
            let _ = client.register("origin", "bench", &registration).await;
        }
    });
    Ok(lease)
}

//! The router's peers: Debian's nginx and HAProxy in front of the same endpoints, set up as one would for switching.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;

use crate::flame::free_port;
use crate::nginx;
use crate::peer::Peer;

/// What brings them.
pub const NGINX_PACKAGE: &str = "nginx";
/// The same.
pub const HAPROXY_PACKAGE: &str = "haproxy";
/// How long both wait for an endpoint, seconds.
pub const TIMEOUT_S: u32 = 2;
/// Names of endpoints, in their order.
const NAMES: [char; 4] = ['a', 'b', 'c', 'd'];

/// A running nginx as a proxy.
#[derive(Debug)]
pub struct Nginx {
    /// Its process.
    pub peer: Peer,
    folder: PathBuf,
    endpoints: Vec<u16>,
}

/// A running HAProxy.
#[derive(Debug)]
pub struct Haproxy {
    /// Its process.
    pub peer: Peer,
    socket: PathBuf,
}

// === impl Nginx ===

impl Nginx {
    /// Starts it in front of `endpoints`, ports of loopback; of those `drained` get nothing.
    pub async fn start(folder: &Path, endpoints: &[u16], drained: &[u16]) -> Result<Self> {
        let (folder, port) = (folder.join("nginx"), free_port()?);
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("nginx.conf");
        std::fs::write(&file, nginx_text(&folder, port, endpoints, drained))?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&file).arg("-p").arg(&folder).arg("-e").arg(folder.join("error.log"));
        let peer = Peer::start("nginx", &mut command, port).await?;
        Ok(Self { peer, folder, endpoints: endpoints.to_vec() })
    }

    /// Sends requests to all but `drained` from now on: a new configuration, and SIGHUP.
    pub fn drain(&self, drained: &[u16]) -> Result<()> {
        let text = nginx_text(&self.folder, self.peer.port, &self.endpoints, drained);
        std::fs::write(self.folder.join("nginx.conf"), text)?;
        self.peer.server.signal(Signal::HUP)
    }
}

fn nginx_text(folder: &Path, port: u16, endpoints: &[u16], drained: &[u16]) -> String {
    let mut servers = String::new();
    for endpoint in endpoints {
        let down = if drained.contains(endpoint) { " down" } else { "" };
        let _ = writeln!(servers, "        server 127.0.0.1:{endpoint} max_fails=1 fail_timeout=2s{down};");
    }
    let http = format!(
        "    keepalive_requests 100000000;
    upstream endpoints {{
{servers}        keepalive 1024;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://endpoints;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_connect_timeout {TIMEOUT_S}s;
            proxy_read_timeout {TIMEOUT_S}s;
            proxy_next_upstream error timeout;
        }}
    }}
"
    );
    nginx::configuration(folder, "body", 8192, &http)
}

// === impl Haproxy ===

impl Haproxy {
    /// Starts it in front of `endpoints`, ports of loopback.
    pub async fn start(folder: &Path, endpoints: &[u16]) -> Result<Self> {
        let port = free_port()?;
        let (file, socket) = (folder.join("haproxy.cfg"), folder.join("haproxy.sock"));
        std::fs::write(&file, haproxy_text(&socket, port, endpoints))?;
        let peer = Peer::start("haproxy", Command::new("haproxy").arg("-db").arg("-f").arg(&file), port).await?;
        Ok(Self { peer, socket })
    }

    /// Lets the endpoint of that number get no new requests, or get them again.
    pub async fn drain(&self, endpoint: usize, is_draining: bool) -> Result<()> {
        let state = if is_draining { "drain" } else { "ready" };
        let mut socket = UnixStream::connect(&self.socket).await.context("HAProxy's socket")?;
        socket.write_all(format!("set server endpoints/{} state {state}\n", NAMES[endpoint]).as_bytes()).await?;
        let mut said = String::new();
        socket.read_to_string(&mut said).await?;
        anyhow::ensure!(said.trim().is_empty(), "HAProxy says: {}", said.trim());
        Ok(())
    }
}

fn haproxy_text(socket: &Path, port: u16, endpoints: &[u16]) -> String {
    let mut servers = String::new();
    for (name, endpoint) in NAMES.iter().zip(endpoints) {
        let _ = writeln!(servers, "    server {name} 127.0.0.1:{endpoint} check inter 500ms");
    }
    format!(
        "global
    maxconn 8192
    stats socket {} level admin
defaults
    mode http
    timeout connect {TIMEOUT_S}s
    timeout server {TIMEOUT_S}s
    timeout client 30s
    option http-keep-alive
    http-reuse always
    retries 3
    option redispatch 1
    retry-on all-retryable-errors
frontend in
    bind 127.0.0.1:{port}
    default_backend endpoints
backend endpoints
    balance roundrobin
{servers}",
        socket.display()
    )
}

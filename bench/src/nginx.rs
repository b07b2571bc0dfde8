//! The peer of uploads: Debian's nginx with its dav module, on a folder and a port of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::sleep;

use crate::flame::free_port;
use crate::process::Server;

/// Time until it takes connections.
const READY_DEADLINE: Duration = Duration::from_secs(10);
/// Pause between two attempts.
const POLL: Duration = Duration::from_millis(10);
/// The package that brings it.
pub const PACKAGE: &str = "nginx";

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    /// Its process.
    pub server: Server,
    /// Where it listens.
    pub port: u16,
    root: PathBuf,
}

// === impl Nginx ===

impl Nginx {
    /// Starts it with its files in `folder`, which must be absolute.
    pub async fn start(folder: &Path) -> Result<Self> {
        let (root, port) = (folder.join("root"), free_port()?);
        std::fs::create_dir_all(&root)?;
        let configuration = folder.join("nginx.conf");
        std::fs::write(&configuration, text(folder, port))?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&configuration).arg("-p").arg(folder).arg("-e").arg(folder.join("error.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Server::start("nginx", &mut command)?;
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if server.child().try_wait()?.is_some() || began.elapsed() > READY_DEADLINE {
                let log = std::fs::read_to_string(folder.join("error.log")).unwrap_or_default();
                bail!("nginx does not start: {}", log.trim());
            }
            sleep(POLL).await;
        }
        Ok(Self { server, port, root })
    }

    /// Where it puts the file `name`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Syncs the file `name` and its folder to the disk, which nginx does not; gives how long that took.
    pub async fn sync(&self, name: &str) -> Result<Duration> {
        let (file, folder) = (self.path(name), self.root.clone());
        let began = Instant::now();
        let sync = move || {
            std::fs::File::open(&file)?.sync_all()?;
            std::fs::File::open(&folder)?.sync_all()
        };
        tokio::task::spawn_blocking(sync).await.context("sync")?.context("sync what nginx has written")?;
        Ok(began.elapsed())
    }
}

/// A configuration with everything that nginx writes in `folder`; bodies of uploads in `folder/{uploads}`.
pub(crate) fn configuration(folder: &Path, uploads: &str, connections: u32, http: &str) -> String {
    let folder = folder.display();
    // Started by root it would hand its workers to another user, who may not write here.
    let user = if rustix::process::getuid().is_root() { "user root;\n" } else { "" };
    format!(
        "{user}daemon off;
pid {folder}/nginx.pid;
worker_processes auto;
worker_rlimit_nofile 16384;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/{uploads};
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{http}}}
"
    )
}

/// Debian's defaults, but for the paths, the size limit and dav.
fn text(folder: &Path, port: u16) -> String {
    let http = format!(
        "    sendfile on;
    tcp_nopush on;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port};
        root {root};
        location / {{ dav_methods PUT DELETE; }}
    }}
",
        root = folder.join("root").display()
    );
    configuration(folder, "root/.body", 768, &http)
}

//! A server that is measured: a process of its own on a port of its own, started until it takes connections.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::sleep;

use crate::process::Server;

/// Time until it takes connections.
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// Pause between two attempts.
const POLL: Duration = Duration::from_millis(20);

/// A running server.
#[derive(Debug)]
pub struct Peer {
    /// Its process.
    pub server: Server,
    /// Where it listens.
    pub port: u16,
}

// === impl Peer ===

impl Peer {
    /// Starts `command`, and waits until it takes connections at `port` of loopback.
    pub async fn start(name: &'static str, command: &mut Command, port: u16) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Server::start(name, command)?;
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if server.child().try_wait()?.is_some() || began.elapsed() > READY_DEADLINE {
                bail!("{name} does not start");
            }
            sleep(POLL).await;
        }
        Ok(Self { server, port })
    }
}

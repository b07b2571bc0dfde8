//! Many clients who want the same at the same moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// More than any side takes.
const DEADLINE: Duration = Duration::from_secs(60);
/// What a client reads at a time.
const READ_BYTES: usize = 64 << 10;

/// What they lived through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Herd {
    /// Until the first byte of the body; half of the clients waited less.
    pub first_p50_ms: f64,
    /// Until the last byte of the last client.
    pub last_ms: f64,
}

// === impl Herd ===

impl Herd {
    /// `clients` ask for `path` at once; each must get `length` bytes.
    pub(super) async fn run(port: u16, path: &str, clients: usize, length: u64) -> Result<Self> {
        let barrier = Arc::new(Barrier::new(clients));
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let (barrier, path) = (Arc::clone(&barrier), path.to_owned());
            tasks.spawn(async move { timeout(DEADLINE, client(port, &path, &barrier, length)).await? });
        }
        let (mut firsts, mut last) = (Vec::new(), Duration::ZERO);
        while let Some(ended) = tasks.join_next().await {
            let (to_first, to_last) = ended.context("a client")??;
            firsts.push(to_first);
            last = last.max(to_last);
        }
        firsts.sort_unstable();
        let middle = firsts.get(firsts.len() / 2).context("there are clients")?;
        Ok(Self { first_p50_ms: middle.as_secs_f64() * 1000.0, last_ms: last.as_secs_f64() * 1000.0 })
    }
}

/// Time to first and last byte of the body.
async fn client(port: u16, path: &str, barrier: &Barrier, length: u64) -> Result<(Duration, Duration)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    barrier.wait().await;
    let began = Instant::now();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").as_bytes()).await?;
    let mut buffer = vec![0; READ_BYTES];
    let (mut head, mut body, mut first) = (Vec::new(), None, None);
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            bail!("the body ended after {body:?} of {length} bytes");
        }
        let fresh = match &mut body {
            Some(seen) => {
                *seen += read as u64;
                read
            }
            None => {
                head.extend_from_slice(&buffer[..read]);
                let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
                if !head.starts_with(b"HTTP/1.1 200") {
                    bail!("the answer is {}", String::from_utf8_lossy(&head[..end]));
                }
                let rest = head.len() - end - 4;
                body = Some(rest as u64);
                rest
            }
        };
        if fresh > 0 {
            first.get_or_insert_with(|| began.elapsed());
        }
        if body == Some(length) {
            return Ok((first.unwrap_or_default(), began.elapsed()));
        }
    }
}

//! The origin behind all sides: says what may be kept, counts who asks, and sends as fast as it is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{COLD_BYTES, COLD_BYTES_PER_S, COLD_DELAY};

/// Bytes that are sent at a time by the slow one.
const PIECE_BYTES: u64 = 64 << 10;

/// A running origin; ends when dropped.
#[derive(Debug)]
pub(super) struct Origin {
    pub port: u16,
    asked: Arc<Mutex<HashMap<String, usize>>>,
    _task: JoinSet<()>,
}

// === impl Origin ===

impl Origin {
    /// `/hit/N` is N bytes at once, `/cold/…` the cold object.
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen as the origin")?;
        let port = listener.local_addr()?.port();
        let asked = Arc::new(Mutex::new(HashMap::new()));
        let log = Arc::clone(&asked);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let log = Arc::clone(&log);
                // A connection that breaks is the other side's to tell.
                connections.spawn(async move { drop(serve(stream, &log).await) });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, asked, _task: task })
    }

    /// How often `path` was asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied().unwrap_or(0)
    }
}

async fn serve(stream: TcpStream, log: &Mutex<HashMap<String, usize>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if stream.read_line(&mut first).await? == 0 {
            return Ok(());
        }
        let mut field = String::new();
        while stream.read_line(&mut field).await? > 2 {
            field.clear();
        }
        let path = first.split(' ').nth(1).context("a request has a path")?.to_owned();
        *log.lock().unwrap_or_else(PoisonError::into_inner).entry(path.clone()).or_default() += 1;
        let hit_bytes = path.strip_prefix("/hit/").and_then(|bytes| bytes.parse::<u64>().ok());
        let (length, is_slow) = hit_bytes.map_or((COLD_BYTES, true), |bytes| (bytes, false));
        if is_slow {
            tokio::time::sleep(COLD_DELAY).await;
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Type: video/mp4\r\nCache-Control: public, max-age=3600\r\nETag: \"{length}\"\r\n\r\n"
        );
        stream.get_mut().write_all(head.as_bytes()).await?;
        let piece = vec![b'x'; usize::try_from(PIECE_BYTES)?];
        let (began, mut sent) = (Instant::now(), 0_u64);
        while sent < length {
            let next = (length - sent).min(PIECE_BYTES);
            stream.get_mut().write_all(&piece[..usize::try_from(next)?]).await?;
            sent += next;
            if is_slow {
                let due = std::time::Duration::from_micros(sent * 1_000_000 / COLD_BYTES_PER_S);
                tokio::time::sleep_until((began + due).into()).await;
            }
        }
    }
}

//! What is killed, stopped and drained: a web server in a process of its own, `flame-bench endpoint NAME`.
//!
//! It serves bodies of any length with a strong ETag and ranges, the same bytes whichever process is asked; short ones at
//! once, long ones at a pace, so that a fault meets them in the middle. It says who it is in `x-endpoint`.

use std::ops::Range;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The field that says who answered.
pub(super) const WHO: &str = "x-endpoint";
/// Bodies longer than this are paced.
const AT_ONCE_BYTES: u64 = 64 << 10;
/// Their pace.
const BYTES_PER_S: u64 = 10_000_000;
/// Sent at a time.
const PIECE_BYTES: u64 = 64 << 10;
/// The longest body.
const BODY_MAX_BYTES: u64 = 64 << 20;
/// Time until one says where it listens.
const READY_DEADLINE: Duration = Duration::from_secs(10);

/// A running endpoint; killed when dropped.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub child: Child,
    pub port: u16,
}

// === impl Endpoint ===

impl Endpoint {
    pub(super) async fn start(name: &str) -> Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = Command::new(program);
        command.args(["endpoint", name]).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("start an endpoint")?;
        let mut lines = BufReader::new(child.stdout.take().context("an endpoint has no standard output")?).lines();
        let line = timeout(READY_DEADLINE, lines.next_line()).await.context("an endpoint does not start")??;
        let port = line.context("an endpoint ended at once")?.parse().context("an endpoint's port")?;
        Ok(Self { child, port })
    }
}

/// The bytes at `range` of every body.
pub(super) fn bytes(range: Range<u64>) -> Vec<u8> {
    range.map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

/// Serves until it is ended; prints its port first.
pub async fn serve(name: &str) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listen as an endpoint")?;
    println!("{}", listener.local_addr()?.port());
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        let name = name.to_owned();
        // A connection that breaks is the other side's to tell.
        connections.spawn(async move { drop(talk(stream, &name).await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn talk(stream: TcpStream, name: &str) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut first, mut if_range) = (String::new(), 0_u64, None);
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut words = line.split(' ');
        let (is_head, path) = (words.next() == Some("HEAD"), words.next().unwrap_or_default());
        let length = path.trim_start_matches('/').parse::<u64>().unwrap_or(0);
        if length > BODY_MAX_BYTES {
            bail!("a body of {length} bytes");
        }
        loop {
            let mut field = String::new();
            if stream.read_line(&mut field).await? <= 2 {
                break;
            }
            let (name, value) = field.trim_end().split_once(": ").unwrap_or_default();
            if name.eq_ignore_ascii_case("range") {
                let from = value.strip_prefix("bytes=").and_then(|range| range.split_once('-')?.0.parse().ok());
                first = from.unwrap_or(0);
            } else if name.eq_ignore_ascii_case("if-range") {
                if_range = Some(value.to_owned());
            }
        }
        let etag = format!("\"{length}\"");
        if if_range.is_some_and(|wanted| wanted != etag) || first >= length {
            first = 0;
        }
        let status = if first > 0 {
            format!("206 Partial Content\r\ncontent-range: bytes {first}-{}/{length}", length.saturating_sub(1))
        } else {
            "200 OK".to_owned()
        };
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: {etag}\r\n{WHO}: {name}\r\n\r\n", length - first);
        let mut out = head.into_bytes();
        let paced = length > AT_ONCE_BYTES;
        if !is_head && !paced {
            out.extend(bytes(first..length));
        }
        stream.get_mut().write_all(&out).await?;
        if is_head || !paced {
            continue;
        }
        let (began, from) = (Instant::now(), first);
        while first < length {
            let end = length.min(first + PIECE_BYTES);
            stream.get_mut().write_all(&bytes(first..end)).await?;
            first = end;
            let due = Duration::from_micros((first - from) * 1_000_000 / BYTES_PER_S);
            tokio::time::sleep_until((began + due).into()).await;
        }
    }
}

//! Large bodies over connections that stay open, read as fast as they come and dropped inside the kernel.
//!
//! `wrk` reads 8 KiB at a time. With bodies of a mebibyte it needs more of the processor than any cache that it asks, so what
//! it says is its own speed. Here each body is counted and thrown away where it lies (`MSG_TRUNC`, tcp(7)), without a copy.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::net::RecvFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::load::{Heard, Load};
use crate::samples::Samples;

/// More than any answer takes.
const DEADLINE: Duration = Duration::from_secs(10);
/// Room for a head and what comes with it.
const HEAD_BYTES: usize = 16 << 10;
/// The most that one call drops.
const DROP_MAX_BYTES: usize = 1 << 20;

/// Asks for `path` over and over, each answer being one of `length` bytes; one thread for all connections, as `wrk -t1` has.
pub(super) async fn run(load: Load, port: u16, path: &str, length: u64) -> Result<Heard> {
    let path = path.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(all(load, port, &path, length))
    });
    work.await.context("the load")?
}

async fn all(load: Load, port: u16, path: &str, length: u64) -> Result<Heard> {
    let began = Instant::now();
    let until = began + Duration::from_secs(u64::from(load.seconds));
    let mut tasks = JoinSet::new();
    for _ in 0..load.connections {
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
            let (mut delays_ms, mut room) = (Vec::new(), vec![0; DROP_MAX_BYTES]);
            while Instant::now() < until {
                let asked = Instant::now();
                timeout(DEADLINE, one(&mut stream, &request, length, &mut room)).await.context("no answer in time")??;
                delays_ms.push(asked.elapsed().as_secs_f64() * 1000.0);
            }
            Ok::<_, anyhow::Error>(delays_ms)
        });
    }
    let mut delays_ms = Samples::default();
    let mut answers = 0_u32;
    while let Some(ended) = tasks.join_next().await {
        for delay_ms in ended.context("a connection")?? {
            delays_ms.add(delay_ms);
            answers += 1;
        }
    }
    let answers = f64::from(answers);
    let rate = answers / began.elapsed().as_secs_f64();
    Ok(Heard { answers, rate, p50_ms: delays_ms.percentile(50), p99_ms: delays_ms.percentile(99) })
}

/// One request; its body is counted and dropped.
async fn one(stream: &mut TcpStream, request: &str, length: u64, room: &mut [u8]) -> Result<()> {
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    let end = loop {
        if head.len() >= HEAD_BYTES || stream.read_buf(&mut head).await? == 0 {
            bail!("no head of an answer");
        }
        if let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
    };
    if !head.starts_with(b"HTTP/1.1 200") {
        bail!("the answer is {}", String::from_utf8_lossy(&head[..end]));
    }
    let mut rest = length.checked_sub((head.len() - end - 4) as u64).context("a body longer than the object")?;
    while rest > 0 {
        stream.readable().await?;
        let most = usize::try_from(rest).unwrap_or(usize::MAX).min(DROP_MAX_BYTES);
        let dropped = stream.try_io(Interest::READABLE, || {
            let (_, dropped) = rustix::net::recv(&*stream, &mut room[..most], RecvFlags::TRUNC)?;
            Ok(dropped)
        });
        match dropped {
            Ok(0) => bail!("the body ended {rest} bytes early"),
            Ok(dropped) => rest -= dropped as u64,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

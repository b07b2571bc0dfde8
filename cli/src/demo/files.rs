//! Files of the scenarios: their digest, and a server that hands out one of them (as far as it is told to).

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// SHA-256 of a file, lower-case hex.
pub async fn sha256(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).await.with_context(|| format!("open {}", path.display()))?;
    let mut digest = Sha256::new();
    let mut block = vec![0; 256 * 1024];
    loop {
        let length = file.read(&mut block).await?;
        if length == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&block[..length]);
    }
}

/// Serves `path` at every URL of the returned address until the task is dropped (`JoinSet` or abort).
pub async fn serve(path: &Path) -> anyhow::Result<(SocketAddr, tokio::task::JoinSet<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let path = path.to_owned();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = async {
                let mut head = vec![0; 8192];
                let mut length = 0;
                while length < head.len() && !head[..length].windows(4).any(|end| end == b"\r\n\r\n") {
                    let read = stream.read(&mut head[length..]).await?;
                    if read == 0 {
                        return Ok(());
                    }
                    length += read;
                }
                let mut file = File::open(&path).await?;
                let size = file.metadata().await?.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                tokio::io::copy(&mut file, &mut stream).await?;
                stream.shutdown().await
            };
            // A client that goes away is the client's business.
            let _: std::io::Result<()> = answer.await;
        }
    });
    Ok((address, task))
}

//! One client: asks over a connection that stays open, and checks every byte of the answer.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::endpoint::WHO;

/// What is read at a time.
const READ_BYTES: usize = 64 << 10;
/// The longest head that is read.
const HEAD_MAX_BYTES: usize = 16 << 10;

/// A whole answer with the right bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The endpoint that answered, or began to.
    pub who: String,
    /// The longest time without a byte in the middle of it.
    pub pause: Duration,
}

/// Why there was none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// The connection had ended before the request came; another one may be tried (RFC 9112 section 9.3.1).
    #[error("the connection had ended")]
    Ended,
    /// Anything else.
    #[error(transparent)]
    Wrong(#[from] anyhow::Error),
}

/// Asks for `path`; the answer must be 200 with `body`.
pub(super) async fn ask(stream: &mut TcpStream, path: &str, body: &[u8]) -> Result<Answer, Failed> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    if stream.write_all(request.as_bytes()).await.is_err() {
        return Err(Failed::Ended);
    }
    let mut read = vec![0; READ_BYTES];
    let mut head = Vec::new();
    let end = loop {
        match stream.read(&mut read).await {
            Ok(0) | Err(_) if head.is_empty() => return Err(Failed::Ended),
            Ok(0) => return Err(anyhow::anyhow!("the answer's head broke off").into()),
            Ok(length) => head.extend_from_slice(&read[..length]),
            Err(error) => return Err(anyhow::Error::from(error).context("read a head").into()),
        }
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if head.len() > HEAD_MAX_BYTES {
            return Err(anyhow::anyhow!("the answer's head has no end").into());
        }
    };
    let who = check_head(&head[..end], body.len())?;
    let (mut seen, mut pause, mut last) = (head.len() - end, Duration::ZERO, Instant::now());
    compare(&head[end..], body, 0)?;
    while seen < body.len() {
        let length = stream.read(&mut read).await.context("read a body")?;
        if length == 0 {
            return Err(anyhow::anyhow!("the body broke off after {seen} of {} bytes", body.len()).into());
        }
        compare(&read[..length], body, seen)?;
        seen += length;
        pause = pause.max(last.elapsed());
        last = Instant::now();
    }
    Ok(Answer { who, pause })
}

/// Who answers.
fn check_head(head: &[u8], length: usize) -> Result<String> {
    let head = String::from_utf8_lossy(head);
    let field = |name: &str| {
        let fields = head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).next()
    };
    if !head.starts_with("HTTP/1.1 200") || field("content-length") != Some(length.to_string()) {
        bail!("the answer is {}", head.trim_end());
    }
    field(WHO).context("the answer does not say who gave it")
}

fn compare(got: &[u8], body: &[u8], at: usize) -> Result<()> {
    if body.get(at..at + got.len()) == Some(got) { Ok(()) } else { bail!("wrong bytes after {at}") }
}

//! The server at the end of the row: reads requests by the letter of RFC 9112, notes each, and complains of everything that
//! a careful server would have to guess about.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::answers::Lie;

/// A request that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its target.
    pub target: String,
    /// Its Host.
    pub host: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// A server that answers each request with its method and target, to be kept by whoever likes.
#[derive(Debug)]
pub struct Witness {
    /// Where it listens.
    pub address: SocketAddr,
    notes: Arc<Notes>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Notes {
    seen: Mutex<Vec<Seen>>,
    complaints: Mutex<Vec<String>>,
    lies: Mutex<HashMap<String, Lie>>,
}

// === impl Witness ===

impl Witness {
    /// Listens on loopback.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let notes = Arc::new(Notes::default());
        let shared = Arc::clone(&notes);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(talk(stream, Arc::clone(&shared)));
            }
        });
        Self { address, notes, task }
    }

    /// From now on requests for `target` are answered so.
    pub fn lie(&self, target: &str, lie: Lie) {
        locked(&self.notes.lies).insert(target.to_owned(), lie);
    }

    /// From now on everything is answered honestly.
    pub fn be_honest(&self) {
        locked(&self.notes.lies).clear();
    }

    /// What arrived so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        locked(&self.notes.seen).clone()
    }

    /// What arrived that has no one meaning.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        locked(&self.notes.complaints).clone()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn talk(mut stream: TcpStream, notes: Arc<Notes>) {
    let mut read = Vec::new();
    loop {
        let seen = match next(&mut stream, &mut read).await {
            Ok(Some(seen)) => seen,
            Ok(None) => return,
            Err(complaint) => return locked(&notes.complaints).push(complaint),
        };
        let lie = locked(&notes.lies).get(&seen.target).cloned();
        let (bytes, closes) = match lie {
            Some(lie) => (lie.bytes, lie.closes),
            None => (honest(&seen), false),
        };
        locked(&notes.seen).push(seen);
        // Whoever asked may be gone.
        if stream.write_all(&bytes).await.is_err() || closes {
            return;
        }
    }
}

fn honest(seen: &Seen) -> Vec<u8> {
    let body = format!("{} {}", seen.method, seen.target);
    let shown = if seen.method == "HEAD" { "" } else { body.as_str() };
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nCache-Control: public, max-age=600\r\nETag: \"{body}\"\r\nContent-Length: {length}\r\n\r\n{shown}")
        .into_bytes()
}

/// The next request; `Ok(None)` where the connection ends between two, or within a body that its sender gave up.
async fn next(stream: &mut TcpStream, read: &mut Vec<u8>) -> Result<Option<Seen>, String> {
    let end = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if !more(stream, read).await {
            let is_clean = read.is_empty();
            return if is_clean { Ok(None) } else { Err(format!("an end within {}", text(read))) };
        }
    };
    let head: Vec<u8> = read.drain(..end).collect();
    let complaint = |what: &str| format!("{what}: {}", text(&head));
    let lines: Vec<&[u8]> = head[..end - 4].split(|byte| *byte == b'\n').collect();
    let last = lines.len() - 1;
    let mut plain = Vec::new();
    for (at, line) in lines.into_iter().enumerate() {
        let line = if at == last { Some(line) } else { line.strip_suffix(b"\r") };
        let line = line.ok_or_else(|| complaint("a bare line feed"))?;
        if line.iter().any(|byte| matches!(byte, 0 | b'\r')) {
            return Err(complaint("NUL or a carriage return"));
        }
        plain.push(text(line));
    }
    let first: Vec<String> = plain[0].split(' ').map(str::to_owned).collect();
    let [method, target, version] = <[String; 3]>::try_from(first).map_err(|_| complaint("no request line"))?;
    if version != "HTTP/1.1" || !target.starts_with('/') {
        return Err(complaint("another version or form"));
    }
    let (mut lengths, mut codings, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    for line in &plain[1..] {
        let (name, value) = line.split_once(':').ok_or_else(|| complaint("a line without a colon"))?;
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(complaint("a name that is none"));
        }
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.trim().to_owned()),
            "transfer-encoding" => codings.push(value.trim().to_ascii_lowercase()),
            "host" => hosts.push(value.trim().to_owned()),
            _ => {}
        }
    }
    let length = match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Some(0),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => length.parse::<usize>().ok(),
        ([], [coding]) if coding == "chunked" => None,
        _ => return Err(complaint("no one length")),
    };
    let Ok([host]) = <[String; 1]>::try_from(hosts) else { return Err(complaint("not one Host")) };
    let body = match length {
        Some(length) => counted(stream, read, length).await,
        None => chunked(stream, read).await?,
    };
    Ok(body.map(|body| Seen { method, target, host, body }))
}

async fn counted(stream: &mut TcpStream, read: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while read.len() < length {
        if !more(stream, read).await {
            return None;
        }
    }
    Some(read.drain(..length).collect())
}

async fn chunked(stream: &mut TcpStream, read: &mut Vec<u8>) -> Result<Option<Vec<u8>>, String> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = read.windows(2).position(|two| two == b"\r\n") {
                break at;
            }
            if !more(stream, read).await {
                return Ok(None);
            }
        };
        let line: Vec<u8> = read.drain(..end + 2).collect();
        let digits = text(&line[..end]);
        let size =
            usize::from_str_radix(&digits, 16).ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let size = size.ok_or_else(|| format!("the chunk {digits:?}"))?;
        let Some(chunk) = counted(stream, read, size + 2).await else { return Ok(None) };
        if &chunk[size..] != b"\r\n" {
            return Err(format!("a chunk that ends in {}", text(&chunk[size..])));
        }
        body.extend_from_slice(&chunk[..size]);
        if size == 0 {
            return Ok(Some(body));
        }
    }
}

async fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> bool {
    matches!(stream.read_buf(read).await, Ok(1..))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

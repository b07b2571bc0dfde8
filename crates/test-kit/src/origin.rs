//! An origin that is nobody's product: it answers GET with what a function gives for a path, such as the files of a folder. For media
//! that no service of ours would serve: segments that are missing or broken, playlists that break a rule.
//!
//! One request a connection, one thread a connection, on a port of its own; it ends when it is dropped. It knows nothing of ranges.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a client may take for its request.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is answered for a path with its query; nothing is a 404.
type Answer = dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync;

/// An origin that runs.
pub struct Origin {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

// === impl Origin ===

impl Origin {
    /// Serves the files of a folder, as they are when they are asked for.
    #[must_use]
    pub fn of_folder(folder: &Path) -> Self {
        let folder = folder.to_owned();
        Self::of(move |path| std::fs::read(folder.join(path.split('?').next()?.trim_start_matches('/'))).ok())
    }

    /// Serves what `answer` gives.
    ///
    /// # Panics
    /// No port is free.
    #[must_use]
    pub fn of(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (answer, stop): (Arc<Answer>, _) = (Arc::new(answer), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                for stream in listener.incoming().flatten() {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    let answer = Arc::clone(&answer);
                    scope.spawn(move || serve(stream, &answer));
                }
            });
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A client that goes away is no fault.
fn serve(stream: TcpStream, answer: &Arc<Answer>) {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let mut reader = BufReader::new(&stream);
    let mut request = String::new();
    if reader.read_line(&mut request).is_err() {
        return;
    }
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
        line.clear();
    }
    let body = request.split(' ').nth(1).and_then(|path| answer(path));
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    let kind = if body.starts_with(b"#EXTM3U") { "application/vnd.apple.mpegurl" } else { "application/octet-stream" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = &stream;
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

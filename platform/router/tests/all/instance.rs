//! An endpoint in a process of its own that can go wrong in every way that an endpoint can.

use std::net::SocketAddr;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// A web server in a process of its own, with strong ETags and ranges.
const SERVER: &str = r#"
import re, socket, struct, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
def body(size):
    # No piece of 64 KiB is like another: one that comes too early or too late is seen.
    one = bytes((at * 31 + (at >> 8)) & 255 for at in range(65536))
    moved = (bytes((byte + 7 * piece) & 255 for byte in range(256)) for piece in range(size // 65536 + 1))
    return b"".join(one.translate(table) for table in moved)
BODIES = {size: body(size)[:size] for size in (1024, 65536, 4194304)}
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536
    def log_message(self, *_): pass
    def do_HEAD(self): self.do_GET()
    fault = None
    wronged = 0
    def wrong(self):
        Handler.wronged += 1
    def reset(self):
        self.wrong()
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True
    def do_GET(self):
        if self.path.startswith("/fault/"):
            Handler.fault = self.path[7:]
            self.send_response(204)
            self.send_header("wronged", str(Handler.wronged))
            self.end_headers()
            return
        fault = Handler.fault if self.path != "/health/live" else None
        if fault == "500":
            self.wrong()
            self.send_response(500)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        whole = BODIES.get(int(re.sub(r"[^0-9]", "", self.path) or 1024), BODIES[1024])
        first, status = 0, 200
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("range", ""))
        etag = '"%d"' % len(whole)
        if wanted and self.headers.get("if-range", etag) == etag:
            first, status = int(wanted[1]), 206
        left = len(whole) - first
        if fault == "reset" and left <= 65536: return self.reset()
        # What it says of its length is more or less than what it sends.
        said = {"too-long": left, "too-short": left // 2}.get(fault, left)
        self.send_response(status)
        self.send_header("etag", etag)
        self.send_header("content-length", str(said))
        if status == 206:
            self.send_header("content-range", "bytes %d-%d/%d" % (first, len(whole) - 1, len(whole)))
        self.end_headers()
        for at in range(first, len(whole) if self.command != "HEAD" else 0, 65536):
            self.wfile.write(whole[at:at + 65536][:512 if fault == "too-long" else None])
            if fault == "too-long": self.wrong(); self.close_connection = True; return
            if fault == "reset": return self.reset()
            # So that a body of 4 MiB is on its way for most of the time between two of them.
            if len(whole) > 65536: time.sleep(0.002)
class Server(ThreadingHTTPServer):
    daemon_threads = True
    # Clients that all come anew, because their connections broke, are not to meet a full queue.
    request_queue_size = 1024
    def handle_error(self, *_): pass
server = Server(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// The server, which can be killed, stopped, and told to do wrong.
pub struct Instance {
    pub child: Child,
    pub address: SocketAddr,
}

// === impl Instance ===

impl Instance {
    pub async fn start() -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", SERVER]).stdout(std::process::Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut port = String::new();
        let mut stdout = child.stdout.take().unwrap();
        while !port.ends_with('\n') {
            port.push(char::from(stdout.read_u8().await.unwrap()));
        }
        Self { child, address: ([127, 0, 0, 1], port.trim().parse().unwrap()).into() }
    }

    /// Lets it do wrong from now on: `reset` (before an answer of up to 64 KiB, in the middle of a longer one), `500`, or a
    /// Content-Length that is `too-long` or `too-short`.
    /// How many answers it spoilt so far.
    pub async fn goes_wrong(&self, fault: &str) -> usize {
        let answer = reqwest::get(format!("http://{}/fault/{fault}", self.address)).await.unwrap();
        assert_eq!(answer.status(), 204);
        answer.headers()["wronged"].to_str().unwrap().parse().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

/// The first `size` bytes of what every instance has.
pub fn bytes(size: usize) -> Vec<u8> {
    let byte = |at: usize, piece: usize| at * 31 + (at >> 8) + piece * 7;
    (0..size).map(|at| byte(at % 65_536, at / 65_536) as u8).collect()
}

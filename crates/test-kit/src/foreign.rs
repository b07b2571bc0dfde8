//! A web server that nobody here wrote, and its access log: what it says was asked of it is nobody's claim about himself. Python's own
//! server of files, on a machine of a [`Network`]; it knows no ranges and gives no ETag.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::Network;

/// It says that files may be kept for a minute; Python's class alone says nothing of that.
const SERVER: &str = r#"
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def end_headers(self):
        self.send_header("Cache-Control", "public, max-age=60")
        super().end_headers()
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"#;

/// The server, which ends when it is dropped.
#[derive(Debug)]
pub struct Foreign {
    child: Child,
    log: PathBuf,
}

// === impl Foreign ===

impl Foreign {
    /// Serves the files of `folder` at `port` of the machine `node`; its log is the file `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(network: &Network, node: &str, port: u16, folder: &Path, log: &Path) -> Self {
        let written = fs::File::create(log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let mut command = network.command(node, "python3");
        command.args(["-c", SERVER]).arg(network.address(node).to_string()).arg(port.to_string());
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(written);
        let child = command.spawn().unwrap_or_else(|error| panic!("python3: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// What its log says of GETs for `path`, a line each.
    ///
    /// # Panics
    /// When the log cannot be read.
    #[must_use]
    pub fn asked(&self, path: &str) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_else(|error| panic!("{}: {error}", self.log.display()));
        let asked = format!("\"GET {path} HTTP/1.1\"");
        text.lines().filter(|line| line.contains(&asked)).map(str::to_owned).collect()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // One that has ended needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A SeaweedFS of a test's own: an S3 that nobody here wrote, on a folder and ports of its own, gone with the test.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::{Scratch, eventually, ports, repository};

/// Time in which it is up; the first time it is fetched before.
const PATIENCE: Duration = Duration::from_secs(180);
/// Who may do everything there.
pub const ACCESS_KEY: &str = "flame";
/// With this secret.
pub const SECRET_KEY: &str = "secret-of-the-tests";

/// A running server without buckets.
#[derive(Debug)]
pub struct Seaweed {
    folder: Scratch,
    /// Of each part, its port and the one at which the other parts speak with it; S3's first.
    ports: [u16; 8],
    server: Option<Child>,
}

// === impl Seaweed ===

impl Seaweed {
    /// Starts a server.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start() -> Self {
        let mut seaweed = Self { folder: Scratch::new("seaweedfs"), ports: ports::free_tcp(), server: None };
        fs::create_dir(seaweed.folder.join("data")).expect("a scratch folder can be written");
        let identity = serde_json::json!({ "identities": [{
            "name": "flame", "credentials": [{ "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY }],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }] });
        fs::write(seaweed.folder.join("s3.json"), identity.to_string()).expect("a scratch folder can be written");
        seaweed.resume().await;
        seaweed
    }

    /// Where S3 is spoken, a URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// Kills it; what it holds stays.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn halt(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().expect("a child of ours can be killed");
            server.wait().expect("a child of ours can be waited for");
        }
    }

    /// Starts it again after [`Seaweed::halt`], at the same address.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn resume(&mut self) {
        let mut command = Command::new(repository().join("media-tests/judges/seaweedfs"));
        command.args([
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]);
        command.arg(format!("-dir={}", self.folder.join("data").display()));
        command.arg(format!("-s3.config={}", self.folder.join("s3.json").display()));
        for (part, pair) in ["s3", "master", "volume", "filer"].into_iter().zip(self.ports.chunks(2)) {
            command.arg(format!("-{part}.port={}", pair[0])).arg(format!("-{part}.port.grpc={}", pair[1]));
        }
        // Little disk for what is written, and none that has to be left free.
        command.args(["-master.volumeSizeLimitMB=64", "-volume.max=40", "-volume.minFreeSpace=0"]);
        let log = fs::File::create(self.folder.join("log")).expect("a scratch folder can be written");
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir(self.folder.path());
        self.server = Some(server.spawn().expect("the server starts"));
        eventually(PATIENCE, || {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let ended =
                self.server.as_mut().and_then(|server| server.try_wait().expect("a child of ours can be waited for"));
            assert!(ended.is_none(), "SeaweedFS ended:\n{}", log());
            let (port, log) = (self.ports[0], log());
            async move { TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| format!("{error}: {log}")) }
        })
        .await;
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
        // Killed, it leaves its sockets; their names end in its ports.
        let left = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten().filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_ours = |port: &u16| name.ends_with(&format!("-{port}.sock"));
            name.starts_with("seaweedfs-") && self.ports.iter().any(is_ours)
        });
        left.for_each(|entry| drop(fs::remove_file(entry.path())));
    }
}

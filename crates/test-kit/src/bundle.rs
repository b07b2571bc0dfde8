//! The whole product as its users start it: one `flame up` on free ports, with a data folder of its own.
//!
//! It is a process, not a library: what a test sees is what a user gets, and it can be killed at any moment.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::programs::program;
use crate::{Scratch, eventually};

/// Time that a start may take on a busy machine.
const START: Duration = Duration::from_secs(60);
/// Settings of the person who runs the tests; they are not for the test.
const SETTINGS: [&str; 4] = ["FLAME_ROUTER", "FLAME_TOKEN", "FLAME_DATA", "FLAME_LISTEN"];

/// A running `flame up`; killed, and its folder deleted, when dropped.
#[derive(Debug)]
pub struct Bundle {
    router: String,
    /// What commands show, where callers need a token.
    token: Option<String>,
    // The process goes before its folder.
    process: Process,
    scratch: Scratch,
}

#[derive(Debug)]
struct Process(Child);

// === impl Bundle ===

impl Bundle {
    /// Starts everything and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready; the message holds its log.
    pub async fn up() -> Self {
        Self::up_with(&[]).await
    }

    /// Starts everything where other machines can reach it: callers need tokens. Commands have one that reads and writes.
    ///
    /// # Panics
    /// When it does not become ready; the message holds its log.
    pub async fn up_for_others() -> Self {
        Self::up_for_others_with(&[]).await
    }

    /// The same, with further arguments of `flame up`.
    ///
    /// # Panics
    /// When it does not become ready; the message holds its log.
    pub async fn up_for_others_with(arguments: &[&str]) -> Self {
        let mut bundle = Self::start("0.0.0.0:0", arguments).await;
        bundle.router = bundle.router.replace("0.0.0.0", "127.0.0.1");
        let issued = bundle.json(&["token", "issue", "--scope", "read,write"]);
        bundle.token = Some(issued["token"].as_str().expect("a token").to_owned());
        bundle
    }

    /// Starts everything on loopback with further arguments of `flame up`.
    ///
    /// # Panics
    /// When it does not become ready; the message holds its log.
    pub async fn up_with(arguments: &[&str]) -> Self {
        Self::start("127.0.0.1:0", arguments).await
    }

    async fn start(listen: &str, arguments: &[&str]) -> Self {
        let scratch = Scratch::new("bundle");
        let log = File::create(scratch.join("log")).expect("scratch is writable");
        let child = flame(&scratch)
            .args(["up", "--listen", listen, "--allow-private-pulls"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("flame starts");
        let mut process = Process(child);
        let pid = process.0.id();
        let router = eventually(START, || {
            let holder = std::fs::read_to_string(scratch.join("data/flame.lock")).unwrap_or_default();
            let holder: Value = serde_json::from_str(&holder).unwrap_or_default();
            let log = || std::fs::read_to_string(scratch.join("log")).unwrap_or_default();
            if let Some(status) = process.0.try_wait().expect("a child of ours can be waited for") {
                panic!("flame up ended ({status}):\n{}", log());
            }
            let router = holder["router"].as_str().filter(|_| holder["pid"] == pid && holder["ready"] == true);
            let found = router.map(str::to_owned).ok_or_else(|| format!("flame up is not ready:\n{}", log()));
            async move { found }
        })
        .await;
        Self { router: format!("http://{router}"), token: None, process, scratch }
    }

    /// The router, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn router(&self) -> &str {
        &self.router
    }

    /// The process, to look at or to kill.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// The folder with all that it keeps.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.scratch.join("data")
    }

    /// Everything it logged.
    ///
    /// # Panics
    /// When the log is gone.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.join("log")).expect("the log was opened at the start")
    }

    /// Runs a client command against it, as a user would.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn flame(&self, arguments: &[&str]) -> Output {
        let mut command = flame(&self.scratch);
        command.envs(self.token.as_ref().map(|token| ("FLAME_TOKEN", token)));
        command.args(arguments).env("FLAME_ROUTER", &self.router).output().expect("flame starts")
    }

    /// Runs a client command that succeeds, with `--json`.
    ///
    /// # Panics
    /// When it fails, or prints something else.
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.flame(&[arguments, &["--json"]].concat());
        let complaint = || format!("{arguments:?}: {}\n{}", String::from_utf8_lossy(&ran.stderr), self.log());
        assert!(ran.status.success(), "{}", complaint());
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", complaint()))
    }
}

fn flame(scratch: &Scratch) -> Command {
    let mut command = Command::new(program("flame"));
    for setting in SETTINGS {
        command.env_remove(setting);
    }
    command.env("FLAME_DATA", scratch.join("data")).stdin(Stdio::null());
    command
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

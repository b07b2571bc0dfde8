//! A world: one `flame up` on free ports and a data folder of its own, gone when it is dropped.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use flame_test_kit::{Scratch, wait_for};
use serde_json::Value;

/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub scratch: Scratch,
    pub router: String,
    /// The point at which the next start of it ends as by `kill -9`; none where it is empty.
    pub fault: String,
    child: Option<Child>,
    extra: Vec<String>,
}

/// A finished command.
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

/// Runs `flame` with these arguments, away from the user's own settings.
pub fn flame(arguments: &[&str]) -> Ran {
    run(command().args(arguments))
}

pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flame"));
    command.env_remove("FLAME_ROUTER").env_remove("FLAME_TOKEN").env_remove("FLAME_DATA").env_remove("FLAME_LISTEN");
    command.env_remove("FLAME_RTMP").env_remove("FLAME_SRT");
    command.stdin(Stdio::null());
    command
}

pub fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().expect("flame starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    Ran { status: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

// === impl World ===

impl World {
    pub fn up() -> Self {
        Self::up_with(&["--listen", "127.0.0.1:0", "--allow-private-pulls"])
    }

    pub fn up_with(extra: &[&str]) -> Self {
        let extra = extra.iter().map(|argument| (*argument).to_owned()).collect();
        let scratch = Scratch::new("cli");
        let mut world = Self { scratch, router: String::new(), fault: String::new(), child: None, extra };
        world.start();
        world
    }

    pub fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Starts `flame up` (again), and waits until it says that it is ready.
    pub fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.scratch.path().join("log")).unwrap();
        let mut up = command();
        up.arg("up").arg("--data").arg(self.data()).args(&self.extra).env("FLAME_FAULT", &self.fault);
        let child = up.stdout(Stdio::null()).stderr(log).spawn().expect("flame starts");
        let pid = child.id();
        self.child = Some(child);
        let holder = wait_for(PATIENCE, || {
            let text = std::fs::read_to_string(self.data().join("flame.lock")).unwrap_or_default();
            let holder: Value = serde_json::from_str(&text).unwrap_or_default();
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "flame up ended ({ended:?}):\n{}", self.log());
            let ready = holder["pid"] == pid && holder["ready"] == true;
            if ready { Ok(holder) } else { Err(format!("flame up is not ready:\n{}", self.log())) }
        });
        self.router = format!("http://{}", holder["router"].as_str().unwrap().replace("0.0.0.0", "127.0.0.1"));
    }

    /// `kill -9`: what was running ends in the middle of whatever it did.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("a child of ours can be killed");
        child.wait().expect("a killed child ends");
    }

    /// Waits until it ends; its exit status.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.take().expect("it runs").wait().expect("a child of ours can be waited for").code()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }

    /// Runs a client command against this world.
    pub fn flame(&self, arguments: &[&str]) -> Ran {
        run(command().args(arguments).env("FLAME_ROUTER", &self.router))
    }

    /// Runs a client command that succeeds, with `--json`.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.flame(&[arguments, &["--json"]].concat());
        assert_eq!(ran.status, 0, "{arguments:?}: {}\n{}", ran.err, self.log());
        serde_json::from_str(&ran.out).expect("--json prints JSON")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

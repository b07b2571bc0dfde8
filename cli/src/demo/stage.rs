//! The stage of a scenario: a `flame up` of its own as a child process, on free ports and a temporary folder.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use flame_api::Client;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use url::Url;

use super::place::Place;
use crate::data;

/// How long a start may take before it is given up.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long an orderly stop may take before it is cut short.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// How often the state is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A stage; everything on it goes when it is closed or dropped.
#[derive(Debug)]
pub struct Stage {
    folder: TempDir,
    child: Option<Child>,
    router: Option<Url>,
}

// === impl Stage ===

impl Stage {
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("flame-demo-").tempdir().context("create a temporary folder")?;
        Ok(Self { folder, child: None, router: None })
    }

    /// The data folder of the services.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A path for a file of the scenario's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The router, once the services have been up.
    pub fn router(&self) -> Option<&Url> {
        self.router.as_ref()
    }

    /// Starts the services and waits until all of them are ready. Returns how long it took.
    pub async fn up(&mut self) -> anyhow::Result<(Client, Duration)> {
        self.up_with(&[]).await
    }

    /// The same with further arguments.
    pub async fn up_with(&mut self, arguments: &[&str]) -> anyhow::Result<(Client, Duration)> {
        let program = std::env::current_exe().context("find this program")?;
        self.up_by(Command::new(program), arguments).await
    }

    /// The same on a machine of `place`: the router that is returned is reached from that machine only.
    pub async fn up_on(&mut self, place: &Place, machine: &str) -> anyhow::Result<(Client, Duration)> {
        let program = std::env::current_exe().context("find this program")?;
        let command = match place.network() {
            Some(network) => Command::from(network.command(machine, program)),
            None => Command::new(program),
        };
        self.up_by(command, &[]).await
    }

    async fn up_by(&mut self, mut command: Command, arguments: &[&str]) -> anyhow::Result<(Client, Duration)> {
        let began = Instant::now();
        let log = std::fs::File::options().create(true).append(true).open(self.path("flame.log"))?;
        let child = command
            .args(["up", "--listen", "127.0.0.1:0", "--allow-private-pulls", "--stop-with-stdin", "--data"])
            .arg(self.data())
            .args(arguments)
            // Ends with this process, however that ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C in the terminal is for the tour, which then stops the services itself.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("start the services")?;
        let child = self.child.insert(child);
        loop {
            let holder =
                data::holder(&self.folder.path().join("data"))?.filter(|holder| Some(holder.pid) == child.id());
            if let Some(holder) = holder.filter(|holder| holder.ready) {
                let router = Url::parse(&format!("http://{}", holder.router))?;
                self.router = Some(router.clone());
                return Ok((Client::new(router, None), began.elapsed()));
            }
            if let Some(status) = child.try_wait()? {
                bail!(
                    "the services ended at their start ({status}): {}",
                    last_line(&self.folder.path().join("flame.log"))
                );
            }
            if began.elapsed() > START_PATIENCE {
                bail!("the services were not ready after {} s", START_PATIENCE.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Kills the services as a power cut would (`kill -9`).
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("nothing runs")?;
        child.kill().await.context("kill the services")
    }

    /// Stops the services in good order.
    pub async fn close(mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && kill_process(pid, Signal::TERM).is_ok()
            && tokio::time::timeout(STOP_PATIENCE, child.wait()).await.is_ok()
        {
            return;
        }
        // It goes anyway; an error here would only hide what the scenario found.
        let _ = child.kill().await;
    }
}

fn last_line(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().last().unwrap_or("it said nothing").to_owned()
}

//! Stores that nobody here wrote, as Debian has them, each on ports and in a folder of its own.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use flame_test_kit::{Scratch, eventually, ports};
use tokio::process::{Child, Command};

/// Time that a start may take on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Starts InfluxDB on `port`; `None` where it is not installed. Ends when it is dropped.
pub async fn influxdb(folder: &Scratch, port: u16) -> Option<(Child, String)> {
    let program =
        ["/usr/bin/influxd", "/usr/sbin/influxd"].into_iter().find(|path| fs::exists(path).unwrap_or(false))?;
    let [rpc] = ports::free_tcp();
    let data = folder.path().display();
    let config = format!(
        "reporting-disabled = true\nbind-address = \"127.0.0.1:{rpc}\"\n[meta]\ndir = \"{data}/meta\"\n[data]\ndir = \"{data}/data\"\n\
         wal-dir = \"{data}/wal\"\n[http]\nbind-address = \"127.0.0.1:{port}\"\nlog-enabled = false\n[monitor]\nstore-enabled = false\n"
    );
    let file = folder.join("influxdb.conf");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(program);
    command.args(["run", "-config"]).arg(file);
    Some(started(command, port, "/ping").await)
}

/// Starts VictoriaMetrics on `port`; `None` where it is not installed. Ends when it is dropped.
pub async fn victoria_metrics(folder: &Scratch, port: u16) -> Option<(Child, String)> {
    let program = "/usr/bin/victoria-metrics";
    if !fs::exists(program).unwrap_or(false) {
        return None;
    }
    let mut command = Command::new(program);
    command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
    command.arg(format!("-storageDataPath={}", folder.join("data").display()));
    Some(started(command, port, "/health").await)
}

/// Starts a server, and waits until it answers at `path`.
pub async fn started(mut command: Command, port: u16, path: &str) -> (Child, String) {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let base = format!("http://127.0.0.1:{port}");
    eventually(START, || async {
        reqwest::get(format!("{base}{path}")).await.and_then(reqwest::Response::error_for_status)
    })
    .await;
    (child, base)
}

//! `flame doctor`: looks at this machine, and says of each thing that is missing what it costs.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::anyhow;
use flame_media_child::find_program;
use flame_service_host::disk::DiskGuard;
use serde::Serialize;

use crate::args::{self, Global};
use crate::data;
use crate::exit::Exit;
use crate::output;
use crate::ports;
use crate::up::{RTMP_PORT, SRT_PORT, WHIP_PORT};

/// Below this share of free disk the services refuse writes.
const MIN_FREE_PERCENT: f64 = 5.0;
/// A group of the range for documentation and examples (RFC 6676): nobody else's traffic.
const TEST_GROUP: Ipv4Addr = Ipv4Addr::new(233, 252, 0, 1);

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    detail: String,
    /// What its absence costs, and what to do.
    #[serde(skip_serializing_if = "str::is_empty")]
    cost: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    /// Something optional is missing.
    Limited,
    /// `flame up` or a job would fail.
    Bad,
}

pub async fn run(global: &Global, args: &args::Doctor) -> Result<(), Exit> {
    let folder = data::folder(args.data.as_deref())?;
    let findings = tokio::task::spawn_blocking(move || examine(&folder)).await.map_err(anyhow::Error::new)?;
    if global.json {
        output::print_json(&findings)?;
    } else {
        let mut table = output::table(&["", "what", "found", "what it costs"]);
        for finding in &findings {
            let mark = match finding.state {
                State::Good => "ok",
                State::Limited => "--",
                State::Bad => "!!",
            };
            table.add_row([mark, finding.what, &finding.detail, finding.cost]);
        }
        output::print_line(&table.trim_fmt())?;
    }
    let bad: Vec<_> =
        findings.iter().filter(|finding| finding.state == State::Bad).map(|finding| finding.what).collect();
    if bad.is_empty() { Ok(()) } else { Err(Exit::failed(anyhow!("not as it should be: {}", bad.join(", ")))) }
}

fn examine(folder: &Path) -> Vec<Finding> {
    let mut findings = vec![
        port(folder),
        rtmp_port(folder),
        udp_port(folder, "SRT port", SRT_PORT, "`flame up` needs another: --srt 127.0.0.1:PORT, or --srt off"),
        udp_port(folder, "WebRTC port", WHIP_PORT, "`flame up` needs another: --whip 127.0.0.1:PORT, or --whip off"),
        disk(folder),
        media(),
        multicast(),
        docker(),
        privileges(),
    ];
    for finding in findings.iter_mut().filter(|finding| finding.state == State::Good) {
        finding.cost = "";
    }
    findings
}

fn port(folder: &Path) -> Finding {
    let address = SocketAddr::from(([127, 0, 0, 1], 8080));
    let ours = data::holder(folder).ok().flatten();
    let (state, detail) = match (ports::occupant(address), ours) {
        (_, Some(holder)) => {
            (State::Good, format!("flame runs here: http://{} (process {})", holder.router, holder.pid))
        }
        (None, None) => (State::Good, "8080 is free".to_owned()),
        (Some(occupant), None) => (State::Bad, format!("8080 is taken by {}", occupant.description)),
    };
    Finding { what: "port", state, detail, cost: "`flame up` needs another: --listen 127.0.0.1:PORT" }
}

fn rtmp_port(folder: &Path) -> Finding {
    let address = SocketAddr::from(([127, 0, 0, 1], RTMP_PORT));
    let (state, detail) = match (ports::occupant(address), data::holder(folder).ok().flatten()) {
        (_, Some(_)) => (State::Good, "flame runs here".to_owned()),
        (None, None) => (State::Good, format!("{RTMP_PORT} is free")),
        (Some(occupant), None) => (State::Bad, format!("{RTMP_PORT} is taken by {}", occupant.description)),
    };
    Finding { what: "RTMP port", state, detail, cost: "`flame up` needs another: --rtmp 127.0.0.1:PORT, or --rtmp off" }
}

fn udp_port(folder: &Path, what: &'static str, port: u16, cost: &'static str) -> Finding {
    let (state, detail) = match (UdpSocket::bind((Ipv4Addr::LOCALHOST, port)), data::holder(folder).ok().flatten()) {
        (_, Some(_)) => (State::Good, "flame runs here".to_owned()),
        (Ok(_), None) => (State::Good, format!("{port}/udp is free")),
        (Err(error), None) => (State::Bad, format!("{port}/udp cannot be taken: {error}")),
    };
    Finding { what, state, detail, cost }
}

fn disk(folder: &Path) -> Finding {
    // The folder may not exist yet: its nearest ancestor lies on the same file system.
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let (state, detail) = match DiskGuard::new(existing.to_owned(), MIN_FREE_PERCENT).free_percent() {
        Ok(free) if free >= MIN_FREE_PERCENT => (State::Good, format!("{free:.0} % free under {}", folder.display())),
        Ok(free) => (State::Bad, format!("{free:.1} % free under {}", folder.display())),
        Err(error) => (State::Bad, format!("{}: {error}", existing.display())),
    };
    Finding {
        what: "disk",
        state,
        detail,
        cost: "below 5 % uploads and jobs are refused (507); free some, or use --data",
    }
}

fn media() -> Finding {
    let cost = "nothing can be probed or encoded; `make deps` installs what is missing";
    let program = match find_program() {
        Ok(program) => program,
        Err(error) => return Finding { what: "codecs", state: State::Bad, detail: error.to_string(), cost },
    };
    let output = Command::new(&program).arg("check").stdin(Stdio::null()).output();
    let (state, detail) = match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr })
                .trim()
                .to_owned();
            (if output.status.success() { State::Good } else { State::Bad }, text)
        }
        Err(error) => (State::Bad, format!("{} does not start: {error}", program.display())),
    };
    Finding { what: "codecs", state, detail, cost }
}

fn multicast() -> Finding {
    let (state, detail) = match multicast_round_trip() {
        Ok(()) => (State::Good, "works on loopback".to_owned()),
        Err(error) => (State::Limited, format!("a packet to {TEST_GROUP} did not come back: {error}")),
    };
    Finding { what: "multicast", state, detail, cost: "responses will go to each edge by unicast" }
}

fn multicast_round_trip() -> std::io::Result<()> {
    let receiver = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    receiver.join_multicast_v4(&TEST_GROUP, &Ipv4Addr::LOCALHOST)?;
    receiver.set_read_timeout(Some(Duration::from_millis(500)))?;
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    sender.set_multicast_loop_v4(true)?;
    sender.send_to(b"flame", (TEST_GROUP, receiver.local_addr()?.port()))?;
    let mut buffer = [0; 16];
    receiver.recv(&mut buffer).map(|_| ())
}

fn docker() -> Finding {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let host = host.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    let answer = match host.split_once("://") {
        Some(("unix", socket)) => std::os::unix::net::UnixStream::connect(socket).map(drop),
        Some(("tcp", address)) => tcp_answers(address),
        _ => Err(std::io::Error::other("neither unix:// nor tcp://, so it is not asked")),
    };
    let (state, detail) = match answer {
        Ok(()) => (State::Good, format!("an engine answers at {host}")),
        Err(error) => (State::Limited, format!("{host}: {error}")),
    };
    Finding { what: "docker", state, detail, cost: "images cannot be built or started; everything else runs without" }
}

fn tcp_answers(address: &str) -> std::io::Result<()> {
    let unknown = || std::io::Error::other("the name is not known");
    let address = address.to_socket_addrs()?.next().ok_or_else(unknown)?;
    TcpStream::connect_timeout(&address, Duration::from_secs(2)).map(drop)
}

fn privileges() -> Finding {
    let (state, detail) = if rustix::process::geteuid().is_root() {
        (State::Good, "root (needed by nothing but network namespaces)")
    } else {
        (State::Limited, "an ordinary user, which is enough")
    };
    let cost = "`flame demo --netns`, which plays on links of its own, needs root; everything else runs without";
    Finding { what: "privileges", state, detail: detail.to_owned(), cost }
}

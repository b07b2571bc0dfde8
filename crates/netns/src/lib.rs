//! Networks that a process makes for itself: machines (network namespaces) on one switch, with links that can be slow
//! and lossy, and counters that say what a link carried. Tests and `flame demo --netns` show real links with it.
//!
//! It needs root, `ip`, `tc` and `iptables`; [`Network::missing`] says what is not there. Nothing of the host's own network
//! is touched, names are unique to the process, and everything goes when it is dropped. It never carries anything of the
//! product: no service knows of it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Counts the networks of this process.
static NETWORKS: AtomicU32 = AtomicU32::new(0);
/// The link of every machine.
const LINK: &str = "eth0";

/// Machines on one switch.
#[derive(Debug)]
pub struct Network {
    prefix: String,
    nodes: Vec<String>,
}

/// What could not be done with a network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A program could not be started.
    #[error("{program} cannot be run (apt-get install iproute2 iptables)")]
    Start {
        /// `ip`, `tc`, `iptables`.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program refused.
    #[error("`{command}`: {complaint}")]
    Refused {
        /// The whole command.
        command: String,
        /// What it said.
        complaint: String,
    },
    /// A machine of another network.
    #[error("no machine of this network is called `{0}`")]
    NoMachine(String),
    /// A machine could not be entered.
    #[error("enter the machine `{machine}`")]
    Enter {
        /// Which.
        machine: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A counter that is no number.
    #[error("the counter of `{machine}` reads `{text}`")]
    Counter {
        /// Of which machine.
        machine: String,
        /// What it reads.
        text: String,
    },
}

// === impl Network ===

impl Network {
    /// What this machine lacks for one; `None` where nothing does.
    #[must_use]
    pub fn missing() -> Option<String> {
        let probe = format!("fl{}-probe", std::process::id());
        let made = run("iptables", &["--version"])
            .and_then(|_| run("tc", &["-Version"]))
            .and_then(|_| run("ip", &["netns", "add", &probe]));
        match made {
            Ok(_) => run("ip", &["netns", "del", &probe]).err().map(|error| told(&error)),
            Err(error) => Some(told(&error)),
        }
    }

    /// A switch, and a machine for each name, on it.
    ///
    /// # Errors
    /// It cannot be made; what was made of it is gone again.
    pub fn new(nodes: &[&str]) -> Result<Self, NetworkError> {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let mut network = Self { prefix: format!("fl{}-{number}-", std::process::id()), nodes: Vec::new() };
        let switch = network.namespace("switch");
        run("ip", &["netns", "add", &switch])?;
        // Without snooping the switch floods multicast, as one without a querier does.
        run("ip", &["-n", &switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0"])?;
        run("ip", &["-n", &switch, "link", "set", "br0", "up"])?;
        for (at, node) in nodes.iter().enumerate() {
            network.nodes.push((*node).to_owned());
            let (space, port) = (network.namespace(node), format!("p{at}"));
            run("ip", &["netns", "add", &space])?;
            run(
                "ip",
                &["link", "add", LINK, "netns", &space, "type", "veth", "peer", "name", &port, "netns", &switch],
            )?;
            run("ip", &["-n", &switch, "link", "set", &port, "master", "br0", "up"])?;
            run("ip", &["-n", &space, "link", "set", "lo", "up"])?;
            let address = format!("{}/24", network.address(node)?);
            run("ip", &["-n", &space, "address", "add", &address, "dev", LINK])?;
            // One packet a time, so that counters and losses are those of a wire.
            run("ip", &["-n", &space, "link", "set", LINK, "gso_max_segs", "1", "up"])?;
            run("ip", &["-n", &space, "route", "add", "224.0.0.0/4", "dev", LINK])?;
        }
        Ok(network)
    }

    /// The address of a machine.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn address(&self, node: &str) -> Result<Ipv4Addr, NetworkError> {
        let at = self.nodes.iter().position(|known| known == node);
        let last = at.and_then(|at| u8::try_from(at + 1).ok());
        last.map(|last| Ipv4Addr::new(10, 77, 0, last)).ok_or_else(|| NetworkError::NoMachine(node.to_owned()))
    }

    /// Moves the calling thread to a machine, for good: sockets that it makes, and threads that it starts, are there.
    ///
    /// # Errors
    /// The machine cannot be entered.
    pub fn enter(&self, node: &str) -> Result<(), NetworkError> {
        let failed = |source| NetworkError::Enter { machine: node.to_owned(), source };
        let space = File::open(format!("/var/run/netns/{}", self.namespace(node))).map_err(failed)?;
        move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|errno| failed(errno.into()))
    }

    /// Runs `work` on a machine, in a thread of its own: sockets that it makes are there, and stay there.
    ///
    /// # Errors
    /// The machine cannot be entered.
    pub fn on<T: Send>(&self, node: &str, work: impl FnOnce() -> T + Send) -> Result<T, NetworkError> {
        std::thread::scope(|scope| {
            let there = scope.spawn(move || self.enter(node).map(|()| work()));
            there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A program that runs on a machine.
    #[must_use]
    pub fn command(&self, node: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(node)]).arg(program);
        command
    }

    /// Drops so many percent of what arrives at a machine over its link, at random.
    ///
    /// # Errors
    /// The rule cannot be set.
    pub fn lose(&self, node: &str, percent: f64) -> Result<(), NetworkError> {
        let (space, probability) = (self.namespace(node), format!("{:.4}", percent / 100.0));
        let rule = ["-m", "statistic", "--mode", "random", "--probability", &probability, "-j", "DROP"];
        let exec = ["netns", "exec", &space, "iptables", "-w"];
        run("ip", &[&exec[..], &["-F", "INPUT"]].concat())?;
        if percent > 0.0 {
            run("ip", &[&exec[..], &["-A", "INPUT", "-i", LINK], &rule[..]].concat())?;
        }
        Ok(())
    }

    /// Lets a machine send no more than so many megabits a second.
    ///
    /// # Errors
    /// The rate cannot be set.
    pub fn limit(&self, node: &str, megabits: u32) -> Result<(), NetworkError> {
        let (space, rate) = (self.namespace(node), format!("{megabits}mbit"));
        let shape = ["root", "tbf", "rate", &rate, "burst", "32kb", "latency", "50ms"];
        run("tc", &[&["-n", &space, "qdisc", "replace", "dev", LINK][..], &shape[..]].concat()).map(drop)
    }

    /// Octets that a machine has sent over its link so far, Ethernet headers counted.
    ///
    /// # Errors
    /// The counter cannot be read.
    pub fn sent_bytes(&self, node: &str) -> Result<u64, NetworkError> {
        let (space, path) = (self.namespace(node), format!("/sys/class/net/{LINK}/statistics/tx_bytes"));
        let text = run("ip", &["netns", "exec", &space, "cat", &path])?;
        let text = text.trim();
        text.parse().map_err(|_| NetworkError::Counter { machine: node.to_owned(), text: text.to_owned() })
    }

    fn namespace(&self, node: &str) -> String {
        format!("{}{node}", self.prefix)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in self.nodes.iter().map(String::as_str).chain(["switch"]) {
            // Where the construction broke off some are not there.
            let _ = run("ip", &["netns", "del", &self.namespace(node)]);
        }
    }
}

/// An error with its cause, in a line.
fn told(error: &NetworkError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

/// Runs a program and gives what it printed.
fn run(program: &str, arguments: &[&str]) -> Result<String, NetworkError> {
    let ran = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = ran.map_err(|source| NetworkError::Start { program: program.to_owned(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let command = format!("{program} {}", arguments.join(" "));
    Err(NetworkError::Refused { command, complaint: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
}

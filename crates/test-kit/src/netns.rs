//! A network of its own for a test: machines (network namespaces) on one switch, with links that can be slow and lossy,
//! and counters that say what a link carried.
//!
//! It needs root, `ip` and `iptables`; [`Network::missing`] says what is not there, for [`crate::loud_skip`]. Nothing
//! of the host's own network is touched, names are unique to the process, and everything goes when it is dropped.

use std::fs::File;
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

// === impl Network ===

impl Network {
    /// What this machine lacks for one; `None` where nothing does.
    #[must_use]
    pub fn missing() -> Option<String> {
        let lack = |program: &str, arguments: &[&str]| {
            let ran = Command::new(program).args(arguments).stdin(Stdio::null()).output();
            match ran {
                Ok(output) if output.status.success() => None,
                Ok(output) => Some(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
                Err(error) => Some(format!("{program}: {error} (apt-get install iproute2 iptables)")),
            }
        };
        let probe = format!("fl{}-probe", std::process::id());
        lack("iptables", &["--version"]).or_else(|| {
            let found = lack("ip", &["netns", "add", &probe]);
            if found.is_none() {
                run("ip", &["netns", "del", &probe]);
            }
            found
        })
    }

    /// A switch, and a machine for each name, on it.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(nodes: &[&str]) -> Self {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let mut network = Self { prefix: format!("fl{}-{number}-", std::process::id()), nodes: Vec::new() };
        let switch = network.namespace("switch");
        run("ip", &["netns", "add", &switch]);
        // Without snooping the switch floods multicast, as one without a querier does.
        run("ip", &["-n", &switch, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0"]);
        run("ip", &["-n", &switch, "link", "set", "br0", "up"]);
        for (at, node) in nodes.iter().enumerate() {
            network.nodes.push((*node).to_owned());
            let (space, port) = (network.namespace(node), format!("p{at}"));
            run("ip", &["netns", "add", &space]);
            run("ip", &["link", "add", LINK, "netns", &space, "type", "veth", "peer", "name", &port, "netns", &switch]);
            run("ip", &["-n", &switch, "link", "set", &port, "master", "br0", "up"]);
            run("ip", &["-n", &space, "link", "set", "lo", "up"]);
            let address = format!("{}/24", network.address(node));
            run("ip", &["-n", &space, "address", "add", &address, "dev", LINK]);
            // One packet a time, so that counters and losses are those of a wire.
            run("ip", &["-n", &space, "link", "set", LINK, "gso_max_segs", "1", "up"]);
            run("ip", &["-n", &space, "route", "add", "224.0.0.0/4", "dev", LINK]);
        }
        network
    }

    /// The address of a machine.
    ///
    /// # Panics
    /// When there is none of that name.
    #[must_use]
    pub fn address(&self, node: &str) -> Ipv4Addr {
        let at = self.nodes.iter().position(|known| known == node).expect("the machine is of this network");
        Ipv4Addr::new(10, 77, 0, u8::try_from(at + 1).expect("a network has fewer than 255 machines"))
    }

    /// Runs `work` on a machine: sockets that it makes are there, and stay there.
    ///
    /// # Panics
    /// When the machine cannot be entered, or `work` panics.
    pub fn on<T: Send>(&self, node: &str, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/var/run/netns/{}", self.namespace(node));
        std::thread::scope(|scope| {
            let there = scope.spawn(move || {
                let space = File::open(&path).expect("the namespace is there");
                // Only this thread goes; it ends after the work.
                move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter it");
                work()
            });
            there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A program that runs on a machine.
    #[must_use]
    pub fn command(&self, node: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(node)]).arg(program);
        command
    }

    /// Drops so many percent of what arrives at a machine over its link, at random.
    ///
    /// # Panics
    /// When the rule cannot be set.
    pub fn lose(&self, node: &str, percent: f64) {
        let (space, probability) = (self.namespace(node), format!("{:.4}", percent / 100.0));
        let rule = ["-m", "statistic", "--mode", "random", "--probability", &probability, "-j", "DROP"];
        let exec = ["netns", "exec", &space, "iptables", "-w"];
        run("ip", &[&exec[..], &["-F", "INPUT"]].concat());
        if percent > 0.0 {
            run("ip", &[&exec[..], &["-A", "INPUT", "-i", LINK], &rule[..]].concat());
        }
    }

    /// Lets a machine send no more than so many megabits a second.
    ///
    /// # Panics
    /// When the rate cannot be set.
    pub fn limit(&self, node: &str, megabits: u32) {
        let (space, rate) = (self.namespace(node), format!("{megabits}mbit"));
        let shape = ["root", "tbf", "rate", &rate, "burst", "32kb", "latency", "50ms"];
        run("tc", &[&["-n", &space, "qdisc", "replace", "dev", LINK][..], &shape[..]].concat());
    }

    /// Octets that a machine has sent over its link so far, Ethernet headers counted.
    ///
    /// # Panics
    /// When the counter cannot be read.
    #[must_use]
    pub fn sent_bytes(&self, node: &str) -> u64 {
        let path = format!("/sys/class/net/{LINK}/statistics/tx_bytes");
        let output = self.command(node, "cat").arg(path).output().expect("ip was there a moment ago");
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().unwrap_or_else(|error| panic!("a counter is a number: `{text}`: {error}"))
    }

    fn namespace(&self, node: &str) -> String {
        format!("{}{node}", self.prefix)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in self.nodes.iter().map(String::as_str).chain(["switch"]) {
            // Where the construction broke off some are not there.
            let _ = Command::new("ip").args(["netns", "del", &self.namespace(node)]).output();
        }
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let complaint = || String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {}: {}", arguments.join(" "), complaint());
}

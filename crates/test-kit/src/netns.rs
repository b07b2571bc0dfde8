//! A network of its own for a test: [`flame_netns::Network`], for tests that cannot go on without it.
//!
//! [`Network::missing`] says what is not there, for [`crate::loud_skip`].

use std::error::Error;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::Command;

/// Machines on one switch. Every method panics where it cannot do what it says.
#[derive(Debug)]
pub struct Network(flame_netns::Network);

// === impl Network ===

impl Network {
    /// What this machine lacks for one; `None` where nothing does.
    #[must_use]
    pub fn missing() -> Option<String> {
        flame_netns::Network::missing()
    }

    /// A switch, and a machine for each name, on it.
    #[must_use]
    pub fn new(nodes: &[&str]) -> Self {
        Self(done(flame_netns::Network::new(nodes)))
    }

    /// The address of a machine.
    #[must_use]
    pub fn address(&self, node: &str) -> Ipv4Addr {
        done(self.0.address(node))
    }

    /// Runs `work` on a machine: sockets that it makes are there, and stay there.
    pub fn on<T: Send>(&self, node: &str, work: impl FnOnce() -> T + Send) -> T {
        done(self.0.on(node, work))
    }

    /// A program that runs on a machine.
    #[must_use]
    pub fn command(&self, node: &str, program: impl AsRef<OsStr>) -> Command {
        self.0.command(node, program)
    }

    /// Drops so many percent of what arrives at a machine over its link, at random.
    pub fn lose(&self, node: &str, percent: f64) {
        done(self.0.lose(node, percent));
    }

    /// Lets a machine send no more than so many megabits a second.
    pub fn limit(&self, node: &str, megabits: u32) {
        done(self.0.limit(node, megabits));
    }

    /// Octets that a machine has sent over its link so far, Ethernet headers counted.
    #[must_use]
    pub fn sent_bytes(&self, node: &str) -> u64 {
        done(self.0.sent_bytes(node))
    }
}

fn done<T>(outcome: Result<T, flame_netns::NetworkError>) -> T {
    outcome.unwrap_or_else(|error| {
        panic!("{error}{}", error.source().map(|cause| format!(": {cause}")).unwrap_or_default())
    })
}

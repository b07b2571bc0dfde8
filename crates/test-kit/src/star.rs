//! Sites around an origin, a router at each: the files and settings that their processes are started with.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::Network;

/// The site in the middle, where the only endpoint of `media` is.
pub const ORIGIN: &str = "origin";
/// Where every router listens, on its own machine.
pub const PORT: u16 = 8080;

/// Writes what the routers are told: `sites.toml`, in which every edge has a link to the origin, and `entries.toml`, by which
/// `endpoint` serves `media`.
///
/// # Panics
/// When they cannot be written.
pub fn write_files(folder: &Path, network: &Network, edges: &[&str], link_mbit: u32, endpoint: SocketAddr) {
    let site = |node: &str| format!("[[sites]]\nname = \"{node}\"\nrouter = \"{}:{PORT}\"\n", network.address(node));
    let link = |node: &&str| {
        format!("[[links]]\nbetween = [\"{ORIGIN}\", \"{node}\"]\nlatency_ms = 1\nbandwidth_mbps = {link_mbit}\n")
    };
    let sites: String = std::iter::once(&ORIGIN).chain(edges).map(|node| site(node)).collect();
    let links: String = edges.iter().map(link).collect();
    write(&folder.join("sites.toml"), &format!("version = 1\n{sites}{links}"));
    let entry =
        format!("[[entries]]\nname = \"media\"\nendpoint = \"one\"\naddress = \"{endpoint}\"\nsite = \"{ORIGIN}\"\n");
    write(&folder.join("entries.toml"), &entry);
}

/// The router `program` at `node`, with the keys in `folder` and multicast at so many megabits a second.
pub fn router(
    network: &Network,
    folder: &Path,
    node: &str,
    program: impl AsRef<OsStr>,
    token: &str,
    rate_mbps: u32,
) -> Command {
    let mut command = network.command(node, program);
    command
        .env("FLAME_ROUTER__SITE", node)
        .env("FLAME_ROUTER__SITES", folder.join("sites.toml"))
        .env("FLAME_ROUTER__STATIC_ENTRIES", folder.join("entries.toml"))
        .env("FLAME_ROUTER__HOST__LISTEN", format!("0.0.0.0:{PORT}"))
        .env("FLAME_ROUTER__HOST__AUTH__KEYS", folder.join("keys"))
        .env("FLAME_ROUTER__HOST__TOKEN", token)
        // A lost first segment is sent again after a second: then the router must still wait for it.
        .env("FLAME_ROUTER__UPSTREAM__CONNECT_TIMEOUT", "5s")
        .env("FLAME_ROUTER__MULTICAST__ENABLED", "true")
        .env("FLAME_ROUTER__MULTICAST__INTERFACE", network.address(node).to_string())
        .env("FLAME_ROUTER__MULTICAST__RATE_MBPS", rate_mbps.to_string());
    command
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
}

//! Thousands of clients that keep their connections: what they cost, and that everybody is still served.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use flame_test_kit::{eventually, ports};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

const CLIENTS: usize = 2000;
/// What one idle connection may cost the router; the README says so.
const BYTES_A_CLIENT_MAX: usize = 32 << 10;

async fn ask(client: &mut TcpStream) {
    client.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"live\n") {
        assert!(client.read_buf(&mut answer).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
    }
}

/// Resident memory of a process.
pub fn resident_bytes(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_idle_connections_stay_within_their_memory() {
    // As many files as the machine allows, as the router does for itself.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let [port] = ports::free_tcp::<1>();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut router = Command::new(env!("CARGO_BIN_EXE_flame-router"));
    router.env("FLAME_ROUTER__HOST__LISTEN", address.to_string()).env("FLAME_ROUTER__HOST__HEAD_TIMEOUT", "60s");
    let router = router.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let mut first = eventually(Duration::from_secs(20), || TcpStream::connect(address)).await;
    ask(&mut first).await;
    let before = resident_bytes(router.id().unwrap());
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = TcpStream::connect(address).await.unwrap();
        ask(&mut client).await;
        clients.push(client);
    }
    let each = resident_bytes(router.id().unwrap()).saturating_sub(before) / CLIENTS;
    println!("{each} bytes for each of {CLIENTS} idle connections");
    assert!(each <= BYTES_A_CLIENT_MAX, "{each} bytes for each of {CLIENTS} idle connections");
    // Nobody was let go, and who comes new is served.
    for client in &mut clients {
        ask(client).await;
    }
    ask(&mut TcpStream::connect(address).await.unwrap()).await;
}

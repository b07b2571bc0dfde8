//! SIGHUP: the site file and the limits are read again, and what cannot be read changes nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use axum::Router;
use flame_api::Client;
use flame_api::router::Registration;
use flame_test_kit::{Scratch, eventually, ports};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::world::{Service, World, read_head};

const PATIENCE: Duration = Duration::from_secs(20);

struct Process {
    child: Child,
    address: SocketAddr,
    client: Client,
}

// === impl Process ===

impl Process {
    async fn start(config: &Path, address: SocketAddr) -> Self {
        let mut router = Command::new(env!("CARGO_BIN_EXE_flame-router"));
        router.arg(config).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = router.spawn().unwrap();
        eventually(PATIENCE, || TcpStream::connect(address)).await;
        Self { child, address, client: Client::new(format!("http://{address}").parse().unwrap(), None) }
    }

    fn hang_up(&self) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.address)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn says(&self, path: &str, status: u16, text: &str) {
        eventually(PATIENCE, || async {
            let (got, said) = self.get(path).await;
            if got == status && said.contains(text) { Ok(()) } else { Err(format!("{got} {said}")) }
        })
        .await;
    }
}

fn sites(others: &[(&str, SocketAddr)]) -> String {
    let mut text = "version = 1\n[[sites]]\nname = \"s0\"\n".to_owned();
    for (name, router) in others {
        text.push_str(&format!("[[sites]]\nname = \"{name}\"\nrouter = \"{router}\"\n"));
        text.push_str(&format!("[[links]]\nbetween = [\"s0\", \"{name}\"]\nlatency_ms = 5\nbandwidth_mbps = 1\n"));
    }
    text
}

#[tokio::test]
async fn a_hangup_reads_sites_and_limits_again() {
    let folder = Scratch::new("router-reload");
    let (config, site_file) = (folder.join("router.toml"), folder.join("sites.toml"));
    let [port] = ports::free_tcp::<1>();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let write = |endpoints: usize, answer_timeout: &str| {
        let text = format!(
            "site = \"s0\"\nsites = \"{}\"\n[limits]\nendpoints = {endpoints}\n[upstream]\nanswer_timeout = \"{answer_timeout}\"\n\
             [host]\nlisten = \"{address}\"\n",
            site_file.display()
        );
        std::fs::write(&config, text).unwrap();
    };
    write(1, "60s");
    std::fs::write(&site_file, sites(&[])).unwrap();
    let other = World::with(|config| config.site = "s1".to_owned()).await;
    let there = Service::start(Router::new().fallback(async || "there")).await;
    other.register("far", &there).await;
    let router = Process::start(&config, address).await;
    let silent = Service::talking(async |mut stream: TcpStream| {
        read_head(&mut stream).await;
        let _ = stream.read(&mut [0; 1]).await;
    })
    .await;
    let register = async |name: &str| {
        let registration = Registration::new(silent.address, 1, 60_000);
        router.client.register(name, "e", &registration).await
    };
    register("near").await.unwrap();
    assert_eq!(register("more").await.unwrap_err().status(), Some(503));
    assert_eq!(router.get("/~far/x").await.0, 404);

    // A site more, room for more, and less patience.
    std::fs::write(&site_file, sites(&[("s1", other.address())])).unwrap();
    write(2, "300ms");
    router.hang_up();
    router.says("/~far/x", 200, "there").await;
    register("more").await.unwrap();
    let began = Instant::now();
    assert_eq!(router.get("/~near/x").await.0, 504);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let explained = router.client.explain("/~far/x", None).await.unwrap().unwrap();
    assert_eq!(explained.routes[0].distance_us, Some(5000));

    // A file that is none changes nothing, and a site that is not there any more is forgotten.
    std::fs::write(&site_file, "version = 1\n[[sites]]\nname = \"elsewhere\"\n").unwrap();
    write(1, "300ms");
    router.hang_up();
    for _ in 0..20 {
        assert_eq!(router.get("/~far/x").await.0, 200);
    }
    std::fs::write(&site_file, sites(&[])).unwrap();
    router.hang_up();
    router.says("/~far/x", 503, "no endpoint is registered any more").await;
    assert!(router.client.peers().await.unwrap().items.is_empty());
}

//! A router on a free port, in this process or in one of its own, and little services behind it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use flame_api::router::Registration;
use flame_api::{Client, Problem};
use flame_router::Config;
use flame_service_host::Running;
use flame_test_kit::ports;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::failing::process;

/// A running router.
pub struct World {
    pub router: Place,
    pub http: reqwest::Client,
}

/// Where it runs.
pub enum Place {
    /// In the test's process.
    Here(Box<Running>),
    /// In one of its own, which ends with the test.
    Apart(Box<Child>, SocketAddr),
}

/// A service of a test's own; dropping it closes its listener and its connections.
pub struct Service {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

/// An answer as it came over the socket.
#[derive(Debug)]
pub struct Raw {
    pub head: String,
    pub body: Vec<u8>,
}

static GENERATION: AtomicU64 = AtomicU64::new(1);

// === impl World ===

impl World {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.host.listen.set_port(0);
        change(&mut config);
        Self::of(Place::Here(Box::new(flame_router::start(config).await.unwrap())))
    }

    /// In a process of its own.
    pub async fn apart() -> Self {
        let [port] = ports::free_tcp();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self::of(Place::Apart(Box::new(process(address).await), address))
    }

    fn of(router: Place) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Self { router, http }
    }

    pub fn address(&self) -> SocketAddr {
        self.router.address()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub fn client(&self) -> Client {
        Client::new(self.url("").parse().unwrap(), None)
    }

    /// Puts `service` behind `name` for a minute.
    pub async fn register(&self, name: &str, service: &Service) {
        self.register_address(name, service.address).await;
    }

    pub async fn register_address(&self, name: &str, address: SocketAddr) {
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        let registration = Registration::new(address, generation, 60_000);
        self.client().register(name, &format!("e{generation}"), &registration).await.unwrap();
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    /// Sends bytes as they are and reads until the router closes.
    pub async fn raw(&self, request: &str) -> Raw {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        // A reset after the answer is as good as an end.
        let _ = stream.read_to_end(&mut all).await;
        Raw::new(&all)
    }

    pub async fn curl(&self, arguments: &[&str]) -> String {
        let mut command = tokio::process::Command::new("curl");
        command.args(["-sS", "--max-time", "20", "--noproxy", ""]).args(arguments);
        let output = command.stdin(Stdio::null()).output().await.unwrap();
        assert!(output.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

// === impl Place ===

impl Place {
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Here(router) => router.address(),
            Self::Apart(_, address) => *address,
        }
    }

    pub async fn stop(self) {
        match self {
            Self::Here(router) => router.stop().await,
            Self::Apart(mut router, _) => router.kill().await.unwrap(),
        }
    }

    /// Has it read its files again.
    pub fn reload(&self) {
        match self {
            Self::Here(router) => router.reload(),
            Self::Apart(router, _) => {
                let pid = Pid::from_raw(router.id().unwrap().try_into().unwrap()).unwrap();
                kill_process(pid, Signal::HUP).unwrap();
            }
        }
    }
}

// === impl Service ===

impl Service {
    pub async fn start(routes: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, routes)
    }

    pub fn on(listener: TcpListener, routes: Router) -> Self {
        let address = listener.local_addr().unwrap();
        Self { address, task: tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() }) }
    }

    /// Answers every request with what it saw: method, path and query, headers.
    pub async fn echo() -> Self {
        Self::start(Router::new().fallback(echo)).await
    }

    /// Speaks for itself on each connection.
    pub async fn talking<F, T>(talk: F) -> Self
    where
        F: Fn(TcpStream) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut talks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                talks.spawn(talk(stream));
            }
        });
        Self { address, task }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn echo(request: axum::extract::Request) -> String {
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("not ASCII")))
        .collect();
    format!("{} {}\n{}", request.method(), request.uri(), headers.concat())
}

// === impl Raw ===

impl Raw {
    fn new(all: &[u8]) -> Self {
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").map_or(all.len(), |at| at + 4);
        Self { head: String::from_utf8_lossy(&all[..end]).into_owned(), body: all[end..].to_vec() }
    }

    pub fn status(&self) -> u16 {
        self.head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {self:?}"))
    }
}

/// Reads a request's head from a socket.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// The problem that an answer is.
pub async fn problem(answer: reqwest::Response) -> Problem {
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let status = answer.status().as_u16();
    let problem: Problem = answer.json().await.unwrap();
    assert_eq!(problem.status, status);
    problem
}

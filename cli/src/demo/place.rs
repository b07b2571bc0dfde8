//! Where the parts of a scenario run: all on loopback, or each on a machine of a network of namespaces (`--netns`).
//!
//! Either way a part has a thread and a runtime of its own, so the two differ in nothing but what lies between the parts.
//! On machines the links are real to everything above them: a rate (`tc tbf`), counters, losses. There the parts can be
//! reached by others than themselves, so routers ask for tokens; on loopback they do not.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use flame_netns::Network;
use flame_router::Config;
use flame_service_host::HostConfig;
use flame_service_host::auth::AuthConfig;
use flame_service_host::keys::{self, Grant};
use tokio::sync::oneshot;

/// Life of the token that the parts of a scenario show each other.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);
/// What a link of a network carries.
pub const LINK_MBIT: u32 = 100;

/// Where the parts run. Cheap to clone; a network goes with the last clone.
#[derive(Debug, Clone)]
pub struct Place(Option<Arc<Network>>);

/// What the parts of a scenario know each other by.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    keys: Option<PathBuf>,
    /// For callers.
    pub token: Option<String>,
}

/// A part that runs; it ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Part {
    /// Where it listens.
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// What is done when a part ends.
pub type Ending = Pin<Box<dyn Future<Output = ()>>>;

// === impl Place ===

impl Place {
    /// Everything on loopback.
    pub fn loopback() -> Self {
        Self(None)
    }

    /// A machine for each name, with a link of [`LINK_MBIT`].
    pub fn machines(names: &[&str]) -> anyhow::Result<Self> {
        if let Some(reason) = Network::missing() {
            return Err(anyhow!("--netns makes network namespaces, which takes root, ip, tc and iptables: {reason}"));
        }
        let network = Network::new(names).context("make a network of namespaces")?;
        for name in names {
            network.limit(name, LINK_MBIT).context("limit a link")?;
        }
        Ok(Self(Some(Arc::new(network))))
    }

    /// The network, where there is one.
    pub fn network(&self) -> Option<&Network> {
        self.0.as_deref()
    }

    /// What lies between the parts, for people.
    pub fn links(&self) -> String {
        match &self.0 {
            None => "loopback: no delay but the machine's own".to_owned(),
            Some(_) => format!("real links: a network namespace for each part, {LINK_MBIT} Mbit/s each (tc tbf)"),
        }
    }

    /// The address of a machine.
    pub fn ip(&self, machine: &str) -> anyhow::Result<IpAddr> {
        match &self.0 {
            None => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Some(network) => Ok(IpAddr::V4(network.address(machine)?)),
        }
    }

    /// A free address on each machine; free a moment ago, for files that have to know it before anybody listens.
    pub fn addresses<const N: usize>(&self, machines: [&str; N]) -> anyhow::Result<[SocketAddr; N]> {
        let mut held = Vec::new();
        for machine in machines {
            let ip = self.ip(machine)?;
            let bind = move || TcpListener::bind((ip, 0));
            let listener = match &self.0 {
                None => bind(),
                Some(network) => network.on(machine, bind)?,
            };
            held.push(listener.context("find a free port")?);
        }
        let addresses: Vec<SocketAddr> = held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        addresses.try_into().map_err(|_| anyhow!("an address for each machine"))
    }

    /// Keys for the parts below `folder`, where others could reach them.
    pub fn credentials(&self, folder: &Path) -> anyhow::Result<Credentials> {
        if self.0.is_none() {
            return Ok(Credentials::default());
        }
        let folder = folder.join("keys");
        keys::ensure(&folder).context("make keys")?;
        let scope = flame_service_host::Scope::ALL.map(flame_service_host::Scope::as_str).join(" ");
        let grant = Grant { subject: "demo".to_owned(), tenant: "default".to_owned(), scope, life: TOKEN_LIFE };
        let (token, _) = keys::issue(&folder, &grant).context("issue a token")?;
        Ok(Credentials { keys: Some(folder), token: Some(token) })
    }

    /// Starts a router on a machine.
    pub async fn router(&self, machine: &str, config: Config) -> anyhow::Result<Part> {
        self.start(machine, move || async move {
            let running = flame_router::start(config).await?;
            let address = running.address();
            let ending: Ending = Box::pin(running.stop());
            Ok((address, ending))
        })
        .await
    }

    /// Starts a part on a machine: `begin` gives its address, and what is done when it ends.
    pub async fn start<F, B>(&self, machine: &str, begin: F) -> anyhow::Result<Part>
    where
        F: FnOnce() -> B + Send + 'static,
        B: Future<Output = anyhow::Result<(SocketAddr, Ending)>>,
    {
        let (stop, stopped) = oneshot::channel();
        let (began, address) = oneshot::channel();
        let thread = self.thread(machine, move |entered| {
            // Whoever waited may have gone; then nobody wants the part.
            let failed = |began: oneshot::Sender<_>, error| drop(began.send(Err(error)));
            let runtime = match entered.and_then(|()| runtime()) {
                Ok(runtime) => runtime,
                Err(error) => return failed(began, error),
            };
            runtime.block_on(async move {
                match begin().await {
                    Ok((address, ending)) => {
                        let _ = began.send(Ok(address));
                        // Dropped is stopped too.
                        let _ = stopped.await;
                        ending.await;
                    }
                    Err(error) => failed(began, error),
                }
            });
        });
        let address = address.await.context("a part ended at its start")??;
        Ok(Part { address, stop, thread })
    }

    /// Does some work on a machine and gives what it gives.
    pub async fn at<T, F, W>(&self, machine: &str, work: F) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> W + Send + 'static,
        W: Future<Output = T>,
    {
        let (done, result) = oneshot::channel();
        drop(self.thread(machine, move |entered| {
            let result = entered.and_then(|()| runtime()).map(|runtime| runtime.block_on(work()));
            drop(done.send(result));
        }));
        result.await.context("the work broke off")?
    }

    /// A thread on a machine, which is told whether it got there.
    fn thread(&self, machine: &str, work: impl FnOnce(anyhow::Result<()>) + Send + 'static) -> JoinHandle<()> {
        let (network, machine) = (self.0.clone(), machine.to_owned());
        std::thread::spawn(move || {
            let entered = network.as_ref().map_or(Ok(()), |network| network.enter(&machine));
            // The thread must not keep the network when the scenario is over.
            drop(network);
            work(entered.map_err(anyhow::Error::new));
        })
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")
}

// === impl Credentials ===

impl Credentials {
    /// The folder of the keys, for a part that is a process of its own.
    pub fn keys(&self) -> Option<&Path> {
        self.keys.as_deref()
    }

    /// What a router or service at `listen` is told.
    pub fn host(&self, listen: SocketAddr) -> HostConfig {
        let auth = AuthConfig { keys: self.keys.clone() };
        HostConfig { listen, auth, token: self.token.clone(), ..HostConfig::default() }
    }
}

// === impl Part ===

impl Part {
    /// Ends it in good order.
    pub async fn stop(self) {
        let Self { stop, thread, .. } = self;
        drop(stop);
        // A part that panicked has ended too.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_runs_until_it_is_stopped_and_one_that_does_not_begin_says_why() {
        let place = Place::loopback();
        let (told, hears) = oneshot::channel();
        let part = place.start("a", move || async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let ending: Ending = Box::pin(async move { drop((listener, told.send(()))) });
            Ok((address, ending))
        });
        let part = part.await.unwrap();
        assert!(tokio::net::TcpStream::connect(part.address).await.is_ok());
        part.stop().await;
        assert!(hears.await.is_ok());
        let failed = place.start("a", || async { Err(anyhow!("no room")) }).await;
        assert_eq!(failed.unwrap_err().to_string(), "no room");
        assert_eq!(place.at("a", || async { 7 }).await.unwrap(), 7);
    }
}

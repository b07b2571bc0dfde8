//! Two endpoints behind one door: the router, nginx or HAProxy.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::endpoint::Endpoint;
use crate::proxies::{Haproxy, Nginx};
use crate::router_process::Router;

/// Whose door it is, ours first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Flame,
    Nginx,
    Haproxy,
}

/// The sides, in their order in a round.
pub(super) const SIDES: [Side; 3] = [Side::Flame, Side::Nginx, Side::Haproxy];
/// The endpoints.
pub(super) const NAMES: [&str; 2] = ["a", "b"];
/// The name that they stand behind in the router.
const NAME: &str = "media";

/// Two endpoints and a door. Everything ends when it is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    pub endpoints: [Endpoint; 2],
    door: Door,
}

#[derive(Debug)]
enum Door {
    Flame(Router),
    Nginx(Nginx),
    Haproxy(Haproxy),
}

// === impl Side ===

impl Side {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flame => "flame-router",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
        }
    }
}

// === impl Stage ===

impl Stage {
    pub(super) async fn start(folder: &Path, side: Side) -> Result<Self> {
        let endpoints = [Endpoint::start(NAMES[0]).await?, Endpoint::start(NAMES[1]).await?];
        let ports = [endpoints[0].port, endpoints[1].port];
        let door = match side {
            Side::Flame => {
                let router = Router::start(folder).await?;
                for (name, port) in NAMES.into_iter().zip(ports) {
                    router.register(NAME, name, port).await?;
                }
                Door::Flame(router)
            }
            Side::Nginx => Door::Nginx(Nginx::start(folder, &ports, &[]).await?),
            Side::Haproxy => Door::Haproxy(Haproxy::start(folder, &ports).await?),
        };
        Ok(Self { endpoints, door })
    }

    /// Where and how to ask for a body.
    pub(super) fn asked(&self, body: &[u8]) -> (u16, String, Vec<u8>) {
        let (port, lead) = match &self.door {
            Door::Flame(router) => (router.peer.port, format!("/~{NAME}")),
            Door::Nginx(nginx) => (nginx.peer.port, String::new()),
            Door::Haproxy(haproxy) => (haproxy.peer.port, String::new()),
        };
        (port, format!("{lead}/{}", body.len()), body.to_vec())
    }

    /// The endpoint that the next request goes to, as far as the door says it.
    pub(super) async fn next(&self) -> Result<usize> {
        let Door::Flame(router) = &self.door else { return Ok(0) };
        let explained =
            router.client().explain(&format!("/~{NAME}/"), None).await?.context("the router explains it")?;
        let chosen = explained.chosen.context("somebody gets the next request")?;
        NAMES.iter().position(|name| *name == chosen.endpoint).context("it is one of the two")
    }

    /// Lets only the endpoint of that number get requests; when that was said first.
    pub(super) async fn turn_to(&self, number: usize) -> Result<Instant> {
        let (to, from) = (NAMES[number], NAMES[1 - number]);
        let said = Instant::now();
        match &self.door {
            Door::Flame(router) => {
                ensure!(router.client().connect(NAME, to).await?, "{to} is registered");
                ensure!(router.client().drain(NAME, from).await?, "{from} is registered");
            }
            Door::Nginx(nginx) => nginx.drain(&[self.endpoints[1 - number].port])?,
            Door::Haproxy(haproxy) => {
                haproxy.drain(number, false).await?;
                haproxy.drain(1 - number, true).await?;
            }
        }
        Ok(said)
    }

    /// Ends all of it.
    pub(super) async fn stop(self) -> Result<()> {
        match self.door {
            Door::Flame(router) => router.stop().await,
            Door::Nginx(nginx) => nginx.peer.server.stop().await,
            Door::Haproxy(haproxy) => haproxy.peer.server.stop().await,
        }
    }
}

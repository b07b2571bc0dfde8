//! Whether endpoints that boot answer yet: all are asked at once, before anything is held, so that those that are silent hold up
//! neither a call nor each other. What follows is the lifecycle's to decide.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use tokio::net::TcpStream;

use super::{Conductor, PROBE_WAIT};
use crate::deployment::Endpoint;
use crate::lifecycle::Stage;
use crate::process::Target;

/// Endpoints that answer, each with its start.
pub(super) type Ready = BTreeSet<(String, u64)>;

// === impl Conductor ===

impl Conductor {
    /// Asks all that boot and do not register themselves.
    pub(super) async fn ready(&self) -> Ready {
        let booting: Vec<Endpoint> = {
            let kept = self.0.kept();
            let endpoints = kept.values().flat_map(|one| &one.record.endpoints);
            // One whose process was not noted is found by the loop, which asks for its answer then.
            let asked = endpoints.filter(|one| {
                one.stage == Stage::Booting && !one.spec.registers_itself && one.process.is_none_or(Target::is_alive)
            });
            asked.cloned().collect()
        };
        let asked = stream::iter(booting).map(|one| async move {
            let is_ready = self.answers(&one).await;
            is_ready.then_some((one.id, one.generation))
        });
        let ready = asked.buffer_unordered(self.0.lifecycle.at_once.max(1));
        ready.filter_map(std::future::ready).collect().await
    }

    async fn answers(&self, endpoint: &Endpoint) -> bool {
        let Some(address) = endpoint.address() else { return false };
        match &endpoint.spec.ready_path {
            None => tokio::time::timeout(PROBE_WAIT, TcpStream::connect(address)).await.is_ok_and(|it| it.is_ok()),
            Some(path) => {
                let url = format!("http://{address}/{}", path.trim_start_matches('/'));
                self.0.http.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
            }
        }
    }
}

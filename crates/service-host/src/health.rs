//! `/health/live` and `/health/ready`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What a service needs to be of use, and whether it has it.
#[derive(Clone, Default)]
pub struct Health {
    checks: Vec<(&'static str, Check)>,
    stopping: Arc<AtomicBool>,
    clock_offset_ms: Arc<AtomicI64>,
}

/// Body of `/health/ready`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready`, `stopping` or `not ready`.
    pub status: &'static str,
    /// Each thing needed: `ok`, or what is wrong.
    pub checks: BTreeMap<&'static str, String>,
    /// The router's clock minus ours in milliseconds, at the last registration; 0 without a router.
    pub clock_offset_ms: i64,
}

// === impl Health ===

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.checks.iter().map(|(name, _)| name)).finish()
    }
}

impl Health {
    pub(crate) fn need<F>(&mut self, name: &'static str, check: F)
    where
        F: Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    {
        self.checks.push((name, Arc::new(check)));
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_clock_offset_ms(&self, offset_ms: i64) {
        self.clock_offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    async fn readiness(&self) -> Readiness {
        let mut checks = BTreeMap::new();
        let mut ready = true;
        for (name, check) in &self.checks {
            let outcome = check().await;
            ready &= outcome.is_ok();
            checks.insert(*name, outcome.err().unwrap_or_else(|| "ok".to_owned()));
        }
        let stopping = self.stopping.load(Ordering::Relaxed);
        let status = if stopping {
            "stopping"
        } else if ready {
            "ready"
        } else {
            "not ready"
        };
        Readiness { status, checks, clock_offset_ms: self.clock_offset_ms.load(Ordering::Relaxed) }
    }

    pub(crate) async fn answer(self) -> Response {
        let readiness = self.readiness().await;
        let status = if readiness.status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(readiness)).into_response()
    }
}

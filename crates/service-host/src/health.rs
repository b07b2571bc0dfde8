//! `/health/live` and `/health/ready`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;
use utoipa::ToSchema;

use crate::telemetry::Stage;

/// Time that one check gets: who asks is a router or a health check, and does not wait for long.
const CHECK_PATIENCE: Duration = Duration::from_secs(2);

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What a service needs to be of use, and whether it has it.
#[derive(Clone, Default)]
pub struct Health {
    checks: Vec<(&'static str, Check)>,
    stopping: Arc<AtomicBool>,
    clock_offset_ms: Arc<AtomicI64>,
    /// Tasks of the service that ended before it.
    lost_tasks: Arc<Mutex<Vec<&'static str>>>,
    /// Where the endpoint is in its life.
    stage: Stage,
}

/// Body of `/health/ready`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready`, `stopping` or `not ready`.
    pub status: &'static str,
    /// Each thing needed: `ok`, or what is wrong. Only for callers who are known: it tells of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<BTreeMap<&'static str, String>>,
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

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.stage.set("booted");
    }

    pub(crate) fn set_clock_offset_ms(&self, offset_ms: i64) {
        self.clock_offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// A service whose task is gone does not do what it is for, however well it answers.
    pub(crate) fn task_lost(&self, name: &'static str) {
        self.lost_tasks.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    }

    async fn readiness(&self) -> Readiness {
        let silent = |_| Err(format!("no answer within {CHECK_PATIENCE:?}"));
        let outcomes = join_all(self.checks.iter().map(|(name, check)| async move {
            (*name, tokio::time::timeout(CHECK_PATIENCE, check()).await.unwrap_or_else(silent))
        }));
        let mut outcomes: BTreeMap<_, _> = outcomes.await.into_iter().collect();
        let lost = self.lost_tasks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        outcomes.extend(lost.into_iter().map(|name| (name, Err("the task ended; restart the service".to_owned()))));
        let ready = outcomes.values().all(Result::is_ok);
        let checks =
            outcomes.into_iter().map(|(name, outcome)| (name, outcome.err().unwrap_or_else(|| "ok".to_owned())));
        let checks = Some(checks.collect());
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

    pub(crate) async fn answer(self, tells_checks: bool) -> Response {
        let mut readiness = self.readiness().await;
        readiness.checks = readiness.checks.filter(|_| tells_checks);
        let status = if readiness.status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(readiness)).into_response()
    }
}

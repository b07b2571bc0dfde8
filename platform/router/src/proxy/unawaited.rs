//! Requests whose clients do not wait for the answer: many live encoders close the connection with the last octet of a segment.
//!
//! What serves a request is dropped when its connection ends, and would take along what it has not passed on yet. So a body whose
//! length is not known is passed on by a task of its own, to its end. A body that breaks off ends the task at once, and who is silent is
//! bounded as anywhere else; when the router stops, what is under way has [`GRACE`].

use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use flame_service_host::Failure;
use hyper::body::Body as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long tasks may go on when the router stops and their connections have ended.
const GRACE: Duration = Duration::from_secs(5);

/// The tasks. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unawaited(TaskTracker);

/// Whether a request is one of them.
pub(super) fn is_one(request: &Request) -> bool {
    request.body().size_hint().exact().is_none()
}

// === impl Unawaited ===

impl Unawaited {
    /// The answer, if anybody still waits for it.
    pub(super) async fn answer(&self, pass: impl Future<Output = Response> + Send + 'static) -> Response {
        let passed = self.0.spawn(pass).await;
        passed.unwrap_or_else(|error| Failure::internal(&error).into_response())
    }

    /// Owns the tasks until `stop`, and waits for their ends.
    pub(crate) async fn until(self, stop: CancellationToken) {
        stop.cancelled().await;
        self.0.close();
        // What is left then goes down with the process.
        let _ = tokio::time::timeout(GRACE, self.0.wait()).await;
    }
}

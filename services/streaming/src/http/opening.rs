//! What is asked for before the object store was there for the first time: 503, also what the catalogue alone could answer, since nobody
//! knows yet which channels there are, and none of their viewers is to be told that there is no such thing.

use axum::extract::{Request, State as Shared};
use axum::middleware::Next;
use axum::response::Response;
use flame_service_host::Failure;

use super::State;

/// When to ask again.
const RETRY_S: u32 = 2;

/// Lets through once the store has come.
pub(super) async fn wait(Shared(state): Shared<State>, request: Request, next: Next) -> Result<Response, Failure> {
    match state.live.unopened() {
        None => Ok(next.run(request).await),
        Some(_) => Err(Failure::unavailable("the object store has not come yet", RETRY_S)),
    }
}

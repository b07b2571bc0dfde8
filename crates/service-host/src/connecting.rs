//! Connecting without waiting for a lost packet: who gets no answer tries once more beside it, and takes what comes first.
//!
//! TCP sends its first packet again after a second (RFC 6298, section 2), so where one packet of a hundred is lost, one
//! connection of fifty takes that long, and of eight routers that join a multicast one is too late in every sixth transfer. RFC 8305
//! races connections to several addresses for the same reason; here the address is the same.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Uri;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::timeout;
use tower::Service;

/// How long a try has to itself before the next one begins beside it: longer than a round trip within a continent, RFC 8305's least
/// Connection Attempt Delay first. So many tries and one more are made.
const ATTEMPT_DELAYS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(200)];

/// What the first of several tries gives that comes to something; the last error where none does. A refusal is an answer:
/// nobody tries again beside it.
pub async fn connect<T, E, F: Future<Output = Result<T, E>>>(attempt: impl Fn() -> F) -> Result<T, E> {
    let mut attempts = FuturesUnordered::new();
    for delay in ATTEMPT_DELAYS {
        attempts.push(attempt());
        match timeout(delay, attempts.next()).await {
            Ok(Some(Ok(connected))) => return Ok(connected),
            Ok(Some(Err(error))) if attempts.is_empty() => return Err(error),
            // Others are still under way.
            Ok(Some(Err(_)) | None) | Err(_) => {}
        }
    }
    attempts.push(attempt());
    loop {
        match attempts.next().await {
            Some(Err(_)) if !attempts.is_empty() => {}
            Some(connected) => return connected,
            None => unreachable!("the last one ends the loop"),
        }
    }
}

/// [`connect`] for hyper's clients.
#[derive(Debug, Clone)]
pub struct Connecting(pub HttpConnector);

impl Service<Uri> for Connecting {
    type Response = <HttpConnector as Service<Uri>>::Response;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        // It was ready, and so are its copies: it is always.
        let http = self.0.clone();
        Box::pin(async move { connect(|| http.clone().call(to.clone())).await })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use super::*;

    /// What becomes of each try: nothing at all, or this.
    type Fate = Option<Result<u32, u32>>;

    async fn tried(fates: &[Fate]) -> (Result<u32, u32>, usize) {
        let tries = Cell::new(0);
        let connected = connect(|| {
            let fate = fates[tries.get()];
            tries.set(tries.get() + 1);
            async move {
                match fate {
                    Some(fate) => fate,
                    None => pending().await,
                }
            }
        });
        (connected.await, tries.get())
    }

    #[tokio::test]
    async fn a_try_that_nobody_answers_is_overtaken_by_the_next_and_an_answer_ends_it() {
        assert_eq!(tried(&[Some(Ok(1))]).await, (Ok(1), 1));
        assert_eq!(tried(&[Some(Err(7))]).await, (Err(7), 1));
        assert_eq!(tried(&[None, Some(Ok(2))]).await, (Ok(2), 2));
        assert_eq!(tried(&[None, None, Some(Ok(3))]).await, (Ok(3), 3));
        assert_eq!(tried(&[None, Some(Err(7)), Some(Ok(3))]).await, (Ok(3), 3));
        let never = tokio::time::timeout(Duration::from_millis(400), tried(&[None, None, None])).await;
        never.expect_err("three tries, and no fourth");
    }
}

//! Holding a job while it is worked on: the lease is renewed, progress is noted, and whoever works is told to let go when the job
//! is cancelled, the lease is lost, or the service stops.

use std::time::Duration;

use flame_service_host::problem::chain;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::changes::News;
use crate::store::{LeaseKey, ReportError, Store};

/// Progress is noted in the database at most this often.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// What work on a job and whoever holds its lease say to each other.
#[derive(Debug)]
pub(super) struct Hold {
    /// Done so far, 0 to 1.
    progress: watch::Sender<f64>,
    /// Cancelled when the work is to end.
    abort: CancellationToken,
    /// Cancelled when the lease is another's: nothing more may be written.
    lost: CancellationToken,
}

// === impl Hold ===

impl Hold {
    pub(super) fn new() -> Self {
        Self { progress: watch::Sender::new(0.0), abort: CancellationToken::new(), lost: CancellationToken::new() }
    }

    /// Notes how far the work is.
    pub(super) fn at(&self, progress: f64) {
        self.progress.send_replace(progress);
    }

    /// Tells the work when to end.
    pub(super) fn abort(&self) -> &CancellationToken {
        &self.abort
    }

    /// Whether the lease is another's.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Holds `lease`, whose life is `life`, while `work` is done. The work is awaited in any case, so that what it started has
    /// ended too.
    pub(super) async fn during<T>(
        &self,
        store: &Store,
        lease: LeaseKey,
        life: Duration,
        stop: &CancellationToken,
        work: impl Future<Output = T>,
    ) -> T {
        let done = CancellationToken::new();
        let working = async {
            let result = work.await;
            done.cancel();
            result
        };
        let keeping = self.keep(store, lease, life, stop, &done);
        tokio::join!(working, keeping).0
    }

    async fn keep(
        &self,
        store: &Store,
        lease: LeaseKey,
        life: Duration,
        stop: &CancellationToken,
        done: &CancellationToken,
    ) {
        let mut watcher = store.changes().follow(lease.seq);
        let mut listening = true;
        let mut noted = *self.progress.borrow();
        let mut renewed = Instant::now();
        let mut ticks = interval(NOTE_EVERY.min(life / 3));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = done.cancelled() => return,
                () = stop.cancelled(), if !self.abort.is_cancelled() => {
                    self.abort.cancel();
                    continue;
                }
                news = watcher.news(), if listening => {
                    match news {
                        News::Changed { cancel_requested: true } => self.abort.cancel(),
                        News::Changed { cancel_requested: false } => {}
                        News::Closed => listening = false,
                    }
                    continue;
                }
                _ = ticks.tick() => {}
            }
            let now = *self.progress.borrow();
            #[allow(clippy::float_cmp, reason = "whether it is the very value that was noted")]
            if now == noted && renewed.elapsed() < life / 3 {
                continue;
            }
            match store.renew(lease, now).await {
                Ok(cancel_requested) => {
                    (noted, renewed) = (now, Instant::now());
                    if cancel_requested {
                        self.abort.cancel();
                    }
                }
                Err(ReportError::Refused(refused)) => {
                    tracing::warn!(seq = lease.seq, %refused, "a lease was not renewed: the work is given up");
                    return self.lose();
                }
                Err(ReportError::Store(error)) => {
                    tracing::error!(seq = lease.seq, error = chain(&error), "a lease cannot be renewed");
                    // Given up before anybody else may begin.
                    if renewed.elapsed() > life * 2 / 3 {
                        return self.lose();
                    }
                }
            }
        }
    }

    fn lose(&self) {
        self.lost.cancel();
        self.abort.cancel();
    }
}

//! Holding a job while it is worked on: the lease is renewed, progress is noted, and whoever works is told to let go
//! when the job is cancelled, the lease is lost, or the service stops.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flame_service_host::problem::chain;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use crate::changes::News;
use crate::stage::Progress;
use crate::store::{LeaseKey, ReportError, Store};

/// Progress is noted in the database at most this often.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// Tells work on a job to end.
#[derive(Debug, Default)]
pub(super) struct Abort {
    token: CancellationToken,
    /// Cancelled as well, unless somebody only cancelled the job.
    urgent: CancellationToken,
    cause: Mutex<Option<Cause>>,
}

/// Why work on a job ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Somebody cancelled the job.
    Cancelled,
    /// The service stops.
    Stopping,
    /// The lease is another's: nothing more may be written.
    LeaseLost,
}

/// What work on a job and whoever holds its lease say to each other.
#[derive(Debug)]
pub(super) struct Hold {
    progress: watch::Sender<Progress>,
    board: Board,
    abort: Abort,
}

// === impl Hold ===

impl Hold {
    /// Begins with this progress.
    pub(super) fn new(start: Progress) -> Self {
        Self { progress: watch::Sender::new(start), board: Board::default(), abort: Abort::default() }
    }

    /// Notes how far the work is.
    pub(super) fn at(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    /// How far the stages of the chain are.
    pub(super) fn board(&self) -> &Board {
        &self.board
    }

    /// Tells the work when to end.
    pub(super) fn abort(&self) -> &Abort {
        &self.abort
    }

    /// Holds `lease`, whose life is `life`, while `work` is done. The work is awaited in any case, so that what it
    /// started has ended too.
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
        let keeping = keep(store, lease, life, stop, self, &done);
        tokio::join!(working, keeping).0
    }
}

async fn keep(
    store: &Store,
    lease: LeaseKey,
    life: Duration,
    stop: &CancellationToken,
    hold: &Hold,
    done: &CancellationToken,
) {
    let (progress, abort) = (hold.progress.subscribe(), &hold.abort);
    let mut watcher = store.changes().follow(lease.seq);
    let mut listening = true;
    let mut noted = *progress.borrow();
    let mut renewed = Instant::now();
    let mut ticks = interval(NOTE_EVERY.min(life / 3));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = done.cancelled() => return,
            () = stop.cancelled(), if !abort.urgent.is_cancelled() => {
                abort.now(Cause::Stopping);
                continue;
            }
            news = watcher.news(), if listening => {
                match news {
                    News::Changed { cancel_requested: true } => abort.now(Cause::Cancelled),
                    News::Changed { cancel_requested: false } => {}
                    News::Closed => listening = false,
                }
                continue;
            }
            _ = ticks.tick() => {}
        }
        let now = *progress.borrow();
        if now == noted && renewed.elapsed() < life / 3 {
            continue;
        }
        match store.renew(lease, now, &hold.board.stages()).await {
            Ok(cancel_requested) => {
                (noted, renewed) = (now, Instant::now());
                if cancel_requested {
                    abort.now(Cause::Cancelled);
                }
            }
            Err(ReportError::Refused(refused)) => {
                tracing::warn!(seq = lease.seq, %refused, "a lease was not renewed: the work is given up");
                return abort.now(Cause::LeaseLost);
            }
            Err(ReportError::Store(error)) => {
                tracing::error!(seq = lease.seq, error = chain(&error), "a lease cannot be renewed");
                // Given up before anybody else may begin.
                if renewed.elapsed() > life * 2 / 3 {
                    return abort.now(Cause::LeaseLost);
                }
            }
        }
    }
}

// === impl Abort ===

impl Abort {
    /// Ends the work; a lost lease counts more than what came before, for then not even a report is taken.
    fn now(&self, cause: Cause) {
        let mut place = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() || cause == Cause::LeaseLost {
            *place = Some(cause);
        }
        match cause {
            Cause::Cancelled => {}
            Cause::Stopping | Cause::LeaseLost => self.urgent.cancel(),
        }
        self.token.cancel();
    }

    /// Why the work is to end, if it is.
    pub(super) fn cause(&self) -> Option<Cause> {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancelled when the work must end without finishing even what is under way: the lease or the process ends.
    pub(super) fn urgent(&self) -> &CancellationToken {
        &self.urgent
    }

    /// Cancelled when the work is to end.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }
}

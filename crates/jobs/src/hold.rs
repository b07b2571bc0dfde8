//! Holding a job while it is worked on: the lease is renewed, progress is noted, and whoever works is told to let go
//! when the job is cancelled, the lease is lost, or the service stops.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flame_service_host::problem::chain;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::changes::{Changes, News};
use crate::queue::{LeaseKey, ReportError};

/// Progress is noted in the database at most this often.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// Tells work on a job to end.
#[derive(Debug, Default)]
pub struct Abort {
    token: CancellationToken,
    /// Cancelled as well, unless somebody only cancelled the job.
    urgent: CancellationToken,
    cause: Mutex<Option<Cause>>,
}

/// Why work on a job ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Somebody cancelled the job.
    Cancelled,
    /// The service stops.
    Stopping,
    /// The lease is another's: nothing more may be written.
    LeaseLost,
}

/// What work on a job and whoever holds its lease say to each other; `P` is how far the work is.
#[derive(Debug)]
pub struct Hold<P> {
    progress: watch::Sender<P>,
    abort: Abort,
}

/// What is held.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// Where changes of the job are told.
    pub changes: &'a Changes,
    /// The lease.
    pub lease: LeaseKey,
    /// Its life, if it is not renewed; it is renewed at a third of it.
    pub life: Duration,
}

// === impl Hold ===

impl<P: Copy + PartialEq> Hold<P> {
    /// Begins with this progress.
    #[must_use]
    pub fn new(start: P) -> Self {
        Self { progress: watch::Sender::new(start), abort: Abort::default() }
    }

    /// Notes how far the work is.
    pub fn at(&self, progress: P) {
        self.progress.send_replace(progress);
    }

    /// Tells the work when to end.
    #[must_use]
    pub fn abort(&self) -> &Abort {
        &self.abort
    }

    /// Holds a lease while `work` is done. `renew` renews it and notes how far the work is; it says whether somebody wants the job
    /// cancelled. The work is awaited in any case, so that what it started has ended too.
    pub async fn during<T, R, Renewing>(
        &self,
        held: Held<'_>,
        stop: &CancellationToken,
        renew: R,
        work: impl Future<Output = T>,
    ) -> T
    where
        R: Fn(P) -> Renewing,
        Renewing: Future<Output = Result<bool, ReportError>>,
    {
        let done = CancellationToken::new();
        let working = async {
            let result = work.await;
            done.cancel();
            result
        };
        let keeping = self.keep(held, stop, renew, &done);
        tokio::join!(working, keeping).0
    }

    async fn keep<R, Renewing>(&self, held: Held<'_>, stop: &CancellationToken, renew: R, done: &CancellationToken)
    where
        R: Fn(P) -> Renewing,
        Renewing: Future<Output = Result<bool, ReportError>>,
    {
        let Held { changes, lease, life } = held;
        let (progress, abort) = (self.progress.subscribe(), &self.abort);
        let mut watcher = changes.follow(lease.seq);
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
            match renew(now).await {
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
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancelled when the work must end without finishing even what is under way: the lease or the process ends.
    #[must_use]
    pub fn urgent(&self) -> &CancellationToken {
        &self.urgent
    }

    /// Cancelled when the work is to end.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

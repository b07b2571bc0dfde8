//! Threads with a runtime each: a connection stays on the one that it was given to.
//!
//! A runtime that all threads share moves tasks to whoever is idle. That is right for work of any length, and dear for
//! requests that are only passed on: the task, its timers, its sockets and what it keeps go from one processor's cache to
//! the other's, under locks. Whoever passes things on puts its connections here; everything else stays on the shared
//! runtime. What a connection's task spawns stays on its thread, too. Nothing here may compute for long or block.

use std::cell::Cell;
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

/// Most threads of one service.
pub const CORES_MAX: usize = 64;

thread_local! {
    /// Which of its service's threads this is, from 1; 0 on all others.
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// The threads; they end when this is dropped.
#[derive(Debug)]
pub struct Cores {
    handles: Vec<Handle>,
    next: AtomicUsize,
    stop: CancellationToken,
}

/// A thread's runtime, which may end anywhere, also where its thread could not be made: what still blocks ends by itself.
struct Core(Option<Runtime>);

/// Which of its service's threads the caller is on, from 1; 0 where it is on none. At most [`CORES_MAX`].
#[must_use]
pub fn current() -> usize {
    NUMBER.get()
}

// === impl Cores ===

impl Cores {
    /// So many threads, at most [`CORES_MAX`]; 0 is one for each processor.
    ///
    /// # Errors
    /// A thread or its runtime cannot be made.
    pub fn start(count: usize) -> io::Result<Self> {
        let count = if count == 0 { std::thread::available_parallelism().map_or(1, NonZero::get) } else { count };
        let stop = CancellationToken::new();
        // Where one fails those that run end with it.
        let mut cores = Self { handles: Vec::new(), next: AtomicUsize::new(0), stop };
        for number in 1..=count.min(CORES_MAX) {
            let core = Core(Some(Builder::new_current_thread().enable_all().build()?));
            cores.handles.extend(core.0.as_ref().map(|runtime| runtime.handle().clone()));
            let stop = cores.stop.clone();
            std::thread::Builder::new().name(format!("core-{number}")).spawn(move || {
                NUMBER.set(number);
                if let Some(runtime) = &core.0 {
                    runtime.block_on(stop.cancelled());
                }
            })?;
        }
        Ok(cores)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    /// The thread whose turn it is.
    pub(crate) fn next(&self) -> &Handle {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_stays_on_the_thread_that_it_was_given_to_and_so_does_what_it_spawns() {
        let cores = Cores::start(2).unwrap();
        assert_eq!((cores.count(), current()), (2, 0));
        let mut seen = Vec::new();
        for _ in 0..4 {
            let work = cores.next().spawn(async { (current(), tokio::spawn(async { current() }).await.unwrap()) });
            seen.push(work.await.unwrap());
        }
        assert_eq!(seen, [(1, 1), (2, 2), (1, 1), (2, 2)]);
        let endless = cores.next().spawn(std::future::pending::<()>());
        drop(cores);
        // One whose thread was never made ends in the middle of other work.
        drop(Core(Some(Builder::new_current_thread().build().unwrap())));
        assert!(endless.await.unwrap_err().is_cancelled());
    }
}

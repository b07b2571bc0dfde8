//! A bounded number of warm children.
//!
//! A child that has answered well is kept for the next request, since starting one and loading plugins takes
//! longer than a probe. One that has failed, been interrupted or served its share is thrown away, so nothing
//! that a hostile file left in its memory outlives it by much.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    child::Child,
    error::ChildError,
    memory,
    protocol::{Event, Fault, Outcome, Request},
};

/// How a pool works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// The program, as [`crate::find_program`] finds it.
    pub program: PathBuf,
    /// Most children at once; further requests wait.
    pub size: usize,
    /// What each child may use.
    pub limits: Limits,
    /// A child without work is ended after this time.
    pub idle_timeout: Duration,
    /// A child is replaced after this many requests.
    pub requests_max: u32,
    /// An existing folder for the cache of GStreamer's plugin registry; `None` for that of the user.
    pub cache_dir: Option<PathBuf>,
}

/// What a child may use; `None` leaves what this process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Address space in bytes.
    pub address_space_bytes: Option<u64>,
    /// Processor time of a child's whole life in seconds. A request that has a deadline needs none.
    pub cpu_s: Option<u64>,
    /// Largest file that may be written, in bytes.
    pub file_size_bytes: Option<u64>,
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// Niceness (`nice(2)`), 0 to 19: of work that nobody waits for from moment to moment.
    pub nice: Option<u8>,
}

/// How one request is followed and bounded.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// Gets the progress, 0 to 1.
    pub progress: Option<watch::Sender<f64>>,
    /// Gets the progress of each track of a ladder, before that of the whole.
    pub parts: Option<watch::Sender<Vec<f64>>>,
    /// Time for the work, counted once a child is free; `None` for no bound.
    pub deadline: Option<Duration>,
    /// Ends the request at any time.
    pub cancel: CancellationToken,
}

/// A pool of children. Dropping it, or its end with this process, ends them all.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    /// Set by the first request, which knows that there is a runtime.
    reaper: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    config: PoolConfig,
    places: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    child: Child,
    since: Instant,
}

// === impl PoolConfig ===

impl PoolConfig {
    /// A pool of `size` children of `program` with the default bounds; each has its share of the memory.
    #[must_use]
    pub fn new(program: PathBuf, size: usize) -> Self {
        Self {
            program,
            size,
            limits: Limits { resident_bytes: memory::share(size), ..Limits::default() },
            idle_timeout: Duration::from_secs(60),
            requests_max: 100,
            cache_dir: None,
        }
    }

    /// Keeps the cache of the plugin registry in `folder`, which exists, unless the environment names a file for it
    /// (`GST_REGISTRY`, for example one that an image was built with).
    #[must_use]
    pub fn caching_in(self, folder: &Path) -> Self {
        let cache_dir = std::env::var_os("GST_REGISTRY").is_none().then(|| folder.to_owned());
        Self { cache_dir, ..self }
    }
}

impl Default for Limits {
    /// Enough for a 4K ladder, too little to take a machine down: 16 GiB of address space (threads' stacks
    /// and arenas count, not only what is used), files of 64 GiB. How much of the memory there is depends on the pool, and how
    /// long a request may take is its caller's to say.
    fn default() -> Self {
        Self {
            address_space_bytes: Some(16 << 30),
            cpu_s: None,
            file_size_bytes: Some(64 << 30),
            resident_bytes: None,
            nice: None,
        }
    }
}

// === impl Pool ===

impl Pool {
    /// A pool; no child is started before the first request.
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        let places = Semaphore::new(config.size.max(1));
        let shared = Shared { config, places, idle: Mutex::new(Vec::new()) };
        Self { shared: Arc::new(shared), reaper: Mutex::new(None) }
    }

    /// Has a child carry out `request`. Dropping the future kills the child.
    ///
    /// # Errors
    /// [`ChildError`].
    pub async fn run(&self, request: &Request, call: Call) -> Result<Outcome, ChildError> {
        self.start_reaper();
        let place = tokio::select! {
            biased;
            () = call.cancel.cancelled() => return Err(ChildError::Cancelled),
            place = self.shared.places.acquire() => place.expect("the semaphore is never closed"),
        };
        let result = self.shared.serve(request, &call).await;
        drop(place);
        result
    }

    /// Process ids of the children that wait for work.
    #[must_use]
    pub fn idle_pids(&self) -> Vec<u32> {
        self.shared.lock().iter().filter_map(|idle| idle.child.pid()).collect()
    }

    fn start_reaper(&self) {
        let mut reaper = self.reaper.lock().expect("no panic while it is held");
        if reaper.is_none() {
            *reaper = Some(tokio::spawn(reap(Arc::downgrade(&self.shared), self.shared.config.idle_timeout)));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(reaper) = self.reaper.lock().expect("no panic while it is held").take() {
            reaper.abort();
        }
    }
}

/// Ends children that have waited too long. Ends itself with the pool.
async fn reap(shared: Weak<Shared>, idle_timeout: Duration) {
    loop {
        tokio::time::sleep((idle_timeout / 4).max(Duration::from_millis(10))).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut tired = Vec::new();
        {
            let mut idle = shared.lock();
            while let Some(n) = idle.iter().position(|idle| idle.since.elapsed() >= idle_timeout) {
                tired.push(idle.swap_remove(n));
            }
        }
        for Idle { child, .. } in tired {
            child.kill().await;
        }
    }
}

// === impl Shared ===

impl Shared {
    async fn serve(&self, request: &Request, call: &Call) -> Result<Outcome, ChildError> {
        let expired = async {
            match call.deadline {
                Some(deadline) => tokio::time::sleep(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(expired);
        let mut is_new_wanted = false;
        loop {
            let mut child = tokio::select! {
                biased;
                () = call.cancel.cancelled() => return Err(ChildError::Cancelled),
                () = &mut expired => return Err(timed_out(call)),
                child = self.child(is_new_wanted) => child?,
            };
            let mut has_spoken = false;
            let exceeded = memory::exceeded(child.pid(), self.config.limits.resident_bytes);
            let answer = tokio::select! {
                biased;
                () = call.cancel.cancelled() => Err(ChildError::Cancelled),
                () = &mut expired => Err(timed_out(call)),
                limit_bytes = exceeded => Err(ChildError::TooMuchMemory { limit_bytes }),
                answer = converse(&mut child, request, call, &mut has_spoken) => answer,
            };
            // Whether one that has waited died of this request, or just before it, cannot be told apart: a new one decides.
            is_new_wanted = child.served > 0 && !has_spoken && matches!(answer, Err(ChildError::Crashed { .. }));
            child.served += 1;
            if answer.is_ok() && child.served < self.config.requests_max {
                self.lock().push(Idle { child, since: Instant::now() });
            } else {
                child.kill().await;
            }
            if !is_new_wanted {
                return answer;
            }
        }
    }

    /// A warm child, or a new one; a new one in any case if one is wanted.
    async fn child(&self, is_new_wanted: bool) -> Result<Child, ChildError> {
        loop {
            let idle = if is_new_wanted { None } else { self.lock().pop() };
            let Some(Idle { mut child, .. }) = idle else {
                return Child::start(&self.config).await;
            };
            // One that died while it waited is nobody's failure.
            if child.is_alive() {
                return Ok(child);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().expect("no panic while it is held")
    }
}

fn timed_out(call: &Call) -> ChildError {
    ChildError::TimedOut { after: call.deadline.unwrap_or_default() }
}

/// Carries out a request; `has_spoken` is whether the child said anything of it.
async fn converse(
    child: &mut Child,
    request: &Request,
    call: &Call,
    has_spoken: &mut bool,
) -> Result<Outcome, ChildError> {
    child.ask(request).await?;
    loop {
        let event = child.event().await?;
        *has_spoken = true;
        match event {
            Event::Progress { fraction, parts: said } => {
                if let Some(parts) = &call.parts {
                    parts.send_replace(said);
                }
                if let Some(progress) = &call.progress {
                    progress.send_replace(fraction);
                }
            }
            Event::Done { outcome } => return Ok(outcome),
            Event::Failed { fault: Fault::Input, reason } => return Err(ChildError::Input { reason }),
            Event::Failed { fault: Fault::Environment, reason } => return Err(ChildError::Environment { reason }),
            Event::Hello { .. } => return Err(ChildError::Protocol { what: "it said hello twice".to_owned() }),
        }
    }
}

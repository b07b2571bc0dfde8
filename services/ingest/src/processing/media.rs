//! What `flame-media` children say about a source. Nothing else in this service looks into media.

use std::path::Path;
use std::time::Duration;

use flame_api::media::Probe;
use flame_media_child::protocol::{Outcome, Request};
use flame_media_child::{Call, ChildError, Limits, Pool, PoolConfig};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Trouble;

/// Bound of the poster's width and height in pixels.
const POSTER_MAX_SIZE: u32 = 1280;
/// The poster shows the picture at a tenth of the duration, but not later than this.
const POSTER_LATEST_MS: u64 = 10_000;
/// Largest file that a child may write: a poster.
const FILE_MAX_BYTES: u64 = 64 << 20;
/// A file that takes the child down with it is tried this often: once may be the machine's fault.
const CRASHES_MAX: u32 = 3;

/// The children.
#[derive(Debug)]
pub struct Media {
    pool: Pool,
    timeout: Duration,
    turns: RwLock<()>,
}

/// Leave to look into a file, while it is held.
#[derive(Debug)]
pub enum Turn<'a> {
    /// Beside others.
    Shared(#[allow(dead_code, reason = "held, never read")] RwLockReadGuard<'a, ()>),
    /// With nobody else.
    Alone(#[allow(dead_code, reason = "held, never read")] RwLockWriteGuard<'a, ()>),
}

// === impl Media ===

impl Media {
    /// Children of `program`, `size` at once, with their cache in `cache_dir` unless the environment names another.
    #[must_use]
    pub fn new(program: &Path, size: usize, cache_dir: &Path, timeout: Duration) -> Self {
        let config = PoolConfig::new(program.to_owned(), size).caching_in(cache_dir);
        let limits = Limits { file_size_bytes: Some(FILE_MAX_BYTES), ..config.limits };
        let config = PoolConfig { limits, ..config };
        Self { pool: Pool::new(config), timeout, turns: RwLock::new(()) }
    }

    /// Waits for leave to look into a file; into one that is under suspicion, alone.
    pub async fn turn(&self, is_suspect: bool) -> Turn<'_> {
        if is_suspect { Turn::Alone(self.turns.write().await) } else { Turn::Shared(self.turns.read().await) }
    }

    /// Measures the file at `input`, a URL; `attempts` tries have failed before.
    pub async fn probe(&self, input: String, attempts: u32) -> Result<Probe, Trouble> {
        match self.run(Request::Probe { input }).await {
            Ok(Outcome::Probe { probe }) => Ok(*probe),
            Ok(other) => Err(Trouble::Later(format!("the media process answered a probe with {other:?}"))),
            Err(error) => Err(of_child(&error, attempts)),
        }
    }

    /// Writes a poster of the file at `input` to `output`.
    pub async fn poster(&self, input: String, duration_ms: u64, output: &Path) -> Result<(), ChildError> {
        let at_ms = (duration_ms / 10).min(POSTER_LATEST_MS);
        let request = Request::Poster { input, at_ms, max_size: POSTER_MAX_SIZE, output: output.to_owned() };
        self.run(request).await.map(drop)
    }

    async fn run(&self, request: Request) -> Result<Outcome, ChildError> {
        self.pool.run(&request, Call { deadline: Some(self.timeout), ..Call::default() }).await
    }
}

fn of_child(error: &ChildError, attempts: u32) -> Trouble {
    let reason = flame_service_host::problem::chain(error);
    match error {
        ChildError::Input { .. } => Trouble::Refused(reason),
        ChildError::Crashed { .. } | ChildError::TimedOut { .. } | ChildError::TooMuchMemory { .. }
            if attempts + 1 >= CRASHES_MAX =>
        {
            Trouble::Refused(format!("the file cannot be looked into: {reason}"))
        }
        ChildError::Crashed { .. }
        | ChildError::TimedOut { .. }
        | ChildError::TooMuchMemory { .. }
        | ChildError::Environment { .. }
        | ChildError::Cancelled
        | ChildError::NotFound { .. }
        | ChildError::Start { .. }
        | ChildError::Protocol { .. } => Trouble::Later(reason),
    }
}

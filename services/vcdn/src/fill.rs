//! A fill: one request upstream, whose answer is kept and followed by all who asked for the same meanwhile.
//!
//! ```text
//! Asking ──► Flowing ──► Complete           all bytes are there, and kept
//!    │          └──────► Aborted            a state of its own: no length makes it look whole, nothing keeps it
//!    ├─────────────────► Complete           unchanged (304), or stale and still allowed
//!    ├─────────────────► Unshared           not for a cache: every follower asks singly
//!    └─────────────────► Failed             no answer
//! ```
//!
//! Followers copy nothing: each reads the file at its own pace, so a slow one keeps an open file and an offset. The writer
//! never waits for them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hyper::body::Incoming;
use tokio::sync::watch;

use crate::medium::BodyFile;
use crate::object::{Head, Object, Times, UnixMs};
use crate::policy;
use crate::upstream::UpstreamError;

/// A running fill, or one that has just ended.
#[derive(Debug)]
pub(crate) struct Fill {
    pub key: Arc<str>,
    pub began: UnixMs,
    phase: watch::Sender<Phase>,
    /// Somebody has changed what is being fetched: followers get it, nobody keeps it.
    superseded: AtomicBool,
    /// The `Age` that upstream's answer came with: so it is passed on to the one who asked for it.
    age_s: OnceLock<u64>,
    /// The answer that is not for a cache, for the one request that began the fill.
    unshared: Mutex<Option<http::Response<Incoming>>>,
}

/// Where a fill is.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// No head yet.
    Asking,
    /// `written` bytes are in the file.
    Flowing(Flow),
    /// Ended well.
    Complete(Arc<Object>, Outcome),
    /// Broke off; what is there stays readable.
    Aborted(Flow),
    /// Not for a cache.
    Unshared,
    /// No answer.
    Failed(Arc<UpstreamError>),
}

/// How a fill ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Fetched.
    Fetched,
    /// Upstream said that the kept one is still right.
    Unchanged,
    /// Upstream failed, and the stale one may be used.
    Stale,
}

/// A body on its way.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// What it will be kept under: known once upstream has said what it varies by.
    pub key: Arc<str>,
    pub head: Arc<Head>,
    pub file: Arc<BodyFile>,
    /// Until when others may be given it, by its head.
    pub times: Times,
    pub written: u64,
    /// Length of the whole, where upstream said it.
    pub length: Option<u64>,
}

// === impl Fill ===

impl Fill {
    pub(crate) fn new(key: Arc<str>, began: UnixMs) -> Self {
        Self {
            key,
            began,
            phase: watch::Sender::new(Phase::Asking),
            superseded: AtomicBool::new(false),
            age_s: OnceLock::new(),
            unshared: Mutex::default(),
        }
    }

    /// To follow it.
    pub(crate) fn follow(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Groups of what it fetches; none before upstream has said so.
    pub(crate) fn tags(&self) -> Box<[Box<str>]> {
        match &*self.phase.borrow() {
            Phase::Flowing(flow) | Phase::Aborted(flow) => policy::tags(&flow.head.headers),
            Phase::Complete(object, _) => object.tags.clone(),
            Phase::Asking | Phase::Unshared | Phase::Failed(_) => Box::default(),
        }
    }

    /// Whether nothing is known of what it fetches.
    pub(crate) fn is_asking(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Asking)
    }

    /// What it fetches is not to be kept.
    pub(crate) fn supersede(&self) {
        self.superseded.store(true, Ordering::Release);
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Acquire)
    }

    /// The `Age` of upstream's answer, if it had one.
    pub(crate) fn age_s(&self) -> Option<u64> {
        self.age_s.get().copied()
    }

    pub(crate) fn came_with_age(&self, age_s: Option<u64>) {
        if let Some(age_s) = age_s {
            // There is one answer.
            let _ = self.age_s.set(age_s);
        }
    }

    /// Bytes begin to flow.
    pub(crate) fn flow(&self, flow: Flow) {
        self.phase.send_replace(Phase::Flowing(flow));
    }

    /// More bytes are in the file; `tells` its followers. Who looks by himself sees them in any case.
    pub(crate) fn wrote(&self, bytes: u64, tells: bool) {
        self.phase.send_if_modified(|phase| {
            if let Phase::Flowing(flow) = phase {
                flow.written += bytes;
            }
            tells
        });
    }

    /// Tells its followers of what was written.
    pub(crate) fn tell(&self) {
        self.phase.send_if_modified(|_| true);
    }

    /// How many follow it.
    pub(crate) fn followers(&self) -> usize {
        self.phase.receiver_count()
    }

    /// The bytes are in another file now.
    pub(crate) fn moved(&self, file: &Arc<BodyFile>) {
        self.phase.send_modify(|phase| {
            if let Phase::Flowing(flow) = phase {
                flow.file = Arc::clone(file);
            }
        });
    }

    /// All bytes are there.
    pub(crate) fn complete(&self, object: Arc<Object>, outcome: Outcome) {
        self.phase.send_replace(Phase::Complete(object, outcome));
    }

    /// The body broke off.
    pub(crate) fn abort(&self) {
        self.phase.send_modify(|phase| {
            if let Phase::Flowing(flow) = phase {
                *phase = Phase::Aborted(flow.clone());
            }
        });
    }

    /// The answer is for one only.
    pub(crate) fn unshare(&self, answer: http::Response<Incoming>) {
        *self.unshared.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        self.phase.send_replace(Phase::Unshared);
    }

    /// The answer that is for one only, for the first who takes it.
    pub(crate) fn take_unshared(&self) -> Option<http::Response<Incoming>> {
        self.unshared.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// There is no answer.
    pub(crate) fn fail(&self, error: UpstreamError) {
        self.phase.send_replace(Phase::Failed(Arc::new(error)));
    }

    /// The task that drove it is gone: whatever it was doing will not end well.
    pub(crate) fn abandon(&self) {
        self.phase.send_modify(|phase| match phase {
            Phase::Asking => *phase = Phase::Failed(Arc::new(UpstreamError::Abandoned)),
            Phase::Flowing(flow) => *phase = Phase::Aborted(flow.clone()),
            Phase::Complete(..) | Phase::Aborted(_) | Phase::Unshared | Phase::Failed(_) => {}
        });
    }
}

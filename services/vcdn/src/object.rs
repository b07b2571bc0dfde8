//! One stored answer: its head, when it is fresh, and where its body is. Never changes; a revalidated one is a new one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use bytes::{BufMut, Bytes, BytesMut};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::medium::Medium;
use crate::stats::AssetCounters;

/// A moment, Unix milliseconds. While the process runs it is counted from its start by a clock that nobody sets, so a step of
/// the wall clock makes nothing older or younger; only across a restart does the wall clock say what time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
pub struct UnixMs(pub u64);

/// Status and end-to-end fields of an answer, and the same as text.
#[derive(Debug)]
pub(crate) struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Status line and fields as they are sent, without those that differ by request and without the empty line.
    pub wire: Bytes,
}

/// Until when an answer may be used for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    /// When the origin made it: now minus this is its age.
    pub born: UnixMs,
    /// When it was received, or last found unchanged.
    pub received: UnixMs,
    /// Used without asking before this.
    pub fresh_until: UnixMs,
    /// Used while it is asked for again before this.
    pub while_revalidate_until: UnixMs,
    /// Used if asking fails before this.
    pub if_error_until: UnixMs,
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Object {
    pub key: Arc<str>,
    pub head: Arc<Head>,
    pub times: Times,
    pub length: u64,
    pub medium: Medium,
    /// Groups that it can be purged by.
    pub tags: Box<[Box<str>]>,
    pub asset: Arc<AssetCounters>,
    /// Counted as a hit at least once.
    pub was_hit: AtomicBool,
    /// File of the disk tier, if there is one.
    pub on_disk: bool,
}

/// When this process first asked what time it is: by the wall clock, and by the one that only runs on.
static BEGAN: LazyLock<(UnixMs, u64)> = LazyLock::new(|| (UnixMs::by_the_wall(), running_ms()));

/// What memory an object takes beside its body: maps, strings, head.
const OVERHEAD_BYTES: u64 = 2048;
/// The least that an open file counts as in the memory tier: 256 MiB keep at most 4,096 open.
pub(crate) const OPEN_FILE_BYTES: u64 = 64 << 10;

// === impl UnixMs ===

impl UnixMs {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        let (wall, running_at_ms) = *BEGAN;
        wall.plus_ms(running_ms() - running_at_ms)
    }

    /// This moment by the wall clock: for what others have dated.
    #[must_use]
    pub fn by_the_wall() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// That many milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 if that is later (clocks jump).
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Milliseconds by a clock that nobody sets and that goes on while the machine sleeps.
fn running_ms() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

// === impl Times ===

impl Times {
    /// Nothing may be done with it any more without asking: nobody knows how old it is.
    pub(crate) const UNKNOWN: Self = Self {
        born: UnixMs(0),
        received: UnixMs(0),
        fresh_until: UnixMs(0),
        while_revalidate_until: UnixMs(0),
        if_error_until: UnixMs(0),
    };

    /// Made and received at once, stale from then on.
    #[cfg(test)]
    pub(crate) fn of(now: UnixMs) -> Self {
        Self { born: now, received: now, fresh_until: now, while_revalidate_until: now, if_error_until: now }
    }
}

// === impl Head ===

impl Head {
    pub(crate) fn new(status: StatusCode, headers: HeaderMap) -> Self {
        let wire = wire(status, &headers, &[]);
        Self { status, headers, wire }
    }

    /// The same under another status and with other fields: a part, a "not modified".
    pub(crate) fn etag(&self) -> Option<&HeaderValue> {
        self.headers.get(header::ETAG)
    }

    /// The length of the body, where its fields say it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The ETag if it says that bytes are equal (RFC 9110 section 8.8.1).
    pub(crate) fn strong_etag(&self) -> Option<&HeaderValue> {
        self.etag().filter(|etag| etag.as_bytes().first() == Some(&b'"'))
    }
}

/// Status line and fields but those in `without`; no empty line.
pub(crate) fn wire(status: StatusCode, headers: &HeaderMap, without: &[HeaderName]) -> Bytes {
    let mut text = BytesMut::with_capacity(512);
    text.put_slice(b"HTTP/1.1 ");
    text.put_slice(status.as_str().as_bytes());
    text.put_u8(b' ');
    text.put_slice(status.canonical_reason().unwrap_or("Unknown").as_bytes());
    text.put_slice(b"\r\n");
    for (name, value) in headers.iter().filter(|(name, _)| !without.contains(name)) {
        text.put_slice(name.as_str().as_bytes());
        text.put_slice(b": ");
        text.put_slice(value.as_bytes());
        text.put_slice(b"\r\n");
    }
    text.freeze()
}

// === impl Object ===

impl Object {
    pub(crate) fn is_fresh(&self, now: UnixMs) -> bool {
        now < self.times.fresh_until
    }

    /// Seconds since the origin made it.
    pub(crate) fn age_s(&self, now: UnixMs) -> u64 {
        now.since_ms(self.times.born) / 1000
    }

    /// What of the memory tier it takes. A body on disk costs an open file, of which a process may have only so many.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let body = match &self.medium {
            Medium::Memory(bytes) => bytes.len() as u64,
            Medium::File(_) if self.on_disk => OPEN_FILE_BYTES,
            Medium::File(_) => self.length.max(OPEN_FILE_BYTES),
        };
        body + OVERHEAD_BYTES
    }

    /// The same bytes, found unchanged.
    pub(crate) fn refreshed(&self, head: Head, times: Times, tags: Box<[Box<str>]>) -> Self {
        Self {
            key: Arc::clone(&self.key),
            head: Arc::new(head),
            times,
            length: self.length,
            medium: self.medium.clone(),
            tags,
            asset: Arc::clone(&self.asset),
            was_hit: AtomicBool::new(self.was_hit.load(Ordering::Relaxed)),
            on_disk: self.on_disk,
        }
    }
}

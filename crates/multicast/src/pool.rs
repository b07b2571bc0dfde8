//! The groups that a router has joined, and the link to them.
//!
//! All groups are joined once, at the start: joining one takes its time in the network's switches, and a response must
//! not wait for it. A transfer takes one of them by its number. What arrives is given to the transfer that it names, on
//! the spot and without a queue in between; what names none is dropped. What goes out is held to the link's rate,
//! all transfers together.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bucket::Bucket;
use crate::link::{self, Ear, Mouth};
use crate::reception::Reception;
use crate::{DATAGRAM_OVERHEAD_BYTES, seal};

/// Datagrams read in a row before others get their turn.
const READ_MAX: usize = 64;
/// Datagrams read before a member says what it lacks: more than a receive buffer holds.
const CATCH_UP_MAX: usize = 8192;

/// Which groups, on which link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// The groups; all routers of a network have the same, in the same order.
    pub groups: Vec<SocketAddrV4>,
    /// The address of the interface that leads to the other routers.
    pub interface: Ipv4Addr,
    /// What may go out in bits a second, headers counted.
    pub rate_bps: u64,
    /// Routers between networks that a packet may pass, plus one.
    pub ttl: u32,
    /// Receive buffer of each group's socket; the system may allow less (`net.core.rmem_max`).
    pub receive_buffer_bytes: usize,
}

/// The joined groups. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Shared>);

/// The receiving sockets, which somebody has to run.
#[derive(Debug)]
#[must_use]
pub struct Ears {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    groups: Vec<SocketAddrV4>,
    /// A socket for each group.
    ears: Vec<Ear>,
    mouth: Mouth,
    bucket: Mutex<Bucket>,
    began: Instant,
    slots: Mutex<HashMap<u32, Arc<Slot>>>,
    strangers: AtomicU64,
    sent_bytes: AtomicU64,
}

/// Where one transfer's packets go.
#[derive(Debug)]
pub(crate) struct Slot {
    reception: Mutex<Reception>,
    /// Told when a block may be complete.
    pub complete: Notify,
}

/// A transfer's packets are taken while this lives.
#[derive(Debug)]
pub(crate) struct Listening {
    transfer: u32,
    pub slot: Arc<Slot>,
    shared: Option<Arc<Shared>>,
}

// === impl Pool ===

impl Pool {
    /// Joins the groups.
    ///
    /// Must be called within a tokio runtime.
    pub fn join(config: &PoolConfig) -> io::Result<(Self, Ears)> {
        if config.groups.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a pool needs a group"));
        }
        let shared = Arc::new(Shared {
            groups: config.groups.clone(),
            ears: config.groups.iter().map(|group| Ear::open(*group, config)).collect::<io::Result<_>>()?,
            mouth: Mouth::open(config)?,
            bucket: Mutex::new(Bucket::new(config.rate_bps, Duration::ZERO)),
            began: Instant::now(),
            slots: Mutex::default(),
            strangers: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
        });
        Ok((Self(Arc::clone(&shared)), Ears { shared }))
    }

    /// Sends sealed packets of a transfer, each of `length` octets, to its group, as soon as the link's rate allows.
    pub(crate) async fn send(&self, transfer: u32, sealed: &[u8], length: usize) -> io::Result<()> {
        let shared = &self.0;
        let bytes = sealed.len() + sealed.len().div_ceil(length) * DATAGRAM_OVERHEAD_BYTES;
        let pause = shared.bucket().take(bytes, shared.began.elapsed());
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        let group = shared.groups[shared.place(transfer)];
        shared.mouth.send(group, sealed, length).await?;
        shared.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    /// How many sealed packets of `length` octets are best sent together.
    pub(crate) fn together(&self, length: usize) -> usize {
        link::bundle(self.rate_bps(), length + DATAGRAM_OVERHEAD_BYTES)
    }

    /// Halves the link's rate, unless that was done a moment ago.
    pub(crate) fn slow_down(&self) {
        let now = self.0.began.elapsed();
        let mut bucket = self.0.bucket();
        if bucket.halve(now) {
            tracing::info!(rate_bps = bucket.rate_bps(now), "members lose packets: multicast is slowed down");
        }
    }

    /// Gives a transfer's packets to `reception`, until what is returned is dropped; `None` where another transfer of
    /// the same number is listened to.
    pub(crate) fn listen(&self, transfer: u32, reception: Reception) -> Option<Listening> {
        let mut listening = Listening::deaf(transfer, reception);
        let mut slots = self.0.slots();
        if slots.contains_key(&transfer) {
            return None;
        }
        slots.insert(transfer, Arc::clone(&listening.slot));
        listening.shared = Some(Arc::clone(&self.0));
        Some(listening)
    }

    /// What the link may carry now, in bits a second.
    #[must_use]
    pub fn rate_bps(&self) -> u64 {
        self.0.bucket().rate_bps(self.0.began.elapsed())
    }

    /// Octets sent to the groups, headers counted.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.0.sent_bytes.load(Ordering::Relaxed)
    }

    /// Packets that named no transfer that is listened to.
    #[must_use]
    pub fn strangers(&self) -> u64 {
        self.0.strangers.load(Ordering::Relaxed)
    }
}

// === impl Ears ===

impl Ears {
    /// Takes packets until `stop`.
    pub async fn until(self, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for at in 0..self.shared.ears.len() {
            let shared = Arc::clone(&self.shared);
            tasks.spawn(async move { shared.hear(at).await });
        }
        stop.cancelled().await;
        tasks.shutdown().await;
    }
}

// === impl Shared ===

impl Shared {
    async fn hear(&self, at: usize) {
        loop {
            if let Err(error) = self.ears[at].readable().await {
                tracing::error!(%error, "a group's socket is broken: its transfers go by unicast");
                return;
            }
            self.drain(at, READ_MAX);
            tokio::task::yield_now().await;
        }
    }

    /// Takes what is there, not many more than so many packets.
    fn drain(&self, at: usize, most: usize) {
        self.ears[at].drain(most, |sealed| self.take(sealed));
    }

    fn take(&self, sealed: &mut [u8]) {
        let slot = seal::transfer_of(sealed).and_then(|transfer| self.slots().get(&transfer).cloned());
        match slot {
            Some(slot) => {
                if slot.reception().packet(sealed) == Ok(true) {
                    slot.complete.notify_one();
                }
            }
            None => {
                self.strangers.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Which of the groups is a transfer's.
    fn place(&self, transfer: u32) -> usize {
        transfer as usize % self.groups.len()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<u32, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Slot ===

impl Slot {
    pub(crate) fn reception(&self) -> MutexGuard<'_, Reception> {
        self.reception.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Listening ===

impl Listening {
    /// Listens to nothing: everything comes by unicast.
    pub(crate) fn deaf(transfer: u32, reception: Reception) -> Self {
        let slot = Arc::new(Slot { reception: Mutex::new(reception), complete: Notify::new() });
        Self { transfer, slot, shared: None }
    }

    /// Takes what has arrived and was not looked at yet: on a busy machine that is not lost.
    pub(crate) fn catch_up(&self) {
        if let Some(shared) = &self.shared {
            shared.drain(shared.place(self.transfer), CATCH_UP_MAX);
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.slots().remove(&self.transfer);
        }
    }
}

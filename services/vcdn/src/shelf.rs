//! What one tenant keeps: memory in front of disk, the fills that run, and what must not be merged.
//!
//! Tenants share nothing: a tenant's objects are evicted by its own, and no key of one finds an object of another. Bounded
//! by bytes; S3-FIFO decides what goes.

mod beginnings;
mod changed;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderName, HeaderValue};
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter, Weighter};

use crate::disk::Disk;
use crate::fill::{Fill, Flow};
use crate::front::slice_key;
use crate::medium::Medium;
use crate::object::{Object, UnixMs};
use crate::policy;
use crate::purge::Purges;
use crate::room::{Held, Room};
use crate::stats::Assets;
use crate::viewing::Sessions;
use beginnings::Beginnings;
pub(crate) use changed::Changed;

/// What a shard of the memory tier should hold at least, so that large objects find room in one.
const SHARD_BYTES: u64 = 64 << 20;
/// Resources that differ by request fields, and those not to be merged, that are remembered.
const REMEMBERED: usize = 100_000;
/// How long the answer "not for a cache" is believed without asking.
const UNSHARED_LIFE: Duration = Duration::from_secs(10);
/// Bodies of which slices are kept.
const SLICED: usize = 10_000;

/// The store of one tenant.
#[derive(Debug)]
pub(crate) struct Shelf {
    memory: Cache<Arc<str>, Arc<Object>, MemoryWeight>,
    disk: Option<Arc<Disk>>,
    /// By resource: the fields that its answers depend on.
    varies: Cache<Arc<str>, Arc<[HeaderName]>, UnitWeighter>,
    unshared: Cache<Arc<str>, Instant, UnitWeighter>,
    beginnings: Beginnings,
    /// For those, and for what fills write.
    room: Arc<Room>,
    /// By key of a body that is not wholly here.
    sliced: Cache<Arc<str>, Sliced, UnitWeighter>,
    /// By key: how often it was fetched. What is forgotten here begins again.
    fetched: Cache<Arc<str>, u32, UnitWeighter>,
    fills: Mutex<HashMap<Arc<str>, Arc<Fill>>>,
    /// How many those are, for whoever must not wait for the lock.
    running: AtomicUsize,
    /// What was received before this moment (Unix milliseconds) may have been purged while nobody told it here.
    doubted_before: AtomicU64,
    pub assets: Assets,
    pub sessions: Sessions,
}

#[derive(Debug, Clone, Copy)]
struct MemoryWeight;

/// A body of which slices are kept.
#[derive(Debug, Clone)]
pub(crate) struct Sliced {
    /// How many it has.
    pub count: u64,
    pub etag: HeaderValue,
}

/// Bounds of what is counted apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub assets: usize,
    pub sessions: usize,
    /// Sessions that one address may speak for at a time.
    pub of_an_address: u32,
}

/// What asking for a key comes to.
pub(crate) enum Found {
    Stored(Arc<Object>),
    Filling(Arc<Fill>),
    /// Nothing; the fill is the caller's to drive.
    Begun(Arc<Fill>),
    /// Nothing, and too much runs already.
    Full,
}

// === impl Shelf ===

impl Shelf {
    pub(crate) fn new(memory_bytes: u64, disk: Option<Disk>, filling_bytes: u64, counted: Counted) -> io::Result<Self> {
        let shards = usize::try_from(memory_bytes / SHARD_BYTES).unwrap_or(1).clamp(1, 8);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(usize::try_from(memory_bytes >> 16).unwrap_or(1024).clamp(1024, 1 << 20))
            .weight_capacity(memory_bytes)
            .shards(shards)
            .build()
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            memory: Cache::with_options(
                options,
                MemoryWeight,
                DefaultHashBuilder::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            ),
            disk: disk.map(Arc::new),
            varies: Cache::new(REMEMBERED),
            unshared: Cache::new(REMEMBERED),
            beginnings: Beginnings::default(),
            room: Room::new(filling_bytes),
            sliced: Cache::new(SLICED),
            fetched: Cache::new(REMEMBERED),
            fills: Mutex::default(),
            running: AtomicUsize::new(0),
            doubted_before: AtomicU64::new(0),
            assets: Assets::new(counted.assets),
            sessions: Sessions::new(counted.sessions, counted.of_an_address),
        })
    }

    /// What is in memory under `key`.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Object>> {
        self.memory.get(key)
    }

    /// What is on disk was received by an earlier process: nothing of it is used without asking before its purges are known.
    pub(crate) fn doubt(&self) {
        if self.disk.is_some() {
            self.doubted_before.store(UnixMs::now().0, Ordering::Relaxed);
        }
    }

    /// All purges are known now: what is still kept may be used.
    pub(crate) fn trust(&self) {
        self.doubted_before.store(0, Ordering::Relaxed);
    }

    /// Whether nobody knows if `object` was purged while this surrogate was away.
    pub(crate) fn is_doubted(&self, object: &Object) -> bool {
        object.times.received.0 < self.doubted_before.load(Ordering::Relaxed)
    }

    /// Whether `object` is where a quota counts it.
    pub(crate) fn counts(&self, object: &Arc<Object>) -> bool {
        self.memory.peek(&*object.key).is_some_and(|kept| Arc::ptr_eq(&kept, object))
    }

    /// Whether something is kept under `key`, in whatever tier.
    pub(crate) fn is_kept(&self, key: &str) -> bool {
        self.memory.contains_key(key) || self.disk.as_ref().is_some_and(|disk| disk.get(key).is_some())
    }

    pub(crate) fn disk(&self) -> Option<&Arc<Disk>> {
        self.disk.as_ref()
    }

    /// What is on disk under `key`, brought to memory.
    pub(crate) async fn load(&self, key: &str) -> Option<Arc<Object>> {
        let record = self.disk.as_ref()?.get(key)?;
        let asset = self.assets.of(&record.meta.path);
        let reading = Arc::clone(&record);
        let read = tokio::task::spawn_blocking(move || {
            let file = reading.open()?;
            Ok::<_, io::Error>((Medium::settled(file, reading.meta.length)?, reading.head()?))
        });
        match read.await.map_err(io::Error::other).flatten() {
            Ok((medium, head)) => {
                let meta = &record.meta;
                let object = Arc::new(Object {
                    key: meta.key.as_str().into(),
                    head: Arc::new(head),
                    times: meta.times,
                    length: meta.length,
                    medium,
                    tags: meta.tags.clone().into(),
                    asset,
                    was_hit: false.into(),
                    on_disk: true,
                });
                // It may have been purged while it was read.
                if self.disk.as_ref()?.get(key).is_some_and(|now| Arc::ptr_eq(&now, &record)) {
                    self.memory.insert(Arc::clone(&object.key), Arc::clone(&object));
                }
                Some(object)
            }
            Err(error) => {
                tracing::warn!(key, %error, "a file of the cache is damaged or gone; it is fetched again");
                if let Some(disk) = &self.disk {
                    disk.remove(key);
                }
                None
            }
        }
    }

    /// The fill of `key`: one that runs, or a new one. `usable` says whether a stored object is enough (it may have been
    /// stored since the caller looked).
    pub(crate) fn fill(&self, key: &Arc<str>, fills_max: usize, usable: impl Fn(&Object) -> bool) -> Found {
        let mut fills = self.lock();
        if let Some(fill) = fills.get(key) {
            return Found::Filling(Arc::clone(fill));
        }
        if let Some(object) = self.memory.get(&**key).filter(|object| usable(object)) {
            return Found::Stored(object);
        }
        if fills.len() >= fills_max {
            return Found::Full;
        }
        let fill = Arc::new(Fill::new(Arc::clone(key), UnixMs::now()));
        fills.insert(Arc::clone(key), Arc::clone(&fill));
        self.running.store(fills.len(), Ordering::Relaxed);
        Found::Begun(fill)
    }

    /// Keeps a complete object; then the fill is over. The order matters: whoever looks meanwhile finds one of them.
    pub(crate) fn keep(&self, object: &Arc<Object>) {
        self.beginnings.remove(&object.key);
        self.memory.insert(Arc::clone(&object.key), Arc::clone(object));
        // One that is too large for the tier is not here after all.
        if object.on_disk || self.memory.contains_key(&*object.key) {
            self.drop_slices(&object.key);
        }
    }

    /// Keeps a slice of the body under `key`.
    pub(crate) fn keep_slice(&self, key: &Arc<str>, of: Sliced, slice: &Arc<Object>) {
        if self.sliced.get(key).is_some_and(|known| known.etag != of.etag) {
            self.drop_slices(key);
        }
        self.sliced.insert(Arc::clone(key), of);
        self.memory.insert(Arc::clone(&slice.key), Arc::clone(slice));
    }

    /// What slices are kept of under `key`, if there are some.
    pub(crate) fn sliced(&self, key: &str) -> Option<Sliced> {
        self.sliced.get(key)
    }

    fn drop_slices(&self, key: &str) {
        if let Some((_, Sliced { count, etag })) = self.sliced.remove(key) {
            (0..count).for_each(|number| drop(self.memory.remove(&*slice_key(key, &etag, number))));
        }
    }

    /// The fill runs no more; others may begin another.
    pub(crate) fn ended(&self, fill: &Arc<Fill>) {
        let mut fills = self.lock();
        if fills.get(&fill.key).is_some_and(|current| Arc::ptr_eq(current, fill)) {
            fills.remove(&fill.key);
        }
        self.running.store(fills.len(), Ordering::Relaxed);
    }

    /// Fills that run.
    pub(crate) fn filling(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// The fields that answers of `resource` depend on.
    pub(crate) fn vary(&self, resource: &str) -> Option<Arc<[HeaderName]>> {
        self.varies.get(resource)
    }

    /// Notes that answers of `resource` depend on `fields`.
    pub(crate) fn set_vary(&self, resource: &str, fields: &[HeaderName]) {
        if self.varies.get(resource).is_none_or(|known| *known != *fields) {
            self.varies.insert(resource.into(), fields.into());
        }
    }

    pub(crate) fn is_unshared(&self, key: &str) -> bool {
        self.unshared.get(key).is_some_and(|since| since.elapsed() < UNSHARED_LIFE)
    }

    /// Notes that the answer is not for a cache, so that the next requests need not wait for each other.
    pub(crate) fn set_unshared(&self, key: &Arc<str>) {
        self.unshared.insert(Arc::clone(key), Instant::now());
    }

    /// Counts a fetch of `key`; which one it is, from 1.
    pub(crate) fn count_fetch(&self, key: &Arc<str>) -> u32 {
        let number = self.fetched.get(&**key).unwrap_or(0).saturating_add(1);
        self.fetched.insert(Arc::clone(key), number);
        number
    }

    /// The beginning of a body that broke off.
    pub(crate) fn partial(&self, key: &str) -> Option<Arc<Flow>> {
        self.beginnings.get(key)
    }

    /// Keeps the beginning of a body.
    pub(crate) fn set_partial(&self, flow: Flow) {
        flow.file.holds_only(flow.written);
        self.beginnings.put(flow);
    }

    /// Room for a body of `bytes`. The beginnings of others make way for it, the oldest first.
    pub(crate) fn room(&self, bytes: u64) -> Option<Held> {
        let held = self.room.nothing();
        self.more_room(&held, bytes).then_some(held)
    }

    /// Room for `bytes` in all; false where there is none.
    pub(crate) fn more_room(&self, held: &Held, bytes: u64) -> bool {
        if held.grow_to(bytes) {
            return true;
        }
        // What would not do in any case costs nobody his beginning.
        while held.could_grow_to(bytes, self.beginnings.bytes()) && self.beginnings.drop_oldest() {
            if held.grow_to(bytes) {
                return true;
            }
        }
        false
    }

    /// What bodies on their way and beginnings take.
    pub(crate) fn filling_bytes(&self) -> u64 {
        self.room.taken_bytes()
    }

    pub(crate) fn drop_partial(&self, key: &str) {
        self.beginnings.remove(key);
    }

    /// Forgets all that `covers` says of (key, tags); returns how many objects. Fills of such keys are left to end, and
    /// nobody joins them any more.
    pub(crate) fn purge(&self, covers: impl Fn(&str, &[Box<str>]) -> bool) -> usize {
        self.left_to_end(|key, fill| covers(key, &fill.tags()));
        let mut keys: Vec<Arc<str>> = Vec::new();
        keys.extend(self.memory.iter().filter(|(key, object)| covers(key, &object.tags)).map(|(key, _)| key));
        if let Some(disk) = &self.disk {
            let records = disk.records().filter(|record| covers(&record.meta.key, &record.meta.tags));
            keys.extend(records.map(|record| Arc::from(record.meta.key.as_str())));
        }
        keys.sort_unstable();
        keys.dedup();
        for key in &keys {
            self.forget(key);
        }
        self.beginnings.forget(|flow| covers(&flow.key, &policy::tags(&flow.head.headers)));
        keys.len()
    }

    /// Forgets one object in all tiers.
    pub(crate) fn forget(&self, key: &str) {
        // Disk first: a load that runs sees that it is gone, and does not bring it back.
        if let Some(disk) = &self.disk {
            disk.remove(key);
        }
        self.memory.remove(key);
    }

    /// Objects and bytes in memory, objects and bytes on disk.
    pub(crate) fn size(&self) -> [u64; 4] {
        let disk = self.disk.as_ref().map_or([0, 0], |disk| [disk.len() as u64, disk.weight()]);
        [self.memory.len() as u64, self.memory.weight(), disk[0], disk[1]]
    }

    /// Does the purges that were noted after what is on disk was received: a process may end between note and deed.
    pub(crate) fn replay(&self, purges: &Purges) {
        let Some(disk) = &self.disk else { return };
        let gone: Vec<_> = disk
            .records()
            .filter(|record| purges.covers_since(record.meta.times.received, &record.meta.key, &record.meta.tags))
            .collect();
        for record in gone {
            disk.remove(&record.meta.key);
        }
        for record in disk.records() {
            let fields: Vec<HeaderName> = record.meta.vary.iter().filter_map(|name| name.parse().ok()).collect();
            // Behind the first part stands what it varies by.
            let resource: Vec<&str> = record.meta.key.split('\0').take(2).collect();
            self.set_vary(&resource.join("\0"), &fields);
        }
    }

    /// Takes fills out of the list: they run on, and nobody joins them any more.
    fn left_to_end(&self, is_left: impl Fn(&str, &Fill) -> bool) {
        let mut fills = self.lock();
        fills.retain(|key, fill| !is_left(key, fill));
        self.running.store(fills.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Fill>>> {
        self.fills.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl MemoryWeight ===

impl Weighter<Arc<str>, Arc<Object>> for MemoryWeight {
    fn weight(&self, key: &Arc<str>, object: &Arc<Object>) -> u64 {
        object.memory_bytes() + key.len() as u64
    }
}

/// Counts one, in whatever order: figures are read as a whole, never compared with each other.
pub(crate) fn count(counter: &std::sync::atomic::AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

//! Memory for bytes on their way to the store: all uploads share it, and none keeps it while others wait.
//!
//! An upload takes the memory of one part when that part begins to fill, and waits for it while it holds nothing. With one part it
//! can go on to its end: each part that is stored makes room for its next one. What it holds beyond that, to be filled while others
//! are stored, it gets only where nobody waits. So nobody who holds memory ever waits for memory, and nothing locks up.
//!
//! Who fills its part slowly would still keep others out. Therefore who has had memory for a turn may be asked for it while others wait:
//! first of the tenant that holds most the one that brought least. It lays what it has in the store, gives its memory back and stands in
//! line again; its client notices nothing but slowness. In line that tenant is next that holds least.
//!
//! It counts, and gives nothing out: who has a [`Grant`] makes the memory itself, and drops the grant after it.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How often who waits looks whether somebody's turn is over, at most and at least.
const LOOKS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

/// The memory of all uploads. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    book: Mutex<Book>,
    turn: Duration,
}

/// Leave to hold so much memory, until it is dropped.
#[derive(Debug)]
pub struct Grant {
    memory: Memory,
    id: u64,
    brought_bytes: Arc<AtomicU64>,
    asked: CancellationToken,
    granted: Arc<Notify>,
}

/// Others hold all memory, and gave none back in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all memory for uploads is in use (limits.receive_memory)")]
pub struct NoMemory;

/// Who holds memory and who waits for it. It looks at no clock.
#[derive(Debug)]
struct Book {
    free_bytes: u64,
    next_id: u64,
    /// Sorted by who came first.
    places: BTreeMap<u64, Place>,
}

#[derive(Debug)]
struct Place {
    tenant: String,
    size_bytes: u64,
    stands: Stands,
    /// What its owner took in since it has it.
    brought_bytes: Arc<AtomicU64>,
    /// Whether its owner was asked to give it back.
    asked: CancellationToken,
    granted: Arc<Notify>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// It waits; whether it can be asked to give back what it will get.
    InLine { can_be_asked: bool },
    /// It holds, since then.
    Holds { since: Instant, can_be_asked: bool },
}

// === impl Memory ===

impl Memory {
    /// So many bytes. Who holds some of them for longer than `turn` gives it back when others wait.
    #[must_use]
    pub fn new(size_bytes: u64, turn: Duration) -> Self {
        let book = Book { free_bytes: size_bytes, next_id: 0, places: BTreeMap::new() };
        Self(Arc::new(Shared { book: Mutex::new(book), turn }))
    }

    /// Waits for memory that is given back when [`Grant::wanted`] says so.
    ///
    /// # Errors
    /// [`NoMemory`] after `patience`.
    pub async fn take(&self, tenant: &str, size_bytes: u64, patience: Duration) -> Result<Grant, NoMemory> {
        self.wait(self.stand_in_line(tenant, size_bytes, true), patience).await
    }

    /// The same for work that needs it to its end, and depends on nobody outside.
    ///
    /// # Errors
    /// [`NoMemory`] after `patience`.
    pub async fn keep(&self, tenant: &str, size_bytes: u64, patience: Duration) -> Result<Grant, NoMemory> {
        self.wait(self.stand_in_line(tenant, size_bytes, false), patience).await
    }

    /// Memory beside what an upload has already: only where nobody waits for any.
    #[must_use]
    pub fn more(&self, tenant: &str, size_bytes: u64) -> Option<Grant> {
        let mut book = self.book();
        if book.waiting() > 0 || book.free_bytes < size_bytes {
            return None;
        }
        Some(self.grant(&mut book, tenant, size_bytes, false))
    }

    fn stand_in_line(&self, tenant: &str, size_bytes: u64, can_be_asked: bool) -> Grant {
        self.grant(&mut self.book(), tenant, size_bytes, can_be_asked)
    }

    fn grant(&self, book: &mut Book, tenant: &str, size_bytes: u64, can_be_asked: bool) -> Grant {
        let id = book.stand_in_line(tenant, size_bytes, can_be_asked);
        let place = &book.places[&id];
        let (brought_bytes, granted) = (Arc::clone(&place.brought_bytes), Arc::clone(&place.granted));
        let grant = Grant { memory: self.clone(), id, brought_bytes, asked: place.asked.clone(), granted };
        book.serve(Instant::now());
        grant
    }

    async fn wait(&self, grant: Grant, patience: Duration) -> Result<Grant, NoMemory> {
        let look_every = (self.0.turn / 8).clamp(LOOKS.0, LOOKS.1);
        let granted = async {
            while tokio::time::timeout(look_every, grant.granted.notified()).await.is_err() {
                self.book().ask(Instant::now(), self.0.turn);
            }
        };
        match tokio::time::timeout(patience, granted).await {
            Ok(()) => Ok(grant),
            Err(_elapsed) => Err(NoMemory),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing panics while it holds it.
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Grant ===

impl Grant {
    /// Notes that so many bytes were taken in with this memory: who brings most keeps it longest.
    pub fn brought(&self, bytes: u64) {
        self.brought_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Ends when others need the memory, and its turn is over.
    pub fn wanted(&self) -> impl Future<Output = ()> + Send + '_ {
        self.asked.cancelled()
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.memory.book().leave(self.id, Instant::now());
    }
}

// === impl Book ===

impl Book {
    fn stand_in_line(&mut self, tenant: &str, size_bytes: u64, can_be_asked: bool) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let place = Place {
            tenant: tenant.to_owned(),
            size_bytes,
            stands: Stands::InLine { can_be_asked },
            brought_bytes: Arc::default(),
            asked: CancellationToken::new(),
            granted: Arc::default(),
        };
        self.places.insert(id, place);
        id
    }

    fn leave(&mut self, id: u64, now: Instant) {
        let Some(place) = self.places.remove(&id) else { return };
        if let Stands::Holds { .. } = place.stands {
            self.free_bytes += place.size_bytes;
        }
        self.serve(now);
    }

    /// Gives what is free to those who wait: next is the tenant that holds least, and of it who came first. Nobody is passed
    /// over because it needs more than is free now.
    fn serve(&mut self, now: Instant) {
        let mut held = self.held();
        loop {
            let in_line = self.places.iter().filter(|(_, place)| place.waits());
            let next = in_line.min_by_key(|(id, place)| (held.get(&place.tenant).copied().unwrap_or(0), **id));
            let Some(id) = next.map(|(id, _)| *id) else { return };
            let Some(place) = self.places.get_mut(&id).filter(|place| place.size_bytes <= self.free_bytes) else {
                return;
            };
            if let Stands::InLine { can_be_asked } = place.stands {
                place.stands = Stands::Holds { since: now, can_be_asked };
            }
            self.free_bytes -= place.size_bytes;
            *held.entry(place.tenant.clone()).or_default() += place.size_bytes;
            place.granted.notify_one();
        }
    }

    /// Asks one holder for its memory if more wait than were asked already and there is one whose turn is over.
    fn ask(&mut self, now: Instant, turn: Duration) -> Option<u64> {
        let asked = self.places.values().filter(|place| !place.waits() && place.asked.is_cancelled()).count();
        if asked >= self.waiting() {
            return None;
        }
        let held = self.held();
        let over = self.places.iter().filter_map(|(id, place)| match place.stands {
            Stands::Holds { since, can_be_asked: true } if !place.asked.is_cancelled() => {
                let held_for = now.saturating_duration_since(since);
                let per_s =
                    u128::from(place.brought_bytes.load(Ordering::Relaxed)) * 1000 / held_for.as_millis().max(1);
                (held_for >= turn).then_some((std::cmp::Reverse(held.get(&place.tenant).copied()), per_s, *id))
            }
            Stands::Holds { .. } | Stands::InLine { .. } => None,
        });
        let (_, _, id) = over.min()?;
        self.places[&id].asked.cancel();
        Some(id)
    }

    fn waiting(&self) -> usize {
        self.places.values().filter(|place| place.waits()).count()
    }

    /// Bytes that each tenant holds.
    fn held(&self) -> HashMap<String, u64> {
        let mut held: HashMap<String, u64> = HashMap::new();
        for place in self.places.values().filter(|place| !place.waits()) {
            *held.entry(place.tenant.clone()).or_default() += place.size_bytes;
        }
        held
    }
}

// === impl Place ===

impl Place {
    fn waits(&self) -> bool {
        matches!(self.stands, Stands::InLine { .. })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE_BYTES: u64 = 12;
    const TURN: Duration = Duration::from_secs(2);

    #[derive(Debug, Clone)]
    enum Step {
        /// A tenant wants so much.
        Wants(u8, u64, bool),
        /// The nth of those who are there leaves, or lays away what it has.
        Leaves(usize),
        /// The nth brings something.
        Brings(usize, u64),
        /// Time passes, and who waits looks.
        Looks(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0_u8..3, 1_u64..=SIZE_BYTES, any::<bool>()).prop_map(|(tenant, size, asked)| Step::Wants(tenant, size, asked)),
            2 => (0_usize..20).prop_map(Step::Leaves),
            2 => (0_usize..20, 0_u64..1000).prop_map(|(at, bytes)| Step::Brings(at, bytes)),
            3 => (0_u64..3000).prop_map(Step::Looks),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn no_more_is_given_than_there_is_and_who_is_asked_had_its_turn(steps in steps()) {
            let mut now = Instant::now();
            let mut book = Book { free_bytes: SIZE_BYTES, next_id: 0, places: BTreeMap::new() };
            for step in steps {
                let nth = |book: &Book, at: usize| book.places.keys().nth(at % book.places.len().max(1)).copied();
                match step {
                    Step::Wants(tenant, size, asked) => {
                        book.stand_in_line(&tenant.to_string(), size, asked);
                        book.serve(now);
                    }
                    Step::Leaves(at) => if let Some(id) = nth(&book, at) { book.leave(id, now) },
                    Step::Brings(at, bytes) => if let Some(id) = nth(&book, at) {
                        book.places[&id].brought_bytes.fetch_add(bytes, Ordering::Relaxed);
                    },
                    Step::Looks(ms) => {
                        now += Duration::from_millis(ms);
                        if let Some(id) = book.ask(now, TURN) {
                            let held = book.held();
                            let place = &book.places[&id];
                            let Stands::Holds { since, can_be_asked: true } = place.stands else { panic!("{place:?}") };
                            prop_assert!(now - since >= TURN);
                            // Nobody of a tenant with more had its turn and was left alone.
                            let more = book.places.values().find(|other| held[&place.tenant] < held.get(&other.tenant).copied().unwrap_or(0)
                                && matches!(other.stands, Stands::Holds { since, can_be_asked: true } if now - since >= TURN)
                                && !other.asked.is_cancelled());
                            prop_assert!(more.is_none(), "{more:?}");
                        }
                    }
                }
                let held: u64 = book.held().values().sum();
                prop_assert_eq!(held + book.free_bytes, SIZE_BYTES);
                let asked = book.places.values().filter(|place| place.asked.is_cancelled()).count();
                let in_line: Vec<&Place> = book.places.values().filter(|place| place.waits()).collect();
                prop_assert!(asked <= book.places.len() - in_line.len());
                // Who waits waits for something: the one who is next does not fit.
                if let Some(least) = in_line.iter().map(|place| book.held().get(&place.tenant).copied().unwrap_or(0)).min() {
                    let next = in_line.iter().find(|place| book.held().get(&place.tenant).copied().unwrap_or(0) == least).unwrap();
                    prop_assert!(next.size_bytes > book.free_bytes, "{next:?} could be served");
                }
            }
            // All leave: everything is free again.
            while let Some(id) = book.places.keys().next().copied() { book.leave(id, now) }
            prop_assert_eq!(book.free_bytes, SIZE_BYTES);
        }
    }

    #[test]
    fn a_tenant_that_holds_nothing_is_next_however_many_of_another_wait() {
        let now = Instant::now();
        let mut book = Book { free_bytes: 3, next_id: 0, places: BTreeMap::new() };
        let crowd: Vec<u64> = (0..100).map(|_| book.stand_in_line("crowd", 1, true)).collect();
        book.serve(now);
        let other = book.stand_in_line("other", 1, true);
        book.places[&crowd[0]].brought_bytes.fetch_add(1000, Ordering::Relaxed);
        book.places[&crowd[2]].brought_bytes.fetch_add(500, Ordering::Relaxed);
        assert_eq!(book.ask(now, TURN), None, "nobody had its turn");
        let later = now + TURN;
        assert_eq!(book.ask(later, TURN), Some(crowd[1]), "it brought least");
        book.leave(crowd[1], later);
        assert!(!book.places[&other].waits() && book.places[&crowd[3]].waits());
    }

    #[tokio::test]
    async fn who_waits_gets_what_another_gives_back_or_is_told() {
        let memory = Memory::new(2, Duration::from_millis(20));
        let patience = Duration::from_secs(60);
        let (first, _kept) =
            (memory.take("a", 1, patience).await.unwrap(), memory.keep("a", 1, patience).await.unwrap());
        assert!(memory.more("a", 1).is_none());
        let gives_back = async {
            first.wanted().await;
            drop(first);
        };
        let (second, ()) = tokio::join!(memory.take("b", 1, patience), gives_back);
        let second = second.unwrap();
        // Nobody gives anything back: it is told, and takes nothing with it.
        assert_eq!(memory.take("c", 1, Duration::from_millis(50)).await.unwrap_err(), NoMemory);
        drop(second);
        assert!(memory.more("a", 1).is_some());
    }
}

//! What waits for a store outside: batches in their order, bounded in bytes, and in number, since short ones cost more than their
//! lines. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

/// So many bytes are sent at once, where more waits.
const SENDING_MAX_BYTES: usize = 2 << 20;
/// A batch costs about so much beside its lines, bytes: there are no more than fit in the room at that length.
const BATCH_COST_BYTES: u64 = 128;
/// So few may be there in any room.
const BATCHES_MIN: u64 = 64;

/// Lines for one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The database.
    pub database: Arc<str>,
    /// Whole lines.
    pub lines: Bytes,
    /// How many.
    pub points: u64,
}

/// What waits.
#[derive(Debug)]
pub struct Queue {
    batches: VecDeque<Batch>,
    bytes: u64,
    room: u64,
}

// === impl Queue ===

impl Queue {
    /// With room for so many bytes of lines.
    pub fn new(room: u64) -> Self {
        Self { batches: VecDeque::new(), bytes: 0, room }
    }

    /// Bytes of all that waits.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes what is newest. Where there is no room the oldest go; gives the number of their points.
    pub fn push(&mut self, batch: Batch) -> u64 {
        self.bytes += batch.lines.len() as u64;
        self.batches.push_back(batch);
        let mut dropped = 0;
        while self.is_over() {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= oldest.lines.len() as u64;
            dropped += oldest.points;
        }
        dropped
    }

    fn is_over(&self) -> bool {
        self.bytes > self.room || self.batches.len() as u64 > (self.room / BATCH_COST_BYTES).max(BATCHES_MIN)
    }

    /// Gives what is oldest, with what follows for the same database, as far as it is sent at once.
    pub fn take(&mut self) -> Option<Batch> {
        let first = self.batches.pop_front()?;
        let (mut length, mut count) = (first.lines.len(), 0);
        for next in &self.batches {
            if next.database != first.database || length + next.lines.len() > SENDING_MAX_BYTES {
                break;
            }
            length += next.lines.len();
            count += 1;
        }
        self.bytes -= length as u64;
        if count == 0 {
            return Some(first);
        }
        let mut lines = Vec::with_capacity(length);
        lines.extend_from_slice(&first.lines);
        let mut points = first.points;
        for next in self.batches.drain(..count) {
            lines.extend_from_slice(&next.lines);
            points += next.points;
        }
        Some(Batch { database: first.database, lines: lines.into(), points })
    }

    /// Takes back what was not sent: it is the oldest. Gives the number of its points where there is no room for it.
    pub fn put_back(&mut self, batch: Batch) -> u64 {
        self.bytes += batch.lines.len() as u64;
        self.batches.push_front(batch);
        if self.is_over()
            && let Some(batch) = self.batches.pop_front()
        {
            self.bytes -= batch.lines.len() as u64;
            return batch.points;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What is done to a queue.
    #[derive(Debug, Clone)]
    enum Step {
        Push { database: usize, length: usize },
        Send,
        Fail,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..2usize, 1..40usize).prop_map(|(database, length)| Step::Push { database, length }),
            1 => Just(Step::Send),
            1 => Just(Step::Fail),
        ];
        proptest::collection::vec(step, 1..80)
    }

    proptest! {
        /// Each point is sent once, waits, or is counted as dropped; what is sent of a database is in order; the bound holds.
        #[test]
        fn nothing_is_lost_uncounted_and_the_order_stays(steps in steps()) {
            let mut queue = Queue::new(100);
            let (mut pushed, mut dropped) = (0, 0);
            let mut sent: Vec<(Arc<str>, u8)> = Vec::new();
            for (number, step) in (0u8..).zip(steps) {
                match step {
                    Step::Push { database, length } => {
                        let batch = Batch {
                            database: ["a", "b"][database].into(),
                            lines: vec![number; length].into(),
                            points: length as u64,
                        };
                        pushed += length as u64;
                        dropped += queue.push(batch);
                    }
                    Step::Send => {
                        if let Some(batch) = queue.take() {
                            prop_assert_eq!(batch.points, batch.lines.len() as u64);
                            sent.extend(batch.lines.iter().map(|byte| (Arc::clone(&batch.database), *byte)));
                        }
                    }
                    Step::Fail => {
                        if let Some(batch) = queue.take() {
                            dropped += queue.put_back(batch);
                        }
                    }
                }
                prop_assert!(queue.bytes() <= 100);
                prop_assert_eq!(pushed, sent.len() as u64 + dropped + queue.bytes());
            }
            let mut last: BTreeMap<Arc<str>, u8> = BTreeMap::new();
            for (database, number) in sent {
                let before = last.insert(database, number);
                prop_assert!(before.is_none_or(|before| before <= number));
            }
        }
    }

    #[test]
    fn the_oldest_goes_where_there_is_no_room_and_what_is_newest_stays() {
        let batch = |name: u8| Batch { database: "db".into(), lines: vec![name; 40].into(), points: 4 };
        let mut queue = Queue::new(100);
        assert_eq!((queue.push(batch(1)), queue.push(batch(2)), queue.push(batch(3))), (0, 0, 4));
        let under_way = queue.take().unwrap();
        assert_eq!((under_way.points, under_way.lines[0], under_way.lines[79]), (8, 2, 3), "together");
        assert_eq!(queue.push(batch(4)), 0);
        assert_eq!(queue.put_back(under_way), 8, "what was under way is older than what came meanwhile");
        assert_eq!(queue.take().unwrap().lines[0], 4);
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn short_batches_have_a_bound_of_their_own() {
        let batch = |name: u8| Batch { database: "db".into(), lines: vec![name].into(), points: 1 };
        let room = 100 * BATCH_COST_BYTES;
        let mut queue = Queue::new(room);
        let dropped: u64 = (0..150).map(|name| queue.push(batch(name))).sum();
        assert_eq!((dropped, queue.bytes()), (50, 100));
        let under_way = queue.take().unwrap();
        assert_eq!((under_way.points, under_way.lines[0]), (100, 50), "the oldest have gone");
        let dropped: u64 = (0..100).map(|name| queue.push(batch(name))).sum();
        assert_eq!(
            (dropped, queue.put_back(under_way), queue.bytes()),
            (0, 100, 100),
            "nor is there a place for it again"
        );
        let mut small = Queue::new(100);
        let dropped: u64 = (0..70).map(|name| small.push(batch(name))).sum();
        assert_eq!(dropped, 70 - BATCHES_MIN, "these few are there in any room");
    }
}

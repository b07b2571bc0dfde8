//! What waits for a store outside: batches in their order, bounded in bytes. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

/// So many bytes are sent at once, where more waits.
const SENDING_MAX_BYTES: usize = 2 << 20;

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
        while self.bytes > self.room {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= oldest.lines.len() as u64;
            dropped += oldest.points;
        }
        dropped
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
        let bytes = self.bytes + batch.lines.len() as u64;
        if bytes > self.room {
            return batch.points;
        }
        self.bytes = bytes;
        self.batches.push_front(batch);
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
}

//! What waits on its way to streaming: the segments of one track, the newest still growing.
//!
//! A segment is sent while it is made, and kept until streaming has it whole, so that it can be sent again. What waits has
//! a bound. Past it the oldest segment goes, as a whole, and its number is never sent: a gap. The way of an encoder's media
//! through this process never waits for streaming.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use flame_cmaf::Chunk;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::{Notify, watch};

/// How much of a track may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Octets.
    pub bytes: usize,
    /// Segments, 1 at least.
    pub segments: usize,
}

/// The segments of one track that streaming does not have yet. Many may push and take; it never blocks.
#[derive(Debug)]
pub struct Queue {
    bound: Bound,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    segments: VecDeque<Arc<Segment>>,
    bytes: usize,
    /// The segment that is being made was dropped: what follows of it is, too.
    is_skipping: bool,
    is_closed: bool,
}

/// A segment on its way.
#[derive(Debug)]
pub struct Segment {
    /// Its number, as the packager counts.
    pub number: u64,
    /// Somebody has begun to send it.
    is_taken: AtomicBool,
    content: watch::Sender<Content>,
}

#[derive(Debug, Default)]
struct Content {
    chunks: Vec<Sent>,
    bytes: usize,
    state: State,
}

/// A chunk, and when the octets came that made it whole.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its octets.
    pub bytes: Bytes,
    /// When they were whole.
    pub whole_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Growing,
    Whole,
    Dropped,
}

/// A segment that was dropped while it was being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("segment {number} was dropped: streaming does not keep up")]
pub struct Dropped {
    /// Its number.
    pub number: u64,
}

// === impl Queue ===

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(bound: Bound) -> Self {
        Self { bound, waiting: Mutex::new(Waiting::default()), changed: Notify::new() }
    }

    /// Takes the next chunk of the track. Returns how many segments were dropped for it.
    pub fn push(&self, chunk: &Chunk, whole_at: Instant) -> u64 {
        let sent = Sent { bytes: chunk.bytes.clone(), whole_at };
        self.take(chunk.number, sent, chunk.begins_segment, chunk.ends_segment)
    }

    /// Takes octets of a segment, which are its first ones where `begins`. Returns how many segments were dropped for it.
    pub fn take(&self, number: u64, sent: Sent, begins: bool, ends: bool) -> u64 {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return 0;
        }
        if begins {
            waiting.is_skipping = false;
            // Where its end was not said.
            if let Some(before) = waiting.segments.back() {
                before.end();
            }
            let (is_taken, content) = (AtomicBool::new(false), watch::Sender::new(Content::default()));
            let segment = Segment { number, is_taken, content };
            waiting.segments.push_back(Arc::new(segment));
        } else if waiting.is_skipping {
            return 0;
        }
        let size = sent.bytes.len();
        match waiting.segments.back().filter(|segment| segment.number == number) {
            Some(segment) => segment.append(sent, ends),
            // Streaming has taken it already: it was ended by `close`.
            None => return 0,
        }
        waiting.bytes += size;
        let mut dropped = 0;
        while waiting.bytes > self.bound.bytes || waiting.segments.len() > self.bound.segments {
            let Some(oldest) = waiting.segments.pop_front() else { break };
            waiting.bytes -= oldest.give_up();
            waiting.is_skipping |= oldest.number == number && !ends;
            dropped += 1;
        }
        drop(waiting);
        self.changed.notify_one();
        dropped
    }

    /// Drops what nobody has begun to send, and returns the numbers: what comes next is newer. A segment that is being sent is sent to its end.
    pub fn skip_waiting(&self) -> Vec<u64> {
        let mut waiting = self.lock();
        let mut dropped = Vec::new();
        let segments = std::mem::take(&mut waiting.segments);
        let (kept, given_up): (VecDeque<_>, VecDeque<_>) =
            segments.into_iter().partition(|segment| segment.is_taken.load(Ordering::Relaxed));
        for segment in given_up {
            waiting.bytes -= segment.give_up();
            dropped.push(segment.number);
        }
        waiting.segments = kept;
        dropped
    }

    /// The segment that is being made ends as it is.
    pub fn cut(&self) {
        if let Some(segment) = self.lock().segments.back() {
            segment.end();
        }
    }

    /// Whether nothing more comes.
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Nothing more comes. A segment that is being made ends as it is.
    pub fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        if let Some(segment) = waiting.segments.back() {
            segment.end();
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// The oldest segment, as soon as there is one; `None` once nothing more comes. It stays until [`Queue::done`].
    pub async fn oldest(&self) -> Option<Arc<Segment>> {
        loop {
            {
                let waiting = self.lock();
                if let Some(segment) = waiting.segments.front() {
                    segment.is_taken.store(true, Ordering::Relaxed);
                    return Some(Arc::clone(segment));
                }
                if waiting.is_closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Streaming has it.
    pub fn done(&self, segment: &Arc<Segment>) {
        let mut waiting = self.lock();
        if waiting.segments.front().is_some_and(|oldest| Arc::ptr_eq(oldest, segment)) {
            waiting.segments.pop_front();
            waiting.bytes -= segment.content.borrow().bytes;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it holds it; what there is would still be right.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Segment ===

impl Segment {
    /// Its chunks from the first on, each as soon as it is there, until it is whole.
    pub fn chunks(self: &Arc<Self>) -> impl Stream<Item = Result<Sent, Dropped>> + Send + use<> {
        let number = self.number;
        unfold((self.content.subscribe(), 0, false), move |(mut content, next, is_over)| async move {
            if is_over {
                return None;
            }
            loop {
                let (chunk, state) = {
                    let content = content.borrow_and_update();
                    (content.chunks.get(next).cloned(), content.state)
                };
                match (chunk, state) {
                    (_, State::Dropped) => return Some((Err(Dropped { number }), (content, next, true))),
                    (Some(chunk), State::Growing | State::Whole) => {
                        return Some((Ok(chunk), (content, next + 1, false)));
                    }
                    (None, State::Whole) => return None,
                    (None, State::Growing) => {}
                }
                if content.changed().await.is_err() {
                    return Some((Err(Dropped { number }), (content, next, true)));
                }
            }
        })
    }

    /// Returns once nothing more is added to it.
    pub async fn ended(&self) {
        let mut content = self.content.subscribe();
        // The sender lives as long as `self`.
        let _ = content.wait_for(|content| content.state != State::Growing).await;
    }

    /// Whether it was dropped.
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        self.content.borrow().state == State::Dropped
    }

    fn append(&self, chunk: Sent, is_last: bool) {
        self.content.send_modify(|content| {
            content.bytes += chunk.bytes.len();
            if !chunk.bytes.is_empty() {
                content.chunks.push(chunk);
            }
            if is_last {
                content.state = State::Whole;
            }
        });
    }

    fn end(&self) {
        self.content.send_modify(|content| {
            if content.state == State::Growing {
                content.state = State::Whole;
            }
        });
    }

    /// Drops what it holds, and says how much that was.
    fn give_up(&self) -> usize {
        let mut freed = 0;
        self.content.send_modify(|content| {
            freed = std::mem::take(&mut content.bytes);
            content.chunks = Vec::new();
            content.state = State::Dropped;
        });
        freed
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use proptest::prelude::*;

    use super::*;

    fn chunk(number: u64, size: usize, begins_segment: bool, ends_segment: bool) -> Chunk {
        Chunk {
            bytes: vec![u8::try_from(number % 251).unwrap(); size].into(),
            number,
            begins_segment,
            ends_segment,
            is_independent: begins_segment,
            time_ticks: 0,
            presented_ticks: 0,
            duration_ticks: 1,
            samples: 1,
        }
    }

    async fn drain(segment: &Arc<Segment>) -> Result<usize, Dropped> {
        let sizes: Vec<_> = segment.chunks().map(|sent| sent.map(|sent| sent.bytes.len())).collect().await;
        sizes.into_iter().sum()
    }

    #[tokio::test]
    async fn a_segment_is_given_while_it_grows_and_again() {
        let queue = Queue::new(Bound { bytes: 1000, segments: 4 });
        queue.push(&chunk(7, 10, true, false), Instant::now());
        let segment = queue.oldest().await.unwrap();
        let mut first = Box::pin(segment.chunks());
        assert_eq!(first.next().await.unwrap().unwrap().bytes.len(), 10);
        queue.push(&chunk(7, 20, false, true), Instant::now());
        assert_eq!(first.next().await.unwrap().unwrap().bytes.len(), 20);
        assert!(first.next().await.is_none());
        assert_eq!(drain(&segment).await, Ok(30));
        queue.done(&segment);
        queue.close();
        assert!(queue.oldest().await.is_none());
    }

    #[tokio::test]
    async fn past_its_bound_the_oldest_segments_go_as_a_whole() {
        let queue = Queue::new(Bound { bytes: 100, segments: 9 });
        queue.push(&chunk(0, 60, true, true), Instant::now());
        let oldest = queue.oldest().await.unwrap();
        assert_eq!(queue.push(&chunk(1, 50, true, false), Instant::now()), 1);
        assert_eq!(drain(&oldest).await, Err(Dropped { number: 0 }));
        // What is dropped is not done again.
        queue.done(&oldest);
        assert_eq!(queue.oldest().await.unwrap().number, 1);
        // One that alone is too large goes, with all that would follow of it.
        assert_eq!(queue.push(&chunk(1, 60, false, false), Instant::now()), 1);
        assert_eq!(queue.push(&chunk(1, 10, false, true), Instant::now()), 0);
        queue.push(&chunk(2, 10, true, true), Instant::now());
        let next = queue.oldest().await.unwrap();
        assert_eq!((next.number, drain(&next).await), (2, Ok(10)));
    }

    #[tokio::test]
    async fn what_is_skipped_is_what_nobody_has_begun_to_send() {
        let queue = Queue::new(Bound { bytes: 1_000, segments: 9 });
        queue.push(&chunk(0, 60, true, false), Instant::now());
        let sending = queue.oldest().await.unwrap();
        for number in [1, 2] {
            queue.push(&chunk(number, 50, true, true), Instant::now());
        }
        assert_eq!(queue.skip_waiting(), [1, 2]);
        assert_eq!(drain(&sending).await, Ok(60), "it was ended by what followed, and is whole");
        queue.push(&chunk(3, 10, true, true), Instant::now());
        queue.done(&sending);
        assert_eq!(queue.oldest().await.unwrap().number, 3);
        assert_eq!((queue.skip_waiting(), queue.lock().bytes), (Vec::new(), 10));
    }

    #[tokio::test]
    async fn what_is_being_made_ends_with_the_queue() {
        let queue = Queue::new(Bound { bytes: 100, segments: 9 });
        queue.push(&chunk(0, 60, true, false), Instant::now());
        let segment = queue.oldest().await.unwrap();
        queue.close();
        segment.ended().await;
        assert_eq!(drain(&segment).await, Ok(60));
    }

    proptest! {
        #[test]
        fn it_never_holds_more_than_its_bound(
            pushes in prop::collection::vec((0_usize..80, any::<bool>(), any::<bool>()), 1..200),
            bytes in 1_usize..200,
            segments in 1_usize..6,
        ) {
            let queue = Queue::new(Bound { bytes, segments });
            let (mut number, mut is_open, mut begun, mut dropped, mut done) = (0, false, 0_u64, 0_u64, 0_u64);
            for (size, ends, takes) in pushes {
                begun += u64::from(!is_open);
                dropped += queue.push(&chunk(number, size, !is_open, ends), Instant::now());
                is_open = !ends;
                number += u64::from(ends);
                let oldest = queue.lock().segments.front().cloned();
                if let Some(oldest) = oldest.filter(|oldest| takes && oldest.content.borrow().state == State::Whole) {
                    queue.done(&oldest);
                    done += 1;
                }
                let waiting = queue.lock();
                prop_assert!(waiting.bytes <= bytes && waiting.segments.len() <= segments);
                let held: usize = waiting.segments.iter().map(|segment| segment.content.borrow().bytes).sum();
                prop_assert_eq!(held, waiting.bytes);
                prop_assert_eq!(u64::try_from(waiting.segments.len()).unwrap() + dropped + done, begun);
            }
        }
    }
}

//! What of the source goes to transcode, and what is left out because transcode is behind. It waits for nobody.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flame_cmaf::Chunk;

use crate::live::queue::Queue;

/// A source that sends nothing for so long rests: three of the longest parts.
const REST: Duration = Duration::from_secs(3);
/// What a decoder may keep back until more comes is shorter than this, however it is cut: what is more is owed, also while the source rests.
/// A fragment that is as long as a segment is followed by a rest each time.
const KEPT_BACK: Duration = Duration::from_secs(3);

/// Where the source's segments go now. What was sent and has not come back is counted, because sockets and pipes on the way hold more than
/// the queue: a delay has to show before they are full.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) queue: Arc<Queue>,
    /// Segments that were begun and that not all renditions have.
    pub(super) away: VecDeque<u64>,
    /// The segment under way is left out.
    is_skipping: bool,
    /// When something was sent last, and since when nothing has come back although something was sent: so much media.
    sent_at: Option<Instant>,
    owed_since: Option<Instant>,
    owed: Duration,
    timescale: u32,
}

// === impl Feed ===

impl Feed {
    /// Of a source that counts in so many ticks a second.
    pub(super) fn of(queue: Arc<Queue>, timescale: u32) -> Self {
        let (away, owed) = (VecDeque::new(), Duration::ZERO);
        Self { queue, away, is_skipping: false, sent_at: None, owed_since: None, owed, timescale: timescale.max(1) }
    }

    /// Something has come back.
    pub(super) fn came(&mut self) {
        (self.owed_since, self.owed) = (None, Duration::ZERO);
    }

    /// Sends a chunk, unless more than `behind_max` segments have not come back. Returns how many segments were dropped for it.
    pub(super) fn push(&mut self, chunk: &Chunk, whole_at: Instant, behind_max: usize) -> u64 {
        // A source that rested owes nothing for that time.
        let rested = self.sent_at.replace(whole_at).is_none_or(|before| whole_at.duration_since(before) > REST);
        if (rested && self.owed <= KEPT_BACK) || self.owed_since.is_none() {
            self.owed_since = Some(whole_at);
        }
        let mut dropped = 0;
        if chunk.begins_segment {
            if self.away.len() > behind_max {
                // What viewers wait for is the newest: what has not been begun is older.
                let skipped = self.queue.skip_waiting();
                self.away.retain(|away| !skipped.contains(away));
                dropped = skipped.len() as u64;
            }
            self.is_skipping = self.away.len() > behind_max;
            if self.is_skipping {
                return dropped + 1;
            }
            self.away.push_back(chunk.number);
        }
        if self.is_skipping {
            return 0;
        }
        let ms = chunk.duration_ticks.saturating_mul(1_000) / u64::from(self.timescale);
        self.owed = self.owed.saturating_add(Duration::from_millis(ms));
        dropped + self.queue.push(chunk, whole_at)
    }

    /// How long nothing has come back of what was sent. While the source rests nothing is owed that may wait for what comes next, inside a
    /// decoder.
    pub(super) fn owed_for(&self, now: Instant) -> Duration {
        let rests = self.sent_at.is_none_or(|sent_at| now.saturating_duration_since(sent_at) > REST);
        let since = self.owed_since.filter(|_| !rests || self.owed > KEPT_BACK);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::queue::Bound;

    fn chunk(number: u64, begins_segment: bool, ends_segment: bool) -> Chunk {
        Chunk {
            bytes: vec![0; 8].into(),
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

    #[tokio::test]
    async fn a_slow_ladder_skips_to_the_newest_and_finishes_what_it_has_begun() {
        let mut feed = Feed::of(Arc::new(Queue::new(Bound { bytes: 1_000, segments: 4 })), 1_000);
        let push = |feed: &mut Feed, number| {
            let begins = feed.push(&chunk(number, true, false), Instant::now(), 2);
            begins + feed.push(&chunk(number, false, true), Instant::now(), 2)
        };
        assert_eq!(push(&mut feed, 0), 0);
        let queue = Arc::clone(&feed.queue);
        let sending = queue.oldest().await.expect("it was pushed");
        assert_eq!([1, 2].map(|number| push(&mut feed, number)), [0, 0]);
        assert_eq!((push(&mut feed, 3), &feed.away), (2, &VecDeque::from([0, 3])));
        assert!(!sending.is_dropped());
        assert_eq!([4, 5].map(|number| push(&mut feed, number)), [0, 2]);
        assert_eq!(feed.away, [0, 5]);
        queue.done(&sending);
        assert_eq!(queue.oldest().await.map(|segment| segment.number), Some(5));
    }

    #[test]
    fn a_pause_of_the_source_is_nobodys_fault_but_a_hang_is() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut feed = Feed::of(Arc::new(Queue::new(Bound { bytes: 1_000, segments: 4 })), 1_000);
        feed.push(&chunk(0, true, false), at(0), 2);
        assert_eq!(feed.owed_for(at(2)), Duration::from_secs(2));
        // It has all been read; the encoder pauses, and goes on.
        feed.queue = Arc::new(Queue::new(Bound { bytes: 1_000, segments: 4 }));
        assert_eq!(feed.owed_for(at(60)), Duration::ZERO);
        feed.push(&chunk(0, false, false), at(60), 2);
        assert_eq!(feed.owed_for(at(61)), Duration::from_secs(1));
        // Parts of a second, of which none comes back.
        for second in 61..75 {
            assert_eq!(feed.push(&chunk(0, false, false), at(second), 2), 0);
        }
        assert_eq!(feed.owed_for(at(75)), Duration::from_secs(15));
    }

    #[test]
    fn fragments_as_long_as_segments_hide_no_hang() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut feed = Feed::of(Arc::new(Queue::new(Bound { bytes: 1_000, segments: 9 })), 1_000);
        let fragment = |number| Chunk { duration_ticks: 4_000, ..chunk(number, true, true) };
        // Each comes back before the next one is there.
        for number in 0..3 {
            feed.push(&fragment(number), at(number * 4), 9);
            feed.came();
            assert_eq!(feed.owed_for(at(number * 4 + 3)), Duration::ZERO);
        }
        for number in 3..6 {
            feed.push(&fragment(number), at(number * 4), 9);
        }
        assert_eq!(feed.owed_for(at(22)), Duration::from_secs(10));
        // Also where the source then says no more.
        assert_eq!(feed.owed_for(at(60)), Duration::from_secs(48));
    }

    #[tokio::test]
    async fn what_is_behind_is_left_out_in_whole_segments_until_it_has_come_back() {
        let mut feed = Feed::of(Arc::new(Queue::new(Bound { bytes: 1_000, segments: 9 })), 1_000);
        let push = |feed: &mut Feed, number| {
            let begins = feed.push(&chunk(number, true, false), Instant::now(), 2);
            begins + feed.push(&chunk(number, false, true), Instant::now(), 2)
        };
        for number in [0, 1, 2] {
            assert_eq!(push(&mut feed, number), 0);
            // Sockets and pipes have it.
            let sent = feed.queue.oldest().await.expect("it was pushed");
            feed.queue.done(&sent);
        }
        // Three are away: the next ones are left out, with all that follows of them.
        assert_eq!([3, 4].map(|number| push(&mut feed, number)), [1, 1]);
        assert_eq!(feed.away, [0, 1, 2]);
        // One that never comes back is not waited for once a later one has.
        feed.away.retain(|away| *away > 1);
        assert_eq!((push(&mut feed, 5), &feed.away), (0, &VecDeque::from([2, 5])));
    }
}

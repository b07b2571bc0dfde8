//! One connection's media in order, as a state machine: what came, what is missing, what is asked for again, what is given up. Pure:
//! who owns it says what time it is.
//!
//! *Nothing is held back that is in order.* SRT delivers a packet when its time and the latency have passed, so that a receiver sees the
//! rhythm in which it was sent. A transport stream has clocks and times of its own, so here the latency is only how long a
//! packet that is missing is waited for: without loss there is no delay.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::packet::{Control, ahead, later};

/// Between two acknowledgements (draft-sharabayko-srt section 4.8.1).
pub const TICK: Duration = Duration::from_millis(10);
/// The shortest time between two reports of one loss (section 4.8.2).
const REPORT: Duration = Duration::from_millis(20);
/// A connection that says nothing for this long says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Before there was a measurement (section 4.10), microseconds.
const RTT_US: [u32; 2] = [100_000, 50_000];
const RTT_MAX_US: u32 = 10_000_000;
/// Ranges in one report: it stays within a datagram.
const RANGES_MAX: usize = 160;
/// Acknowledgements whose own is waited for.
const ASKED_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Receiver {
    latency: Duration,
    window: usize,
    /// The first that is not given out.
    next: u32,
    /// From there on.
    slots: VecDeque<Slot>,
    rtt_us: [u32; 2],
    acknowledged: Option<Acknowledged>,
    number: u32,
    asked: VecDeque<(u32, Instant)>,
    spoke_at: Instant,
    lost: u64,
}

#[derive(Debug)]
enum Slot {
    There(Bytes),
    Missing { since: Instant, reported_at: Option<Instant> },
    Dropped,
}

#[derive(Debug, Clone, Copy)]
struct Acknowledged {
    next: u32,
    at: Instant,
    is_confirmed: bool,
}

// === impl Receiver ===

impl Receiver {
    /// The first packet will be `sequence`; one that is missing is waited for for `latency`, and at most `window` are held.
    #[must_use]
    pub fn new(sequence: u32, latency: Duration, window: usize, now: Instant) -> Self {
        Self {
            latency,
            window,
            next: sequence,
            slots: VecDeque::new(),
            rtt_us: RTT_US,
            acknowledged: None,
            number: 0,
            asked: VecDeque::new(),
            spoke_at: now,
            lost: 0,
        }
    }

    /// A packet of media came.
    pub fn data(&mut self, sequence: u32, payload: &[u8], now: Instant) {
        // Before the first it came already, or was given up; beyond the window it cannot be held, and will come again.
        let Ok(at) = usize::try_from(ahead(self.next, sequence)) else { return };
        if at >= self.window {
            return;
        }
        while self.slots.len() <= at {
            self.slots.push_back(Slot::Missing { since: now, reported_at: None });
        }
        if matches!(self.slots[at], Slot::Missing { .. }) {
            self.slots[at] = Slot::There(Bytes::copy_from_slice(payload));
        }
    }

    /// These will not come.
    pub fn drop_request(&mut self, first: u32, last: u32) {
        let (first, last) = (ahead(self.next, first).max(0), ahead(self.next, last));
        for at in first..=last.min(self.window as i64 - 1) {
            let Ok(at) = usize::try_from(at) else { return };
            let length = self.slots.len();
            match self.slots.get_mut(at) {
                Some(slot @ Slot::Missing { .. }) => *slot = Slot::Dropped,
                Some(_) => {}
                // They are the newest: nothing shows yet that they are missing.
                None if at == length => self.slots.push_back(Slot::Dropped),
                None => return,
            }
        }
    }

    /// An acknowledgement was acknowledged: that is the round trip.
    pub fn ack_ack(&mut self, number: u32, now: Instant) {
        let Some(position) = self.asked.iter().position(|(asked, _)| *asked == number) else { return };
        let Some((_, asked_at)) = self.asked.drain(..=position).next_back() else { return };
        let rtt_us = u32::try_from((now - asked_at).as_micros()).unwrap_or(RTT_MAX_US).min(RTT_MAX_US);
        let [mean_us, variance_us] = self.rtt_us;
        self.rtt_us = [(7 * mean_us + rtt_us) / 8, (3 * variance_us + mean_us.abs_diff(rtt_us)) / 4];
        if let Some(acknowledged) = &mut self.acknowledged {
            acknowledged.is_confirmed |= number == self.number;
        }
    }

    /// What is next, if it is there; what was waited for too long is given up.
    pub fn take(&mut self, now: Instant) -> Option<Bytes> {
        loop {
            match self.slots.front()? {
                Slot::Missing { since, .. } if now.saturating_duration_since(*since) < self.latency => return None,
                Slot::Missing { .. } | Slot::Dropped => self.lost += 1,
                Slot::There(_) => {}
            }
            self.next = later(self.next, 1);
            if let Some(Slot::There(payload)) = self.slots.pop_front() {
                return Some(payload);
            }
        }
    }

    /// The other side has left: what is missing will not come.
    pub fn close(&mut self) {
        for slot in &mut self.slots {
            if matches!(slot, Slot::Missing { .. }) {
                *slot = Slot::Dropped;
            }
        }
    }

    /// What is to be sent now. Asked about after what came, and every [`TICK`].
    pub fn due(&mut self, now: Instant) -> Vec<Control> {
        let mut due = Vec::new();
        let missing = self.report(now);
        if !missing.is_empty() {
            due.push(Control::Nak(missing));
        }
        due.extend(self.acknowledge(now));
        if due.is_empty() && now.saturating_duration_since(self.spoke_at) >= KEEP_ALIVE {
            due.push(Control::KeepAlive);
        }
        if !due.is_empty() {
            self.spoke_at = now;
        }
        due
    }

    /// Packets that were given up.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// What is missing and was not asked for lately: at once where that is new, else when an answer is due.
    fn report(&mut self, now: Instant) -> Vec<(u32, u32)> {
        let [mean_us, variance_us] = self.rtt_us;
        let again = REPORT.max(Duration::from_micros(u64::from(mean_us + 4 * variance_us) / 2));
        let mut missing: Vec<(u32, u32)> = Vec::new();
        for (at, slot) in self.slots.iter_mut().enumerate() {
            let Slot::Missing { reported_at, .. } = slot else { continue };
            if reported_at.is_some_and(|reported| now.saturating_duration_since(reported) < again) {
                continue;
            }
            // Within the window, which is far from 2^31.
            let sequence = later(self.next, u32::try_from(at).unwrap_or(u32::MAX));
            let is_full = missing.len() == RANGES_MAX;
            match missing.last_mut() {
                Some((_, last)) if later(*last, 1) == sequence => *last = sequence,
                Some(_) | None if is_full => break,
                Some(_) | None => missing.push((sequence, sequence)),
            }
            *reported_at = Some(now);
        }
        missing
    }

    /// An acknowledgement, where there is something new, or nobody has confirmed the last one.
    fn acknowledge(&mut self, now: Instant) -> Option<Control> {
        let [mean_us, variance_us] = self.rtt_us;
        let again = TICK.max(Duration::from_micros(u64::from(mean_us + 4 * variance_us)));
        let is_due = match self.acknowledged {
            None => true,
            Some(last) => {
                let since = now.saturating_duration_since(last.at);
                (last.next != self.next && since >= TICK) || (!last.is_confirmed && since >= again)
            }
        };
        if !is_due {
            return None;
        }
        self.number = self.number.wrapping_add(1);
        self.acknowledged = Some(Acknowledged { next: self.next, at: now, is_confirmed: false });
        if self.asked.len() == ASKED_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back((self.number, now));
        let room = u32::try_from(self.window - self.slots.len()).unwrap_or(u32::MAX);
        Some(Control::Ack { number: self.number, next: self.next, rtt_us: self.rtt_us, room: room.max(2) })
    }
}

#[cfg(test)]
mod tests;

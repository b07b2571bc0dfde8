//! How an endpoint is doing, as far as its answers tell.
//!
//! One that failed *rests* for a moment, so that after a `kill -9` requests do not run into the dead address until its
//! lease ends; the rest doubles with each failure in a row and ends with the first whole answer. One that was overtaken by others
//! several times in a row, or once and then kept a probe waiting, *hangs*: it gets nothing until it answers a probe. Open requests times the
//! latency of its answers is what a request costs there. One that [said](Said) that it has no room, or cannot write, is
//! passed over for as long as it said, or longer each time. No clock, no probes: both are the caller's.
//!
//! What a request tells is a *word* about its endpoint. Requests end in another order than they began: one that began before the newest
//! word changed how the endpoint stands does not change that again. Only words that change something are in the way of others, so one
//! that does well has no last word: what fails there counts, however long it took.

mod said;

use std::time::Duration;

use crate::table::Moment;
pub use said::{Demand, FULL_MAX, FULL_MIN, Said, WRITE_FAILURES, tells_latency};

/// Rest after the first failure in a row.
pub const REST_MIN: Duration = Duration::from_millis(100);
/// Longest rest.
pub const REST_MAX: Duration = Duration::from_secs(2);
/// Longest rest from requests that change something: each that is refused was sent in vain, with its body.
pub const WRITE_REST_MAX: Duration = Duration::from_secs(30);
/// So often in a row it is overtaken until it is taken for hung.
pub const LATE_MAX: u32 = 3;
/// What an endpoint costs that has not answered yet: little, so that its latency gets known.
const UNKNOWN_US: f64 = 100.0;
/// Weight of a new value in the mean, and in the deviation (RFC 6298 section 2).
const MEAN_GAIN: f64 = 0.125;
const DEVIATION_GAIN: f64 = 0.25;

/// Mean and mean deviation of how long answers take, the later ones weighing more.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Latency {
    mean_us: f64,
    deviation_us: f64,
    seen: u32,
}

/// What an endpoint's latency counts for halves in such a time without an answer: one that was slow is tried again.
const HALF_LIFE_S: f64 = 5.0;

/// What is known of one endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Health {
    open: u32,
    /// Answers to requests that began; it counts from 0 again after the last number.
    served: u32,
    failures: u32,
    rests_until: Moment,
    overtaken: u32,
    latency: Latency,
    /// When the latency was last observed.
    observed: Moment,
    /// Until when it said that it has no room.
    full_until: Moment,
    /// Writes in a row that it refused or failed at.
    unwritten: u32,
    writes_rest_until: Moment,
    /// When a word last made or ended a rest.
    rest_word: Moment,
    /// When one last counted, or ended, that it does not write.
    write_word: Moment,
    /// When somebody last said that it is to get requests, whatever it had said before.
    pardoned: Moment,
    /// When an answer of it was last heard.
    heard: Option<Moment>,
    /// Probes in a row that it did not answer, and when the last one was given up.
    unanswered: u32,
    given_up: Moment,
}

/// How an endpoint stands for a request: the least is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// As far as is known, it takes it.
    Fit,
    /// It said that it would not, and will say so again.
    Unwilling,
    /// It failed, or hangs.
    Resting,
}

// === impl Latency ===

impl Latency {
    /// Takes note of an answer.
    pub fn observe(&mut self, took: Duration) {
        self.observe_after(took, Duration::ZERO);
    }

    /// The same of one that comes so long after the one before. What was slow then, and is quick now, is believed to be quick the more, the
    /// longer nothing was heard: it gets few requests, and would need many to show it.
    fn observe_after(&mut self, took: Duration, idle: Duration) {
        let us = took.as_secs_f64() * 1e6;
        if self.seen == 0 {
            (self.mean_us, self.deviation_us) = (us, us / 2.0);
        } else {
            self.deviation_us += DEVIATION_GAIN * ((us - self.mean_us).abs() - self.deviation_us);
            let kept = if us < self.mean_us { (-idle.as_secs_f64() / HALF_LIFE_S).exp2() } else { 1.0 };
            self.mean_us += (1.0 - (1.0 - MEAN_GAIN) * kept) * (us - self.mean_us);
        }
        self.seen = self.seen.saturating_add(1);
    }

    /// How many answers it was made of.
    #[must_use]
    pub fn seen(&self) -> u32 {
        self.seen
    }

    /// The mean; `None` before the first answer.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        (self.seen > 0).then(|| Duration::from_secs_f64(self.mean_us / 1e6))
    }

    /// What an answer hardly ever exceeds: the mean and four deviations (as in RFC 6298 section 2).
    #[must_use]
    pub fn ceiling(&self) -> Duration {
        Duration::from_secs_f64((self.mean_us + 4.0 * self.deviation_us) / 1e6)
    }
}

// === impl Health ===

impl Health {
    /// A request is on its way there.
    pub fn opened(&mut self) {
        self.open += 1;
    }

    /// A request has ended.
    pub fn closed(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// It answered after `took`.
    pub fn answered(&mut self, took: Duration, now: Moment) {
        self.revive();
        self.began(took, now);
    }

    /// Answers to requests that began, neither those that were given up there nor those to probes; 0 follows on 2^32 - 1.
    #[must_use]
    pub fn served(&self) -> u32 {
        self.served
    }

    /// Its answer began after `took`. That ends no rest: one that breaks off all its answers would never rest for long.
    pub fn began(&mut self, took: Duration, now: Moment) {
        self.served = self.served.wrapping_add(1);
        self.heard_after(took, now);
    }

    fn heard_after(&mut self, took: Duration, now: Moment) {
        (self.overtaken, self.unanswered) = (0, 0);
        self.latency.observe_after(took, now.0.saturating_sub(self.observed.0));
        (self.observed, self.heard) = (now, Some(now));
    }

    /// It answered what had to wait there: how long that took says nothing.
    pub fn has_let_wait(&mut self) {
        self.overtaken = 0;
    }

    /// It gave a whole answer to a request that began at `began`. What it still had on its way when it failed says nothing of what it
    /// takes now.
    pub fn succeeded(&mut self, began: Moment, now: Moment) {
        self.overtaken = 0;
        if self.failures > 0 && began >= self.rest_word {
            self.revive();
            self.rest_word = now;
        }
    }

    /// It is there.
    pub fn revive(&mut self) {
        self.failures = 0;
        self.overtaken = 0;
        self.rests_until = Moment::default();
    }

    /// It could not be reached, or broke off, for a request that began at `began`: it rests.
    pub fn failed(&mut self, began: Moment, now: Moment) {
        let is_new = began >= self.rest_word;
        // Requests that were under way together fail together: that is one failure. What fails of them when the rest is over shows that it
        // lasts: the same rest once more, unless something newer has ended it.
        if self.rests_until > now || (!is_new && self.failures == 0) {
            return;
        }
        let before = if is_new { self.failures } else { self.failures - 1 };
        self.rests_until = now + REST_MIN.saturating_mul(1 << before.min(16)).min(REST_MAX);
        if is_new {
            self.rest_word = now;
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Another one answered a request that it got `waited` before, and it did not.
    pub fn overtaken(&mut self, waited: Duration, now: Moment) {
        self.overtaken = self.overtaken.saturating_add(1);
        self.latency.observe(waited);
        self.observed = now;
    }

    /// Its answer is late, and nobody else is asked: it should be probed.
    pub fn is_late(&mut self) {
        self.overtaken = self.overtaken.max(1);
    }

    /// It did not answer a probe.
    pub fn hangs(&mut self) {
        self.overtaken = self.overtaken.max(LATE_MAX);
    }

    /// It answered a probe that began at `began` after so long, or did not.
    pub fn probed(&mut self, took: Option<Duration>, began: Moment, now: Moment) {
        match took {
            Some(took) if self.is_suspect() => {
                self.revive();
                self.heard_after(took, now);
            }
            Some(_) => (self.heard, self.unanswered) = (Some(now), 0),
            // It answered somebody else meanwhile.
            None if self.heard.is_some_and(|heard| heard > began) => {}
            None => {
                (self.unanswered, self.given_up) = (self.unanswered.saturating_add(1), now);
                // Who was well until now may have been busy, or far away, for a moment: it is asked once more, soon.
                if self.is_suspect() || self.heard.is_none() || self.unanswered > 1 {
                    self.hangs();
                }
            }
        }
    }

    /// Whether it was overtaken and has not answered since.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.overtaken > 0
    }

    /// Whether it should be probed now. One that is `watched`, because nobody renews its lease, also when nothing was heard of it for so
    /// long, or since it failed; one of those that does not answer is asked again soon, then later and later, in the end as often as that.
    #[must_use]
    pub fn is_probe_due(&self, watched: Option<Duration>, now: Moment) -> bool {
        let Some(every) = watched else { return self.is_suspect() };
        if self.unanswered > 0 {
            let pause = REST_MIN.saturating_mul(1 << self.unanswered.min(16)).min(every);
            return self.given_up + pause <= now;
        }
        let is_unsure = |heard: Moment| heard + every <= now || (self.failures > 0 && heard <= self.rest_word);
        self.is_suspect() || self.heard.is_none_or(is_unsure)
    }

    /// Whether it answered when it was last heard or asked; `None` before.
    #[must_use]
    pub fn answers(&self) -> Option<bool> {
        if self.is_hung() { Some(false) } else { self.heard.map(|_| true) }
    }

    /// Whether it is left alone until it answers a probe.
    #[must_use]
    pub fn is_hung(&self) -> bool {
        self.overtaken >= LATE_MAX
    }

    /// Whether requests should go elsewhere.
    #[must_use]
    pub fn rests(&self, now: Moment) -> bool {
        self.is_hung() || self.rests_until > now
    }

    /// Who is asked first where all rest: least first.
    #[must_use]
    pub fn last_resort(&self) -> (bool, Moment) {
        (self.is_hung(), self.rests_until)
    }

    /// It said something of itself, to a request that began at `began`.
    pub fn said(&mut self, said: Said, began: Moment, now: Moment) {
        match said {
            Said::Nothing => {}
            // What was under way together says it together: the longest counts.
            Said::NoRoom(span) if began >= self.pardoned => self.full_until = self.full_until.max(now + span),
            Said::Wrote if self.unwritten > 0 && began >= self.write_word => self.writes(now),
            Said::NoRoom(_) | Said::Wrote => {}
            Said::CannotWrite => self.did_not_write(WRITE_FAILURES, began, now),
            Said::FailedToWrite => self.did_not_write(1, began, now),
        }
    }

    /// It is to get requests again, whatever it said before, or says still to those that are under way.
    pub fn pardon(&mut self, now: Moment) {
        self.revive();
        self.full_until = Moment::default();
        self.writes(now);
        (self.rest_word, self.pardoned) = (now, now);
    }

    fn writes(&mut self, now: Moment) {
        (self.unwritten, self.writes_rest_until, self.write_word) = (0, Moment::default(), now);
    }

    fn did_not_write(&mut self, failures_min: u32, began: Moment, now: Moment) {
        // Requests that were under way together are refused together.
        if self.writes_rest_until > now || began < self.write_word {
            return;
        }
        self.write_word = now;
        self.unwritten = self.unwritten.saturating_add(1).max(failures_min);
        if let Some(times) = self.unwritten.checked_sub(WRITE_FAILURES) {
            self.writes_rest_until = now + REST_MIN.saturating_mul(1 << times.min(16)).min(WRITE_REST_MAX);
        }
    }

    /// Whether it said that it has no room now.
    #[must_use]
    pub fn is_full(&self, now: Moment) -> bool {
        self.full_until > now
    }

    /// Whether it refused what changes something, or failed at it, and gets none of that now.
    #[must_use]
    pub fn refuses_writes(&self, now: Moment) -> bool {
        self.writes_rest_until > now
    }

    /// How it stands for a request that is to do `demand`.
    #[must_use]
    pub fn standing(&self, demand: Demand, now: Moment) -> Standing {
        if self.rests(now) {
            Standing::Resting
        } else if self.is_full(now) || (demand == Demand::Write && self.refuses_writes(now)) {
            Standing::Unwilling
        } else {
            Standing::Fit
        }
    }

    /// What a request costs there: the wait of all that are open and its own, microseconds.
    #[must_use]
    pub fn cost_us(&self, now: Moment) -> f64 {
        let idle_s = now.0.saturating_sub(self.observed.0).as_secs_f64();
        let latency_us = match self.latency.seen {
            0 => UNKNOWN_US,
            _ => (self.latency.mean_us * (-idle_s / HALF_LIFE_S).exp2()).max(1.0),
        };
        f64::from(self.open + 1) * latency_us
    }

    /// Open requests.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open
    }

    /// How long its answers take.
    #[must_use]
    pub fn latency(&self) -> &Latency {
        &self.latency
    }
}

//! What this router does besides passing on: requests that are asked again, second endpoints that are asked, answers that go on
//! elsewhere, searches.
//!
//! Counted for `/metrics`; the latest are kept for people who watch. Bounded, and one short lock. Nothing here decides anything.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use flame_api::router::{ActivityEvent, ActivityKind};
use flame_naming::{EndpointId, Label, Name};
use flame_service_host::metrics::Metrics;
use prometheus::{IntCounterVec, Opts};

/// Events that are kept.
const KEPT: usize = 256;

/// Counts and the latest events.
#[derive(Debug)]
pub(crate) struct Activity {
    counts: IntCounterVec,
    latest: Mutex<Latest>,
}

/// The latest events, oldest first.
#[derive(Debug, Default)]
struct Latest {
    /// The number of the last one; the first has 1.
    last: u64,
    events: VecDeque<ActivityEvent>,
}

// === impl Activity ===

impl Default for Activity {
    fn default() -> Self {
        let help = "Requests that were asked again, or of a second endpoint, or went on elsewhere, or were searched for, by kind";
        let counts =
            IntCounterVec::new(Opts::new("router_switches_total", help), &["kind"]).expect("the name is valid");
        // All are there from the start: a rate needs the zero before the first.
        ActivityKind::ALL.iter().for_each(|kind| drop(counts.with_label_values(&[kind.as_str()])));
        Self { counts, latest: Mutex::default() }
    }
}

impl Activity {
    pub(crate) fn register(&self, metrics: &Metrics) {
        metrics.register(self.counts.clone());
    }

    /// Notes what happened to a request for `name`: it was at `from`, and is at `to` now.
    pub(crate) fn note(
        &self,
        kind: ActivityKind,
        name: &Name,
        from: Option<(&Label, &EndpointId)>,
        to: Option<(&Label, Option<&EndpointId>)>,
        why: impl Into<String>,
    ) {
        self.counts.with_label_values(&[kind.as_str()]).inc();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let event = ActivityEvent {
            number: 0,
            at_unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            kind,
            name: name.to_string(),
            from_site: from.map(|(site, _)| site.to_string()),
            from_endpoint: from.map(|(_, endpoint)| endpoint.to_string()),
            to_site: to.map(|(site, _)| site.to_string()),
            to_endpoint: to.and_then(|(_, endpoint)| endpoint.map(ToString::to_string)),
            why: why.into(),
        };
        self.latest().push(event);
    }

    /// How often each kind of thing happened since the start.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (ActivityKind, u64)> + '_ {
        ActivityKind::ALL.iter().map(|kind| (*kind, self.counts.with_label_values(&[kind.as_str()]).get()))
    }

    /// Events after number `after` that `is_seen`, oldest first, and the number of the last one of all. Whoever knows a number that
    /// was not given yet knew another process: he gets all.
    pub(crate) fn after(&self, after: u64, is_seen: impl Fn(&ActivityEvent) -> bool) -> (Vec<ActivityEvent>, u64) {
        let latest = self.latest();
        let after = if after > latest.last { 0 } else { after };
        let events = latest.events.iter().filter(|event| event.number > after && is_seen(event)).cloned().collect();
        (events, latest.last)
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Latest ===

impl Latest {
    fn push(&mut self, event: ActivityEvent) {
        self.last += 1;
        if self.events.len() >= KEPT {
            self.events.pop_front();
        }
        self.events.push_back(ActivityEvent { number: self.last, ..event });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_told_once_and_all_to_who_knew_another_process() {
        let activity = Activity::default();
        let (name, site): (Name, Label) = ("cdn.main".parse().unwrap(), "here".parse().unwrap());
        let endpoint: EndpointId = "e1".parse().unwrap();
        for _ in 0..KEPT + 10 {
            activity.note(ActivityKind::Hedged, &name, Some((&site, &endpoint)), Some((&site, None)), "late");
        }
        let numbers = |after| {
            let (events, last) = activity.after(after, |_| true);
            (events.first().map(|event| event.number), events.len(), last)
        };
        let last = KEPT as u64 + 10;
        assert_eq!(numbers(0), (Some(11), KEPT, last));
        assert_eq!(numbers(last - 2), (Some(last - 1), 2, last));
        assert_eq!(numbers(last), (None, 0, last));
        assert_eq!(numbers(last + 1), (Some(11), KEPT, last));
        assert_eq!(activity.after(0, |_| false), (Vec::new(), last));
        let counted: Vec<_> = activity.counts().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(ActivityKind::Hedged, last)]);
    }
}

//! What surrogates count, made into what is known of a site: differences of counters over a window. Pure, and bounded.

use std::collections::{HashMap, VecDeque};

use flame_api::vcdn::Stats;

use super::sites::Condition;

/// Surrogates of a site that are told apart; what comes beyond is not counted.
const SURROGATES_MAX: usize = 64;
/// Fewer answers, reports to surrogates, or sessions that told this instance, say nothing. A session may count twice in what is looked at.
const LEAST: u64 = 10;

/// What a surrogate has counted since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counted {
    /// Bytes of bodies sent to viewers.
    pub(crate) sent_bytes: u64,
    /// Answers of all kinds.
    pub(crate) answers: u64,
    /// Those that failed.
    pub(crate) errors: u64,
    /// Sessions of players that said how they fare (CMCD): each once a window, of one address a few.
    pub(crate) reports: u64,
    /// Those that told of an empty buffer, of waiting, of an error.
    pub(crate) complaints: u64,
}

/// What the surrogates of one site have counted, for as long as the window is.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    surrogates: HashMap<String, VecDeque<(u64, Counted)>>,
    /// What players that play from there told this instance itself: sessions.
    players: VecDeque<(u64, Counted)>,
    is_reached: bool,
}

// === impl Counted ===

impl Counted {
    /// What `stats` say of all assets together.
    pub(crate) fn of(stats: &Stats) -> Self {
        let (total, voices) = (&stats.total, &stats.voices);
        Self {
            sent_bytes: total.sent_bytes,
            answers: total.hits + total.misses + total.collapsed + total.stale + total.passed + total.errors,
            errors: total.errors,
            reports: voices.sessions,
            complaints: voices.complaining,
        }
    }

    /// What was counted since `before`; `None` if the surrogate began anew.
    fn since(&self, before: &Self) -> Option<Self> {
        Some(Self {
            sent_bytes: self.sent_bytes.checked_sub(before.sent_bytes)?,
            answers: self.answers.checked_sub(before.answers)?,
            errors: self.errors.checked_sub(before.errors)?,
            reports: self.reports.checked_sub(before.reports)?,
            complaints: self.complaints.checked_sub(before.complaints)?,
        })
    }
}

// === impl Figures ===

impl Figures {
    /// Takes what players have told this instance since it was started: reports and complaints.
    pub(crate) fn hear(&mut self, now_ms: u64, window_ms: u64, counted: Counted) {
        while self.players.get(1).is_some_and(|(at_ms, _)| at_ms.saturating_add(window_ms) < now_ms) {
            self.players.pop_front();
        }
        self.players.push_back((now_ms, counted));
    }

    /// Takes what a surrogate answered at `now_ms`, or that none did. What is older than the window goes.
    pub(crate) fn note(&mut self, now_ms: u64, window_ms: u64, answered: Option<(&str, Counted)>) {
        self.is_reached = answered.is_some();
        let is_old = |at_ms: u64| at_ms.saturating_add(window_ms) < now_ms;
        self.surrogates.retain(|_, samples| {
            // The newest of those that are older is where the window begins.
            while samples.get(1).is_some_and(|(at_ms, _)| is_old(*at_ms)) {
                samples.pop_front();
            }
            samples.back().is_some_and(|(at_ms, _)| !is_old(*at_ms))
        });
        let Some((surrogate, counted)) = answered else { return };
        if self.surrogates.len() >= SURROGATES_MAX && !self.surrogates.contains_key(surrogate) {
            return;
        }
        let samples = self.surrogates.entry(surrogate.to_owned()).or_default();
        if samples.back().is_some_and(|(_, last)| counted.since(last).is_none()) {
            samples.clear();
        }
        samples.push_back((now_ms, counted));
    }

    /// What that says of the site, which can send `capacity_mbps` in all, if that is known.
    pub(crate) fn condition(&self, capacity_mbps: Option<f64>) -> Condition {
        let (mut mbps, mut sum) = (None, Counted::default());
        for samples in self.surrogates.values() {
            let (Some((from_ms, first)), Some((to_ms, last))) = (samples.front(), samples.back()) else { continue };
            let Some(since) = last.since(first).filter(|_| to_ms > from_ms) else { continue };
            #[expect(clippy::cast_precision_loss, reason = "a share, not an account")]
            let sent = since.sent_bytes as f64 * 8.0 / 1000.0 / (to_ms - from_ms) as f64;
            mbps = Some(mbps.unwrap_or(0.0) + sent);
            sum.answers += since.answers;
            sum.errors += since.errors;
            sum.reports += since.reports;
            sum.complaints += since.complaints;
        }
        if let (Some((_, first)), Some((_, last))) = (self.players.front(), self.players.back()) {
            let since = last.since(first).unwrap_or_default();
            sum.reports += since.reports;
            sum.complaints += since.complaints;
        }
        #[expect(clippy::cast_precision_loss, reason = "a share, not an account")]
        let share = |part: u64, whole: u64| (whole >= LEAST).then(|| part as f64 / whole as f64);
        Condition {
            is_reached: self.is_reached,
            load: mbps.zip(capacity_mbps.filter(|mbps| *mbps > 0.0)).map(|(sent, most)| sent / most),
            failing: share(sum.errors, sum.answers),
            starved: share(sum.complaints, sum.reports),
        }
    }
}

#[cfg(test)]
mod tests {
    use flame_api::vcdn::{AssetFigures, Viewing, Voices};

    use super::*;

    const WINDOW_MS: u64 = 4000;

    fn sent(megabits: u64) -> Counted {
        Counted { sent_bytes: megabits * 125_000, ..Counted::default() }
    }

    #[test]
    fn load_is_what_all_surrogates_send_of_what_the_site_can() {
        let mut figures = Figures::default();
        for second in 0..10 {
            figures.note(second * 1000, WINDOW_MS, Some(("one", sent(second * 2))));
            figures.note(second * 1000, WINDOW_MS, Some(("other", sent(second * 3))));
        }
        assert_eq!(figures.condition(Some(10.0)).load, Some(0.5));
        assert_eq!(figures.condition(None).load, None);
        // One that is gone counts no more once the window is over.
        for second in 10..16 {
            figures.note(second * 1000, WINDOW_MS, Some(("one", sent(second * 2))));
        }
        assert_eq!(figures.condition(Some(10.0)).load, Some(0.2));
    }

    #[test]
    fn one_that_was_started_anew_has_sent_nothing_yet() {
        let mut figures = Figures::default();
        figures.note(0, WINDOW_MS, Some(("one", sent(500))));
        figures.note(1000, WINDOW_MS, Some(("one", sent(1))));
        assert_eq!(figures.condition(Some(10.0)).load, None);
        figures.note(2000, WINDOW_MS, Some(("one", sent(2))));
        assert_eq!(figures.condition(Some(10.0)).load, Some(0.1));
    }

    #[test]
    fn of_what_players_report_to_a_surrogate_their_voices_count_and_not_how_often_they_speak() {
        let viewing = Viewing { reports: 5_000, starvations: 5_000, sessions: 5_000, ..Viewing::default() };
        let asset = AssetFigures {
            tenant: "default".to_owned(),
            asset: "film".to_owned(),
            figures: flame_api::vcdn::Figures::default(),
            viewing: Some(viewing),
        };
        let stats = Stats { voices: Voices { sessions: 104, complaining: 4 }, assets: vec![asset], ..Stats::default() };
        let counted = Counted::of(&stats);
        assert_eq!((counted.reports, counted.complaints), (104, 4));
    }

    #[test]
    fn few_answers_and_reports_say_nothing() {
        let mut figures = Figures::default();
        let counted =
            |many: u64| Counted { answers: many, errors: many, reports: many, complaints: many / 2, sent_bytes: 0 };
        figures.note(0, WINDOW_MS, Some(("one", counted(0))));
        figures.note(1000, WINDOW_MS, Some(("one", counted(LEAST - 1))));
        assert_eq!((figures.condition(None).failing, figures.condition(None).starved), (None, None));
        figures.note(2000, WINDOW_MS, Some(("one", counted(LEAST))));
        assert_eq!((figures.condition(None).failing, figures.condition(None).starved), (Some(1.0), Some(0.5)));
    }

    #[test]
    fn what_players_tell_counts_beside_what_they_tell_surrogates() {
        let mut figures = Figures::default();
        let told = |reports, complaints| Counted { reports, complaints, ..Counted::default() };
        figures.hear(0, WINDOW_MS, told(5, 5));
        figures.note(0, WINDOW_MS, Some(("one", told(100, 0))));
        assert_eq!(figures.condition(None).starved, None);
        figures.hear(1000, WINDOW_MS, told(15, 10));
        figures.note(1000, WINDOW_MS, Some(("one", told(110, 0))));
        let condition = figures.condition(None);
        assert_eq!((condition.starved, condition.load), (Some(0.25), None));
        // It is as old as everything.
        for second in 2..9 {
            figures.hear(second * 1000, WINDOW_MS, told(15, 10));
        }
        assert_eq!(figures.condition(None).starved, Some(0.0));
        assert!(figures.players.len() <= 6);
    }

    #[test]
    fn what_grows_is_bounded() {
        let mut figures = Figures::default();
        for number in 0..1000_u64 {
            figures.note(number, WINDOW_MS, Some((&number.to_string(), Counted::default())));
            figures.note(number * 100, WINDOW_MS, Some(("0", Counted::default())));
        }
        assert!(figures.surrogates.len() <= SURROGATES_MAX);
        assert!(figures.surrogates["0"].len() <= 42);
        figures.note(1_000_000, WINDOW_MS, None);
        assert!(figures.surrogates.is_empty() && !figures.condition(None).is_reached);
    }
}

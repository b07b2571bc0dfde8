//! Words about an endpoint that come in another order than the requests that tell them began: what is newest stays. And when one
//! that holds no lease is asked whether it is there.

use std::time::Duration;

use flame_naming::Moment;
use flame_naming::health::{Demand, Health, REST_MAX, REST_MIN, Said, Standing, WRITE_FAILURES, WRITE_REST_MAX};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(ms: u64) -> Moment {
    Moment(Duration::from_millis(ms))
}

/// What a request tells, or an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Failed,
    Succeeded,
    NoRoom(u64),
    CannotWrite,
    FailedToWrite,
    Wrote,
    Pardon,
}

/// A word of a request that began and ended so many milliseconds after the beginning.
#[derive(Debug, Clone, Copy)]
struct Told {
    word: Word,
    began: u64,
    ended: u64,
}

/// The end of a rest, and what it is counted from: what a history comes to, by the rule alone.
#[derive(Debug, Default)]
struct Rest {
    times: u32,
    until: u64,
    newest: u64,
}

fn tell(health: &mut Health, Told { word, began, ended }: Told) {
    let (began, now) = (at(began), at(ended));
    match word {
        Word::Failed => health.failed(began, now),
        Word::Succeeded => health.succeeded(began, now),
        Word::NoRoom(s) => health.said(Said::of(Demand::Read, 503, Some(Duration::from_secs(s))), began, now),
        Word::CannotWrite => health.said(Said::CannotWrite, began, now),
        Word::FailedToWrite => health.said(Said::FailedToWrite, began, now),
        Word::Wrote => health.said(Said::Wrote, began, now),
        Word::Pardon => health.pardon(now),
    }
}

// === impl Rest ===

impl Rest {
    /// A failure: a further one in a row, or one of those that began with the last, which shows that it lasts.
    fn failed(&mut self, told: Told) {
        if told.began < self.newest && self.times > 0 && self.until <= told.ended {
            let Self { times, newest, .. } = *self;
            self.again(Told { began: newest, ..told }, (REST_MIN, REST_MAX), 2, 0);
            (self.times, self.newest) = (times, newest);
        } else {
            self.again(told, (REST_MIN, REST_MAX), 1, 0);
        }
    }

    /// A further one in a row, which begins with number `first`.
    fn again(&mut self, told: Told, (least, most): (Duration, Duration), first: u32, step: u32) {
        if told.began < self.newest || self.until > told.ended {
            return;
        }
        self.newest = told.ended;
        self.times = (self.times + 1).max(step);
        if self.times >= first {
            let rest = (least * 2_u32.pow((self.times - first).min(16))).min(most);
            self.until = told.ended + u64::try_from(rest.as_millis()).unwrap();
        }
    }

    fn ended(&mut self, told: Told, is_for_certain: bool) {
        if is_for_certain || (self.times > 0 && told.began >= self.newest) {
            *self = Self { times: 0, until: 0, newest: told.ended };
        }
    }
}

/// How an endpoint stands after a history, `later` milliseconds after the beginning.
fn model(history: &[Told], later: u64) -> [Standing; 2] {
    let (mut rest, mut writes, mut full_until, mut pardoned) = (Rest::default(), Rest::default(), 0, 0);
    for told in history {
        match told.word {
            Word::Failed => rest.failed(*told),
            Word::Succeeded => rest.ended(*told, false),
            Word::NoRoom(s) if told.began >= pardoned => {
                full_until = full_until.max(told.ended + s.clamp(1, 30) * 1000)
            }
            Word::NoRoom(_) => {}
            Word::CannotWrite => writes.again(*told, (REST_MIN, WRITE_REST_MAX), WRITE_FAILURES, WRITE_FAILURES),
            Word::FailedToWrite => writes.again(*told, (REST_MIN, WRITE_REST_MAX), WRITE_FAILURES, 0),
            Word::Wrote => writes.ended(*told, false),
            Word::Pardon => {
                rest.ended(*told, true);
                writes.ended(*told, true);
                (full_until, pardoned) = (0, told.ended);
            }
        }
    }
    let standing = |is_unwilling| match (rest.until > later, is_unwilling) {
        (true, _) => Standing::Resting,
        (false, true) => Standing::Unwilling,
        (false, false) => Standing::Fit,
    };
    [standing(full_until > later), standing(full_until > later || writes.until > later)]
}

fn standing(health: &Health, later: u64) -> [Standing; 2] {
    [Demand::Read, Demand::Write].map(|demand| health.standing(demand, at(later)))
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        3 => Just(Word::Failed),
        2 => Just(Word::Succeeded),
        1 => (0..40_u64).prop_map(Word::NoRoom),
        2 => Just(Word::CannotWrite),
        3 => Just(Word::FailedToWrite),
        2 => Just(Word::Wrote),
        1 => Just(Word::Pardon),
    ]
}

/// Words in the order in which they come; each of a request that began up to so long before.
fn history() -> impl Strategy<Value = Vec<Told>> {
    proptest::collection::vec((word(), 0..400_u64, 0..1500_u64), 1..40).prop_map(|all| {
        let mut now = 5000;
        let told = |(word, after, took): (Word, u64, u64)| {
            now += after;
            Told { word, began: now - took, ended: now }
        };
        all.into_iter().map(told).collect()
    })
}

proptest! {
    /// At any time after any history it stands as the rule says.
    #[test]
    fn it_stands_as_the_newest_words_say(history in history(), later in proptest::collection::vec(0..40_000_u64, 1..8)) {
        let mut health = Health::default();
        for (count, told) in history.iter().enumerate() {
            tell(&mut health, *told);
            for later in &later {
                let later = told.ended + later;
                prop_assert_eq!(standing(&health, later), model(&history[..=count], later), "{:?} ms", later);
            }
        }
    }

    /// Once somebody has said that it is to get requests, nothing that was under way then changes that.
    #[test]
    fn what_was_under_way_when_it_was_connected_changes_nothing(
        history in history(), late in word(), by in 1..1000_u64, after in 0..3000_u64,
    ) {
        let mut health = Health::default();
        history.iter().for_each(|told| tell(&mut health, *told));
        let now = history.last().map_or(5000, |told| told.ended);
        tell(&mut health, Told { word: Word::Pardon, began: now, ended: now });
        tell(&mut health, Told { word: late, began: now - by, ended: now + after });
        for later in [0, 50, 150, 500, 1000, 10_000] {
            prop_assert_eq!(standing(&health, now + after + later), [Standing::Fit; 2]);
        }
    }
}

#[test]
fn whoever_fails_slowly_rests_most_of_the_time() {
    // Each request that gets through to it takes three seconds to fail, and fifty come in a second.
    let (mut health, mut under_way, mut sent) = (Health::default(), std::collections::VecDeque::new(), 0);
    for now in (0..60_000).step_by(20) {
        while under_way.front().is_some_and(|began| began + 3000 <= now) {
            let began = under_way.pop_front().unwrap();
            tell(&mut health, Told { word: Word::Failed, began, ended: now });
        }
        if !health.rests(at(now)) {
            under_way.push_back(now);
            sent += 1;
        }
    }
    assert!(sent <= 1500, "{sent} of 3,000 went to somebody who answers nobody");
}

#[test]
fn uploads_that_end_one_after_the_other_on_a_full_disk_lengthen_no_rest() {
    let mut health = Health::default();
    let refused = |health: &mut Health, began, ended| {
        tell(health, Told { word: Word::CannotWrite, began, ended });
    };
    refused(&mut health, 0, 1000);
    // The others of then, one after the other, each after the rest that the one before would have made.
    for ended in [1100, 1300, 1700, 2500, 4100] {
        refused(&mut health, 0, ended);
        assert_eq!(health.standing(Demand::Write, at(ended)), Standing::Fit, "{ended} ms");
    }
    // One that began since is a new word, and the second in a row.
    refused(&mut health, 4100, 4200);
    assert_eq!(health.standing(Demand::Write, at(4399)), Standing::Unwilling);
    assert_eq!(health.standing(Demand::Write, at(4400)), Standing::Fit);
}

#[test]
fn what_it_still_had_on_its_way_does_not_bring_back_who_failed() {
    let mut health = Health::default();
    // It takes no connection any more; an answer from before ends well, in the middle of its rest.
    tell(&mut health, Told { word: Word::Failed, began: 1000, ended: 1000 });
    tell(&mut health, Told { word: Word::Succeeded, began: 900, ended: 1050 });
    assert!(health.rests(at(1099)));
    // One that was asked after that, because everybody rests, shows that it is back.
    tell(&mut health, Told { word: Word::Succeeded, began: 1050, ended: 1060 });
    assert!(!health.rests(at(1060)));
}

#[test]
fn one_that_is_written_down_is_asked_before_anybody_needs_it_and_when_nothing_is_heard_of_it() {
    let every = 5 * SECOND;
    let mut health = Health::default();
    let due = |health: &Health, ms: u64| health.is_probe_due(Some(every), at(ms));
    assert!(
        due(&health, 0) && !health.is_probe_due(None, at(0)),
        "one that holds a lease says itself that it is there"
    );
    assert_eq!(health.answers(), None);
    health.probed(Some(Duration::from_millis(1)), at(0), at(1));
    assert_eq!((health.answers(), due(&health, 5000), due(&health, 5001)), (Some(true), false, true));
    // Whoever is heard anyway is not asked.
    health.began(Duration::from_millis(2), at(4000));
    assert!(!due(&health, 8999) && due(&health, 9000));
    // One that failed is asked at once; its answer does not end the rest that its failure made.
    health.failed(at(5000), at(5010));
    assert!(due(&health, 5010) && health.rests(at(5010)));
    health.probed(Some(Duration::from_millis(1)), at(5010), at(5011));
    assert!(!due(&health, 5100) && health.rests(at(5050)) && !health.rests(at(5110)));
}

#[test]
fn one_that_was_well_is_asked_once_more_before_it_gets_nothing() {
    let mut health = Health::default();
    health.probed(Some(Duration::from_millis(1)), at(0), at(1));
    health.probed(None, at(5001), at(5501));
    assert_eq!((health.standing(Demand::Read, at(5501)), health.answers()), (Standing::Fit, Some(true)));
    assert!(health.is_probe_due(Some(5 * SECOND), at(5701)), "soon");
    health.probed(None, at(5701), at(6201));
    assert_eq!((health.standing(Demand::Read, at(6201)), health.answers()), (Standing::Resting, Some(false)));
}

#[test]
fn one_that_does_not_answer_gets_nothing_and_is_asked_less_and_less_often_but_as_often_as_all() {
    let every = 5 * SECOND;
    let (mut health, mut now, mut pauses) = (Health::default(), 0, Vec::new());
    for _ in 0..8 {
        assert!(health.is_probe_due(Some(every), at(now)));
        health.probed(None, at(now), at(now));
        assert_eq!((health.standing(Demand::Read, at(now)), health.answers()), (Standing::Resting, Some(false)));
        let pause = (0..).find(|ms| health.is_probe_due(Some(every), at(now + ms))).unwrap();
        pauses.push(pause);
        now += pause;
    }
    assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
    health.probed(Some(Duration::from_millis(1)), at(now), at(now + 1));
    assert_eq!((health.standing(Demand::Read, at(now + 1)), health.answers()), (Standing::Fit, Some(true)));
    // It did not answer a probe in time, and somebody else meanwhile.
    health.began(Duration::from_millis(9), at(now + 10));
    health.probed(None, at(now + 5), at(now + 505));
    assert_eq!(health.answers(), Some(true));
}

#[test]
fn what_was_given_up_and_what_was_probed_is_no_answer() {
    let mut health = Health::default();
    health.began(Duration::from_millis(2), at(10));
    for _ in 0..10 {
        health.overtaken(Duration::from_millis(50), at(20));
    }
    health.probed(Some(Duration::from_millis(1)), at(30), at(31));
    assert_eq!((health.served(), health.is_suspect()), (1, false));
    health.answered(Duration::from_millis(2), at(40));
    assert_eq!(health.served(), 2);
}

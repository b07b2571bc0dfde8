//! Lives of jobs by hand, and random ones against a model that knows only what a caller may rely on.

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds {
    lease: Duration::from_secs(30),
    failures_max: 3,
    attempts_max: 6,
    backoff: Duration::from_secs(1),
    backoff_max: Duration::from_secs(3),
    leaves: Leaves::Objects { close_pause: Duration::from_secs(5) },
};
const SECOND_US: i64 = 1_000_000;

/// A life under construction: every step must be allowed.
struct Life {
    standing: Standing,
    now_us: i64,
}

// === impl Life ===

impl Life {
    fn new() -> Self {
        Self { standing: Standing::new(0), now_us: 0 }
    }

    fn is(mut self, event: Event) -> Self {
        self.standing = self.standing.after(event, self.now_us, &BOUNDS).unwrap();
        self
    }

    fn claim(self) -> Self {
        self.is(Event::Claim { owner: "a".to_owned() })
    }

    fn report(self, report: Report) -> Self {
        let number = self.standing.lease_number;
        self.is(Event::Held { number, report })
    }

    fn fail(self, fault: Fault) -> Self {
        self.report(Report::Fail { fault, reason: "broken".to_owned() })
    }

    fn wait(mut self, seconds: i64) -> Self {
        self.now_us += seconds * SECOND_US;
        self
    }

    fn refuses(&self, event: Event) -> Refused {
        self.standing.after(event, self.now_us, &BOUNDS).unwrap_err()
    }
}

#[test]
fn a_job_that_goes_well() {
    let life = Life::new().claim().report(Report::Alive).report(Report::Commit).report(Report::Succeed);
    assert_eq!((life.standing.phase, life.standing.attempt, life.standing.failures), (Phase::Succeeded, 1, 0));
    assert_eq!(life.refuses(Event::Cancel), Refused::Final);
}

#[test]
fn a_fault_of_the_input_is_not_tried_again() {
    let life = Life::new().claim().fail(Fault::Input);
    assert_eq!((life.standing.phase, life.standing.error.as_deref()), (Phase::Failing, Some("broken")));
    let life = life.claim().report(Report::Postpone);
    assert_eq!(life.refuses(Event::Claim { owner: "a".to_owned() }), Refused::NotClaimable);
    let life = life.wait(5).claim().report(Report::Close);
    assert_eq!((life.standing.phase, life.standing.attempt), (Phase::Failed, 1));
}

#[test]
fn a_fault_of_the_environment_is_tried_three_times_with_growing_pauses() {
    let life = Life::new().claim().fail(Fault::Environment);
    assert_eq!(life.standing.phase, Phase::Queued);
    assert_eq!(life.refuses(Event::Claim { owner: "a".to_owned() }), Refused::NotClaimable);
    let life = life.wait(1).claim().fail(Fault::Environment);
    assert_eq!(life.standing.due_at_us - life.now_us, 2 * SECOND_US);
    let life = life.wait(2).claim().fail(Fault::Environment);
    assert_eq!((life.standing.phase, life.standing.attempt, life.standing.failures), (Phase::Failing, 3, 3));
}

#[test]
fn what_is_committed_is_published_and_not_made_again() {
    let life = Life::new().claim().report(Report::Commit).fail(Fault::Environment);
    assert_eq!(life.standing.phase, Phase::Publishing);
    let life = life.wait(1).claim();
    assert_eq!((life.standing.phase, life.standing.attempt), (Phase::Publishing, 2));
    assert_eq!(life.report(Report::Interrupt).standing.phase, Phase::Publishing);
}

#[test]
fn interruptions_do_not_count_as_failures_but_end_too() {
    let mut life = Life::new();
    for _ in 1..BOUNDS.attempts_max {
        life = life.claim().report(Report::Interrupt);
        assert_eq!((life.standing.phase, life.standing.failures), (Phase::Queued, 0));
    }
    let life = life.claim().report(Report::Interrupt);
    assert_eq!(life.standing.phase, Phase::Failing);
    assert!(life.standing.error.unwrap().contains("in each of 6 attempts"));
}

#[test]
fn a_lease_ends_by_time_or_with_its_owner() {
    let life = Life::new().claim();
    assert_eq!(life.refuses(Event::Expire), Refused::StillHeld);
    assert_eq!(life.refuses(Event::Restart { owner: "b".to_owned() }), Refused::StillHeld);
    let life = life.wait(20).report(Report::Alive).wait(20);
    assert_eq!(life.refuses(Event::Expire), Refused::StillHeld);
    let life = life.wait(10).is(Event::Expire).claim();
    assert_eq!(life.refuses(Event::Held { number: 1, report: Report::Commit }), Refused::LeaseLost);
    assert_eq!(life.is(Event::Restart { owner: "a".to_owned() }).standing.phase, Phase::Queued);
}

#[test]
fn a_cancellation_reaches_a_job_wherever_it_is() {
    let waiting = Life::new().is(Event::Cancel);
    assert_eq!(waiting.standing.phase, Phase::Cancelling);
    assert_eq!(waiting.claim().report(Report::Close).standing.phase, Phase::Cancelled);

    let working = Life::new().claim().is(Event::Cancel);
    assert_eq!(working.standing.phase, Phase::Running);
    let number = working.standing.lease_number;
    assert_eq!(working.refuses(Event::Held { number, report: Report::Commit }), Refused::CancelRequested);
    assert_eq!(working.report(Report::Interrupt).standing.phase, Phase::Cancelling);

    let broken = Life::new().claim().is(Event::Cancel).fail(Fault::Environment);
    assert_eq!(broken.standing.phase, Phase::Cancelling);

    let dead = Life::new().claim().is(Event::Cancel).wait(30).is(Event::Expire);
    assert_eq!(dead.standing.phase, Phase::Cancelling);

    let late = Life::new().claim().report(Report::Commit).is(Event::Cancel);
    assert_eq!(late.report(Report::Succeed).standing.phase, Phase::Succeeded);

    let failing = Life::new().claim().fail(Fault::Input).is(Event::Cancel);
    assert_eq!(failing.standing.phase, Phase::Failing);
}

#[test]
fn a_job_without_an_asset_is_cancelled_with_the_reason() {
    let life = Life::new().claim().report(Report::Orphaned { reason: "deleted".to_owned() });
    assert_eq!((life.standing.phase, life.standing.error.as_deref()), (Phase::Cancelling, Some("deleted")));
}

#[test]
fn a_publication_that_was_noticed_late_counts() {
    let life = Life::new().claim().report(Report::Commit).fail(Fault::Input).claim().report(Report::Succeed);
    assert_eq!((life.standing.phase, life.standing.error), (Phase::Succeeded, None));
}

/// What a random life is made of. Workers are numbered; each remembers the newest lease that it was given.
#[derive(Debug, Clone)]
enum Step {
    Wait { seconds: i64 },
    Claim { worker: usize },
    Report { worker: usize, report: Report },
    Expire,
    Restart { worker: usize },
    Cancel,
}

const WORKERS: usize = 3;

fn steps() -> impl Strategy<Value = Step> {
    let worker = 0..WORKERS;
    let report = prop_oneof![
        4 => Just(Report::Alive),
        4 => Just(Report::Commit),
        4 => Just(Report::Succeed),
        1 => Just(Report::Fail { fault: Fault::Input, reason: "input".to_owned() }),
        4 => Just(Report::Fail { fault: Fault::Environment, reason: "environment".to_owned() }),
        1 => Just(Report::Orphaned { reason: "orphaned".to_owned() }),
        3 => Just(Report::Interrupt),
        2 => Just(Report::Close),
        2 => Just(Report::Postpone),
    ];
    prop_oneof![
        3 => (0_i64..40).prop_map(|seconds| Step::Wait { seconds }),
        6 => worker.clone().prop_map(|worker| Step::Claim { worker }),
        8 => (worker.clone(), report).prop_map(|(worker, report)| Step::Report { worker, report }),
        2 => Just(Step::Expire),
        1 => worker.prop_map(|worker| Step::Restart { worker }),
        1 => Just(Step::Cancel),
    ]
}

/// What callers may rely on, kept apart from the machine: who works, what was asked, what was done.
#[derive(Debug, Default)]
struct Model {
    holder: Option<(usize, i64)>,
    leases: [u64; WORKERS],
    given: u64,
    begun: u32,
    failed: u32,
    committed: bool,
    cancelled_before_commit: bool,
}

proptest! {
    #[test]
    fn random_lives_agree_with_the_model(steps in proptest::collection::vec(steps(), 1..80)) {
        let mut standing = Standing::new(0);
        let mut model = Model::default();
        let mut now_us = 0;
        for step in steps {
            let before = standing.clone();
            let event = match step.clone() {
                Step::Wait { seconds } => {
                    now_us += seconds * SECOND_US;
                    continue;
                }
                Step::Claim { worker } => Event::Claim { owner: worker.to_string() },
                Step::Report { worker, report } => Event::Held { number: model.leases[worker], report },
                Step::Expire => Event::Expire,
                Step::Restart { worker } => Event::Restart { owner: worker.to_string() },
                Step::Cancel => Event::Cancel,
            };
            let Ok(after) = before.after(event, now_us, &BOUNDS) else { continue };
            prop_assert!(!before.phase.is_final(), "nothing follows an end");
            match step {
                Step::Wait { .. } => unreachable!("handled above"),
                Step::Claim { worker } => {
                    prop_assert!(model.holder.is_none(), "two workers hold one job");
                    model.given += 1;
                    model.leases[worker] = model.given;
                    model.holder = Some((worker, now_us + 30 * SECOND_US));
                    model.begun += u32::from(!before.phase.is_closing());
                }
                Step::Report { worker, report } => {
                    let (holder, _) = model.holder.expect("a report without a lease was taken");
                    prop_assert_eq!(holder, worker, "somebody else's report was taken");
                    match report {
                        Report::Alive => model.holder = Some((worker, now_us + 30 * SECOND_US)),
                        Report::Commit => {
                            prop_assert!(!model.cancelled_before_commit, "a cancelled job goes on");
                            model.committed = true;
                        }
                        Report::Fail { .. } => {
                            model.failed += 1;
                            model.holder = None;
                        }
                        Report::Succeed | Report::Orphaned { .. } | Report::Interrupt | Report::Close
                        | Report::Postpone => model.holder = None,
                    }
                }
                Step::Expire => {
                    let (_, until_us) = model.holder.take().expect("no lease to expire");
                    prop_assert!(until_us <= now_us, "a lease was cut short");
                }
                Step::Restart { worker } => {
                    let (holder, _) = model.holder.take().expect("no lease to give back");
                    prop_assert_eq!(holder, worker, "another owner's lease was taken away");
                }
                Step::Cancel => model.cancelled_before_commit |= !model.committed,
            }
            prop_assert_eq!(after.lease.is_some(), model.holder.is_some());
            prop_assert_eq!((after.attempt, after.failures, after.lease_number), (model.begun, model.failed, model.given));
            prop_assert!(after.attempt <= BOUNDS.attempts_max && after.failures <= BOUNDS.failures_max);
            if after.phase == Phase::Failed || after.phase == Phase::Cancelled {
                prop_assert!(before.phase.is_closing(), "it ended without anything being removed");
            }
            if model.committed {
                prop_assert!(!matches!(after.phase, Phase::Queued | Phase::Running), "committed tracks are made again");
            }
            prop_assert!(after.phase != Phase::Publishing || model.committed);
            standing = after;
        }
    }

    /// From anywhere, workers that do their work bring a job to its end in a bounded number of steps.
    #[test]
    fn every_life_can_be_brought_to_an_end(steps in proptest::collection::vec(steps(), 0..60)) {
        let mut standing = Standing::new(0);
        let mut now_us = 0;
        for step in steps {
            let number = standing.lease_number;
            let event = match step {
                Step::Wait { seconds } => {
                    now_us += seconds * SECOND_US;
                    continue;
                }
                Step::Claim { worker } => Event::Claim { owner: worker.to_string() },
                Step::Report { report, .. } => Event::Held { number, report },
                Step::Expire => Event::Expire,
                Step::Restart { worker } => Event::Restart { owner: worker.to_string() },
                Step::Cancel => Event::Cancel,
            };
            standing = standing.after(event, now_us, &BOUNDS).unwrap_or(standing);
        }
        for _ in 0..8 {
            now_us += 60 * SECOND_US;
            let number = standing.lease_number;
            let events = [
                Event::Expire,
                Event::Claim { owner: "9".to_owned() },
                Event::Held { number: number + 1, report: Report::Commit },
                Event::Held { number: number + 1, report: Report::Succeed },
                Event::Held { number: number + 1, report: Report::Interrupt },
            ];
            for event in events {
                standing = standing.after(event, now_us, &BOUNDS).unwrap_or(standing);
            }
        }
        prop_assert!(standing.phase.is_final(), "{:?}", standing.phase);
    }
}

const RECORDED: Bounds = Bounds { leaves: Leaves::Nothing, ..BOUNDS };

fn event() -> impl Strategy<Value = Event> {
    let owner = || proptest::sample::select(vec!["one".to_owned(), "two".to_owned()]);
    let fault = proptest::sample::select(vec![Fault::Input, Fault::Environment]);
    let report = prop_oneof![
        Just(Report::Alive),
        Just(Report::Commit),
        Just(Report::Succeed),
        fault.prop_map(|fault| Report::Fail { fault, reason: "why".to_owned() }),
        Just(Report::Interrupt),
        Just(Report::Close),
        Just(Report::Postpone),
    ];
    prop_oneof![
        3 => owner().prop_map(|owner| Event::Claim { owner }),
        5 => (0_u64..7, report).prop_map(|(number, report)| Event::Held { number, report }),
        1 => Just(Event::Expire),
        1 => owner().prop_map(|owner| Event::Restart { owner }),
        1 => Just(Event::Cancel),
    ]
}

proptest! {
    /// Of work that leaves nothing, whatever happens in whatever order: one holder at a time, numbers that are never given twice,
    /// bounds that hold, ends that are ends, and no phase that is about what is left.
    #[test]
    fn work_that_leaves_nothing_is_always_in_order(events in proptest::collection::vec((event(), 0_i64..40_000_000), 0..60)) {
        let (mut job, mut now_us) = (Standing::new(0), 0);
        for (event, later_us) in events {
            now_us += later_us;
            let before = job.clone();
            let Ok(after) = before.after(event.clone(), now_us, &RECORDED) else { continue };
            prop_assert!(!before.phase.is_final(), "{:?} after {:?}", event, before);
            prop_assert!(!after.phase.is_closing() && after.phase != Phase::Publishing, "{:?}", after);
            prop_assert_eq!(after.lease.is_some(), after.phase == Phase::Running);
            prop_assert!(after.attempt <= RECORDED.attempts_max && after.failures <= RECORDED.failures_max);
            match &event {
                Event::Claim { .. } => {
                    prop_assert!(before.lease.is_none() && before.due_at_us <= now_us);
                    prop_assert_eq!(after.lease_number, before.lease_number + 1);
                }
                Event::Held { number, .. } => prop_assert_eq!(*number, before.lease_number),
                Event::Expire => prop_assert!(before.lease.is_some_and(|lease| lease.until_us <= now_us)),
                Event::Restart { owner } => prop_assert!(before.lease.is_some_and(|lease| lease.owner == *owner)),
                Event::Cancel => prop_assert!(after.cancel_requested),
            }
            // Whoever wants it cancelled gets that, or what was made already.
            if before.cancel_requested && after.lease.is_none() {
                prop_assert!(matches!(after.phase, Phase::Cancelled | Phase::Succeeded), "{:?}", after);
            }
            job = after;
        }
    }
}

#[test]
fn without_remains_pauses_grow_to_their_bound_and_a_fault_of_the_input_is_final() {
    let fail = |job: &Standing, fault, now_us| {
        let job = job.after(Event::Claim { owner: "one".to_owned() }, now_us, &RECORDED).unwrap();
        let report = Report::Fail { fault, reason: "why".to_owned() };
        job.after(Event::Held { number: job.lease_number, report }, now_us, &RECORDED).unwrap()
    };
    let first = fail(&Standing::new(0), Fault::Environment, 0);
    let second = fail(&first, Fault::Environment, first.due_at_us);
    assert_eq!((first.due_at_us, second.due_at_us - first.due_at_us), (SECOND_US, 2 * SECOND_US));
    assert_eq!(fail(&second, Fault::Environment, second.due_at_us).phase, Phase::Failed);
    assert_eq!(fail(&Standing::new(0), Fault::Input, 0).phase, Phase::Failed);
    assert_eq!(Standing::new(0).after(Event::Cancel, 0, &RECORDED).unwrap().phase, Phase::Cancelled);
}

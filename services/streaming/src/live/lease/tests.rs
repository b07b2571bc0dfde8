//! The lease against a model of what it runs on: a document with a tag, requests that take their time, answers that get lost, processes that are
//! stopped, and clocks that do not run alike.

use proptest::prelude::*;

use super::*;

const LIFE: Duration = Duration::from_secs(3);
const MEMBERS: usize = 3;
/// How much faster each clock is, parts per thousand.
const FASTER: [u64; MEMBERS] = [0, 30, 60];

/// What happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// So much time passes, milliseconds.
    Pass(u64),
    /// It begins its next request, if it has none and is not stopped.
    Begin(usize),
    /// Its request comes to the store.
    Land(usize),
    /// The answer comes back, or it is not heard.
    Answer(usize, bool),
    /// It does not run until it does again.
    Stop(usize),
    Wake(usize),
}

struct Request {
    action: Action,
    asked: Moment,
    answer: Option<Event>,
}

struct Member {
    lease: Lease,
    request: Option<Request>,
    /// What it gave up waiting for, and what may come to the store all the same.
    late: Vec<Request>,
    /// What it does at once after that.
    then: Option<Action>,
    is_stopped: bool,
}

struct Model {
    now_ms: u64,
    document: Option<(Term, String)>,
    writes: u64,
    members: Vec<Member>,
}

impl Model {
    fn new() -> Self {
        let address = "127.0.0.1:1".parse().unwrap();
        let member = |_| {
            let lease = Lease::new(Uuid::new_v4(), address, LIFE);
            Member { lease, request: None, late: Vec::new(), then: None, is_stopped: false }
        };
        Self { now_ms: 0, document: None, writes: 0, members: (0..MEMBERS).map(member).collect() }
    }

    /// By the clock of one of them.
    fn clock(&self, member: usize) -> Moment {
        Duration::from_micros(self.now_ms * (1_000 + FASTER[member]))
    }

    fn owners(&self) -> usize {
        let is_owner = |(at, member): &(usize, &Member)| member.lease.holder(self.clock(*at)) == Holder::Own;
        self.members.iter().enumerate().filter(is_owner).count()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Pass(ms) => self.now_ms += ms,
            Step::Stop(at) => self.members[at].is_stopped = true,
            Step::Wake(at) => self.members[at].is_stopped = false,
            Step::Begin(at) => {
                let asked = self.clock(at);
                let member = &mut self.members[at];
                if member.request.is_none() && !member.is_stopped {
                    let action = member.then.take().unwrap_or_else(|| member.lease.next());
                    member.request = Some(Request { action, asked, answer: None });
                }
            }
            // What was sent comes to the store whatever became of who sent it.
            Step::Land(at) => {
                let came = self.clock(at);
                let Member { request, late, .. } = &mut self.members[at];
                let late = late.pop();
                let request = late.as_ref().or(request.as_ref().filter(|request| request.answer.is_none()));
                let Some(Request { action, asked, .. }) = request else { return };
                let answer = match action.clone() {
                    Action::Look => Event::Found { at: came, found: self.document.clone() },
                    Action::Write { over, .. } if over != self.document.as_ref().map(|(_, tag)| tag.clone()) => {
                        Event::Refused
                    }
                    Action::Write { term, .. } => {
                        self.writes += 1;
                        let tag = format!("{}", self.writes);
                        self.document = Some((term.clone(), tag.clone()));
                        Event::Written { asked: *asked, term, tag }
                    }
                };
                if late.is_none() {
                    self.members[at].request.as_mut().unwrap().answer = Some(answer);
                }
            }
            // It is known from when the answer came.
            Step::Answer(at, is_heard) if !self.members[at].is_stopped => {
                let now = self.clock(at);
                let member = &mut self.members[at];
                let Some(request) = member.request.take_if(|request| !is_heard || request.answer.is_some()) else {
                    return;
                };
                let answer = match request.answer {
                    Some(Event::Found { found, .. }) if is_heard => Event::Found { at: now, found },
                    Some(answer) if is_heard => answer,
                    Some(_) => Event::Unknown,
                    None => {
                        member.late.push(request);
                        Event::Unknown
                    }
                };
                member.then = member.lease.take(answer).0;
            }
            Step::Answer(..) => {}
        }
    }

    /// All of one of them's turn, without a fault.
    fn turn(&mut self, at: usize) {
        for _ in 0..2 {
            self.step(Step::Begin(at));
            self.step(Step::Land(at));
            self.step(Step::Answer(at, true));
            if self.members[at].then.is_none() {
                return;
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Step> {
    let member = 0..MEMBERS;
    prop_oneof![
        4 => (0_u64..900).prop_map(Step::Pass),
        1 => (900_u64..9_000).prop_map(Step::Pass),
        6 => member.clone().prop_map(Step::Begin),
        6 => member.clone().prop_map(Step::Land),
        6 => (member.clone(), prop::bool::weighted(0.9)).prop_map(|(at, heard)| Step::Answer(at, heard)),
        1 => member.clone().prop_map(Step::Stop),
        2 => member.prop_map(Step::Wake),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn there_are_never_two_owners_and_a_dead_one_is_replaced(steps in prop::collection::vec(steps(), 1..300)) {
        let mut model = Model::new();
        let mut generation = 0;
        for step in steps {
            model.step(step);
            prop_assert!(model.owners() <= 1, "two at {} ms after {step:?}", model.now_ms);
            let now = model.document.as_ref().map_or(0, |(term, _)| term.generation);
            prop_assert!(now >= generation, "a generation comes back");
            generation = now;
        }
        // Whoever has it now dies, and what was on its way with it; the others run without a fault.
        let dead = (0..MEMBERS).find(|at| model.members[*at].lease.holder(model.clock(*at)) == Holder::Own).unwrap_or(0);
        for at in 0..MEMBERS {
            while !model.members[at].late.is_empty() {
                model.step(Step::Land(at));
            }
            model.step(Step::Land(at));
            model.members[at].request = None;
            model.members[at].then = None;
            model.members[at].is_stopped = at == dead;
        }
        let beat_ms = u64::try_from((LIFE / BEATS).as_millis()).unwrap();
        let died_ms = model.now_ms;
        let is_replaced = |model: &Model| {
            (0..MEMBERS).any(|at| at != dead && model.members[at].lease.holder(model.clock(at)) == Holder::Own)
        };
        while !is_replaced(&model) {
            prop_assert!(model.now_ms - died_ms <= 3_375 + 3 * beat_ms, "nobody has it {} ms later", model.now_ms - died_ms);
            for at in (0..MEMBERS).filter(|at| *at != dead) {
                model.turn(at);
            }
            model.step(Step::Pass(beat_ms));
            prop_assert!(model.owners() <= 1);
        }
    }
}

#[test]
fn what_is_given_back_is_taken_at_the_next_look_and_a_clock_that_jumps_ends_it() {
    let mut model = Model::new();
    model.turn(0);
    assert_eq!(model.members[0].lease.holder(model.clock(0)), Holder::Own);
    model.turn(1);
    let address = "127.0.0.1:1".parse().unwrap();
    assert_eq!(model.members[1].lease.holder(model.clock(1)), Holder::Other(address));
    // Stopped for as long as it has it: it knows so as soon as it wakes.
    model.step(Step::Pass(3_000));
    assert_eq!(model.members[0].lease.holder(model.clock(0)), Holder::Nobody);
    assert_eq!(model.members[1].lease.holder(model.clock(1)), Holder::Nobody);
    // Nobody took it meanwhile: it is its own for longer.
    model.turn(0);
    assert_eq!(model.members[0].lease.holder(model.clock(0)), Holder::Own);
    let Some(Action::Write { term, over }) = model.members[0].lease.give_back() else { panic!("it has it") };
    assert_eq!(model.document.as_ref().map(|(_, tag)| tag.clone()), over);
    model.document = Some((term, "given back".to_owned()));
    model.turn(1);
    assert_eq!(model.members[1].lease.holder(model.clock(1)), Holder::Own);
}

//! `flame quality test --record`: tells the quality service what each suite found, so that it is seen over time. What was measured is
//! said and judged as without it: a service that is away hides no failure. What could not be kept in any case is refused before it is measured.

use std::time::Instant;

use anyhow::{anyhow, ensure};
use flame_api::quality::jobs::{GATE_MAX_BYTES, GATES_MAX, GateVerdict};
use flame_api::quality::suites::{
    CASES_MAX, CaseOutcome, CaseResult, NAME_MAX_CHARS, NewSuiteRun, RUN_MAX_BYTES, SAID_MAX_CHARS,
};
use flame_quality::baseline::Against;
use flame_quality::suite::{Case, Suite};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::args::Global;
use crate::connection;
use crate::exit::Exit;

/// What ran a suite.
const TOOL: &str = concat!("flame ", env!("CARGO_PKG_VERSION"));

/// A suite that is run.
pub(super) struct Begun {
    suite: String,
    at: OffsetDateTime,
    since: Instant,
}

// === impl Begun ===

impl Begun {
    /// The suite `suite` begins now.
    pub(super) fn now(suite: &str) -> Self {
        Self { suite: suite.to_owned(), at: OffsetDateTime::now_utc(), since: Instant::now() }
    }

    /// What was found until now.
    pub(super) fn ended(self, cases: Vec<CaseResult>) -> NewSuiteRun {
        let Self { suite, at: begun_at, since } = self;
        let time_s = since.elapsed().as_secs_f64();
        NewSuiteRun { id: Uuid::now_v7(), suite, begun_at, time_s, tool: TOOL.to_owned(), cases }
    }
}

/// As much of a sentence as is kept.
pub(super) fn cut(said: &str) -> String {
    said.chars().take(SAID_MAX_CHARS).collect()
}

/// Whether runs of these suites can be kept: said before anything is measured. How many pairs of files a case has is not known yet.
///
/// # Errors
/// What of which suite is too long, and how long it may be.
pub(super) fn check(suites: &[&Suite]) -> anyhow::Result<()> {
    for suite in suites {
        let name = &suite.suite;
        let is_name = |text: &str, most: usize| !text.trim().is_empty() && text.chars().count() <= most;
        ensure!(
            is_name(name, NAME_MAX_CHARS),
            "the suite `{name}` cannot be kept: its name has at most {NAME_MAX_CHARS} characters"
        );
        for case in &suite.cases {
            let most = 4 * NAME_MAX_CHARS;
            ensure!(
                is_name(&case.name, most),
                "case `{}` cannot be kept: its name has at most {most} characters",
                case.name
            );
            let gates = gates(case);
            let is_short = gates.len() <= GATES_MAX && gates.iter().all(|gate| gate.len() <= GATE_MAX_BYTES);
            ensure!(
                is_short,
                "case `{}` cannot be kept: it has at most {GATES_MAX} gates of {GATE_MAX_BYTES} bytes",
                case.name
            );
        }
        let least = size(&least(suite))?;
        ensure!(
            least <= RUN_MAX_BYTES,
            "a run of the suite `{name}` would have at least {least} bytes; {RUN_MAX_BYTES} can be kept: make two suites of it"
        );
    }
    Ok(())
}

/// Has all of them kept: one that is not keeps no other from it.
pub(super) async fn tell(global: &Global, runs: Vec<NewSuiteRun>) -> Result<(), Exit> {
    let client = connection::client(global);
    let mut troubles = Vec::new();
    for run in runs {
        let (suite, cases) = (run.suite.clone(), run.cases.len());
        if cases > CASES_MAX {
            troubles.push(format!("the suite `{suite}` has {cases} cases; {CASES_MAX} can be kept"));
            continue;
        }
        if let Err(why) = client.note_suite_run(&shortened(run)).await {
            let why = anyhow::Error::new(why).context(format!("have the run of the suite `{suite}` kept"));
            troubles.push(format!("{why:#}"));
        }
    }
    if troubles.is_empty() { Ok(()) } else { Err(Exit::not_carried_out(anyhow!(troubles.join("; ")))) }
}

/// All gates of a case, as they are kept.
fn gates(case: &Case) -> Vec<String> {
    case.gates.iter().cloned().chain(case.against.iter().map(Against::name)).collect()
}

/// The shortest run of a suite: no case says anything.
fn least(suite: &Suite) -> NewSuiteRun {
    let verdict = |gate| GateVerdict { gate, measured: None, passed: true, why: None };
    let result = |case: &Case| CaseResult {
        case: case.name.clone(),
        outcome: CaseOutcome::Passed,
        time_s: 0.0,
        must_fail: case.must_fail,
        said: String::new(),
        gates: gates(case).into_iter().map(verdict).collect(),
    };
    Begun::now(&suite.suite).ended(suite.cases.iter().map(result).collect())
}

/// A run as it is kept: where it is too long, what passed says nothing, and then nothing does; figures stay.
fn shortened(mut run: NewSuiteRun) -> NewSuiteRun {
    for only_passed in [true, false] {
        if size(&run).is_ok_and(|bytes| bytes <= RUN_MAX_BYTES) {
            break;
        }
        for case in run.cases.iter_mut().filter(|case| !only_passed || case.outcome == CaseOutcome::Passed) {
            case.said.clear();
            for gate in &mut case.gates {
                gate.why = None;
            }
        }
    }
    run
}

/// Bytes of a run as JSON.
fn size(run: &NewSuiteRun) -> serde_json::Result<usize> {
    serde_json::to_vec(run).map(|body| body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A suite of `cases` cases whose names are made of `name`, each with a gate.
    fn suite(cases: usize, name: &str) -> Suite {
        let case = |at: usize| {
            format!(
                "  - name: '{at} {name}'\n    subject: {{ files: {{ distorted: '*.mp4' }} }}\n    gates: [black.count <= 0]\n"
            )
        };
        let cases: String = (0..cases).map(case).collect();
        Suite::parse(&format!("suite: long\nabout: a test\ncases:\n{cases}")).expect("a suite")
    }

    #[test]
    fn what_cannot_be_kept_is_said_before_it_is_measured() {
        assert!(check(&[&suite(500, "a"), &suite(1, &"x".repeat(398))]).is_ok());
        let refused = |suite: Suite| check(&[&suite]).expect_err("it is refused").to_string();
        assert!(refused(suite(1, &"x".repeat(399))).contains("400 characters"));
        assert!(refused(suite(500, &"\u{fc}".repeat(380))).contains("bytes; 262144 can be kept"));
        let mut named = suite(1, "a");
        named.suite = "x".repeat(101);
        assert!(refused(named).contains("100 characters"));
    }

    #[test]
    fn a_run_that_is_too_long_keeps_its_figures_and_what_did_not_pass_says_why() {
        let mut run = least(&suite(500, "a"));
        run.cases[0].outcome = CaseOutcome::Failed;
        assert_eq!(shortened(run.clone()), run);
        for case in &mut run.cases {
            (case.said, case.gates[0].measured) = ("\u{fc}".repeat(SAID_MAX_CHARS), Some(1.5));
        }
        let short = shortened(run.clone());
        assert!(size(&short).is_ok_and(|bytes| bytes <= RUN_MAX_BYTES));
        assert_eq!((&short.cases[0], short.cases[1].said.as_str()), (&run.cases[0], ""));
        assert!(short.cases.iter().all(|case| case.gates[0].measured == Some(1.5)));
    }
}

//! `flame quality test --record`: tells the quality service what each suite found, so that it is seen over time. What was measured is
//! said and judged as without it: a service that is away hides no failure.

use std::time::Instant;

use anyhow::Context;
use flame_api::quality::suites::{CASES_MAX, CaseResult, NewSuiteRun, SAID_MAX_CHARS};
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

/// Has all of them kept.
pub(super) async fn tell(global: &Global, runs: &[NewSuiteRun]) -> Result<(), Exit> {
    let client = connection::client(global);
    for run in runs {
        if run.cases.len() > CASES_MAX {
            let reason = format!("the suite `{}` has {} cases; {CASES_MAX} can be kept", run.suite, run.cases.len());
            return Err(Exit::not_carried_out(anyhow::anyhow!(reason)));
        }
        let kept = client.note_suite_run(run).await;
        kept.with_context(|| format!("have the run of the suite `{}` kept", run.suite))
            .map_err(Exit::not_carried_out)?;
    }
    Ok(())
}

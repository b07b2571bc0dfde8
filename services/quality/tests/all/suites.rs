//! What runs of suites found is kept: once, across a restart, within bounds.

use flame_api::quality::jobs::GateVerdict;
use flame_api::quality::suites::{CaseOutcome, CaseResult, NewSuiteRun, SuiteRunQuery};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::world::World;

/// A run of `suite` of two cases: one whose gate measured `vmaf` and holds, one of which nothing can be said.
pub fn run_of(suite: &str, vmaf: f64) -> NewSuiteRun {
    let gate = GateVerdict { gate: "vmaf.p5 >= 1".to_owned(), measured: Some(vmaf), passed: true, why: None };
    let case = |case: &str, outcome, gates| CaseResult {
        case: case.to_owned(),
        outcome,
        time_s: 0.5,
        must_fail: false,
        said: "said".to_owned(),
        gates,
    };
    NewSuiteRun {
        id: Uuid::now_v7(),
        suite: suite.to_owned(),
        begun_at: OffsetDateTime::UNIX_EPOCH,
        time_s: 1.0,
        tool: "flame 0".to_owned(),
        cases: vec![case("crf 23", CaseOutcome::Passed, vec![gate]), case("gone", CaseOutcome::NotMeasured, vec![])],
    }
}

fn query(suite: &str, limit: u32, cursor: Option<String>) -> SuiteRunQuery {
    SuiteRunQuery { suite: suite.to_owned(), cursor, limit: Some(limit) }
}

#[tokio::test]
async fn runs_are_kept_once_newest_first_and_across_a_restart() {
    let mut world = World::start().await;
    let mut runs: Vec<_> = (0..3).map(|at| run_of("a suite: ü/?", f64::from(at))).collect();
    // What is said of a suite is said of its newest run, not of the one with the most cases of a kind.
    let failed = runs[2].cases.iter_mut().map(|case| case.outcome = CaseOutcome::Failed).count();
    assert_eq!(failed, 2);
    runs[2].cases[1].must_fail = true;
    for run in &runs {
        assert_eq!(world.client.note_suite_run(run).await.unwrap().run, *run);
    }
    assert_eq!(world.client.note_suite_run(&runs[1]).await.unwrap().run, runs[1], "a repeated call changes nothing");
    let mut other = runs[1].clone();
    other.time_s = 2.0;
    assert_eq!(world.client.note_suite_run(&other).await.unwrap_err().status(), Some(409));
    world.client.note_suite_run(&run_of("another", 1.0)).await.unwrap();

    world.quality.take().expect("it runs").stop().await;
    world.start_service().await;
    let suites = world.client.suites().await.unwrap().items;
    let said: Vec<_> =
        suites.iter().map(|one| (one.suite.as_str(), one.runs, one.passed, one.failed, one.not_measured)).collect();
    assert_eq!(said, [("another", 1, 1, 0, 1), ("a suite: ü/?", 3, 0, 2, 0)]);
    let first = world.client.suite_runs(&query("a suite: ü/?", 2, None)).await.unwrap();
    let second = world.client.suite_runs(&query("a suite: ü/?", 2, first.next_cursor.clone())).await.unwrap();
    let told: Vec<_> = first.items.into_iter().chain(second.items).map(|one| one.run).collect();
    assert_eq!(told, [runs[2].clone(), runs[1].clone(), runs[0].clone()]);
    assert_eq!(second.next_cursor, None);
}

#[tokio::test]
async fn more_than_is_kept_is_forgotten_of_each_tenant_by_itself() {
    let world = World::start_with(|config| (config.suites.suites_max, config.suites.runs_max) = (2, 3)).await;
    let (acme, other) = (world.client.for_tenant("acme"), world.client.for_tenant("other"));
    other.note_suite_run(&run_of("old", 0.0)).await.unwrap();
    for suite in ["old", "one", "two"] {
        for at in 0..4 {
            acme.note_suite_run(&run_of(suite, f64::from(at))).await.unwrap();
        }
    }
    let kept = |suites: Vec<flame_api::quality::suites::SuiteSummary>| {
        suites.into_iter().map(|one| (one.suite, one.runs)).collect::<Vec<_>>()
    };
    assert_eq!(kept(acme.suites().await.unwrap().items), [("two".to_owned(), 3), ("one".to_owned(), 3)]);
    assert_eq!(kept(other.suites().await.unwrap().items), [("old".to_owned(), 1)]);
    assert_eq!(acme.suite_runs(&query("old", 5, None)).await.unwrap().items, []);
}

#[tokio::test]
async fn what_is_too_long_is_refused_with_its_field() {
    let world = World::start().await;
    let refused = async |change: fn(&mut NewSuiteRun)| {
        let mut run = run_of("a", 1.0);
        change(&mut run);
        let why = world.client.note_suite_run(&run).await.unwrap_err();
        (why.status(), why.to_string())
    };
    for (field, change) in [
        ("suite", (|run| run.suite = " ".to_owned()) as fn(&mut NewSuiteRun)),
        ("tool", |run| run.tool = "x".repeat(101)),
        ("cases", |run| run.cases.clear()),
        ("cases", |run| run.cases = vec![run.cases[0].clone(); 501]),
        ("cases", |run| run.cases[0].said = "x".repeat(501)),
        ("time_s", |run| run.time_s = -1.0),
    ] {
        let (status, why) = refused(change).await;
        assert!(status == Some(422) && why.contains(field), "{field}: {status:?} {why}");
    }
    let (status, _) = refused(|run| run.cases[0].said = "x".repeat(300 * 1024)).await;
    assert_eq!(status, Some(413));
    assert_eq!(world.client.suites().await.unwrap().items, []);
}

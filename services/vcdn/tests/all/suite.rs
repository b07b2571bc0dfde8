//! The public tests of HTTP caches (npm `http-cache-tests`), through a real front and a real router. What is not passed stands in
//! `tests/http-cache-tests.md` with its reason; the test fails when the table no longer says what came of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use flame_api::Client;
use flame_api::router::Registration;
use flame_vcdn::config::FrontConfig;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use url::Url;

use crate::world::World;

/// The suite takes about half a minute, most of it waiting for what has to become stale.
const PATIENCE: Duration = Duration::from_secs(300);

/// What came of one test.
#[derive(Debug, Deserialize)]
struct Verdict {
    id: String,
    kind: String,
    outcome: String,
    message: String,
}

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    outcome: String,
    reason: String,
}

fn table() -> PathBuf {
    flame_test_kit::repository().join("services/vcdn/tests/http-cache-tests.md")
}

/// `| id | kind | outcome | reason |`, and the sums in the text before.
fn read_table(text: &str) -> BTreeMap<String, Row> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = text.lines().filter(|line| line.starts_with("| `")).map(cells);
    rows.map(|cells| {
        let [id, _, outcome, reason] = cells.try_into().expect("four cells in a row");
        (id.trim_matches('`').to_owned(), Row { outcome, reason })
    })
    .collect()
}

/// Sums of the kinds that can be failed, as the table says them.
fn sums(verdicts: &[Verdict]) -> String {
    let of = |kind: &str| {
        let all = verdicts.iter().filter(|verdict| verdict.kind == kind);
        let passed = all.clone().filter(|verdict| matches!(verdict.outcome.as_str(), "pass" | "yes")).count();
        format!("{passed} of {} {kind}", all.count())
    };
    ["required", "optimal"].map(of).join(", ")
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("the suite ends in time");
    line.unwrap().expect("the suite says something")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_suite_comes_to_what_the_table_says() {
    let world = World::with(|config| {
        let mut front = FrontConfig::new("cdn", "suite");
        // The suite tells its origin by fields which request it is; the others are those that it varies by.
        front.fields =
            ["Req-Num", "Test-ID", "Test-Name", "Foo", "Bar", "Baz", "Other", "Abc"].map(str::to_owned).into();
        front.writes = true;
        config.fronts = vec![front];
    })
    .await;
    let root = flame_test_kit::repository();
    let judges = root.join("media-tests/judges");
    let set_up = std::process::Command::new(judges.join("set-up")).status().unwrap();
    assert!(set_up.success(), "the judges cannot be set up");
    let mut suite = Command::new(root.join("tools/node"))
        .args(["node", "--no-warnings"])
        .arg(judges.join("cache.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(suite.stdout.take().unwrap()).lines();
    let port: u16 = line(&mut lines).await.parse().unwrap();
    let registration = Registration::new(([127, 0, 0, 1], port).into(), 1, 60_000);
    let router = Url::parse(&format!("http://{}", world.router.address())).unwrap();
    Client::new(router, None).register("suite", "one", &registration).await.unwrap();
    let mut input = suite.stdin.take().unwrap();
    input.write_all(format!("http://{}\n", world.edge()).as_bytes()).await.unwrap();
    let verdicts: Vec<Verdict> = serde_json::from_str(&line(&mut lines).await).unwrap();
    assert!(verdicts.len() > 300, "{} tests", verdicts.len());

    let text = std::fs::read_to_string(table()).unwrap_or_default();
    let mut rows = read_table(&text);
    let mut wrong = Vec::new();
    for verdict in &verdicts {
        let Verdict { id, kind, outcome, message } = verdict;
        let row = rows.remove(id);
        match (row, matches!(outcome.as_str(), "pass" | "yes")) {
            (None, true) => {}
            // One of several, where the machine's speed decides.
            (Some(row), _) if row.outcome.split(" or ").any(|one| one == outcome) && !row.reason.is_empty() => {}
            (row, _) => wrong.push(format!("| `{id}` | {kind} | {outcome} | {message} | the table: {row:?}")),
        }
    }
    wrong.extend(rows.into_keys().map(|id| format!("{id} is in the table and not in the suite")));
    assert!(wrong.is_empty(), "the table is wrong about {} tests:\n{}", wrong.len(), wrong.join("\n"));
    let sums = sums(&verdicts);
    assert!(text.contains(&sums), "the table does not say: {sums}");
}

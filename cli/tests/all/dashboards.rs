//! The dashboards in `templates/grafana`: what their panels and variables ask is asked of CLMC after real traffic, in the form
//! that Grafana sends it, and all of it has something to show.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flame_test_kit::{Bundle, eventually, repository};
use serde_json::Value;

/// Time until all of it is there on a busy machine: round-trip times are written every 10 s.
const WAIT: Duration = Duration::from_secs(90);
/// How far back is asked.
const BACK_MS: u128 = 15 * 60 * 1000;

/// The dashboards, by their files.
fn dashboards() -> Vec<(String, Value)> {
    let folder = repository().join("templates/grafana/dashboards");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, dashboard)
    };
    paths.into_iter().map(read).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// What variables stand for where all their values are chosen.
fn variables(dashboard: &Value) -> Vec<(&str, &str)> {
    let asked = list(&dashboard["templating"]["list"]).iter().filter(|variable| variable["type"] == "query");
    asked.map(|variable| (variable["name"].as_str().unwrap(), variable["allValue"].as_str().unwrap())).collect()
}

/// All questions of a dashboard: of its variables, and of its panels.
fn questions(dashboard: &Value) -> Vec<String> {
    let variables = list(&dashboard["templating"]["list"]).iter().filter(|variable| variable["type"] == "query");
    let of_variables = variables.map(|variable| &variable["query"]);
    let targets = list(&dashboard["panels"]).iter().flat_map(|panel| list(&panel["targets"]));
    let of_panels = targets.map(|target| &target["query"]);
    of_variables.chain(of_panels).map(|question| question.as_str().unwrap().to_owned()).collect()
}

/// A question as Grafana sends it: in windows of a second, with all values of its variables.
fn sent(question: &str, dashboard: &Value) -> String {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let filter = format!("time >= {}ms and time <= {now_ms}ms", now_ms - BACK_MS);
    let mut text = question.replace("$timeFilter", &filter).replace("$__interval", "1s");
    for (name, all) in variables(dashboard) {
        text = text.replace(&format!("${name}"), all);
    }
    // What is left is the end of a regular expression.
    assert!(!text.replace("$/", "/").contains('$'), "{text} names a variable that the dashboard does not have");
    text
}

/// Whether the answer to a question has a value besides its times and keys.
fn is_shown(bundle: &Bundle, question: &str) -> Result<(), String> {
    let ran = bundle.flame(&["clmc", "query", question, "--json"]);
    let answer: Value = serde_json::from_slice(&ran.stdout).unwrap_or_default();
    let tables = list(&answer["results"][0]["series"]);
    let mut rows = tables.iter().flat_map(|table| list(&table["values"]));
    if ran.status.success() && rows.any(|row| list(row).iter().skip(1).any(|cell| !cell.is_null())) {
        return Ok(());
    }
    Err(format!("{question}\n{answer}\n{}", String::from_utf8_lossy(&ran.stderr)))
}

/// Whether this machine has what a question is about: some have no interface but their loopback, or show no disk.
fn has_it(question: &str) -> bool {
    let text = |name: &str| std::fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
    if question.contains("FROM \"net\"") {
        return text("net/dev").lines().any(|line| line.contains(':') && !line.trim_start().starts_with("lo:"));
    }
    if question.contains("FROM \"diskio\"") {
        let is_used = |words: &[&str]| words.len() > 7 && (words[3] != "0" || words[7] != "0");
        let is_real = |words: &[&str]| !words[2].starts_with("ram") && !words[2].starts_with("loop");
        return text("diskstats").lines().any(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            is_used(&words) && is_real(&words)
        });
    }
    true
}

#[tokio::test]
async fn every_panel_and_every_variable_has_something_to_show() {
    let bundle = Bundle::up_with(&["--report-every", "500ms"]).await;
    assert!(bundle.flame(&["asset", "list"]).status.success());
    let dashboards = dashboards();
    assert!(dashboards.len() >= 3, "{}", dashboards.len());
    for (file, dashboard) in &dashboards {
        let questions = questions(dashboard);
        assert!(questions.len() > list(&dashboard["panels"]).len(), "{file}: {questions:?}");
        for question in questions.iter().filter(|question| has_it(question)) {
            eventually(WAIT, || {
                let outcome = is_shown(&bundle, &sent(question, dashboard));
                async move { outcome.map_err(|reason| format!("{file}: {reason}")) }
            })
            .await;
        }
    }
}

//! The scrape file in `templates/prometheus`, as Debian's Prometheus takes it: it finds every part, and what they say is there.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use flame_test_kit::{Bundle, Scratch, eventually, loud_skip, ports, repository};
use serde_json::Value;
use tokio::process::Command;

const PROMETHEUS: &str = "/usr/bin/prometheus";
/// The router in the file.
const ROUTER: &str = "127.0.0.1:8080";
const PARTS: [&str; 9] =
    ["clmc", "ingest", "metadata", "orchestrator", "quality", "router", "streaming", "transcode", "vcdn"];
/// Time for a start and two rounds, which are 10 s apart, on a busy machine.
const WAIT: Duration = Duration::from_secs(120);

async fn asked(url: &str, query: &[(&str, &str)]) -> Result<Value, String> {
    let answer = reqwest::Client::new().get(url).query(query).send().await.map_err(|error| error.to_string())?;
    answer.json().await.map_err(|error| error.to_string())
}

/// What targets are called, and what is wrong with each; nothing, where it was asked and answered.
fn targets(answer: &Value) -> BTreeMap<String, String> {
    let active = answer["data"]["activeTargets"].as_array().map(Vec::as_slice).unwrap_or_default();
    let told = active.iter().map(|target| {
        let name = target["labels"]["instance"].as_str().unwrap_or_default().to_owned();
        let wrong = if target["health"] == "up" { String::new() } else { target["lastError"].to_string() };
        (name, wrong)
    });
    told.collect()
}

#[tokio::test]
async fn prometheus_finds_every_part_by_the_scrape_file() {
    if !std::fs::exists(PROMETHEUS).unwrap_or(false) {
        return loud_skip("prometheus is not installed (tools/deps test)");
    }
    let bundle = Bundle::up().await;
    assert!(bundle.flame(&["asset", "list"]).status.success());
    let folder = Scratch::new("prometheus");
    let text = std::fs::read_to_string(repository().join("templates/prometheus/prometheus.yaml")).unwrap();
    assert_eq!(text.matches(ROUTER).count(), 2, "{text}");
    let file = folder.join("prometheus.yaml");
    std::fs::write(&file, text.replace(ROUTER, bundle.router().trim_start_matches("http://"))).unwrap();
    let [port] = ports::free_tcp();
    let mut command = Command::new(PROMETHEUS);
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let _prometheus = command.spawn().unwrap();
    let base = format!("http://127.0.0.1:{port}/api/v1");
    let wanted: BTreeMap<String, String> = PARTS.iter().map(|part| ((*part).to_owned(), String::new())).collect();
    eventually(WAIT, || async {
        let found = targets(&asked(&format!("{base}/targets"), &[]).await?);
        if found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    eventually(WAIT, || async {
        let query = r#"sum(flame_http_requests_total{instance="metadata"})"#;
        let found = asked(&format!("{base}/query"), &[("query", query)]).await?;
        let count = found["data"]["result"][0]["value"][1].as_str().and_then(|count| count.parse::<f64>().ok());
        if count.is_some_and(|count| count >= 1.0) { Ok(()) } else { Err(found.to_string()) }
    })
    .await;
}

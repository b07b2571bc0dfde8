//! A service function of somebody's own: the shipped example is deployed, routed to, asked by a surrogate, scaled by what it measures, and
//! keeps every clause of the contract; one that keeps none is told which.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use flame_test_kit::{Bundle, Scratch, eventually, repository};
use serde_json::Value;

use crate::world::flame;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_is_deployed_found_scaled_by_what_it_measures_and_keeps_the_contract() {
    let bundle = Bundle::up_with(&["--report-every", "1s", "--any-program"]).await;
    let folder = repository().join("templates/examples/own-service");
    let file = |name: &str| folder.join(name).display().to_string();
    let lines = std::fs::read_to_string(folder.join("greeter.py")).unwrap().lines().count();
    assert!(lines < 60, "{lines} lines");
    let program = format!("program={}", file("greeter.py"));
    let template = file("template.yaml");
    let deployed = bundle.json(&[
        "template",
        "deploy",
        &template,
        "--alerts",
        &file("alerts.yaml"),
        "--input",
        &program,
        "--wait",
    ]);
    let url = format!("{}hello", deployed["urls"][0].as_str().unwrap());
    let hello = async |url: &str| {
        let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
        let (status, cache) = (answer.status(), answer.headers().contains_key("cache-status"));
        let text = answer.text().await.map_err(|error| error.to_string())?;
        if status.is_success() { Ok((text, cache)) } else { Err(format!("{status} {text}")) }
    };
    let (said, _) = eventually(PATIENCE, || hello(&url)).await;
    assert_eq!(said, "hello from first\n");

    // In a chain: a surrogate in front of it, which keeps what it may.
    let scratch = Scratch::new("own-service");
    let edge = std::fs::read_to_string(repository().join("templates/services/vod/template.yaml")).unwrap();
    let edge = edge.replace("upstream=\"streaming\"", "upstream=\"greeter.own-main\"").replace("../../types/", "");
    std::fs::write(scratch.join("edge.yaml"), edge).unwrap();
    let edge = bundle.json(&["template", "deploy", scratch.join("edge.yaml").to_str().unwrap(), "--wait"]);
    let through = format!("{}hello", edge["urls"][0].as_str().unwrap());
    let (said, by_surrogate) = eventually(PATIENCE, || hello(&through)).await;
    assert!(said == "hello from first\n" && by_surrogate, "{said}");

    // Asked a lot, it says so itself, and the second one joins.
    let states = || {
        let status = bundle.json(&["template", "status", "own", "own-main"]);
        let endpoints = status[0]["endpoints"].as_array().unwrap().clone();
        endpoints
            .into_iter()
            .map(|one| (one["function"].as_str().unwrap().to_owned(), one))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    assert_eq!(states()["second"]["state"], "booted");
    eventually(PATIENCE, || async {
        for _ in 0..40 {
            hello(&url).await?;
        }
        let state = states()["second"]["state"].clone();
        if state == "connected" { Ok(()) } else { Err(state.to_string()) }
    })
    .await;

    let checked =
        bundle.json(&["service", "check", "greeter.own-main", "--path", "/hello", "--ready", "/health/ready"]);
    let kept = |checked: &Value| -> Vec<(String, Option<bool>)> {
        let clauses = checked["clauses"].as_array().unwrap().iter();
        clauses.map(|one| (one["clause"].as_str().unwrap().to_owned(), one["keeps"].as_bool())).collect()
    };
    let all = kept(&checked);
    assert!(
        all.len() == 10 && all.iter().all(|(clause, keeps)| *keeps == Some(true) || clause == "drain"),
        "{checked:#}"
    );
    // Its page has a heading for each.
    let page = std::fs::read_to_string(repository().join("docs/own-service.md")).unwrap();
    for (clause, _) in &all {
        assert!(page.contains(&format!("\n**{clause}.**")), "docs/own-service.md says nothing of `{clause}`");
    }
    let first = &states()["first"];
    let (address, pid) = (first["address"].as_str().unwrap(), first["pid"].to_string());
    let drained = bundle.json(&["service", "check", address, "--path", "/hello", "--drain", &pid]);
    assert!(kept(&drained).contains(&("drain".to_owned(), Some(true))), "{drained:#}");
}

#[test]
fn one_that_keeps_little_is_told_what() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // HTTP/1.0, one after the other, a body for everything, and every name that is not there is its own fault.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4096];
            let read = stream.read(&mut head).unwrap_or_default();
            let is_known = head[..read].starts_with(b"GET / ") || head[..read].starts_with(b"HEAD / ");
            let status = if is_known { "200 OK" } else { "500 Oh" };
            let _ = stream.write_all(format!("HTTP/1.0 {status}\r\nContent-Length: 2\r\n\r\nhi").as_bytes());
        }
    });
    let ran = flame(&["service", "check", &address, "--ready", "/health/ready", "--json"]);
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(ran.err.contains("not kept: health, answers, head, caching"), "{}", ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&report["keeps"], &report["clauses"][0]["keeps"]),
        (&Value::Bool(false), &Value::Bool(true)),
        "{report:#}"
    );
    let nobody = flame(&["service", "check", "127.0.0.1:1", "--json"]);
    assert!(nobody.status == 1 && nobody.err.contains("not kept: port"), "{}", nobody.err);
}

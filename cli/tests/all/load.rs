//! `flame load`: viewers who are headless and otherwise like others, through the router and the surrogate, in a real bundle.

use std::process::Stdio;
use std::time::Duration;

use flame_test_kit::{clips, eventually};
use serde_json::Value;

use crate::world::{World, command};

/// An asset with a ladder; its identifier.
fn asset(world: &World, seconds: f64) -> String {
    let clip = clips::recipe("synthetic").seconds(seconds).size(640, 360).make();
    world.json(&["ingest", clip.to_str().unwrap()])[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn viewers_watch_to_the_end_and_say_what_they_met_with() {
    let world = World::up_with(&["--listen", "127.0.0.1:0", "--report-every", "1s"]);
    let ran = world.flame(&["load", "--viewers", "2", "--for", "2s"]);
    assert!(ran.status == 2 && ran.err.contains("flame ingest"), "{}: {}", ran.status, ran.err);
    let id = asset(&world, 4.0);
    let told =
        world.json(&["load", "--viewers", "5", "--for", "8s", "--ramp", "1s", "--report", "crowd", "--buffer", "6s"]);
    assert_eq!((&told["failed"], &told["assets"], &told["unkept"]), (&0.into(), &1.into(), &0.into()), "{told:#}");
    // Each sees the four seconds to the end, and then begins once more.
    assert!(told["startup_ms"]["count"].as_u64().unwrap() >= 8, "{told:#}");
    assert!(told["played_ms"].as_u64().unwrap() >= 5 * 4000, "{told:#}");
    let (p50, p95) = (told["head_ms"]["p50"].as_f64().unwrap(), told["head_ms"]["p95"].as_f64().unwrap());
    assert!(p50 > 0.0 && p50 <= p95 && told["whole_ms"]["p50"].as_f64().unwrap() >= p50, "{told:#}");
    let course = told["course"].as_array().unwrap();
    let sum: u64 = course.iter().map(|row| row["requests"].as_u64().unwrap()).sum();
    assert_eq!((course.len(), sum), (8, told["requests"].as_u64().unwrap()), "{told:#}");
    // They went through the surrogate, and told it how they fare.
    let stats = world.json(&["edge", "stats"]);
    let viewing = stats["assets"].as_array().unwrap().iter().find(|one| one["asset"] == id.as_str()).unwrap();
    let viewing = &viewing["viewing"];
    assert!(viewing["sessions"].as_u64().unwrap() >= 8 && viewing["damaged"] == 0, "{stats:#}");
    // And clmc.
    let asked = ["clmc", "query", "SELECT sum(requests), max(viewers) FROM viewers", "--db", "crowd"];
    let rows = world.json(&asked)["results"][0]["series"][0]["values"][0].clone();
    assert!(rows[1].as_f64().unwrap() > 0.0 && rows[2].as_f64() == Some(5.0), "{rows}");
    // One playlist by its URL, without the catalogue.
    let url = format!("{}/~cdn/{id}/index.m3u8", world.router);
    let told = world.json(&["load", "--name", &url, "--viewers", "1", "--for", "2s", "--ramp", "0s", "--no-cmcd"]);
    assert!(told["requests"].as_u64().unwrap() > 4 && told["failed"] == 0, "{told:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_fail_are_counted_with_their_reasons_and_are_status_1() {
    let world = World::up();
    let id = asset(&world, 4.0);
    let mut load = command();
    load.args(["load", "--name", "streaming", "--viewers", "3", "--for", "8s", "--ramp", "0s", "--json"]);
    let load = load.env("FLAME_ROUTER", &world.router).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let media_requests = async || {
        let url = format!("{}/~streaming/metrics", world.router);
        let text = reqwest::get(url)
            .await
            .map_err(|error| error.to_string())?
            .text()
            .await
            .map_err(|error| error.to_string())?;
        let media =
            text.lines().filter(|line| line.starts_with("flame_http_requests_total") && line.contains("{track}"));
        if media.count() > 0 { Ok(()) } else { Err("nobody watches yet") }.map_err(str::to_owned)
    };
    eventually(Duration::from_secs(20), media_requests).await;
    assert_eq!(world.flame(&["asset", "rm", &id]).status, 0);
    let ran = tokio::task::spawn_blocking(|| load.wait_with_output().unwrap()).await.unwrap();
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{told:#}");
    assert!(told["reasons"]["404"].as_u64().unwrap() > 0 && told["requests"].as_u64().unwrap() > 0, "{told:#}");
    assert!(String::from_utf8_lossy(&ran.stderr).contains("× 404"), "{}", String::from_utf8_lossy(&ran.stderr));
}

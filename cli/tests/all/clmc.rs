//! `flame clmc`: every part of the bundle reports, and what it reports can be asked for.

use std::collections::BTreeSet;
use std::time::Duration;

use flame_test_kit::{Bundle, eventually};
use serde_json::Value;

/// Parts that report, by the measurement of each.
const PARTS: [&str; 9] =
    ["clmc", "ingest", "metadata", "orchestrator", "quality", "router", "streaming", "transcode", "vcdn"];

/// The tables of an answer; none as long as nothing has been reported.
fn tables(bundle: &Bundle, question: &str) -> Vec<Value> {
    let asked = bundle.flame(&["clmc", "query", question, "--json"]);
    let answer: Value = serde_json::from_slice(&asked.stdout).unwrap_or_default();
    answer["results"][0]["series"].as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn every_part_reports_how_it_answers_and_in_which_state_it_is() {
    let bundle = Bundle::up_with(&["--report-every", "500ms"]).await;
    assert!(bundle.flame(&["asset", "list"]).status.success());
    let question = "SELECT last(connected_sum), last(cpus) FROM endpoint_config WHERE current_state = 'connected' GROUP BY flame_sfp, flame_location, flame_tenant";
    let connected = eventually(Duration::from_secs(20), || {
        let found = tables(&bundle, question);
        let parts: BTreeSet<String> =
            found.iter().filter_map(|table| table["tags"]["flame_sfp"].as_str().map(str::to_owned)).collect();
        async move { if parts.len() == PARTS.len() - 1 { Ok(found) } else { Err(format!("{parts:?}")) } }
    })
    .await;
    for table in &connected {
        assert_eq!(
            (&table["tags"]["flame_location"], &table["tags"]["flame_tenant"]),
            (&"local".into(), &"default".into())
        );
        assert!(
            table["values"][0][1].as_f64().unwrap() > 0.3 && table["values"][0][2].as_i64().unwrap() >= 1,
            "{table}"
        );
    }
    let measurements = eventually(Duration::from_secs(20), || {
        let found: BTreeSet<String> = tables(&bundle, "SHOW MEASUREMENTS")[0]["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row[0].as_str().unwrap().to_owned())
            .collect();
        let missing: Vec<_> = PARTS.iter().filter(|part| !found.contains(**part)).collect();
        let outcome = if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) };
        async move { outcome }
    });
    measurements.await;
    // The catalogue was asked once, through the router: both have answered, and say how.
    for part in ["metadata", "router"] {
        let question =
            format!("SELECT sum(requests), max(response_time), max(response_size) FROM {part} WHERE requests > 0");
        let answer = eventually(Duration::from_secs(20), || {
            let found = tables(&bundle, &question);
            async move { found.into_iter().next().ok_or("nothing yet") }
        })
        .await;
        let row = &answer["values"][0];
        let time_s = row[2].as_f64().unwrap();
        assert!(
            row[1].as_i64().unwrap() >= 1 && time_s > 0.0 && time_s < 10.0 && row[3].as_f64().unwrap() > 0.0,
            "{answer}"
        );
    }
    let exported =
        bundle.flame(&["clmc", "export", "endpoint_config", "--since", "5min", "--tag", "flame_sfp=streaming"]);
    let text = String::from_utf8(exported.stdout).unwrap();
    let (head, rows) = text.split_once('\n').unwrap();
    assert!(head.starts_with("measurement,time,") && head.contains(",connected_sum,"), "{head}");
    assert!(
        rows.lines().count() >= 1 && rows.lines().all(|row| row.contains("streaming") && !row.contains("metadata")),
        "{rows}"
    );
    let trips = bundle.json(&["clmc", "rtt", "--from", "local", "--to", "metadata"]);
    let trip = &trips["items"][0];
    assert!(trip["location"] == "local" && trip["forward_ms"] == 0.0, "{trips}");
    assert!(trip["response_ms"].as_f64().unwrap() > 0.0 && trip["round_trip_ms"] == trip["response_ms"], "{trips}");
    let shown = bundle.flame(&["clmc", "graph"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("location of endpoints"), "{shown:?}");
    let wrong = bundle.flame(&["clmc", "query", "SELECT FROM"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("error parsing query: found"), "{wrong:?}");
}

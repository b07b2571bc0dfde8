//! `flame sla` on documents alone, and with everything running but viewers; with viewers it is `flame demo sla`.

use flame_test_kit::{Bundle, Scratch, repository};
use serde_json::{Value, json};

use crate::world::flame;

#[test]
fn a_wrong_demand_is_told_with_its_line_and_a_missing_calibration_with_its_command() {
    let town = repository().join("templates/sla/town.yaml");
    let path = town.to_str().unwrap();
    let right = flame(&["sla", "validate", path]);
    assert!(right.status == 0 && right.out.contains("90 viewers at the peak"), "{}{}", right.out, right.err);
    let scratch = Scratch::new("sla");
    let text = std::fs::read_to_string(&town).unwrap();
    let line = text.lines().position(|line| line.contains("skew:")).unwrap() + 1;
    let wrong = scratch.join("wrong.yaml");
    std::fs::write(&wrong, text.replace("skew: 0.8", "skew: 9")).unwrap();
    let ran = flame(&["sla", "validate", wrong.to_str().unwrap()]);
    assert!(ran.status == 2 && ran.err.contains(&format!("wrong.yaml:{line}:")), "{}", ran.err);
    let ran = flame(&["sla", "solve", path]);
    assert!(ran.status == 2 && ran.err.contains("`flame sla calibrate"), "{}", ran.err);
    let schema: Value = serde_json::from_str(&flame(&["sla", "schema"]).out).unwrap();
    assert_eq!(schema["required"], json!(["sla", "content", "demand"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demand_is_solved_and_deployed_or_the_nearest_are_told_with_status_1() {
    let bundle = Bundle::up().await;
    let scratch = Scratch::new("sla-solve");
    let level = |load: f64, ms: f64| {
        json!({
            "load": load, "viewers": 10, "viewer_bps": 1e6, "viewer_requests_per_s": 1.0,
            "start_up_p50_ms": ms / 2.0, "start_up_p95_ms": ms, "stalled_share": 0.0,
        })
    };
    let calibration = json!({
        "measured_at": "2026-11-27T12:00:00Z", "capacity_bps": 50e6, "rendition": "v720", "arrive_ms": 5000,
        "surrogate": { "cpus": 1, "overhead_bytes": 64 << 20 }, "requests_before_picture": 6.0,
        "renditions": [ { "name": "v720", "bitrate_bps": 1e6, "vmaf": 88.0 } ],
        "hit_ms": 1.0, "miss_ms": 4.0, "repair_s": 2.0, "levels": [ level(0.4, 400.0), level(0.8, 2000.0) ],
    });
    let measured = scratch.join("town.calibration.json");
    std::fs::write(&measured, calibration.to_string()).unwrap();
    let town = scratch.join("town.yaml");
    let text = std::fs::read_to_string(repository().join("templates/sla/town.yaml")).unwrap();
    std::fs::write(&town, &text).unwrap();
    let solved = bundle.json(&["sla", "solve", town.to_str().unwrap(), "--deploy"]);
    let (solution, deployment) = (&solved["solution"], &solved["deployment"]);
    // 90 viewers of 1 Mbit/s, each surrogate sends 40 of 50 Mbit/s at most; one more for failures.
    assert_eq!((&solution["sizes"][0]["needed"], &solution["is_exact"]), (&json!(3), &json!(true)), "{solved:#}");
    let connected =
        deployment["endpoints"].as_array().unwrap().iter().filter(|one| one["state"] == "connected").count();
    assert_eq!(solution["sizes"][0]["instances"], json!(connected), "{solved:#}");
    // Those that run for it are not in its own way.
    let again = bundle.json(&["sla", "solve", town.to_str().unwrap()]);
    assert_eq!(again["solution"]["sizes"], solution["sizes"]);
    std::fs::write(&town, text.replace("cpus: 12", "cpus: 1")).unwrap();
    let refused = bundle.flame(&["sla", "solve", town.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(
        refused.status.code() == Some(1) && said.contains("`budget.cpus` ") && said.contains("% of the viewers"),
        "{said}"
    );
}

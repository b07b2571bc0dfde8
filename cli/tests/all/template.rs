//! `flame template`: on a file alone, and with everything running: deployed, healed, gone.

use std::time::Duration;

use flame_test_kit::{Bundle, Scratch, eventually, repository};
use serde_json::Value;

use crate::world::flame;

#[test]
fn a_new_template_is_right_and_a_wrong_one_is_shown_with_its_line() {
    let scratch = Scratch::new("template");
    let path = scratch.join("shop.yaml");
    let new = flame(&["template", "new", "shop"]);
    assert_eq!(new.status, 0, "{}", new.err);
    let text = new.out;
    std::fs::write(&path, &text).unwrap();
    let path = path.to_str().unwrap();
    let explained: Value = serde_json::from_str(&flame(&["template", "explain", path, "--json"]).out).unwrap();
    assert_eq!((&explained["sfc"], &explained["functions"][0]["begins"]), (&"shop".into(), &"connected".into()));
    let read = flame(&["template", "explain", path, "--instance", "two"]);
    assert!(read.out.contains("edge.two"), "{}", read.out);
    std::fs::write(path, text.replace("image: flame-vcdn", "imgae: flame-vcdn")).unwrap();
    let wrong = flame(&["template", "validate", path]);
    let said = wrong.err;
    let line = text.lines().position(|line| line.contains("image: flame-vcdn")).unwrap() + 1;
    assert_eq!(wrong.status, 2, "{said}");
    assert!(said.contains(&format!("{path}:{line}:9: `edge` has no property `imgae`: do you mean `image`?")), "{said}");
    assert!(said.contains("|         imgae: flame-vcdn\n      |         ^"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shipped_templates_are_deployed_heal_and_end_with_what_started_them() {
    let bundle = Bundle::up_with(&["--report-every", "1s"]).await;
    let file = |path: &str| repository().join("templates/services").join(path).display().to_string();
    let vod = file("vod/template.yaml");
    let deployed = bundle.json(&["template", "deploy", &vod, "--wait"]);
    let url = deployed["urls"][0].as_str().unwrap().to_owned();
    assert!(url.ends_with("/~edge.vod-main/"), "{url}");
    let pid = |status: &Value, function: &str| {
        let endpoints = status[0]["endpoints"].as_array().unwrap();
        endpoints.iter().find(|one| one["function"] == function).unwrap()["pid"].as_u64().unwrap()
    };
    // Streaming has no such asset; that its answer came through the surrogate is what counts.
    let through_the_surrogate = async || {
        let answer = reqwest::get(format!("{url}nothing/index.m3u8")).await.map_err(|error| error.to_string())?;
        let header = answer.headers().get("cache-status").map(|value| value.to_str().unwrap().to_owned());
        header.ok_or_else(|| format!("{}, without a Cache-Status", answer.status()))
    };
    eventually(Duration::from_secs(20), through_the_surrogate).await;
    let status = || bundle.json(&["template", "status", "vod", "vod-main"]);
    let before = pid(&status(), "edge");
    kill(before);
    eventually(Duration::from_secs(30), || async {
        let now = status();
        let endpoint = &now[0]["endpoints"][0];
        if endpoint["state"] == "connected" && endpoint["pid"] != before { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    eventually(Duration::from_secs(20), through_the_surrogate).await;

    let standby = file("edge-standby/template.yaml");
    let alerts = file("edge-standby/alerts.yaml");
    let deployed = bundle.json(&["template", "deploy", &standby, "--alerts", &alerts, "--wait"]);
    let states: Vec<&str> =
        deployed["endpoints"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["connected", "booted"]);
    let listed = bundle.json(&["clmc", "alerts", "list"]);
    assert_eq!(listed["items"][0]["sfc"], "edge-standby", "{listed}");
    let gone = bundle.flame(&["template", "undeploy", "edge-standby", "city", "--wait"]);
    assert!(gone.status.success(), "{gone:?}");
    assert_eq!(bundle.json(&["clmc", "alerts", "list"])["items"].as_array().unwrap().len(), 0);

    let last = pid(&status(), "edge");
    drop(bundle);
    eventually(Duration::from_secs(10), || async {
        let stat = std::fs::read_to_string(format!("/proc/{last}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") { Ok(()) } else { Err("it outlives what started it") }
    })
    .await;
}

fn kill(pid: u64) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

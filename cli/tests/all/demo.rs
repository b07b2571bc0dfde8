//! The guided tour, as a program reads it: every step verified, or status 1 with the step and the reason.

use std::net::TcpStream;
use std::process::Stdio;

use flame_test_kit::{Scratch, clips};
use serde_json::Value;

use crate::world::{command, flame};

/// The tours that can be played on real links, too.
const ON_LINKS: [&str; 5] = ["switch", "indirection", "vcdn", "multicast", "path"];

fn verified(scenario: &str) -> Value {
    let clip = clips::path("bigbuckbunny");
    let ran = flame(&["demo", scenario, clip.to_str().unwrap(), "--once", "--json"]);
    let report: Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err));
    assert_eq!((ran.status, &report["ok"]), (0, &Value::Bool(true)), "{report:#}\n{}", ran.err);
    assert_eq!(report["scenario"], scenario);
    for step in report["steps"].as_array().unwrap() {
        assert!(step["ok"] == true && step["ms"].is_u64() && !step["detail"].as_str().unwrap().is_empty(), "{step}");
    }
    for (name, figure) in report["figures"].as_object().unwrap() {
        assert!(figure["value"].is_f64() && figure["unit"].is_string(), "{name}: {figure}");
        let bound = figure.get("bound").unwrap_or_else(|| panic!("{name} says nothing of a bound: {figure}"));
        let is_bound = |text: &str| {
            let number = text.strip_prefix("<= ").or_else(|| text.strip_prefix(">= "));
            number.is_some_and(|number| number.parse::<f64>().is_ok())
        };
        assert!(bound.is_null() || bound.as_str().is_some_and(is_bound), "{name}: {bound}");
    }
    let keys: Vec<_> = report.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["figures", "ms", "ok", "scenario", "steps"]);
    // Each step is a part of the whole, and the tours of the routers say what is between their parts.
    let steps = report["steps"].as_array().unwrap();
    let sum: u64 = steps.iter().filter_map(|step| step["ms"].as_u64()).sum();
    assert!(report["ms"].as_u64() >= Some(sum.saturating_sub(steps.len() as u64)), "{report:#}");
    if ON_LINKS.contains(&scenario) {
        assert!(steps.iter().any(|step| step["detail"].to_string().contains("loopback")), "{report:#}");
    }
    report
}

#[test]
fn all_of_them_are_one_report_each_and_the_broken_ones_are_named() {
    let folder = Scratch::new("demo-all");
    std::fs::write(folder.join("no-film.mp4"), "this is text").unwrap();
    let ran = flame(&["demo", "all", folder.join("no-film.mp4").to_str().unwrap(), "--once", "--json"]);
    assert_eq!(ran.status, 1, "{}", ran.err);
    let reports: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    let list = flame(&["demo", "--list", "--json"]);
    let names: Vec<Value> = serde_json::from_str(&list.out).unwrap();
    assert_eq!(reports.len(), names.len(), "{}", ran.out);
    let vod = reports.iter().find(|report| report["scenario"] == "vod").unwrap();
    let broken = vod["steps"].as_array().unwrap().iter().find(|step| step["ok"] == false).unwrap();
    assert!(vod["ok"] == false && !broken["detail"].as_str().unwrap().is_empty(), "{vod}");
    assert!(ran.err.contains("vod"), "{}", ran.err);
}

#[test]
fn vod_is_verified_to_the_last_frame() {
    let report = verified("vod");
    let names: Vec<_> =
        report["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["clip", "start", "upload", "probe", "catalogue", "ladder", "package", "play"]);
}

#[test]
fn ingest_loses_nothing_acknowledged() {
    let report = verified("ingest");
    assert_eq!(report["figures"]["acknowledged_bytes_lost"]["value"], 0.0);
    let names: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert!(names.windows(2).any(|two| two == ["plain PUT", "duplicate"]), "{report:#}");
}

#[test]
fn the_catalogue_is_found_followed_and_exchanged() {
    let report = verified("metadata");
    let names: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert!(names.ends_with(&["provenance", "changes", "export, import"]), "{report:#}");
}

#[test]
fn chains_are_gated_and_survive_a_kill() {
    let report = verified("transcode");
    let names: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "clip",
            "start",
            "encoders",
            "upload",
            "gate fails",
            "gates pass",
            "killed",
            "started again",
            "goes on",
            "renditions"
        ],
        "{report:#}"
    );
}

#[test]
fn a_site_serves_a_rendition_that_it_lacks() {
    let report = verified("transrate");
    assert!(report["figures"]["slowest_segment"]["value"].as_f64().unwrap() > 0.0, "{report:#}");
}

#[test]
fn a_channel_is_followed_part_by_part_and_its_recording_plays() {
    let report = verified("live");
    let names: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["clip", "start", "channel", "publish", "follow", "ladder", "cut off", "come back", "end", "recording"],
        "{report:#}"
    );
    let figures: Vec<_> = report["figures"].as_object().unwrap().keys().collect();
    assert_eq!(figures, ["back_after", "part_later_p50", "part_later_p95", "plays_after", "recording_after"]);
}

#[test]
fn a_gate_tells_a_bad_chain_from_a_good_one_and_keeps_it_from_viewers() {
    let report = verified("quality");
    let step = |name: &str| {
        let steps = report["steps"].as_array().unwrap();
        steps.iter().find(|step| step["name"] == name).unwrap()["detail"].as_str().unwrap().to_owned()
    };
    assert!(
        step("gate fails").contains("vmaf.p5 >= 80 is not kept") && step("gate fails").contains("the worst is frame")
    );
    assert!(step("gate in chain").contains("vmaf.p5 >= 80") && step("gate in chain").contains("not published"));
    let figure = |name: &str| report["figures"][name]["value"].as_f64().unwrap();
    assert!(figure("vmaf_p5_of_bad") < 80.0 && figure("vmaf_p5_of_good") > 80.0, "{report:#}");
}

#[test]
fn switching_costs_no_request_and_without_it_some_fail() {
    let report = verified("switch");
    let figure = |name: &str| report["figures"][name]["value"].as_f64().unwrap();
    for name in ["killed_failed_with", "hung_failed_with", "planned_failed"] {
        assert_eq!((figure(name), &report["figures"][name]["bound"]), (0.0, &Value::from("<= 0")), "{report:#}");
    }
    assert!(figure("hung_failed_without") > 0.0, "{report:#}");
    assert!(figure("first_answer_with") < figure("first_answer_without"), "{report:#}");
}

#[test]
fn indirection_finds_what_is_not_found_without_it() {
    let report = verified("indirection");
    let figure = |name: &str| report["figures"][name]["value"].as_f64().unwrap();
    assert_eq!((figure("found_without"), figure("found_with")), (0.0, 100.0));
}

#[test]
fn a_surrogate_asks_the_origin_once_for_all_viewers() {
    let report = verified("vcdn");
    let figure = |name: &str| report["figures"][name]["value"].as_f64().unwrap();
    assert!(figure("origin_requests_without") >= 50.0 * figure("origin_requests_with"), "{report:#}");
    assert_eq!(figure("origin_requests_again"), 0.0);
}

#[test]
fn multicast_costs_the_origin_one_fetch_and_less_than_a_copy_a_site() {
    let report = verified("multicast");
    let figure = |name: &str| report["figures"][name]["value"].as_f64().unwrap();
    assert_eq!((figure("origin_fetches_with"), figure("origin_fetches_without")), (1.0, 40.0));
    assert!(figure("origin_copies_with") < 4.0, "{report:#}");
    // A surrogate at each site makes it one fetch a site; multicast between their routers makes it one.
    assert_eq!((figure("surrogates_fetches_with"), figure("surrogates_fetches_without")), (1.0, 4.0));
    assert!(figure("surrogates_copies_with") < 4.0, "{report:#}");
}

/// The report of a scenario on real links; `None` where the privilege is missing, which it says with status 3.
#[track_caller]
fn on_machines(scenario: &str) -> Option<Value> {
    let clip = clips::path("bigbuckbunny");
    let ran = flame(&["demo", scenario, clip.to_str().unwrap(), "--once", "--json", "--netns"]);
    if let Some(reason) = flame_test_kit::Network::missing() {
        assert!(ran.status == 3 && ran.err.contains("--netns"), "{}: {}", ran.status, ran.err);
        flame_test_kit::loud_skip(&format!("no network of namespaces: {reason}"));
        return None;
    }
    let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.err));
    assert_eq!((ran.status, &report["ok"]), (0, &Value::Bool(true)), "{report:#}");
    assert!(report["steps"].to_string().contains("real links"), "{report:#}");
    Some(report)
}

#[test]
fn scenarios_play_on_real_links_or_say_what_is_missing() {
    if on_machines("indirection").is_none() {
        return;
    }
    let clip = clips::path("bigbuckbunny");
    let ran = flame(&["demo", "vod", clip.to_str().unwrap(), "--once", "--netns"]);
    assert!(ran.status == 2 && ran.err.contains("multicast"), "{}: {}", ran.status, ran.err);
}

#[test]
fn on_real_links_a_path_brings_less_over_the_link() {
    let Some(report) = on_machines("path") else { return };
    let figure = |name: &str| report["figures"][name]["value"].as_f64().unwrap();
    assert!(figure("cloud_link_with") < figure("cloud_link_without") * 0.6, "{report:#}");
}

#[test]
fn on_real_links_a_surrogate_and_multicast_spare_what_the_origin_s_link_carries() {
    let Some(report) = on_machines("vcdn") else { return };
    let figure = |report: &Value, name: &str| {
        report["figures"][name]["value"].as_f64().unwrap_or_else(|| panic!("no {name}: {report:#}"))
    };
    let link = |name: &str| figure(&report, &format!("origin_link_{name}"));
    assert!(link("with") * 10.0 < link("without") && link("again") * 10.0 < link("with"), "{report:#}");
    let report = on_machines("multicast").expect("the privilege was there");
    for what in ["origin", "surrogates"] {
        assert_eq!(figure(&report, &format!("{what}_fetches_with")), 1.0, "{report:#}");
        let [with, without] = ["with", "without"].map(|how| figure(&report, &format!("{what}_copies_{how}")));
        assert!(with + 1.0 < without, "{report:#}");
    }
}

#[test]
fn on_real_links_a_cut_one_costs_no_request() {
    let Some(report) = on_machines("switch") else { return };
    let figure = |name: &str| report["figures"][name]["value"].as_f64().unwrap();
    for name in ["killed_failed_with", "hung_failed_with", "unplugged_failed_with", "planned_failed"] {
        assert_eq!(figure(name), 0.0, "{name}: {report:#}");
    }
    assert!(figure("unplugged_failed_without") > 0.0, "{report:#}");
}

#[test]
fn a_path_is_walked_over_two_sites() {
    let report = verified("path");
    let figure = |name: &str| report["figures"][name]["value"].as_f64().unwrap();
    assert!(figure("to_client_with") < figure("to_client_without"));
}

#[test]
fn a_crowd_brings_the_standby_in_and_takes_it_out_again_and_no_request_fails() {
    let report = verified("adapt");
    let names: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(names[5..], ["deploy", "few", "crowd", "shared", "gone"], "{report:#}");
    let figure = |name: &str| report["figures"][name]["value"].as_f64().unwrap();
    assert_eq!((figure("failed_requests"), &report["figures"]["failed_requests"]["bound"]), (0.0, &"<= 0".into()));
    assert!(figure("latency_p50_with") * 2.0 <= figure("latency_p50_without"), "{report:#}");
    assert!(figure("standby_share") > 25.0, "{report:#}");
}

#[test]
fn a_demand_is_refused_changed_deployed_and_what_was_predicted_is_measured() {
    let report = verified("sla");
    let names: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(names[5..], ["scores", "demand", "calibrate", "refused", "solve", "deploy", "watch"], "{report:#}");
    let refused = report["steps"][8]["detail"].as_str().unwrap();
    assert!(refused.contains("budget.cpus") && refused.contains("% of the viewers"), "{refused}");
    for error in ["sent_error", "requests_error"] {
        let figure = &report["figures"][error];
        assert!(figure["value"].as_f64().unwrap() <= 20.0 && figure["bound"] == "<= 20", "{report:#}");
    }
    assert_eq!(report["figures"]["failed_requests"]["value"].as_f64(), Some(0.0), "{report:#}");
}

#[test]
fn a_step_that_cannot_be_verified_is_status_1_with_the_reason() {
    let folder = Scratch::new("demo");
    let file = folder.path().join("film.mp4");
    std::fs::write(&file, "not a film").unwrap();
    let ran = flame(&["demo", "vod", file.to_str().unwrap(), "--once", "--json"]);
    assert_eq!(ran.status, 1, "{}", ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["ok"], false);
    let last = report["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["name"], &last["ok"]), (&Value::from("probe"), &Value::Bool(false)), "{report:#}");
}

#[test]
fn a_killed_tour_leaves_nothing_running() {
    let folder = Scratch::new("demo-killed");
    let mut demo = command();
    demo.args(["demo", "vod", clips::path("bigbuckbunny").to_str().unwrap()]).env("TMPDIR", folder.path());
    let mut demo = demo.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Its services are up as soon as they say so in the lock of their folder.
    let router = loop {
        let stages = std::fs::read_dir(folder.path()).unwrap().flatten();
        let locks = stages.filter_map(|stage| std::fs::read(stage.path().join("data/flame.lock")).ok());
        let holder =
            locks.filter_map(|lock| serde_json::from_slice::<Value>(&lock).ok()).find(|it| it["ready"] == true);
        if let Some(holder) = holder {
            break holder["router"].as_str().unwrap().to_owned();
        }
        assert!(demo.try_wait().unwrap().is_none(), "the tour ended before its services were up");
    };
    assert!(TcpStream::connect(&router).is_ok());
    demo.kill().unwrap();
    demo.wait().unwrap();
    while TcpStream::connect(&router).is_ok() {}
}

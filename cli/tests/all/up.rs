//! `flame up` and `flame down`: one holder a folder, busy ports explained, nothing left behind.

use std::net::TcpListener;

use flame_test_kit::{Scratch, wait_for};
use serde_json::Value;

use crate::world::{World, flame};

#[test]
fn detached_it_is_ready_at_once_stopped_and_purged() {
    let scratch = Scratch::new("detach");
    let data = scratch.path().join("data");
    let data = data.to_str().unwrap();
    let up = flame(&["up", "-d", "--data", data, "--listen", "127.0.0.1:0"]);
    assert_eq!(up.status, 0, "{}", up.err);
    assert!(up.out.starts_with("FLAME is ready") && up.out.contains("flame down"), "{}", up.out);
    for said in
        [&format!("data in {data}"), "object store (S3) at http://127.0.0.1:", "Next: flame ingest FILE", "/~streaming"]
    {
        assert!(up.out.contains(said), "`{said}` is not in:\n{}", up.out);
    }
    let router = up.out.split_whitespace().find(|word| word.starts_with("http://")).unwrap().trim_end_matches('/');
    assert_eq!(flame(&["--router", router, "health"]).status, 0);

    let second = flame(&["up", "-d", "--data", data, "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status, 3);
    assert!(second.err.contains("flame down"), "{}", second.err);

    let down = flame(&["down", "--data", data, "--purge"]);
    assert_eq!(down.status, 0, "{}", down.err);
    assert!(down.out.contains("stopped process") && down.out.contains("deleted"), "{}", down.out);
    assert!(!scratch.path().join("data").exists());
    assert_eq!(flame(&["--router", router, "health"]).status, 1);
    // Nothing runs any more, and saying so is no failure.
    assert_eq!(flame(&["down", "--data", data]).status, 0);
}

#[test]
fn a_busy_port_names_its_occupant_and_the_flag() {
    let scratch = Scratch::new("busy");
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let ran = flame(&["up", "--data", scratch.path().join("data").to_str().unwrap(), "--listen", &address]);
    assert_eq!(ran.status, 3);
    let me = format!("process {}", std::process::id());
    assert!(ran.err.contains(&me) && ran.err.contains("--listen"), "{}", ran.err);
}

#[test]
fn only_a_data_folder_is_purged() {
    let scratch = Scratch::new("purge");
    std::fs::write(scratch.path().join("precious.txt"), "mine").unwrap();
    let ran = flame(&["down", "--purge", "--data", scratch.path().to_str().unwrap()]);
    assert_eq!(ran.status, 3, "{}", ran.out);
    assert!(scratch.path().join("precious.txt").exists());
}

#[test]
fn an_interrupt_stops_everything_in_good_order() {
    let mut world = World::up();
    let pid = rustix::process::Pid::from_raw(i32::try_from(world.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(world.ended(), Some(0), "{}", world.log());
    world.start();
}

#[test]
fn a_hangup_reads_again_what_may_change_and_nobody_is_cut_off() {
    let world = World::up();
    let pid = rustix::process::Pid::from_raw(i32::try_from(world.pid()).unwrap()).unwrap();
    let reloaded = || {
        let log = world.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let said =
            lines.filter(|line| line["message"] == "reloaded").map(|line| line["service"].as_str().unwrap().to_owned());
        said.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!(reloaded(), 0, "{}", world.log());
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    // Each service says so.
    wait_for(std::time::Duration::from_secs(20), || match reloaded() {
        9.. => Ok(()),
        some => Err(format!("{some} of 9 said so:\n{}", world.log())),
    });
    assert_eq!(flame(&["--router", &world.router, "asset", "list"]).status, 0);
}

#[test]
fn a_program_is_told_the_same_as_people() {
    let scratch = Scratch::new("up-json");
    let data = scratch.path().join("data");
    let data = data.to_str().unwrap();
    // Keys may be there before the first start.
    assert_eq!(flame(&["token", "issue", "--data", data]).status, 0);
    let up = flame(&["up", "-d", "--json", "--data", data, "--listen", "0"]);
    assert_eq!(up.status, 0, "{}", up.err);
    let ready: Value = serde_json::from_str(&up.out).unwrap();
    let router = ready["router"].as_str().unwrap();
    assert_eq!(ready["services"]["metadata"], format!("{router}~metadata/"));
    assert!(std::path::Path::new(ready["log"].as_str().unwrap()).is_file() && ready["token"].is_null(), "{ready}");

    let health = flame(&["--router", router, "health", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&health.out).unwrap()["ready"], true, "{}", health.err);
    let down = flame(&["down", "--json", "--data", data, "--purge"]);
    let down: Value = serde_json::from_str(&down.out).unwrap();
    assert_eq!((&down["stopped"], &down["deleted"]), (&ready["pid"], &Value::Bool(true)), "{down}");
}

#[test]
fn the_log_tells_what_callers_ask_and_not_that_the_platform_lives() {
    let world = World::up();
    assert_eq!(flame(&["--router", &world.router, "health"]).status, 0);
    assert_eq!(flame(&["--router", &world.router, "asset", "list"]).status, 0);
    let log = world.log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let asked: Vec<&str> =
        lines.iter().filter(|line| line["target"] == "access").filter_map(|line| line["path"].as_str()).collect();
    assert!(asked.iter().any(|path| path.ends_with("/assets")), "{log}");
    assert!(!asked.iter().any(|path| path.contains("/health/") || path.contains("/endpoints/")), "{log}");
    // Where ingest looked before streaming was there, that is said.
    let looked = lines
        .iter()
        .any(|line| line["path"].as_str().is_some_and(|path| path.ends_with("/sources")) && line["status"] == 200);
    assert!(!looked, "{log}");
    // Who joined is told once, as what it is.
    let joined = lines.iter().filter(|line| line["message"] == "registered" && line["name"] == "streaming.main");
    assert_eq!(joined.count(), 1, "{log}");
}

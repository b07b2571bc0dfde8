//! `flame endpoint` and `flame route`: a standby is seen, connected, drained and cut off, and every step explained.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{World, command};

const PATIENCE: Duration = Duration::from_secs(20);

/// A process that registers behind `film` and stands by.
struct Standby {
    child: Child,
    address: String,
}

// === impl Standby ===

impl Standby {
    fn start(world: &World) -> Self {
        let object = world.scratch.path().join("object");
        std::fs::write(&object, vec![b'x'; 4096]).unwrap();
        let mut instance = command();
        instance.args(["demo-instance", "--name", "film", "--booted", "--object"]).arg(&object);
        instance.args(["--router", &world.router]);
        let mut child = instance.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().to_owned() }
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn of_film(list: &Value) -> Vec<Value> {
    let items = list["items"].as_array().unwrap().iter();
    items.filter(|one| one["name"] == "film.main").cloned().collect()
}

fn state(world: &World) -> String {
    let film = of_film(&world.json(&["endpoint", "list"]));
    film[0]["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_standby_is_seen_connected_drained_and_cut_off() {
    let world = World::up();
    let standby = Standby::start(&world);
    let began = Instant::now();
    let one = loop {
        let film = of_film(&world.json(&["endpoint", "list"]));
        if let [one] = film.as_slice() {
            break one.clone();
        }
        assert!(began.elapsed() < PATIENCE, "{film:?}");
    };
    let id = one["endpoint"].as_str().unwrap();
    assert_eq!(
        (&one["state"], &one["weight"], &one["capacity"]),
        (&Value::from("booted"), &Value::from(1), &Value::Null)
    );
    assert_eq!(one["address"], standby.address.as_str());
    let table = world.flame(&["endpoint", "list"]).out;
    for word in ["STATE", "WEIGHT", "CAPACITY", "booted", "any", "film.main", id] {
        assert!(table.contains(word), "{word} is not in:\n{table}");
    }

    let nowhere = world.flame(&["route", "explain", "/~film/beginning"]);
    assert_eq!(nowhere.status, 1, "{}", nowhere.out);
    assert!(nowhere.err.contains("no registered endpoint is connected"), "{}", nowhere.err);

    let connected = world.flame(&["endpoint", "connect", "film", id]);
    assert_eq!((connected.status, connected.out.contains("gets requests")), (0, true), "{}", connected.err);
    let explained = world.json(&["route", "explain", "/~film/beginning"]);
    assert_eq!((&explained["chosen"]["endpoint"], &explained["path"]), (&one["endpoint"], &Value::from("/beginning")));
    let said = world.flame(&["route", "explain", "/~film/beginning"]).out;
    assert!(said.contains("it is the only one that serves there"), "{said}");
    let routes = of_film(&world.json(&["route", "list"]));
    assert_eq!((&routes[0]["state"], &routes[0]["site"]), (&Value::from("serving"), &Value::from("local")));
    let table = world.flame(&["route", "list"]).out;
    assert!(table.contains("serving") && table.contains("LATENCY") && table.contains("film.main"), "{table}");

    assert_eq!(world.flame(&["endpoint", "drain", "film", id]).status, 0);
    assert_eq!(state(&world), "draining");
    assert_eq!(world.flame(&["route", "explain", "/~film/beginning"]).status, 1);
    assert_eq!(world.flame(&["endpoint", "connect", "film", id]).status, 0);
    assert_eq!(state(&world), "connected");

    let killed = world.flame(&["endpoint", "kill", "film", id]);
    assert_eq!((killed.status, killed.out.contains("is cut off")), (0, true), "{}", killed.err);
    assert_eq!(state(&world), "killed");
    let again = world.flame(&["endpoint", "connect", "film", id]);
    assert!(again.status != 0 && again.err.contains("start it anew"), "{}", again.err);

    let activity = world.flame(&["route", "activity"]);
    assert!(activity.status == 0 && activity.out.contains("since the start: retried "), "{}", activity.out);
    assert!(world.json(&["route", "activity"])["totals"]["counts"]["hedged"].is_u64());

    let nobody = world.flame(&["endpoint", "drain", "film", "nobody"]);
    assert_eq!(nobody.status, 1);
    assert!(nobody.err.contains("`flame endpoint list` shows all"), "{}", nobody.err);
    assert_eq!(world.flame(&["route", "explain", "/~nothing/x"]).status, 1);
    // What cannot be meant is wrong usage, also where the router finds it out.
    for wrong in [
        &["endpoint", "drain", "film"][..],
        &["endpoint", "drain", "film", "no endpoint"],
        &["endpoint", "kill", "film--x", id],
        &["route", "explain", "/api/router/endpoints"],
    ] {
        let ran = world.flame(wrong);
        assert!(ran.status == 2 && !ran.err.contains("registration"), "{wrong:?}: {} {}", ran.status, ran.err);
    }
}

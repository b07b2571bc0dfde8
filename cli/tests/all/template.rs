//! `flame template`: on a file alone, and with everything running: deployed, healed, gone.

use std::time::Duration;

use flame_test_kit::{Bundle, Scratch, eventually, repository};
use serde_json::Value;

use crate::world::{World, command, flame, run};

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

    // What an update would change is what it changes.
    let fate = |diff: &Value| diff["functions"][0]["fate"].as_str().unwrap().to_owned();
    assert_eq!(fate(&bundle.json(&["template", "diff", &vod])), "stays");
    let smaller = ["--input", "memory=32MiB"];
    let diff = bundle.json(&[&["template", "diff", &vod][..], &smaller].concat());
    assert_eq!((fate(&diff).as_str(), &diff["functions"][0]["differs"][0][2]), ("replaced", &"32MiB".into()), "{diff}");
    let runs = pid(&status(), "edge");
    let _ = bundle.json(&["template", "update", &vod, "--wait"]);
    assert_eq!(pid(&status(), "edge"), runs);
    let _ = bundle.json(&[&["template", "update", &vod, "--wait"][..], &smaller].concat());
    assert_ne!(pid(&status(), "edge"), runs);

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

/// Where callers need tokens, an endpoint gets one of its own: enough for what it does, and for its own names only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_tokens_are_needed_endpoints_have_their_own() {
    let world = World::up_with(&["--listen", "0.0.0.0:0", "--report-every", "1s"]);
    let issued = flame(&["token", "issue", "--data", world.data().to_str().unwrap(), "--scope", "read,write"]);
    let token = issued.out.trim().to_owned();
    let with = |arguments: &[&str]| {
        let ran = run(command().args(arguments).env("FLAME_ROUTER", &world.router).env("FLAME_TOKEN", &token));
        assert_eq!(ran.status, 0, "{arguments:?}: {}\n{}", ran.err, world.log());
        ran.out
    };
    let file = repository().join("templates/services/flash-crowd/template.yaml").display().to_string();
    let deployed: Value = serde_json::from_str(&with(&["template", "deploy", &file, "--wait", "--json"])).unwrap();
    let pid = deployed["endpoints"][0]["pid"].as_u64().unwrap();
    // It is registered, which strangers may not: otherwise it would not be there.
    assert!(deployed["endpoints"].as_array().unwrap().iter().all(|one| one["state"] == one["desired"]), "{deployed:#}");
    // Its measurements are taken, under its chain.
    eventually(Duration::from_secs(20), || async {
        let asked = "SELECT count(requests) FROM vcdn GROUP BY flame_sf";
        let mut query = command();
        query.args(["clmc", "query", asked, "--db", "flash-crowd"]);
        // Until the first one comes there is no such database.
        let ran = run(query.env("FLAME_ROUTER", &world.router).env("FLAME_TOKEN", &token));
        let both = ran.out.contains("flame_sf=first") && ran.out.contains("flame_sf=second");
        if both { Ok(()) } else { Err(format!("{}{}", ran.out, ran.err)) }
    })
    .await;
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let mut variables = environment.split(|byte| *byte == 0).filter_map(|one| std::str::from_utf8(one).ok());
    let own = variables.find_map(|one| one.strip_prefix("FLAME_TOKEN=")).expect("it has a token").to_owned();
    assert_ne!(own, token);
    let client = flame_api::Client::new(world.router.parse().unwrap(), Some(own));
    let lease = flame_api::router::Registration::new(([127, 0, 0, 1], 9).into(), 1, 10_000);
    for (name, allowed) in [("edge.square", true), ("vcdn-first.square", true), ("streaming", false), ("cdn", false)] {
        let answered = client.register(name, "foreign", &lease).await.map(drop).map_err(|error| error.status());
        assert_eq!(answered, if allowed { Ok(()) } else { Err(Some(403)) }, "{name}");
        if allowed {
            assert!(client.deregister(name, "foreign").await.unwrap());
        }
    }
    // Who calls the endpoint itself needs a token as anywhere. Its own API is there by name, also of the one that stands by.
    for function in ["first", "second"] {
        eventually(Duration::from_secs(20), || async {
            let asked = reqwest::Client::new()
                .get(format!("{}/~vcdn-{function}.square/stats", world.router))
                .bearer_auth(&token);
            let answer = asked.send().await.map_err(|error| error.to_string())?;
            if answer.status().is_success() { Ok(()) } else { Err(format!("{function}: {}", answer.status())) }
        })
        .await;
    }
    let known = client.endpoints().await.unwrap().items;
    let api = known.iter().find(|one| one.name.starts_with("vcdn-first.square")).expect("its own API is registered");
    let url = format!("http://{}/stats", api.address);
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 401);
    let answer = reqwest::Client::new().get(&url).bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

fn kill(pid: u64) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

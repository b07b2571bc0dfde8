//! `flame site` and `flame up --site`: a city's points of presence on one machine, a template over them, and viewers who walk.

use std::collections::BTreeMap;
use std::time::Duration;

use flame_test_kit::{clips, eventually, repository};
use serde_json::Value;

use crate::world::{Ran, World, command, flame, run};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn shipped_sites_are_listed_and_shown_and_a_wrong_name_is_told_the_right_one() {
    let listed: Value = serde_json::from_str(&flame(&["site", "list", "--json"]).out).unwrap();
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["barcelona", "bristol", "kings-college-london", "level7-sicily"]);
    let shown: Value = serde_json::from_str(&flame(&["site", "show", "bristol", "--json"]).out).unwrap();
    let points = shown["points_of_presence"].as_array().unwrap();
    assert_eq!((points.len(), shown["links"].as_array().unwrap().len()), (4, 4), "{shown:#}");
    assert_eq!(points[0]["clusters"][0]["name"], "millennium-square-tower", "{shown:#}");
    let read = flame(&["site", "show", "bristol"]);
    assert!(read.status == 0 && read.out.contains("watershed-rack") && read.out.contains("far_edge"), "{}", read.out);
    let own = repository().join("templates/sites/two-sites.toml");
    assert_eq!(flame(&["site", "show", own.to_str().unwrap()]).status, 0);
    for arguments in [&["site", "show", "bristl"][..], &["up", "--site", "bristl"]] {
        let wrong = flame(arguments);
        assert!(wrong.status == 2 && wrong.err.contains("do you mean `bristol`?"), "{arguments:?}: {}", wrong.err);
    }
}

/// Runs a command against one of the routers.
fn at(router: &str, arguments: &[&str]) -> Ran {
    let ran = run(command().args(arguments).arg("--json").env("FLAME_ROUTER", router));
    assert_eq!(ran.status, 0, "{arguments:?} at {router}: {}{}", ran.out, ran.err);
    ran
}

fn json(router: &str, arguments: &[&str]) -> Value {
    serde_json::from_str(&at(router, arguments).out).expect("--json prints JSON")
}

/// The routers of the other points of presence, once all are heard.
async fn routers(world: &World) -> BTreeMap<String, String> {
    eventually(PATIENCE, || async {
        let answer =
            reqwest::get(format!("{}/api/router/peers", world.router)).await.map_err(|error| error.to_string())?;
        let text = answer.text().await.map_err(|error| error.to_string())?;
        let peers: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let heard = peers["items"].as_array().cloned().unwrap_or_default();
        let heard = heard.iter().filter(|one| one["state"] == "connected");
        let found: BTreeMap<String, String> = heard
            .map(|one| (one["site"].as_str().unwrap().to_owned(), one["router"].as_str().unwrap().to_owned()))
            .collect();
        if found.len() == 3 { Ok(found) } else { Err(text) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_of_a_site_are_served_where_they_are() {
    let world = World::up_with(&["--listen", "127.0.0.1:0", "--site", "bristol", "--report-every", "1s"]);
    let routers = routers(&world).await;
    let clip = clips::recipe("synthetic").seconds(4.0).size(320, 240).make();
    let id = world.json(&["ingest", clip.to_str().unwrap()])[0]["id"].as_str().unwrap().to_owned();
    let template = repository().join("templates/services/follow-me/template.yaml");
    let template = template.to_str().unwrap();

    let deployed = world.json(&["template", "deploy", template, "--wait"]);
    let places: Vec<_> = deployed["endpoints"].as_array().unwrap().iter().map(|one| one["cluster"].clone()).collect();
    assert_eq!(places, ["watershed-rack", "millennium-square-tower"], "{deployed:#}");
    let walk = [("watershed", "vcdn-watershed.walk"), ("millennium-square", "vcdn-square.walk")];
    let path = format!("/~edge.walk/{id}/index.m3u8");
    for (site, _) in walk {
        // Each is registered with the router of its own point of presence, which prefers it.
        eventually(PATIENCE, || async {
            let explained =
                run(command().args(["route", "explain", &path, "--json"]).env("FLAME_ROUTER", &routers[site]));
            let chosen: Value = serde_json::from_str(&explained.out).unwrap_or_default();
            if chosen["chosen"]["site"] == site { Ok(()) } else { Err(format!("{}{}", explained.out, explained.err)) }
        })
        .await;
    }
    for (_, own) in walk {
        // Its own API is connected a moment after what it serves.
        eventually(PATIENCE, || async {
            let ran = world.flame(&["edge", "stats", "--via", own]);
            if ran.status == 0 { Ok(()) } else { Err(ran.err) }
        })
        .await;
    }
    let served = |own: &str| {
        let stats = world.json(&["edge", "stats", "--via", own]);
        stats["assets"].as_array().unwrap().iter().any(|one| one["asset"] == id.as_str())
    };
    let watch = ["load", "--name", "edge.walk", "--viewers", "2", "--for", "4s", "--ramp", "0s"];
    for (number, (site, own)) in walk.iter().enumerate() {
        let later = walk[number..].iter().find(|(_, own)| served(own));
        assert_eq!(later, None, "nobody has watched there yet");
        let told = json(&routers[*site], &watch);
        assert!(told["failed"] == 0 && told["requests"].as_u64().unwrap() > 4, "{site}: {told:#}");
        assert!(served(own), "{site}");
    }
    // Where no template has put anything, the point of presence has the platform's own surrogate.
    let told = json(&routers["we-the-curious"], &["load", "--viewers", "1", "--for", "3s", "--ramp", "0s"]);
    assert!(told["failed"] == 0 && told["requests"].as_u64().unwrap() > 4, "{told:#}");
    let stats = json(&routers["we-the-curious"], &["edge", "stats"]);
    assert!(stats["assets"].as_array().unwrap().iter().any(|one| one["asset"] == id.as_str()), "{stats:#}");

    // What is measured says where.
    let asked = "SELECT count(requests) FROM vcdn GROUP BY flame_location";
    for (database, site) in [("follow-me", "millennium-square"), ("flame", "we-the-curious")] {
        eventually(PATIENCE, || async {
            let ran = world.flame(&["clmc", "query", asked, "--db", database]);
            let is_there = ran.out.contains(&format!("flame_location={site}"));
            if is_there { Ok(()) } else { Err(format!("{database}: {}{}", ran.out, ran.err)) }
        })
        .await;
    }

    let gone = world.flame(&["template", "undeploy", "follow-me", "walk", "--wait"]);
    assert_eq!(gone.status, 0, "{}\n{}", gone.err, world.log());
    for (site, _) in walk {
        eventually(PATIENCE, || async {
            let routes = json(&routers[site], &["route", "list"]);
            let left = routes["items"].as_array().unwrap().iter().filter(|one| one["name"] == "edge.walk").count();
            if left == 0 { Ok(()) } else { Err(routes.to_string()) }
        })
        .await;
    }
}

//! `/graph`: the network of a site file with what was measured of it, and the time from every place to every endpoint and back,
//! asked for and written.

use std::time::Duration;

use flame_service_host::config::Span;
use flame_test_kit::{Scratch, eventually};
use serde_json::Value;

use crate::world::World;

const SITES: &str = r#"
version = 1
[[sites]]
name = "cloud"
[[sites]]
name = "town"
[[links]]
between = ["cloud", "town"]
latency_ms = 14
bandwidth_mbps = 1000
"#;

async fn world(folder: &Scratch) -> World {
    let file = folder.join("sites.toml");
    std::fs::write(&file, SITES).unwrap();
    World::start_with(|config| {
        config.graph.sites = Some(file);
        config.graph.interval = Span(Duration::from_millis(100));
    })
    .await
}

fn is_near(value: &Value, wanted: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - wanted).abs() < 1e-6)
}

#[tokio::test]
async fn every_pair_of_a_place_and_an_endpoint_has_a_round_trip_time_which_is_also_written() {
    let folder = Scratch::new("clmc-graph");
    let world = world(&folder).await;
    assert_eq!(world.get("/graph?db=shop").await.status(), 404);
    assert_eq!(world.get("/graph/round-trips").await.status(), 400);
    world
        .wrote(
            "shop",
            "nginx,flame_location=cloud,flame_sfe=web.example response_time=0.05,request_size=100i,response_size=1000i\n\
             other,flame_location=cloud response_time=0.05\n",
        )
        .await;
    let trips = async |query: &str| -> Vec<Value> {
        let answer: Value = world.get(&format!("/graph/round-trips?{query}")).await.json().await.unwrap();
        answer["items"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
    };
    let both = trips("db=shop").await;
    assert_eq!(both.len(), 2, "{both:?}");
    let town = trips("db=shop&from=town&to=web.example").await;
    assert!(is_near(&town[0]["round_trip_ms"], 14.0 + 50.0 + 14.0), "{town:?}");
    // What is measured takes the place of the file's: of the network's own database, and of the chain's.
    world.wrote("flame", "network_delays,path=p,source=town,target=cloud delay=30\n").await;
    world.wrote("shop", "network,source=phone,target=town latency=5i\n").await;
    let phone = trips("db=shop&from=phone").await;
    assert!(is_near(&phone[0]["forward_ms"], 35.0) && is_near(&phone[0]["round_trip_ms"], 120.0), "{phone:?}");
    let network: Value = world.get("/graph?db=shop").await.json().await.unwrap();
    assert_eq!(network["nodes"][2], serde_json::json!({ "name": "phone", "kind": "user_equipment" }), "{network}");
    let question = "SELECT last(round_trip_ms) FROM round_trip WHERE source = 'phone' AND service = 'nginx' AND flame_sfe = 'web.example'";
    eventually(Duration::from_secs(30), || async {
        let found = world.ask("shop", question).await;
        if is_near(&found["results"][0]["series"][0]["values"][0][1], 120.0) { Ok(()) } else { Err(found) }
    })
    .await;
    // It is no endpoint itself.
    assert_eq!(trips("db=shop").await.len(), 3);
    assert_eq!(trips("db=shop&to=nobody").await.len(), 0);
}

#[tokio::test]
async fn a_wrong_site_file_is_refused_at_the_start_and_changes_nothing_later() {
    let folder = Scratch::new("clmc-graph-file");
    let world = world(&folder).await;
    world.wrote("shop", "m v=1\n").await;
    let file = folder.join("sites.toml");
    std::fs::write(&file, SITES.replace("\"town\"]", "\"nowhere\"]")).unwrap();
    world.running.reload();
    let network: Value = world.get("/graph?db=shop").await.json().await.unwrap();
    assert_eq!(network["nodes"].as_array().unwrap().len(), 2, "{network}");
    let mut config = flame_clmc::Config::default();
    config.store.folder = folder.join("store");
    config.graph.sites = Some(file.clone());
    let refused = whole(&flame_clmc::start(config).await.err().unwrap());
    assert!(refused.contains("sites.toml") && refused.contains("nowhere"), "{refused}");
    std::fs::write(&file, SITES.replace("= 14", "= 15")).unwrap();
    world.running.reload();
    let network: Value = world.get("/graph?db=shop").await.json().await.unwrap();
    assert!(is_near(&network["links"][0]["latency_ms"], 15.0), "{network}");
}

fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

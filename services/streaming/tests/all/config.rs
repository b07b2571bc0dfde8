//! The example configuration, the start without a router, and the contract.

use flame_service_host::{HostConfig, StartError, config};
use flame_streaming::Config;
use flame_streaming::config::{CatalogueConfig, DerivedConfig, LiveConfig, ReplicasConfig};
use flame_test_kit::openapi;

use crate::world::World;

fn example() -> Config {
    let file = flame_test_kit::repository().join("services/streaming/config.example.toml");
    config::load("streaming", Some(&file)).unwrap()
}

#[test]
fn the_example_holds_the_defaults() {
    let example = example();
    assert_eq!(format!("{:?}", example.catalogue), format!("{:?}", CatalogueConfig::default()));
    assert_eq!(format!("{:?}", example.live), format!("{:?}", LiveConfig::default()));
    assert_eq!(format!("{:?}", example.derived), format!("{:?}", DerivedConfig::default()));
    let bare: Config = toml_of("[store]\nendpoint = \"e\"\nbucket = \"b\"\naccess_key = \"a\"\nsecret_key = \"s\"\n");
    assert_eq!((bare.store_deadline, bare.indexes), (example.store_deadline, example.indexes));
    assert_eq!((bare.movies, bare.subtitles), (example.movies, example.subtitles));
    assert_eq!(format!("{:?}", bare.catalogue), format!("{:?}", example.catalogue));
    assert_eq!(bare.store.region, example.store.region);
}

#[test]
fn the_sites_of_the_example_are_steered_by_the_defaults() {
    let file = flame_test_kit::repository().join("services/streaming/config.example.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, rest) = text.split_once("# [steering]\n").unwrap();
    let (table, _) = rest.split_once("\n[host]\n").unwrap();
    let lines = table.lines().map(|line| line.trim_start_matches("# "));
    let keys: Vec<&str> = lines.filter(|line| line.starts_with('[') || line.contains(" = ")).collect();
    let store = "[store]\nendpoint = \"e\"\nbucket = \"b\"\naccess_key = \"a\"\nsecret_key = \"s\"\n[steering]\n";
    let said = toml_of(&format!("{store}{}\n", keys.join("\n"))).steering.unwrap();
    let site = "pathways = [{ site = \"east\", base = \"https://east.example/~cdn/\"";
    let bare = format!("{store}{site}, router = \"http://router-east:8080\", capacity_mbps = 1000 }}]\n");
    assert_eq!(toml_of(&bare).steering.unwrap(), said);
}

#[test]
fn the_replicas_of_the_example_are_kept_by_the_defaults() {
    let file = flame_test_kit::repository().join("services/streaming/config.example.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, rest) = text.split_once("# [replicas]\n").unwrap();
    let (table, _) = rest.split_once("\n[host]\n").unwrap();
    let keys: Vec<&str> =
        table.lines().map(|line| line.trim_start_matches("# ")).filter(|line| line.contains(" = ")).collect();
    assert_eq!(keys.len(), 6, "every key is in the example: {keys:?}");
    let store = "[store]\nendpoint = \"e\"\nbucket = \"b\"\naccess_key = \"a\"\nsecret_key = \"s\"\n[replicas]\n";
    let said = toml_of(&format!("{store}{}\n", keys.join("\n"))).replicas.unwrap();
    assert_eq!(said, ReplicasConfig::default());
    assert_eq!(said.check(), Ok(()));
}

fn toml_of(text: &str) -> Config {
    let folder = flame_test_kit::Scratch::new("config");
    let file = folder.join("streaming.toml");
    std::fs::write(&file, text).unwrap();
    config::load("streaming", Some(&file)).unwrap()
}

#[tokio::test]
async fn it_does_not_start_without_a_router() {
    let config = Config { host: HostConfig::default(), ..example() };
    let error = flame_streaming::start(config).await.unwrap_err();
    assert!(matches!(error, StartError::Open { what: "catalogue", .. }), "{error}");
}

#[tokio::test]
async fn the_contract_is_the_one_in_the_repository() {
    let world = World::start().await;
    let document = openapi::document(&format!("http://{}", world.streaming().address())).await;
    openapi::check_golden("streaming", &document);
    for (path, methods) in document["paths"].as_object().unwrap() {
        let private = ["/assets/", "/channels", "/publications", "/objects", "/replicas/"];
        let needs_caller = path == "/sources" || private.iter().any(|prefix| path.starts_with(prefix));
        for (method, operation) in methods.as_object().unwrap() {
            assert_eq!(!operation["security"].is_null(), needs_caller, "{method} {path}");
        }
    }
    world.stop().await;
}

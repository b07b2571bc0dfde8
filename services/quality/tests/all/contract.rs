//! What callers and operators build on: the OpenAPI document, the example configuration, health.

use flame_quality_service::Config;
use flame_service_host::config;
use flame_test_kit::openapi;

use crate::world::World;

#[tokio::test]
async fn the_openapi_document_is_the_one_checked_in() {
    let world = World::start().await;
    let document = openapi::document(&world.base()).await;
    openapi::check_golden("quality", &document);
    let operations = openapi::operations(&document);
    assert_eq!(operations.len(), 15);
    assert!(operations.iter().all(|operation| operation.needs_token));
    let ready: serde_json::Value =
        reqwest::get(format!("{}/health/ready", world.base())).await.unwrap().json().await.unwrap();
    assert_eq!((&ready["status"], &ready["checks"]["database"]), (&"ready".into(), &"ok".into()));
}

#[test]
fn the_example_configuration_holds_the_defaults() {
    let file = flame_test_kit::repository().join("services/quality/config.example.toml");
    let example: Config = config::load("quality", Some(&file)).unwrap();
    let default = Config::new(example.store.clone());
    let host = |config: &Config| {
        let host = &config.host;
        (host.max_connections, host.drain, host.head_timeout, host.min_free_disk_percent.to_bits())
    };
    assert_eq!(host(&example), host(&default));
    // All keys but those of the host, which has examples of its own.
    let told = |mut config: Config| {
        config.host = Default::default();
        format!("{config:?}")
    };
    assert_eq!(told(example), told(default));
    // Also the keys that are commented out are known: with them the file is still valid.
    let text = std::fs::read_to_string(&file).unwrap();
    let all: String = text.lines().map(uncommented).collect::<Vec<_>>().join("\n");
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("all.toml");
    std::fs::write(&whole, &all).unwrap();
    let _: Config = config::load("quality", Some(&whole)).unwrap_or_else(|error| panic!("{error}\n{all}"));
}

/// A line of the example with its key switched on.
fn uncommented(line: &str) -> &str {
    let is_setting = |rest: &&str| rest.split(' ').nth(1) == Some("=") || rest.starts_with('[');
    line.strip_prefix("# ").filter(is_setting).unwrap_or(line)
}

#[tokio::test]
async fn two_services_do_not_share_a_folder() {
    let world = World::start().await;
    let mut config = world.config.clone();
    config.database = world.folder.join("other.db");
    let error = flame_quality_service::start(config).await.unwrap_err();
    assert_eq!(error.to_string(), "quality cannot open its folder");
}

//! What callers and operators build on: the OpenAPI document, the example configuration, the program.

use flame_clmc::Config;
use flame_service_host::config;
use flame_test_kit::openapi;

use crate::world::World;

#[tokio::test]
async fn the_openapi_document_is_the_one_checked_in() {
    let world = World::start().await;
    let document = openapi::document(&world.base()).await;
    openapi::check_golden("clmc", &document);
    let operations = openapi::operations(&document);
    assert!(operations.iter().all(|operation| operation.needs_token || operation.path == "/ping"));
}

#[test]
fn the_example_configuration_holds_the_defaults() {
    let file = flame_test_kit::repository().join("platform/clmc/config.example.toml");
    let example: Config = config::load("clmc", Some(&file)).unwrap();
    let default = Config::default();
    assert_eq!(
        (&example.store, &example.write, &example.query, &example.alerts, &example.graph),
        (&default.store, &default.write, &default.query, &default.alerts, &default.graph)
    );
    assert_eq!(example.forward, default.forward);
    assert_eq!(example.host.max_connections, default.host.max_connections);
    // Also the keys that are commented out are known: an unknown one is refused.
    let text = std::fs::read_to_string(&file).unwrap();
    let is_setting = |line: &&str| line.contains(" = ") || line.starts_with('[');
    let uncomment = |line: &str| line.strip_prefix("# ").filter(is_setting).unwrap_or(line).to_owned();
    let folder = tempfile::tempdir().unwrap();
    let all = folder.path().join("all.toml");
    std::fs::write(&all, text.lines().map(uncomment).collect::<Vec<_>>().join("\n")).unwrap();
    let all: Config = config::load("clmc", Some(&all)).unwrap();
    // Written out, they are what is taken where nothing is said.
    let forward = all.forward.first().expect("one is shown");
    let short: flame_clmc::config::ForwardConfig =
        serde_json::from_value(serde_json::json!({ "url": forward.url, "token": forward.token })).unwrap();
    assert_eq!(*forward, short);
    assert!(all.graph.sites.is_some());
    assert!(all.host.advertise.is_some() && all.host.token.is_some() && all.host.auth.keys.is_some());
}

#[test]
fn the_program_says_how_it_is_called() {
    let run = |arguments: &[&str]| {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_flame-clmc")).args(arguments).output().unwrap();
        (ran.status.code(), String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap())
    };
    let (status, text) = run(&["--help"]);
    assert!(status == Some(0) && text.starts_with("usage: flame-clmc [CONFIG.toml]"), "{status:?} {text}");
    assert_eq!(run(&["--bogus"]).0, Some(2));
}

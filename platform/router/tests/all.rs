//! The router on real sockets, between real clients and real little services.

#[path = "all/failing.rs"]
mod failing;
#[path = "all/forms.rs"]
mod forms;
#[path = "all/hostile.rs"]
mod hostile;
#[path = "all/load.rs"]
mod load;
#[path = "all/page.rs"]
mod page;
#[path = "all/passing.rs"]
mod passing;
#[path = "all/registration.rs"]
mod registration;
#[path = "all/streaming.rs"]
mod streaming;
#[path = "all/world.rs"]
mod world;

#[test]
fn the_example_configuration_is_the_default_one() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml");
    let example: flame_router::Config =
        flame_service_host::config::load("router", Some(std::path::Path::new(file))).unwrap();
    let (example, default) = (serde_json::to_value(example), serde_json::to_value(flame_router::Config::default()));
    assert_eq!(example.unwrap(), default.unwrap());
}

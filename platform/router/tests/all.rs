//! The router on real sockets, between real clients and real little services.

#[path = "all/activity.rs"]
mod activity;
#[path = "all/clocks.rs"]
mod clocks;
#[path = "all/contract.rs"]
mod contract;
#[path = "all/eject.rs"]
mod eject;
#[path = "all/failing.rs"]
mod failing;
#[path = "all/faults.rs"]
mod faults;
#[path = "all/forms.rs"]
mod forms;
#[path = "all/hostile.rs"]
mod hostile;
#[path = "all/http2.rs"]
mod http2;
#[path = "all/idle.rs"]
mod idle;
#[path = "all/indirection.rs"]
mod indirection;
#[path = "all/instance.rs"]
mod instance;
#[path = "all/ipv6.rs"]
mod ipv6;
#[path = "all/lines.rs"]
mod lines;
#[path = "all/load.rs"]
mod load;
#[path = "all/mtls.rs"]
mod mtls;
#[path = "all/mtls_sites.rs"]
mod mtls_sites;
#[path = "all/multicast.rs"]
mod multicast;
#[path = "all/multicast_attacked.rs"]
mod multicast_attacked;
#[path = "all/multicast_broken.rs"]
mod multicast_broken;
#[path = "all/multicast_kinds.rs"]
mod multicast_kinds;
#[path = "all/multicast_pace.rs"]
mod multicast_pace;
#[path = "all/multicast_switch.rs"]
mod multicast_switch;
#[path = "all/oidc.rs"]
mod oidc;
#[path = "all/page.rs"]
mod page;
#[path = "all/passing.rs"]
mod passing;
#[path = "all/path.rs"]
mod path;
#[path = "all/peers.rs"]
mod peers;
#[path = "all/peers_stopped.rs"]
mod peers_stopped;
#[path = "all/realm.rs"]
mod realm;
#[path = "all/registration.rs"]
mod registration;
#[path = "all/reload.rs"]
mod reload;
#[path = "all/rests.rs"]
mod rests;
#[path = "all/session.rs"]
mod session;
#[path = "all/states.rs"]
mod states;
#[path = "all/sticky.rs"]
mod sticky;
#[path = "all/streaming.rs"]
mod streaming;
#[path = "all/switching.rs"]
mod switching;
#[path = "all/trust.rs"]
mod trust;
#[path = "all/viewers.rs"]
mod viewers;
#[path = "all/waits.rs"]
mod waits;
#[path = "all/world.rs"]
mod world;
#[path = "all/written_down.rs"]
mod written_down;

#[test]
fn the_example_configuration_is_the_default_one() {
    let file = flame_test_kit::repository().join("platform/router/config.example.toml");
    let example: flame_router::Config = flame_service_host::config::load("router", Some(&file)).unwrap();
    let (example, default) = (serde_json::to_value(example), serde_json::to_value(flame_router::Config::default()));
    assert_eq!(example.unwrap(), default.unwrap());
}

/// Keys that are absent have their defaults: that the example is the default says nothing of them.
#[test]
fn the_example_configuration_has_every_key() {
    let file = flame_test_kit::repository().join("platform/router/config.example.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let under = |section: &str, key: &str| if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
    // Also what is commented out, because it has no default: behind the heading that is, if one is.
    let (mut section, mut shown, mut said) = (String::new(), String::new(), std::collections::BTreeSet::new());
    for line in text.lines() {
        let bare = line.trim_start_matches("# ");
        if let Some(name) = bare.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            shown = name.trim_matches(['[', ']']).to_owned();
            if bare == line {
                section.clone_from(&shown);
            }
            said.insert(shown.clone());
        } else if let Some((key, _)) = bare.split_once(" = ") {
            if bare == line {
                shown.clone_from(&section);
            }
            said.insert(under(&shown, key));
        }
    }
    let mut missing = Vec::new();
    let mut left = vec![(String::new(), serde_json::to_value(flame_router::Config::default()).unwrap())];
    while let Some((at, value)) = left.pop() {
        match value {
            serde_json::Value::Object(fields) => {
                left.extend(fields.into_iter().map(|(key, value)| (under(&at, &key), value)));
            }
            _ if said.contains(&at) => {}
            _ => missing.push(at),
        }
    }
    assert!(missing.is_empty(), "{missing:?} of {said:?}");
    assert!(said.len() > 60, "{said:?}");
}

#[test]
fn a_section_given_in_part_keeps_the_other_defaults() {
    let folder = flame_test_kit::Scratch::new("router-config");
    let file = folder.join("router.toml");
    std::fs::write(&file, "[host]\ndrain = \"1s\"\n").unwrap();
    let default = flame_router::Config::default();
    let config = flame_service_host::config::load_over(&default, "router", Some(&file)).unwrap();
    assert_eq!((config.host.listen, config.host.drain.to_string().as_str()), (default.host.listen, "1s"));
}

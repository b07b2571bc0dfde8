//! Who a request is for.

use flame_naming::{Asked, Destination, Mount, Target, Territory, Untargeted};
use proptest::prelude::*;

use crate::name::label;

fn territory() -> Territory {
    Territory::new("flame.example".parse().unwrap(), &["www.flame.example".to_owned(), "Media.Example.org".to_owned()])
}

fn asked<'a>(host: &'a str, path: &'a str) -> Asked<'a> {
    Asked { authority: None, host: Some(host), path, query: None }
}

fn service(target: Target) -> (Destination, String, Mount) {
    match target {
        Target::Service(forward) => (forward.destination, forward.path_and_query, forward.mount),
        Target::Own | Target::Slash(_) => panic!("{target:?} is no service"),
    }
}

proptest! {
    #[test]
    fn all_forms_of_a_name_are_one_target(name in label(), rest in "(/[a-z0-9._~%!-]{1,5}){0,4}/?", port in proptest::option::of(1_u16..)) {
        let rest = if rest.is_empty() { "/".to_owned() } else { rest };
        prop_assume!(!rest.split('/').any(|segment| segment == "..") && !rest.contains('%'));
        prop_assume!(name != "router");
        let territory = territory();
        let port = port.map_or(String::new(), |port| format!(":{port}"));
        let host = format!("{name}.flame.example{port}");
        let by_host = service(territory.target(&asked(&host, &rest)).unwrap());
        prop_assert_eq!(&by_host.1, &rest);
        prop_assert_eq!(&by_host.2, &Mount::Host);
        for (lead, end) in [("/~", ""), ("/%7E", ""), ("/~", ".main"), ("/~", ".main.flame.example"), ("/api/", "")] {
            let path = format!("{lead}{name}{end}{rest}");
            for own in ["flame.example", "localhost", "127.0.0.1", "[::1]", "media.example.org", "www.flame.example."] {
                let own = format!("{own}{port}");
                let by_path = service(territory.target(&asked(&own, &path)).unwrap());
                prop_assert_eq!((&by_path.0, &by_path.1), (&by_host.0, &by_host.1));
                prop_assert_eq!(by_path.2.prefix(), &format!("{lead}{name}{end}"));
                // What the client asked for is the mount and what the service is asked for.
                prop_assert_eq!(format!("{}{}", by_path.2.prefix(), by_path.1), path.clone());
            }
        }
        let absolute = Asked { authority: Some(&host), host: Some("elsewhere"), path: &rest, query: Some("a=b") };
        prop_assert_eq!(service(territory.target(&absolute).unwrap()).1, format!("{rest}?a=b"));
    }

    /// However a path is written: once it is decoded and normalised, by anybody, it still is below its name.
    #[test]
    fn no_path_escapes(path in "/~a/([.]|%2e|%2E|/|%2f|%5C|\\\\|;|%3b|x|~b|%25){0,12}") {
        let result = territory().target(&asked("localhost", &path));
        let decoded = path
            .replace("%2e", ".").replace("%2E", ".").replace("%2f", "/").replace("%5C", "/").replace('\\', "/")
            .replace("%3b", ";");
        let climbs = decoded.split('/').any(|segment| segment == ".." || segment.starts_with("..;"));
        prop_assert_eq!(matches!(result, Err(Untargeted::Upwards)), climbs, "{}", decoded);
    }

    #[test]
    fn any_request_is_decided(authority in proptest::option::of("\\PC{0,30}"), host in proptest::option::of("\\PC{0,30}"), path in "/?\\PC{0,60}") {
        let _ = territory().target(&Asked { authority: authority.as_deref(), host: host.as_deref(), path: &path, query: None });
    }

    /// Nobody but the configured hosts, the domain, localhost and IP literals gets the router's own pages.
    #[test]
    fn foreign_hosts_get_nothing(host in "[a-z]{1,8}(\\.[a-z]{1,8}){0,3}") {
        let own = ["flame.example", "localhost", "www.flame.example", "media.example.org"];
        prop_assume!(!own.contains(&host.as_str()) && !host.ends_with(".flame.example"));
        prop_assert_eq!(territory().target(&asked(&host, "/~a/")), Err(Untargeted::ForeignHost(host)));
    }
}

#[test]
fn the_router_s_own() {
    for path in
        ["/", "/api/router/endpoints", "/api/router", "/api/", "/api", "/health/live", "/nothing", "//~a/x", "*", ""]
    {
        assert_eq!(territory().target(&asked("localhost", path)), Ok(Target::Own), "{path}");
    }
    // HTTP/1.0 without Host.
    let asked = Asked { authority: None, host: None, path: "/", query: None };
    assert_eq!(territory().target(&asked), Ok(Target::Own));
}

#[test]
fn a_name_without_a_slash_is_sent_to_the_one_with_it() {
    let asked = Asked { authority: None, host: Some("localhost"), path: "/~a.b", query: Some("c") };
    assert_eq!(territory().target(&asked), Ok(Target::Slash("/~a.b/?c".to_owned())));
}

#[test]
fn hosts_that_are_none() {
    for host in ["", ":80", "a b", "a@b", "a:b", "[::1", "[::1]x", "[zz]", "a/b", "localhost:80:80", "lo\u{e9}"] {
        let result = territory().target(&asked(host, "/"));
        assert!(matches!(result, Err(Untargeted::BadHost(_))), "{host}: {result:?}");
    }
    for host in ["-.flame.example", ".flame.example", "a.b.c.d.flame.example", "a_b.flame.example"] {
        let result = territory().target(&asked(host, "/"));
        assert!(matches!(result, Err(Untargeted::HostName { .. })), "{host}: {result:?}");
    }
    for path in ["/~", "/~/x", "/~-/x", "/~a%2Fb/x", "/~a.b.c.d/x", "/~flame.example/x"] {
        let result = territory().target(&asked("localhost", path));
        let is_name = path == "/~flame.example/x";
        assert_eq!(matches!(result, Err(Untargeted::PathName(_))), !is_name, "{path}: {result:?}");
    }
}

#[test]
fn every_host_is_answered_where_that_is_configured() {
    let open = Territory::new("flame.example".parse().unwrap(), &["*".to_owned()]);
    assert_eq!(open.target(&asked("anything.org", "/")), Ok(Target::Own));
    assert!(matches!(open.target(&asked("a.flame.example", "/")), Ok(Target::Service(_))));
}

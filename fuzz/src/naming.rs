//! Names, and what requests and files say with them.

use std::collections::BTreeMap;
use std::time::Duration;

use flame_naming::path::{FUNCTIONS_MAX, Marker, Paths};
use flame_naming::search::{Budget, Trail, mark, times_here};
use flame_naming::site::Sites;
use flame_naming::{Asked, Destination, Domain, Label, Mount, Name, Target, Territory};

use crate::fields::{lines, text};

/// Longest label of DNS.
const LABEL_MAX_BYTES: usize = 63;

pub fn name(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(destination) = text.parse::<Destination>() {
        let printed = destination.to_string();
        assert_eq!(printed.parse::<Destination>().as_ref(), Ok(&destination), "{text} prints as {printed}");
        for label in printed.split('.') {
            assert!((1..=LABEL_MAX_BYTES).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-'));
            assert!(label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
        }
        // A pin is no part of the name.
        assert_eq!(text.parse::<Name>().is_ok(), destination.site.is_none());
        assert_eq!(destination.name.to_string().parse::<Name>().as_ref(), Ok(&destination.name));
    }
    let domain: Domain = "media.example".parse().expect("a domain");
    if let Some(below) = domain.below(text) {
        assert_eq!(format!("{below}.media.example").to_ascii_lowercase(), text.to_ascii_lowercase());
    }
}

/// Lines: authority, Host, path, query; an empty one is none.
pub fn target(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let [authority, host, path, query] = lines(text).map(|line: &str| (!line.is_empty()).then_some(line));
    let Some(path) = path.filter(|path| path.starts_with('/')) else { return };
    let territory = Territory::new(Domain::default(), &["media.example".to_owned()]);
    let asked = Asked { authority, host, path, query };
    let Ok(target) = territory.target(&asked) else { return };
    let named = authority.or(host).map(|named| named.to_ascii_lowercase());
    if let Some(named) = &named {
        let bare =
            named.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map_or(named.as_str(), |(host, _)| host);
        let bare = bare.strip_suffix('.').unwrap_or(bare);
        let is_ours = bare == "media.example" || bare == "localhost" || bare.ends_with(".localhost");
        let is_address = bare.starts_with('[') || bare.parse::<std::net::Ipv4Addr>().is_ok();
        assert!(is_ours || is_address, "answers for {named}");
    }
    assert!(!is_upwards(path), "{path} goes upwards");
    match target {
        Target::Own => {}
        Target::Slash(to) => {
            let (path, query) = to.split_once('?').map_or((to.as_str(), None), |(path, query)| (path, Some(query)));
            let again = territory.target(&Asked { path, query, ..asked });
            assert!(matches!(again, Ok(Target::Service(_))), "{to} leads to {again:?}");
        }
        Target::Service(forward) => {
            let printed = forward.destination.to_string();
            assert_eq!(printed.parse::<Destination>().as_ref(), Ok(&forward.destination));
            let whole = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
            let mounted = format!("{}{}", forward.mount.prefix(), forward.path_and_query);
            assert_eq!(mounted, whole, "what is asked is another thing than was asked for");
            assert!(forward.path_and_query.starts_with('/'));
            if forward.mount == Mount::Host {
                let host = named.expect("a name that is a host");
                assert!(host.contains(forward.destination.name.function().as_str()), "{host} goes to {printed}");
            }
        }
    }
}

/// Whether a path goes upwards for whoever decodes it, once or twice: slowly, and stricter than a router.
fn is_upwards(path: &str) -> bool {
    let once = decoded(path.as_bytes());
    let has = |path: &[u8]| {
        let mut segments = path.split(|byte| matches!(byte, b'/' | b'\\'));
        segments.any(|segment| segment.split(|byte| *byte == b';').next() == Some(b".."))
    };
    has(path.as_bytes()) || has(&once)
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let digits =
            text.get(at + 1..at + 3).filter(|_| text[at] == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match digits.filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            Some(two) => {
                out.push(u8::from_str_radix(two, 16).expect("two hex digits"));
                at += 3;
            }
            None => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    out
}

pub fn marker(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let marker = text.parse::<Marker>().ok();
    if let Some(marker) = &marker {
        assert_eq!(marker.to_string().parse::<Marker>().as_ref(), Ok(marker));
    }
    let functions = ["guard.main".to_owned(), "media.edge".to_owned(), "origin.main".to_owned()];
    let paths = Paths::new([("film", &functions[..])]).expect("a path");
    let (film, mut marker, mut steps) = ("film".parse::<Name>().expect("a name"), marker, 0);
    while let Ok(Some(hop)) = paths.next(&film, marker.as_ref()) {
        let before = marker.as_ref().filter(|marker| marker.path == film).map_or(0, |marker| marker.index);
        assert_eq!((hop.marker.index, &hop.marker.path), (before + 1, &film));
        assert_eq!(hop.function.to_string(), functions[before]);
        assert_eq!(hop.is_last, hop.marker.index == functions.len());
        marker = Some(hop.marker);
        steps += 1;
        assert!(steps <= FUNCTIONS_MAX);
    }
}

/// Lines: `Flame-Search`, a pseudonym, then values of `CDN-Loop`, all of which may be a `Flame-Trace` too.
pub fn search(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let [budget, pseudonym, rest] = lines(text);
    if let Ok(budget) = budget.parse::<Budget>() {
        let again: Budget = budget.to_string().parse().expect("what is printed is read");
        assert_eq!(again.hops, budget.hops);
        assert!(again.deadline <= budget.deadline);
        assert_eq!(again.to_string().parse::<Budget>(), Ok(again));
        let own = Budget { hops: 5, deadline: Duration::from_secs(2) };
        let least = budget.at_most(own);
        assert!(least.hops <= own.hops && least.deadline <= own.deadline);
        assert!(least.hops <= budget.hops && least.deadline <= budget.deadline);
    }
    let media: Name = "media.main".parse().expect("a name");
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !pseudonym.is_empty() && pseudonym.bytes().all(is_token) {
        let before = times_here(rest.lines(), pseudonym, &media);
        let own = mark(pseudonym, &media);
        assert_eq!(times_here(rest.lines().chain([own.as_str()]), pseudonym, &media), before + 1);
    }
    let mut trail = Trail::default();
    for line in rest.lines() {
        trail.nested(line);
    }
    assert!(trail.as_str().len() <= 4096 && trail.as_str().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
}

pub fn sites(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Ok(sites) = text.parse::<Sites>() else { return };
    let names: Vec<Label> = sites.iter().map(|site| site.name.clone()).collect();
    for link in sites.links() {
        assert!(link.between.iter().all(|end| sites.get(end).is_some()) && link.between[0] != link.between[1]);
        assert!(link.bandwidth_mbps > 0.0);
    }
    // A small map is measured slowly: as many rounds over all links as there are sites.
    for from in names.iter().take(8) {
        let mut model = BTreeMap::from([(from.clone(), Duration::ZERO)]);
        for _ in &names {
            for link in sites.links() {
                let [one, other] = &link.between;
                for (near, far) in [(one, other), (other, one)] {
                    if let Some(way) = model.get(near).map(|near| *near + link.latency) {
                        let known = model.entry(far.clone()).or_insert(way);
                        *known = way.min(*known);
                    }
                }
            }
        }
        let distances = sites.distances(from);
        assert_eq!(distances, model, "from {from}");
        for (to, distance) in &distances {
            assert_eq!(sites.distances(to).get(from), Some(distance), "{from} and {to}");
        }
    }
}

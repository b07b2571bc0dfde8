//! The site file: what is read, what is refused and how that is said, and distances against a slow, simple model.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use flame_naming::Label;
use flame_naming::site::{SiteError, Sites, Tier};
use proptest::prelude::*;

const TWO: &str = r#"
version = 1

[[sites]]
name = "Bristol"
router = "127.0.0.1:8081"

[[sites.clusters]]
name = "tower"
tier = "far_edge"
cpus = 4
memory_mib = 8192
storage_mib = 65536

[[sites]]
name = "london"

[[links]]
between = ["bristol", "london"]
latency_ms = 2.5
bandwidth_mbps = 1000
"#;

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn refused(text: &str) -> SiteError {
    text.parse::<Sites>().expect_err("it is refused")
}

#[test]
fn a_file_says_sites_clusters_and_links() {
    let sites: Sites = TWO.parse().unwrap();
    let bristol = sites.get(&label("bristol")).unwrap();
    assert_eq!(bristol.router.as_ref().unwrap().as_str(), "127.0.0.1:8081");
    assert_eq!((bristol.clusters[0].tier, bristol.clusters[0].capacity.cpus), (Tier::FarEdge, 4));
    assert_eq!(sites.get(&label("london")).unwrap().router, None);
    assert_eq!(sites.links()[0].latency, Duration::from_micros(2500));
    let distances = sites.distances(&label("london"));
    assert_eq!(distances[&label("bristol")], Duration::from_micros(2500));
    assert_eq!(distances[&label("london")], Duration::ZERO);
}

#[test]
fn the_slowest_link_that_says_so_bounds_multicast() {
    let of = |text: &str| text.parse::<Sites>().unwrap().multicast_mbps();
    assert_eq!(of(TWO), None);
    let both = TWO.replace("version = 1\n", "version = 1\n[[sites]]\nname = \"far\"\n");
    let far = "[[links]]\nbetween = [\"london\", \"far\"]\nlatency_ms = 1\nbandwidth_mbps = 50\n";
    let said = format!("{both}multicast_mbps = 400\n{far}");
    assert_eq!(of(&said), Some(400.0));
    assert_eq!(of(&format!("{said}multicast_mbps = 40.5\n")), Some(40.5));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let with = |from: &str, to: &str| TWO.replace(from, to);
    let said = |text: &str| {
        let error = refused(text);
        format!("{error}{}", error.source().map(|source| format!(": {source}")).unwrap_or_default())
    };
    let cases = [
        (with("version = 1", "version = 2"), "version 2"),
        (with("version = 1", "version = 2\nplanets = 3"), "version 2"),
        (with("tier = \"far_edge\"", "tier = \"cloud\""), "cloud"),
        (with("cpus = 4", "cores = 4"), "cores"),
        (with("cpus = 4", "cpus = 0"), "sites[0] clusters[0]"),
        (with("name = \"tower\"", "name = \"to wer\""), "sites[0] clusters[0]"),
        (with("name = \"london\"", "name = \"bristol\""), "site bristol is there twice"),
        (with("name = \"london\"", "name = \"lon--don\""), "sites[1]"),
        (with("127.0.0.1:8081", "http://127.0.0.1:8081"), "HOST:PORT"),
        (with("127.0.0.1:8081", "127.0.0.1:0"), "HOST:PORT"),
        (with("[\"bristol\", \"london\"]", "[\"bristol\", \"paris\"]"), "links[0] ends at `paris`"),
        (with("[\"bristol\", \"london\"]", "[\"london\", \"london\"]"), "links[0] connects `london` with itself"),
        (with("latency_ms = 2.5", "latency_ms = -1"), "links[0] latency_ms"),
        (with("latency_ms = 2.5", "latency_ms = nan"), "links[0] latency_ms"),
        (with("latency_ms = 2.5", "latency_ms = 10001"), "links[0] latency_ms"),
        (with("bandwidth_mbps = 1000", "bandwidth_mbps = 0"), "links[0] bandwidth_mbps"),
        (format!("{TWO}multicast_mbps = 1001\n"), "links[0] multicast_mbps"),
        (format!("{TWO}multicast_mbps = 0.5\n"), "links[0] multicast_mbps"),
        (format!("{TWO}multicast_mbps = nan\n"), "links[0] multicast_mbps"),
        (
            format!("{TWO}\n[[links]]\nbetween = [\"london\", \"bristol\"]\nlatency_ms = 1\nbandwidth_mbps = 1"),
            "the link london - bristol is there twice",
        ),
        ("sites = 3".to_owned(), "line 1"),
        (String::new(), "version"),
    ];
    for (text, wanted) in cases {
        assert!(said(&text).contains(wanted), "{wanted:?} is not in {:?}", said(&text));
    }
}

#[test]
fn more_than_the_bound_is_refused() {
    let many: String = (0..257).map(|n| format!("[[sites]]\nname = \"s{n}\"\n")).collect();
    assert!(matches!(refused(&format!("version = 1\n{many}")), SiteError::TooMany { what: "sites", count: 257, .. }));
}

/// Links between up to eight sites: at most one for each pair.
fn links() -> impl Strategy<Value = (usize, BTreeMap<(usize, usize), u32>)> {
    (1..8_usize).prop_flat_map(|count| {
        let pair = (0..count, 0..count).prop_map(|(one, other)| (one.min(other), one.max(other)));
        (Just(count), proptest::collection::btree_map(pair, 0..500_u32, 0..12))
    })
}

fn file(count: usize, links: &BTreeMap<(usize, usize), u32>) -> String {
    let sites: String = (0..count).map(|n| format!("[[sites]]\nname = \"s{n}\"\n")).collect();
    let links: String = links
        .iter()
        .filter(|((one, other), _)| one != other)
        .map(|((one, other), ms)| {
            format!("[[links]]\nbetween = [\"s{other}\", \"s{one}\"]\nlatency_ms = {ms}\nbandwidth_mbps = 1\n")
        })
        .collect();
    format!("version = 1\n{sites}{links}")
}

/// Floyd and Warshall: every way over every site, tried out.
fn model(count: usize, links: &BTreeMap<(usize, usize), u32>) -> Vec<Vec<Option<u32>>> {
    let mut far: Vec<Vec<Option<u32>>> =
        (0..count).map(|from| (0..count).map(|to| (from == to).then_some(0)).collect()).collect();
    for ((one, other), ms) in links.iter().filter(|((one, other), _)| one != other) {
        far[*one][*other] = Some(*ms);
        far[*other][*one] = Some(*ms);
    }
    for over in 0..count {
        for from in 0..count {
            for to in 0..count {
                if let (Some(first), Some(second)) = (far[from][over], far[over][to]) {
                    let way = first + second;
                    far[from][to] = Some(far[from][to].map_or(way, |known: u32| known.min(way)));
                }
            }
        }
    }
    far
}

proptest! {
    #[test]
    fn distances_are_those_of_trying_every_way((count, links) in links()) {
        let sites: Sites = file(count, &links).parse().unwrap();
        let model = model(count, &links);
        for (from, row) in model.iter().enumerate() {
            let distances = sites.distances(&label(&format!("s{from}")));
            for (to, wanted) in row.iter().enumerate() {
                let found = distances.get(&label(&format!("s{to}"))).copied();
                prop_assert_eq!(found, wanted.map(|ms| Duration::from_millis(u64::from(ms))), "{} to {}", from, to);
            }
        }
    }

    #[test]
    fn whatever_the_file_holds_it_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = text.parse::<Sites>();
    }
}

#[test]
fn the_examples_are_read_and_connected() {
    let folder = std::path::PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../templates/sites");
    let mut read = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let sites: Sites = std::fs::read_to_string(&path).unwrap().parse().unwrap_or_else(|error: SiteError| {
            panic!("{}: {error}: {:?}", path.display(), error.source());
        });
        let first = sites.iter().next().unwrap();
        assert_eq!(sites.distances(&first.name).len(), sites.iter().count(), "{}", path.display());
        read += 1;
    }
    assert_eq!(read, 7);
}

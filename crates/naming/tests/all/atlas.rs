//! The choice over sites: the nearest that has somebody awake, against a list that is searched through.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use flame_naming::peers::{Changes, Key};
use flame_naming::site::{Atlas, Sites};
use flame_naming::{Destination, EndpointId, Label, Lease, Lot, Moment, Name, NoChoice};
use proptest::prelude::*;

const NOW: Moment = Moment(Duration::from_secs(1));

/// Sites s0 to s3, from s0 the nearer the higher the number; s4 is on no link.
fn atlas() -> Atlas {
    let sites: String = (0..5).map(|n| format!("[[sites]]\nname = \"s{n}\"\nrouter = \"r{n}:80\"\n")).collect();
    let link =
        |n: u32, ms: u32| format!("[[links]]\nbetween = [\"s0\", \"s{n}\"]\nlatency_ms = {ms}\nbandwidth_mbps = 1\n");
    let text = format!("version = 1\n{sites}{}{}{}", link(1, 30), link(2, 20), link(3, 10));
    Atlas::new(label(0), &text.parse::<Sites>().unwrap(), 100)
}

fn label(n: u8) -> Label {
    format!("s{n}").parse().unwrap()
}

fn media() -> Name {
    "media".parse().unwrap()
}

fn id(n: u8) -> EndpointId {
    format!("e{n}").parse().unwrap()
}

fn lease(port: u16) -> Lease {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    Lease::new(address, 1, Duration::from_secs(10))
}

fn learn(atlas: &mut Atlas, site: u8, endpoint: u8, value: Option<u16>) {
    let key = Key { name: media(), endpoint: id(endpoint) };
    atlas.learn(&label(site), Changes::from([(key, value)]), lease, NOW).unwrap();
}

/// Endpoints by site and number: whether each fails, and whether it is excluded.
fn known() -> impl Strategy<Value = BTreeMap<(u8, u8), (bool, bool)>> {
    proptest::collection::btree_map((0..5_u8, 0..3_u8), any::<(bool, bool)>(), 0..10)
}

proptest! {
    #[test]
    fn the_nearest_site_with_somebody_awake_answers(known in known(), draw in any::<u64>()) {
        let mut atlas = atlas();
        for (at, (site, endpoint)) in known.keys().enumerate() {
            learn(&mut atlas, *site, *endpoint, Some(1000 + u16::try_from(at).unwrap()));
        }
        for ((site, endpoint), _) in known.iter().filter(|(_, (fails, _))| *fails) {
            let key = Key { name: media(), endpoint: id(*endpoint) };
            let choice = atlas.pick(&label(*site), &key, NOW).unwrap().choice();
            atlas.table_mut(&label(*site)).unwrap().note(&media(), &choice, |health| health.failed(NOW, NOW));
        }
        let excluded: Vec<_> = known
            .iter()
            .filter(|(_, (_, is_excluded))| *is_excluded)
            .map(|((site, endpoint), _)| (label(*site), id(*endpoint)))
            .collect();
        // The model: sites in the order of their distance, the awake before those that rest.
        let nearness = |site: u8| [0_u8, 3, 2, 1, 4][usize::from(site)];
        let open = known.iter().filter(|(_, (_, is_excluded))| !is_excluded);
        let best = open.map(|((site, _), (fails, _))| (*fails, nearness(*site))).min();
        match (atlas.choose(&media().into(), NOW, &excluded, Lot::Drawn(draw)), best) {
            (Ok((site, choice)), Some((fails, near))) => {
                let number = site.as_str()[1..].parse::<u8>().unwrap();
                let endpoint = choice.endpoint.as_str()[1..].parse::<u8>().unwrap();
                prop_assert_eq!((known[&(number, endpoint)].0, nearness(number)), (fails, near));
                prop_assert!(!excluded.contains(&(site, choice.endpoint)));
            }
            (Err(NoChoice::Tried), None) => prop_assert!(!known.is_empty()),
            (Err(NoChoice::Unknown), None) => prop_assert!(known.is_empty()),
            (chosen, best) => prop_assert!(false, "{:?} where the model has {:?}", chosen, best),
        }
    }

    #[test]
    fn what_was_learned_is_there_until_it_is_said_to_be_gone(
        steps in proptest::collection::vec((1..5_u8, 0..3_u8, proptest::option::of(1000..1020_u16)), 0..30),
    ) {
        let mut atlas = atlas();
        let mut model = BTreeMap::new();
        for (site, endpoint, value) in steps {
            // One address is one process: keep them apart, as an owner does.
            let port = value.map(|port| port + u16::from(endpoint) * 100);
            learn(&mut atlas, site, endpoint, port);
            match port {
                Some(port) => model.insert((site, endpoint), port),
                None => model.remove(&(site, endpoint)),
            };
        }
        let much_later = Moment(Duration::from_secs(50 * 365 * 24 * 3600));
        let held = atlas.held(much_later).map(|(site, held)| {
            let number = |text: &str| text[1..].parse::<u8>().unwrap();
            ((number(site.as_str()), number(held.endpoint.as_str())), held.address.port())
        });
        prop_assert_eq!(held.collect::<BTreeMap<_, _>>(), model);
    }
}

#[test]
fn a_pin_is_kept_and_names_that_left_are_away() {
    let mut atlas = atlas();
    learn(&mut atlas, 1, 0, Some(1000));
    learn(&mut atlas, 2, 0, Some(1001));
    let site = |to: &str| {
        let to: Destination = to.parse().unwrap();
        atlas.choose(&to, NOW, &[], Lot::Drawn(7)).map(|(site, _)| site)
    };
    assert_eq!(site("media"), Ok(label(2)));
    assert_eq!(site("s1--media"), Ok(label(1)));
    assert_eq!(site("s3--media"), Err(NoChoice::Unknown));
    learn(&mut atlas, 1, 0, None);
    learn(&mut atlas, 2, 0, None);
    assert_eq!(atlas.choose(&media().into(), NOW, &[], Lot::Drawn(7)), Err(NoChoice::Away));
}

#[test]
fn an_owner_may_go_back_to_an_older_generation() {
    let mut atlas = atlas();
    let key = || Key { name: media(), endpoint: id(0) };
    let generation = |generation: u64| Lease { generation, ..lease(1000) };
    atlas.learn(&label(1), Changes::from([(key(), Some(9))]), generation, NOW).unwrap();
    atlas.learn(&label(1), Changes::from([(key(), Some(3))]), generation, NOW).unwrap();
    assert_eq!(atlas.pick(&label(1), &key(), NOW).unwrap().generation, 3);
}

#[test]
fn surrogates_are_named_with_site_distance_and_router() {
    let mut atlas = atlas();
    for site in [0, 1, 4] {
        learn(&mut atlas, site, 0, Some(1000));
    }
    let ms = |ms| Some(Duration::from_millis(ms));
    let seen = |atlas: &Atlas| {
        let seen = atlas.surrogates(&media(), NOW);
        seen.iter().map(|one| (one.site.to_string(), one.distance, one.has_router)).collect::<Vec<_>>()
    };
    let site = |n: u8| format!("s{n}");
    assert_eq!(seen(&atlas), [(site(0), ms(0), false), (site(1), ms(30), false), (site(4), None, false)]);
    // A router that is not heard is not asked.
    atlas.router_is_heard(&label(0), true);
    atlas.router_is_heard(&label(1), true);
    assert_eq!(seen(&atlas), [(site(0), ms(0), false), (site(1), ms(30), true), (site(4), None, false)]);
}

#[test]
fn another_file_changes_who_is_nearest_and_keeps_what_is_known() {
    let mut atlas = atlas();
    for site in 1..4 {
        learn(&mut atlas, site, 0, Some(1000));
    }
    atlas.router_is_heard(&label(1), true);
    let nearest = |atlas: &Atlas| atlas.choose(&media().into(), NOW, &[], Lot::Drawn(7)).unwrap().0;
    assert_eq!(nearest(&atlas), label(3));
    let text = "version = 1\n[[sites]]\nname = \"s0\"\n[[sites]]\nname = \"s1\"\nrouter = \"r1:80\"\n\
                [[links]]\nbetween = [\"s0\", \"s1\"]\nlatency_ms = 90\nbandwidth_mbps = 1\n";
    atlas.rearrange(&text.parse::<Sites>().unwrap(), 1);
    assert_eq!(nearest(&atlas), label(1), "nobody knows how far the others are");
    let known = atlas.surrogates(&media(), NOW);
    let known: Vec<_> = known.iter().map(|one| (one.site.clone(), one.has_router)).collect();
    assert_eq!(known, [(label(1), true), (label(2), false), (label(3), false)]);
    // The new most of endpoints holds, for each site.
    let key = Key { name: media(), endpoint: id(1) };
    assert!(atlas.learn(&label(1), Changes::from([(key, Some(1001))]), lease, NOW).is_err());
}

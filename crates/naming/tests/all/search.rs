//! Searches over worlds of surrogates at several sites: who is asked, in which order, and that it ends.

use std::collections::BTreeSet;
use std::time::Duration;

use flame_naming::peers::Key;
use flame_naming::search::{Budget, NotNested, Outcome, Reason, Rule, Search, Step, Surrogate, Trail, Visit};
use flame_naming::search::{mark, times_here};
use flame_naming::{Label, Moment, Name};
use proptest::prelude::*;

const NOW: Moment = Moment(Duration::ZERO);
const AMPLE: Budget = Budget { hops: 1000, deadline: Duration::from_secs(5) };

/// One surrogate of a world: its site (0 is the own), whether it has what is asked for, room, and is the authority.
#[derive(Debug, Clone, Copy)]
struct One {
    site: usize,
    has_it: bool,
    has_room: bool,
    is_authority: bool,
}

/// Sites by number; each has a distance, and a router or none.
#[derive(Debug, Clone)]
struct World {
    sites: Vec<(Option<u64>, bool)>,
    ones: Vec<One>,
}

fn world() -> impl Strategy<Value = World> {
    let site = (proptest::option::weighted(0.9, 0..50_u64), any::<bool>());
    proptest::collection::vec(site, 1..5).prop_flat_map(|mut sites| {
        sites[0] = (Some(0), false);
        let one = (0..sites.len(), proptest::bool::weighted(0.2), any::<bool>(), proptest::bool::weighted(0.2));
        let one = one.prop_map(|(site, has_it, has_room, is_authority)| One { site, has_it, has_room, is_authority });
        (Just(sites), proptest::collection::vec(one, 0..10)).prop_map(|(sites, ones)| World { sites, ones })
    })
}

fn label(site: usize) -> Label {
    format!("s{site}").parse().unwrap()
}

fn key(n: usize) -> Key {
    Key { name: "media".parse().unwrap(), endpoint: format!("e{n}").parse().unwrap() }
}

// === impl World ===

impl World {
    /// As the router at `own` sees it: distances from the site 0 do for the order of the tests.
    fn seen_from(&self, own: usize) -> Vec<Surrogate> {
        let surrogates = self.ones.iter().enumerate().map(|(n, one)| {
            let (distance, has_router) = self.sites[one.site];
            Surrogate {
                key: key(n),
                site: label(one.site),
                distance: distance.map(Duration::from_millis),
                is_authority: one.is_authority,
                has_room: one.has_room,
                has_router: has_router && one.site != own,
            }
        });
        surrogates.collect()
    }

    fn number(&self, key: &Key) -> usize {
        key.endpoint.as_str()[1..].parse().unwrap()
    }

    /// Searches with nested searches at other sites' routers; gives whom it asked, in this order, and who had it.
    fn search(&self, own: usize, after: Reason, budget: Budget, is_nested: bool) -> (Vec<usize>, Option<usize>, u32) {
        let seen = self.seen_from(own);
        let mut search = Search::new(label(own), Rule::default(), budget, is_nested, NOW);
        let mut asked = Vec::new();
        while let Some(step) = search.next(&seen, after, NOW) {
            let found = match step {
                Step::Surrogate { key, .. } => {
                    let n = self.number(&key);
                    asked.push(n);
                    self.ones[n].has_it.then_some(n)
                }
                Step::Site(site) => {
                    assert!(!is_nested, "a nested search stays at its site");
                    let site = (0..self.sites.len()).find(|n| label(*n) == site).unwrap();
                    let (more, found, hops) = self.search(site, after, search.budget(NOW), true);
                    search.was_nested(hops);
                    asked.extend(more);
                    found
                }
            };
            if found.is_some() {
                return (asked, found, search.hops_taken());
            }
        }
        (asked, None, search.hops_taken())
    }
}

proptest! {
    #[test]
    fn with_an_ample_budget_the_nearest_who_has_it_is_found_and_nobody_is_asked_twice(world in world()) {
        let (asked, found, _) = world.search(0, Reason::Failed, AMPLE, false);
        let different: BTreeSet<_> = asked.iter().collect();
        prop_assert_eq!(different.len(), asked.len(), "somebody was asked twice");
        match found {
            Some(n) => prop_assert!(world.ones[n].has_it),
            None => {
                prop_assert!(world.ones.iter().all(|one| !one.has_it), "somebody has it");
                prop_assert_eq!(asked.len(), world.ones.len(), "everybody is asked before it is given up");
            }
        }
    }

    #[test]
    fn sites_are_asked_by_distance_and_the_authority_after_them(world in world()) {
        let mut nobody = world.clone();
        nobody.ones.iter_mut().for_each(|one| one.has_it = false);
        let (asked, _, _) = nobody.search(0, Reason::Failed, AMPLE, false);
        let is_site_last = |site: usize| {
            nobody.sites[site].1 && site != 0 && nobody.ones.iter().any(|one| one.site == site && one.is_authority)
        };
        let rank = |n: &usize| {
            let one = nobody.ones[*n];
            let distance = if one.site == 0 { 0 } else { nobody.sites[one.site].0.map_or(u64::MAX, |ms| ms + 1) };
            let is_last = is_site_last(one.site) || one.is_authority;
            // Within a site that goes last as a whole, the authority is the last again.
            (is_last, distance, one.site, one.is_authority)
        };
        let ranks: Vec<_> = asked.iter().map(rank).collect();
        prop_assert!(ranks.is_sorted(), "{:?} of {:?}", ranks, nobody);
    }

    #[test]
    fn a_search_keeps_to_its_hops_nested_ones_included(world in world(), hops in 0..6_u32) {
        let budget = Budget { hops, ..AMPLE };
        let (asked, _, taken) = world.search(0, Reason::Failed, budget, false);
        prop_assert!(asked.len() <= hops as usize, "{} surrogates with {} hops", asked.len(), hops);
        prop_assert!(taken <= hops);
    }

    #[test]
    fn for_room_only_those_are_asked_that_have_some(world in world()) {
        let (asked, _, _) = world.search(0, Reason::NoRoom, AMPLE, false);
        for n in asked {
            prop_assert!(world.ones[n].has_room);
        }
    }

    #[test]
    fn who_was_asked_before_is_not_asked_again_even_by_its_router(world in world(), first in any::<prop::sample::Index>()) {
        prop_assume!(!world.ones.is_empty());
        let first = first.index(world.ones.len());
        let seen = world.seen_from(0);
        let site = label(world.ones[first].site);
        let mut search = Search::new(label(0), Rule::default(), AMPLE, false, NOW);
        search.was_asked(&site, &key(first));
        while let Some(step) = search.next(&seen, Reason::Failed, NOW) {
            prop_assert_ne!(&step, &Step::Surrogate { key: key(first), site: site.clone() });
            prop_assert_ne!(step, Step::Site(site.clone()));
        }
    }

    #[test]
    fn where_a_router_is_lost_its_surrogates_are_asked_themselves(world in world()) {
        let seen = world.seen_from(0);
        let mut search = Search::new(label(0), Rule::default(), AMPLE, false, NOW);
        let (mut asked, mut lost) = (BTreeSet::new(), BTreeSet::new());
        while let Some(step) = search.next(&seen, Reason::Failed, NOW) {
            match step {
                Step::Surrogate { key, .. } => prop_assert!(asked.insert(key)),
                Step::Site(site) => {
                    prop_assert!(lost.insert(site.clone()), "a lost router is tried once");
                    search.router_is_lost(&site);
                }
            }
        }
        prop_assert_eq!(asked.len(), world.ones.len());
    }

    #[test]
    fn a_budget_is_read_as_it_was_written(hops in any::<u32>(), ms in 0..1_000_000_000_u64) {
        let budget = Budget { hops, deadline: Duration::from_millis(ms) };
        prop_assert_eq!(budget.to_string().parse(), Ok(budget));
    }

    #[test]
    fn any_field_is_read_or_refused_and_never_widens_a_budget(text in "(nested)?[;a-z0-9= -]{0,60}") {
        if let Ok(read) = text.parse::<Budget>() {
            prop_assert!(AMPLE.at_most(read).hops <= AMPLE.hops);
            prop_assert!(AMPLE.at_most(read).deadline <= AMPLE.deadline);
        }
    }
}

#[test]
fn statuses_are_searched_on_by_the_rule() {
    let rule = Rule { failures: Rule::FAILURES.to_vec(), not_found: false, authority: None };
    let searchable = Rule { not_found: true, ..rule.clone() };
    for status in [200, 206, 301, 304, 400, 401, 403, 410, 429, 501, 505] {
        assert_eq!(searchable.reason(status, false), None, "{status}");
    }
    for status in [500, 502, 503, 504] {
        assert_eq!(rule.reason(status, false), Some(Reason::Failed), "{status}");
    }
    assert_eq!(rule.reason(404, false), None);
    assert_eq!(searchable.reason(404, false), Some(Reason::NotFound));
    assert_eq!(rule.reason(421, false), Some(Reason::Misdirected));
    assert_eq!([429, 503].map(|status| rule.reason(status, true)), [Some(Reason::NoRoom); 2]);
    let told = Rule { failures: vec![501, 500], ..Rule::default() };
    assert_eq!([500, 501, 502].map(|status| told.reason(status, false)), [Some(Reason::Failed), None, None]);
}

#[test]
fn only_the_authority_s_404_says_that_a_thing_is_not_there() {
    let rule = Rule { not_found: true, authority: Some("origin--media".parse().unwrap()), ..Rule::default() };
    let search = |rule: &Rule, is_nested| Search::new(label(0), rule.clone(), AMPLE, is_nested, NOW);
    let asked = search(&rule, false);
    assert!(!asked.is_honest(Reason::NotFound, false) && asked.is_honest(Reason::NotFound, true));
    assert!(asked.is_honest(Reason::Failed, false));
    assert!(search(&Rule { authority: None, ..rule.clone() }, false).is_honest(Reason::NotFound, false));
    // A nested search speaks for its site: there a 404 is honest unless the authority is of this site and was not heard.
    let mut nested = search(&rule, true);
    assert!(nested.is_honest(Reason::NotFound, false));
    let here = World { sites: vec![(Some(0), false)], ones: vec![ONE, One { is_authority: true, ..ONE }] };
    nested.next(&here.seen_from(0), Reason::NotFound, NOW);
    assert!(!nested.is_honest(Reason::NotFound, false));
}

const ONE: One = One { site: 0, has_it: false, has_room: true, is_authority: false };

#[test]
fn the_deadline_ends_it() {
    let world = World { sites: vec![(Some(0), false)], ones: vec![ONE, ONE] };
    let mut search = Search::new(label(0), Rule::default(), AMPLE, false, NOW);
    let before = NOW + Duration::from_millis(4999);
    assert!(search.next(&world.seen_from(0), Reason::Failed, before).is_some());
    assert_eq!(search.budget(before).deadline, Duration::from_millis(1));
    assert_eq!(search.next(&world.seen_from(0), Reason::Failed, search.deadline()), None);
}

#[test]
fn a_circle_is_counted_by_router_and_name() {
    let name: Name = "media".parse().unwrap();
    let other: Name = "streaming".parse().unwrap();
    let mine = mark("flame-1", &name);
    let values = [
        "cdn.example; a=b",
        &mine,
        "flame-1;name=streaming.main, FLAME-1 ; name=media.main",
        "flame-2;name=media.main",
    ];
    assert_eq!(times_here(values, "flame-1", &name), 2);
    assert_eq!(times_here(values, "flame-1", &other), 1);
    assert_eq!(times_here(values, "flame-3", &name), 0);
    assert_eq!(times_here([], "flame-1", &name), 0);
}

#[test]
fn a_trail_shows_each_step_and_stays_short() {
    let (site, endpoint) = (label(1), "e7".parse().unwrap());
    let mut trail = Trail::default();
    let ms = Duration::from_millis;
    trail.visited(&Visit { site: &site, endpoint: Some(&endpoint), outcome: Outcome::Status(404), took: ms(2) });
    trail.nested("\"s2/e1\";status=200;ms=1");
    trail.nested("not a trail");
    trail.nested("\"s2\r\nX: y\"");
    trail.visited(&Visit { site: &site, endpoint: None, outcome: Outcome::NoAnswer, took: ms(9) });
    assert_eq!(trail.as_str(), "\"s1/e7\";status=404;ms=2.0, \"s2/e1\";status=200;ms=1, \"s1\";ms=9.0");
    for _ in 0..1000 {
        trail.nested("\"s2/e1\";status=200;ms=1");
    }
    assert!(trail.as_str().len() <= 4096);
}

#[test]
fn a_field_of_another_form_is_none_of_a_nested_search() {
    for text in ["", "site", "nested;hops=-1", "nested;hops=x", "nested;deadline-ms=1.5", "hops=3"] {
        assert_eq!(text.parse::<Budget>(), Err(NotNested), "{text:?}");
    }
    let open: Budget = "nested; hops=3; later=1".parse().unwrap();
    assert_eq!(open, Budget { hops: 3, deadline: Duration::MAX });
}

//! Placement against looking at every one of them.

use std::collections::BTreeMap;

use flame_orchestrator::plan::{Cluster, Estate, Plan, PlanError, Taken, plan};
use flame_orchestrator::staying::{Home, plan_around};
use flame_tosca::document::Place;
use flame_tosca::template::{Function, Resources};
use proptest::prelude::*;

const STEPS: u64 = 1_000_000;

fn function(name: &str, cpus: u64) -> Function {
    Function {
        name: name.to_owned(),
        at: Place::BEGIN,
        kind: String::new(),
        description: String::new(),
        takes: Resources { cpus, memory_bytes: 1, disk_bytes: 0 },
        image: String::new(),
        fqdn: vec![name.to_owned()],
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        registers_itself: false,
        ready_path: None,
        cluster: None,
        clusters: Vec::new(),
        beside: Vec::new(),
        apart_from: Vec::new(),
        demand: BTreeMap::new(),
    }
}

fn cluster(name: &str, site: &str, cpus: u64) -> Cluster {
    let has = Resources { cpus, memory_bytes: 100, disk_bytes: 100 };
    Cluster { name: name.to_owned(), site: site.to_owned(), tier: "edge".to_owned(), has }
}

/// What a placement costs, or nothing where it may not be. Written without looking at the search.
fn judged(estate: &Estate, functions: &[Function], places: &[usize]) -> Option<f64> {
    for (at, cluster) in estate.clusters.iter().enumerate() {
        let here = functions.iter().zip(places).filter(|(_, place)| **place == at);
        if here.map(|(function, _)| function.takes.cpus).sum::<u64>() > cluster.has.cpus {
            return None;
        }
    }
    let mut cost = 0.0;
    for (function, place) in functions.iter().zip(places) {
        let cluster = &estate.clusters[*place];
        if !function.clusters.is_empty() && !function.clusters.contains(&cluster.name) {
            return None;
        }
        for (other, its) in functions.iter().zip(places) {
            if function.beside.contains(&other.name) && its != place
                || function.apart_from.contains(&other.name) && its == place
            {
                return None;
            }
        }
        cost += function
            .demand
            .iter()
            .map(|(site, rate)| rate * estate.latency_ms(site, &cluster.site) / 1000.0)
            .sum::<f64>();
    }
    Some(cost)
}

/// The cheapest of all placements.
fn brute_force(estate: &Estate, functions: &[Function]) -> Option<f64> {
    let choices = estate.clusters.len();
    let all = choices.pow(u32::try_from(functions.len()).unwrap());
    let places = |number: usize| -> Vec<usize> {
        (0..functions.len()).map(|at| number / choices.pow(u32::try_from(at).unwrap()) % choices).collect()
    };
    (0..all).filter_map(|number| judged(estate, functions, &places(number))).min_by(f64::total_cmp)
}

fn case() -> impl Strategy<Value = (Estate, Vec<Function>)> {
    let clusters = prop::collection::vec(0u64..6, 1..5);
    let latencies = prop::collection::vec(1u32..50, 10);
    let functions = prop::collection::vec(
        (
            1u64..4,
            prop::collection::vec((0usize..4, 0u32..20), 0..3),
            prop::option::weighted(0.3, 0usize..4),
            prop::option::weighted(0.3, 0usize..5),
            prop::option::weighted(0.3, 0usize..5),
        ),
        1..6,
    );
    (clusters, latencies, functions).prop_map(|(clusters, latencies, functions)| {
        let site = |at: usize| format!("site{at}");
        let name = |at: usize| format!("f{at}");
        let listed: Vec<Cluster> =
            clusters.iter().enumerate().map(|(at, cpus)| cluster(&format!("c{at}"), &site(at), *cpus)).collect();
        let pairs = (0..4).flat_map(|from| (0..from).map(move |to| (from, to)));
        let latency_ms = pairs.zip(latencies).map(|((from, to), ms)| ((site(from), site(to)), f64::from(ms))).collect();
        let count = functions.len();
        let functions = functions.into_iter().enumerate().map(|(at, (cpus, demand, only, beside, apart))| Function {
            demand: demand.into_iter().map(|(from, rate)| (site(from), f64::from(rate))).collect(),
            clusters: only.map(|only| format!("c{only}")).into_iter().collect(),
            beside: beside.filter(|other| *other != at && *other < count).map(name).into_iter().collect(),
            apart_from: apart.filter(|other| *other != at && *other < count).map(name).into_iter().collect(),
            ..function(&name(at), cpus)
        });
        (Estate { clusters: listed, latency_ms, unknown_latency_ms: 100.0 }, functions.collect())
    })
}

fn placed(estate: &Estate, functions: &[Function]) -> Result<Plan, PlanError> {
    plan(estate, &Taken::default(), functions, STEPS)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn no_placement_is_cheaper((estate, functions) in case()) {
        match (placed(&estate, &functions), brute_force(&estate, &functions)) {
            (Ok(plan), Some(least)) => {
                let places: Vec<usize> = plan.places.iter().map(|place| place.cluster).collect();
                let cost = judged(&estate, &functions, &places);
                prop_assert!(cost.is_some(), "it may not be: {places:?}");
                prop_assert!(plan.is_exact && (plan.cost - least).abs() < 1e-9 && (cost.unwrap() - least).abs() < 1e-9, "{} for {least}", plan.cost);
            }
            (Err(_), None) => {}
            (ours, least) => prop_assert!(false, "{ours:?}, and by brute force {least:?}"),
        }
    }
}

#[test]
fn what_is_in_the_way_is_said() {
    let estate = Estate { clusters: vec![cluster("a", "s", 2), cluster("b", "t", 8)], ..Estate::default() };
    let only = |name: &str| Function { clusters: vec![name.to_owned()], ..function("f", 4) };
    assert_eq!(
        placed(&estate, &[only("a")]).unwrap_err().to_string(),
        "function `f` fits nowhere: a: it takes 4 cpus, 2 are left; b: it may only be at a"
    );
    let many: Vec<Function> = (0..3).map(|at| function(&format!("f{at}"), 4)).collect();
    assert_eq!(
        placed(&estate, &many).unwrap_err().to_string(),
        "the functions do not fit together: they take 12 cpus, 10 are left"
    );
    let taken = Taken { resources: [("b".to_owned(), Resources { cpus: 6, ..Resources::default() })].into() };
    assert!(
        plan(&estate, &taken, &[only("b")], STEPS).unwrap_err().to_string().contains("b: it takes 4 cpus, 2 are left")
    );
}

#[test]
fn a_thousand_functions_over_a_hundred_clusters_are_planned_and_the_gap_is_stated() {
    let clusters = (0..100).map(|at| cluster(&format!("c{at}"), &format!("s{at}"), 24)).collect();
    let estate = Estate { clusters, unknown_latency_ms: 20.0, ..Estate::default() };
    let wanted = |at: usize| Function {
        // More is wanted at some sites than fits there.
        demand: [(format!("s{}", at * at % 100), 1.0 + (at % 7) as f64)].into(),
        takes: Resources { cpus: 2, memory_bytes: 1, disk_bytes: 0 },
        ..function(&format!("f{at}"), 2)
    };
    let functions: Vec<Function> = (0..1000).map(wanted).collect();
    let plan = plan(&estate, &Taken::default(), &functions, 100_000).unwrap();
    let places: Vec<usize> = plan.places.iter().map(|place| place.cluster).collect();
    assert!(judged(&estate, &functions, &places).is_some());
    assert!(!plan.is_exact && plan.bound <= plan.cost && plan.cost > 0.0, "{} to {}", plan.bound, plan.cost);
}

#[test]
fn long_lists_of_neighbours_cost_the_search_nothing() {
    let clusters = (0..3).map(|at| cluster(&format!("c{at}"), "s", 100)).collect();
    let estate = Estate { clusters, ..Estate::default() };
    // No three of them may share a cluster with another, so the search goes on to its last step.
    let others: Vec<String> = (0..50_000).map(|at| format!("f{}", at % 30)).collect();
    let apart = |at: usize| {
        let name = format!("f{at}");
        Function { apart_from: others.iter().filter(|other| **other != name).cloned().collect(), ..function(&name, 1) }
    };
    let functions: Vec<Function> = (0..30).map(apart).collect();
    let began = std::time::Instant::now();
    let said = plan(&estate, &Taken::default(), &functions, 200_000).unwrap_err();
    assert!(matches!(said, PlanError::NotTogether(_) | PlanError::Unknown(_)), "{said}");
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

fn home(function: &Function, cluster: &str) -> Home {
    Home { function: function.name.clone(), cluster: cluster.to_owned(), takes: function.takes }
}

#[test]
fn what_runs_stays_unless_what_is_asked_for_now_forbids_it() {
    let estate = Estate {
        clusters: vec![cluster("a", "s", 4), cluster("b", "t", 4)],
        unknown_latency_ms: 9.0,
        ..Estate::default()
    };
    let places = |functions: &[Function], homes: &[Home]| {
        let plan =
            plan_around(&estate, &Taken::default(), functions, homes, STEPS).map_err(|error| error.to_string())?;
        Ok(plan
            .places
            .iter()
            .map(|place| (estate.clusters[place.cluster].name.clone(), place.reason.clone()))
            .collect::<Vec<_>>())
    };
    let names = |functions: &[Function], homes: &[Home]| -> Vec<String> {
        places(functions, homes)
            .map(|found: Vec<_>| found.into_iter().map(|(name, _)| name).collect())
            .unwrap_or_else(|error: String| vec![error])
    };
    let wanted = Function { demand: [("t".to_owned(), 5.0)].into(), ..function("f", 3) };
    assert_eq!(names(std::slice::from_ref(&wanted), &[]), ["b"]);
    // It stays, and its room is counted once.
    let there = [home(&wanted, "a")];
    assert_eq!(
        places(std::slice::from_ref(&wanted), &there),
        Ok(vec![("a".to_owned(), "it is there already".to_owned())])
    );
    let only = Function { clusters: vec!["b".to_owned()], ..wanted.clone() };
    assert_eq!(names(&[only], &there), ["b"], "its list says another cluster now");
    let named = Function { cluster: Some("b".to_owned()), ..wanted };
    assert_eq!(names(&[named], &there), ["b"], "a policy says another cluster now");
    let (one, two) = (function("one", 1), function("two", 1));
    let both = [home(&one, "a"), home(&two, "a")];
    let apart = Function { apart_from: vec!["one".to_owned()], ..two.clone() };
    assert_eq!(names(&[one.clone(), apart], &both), ["a", "b"], "one of the two goes");
    // A newcomer that can be at one place only, and not with who is there.
    let newcomer =
        Function { apart_from: vec!["one".to_owned()], clusters: vec!["a".to_owned()], ..function("new", 1) };
    assert_eq!(names(&[one, newcomer], &both[..1]), ["b", "a"]);
    let large = Function { clusters: vec!["a".to_owned()], ..function("large", 4) };
    let said = names(&[two.clone(), large], &[home(&two, "a")]);
    assert!(said[0].contains("do not fit together"), "who moves is there until it has moved: {said:?}");
}

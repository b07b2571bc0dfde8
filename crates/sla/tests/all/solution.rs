//! Solutions of random small demands, judged by looking at every number of surrogates of every size at every cluster.

use std::collections::BTreeMap;

use flame_api::orchestrator::sla::{Calibration, Level, Rendition, Surrogate};
use flame_sla::document::{Assumed, Budget, Content, Demand, Price, Targets, Watching};
use flame_sla::model::{Choice, Cluster, Limits, Model};
use flame_sla::{Sla, answer};
use flame_tosca::template::Given;
use proptest::prelude::*;

const STEPS_MAX: u64 = 1_000_000;
const INSTANCES_MAX: u64 = 4;

fn calibration() -> Calibration {
    let level = |load: f64, start_up_p95_ms: f64, stalled_share: f64| Level {
        load,
        viewers: (load * 40.0) as u64,
        viewer_bps: 0.97e6,
        viewer_requests_per_s: 1.1,
        start_up_p50_ms: start_up_p95_ms / 2.0,
        start_up_p95_ms,
        stalled_share,
    };
    let rendition = |name: &str, bitrate_bps, vmaf| Rendition { name: name.to_owned(), bitrate_bps, vmaf: Some(vmaf) };
    Calibration {
        measured_at: "2026-11-27T12:00:00Z".to_owned(),
        surrogate: Surrogate { cpus: 1, overhead_bytes: 32 << 20, uplink_bytes_per_s: Some(5_000_000) },
        capacity_bps: 40e6,
        renditions: vec![rendition("v360", 0.5e6, 61.0), rendition("v720", 1e6, 84.0)],
        rendition: "v720".to_owned(),
        arrive_ms: 5000,
        requests_before_picture: 6.0,
        hit_ms: 1.0,
        miss_ms: 25.0,
        repair_s: 20.0,
        levels: vec![level(0.3, 300.0, 0.0), level(0.6, 700.0, 0.004), level(0.9, 2400.0, 0.06)],
    }
}

fn demands() -> impl Strategy<Value = Sla> {
    let watching = (0u64..70, 0u64..70).prop_map(|(day, evening)| {
        vec![Watching { from_h: 6.0, count: day }, Watching { from_h: 18.0, count: evening + 1 }]
    });
    let targets = (
        prop::option::of(200.0f64..3000.0),
        prop::option::of(0.0f64..0.08),
        prop::option::of(prop::sample::select(vec![50.0, 80.0, 90.0])),
        prop::option::of(prop::sample::select(vec![0.9, 0.999, 0.999_999])),
    );
    let budget = (prop::option::of(1u64..10), prop::option::of(100u64..1500), prop::option::of(0.5f64..15.0));
    (prop::collection::vec(watching, 1..3), targets, budget, 0.5f64..3.0, 1u64..60).prop_map(
        |(
            sites,
            (start_up_ms, stalled_share, vmaf, availability),
            (cpus, memory_mib, per_hour),
            edge_price,
            assets,
        )| Sla {
            sla: "tested".to_owned(),
            about: String::new(),
            content: Content { assets, duration_s: 60.0, skew: 0.8 },
            demand: sites
                .into_iter()
                .enumerate()
                .map(|(at, viewers)| Demand { site: format!("site{at}"), viewers, arrive_s: 10.0 })
                .collect(),
            targets: Targets { start_up_ms, stalled_share, vmaf, availability },
            budget: Budget { cpus, memory_mib, per_hour },
            prices: vec![
                Price { at: "edge".to_owned(), cpu: edge_price, gib: 0.3 },
                Price { at: "any".to_owned(), cpu: 1.0, gib: 0.1 },
            ],
            cache_mib: vec![16, 128],
            instances_max: INSTANCES_MAX,
            assumed: Assumed { failures_per_day: 3.0 },
        },
    )
}

fn clusters() -> impl Strategy<Value = Vec<Cluster>> {
    let cluster = (0u64..6, 100u64..900, 0.0f64..40.0, 0.0f64..40.0);
    prop::collection::vec(cluster, 1..4).prop_map(|all| {
        let make = |(at, (cpus, mib, one, other)): (usize, (u64, u64, f64, f64))| Cluster {
            name: format!("c{at}"),
            site: format!("site{at}"),
            tier: if at == 0 { "data_centre" } else { "edge" }.to_owned(),
            cpus,
            memory_bytes: mib << 20,
            latency_ms: vec![one, other],
        };
        all.into_iter().enumerate().map(make).collect()
    })
}

/// The least that any surrogates cost which keep the promise; every number of every size at every cluster is looked at.
fn cheapest(sla: &Sla, calibration: &Calibration, clusters: &[Cluster]) -> Option<f64> {
    let (model, limits) = (Model::new(sla, calibration, clusters).unwrap(), Limits::of(sla));
    let options: Vec<Option<Choice>> = std::iter::once(None)
        .chain(
            (0..sla.cache_mib.len())
                .flat_map(|size| (1..=INSTANCES_MAX).map(move |instances| Some(Choice { instances, size }))),
        )
        .collect();
    let mut best: Option<f64> = None;
    for mut number in 0..options.len().pow(u32::try_from(clusters.len()).unwrap()) {
        let choices: Vec<_> = clusters
            .iter()
            .map(|_| {
                let choice = options[number % options.len()];
                number /= options.len();
                choice
            })
            .collect();
        if let Some((takes, _)) = model.predict(&limits, &choices) {
            best = Some(best.map_or(takes.per_hour, |best| best.min(takes.per_hour)));
        }
    }
    best
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn nothing_is_cheaper_and_what_is_offered_instead_is_possible(sla in demands(), clusters in clusters()) {
        let calibration = calibration();
        let solution = answer(&sla, &calibration, &clusters, STEPS_MAX).unwrap();
        let cheapest = cheapest(&sla, &calibration, &clusters);
        prop_assert!(solution.is_exact);
        prop_assert_eq!(solution.is_feasible, cheapest.is_some());
        let Some(cheapest) = cheapest else {
            prop_assert!(solution.template.is_none() && solution.sizes.is_empty());
            for one in &solution.nearest {
                let mut nearer = sla.clone();
                match one.constraint.as_str() {
                    "start_up_ms" => nearer.targets.start_up_ms = Some(one.possible),
                    "stalled_share" => nearer.targets.stalled_share = Some(one.possible),
                    "vmaf" => nearer.targets.vmaf = Some(one.possible),
                    "availability" => nearer.targets.availability = Some(one.possible),
                    "budget.cpus" => nearer.budget.cpus = Some(one.possible as u64),
                    "budget.memory_mib" => nearer.budget.memory_mib = Some(one.possible as u64),
                    "budget.per_hour" => nearer.budget.per_hour = Some(one.possible),
                    "demand" => nearer = sla.scaled(one.possible),
                    "room" => continue,
                    other => panic!("{other} is no constraint"),
                }
                let found = answer(&nearer, &calibration, &clusters, STEPS_MAX).unwrap();
                prop_assert!(found.is_feasible, "{one:?}");
                prop_assert!((found.cost_per_hour - one.cost_per_hour).abs() < 1e-6, "{one:?}: {}", found.cost_per_hour);
            }
            return Ok(());
        };
        prop_assert!((solution.cost_per_hour - cheapest).abs() < 1e-9, "{} found, {cheapest} possible", solution.cost_per_hour);
        // What is predicted keeps what was asked for.
        for one in &solution.predicted {
            prop_assert!(sla.targets.start_up_ms.is_none_or(|most| one.start_up_p95_ms <= most + 1e-9));
            prop_assert!(sla.targets.stalled_share.is_none_or(|most| one.stalled_share <= most + 1e-9));
            prop_assert!(sla.targets.vmaf.is_none_or(|least| one.vmaf.unwrap() >= least));
            prop_assert!(sla.targets.availability.is_none_or(|least| one.availability >= least));
            prop_assert!(one.load <= 0.9 + 1e-9, "nothing is said beyond what was measured: {}", one.load);
        }
        // What binds is dearer with it than without, by as much as is said.
        for one in &solution.binding {
            prop_assert!(one.saves_per_hour > 0.0 && one.saves_per_hour <= solution.cost_per_hour);
        }
        let given = Given { inputs: &BTreeMap::new(), instance: None, import: &|_| None };
        let template = flame_tosca::read(solution.template.as_ref().unwrap(), given);
        let template = template.map_err(|errors| TestCaseError::fail(format!("{errors:?}\n{}", solution.template.clone().unwrap())))?;
        let instances: u64 = solution.sizes.iter().map(|size| size.instances).sum();
        prop_assert_eq!(template.functions.len() as u64, instances);
        prop_assert_eq!(template.functions.iter().map(|function| function.takes.cpus).sum::<u64>(), solution.cpus);
    }
}

fn town() -> (Sla, Vec<Cluster>) {
    let mut sla = Sla::read(include_str!("../../../../templates/sla/town.yaml")).unwrap();
    sla.content.duration_s = 60.0;
    let cluster = Cluster {
        name: "local".to_owned(),
        site: "local".to_owned(),
        tier: "data_centre".to_owned(),
        cpus: 16,
        memory_bytes: 16 << 30,
        latency_ms: vec![0.0],
    };
    (sla, vec![cluster])
}

#[test]
fn an_evening_takes_as_many_as_its_peak_and_says_what_binds() {
    let (sla, clusters) = town();
    let solution = answer(&sla, &calibration(), &clusters, STEPS_MAX).unwrap();
    // 90 viewers of 1 Mbit/s, of whom a surrogate bears 0.668 times 40 (stalls of 2 % at most): four, and one for failures.
    let size = &solution.sizes[0];
    assert_eq!((size.needed, size.instances, size.cache_bytes), (4, 5, 64 << 20), "{solution:#?}");
    assert_eq!(solution.rendition, "v720");
    let binding: Vec<_> = solution.binding.iter().map(|one| one.constraint.as_str()).collect();
    assert!(binding.contains(&"vmaf") && binding.contains(&"stalled_share"), "{binding:?}");
    let peak = solution.predicted.iter().find(|one| one.viewers == 90).unwrap();
    assert!((peak.load - 90.0 / 200.0).abs() < 1e-9 && (peak.delivered_bps - 90.0 * 0.97e6).abs() < 1.0, "{peak:?}");
}

#[test]
fn what_cannot_be_is_answered_with_what_can() {
    let (mut sla, clusters) = town();
    sla.budget.cpus = Some(2);
    let solution = answer(&sla, &calibration(), &clusters, STEPS_MAX).unwrap();
    assert!(!solution.is_feasible && solution.template.is_none());
    let nearest: BTreeMap<_, _> = solution.nearest.iter().map(|one| (one.constraint.as_str(), one.possible)).collect();
    assert_eq!(nearest["budget.cpus"], 5.0, "{nearest:?}");
    assert!((0.1..0.5).contains(&nearest["demand"]), "{nearest:?}");
    // Viewers who come faster than was measured are not guessed at.
    sla.demand[0].arrive_s = 1.0;
    let refused = answer(&sla, &calibration(), &clusters, STEPS_MAX).unwrap_err();
    assert!(refused.contains("--ramp 1.0s"), "{refused}");
}

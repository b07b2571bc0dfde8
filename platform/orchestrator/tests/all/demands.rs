//! Demands over HTTP: against the clusters that are configured, beside what is deployed; wrong ones are told where.

use std::time::Duration;

use flame_api::ClientError;
use flame_api::orchestrator::sla::{Calibration, Level, NewSolution, Rendition, Surrogate};
use flame_orchestrator::config::{ClusterConfig, LinkConfig, Tier};
use flame_service_host::config::{Bytes, Span};

use crate::world::World;

const SLA: &str = "sla: evening
content: { assets: 10, duration_s: 60, skew: 0.8 }
demand:
  - site: harbour
    viewers: [ { from_h: 18, count: 60 } ]
targets: { start_up_ms: 1500, vmaf: 80 }
cache_mib: [ 128 ]
";

fn calibration() -> Calibration {
    let level = |load: f64, start_up_p95_ms: f64| Level {
        load,
        viewers: 1,
        viewer_bps: 1e6,
        viewer_requests_per_s: 1.0,
        start_up_p50_ms: start_up_p95_ms / 2.0,
        start_up_p95_ms,
        stalled_share: 0.0,
    };
    Calibration {
        measured_at: "2026-11-27T12:00:00Z".to_owned(),
        surrogate: Surrogate { cpus: 1, overhead_bytes: 64 << 20, uplink_bytes_per_s: None },
        capacity_bps: 40e6,
        renditions: vec![Rendition { name: "v720".to_owned(), bitrate_bps: 1e6, vmaf: Some(85.0) }],
        rendition: "v720".to_owned(),
        arrive_ms: 5000,
        requests_before_picture: 6.0,
        hit_ms: 1.0,
        miss_ms: 5.0,
        repair_s: 2.0,
        levels: vec![level(0.3, 300.0), level(0.9, 1200.0)],
    }
}

#[tokio::test]
async fn a_demand_is_placed_beside_what_is_deployed_and_deployed_as_it_is_answered() {
    let cluster = |name: &str, site: &str, tier: Tier, cpus: u64| ClusterConfig {
        name: name.to_owned(),
        site: site.to_owned(),
        tier,
        cpus,
        memory: Bytes(8 << 30),
        disk: Bytes(8 << 30),
        router: None,
    };
    let link =
        LinkConfig { from: "harbour".to_owned(), to: "cloud".to_owned(), latency: Span(Duration::from_millis(60)) };
    let mut world = World::start_with(|config| {
        config.placement.clusters =
            vec![cluster("hall", "cloud", Tier::DataCentre, 64), cluster("cabinet", "harbour", Tier::FarEdge, 4)];
        config.placement.links = vec![link];
    })
    .await;
    let ask = |sla: String| {
        let client = world.client.clone();
        async move { client.solve(&NewSolution { sla, calibration: calibration() }).await }
    };
    // 60 ms one way and seven round trips: from the cloud it takes more of them, each hardly asked. The cabinet is near.
    let near = ask(SLA.to_owned()).await.unwrap();
    let places: Vec<_> = near.sizes.iter().map(|size| (size.cluster.as_str(), size.instances)).collect();
    assert_eq!(places, [("cabinet", 2)], "{near:#?}");
    assert!(near.predicted[0].start_up_p95_ms < 1500.0 && near.template.as_ref().unwrap().contains("[ \"cabinet\" ]"));
    // What stands there already has taken the room: it is the cloud then, with so many that distance is made up for.
    let mut request = world.request("hello");
    request.template = request
        .template
        .replace("num_cpus: 1", "num_cpus: 2")
        .replace("fqdn: [ web ]", "fqdn: [ web ]\n        clusters: [ cabinet ]");
    world.client.deploy(&request).await.unwrap();
    let far = ask(SLA.to_owned()).await.unwrap();
    let places: Vec<_> = far.sizes.iter().map(|size| (size.cluster.as_str(), size.instances)).collect();
    assert_eq!(places, [("hall", 3)], "{far:#?}");
    assert_eq!(far.binding[0].constraint, "start_up_ms", "{far:#?}");
    // Too much for all of it: what would be possible is told.
    let crowd = ask(SLA.replace("count: 60", "count: 100000")).await.unwrap();
    assert!(!crowd.is_feasible && crowd.nearest.iter().any(|one| one.constraint == "demand"), "{crowd:#?}");
    let refused = |answer| match answer {
        Err(ClientError::Refused { problem, .. }) => (problem.status, problem.detail),
        other => panic!("{other:?}"),
    };
    let (status, detail) = refused(ask(SLA.replace("skew", "skw")).await);
    assert!(status == 422 && detail.contains("line 2"), "{status} {detail}");
    let (status, detail) = refused(ask(SLA.replace("    viewers:", "    arrive_s: 1\n    viewers:")).await);
    assert!(status == 422 && detail.contains("--ramp"), "{status} {detail}");
    world.orchestrator.take().unwrap().stop().await;
}

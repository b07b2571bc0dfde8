//! What outlives a run: records of other clocks, of a crash, of templates that are not understood any more; and what is forgotten.

use flame_api::orchestrator::NewDeployment;
use flame_test_kit::eventually;
use serde_json::{Value, json};

use crate::world::{PATIENCE, World, kill, states};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_started_and_not_noted_is_taken_over() {
    let mut world = World::start().await;
    world.client.deploy(&world.request("one")).await.unwrap();
    world.settled().await;
    let mut running = world.processes();
    // As a crash between a start and its note leaves it.
    let crash = |record: &mut Value| {
        for endpoint in record["endpoints"].as_array_mut().unwrap() {
            endpoint["process"] = Value::Null;
            endpoint["stage"] = json!("booting");
        }
    };
    world.remember(crash).await;
    let found = world.settled().await;
    let mut known: Vec<u32> = found.endpoints.iter().filter_map(|one| one.pid).collect();
    known.sort_unstable();
    running.sort_unstable();
    assert_eq!((&known, world.processes().len()), (&running, 2), "they are taken over, and none is started");
    assert!(found.endpoints.iter().all(|one| one.failures == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_set_back_holds_nothing_up() {
    let mut world = World::start().await;
    world.client.deploy(&world.request("one")).await.unwrap();
    world.settled().await;
    let pids = world.processes();
    // Written an hour ahead of the clock, in a rest after failures.
    let set_back = |record: &mut Value| {
        for endpoint in record["endpoints"].as_array_mut().unwrap() {
            endpoint["since_ms"] = json!(endpoint["since_ms"].as_u64().unwrap() + 3_600_000);
            (endpoint["stage"], endpoint["failures"]) = (json!("placed"), json!(3));
            endpoint["process"] = Value::Null;
        }
    };
    pids.into_iter().for_each(kill);
    world.remember(set_back).await;
    assert_eq!(states(&world.settled().await), [("first", "connected"), ("second", "booted")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_that_is_not_understood_any_more_goes_on_and_can_be_let_go() {
    let mut world = World::start().await;
    world.client.deploy(&world.request("one")).await.unwrap();
    world.settled().await;
    let stricter = |record: &mut Value| {
        let template = record["request"]["template"].as_str().unwrap().replace("fqdn:", "fqnd:");
        record["request"]["template"] = json!(template);
    };
    world.remember(stricter).await;
    let found = world.deployment().await.expect("it is still there");
    let problem = found.problem.unwrap();
    assert!(problem.contains("not understood any more") && problem.contains("fqnd"), "{problem}");
    let (_, pid, _) = eventually(PATIENCE, || world.get()).await;
    kill(pid);
    eventually(PATIENCE, || async {
        match world.get().await {
            Ok((function, other, _)) if function == "first" && other != pid => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // A right one takes it over as it is.
    world.client.deploy(&world.request("one")).await.unwrap();
    let found = world.settled().await;
    assert_eq!((found.problem.as_ref(), states(&found)), (None, vec![("first", "connected"), ("second", "booted")]));
    world.remember(stricter).await;
    assert!(world.client.undeploy("tested", &world.instance).await.unwrap());
    eventually(PATIENCE, || async {
        let left = (world.deployment().await.is_some(), world.processes().len());
        if left == (false, 0) { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_has_its_bounds() {
    let world = World::start_with(|config| {
        config.store.tenant_deployments = 2;
        config.store.gone_decisions = 3;
    })
    .await;
    let placed = |instance: &str| NewDeployment {
        template: world
            .template("one")
            .replace("lifecycle.connected", "lifecycle.placed")
            .replace("lifecycle.booted", "lifecycle.placed"),
        instance: Some(instance.to_owned()),
        imports: [("unused.yaml".to_owned(), "x: ".repeat(1 << 18))].into(),
        ..NewDeployment::default()
    };
    let deploy = async |instance: &str| {
        world.client.deploy(&placed(instance)).await.map(drop).map_err(|error| error.to_string())
    };
    for instance in ["one", "two"] {
        deploy(instance).await.unwrap();
    }
    let said = deploy("three").await.unwrap_err();
    assert!(
        said.contains("2 templates of the tenant are deployed") && said.contains("store.tenant_deployments"),
        "{said}"
    );
    let pool = world.database().await;
    let longest: i64 =
        sqlx::query_scalar("SELECT max(length(record)) FROM deployments").fetch_one(&pool).await.unwrap();
    assert!(longest < 64 << 10, "{longest} bytes are written at each step");
    for instance in ["one", "two"] {
        world.client.undeploy("tested", instance).await.unwrap();
        eventually(PATIENCE, || async {
            let found = world.client.deployment("tested", instance).await.map_err(|error| error.to_string())?;
            if found.is_none() { Ok(()) } else { Err("it is still there".to_owned()) }
        })
        .await;
    }
    eventually(PATIENCE, || async {
        let old = world.client.decisions("tested", "one").await.map_err(|error| error.to_string())?;
        let last = world.client.decisions("tested", "two").await.map_err(|error| error.to_string())?;
        match (old, last.map(|page| page.items.len())) {
            (None, Some(3)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

//! Endpoints that do not start, are silent, or leave children: what is told of them, and that they hold nobody up.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use flame_api::orchestrator::{DeployedEndpoint, NewDeployment};
use flame_test_kit::eventually;
use serde_json::json;

use crate::world::{PATIENCE, World, kill};

fn request(template: String) -> NewDeployment {
    NewDeployment { template, ..NewDeployment::default() }
}

/// Waits until the first function has failed, with a problem that says `wanted`.
async fn problem(world: &World, wanted: &str) -> DeployedEndpoint {
    eventually(PATIENCE, || async {
        let found = world.deployment().await.ok_or("there is no deployment")?;
        let first = found.endpoints.into_iter().find(|one| one.function == "first").ok_or("there is no first")?;
        let said = first.problem.clone().unwrap_or_default();
        if said.contains(wanted) && first.failures > 0 {
            Ok(first)
        } else {
            Err(format!("{said:?} in {}", first.state))
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_an_endpoint_does_not_start_is_told() {
    let world = World::start().await;
    let broken = world.folder().join("broken");
    std::fs::write(&broken, "#!/nowhere/at/all\n").unwrap();
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (image, wanted, decided) in [
        (broken.display().to_string(), "No such file or directory", "it was not started"),
        ("/bin/false".to_owned(), "exit status: 1", "it ended by itself while it was booting"),
    ] {
        world.client.deploy(&request(world.template("one").replace("/usr/bin/python3", &image))).await.unwrap();
        problem(&world, wanted).await;
        eventually(PATIENCE, || async {
            let decisions =
                world.client.decisions("tested", &world.instance).await.map_err(|error| error.to_string())?;
            let decisions = decisions.ok_or("nothing was decided")?.items;
            let mut buried = decisions.iter().filter(|one| one.action == "bury").map(|one| &one.reason);
            let is_told = buried.any(|reason| reason.contains(decided) && reason.contains(wanted));
            if is_told { Ok(()) } else { Err(format!("{decisions:?}")) }
        })
        .await;
    }
    world.client.deploy(&world.request("one")).await.unwrap();
    let well = world.settled().await;
    assert!(well.endpoints.iter().all(|one| one.problem.is_none()), "what is over is not told any more: {well:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_cannot_be_done_is_told_once_and_tried_less_and_less_often() {
    let world = World::start_with(|config| {
        let in_the_way = config.process.folder.with_file_name("in-the-way");
        std::fs::write(&in_the_way, "").unwrap();
        config.process.folder = in_the_way.join("endpoints");
    })
    .await;
    world.client.deploy(&world.request("one")).await.unwrap();
    let first = eventually(PATIENCE, || async {
        let first = problem(&world, "Not a directory").await;
        if first.failures >= 4 { Ok(first) } else { Err(format!("{} failures", first.failures)) }
    })
    .await;
    assert!(first.problem.unwrap().contains("it could not be done (place): making "));
    let decisions = world.client.decisions("tested", &world.instance).await.unwrap().unwrap().items;
    let told = decisions.iter().filter(|one| one.subject == "first" && one.action == "place");
    assert_eq!(told.count(), 1, "{decisions:?}");
    std::fs::remove_file(world.config.process.folder.parent().unwrap()).unwrap();
    assert!(world.settled().await.endpoints.iter().all(|one| one.problem.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_silent_holds_up_nobody() {
    const SILENT: usize = 12;
    let world = World::start().await;
    world.client.deploy(&world.request("one")).await.unwrap();
    world.settled().await;
    world.client.deploy(&request(world.silent(SILENT))).await.unwrap();
    eventually(PATIENCE, || async {
        let found = world.client.deployment("silence", &world.instance).await.map_err(|error| error.to_string())?;
        let booting = found.map_or(0, |one| one.endpoints.iter().filter(|one| one.state == "booting").count());
        if booting == SILENT { Ok(()) } else { Err(format!("{booting} boot")) }
    })
    .await;
    let message = json!({ "message": "TRUE", "details": format!("sfci={}", world.instance) });
    let mut slowest = Duration::ZERO;
    for alert in ["slow", "calm", "slow"] {
        let began = std::time::Instant::now();
        let url = world.client.url("orchestrator", &format!("tested/crowd/{alert}"));
        assert_eq!(world.http.post(url).json(&message).send().await.unwrap().status(), 200);
        slowest = slowest.max(began.elapsed());
    }
    // One after the other they would take half a second each, all of which a message would wait for.
    assert!(slowest < Duration::from_millis(500 * SILENT as u64 / 2), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_go_with_who_started_them() {
    let world = World::start().await;
    let template = world.template("one").replace("{ SAY:", "{ CHILD: one, SAY:");
    world.client.deploy(&request(template)).await.unwrap();
    world.settled().await;
    let count = |wanted: usize| {
        let world = &world;
        eventually(PATIENCE, move || async move {
            let found = world.processes().len();
            if found == wanted { Ok(()) } else { Err(format!("{found} processes")) }
        })
    };
    count(4).await;
    let (_, pid, _) = world.get().await.unwrap();
    kill(pid);
    eventually(PATIENCE, || async {
        match world.get().await {
            Ok((function, other, _)) if function == "first" && other != pid => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    count(4).await;
    world.client.undeploy("tested", &world.instance).await.unwrap();
    count(0).await;
}

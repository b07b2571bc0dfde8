//! Templates that run: healed, moved by alerts, changed without a failed request, gone on with after a crash.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flame_api::orchestrator::{FunctionState, NewDeployment};
use flame_orchestrator::config::{ClusterConfig, Tier};
use flame_service_host::config::{Bytes, Span};
use flame_test_kit::eventually;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::world::{PATIENCE, World, hang, kill, states};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deployed_is_served_and_what_is_killed_is_back() {
    let world = World::start().await;
    let plan = world.client.plan(&world.request("one")).await.unwrap();
    assert_eq!((plan.places.len(), plan.is_exact, world.processes().len()), (2, true, 0), "a plan starts nothing");
    world.client.deploy(&world.request("one")).await.unwrap();
    let deployment = world.settled().await;
    assert_eq!(states(&deployment), [("first", "connected"), ("second", "booted")]);
    for _ in 0..10 {
        assert_eq!(world.get().await.unwrap().0, "first", "who stands by gets no requests");
    }
    let (_, pid, _) = world.get().await.unwrap();
    kill(pid);
    eventually(PATIENCE, || async {
        match world.get().await {
            Ok((function, other, _)) if function == "first" && other != pid => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let decisions = world.client.decisions("tested", &world.instance).await.unwrap().unwrap().items;
    let said = |action: &str, reason: &str| {
        decisions.iter().any(|one| one.subject == "first" && one.action == action && one.reason.contains(reason))
    };
    assert!(
        said("bury", "it ended by itself while it was connected") && said("boot", "failed 1 times"),
        "{decisions:?}"
    );
    assert!(world.client.undeploy("tested", &world.instance).await.unwrap());
    eventually(PATIENCE, || async {
        let left = (world.deployment().await.is_some(), world.processes().len());
        if left == (false, 0) { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    assert!(world.get().await.is_err(), "the name is nobody's any more");
    assert_eq!(std::fs::read_dir(world.folder().join("endpoints")).unwrap().count(), 0, "their folders are gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hangs_is_found_out_and_replaced_and_the_others_are_left_alone() {
    let world = World::start_with(|config| {
        config.lifecycle.ask_every = Span(Duration::from_millis(100));
        config.lifecycle.answer = Span(Duration::from_millis(500));
        config.lifecycle.silent = Span(Duration::from_secs(2));
    })
    .await;
    world.client.deploy(&world.request("one")).await.unwrap();
    let before = world.settled().await;
    let (_, pid, _) = world.get().await.unwrap();
    // It is alive, its port takes connections, and nothing comes back.
    hang(pid);
    eventually(PATIENCE, || async {
        match world.get().await {
            Ok((function, other, _)) if function == "first" && other != pid => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let after = world.settled().await;
    let of = |deployment: &flame_api::orchestrator::Deployment, function: &str| {
        deployment.endpoints.iter().find(|one| one.function == function).map(|one| (one.pid, one.failures)).unwrap()
    };
    assert_eq!(of(&before, "second"), of(&after, "second"), "who answers is not touched");
    assert_eq!(of(&after, "first").1, 1);
    assert!(!world.processes().contains(&pid), "it is ended, not only left alone");
    let decisions = world.client.decisions("tested", &world.instance).await.unwrap().unwrap().items;
    let hung = decisions.iter().find(|one| one.action == "kill").expect("it is said why");
    assert!(
        hung.subject == "first" && hung.reason.contains("was connected") && hung.reason.contains("it hangs"),
        "{hung:?}"
    );
}

async fn tell(world: &World, alert: &str, message: &str, instance: &str) -> (u16, Value) {
    let body = json!({ "message": message, "id": alert, "level": "CRITICAL", "details": format!("db=tested,sfc=tested,sfci={instance},policy=crowd") });
    let url = world.client.url("orchestrator", &format!("tested/crowd/{alert}"));
    let answer = world.http.post(url).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_connects_a_standby_and_lets_it_stand_by_again() {
    let world = World::start().await;
    world.client.deploy(&world.request("one")).await.unwrap();
    world.settled().await;
    let answering = async || {
        let mut answered = std::collections::BTreeSet::new();
        for _ in 0..20 {
            answered.insert(world.get().await?.0);
        }
        Ok::<_, String>(answered.into_iter().collect::<Vec<_>>())
    };
    let want = |function, state| world.client.want_state(("tested", &world.instance, function), state);
    let cases = [
        (FunctionState::Connected, vec!["first", "second"], "connected"),
        (FunctionState::Booted, vec!["first"], "booted"),
        (FunctionState::Placed, vec!["first"], "placed"),
        (FunctionState::Connected, vec!["first", "second"], "connected"),
    ];
    for (state, expected, word) in cases {
        want("second", state).await.unwrap();
        let deployment = world.settled().await;
        assert_eq!(states(&deployment), [("first", "connected"), ("second", word)]);
        eventually(PATIENCE, || async {
            let answered = answering().await?;
            if answered == expected { Ok(()) } else { Err(format!("{answered:?} instead of {expected:?}")) }
        })
        .await;
    }
    let decisions = world.client.decisions("tested", &world.instance).await.unwrap().unwrap().items;
    let moved = decisions.iter().filter(|one| one.subject == "second" && one.action == "moved");
    assert_eq!(moved.filter(|one| one.reason.starts_with("somebody asked for it")).count(), 4);
    for (wrong, function) in [(world.instance.as_str(), "third"), ("nowhere", "second")] {
        let refused = world.client.want_state(("tested", wrong, function), FunctionState::Connected).await;
        assert_eq!(refused.unwrap_err().status(), Some(404));
    }
    // What runs of it goes on after a change that asks for the same: somebody's wish is not forgotten.
    world.client.deploy(&world.request("one")).await.unwrap();
    assert_eq!(states(&world.settled().await), [("first", "connected"), ("second", "connected")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_connects_the_standby_and_another_one_takes_it_back_after_the_cool_down() {
    let world = World::start().await;
    world.client.deploy(&world.request("one")).await.unwrap();
    world.settled().await;
    let told = tell(&world, "slow", "TRUE", &world.instance).await;
    assert_eq!((told.0, &told.1["action"]), (200, &json!("moved")), "{told:?}");
    eventually(PATIENCE, || async {
        let mut answered = std::collections::BTreeSet::new();
        for _ in 0..20 {
            answered.insert(world.get().await?.0);
        }
        if answered.len() == 2 { Ok(()) } else { Err(format!("{answered:?}")) }
    })
    .await;
    let told = tell(&world, "calm", "TRUE", &world.instance).await;
    // Whether the cool-down is over yet is the machine's to say; what follows is the same.
    assert!(told.0 == 200 && [json!("waits"), json!("moved")].contains(&told.1["action"]), "{told:?}");
    eventually(PATIENCE, || async {
        let found = world.deployment().await.unwrap();
        let states = states(&found);
        if states == [("first", "connected"), ("second", "booted")] { Ok(()) } else { Err(format!("{states:?}")) }
    })
    .await;
    for _ in 0..10 {
        assert_eq!(world.get().await.unwrap().0, "first");
    }
    assert_eq!(tell(&world, "slow", "TRUE", "another").await.0, 404);
    let (status, problem) = tell(&world, "slwo", "TRUE", &world.instance).await;
    assert!(
        status == 404 && problem["detail"].as_str().unwrap().contains("waits for crowd/slow, crowd/calm"),
        "{problem}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_template_deploys_nothing() {
    let world = World::start().await;
    let right = world.template("one");
    for (from, to, complaint) in [
        ("fqdn: [ web ]", "fqnd: [ web ]", "do you mean `fqdn`?"),
        ("image: /usr/bin/python3", "image: flame-vcnd", "there is no program `flame-vcnd`"),
        ("num_cpus: 1,", "num_cpus: 1000,", "fits nowhere: local: it takes 1000 cpus"),
        ("fqdn: [ web ]", "fqdn: [ web.main.other ]", "the name web.main.other is another tenant's"),
        ("{ SAY:", "{ LD_PRELOAD: /tmp/x.so, SAY:", "`first` sets LD_PRELOAD"),
        ("{ SAY:", "{ FLAME_TENANT: other, SAY:", "`first` sets FLAME_TENANT"),
    ] {
        let request = NewDeployment { template: right.replace(from, to), ..NewDeployment::default() };
        let said = world.client.deploy(&request).await.unwrap_err();
        assert!(said.status() == Some(422) && said.to_string().contains(complaint), "{said}");
    }
    let alerts = "tosca_definitions_version: tosca_simple_yaml_1_3\nmetadata: { sfc: tested, sfci: other }\ntopology_template: { policies: [] }\n";
    let request = NewDeployment { alerts: Some(alerts.to_owned()), ..world.request("one") };
    let said = world.client.deploy(&request).await.unwrap_err().to_string();
    assert!(said.contains("alerts, line 2, column 32: the alerts are for another sfci"), "{said}");
    // Right ones, and nobody there who looks at them.
    let alerts = alerts.replace("sfci: other", &format!("sfci: {}", world.instance));
    let request = NewDeployment { alerts: Some(alerts), ..world.request("one") };
    assert_eq!(world.client.deploy(&request).await.unwrap_err().status(), Some(422));
    assert_eq!((world.client.deployments().await.unwrap().items.len(), world.processes().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_replaces_what_is_changed_without_a_failed_request() {
    let world = World::start().await;
    world.client.deploy(&world.request("one")).await.unwrap();
    world.settled().await;
    let (stop, asked) = (CancellationToken::new(), Arc::new(AtomicU32::new(0)));
    let asking = {
        let (http, url) = (world.http.clone(), world.client.url(&format!("web.{}", world.instance), ""));
        let (stop, asked) = (stop.clone(), Arc::clone(&asked));
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                let answer = http.get(url.clone()).send().await.expect("the router answers");
                assert!(answer.status().is_success(), "{}", answer.status());
                asked.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    world.client.deploy(&world.request("two")).await.unwrap();
    eventually(PATIENCE, || async {
        let found = world.get().await?;
        let left = world.deployment().await.map_or(0, |one| one.endpoints.len());
        if found.2 == "two" && left == 2 { Ok(()) } else { Err(format!("{found:?}, {left} endpoints")) }
    })
    .await;
    let before = world.settled().await;
    stop.cancel();
    asking.await.expect("no request failed");
    assert!(asked.load(Ordering::Relaxed) > 20);
    // The same again changes nothing.
    world.client.deploy(&world.request("two")).await.unwrap();
    let ids = |one: &flame_api::orchestrator::Deployment| {
        one.endpoints.iter().map(|one| (one.endpoint.clone(), one.pid)).collect::<Vec<_>>()
    };
    assert_eq!(ids(&world.settled().await), ids(&before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_request_ends_where_it_began_however_the_name_is_written() {
    let world = World::start().await;
    let template = |say: &str| NewDeployment {
        template: world.template(say).replace("fqdn: [ web ]", "fqdn: [ Web, web ]"),
        ..NewDeployment::default()
    };
    world.client.deploy(&template("one")).await.unwrap();
    assert_eq!(world.settled().await.endpoints[0].names, [format!("web.{}", world.instance)]);
    let url = world.client.url(&format!("web.{}", world.instance), "slow");
    let (asked, http) = (tokio::sync::oneshot::channel(), world.http.clone());
    let asking = tokio::spawn(async move {
        let _ = asked.0.send(());
        let answer = http.get(url).send().await.expect("the router answers");
        (answer.status().as_u16(), answer.text().await.expect("a whole answer"))
    });
    asked.1.await.unwrap();
    let opened = || async {
        let open: u32 = world.client.routes().await.unwrap().items.iter().map(|route| route.open).sum();
        if open > 0 { Ok(()) } else { Err("no request is open") }
    };
    eventually(PATIENCE, opened).await;
    world.client.undeploy("tested", &world.instance).await.unwrap();
    let (status, text) = asking.await.unwrap();
    assert!(status == 200 && text.starts_with("first"), "{status} {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_beginning_and_another_place_are_followed_too() {
    let cluster = |name: &str| ClusterConfig {
        name: name.to_owned(),
        site: name.to_owned(),
        tier: Tier::Edge,
        cpus: 10,
        memory: Bytes(1 << 30),
        disk: Bytes(1 << 30),
        router: None,
    };
    let world = World::start_with(|config| config.placement.clusters = vec![cluster("a"), cluster("b")]).await;
    let template = |change: (&str, &str)| NewDeployment {
        template: world.template("one").replace(change.0, change.1),
        ..NewDeployment::default()
    };
    let places = |one: &flame_api::orchestrator::Deployment| {
        one.endpoints.iter().map(|one| one.cluster.clone()).collect::<Vec<_>>()
    };
    let before = world.client.plan(&template(("", ""))).await.unwrap();
    world.client.deploy(&template(("", ""))).await.unwrap();
    let one = world.settled().await;
    assert_eq!(
        (states(&one), places(&one)),
        (vec![("first", "connected"), ("second", "booted")], vec!["a".into(), "a".into()])
    );
    let again = world.client.plan(&template(("", ""))).await.unwrap();
    assert_eq!(again.clusters, before.clusters, "what is there is not counted twice");
    let begins = (
        "second: { any: eu.ict-flame.sfe.state.lifecycle.booted",
        "second: { any: eu.ict-flame.sfe.state.lifecycle.connected",
    );
    world.client.deploy(&template(begins)).await.unwrap();
    let two = world.settled().await;
    assert_eq!(states(&two), [("first", "connected"), ("second", "connected")]);
    assert_eq!(two.endpoints[1].pid, one.endpoints[1].pid, "it is the same one");
    // Nothing but the place is another one.
    world.client.deploy(&template(("fqdn: [ web ]", "fqdn: [ web ]\n        clusters: [ b ]"))).await.unwrap();
    eventually(PATIENCE, || async {
        let found = world.settled().await;
        if found.endpoints.len() == 2 && places(&found) == ["b", "b"] { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

/// An orchestrator that can be killed.
struct Killable(Child);

impl Killable {
    fn start(world: &World) -> Self {
        let file = world.folder().join("orchestrator.toml");
        let config = format!(
            "[host]\nlisten = \"127.0.0.1:0\"\nrouter = \"{}\"\n[store]\ndatabase = {:?}\n[process]\nfolder = {:?}\nany_program = true\n\
             [lifecycle]\nlook_every = \"50ms\"\nretry = \"100ms\"\n",
            world.client.router(),
            world.config.store.database,
            world.config.process.folder
        );
        std::fs::write(&file, config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_flame-orchestrator")).arg(&file).stdin(Stdio::null()).spawn();
        Self(child.expect("it starts"))
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orchestrator_killed_in_the_middle_goes_on_and_leaves_nothing_double() {
    let mut world = World::start().await;
    // Its place is taken by one that can be killed.
    world.orchestrator.take().unwrap().stop().await;
    let mut killable = Killable::start(&world);
    eventually(PATIENCE, || async { world.client.deployments().await.map(drop) }).await;
    world.client.deploy(&world.request("one")).await.unwrap();
    for seen in [0, 1, 2] {
        // At another moment each time: before anything runs, when one does, when both do.
        eventually(PATIENCE, || async {
            let count = world.processes().len();
            if count >= seen { Ok(()) } else { Err(format!("{count} processes")) }
        })
        .await;
        drop(killable);
        killable = Killable::start(&world);
    }
    eventually(PATIENCE, || async {
        let found = world.client.deployment("tested", &world.instance).await.map_err(|error| error.to_string())?;
        if found.is_some_and(|one| one.is_settled) { Ok(()) } else { Err("not settled".to_owned()) }
    })
    .await;
    let deployment = world.settled().await;
    let mut known: Vec<u32> = deployment.endpoints.iter().filter_map(|one| one.pid).collect();
    let mut running = world.processes();
    known.sort_unstable();
    running.sort_unstable();
    assert_eq!(known, running, "every process is known, and none is there twice");
    // Whoever comes back takes over what runs: nothing is started again.
    drop(killable);
    let _killable = Killable::start(&world);
    eventually(PATIENCE, || async { world.client.deployments().await.map(drop) }).await;
    let (function, pid, _) = eventually(PATIENCE, || world.get()).await;
    assert!(function == "first" && running.contains(&pid));
    assert_eq!(
        world.settled().await.endpoints.iter().filter_map(|one| one.pid).collect::<std::collections::BTreeSet<_>>(),
        running.into_iter().collect()
    );
}

//! Surrogates whose own APIs have names of their own, as templates start them: purges reach all of them, whoever is asked.

use std::io::{ErrorKind, Read};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use flame_api::router::Registration;
use flame_api::vcdn::{PurgeEntry, Purged};
use flame_service_host::auth::AuthConfig;
use flame_service_host::keys::{self, Grant};
use flame_test_kit::{Scratch, eventually};
use flame_vcdn::config::FrontConfig;
use serde_json::{Value, json};

use crate::origin::Reply;
use crate::world::{PATIENCE, World, cache_status};

/// A surrogate as a template starts it: `api` is its own, `front` what it serves.
async fn of_template(world: &World, api: &str, front: &str) -> flame_vcdn::Running {
    let mut config = world.config.clone();
    config.host.name = Some(api.to_owned());
    config.fronts = vec![FrontConfig::new(front, "origin")];
    flame_vcdn::start(config).await.unwrap()
}

/// How `/a/1` is answered at each front.
async fn seen(world: &World, urls: &[String]) -> Vec<String> {
    let mut seen = Vec::new();
    for url in urls {
        seen.push(cache_status(&world.http.get(url).send().await.unwrap()));
    }
    seen
}

/// Waits until all of them answer from what they keep.
async fn all_hit(world: &World, urls: &[String]) {
    eventually(PATIENCE, || async {
        let seen = seen(world, urls).await;
        if seen.iter().all(|status| status.starts_with("hit")) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
}

/// Asks for a purge until so many others have done it.
async fn purged(world: &World, api: &str, body: &Value, others: usize) -> Purged {
    eventually(PATIENCE, || async {
        let answer = world.http.post(api).json(body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        let purged: Purged = serde_json::from_str(&text).map_err(|error| format!("{status} {text}: {error}"))?;
        if purged.peers.len() == others && purged.unreached.is_empty() { Ok(purged) } else { Err(text) }
    })
    .await
}

#[tokio::test]
async fn a_purge_reaches_surrogates_of_templates_and_is_taken_by_each_of_them() {
    let world = World::start().await;
    world.origin.put("/a/1", Reply::new("x").with("cache-groups", "\"red\""));
    // Two functions of one name, each with an API of its own.
    let first = of_template(&world, "vcdn-first.city", "edge.city").await;
    let second = of_template(&world, "vcdn-second.city", "edge.city").await;
    let edge = |vcdn: &flame_vcdn::Running| format!("http://{}/a/1", vcdn.fronts()["edge.city"]);
    let urls = [world.url("/a/1"), edge(&first), edge(&second)];
    let asked_first = format!("http://{}/purges", first.address());
    let platform = world.api("/purges");
    // (who is asked, what is purged, how many others have it, at whom it is gone)
    for (api, body, others, gone) in [
        (&platform, json!({ "name": "edge.city", "url": "/a/1" }), 2, [false, true, true]),
        (&platform, json!({ "name": "*", "tag": "red" }), 2, [true, true, true]),
        (&asked_first, json!({ "name": "edge.city", "prefix": "/a/" }), 1, [false, true, true]),
        (&asked_first, json!({ "name": "cdn", "url": "/a/1" }), 1, [true, false, false]),
        (&asked_first, json!({ "name": "*", "tag": "red" }), 2, [true, true, true]),
    ] {
        // Until they know each other: what is told then is another purge.
        purged(&world, api, &body, others).await;
        all_hit(&world, &urls).await;
        purged(&world, api, &body, others).await;
        let fetched = seen(&world, &urls).await.iter().map(|status| status.starts_with("fwd")).collect::<Vec<_>>();
        assert_eq!(fetched, gone, "{body}");
    }
    for api in [&platform, &asked_first] {
        let nobody = json!({ "name": "nobody", "prefix": "/" });
        assert_eq!(world.http.post(api).json(&nobody).send().await.unwrap().status(), 404);
        // Of one that nobody knows of, nobody hears.
        let unknown = format!("{api}/{}/pulls", uuid::Uuid::new_v4());
        assert_eq!(world.http.post(unknown).send().await.unwrap().status(), 503);
    }
    // One that comes later is told of what it missed by those whose API has another name.
    first.stop().await;
    all_hit(&world, &urls[2..]).await;
    let id = purged(&world, &platform, &json!({ "name": "*", "tag": "blue" }), 1).await.id;
    let late = of_template(&world, "vcdn-third.city", "edge.city").await;
    let log = world.http.get(format!("http://{}/purges", late.address())).send().await.unwrap();
    let log: Vec<PurgeEntry> = log.json().await.unwrap();
    assert!(log.iter().any(|entry| entry.id == id), "{log:?}");
    late.stop().await;
    second.stop().await;
}

/// A token of the keys in `folder`.
fn issued(folder: &Path, tenant: &str, scope: &str) -> String {
    let (subject, tenant, scope) = ("test".to_owned(), tenant.to_owned(), scope.to_owned());
    keys::issue(folder, &Grant { subject, tenant, scope, life: Duration::from_secs(600) }).unwrap().0
}

/// A world whose surrogates ask for tokens of the keys in `folder`, and the one that the platform's shows.
async fn guarded(folder: &Path) -> (World, String) {
    keys::ensure(folder).unwrap();
    let service = issued(folder, "default", "read write service");
    let world = World::with(|config| {
        config.host.auth = AuthConfig { keys: Some(folder.to_owned()) };
        config.host.token = Some(service.clone());
    })
    .await;
    (world, service)
}

/// Purges all names of a tenant, as metadata does.
async fn purge_of(world: &World, service: &str, tenant: &str) -> Purged {
    let asked = world.http.post(world.api("/purges")).bearer_auth(service).header("flame-tenant", tenant);
    let answer = asked.json(&json!({ "name": "*", "prefix": "/film/" })).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_purged_of_a_tenant_is_told_to_its_surrogates_alone_and_done_there() {
    let folder = Scratch::new("vcdn-tenants");
    let (world, service) = guarded(folder.path()).await;
    world.origin.put("/film/1", Reply::new("x"));
    let mut started = Vec::new();
    for (tenant, api, front) in
        [("acme", "vcdn-own.city.acme", "edge.city.acme"), ("default", "vcdn-own.city", "edge.city")]
    {
        let mut config = world.config.clone();
        // As the orchestrator gives it.
        config.host.token = Some(issued(folder.path(), tenant, "read write admin"));
        config.host.name = Some(api.to_owned());
        config.fronts = vec![FrontConfig::new(front, "origin")];
        started.push((tenant, front, flame_vcdn::start(config).await.unwrap()));
    }
    for (tenant, front, vcdn) in &started {
        let urls = [format!("http://{}/film/1", vcdn.fronts()[*front])];
        let told = async || {
            eventually(PATIENCE, || async {
                let Purged { peers, unreached, .. } = purge_of(&world, &service, tenant).await;
                let is_told = peers == [vcdn.address().to_string()] && unreached.is_empty();
                if is_told { Ok(()) } else { Err(format!("{tenant}: {peers:?}, and not {unreached:?}")) }
            })
            .await;
        };
        // The other one has no part in it: it would not be shown what it is told of.
        told().await;
        all_hit(&world, &urls).await;
        told().await;
        let seen = seen(&world, &urls).await;
        assert!(seen[0].starts_with("fwd"), "{tenant}: {seen:?}");
    }
    for (_, _, vcdn) in started {
        vcdn.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_s_surrogate_asks_for_its_own_purges_and_is_never_shown_the_platform_s_token() {
    let folder = Scratch::new("vcdn-apis");
    let (world, service) = guarded(folder.path()).await;
    // Whoever stands there is the tenant's.
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    theirs.set_nonblocking(true).unwrap();
    let address = theirs.local_addr().unwrap();
    let router = format!("http://{}", world.router.address()).parse().unwrap();
    let registration = Registration::new(address, 1, 60_000);
    let router = flame_api::Client::new(router, None);
    router.register("vcdn-first.city.acme", "one", &registration).await.unwrap();
    // And there is one of the default tenant's.
    let ours = TcpListener::bind("127.0.0.1:0").unwrap();
    ours.set_nonblocking(true).unwrap();
    let our_address = ours.local_addr().unwrap();
    let registration = Registration::new(our_address, 1, 60_000);
    router.register("vcdn-second.city", "one", &registration).await.unwrap();
    let purge = async |tenant: &str| purge_of(&world, &service, tenant).await;
    let own = purge("acme").await;
    assert_eq!(ours.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "what is a tenant's is not for it");
    let other = purge("default").await;
    assert_eq!((own.peers.len(), own.unreached), (0, vec![address.to_string()]), "it does not answer");
    assert_eq!(other.unreached, [our_address.to_string()], "what is not theirs is not for them");
    let (mut heard, _) = theirs.accept().unwrap();
    let mut told = String::new();
    heard.set_read_timeout(Some(PATIENCE)).unwrap();
    heard.read_to_string(&mut told).unwrap();
    let told = told.to_ascii_lowercase();
    assert!(told.starts_with(&format!("post /purges/{}/pulls ", own.id)), "it may ask for it: {told}");
    assert!(!told.contains("authorization") && !told.contains(&service.to_ascii_lowercase()), "it was shown a token");
    assert_eq!(theirs.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "and of nothing else");
    // With what the orchestrator gives it, it is told its tenant's and no other's, and may tell its tenant's.
    let acme = issued(folder.path(), "acme", "read write admin");
    let log = world.http.get(world.api("/purges")).bearer_auth(&acme).send().await.unwrap();
    let log: Vec<PurgeEntry> = log.json().await.unwrap();
    assert_eq!(log.iter().map(|entry| (entry.id, entry.purge.name.as_str())).collect::<Vec<_>>(), [(own.id, "*.acme")]);
    for (name, status) in [("*.acme", 204), ("*", 403), ("*.default", 403), ("cdn", 403), ("cdn.main.acme", 404)] {
        let id = uuid::Uuid::new_v4();
        let entry = json!({ "id": id, "at_unix_ms": u64::MAX, "purge": { "name": name, "prefix": "/" } });
        let told = world.http.put(world.api(&format!("/purges/{id}"))).bearer_auth(&acme).json(&entry);
        assert_eq!(told.send().await.unwrap().status(), status, "{name}");
    }
    let log = world.http.get(world.api("/purges")).bearer_auth(&acme).send().await.unwrap();
    let log: Vec<PurgeEntry> = log.json().await.unwrap();
    assert!(log.len() == 3 && log.iter().all(|entry| entry.at_unix_ms < u64::MAX), "nobody says when it will be");
}

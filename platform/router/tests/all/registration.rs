//! Leases, generations, bounds, and who may register.

use std::time::Duration;

use flame_api::Client;
use flame_api::router::Registration;
use flame_service_host::auth::AuthConfig;
use flame_service_host::keys::{self, Grant};
use flame_test_kit::{Scratch, eventually};

use crate::world::{Service, World, problem};

fn registration(service: &Service, generation: u64, ttl_ms: u64) -> Registration {
    Registration::new(service.address, generation, ttl_ms)
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_ends_and_its_name_is_away() {
    let world = World::start().await;
    let service = Service::echo().await;
    let client = world.client();
    let held = client.register("metadata", "e1", &registration(&service, 1, 300)).await.unwrap();
    assert_eq!((held.name.as_str(), held.expires_in_ms), ("metadata.main", 300));
    let now = keys::unix_seconds();
    assert!(held.router_time_unix_ms / 1000 >= now - 5 && held.router_time_unix_ms / 1000 <= now + 5);
    assert_eq!(world.get("/~metadata/").await.status(), 200);

    eventually(Duration::from_secs(5), || async {
        let left = client.endpoints().await.unwrap().items;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let answer = world.get("/~metadata/").await;
    assert_eq!(answer.headers()["retry-after"], "1");
    let away = problem(answer).await;
    assert_eq!((away.status, away.detail.as_str()), (503, "no endpoint is registered any more for metadata.main"));

    client.register("metadata", "e1", &registration(&service, 1, 60_000)).await.unwrap();
    assert_eq!(world.get("/~metadata/").await.status(), 200);
    assert!(client.deregister("metadata", "e1").await.unwrap());
    assert!(!client.deregister("metadata", "e1").await.unwrap());
    assert_eq!(world.get("/~metadata/").await.status(), 503);
}

#[tokio::test]
async fn a_late_renewal_of_an_older_start_is_refused() {
    let world = World::start().await;
    let (old, new) = (Service::echo().await, Service::echo().await);
    let client = world.client();
    client.register("metadata", "e1", &registration(&new, 7, 60_000)).await.unwrap();
    let error = client.register("metadata", "e1", &registration(&old, 6, 60_000)).await.unwrap_err();
    assert_eq!(error.status(), Some(409), "{error}");
    assert_eq!(client.endpoints().await.unwrap().items[0].address, new.address);
    // A restarted process has another identifier, and the same address where its port is fixed.
    client.register("metadata", "e2", &registration(&new, 8, 60_000)).await.unwrap();
    let items = client.endpoints().await.unwrap().items;
    assert_eq!(items.iter().map(|held| held.endpoint.as_str()).collect::<Vec<_>>(), ["e2"]);
}

#[tokio::test]
async fn registrations_that_do_not_fit_are_refused() {
    let world = World::with(|config| config.limits.endpoints = 2).await;
    let service = Service::echo().await;
    let client = world.client();
    let fit = registration(&service, 1, 1000);
    for (name, endpoint, body) in [
        ("meta_data", "e1", fit.clone()),
        ("london--metadata", "e1", fit.clone()),
        ("a.b.c.d", "e1", fit.clone()),
        ("metadata", "e%201", fit.clone()),
        ("metadata", "e1", registration(&service, 0, 1000)),
        ("metadata", "e1", registration(&service, 1, 99)),
        ("metadata", "e1", registration(&service, 1, 60_001)),
        ("metadata", "e1", Registration { address: "0.0.0.0:80".parse().unwrap(), ..fit.clone() }),
        ("metadata", "e1", Registration { address: "127.0.0.1:0".parse().unwrap(), ..fit.clone() }),
    ] {
        let error = client.register(name, endpoint, &body).await.unwrap_err();
        assert_eq!(error.status(), Some(422), "{name} {endpoint} {body:?}: {error}");
    }
    client.register("a", "e1", &fit).await.unwrap();
    client.register("b", "e1", &fit).await.unwrap();
    let error = client.register("c", "e1", &fit).await.unwrap_err();
    assert_eq!(error.status(), Some(503), "{error}");
    // Renewing needs no room.
    client.register("a", "e1", &fit).await.unwrap();
}

#[tokio::test]
async fn with_tokens_only_services_register_and_the_page_is_still_served() {
    let folder = Scratch::new("router-keys");
    keys::ensure(&folder).unwrap();
    let token = |scope: &str, tenant: &str| {
        let life = Duration::from_secs(60);
        let grant = Grant { subject: "ann".into(), tenant: tenant.into(), scope: scope.into(), life };
        Some(keys::issue(&folder, &grant).unwrap().0)
    };
    let world = World::with(|config| config.host.auth = AuthConfig { keys: Some(folder.path().to_owned()) }).await;
    let service = Service::echo().await;
    let client = |token| Client::new(world.url("").parse().unwrap(), token);
    let body = registration(&service, 1, 60_000);

    let status =
        async |token| client(token).register("metadata", "e1", &body).await.err().and_then(|error| error.status());
    assert_eq!(status(None).await, Some(401));
    assert_eq!(status(token("read write", "default")).await, Some(403));
    assert_eq!(status(token("admin", "default")).await, None);
    // A service stands behind the names that its token lists: this one lists none.
    let refused = client(token("service", "default")).register("metadata", "e3", &body).await.unwrap_err();
    assert_eq!(refused.status(), Some(403), "{refused}");
    assert!(refused.to_string().contains("--name metadata"), "{refused}");
    assert_eq!(status(token("read write service", "default")).await, Some(403));
    // One that may do anything stands behind names of its own tenant.
    assert_eq!(status(token("service admin", "acme")).await, Some(403));
    assert_eq!(status(token("service admin", "default")).await, None);
    // But services say what becomes of those who stand there.
    client(token("service", "default")).drain("metadata", "e1").await.unwrap();
    client(token("service", "default")).connect("metadata", "e1").await.unwrap();
    // Whoever stands behind a name gets the credentials of its callers: another tenant's is not to be had.
    let taken = client(token("admin", "default")).register("metadata.main.acme", "e1", &body).await.unwrap_err();
    assert_eq!(taken.status(), Some(403), "{taken}");
    let shared = client(token("admin", "acme")).register("metadata", "e2", &body).await.unwrap_err();
    assert_eq!(shared.status(), Some(403), "{shared}");
    client(token("admin", "acme")).register("metadata.main.acme", "e1", &body).await.unwrap();

    assert_eq!(client(None).endpoints().await.unwrap_err().status(), Some(401));
    let names = async |tenant: &str| {
        let page = client(token("read", tenant)).endpoints().await.unwrap();
        page.items.into_iter().map(|endpoint| endpoint.name).collect::<Vec<_>>()
    };
    assert_eq!(names("acme").await, ["metadata.main.acme", "metadata.main"]);
    assert_eq!(names("rival").await, ["metadata.main"]);

    let page = world.get("/").await;
    assert_eq!(
        (page.status().as_u16(), &page.headers()["content-type"]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
    // The router passes the credential on and leaves the decision to the service.
    let seen = world.http.get(world.url("/~metadata/x")).bearer_auth("anything").send().await.unwrap();
    assert!(seen.text().await.unwrap().contains("authorization: Bearer anything\n"));
}

//! What callers build on: the router's own OpenAPI document, and what it keeps from strangers.

use std::collections::BTreeSet;
use std::time::Duration;

use flame_service_host::keys::{self, Grant};
use flame_test_kit::Scratch;
use flame_test_kit::openapi::{self, Stranger};
use reqwest::Method;

use crate::world::{Service, World, problem};

#[tokio::test]
async fn the_openapi_document_is_the_one_checked_in() {
    let world = World::start().await;
    let document = openapi::document(&world.url("")).await;
    openapi::check_golden("router", &document);
    let operations = openapi::operations(&document);
    // Who joins has a join token instead, and who renews a certificate; who signs in shows what the route itself looks at.
    let open = operations.iter().filter(|operation| !operation.needs_token);
    let open: BTreeSet<_> = open.map(|operation| (operation.method.as_str(), operation.path.as_str())).collect();
    let certificates = ("POST", "/api/router/certificates");
    let session = ["DELETE", "POST"].map(|method| (method, "/api/router/session"));
    let elsewhere = ["doors", "oidc", "oidc/return"].map(|end| format!("/api/router/session/{end}"));
    let elsewhere = elsewhere.iter().map(|path| ("GET", path.as_str()));
    let expected: BTreeSet<_> = [certificates].into_iter().chain(session).chain(elsewhere).collect();
    assert!(operations.len() > expected.len());
    assert_eq!(open, expected);
}

/// Where tokens are needed, they are needed for everything but the page and the question whether the router is there.
#[tokio::test]
async fn a_stranger_learns_nothing_of_what_stands_behind_the_router() {
    let folder = Scratch::new("router-keys");
    keys::ensure(&folder).unwrap();
    let issue = |scope: &str, tenant: &str| {
        let (subject, life) = ("test".to_owned(), Duration::from_secs(60));
        keys::issue(&folder, &Grant { subject, tenant: tenant.to_owned(), scope: scope.to_owned(), life }).unwrap().0
    };
    let world = World::with(|config| config.host.auth.keys = Some(folder.to_path_buf())).await;
    let service = Service::echo().await;
    let place = "/api/router/endpoints/private.main.acme/e1";
    let registration = |token: &str| {
        let body = serde_json::json!({ "address": service.address, "generation": 1, "ttl_ms": 60_000 });
        world.http.request(Method::PUT, world.url(place)).bearer_auth(token).json(&body).send()
    };
    assert_eq!(registration(&issue("admin", "acme")).await.unwrap().status(), 200);

    let stranger = issue("read write", "rival");
    let (parameters, secrets) = ([("name", "private.main.acme"), ("endpoint", "e1")], ["private.main.acme"]);
    let stranger = Stranger { token: &stranger, parameters: &parameters, secrets: &secrets };
    openapi::walk_as_stranger(&world.url(""), stranger, |operation, request| {
        if operation.method == Method::PUT {
            return request.json(&serde_json::json!({ "address": "127.0.0.1:9", "generation": 2, "ttl_ms": 60_000 }));
        }
        request
    })
    .await;
    assert_eq!(problem(world.get("/metrics").await).await.status, 401, "its labels are names");
    assert_eq!(world.get("/health/live").await.status(), 200);
}

//! One tenant's measurements are nobody else's, and nobody measures another one's media.

use std::path::Path;
use std::time::Duration;

use flame_api::quality::jobs::{InspectionJob, JobState, MeasuringQuery, MediaName};
use flame_service_host::auth::AuthConfig;
use flame_service_host::keys::{self, Grant};
use flame_test_kit::clips;
use flame_test_kit::openapi::{Stranger, walk_as_stranger};
use reqwest::{Method, RequestBuilder};
use uuid::Uuid;

use crate::suites::run_of;
use crate::world::{World, comparison_of, inspection_of};

fn token(keys: &Path, tenant: &str, scope: &str) -> String {
    let life = Duration::from_secs(600);
    let grant = Grant { subject: "test".to_owned(), tenant: tenant.to_owned(), scope: scope.to_owned(), life };
    keys::issue(keys, &grant).unwrap().0
}

#[tokio::test]
async fn nobody_measures_or_sees_what_is_anothers() {
    let world = World::start().await;
    let (acme, other) = (world.client.for_tenant("acme"), world.client.for_tenant("other"));
    let asset_id = world.asset(&acme, "acme", &clips::path("carphone_pristine"), None).await;
    for media in [MediaName::Source(asset_id), MediaName::Asset(asset_id)] {
        let new = inspection_of(media, &[]);
        other.create_inspection(&new).await.unwrap();
        let ended = world
            .until(
                || other.inspection(new.id),
                |job: &InspectionJob| &job.standing,
                "it has ended",
                |job| job.state.is_final(),
            )
            .await;
        assert_eq!(ended.standing.state, JobState::Failed, "{ended:?}");
        assert!(ended.standing.error.is_some_and(|why| why.contains("there is no asset")));
        assert!(acme.inspection(new.id).await.unwrap().is_none());
        assert_eq!(acme.cancel_inspection(new.id).await.unwrap_err().status(), Some(404));
    }
    assert_eq!(acme.inspections(&MeasuringQuery::default()).await.unwrap().items, []);
}

#[tokio::test]
async fn a_stranger_walks_every_route() {
    let keys = tempfile::tempdir().unwrap();
    keys::ensure(keys.path()).unwrap();
    let auth = AuthConfig { keys: Some(keys.path().to_owned()) };
    let world = World::start_with(|config| config.host.auth = auth).await;
    let owner = token(keys.path(), "acme", "read write");
    let http = reqwest::Client::new();
    let send = |method: Method, path: &str, token: &str| {
        http.request(method, format!("{}{path}", world.base())).bearer_auth(token)
    };
    let asset_id = Uuid::now_v7();
    let comparison = comparison_of(asset_id, &[]);
    let mut inspection = inspection_of(MediaName::Source(asset_id), &[]);
    // One id leads to both kinds.
    inspection.id = comparison.id;
    assert_eq!(send(Method::POST, "/comparisons", &owner).json(&comparison).send().await.unwrap().status(), 201);
    assert_eq!(send(Method::POST, "/inspections", &owner).json(&inspection).send().await.unwrap().status(), 201);
    let run = run_of("of acme", 47.11);
    assert_eq!(send(Method::POST, "/suite-runs", &owner).json(&run).send().await.unwrap().status(), 201);
    let (id, asset, told) = (comparison.id.to_string(), asset_id.to_string(), run.id.to_string());
    let stranger = Stranger {
        token: &token(keys.path(), "other", "read write"),
        parameters: &[("id", &id), ("file", "report.html"), ("frame", "1")],
        secrets: &[&id, &asset, &told, "47.11"],
    };
    walk_as_stranger(&world.base(), stranger, |operation, request: RequestBuilder| {
        match (operation.method.as_str(), operation.path.as_str()) {
            ("POST", "/comparisons") => request.json(&comparison_of(Uuid::now_v7(), &[])),
            ("POST", "/inspections") => request.json(&inspection_of(MediaName::Asset(Uuid::now_v7()), &[])),
            ("POST", "/suite-runs") => request.json(&run_of("others", 1.0)),
            ("GET", "/suite-runs") => request.query(&[("suite", "of acme")]),
            (_, _) => request,
        }
    })
    .await;
    let path = format!("/comparisons/{id}");
    let reader = token(keys.path(), "acme", "read");
    assert_eq!(send(Method::GET, &path, &reader).send().await.unwrap().status(), 200);
    assert_eq!(send(Method::POST, &format!("{path}/cancel"), &reader).send().await.unwrap().status(), 403);
    let writer = token(keys.path(), "acme", "write");
    assert_eq!(send(Method::GET, &path, &writer).send().await.unwrap().status(), 403);
}

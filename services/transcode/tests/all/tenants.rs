//! One tenant's jobs are nobody else's.

use std::path::Path;
use std::time::Duration;

use flame_api::Page;
use flame_api::transcode::{Job, NewJob};
use flame_service_host::auth::AuthConfig;
use flame_service_host::keys::{self, Grant};
use flame_test_kit::openapi::{Stranger, walk_as_stranger};
use reqwest::{Method, RequestBuilder};
use uuid::Uuid;

use crate::world::{World, short_probe};

fn token(keys: &Path, tenant: &str, scope: &str) -> String {
    let life = Duration::from_secs(600);
    let grant = Grant { subject: "test".to_owned(), tenant: tenant.to_owned(), scope: scope.to_owned(), life };
    keys::issue(keys, &grant).unwrap().0
}

fn job_of(tenant: &str) -> NewJob {
    let asset_id = Uuid::now_v7();
    let source_key = format!("{tenant}/sources/{asset_id}");
    NewJob {
        id: Uuid::now_v7(),
        chain: "ladder".to_owned(),
        document: None,
        parameters: Default::default(),
        asset_id,
        source_key,
        probe: short_probe(),
    }
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let world = World::start().await;
    let (acme, other) = (world.client.for_tenant("acme"), world.client.for_tenant("other"));
    let job = job_of("acme");
    acme.create_job(&job).await.unwrap();
    assert!(other.job(job.id).await.unwrap().is_none());
    assert_eq!(other.jobs(&Default::default()).await.unwrap(), Page { items: Vec::new(), next_cursor: None });
    assert_eq!(other.cancel_job(job.id).await.unwrap_err().status(), Some(404));
    // The id says nothing either: it is free for everybody else.
    let same = NewJob { id: job.id, ..job_of("other") };
    assert_eq!(other.create_job(&same).await.unwrap().tenant, "other");
    assert_eq!(acme.job(job.id).await.unwrap().unwrap().asset_id, job.asset_id);
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
    let new = job_of("acme");
    let answer = send(Method::POST, "/jobs", &owner).json(&new).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let path = format!("/jobs/{}", new.id);
    let (id, asset_id) = (new.id.to_string(), new.asset_id.to_string());
    let stranger = Stranger {
        token: &token(keys.path(), "other", "read write"),
        // Chains belong to nobody, so the way is one that leads nowhere.
        parameters: &[("id", &id), ("name", "nonsense")],
        secrets: &[&id, &asset_id, &new.source_key],
    };
    walk_as_stranger(&world.base(), stranger, |operation, request: RequestBuilder| {
        match (operation.method.as_str(), operation.path.as_str()) {
            ("POST", "/jobs") => request.json(&job_of("other")),
            (_, _) => request,
        }
    })
    .await;
    let job: Job = send(Method::GET, &path, &owner).send().await.unwrap().json().await.unwrap();
    assert_eq!((job.id, job.asset_id), (new.id, new.asset_id));

    let reader = token(keys.path(), "acme", "read");
    assert_eq!(send(Method::GET, &path, &reader).send().await.unwrap().status(), 200);
    assert_eq!(send(Method::POST, &format!("{path}/cancel"), &reader).send().await.unwrap().status(), 403);
    let writer = token(keys.path(), "acme", "write");
    assert_eq!(send(Method::GET, &path, &writer).send().await.unwrap().status(), 403);
}

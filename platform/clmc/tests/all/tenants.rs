//! One tenant's databases are nobody else's, and a token opens only what it says.

use std::path::Path;
use std::time::Duration;

use flame_service_host::auth::AuthConfig;
use flame_service_host::keys::{self, Grant};
use flame_test_kit::openapi::{Stranger, walk_as_stranger};
use serde_json::{Value, json};

use crate::world::{World, now_ns};

fn token(keys: &Path, tenant: &str, scope: &str) -> String {
    let life = Duration::from_secs(600);
    let grant = Grant { subject: "test".to_owned(), tenant: tenant.to_owned(), scope: scope.to_owned(), life };
    keys::issue(keys, &grant).unwrap().0
}

#[tokio::test]
async fn a_stranger_walks_every_route() {
    let keys = tempfile::tempdir().unwrap();
    keys::ensure(keys.path()).unwrap();
    let auth = AuthConfig { keys: Some(keys.path().to_owned()) };
    let world = World::start_with(|config| config.host.auth = auth).await;
    let owner = token(keys.path(), "acme", "read write");
    let url = |path: &str| format!("{}{path}", world.base());
    let write =
        |token: &str, lines: String| world.http.post(url("/write?db=secret-db")).bearer_auth(token).body(lines).send();
    let ask = |token: &str, question: &str| {
        let request = world.http.get(url("/query")).query(&[("db", "secret-db"), ("q", question)]).bearer_auth(token);
        async { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    assert_eq!(write(&owner, format!("plans,of=acme v=1 {}", now_ns())).await.unwrap().status(), 204);
    let document = "tosca_definitions_version: tosca_simple_profile_for_nfv_1_0_0
metadata: { sfc: secret-vr, sfci: premium }
topology_template:
  policies:
    - dead:
        type: eu.ict-flame.policies.Alert
        triggers:
          silent:
            event_type: deadman
            metric: plans.*
            condition: { threshold: 0, granularity: 60 }
            action: { implementation: [ flame_sfemc ] }
";
    let put = world.http.post(url("/alerts")).bearer_auth(&owner).body(document).send().await.unwrap();
    assert_eq!(put.status(), 201);
    let stranger = Stranger {
        token: &token(keys.path(), "other", "read write"),
        parameters: &[("sfc", "secret-vr"), ("sfci", "premium")],
        secrets: &["plans", "acme", "secret-vr"],
    };
    walk_as_stranger(&world.base(), stranger, |operation, request| match operation.path.as_str() {
        "/query" => {
            request.query(&[("db", "secret-db"), ("q", "SHOW DATABASES; SHOW MEASUREMENTS; SELECT * FROM /.*/")])
        }
        _ => request.query(&[("db", "secret-db"), ("bucket", "other-db")]).body("m v=1"),
    })
    .await;
    let listed: Value = world.http.get(url("/alerts")).bearer_auth(&owner).send().await.unwrap().json().await.unwrap();
    assert_eq!(listed["items"][0]["sfc"], "secret-vr", "the stranger removed nothing");
    let seen = ask(&owner, "SHOW DATABASES; SHOW MEASUREMENTS").await;
    assert_eq!(seen["results"][0]["series"][0]["values"], json!([["secret-db"]]));
    assert_eq!(seen["results"][1]["series"][0]["values"], json!([["plans"]]));

    let (reader, writer) = (token(keys.path(), "acme", "read"), token(keys.path(), "acme", "write"));
    assert_eq!(write(&reader, "m v=1".to_owned()).await.unwrap().status(), 403);
    assert_eq!(ask(&writer, "SHOW DATABASES").await["status"], 403);
    let drop = [("q", "DROP DATABASE \"secret-db\"")];
    assert_eq!(world.http.post(url("/query")).query(&drop).bearer_auth(&reader).send().await.unwrap().status(), 403);
    assert_eq!(ask(&reader, "SHOW MEASUREMENTS").await["results"][0]["series"][0]["values"], json!([["plans"]]));
    assert_eq!(
        world.http.get(url("/query")).query(&drop).bearer_auth(&owner).send().await.unwrap().status(),
        400,
        "a link changes nothing"
    );
    assert_eq!(world.http.post(url("/query")).query(&drop).bearer_auth(&owner).send().await.unwrap().status(), 200);
    assert_eq!(
        ask(&owner, "SHOW DATABASES").await["results"][0]["series"][0]
            .get("values")
            .and_then(Value::as_array)
            .map_or(0, Vec::len),
        0
    );
    // Clients of InfluxDB 2 and Telegraf show the same token in their own way.
    let own_way = world.http.post(url("/api/v2/write?bucket=b")).header("authorization", format!("Token {owner}"));
    assert_eq!(own_way.body("m v=1").send().await.unwrap().status(), 204);
}

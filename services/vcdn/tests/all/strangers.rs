//! Where tokens are needed, a stranger learns and changes nothing.

use std::time::Duration;

use flame_api::vcdn::Stats;
use flame_service_host::auth::AuthConfig;
use flame_service_host::keys::{self, Grant};
use flame_test_kit::openapi::{Stranger, walk_as_stranger};
use flame_vcdn::config::FrontConfig;
use serde_json::json;

use crate::origin::Reply;
use crate::world::{World, cache_status};

#[tokio::test]
async fn a_stranger_walks_every_route() {
    let folder = tempfile::tempdir().unwrap();
    keys::ensure(folder.path()).unwrap();
    let token = |tenant: &str| {
        let (subject, scope) = ("test".to_owned(), "read write".to_owned());
        let life = Duration::from_secs(600);
        keys::issue(folder.path(), &Grant { subject, tenant: tenant.to_owned(), scope, life }).unwrap().0
    };
    let world = World::with(|config| {
        config.host.auth = AuthConfig { keys: Some(folder.path().to_owned()) };
        config.fronts = vec![FrontConfig::new("cdn.main.acme", "origin")];
    })
    .await;
    world.origin.put("/secret-film/1", Reply::new("x"));
    let url = format!("http://{}/secret-film/1", world.vcdn.fronts()["cdn.main.acme"]);
    let hit = async || cache_status(&world.http.get(&url).send().await.unwrap());
    hit().await;
    let stranger = Stranger {
        token: &token("other"),
        parameters: &[("id", "0198a1b2-0000-7000-8000-000000000001")],
        secrets: &["secret-film"],
    };
    walk_as_stranger(&format!("http://{}", world.vcdn.address()), stranger, |operation, request| {
        match (operation.method.as_str(), operation.path.as_str()) {
            ("POST", "/purges") => request.json(&json!({ "name": "cdn.main.acme", "prefix": "/" })),
            ("POST", "/warm") => request.json(&json!({ "name": "cdn.main.acme", "url": "/secret-film/1" })),
            ("PUT", _) => request.json(&json!({
                "id": "0198a1b2-0000-7000-8000-000000000001",
                "at_unix_ms": 1,
                "purge": { "name": "cdn.main.acme", "prefix": "/" },
            })),
            (_, _) => request,
        }
    })
    .await;
    assert!(hit().await.starts_with("hit"), "a stranger has purged it");
    let stats = world.http.get(world.api("/stats")).bearer_auth(token("acme")).send().await.unwrap();
    assert_eq!(stats.json::<Stats>().await.unwrap().assets[0].asset, "secret-film");
}

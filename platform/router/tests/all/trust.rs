//! Who may register behind which name, where tokens say it.

use std::time::Duration;

use flame_api::Client;
use flame_api::router::Registration;
use flame_service_host::keys::{self, Grant};
use flame_test_kit::Scratch;

use crate::world::{Service, World};

#[tokio::test]
async fn a_token_that_lists_names_takes_those_and_no_others() {
    let folder = Scratch::new("router-names");
    keys::ensure(&folder).unwrap();
    let world = World::with(|config| config.host.auth.keys = Some(folder.to_path_buf())).await;
    let service = Service::echo().await;
    let body = Registration::new(service.address, 1, 60_000);
    let status = async |scope: &str, names: &[&str], name: &str| {
        let life = Duration::from_secs(60);
        let grant = Grant { subject: "part".into(), tenant: "default".into(), scope: scope.into(), life };
        let names = Some(names.iter().map(|name| (*name).to_owned()).collect());
        let (token, _) = keys::issue_confined(&folder, &grant, names).unwrap();
        let client = Client::new(world.url("").parse().unwrap(), Some(token));
        match client.register(name, "e1", &body).await {
            Ok(_) => 200,
            Err(error) => error.status().unwrap(),
        }
    };
    assert_eq!(status("service", &["media", "cache.*"], "media").await, 200);
    assert_eq!(status("service", &["media", "cache.*"], "cache.west").await, 200);
    // What its scope alone would allow.
    assert_eq!(status("service", &["media", "cache.*"], "metadata").await, 403);
    assert_eq!(status("service", &["media"], "media.main.acme").await, 403);
    assert_eq!(status("service", &[], "media").await, 403);
    // A list widens no scope, but for the tenants of names that it spells out.
    assert_eq!(status("read write", &["media"], "media").await, 403);
    assert_eq!(status("admin", &["media"], "media").await, 200);
    assert_eq!(status("admin", &["media.main.acme"], "media.main.acme").await, 200);
}

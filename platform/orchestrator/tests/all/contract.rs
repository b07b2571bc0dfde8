//! What callers and operators build on: the OpenAPI document, the example configuration, the program, and that strangers get
//! nowhere.

use std::time::Duration;

use flame_orchestrator::Config;
use flame_service_host::auth::AuthConfig;
use flame_service_host::config;
use flame_service_host::keys::{self, Grant};
use flame_test_kit::openapi::{self, Stranger, walk_as_stranger};
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn the_openapi_document_is_the_one_checked_in() {
    let world = World::start().await;
    let base = format!("http://{}", world.orchestrator.as_ref().unwrap().address());
    let document = openapi::document(&base).await;
    openapi::check_golden("orchestrator", &document);
    assert!(openapi::operations(&document).iter().all(|operation| operation.needs_token));
}

#[tokio::test]
async fn a_stranger_walks_every_route() {
    let keys = tempfile::tempdir().unwrap();
    keys::ensure(keys.path()).unwrap();
    let folder = flame_test_kit::Scratch::new("orchestrator-tenants");
    let mut config = Config::default();
    config.host.auth = AuthConfig { keys: Some(keys.path().to_owned()) };
    config.store.database = folder.join("orchestrator.db");
    config.process.folder = folder.join("endpoints");
    config.process.any_program = true;
    config.process.folders = vec![folder.to_path_buf()];
    for program in ["flame", "flame-vcdn"] {
        std::os::unix::fs::symlink("/bin/true", folder.join(program)).unwrap();
    }
    let running = flame_orchestrator::start(config).await.unwrap();
    let base = format!("http://{}", running.address());
    let token = |tenant: &str, scope: &str| {
        let life = Duration::from_secs(600);
        let grant = Grant { subject: "test".to_owned(), tenant: tenant.to_owned(), scope: scope.to_owned(), life };
        keys::issue(keys.path(), &grant).unwrap().0
    };
    let template = "tosca_definitions_version: tosca_simple_yaml_1_3
metadata: { sfc: secret-vr, sfci: premium }
topology_template:
  node_templates:
    hidden: { type: eu.ict-flame.nodes.ServiceFunction, properties: { image: /bin/true, fqdn: [ hidden ] } }
  policies:
    - start:
        type: eu.ict-flame.policies.InitialPolicy
        triggers:
          t: { condition: { constraint: initialise }, action: { hidden: { any: eu.ict-flame.sfe.state.lifecycle.placed } } }
";
    let http = reqwest::Client::new();
    let owner = token("acme", "read write admin");
    let deploy = |token: &str, (from, to): (&str, &str)| {
        let body = json!({ "template": template.replace(from, to) });
        http.post(format!("{base}/deployments")).bearer_auth(token).json(&body).send()
    };
    let writer = token("acme", "read write");
    let of_their_own = "image: flame-vcdn, fqdn: [ own ]";
    for (who, change, status, complaint) in [
        (&token("acme", "read"), ("", ""), 403, "it needs the scope `write`"),
        (&writer, ("", ""), 403, "a program by its path needs the scope `admin`"),
        (
            &writer,
            ("/bin/true, fqdn: [ hidden ]", "flame-vcdn, fqdn: [ metadata.main ]"),
            403,
            "metadata.main.acme is a name",
        ),
        (&writer, ("image: /bin/true", "image: flame"), 422, "there is no program `flame`"),
        (&owner, ("image: /bin/true", "image: flame"), 422, "templates may name flame-vcdn, flame-streaming"),
        (&writer, ("image: /bin/true, fqdn: [ hidden ]", of_their_own), 201, ""),
        (&owner, ("", ""), 200, ""),
    ] {
        let answer = deploy(who, change).await.unwrap();
        let (found, text) = (answer.status(), answer.text().await.unwrap());
        assert!(found == status && text.contains(complaint), "{change:?}: {found} {text}");
    }
    let told = http.post(format!("{base}/plans")).bearer_auth(&writer).json(&json!({ "template": template }));
    assert_eq!(told.send().await.unwrap().status(), 403);
    let stranger = Stranger {
        token: &token("other", "read write"),
        parameters: &[
            ("sfc", "secret-vr"),
            ("sfci", "premium"),
            ("policy", "start"),
            ("trigger", "t"),
            ("function", "first"),
        ],
        secrets: &["hidden", "acme", "secret-vr"],
    };
    walk_as_stranger(&base, stranger, |operation, request| match operation.path.as_str() {
        "/deployments" | "/plans" if operation.method == "POST" => request.json(&json!({ "template": "a: b" })),
        "/solutions" => request.json(&json!({ "sla": "a: b", "calibration": {} })),
        _ if operation.method == "PUT" => request.json(&json!({ "state": "booted" })),
        _ if operation.method == "POST" => request.json(&json!({ "message": "TRUE" })),
        _ => request,
    })
    .await;
    let seen = http.get(format!("{base}/deployments/secret-vr/premium")).bearer_auth(&owner).send().await.unwrap();
    let seen: serde_json::Value = seen.json().await.unwrap();
    let names: Vec<&serde_json::Value> =
        seen["endpoints"].as_array().unwrap().iter().map(|one| &one["names"][0]).collect();
    assert!(seen["is_leaving"] == json!(false) && names.contains(&&json!("hidden.premium.acme")), "{seen}");
    running.stop().await;
}

#[test]
fn the_example_configuration_holds_the_defaults() {
    let file = flame_test_kit::repository().join("platform/orchestrator/config.example.toml");
    let example: Config = config::load("orchestrator", Some(&file)).unwrap();
    let default = Config::default();
    assert_eq!(
        (&example.store, &example.placement, &example.lifecycle, &example.process),
        (&default.store, &default.placement, &default.lifecycle, &default.process)
    );
    assert_eq!(example.host.max_connections, default.host.max_connections);
    // Also the keys that are commented out are known: an unknown one is refused.
    let text = std::fs::read_to_string(&file).unwrap();
    let is_setting = |line: &&str| line.contains(" = ") || line.starts_with('[');
    let uncomment = |line: &str| line.strip_prefix("# ").filter(is_setting).unwrap_or(line).to_owned();
    let folder = tempfile::tempdir().unwrap();
    let all = folder.path().join("all.toml");
    std::fs::write(&all, text.lines().map(uncomment).collect::<Vec<_>>().join("\n")).unwrap();
    let all: Config = config::load("orchestrator", Some(&all)).unwrap();
    assert!(all.host.advertise.is_some() && all.process.token.is_some() && all.placement.clusters.len() == 1);
}

#[test]
fn the_program_says_how_it_is_called() {
    let run = |arguments: &[&str]| {
        let ran =
            std::process::Command::new(env!("CARGO_BIN_EXE_flame-orchestrator")).args(arguments).output().unwrap();
        (ran.status.code(), String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap())
    };
    let (status, text) = run(&["--help"]);
    assert!(status == Some(0) && text.starts_with("usage: flame-orchestrator [CONFIG.toml]"), "{status:?} {text}");
    assert_eq!(run(&["--bogus"]).0, Some(2));
}

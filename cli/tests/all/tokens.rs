//! Where others can reach it, callers need a token: the first is made and shown, more are issued, any can be revoked.

use flame_test_kit::clips;

use crate::world::{World, command, flame, run};

#[test]
fn tokens_are_needed_issued_and_revoked() {
    let world = World::up_with(&["--listen", "0.0.0.0:0"]);
    let data = world.data();
    let data = data.to_str().unwrap();
    let stranger = world.flame(&["asset", "list"]);
    assert_eq!(stranger.status, 3, "{}", stranger.out);
    assert!(stranger.err.contains("FLAME_TOKEN"), "{}", stranger.err);
    // Health is for everybody: a load balancer has no token.
    assert_eq!(world.flame(&["health"]).status, 0);

    let issue = |scope: &str| {
        let ran = flame(&["token", "issue", "--data", data, "--scope", scope]);
        assert_eq!(ran.status, 0, "{}", ran.err);
        ran.out.trim().to_owned()
    };
    let with = |token: &str, arguments: &[&str]| {
        run(command().args(arguments).env("FLAME_ROUTER", &world.router).env("FLAME_TOKEN", token))
    };
    let (reader, writer) = (issue("read"), issue("read,write"));
    assert_eq!(with(&reader, &["asset", "list"]).status, 0);
    let clip = clips::recipe("synthetic").seconds(2.0).size(320, 180).make();
    let refused = with(&reader, &["ingest", clip.to_str().unwrap(), "--chain", "none"]);
    assert_ne!(refused.status, 0);
    assert!(refused.err.contains("scope"), "{}", refused.err);
    // The services find each other with the bundle's own token: the whole job runs.
    let ran = with(&writer, &["ingest", clip.to_str().unwrap()]);
    assert_eq!(ran.status, 0, "{}\n{}", ran.err, world.log());

    assert_eq!(flame(&["token", "revoke", "--data", data, &reader]).status, 0);
    // Services look at the revocations once a second.
    while with(&reader, &["asset", "list"]).status == 0 {}
    assert_eq!(with(&writer, &["asset", "list"]).status, 0);
}

#[test]
fn a_tenant_has_what_is_its_own_and_nobody_elses() {
    let world = World::up_with(&["--listen", "0.0.0.0:0"]);
    let data = world.data();
    let token = |tenant: &str| {
        let ran = flame(&["token", "issue", "--tenant", tenant, "--data", data.to_str().unwrap()]);
        assert!(ran.status == 0 && ran.err.contains(&format!("of tenant {tenant}")), "{}", ran.err);
        ran.out.trim().to_owned()
    };
    let with = |token: &str, arguments: &[&str]| {
        run(command().args(arguments).env("FLAME_ROUTER", &world.router).env("FLAME_TOKEN", token))
    };
    let (acme, other) = (token("acme"), token("other"));
    let clip = clips::recipe("synthetic").seconds(2.0).size(320, 180).make();
    let done = with(&acme, &["ingest", clip.to_str().unwrap(), "--chain", "none", "--json"]);
    assert_eq!(done.status, 0, "{}\n{}", done.err, world.log());
    let id = serde_json::from_str::<serde_json::Value>(&done.out).unwrap()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(with(&acme, &["asset", "show", &id, "--json"]).status, 0);
    assert_eq!(with(&other, &["asset", "list", "--json"]).out.trim(), "[]");
    for hidden in [&["asset", "show", &id][..], &["asset", "rm", &id], &["job", "start", &id]] {
        assert_eq!(with(&other, hidden).status, 1, "{hidden:?}");
    }
    assert_eq!(with(&acme, &["asset", "show", &id]).status, 0, "nobody else took it away");
}

#[test]
fn a_signed_url_opens_its_asset_and_is_in_no_log() {
    let world = World::up();
    let data = world.data();
    let data = data.to_str().unwrap();
    let url = format!("{}~cdn.signed/film/index.m3u8", world.router.trim_end_matches('/').to_owned() + "/");
    let status = |url: &str| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { reqwest::get(url).await.unwrap().status().as_u16() })
    };
    assert_eq!(status(&url), 403);
    let signed = flame(&["token", "sign-url", "--data", data, &url]);
    assert_eq!(signed.status, 0, "{}", signed.err);
    let signed = signed.out.trim();
    // It may: that there is no such film, streaming says.
    assert_eq!(status(signed), 404, "{signed}");
    assert_eq!(status(&signed.replace("/film/", "/other/")), 403);
    let token = signed.split("URISigningPackage=").nth(1).unwrap().split('/').next().unwrap();
    assert!(token.len() > 100 && !world.log().contains(token), "{}", world.log());
    let twice = flame(&["token", "sign-url", "--data", data, signed]);
    assert_eq!(twice.status, 2, "{}", twice.err);
    assert_eq!(flame(&["token", "sign-url", "--data", data, "http://127.0.0.1:1/film/1"]).status, 2);
}

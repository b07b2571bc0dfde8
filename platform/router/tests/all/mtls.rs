//! Certificates between the parts: who may join, who may register, whom a router asks, and whom it believes.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use flame_api::client::Transport;
use flame_api::router::{CertificateRequest, Registration};
use flame_api::{Client, ClientError};
use flame_credentials::standing::{ANY_ROUTER, dns_of_name, dns_of_router};
use flame_credentials::{Current, Key, Role, Standing};
use flame_service_host::keys::Grant;
use flame_service_host::problem::chain;
use flame_test_kit::eventually;

use crate::realm::{PATIENCE, Realm, Router, as_part};

fn request(token: Option<String>, role: Role, site: Option<&str>, names: &[&str]) -> CertificateRequest {
    CertificateRequest {
        request: Key::new().unwrap().request_pem().unwrap(),
        token,
        role: Some(role.to_string()),
        site: site.map(ToOwned::to_owned),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn status<T>(outcome: Result<T, ClientError>) -> (u16, String) {
    match outcome {
        Ok(_) => (200, String::new()),
        Err(ClientError::Refused { problem, .. }) => (problem.status, problem.detail.clone()),
        Err(other) => (0, chain(&other)),
    }
}

/// Waits until the last second of a certificate is over: in that, a handshake still takes it.
async fn is_over(current: &Current) {
    let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(current.identity().ends_unix_s + 1);
    eventually(PATIENCE, || async { if SystemTime::now() >= ends { Ok(()) } else { Err("it is still good") } }).await;
}

#[tokio::test]
async fn a_service_joins_is_asked_over_tls_and_knows_who_calls() {
    let realm = Realm::new("mtls-service");
    let router = realm.router(|_| {}).await;
    let service = realm.service("media", &router, "here").await;
    router.answers("/~media/who", "here").await;
    let listed = as_part(&realm.member(Role::Service, "local", &["media"]), &router).endpoints().await.unwrap().items;
    assert!(listed.len() == 1 && listed[0].tls && listed[0].name == "media.main", "{listed:?}");
    // A router's connection is not who calls: what comes over it is what viewers ask for.
    let (status, said) = router.get("/~media/caller").await;
    assert!(status == 401 && said.contains("no certificate"), "{status} {said}");
    // curl, which nobody here wrote: with a certificate, without one, and as a plain client.
    let identity = realm.folder.join("media").join("identity.pem");
    let (identity, ca) = (identity.to_str().unwrap().to_owned(), realm.folder.join("ca/ca.pem"));
    let host = dns_of_name(&"media".parse().unwrap());
    let url = format!("https://{host}:{}/caller", service.address().port());
    let resolve = format!("{host}:{}:127.0.0.1", service.address().port());
    let curl = async |more: &[&str]| {
        let mut curl = tokio::process::Command::new("curl");
        curl.args([
            "-sS",
            "--max-time",
            "20",
            "--noproxy",
            "*",
            "--resolve",
            &resolve,
            "--cacert",
            ca.to_str().unwrap(),
        ]);
        let ran = curl.args(more).arg(&url).stdin(Stdio::null()).output().await.unwrap();
        String::from_utf8_lossy(if ran.status.success() { &ran.stdout } else { &ran.stderr }).into_owned()
    };
    assert_eq!(curl(&["--cert", &identity, "--key", &identity]).await, "service at local for media.main");
    assert!(curl(&[]).await.contains("no certificate"));
    let wrong = format!("https://{}:{}/caller", dns_of_router(&"local".parse().unwrap()), service.address().port());
    let plain = reqwest::get(format!("http://{}/caller", service.address())).await;
    assert!(plain.is_err() || plain.unwrap().status() == 400, "it speaks no plain HTTP");
    let mut other = tokio::process::Command::new("curl");
    other.args(["-sS", "--max-time", "20", "--noproxy", "*", "--cacert", ca.to_str().unwrap(), "--connect-to"]);
    let ran = other.arg(format!("::127.0.0.1:{}", service.address().port())).arg(wrong).output().await.unwrap();
    assert!(String::from_utf8_lossy(&ran.stderr).contains("no alternative certificate subject name"), "{ran:?}");
    service.stop().await;
    eventually(PATIENCE, || async {
        let status = router.get("/~media/who").await.0;
        if status == 503 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

/// What curl is answered by a router at one of its names: who it shows a certificate of, and which host it asks for.
#[tokio::test]
async fn a_router_answers_under_the_names_of_its_certificate_and_under_no_other_router_s() {
    let realm = Realm::new("mtls-names");
    let router = realm.router(|_| {}).await;
    let service = realm.service("media", &router, "here").await;
    let identity = realm.folder.join("media").join("identity.pem");
    let (identity, ca) = (identity.to_str().unwrap().to_owned(), realm.folder.join("ca/ca.pem"));
    let port = router.running.address().port();
    let registration = Registration::new(([127, 0, 0, 1], 9).into(), 1, 60_000);
    let body = serde_json::to_string(&registration).unwrap();
    let registered = async |shown: &str, host: &str, name: &str, is_known: bool| {
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["-sS", "--max-time", "20", "--noproxy", "*", "-w", "\n%{http_code}", "-X", "PUT"]);
        curl.args(["--resolve", &format!("{shown}:{port}:127.0.0.1"), "--cacert", ca.to_str().unwrap()]);
        if is_known {
            curl.args(["--cert", &identity, "--key", &identity]);
        }
        curl.args(["-H", "content-type: application/json", "-H", &format!("host: {host}:{port}"), "-d", &body]);
        curl.arg(format!("https://{shown}:{port}/api/router/endpoints/{name}/more"));
        let ran = curl.stdin(Stdio::null()).output().await.unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    };
    let (any, here) = (ANY_ROUTER.to_owned(), dns_of_router(&"local".parse().unwrap()));
    for name in [&any, &here] {
        let said = registered(name, name, "media", true).await;
        assert!(said.ends_with("\n200"), "{name}: {said}");
    }
    let said = registered(&any, &any, "metadata", true).await;
    assert!(said.ends_with("\n403") && said.contains("metadata"), "{said}");
    let said = registered(&any, &any, "media", false).await;
    assert!(said.ends_with("\n401"), "{said}");
    // Of another router it cannot speak, and of a service's name it is no door.
    for host in [dns_of_router(&"cloud".parse().unwrap()), dns_of_name(&"media".parse().unwrap())] {
        let said = registered(&any, &host, "media", true).await;
        assert!(said.ends_with("\n421"), "{host}: {said}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_join_token_is_good_for_one_join_of_what_it_names() {
    let realm = Realm::new("mtls-joins");
    let router = realm.router(|_| {}).await;
    let stranger = realm.stranger(&router);
    let join = async |body: &CertificateRequest| status(stranger.certificate(body).await);
    let token = || Some(realm.token(Role::Service, "local", &["media"]));
    let first = request(token(), Role::Service, None, &["media"]);
    assert_eq!(join(&first).await.0, 200);
    assert_eq!(join(&first).await.0, 200, "the same key asks again: its answer may have been lost");
    let second = CertificateRequest { token: first.token.clone(), ..request(None, Role::Service, None, &["media"]) };
    let (code, said) = join(&second).await;
    assert!(code == 403 && said.contains("spent"), "{code} {said}");
    for (body, word) in [
        (request(token(), Role::Service, None, &["metadata"]), "metadata"),
        (request(token(), Role::Service, Some("cloud"), &["media"]), "cloud"),
        (request(token(), Role::Router, Some("local"), &[]), "router"),
        (request(None, Role::Service, None, &["media"]), "token"),
    ] {
        let (code, said) = join(&body).await;
        assert!(code == 403 && said.contains(word), "{code} {said}");
    }
    let mut changed = token().unwrap();
    changed.replace_range(15..16, if &changed[15..16] == "A" { "B" } else { "A" });
    assert_eq!(join(&request(Some(changed), Role::Service, None, &["media"])).await.0, 403);
    assert_eq!(join(&request(Some("rubbish".to_owned()), Role::Service, None, &["media"])).await.0, 422);
    let standing = Standing { role: Role::Service, site: "local".parse().unwrap(), names: [].into() };
    let ended = realm.issuer.invite(&standing, Duration::ZERO).unwrap().to_string();
    let (code, said) = join(&request(Some(ended), Role::Service, None, &[])).await;
    assert!(code == 403 && said.contains("ended"), "{code} {said}");
    let (code, _) =
        join(&CertificateRequest { request: "x".to_owned(), ..request(token(), Role::Service, None, &[]) }).await;
    assert_eq!(code, 400);
    // A service that finds out at its start says so.
    let wrong = realm.try_service("wrong", "metadata", &router, token(), "x").await.map(|_| ()).unwrap_err();
    assert!(chain(&wrong).contains("not for the name metadata"), "{}", chain(&wrong));
    let none = realm.try_service("none", "media", &router, None, "x").await.map(|_| ()).unwrap_err();
    assert!(chain(&none).contains("flame ca join-token"), "{}", chain(&none));
    // Who stands in for the router is found out before anything is sent.
    let other = Realm::new("mtls-other");
    let foreign = other.token(Role::Service, "local", &["media"]);
    let refused = other.stranger(&router).certificate(&request(Some(foreign), Role::Service, None, &["media"])).await;
    let (code, said) = status(refused);
    assert!(code == 0 && said.contains("UnknownIssuer"), "{code} {said}");
}

#[tokio::test]
async fn strangers_and_parts_with_other_names_cannot_register() {
    let realm = Realm::new("mtls-register");
    let router = realm.router(|_| {}).await;
    let place = Registration { tls: true, ..Registration::new("127.0.0.1:9".parse().unwrap(), 1, 60_000) };
    let register = async |client: flame_api::Client, name: &str| status(client.register(name, "e1", &place).await);
    let part = |names: &[&str]| as_part(&realm.member(Role::Service, "local", names), &router);
    assert_eq!(register(part(&["media", "cache.*"]), "media").await.0, 200);
    assert_eq!(register(part(&["media", "cache.*"]), "cache.west").await.0, 200);
    assert_eq!(register(part(&["media", "cache.*"]), "metadata").await.0, 403);
    assert_eq!(register(part(&["media"]), "media.main.acme").await.0, 403);
    assert_eq!(register(as_part(&realm.member(Role::Router, "local", &[]), &router), "media").await.0, 403);
    let (code, said) = register(as_part(&realm.member(Role::Service, "cloud", &["media"]), &router), "media").await;
    assert!(code == 403 && said.contains("cloud"), "{code} {said}");
    assert_eq!(register(realm.stranger(&router), "media").await.0, 401);
    // Of another authority, or over: no request gets through.
    let other = Realm::new("mtls-register-other");
    let foreign = other.member(Role::Service, "local", &["media"]);
    let mut config =
        realm.member(Role::Service, "local", &[]).client_expecting(&dns_of_router(&"local".parse().unwrap())).unwrap();
    config.client_auth_cert_resolver = std::sync::Arc::new(foreign);
    let foreign = flame_api::Client::over(flame_api::client::Transport::over_tls(config), router.url(), None);
    let (code, said) = register(foreign, "media").await;
    assert_eq!(code, 0, "{said}");
    let standing =
        Standing { role: Role::Service, site: "local".parse().unwrap(), names: ["media".parse().unwrap()].into() };
    let short = realm.member_for(standing, Duration::from_secs(2));
    let kept = as_part(&short, &router);
    assert_eq!(register(kept.clone(), "media").await.0, 200);
    is_over(&short).await;
    let (code, said) = register(kept, "media").await;
    assert!(code == 401 && said.contains("has ended"), "on the connection that there was: {code} {said}");
    let (code, said) = register(as_part(&short, &router), "media").await;
    assert_eq!(code, 0, "{said}");
    // The feed is for routers.
    assert_eq!(status(part(&["media"]).peer_feed().await).0, 403);
    assert_eq!(status(as_part(&realm.member(Role::Router, "cloud", &[]), &router).peer_feed().await).0, 200);
}

#[tokio::test]
async fn what_a_part_s_token_allows_is_added_to_what_its_certificate_does() {
    let realm = Realm::new("mtls-token");
    let keys = realm.folder.join("keys");
    flame_service_host::keys::ensure(&keys).unwrap();
    let router = realm.router(|config| config.host.auth.keys = Some(keys.clone())).await;
    let of_tenant = |tenant: &str, scope: &str, names: Option<&[&str]>| {
        let life = Duration::from_secs(600);
        let grant = Grant { subject: "part".into(), tenant: tenant.into(), scope: scope.into(), life };
        let names = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        flame_service_host::keys::issue_confined(&keys, &grant, names).unwrap().0
    };
    let token = |scope: &str, names: Option<&[&str]>| of_tenant("default", scope, names);
    let place = Registration { tls: true, ..Registration::new("127.0.0.1:9".parse().unwrap(), 1, 60_000) };
    let part = |site: &str, token: Option<String>| {
        let current = realm.member(Role::Service, site, &["conductor", "own.main.acme"]);
        let expected = current.client_expecting(&dns_of_router(&"local".parse().unwrap())).unwrap();
        Client::over(Transport::over_tls(expected), router.url(), token)
    };
    let register = async |client: &Client, name: &str| status(client.register(name, "e1", &place).await).0;
    let confined = part("local", Some(token("service", None)));
    assert_eq!(register(&confined, "conductor").await, 200);
    assert_eq!(register(&confined, "media").await, 403, "a token that lists no names adds none");
    assert_eq!(register(&part("local", Some(token("service", Some(&["media"])))), "media").await, 200);
    let admin = part("local", Some(token("read service admin", None)));
    for (name, wanted) in [("conductor", 200), ("own.main.acme", 200), ("cache", 200), ("cache.main.acme", 403)] {
        assert_eq!(register(&admin, name).await, wanted, "{name}");
    }
    assert_eq!(status(admin.drain("media", "e1").await).0, 200);
    // Wherever the certificate is not of this site, and where the token is none, it adds nothing.
    assert_eq!(register(&part("cloud", Some(token("service admin", None))), "cache").await, 403);
    // Whoever shows one that is not good, or not any more, is told so.
    assert_eq!(register(&part("local", Some("rubbish".to_owned())), "conductor").await, 401);
    // What a tenant's token may for that tenant, no certificate makes it able to do for others.
    let tenant = part("local", Some(of_tenant("acme", "read write admin", None)));
    for (acting_for, name) in [("acme", "cache.main.acme"), ("victim", "media.main.victim"), ("default", "cache")] {
        assert_eq!(register(&tenant.for_tenant(acting_for), name).await, 403, "{name}");
    }
    assert_eq!(status(tenant.drain("media", "e1").await).0, 403);
    assert_eq!(register(&tenant, "conductor").await, 200);
    // Of a router's connection it is the word of whoever asks through it.
    let current = realm.member(Role::Router, "local", &[]);
    let expected = current.client_expecting(&dns_of_router(&"local".parse().unwrap())).unwrap();
    let through = Client::over(Transport::over_tls(expected), router.url(), Some(token("service admin", None)));
    assert_eq!(register(&through, "cache").await, 403);
}

#[tokio::test]
async fn an_endpoint_with_another_s_certificate_is_not_asked_and_explain_says_why() {
    let realm = Realm::new("mtls-impostor");
    let router = realm.router(|_| {}).await;
    let token = realm.token(Role::Service, "local", &["metadata"]);
    let impostor = realm.try_service("impostor", "metadata", &router, Some(token), "impostor").await.unwrap();
    router.answers("/~metadata/who", "impostor").await;
    // Somebody who may register behind `media` points at a process that may not stand there.
    let part = as_part(&realm.member(Role::Service, "local", &["media"]), &router);
    let place = |address, tls| Registration { tls, ..Registration::new(address, 1, 60_000) };
    part.register("media", "e1", &place(impostor.address(), true)).await.unwrap();
    let (status, said) = router.get("/~media/who").await;
    assert_eq!(status, 503, "{said}");
    let explained = part.explain("/~media/who", None).await.unwrap().unwrap();
    let refused = explained.routes[0].refused.as_deref().unwrap_or_default();
    assert!(refused.contains("not valid for name"), "{explained:?}");
    // Nor is one asked in clear that said it speaks TLS.
    let plain = crate::world::Service::echo().await;
    part.register("media", "e2", &place(plain.address, true)).await.unwrap();
    assert_eq!(router.get("/~media/who").await.0, 503);
    // One that may stand there answers, whatever the others.
    let honest = realm.service("media", &router, "here").await;
    router.answers("/~media/who", "here").await;
    for _ in 0..50 {
        assert_eq!(router.get("/~media/who").await, (200, "here".to_owned()));
    }
    drop((impostor, honest));
}

#[tokio::test]
async fn certificates_are_renewed_while_requests_go_on_and_none_fails() {
    let mut realm = Realm::new("mtls-rotation");
    realm.life = Duration::from_secs(6);
    let router = realm.router(|_| {}).await;
    let service = realm.service("media", &router, "here").await;
    router.answers("/~media/who", "here").await;
    let ends =
        |folder: &str| flame_credentials::Identity::read(&realm.folder.join(folder)).unwrap().unwrap().ends_unix_s;
    let before = [ends("router"), ends("media")];
    let (mut asked, mut failed) = (0_u32, Vec::new());
    // Until what both had at first is long over.
    while ends("router") < before[0] + 12 || ends("media") < before[1] + 12 {
        let (status, text) = router.get("/~media/who").await;
        asked += 1;
        if (status, text.as_str()) != (200, "here") {
            failed.push(format!("{status} {text}"));
        }
        assert!(asked < 1_000_000, "they are not renewed");
    }
    assert!(failed.is_empty(), "{} of {asked} failed: {:?}", failed.len(), &failed[..failed.len().min(3)]);
    eprintln!("{asked} requests while both certificates were renewed several times");
    service.stop().await;
}

#[tokio::test]
async fn a_router_killed_between_spending_and_giving_loses_no_join() {
    let realm = Realm::new("mtls-killed");
    let [port] = flame_test_kit::ports::free_tcp();
    let start = || {
        let mut router = tokio::process::Command::new(env!("CARGO_BIN_EXE_flame-router"));
        router
            .env("FLAME_ROUTER__HOST__LISTEN", format!("127.0.0.1:{port}"))
            .env("FLAME_ROUTER__HOST__TLS__FOLDER", realm.folder.join("router"))
            .env("FLAME_ROUTER__ISSUER__FOLDER", realm.folder.join("ca"));
        router.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
    };
    let transport = || {
        let pinned = flame_credentials::tls::joining(realm.issuer.fingerprint()).unwrap();
        flame_api::client::Transport::over_tls(pinned)
    };
    let client = || flame_api::Client::over(transport(), format!("https://127.0.0.1:{port}").parse().unwrap(), None);
    let is_up = || async {
        // Whatever it says, it speaks.
        match client().endpoints().await {
            Err(ClientError::Unreachable { source, .. }) => Err(chain(&source)),
            Ok(_) | Err(ClientError::Refused { .. } | ClientError::Malformed { .. }) => Ok(()),
        }
    };
    let mut router = start();
    eventually(PATIENCE, is_up).await;
    // The key that it signs with is a pipe that nobody writes to: it stops between spending and giving.
    let (key, aside) = (realm.folder.join("ca/ca.key"), realm.folder.join("ca.key.aside"));
    std::fs::rename(&key, &aside).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&key).status().unwrap().success());
    let token = realm.token(Role::Service, "local", &["media"]);
    let body = request(Some(token.clone()), Role::Service, None, &["media"]);
    let pending = {
        let (client, body) = (client(), body.clone());
        tokio::spawn(async move { client.certificate(&body).await })
    };
    let kept = realm.folder.join("ca/joins").join(token.parse::<flame_credentials::JoinToken>().unwrap().id());
    eventually(PATIENCE, || async {
        let text = std::fs::read_to_string(&kept).unwrap();
        if text.contains("\"spent_for\":\"") { Ok(()) } else { Err(text) }
    })
    .await;
    router.kill().await.unwrap();
    assert!(pending.await.unwrap().is_err(), "nothing was given");
    std::fs::remove_file(&key).unwrap();
    std::fs::rename(&aside, &key).unwrap();
    let _router = start();
    eventually(PATIENCE, is_up).await;
    let other = CertificateRequest { token: Some(token), ..request(None, Role::Service, None, &["media"]) };
    let (code, said) = status(client().certificate(&other).await);
    assert!(code == 403 && said.contains("spent"), "{code} {said}");
    assert_eq!(status(client().certificate(&body).await).0, 200, "the same joiner, the same key");
}

#[tokio::test]
async fn an_issuer_without_tls_and_a_folder_of_somebody_else_are_named_at_the_start() {
    let realm = Realm::new("mtls-start");
    let error = Router::start(|config| {
        config.issuer = Some(flame_router::config::IssuerConfig {
            folder: realm.folder.join("ca"),
            life: flame_service_host::config::Span(realm.life),
        });
    });
    let error = chain(&error.await.map(|_| ()).unwrap_err());
    assert!(error.contains("[host.tls]"), "{error}");
    let router = realm.router(|_| {}).await;
    let shared = realm.try_service("router", "media", &router, None, "x").await.map(|_| ()).unwrap_err();
    assert!(chain(&shared).contains("a folder of its own"), "{}", chain(&shared));
    let elsewhere = Router::start(|config| {
        config.host.tls = Some(realm.tls("router", None, None));
        config.site = "cloud".to_owned();
    });
    let error = chain(&elsewhere.await.map(|_| ()).unwrap_err());
    assert!(error.contains("router at local") && error.contains("router at cloud"), "{error}");
}

//! Surrogates whose listeners speak TLS, behind a router that has a certificate: what they serve, and what they tell each
//! other.

use std::net::SocketAddr;
use std::time::Duration;

use flame_api::Client;
use flame_api::client::Transport;
use flame_api::router::Registration;
use flame_credentials::standing::{ANY_ROUTER, dns_of_name};
use flame_credentials::{Current, Identity, Issuer, Key, Role, Standing, tls};
use flame_router::config::{IssuerConfig, ViewersConfig};
use flame_service_host::auth::AuthConfig;
use flame_service_host::config::Span;
use flame_service_host::keys::{self, Grant};
use flame_service_host::problem::chain;
use flame_service_host::{HostConfig, TlsConfig};
use flame_test_kit::{Scratch, eventually};
use flame_vcdn::Config;
use flame_vcdn::config::FrontConfig;
use serde_json::json;
use url::Url;

use crate::origin::{Origin, Reply};
use crate::world::PATIENCE;

pub(crate) fn standing(role: Role, names: &[&str]) -> Standing {
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    Standing { role, site: "local".parse().unwrap(), names }
}

/// Connections that show a certificate, or nothing, to whoever has `expecting` in its own.
pub(crate) fn transport(issuer: &Issuer, folder: &std::path::Path, expecting: &str, shows: bool) -> Transport {
    std::fs::create_dir_all(folder).unwrap();
    let key = Key::new().unwrap();
    let issued = issuer.renew(standing(Role::Service, &["origin", "vcdn"]), &key.request_pem().unwrap()).unwrap();
    let current = Current::new(Identity::keep(folder, &key, &issued).unwrap());
    let mut config = current.client_expecting(expecting).unwrap();
    if !shows {
        config.client_auth_cert_resolver = tls::believing_nobody().unwrap().client_auth_cert_resolver;
    }
    Transport::over_tls(config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_and_purged_over_tls_is_the_same() {
    let folder = Scratch::new("vcdn-tls");
    let issuer = Issuer::init(&folder.join("ca")).unwrap();
    let [port] = flame_test_kit::ports::free_tcp();
    let viewers = SocketAddr::from(([127, 0, 0, 1], port));
    let identity = |part: &str, join_token| TlsConfig { folder: folder.join(part), issuer: None, join_token };
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let router = flame_router::start(flame_router::Config {
        host: HostConfig { listen, tls: Some(identity("router", None)), ..HostConfig::default() },
        issuer: Some(IssuerConfig { folder: folder.join("ca"), life: Span(Duration::from_secs(3600)) }),
        viewers: vec![ViewersConfig { listen: viewers, certificates: Vec::new() }],
        ..flame_router::Config::default()
    });
    let router = router.await.unwrap();
    let url: Url = format!("https://{}", router.address()).parse().unwrap();
    let origin = Origin::start().await;
    let body = vec![5; 300_000];
    origin.put("/film", Reply::new(body.clone()));
    let client = Client::over(transport(&issuer, &folder.join("me"), ANY_ROUTER, true), url.clone(), None);
    client.register("origin", "one", &Registration::new(origin.address, 1, 60_000)).await.unwrap();

    keys::ensure(&folder.join("keys")).unwrap();
    let (subject, tenant, scope) = ("operator".to_owned(), "default".to_owned(), "write".to_owned());
    let grant = Grant { subject, tenant, scope, life: Duration::from_secs(60) };
    let (token, _) = keys::issue(&folder.join("keys"), &grant).unwrap();
    let mut surrogates = Vec::new();
    for part in ["one", "two"] {
        let invited = issuer.invite(&standing(Role::Service, &["vcdn", "cdn"]), Duration::from_secs(60)).unwrap();
        let host = HostConfig {
            router: Some(url.clone()),
            tls: Some(identity(part, Some(invited.to_string()))),
            auth: AuthConfig { keys: Some(folder.join("keys")) },
            drain: Span(Duration::from_secs(2)),
            ..HostConfig::default()
        };
        let fronts = vec![FrontConfig::new("cdn", "origin")];
        surrogates.push(flame_vcdn::start(Config { host, fronts, ..Config::default() }).await.unwrap());
    }
    // One that may not stand behind the name that it serves is found out at its start, and not by viewers.
    let invited = issuer.invite(&standing(Role::Service, &["vcdn"]), Duration::from_secs(60)).unwrap();
    let tls = Some(identity("three", Some(invited.to_string())));
    let auth = AuthConfig { keys: Some(folder.join("keys")) };
    let host = HostConfig { router: Some(url.clone()), tls, auth, ..HostConfig::default() };
    let fronts = vec![FrontConfig::new("cdn", "origin")];
    let refused = flame_vcdn::start(Config { host, fronts, ..Config::default() }).await.map(|_| ()).unwrap_err();
    assert!(chain(&refused).contains("not for the name cdn"), "{}", chain(&refused));
    let registered = eventually(PATIENCE, || async {
        let all = client.endpoints().await.map_err(|error| error.to_string())?.items;
        if all.len() == 5 { Ok(all) } else { Err(format!("{all:?}")) }
    });
    assert_eq!(registered.await.iter().filter(|endpoint| endpoint.tls).count(), 4, "all but the origin");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async || {
        let answer = http.get(format!("http://{viewers}/~cdn/film")).send().await.unwrap();
        let status = answer.headers()["cache-status"].to_str().unwrap().to_owned();
        assert_eq!(answer.bytes().await.unwrap(), body);
        status
    };
    for _ in 0..20 {
        get().await;
    }
    assert!(get().await.contains("hit"));
    let before = origin.asked("/film").len();
    assert!(before <= 2, "each surrogate fetched once: {before}");
    // A front speaks no plain HTTP now.
    let plain = http.get(format!("http://{}/film", surrogates[0].fronts()["cdn.main"])).send().await;
    assert!(plain.is_err(), "{plain:?}");
    // A purge that somebody with a token asks one for reaches the other over TLS: both fetch again.
    let secure = transport(&issuer, &folder.join("operator"), &dns_of_name(&"vcdn".parse().unwrap()), false).http();
    let told = secure.post(format!("https://{}/purges", surrogates[0].address()));
    let told = told.bearer_auth(token).json(&json!({ "name": "cdn", "url": "/film" })).send().await.unwrap();
    let (status, said) = (told.status(), told.text().await.unwrap());
    assert_eq!(status, 200, "{said}");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["unreached"], json!([]), "{said}");
    for _ in 0..20 {
        get().await;
    }
    let after = origin.asked("/film").len();
    assert!(after > before && after <= before + 2, "{before} then {after}");
    for surrogate in surrogates {
        surrogate.stop().await;
    }
    router.stop().await;
}

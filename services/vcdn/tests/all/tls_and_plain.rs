//! Surrogates with a certificate, as the platform's are, and those of templates, which have none: purges go both ways, and where it is not
//! known who was told of one, that is said.

use std::net::SocketAddr;
use std::time::Duration;

use flame_api::Client;
use flame_api::router::Registration;
use flame_api::vcdn::Purged;
use flame_credentials::standing::{ANY_ROUTER, dns_of_name};
use flame_credentials::{Issuer, Role};
use flame_router::config::{IssuerConfig, ViewersConfig};
use flame_service_host::auth::AuthConfig;
use flame_service_host::config::Span;
use flame_service_host::keys::{self, Grant};
use flame_service_host::{HostConfig, Running, TlsConfig};
use flame_test_kit::{Scratch, eventually, ports};
use flame_vcdn::Config;
use flame_vcdn::config::FrontConfig;
use serde_json::json;
use url::Url;

use crate::origin::{Origin, Reply};
use crate::tls::{standing, transport};
use crate::world::PATIENCE;

/// A router with the authority, which parts ask over TLS and everybody else at a plain listener; an origin; and keys of tokens.
struct Realm {
    folder: Scratch,
    issuer: Issuer,
    router: Running,
    viewers: SocketAddr,
    origin: Origin,
    /// To a surrogate with a certificate, without showing one, and to all others.
    secure: reqwest::Client,
    plain: reqwest::Client,
}

// === impl Realm ===

impl Realm {
    async fn start() -> Self {
        let folder = Scratch::new("vcdn-mixed");
        let issuer = Issuer::init(&folder.join("ca")).unwrap();
        keys::ensure(&folder.join("keys")).unwrap();
        let [port] = ports::free_tcp();
        let viewers = SocketAddr::from(([127, 0, 0, 1], port));
        let tls = TlsConfig { folder: folder.join("router"), issuer: None, join_token: None };
        let auth = AuthConfig { keys: Some(folder.join("keys")) };
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let router = flame_router::start(flame_router::Config {
            host: HostConfig { listen, tls: Some(tls), auth, ..HostConfig::default() },
            issuer: Some(IssuerConfig { folder: folder.join("ca"), life: Span(Duration::from_secs(3600)) }),
            viewers: vec![ViewersConfig { listen: viewers, certificates: Vec::new() }],
            ..flame_router::Config::default()
        });
        let (router, origin) = (router.await.unwrap(), Origin::start().await);
        origin.put("/a/1", Reply::new("x"));
        let secure = transport(&issuer, &folder.join("operator"), &dns_of_name(&"vcdn".parse().unwrap()), false).http();
        let realm = Self { folder, issuer, router, viewers, origin, secure, plain: reqwest::Client::new() };
        let part = transport(&realm.issuer, &realm.folder.join("part"), ANY_ROUTER, true);
        let registration = Registration::new(realm.origin.address, 1, 60_000);
        Client::over(part, realm.url(), None).register("origin", "one", &registration).await.unwrap();
        realm
    }

    fn url(&self) -> Url {
        format!("https://{}", self.router.address()).parse().unwrap()
    }

    fn token(&self, scope: &str) -> String {
        let (subject, tenant, scope) = ("test".to_owned(), "default".to_owned(), scope.to_owned());
        let grant = Grant { subject, tenant, scope, life: Duration::from_secs(600) };
        keys::issue(&self.folder.join("keys"), &grant).unwrap().0
    }

    /// One of the platform's.
    async fn with_certificate(&self, part: &str) -> flame_vcdn::Running {
        let invited = self.issuer.invite(&standing(Role::Service, &["vcdn", "cdn"]), Duration::from_secs(60)).unwrap();
        let tls = TlsConfig { folder: self.folder.join(part), issuer: None, join_token: Some(invited.to_string()) };
        self.surrogate("cdn", HostConfig { router: Some(self.url()), tls: Some(tls), ..HostConfig::default() }).await
    }

    /// One as a template starts it: what it is known by is the token that the orchestrator gave it.
    async fn of_template(&self) -> flame_vcdn::Running {
        let router = Some(format!("http://{}", self.viewers).parse().unwrap());
        let (name, token) = (Some("vcdn-first.city".to_owned()), Some(self.token("read write admin")));
        self.surrogate("edge.city", HostConfig { router, name, token, ..HostConfig::default() }).await
    }

    async fn surrogate(&self, front: &str, mut host: HostConfig) -> flame_vcdn::Running {
        host.auth = AuthConfig { keys: Some(self.folder.join("keys")) };
        host.drain = Span(Duration::from_secs(2));
        let mut config = Config { host, fronts: vec![FrontConfig::new(front, "origin")], ..Config::default() };
        // The router of a test has always just started.
        config.cache.alone_after = Span(Duration::ZERO);
        flame_vcdn::start(config).await.unwrap()
    }

    /// What a purge of everything comes to that the surrogate at `url` is asked for.
    async fn purge(&self, http: &reqwest::Client, url: &str) -> Result<Purged, String> {
        let asked = http.post(format!("{url}/purges")).bearer_auth(self.token("read write"));
        let asked = asked.json(&json!({ "name": "*", "prefix": "/" })).send().await;
        let answer = asked.map_err(|error| format!("{url}: {error}"))?;
        let (status, text) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
        serde_json::from_str(&text).map_err(|error| format!("{status} {text}: {error}"))
    }

    /// Purges until it comes to what is wanted: those who did it, and those of whom that is not known.
    async fn purges(&self, (http, url): (&reqwest::Client, &str), done: &[SocketAddr], unreached: &[SocketAddr]) {
        let texts = |addresses: &[SocketAddr]| {
            let mut texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            texts.sort();
            texts
        };
        eventually(PATIENCE, || async {
            let mut told = self.purge(http, url).await?;
            told.peers.sort();
            told.unreached.sort();
            let is_so = told.peers == texts(done) && told.unreached == texts(unreached) && told.all_known;
            if is_so { Ok(()) } else { Err(format!("{told:?}")) }
        })
        .await;
    }

    /// What surrogates say of `/a/1` at `url`.
    async fn seen(&self, url: &str) -> String {
        let answer = self.plain.get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.headers()["cache-status"].to_str().unwrap().to_owned()
    }

    async fn hits(&self, urls: &[String]) {
        for url in urls {
            eventually(PATIENCE, || async {
                let seen = self.seen(url).await;
                if seen.contains("; hit") { Ok(()) } else { Err(seen) }
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purges_go_between_those_with_a_certificate_and_those_without_and_who_may_not_have_heard_is_named() {
    let realm = Realm::start().await;
    let (platform, template) = (realm.with_certificate("one").await, realm.of_template().await);
    let (platforms, templates) = (format!("https://{}", platform.address()), format!("http://{}", template.address()));
    let edge = template.fronts()["edge.city"];
    let urls = [format!("http://{}/~cdn/a/1", realm.viewers), format!("http://{edge}/a/1")];
    let (at_platforms, at_templates) = ((&realm.secure, platforms.as_str()), (&realm.plain, templates.as_str()));
    // The one without is told that there is a purge, and asks for it by the router; the one with is told of it by the router.
    for (at, other) in [(at_platforms, template.address()), (at_templates, platform.address())] {
        realm.purges(at, &[other], &[]).await;
        realm.hits(&urls).await;
        realm.purges(at, &[other], &[]).await;
        for url in &urls {
            let seen = realm.seen(url).await;
            assert!(seen.contains("fwd=uri-miss"), "a purge that {} was asked for left {url}: {seen}", at.1);
        }
    }
    // Of two of one name the router chooses: who has no certificate cannot tell one of them, and says so of both.
    let second = realm.with_certificate("two").await;
    realm.purges(at_platforms, &[template.address(), second.address()], &[]).await;
    realm.hits(&urls[1..]).await;
    realm.purges(at_templates, &[], &[platform.address(), second.address()]).await;
    let seen = realm.seen(&urls[1]).await;
    assert!(seen.contains("fwd=uri-miss"), "it does its own part: {seen}");
    for surrogate in [second, template, platform] {
        surrogate.stop().await;
    }
    realm.router.stop().await;
}

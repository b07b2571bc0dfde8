//! Browsers that are signed in: a cookie that ends at the router.

use std::time::Duration;

use flame_api::Page;
use flame_api::router::{Explanation, Route, Session};
use flame_service_host::keys::{self, Grant};
use flame_service_host::links;
use flame_test_kit::Scratch;
use reqwest::{Method, Response};

use crate::world::{Service, World, problem};

struct Signed {
    world: World,
    keys: Scratch,
    services: Vec<Service>,
}

impl Signed {
    /// A router that wants tokens, `metadata` behind it, and a function that somebody else brought.
    async fn world() -> Self {
        let folder = Scratch::new("session-keys");
        keys::ensure(&folder).unwrap();
        let world = World::with(|config| config.host.auth.keys = Some(folder.to_path_buf())).await;
        let signed = Self { world, keys: folder, services: vec![Service::echo().await, Service::echo().await] };
        let admin = signed.token("admin service");
        for (name, service) in ["metadata", "brought"].into_iter().zip(&signed.services) {
            let url = signed.world.url(&format!("/api/router/endpoints/{name}.main/e1"));
            let body = serde_json::json!({ "address": service.address, "generation": 1, "ttl_ms": 60_000 });
            let answer = signed.world.http.put(url).bearer_auth(&admin).json(&body).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        }
        signed
    }

    fn grant(scope: &str) -> Grant {
        let (subject, tenant) = ("ann".to_owned(), "default".to_owned());
        Grant { subject, tenant, scope: scope.to_owned(), life: Duration::from_secs(600) }
    }

    fn token(&self, scope: &str) -> String {
        keys::issue(&self.keys, &Self::grant(scope)).unwrap().0
    }

    async fn sign_in(&self, shown: &str) -> Response {
        self.world.http.post(self.world.url("/api/router/session")).bearer_auth(shown).send().await.unwrap()
    }

    async fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let request = fields
            .iter()
            .fold(self.world.http.get(self.world.url(path)), |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap()
    }
}

/// The cookie as a browser would send it back, and its attributes.
fn cookie(answer: &Response) -> (String, Vec<String>) {
    let set = answer.headers()["set-cookie"].to_str().unwrap();
    let mut parts = set.split("; ").map(str::to_owned);
    (parts.next().unwrap(), parts.collect())
}

#[tokio::test]
async fn a_browser_signs_in_with_a_token_and_the_services_see_that_token_and_no_cookie() {
    let signed = Signed::world().await;
    let token = signed.token("read write");
    let answer = signed.sign_in(&token).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let (cookie, attributes) = cookie(&answer);
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(attributes.iter().any(|one| one == attribute), "{attributes:?}");
    }
    let age: u64 = attributes.iter().find_map(|one| one.strip_prefix("Max-Age=")).unwrap().parse().unwrap();
    assert!((590..=600).contains(&age), "it lives as long as the token: {age} s");
    let session: Session = answer.json().await.unwrap();
    assert_eq!((session.subject.as_str(), session.scopes), ("ann", vec!["read".to_owned(), "write".to_owned()]));

    // The router itself, and the services of the bundle.
    let who = signed.ask("/api/router/session", &[("cookie", &cookie)]).await;
    assert_eq!(who.json::<Session>().await.unwrap().tenant, "default");
    let beside = format!("theme=dark; {cookie}");
    for path in ["/~metadata/assets", "/api/metadata/assets"] {
        let seen = signed.ask(path, &[("cookie", &beside)]).await;
        assert!(!seen.headers().contains_key("content-security-policy"));
        let seen = seen.text().await.unwrap();
        assert!(seen.contains(&format!("authorization: Bearer {token}\n")), "{seen}");
        assert!(seen.contains("cookie: theme=dark\n") && !seen.contains("flame-session"), "{seen}");
    }
    // What the caller says itself counts.
    let seen = signed.ask("/~metadata/x", &[("cookie", &cookie), ("authorization", "Bearer own")]).await;
    let seen = seen.text().await.unwrap();
    assert!(seen.contains("Bearer own\n") && !seen.contains(&token), "{seen}");
}

#[tokio::test]
async fn whoever_else_stands_behind_a_name_gets_neither_and_is_no_part_of_the_portal() {
    let signed = Signed::world().await;
    let token = signed.token("read");
    let (cookie, _) = cookie(&signed.sign_in(&token).await);
    let answer = signed.ask("/~brought/page", &[("cookie", &cookie)]).await;
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("sandbox") && !policy.contains("same-origin"), "{policy}");
    let seen = answer.text().await.unwrap();
    assert!(!seen.contains(&token) && !seen.contains("authorization"), "{seen}");
    // Under a host of its own it is another origin, and has no cookie of the portal's unless somebody puts it there.
    let own = [("cookie", cookie.as_str()), ("host", "brought.localhost")];
    let answer = signed.ask("/page", &own).await;
    assert!(!answer.headers().contains_key("content-security-policy"));
    assert!(!answer.text().await.unwrap().contains(&token));
    // Who is not signed in loses nothing.
    let answer = signed.ask("/~brought/page", &[]).await;
    assert!(!answer.headers().contains_key("content-security-policy"));

    // Pages of other origins, sister hosts and other ports too, act for nobody.
    for site in ["cross-site", "same-site"] {
        let answer = signed.ask("/api/router/session", &[("cookie", &cookie), ("sec-fetch-site", site)]).await;
        assert_eq!(problem(answer).await.status, 401, "{site}");
        let seen = signed.ask("/~metadata/x", &[("cookie", &cookie), ("sec-fetch-site", site)]).await;
        assert!(!seen.text().await.unwrap().contains(&token), "{site}");
    }
    let answer = signed.ask("/api/router/session", &[("cookie", &cookie), ("sec-fetch-site", "same-origin")]).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_link_signs_in_once_and_is_no_token() {
    let signed = Signed::world().await;
    let link = links::issue(&signed.keys, &Signed::grant("read"), Duration::from_secs(60)).unwrap();
    let direct = signed.world.http.get(signed.world.url("/api/router/routes")).bearer_auth(&link).send().await.unwrap();
    assert_eq!(direct.status(), 401);
    let answers = futures_util::future::join_all((0..6).map(|_| signed.sign_in(&link))).await;
    let (mut good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status() == 200);
    assert_eq!(good.len(), 1, "of six at the same time");
    for answer in bad {
        let problem = problem(answer).await;
        assert!(problem.status == 401 && problem.detail.contains("used before"));
    }
    let (cookie, _) = cookie(&good.remove(0));
    let routes = signed.ask("/api/router/routes", &[("cookie", &cookie)]).await;
    assert_eq!(routes.status(), 200);
}

/// Who asks what is seen by whoever the name belongs to, and whoever looks after the whole.
#[tokio::test]
async fn how_much_is_asked_of_shared_names_is_not_for_every_tenant() {
    let signed = Signed::world().await;
    let ask = async |path: &str, tenant: &str, scope: &str| {
        let grant = Grant { tenant: tenant.to_owned(), ..Signed::grant(scope) };
        let (token, _) = keys::issue(&signed.keys, &grant).unwrap();
        let answer = signed.world.http.get(signed.world.url(path)).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path} for {scope} of {tenant}");
        answer
    };
    for _ in 0..3 {
        let _ = ask("/~metadata/x", "default", "read").await.bytes().await.unwrap();
    }
    for (tenant, scope, told) in [
        // Shared names are not theirs alone, whose tenant is called like that of shared names.
        ("default", "read", None),
        ("default", "read metrics", Some(3)),
        ("other", "read", None),
        ("other", "read write", None),
        ("other", "read metrics", Some(3)),
        ("other", "read admin", Some(3)),
        ("other", "service", Some(3)),
    ] {
        let routes: Page<Route> = ask("/api/router/routes", tenant, scope).await.json().await.unwrap();
        let route = routes.items.iter().find(|route| route.name == "metadata.main").expect("it is shared");
        assert_eq!(route.answers, told, "{scope} of {tenant}");
        let explained: Explanation =
            ask("/api/router/explain?url=/~metadata/x", tenant, scope).await.json().await.unwrap();
        assert_eq!(explained.chosen.unwrap().answers, told, "explained for {scope} of {tenant}");
        assert!(explained.routes.iter().all(|route| route.answers == told), "{scope} of {tenant}");
    }
    // A name of its own tells its tenant.
    let own = signed.world.url("/api/router/endpoints/own.main.acme/e1");
    let body = serde_json::json!({ "address": signed.services[1].address, "generation": 1, "ttl_ms": 60_000 });
    let admin = Grant { tenant: "acme".to_owned(), ..Signed::grant("admin") };
    let (admin, _) = keys::issue(&signed.keys, &admin).unwrap();
    let registered = signed.world.http.put(own).bearer_auth(admin).json(&body).send().await.unwrap();
    assert_eq!(registered.status(), 200, "{}", registered.text().await.unwrap());
    let _ = ask("/~own.main.acme/x", "acme", "read").await.bytes().await.unwrap();
    let routes: Page<Route> = ask("/api/router/routes", "acme", "read").await.json().await.unwrap();
    let told = routes.items.iter().map(|route| (route.name.as_str(), route.answers));
    let told: Vec<_> = told.filter(|(name, _)| name.starts_with("own.")).collect();
    assert_eq!(told, [("own.main.acme", Some(1))]);
}

#[tokio::test]
async fn signing_out_takes_the_cookie_and_wrong_tokens_get_none() {
    let signed = Signed::world().await;
    let url = signed.world.url("/api/router/session");
    let out = signed.world.http.request(Method::DELETE, &url).send().await.unwrap();
    assert_eq!(out.status(), 204);
    let (pair, attributes) = cookie(&out);
    assert_eq!((pair.as_str(), attributes.contains(&"Max-Age=0".to_owned())), ("flame-session=", true));
    for wrong in ["", "nonsense", "a.b.c"] {
        let answer = signed.sign_in(wrong).await;
        assert!(!answer.headers().contains_key("set-cookie"));
        assert_eq!(problem(answer).await.status, 401, "`{wrong}`");
    }
    // Another page cannot sign a browser in as somebody else.
    let foreign = signed.world.http.post(&url).bearer_auth(signed.token("read")).header("sec-fetch-site", "cross-site");
    assert_eq!(problem(foreign.send().await.unwrap()).await.status, 403);
    for stale in ["flame-session=", "flame-session=nonsense"] {
        assert_eq!(problem(signed.ask("/api/router/routes", &[("cookie", stale)]).await).await.status, 401);
    }
}

#[tokio::test]
async fn where_no_token_is_needed_everybody_may_everything_and_there_is_no_cookie() {
    let world = World::start().await;
    let session: Session = world.get("/api/router/session").await.json().await.unwrap();
    assert!(session.scopes.contains(&"admin".to_owned()), "{session:?}");
    let answer = world.http.post(world.url("/api/router/session")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("set-cookie")), (200, false));
}

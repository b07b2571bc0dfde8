//! People who sign in at an issuer of OpenID Connect, as an issuer and a browser see it. Real issuers: `media-tests`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flame_api::router::{Session, SignInDoor, SignInDoors};
use flame_router::config::OidcConfig;
use flame_service_host::keys::{self, Keyring};
use flame_test_kit::Scratch;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::world::{World, problem};

const BEGIN: &str = "/api/router/session/oidc";

/// Somebody else's issuer, as far as the router asks it.
#[derive(Clone)]
struct Issuer {
    address: SocketAddr,
    keys: Arc<Scratch>,
    /// What the next ID token says, besides who made it and for whom.
    claims: Arc<Mutex<Value>>,
    /// The challenge that the code was given for.
    challenge: Arc<Mutex<String>>,
    /// How often it was asked what it is.
    described: Arc<AtomicUsize>,
}

struct Met {
    world: World,
    issuer: Issuer,
    own_keys: Scratch,
}

// === impl Issuer ===

impl Issuer {
    async fn start() -> Self {
        let keys = Scratch::new("oidc-issuer");
        keys::ensure(&keys).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let issuer = Self {
            address,
            keys: Arc::new(keys),
            claims: Arc::default(),
            challenge: Arc::default(),
            described: Arc::default(),
        };
        let app = Router::new()
            .route("/realm/.well-known/openid-configuration", get(Self::described))
            .route("/token", post(Self::exchanged))
            .route("/keys", get(Self::published))
            .with_state(issuer.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        issuer
    }

    fn url(&self) -> Url {
        format!("http://{}/realm", self.address).parse().unwrap()
    }

    async fn described(State(issuer): State<Self>) -> Json<Value> {
        issuer.described.fetch_add(1, Ordering::Relaxed);
        let at = |end: &str| format!("http://{}/{end}", issuer.address);
        Json(json!({
            "issuer": issuer.url(), "authorization_endpoint": at("auth"), "token_endpoint": at("token"), "jwks_uri": at("keys"),
        }))
    }

    async fn published(State(issuer): State<Self>) -> Json<Value> {
        Json(serde_json::from_slice(&std::fs::read(issuer.keys.join("jwks.json")).unwrap()).unwrap())
    }

    /// As RFC 6749, 4.1.3 and RFC 7636, 4.6 have it.
    async fn exchanged(
        State(issuer): State<Self>,
        headers: axum::http::HeaderMap,
        body: String,
    ) -> (StatusCode, Json<Value>) {
        let form: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let shown = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let basic = base64::engine::general_purpose::STANDARD.encode("flame:a%2Fsecret");
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
        let challenged = std::mem::take(&mut *issuer.challenge.lock().unwrap());
        let is_right = form["code"] == "the-code" && challenge == challenged && shown == format!("Basic {basic}");
        if !is_right || form["grant_type"] != "authorization_code" {
            return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" })));
        }
        let mut claims = json!({ "iss": issuer.url(), "aud": "flame", "exp": keys::unix_seconds() + 60 });
        let more = issuer.claims.lock().unwrap().clone();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let token = keys::sign(&issuer.keys, &claims).unwrap();
        (StatusCode::OK, Json(json!({ "id_token": token, "access_token": "unused", "token_type": "Bearer" })))
    }
}

// === impl Met ===

impl Met {
    async fn world(more: &str) -> Self {
        let (issuer, own_keys) = (Issuer::start().await, Scratch::new("oidc-own"));
        keys::ensure(&own_keys).unwrap();
        let text = format!("issuer = '{}'\nclient_id = 'flame'\nclient_secret = 'a/secret'\n{more}", issuer.url());
        let oidc: OidcConfig = toml::from_str(&text).unwrap();
        let world = World::with(|config| {
            config.host.auth.keys = Some(own_keys.to_path_buf());
            config.oidc = Some(oidc);
        })
        .await;
        Self { world, issuer, own_keys }
    }

    /// A browser sets out: the cookie that it got, and what it was told to ask the issuer.
    async fn set_out(&self) -> (String, HashMap<String, String>) {
        let answer = self.world.get(BEGIN).await;
        assert_eq!(answer.status(), 303);
        let to: Url = answer.headers()["location"].to_str().unwrap().parse().unwrap();
        assert!(to.as_str().starts_with(&format!("http://{}/auth?", self.issuer.address)), "{to}");
        let asked: HashMap<String, String> = to.query_pairs().into_owned().collect();
        self.issuer.challenge.lock().unwrap().clone_from(&asked["code_challenge"]);
        (cookies(&answer)[0].split(';').next().unwrap().to_owned(), asked)
    }

    /// It comes back with `query` to where it was told to.
    async fn come_back(&self, asked: &HashMap<String, String>, cookie: &str, query: &str, accept: &str) -> Response {
        let url = format!("{}?{query}", asked["redirect_uri"]);
        self.world.http.get(url).header("cookie", cookie).header("accept", accept).send().await.unwrap()
    }

    /// The whole way, with an ID token of `claims`.
    async fn sign_in(&self, claims: Value) -> Response {
        let (cookie, asked) = self.set_out().await;
        let mut claims = claims;
        claims["nonce"] = json!(asked["nonce"]);
        *self.issuer.claims.lock().unwrap() = claims;
        self.come_back(&asked, &cookie, &format!("code=the-code&state={}", asked["state"]), "*/*").await
    }
}

fn location(answer: &Response) -> &str {
    answer.headers()["location"].to_str().unwrap()
}

fn cookies(answer: &Response) -> Vec<String> {
    answer.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn who_signs_in_at_the_issuer_gets_a_token_of_the_routers_own_in_a_cookie() {
    let met = Met::world("scopes_claim = 'roles'\nlife = '10min'").await;
    let doors: SignInDoors = met.world.get("/api/router/session/doors").await.json().await.unwrap();
    assert_eq!(doors.oidc, Some(SignInDoor { issuer: met.issuer.url().to_string(), begin: BEGIN.to_owned() }));

    let answer = met.sign_in(json!({ "sub": "ann", "roles": ["read", "write", "service"] })).await;
    assert_eq!(answer.status(), 303);
    assert_eq!((location(&answer), answer.headers()["cache-control"].to_str().unwrap()), ("/", "no-store"));
    let set = cookies(&answer);
    assert_eq!(set.len(), 2, "{set:?}");
    let token = set[0].split(';').next().unwrap().strip_prefix("flame-session=").unwrap();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=600"] {
        assert!(set[0].split("; ").any(|one| one == attribute), "{set:?}");
    }
    assert!(set[1].starts_with("flame-sign-in=;") && set[1].contains("Max-Age=0"), "{set:?}");
    let claims = Keyring::open(&met.own_keys).unwrap().verify(token).unwrap();
    assert_eq!((claims.sub.as_str(), claims.tenant.as_str(), claims.scope.as_str()), ("ann", "default", "read write"));

    let who =
        met.world.http.get(met.world.url("/api/router/session")).header("cookie", format!("flame-session={token}"));
    let who: Session = who.send().await.unwrap().json().await.unwrap();
    assert_eq!((who.subject.as_str(), who.scopes), ("ann", vec!["read".to_owned(), "write".to_owned()]));
}

#[tokio::test]
async fn a_way_back_that_is_not_of_this_browser_or_was_used_signs_nobody_in() {
    let met = Met::world("").await;
    let (cookie, asked) = met.set_out().await;
    assert!(cookie.starts_with("flame-sign-in="), "{cookie}");
    *met.issuer.claims.lock().unwrap() = json!({ "sub": "ann", "nonce": asked["nonce"] });
    let back = format!("code=the-code&state={}", asked["state"]);
    // Somebody's link, opened in another browser, would sign that one in as somebody else (RFC 6749, 10.12).
    for stranger in ["", "flame-sign-in=guessed"] {
        let answer = met.come_back(&asked, stranger, &back, "*/*").await;
        assert_eq!(answer.status(), 401);
        assert!(problem(answer).await.detail.contains("not begun in this browser"));
    }
    let wrong = met.come_back(&asked, &cookie, "code=the-code&state=guessed", "*/*").await;
    assert_eq!(wrong.status(), 401);
    assert_eq!(met.come_back(&asked, &cookie, &back, "*/*").await.status(), 303);
    // The issuer takes a code once.
    let again = met.come_back(&asked, &cookie, &back, "*/*").await;
    assert!(problem(again).await.detail.contains("invalid_grant"));

    // Of a person's browser the portal says it, in words of its own.
    let answer = met.come_back(&asked, "", &format!("{back}&error=<b>"), "text/html,*/*").await;
    assert_eq!((answer.status().as_u16(), location(&answer)), (303, "/#/?refused=unknown"));
    assert!(cookies(&answer).iter().all(|one| !one.starts_with("flame-session")), "{:?}", cookies(&answer));
}

#[tokio::test]
async fn what_the_issuer_says_no_to_or_who_may_nothing_here_is_told_so() {
    let met = Met::world("scopes_claim = 'roles'").await;
    let (cookie, asked) = met.set_out().await;
    let refused = met.come_back(&asked, &cookie, &format!("error=access_denied&state={}", asked["state"]), "*/*").await;
    assert_eq!(refused.status(), 401);
    assert!(problem(refused).await.detail.contains("access_denied"));

    let nobody = met.sign_in(json!({ "sub": "bob", "roles": ["staff"] })).await;
    assert_eq!((nobody.status().as_u16(), cookies(&nobody).len()), (401, 0));
    assert!(problem(nobody).await.detail.contains("bob may do nothing here"));

    // A token for another client of the same issuer.
    let other = met.sign_in(json!({ "sub": "ann", "roles": ["admin"], "aud": "another" })).await;
    assert_eq!(other.status(), 502);
    assert!(problem(other).await.detail.contains("InvalidAudience"));

    // A code that the issuer does not take.
    let (cookie, asked) = met.set_out().await;
    let stale = met.come_back(&asked, &cookie, &format!("code=stale&state={}", asked["state"]), "*/*").await;
    assert!(problem(stale).await.detail.contains("invalid_grant"));
}

#[tokio::test]
async fn an_issuer_that_is_away_is_said_to_be_and_one_that_is_not_set_is_not_there() {
    let world = World::start().await;
    let doors: SignInDoors = world.get("/api/router/session/doors").await.json().await.unwrap();
    assert_eq!((doors.oidc, world.get(BEGIN).await.status().as_u16()), (None, 404));

    let [nowhere] = flame_test_kit::ports::free_tcp();
    let keys = Scratch::new("oidc-away");
    keys::ensure(&keys).unwrap();
    let oidc: OidcConfig =
        toml::from_str(&format!("issuer = 'http://127.0.0.1:{nowhere}'\nclient_id = 'flame'")).unwrap();
    let away = World::with(|config| {
        config.host.auth.keys = Some(keys.to_path_buf());
        config.oidc = Some(oidc.clone());
    })
    .await;
    // Everything else works.
    for _ in 0..2 {
        let answer = away.get(BEGIN).await;
        assert_eq!(answer.status(), 502);
        assert!(problem(answer).await.detail.contains(&format!("127.0.0.1:{nowhere}")));
    }
    let person = away.http.get(away.url(BEGIN)).header("accept", "text/html").send().await.unwrap();
    assert_eq!(person.headers()["location"], "/#/?refused=issuer");

    // Whoever comes in needs a token, and without a key there is none to give.
    let mut config = flame_router::Config { oidc: Some(oidc), ..flame_router::Config::default() };
    config.host.listen.set_port(0);
    let refused = flame_router::start(config).await.map(drop).unwrap_err();
    assert!(flame_service_host::problem::chain(&refused).contains("[host.auth] keys"), "{refused:?}");
}

/// Who only sets out costs the issuer little, and nobody else anything.
#[tokio::test]
async fn however_many_set_out_the_issuer_is_asked_once_and_the_first_comes_back() {
    let met = Met::world("").await;
    let (cookie, asked) = met.set_out().await;
    let challenge = met.issuer.challenge.lock().unwrap().clone();
    for _ in 0..50 {
        met.set_out().await;
    }
    assert_eq!(met.issuer.described.load(Ordering::Relaxed), 1);
    *met.issuer.challenge.lock().unwrap() = challenge;
    *met.issuer.claims.lock().unwrap() = json!({ "sub": "ann", "nonce": asked["nonce"] });
    let back = met.come_back(&asked, &cookie, &format!("code=the-code&state={}", asked["state"]), "*/*").await;
    assert_eq!(back.status(), 303);
}

/// What the issuer sends back is a credential: it does not go over a wire on which others listen.
#[tokio::test]
async fn who_comes_without_tls_from_elsewhere_is_told_so_and_not_sent_away() {
    let met = Met::world("").await;
    let from = |host: &'static str| met.world.http.get(met.world.url(BEGIN)).header("host", host).send();
    let answer = from("192.0.2.1:8080").await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(problem(answer).await.detail.contains("could be read on the way"));
    assert_eq!(from("localhost:8080").await.unwrap().status(), 303);

    // Behind a proxy that ends TLS the configuration says where people are, and cookies are for TLS only.
    let behind = Met::world("redirect_uri = 'https://video.example/api/router/session/oidc/return'").await;
    let answer = behind.world.get(BEGIN).await;
    assert!(
        location(&answer).contains("redirect_uri=https%3A%2F%2Fvideo.example%2Fapi%2Frouter%2Fsession%2Foidc%2Freturn")
    );
    assert!(cookies(&answer)[0].ends_with("; Secure"), "{:?}", cookies(&answer));
}

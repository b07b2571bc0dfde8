//! `[steering]`: what playlists say of sites, and `GET /{asset}/steering`. Nobody answers at these sites, and that is not believed
//! yet: both are open.

use std::time::Duration;

use axum::http::Method;
use flame_api::metadata::AssetPatch;
use flame_object_store::{SecretKey, StoreConfig};
use flame_service_host::HostConfig;
use flame_service_host::config::Span;
use flame_service_host::keys::{self, Grant};
use flame_service_host::problem::chain;
use flame_streaming::Config;
use flame_streaming::config::{PathwayConfig, SteeringConfig, SurrogatesConfig};
use flame_test_kit::Scratch;
use serde_json::{Value, json};

use crate::world::{VERSION, World, problem};

fn site(name: &str, capacity_mbps: Option<f64>) -> PathwayConfig {
    PathwayConfig { site: name.to_owned(), base: format!("http://{name}.test:9/~cdn/"), router: None, capacity_mbps }
}

/// All at its default but that nothing is believed so soon.
fn steering(pathways: Vec<PathwayConfig>) -> SteeringConfig {
    let given = json!({ "pathways": [], "confirm": "1h", "every": "100ms", "window": "1s" });
    SteeringConfig { pathways, ..serde_json::from_value(given).unwrap() }
}

async fn steered() -> World {
    let sites = vec![site("east", Some(100.0)), site("west", None)];
    World::start_with(|config| config.steering = Some(steering(sites))).await
}

#[tokio::test]
async fn every_playlist_has_a_pathway_to_each_site_and_stable_ids() {
    let world = steered().await;
    let (asset, _) = world.playable(&[1000, 1000]).await;
    for query in ["", "?from=1.000s"] {
        let text = world.get(&format!("{asset}/index.m3u8{query}")).await.text().await.unwrap();
        assert!(text.contains("#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering\",PATHWAY-ID=\"east\"\n"), "{text}");
        for name in ["east", "west"] {
            let uri = format!("\nhttp://{name}.test:9/~cdn/{asset}/{VERSION}/v/index.m3u8{query}");
            assert!(
                text.contains(&format!("STABLE-VARIANT-ID=\"v\",PATHWAY-ID=\"{name}\"{}", uri.trim_end())),
                "{name} {text}"
            );
        }
        let mpd = world.get(&format!("{asset}/manifest.mpd{query}")).await.text().await.unwrap();
        for part in [
            format!("<BaseURL serviceLocation=\"east\">http://east.test:9/~cdn/{asset}/</BaseURL>"),
            format!("<BaseURL serviceLocation=\"west\">http://west.test:9/~cdn/{asset}/</BaseURL>"),
            format!(
                "<ContentSteering defaultServiceLocation=\"east\">http://east.test:9/~cdn/{asset}/steering.json</ContentSteering>"
            ),
        ] {
            assert!(mpd.contains(&part), "{part} in {mpd}");
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn players_are_told_where_to_go_and_what_to_ask_next() {
    let world = steered().await;
    let (asset, _) = world.playable(&[1000]).await;
    for (file, content_type, at) in [
        ("steering", "application/vnd.apple.steering-list", "_HLS_pathway=west&_HLS_throughput=1"),
        ("steering.json", "application/json", "_DASH_pathway=%22west%22&_DASH_throughput=1"),
    ] {
        let answer = world.get(&format!("{asset}/{file}")).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &content_type.parse().unwrap())
        );
        assert_eq!(answer.headers()["cache-control"], "private, no-store");
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        let manifest: Value = answer.json().await.unwrap();
        assert_eq!((&manifest["VERSION"], &manifest["TTL"]), (&json!(1), &json!(10)));
        assert_eq!(manifest["PATHWAY-PRIORITY"], json!(["east", "west"]));
        let reload = manifest["RELOAD-URI"].as_str().unwrap().to_owned();
        assert!(reload.starts_with(&format!("http://east.test:9/~cdn/{asset}/{file}?place=")), "{reload}");
        // One that is far along: the place stays, and too little comes from where it is.
        let answer = world.get(&format!("{asset}/{file}?place=999&{at}")).await;
        let manifest: Value = answer.json().await.unwrap();
        assert_eq!(manifest["PATHWAY-PRIORITY"], json!(["east", "west"]));
        let reload = manifest["RELOAD-URI"].as_str().unwrap();
        assert!(reload.ends_with("?place=999&left=west"), "{reload}");
    }
    let nobody = world.get("00000000-0000-4000-8000-000000000000/steering").await;
    assert_eq!(problem(nobody).await.0, "not-found");
    world.stop().await;
}

#[tokio::test]
async fn what_players_tell_is_counted_however_it_comes_and_changes_no_answer() {
    let world = steered().await;
    let (asset, _) = world.playable(&[1000]).await;
    let segment = format!("{asset}/{VERSION}/v/0.m4s");
    let plain = world.get(&segment).await;
    let with_query = world.get(&format!("{segment}?CMCD=bs%2Csid%3D%22abc%22")).await;
    let fields = [("cmcd-session", "sid=\"abc\""), ("cmcd-request", "bl=2100")];
    let with_fields = world.ask(Method::GET, &segment, &fields).await;
    for answer in [with_query, with_fields] {
        assert_eq!((answer.status(), &answer.headers()["etag"]), (plain.status(), &plain.headers()["etag"]));
    }
    assert_eq!(world.get(&format!("{segment}?CMCD=%3D%3D")).await.status(), 200, "a damaged report costs itself");
    // Of steering it is known where the player is.
    assert_eq!(world.get(&format!("{asset}/steering?_HLS_pathway=west&CMCD=sta%3Dr")).await.status(), 200);
    let post = |kind: &'static str, body: String| {
        world
            .http
            .post(world.url("cmcd"))
            .header("content-type", kind)
            .header("origin", "http://page.test")
            .body(body)
            .send()
    };
    let events =
        post("application/cmcd", "e=t,cdn=\"east\",ts=1\nnonsense(\ne=e,ec=(\"E1\"),ts=2\n".to_owned()).await.unwrap();
    assert_eq!(
        (events.status().as_u16(), &events.headers()["access-control-allow-origin"]),
        (204, &"*".parse().unwrap())
    );
    for (answer, status, slug) in [
        (post("text/plain", "e=t".to_owned()).await.unwrap(), 415, "unsupported-media-type"),
        (post("application/cmcd", "x".repeat(100_000)).await.unwrap(), 413, "too-large"),
    ] {
        assert_eq!((answer.status().as_u16(), problem(answer).await.0), (status, slug.to_owned()));
    }
    // Under a name that only resolves to this machine nothing is taken and nothing is told.
    for (method, path) in
        [(Method::POST, "cmcd".to_owned()), (Method::GET, segment), (Method::GET, "metrics".to_owned())]
    {
        let strange = world.ask(method, &path, &[("host", "evil.test"), ("content-type", "application/cmcd")]).await;
        assert_eq!(strange.status(), 421, "{path}");
        let refusal: flame_api::Problem = strange.json().await.unwrap();
        assert_eq!(refusal.slug(), "unknown-host", "{path}");
    }
    let metrics = world.get("metrics").await.text().await.unwrap();
    for (name, count) in [("cmcd_reports_total", 5), ("cmcd_complaints_total", 3), ("cmcd_damaged_total", 2)] {
        assert!(metrics.contains(&format!("flame_{name}{{service=\"streaming\"}} {count}\n")), "{name}\n{metrics}");
    }
    world.stop().await;
}

#[tokio::test]
async fn what_is_protected_has_no_pathways_and_with_one_site_nothing_has() {
    let folder = Scratch::new("steering");
    keys::ensure(folder.path()).unwrap();
    let world = World::start_with(|config| {
        config.steering = Some(steering(vec![site("east", None), site("west", None)]));
        config.surrogates = Some(SurrogatesConfig { keys: folder.path().to_owned() });
    })
    .await;
    let (asset, _) = world.playable(&[1000]).await;
    let revision = world.catalogue.asset(asset).await.unwrap().unwrap().revision;
    let protected = AssetPatch { protected: Some(true), ..AssetPatch::default() };
    world.catalogue.patch_asset(asset, revision, &protected).await.unwrap();
    assert_eq!(world.get(&format!("{asset}/index.m3u8")).await.status(), 403, "it was never asked for before");
    assert_eq!(world.get(&format!("{asset}/steering")).await.status(), 403);
    let (subject, tenant, scope) = ("vcdn".to_owned(), "default".to_owned(), "read service".to_owned());
    let grant = Grant { subject, tenant, scope, life: Duration::from_secs(60) };
    let known = format!("Bearer {}", keys::issue(folder.path(), &grant).unwrap().0);
    let answer = world.ask(Method::GET, &format!("{asset}/index.m3u8"), &[("authorization", &known)]).await;
    let text = answer.text().await.unwrap();
    assert!(text.contains("STABLE-VARIANT-ID") && !text.contains("PATHWAY"), "{text}");
    world.stop().await;
    for sites in [None, Some(vec![site("east", None)])] {
        let world = World::start_with(|config| config.steering = sites.map(steering)).await;
        let (asset, _) = world.playable(&[1000]).await;
        let text = world.get(&format!("{asset}/index.m3u8")).await.text().await.unwrap();
        assert!(
            !text.contains("STEERING") && !text.contains("PATHWAY") && text.contains("STABLE-VARIANT-ID=\"v\""),
            "{text}"
        );
        let mpd = world.get(&format!("{asset}/manifest.mpd")).await.text().await.unwrap();
        assert!(!mpd.contains("Steering") && !mpd.contains("serviceLocation"), "{mpd}");
        let gone = world.get(&format!("{asset}/steering")).await;
        assert_eq!((gone.status().as_u16(), problem(gone).await.0), (410, "not-steered".to_owned()));
        world.stop().await;
    }
}

#[tokio::test]
async fn what_cannot_be_steered_by_is_refused_at_the_start() {
    let two = || vec![site("east", None), site("west", None)];
    let with = |change: fn(&mut SteeringConfig)| {
        let mut config = steering(two());
        change(&mut config);
        config
    };
    for (wrong, word) in [
        (with(|config| config.pathways[1].site = "east".to_owned()), "twice"),
        (with(|config| config.pathways[1].site = "we st".to_owned()), "letters"),
        (with(|config| config.pathways[1].base = "http://west".to_owned()), "like `https"),
        (with(|config| config.pathways[1].base = "http://west/~cdn".to_owned()), "like `https"),
        (with(|config| config.pathways[1].base = "../west/".to_owned()), "no URL"),
        (with(|config| config.pathways[1].capacity_mbps = Some(0.0)), "capacity_mbps"),
        (with(|config| config.calm = config.busy), "calm"),
        (with(|config| config.starved = 0.0), "starved"),
        (with(|config| config.ttl = Span(Duration::ZERO)), "ttl"),
        (with(|config| config.pathways = (0..17).map(|n| site(&format!("s{n}"), None)).collect()), "at most 16"),
    ] {
        let host = HostConfig { router: Some("http://127.0.0.1:9".parse().unwrap()), ..HostConfig::default() };
        let store = StoreConfig {
            endpoint: "http://127.0.0.1:9".to_owned(),
            region: "us-east-1".to_owned(),
            bucket: "flame".to_owned(),
            access_key: "access".to_owned(),
            secret_key: SecretKey::new("secret"),
        };
        let config = Config { steering: Some(wrong), ..Config::new(host, store) };
        let error = flame_streaming::start(config).await.unwrap_err();
        assert!(chain(&error).contains(word), "{} has no {word}", chain(&error));
    }
}

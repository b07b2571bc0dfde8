//! Protected assets: who gets what, and who may keep it.

use std::path::Path;
use std::time::Duration;

use axum::http::Method;
use flame_api::metadata::AssetPatch;
use flame_service_host::keys::{self, Grant};
use flame_streaming::config::{SurrogatesConfig, ViewersConfig};
use flame_test_kit::{Scratch, eventually};
use reqwest::Response;
use serde_json::json;
use uuid::Uuid;

use crate::world::{DEADLINE, VERSION, World, problem};

const YEAR: &str = "max-age=31536000, immutable";

/// A world that knows the viewers and surrogates of these folders, and what plays in it, protected.
async fn world(folder: &Path) -> (World, Uuid) {
    let (viewers, surrogates) = (folder.join("viewers"), folder.join("surrogates"));
    keys::ensure(&viewers).unwrap();
    keys::ensure(&surrogates).unwrap();
    let world = World::start_with(|config| {
        let keys = viewers.join("jwks.json");
        config.viewers = Some(ViewersConfig { keys, origin: None, audience: None, remembered: 10, links: None });
        config.surrogates = Some(SurrogatesConfig { keys: surrogates });
        config.catalogue.media_fresh.0 = Duration::ZERO;
        config.catalogue.fresh.0 = Duration::from_millis(1);
    })
    .await;
    let (asset, _) = world.playable(&[1000, 2000]).await;
    protect(&world, asset, true).await;
    eventually(DEADLINE, || async {
        let status = world.get(&format!("{asset}/index.m3u8")).await.status();
        if status == 403 { Ok(()) } else { Err(status) }
    })
    .await;
    (world, asset)
}

async fn protect(world: &World, asset: Uuid, protected: bool) {
    let revision = world.catalogue.asset(asset).await.unwrap().unwrap().revision;
    let patch = AssetPatch { protected: Some(protected), ..AssetPatch::default() };
    assert_eq!(world.catalogue.patch_asset(asset, revision, &patch).await.unwrap().protected, protected);
}

/// A viewer's token for an asset behind `name`.
fn viewer(folder: &Path, name: &str, asset: Uuid) -> String {
    let opens = format!("regex:https://{}/{asset}/.*", name.replace('.', "\\."));
    keys::sign(&folder.join("viewers"), &json!({ "cdniuc": opens, "exp": keys::unix_seconds() + 600 })).unwrap()
}

fn surrogate(folder: &Path, scope: &str) -> String {
    let (subject, tenant, scope) = ("vcdn".to_owned(), "default".to_owned(), scope.to_owned());
    let grant = Grant { subject, tenant, scope, life: Duration::from_secs(60) };
    format!("Bearer {}", keys::issue(&folder.join("surrogates"), &grant).unwrap().0)
}

fn control(answer: &Response) -> (&str, Option<&str>) {
    let says = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap());
    (says("cache-control").unwrap(), says("cdn-cache-control"))
}

/// One resource has one name: nothing is behind another spelling of it.
#[tokio::test]
async fn a_name_that_is_spelled_with_escapes_opens_nothing() {
    let folder = Scratch::new("spelled");
    let (world, asset) = world(folder.path()).await;
    let escaped = |text: &str, at: usize| format!("{}%{:02x}{}", &text[..at], text.as_bytes()[at], &text[at + 1..]);
    let id = asset.to_string();
    for name in ["index.m3u8", "manifest.mpd", &format!("{VERSION}/v/index.m3u8"), &format!("{VERSION}/v/0.m4s")] {
        let path = format!("{id}/{name}");
        let spelled = [escaped(&path, 0), escaped(&path, id.len() - 1), escaped(&path, id.len() + 2)];
        for path in spelled.iter().flat_map(|path| [path.clone(), format!(";URISigningPackage=x/{path}")]) {
            let answer = world.get(&path).await;
            assert_eq!(answer.status(), 404, "{path}");
        }
    }
}

#[tokio::test]
async fn strangers_get_nothing_of_it_viewers_with_a_link_and_surrogates_do() {
    let folder = Scratch::new("protected");
    let (world, asset) = world(folder.path()).await;
    let paths = ["index.m3u8".to_owned()]
        .into_iter()
        .chain(["index.m3u8", "init.mp4", "0.m4s"].map(|name| format!("{VERSION}/v/{name}")));
    let (link, other) = (viewer(folder.path(), "streaming.main", asset), viewer(folder.path(), "cdn.main", asset));
    for name in paths {
        let path = format!("{asset}/{name}");
        let refused = world.get(&path).await;
        assert_eq!(control(&refused), ("no-store", None));
        assert_eq!(problem(refused).await.0, "token-missing", "{path}");
        for (token, kind) in [(other.as_str(), "token-scope"), ("nonsense", "token-malformed")] {
            for signed in [format!(";URISigningPackage={token}/{path}"), format!("{path}?URISigningPackage={token}")] {
                assert_eq!(problem(world.get(&signed).await).await.0, kind, "{path}");
            }
        }
        for signed in [format!(";URISigningPackage={link}/{path}"), format!("{path}?URISigningPackage={link}")] {
            let answer = world.get(&signed).await;
            assert_eq!(answer.status(), 200, "{path}");
            let (own, cdn) = control(&answer);
            assert!(own.starts_with("private, ") && cdn.is_none(), "{path}: {own}, {cdn:?}");
        }
        let known = surrogate(folder.path(), "read service");
        let answer = world.ask(Method::GET, &path, &[("authorization", &known)]).await;
        assert_eq!(answer.status(), 200, "{path}");
        let (own, cdn) = control(&answer);
        assert!(own.starts_with("private, ") && cdn.unwrap().starts_with("public, "), "{path}: {own}, {cdn:?}");
        let caller = surrogate(folder.path(), "read write");
        let refused = world.ask(Method::GET, &path, &[("authorization", &caller)]).await;
        assert_eq!(problem(refused).await.0, "token-missing", "who may call is no surrogate");
    }
    let signed = format!(";URISigningPackage={link}/{asset}/{VERSION}/v/0.m4s");
    let part = world.ask(Method::GET, &signed, &[("range", "bytes=10-19")]).await;
    assert_eq!((part.status().as_u16(), part.bytes().await.unwrap().len()), (206, 10));
    let preflight =
        world.ask(Method::OPTIONS, &signed, &[("origin", "http://x"), ("access-control-request-method", "GET")]);
    let preflight = preflight.await;
    assert_eq!(
        (preflight.status().as_u16(), &preflight.headers()["access-control-allow-origin"]),
        (200, &"*".parse().unwrap())
    );
    world.stop().await;
}

#[tokio::test]
async fn what_is_for_everybody_needs_no_link_and_a_bad_one_harms_it_not() {
    let folder = Scratch::new("protected");
    let (world, asset) = world(folder.path()).await;
    protect(&world, asset, false).await;
    let path = format!("{asset}/{VERSION}/v/0.m4s");
    eventually(DEADLINE, || async {
        let answer = world.get(&path).await;
        if answer.status() == 200 { Ok(()) } else { Err(answer.status()) }
    })
    .await;
    for path in [path.clone(), format!(";URISigningPackage=nonsense/{path}")] {
        let answer = world.get(&path).await;
        assert_eq!((answer.status().as_u16(), control(&answer)), (200, (&*format!("public, {YEAR}"), None)));
    }
    for wrong in [format!("x/{path}"), format!(";URISigningPackage/{path}")] {
        assert_eq!(problem_of_route(world.get(&wrong).await).await, "not-found", "{wrong}");
    }
    world.stop().await;
}

async fn problem_of_route(answer: Response) -> String {
    let problem: flame_api::Problem = answer.json().await.unwrap();
    problem.slug().to_owned()
}

#[tokio::test]
async fn without_keys_only_surrogates_get_it() {
    let world = World::start_with(|config| {
        config.catalogue.media_fresh.0 = Duration::ZERO;
        config.catalogue.fresh.0 = Duration::from_millis(1);
    });
    let world = world.await;
    let (asset, _) = world.playable(&[1000]).await;
    protect(&world, asset, true).await;
    let path = format!("{asset}/index.m3u8");
    let refused = eventually(DEADLINE, || async {
        // On loopback everybody may call; that makes nobody a surrogate.
        let answer = world.ask(Method::GET, &path, &[("authorization", "Bearer anything")]).await;
        if answer.status() == 403 { Ok(answer) } else { Err(answer.status()) }
    });
    assert_eq!(problem(refused.await).await.0, "token-missing");
    world.stop().await;
}

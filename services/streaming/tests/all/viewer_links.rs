//! Links that play a protected asset: who gets one, what it opens, and when it ends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::Method;
use flame_api::metadata::AssetPatch;
use flame_api::viewers::ViewerLink;
use flame_service_host::StartError;
use flame_service_host::config::Span;
use flame_service_host::keys::{self, Grant};
use flame_streaming::config::{LinksConfig, ViewersConfig};
use flame_test_kit::{Scratch, eventually};
use uuid::Uuid;

use crate::world::{DEADLINE, World, problem};

/// How long the links of this world live, where nothing ends earlier.
const LIFE_S: u64 = 3600;
/// What the clock may go on between a question and its answer.
const MEANWHILE_S: i64 = 60;

/// Links that the key in this folder signs, and that lead to `through`, or to the service itself.
fn links(signer: PathBuf, through: Option<&str>) -> LinksConfig {
    LinksConfig { signer, through: through.map(str::to_owned), origin: None, life: Span(Duration::from_secs(LIFE_S)) }
}

/// Links that lead to the service itself.
fn own(folder: &Path) -> LinksConfig {
    links(folder.join("viewers"), None)
}

/// A service that wants tokens of callers, and signs links of viewers unless somebody else does; and two assets that only viewers play.
async fn world(folder: &Path, links: Option<LinksConfig>, origin: Option<&str>) -> (World, [Uuid; 2]) {
    let (callers, viewers) = (folder.join("callers"), folder.join("viewers"));
    keys::ensure(&callers).unwrap();
    keys::ensure(&viewers).unwrap();
    let world = World::start_with(|config| {
        let keys = viewers.join("jwks.json");
        config.host.auth.keys = Some(callers);
        config.viewers =
            Some(ViewersConfig { keys, origin: origin.map(str::to_owned), audience: None, remembered: 10, links });
        config.catalogue.fresh.0 = Duration::from_millis(1);
    })
    .await;
    let mut assets = [Uuid::nil(); 2];
    for asset in &mut assets {
        (*asset, _) = world.playable(&[1000]).await;
        let revision = world.catalogue.asset(*asset).await.unwrap().unwrap().revision;
        let patch = AssetPatch { protected: Some(true), ..AssetPatch::default() };
        assert!(world.catalogue.patch_asset(*asset, revision, &patch).await.unwrap().protected);
        let asset = *asset;
        eventually(DEADLINE, || async {
            let status = world.get(&format!("{asset}/index.m3u8")).await.status();
            if status == 403 { Ok(()) } else { Err(status) }
        })
        .await;
    }
    (world, assets)
}

fn caller(folder: &Path, tenant: &str, scope: &str, life_s: u64) -> String {
    let (subject, tenant, scope) = ("somebody".to_owned(), tenant.to_owned(), scope.to_owned());
    let grant = Grant { subject, tenant, scope, life: Duration::from_secs(life_s) };
    format!("Bearer {}", keys::issue(&folder.join("callers"), &grant).unwrap().0)
}

async fn ask(world: &World, asset: Uuid, bearer: &str) -> reqwest::Response {
    world.ask(Method::POST, &format!("assets/{asset}/viewer-links"), &[("authorization", bearer)]).await
}

async fn slug(refused: reqwest::Response) -> String {
    let problem: flame_api::Problem = refused.json().await.unwrap();
    problem.slug().to_owned()
}

/// Asks for a link; what it opens here, without the name that it leads to, and how long it lives from now on, seconds.
async fn link(world: &World, asset: Uuid, bearer: &str) -> (String, i64) {
    let now = i64::try_from(keys::unix_seconds()).unwrap();
    let answer = ask(world, asset, bearer).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["cache-control"]), (200, &"no-store".parse().unwrap()));
    let link: ViewerLink = answer.json().await.unwrap();
    let path = link.path.strip_prefix("/~streaming.main/").unwrap_or_else(|| panic!("{link:?}"));
    assert!(link.others.is_empty(), "there is no other way: {link:?}");
    (path.to_owned(), link.expires_at.unix_timestamp() - now)
}

#[tokio::test]
async fn whoever_may_read_an_asset_gets_a_link_that_plays_it_and_nothing_else() {
    let folder = Scratch::new("links");
    let (world, [asset, other]) = world(folder.path(), Some(own(folder.path())), None).await;
    let reader = caller(folder.path(), "default", "read", 2 * LIFE_S);
    let (path, life_s) = link(&world, asset, &reader).await;
    assert_eq!(world.get(&path).await.status(), 200);
    let life = i64::try_from(LIFE_S).unwrap();
    assert!((life..life + MEANWHILE_S).contains(&life_s), "{life_s} s");
    let answer = world.get(&path.replace(&asset.to_string(), &other.to_string())).await;
    assert_eq!(problem(answer).await.0, "token-scope");
    // Whose own token ends sooner gets a link that does, too.
    let soon = caller(folder.path(), "default", "read", 600);
    let (path, life_s) = link(&world, asset, &soon).await;
    assert_eq!(world.get(&path).await.status(), 200);
    assert!((600 - MEANWHILE_S..600 + MEANWHILE_S).contains(&life_s), "{life_s} s");
    world.stop().await;
}

#[tokio::test]
async fn nobody_else_gets_a_link() {
    let folder = Scratch::new("links");
    let (world, [asset, _]) = world(folder.path(), Some(own(folder.path())), None).await;
    for (tenant, scope, expected) in [("other", "read", 404), ("default", "write", 403), ("default", "metrics", 403)] {
        let answer = ask(&world, asset, &caller(folder.path(), tenant, scope, 600)).await;
        assert_eq!(answer.status(), expected, "{scope} of {tenant}");
    }
    let unknown = ask(&world, Uuid::new_v4(), &caller(folder.path(), "default", "read", 600)).await;
    assert_eq!(slug(unknown).await, "not-found");
    let nobody = world.ask(Method::POST, &format!("assets/{asset}/viewer-links"), &[]).await;
    assert_eq!(nobody.status(), 401);
    world.stop().await;
}

#[tokio::test]
async fn without_a_key_no_link_is_signed() {
    let folder = Scratch::new("links");
    let (world, [asset, _]) = world(folder.path(), None, None).await;
    let answer = ask(&world, asset, &caller(folder.path(), "default", "read", 600)).await;
    assert_eq!((answer.status().as_u16(), slug(answer).await.as_str()), (409, "not-signed-here"));
    world.stop().await;
}

#[tokio::test]
async fn links_are_for_what_viewers_of_this_service_ask() {
    let folder = Scratch::new("links");
    let (world, [asset, _]) = world(folder.path(), Some(own(folder.path())), Some("https://media.example")).await;
    let (path, _) = link(&world, asset, &caller(folder.path(), "default", "read", 600)).await;
    assert_eq!(world.get(&path).await.status(), 200);
    // A key that nobody here trusts signs links that open nothing: that is said at the start.
    let other = folder.join("other");
    keys::ensure(&other).unwrap();
    let mut config = world.config();
    config.viewers.as_mut().unwrap().links.as_mut().unwrap().signer = other;
    let error = flame_streaming::start(config).await.unwrap_err();
    assert!(matches!(error, StartError::Open { what: "links of viewers", .. }), "{error}");
    world.stop().await;
}

#[tokio::test]
async fn a_link_to_a_surrogate_opens_the_asset_here_too_where_its_key_is_known() {
    let folder = Scratch::new("links");
    let through = Some("cdn.signed");
    let (world, [asset, other]) = world(folder.path(), Some(links(folder.join("viewers"), through)), None).await;
    let reader = caller(folder.path(), "default", "read", 600);
    let link: ViewerLink = ask(&world, asset, &reader).await.json().await.unwrap();
    let below = link.path.strip_prefix("/~cdn.signed/").unwrap_or_else(|| panic!("{link:?}"));
    assert_eq!(link.others, [format!("/~streaming.main/{below}")]);
    assert_eq!(world.get(below).await.status(), 200);
    let answer = world.get(&below.replace(&asset.to_string(), &other.to_string())).await;
    assert_eq!(problem(answer).await.0, "token-scope");
    world.stop().await;

    // Whose signature this service does not know, it offers no way here with.
    let folder = Scratch::new("links");
    let foreign = folder.join("foreign");
    keys::ensure(&foreign).unwrap();
    let (world, [asset, _]) = self::world(folder.path(), Some(links(foreign, through)), None).await;
    let reader = caller(folder.path(), "default", "read", 600);
    let link: ViewerLink = ask(&world, asset, &reader).await.json().await.unwrap();
    assert!(link.path.starts_with("/~cdn.signed/") && link.others.is_empty(), "{link:?}");
    world.stop().await;
}

//! Signed URLs: who may have what, and that those who may share it.

use std::path::Path;

use flame_service_host::keys;
use futures_util::future::join_all;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::origin::Reply;
use crate::world::{World, bytes, cache_status};

/// A world whose name asks for tokens of the keys in `folder`.
async fn world(folder: &Path) -> World {
    keys::ensure(folder).unwrap();
    World::with(|config| {
        let mut front = config.fronts.remove(0).with_tokens(folder.join("jwks.json"));
        front.tokens.as_mut().unwrap().paths = vec!["/film/".to_owned(), "/live/".to_owned()];
        config.fronts.push(front);
    })
    .await
}

/// A token of `folder` for `/film/`, with these claims beside the usual ones.
fn token(folder: &Path, claims: &Value) -> String {
    let mut all = json!({ "cdniuc": "regex:https://cdn\\.main/(film|live)/.*", "exp": keys::unix_seconds() + 600 });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    keys::sign(folder, &all).unwrap()
}

fn signed(token: &str, path: &str) -> String {
    format!("/;URISigningPackage={token}{path}")
}

async fn kind(refused: Response) -> String {
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert_eq!(refused.headers()["access-control-allow-origin"], "*", "a player has to be able to read why");
    let problem: Value = refused.json().await.unwrap();
    problem["type"].as_str().unwrap().rsplit([':', '/']).next().unwrap().to_owned()
}

#[tokio::test]
async fn viewers_with_different_tokens_share_what_a_stranger_does_not_get() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path()).await;
    world.origin.put("/film/1.m4s", Reply::new(bytes(100_000)));
    let tokens = ["ann", "bob", "eve"].map(|name| token(folder.path(), &json!({ "sub": name })));
    for (number, token) in tokens.iter().enumerate() {
        let answer = world.get(&signed(token, "/film/1.m4s?CMCD=sid%3D%22x%22")).await;
        assert_eq!(cache_status(&answer).starts_with("hit"), number > 0, "{}", cache_status(&answer));
        assert_eq!(answer.bytes().await.unwrap(), bytes(100_000));
        world.settled().await;
    }
    let asked = world.origin.asked("/film/1.m4s");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].target, "/film/1.m4s", "the token ends here");
    // As an argument it is the same token.
    let argument = format!("/film/1.m4s?URISigningPackage={}", tokens[0]);
    assert!(cache_status(&world.get(&argument).await).starts_with("hit"));
    // What is kept is for those who may, however they spell it.
    for path in ["/film/1.m4s", "/%66ilm/1.m4s", "/./film/1.m4s", "/film/1.m4s?CMCD=x"] {
        assert_eq!(kind(world.get(path).await).await, "token-missing", "{path}");
    }
    let head = world.http.head(world.url("/film/1.m4s")).send().await.unwrap();
    assert_eq!(head.status(), 403);
    assert_eq!(world.origin.asked("/film/1.m4s").len(), 1);
}

#[tokio::test]
async fn links_that_are_over_or_for_something_else_or_forged_are_refused() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    keys::ensure(other.path()).unwrap();
    let world = world(folder.path()).await;
    world.origin.put("/film/1", Reply::new("x"));
    world.origin.put("/open/1", Reply::new("x"));
    let now = keys::unix_seconds();
    let ours = |claims: Value| token(folder.path(), &claims);
    for (token, path, expected) in [
        (ours(json!({ "exp": now - 1 })), "/film/1", "token-expired"),
        (ours(json!({ "nbf": now + 60 })), "/film/1", "token-early"),
        (ours(json!({})), "/else/1", "token-scope"),
        (ours(json!({ "aud": "others" })), "/film/1", "token-scope"),
        (ours(json!({ "cdniip": "x" })), "/film/1", "token-unsupported"),
        (token(other.path(), &json!({})), "/film/1", "token-signature"),
        (ours(json!({})) + "x", "/film/1", "token-signature"),
        ("nonsense".to_owned(), "/film/1", "token-malformed"),
        // A bad one is refused where none is needed: who shows it believes that it is needed.
        (ours(json!({ "exp": now - 1, "cdniuc": "regex:.*" })), "/open/1", "token-expired"),
    ] {
        for _ in 0..2 {
            assert_eq!(kind(world.get(&signed(&token, path)).await).await, expected, "{path}");
        }
    }
    assert!(world.origin.asked("/film/1").is_empty() && world.origin.asked("/open/1").is_empty());
    assert_eq!(world.get("/open/1").await.status(), 200, "that path is for everybody");
    assert_eq!(world.get(&signed(&ours(json!({ "aud": "cdn.main" })), "/film/1")).await.status(), 200);
}

#[tokio::test]
async fn a_link_that_names_two_origins_opens_its_asset_at_each_and_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path()).await;
    world.origin.put("/film/1", Reply::new("x"));
    for (origins, opens) in [
        ("(https://cdn\\.main|https://streaming\\.main)", true),
        ("(https://streaming\\.main|https://cdn\\.main)", true),
        ("(https://cdn\\.other|https://streaming\\.main)", false),
    ] {
        let token = token(folder.path(), &json!({ "cdniuc": format!("regex:{origins}/film/.*") }));
        let answer = world.get(&signed(&token, "/film/1")).await;
        assert_eq!(answer.status() == 200, opens, "{origins}");
        assert_eq!(kind(world.get(&signed(&token, "/live/1")).await).await, "token-scope", "{origins}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playlist_keeps_the_token_and_a_blocking_reload_waits_once_for_all_viewers() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path()).await;
    world.origin.put("/film/index.m3u8", Reply::new("#EXTM3U\n#EXTINF:4,\n1.m4s\n"));
    world.origin.put("/film/1.m4s", Reply::new("media"));
    let playlist = world.get(&signed(&token(folder.path(), &json!({})), "/film/index.m3u8")).await;
    let base = playlist.url().clone();
    let segment = base.join(playlist.text().await.unwrap().lines().last().unwrap()).unwrap();
    assert_eq!(world.http.get(segment).send().await.unwrap().text().await.unwrap(), "media");

    // An origin that holds the part back; each viewer with a token and a spelling of his own.
    let gate = watch::Sender::new(false);
    world.origin.put("/live/index.m3u8?_HLS_msn=7&_HLS_part=1", Reply::new("#EXTM3U\n").gated(None, &gate));
    world.origin.put("/live/7.1.m4s", Reply::new("part").gated(None, &gate));
    let viewers = (0..30).map(|number| {
        let token = token(folder.path(), &json!({ "sub": format!("viewer {number}") }));
        let reload = match number % 3 {
            0 => "/live/index.m3u8?_HLS_msn=7&_HLS_part=1",
            1 => "/live/index.m3u8?_HLS_part=1&_HLS_msn=07",
            _ => "/live/index.m3u8?CMCD=sid%3D%22a%22&_HLS_msn=7&_HLS_part=1",
        };
        let urls = [reload, "/live/7.1.m4s"].map(|path| signed(&token, path));
        let world = &world;
        async move { join_all(urls.iter().map(|url| world.get(url))).await }
    });
    let opened = async {
        flame_test_kit::eventually(crate::world::PATIENCE, || async {
            let figures = world.figures().await;
            let waiting = figures.misses + figures.collapsed;
            if waiting >= 60 { Ok(()) } else { Err(format!("{waiting} of 60 have asked")) }
        })
        .await;
        gate.send_replace(true);
    };
    let (answers, ()) = tokio::join!(join_all(viewers), opened);
    assert!(answers.iter().flatten().all(|answer| answer.status() == 200));
    assert_eq!(world.origin.asked("/live/index.m3u8").len(), 1);
    assert_eq!(world.origin.asked("/live/7.1.m4s").len(), 1);
}

#[tokio::test]
async fn keys_are_read_again_and_a_damaged_file_changes_nothing() {
    let (folder, next) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    keys::ensure(next.path()).unwrap();
    let world = world(folder.path()).await;
    world.origin.put("/film/1", Reply::new("x"));
    let (old, new) = (token(folder.path(), &json!({})), token(next.path(), &json!({})));
    let status = async |token: &str| world.get(&signed(token, "/film/1")).await.status().as_u16();
    assert_eq!((status(&old).await, status(&new).await), (200, 403));
    std::fs::write(folder.path().join("jwks.json"), "{").unwrap();
    world.vcdn.reload();
    assert_eq!((status(&old).await, status(&new).await), (200, 403));
    std::fs::copy(next.path().join("jwks.json"), folder.path().join("jwks.json")).unwrap();
    world.vcdn.reload();
    assert_eq!((status(&old).await, status(&new).await), (403, 200), "what the old key signed was remembered");
    let mut config = world.config.clone();
    config.fronts[0].tokens.as_mut().unwrap().keys = "/nowhere/jwks.json".into();
    let error = flame_vcdn::start(config).await.unwrap_err();
    assert!(format!("{error:?}").contains("/nowhere/jwks.json"), "{error:?}");
}

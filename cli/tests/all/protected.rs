//! A protected asset from end to end: marked, refused, and played with a link, from the surrogate and from streaming itself.

use flame_test_kit::{clips, eventually};
use reqwest::Response;
use serde_json::Value;

use crate::world::World;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

async fn kind(refused: Response) -> String {
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["content-type"]),
        (403, &"application/problem+json".parse().unwrap())
    );
    let problem: Value = refused.json().await.unwrap();
    problem["type"].as_str().unwrap().rsplit([':', '/']).next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_asset_plays_with_a_link_and_not_without() {
    let world = World::up();
    let clip = clips::recipe("synthetic").seconds(4.0).size(320, 180).make();
    let done = world.json(&["ingest", clip.to_str().unwrap(), "--no-wait"]);
    let jobs = world.json(&["job", "list"]);
    let (id, job) = (done[0]["id"].as_str().unwrap(), jobs[0]["id"].as_str().unwrap());
    // Before anything of it plays.
    let protected = world.json(&["asset", "protect", id]);
    assert_eq!(protected[0]["protected"], true);
    assert_eq!(world.json(&["job", "watch", job])["state"], "succeeded");
    assert!(world.flame(&["asset", "show", id]).out.contains("only with a signed URL"));

    let router = &world.router;
    let plain = |name: &str| format!("{router}/~{name}/{id}/index.m3u8");
    let data = world.data();
    let sign = |url: &str| world.json(&["token", "sign-url", "--data", data.to_str().unwrap(), url]);
    let link = |name: &str| sign(&plain(name))["url"].as_str().unwrap().to_owned();
    for name in ["streaming", "cdn", "cdn.signed"] {
        eventually(PATIENCE, || async {
            let status = reqwest::get(plain(name)).await.unwrap().status();
            if status == 403 { Ok(()) } else { Err(status) }
        })
        .await;
        assert_eq!(kind(reqwest::get(plain(name)).await.unwrap()).await, "token-missing", "{name}");
    }
    // A link for one name opens no other.
    let foreign = link("cdn.signed").replace("~cdn.signed", "~streaming");
    assert_eq!(kind(reqwest::get(foreign).await.unwrap()).await, "token-scope");
    for name in ["streaming", "cdn.signed"] {
        let playlist = reqwest::get(link(name)).await.unwrap();
        assert_eq!(playlist.status(), 200, "{name}: {}", world.log());
        let base = playlist.url().clone();
        let text = playlist.text().await.unwrap();
        let media = base.join(text.lines().find(|line| !line.starts_with('#') && !line.is_empty()).unwrap()).unwrap();
        let text = reqwest::get(media.clone()).await.unwrap().text().await.unwrap();
        let segment =
            media.join(text.lines().find(|line| !line.starts_with('#') && !line.is_empty()).unwrap()).unwrap();
        for round in 0..2 {
            let answer = reqwest::get(segment.clone()).await.unwrap();
            assert_eq!(answer.status(), 200, "{name}");
            assert!(answer.headers()["cache-control"].to_str().unwrap().starts_with("private"), "{name}");
            let status = answer.headers().get("cache-status").map(|value| value.to_str().unwrap().to_owned());
            assert!(!answer.bytes().await.unwrap().is_empty());
            let is_hit = status.is_some_and(|status| status.contains("; hit"));
            assert!(is_hit || round == 0 || name == "streaming", "what is protected is kept by who verifies viewers");
        }
    }
    // Whoever may read it is given a link by streaming itself, which leads to the surrogate.
    let given = world.json(&["asset", "link", id]);
    let url = given["url"].as_str().unwrap();
    assert!(url.starts_with(&format!("{router}/~cdn.signed/;URISigningPackage=")), "{given:#}");
    assert_eq!(reqwest::get(url).await.unwrap().status(), 200, "{}", world.log());
    // The same link opens it at streaming itself, for when the surrogate does not answer.
    let other = given["link"]["others"][0].as_str().unwrap_or_else(|| panic!("{given:#}"));
    assert!(other.starts_with("/~streaming.main/;URISigningPackage="), "{given:#}");
    assert_eq!(reqwest::get(format!("{router}{other}")).await.unwrap().status(), 200, "{}", world.log());
    // For everybody again.
    world.json(&["asset", "protect", "--off", id]);
    eventually(PATIENCE, || async {
        let status = reqwest::get(plain("cdn")).await.unwrap().status();
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
}

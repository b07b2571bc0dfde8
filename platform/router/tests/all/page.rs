//! The page at `/`, judged by a browser.

use std::path::Path;
use std::process::Stdio;

use axum::Router;
use axum::routing::get;
use flame_test_kit::{Scratch, loud_skip};

use crate::world::{Service, World};

const CHROMIUM: &str = "/usr/bin/chromium";
const HOSTILE: &str =
    "<img src=x onerror=\"document.title='broken in'\"></script><script>document.title='broken in'</script>";

async fn world() -> (World, Vec<Service>) {
    let world = World::start().await;
    let asset = "0198a1b2-0000-7000-8000-000000000001";
    let assets = serde_json::json!({ "items": [{ "id": asset, "title": HOSTILE }] }).to_string();
    let assets = Router::new().route("/assets", get(async move || ([("content-type", "application/json")], assets)));
    let services = vec![Service::start(assets).await, Service::echo().await];
    world.register("metadata", &services[0]).await;
    world.register("streaming", &services[1]).await;
    (world, services)
}

#[tokio::test]
async fn only_the_portals_own_scripts_may_run() {
    let world = World::start().await;
    let page = world.get("/").await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let own = world.url("/portal/");
    let own = own.strip_prefix("http://").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(
        policy.contains(&format!("script-src {own};")) && policy.contains(&format!("style-src {own};")),
        "{policy}"
    );
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    assert_eq!(page.headers()["referrer-policy"], "no-referrer");
    assert_eq!(page.headers()["cache-control"], "no-cache");
    let text = page.text().await.unwrap();
    assert!(!text.contains("://") && text.contains("lang=\"en\""), "the page needs nothing from elsewhere: {text}");
}

#[tokio::test]
async fn files_of_the_portal_are_small_on_the_way_and_kept_for_long() {
    let world = World::start().await;
    let text = world.get("/").await.text().await.unwrap();
    let script = text.split('"').find(|part| part.starts_with("/portal/assets/") && part.ends_with(".js"));
    let script = script.expect("the portal is built (portal/build)");
    let client = reqwest::Client::new();
    let asked = async |coding: &str| {
        let answer = client.get(world.url(script)).header("accept-encoding", coding).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/javascript; charset=utf-8");
        assert_eq!(answer.headers()["vary"], "accept-encoding");
        assert_eq!(answer.headers()["cache-control"], "public, max-age=31536000, immutable");
        let coding = answer.headers().get("content-encoding").map(|coding| coding.to_str().unwrap().to_owned());
        (coding, answer.bytes().await.unwrap())
    };
    let (coding, packed) = asked("br, gzip;q=0.5").await;
    assert_eq!((coding.as_deref(), &packed[..2]), (Some("gzip"), &[0x1f, 0x8b][..]));
    for coding in ["identity", "gzip;q=0"] {
        let (coding, plain) = asked(coding).await;
        assert!(coding.is_none() && plain.len() > 2 * packed.len(), "{coding:?}, {} bytes", plain.len());
    }
    for missing in ["/portal/", "/portal/none.js", "/portal/assets/"] {
        assert_eq!(world.get(missing).await.status(), 404, "{missing}");
    }
    assert_eq!(world.get("/portal/..%2FCargo.toml").await.status(), 400, "a way out of the folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_names_and_assets_and_runs_nothing_that_a_title_says() {
    if !Path::new(CHROMIUM).exists() {
        return loud_skip("no chromium: the page was not looked at in a browser");
    }
    let (world, _services) = world().await;
    let (dom, log) = looked_at(&world.url("/#token=t0ken")).await;
    assert!(dom.contains("<title>Library · FLAME</title>"), "the script did not run, or the title's did: {dom}\n{log}");
    let escaped = HOSTILE.replace('<', "&lt;").replace('>', "&gt;");
    assert!(dom.contains(&escaped), "the title is not shown as text: {dom}\n{log}");
    assert!(!log.contains("Content Security Policy"), "{log}");
    let (dom, log) = looked_at(&world.url("/#/platform")).await;
    assert!(dom.contains(">metadata</h4>") && dom.contains(">streaming</h4>"), "the names are missing: {dom}\n{log}");
}

/// The page as it stands once it has settled, and what the browser said of it.
async fn looked_at(url: &str) -> (String, String) {
    let profile = Scratch::new("router-page");
    let mut browser = tokio::process::Command::new(CHROMIUM);
    browser
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update", "--virtual-time-budget=4000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--dump-dom", url]);
    let output = browser.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), output).await.unwrap().unwrap();
    let (dom, log) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    (dom, log.into_owned())
}

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
async fn only_its_own_script_may_run() {
    let world = World::start().await;
    let page = world.get("/").await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    assert_eq!(page.headers()["referrer-policy"], "no-referrer");
    let text = page.text().await.unwrap();
    assert!(!text.contains("://"), "the page needs nothing from elsewhere");
    assert!(!text.contains("innerHTML") && text.contains("lang=\"en\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_names_and_assets_and_runs_nothing_that_a_title_says() {
    if !Path::new(CHROMIUM).exists() {
        return loud_skip("no chromium: the page was not looked at in a browser");
    }
    let (world, _services) = world().await;
    let profile = Scratch::new("router-page");
    let mut browser = tokio::process::Command::new(CHROMIUM);
    browser
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update", "--virtual-time-budget=4000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--dump-dom", &world.url("/#token=t0ken")]);
    let output = browser.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), output).await.unwrap().unwrap();
    let dom = String::from_utf8(output.stdout).unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(dom.contains("<title>FLAME</title>"), "the style and script ran and the title did not: {dom}\n{log}");
    assert!(dom.contains("/~metadata/") && dom.contains("/~streaming/"), "the names are missing: {dom}\n{log}");
    assert!(dom.contains("href=\"/~metadata/openapi.json\""), "the link to a contract is missing: {dom}\n{log}");
    let escaped = HOSTILE.replace('<', "&lt;").replace('>', "&gt;");
    assert!(dom.contains(&escaped), "the title is not shown as text: {dom}\n{log}");
    assert!(!log.contains("Content Security Policy"), "{log}");
}

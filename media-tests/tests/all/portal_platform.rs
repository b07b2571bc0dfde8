//! The portal of a router that has neighbours, in Chromium: the sites and the links between them, a search as it happens and its way,
//! what a surrogate has answered, an answer that went to two routers at once, and a site that goes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::header;
use axum::routing::get;
use flame_media_tests::players::browser;
use flame_test_kit::programs::program;
use flame_test_kit::{Scratch, eventually, ports};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

const PATIENCE: Duration = Duration::from_secs(30);
/// What both origins are called.
const NAME: &str = "film";
/// What the origin is called whose answer goes to several routers at once, and how long that is.
const SHARED: &str = "news";
const SHARED_BYTES: usize = 1_000_000;

/// A process that ends with the test.
struct Running(Child);

// === impl Running ===

impl Running {
    fn start(name: &str, config: &Path) -> Self {
        Self::of(Command::new(program(name)).arg(config))
    }

    /// Python's own server with the files of a folder.
    fn origin(folder: &Path, port: u16) -> Self {
        let mut server = Command::new("python3");
        server.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
        Self::of(server.arg(folder).arg(port.to_string()))
    }

    fn of(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.expect("the program is there"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An origin that answers `/shared` when somebody has asked for `/release`, and lets everybody keep it.
async fn shared(port: u16) -> tokio::task::JoinHandle<()> {
    let may = Arc::new(Semaphore::new(0));
    let release = Arc::clone(&may);
    let answer = move || async move {
        let _ = may.acquire().await.expect("it is never closed");
        ([(header::CACHE_CONTROL, "public, max-age=60")], vec![7_u8; SHARED_BYTES])
    };
    let routes = Router::new()
        .route("/shared", get(answer))
        .route("/release", get(move || async move { release.add_permits(1) }));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    tokio::spawn(async move { axum::serve(listener, routes).await.expect("it serves") })
}

/// The configuration of a site's router: what is not found at one surrogate is looked for at the others, and what several routers want goes to
/// `group` once.
fn router(folder: &Scratch, site: &str, port: u16, group: u16) -> Running {
    let sites = folder.join("sites.toml");
    let text = format!(
        "site = \"{site}\"\nsites = {sites:?}\n[host]\nlisten = \"127.0.0.1:{port}\"\n[[search.names]]\nname = \"{NAME}\"\n\
         [multicast]\nenabled = true\ngroups = [\"239.255.72.1:{group}\"]\n"
    );
    let file = folder.join(format!("{site}.toml"));
    std::fs::write(&file, text).expect("scratch is writable");
    Running::start("flame-router", &file)
}

async fn register(router: &str, name: &str, endpoint: &str, port: u16) {
    let url = format!("{router}/api/router/endpoints/{name}/{endpoint}");
    let body = json!({ "address": format!("127.0.0.1:{port}"), "generation": 1, "ttl_ms": 60_000 });
    eventually(PATIENCE, || async {
        let sent = reqwest::Client::new().put(&url).json(&body).send().await;
        let status = sent.map_err(|error| error.to_string())?.status();
        if status.is_success() { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn sites_a_search_a_surrogate_and_multicast_are_seen_as_they_are() {
    let folder = Scratch::new("portal-platform");
    let [here, there, beyond, surrogate, nothing, everything, news] = ports::free_tcp();
    let [group] = ports::free_udp();
    let all = [("harbour", here), ("market", there), ("square", beyond)];
    let mut sites = "version = 1\n".to_owned();
    for (site, port) in all {
        sites += &format!("[[sites]]\nname = \"{site}\"\nrouter = \"127.0.0.1:{port}\"\n");
    }
    for (site, latency_ms) in [("market", 3), ("square", 5)] {
        sites += &format!(
            "[[links]]\nbetween = [\"harbour\", \"{site}\"]\nlatency_ms = {latency_ms}\nbandwidth_mbps = 100\n"
        );
    }
    std::fs::write(folder.join("sites.toml"), sites).expect("scratch is writable");
    // The nearer one has nothing of what the other one has.
    for (name, files) in [("empty", &[][..]), ("full", &["reel", "reel-2"][..])] {
        std::fs::create_dir(folder.join(name)).expect("scratch is writable");
        for file in files {
            // What has not changed for long is kept for a while, though nobody says for how long.
            let file = std::fs::File::create(folder.join(name).join(file)).expect("scratch is writable");
            file.set_len(5000).expect("scratch is writable");
            file.set_modified(SystemTime::now() - Duration::from_hours(240)).expect("scratch is writable");
        }
    }
    let _empty = Running::origin(&folder.join("empty"), nothing);
    let _full = Running::origin(&folder.join("full"), everything);
    let [_harbour, market, _square] = all.map(|(site, port)| router(&folder, site, port, group));
    let origin = shared(news).await;
    let [here, there, beyond] = all.map(|(_, port)| format!("http://127.0.0.1:{port}"));
    register(&here, NAME, "empty", nothing).await;
    register(&there, NAME, "full", everything).await;
    register(&here, SHARED, "studio", news).await;
    let config = folder.join("vcdn.toml");
    let text = format!(
        "[host]\nlisten = \"127.0.0.1:{surrogate}\"\nname = \"vcdn\"\nrouter = \"{here}\"\n[[fronts]]\nname = \"edge.{NAME}\"\nupstream = \"{NAME}\"\nlisten = \"127.0.0.1:0\"\n"
    );
    std::fs::write(&config, text).expect("scratch is writable");
    let _vcdn = Running::start("flame-vcdn", &config);

    let arguments = [here.as_str(), "--path", &format!("/~{NAME}/reel"), "--through", &format!("/~edge.{NAME}/reel-2")];
    let mut arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
    for (name, value) in [
        ("--at", format!("{there}/~{SHARED}/shared")),
        ("--and", format!("{beyond}/~{SHARED}/shared")),
        ("--release", format!("{here}/~{SHARED}/release")),
        ("--kill", market.0.id().to_string()),
    ] {
        arguments.extend([name.to_owned(), value]);
    }
    arguments.extend(browser::pictures());
    let seen = browser::node("platform.mjs", arguments).await.expect("the portal can be opened");
    let seen: Value = serde_json::from_slice(&seen).expect("platform.mjs prints one JSON object");

    origin.abort();

    // The sites with their routers, the links between them, and which of the endpoints are surrogates.
    assert_eq!(seen["places"], json!(["harbour", "market", "square"]), "{seen:#}");
    assert_eq!((&seen["routers"], &seen["links"]), (&json!(3), &json!(["3.0 ms", "5.0 ms"])), "{seen:#}");
    assert!(seen["surrogates"].as_u64() > Some(0), "{seen:#}");
    // Who answers is seen to.
    assert_eq!((&seen["pulse"], &seen["rate"]), (&json!(true), &json!(true)), "{seen:#}");
    // What was searched for stands among what happened, and its way can be had.
    let found = seen["found"].as_str().expect("an event");
    assert!(
        found.starts_with(&format!("{NAME}: not at empty at harbour (")) && found.ends_with("but at market"),
        "{found}"
    );
    assert_eq!((&seen["status"], &seen["found_before"]), (&json!(200), &json!("0")), "{seen:#}");
    // A second request for the same is the surrogate's to answer.
    assert_eq!(seen["hits"], json!(["0", "1"]), "{seen:#}");
    // One answer went to both routers, and what that has saved is counted.
    assert_eq!(
        (&seen["bodies"], &seen["answers"]),
        (&json!([SHARED_BYTES, SHARED_BYTES]), &json!("1, to 2 routers")),
        "{seen:#}"
    );
    // How much that is depends on what got lost on the way, which is sent by unicast: of two megabytes one at most.
    let (said, counted) = (seen["saved"].as_str().expect("a figure"), seen["counted"].as_f64().expect("a count"));
    let (number, unit) = said.split_once(' ').expect("a number and its unit");
    let saved = number.parse::<f64>().expect("a number") * if unit == "KiB" { 1024.0 } else { 1.0 };
    assert!((saved - counted).abs() < 1024.0 && counted <= SHARED_BYTES as f64, "{said}: {counted} bytes are counted");
    // A site whose router dies is seen to be gone, and the page goes on.
    assert_eq!((&seen["gone"], &seen["errors"]), (&json!(true), &json!([])), "{seen:#}");
}

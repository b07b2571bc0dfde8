//! The portal of a router that has a neighbour, in Chromium: both sites and the link between them, a search as it happens and its way,
//! what a surrogate has answered, and a site that goes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use flame_media_tests::players::browser;
use flame_test_kit::programs::program;
use flame_test_kit::{Scratch, eventually, ports};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
/// What both origins are called.
const NAME: &str = "film";

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

/// The configuration of a site's router: what is not found at one surrogate is looked for at the others.
fn router(folder: &Scratch, site: &str, port: u16) -> Running {
    let sites = folder.join("sites.toml");
    let text = format!(
        "site = \"{site}\"\nsites = {sites:?}\n[host]\nlisten = \"127.0.0.1:{port}\"\n[[search.names]]\nname = \"{NAME}\"\n"
    );
    let file = folder.join(format!("{site}.toml"));
    std::fs::write(&file, text).expect("scratch is writable");
    Running::start("flame-router", &file)
}

async fn register(router: &str, endpoint: &str, port: u16) {
    let url = format!("{router}/api/router/endpoints/{NAME}/{endpoint}");
    let body = json!({ "address": format!("127.0.0.1:{port}"), "generation": 1, "ttl_ms": 60_000 });
    eventually(PATIENCE, || async {
        let sent = reqwest::Client::new().put(&url).json(&body).send().await;
        let status = sent.map_err(|error| error.to_string())?.status();
        if status.is_success() { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn two_sites_a_search_and_a_surrogate_are_seen_as_they_are() {
    let folder = Scratch::new("portal-platform");
    let [here, there, surrogate, nothing, everything] = ports::free_tcp();
    let sites = format!(
        "version = 1\n[[sites]]\nname = \"harbour\"\nrouter = \"127.0.0.1:{here}\"\n[[sites]]\nname = \"market\"\nrouter = \"127.0.0.1:{there}\"\n\
         [[links]]\nbetween = [\"harbour\", \"market\"]\nlatency_ms = 3\nbandwidth_mbps = 100\n"
    );
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
    let _harbour = router(&folder, "harbour", here);
    let market = router(&folder, "market", there);
    let (here, there) = (format!("http://127.0.0.1:{here}"), format!("http://127.0.0.1:{there}"));
    register(&here, "empty", nothing).await;
    register(&there, "full", everything).await;
    let config = folder.join("vcdn.toml");
    let text = format!(
        "[host]\nlisten = \"127.0.0.1:{surrogate}\"\nname = \"vcdn\"\nrouter = \"{here}\"\n[[fronts]]\nname = \"edge.{NAME}\"\nupstream = \"{NAME}\"\nlisten = \"127.0.0.1:0\"\n"
    );
    std::fs::write(&config, text).expect("scratch is writable");
    let _vcdn = Running::start("flame-vcdn", &config);

    let arguments = [here.as_str(), "--path", &format!("/~{NAME}/reel"), "--through", &format!("/~edge.{NAME}/reel-2")];
    let mut arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
    arguments.extend(["--kill".to_owned(), market.0.id().to_string()]);
    arguments.extend(browser::pictures());
    let seen = browser::node("platform.mjs", arguments).await.expect("the portal can be opened");
    let seen: Value = serde_json::from_slice(&seen).expect("platform.mjs prints one JSON object");

    // Two sites with their routers, and the link between them.
    assert_eq!(seen["places"], json!(["harbour", "market"]), "{seen:#}");
    assert_eq!((&seen["routers"], &seen["links"]), (&json!(2), &json!(["3.0 ms"])), "{seen:#}");
    // What was searched for stands among what happened, and its way can be had.
    let found = seen["found"].as_str().expect("an event");
    assert!(
        found.starts_with(&format!("{NAME}: not at empty at harbour (")) && found.ends_with("but at market"),
        "{found}"
    );
    assert_eq!((&seen["status"], &seen["found_before"]), (&json!(200), &json!("0")), "{seen:#}");
    // A second request for the same is the surrogate's to answer.
    assert_eq!(seen["hits"], json!(["0", "1"]), "{seen:#}");
    // A site whose router dies is seen to be gone, and the page goes on.
    assert_eq!((&seen["gone"], &seen["errors"]), (&json!(true), &json!([])), "{seen:#}");
}

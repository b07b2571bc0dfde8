//! Each part as a process of its own, with nothing of another but what `flame parts` made for it, as in the images: the main job, and
//! what is left of it when parts are killed. Where things lie is what images/images.tsv says, on folders of the test.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use flame_media_tests::playback;
use flame_media_tests::source::Source;
use flame_test_kit::programs::program;
use flame_test_kit::{Scratch, clips, eventually, ports, repository};
use serde_json::{Value, json};
use url::Url;

/// How long all parts may take to be ready on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// All parts, running; killed when dropped.
pub struct Apart {
    scratch: Scratch,
    /// Where people reach the router.
    router: u16,
    /// Where parts do.
    among_parts: u16,
    /// A person's token.
    token: String,
    /// What each part is started with.
    settings: BTreeMap<String, Vec<(String, String)>>,
    running: BTreeMap<String, Child>,
}

// === impl Apart ===

impl Apart {
    /// Parts that know each other by their tokens.
    pub fn new() -> Self {
        Self::made(false)
    }

    /// Parts that know each other by certificates, too, and speak TLS.
    pub fn with_certificates() -> Self {
        Self::made(true)
    }

    fn made(tls: bool) -> Self {
        let scratch = Scratch::new("parts");
        let [router, store, own] = ports::free_tcp();
        let (among_parts, scheme) = if tls { (own, "https") } else { (router, "http") };
        let folder = scratch.join("parts");
        let viewers = format!("127.0.0.1:{router}");
        let with_tls = ["--tls", "--viewers", &viewers];
        let made = Command::new(program("flame"))
            .args(["parts", "--json", "--router", &format!("{scheme}://127.0.0.1:{among_parts}")])
            .args(["--store", &format!("http://127.0.0.1:{store}")])
            .args(if tls { &with_tls[..] } else { &[] })
            .arg(folder)
            .output()
            .expect("flame starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).expect("--json prints JSON");
        let token = made["token"].as_str().expect("the first time makes a token").to_owned();

        let table = std::fs::read_to_string(repository().join("images/images.tsv")).expect("the table is there");
        let mut settings = BTreeMap::new();
        for row in table.lines().filter(|row| !row.starts_with('#')) {
            let columns: Vec<_> = row.split('\t').collect();
            let Some(part) = columns[0].strip_prefix("flame-") else { continue };
            let data = scratch.join(format!("data-{part}"));
            std::fs::create_dir(&data).expect("scratch is writable");
            let set = columns[4].split(' ').map(|setting| {
                let (name, value) = setting.split_once('=').expect("settings are NAME=VALUE");
                let port = if part == "router" { among_parts } else { 0 };
                let value = match value.split_once(':') {
                    // On all addresses, as in a container: what is registered has to be found out.
                    Some(("0.0.0.0", _)) => format!("0.0.0.0:{port}"),
                    Some(_) | None => value.replacen("/data", data.to_str().expect("paths are UTF-8"), 1),
                };
                (name.to_owned(), value)
            });
            let mut set: Vec<_> = set.collect();
            if part == "ingest" {
                let root = data.join("objects").display().to_string();
                set.push(("FLAME_INGEST__STORE__EMBEDDED__ROOT".to_owned(), root));
                set.push(("FLAME_INGEST__STORE__EMBEDDED__LISTEN".to_owned(), format!("127.0.0.1:{store}")));
            }
            settings.insert(part.to_owned(), set);
        }
        Self { scratch, router, among_parts, token, settings, running: BTreeMap::new() }
    }

    /// The port at which parts reach the router.
    pub fn among_parts(&self) -> u16 {
        self.among_parts
    }

    /// All parts, by name.
    pub fn parts(&self) -> Vec<String> {
        self.settings.keys().cloned().collect()
    }

    /// Something in the folder that `flame parts` made.
    pub fn file(&self, path: &str) -> PathBuf {
        self.scratch.join("parts").join(path)
    }

    /// The program of a part, with its settings.
    pub fn part(&self, part: &str) -> Command {
        let mut command = Command::new(program(&format!("flame-{part}")));
        command.env_remove("FLAME_TOKEN").env_remove("FLAME_ROUTER").envs(self.settings[part].clone());
        command
    }

    /// Its configuration.
    pub fn document(&self, part: &str) -> PathBuf {
        self.file(&format!("{part}/part.toml"))
    }

    /// Says what a part is told at its next start.
    pub fn set(&mut self, part: &str, name: &str, value: &str) {
        self.settings.get_mut(part).expect("it is a part").push((name.to_owned(), value.to_owned()));
    }

    pub fn start(&mut self, part: &str) {
        self.start_as(part, part);
    }

    /// One more of a part, under a name of its own.
    pub fn start_as(&mut self, part: &str, name: &str) {
        let log = File::options().create(true).append(true).open(self.scratch.join(format!("{name}.log")));
        let mut command = self.part(part);
        command.arg(self.document(part)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("writable"));
        let child = command.spawn().expect("the part's program starts");
        self.running.insert(name.to_owned(), child);
    }

    /// `kill -9`.
    pub fn kill(&mut self, part: &str) {
        let mut child = self.running.remove(part).expect("it runs");
        child.kill().expect("a child of ours can be killed");
        child.wait().expect("a killed child ends");
    }

    pub fn logs(&self) -> String {
        let log = |part: &String| std::fs::read_to_string(self.scratch.join(format!("{part}.log"))).unwrap_or_default();
        let last = |text: String| text.lines().rev().take(12).map(|line| format!("  {line}\n")).collect::<String>();
        let all = self.settings.keys().chain(self.running.keys().filter(|name| !self.settings.contains_key(*name)));
        all.map(|part| format!("{part}:\n{}", last(log(part)))).collect()
    }

    pub fn flame(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("flame"));
        command.env("FLAME_ROUTER", self.url("")).env("FLAME_TOKEN", &self.token).args(arguments);
        command.stdin(Stdio::null()).output().expect("flame starts")
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.flame(&[arguments, &["--json"]].concat());
        let complaint = || format!("{arguments:?}: {}\n{}", String::from_utf8_lossy(&ran.stderr), self.logs());
        assert!(ran.status.success(), "{}", complaint());
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", complaint()))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.router)
    }

    /// Waits until every part is registered, and says that it is ready.
    /// Waits until somebody stands behind `name`. Who opens what is in the object store at its start, as streaming does, comes after ingest,
    /// which brings it here; elsewhere it is started again until it is there.
    pub async fn stands(&self, name: &str) {
        eventually(PATIENCE, || async {
            let asked = self.flame(&["endpoint", "list", "--json"]);
            let listed = String::from_utf8_lossy(&asked.stdout).into_owned();
            let is_there = listed.contains(&format!("\"{name}.main\""));
            if is_there { Ok(()) } else { Err(format!("{listed}\n{}", self.logs())) }
        })
        .await;
    }

    pub async fn ready(&self) {
        eventually(PATIENCE, || async {
            let asked = self.flame(&["health"]);
            let said = String::from_utf8_lossy(&asked.stderr).into_owned();
            if asked.status.success() { Ok(()) } else { Err(format!("{said}\n{}", self.logs())) }
        })
        .await;
    }

    pub async fn plays(&self, name: &str, asset: &str) {
        let url = self.url(&format!("~{name}/{asset}/index.m3u8"));
        eventually(PATIENCE, || async {
            let answer = reqwest::get(&url).await.map_err(|error| error.to_string())?;
            if answer.status().is_success() { Ok(()) } else { Err(format!("{}\n{}", answer.status(), self.logs())) }
        })
        .await;
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The asset that came of an ingest that went well.
pub fn ingested(done: &Value) -> String {
    assert_eq!(done[0]["job"]["state"], "succeeded", "{done:#}");
    done[0]["id"].as_str().expect("it has an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_their_own_do_the_main_job_and_come_back() {
    let mut apart = Apart::new();
    let parts = apart.parts();
    assert_eq!(parts.len(), 9, "{parts:?}");
    for part in &parts {
        apart.start(part);
    }
    apart.ready().await;
    // Linux connects to 0.0.0.0 as to itself: what does not hold in containers has to be looked for here.
    let listed = apart.json(&["endpoint", "list"]);
    let listed = listed["items"].as_array().expect("a page has items");
    let addresses: Vec<_> = listed.iter().map(|one| one["address"].to_string()).collect();
    assert!(addresses.len() >= 8 && addresses.iter().all(|one| one.starts_with("\"127.0.0.1:")), "{addresses:?}");

    // In, conditioned, played from the origin and through the edge, and measured.
    let file = clips::path("bikes");
    let source = Source::measure(&file).await.expect("the source can be measured");
    let asset = ingested(&apart.json(&["ingest", file.to_str().expect("paths are UTF-8")]));
    for name in ["streaming", "cdn"] {
        let url: Url = apart.url(&format!("~{name}/{asset}/index.m3u8")).parse().expect("it is a URL");
        let report = playback::judge(&url, &source, 35.0).await;
        let report = report.unwrap_or_else(|objection| panic!("{name}: {objection:#}\n{}", apart.logs()));
        assert_eq!(report.gstreamer.pictures, 250, "{report:?}");
    }
    let measured = apart.flame(&["quality", "inspect", &asset, "--remote", "--gate", "video.height >= 100"]);
    assert!(measured.status.success(), "{}\n{}", String::from_utf8_lossy(&measured.stderr), apart.logs());

    // Whoever has a part's token is that part, and no other; and nobody is anybody without.
    let document = std::fs::read_to_string(apart.document("metadata")).expect("flame parts made it");
    let document: toml::Table = document.parse().expect("it is TOML");
    let of_metadata = document["host"]["token"].as_str().expect("it has a token").to_owned();
    let client = reqwest::Client::new();
    let registered = async |name: &str, token: &str| {
        let url = apart.url(&format!("api/router/endpoints/{name}/thief"));
        let body = json!({ "address": "127.0.0.1:9", "generation": 1, "ttl_ms": 100, "state": "booted" });
        client.put(url).bearer_auth(token).json(&body).send().await.expect("the router answers").status().as_u16()
    };
    assert_eq!((registered("ingest", &of_metadata).await, registered("metadata", &of_metadata).await), (403, 200));
    assert_eq!(registered("ingest", &apart.token).await, 403);
    assert_eq!(reqwest::get(apart.url("~metadata/assets")).await.expect("it answers").status(), 401);

    // The program itself says whether the part that runs beside it is ready.
    let health =
        |apart: &Apart| apart.part("router").arg("health").arg(apart.document("router")).output().expect("it starts");
    assert_eq!(String::from_utf8_lossy(&health(&apart).stdout), "ready\n");

    // A job that is at work outlives its worker, and everything else each part.
    let long = clips::recipe("synthetic").seconds(30.0).size(320, 180).make();
    let begun = apart.json(&["ingest", long.to_str().expect("paths are UTF-8"), "--no-wait"]);
    let second = begun[0]["id"].as_str().expect("it has an id").to_owned();
    eventually(PATIENCE, || async {
        let jobs = apart.json(&["job", "list"]);
        let running = jobs.as_array().is_some_and(|jobs| jobs.iter().any(|job| job["state"] == "running"));
        if running { Ok(()) } else { Err(jobs.to_string()) }
    })
    .await;
    let job = apart.json(&["job", "list"])[0]["id"].as_str().expect("it has an id").to_owned();
    apart.kill("transcode");
    apart.start("transcode");
    for part in &parts {
        if part == "transcode" {
            continue;
        }
        apart.kill(part);
        if part == "router" {
            let asked = health(&apart);
            let said = String::from_utf8_lossy(&asked.stderr);
            assert!(asked.status.code() == Some(1) && said.contains("does not answer"), "{said}");
        }
        apart.start(part);
        apart.ready().await;
        apart.plays("cdn", &asset).await;
    }
    assert_eq!(apart.json(&["job", "watch", &job])["state"], "succeeded", "{}", apart.logs());
    apart.plays("streaming", &second).await;
}

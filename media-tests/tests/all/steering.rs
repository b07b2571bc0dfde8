//! Two sites with a router and a surrogate each, one origin, and players that nobody here wrote: when a site carries too much,
//! they play on from the other.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flame_media_tests::players::browser::{self, Player, Seen, Viewing};
use flame_media_tests::renditions::Renditions;
use flame_test_kit::{Bundle, Scratch, eventually, ports, programs::program};
use serde_json::Value;
use url::Url;

/// Time in which what must happen has happened.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long players go on before they ask again.
const TTL: Duration = Duration::from_secs(3);
/// What it takes to notice that a site carries too much: the window that is counted over, until it is believed, and a look.
const NOTICE: Duration = Duration::from_millis(2_000 + 1_000 + 500);
/// Seconds that are watched.
const WATCHED_S: u32 = 40;
/// What a site can carry: several times what one viewer takes.
const CAPACITY_MBPS: u32 = 20;
/// Requests that may have been under way when the player left, and its last one of each playlist.
const LEFTOVER: u64 = 6;

/// A process that ends with its value.
struct Process(Child);

/// A router and a surrogate.
struct Site {
    name: &'static str,
    router: String,
    _processes: Vec<Process>,
    _folder: Scratch,
}

struct World {
    bundle: Bundle,
    sites: [Site; 2],
    channel: String,
    _encoder: Process,
}

/// Downloads again and again, at a rate that a site cannot carry, until it is stopped.
struct Load {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<u64>,
}

// === impl Process ===

impl Process {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// === impl Site ===

impl Site {
    /// A router at `port` that knows where streaming is, and a surrogate in front of it.
    fn start(name: &'static str, port: u16, streaming: &str) -> Self {
        let folder = Scratch::new("site");
        let write = |file: &str, text: String| {
            let path = folder.join(file);
            std::fs::write(&path, text).expect("scratch is writable");
            path
        };
        let entries = format!(
            "[[entries]]\nname = \"streaming\"\nendpoint = \"origin\"\naddress = \"{streaming}\"\nsite = \"{name}\"\n"
        );
        let entries = write("static.toml", entries);
        let router = format!(
            "site = \"{name}\"\nstatic_entries = \"{}\"\n[host]\nlisten = \"127.0.0.1:{port}\"\n",
            entries.display()
        );
        let url = format!("http://127.0.0.1:{port}");
        let vcdn = format!(
            "[[fronts]]\nname = \"cdn\"\nupstream = \"streaming\"\n[host]\nlisten = \"127.0.0.1:0\"\nrouter = \"{url}\"\n"
        );
        let start = |binary: &str, config: &Path| {
            let log = std::fs::File::create(folder.join(format!("{binary}.log"))).expect("scratch is writable");
            Process::start(Command::new(program(binary)).arg(config).stderr(log))
        };
        let processes =
            vec![start("flame-router", &write("router.toml", router)), start("flame-vcdn", &write("vcdn.toml", vcdn))];
        Self { name, router: url, _processes: processes, _folder: folder }
    }

    /// How many requests for an asset its surrogate has answered.
    async fn answered(&self, asset: &str) -> u64 {
        let stats = reqwest::get(format!("{}/~vcdn/stats", self.router)).await.expect("the surrogate answers");
        let stats: Value = stats.json().await.expect("JSON");
        let of_asset = |figures: &&Value| figures["asset"] == asset;
        let figures = stats["assets"].as_array().expect("a list").iter().find(of_asset);
        let count = |figures: &Value| {
            let of = ["hits", "misses", "collapsed", "stale", "passed"];
            of.map(|kind| figures[kind].as_u64().expect("a number")).iter().sum::<u64>()
        };
        figures.map_or(0, count)
    }
}

// === impl World ===

impl World {
    /// Everything runs, and somebody publishes.
    async fn start() -> Self {
        let [east, west] = ports::free_tcp();
        let folder = Scratch::new("steering");
        let mut file = format!(
            "[steering]\nttl = \"{}s\"\nevery = \"500ms\"\nwindow = \"2s\"\nconfirm = \"1s\"\nhold = \"10min\"\n",
            TTL.as_secs()
        );
        for (site, port) in [("east", east), ("west", west)] {
            let base = format!("http://127.0.0.1:{port}/~cdn/");
            write!(
                file,
                "[[steering.pathways]]\nsite = \"{site}\"\nbase = \"{base}\"\ncapacity_mbps = {CAPACITY_MBPS}\n"
            )
            .expect("a string takes everything");
        }
        let path = folder.join("steering.toml");
        std::fs::write(&path, file).expect("scratch is writable");
        let bundle = Bundle::up_with(&["--steering", path.to_str().expect("a path in UTF-8")]).await;
        let endpoints: Value = bundle.json(&["endpoint", "list"]);
        let endpoints = endpoints["items"].as_array().or(endpoints.as_array()).expect("a list");
        let streaming =
            endpoints.iter().find(|endpoint| endpoint["name"] == "streaming.main").expect("it is registered");
        let address = streaming["address"].as_str().expect("an address");
        let sites = [Site::start("east", east, address), Site::start("west", west, address)];
        let created = bundle.json(&["channel", "create", "Live"]);
        let (id, key) = (created["id"].as_str().expect("an id"), created["key"].as_str().expect("a key"));
        let encoder = publish(&format!("rtmp://{}/live/{key}", door(&bundle)));
        let first = format!("PATHWAY-ID=\"{}\"\n", sites[0].name);
        for site in &sites {
            let url = format!("{}/~cdn/{id}/manifest.mpd", site.router);
            eventually(DEADLINE, || async {
                let status = reqwest::get(&url).await.map(|answer| answer.status());
                if status.as_ref().is_ok_and(|status| *status == 200) {
                    Ok(())
                } else {
                    Err(format!("{url}: {status:?}"))
                }
            })
            .await;
            let url = format!("{}/~cdn/{id}/index.m3u8", site.router);
            eventually(DEADLINE, || async {
                let text = reqwest::get(&url).await.expect("it answers").text().await.expect("text");
                // It was not there yet when streaming began to look.
                let tag = text.lines().find(|line| line.starts_with("#EXT-X-CONTENT-STEERING")).unwrap_or_default();
                if format!("{tag}\n").ends_with(&first) { Ok(()) } else { Err(text) }
            })
            .await;
        }
        Self { channel: id.to_owned(), bundle, sites, _encoder: encoder }
    }

    /// Something large to download at the first site.
    async fn weight(&self) -> Url {
        let folder = Scratch::new("weight");
        let clip = folder.join("noise.mp4");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args([
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=1280x720:rate=25:duration=4,noise=alls=60",
        ]);
        ffmpeg.args(["-c:v", "libx264", "-preset", "ultrafast", "-b:v", "8M", "-g", "50"]).arg(&clip);
        assert!(ffmpeg.status().expect("ffmpeg is installed").success());
        let clip = clip.to_str().expect("a path in UTF-8");
        let done: Value = self.bundle.json(&["ingest", "--chain", "none", clip]);
        let id = done[0]["id"].as_str().unwrap_or_else(|| panic!("no asset: {done:#}"));
        let playlist = Url::parse(&format!("{}/~cdn/{id}/index.m3u8", self.sites[0].router)).expect("a URL");
        let renditions = Renditions::fetch(&playlist).await.expect("it plays");
        let media = &renditions.variants[0].url;
        assert!(media.as_str().starts_with(&self.sites[0].router), "the first pathway is the first site: {media}");
        media.join("0.m4s").expect("a URL")
    }
}

fn publish(door: &str) -> Process {
    let mut encoder = Command::new("ffmpeg");
    encoder.args(["-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"]);
    encoder.args(["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
    encoder.args([
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-tune",
        "zerolatency",
        "-pix_fmt",
        "yuv420p",
        "-g",
        "60",
    ]);
    encoder.args(["-x264-params", "scenecut=0", "-c:a", "aac", "-t", "150", "-f", "flv", door]);
    Process::start(&mut encoder)
}

/// The address that the log says the RTMP door has.
fn door(bundle: &Bundle) -> String {
    let log = bundle.log();
    let line = log.lines().find(|line| line.contains("taking RTMP")).unwrap_or_else(|| panic!("no door in\n{log}"));
    let at = line.find("127.0.0.1:").unwrap_or_else(|| panic!("no address in {line}"));
    line[at..].chars().take_while(|letter| letter.is_ascii_digit() || ".:".contains(*letter)).collect()
}

// === impl Load ===

impl Load {
    /// Twice what a site can carry.
    fn start(url: Url) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let (began, mut bytes) = (Instant::now(), 0_u64);
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            while !stopped.load(Ordering::Relaxed) {
                tick.tick().await;
                let due_bytes = began.elapsed().as_millis() as u64 * u64::from(CAPACITY_MBPS) * 2 * 125;
                if bytes < due_bytes {
                    let answer = reqwest::get(url.clone()).await.expect("the surrogate answers");
                    bytes += answer.error_for_status().expect("it is there").bytes().await.expect("it is whole").len()
                        as u64;
                }
            }
            bytes
        });
        Self { stop, task }
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("it does not panic")
    }
}

/// What a player did: what it saw, how long it took to leave, and its requests at the first site from then on.
async fn steered(player: Player, file: &str, playing: u64) -> (Seen, Duration, u64) {
    let world = World::start().await;
    let [east, west] = &world.sites;
    let weight = world.weight().await;
    let url = format!("{}/~cdn/{}/{file}", east.router, world.channel);
    let (before_east, before_west) = (east.answered(&world.channel).await, west.answered(&world.channel).await);
    let watching =
        tokio::spawn(
            async move { browser::watch(player, &url, &Viewing { for_s: WATCHED_S, ..Viewing::default() }).await },
        );
    let requests = async |site: &Site, before: u64, least: u64| {
        eventually(DEADLINE, || async {
            let count = site.answered(&world.channel).await - before;
            if count >= least {
                Ok(count)
            } else {
                Err(format!("{count} requests at {}\n{}", site.name, world.bundle.log()))
            }
        })
        .await
    };
    // It plays, and that for some seconds.
    requests(east, before_east, playing).await;
    assert_eq!(west.answered(&world.channel).await, before_west, "nobody has a reason to be there");
    let (load, began) = (Load::start(weight), Instant::now());
    requests(west, before_west, 3).await;
    let took = began.elapsed();
    let at_move = east.answered(&world.channel).await;
    let seen = watching.await.expect("it does not panic").expect("the browser can be run");
    let later = east.answered(&world.channel).await - at_move;
    let bytes = load.stop().await;
    println!("{} left after {took:?}, {later} requests later, {bytes} bytes of load: {seen:?}", player.name());
    (seen, took, later)
}

fn judge((seen, took, later): (Seen, Duration, u64)) {
    assert!(seen.errors.is_empty() && seen.failed_requests.is_empty(), "{seen:?}");
    assert!(seen.stalls.is_empty(), "{seen:?}");
    assert!(seen.played_s >= f64::from(WATCHED_S) * 0.9, "{seen:?}");
    // Within one TTL of its being noticed; a second for the two requests by which it is seen.
    assert!(took <= NOTICE + TTL + Duration::from_secs(1), "it took {took:?}");
    assert!(later <= LEFTOVER, "it went back: {later} requests");
}

#[tokio::test]
async fn hls_js_leaves_an_overloaded_site_within_one_ttl_without_a_stall() {
    judge(steered(Player::HlsJs, "index.m3u8", 200).await);
}

#[tokio::test]
async fn dash_js_leaves_an_overloaded_site_within_one_ttl_without_a_stall() {
    judge(steered(Player::DashJs, "manifest.mpd", 20).await);
}

/// Players that go by no surrogate, or send their events to one place, tell streaming itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_players_tell_streaming_itself_moves_them_too() {
    const SESSION: &str = "0b6ae0f1-the-session-of-somebody";
    let world = World::start().await;
    let streaming = format!("{}/~streaming", world.bundle.router());
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let first = async || {
        let url = format!("{streaming}/{}/steering", world.channel);
        let manifest: Value = http.get(url).send().await.expect("it answers").json().await.expect("JSON");
        manifest["PATHWAY-PRIORITY"][0].as_str().expect("a pathway").to_owned()
    };
    assert_eq!(first().await, "east");
    // As many as watch, each from an address of its own, which the router tells; what one says over and over counts once.
    let viewers: Vec<(reqwest::Client, String)> = (2..22_u8)
        .map(|number| {
            let address = IpAddr::from([127, 0, 0, number]);
            let viewer = reqwest::Client::builder().no_proxy().local_address(address).build().expect("a client");
            let (channel, session) = (&world.channel, format!("{SESSION}-{number}"));
            (viewer, format!("bs,cdn=\"east\",cid=\"{channel}\",e=ps,sid=\"{session}\",sta=r,ts=1,v=2\n"))
        })
        .collect();
    let began = Instant::now();
    eventually(DEADLINE, || async {
        for (viewer, event) in &viewers {
            let told = viewer.post(format!("{streaming}/cmcd")).header("content-type", "application/cmcd");
            let told = told.body(event.clone()).send().await.expect("it answers");
            assert_eq!(told.status(), 204);
        }
        let first = first().await;
        if first == "west" { Ok(()) } else { Err(first) }
    })
    .await;
    println!("moved after {:?}", began.elapsed());
    assert!(!world.bundle.log().contains(SESSION), "who watches is in no log");
}

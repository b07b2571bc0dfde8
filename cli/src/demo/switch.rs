//! Scenario `switch`: instances that are killed, hang, are drained or stand by while requests come, with switching and without.
//!
//! Two routers in this process: one as it is delivered, one that repeats nothing. Behind each stand instances that are
//! processes of their own; the faults are signals. The same requests go through both. On machines (`--netns`) the routers are
//! at the viewers' and each instance has one of its own; there a link is cut, too.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use flame_api::Client;
use flame_api::router::EndpointState;
use flame_router::Config;
use flame_service_host::config::Span;
use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::indirection::{PATIENCE, POLL, ms};
use super::instance::BEGINNING_BYTES;
use super::place::{Credentials, Part, Place};
use super::stage::Stage;
use super::tour::{Bound, Broken, Tour, Verified};

/// Bytes of the object, from the clip's beginning.
const OBJECT_BYTES: usize = 1 << 20;
/// A small request comes so often, and a large one.
const SMALL_EVERY: Duration = Duration::from_millis(10);
const LARGE_EVERY: Duration = Duration::from_millis(150);
/// How long requests come, and after how much of it the fault comes.
const SPAN: Duration = Duration::from_millis(2500);
const BEFORE: Duration = Duration::from_millis(700);
/// How long a client waits: long, for what is counted is what never comes.
const CLIENT_PATIENCE: Duration = Duration::from_secs(20);
/// How long the router that repeats nothing waits for an instance.
const ROUTER_PATIENCE: Duration = Duration::from_secs(2);

/// What the instances stand behind.
const NAME: &str = "media";
/// Where the viewers and the routers are, and where the instances.
pub const MACHINES: [&str; 3] = ["edge", "one", "two"];

/// What happens to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It is killed with -9.
    Killed,
    /// It is stopped, and its connections stay.
    Hung,
    /// Nothing reaches its machine any more.
    Unplugged,
}

/// A router, and a client of it.
struct Site {
    place: Place,
    router: Part,
    client: Client,
    credentials: Credentials,
    object: PathBuf,
}

/// An instance in a process of its own.
struct Instance {
    child: Child,
    machine: &'static str,
    address: SocketAddr,
    /// What it is registered as.
    id: String,
}

/// What requests gave.
#[derive(Default)]
struct Series {
    took: Vec<Duration>,
    failed: usize,
    bodies: usize,
    bodies_failed: usize,
    /// Why those that failed did.
    reasons: BTreeMap<String, usize>,
}

pub async fn perform(tour: &mut Tour, stage: &mut Stage, clip: &Path, place: &Place) -> Result<(), Broken> {
    let object = tour.step("object", super::beginning(clip, OBJECT_BYTES)).await?;
    let off = tour.step("router, off", Site::start(place, stage, &object, false)).await?;
    let on = tour.step("router, on", Site::start(place, stage, &object, true)).await?;
    let object = Arc::new(object);

    let plain = tour.step("killed, off", off.fault(&object, Fault::Killed)).await?;
    let switched = tour.step("killed, on", on.fault(&object, Fault::Killed)).await?;
    tour.figure("killed_failed_without", count(plain.failed + plain.bodies_failed), "requests", None).await?;
    none_failed(tour, "killed_failed_with", &switched).await?;
    tour.figure("killed_delay_added_without", plain.delay_ms(), "ms", None).await?;
    tour.figure("killed_delay_added_with", switched.delay_ms(), "ms", None).await?;

    let plain = tour.step("hung, off", off.fault(&object, Fault::Hung)).await?;
    let switched = tour.step("hung, on", on.fault(&object, Fault::Hung)).await?;
    tour.figure("hung_failed_without", count(plain.failed + plain.bodies_failed), "requests", None).await?;
    none_failed(tour, "hung_failed_with", &switched).await?;
    tour.figure("hung_delay_added_without", plain.delay_ms(), "ms", None).await?;
    tour.figure("hung_delay_added_with", switched.delay_ms(), "ms", None).await?;

    if place.network().is_some() {
        let plain = tour.step("unplugged, off", off.fault(&object, Fault::Unplugged)).await?;
        let switched = tour.step("unplugged, on", on.fault(&object, Fault::Unplugged)).await?;
        tour.figure("unplugged_failed_without", count(plain.failed + plain.bodies_failed), "requests", None).await?;
        none_failed(tour, "unplugged_failed_with", &switched).await?;
        tour.figure("unplugged_delay_added_without", plain.delay_ms(), "ms", None).await?;
        tour.figure("unplugged_delay_added_with", switched.delay_ms(), "ms", None).await?;
    }

    let (planned, took) = tour.step("planned", on.planned(&object)).await?;
    none_failed(tour, "planned_failed", &planned).await?;
    tour.figure("planned_delay_added", planned.delay_ms(), "ms", None).await?;
    tour.figure("planned_switch", ms(took), "ms", None).await?;

    let started = tour.step("standby, off", off.started_when_needed()).await?;
    let connected = tour.step("standby, on", on.connected()).await?;
    tour.figure("first_answer_without", ms(started), "ms", None).await?;
    tour.figure("first_answer_with", ms(connected), "ms", None).await?;
    off.router.stop().await;
    on.router.stop().await;
    tour.close_with(format!("  {}; bench/ measures beside HAProxy and nginx", place.links()));
    Ok(())
}

async fn none_failed(tour: &mut Tour, name: &'static str, series: &Series) -> Result<(), Broken> {
    tour.figure(name, count(series.failed + series.bodies_failed), "requests", Some(Bound::AtMost(0.0))).await
}

fn count(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

// === impl Site ===

impl Site {
    async fn start(place: &Place, stage: &Stage, object: &[u8], switches: bool) -> anyhow::Result<Verified<Self>> {
        let (path, word) = (stage.path("object"), if switches { "on" } else { "off" });
        tokio::fs::write(&path, object).await.with_context(|| format!("write {}", path.display()))?;
        let (machine, credentials) = (MACHINES[0], place.credentials(&stage.path(word))?);
        let mut config = Config { host: credentials.host((place.ip(machine)?, 0).into()), ..Config::default() };
        if !switches {
            // Nothing is asked twice: neither what broke, nor what is late, nor the rest of a body.
            (config.upstream.attempts, config.upstream.repeat_burst, config.search.enabled) = (1, 0, false);
            let patience = Span(ROUTER_PATIENCE);
            (config.upstream.answer_timeout, config.upstream.body_idle_timeout) = (patience, patience);
        }
        let router = place.router(machine, config).await?;
        let client = Client::new(format!("http://{}", router.address).parse()?, credentials.token.clone());
        let how = if switches { "as it is delivered" } else { "which repeats nothing" };
        let detail = format!("at {}, {how}; {}", router.address, place.links());
        Ok(Verified(Self { place: place.clone(), router, client, credentials, object: path }, detail))
    }

    /// Starts an instance on a machine, and waits until the router knows it.
    async fn instance(&self, machine: &'static str, booted: bool) -> anyhow::Result<Instance> {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = match self.place.network() {
            Some(network) => Command::from(network.command(machine, program)),
            None => Command::new(program),
        };
        command.arg("demo-instance").arg("--object").arg(&self.object).args(["--name", NAME]);
        command.args(["--router", self.client.router().as_str()]);
        command.args(["--listen", &SocketAddr::from((self.place.ip(machine)?, 0)).to_string()]);
        if let Some(keys) = self.credentials.keys() {
            command.arg("--keys").arg(keys);
        }
        if let Some(token) = &self.credentials.token {
            command.env("FLAME_TOKEN", token);
        }
        if booted {
            command.arg("--booted");
        }
        let mut child = command
            // Ends with this process, however that ends.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("start an instance")?;
        let stdout = child.stdout.take().context("an instance says where it listens")?;
        let line = BufReader::new(stdout).lines().next_line().await?.context("the instance ended at its start")?;
        let (address, began) = (line.parse().context("an instance says where it listens")?, Instant::now());
        loop {
            let known = self.client.endpoints().await?.items;
            if let Some(it) = known.into_iter().find(|one| one.address == address) {
                return Ok(Instance { child, machine, address, id: it.endpoint });
            }
            ensure!(began.elapsed() < PATIENCE, "the instance at {address} did not register");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Requests while a fault befalls one of two instances: the one that they go to.
    async fn fault(&self, object: &Arc<Vec<u8>>, fault: Fault) -> anyhow::Result<Verified<Series>> {
        let [_, one, two] = MACHINES;
        let instances = [self.instance(one, false).await?, self.instance(two, false).await?];
        let load = tokio::spawn(load(self.client.clone(), Arc::clone(object)));
        tokio::time::sleep(BEFORE).await;
        let chosen = self.chosen().await?;
        let hit = instances.iter().find(|one| one.address == chosen).context("requests go to neither of both")?;
        match fault {
            Fault::Killed => hit.signal(Signal::KILL)?,
            Fault::Hung => hit.signal(Signal::STOP)?,
            Fault::Unplugged => self.drop_percent(hit, 100.0)?,
        }
        let series = load.await??;
        if fault == Fault::Unplugged {
            self.drop_percent(hit, 0.0)?;
        }
        for instance in instances {
            self.gone(instance).await?;
        }
        let detail = format!("{} one of two: {}", fault.told(), series.told());
        Ok(Verified(series, detail))
    }

    /// Lets so much of what is sent to an instance's machine not arrive.
    fn drop_percent(&self, instance: &Instance, percent: f64) -> anyhow::Result<()> {
        let network = self.place.network().context("on loopback no link can be cut")?;
        network.lose(instance.machine, percent).context("cut a link")
    }

    /// Requests while the instance that they go to is drained; and the time from the word to the first request elsewhere.
    async fn planned(&self, object: &Arc<Vec<u8>>) -> anyhow::Result<Verified<(Series, Duration)>> {
        let [_, one, two] = MACHINES;
        let instances = [self.instance(one, false).await?, self.instance(two, true).await?];
        let load = tokio::spawn(load(self.client.clone(), Arc::clone(object)));
        tokio::time::sleep(BEFORE).await;
        let (old, new) = (&instances[0].id, &instances[1].id);
        let began = Instant::now();
        ensure!(self.client.connect(NAME, new).await?, "the standby is not there");
        ensure!(self.client.drain(NAME, old).await?, "the instance is not there");
        let took = began.elapsed();
        ensure!(self.chosen().await? == instances[1].address, "a drained instance still gets requests");
        let series = load.await??;
        for instance in instances {
            self.gone(instance).await?;
        }
        let detail = format!("a standby connected, the other drained within {:.1} ms: {}", ms(took), series.told());
        Ok(Verified((series, took), detail))
    }

    /// The time from the word to the first answer of a standby.
    async fn connected(&self) -> anyhow::Result<Verified<Duration>> {
        let standby = self.instance(MACHINES[1], true).await?;
        let before = self.ask().await?;
        ensure!(before == StatusCode::SERVICE_UNAVAILABLE, "a standby that nobody connected answered {before}");
        let began = Instant::now();
        ensure!(self.client.connect(NAME, &standby.id).await?, "the standby is not there");
        let took = self.answered(began).await?;
        self.gone(standby).await?;
        Ok(Verified(took, format!("booted, then connected: its first answer after {:.1} ms", ms(took))))
    }

    /// The same without one: an instance is started when it is needed.
    async fn started_when_needed(&self) -> anyhow::Result<Verified<Duration>> {
        let began = Instant::now();
        let instance = self.instance(MACHINES[1], false).await?;
        let took = self.answered(began).await?;
        self.gone(instance).await?;
        Ok(Verified(took, format!("started when needed: its first answer after {:.1} ms", ms(took))))
    }

    async fn answered(&self, began: Instant) -> anyhow::Result<Duration> {
        while self.ask().await? != StatusCode::OK {
            ensure!(began.elapsed() < PATIENCE, "nobody answered");
        }
        Ok(began.elapsed())
    }

    async fn ask(&self) -> anyhow::Result<StatusCode> {
        let answer = self.client.request(Method::GET, NAME, "beginning").timeout(CLIENT_PATIENCE).send().await?;
        let status = answer.status();
        answer.bytes().await?;
        Ok(status)
    }

    /// Where requests go.
    async fn chosen(&self) -> anyhow::Result<SocketAddr> {
        let explained = self.client.explain(&format!("/~{NAME}/beginning"), None).await?;
        let chosen = explained.and_then(|explained| explained.chosen).context("requests go nowhere")?;
        Ok(chosen.address)
    }

    /// Ends an instance, and has the router forget it: the next step begins with nobody.
    async fn gone(&self, mut instance: Instance) -> anyhow::Result<()> {
        instance.child.kill().await.context("end an instance")?;
        // One that could not renew its lease may be gone already.
        self.client.deregister(NAME, &instance.id).await?;
        let left = self.client.endpoints().await?.items;
        let is_left = left.iter().any(|one| one.endpoint == instance.id && one.state != EndpointState::Connected);
        ensure!(!is_left, "{} is still there", instance.id);
        Ok(())
    }
}

/// Small and large requests for `SPAN`.
async fn load(client: Client, object: Arc<Vec<u8>>) -> anyhow::Result<Series> {
    let (mut small, mut large) = (JoinSet::new(), JoinSet::new());
    let (mut ticks, mut body_ticks) = (tokio::time::interval(SMALL_EVERY), tokio::time::interval(LARGE_EVERY));
    let began = Instant::now();
    while began.elapsed() < SPAN {
        tokio::select! {
            _ = ticks.tick() => drop(small.spawn(get(client.clone(), "beginning", Arc::clone(&object)))),
            _ = body_ticks.tick() => drop(large.spawn(get(client.clone(), "object", Arc::clone(&object)))),
        }
    }
    let mut series = Series::default();
    while let Some(ended) = small.join_next().await {
        let (outcome, took) = ended?;
        series.failed += series.noted(outcome);
        series.took.push(took);
    }
    while let Some(ended) = large.join_next().await {
        let (outcome, _) = ended?;
        series.bodies += 1;
        series.bodies_failed += series.noted(outcome);
    }
    series.took.sort_unstable();
    ensure!(!series.took.is_empty() && series.bodies > 0, "no request was sent");
    Ok(series)
}

/// Whether the answer came whole and right (or what came instead), and after how long.
async fn get(client: Client, path: &'static str, object: Arc<Vec<u8>>) -> (Result<(), String>, Duration) {
    let wanted = if path == "object" { &object[..] } else { &object[..object.len().min(BEGINNING_BYTES)] };
    let began = Instant::now();
    let answer = client.request(Method::GET, NAME, path).timeout(CLIENT_PATIENCE).send().await;
    let outcome = match answer {
        Ok(answer) if answer.status() == StatusCode::OK => match answer.bytes().await {
            Ok(body) if body == wanted => Ok(()),
            Ok(_) => Err("other bytes".to_owned()),
            Err(_) => Err("broken off".to_owned()),
        },
        Ok(answer) => Err(answer.status().as_u16().to_string()),
        Err(error) if error.is_timeout() => Err("no answer".to_owned()),
        Err(_) => Err("no connection".to_owned()),
    };
    (outcome, began.elapsed())
}

// === impl Fault ===

impl Fault {
    fn told(self) -> &'static str {
        match self {
            Self::Killed => "kill -9 of",
            Self::Hung => "SIGSTOP of",
            Self::Unplugged => "the link cut of",
        }
    }
}

// === impl Instance ===

impl Instance {
    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(pid.context("the instance has ended")?, signal).context("signal an instance")
    }
}

// === impl Series ===

impl Series {
    /// Counts what failed.
    fn noted(&mut self, outcome: Result<(), String>) -> usize {
        let Err(reason) = outcome else { return 0 };
        *self.reasons.entry(reason).or_default() += 1;
        1
    }

    fn worst_ms(&self) -> f64 {
        self.took.last().copied().map_or(0.0, ms)
    }

    /// What the worst request took longer than an ordinary one.
    fn delay_ms(&self) -> f64 {
        self.worst_ms() - self.took.get(self.took.len() / 2).copied().map_or(0.0, ms)
    }

    fn told(&self) -> String {
        let (requests, bodies, worst_ms) = (self.took.len(), self.bodies, self.worst_ms());
        let reasons: Vec<_> = self.reasons.iter().map(|(reason, count)| format!("{count} × {reason}")).collect();
        let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
        format!(
            "{} of {requests} requests and {} of {bodies} bodies of 1 MiB failed{why}, the slowest request took {worst_ms:.1} ms",
            self.failed, self.bodies_failed
        )
    }
}

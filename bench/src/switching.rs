//! Endpoints that are killed, hang, are exchanged, or break off in the middle of a body: what clients of the router notice
//! of it, beside nginx and HAProxy in front of the same endpoints.

mod client;
pub mod endpoint;
mod stage;
mod steady;
mod told;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::report::{Figure, Row, Section};
use crate::samples::{Bound, Samples};
use crate::{Options, machine, proxies};
use stage::{NAMES, SIDES, Side, Stage};
use steady::Timeline;

/// The body that is asked for at a steady rate.
const SMALL_BYTES: u64 = 1 << 10;
/// The body that is broken off.
const LARGE_BYTES: u64 = 4 << 20;
/// How many of those are on their way when it happens.
const LARGE_CLIENTS: usize = 16;
/// When: they take 420 ms.
const LARGE_BROKEN_AFTER: Duration = Duration::from_millis(210);
/// More than a large body takes behind any door.
const LARGE_PATIENCE: Duration = Duration::from_secs(20);
/// Load before something happens.
const BEFORE: Duration = Duration::from_secs(1);
/// Load after a kill, and while an endpoint hangs.
const AFTER_KILL: Duration = Duration::from_millis(1500);
const AFTER_STOP: Duration = Duration::from_secs(3);
/// Planned switches in one run, and the time between two.
const SWITCHES: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(200);
/// What is looked at before and after a switch.
const AROUND: Duration = Duration::from_millis(100);

/// What one side gave.
#[derive(Debug, Default)]
struct Seen {
    undisturbed_ms: Samples,
    killed_failed: Samples,
    killed_ms: Samples,
    hung_failed: Samples,
    hung_ms: Samples,
    hung_p99_ms: Samples,
    planned_failed: Samples,
    planned_ms: Samples,
    connected_ms: Samples,
    broken: Samples,
    broken_failed: Samples,
    broken_pause_ms: Samples,
}

/// Measures it.
pub async fn measure(options: &Options) -> Result<Section> {
    let versions = [
        machine::version("nginx", "-v", proxies::NGINX_PACKAGE).await?,
        machine::version("haproxy", "-v", proxies::HAPROXY_PACKAGE).await?,
    ];
    let workshop = options.workshop()?;
    let mut all = [Seen::default(), Seen::default(), Seen::default()];
    let (mut told_ms, mut told_worst_ms) = (Samples::default(), Samples::default());
    for _ in 0..options.rounds {
        for (side, seen) in SIDES.into_iter().zip(&mut all) {
            let folder = workshop.path();
            seen.killed(folder, side).await?;
            seen.hung(folder, side).await?;
            seen.planned(folder, side).await?;
            seen.broken(folder, side).await?;
        }
        let took_ms = told::measure(workshop.path()).await?;
        told_ms.add(took_ms.median());
        told_worst_ms.add(took_ms.max());
    }
    let mut figures = figures(&all[0]);
    figures.push(Figure {
        what: "a change at one site's router served by another's (median)".to_owned(),
        value: told_ms.median(),
        unit: "ms",
        bound: Some(Bound::AtMost(5.0)),
    });
    let mut rows: Vec<Row> = SIDES.into_iter().zip(all).flat_map(|(side, seen)| seen.rows(side.name())).collect();
    let told = [("median", told_ms), ("worst", told_worst_ms)];
    rows.extend(told.map(|(which, samples)| Row {
        what: format!("registered at one site, served at another, {which} of a run: flame-router"),
        unit: "ms",
        samples,
    }));
    Ok(Section {
        name: "switching",
        title: format!("{} GET/s of 1 KiB while one of two endpoints fails or leaves", steady::PER_S),
        rows,
        figures,
        notes: notes(&versions),
        commands: vec!["bench/run switching".to_owned()],
    })
}

fn figures(ours: &Seen) -> Vec<Figure> {
    let figure = |what: &str, value: f64, unit: &'static str, bound: f64| Figure {
        what: what.to_owned(),
        value,
        unit,
        bound: Some(Bound::AtMost(bound)),
    };
    vec![
        figure("killed -9: failed (worst)", ours.killed_failed.max(), "requests", 0.0),
        figure("killed -9: worst added delay (median)", ours.killed_ms.median(), "ms", 5.0),
        figure("hung: failed (worst)", ours.hung_failed.max(), "requests", 0.0),
        figure("hung: worst added delay (median)", ours.hung_ms.median(), "ms", 100.0),
        figure("hung: p99 (median)", ours.hung_p99_ms.median(), "ms", 30.0),
        figure("planned: failed (worst)", ours.planned_failed.max(), "requests", 0.0),
        figure("planned: delay added by a switch (median)", ours.planned_ms.median(), "ms", 1.0),
        figure("standby connected to serving (median)", ours.connected_ms.median(), "ms", 20.0),
        figure("4 MiB broken off in the middle: failed (worst)", ours.broken_failed.max(), "bodies", 0.0),
    ]
}

fn notes(versions: &[String]) -> Vec<String> {
    vec![
        "Endpoints are processes of their own (`flame-bench endpoint`); requests have their times whatever became of earlier ones, and delays count from those times. Every byte is compared. Everything on one machine, over loopback: whatever else takes a processor for a moment is in these numbers.".to_owned(),
        "Added delay: the slowest after it happened, less the median of the second before. `undisturbed`: the slowest of that second, less its median, when nothing has happened.".to_owned(),
        format!("Planned: {SWITCHES} a run; the slowest of the {} ms after each less the slowest of as long before, the median of all. Connected to serving: from the call until the first answer of that endpoint was read, among requests every 2 ms.", AROUND.as_millis()),
        format!("Broken off: {LARGE_CLIENTS} bodies, paced to 10 MB/s, one endpoint killed -9 in their middle. `under way`: how many of them that endpoint was sending."),
        "Registered at one site, served at another: from the call of the registration until an answer of that endpoint was read at the other site's router, which is asked without a pause; 50 a run.".to_owned(),
        format!("nginx: proxy_next_upstream error timeout, {0} s; max_fails=1. HAProxy: {0} s, retries 3, redispatch at once, retry-on all-retryable-errors, checks every 500 ms. nginx switches with SIGHUP, HAProxy by its socket, the router by its API.", proxies::TIMEOUT_S),
        format!("Peers: {}.", versions.join("; ")),
    ]
}

// === impl Seen ===

impl Seen {
    async fn killed(&mut self, folder: &Path, side: Side) -> Result<()> {
        let mut stage = Stage::start(folder, side).await?;
        let asked = stage.asked(&endpoint::bytes(0..SMALL_BYTES));
        let (timeline, when) = steady::run(asked, BEFORE + AFTER_KILL, async {
            sleep(BEFORE).await;
            let victim = stage.next().await?;
            let when = Instant::now();
            stage.endpoints[victim].child.start_kill()?;
            Ok(when)
        })
        .await?;
        stage.stop().await?;
        self.killed_failed.add(failed(&timeline, side, "killed")?);
        let (median, _) = calm(&timeline, when)?;
        self.killed_ms.add(timeline.delays_ms(when, timeline.ended()?).max() - median);
        Ok(())
    }

    async fn hung(&mut self, folder: &Path, side: Side) -> Result<()> {
        let stage = Stage::start(folder, side).await?;
        let asked = stage.asked(&endpoint::bytes(0..SMALL_BYTES));
        let (timeline, when) = steady::run(asked, BEFORE + AFTER_STOP, async {
            sleep(BEFORE).await;
            let victim = stage.next().await?;
            let pid = stage.endpoints[victim].child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
            let Some(pid) = pid else { bail!("an endpoint ended by itself") };
            let when = Instant::now();
            kill_process(pid, Signal::STOP)?;
            Ok(when)
        })
        .await?;
        stage.stop().await?;
        self.hung_failed.add(failed(&timeline, side, "hung")?);
        let (median, worst) = calm(&timeline, when)?;
        self.undisturbed_ms.add(worst - median);
        let delays = timeline.delays_ms(when, timeline.ended()?);
        self.hung_ms.add(delays.max() - median);
        self.hung_p99_ms.add(delays.percentile(99));
        Ok(())
    }

    async fn planned(&mut self, folder: &Path, side: Side) -> Result<()> {
        let stage = Stage::start(folder, side).await?;
        // The second one is the standby.
        stage.turn_to(0).await?;
        let asked = stage.asked(&endpoint::bytes(0..SMALL_BYTES));
        let span = BEFORE + BETWEEN * (SWITCHES + 1);
        let (timeline, switches) = steady::run(asked, span, async {
            sleep(BEFORE).await;
            let mut switches = Vec::new();
            for number in 1..=SWITCHES {
                let to = usize::try_from(number % 2)?;
                switches.push((to, stage.turn_to(to).await?));
                sleep(BETWEEN).await;
            }
            Ok(switches)
        })
        .await?;
        stage.stop().await?;
        self.planned_failed.add(failed(&timeline, side, "planned")?);
        let mut added = Samples::default();
        for (to, said) in switches {
            let before = timeline.delays_ms(said - AROUND, said);
            let after = timeline.delays_ms(said, said + AROUND);
            added.add(after.max() - before.max());
            if let Some(first) = timeline.first_of(NAMES[to], said) {
                self.connected_ms.add((first - said).as_secs_f64() * 1000.0);
            }
        }
        self.planned_ms.add(added.median());
        Ok(())
    }

    async fn broken(&mut self, folder: &Path, side: Side) -> Result<()> {
        let mut stage = Stage::start(folder, side).await?;
        let (port, path, body) = stage.asked(&endpoint::bytes(0..LARGE_BYTES));
        let body: std::sync::Arc<[u8]> = body.into();
        let mut clients = JoinSet::new();
        for _ in 0..LARGE_CLIENTS {
            let (path, body) = (path.clone(), std::sync::Arc::clone(&body));
            clients.spawn(async move {
                let asked = async {
                    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
                    Ok::<_, anyhow::Error>(client::ask(&mut stream, &path, &body).await?)
                };
                timeout(LARGE_PATIENCE, asked).await.map_err(anyhow::Error::from).flatten()
            });
        }
        sleep(LARGE_BROKEN_AFTER).await;
        stage.endpoints[0].child.start_kill()?;
        let answers = clients.join_all().await;
        stage.stop().await?;
        let (whole, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        let whole: Vec<_> = whole.into_iter().flatten().collect();
        let resumed = whole.iter().filter(|answer| answer.who == NAMES[0]).count();
        let under_way = resumed + lost.len();
        if under_way == 0 {
            bail!("{}: the endpoint that was killed was sending nothing", side.name());
        }
        if let (Side::Flame, Some(Err(error))) = (side, lost.first()) {
            eprintln!("flame-bench: broken off: {error:#}");
        }
        self.broken.add(f64::from(u32::try_from(under_way)?));
        self.broken_failed.add(f64::from(u32::try_from(lost.len())?));
        let pause = whole.iter().map(|answer| answer.pause).max().unwrap_or_default();
        self.broken_pause_ms.add(pause.as_secs_f64() * 1000.0);
        Ok(())
    }

    fn rows(self, side: &str) -> Vec<Row> {
        let rows = [
            ("undisturbed, worst added delay", "ms", self.undisturbed_ms),
            ("killed -9, failed", "requests", self.killed_failed),
            ("killed -9, worst added delay", "ms", self.killed_ms),
            ("hung, failed", "requests", self.hung_failed),
            ("hung, worst added delay", "ms", self.hung_ms),
            ("hung, p99", "ms", self.hung_p99_ms),
            ("planned switch, failed", "requests", self.planned_failed),
            ("planned switch, delay added", "ms", self.planned_ms),
            ("standby connected to serving", "ms", self.connected_ms),
            ("4 MiB broken off, under way", "bodies", self.broken),
            ("4 MiB broken off, failed", "bodies", self.broken_failed),
            ("4 MiB broken off, longest pause of a whole one", "ms", self.broken_pause_ms),
        ];
        rows.map(|(what, unit, samples)| Row { what: format!("{what}: {side}"), unit, samples }).into()
    }
}

/// How many requests failed; ours says why.
fn failed(timeline: &Timeline, side: Side, what: &str) -> Result<f64> {
    let (count, why) = timeline.failed();
    if let (Side::Flame, Some(why)) = (side, why) {
        eprintln!("flame-bench: {what}: {count} failed: {why}");
    }
    Ok(f64::from(count))
}

/// Median and worst delay before something happened, milliseconds: without the first tenth, in which the first connections
/// are opened, and without the last, whose requests may still be under way when it happens.
fn calm(timeline: &Timeline, when: Instant) -> Result<(f64, f64)> {
    let delays = timeline.delays_ms(timeline.began()? + BEFORE / 10, when - BEFORE / 10);
    Ok((delays.median(), delays.max()))
}

//! The surrogate beside nginx and Varnish: hits of three sizes, and many clients at once on a cold object.
//!
//! All three stand in front of the same origin and keep in memory (nginx: in the page cache). Ours asks through a router,
//! as it always does.

mod chain;
mod herd;
mod origin;
mod peers;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::load::{self, Load};
use crate::paced::{self, Paced};
use crate::peer::Peer;
use crate::report::{Figure, Row, Section};
use crate::samples::{Bound, Samples};
use crate::{Options, machine};
use herd::Herd;
use origin::Origin;
use peers::{Flame, Peers};

/// Sizes of the objects that are hit, and how many times the better peer's rate ours has to be.
const HITS: [(&str, u64, f64); 3] = [("1 KiB", 1 << 10, 1.3), ("64 KiB", 64 << 10, 1.1), ("1 MiB", 1 << 20, 1.3)];
/// Connections that ask for it, and for how long.
const CONNECTIONS: u32 = 32;
const SECONDS: u32 = 3;
/// The same rate for all: what the slowest of them can do with room to spare.
const PACED: Paced = Paced { connections: CONNECTIONS, each_per_s: 625, seconds: SECONDS };
/// The object that is asked for so.
const PACED_BYTES: u64 = 1 << 10;
/// The cold object, and those who want it.
const COLD_BYTES: u64 = 4 << 20;
const COLD_CLIENTS: usize = 500;
/// How the origin of the cold object is.
const COLD_DELAY: Duration = Duration::from_millis(50);
const COLD_BYTES_PER_S: u64 = 20_000_000;
/// First byte of the cold object, milliseconds.
const COLD_FIRST_MAX_MS: f64 = 80.0;
/// The names of the sides, ours first.
const SIDES: [&str; 3] = ["flame-vcdn", "nginx proxy_cache", "Varnish"];

/// What one side gave.
#[derive(Debug, Default)]
struct Side {
    rate: Samples,
    p99_ms: Samples,
    processor_us: Samples,
}

/// What one side gave with the cold object.
#[derive(Debug, Default)]
struct Cold {
    first_ms: Samples,
    last_ms: Samples,
    fetches: Samples,
}

/// Measures it.
pub async fn measure(options: &Options) -> Result<Section> {
    let versions = [
        machine::version("nginx", "-v", peers::NGINX_PACKAGE).await?,
        machine::version("varnishd", "-V", peers::VARNISH_PACKAGE).await?,
        machine::version("wrk", "-v", load::PACKAGE).await?,
        machine::version("h2load", "--version", paced::PACKAGE).await?,
    ];
    let workshop = options.workshop()?;
    let origin = Origin::start().await?;
    let flame = Flame::start(workshop.path(), origin.port).await?;
    let peers = Peers::start(workshop.path(), origin.port).await?;
    let ports = [flame.port, peers.nginx.port, peers.varnish.port];
    let load = Load { connections: CONNECTIONS, seconds: SECONDS };

    let (mut rows, mut figures, mut commands) = (Vec::new(), Vec::new(), Vec::new());
    for (size, bytes, ratio) in HITS {
        let mut sides = [Side::default(), Side::default(), Side::default()];
        for round in 0..=options.rounds {
            for (side, (peer, name)) in
                sides.iter_mut().zip([&flame.vcdn, &peers.nginx, &peers.varnish].into_iter().zip(SIDES))
            {
                let before = origin.asked(&format!("/hit/{bytes}"));
                side.hit(load, peer, bytes, round > 0).await?;
                let fetched = origin.asked(&format!("/hit/{bytes}")) - before;
                // The first round fills the caches.
                ensure!(
                    round == 0 || fetched == 0,
                    "{name} fetched the object of {bytes} bytes again: it is not out of its cache"
                );
            }
        }
        let [ours, nginx, varnish] = &sides;
        let better = nginx.rate.median().max(varnish.rate.median());
        figures.push(Figure {
            what: format!("hit, {size}: rate / the better peer's (medians)"),
            value: ours.rate.median() / better,
            unit: "×",
            bound: Some(Bound::AtLeast(ratio)),
        });
        let lower = nginx.p99_ms.median().min(varnish.p99_ms.median());
        figures.push(Figure {
            what: format!("hit, {size}: p99 / the better peer's (medians)"),
            value: ours.p99_ms.median() / lower,
            unit: "×",
            bound: Some(Bound::AtMost(1.0)),
        });
        for (name, side) in SIDES.iter().zip(sides) {
            rows.push(Row { what: format!("hit, {size}, {name}"), unit: "req/s", samples: side.rate });
            rows.push(Row { what: format!("hit, {size}, {name}, p99"), unit: "ms", samples: side.p99_ms });
            let what = format!("hit, {size}, {name}, processor time of a request");
            rows.push(Row { what, unit: "µs", samples: side.processor_us });
        }
        commands.push(load.shown(ports[0], &format!("/hit/{bytes}")));
    }
    let (paced_rows, figure) = paced(options, workshop.path(), ports).await?;
    rows.extend(paced_rows);
    figures.push(figure);
    commands.push(PACED.shown(ports[0], &paced_path()));
    let mut cold = [Cold::default(), Cold::default(), Cold::default()];
    for round in 0..=options.rounds {
        for (number, (side, port)) in cold.iter_mut().zip(ports).enumerate() {
            let path = format!("/cold/{round}-{number}");
            let herd = Herd::run(port, &path, COLD_CLIENTS, COLD_BYTES).await?;
            if round > 0 {
                side.first_ms.add(herd.first_p50_ms);
                side.last_ms.add(herd.last_ms);
                side.fetches.add(f64::from(u32::try_from(origin.asked(&path))?));
            }
        }
    }
    cold_figures(&cold, &mut figures);
    for (name, side) in SIDES.iter().zip(cold) {
        let what = format!("cold 4 MiB, {COLD_CLIENTS} clients, {name}");
        rows.push(Row { what: format!("{what}, first byte p50"), unit: "ms", samples: side.first_ms });
        rows.push(Row { what: format!("{what}, last byte of all"), unit: "ms", samples: side.last_ms });
        rows.push(Row { what: format!("{what}, fetches"), unit: "requests", samples: side.fetches });
    }
    let chain = chain::measure(options, &flame, &peers, &origin).await?;
    rows.extend(chain.rows);
    figures.extend(chain.figures);
    commands.extend(chain.commands);
    flame.stop().await?;
    peers.stop().await?;
    Ok(section(rows, figures, commands, &versions))
}

// === impl Side ===

impl Side {
    async fn hit(&mut self, load: Load, peer: &Peer, bytes: u64, counts: bool) -> Result<()> {
        let path = format!("/hit/{bytes}");
        let before_s = peer.server.processor_s()?;
        let heard = load.run(peer.port, &path).await?;
        let spent_s = peer.server.processor_s()? - before_s;
        if counts {
            self.rate.add(heard.rate);
            self.p99_ms.add(heard.p99_ms);
            self.processor_us.add(spent_s * 1e6 / heard.answers);
        }
        Ok(())
    }
}

/// Hits of a small object at one rate for all.
async fn paced(options: &Options, folder: &Path, ports: [u16; 3]) -> Result<(Vec<Row>, Figure)> {
    let mut sides = [Samples::default(), Samples::default(), Samples::default()];
    for round in 0..=options.rounds {
        for (p99_ms, port) in sides.iter_mut().zip(ports) {
            let heard = PACED.run(folder, port, &paced_path()).await?;
            if round > 0 {
                p99_ms.add(heard.p99_ms);
            }
        }
    }
    let what = format!("hit, 1 KiB, {} req/s", PACED.per_s());
    let figure = Figure {
        what: format!("{what}: p99 / the better peer's (medians)"),
        value: sides[0].median() / sides[1].median().min(sides[2].median()),
        unit: "×",
        bound: Some(Bound::AtMost(1.0)),
    };
    let row = |(name, samples)| Row { what: format!("{what}, {name}, p99"), unit: "ms", samples };
    Ok((SIDES.into_iter().zip(sides).map(row).collect(), figure))
}

fn paced_path() -> String {
    format!("/hit/{PACED_BYTES}")
}

fn cold_figures(cold: &[Cold; 3], figures: &mut Vec<Figure>) {
    let [ours, _, varnish] = cold;
    figures.push(Figure {
        what: "cold: fetches from the origin (worst)".to_owned(),
        value: ours.fetches.max(),
        unit: "requests",
        bound: Some(Bound::AtMost(1.0)),
    });
    figures.push(Figure {
        what: "cold: first byte, p50 of the clients (median)".to_owned(),
        value: ours.first_ms.median(),
        unit: "ms",
        bound: Some(Bound::AtMost(COLD_FIRST_MAX_MS)),
    });
    figures.push(Figure {
        what: "cold: last byte of all / Varnish's (medians)".to_owned(),
        value: ours.last_ms.median() / varnish.last_ms.median(),
        unit: "×",
        bound: Some(Bound::AtMost(1.0)),
    });
}

fn section(rows: Vec<Row>, figures: Vec<Figure>, commands: Vec<String>, versions: &[String]) -> Section {
    Section {
        name: "vcdn",
        title: format!("The edge: hits over {CONNECTIONS} connections, and a cold object"),
        rows,
        figures,
        notes: vec![
            "All on one machine, over loopback; the load generator shares the cores with the server under test.".to_owned(),
            "nginx: proxy_cache on disk (in the page cache), sendfile on, tcp_nopush off (with it on, 64 KiB falls to a fraction), access log off. Varnish: malloc storage. flame-vcdn: memory only, log level `warn`.".to_owned(),
            "End to end: a viewer asks the router, which asks the surrogate, which asks the origin through the router again; beside it nginx as a plain proxy in front of nginx's proxy cache.".to_owned(),
            format!("As fast as they are answered, whoever answers more keeps the generator busier, and both share the cores; at {} req/s, the same for all three, delays are of the same work.", PACED.per_s()),
            "Processor time is the cache's own, user and kernel, in steps of 10 ms for a run of seconds.".to_owned(),
            "Whatever is measured is out of the caches: no side asked the origin again (checked). flame-vcdn asks through a router, the others directly.".to_owned(),
            format!(
                "Cold: the origin waits {} ms, then sends {} MB/s; all clients connect first, then ask at once. The last byte is that of the slowest client.",
                COLD_DELAY.as_millis(),
                COLD_BYTES_PER_S / 1_000_000
            ),
            format!("Peers and load: {}.", versions.join("; ")),
        ],
        commands,
    }
}

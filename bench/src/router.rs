//! The router in the path: what it adds to an answer, and how many answers it passes on, beside HAProxy.
//!
//! Both stand in front of one nginx that serves files. The router does more (it chooses, measures, watches bodies, marks
//! what it passes on); it is not forgiven.

use std::path::Path;

use anyhow::Result;
use tokio::process::Command;

use crate::flame::free_port;
use crate::load::{self, Load};
use crate::peer::Peer;
use crate::process::Server;
use crate::proxies::{self, Haproxy};
use crate::report::{Figure, Row, Section};
use crate::router_process::Router;
use crate::samples::{Bound, Samples};
use crate::{Options, machine};

/// What is asked for.
const SIZES: [(&str, usize); 2] = [("1 KiB", 1 << 10), ("64 KiB", 64 << 10)];
/// Over how many connections at once.
const CONNECTIONS: [u32; 2] = [32, 1000];
/// One after the other: what is added is seen best where nobody waits for anybody.
const ALONE: Load = Load { connections: 1, seconds: 1 };
/// Seconds of each run.
const SECONDS: u32 = 2;
/// Promised share of HAProxy's rate; the aim is all of it.
const RATE_MIN: f64 = 1.0;
/// Promised delay added in the middle, microseconds.
const ADDED_MAX_US: f64 = 200.0;
/// The name that the origin stands behind.
const NAME: &str = "origin";

/// What one side gave.
#[derive(Debug, Default)]
struct Side {
    rate: Samples,
    p99_ms: Samples,
    processor_us: Samples,
}

/// Measures it.
pub async fn measure(options: &Options) -> Result<Section> {
    let versions = [
        machine::version("nginx", "-v", proxies::NGINX_PACKAGE).await?,
        machine::version("haproxy", "-v", proxies::HAPROXY_PACKAGE).await?,
        machine::version("wrk", "-v", load::PACKAGE).await?,
    ];
    let workshop = options.workshop()?;
    let origin = origin(workshop.path()).await?;
    let router = Router::start(workshop.path()).await?;
    router.register(NAME, "origin", origin.port).await?;
    let haproxy = Haproxy::start(workshop.path(), &[origin.port]).await?;
    let flame_path = |bytes: usize| format!("/~{NAME}/{bytes}");
    let plain_path = |bytes: usize| format!("/{bytes}");

    let (mut rows, mut figures, mut commands) = (Vec::new(), Vec::new(), Vec::new());
    for (size, bytes) in SIZES {
        let asked = [
            ("direct", origin.port, plain_path(bytes)),
            ("flame-router", router.peer.port, flame_path(bytes)),
            ("HAProxy", haproxy.peer.port, plain_path(bytes)),
        ];
        let mut p50_us = [Samples::default(), Samples::default(), Samples::default()];
        for round in 0..=options.rounds {
            for (samples, (_, port, path)) in p50_us.iter_mut().zip(&asked) {
                let heard = ALONE.run(*port, path).await?;
                if round > 0 {
                    samples.add(heard.p50_ms * 1000.0);
                }
            }
        }
        let [direct, through, _] = &p50_us;
        figures.push(Figure {
            what: format!("{size}: p50 added by the router (medians)"),
            value: through.median() - direct.median(),
            unit: "µs",
            bound: Some(Bound::AtMost(ADDED_MAX_US)),
        });
        for ((name, ..), samples) in asked.iter().zip(p50_us) {
            rows.push(Row { what: format!("{size}, 1 connection, {name}, p50"), unit: "µs", samples });
        }
    }
    for (size, bytes) in SIZES {
        for connections in CONNECTIONS {
            let load = Load { connections, seconds: SECONDS };
            let what = format!("{size}, {connections} connections");
            let mut sides = [Side::default(), Side::default()];
            for round in 0..=options.rounds {
                let asked = [(&router.peer, flame_path(bytes)), (&haproxy.peer, plain_path(bytes))];
                for (side, (peer, path)) in sides.iter_mut().zip(asked) {
                    side.run(load, &peer.server, peer.port, &path, round > 0).await?;
                }
            }
            let [ours, theirs] = &sides;
            figures.push(Figure {
                what: format!("{what}: rate / HAProxy's (medians)"),
                value: ours.rate.median() / theirs.rate.median(),
                unit: "×",
                bound: Some(Bound::AtLeast(RATE_MIN)),
            });
            figures.push(Figure {
                what: format!("{what}: p99 / HAProxy's (medians)"),
                value: ours.p99_ms.median() / theirs.p99_ms.median(),
                unit: "×",
                bound: None,
            });
            figures.push(Figure {
                what: format!("{what}: processor time of a request / HAProxy's (medians)"),
                value: ours.processor_us.median() / theirs.processor_us.median(),
                unit: "×",
                bound: None,
            });
            for (name, side) in ["flame-router", "HAProxy"].into_iter().zip(sides) {
                rows.push(Row { what: format!("{what}, {name}"), unit: "req/s", samples: side.rate });
                rows.push(Row { what: format!("{what}, {name}, p99"), unit: "ms", samples: side.p99_ms });
                let what = format!("{what}, {name}, processor time of a request");
                rows.push(Row { what, unit: "µs", samples: side.processor_us });
            }
            commands.push(load.shown(router.peer.port, &flame_path(bytes)));
        }
    }
    router.stop().await?;
    haproxy.peer.server.stop().await?;
    origin.server.stop().await?;
    Ok(Section {
        name: "router",
        title: "The router in the path, beside HAProxy, in front of one nginx that serves files".to_owned(),
        rows,
        figures,
        notes: vec![
            "All on one machine, over loopback; load, proxy and origin share the cores.".to_owned(),
            "p50 alone: one connection, one request after the other. Processor time is the proxy's own, user and kernel, in steps of 10 ms for a run of seconds.".to_owned(),
            "HAProxy: threads as it finds cores, http-reuse always, no log. flame-router: default settings, log level `warn`; it also marks what it passes on (Via, Forwarded, traceparent, CDN-Loop).".to_owned(),
            format!("Promised is at least 0.7 × HAProxy's rate, then {RATE_MIN} ×."),
            format!("Peers and load: {}.", versions.join("; ")),
        ],
        commands,
    })
}

// === impl Side ===

impl Side {
    async fn run(&mut self, load: Load, server: &Server, port: u16, path: &str, counts: bool) -> Result<()> {
        let before_s = server.processor_s()?;
        let heard = load.run(port, path).await?;
        let spent_s = server.processor_s()? - before_s;
        if counts {
            self.rate.add(heard.rate);
            self.p99_ms.add(heard.p99_ms);
            self.processor_us.add(spent_s * 1e6 / heard.answers);
        }
        Ok(())
    }
}

/// nginx that serves files named after their length.
async fn origin(folder: &Path) -> Result<Peer> {
    let (folder, port) = (folder.join("origin"), free_port()?);
    std::fs::create_dir_all(folder.join("root"))?;
    for (_, bytes) in SIZES {
        std::fs::write(folder.join("root").join(bytes.to_string()), vec![b'x'; bytes])?;
    }
    let shown = folder.display();
    let user = if rustix::process::getuid().is_root() { "user root;\n" } else { "" };
    let text = format!(
        "{user}daemon off;
pid {shown}/nginx.pid;
worker_processes auto;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    sendfile on;
    access_log off;
    keepalive_requests 100000000;
    open_file_cache max=16;
    client_body_temp_path {shown}/body;
    proxy_temp_path {shown}/proxy;
    fastcgi_temp_path {shown}/fastcgi;
    uwsgi_temp_path {shown}/uwsgi;
    scgi_temp_path {shown}/scgi;
    server {{ listen 127.0.0.1:{port} backlog=4096; root {shown}/root; }}
}}
"
    );
    std::fs::write(folder.join("nginx.conf"), text)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(folder.join("nginx.conf")).arg("-p").arg(&folder).arg("-e").arg(folder.join("error.log"));
    Peer::start("nginx", &mut command, port).await
}

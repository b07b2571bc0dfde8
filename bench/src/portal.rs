//! The portal: how soon a newcomer can use its first view, and whether the map of many endpoints keeps moving.
//!
//! A `flame up` of its own with an upload in its library; each round is a headless Chromium that has kept nothing, driven by
//! `media-tests/judges/pace.mjs`. Services and browser share this machine. There is no peer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use flame_api::router::{EndpointState, Registration};
use serde::Deserialize;
use tokio_util::task::AbortOnDropHandle;

use crate::flame::Flame;
use crate::report::{Figure, Row, Section};
use crate::samples::{Bound, Samples};
use crate::{Options, judge, process};

/// Promised time until the first view can be used, milliseconds.
const INTERACTIVE_MAX_MS: f64 = 1000.0;
/// Promised size of what comes before that, KiB on the wire.
const FIRST_VIEW_MAX_KIB: f64 = 300.0;
/// What the map is promised to hold.
const ENDPOINTS: usize = 200;
/// Functions that they stand behind.
const FUNCTIONS: usize = 20;
/// Life of a registration.
const LIFE: Duration = Duration::from_secs(60);
/// When it is renewed.
const RENEWED: Duration = Duration::from_secs(20);

/// What `pace.mjs` prints.
#[derive(Debug, Deserialize)]
struct Seen {
    interactive_ms: f64,
    bytes: f64,
    map_ms: f64,
    shown: usize,
    gap_p95_ms: f64,
    longest_ms: f64,
}

/// Measures it.
pub async fn measure(options: &Options) -> Result<Section> {
    let workshop = options.workshop()?;
    let flame = Arc::new(Flame::up(&workshop.path().join("data")).await?);
    let clip = flame_test_kit::clips::recipe("synthetic").seconds(4.0).make();
    let (upload, _) = flame.put(&clip).await?;
    flame.registered(upload).await?;
    register(&flame).await?;
    let _renewed = AbortOnDropHandle::new(tokio::spawn({
        let flame = Arc::clone(&flame);
        async move {
            loop {
                tokio::time::sleep(RENEWED).await;
                // One that fails is seen: the map shows fewer.
                let _ = register(&flame).await;
            }
        }
    }));
    let [mut interactive, mut kib, mut map, mut gap, mut longest] = <[Samples; 5]>::default();
    let arguments = [flame.router.to_string(), "--endpoints".to_owned(), ENDPOINTS.to_string()];
    for round in 0..=options.rounds {
        let seen: Seen = judge::run("pace.mjs", &arguments).await?;
        ensure!(seen.shown >= ENDPOINTS, "the map shows {} endpoints", seen.shown);
        // The first round brings the browser into the page cache.
        if round > 0 {
            interactive.add(seen.interactive_ms);
            kib.add(seen.bytes / 1024.0);
            map.add(seen.map_ms);
            gap.add(seen.gap_p95_ms);
            longest.add(seen.longest_ms);
        }
    }
    let figure = |what: &str, value: f64, unit: &'static str, bound: f64| Figure {
        what: what.to_owned(),
        value,
        unit,
        bound: Some(Bound::AtMost(bound)),
    };
    let figures = vec![
        figure("first view can be used (worst)", interactive.max(), "ms", INTERACTIVE_MAX_MS),
        figure("what comes before that (worst)", kib.max(), "KiB", FIRST_VIEW_MAX_KIB),
    ];
    let row = |what: &str, unit: &'static str, samples: Samples| Row { what: what.to_owned(), unit, samples };
    Ok(Section {
        name: "portal",
        title: format!("The portal in headless Chromium: first view, and a map of {ENDPOINTS} endpoints"),
        rows: vec![
            row("first view can be used", "ms", interactive),
            row("files that came before that", "KiB", kib),
            row("from the click until the map is drawn", "ms", map),
            row("between two pictures while it is live, p95", "ms", gap),
            row("longest task meanwhile", "ms", longest),
        ],
        figures,
        notes: vec![
            "From the navigation until the first asset is drawn and the page takes events, in a browser that has kept nothing; the player is not loaded by then.".to_owned(),
            format!("{ENDPOINTS} registrations behind {FUNCTIONS} names at one site; the map is looked at for 5 s while it is asked anew. A task counts as long from 50 ms."),
            "Services and browser (which draws without a graphics card) share the cores.".to_owned(),
        ],
        commands: vec![process::shown(&crate::flame::command(&workshop.path().join("data"), 8080)?)],
    })
}

/// Registers them, or renews that.
async fn register(flame: &Flame) -> Result<()> {
    for number in 0..ENDPOINTS {
        let body = Registration {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9)),
            generation: 1,
            ttl_ms: LIFE.as_millis() as u64,
            weight: 1,
            capacity: None,
            http2: false,
            state: EndpointState::Booted,
            tls: false,
        };
        let name = format!("function-{}.main", number % FUNCTIONS);
        flame.client.register(&name, &format!("e{number}"), &body).await?;
    }
    Ok(())
}

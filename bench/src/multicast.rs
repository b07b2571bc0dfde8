//! One answer to eight sites at once, by multicast, beside one site that gets it by unicast: what the origin's link
//! carries, and how long it takes, with and without loss.

mod world;

use anyhow::{Result, bail};
use flame_test_kit::Network;

use crate::Options;
use crate::report::{Figure, Row, Section};
use crate::samples::{Bound, Samples};
use world::World;

/// The sites that want it.
const EDGES: [&str; 8] = ["e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8"];
/// What they want.
const BODY_BYTES: u64 = 4 << 20;
/// What the origin's link lets through.
const LINK_MBIT: u32 = 200;
/// What of it multicast may take.
const RATE_PERCENT: u32 = 95;
/// What of a hundred packets is lost at every edge.
const LOSSES: [u32; 3] = [0, 1, 5];
/// Up to this loss the bounds hold.
const LOSS_MAX: u32 = 1;
/// Promised copies on the origin's link, headers, repair and acknowledgements counted.
const COPIES_MAX: f64 = 1.15;
/// Promised time until all have it, over the time of one unicast transfer.
const DELIVERY_MAX: f64 = 1.2;

/// What one side gave.
#[derive(Debug, Default)]
struct Side {
    copies: Samples,
    first_ms: Samples,
    all_ms: Samples,
    fetches: Samples,
}

/// Measures it.
pub async fn measure(options: &Options) -> Result<Section> {
    if let Some(reason) = Network::missing() {
        bail!("no network of namespaces: {reason}");
    }
    let workshop = options.workshop()?;
    let world = World::start(workshop.path()).await?;
    let (mut rows, mut figures) = (Vec::new(), Vec::new());
    for loss in LOSSES {
        for edge in EDGES {
            world.network.lose(edge, f64::from(loss));
        }
        let mut sides = [Side::default(), Side::default()];
        for round in 0..=options.rounds {
            let asked = [(&EDGES[..1], true), (&EDGES[..], false)];
            for (number, (side, (edges, is_own))) in sides.iter_mut().zip(asked).enumerate() {
                let name = format!("{loss}-{round}-{number}");
                let delivery = tokio::task::block_in_place(|| world.deliver(&name, edges, is_own))?;
                if round > 0 {
                    side.copies.add(delivery.copies);
                    side.first_ms.add(delivery.first.as_secs_f64() * 1000.0);
                    side.all_ms.add(delivery.all.as_secs_f64() * 1000.0);
                    side.fetches.add(f64::from(u32::try_from(delivery.fetches)?));
                }
            }
        }
        let [one, many] = &sides;
        let bound = |most: f64| (loss <= LOSS_MAX).then_some(Bound::AtMost(most));
        let figure =
            |what: &str, value, unit, bound| Figure { what: format!("{loss} % lost: {what}"), value, unit, bound };
        figures.push(figure("fetches (worst)", many.fetches.max(), "requests", Some(Bound::AtMost(1.0))));
        figures.push(figure("copies on the origin's link (median)", many.copies.median(), "copies", bound(COPIES_MAX)));
        let delivery = many.all_ms.median() / one.all_ms.median();
        figures.push(figure("delivery to all / one unicast transfer (medians)", delivery, "×", bound(DELIVERY_MAX)));
        for (name, side) in ["unicast to one", "multicast to eight"].into_iter().zip(sides) {
            let what = |what: &str| format!("{loss} % lost, {name}, {what}");
            rows.push(Row { what: what("origin's link"), unit: "copies", samples: side.copies });
            rows.push(Row { what: what("first byte of the last"), unit: "ms", samples: side.first_ms });
            rows.push(Row { what: what("last byte of the last"), unit: "ms", samples: side.all_ms });
        }
    }
    world.stop().await?;
    Ok(Section {
        name: "multicast",
        title: format!("4 MiB to one site by unicast, and to {} at once by multicast", EDGES.len()),
        rows,
        figures,
        notes: vec![
            format!("Nine network namespaces on one switch, a router process in each, all on one machine. The origin's link is held to {LINK_MBIT} Mbit/s (`tc tbf`), multicast to {RATE_PERCENT} % of that; packets, TCP's too, are dropped where they arrive at an edge (`iptables -m statistic`)."),
            "A client at each edge asks its router at the same moment for an object that nobody has asked for; the endpoint answers after 50 ms, and times count from its answer. Every byte is compared. The unicast request has a cookie, so nobody shares it.".to_owned(),
            "Copies are the interface's counter over the body's length: headers, repair, legs, acknowledgements and what the routers say to each other meanwhile.".to_owned(),
        ],
        commands: vec!["bench/run multicast".to_owned()],
    })
}

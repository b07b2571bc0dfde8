//! The whole way of a viewer: router, surrogate, router, origin; beside nginx in front of nginx's proxy cache in front of the same
//! origin, which is what stands there without us.

use anyhow::{Result, ensure};

use super::herd::Herd;
use super::origin::Origin;
use super::peers::{Flame, Peers};
use super::{COLD_BYTES, COLD_CLIENTS, CONNECTIONS, Cold, SECONDS};
use crate::Options;
use crate::load::Load;
use crate::report::{Figure, Row};
use crate::samples::{Bound, Samples};

/// What is hit: a segment of a low rendition.
const HIT_BYTES: u64 = 64 << 10;
/// The names of the sides, ours first.
const SIDES: [&str; 2] = ["router → vcdn → router", "nginx → nginx proxy_cache"];

/// What one side gave with hits.
#[derive(Debug, Default)]
struct Hits {
    rate: Samples,
    p99_ms: Samples,
}

/// What is added to the section.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub rows: Vec<Row>,
    pub figures: Vec<Figure>,
    pub commands: Vec<String>,
}

/// Measures it.
pub(super) async fn measure(options: &Options, flame: &Flame, peers: &Peers, origin: &Origin) -> Result<Chain> {
    let load = Load { connections: CONNECTIONS, seconds: SECONDS };
    let doors = [(flame.door(), "/~cdn"), (peers.front.port, "")];
    let (mut hits, mut cold) = ([Hits::default(), Hits::default()], [Cold::default(), Cold::default()]);
    for round in 0..=options.rounds {
        for (number, (door, mount)) in doors.into_iter().enumerate() {
            // Both keep it since the hits above were measured; the cold object is of its own for each side.
            let path = format!("/hit/{HIT_BYTES}");
            let before = origin.asked(&path);
            let heard = load.run(door, &format!("{mount}{path}")).await?;
            ensure!(round == 0 || origin.asked(&path) == before, "{} asked the origin for what is kept", SIDES[number]);
            let target = format!("/cold/chain-{round}-{number}");
            let herd = Herd::run(door, &format!("{mount}{target}"), COLD_CLIENTS, COLD_BYTES).await?;
            if round > 0 {
                hits[number].rate.add(heard.rate);
                hits[number].p99_ms.add(heard.p99_ms);
                cold[number].first_ms.add(herd.first_p50_ms);
                cold[number].last_ms.add(herd.last_ms);
                cold[number].fetches.add(f64::from(u32::try_from(origin.asked(&target))?));
            }
        }
    }
    let mut chain = Chain::default();
    let ratio = |ours: &Samples, theirs: &Samples| ours.median() / theirs.median();
    let figure = |what: &str, value, unit, bound| Figure { what: format!("end to end, {what}"), value, unit, bound };
    chain.figures = vec![
        figure("hit, 64 KiB: rate / nginx's (medians)", ratio(&hits[0].rate, &hits[1].rate), "×", None),
        figure("cold: fetches from the origin (worst)", cold[0].fetches.max(), "requests", Some(Bound::AtMost(1.0))),
        figure("cold: last byte of all / nginx's (medians)", ratio(&cold[0].last_ms, &cold[1].last_ms), "×", None),
    ];
    for ((name, hits), cold) in SIDES.iter().zip(hits).zip(cold) {
        let mut row = |what: &str, unit, samples| {
            chain.rows.push(Row { what: format!("end to end, {name}, {what}"), unit, samples });
        };
        row("hit, 64 KiB", "req/s", hits.rate);
        row("hit, 64 KiB, p99", "ms", hits.p99_ms);
        row("cold 4 MiB, first byte p50", "ms", cold.first_ms);
        row("cold 4 MiB, last byte of all", "ms", cold.last_ms);
        row("cold 4 MiB, fetches", "requests", cold.fetches);
    }
    chain.commands = doors.iter().map(|(door, mount)| load.shown(*door, &format!("{mount}/hit/{HIT_BYTES}"))).collect();
    Ok(chain)
}
